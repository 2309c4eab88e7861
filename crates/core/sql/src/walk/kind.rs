//! Words for statements that define things, and which of them PostgreSQL refuses in a transaction block.

use pg_query::NodeEnum;
use pg_query::protobuf::{DropStmt, ObjectType};

use crate::census::Census;

/// The node's name in the grammar, for messages.
pub(super) fn node_name(node: &NodeEnum) -> &'static str {
    Census::of(node).root.unwrap_or("unknown node")
}

/// The word for a statement that changes structure, rights or the server; `None` when it is no such statement.
pub(super) fn definition(node: &NodeEnum) -> Option<&'static str> {
    Some(match node {
        NodeEnum::CreateSchemaStmt(_) => "create_schema",
        NodeEnum::AlterTableStmt(s) => object(s.objtype).map_or("alter_table", |o| o.alter),
        NodeEnum::AlterCollationStmt(_) => "alter_collation",
        NodeEnum::AlterDomainStmt(_) => "alter_domain",
        NodeEnum::GrantStmt(s) => grant(s.is_grant),
        NodeEnum::GrantRoleStmt(s) => grant(s.is_grant),
        NodeEnum::AlterDefaultPrivilegesStmt(_) => "alter_default_privileges",
        NodeEnum::CreateStmt(_) => "create_table",
        NodeEnum::CreateTableSpaceStmt(_) => "create_tablespace",
        NodeEnum::DropTableSpaceStmt(_) => "drop_tablespace",
        NodeEnum::AlterTableSpaceOptionsStmt(_) => "alter_tablespace",
        NodeEnum::AlterTableMoveAllStmt(_) => "alter_table",
        NodeEnum::CreateExtensionStmt(_) => "create_extension",
        NodeEnum::AlterExtensionStmt(_) | NodeEnum::AlterExtensionContentsStmt(_) => "alter_extension",
        NodeEnum::CreateFdwStmt(_) => "create_foreign_data_wrapper",
        NodeEnum::AlterFdwStmt(_) => "alter_foreign_data_wrapper",
        NodeEnum::CreateForeignServerStmt(_) => "create_server",
        NodeEnum::AlterForeignServerStmt(_) => "alter_server",
        NodeEnum::CreateForeignTableStmt(_) => "create_foreign_table",
        NodeEnum::CreateUserMappingStmt(_) => "create_user_mapping",
        NodeEnum::AlterUserMappingStmt(_) => "alter_user_mapping",
        NodeEnum::DropUserMappingStmt(_) => "drop_user_mapping",
        NodeEnum::ImportForeignSchemaStmt(_) => "import_foreign_schema",
        NodeEnum::CreatePolicyStmt(_) => "create_policy",
        NodeEnum::AlterPolicyStmt(_) => "alter_policy",
        NodeEnum::CreateAmStmt(_) => "create_access_method",
        NodeEnum::CreateTrigStmt(_) => "create_trigger",
        NodeEnum::CreateEventTrigStmt(_) => "create_event_trigger",
        NodeEnum::AlterEventTrigStmt(_) => "alter_event_trigger",
        NodeEnum::CreatePlangStmt(_) => "create_language",
        NodeEnum::CreateRoleStmt(_) => "create_role",
        NodeEnum::AlterRoleStmt(_) | NodeEnum::AlterRoleSetStmt(_) => "alter_role",
        NodeEnum::DropRoleStmt(_) => "drop_role",
        NodeEnum::CreateSeqStmt(_) => "create_sequence",
        NodeEnum::AlterSeqStmt(_) => "alter_sequence",
        NodeEnum::DefineStmt(s) => define(s.kind),
        NodeEnum::CreateDomainStmt(_) => "create_domain",
        NodeEnum::CreateOpClassStmt(_) => "create_operator_class",
        NodeEnum::CreateOpFamilyStmt(_) => "create_operator_family",
        NodeEnum::AlterOpFamilyStmt(_) => "alter_operator_family",
        NodeEnum::DropStmt(s) => object(s.remove_type).map_or("drop", |o| o.drop),
        NodeEnum::CommentStmt(_) => "comment",
        NodeEnum::SecLabelStmt(_) => "security_label",
        NodeEnum::IndexStmt(_) => "create_index",
        NodeEnum::CreateStatsStmt(_) => "create_statistics",
        NodeEnum::AlterStatsStmt(_) => "alter_statistics",
        NodeEnum::CreateFunctionStmt(s) => {
            if s.is_procedure {
                "create_procedure"
            } else {
                "create_function"
            }
        }
        NodeEnum::AlterFunctionStmt(s) => object(s.objtype).map_or("alter_function", |o| o.alter),
        NodeEnum::RenameStmt(s) => object(s.rename_type).map_or("alter", |o| o.alter),
        NodeEnum::AlterObjectDependsStmt(s) => object(s.object_type).map_or("alter", |o| o.alter),
        NodeEnum::AlterObjectSchemaStmt(s) => object(s.object_type).map_or("alter", |o| o.alter),
        NodeEnum::AlterOwnerStmt(s) => object(s.object_type).map_or("alter", |o| o.alter),
        NodeEnum::AlterOperatorStmt(_) => "alter_operator",
        NodeEnum::AlterTypeStmt(_) | NodeEnum::AlterEnumStmt(_) => "alter_type",
        NodeEnum::RuleStmt(_) => "create_rule",
        NodeEnum::CompositeTypeStmt(_) | NodeEnum::CreateEnumStmt(_) | NodeEnum::CreateRangeStmt(_) => "create_type",
        NodeEnum::ViewStmt(_) => "create_view",
        NodeEnum::LoadStmt(_) => "load",
        NodeEnum::CreatedbStmt(_) => "create_database",
        NodeEnum::AlterDatabaseStmt(_)
        | NodeEnum::AlterDatabaseRefreshCollStmt(_)
        | NodeEnum::AlterDatabaseSetStmt(_) => "alter_database",
        NodeEnum::DropdbStmt(_) => "drop_database",
        NodeEnum::AlterSystemStmt(_) => "alter_system",
        NodeEnum::ClusterStmt(_) => "cluster",
        NodeEnum::VacuumStmt(s) => {
            if s.is_vacuumcmd {
                "vacuum"
            } else {
                "analyze"
            }
        }
        NodeEnum::RefreshMatViewStmt(_) => "refresh_materialized_view",
        NodeEnum::CheckPointStmt(_) => "checkpoint",
        NodeEnum::ReindexStmt(_) => "reindex",
        NodeEnum::CreateConversionStmt(_) => "create_conversion",
        NodeEnum::CreateCastStmt(_) => "create_cast",
        NodeEnum::CreateTransformStmt(_) => "create_transform",
        NodeEnum::DropOwnedStmt(_) => "drop_owned",
        NodeEnum::ReassignOwnedStmt(_) => "reassign_owned",
        NodeEnum::AlterTsdictionaryStmt(_) => "alter_text_search_dictionary",
        NodeEnum::AlterTsconfigurationStmt(_) => "alter_text_search_configuration",
        NodeEnum::CreatePublicationStmt(_) => "create_publication",
        NodeEnum::AlterPublicationStmt(_) => "alter_publication",
        NodeEnum::CreateSubscriptionStmt(_) => "create_subscription",
        NodeEnum::AlterSubscriptionStmt(_) => "alter_subscription",
        NodeEnum::DropSubscriptionStmt(_) => "drop_subscription",
        _ => return None,
    })
}

const fn grant(is_grant: bool) -> &'static str {
    if is_grant { "grant" } else { "revoke" }
}

/// Words for a sort of object.
struct Words {
    drop: &'static str,
    alter: &'static str,
}

macro_rules! words {
    ($($variant:ident $word:literal),* $(,)?) => {
        fn object(kind: i32) -> Option<Words> {
            match ObjectType::try_from(kind).ok()? {
                $(ObjectType::$variant => Some(Words { drop: concat!("drop_", $word), alter: concat!("alter_", $word) }),)*
                _ => None,
            }
        }
    };
}

words! {
    ObjectAccessMethod "access_method", ObjectAggregate "aggregate", ObjectAttribute "type", ObjectCast "cast", ObjectColumn "table",
    ObjectCollation "collation", ObjectConversion "conversion", ObjectDatabase "database", ObjectDomain "domain",
    ObjectDomconstraint "domain", ObjectEventTrigger "event_trigger", ObjectExtension "extension", ObjectFdw "foreign_data_wrapper",
    ObjectForeignServer "server", ObjectForeignTable "foreign_table", ObjectFunction "function", ObjectIndex "index",
    ObjectLanguage "language", ObjectLargeobject "large_object", ObjectMatview "materialized_view", ObjectOpclass "operator_class",
    ObjectOperator "operator", ObjectOpfamily "operator_family", ObjectPolicy "policy", ObjectProcedure "procedure",
    ObjectPublication "publication", ObjectRole "role", ObjectRoutine "routine", ObjectRule "rule", ObjectSchema "schema",
    ObjectSequence "sequence", ObjectSubscription "subscription", ObjectStatisticExt "statistics", ObjectTabconstraint "table",
    ObjectTable "table", ObjectTablespace "tablespace", ObjectTransform "transform", ObjectTrigger "trigger",
    ObjectTsconfiguration "text_search_configuration", ObjectTsdictionary "text_search_dictionary", ObjectTsparser "text_search_parser",
    ObjectTstemplate "text_search_template", ObjectType "type", ObjectView "view",
}

fn define(kind: i32) -> &'static str {
    match ObjectType::try_from(kind) {
        Ok(ObjectType::ObjectAggregate) => "create_aggregate",
        Ok(ObjectType::ObjectOperator) => "create_operator",
        Ok(ObjectType::ObjectType) => "create_type",
        Ok(ObjectType::ObjectCollation) => "create_collation",
        _ => "create_text_search",
    }
}

/// True for objects that `DROP`, `COMMENT` and the like name as a relation.
pub(super) fn is_relation(kind: i32) -> bool {
    matches!(
        ObjectType::try_from(kind),
        Ok(ObjectType::ObjectTable
            | ObjectType::ObjectView
            | ObjectType::ObjectMatview
            | ObjectType::ObjectForeignTable
            | ObjectType::ObjectSequence
            | ObjectType::ObjectIndex)
    )
}

/// True for functions, procedures and aggregates.
pub(super) fn is_function(kind: i32) -> bool {
    matches!(
        ObjectType::try_from(kind),
        Ok(ObjectType::ObjectFunction
            | ObjectType::ObjectProcedure
            | ObjectType::ObjectRoutine
            | ObjectType::ObjectAggregate)
    )
}

/// True for objects that belong to a relation, whose name stands before theirs.
pub(super) fn is_part_of_relation(kind: i32) -> bool {
    matches!(
        ObjectType::try_from(kind),
        Ok(ObjectType::ObjectColumn
            | ObjectType::ObjectTrigger
            | ObjectType::ObjectRule
            | ObjectType::ObjectPolicy
            | ObjectType::ObjectTabconstraint)
    )
}

/// True when PostgreSQL refuses it inside a transaction block.
pub(super) fn outside_transaction(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::VacuumStmt(s) => s.is_vacuumcmd,
        NodeEnum::CreatedbStmt(_)
        | NodeEnum::DropdbStmt(_)
        | NodeEnum::CreateTableSpaceStmt(_)
        | NodeEnum::DropTableSpaceStmt(_)
        | NodeEnum::AlterSystemStmt(_)
        | NodeEnum::CreateSubscriptionStmt(_)
        | NodeEnum::DropSubscriptionStmt(_)
        | NodeEnum::AlterSubscriptionStmt(_) => true,
        NodeEnum::IndexStmt(s) => s.concurrent,
        NodeEnum::DropStmt(DropStmt { concurrent, .. }) => *concurrent,
        NodeEnum::ReindexStmt(s) => s.relation.is_none() || !s.params.is_empty(),
        NodeEnum::ClusterStmt(s) => s.relation.is_none(),
        NodeEnum::AlterDatabaseStmt(s) => {
            s.options.iter().any(|o| matches!(o.node.as_ref(), Some(NodeEnum::DefElem(d)) if d.defname == "tablespace"))
        }
        NodeEnum::AlterTableStmt(s) => s.cmds.iter().any(|c| {
            let Some(NodeEnum::AlterTableCmd(c)) = c.node.as_ref() else { return false };
            matches!(c.def.as_deref().and_then(|d| d.node.as_ref()), Some(NodeEnum::PartitionCmd(p)) if p.concurrent)
        }),
        _ => false,
    }
}
