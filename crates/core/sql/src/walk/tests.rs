//! Every node kind of the grammar is known, or refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_model::{Access, Fingerprint};
use pg_query::NodeEnum;

use super::Walk;
use super::scope::Scope;
use crate::catalog::CatalogBuilder;
use crate::settings::Settings;

macro_rules! kinds {
    ($($kind:ident),* $(,)?) => {
        /// Compiles only while it names every kind.
        fn name(node: &NodeEnum) -> &'static str {
            match node {
                $(NodeEnum::$kind(_) => stringify!($kind),)*
            }
        }

        fn all() -> Vec<NodeEnum> {
            vec![$(NodeEnum::$kind(Default::default())),*]
        }
    };
}

kinds! {
    Alias, RangeVar, TableFunc, IntoClause, Var, Param, Aggref, GroupingFunc, WindowFunc, WindowFuncRunCondition,
    MergeSupportFunc, SubscriptingRef, FuncExpr, NamedArgExpr, OpExpr, DistinctExpr, NullIfExpr, ScalarArrayOpExpr, BoolExpr,
    SubLink, SubPlan, AlternativeSubPlan, FieldSelect, FieldStore, RelabelType, CoerceViaIo, ArrayCoerceExpr, ConvertRowtypeExpr,
    CollateExpr, CaseExpr, CaseWhen, CaseTestExpr, ArrayExpr, RowExpr, RowCompareExpr, CoalesceExpr, MinMaxExpr,
    SqlvalueFunction, XmlExpr, JsonFormat, JsonReturning, JsonValueExpr, JsonConstructorExpr, JsonIsPredicate, JsonBehavior,
    JsonExpr, JsonTablePath, JsonTablePathScan, JsonTableSiblingJoin, NullTest, BooleanTest, MergeAction, CoerceToDomain,
    CoerceToDomainValue, SetToDefault, CurrentOfExpr, NextValueExpr, InferenceElem, ReturningExpr, TargetEntry, RangeTblRef,
    JoinExpr, FromExpr, OnConflictExpr, Query, TypeName, ColumnRef, ParamRef, AExpr, TypeCast, CollateClause, RoleSpec, FuncCall,
    AStar, AIndices, AIndirection, AArrayExpr, ResTarget, MultiAssignRef, SortBy, WindowDef, RangeSubselect, RangeFunction,
    RangeTableFunc, RangeTableFuncCol, RangeTableSample, ColumnDef, TableLikeClause, IndexElem, DefElem, LockingClause,
    XmlSerialize, PartitionElem, PartitionSpec, PartitionBoundSpec, PartitionRangeDatum, PartitionCmd, RangeTblEntry,
    RtepermissionInfo, RangeTblFunction, TableSampleClause, WithCheckOption, SortGroupClause, GroupingSet, WindowClause,
    RowMarkClause, WithClause, InferClause, OnConflictClause, CtesearchClause, CtecycleClause, CommonTableExpr, MergeWhenClause,
    ReturningOption, ReturningClause, TriggerTransition, JsonOutput, JsonArgument, JsonFuncExpr, JsonTablePathSpec, JsonTable,
    JsonTableColumn, JsonKeyValue, JsonParseExpr, JsonScalarExpr, JsonSerializeExpr, JsonObjectConstructor, JsonArrayConstructor,
    JsonArrayQueryConstructor, JsonAggConstructor, JsonObjectAgg, JsonArrayAgg, RawStmt, InsertStmt, DeleteStmt, UpdateStmt,
    MergeStmt, SelectStmt, SetOperationStmt, ReturnStmt, PlassignStmt, CreateSchemaStmt, AlterTableStmt, AlterTableCmd,
    AtalterConstraint, ReplicaIdentityStmt, AlterCollationStmt, AlterDomainStmt, GrantStmt, ObjectWithArgs, AccessPriv,
    GrantRoleStmt, AlterDefaultPrivilegesStmt, CopyStmt, VariableSetStmt, VariableShowStmt, CreateStmt, Constraint,
    CreateTableSpaceStmt, DropTableSpaceStmt, AlterTableSpaceOptionsStmt, AlterTableMoveAllStmt, CreateExtensionStmt,
    AlterExtensionStmt, AlterExtensionContentsStmt, CreateFdwStmt, AlterFdwStmt, CreateForeignServerStmt, AlterForeignServerStmt,
    CreateForeignTableStmt, CreateUserMappingStmt, AlterUserMappingStmt, DropUserMappingStmt, ImportForeignSchemaStmt,
    CreatePolicyStmt, AlterPolicyStmt, CreateAmStmt, CreateTrigStmt, CreateEventTrigStmt, AlterEventTrigStmt, CreatePlangStmt,
    CreateRoleStmt, AlterRoleStmt, AlterRoleSetStmt, DropRoleStmt, CreateSeqStmt, AlterSeqStmt, DefineStmt, CreateDomainStmt,
    CreateOpClassStmt, CreateOpClassItem, CreateOpFamilyStmt, AlterOpFamilyStmt, DropStmt, TruncateStmt, CommentStmt,
    SecLabelStmt, DeclareCursorStmt, ClosePortalStmt, FetchStmt, IndexStmt, CreateStatsStmt, StatsElem, AlterStatsStmt,
    CreateFunctionStmt, FunctionParameter, AlterFunctionStmt, DoStmt, InlineCodeBlock, CallStmt, CallContext, RenameStmt,
    AlterObjectDependsStmt, AlterObjectSchemaStmt, AlterOwnerStmt, AlterOperatorStmt, AlterTypeStmt, RuleStmt, NotifyStmt,
    ListenStmt, UnlistenStmt, TransactionStmt, CompositeTypeStmt, CreateEnumStmt, CreateRangeStmt, AlterEnumStmt, ViewStmt,
    LoadStmt, CreatedbStmt, AlterDatabaseStmt, AlterDatabaseRefreshCollStmt, AlterDatabaseSetStmt, DropdbStmt, AlterSystemStmt,
    ClusterStmt, VacuumStmt, VacuumRelation, ExplainStmt, CreateTableAsStmt, RefreshMatViewStmt, CheckPointStmt, DiscardStmt,
    LockStmt, ConstraintsSetStmt, ReindexStmt, CreateConversionStmt, CreateCastStmt, CreateTransformStmt, PrepareStmt,
    ExecuteStmt, DeallocateStmt, DropOwnedStmt, ReassignOwnedStmt, AlterTsdictionaryStmt, AlterTsconfigurationStmt,
    PublicationTable, PublicationObjSpec, CreatePublicationStmt, AlterPublicationStmt, CreateSubscriptionStmt,
    AlterSubscriptionStmt, DropSubscriptionStmt, Integer, Float, Boolean, String, BitString, List, IntList, OidList, AConst,
}

/// An empty node of each kind, as a statement and as an expression: known, or refused, and never taken for harmless.
#[test]
fn every_kind_is_known_or_refused() {
    let catalog = CatalogBuilder::new(1).build();
    let settings = Settings::new(&["public"], None);
    let (mut statements, mut expressions, mut refused) = (0, 0, 0);
    for node in all() {
        let kind = name(&node);
        let mut walk = Walk::new(&catalog, &settings, 0, Fingerprint(0));
        walk.statement_and_census(&node);
        let found = walk.finish();
        let known = match (&found.refused, found.statements.as_slice()) {
            (Some(why), _) => {
                assert!(!why.is_empty() && found.statements.is_empty(), "{kind}");
                false
            }
            (None, [statement]) => {
                let defines = super::kind::definition(&node).is_some();
                assert!(!defines || statement.access == Access::Admin, "{kind}: {:?}", statement.access);
                assert_ne!(statement.access, Access::Opaque, "{kind}");
                true
            }
            (None, other) => panic!("{kind}: {other:?}"),
        };
        statements += usize::from(known);
        let mut walk = Walk::new(&catalog, &settings, 0, Fingerprint(0));
        walk.scopes.push(Scope::default());
        walk.expression(&node);
        let expression = walk.refused.is_none();
        expressions += usize::from(expression);
        if !known && !expression {
            refused += 1;
        }
        // A statement other than a query has no business inside an expression.
        assert!(!(expression && super::kind::definition(&node).is_some()), "{kind} passes for an expression");
    }
    // An empty node of some kinds is refused because a part is missing, not because the kind is unknown.
    assert!(statements >= 85, "{statements} statements");
    assert!(expressions >= 55, "{expressions} expressions");
    assert!(refused >= 60, "{refused} refused");
}
