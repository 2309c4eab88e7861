//! `INSERT`, `UPDATE`, `DELETE`, `MERGE`: what is stored where its tags would no longer be known, and what comes back.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::Tag;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeleteStmt, InferClause, InsertStmt, MergeStmt, Node, OnConflictClause, RangeVar, ReturningClause, SelectStmt,
    UpdateStmt, WithClause,
};

use super::condition::is_constant;
use super::scope::{Entry, Scope};
use super::value::{Row, Sources, Value};
use super::{Effect, Tracer, place};

impl Tracer<'_> {
    /// Opens the scope of a write; gives the row of its target.
    fn open(&mut self, relation: Option<&RangeVar>, with: Option<&WithClause>) -> Row {
        self.seen.queries += 1;
        self.scopes.push(Scope::default());
        if let Some(with) = with {
            self.with(with);
        }
        match relation {
            Some(range) => self.relation(range),
            None => {
                self.lose("a write without a target");
                Row::anything()
            }
        }
    }

    fn enter_target(&mut self, relation: Option<&RangeVar>, row: &Row) {
        if let Some(range) = relation {
            let schema = if range.alias.is_some() { "" } else { &*range.schemaname };
            self.enter(&range.relname, schema, range.alias.as_ref(), row.clone());
        }
    }

    fn close(&mut self, target: &Row, returning: Option<&ReturningClause>) -> Row {
        let row = match returning {
            Some(ReturningClause { options, exprs }) => {
                let mut names: Vec<Arc<str>> = vec!["old".into(), "new".into()];
                for option in options {
                    if let Some(NodeEnum::ReturningOption(option)) = option.node.as_ref() {
                        names.push(option.value.as_str().into());
                    }
                }
                for name in names {
                    // Behind what FROM may have put there under the same name.
                    let entry = Entry { name, schema: "".into(), row: target.clone() };
                    self.scope().entries.insert(0, entry);
                }
                self.targets(exprs)
            }
            None => Row::default(),
        };
        self.scopes.pop();
        row
    }

    pub(super) fn insert(&mut self, statement: &InsertStmt) -> Row {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = statement;
        let target = self.open(relation.as_ref(), with_clause.as_ref());
        let given = match select_stmt.as_deref().and_then(|s| s.node.as_ref()) {
            // The target is not visible to it.
            Some(query) => self.query(query),
            None => Row::default(),
        };
        if cols.is_empty() {
            for (i, (name, _)) in target.columns.iter().enumerate().take(given.columns.len().max(1)) {
                self.stored(&target, name, &Self::of_row(&given, i), None);
            }
            if given.others.is_some() || target.others.is_some() {
                self.note(Effect::Copied, "INSERT", &given.sources(), None);
            }
        }
        self.enter_target(relation.as_ref(), &target);
        for (i, node) in cols.iter().enumerate() {
            let Some(NodeEnum::ResTarget(column)) = node.node.as_ref() else {
                self.lose("a column list that holds something else");
                continue;
            };
            self.values(&column.indirection);
            self.stored(&target, &column.name, &Self::of_row(&given, i), place(column.location));
        }
        if let Some(conflict) = on_conflict_clause {
            let plain = match select_stmt.as_deref().and_then(|s| s.node.as_ref()) {
                Some(NodeEnum::SelectStmt(s)) => is_plain_values(s),
                _ => false,
            };
            self.conflict(conflict, &target, plain);
        }
        self.close(&target, returning_clause.as_ref())
    }

    /// `ON CONFLICT` tells whether there is a row with the same key.
    fn conflict(&mut self, conflict: &OnConflictClause, target: &Row, plain: bool) {
        let OnConflictClause { action: _, infer, target_list, where_clause, location } = conflict;
        let mut key = Sources::default();
        match infer.as_deref() {
            Some(InferClause { index_elems, where_clause, conname, location: _ }) => {
                for element in index_elems {
                    if let Some(NodeEnum::IndexElem(e)) = element.node.as_ref() {
                        if !e.name.is_empty() {
                            let value = target.named(&e.name);
                            key.add(&value.unwrap_or_else(|| Value::computed(target.sources())).sources);
                        }
                        key.add(&self.maybe(e.expr.as_deref()).sources);
                        for option in &e.opclassopts {
                            self.option(option);
                        }
                    }
                }
                if !conname.is_empty() {
                    key.add(&target.sources());
                }
                self.condition(where_clause.as_deref(), "ON CONFLICT", false);
            }
            // Any unique column may be the one.
            None => key = target.sources(),
        }
        self.matches = self.matches.saturating_add(usize::from(key.is_tagged()));
        let effect = if plain && self.matches <= super::MATCHES_MAX { Effect::Matched } else { Effect::Chosen };
        self.note(effect, "ON CONFLICT", &key, place(*location));
        self.scope().entries.push(Entry { name: "excluded".into(), schema: "".into(), row: target.clone() });
        self.assignments(target, target_list);
        self.condition(where_clause.as_deref(), "ON CONFLICT", true);
    }

    pub(super) fn update(&mut self, statement: &UpdateStmt) -> Row {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_clause, with_clause } = statement;
        let target = self.open(relation.as_ref(), with_clause.as_ref());
        self.enter_target(relation.as_ref(), &target);
        for item in from_clause {
            self.item_of_from(item);
        }
        self.assignments(&target, target_list);
        self.condition(where_clause.as_deref(), "WHERE", true);
        self.close(&target, returning_clause.as_ref())
    }

    pub(super) fn delete(&mut self, statement: &DeleteStmt) -> Row {
        let DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } = statement;
        let target = self.open(relation.as_ref(), with_clause.as_ref());
        self.enter_target(relation.as_ref(), &target);
        for item in using_clause {
            self.item_of_from(item);
        }
        self.condition(where_clause.as_deref(), "WHERE", true);
        self.close(&target, returning_clause.as_ref())
    }

    pub(super) fn merge(&mut self, statement: &MergeStmt) -> Row {
        let MergeStmt { relation, source_relation, join_condition, merge_when_clauses, returning_clause, with_clause } =
            statement;
        let target = self.open(relation.as_ref(), with_clause.as_ref());
        // Its RETURNING gives the source's columns first.
        if let Some(source) = source_relation.as_deref() {
            self.item_of_from(source);
        }
        self.enter_target(relation.as_ref(), &target);
        self.condition(join_condition.as_deref(), "ON", false);
        for clause in merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = clause.node.as_ref() else {
                self.lose("MERGE that holds something else");
                continue;
            };
            self.condition(clause.condition.as_deref(), "WHEN", false);
            if clause.values.is_empty() {
                self.assignments(&target, &clause.target_list);
                continue;
            }
            for (i, node) in clause.values.iter().enumerate() {
                let value = self.node(node);
                let name = match clause.target_list.get(i).and_then(|t| t.node.as_ref()) {
                    Some(NodeEnum::ResTarget(column)) => {
                        self.values(&column.indirection);
                        Some(Arc::from(column.name.as_str()))
                    }
                    _ => target.columns.get(i).map(|(n, _)| Arc::clone(n)),
                };
                self.stored(&target, &name.unwrap_or_else(|| "".into()), &value, None);
            }
        }
        self.close(&target, returning_clause.as_ref())
    }

    fn assignments(&mut self, target: &Row, targets: &[Node]) {
        for node in targets {
            let Some(NodeEnum::ResTarget(column)) = node.node.as_ref() else {
                self.lose("an assignment that is none");
                continue;
            };
            self.values(&column.indirection);
            let value = self.maybe(column.val.as_deref());
            self.stored(target, &column.name, &value, place(column.location));
        }
    }

    /// A value goes into a column: copied, unless the column carries its tags.
    fn stored(&mut self, target: &Row, column: &str, value: &Value, place: Option<usize>) {
        if !value.sources.is_tagged() {
            return;
        }
        let carried: BTreeSet<Tag> = target
            .named(column)
            .map(|v| v.sources.columns().iter().filter(|s| !s.of_view).flat_map(|s| s.tags.to_vec()).collect())
            .unwrap_or_default();
        let lost = value.sources.only(|s| s.tags.iter().any(|t| !carried.contains(t)));
        self.note(Effect::Copied, "a column that does not carry the tag", &lost, place);
    }
}

/// True for `VALUES` of constants.
fn is_plain_values(select: &SelectStmt) -> bool {
    select.values_lists.iter().all(|list| match list.node.as_ref() {
        Some(NodeEnum::List(list)) => {
            list.items.iter().all(|i| is_constant(i) || matches!(i.node, Some(NodeEnum::SetToDefault(_))))
        }
        _ => false,
    }) && select.values_lists.len() == 1
}
