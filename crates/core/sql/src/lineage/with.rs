//! `WITH`: the rows behind its names, those that refer to themselves included.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, SelectStmt, SetOperation, WithClause};

use super::Tracer;
use super::scope::{Cte, Scope};
use super::value::{Row, Value};
use crate::walk::strings;

/// Rounds in which a query that refers to itself may still gain sources column by column; then each column has those of all.
const ROUNDS_MAX: usize = 4;

impl Tracer<'_> {
    pub(super) fn with(&mut self, with: &WithClause) {
        let WithClause { ctes, recursive, location: _ } = with;
        let mut list: Vec<&CommonTableExpr> = Vec::new();
        for node in ctes {
            match node.node.as_ref() {
                Some(NodeEnum::CommonTableExpr(cte)) => list.push(cte),
                _ => {
                    self.lose("WITH that holds something else");
                    return;
                }
            }
        }
        if *recursive {
            // Each may name those that come later: until they are known, they may hold anything.
            for cte in &list {
                self.scope().ctes.push(Cte { name: cte.ctename.as_str().into(), row: Row::anything() });
            }
        }
        for cte in list {
            let row = self.common(cte, *recursive);
            let ctes = &mut self.scope().ctes;
            match ctes.iter_mut().find(|c| *recursive && *c.name == *cte.ctename) {
                Some(slot) => slot.row = row,
                None => ctes.push(Cte { name: cte.ctename.as_str().into(), row }),
            }
        }
    }

    fn common(&mut self, cte: &CommonTableExpr, recursive: bool) -> Row {
        let renamed = strings(&cte.aliascolnames);
        let query = cte.ctequery.as_deref().and_then(|q| q.node.as_ref());
        let row = match query {
            Some(NodeEnum::SelectStmt(s)) if recursive && is_recursive_form(s) => {
                self.recursive(&cte.ctename, s, &renamed)
            }
            Some(query) => self.query(query),
            None => Row::default(),
        };
        let mut row = row.renamed(&renamed);
        let all = row.sources();
        if let Some(search) = &cte.search_clause {
            row.columns.push((search.search_seq_column.as_str().into(), Value::computed(all.clone())));
        }
        if let Some(cycle) = &cte.cycle_clause {
            self.maybe(cycle.cycle_mark_value.as_deref());
            self.maybe(cycle.cycle_mark_default.as_deref());
            let mut by = super::value::Sources::default();
            for name in strings(&cycle.cycle_col_list) {
                by.add(&row.named(&name).map_or_else(|| all.clone(), |v| v.sources));
            }
            self.chosen("CYCLE", &by, super::place(cycle.location));
            for name in [&cycle.cycle_mark_column, &cycle.cycle_path_column] {
                row.columns.push((name.as_str().into(), Value::computed(all.clone())));
            }
        }
        row
    }

    /// A query that begins with one part and goes on with another that may name its own result.
    fn recursive(&mut self, name: &str, select: &SelectStmt, renamed: &[Arc<str>]) -> Row {
        self.scopes.push(Scope::default());
        self.seen.queries += 1;
        if let Some(with) = &select.with_clause {
            self.with(with);
        }
        let (Some(left), Some(right)) = (&select.larg, &select.rarg) else {
            self.scopes.pop();
            return Row::anything();
        };
        let mut row = self.select(left);
        // Walked without leaving a trace until it gains nothing more, and then once for good.
        for round in 0..=ROUNDS_MAX + 1 {
            let (noted, seen, matches, scopes) = (self.noted.len(), self.seen, self.matches, self.scopes.len());
            self.bind(name, row.clone().renamed(renamed));
            let mut grown = row.clone();
            let other = self.select(right);
            grown.or(&other);
            self.noted.truncate(noted);
            (self.seen, self.matches) = (seen, matches);
            debug_assert_eq!(scopes, self.scopes.len());
            if grown == row || self.steps > super::STEPS_MAX {
                break;
            }
            row = grown;
            if round >= ROUNDS_MAX {
                let all = row.sources();
                for column in &mut row.columns {
                    column.1 = Value::computed(all.clone());
                }
            }
        }
        self.bind(name, row.clone().renamed(renamed));
        self.select(right);
        if !select.all {
            self.chosen("a set operation that drops equal rows", &row.sources(), None);
        }
        let named = row.clone().renamed(renamed);
        for node in &select.sort_clause {
            let value = self.sort_key(node);
            self.chosen("ORDER BY", &value.sources, None);
        }
        if !select.sort_clause.is_empty() {
            self.chosen("ORDER BY", &named.sources(), None);
        }
        for limit in [&select.limit_offset, &select.limit_count] {
            let value = self.maybe(limit.as_deref());
            self.chosen("LIMIT or OFFSET", &value.sources, None);
        }
        self.scopes.pop();
        row
    }

    /// Makes the name of a query mean this row while its own parts are looked at.
    fn bind(&mut self, name: &str, row: Row) {
        let ctes = &mut self.scope().ctes;
        match ctes.iter_mut().find(|c| *c.name == *name) {
            Some(slot) => slot.row = row,
            None => ctes.push(Cte { name: name.into(), row }),
        }
    }
}

/// True for what may refer to itself: a union of two queries.
fn is_recursive_form(select: &SelectStmt) -> bool {
    select.op == SetOperation::SetopUnion as i32 && select.larg.is_some() && select.rarg.is_some()
}
