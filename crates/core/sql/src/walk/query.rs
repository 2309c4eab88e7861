//! `SELECT`, set operations, `VALUES` and `WITH`: what is visible where.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{CommonTableExpr, CteCycleClause, LockingClause, Node, SelectStmt, WithClause};

use super::figure::figured_name;
use super::scope::{Columns, Cte, Scope};
use super::{Walk, names};

/// Most columns that a row may have here. PostgreSQL takes 1,664 in a target list.
pub(crate) const COLUMNS_MAX: usize = 1_664;

impl<'a> Walk<'a> {
    /// A query or data-modifying statement in a scope of its own; returns its output columns and base relations.
    pub(super) fn query(&mut self, node: &NodeEnum) -> (Columns, Vec<Arc<str>>) {
        match node {
            NodeEnum::SelectStmt(s) => self.select(s),
            NodeEnum::InsertStmt(s) => (self.insert(s), Vec::new()),
            NodeEnum::UpdateStmt(s) => (self.update(s), Vec::new()),
            NodeEnum::DeleteStmt(s) => (self.delete(s), Vec::new()),
            NodeEnum::MergeStmt(s) => (self.merge(s), Vec::new()),
            other => {
                self.refuse(&format!("a {} stands where a query should", super::kind::node_name(other)));
                (None, Vec::new())
            }
        }
    }

    pub(super) fn scope(&mut self) -> &mut Scope<'a> {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        // Just made sure that there is one; the list is never emptied in between.
        let last = self.scopes.len() - 1;
        #[allow(clippy::indexing_slicing)]
        &mut self.scopes[last]
    }

    pub(super) fn select(&mut self, select: &SelectStmt) -> (Columns, Vec<Arc<str>>) {
        self.scopes.push(Scope::default());
        let found = self.select_in_scope(select);
        self.scopes.pop();
        found
    }

    fn select_in_scope(&mut self, select: &SelectStmt) -> (Columns, Vec<Arc<str>>) {
        self.seen.queries += 1;
        let SelectStmt {
            distinct_clause,
            into_clause,
            target_list,
            from_clause,
            where_clause,
            group_clause,
            group_distinct: _,
            having_clause,
            window_clause,
            values_lists,
            sort_clause,
            limit_offset,
            limit_count,
            limit_option: _,
            locking_clause,
            with_clause,
            op: _,
            all: _,
            larg,
            rarg,
        } = select;
        self.read();
        if let Some(with) = with_clause {
            self.with(with);
        }
        if let Some(into) = into_clause {
            self.select_into(into);
        }
        let mut relations = Vec::new();
        let mut columns: Columns = Some(Vec::new());
        if let Some(left) = larg {
            let (names, found) = self.select(left);
            columns = names;
            relations.extend(found);
        }
        if let Some(right) = rarg {
            relations.extend(self.select(right).1);
        }
        self.from(from_clause);
        for entry in &self.scope().entries {
            relations.extend(entry.relations.iter().cloned());
        }
        // A name of WITH that is used twice at each of many levels must not count twice.
        relations.sort();
        relations.dedup();
        let is_set_operation = larg.is_some();
        if !is_set_operation {
            self.nodes(target_list);
            columns = self.output_columns(target_list);
        }
        self.maybe(where_clause.as_deref());
        self.nodes(values_lists);
        if let Some(first) = values_lists.first().and_then(|n| n.node.as_ref())
            && let NodeEnum::List(row) = first
        {
            columns = Some((1..=row.items.len()).map(|i| format!("column{i}").into()).collect());
        }
        self.maybe(having_clause.as_deref());
        let outputs = if is_set_operation { columns.clone().unwrap_or_default() } else { explicit_names(target_list) };
        self.scope().outputs = outputs;
        for clause in [distinct_clause, group_clause, window_clause] {
            self.nodes(clause);
        }
        self.sort(sort_clause);
        self.scope().outputs = Vec::new();
        self.maybe(limit_offset.as_deref());
        self.maybe(limit_count.as_deref());
        for lock in locking_clause {
            match lock.node.as_ref() {
                Some(NodeEnum::LockingClause(clause)) => self.locking(clause, &relations),
                _ => self.refuse("a locking clause is something else"),
            }
        }
        (columns, relations)
    }

    /// `ORDER BY`: a bare name means the output column of that name before any other.
    fn sort(&mut self, clause: &[Node]) {
        for node in clause {
            if let Some(NodeEnum::SortBy(by)) = node.node.as_ref()
                && let Some(NodeEnum::ColumnRef(reference)) = by.node.as_deref().and_then(|n| n.node.as_ref())
                && let Some([name]) = names(&reference.fields).as_deref()
                && self.scope().outputs.iter().any(|o| **o == **name)
            {
                self.seen.columns += 1;
                if !by.use_op.is_empty() {
                    self.operator_nodes(&by.use_op);
                }
                continue;
            }
            self.node(node);
        }
    }

    fn locking(&mut self, clause: &LockingClause, relations: &[Arc<str>]) {
        let LockingClause { locked_rels, strength: _, wait_policy: _ } = clause;
        if locked_rels.is_empty() {
            self.also(Access::Write, relations);
            self.uses.part(Access::Write);
            return;
        }
        for node in locked_rels {
            let Some(NodeEnum::RangeVar(range)) = node.node.as_ref() else {
                self.refuse("FOR UPDATE OF names something that is not a relation");
                return;
            };
            self.seen.relations += 1;
            let entry = self.scope().entries.iter().find(|e| *e.name == *range.relname).map(|e| e.relations.clone());
            // A name that is not in FROM is an error; until the server says so, everything counts.
            self.also(Access::Write, entry.as_deref().unwrap_or(relations));
            self.uses.part(Access::Write);
        }
    }

    /// The names that a target list gives, `*` expanded; `None` when that cannot be told.
    pub(super) fn output_columns(&mut self, targets: &[Node]) -> Columns {
        let mut columns = Vec::new();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else { return None };
            let value = target.val.as_deref().and_then(|v| v.node.as_ref());
            if !target.name.is_empty() {
                columns.push(target.name.as_str().into());
                continue;
            }
            if let Some(NodeEnum::AIndirection(i)) = value
                && matches!(i.indirection.last().and_then(|n| n.node.as_ref()), Some(NodeEnum::AStar(_)))
            {
                return None;
            }
            if let Some(NodeEnum::ColumnRef(reference)) = value
                && matches!(reference.fields.last().and_then(|f| f.node.as_ref()), Some(NodeEnum::AStar(_)))
            {
                let table = match reference.fields.iter().rev().nth(1).and_then(|f| f.node.as_ref()) {
                    Some(NodeEnum::String(s)) => Some(s.sval.as_str()),
                    _ => None,
                };
                let entries = self.scope().entries.iter().filter(|e| match table {
                    Some(table) => *e.name == *table,
                    None => !e.only_named,
                });
                let mut expanded = Vec::new();
                for entry in entries {
                    expanded.extend(entry.star()?);
                    if columns.len() + expanded.len() > COLUMNS_MAX {
                        // PostgreSQL refuses it; without a limit a short text could ask for any number.
                        return None;
                    }
                }
                columns.extend(expanded);
                continue;
            }
            columns.push(figured_name(value).unwrap_or_else(|| "?column?".into()));
        }
        Some(columns)
    }

    pub(super) fn with(&mut self, with: &WithClause) {
        let WithClause { ctes, recursive, location: _ } = with;
        let mut list = Vec::new();
        for node in ctes {
            match node.node.as_ref() {
                Some(NodeEnum::CommonTableExpr(cte)) => list.push(&**cte),
                _ => {
                    self.refuse("WITH holds something that is not a query");
                    return;
                }
            }
        }
        if *recursive {
            // Each may name itself and the others before their columns are known.
            for cte in &list {
                let columns = (!cte.aliascolnames.is_empty()).then(|| strings(&cte.aliascolnames));
                self.scope().ctes.push(Cte { name: cte.ctename.as_str().into(), columns, relations: Vec::new() });
            }
        }
        for cte in list {
            let known = self.common(cte);
            let ctes = &mut self.scope().ctes;
            match ctes.iter_mut().find(|c| *recursive && c.name == known.name) {
                Some(slot) => *slot = known,
                None => ctes.push(known),
            }
        }
    }

    fn common(&mut self, cte: &CommonTableExpr) -> Cte {
        let CommonTableExpr {
            ctename,
            aliascolnames,
            ctematerialized: _,
            ctequery,
            search_clause,
            cycle_clause,
            location: _,
            cterecursive: _,
            cterefcount: _,
            ctecolnames: _,
            ctecoltypes: _,
            ctecoltypmods: _,
            ctecolcollations: _,
        } = cte;
        let (columns, relations) = match ctequery.as_deref().and_then(|q| q.node.as_ref()) {
            Some(query) => self.query(query),
            None => (None, Vec::new()),
        };
        let mut columns = columns.map(|mut columns| {
            for (column, name) in columns.iter_mut().zip(strings(aliascolnames)) {
                *column = name;
            }
            columns
        });
        if let (Some(search), Some(columns)) = (search_clause, columns.as_mut()) {
            columns.push(search.search_seq_column.as_str().into());
        }
        if let Some(cycle) = cycle_clause {
            let CteCycleClause { cycle_mark_column, cycle_mark_value, cycle_mark_default, cycle_path_column, .. } =
                &**cycle;
            self.maybe(cycle_mark_value.as_deref());
            self.maybe(cycle_mark_default.as_deref());
            if let Some(columns) = columns.as_mut() {
                columns.extend([cycle_mark_column.as_str().into(), cycle_path_column.as_str().into()]);
            }
        }
        Cte { name: ctename.as_str().into(), columns, relations }
    }

    /// Marks every relation read as copied out.
    pub(super) fn mark_copy(&mut self, access: Access) {
        self.uses.part(access).copy();
    }
}

pub(crate) fn strings(nodes: &[Node]) -> Vec<Arc<str>> {
    names(nodes).unwrap_or_default().into_iter().map(Into::into).collect()
}

fn explicit_names(targets: &[Node]) -> Vec<Arc<str>> {
    targets
        .iter()
        .filter_map(|t| match t.node.as_ref() {
            Some(NodeEnum::ResTarget(t)) if !t.name.is_empty() => Some(t.name.as_str().into()),
            _ => None,
        })
        .collect()
}
