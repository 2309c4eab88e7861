//! The name that PostgreSQL gives a result column that has no alias (`FigureColname`).

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AExprKind, JsonExprOp, MinMaxOp, Node, SelectStmt, SqlValueFunctionOp, SubLink, SubLinkType, XmlExprOp,
};

use super::names;

/// The name of an expression; `None` where it would be `?column?`.
pub(crate) fn figured_name(node: Option<&NodeEnum>) -> Option<Arc<str>> {
    figure(node).map(|(name, _)| name)
}

/// The name, and whether it is one of its own: a cast or `CASE` gives its name only where there is no such.
fn figure(node: Option<&NodeEnum>) -> Option<(Arc<str>, bool)> {
    let inner = |n: Option<&Node>| figure(n.and_then(|n| n.node.as_ref()));
    let own = |name: &str| Some((Arc::from(name), true));
    match node? {
        NodeEnum::ColumnRef(c) => last_name(&c.fields),
        NodeEnum::AIndirection(i) => last_name(&i.indirection).or_else(|| inner(i.arg.as_deref())),
        NodeEnum::FuncCall(c) => names(&c.funcname).and_then(|n| own(n.last()?)),
        NodeEnum::AExpr(e) if e.kind == AExprKind::AexprNullif as i32 => own("nullif"),
        NodeEnum::TypeCast(c) => match inner(c.arg.as_deref()) {
            Some((name, true)) => Some((name, true)),
            weak => {
                let name = c.type_name.as_ref().and_then(|t| names(&t.names)?.last().map(|s| Arc::from(*s)));
                name.map(|n| (n, false)).or(weak)
            }
        },
        NodeEnum::CollateClause(c) => inner(c.arg.as_deref()),
        NodeEnum::GroupingFunc(_) => own("grouping"),
        NodeEnum::MergeSupportFunc(_) => own("merge_action"),
        NodeEnum::SubLink(link) => sub_link(link),
        NodeEnum::CaseExpr(c) => match inner(c.defresult.as_deref()) {
            Some((name, true)) => Some((name, true)),
            _ => Some(("case".into(), false)),
        },
        NodeEnum::AArrayExpr(_) => own("array"),
        NodeEnum::RowExpr(_) => own("row"),
        NodeEnum::CoalesceExpr(_) => own("coalesce"),
        NodeEnum::MinMaxExpr(m) if m.op == MinMaxOp::IsGreatest as i32 => own("greatest"),
        NodeEnum::MinMaxExpr(_) => own("least"),
        NodeEnum::SqlvalueFunction(f) => own(match SqlValueFunctionOp::try_from(f.op).ok()? {
            SqlValueFunctionOp::SvfopCurrentDate => "current_date",
            SqlValueFunctionOp::SvfopCurrentTime | SqlValueFunctionOp::SvfopCurrentTimeN => "current_time",
            SqlValueFunctionOp::SvfopCurrentTimestamp | SqlValueFunctionOp::SvfopCurrentTimestampN => {
                "current_timestamp"
            }
            SqlValueFunctionOp::SvfopLocaltime | SqlValueFunctionOp::SvfopLocaltimeN => "localtime",
            SqlValueFunctionOp::SvfopLocaltimestamp | SqlValueFunctionOp::SvfopLocaltimestampN => "localtimestamp",
            SqlValueFunctionOp::SvfopCurrentRole => "current_role",
            SqlValueFunctionOp::SvfopCurrentUser => "current_user",
            SqlValueFunctionOp::SvfopUser => "user",
            SqlValueFunctionOp::SvfopSessionUser => "session_user",
            SqlValueFunctionOp::SvfopCurrentCatalog => "current_catalog",
            SqlValueFunctionOp::SvfopCurrentSchema => "current_schema",
            SqlValueFunctionOp::SqlvalueFunctionOpUndefined => return None,
        }),
        NodeEnum::XmlExpr(x) => own(match XmlExprOp::try_from(x.op).ok()? {
            XmlExprOp::IsXmlconcat => "xmlconcat",
            XmlExprOp::IsXmlelement => "xmlelement",
            XmlExprOp::IsXmlforest => "xmlforest",
            XmlExprOp::IsXmlparse => "xmlparse",
            XmlExprOp::IsXmlpi => "xmlpi",
            XmlExprOp::IsXmlroot => "xmlroot",
            XmlExprOp::IsXmlserialize => "xmlserialize",
            XmlExprOp::IsDocument | XmlExprOp::Undefined => return None,
        }),
        NodeEnum::XmlSerialize(_) => own("xmlserialize"),
        NodeEnum::JsonParseExpr(_) => own("json"),
        NodeEnum::JsonScalarExpr(_) => own("json_scalar"),
        NodeEnum::JsonSerializeExpr(_) => own("json_serialize"),
        NodeEnum::JsonObjectConstructor(_) => own("json_object"),
        NodeEnum::JsonArrayConstructor(_) | NodeEnum::JsonArrayQueryConstructor(_) => own("json_array"),
        NodeEnum::JsonObjectAgg(_) => own("json_objectagg"),
        NodeEnum::JsonArrayAgg(_) => own("json_arrayagg"),
        NodeEnum::JsonFuncExpr(f) => own(match JsonExprOp::try_from(f.op).ok()? {
            JsonExprOp::JsonExistsOp => "json_exists",
            JsonExprOp::JsonQueryOp => "json_query",
            JsonExprOp::JsonValueOp => "json_value",
            _ => return None,
        }),
        _ => None,
    }
}

/// The last part that is a name.
fn last_name(nodes: &[Node]) -> Option<(Arc<str>, bool)> {
    nodes.iter().rev().find_map(|n| match n.node.as_ref() {
        Some(NodeEnum::String(s)) => Some((s.sval.as_str().into(), true)),
        _ => None,
    })
}

fn sub_link(link: &SubLink) -> Option<(Arc<str>, bool)> {
    match SubLinkType::try_from(link.sub_link_type) {
        Ok(SubLinkType::ExistsSublink) => Some(("exists".into(), true)),
        Ok(SubLinkType::ArraySublink) => Some(("array".into(), true)),
        Ok(SubLinkType::ExprSublink) => match link.subselect.as_deref()?.node.as_ref()? {
            NodeEnum::SelectStmt(s) => first_column(s).map(|name| (name, true)),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a query's first column, as far as the text alone tells.
fn first_column(select: &SelectStmt) -> Option<Arc<str>> {
    if let Some(left) = &select.larg {
        return first_column(left);
    }
    if !select.values_lists.is_empty() {
        return Some("column1".into());
    }
    match select.target_list.first()?.node.as_ref()? {
        NodeEnum::ResTarget(t) if !t.name.is_empty() => Some(t.name.as_str().into()),
        NodeEnum::ResTarget(t) => figured_name(t.val.as_deref().and_then(|v| v.node.as_ref())),
        _ => None,
    }
}
