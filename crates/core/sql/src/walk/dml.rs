//! `INSERT`, `UPDATE`, `DELETE`, `MERGE`.

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    BoolExprType, DeleteStmt, InferClause, InsertStmt, MergeStmt, MergeWhenClause, Node, OnConflictClause, RangeVar,
    ResTarget, ReturningClause, UpdateStmt, WithClause,
};

use super::Walk;
use super::scope::{Columns, Entry, Scope};
use crate::census::Census;

impl<'a> Walk<'a> {
    /// Opens the scope of a data-modifying statement with its target in it.
    fn open(&mut self, relation: Option<&RangeVar>, with: Option<&WithClause>) -> Option<Entry<'a>> {
        self.seen.queries += 1;
        self.writes += 1;
        self.scopes.push(Scope::default());
        if let Some(with) = with {
            self.with(with);
        }
        let Some(range) = relation else {
            self.refuse("a write has no target");
            return None;
        };
        self.seen.relations += 1;
        let entry = self.target(range, Access::Write);
        Some(entry)
    }

    fn close(&mut self, entry: Option<Entry<'a>>, returning: Option<&ReturningClause>) -> Columns {
        let columns = match (entry, returning) {
            (Some(entry), Some(returning)) => self.returning(entry, returning),
            _ => Some(Vec::new()),
        };
        self.scopes.pop();
        columns
    }

    fn returning(&mut self, entry: Entry<'a>, clause: &ReturningClause) -> Columns {
        let ReturningClause { options, exprs } = clause;
        // What comes back is read.
        self.read();
        self.also(Access::Read, &entry.relations);
        let mut names = vec!["old".to_owned(), "new".to_owned()];
        for option in options {
            match option.node.as_ref() {
                Some(NodeEnum::ReturningOption(option)) => names.push(option.value.clone()),
                _ => self.refuse("RETURNING WITH holds something else"),
            }
        }
        for e in &mut self.scope().entries {
            if e.name == entry.name {
                e.access = Access::Read;
            }
        }
        for name in names {
            let alias =
                Entry { name: name.into(), schema: "".into(), access: Access::Read, only_named: true, ..entry.clone() };
            self.scope().entries.push(alias);
        }
        self.nodes(exprs);
        self.output_columns(exprs)
    }

    pub(super) fn insert(&mut self, statement: &InsertStmt) -> Columns {
        let InsertStmt {
            relation,
            cols,
            select_stmt,
            on_conflict_clause,
            returning_clause,
            with_clause,
            r#override: _,
        } = statement;
        let entry = self.open(relation.as_ref(), with_clause.as_ref());
        let had_reads = self.uses.find(Access::Read).is_some();
        if let Some(query) = select_stmt.as_deref().and_then(|s| s.node.as_ref()) {
            // The target is not visible to the query.
            self.query(query);
        }
        if !had_reads && is_plain_values(select_stmt.as_deref()) {
            self.drop_empty_read();
        }
        if let Some(entry) = &entry {
            self.targets(entry, cols);
            if cols.is_empty() && select_stmt.is_some() {
                self.written_all(entry);
            }
            self.enter(entry.clone());
        }
        if let (Some(conflict), Some(entry)) = (on_conflict_clause, &entry) {
            let OnConflictClause { action: _, infer, target_list, where_clause, location: _ } = &**conflict;
            if let Some(infer) = infer {
                let InferClause { index_elems, where_clause, conname: _, location: _ } = &**infer;
                self.nodes(index_elems);
                self.maybe(where_clause.as_deref());
            }
            let excluded = Entry { name: "excluded".into(), schema: "".into(), only_named: true, ..entry.clone() };
            self.scope().entries.push(excluded);
            self.assignments(entry, target_list);
            self.maybe(where_clause.as_deref());
        }
        self.close(entry, returning_clause.as_ref())
    }

    pub(super) fn update(&mut self, statement: &UpdateStmt) -> Columns {
        let UpdateStmt { relation, target_list, where_clause, from_clause, returning_clause, with_clause } = statement;
        let entry = self.open(relation.as_ref(), with_clause.as_ref());
        if let Some(entry) = &entry {
            self.enter(entry.clone());
        }
        self.from(from_clause);
        if let Some(entry) = &entry {
            self.assignments(entry, target_list);
        }
        self.filter(where_clause.as_deref());
        self.close(entry, returning_clause.as_ref())
    }

    pub(super) fn delete(&mut self, statement: &DeleteStmt) -> Columns {
        let DeleteStmt { relation, using_clause, where_clause, returning_clause, with_clause } = statement;
        let entry = self.open(relation.as_ref(), with_clause.as_ref());
        if let Some(entry) = &entry {
            self.enter(entry.clone());
        }
        self.from(using_clause);
        self.filter(where_clause.as_deref());
        self.close(entry, returning_clause.as_ref())
    }

    pub(super) fn merge(&mut self, statement: &MergeStmt) -> Columns {
        let MergeStmt { relation, source_relation, join_condition, merge_when_clauses, returning_clause, with_clause } =
            statement;
        let entry = self.open(relation.as_ref(), with_clause.as_ref());
        if let Some(entry) = &entry {
            self.enter(entry.clone());
        }
        if let Some(source) = source_relation.as_deref() {
            self.from(std::slice::from_ref(source));
        }
        self.filter(join_condition.as_deref());
        for clause in merge_when_clauses {
            let Some(NodeEnum::MergeWhenClause(clause)) = clause.node.as_ref() else {
                self.refuse("MERGE holds something that is not WHEN");
                break;
            };
            let MergeWhenClause { match_kind: _, command_type: _, r#override: _, condition, target_list, values } =
                &**clause;
            self.maybe(condition.as_deref());
            if let Some(entry) = &entry {
                self.assignments(entry, target_list);
                if target_list.is_empty() && !values.is_empty() {
                    self.written_all(entry);
                }
            }
            self.nodes(values);
        }
        self.close(entry, returning_clause.as_ref())
    }

    /// Columns that an `INSERT` names; their indirections hold expressions.
    fn targets(&mut self, entry: &Entry<'a>, targets: &[Node]) {
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else {
                self.refuse("a column list holds something else");
                return;
            };
            let ResTarget { name, indirection, val, location: _ } = &**target;
            self.written(entry, name);
            self.nodes(indirection);
            self.maybe(val.as_deref());
        }
    }

    fn assignments(&mut self, entry: &Entry<'a>, targets: &[Node]) {
        self.targets(entry, targets);
    }

    /// The condition of a write; without one that depends on the row, every row is meant.
    fn filter(&mut self, condition: Option<&Node>) {
        if condition.and_then(|c| c.node.as_ref()).is_none_or(is_constant) {
            self.uses.part(Access::Write).unfiltered();
        }
        self.maybe(condition);
    }

    /// `VALUES` under an `INSERT` reads nothing by itself.
    fn drop_empty_read(&mut self) {
        self.uses.drop_if_empty(Access::Read);
    }
}

/// True when a condition does not depend on the row: no column in it, or a constant that decides it.
fn is_constant(node: &NodeEnum) -> bool {
    match node {
        NodeEnum::BoolExpr(e) => {
            let constant = |n: &Node| n.node.as_ref().is_none_or(is_constant);
            match BoolExprType::try_from(e.boolop) {
                Ok(BoolExprType::AndExpr | BoolExprType::NotExpr) => e.args.iter().all(constant),
                _ => e.args.iter().any(constant),
            }
        }
        NodeEnum::CurrentOfExpr(_) => false,
        NodeEnum::AExpr(e) if same(e.lexpr.as_deref(), e.rexpr.as_deref()) => true,
        other => Census::of(other).counts.columns == 0,
    }
}

/// True when both sides are the same column, as in `id = id`.
fn same(left: Option<&Node>, right: Option<&Node>) -> bool {
    match (left.and_then(|n| n.node.as_ref()), right.and_then(|n| n.node.as_ref())) {
        (Some(NodeEnum::ColumnRef(a)), Some(NodeEnum::ColumnRef(b))) => a.fields == b.fields,
        _ => false,
    }
}

fn is_plain_values(query: Option<&Node>) -> bool {
    match query.and_then(|q| q.node.as_ref()) {
        Some(NodeEnum::SelectStmt(s)) => !s.values_lists.is_empty(),
        None => true,
        _ => false,
    }
}
