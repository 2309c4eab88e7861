//! Expressions. Every field of every kind is named, so a new one does not compile until somebody has thought of it.

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AConst, AExpr, AExprKind, AIndices, AIndirection, BoolExpr, CaseExpr, CaseWhen, CoalesceExpr,
    CollateClause, CurrentOfExpr, GroupingFunc, GroupingSet, IndexElem, List, MinMaxExpr, MultiAssignRef, NamedArgExpr,
    Node, NullTest, ResTarget, RowExpr, SortBy, SubLink, SubLinkType, TypeCast, XmlExpr, XmlSerialize,
};

use super::{Walk, names};

impl Walk<'_> {
    /// Walks one node that stands where an expression may.
    pub(super) fn expression(&mut self, node: &NodeEnum) {
        match node {
            // leaves
            NodeEnum::ParamRef(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::MergeSupportFunc(_)
            | NodeEnum::AStar(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::String(_)
            | NodeEnum::BitString(_) => {}
            NodeEnum::AConst(AConst { isnull: _, location: _, val: _ }) => {}
            NodeEnum::CurrentOfExpr(e) => {
                // WHERE CURRENT OF: the cursor's own statement was judged when it was declared.
                let CurrentOfExpr { xpr: _, cvarno: _, cursor_name: _, cursor_param: _ } = &**e;
            }
            NodeEnum::ColumnRef(reference) => self.column_ref(reference),
            NodeEnum::FuncCall(call) => self.call(call, false),
            NodeEnum::AExpr(e) => self.operation(e),
            NodeEnum::BoolExpr(e) => {
                let BoolExpr { xpr: _, boolop: _, args, location: _ } = &**e;
                self.nodes(args);
            }
            NodeEnum::TypeCast(e) => {
                let TypeCast { arg, type_name, location: _ } = &**e;
                self.maybe(arg.as_deref());
                if let Some(name) = type_name {
                    self.type_name(name);
                }
            }
            NodeEnum::TypeName(name) => self.type_name(name),
            NodeEnum::CollateClause(e) => {
                let CollateClause { arg, collname: _, location: _ } = &**e;
                self.maybe(arg.as_deref());
            }
            NodeEnum::SubLink(e) => self.sub_link(e),
            NodeEnum::CaseExpr(e) => {
                let CaseExpr { xpr: _, casetype: _, casecollid: _, arg, args, defresult, location: _ } = &**e;
                if arg.is_some() {
                    self.operator(&["="]);
                }
                self.maybe(arg.as_deref());
                self.nodes(args);
                self.maybe(defresult.as_deref());
            }
            NodeEnum::CaseWhen(e) => {
                let CaseWhen { xpr: _, expr, result, location: _ } = &**e;
                self.maybe(expr.as_deref());
                self.maybe(result.as_deref());
            }
            NodeEnum::RowExpr(e) => {
                let RowExpr { xpr: _, args, row_typeid: _, row_format: _, colnames: _, location: _ } = &**e;
                self.nodes(args);
            }
            NodeEnum::CoalesceExpr(e) => {
                let CoalesceExpr { xpr: _, coalescetype: _, coalescecollid: _, args, location: _ } = &**e;
                self.nodes(args);
            }
            NodeEnum::MinMaxExpr(e) => {
                let MinMaxExpr { xpr: _, minmaxtype: _, minmaxcollid: _, inputcollid: _, op: _, args, location: _ } =
                    &**e;
                self.nodes(args);
            }
            NodeEnum::NullTest(e) => {
                let NullTest { xpr: _, arg, nulltesttype: _, argisrow: _, location: _ } = &**e;
                self.maybe(arg.as_deref());
            }
            NodeEnum::BooleanTest(e) => self.maybe(e.arg.as_deref()),
            NodeEnum::AArrayExpr(AArrayExpr { elements, list_start: _, list_end: _, location: _ }) => {
                self.nodes(elements)
            }
            NodeEnum::AIndirection(e) => self.indirection(e),
            NodeEnum::AIndices(e) => {
                let AIndices { is_slice: _, lidx, uidx } = &**e;
                self.maybe(lidx.as_deref());
                self.maybe(uidx.as_deref());
            }
            NodeEnum::NamedArgExpr(e) => {
                let NamedArgExpr { xpr: _, arg, name: _, argnumber: _, location: _ } = &**e;
                self.maybe(arg.as_deref());
            }
            NodeEnum::List(List { items }) => self.nodes(items),
            NodeEnum::ResTarget(e) => {
                let ResTarget { name: _, indirection, val, location: _ } = &**e;
                self.nodes(indirection);
                self.maybe(val.as_deref());
            }
            NodeEnum::MultiAssignRef(e) => {
                // (a, b) = (…): the parser repeats the whole source for each column, and so do the counts.
                let MultiAssignRef { source, colno: _, ncolumns: _ } = &**e;
                self.maybe(source.as_deref());
            }
            NodeEnum::SortBy(e) => {
                let SortBy { node, sortby_dir: _, sortby_nulls: _, use_op, location: _ } = &**e;
                self.maybe(node.as_deref());
                if !use_op.is_empty() {
                    self.operator_nodes(use_op);
                }
            }
            NodeEnum::WindowDef(window) => self.window(window),
            NodeEnum::GroupingFunc(e) => {
                let GroupingFunc { xpr: _, args, refs: _, agglevelsup: _, location: _ } = &**e;
                self.nodes(args);
            }
            NodeEnum::GroupingSet(GroupingSet { kind: _, content, location: _ }) => self.nodes(content),
            NodeEnum::IndexElem(e) => {
                let IndexElem {
                    name,
                    expr,
                    indexcolname: _,
                    collation: _,
                    opclass: _,
                    opclassopts,
                    ordering: _,
                    nulls_ordering: _,
                } = &**e;
                if !name.is_empty() {
                    self.inferred(name);
                }
                self.maybe(expr.as_deref());
                self.nodes(opclassopts);
            }
            NodeEnum::XmlExpr(e) => {
                let XmlExpr {
                    xpr: _,
                    op: _,
                    name: _,
                    named_args,
                    arg_names: _,
                    args,
                    xmloption: _,
                    indent: _,
                    r#type: _,
                    typmod: _,
                    location: _,
                } = &**e;
                self.nodes(named_args);
                self.nodes(args);
            }
            NodeEnum::XmlSerialize(e) => {
                let XmlSerialize { xmloption: _, expr, type_name, indent: _, location: _ } = &**e;
                self.maybe(expr.as_deref());
                if let Some(name) = type_name {
                    self.type_name(name);
                }
            }
            NodeEnum::DefElem(e) => self.maybe(e.arg.as_deref()),
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => {
                self.query(node);
            }
            _ => self.json(node),
        }
    }

    fn operation(&mut self, e: &AExpr) {
        self.seen.operators += 1;
        let AExpr { kind, name, lexpr, rexpr, rexpr_list_start: _, rexpr_list_end: _, location: _ } = e;
        match AExprKind::try_from(*kind) {
            Ok(
                AExprKind::AexprBetween
                | AExprKind::AexprNotBetween
                | AExprKind::AexprBetweenSym
                | AExprKind::AexprNotBetweenSym,
            ) => {
                for operator in ["<", ">", "<=", ">="] {
                    self.operator(&[operator]);
                }
            }
            Ok(AExprKind::Undefined) | Err(_) => self.refuse("an operation of an unknown kind"),
            Ok(_) => self.operator_nodes(name),
        }
        self.maybe(lexpr.as_deref());
        self.maybe(rexpr.as_deref());
    }

    pub(super) fn operator_nodes(&mut self, nodes: &[Node]) {
        match names(nodes) {
            Some(parts) => self.operator(&parts),
            None => self.refuse("an operator is not made of names"),
        }
    }

    fn sub_link(&mut self, e: &SubLink) {
        let SubLink { xpr: _, sub_link_type, sub_link_id: _, testexpr, oper_name, subselect, location: _ } = e;
        if !oper_name.is_empty() {
            self.operator_nodes(oper_name);
        } else if *sub_link_type == SubLinkType::AnySublink as i32 {
            self.operator(&["="]);
        }
        self.maybe(testexpr.as_deref());
        self.maybe(subselect.as_deref());
    }

    fn indirection(&mut self, e: &AIndirection) {
        let AIndirection { arg, indirection } = e;
        self.maybe(arg.as_deref());
        for part in indirection {
            match part.node.as_ref() {
                // (x).f is f(x) when the type of x has no field f.
                Some(NodeEnum::String(field)) => {
                    self.function(None, &field.sval, Some(1), false);
                }
                Some(NodeEnum::AStar(_)) => {}
                _ => self.node(part),
            }
        }
    }

    /// A column of the target that `ON CONFLICT (column)` names.
    fn inferred(&mut self, column: &str) {
        let entry = self.scopes.last().and_then(|s| s.entries.iter().find(|e| e.access == Access::Write)).cloned();
        if let Some(entry) = entry {
            self.written(&entry, column);
        }
    }
}
