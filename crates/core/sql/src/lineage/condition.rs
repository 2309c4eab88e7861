//! Conditions that choose rows: what matches and what chooses.
//!
//! Only equality of a column with constants is a match, and only a few of them in one statement: each is one guess. Anything else lets
//! a client search, not only guess.

use pg_query::NodeEnum;
use pg_query::protobuf::{AExpr, AExprKind, BoolExprType, Node};

use super::value::{Nearness, Sources, Value};
use super::{Effect, MATCHES_MAX, Tracer, place};
use crate::walk::names;

impl Tracer<'_> {
    /// A condition of `WHERE`, `ON`, `HAVING` and the like. `may_match` says that rows only come or stay away by it.
    pub(super) fn condition(&mut self, node: Option<&Node>, what: &'static str, may_match: bool) {
        let Some(node) = node.and_then(|n| n.node.as_ref()) else { return };
        match node {
            NodeEnum::BoolExpr(e) if e.boolop == BoolExprType::AndExpr as i32 => {
                for arg in &e.args {
                    self.condition(Some(arg), what, may_match);
                }
            }
            NodeEnum::AExpr(e) => {
                if may_match && self.matches(e, what) {
                    return;
                }
                let before = self.noted.len();
                let value = self.value(node);
                self.explain_as(before, what, &value, e.location);
            }
            other => {
                let before = self.noted.len();
                let value = self.value(other);
                self.explain_as(before, what, &value, -1);
            }
        }
    }

    /// Notes the whole of a condition once, in place of its parts that say no more.
    fn explain_as(&mut self, before: usize, what: &'static str, value: &Value, location: i32) {
        let tail = self.noted.split_off(before.min(self.noted.len()));
        let parts = tail.into_iter().filter(|n| {
            n.effect != Effect::Chosen
                || n.sources.anything && !value.sources.anything
                || !n.sources.columns().is_subset(value.sources.columns())
        });
        let parts: Vec<_> = parts.collect();
        self.noted.extend(parts);
        self.chosen(what, &value.sources, place(location));
    }

    /// `column = constant` and `column IN (constants)`: true when it was one and has been counted.
    fn matches(&mut self, e: &AExpr, what: &'static str) -> bool {
        let AExpr { kind, name, lexpr, rexpr, location, .. } = e;
        if names(name).as_deref() != Some(&["="]) || self.made_operator(&["="]) {
            return false;
        }
        let (Some(left), Some(right)) = (lexpr.as_deref(), rexpr.as_deref()) else { return false };
        let (column, constants) = match AExprKind::try_from(*kind) {
            Ok(AExprKind::AexprOp) if is_constant(right) => (left, 1),
            Ok(AExprKind::AexprOp) if is_constant(left) => (right, 1),
            Ok(AExprKind::AexprIn) => match right.node.as_ref() {
                Some(NodeEnum::List(list)) if list.items.iter().all(is_constant) => (left, list.items.len()),
                _ => return false,
            },
            _ => return false,
        };
        // Letter case apart, it is still the same question.
        let is_column = match column.node.as_ref() {
            Some(NodeEnum::ColumnRef(_)) => true,
            Some(NodeEnum::FuncCall(call)) => {
                matches!(names(&call.funcname).as_deref(), Some(["lower" | "upper"]))
                    && matches!(call.args.as_slice(), [Node { node: Some(NodeEnum::ColumnRef(_)) }])
                    && call.agg_filter.is_none()
                    && call.over.is_none()
            }
            _ => false,
        };
        if !is_column {
            return false;
        }
        self.seen.operators += 1;
        let before = self.noted.len();
        let value = self.node(column);
        let other = if std::ptr::eq(column, left) { right } else { left };
        self.node(other);
        if !value.sources.is_tagged() {
            return true;
        }
        // The function must be the built-in one, and the column one that is stored.
        let plain = self.noted.len() == before && !value.sources.anything && value.sources.columns().len() == 1;
        let near = matches!(column.node.as_ref(), Some(NodeEnum::FuncCall(_))) || value.nearness == Nearness::Direct;
        self.matches = self.matches.saturating_add(constants);
        if plain && near && self.matches <= MATCHES_MAX {
            self.note(Effect::Matched, what, &value.sources, place(*location));
        } else {
            self.chosen(what, &value.sources, place(*location));
        }
        true
    }

    /// Both sides of what a join compares by name.
    pub(super) fn joined(&mut self, sources: &Sources) {
        self.chosen("the columns that a join compares", sources, None);
    }
}

/// A constant or a parameter, perhaps with a type.
pub(super) fn is_constant(node: &Node) -> bool {
    match node.node.as_ref() {
        Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_)) => true,
        Some(NodeEnum::TypeCast(cast)) => cast.arg.as_deref().is_some_and(is_constant),
        _ => false,
    }
}
