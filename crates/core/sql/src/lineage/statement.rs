//! Statements as a whole: what they give back, and what goes where.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::{Disclosure, Tag};
use pg_query::NodeEnum;
use pg_query::protobuf::{CopyStmt, ExplainStmt, Node, ObjectType};

use super::scope::Scope;
use super::value::{Nearness, Row, Sources, Value};
use super::{Effect, OutputColumn, Outputs, Reason, Traced, Tracer};
use crate::census::Census;
use crate::walk::{names, strings};

/// What a statement gives back, before it is put into words.
enum Gives {
    Nothing,
    Rows(Row),
    /// What only a name stands for.
    Reference,
    /// One column of text about the database.
    Plain(&'static [&'static str]),
}

impl Tracer<'_> {
    pub(super) fn statement(&mut self, node: &NodeEnum, census: &Census) -> Traced {
        let (gives, inner, counted) = self.kind(node, census);
        let all = self.all_tags();
        if let Some(what) = self.lost {
            return Traced::anything(all, what);
        }
        // Definitions are not walked; of all else every part must have been met.
        if counted && self.seen != census.counts {
            return Traced::anything(all, "a part that was not understood");
        }
        let mut disclosure = self.disclosure(&all);
        let inner_outputs = inner.as_ref().map_or_else(Outputs::untagged, |row| self.outputs_of(row, &all));
        let mut inner_disclosure = Disclosure::default();
        if inner.is_some() {
            // It is disclosed when it runs; judging it when it is made, too, says no earlier than when it is too late.
            disclosure.shown = inner_outputs.tags();
            inner_disclosure = disclosure.clone();
        }
        let outputs = match gives {
            Gives::Nothing => Outputs::None,
            Gives::Rows(row) => {
                let outputs = self.outputs_of(&row, &all);
                disclosure.shown = outputs.tags();
                outputs
            }
            Gives::Reference => Outputs::Unknown { tags: Arc::clone(&all) },
            Gives::Plain(names) => Outputs::Columns(
                names
                    .iter()
                    .map(|n| OutputColumn {
                        name: Some((*n).into()),
                        sources: [].into(),
                        tags: [].into(),
                        direct: false,
                        type_oid: 0,
                    })
                    .collect(),
            ),
        };
        let reasons = self.reasons(&all);
        Traced {
            outputs,
            disclosure,
            reasons,
            constants_matter: self.constants_matter,
            inner: inner_outputs,
            inner_disclosure,
            reached: std::mem::take(&mut self.reached),
            walked: counted,
        }
    }

    /// What it gives back, what a prepared statement or cursor that it makes gives back, and whether every node was walked.
    fn kind(&mut self, node: &NodeEnum, census: &Census) -> (Gives, Option<Row>, bool) {
        match node {
            NodeEnum::SelectStmt(s) => {
                let row = self.query(node);
                let makes = s.into_clause.is_some() || first_into(s);
                (if makes { Gives::Nothing } else { Gives::Rows(row) }, None, true)
            }
            NodeEnum::InsertStmt(s) => self.write(node, s.returning_clause.is_some()),
            NodeEnum::UpdateStmt(s) => self.write(node, s.returning_clause.is_some()),
            NodeEnum::DeleteStmt(s) => self.write(node, s.returning_clause.is_some()),
            NodeEnum::MergeStmt(s) => self.write(node, s.returning_clause.is_some()),
            NodeEnum::PrepareStmt(s) => {
                self.values(&s.argtypes);
                let row = self.inner_query(s.query.as_deref());
                (Gives::Nothing, Some(row), true)
            }
            NodeEnum::DeclareCursorStmt(s) => {
                let row = self.inner_query(s.query.as_deref());
                (Gives::Nothing, Some(row), true)
            }
            NodeEnum::ExecuteStmt(s) => {
                let all = self.values(&s.params);
                self.note(Effect::Copied, "an argument of EXECUTE", &all, None);
                (Gives::Reference, None, true)
            }
            NodeEnum::FetchStmt(s) => (if s.ismove { Gives::Nothing } else { Gives::Reference }, None, true),
            NodeEnum::CopyStmt(s) => (self.copy(s), None, true),
            NodeEnum::ExplainStmt(s) => self.explain(s, census),
            NodeEnum::CreateTableAsStmt(s) => {
                let query = s.query.as_deref().and_then(|q| q.node.as_ref());
                let row = match query {
                    Some(NodeEnum::ExecuteStmt(e)) => {
                        self.values(&e.params);
                        Row::default()
                    }
                    Some(query) => self.query(query),
                    None => Row::anything(),
                };
                if let Some(into) = &s.into {
                    self.seen.relations += 1;
                    for option in &into.options {
                        self.option(option);
                    }
                }
                // A materialized view is a view: its columns carry the tags of what they are made from.
                if s.objtype != ObjectType::ObjectMatview as i32 {
                    self.note(Effect::Copied, "a table made from a query", &row.sources(), None);
                }
                (Gives::Nothing, None, true)
            }
            NodeEnum::CallStmt(_) | NodeEnum::DoStmt(_) => {
                self.lose("code that may do anything");
                (Gives::Nothing, None, false)
            }
            NodeEnum::VariableShowStmt(s) => {
                let all: &[&str] = if s.name == "all" { &["name", "setting", "description"] } else { &["setting"] };
                (Gives::Plain(all), None, true)
            }
            NodeEnum::TransactionStmt(_)
            | NodeEnum::VariableSetStmt(_)
            | NodeEnum::ConstraintsSetStmt(_)
            | NodeEnum::DeallocateStmt(_)
            | NodeEnum::ClosePortalStmt(_)
            | NodeEnum::DiscardStmt(_)
            | NodeEnum::ListenStmt(_)
            | NodeEnum::NotifyStmt(_)
            | NodeEnum::UnlistenStmt(_)
            | NodeEnum::TruncateStmt(_)
            | NodeEnum::LockStmt(_) => (Gives::Nothing, None, false),
            other => {
                self.define(other, census);
                (Gives::Nothing, None, false)
            }
        }
    }

    fn write(&mut self, node: &NodeEnum, returns: bool) -> (Gives, Option<Row>, bool) {
        let row = self.query(node);
        (if returns { Gives::Rows(row) } else { Gives::Nothing }, None, true)
    }

    fn inner_query(&mut self, query: Option<&Node>) -> Row {
        match query.and_then(|q| q.node.as_ref()) {
            Some(query) => self.query(query),
            None => {
                self.lose("a statement that is not there");
                Row::anything()
            }
        }
    }

    /// A plan tells of the data by its figures, which come from the planner's statistics of every column that is read or compared.
    fn explain(&mut self, explain: &ExplainStmt, census: &Census) -> (Gives, Option<Row>, bool) {
        let ExplainStmt { query, options } = explain;
        for option in options {
            self.option(option);
        }
        let Some(query) = query.as_deref().and_then(|q| q.node.as_ref()) else {
            self.lose("EXPLAIN of nothing");
            return (Gives::Nothing, None, false);
        };
        let (gives, inner, counted) = self.kind(query, census);
        for row in [if let Gives::Rows(row) = gives { Some(row) } else { None }, inner].into_iter().flatten() {
            self.chosen("EXPLAIN, which tells of the values by its figures", &row.sources(), None);
        }
        let noted: Vec<Sources> = self.noted.iter().map(|n| n.sources.clone()).collect();
        for sources in noted {
            self.chosen("EXPLAIN, which tells of the values by its figures", &sources, None);
        }
        (Gives::Plain(&["QUERY PLAN"]), None, counted)
    }

    fn copy(&mut self, copy: &CopyStmt) -> Gives {
        let CopyStmt { relation, query, attlist, is_from, is_program, filename, options, where_clause } = copy;
        for option in options {
            self.option(option);
        }
        self.scopes.push(Scope::default());
        let mut row = Row::default();
        if let Some(range) = relation {
            let all = self.relation(range);
            let generated: Vec<Arc<str>> = self
                .resolve(&range.schemaname, &range.relname)
                .map(|r| r.columns.iter().filter(|c| c.generated).map(|c| Arc::clone(&c.name)).collect())
                .unwrap_or_default();
            row = if attlist.is_empty() {
                // Generated columns are left out unless they are named.
                let columns = all.columns.iter().filter(|(n, _)| !generated.contains(n)).cloned().collect();
                Row { columns, others: all.others.clone() }
            } else {
                let column = |n: Arc<str>| {
                    let value = all.named(&n).unwrap_or_else(|| Value::computed(all.sources()));
                    (n, value)
                };
                Row { columns: strings(attlist).into_iter().map(column).collect(), others: None }
            };
            self.enter(&range.relname, "", range.alias.as_ref(), all);
        }
        if let Some(query) = query.as_deref().and_then(|q| q.node.as_ref()) {
            row = self.query(query);
        }
        // It looks at the rows that the client sends.
        let noted = self.noted.len();
        self.condition(where_clause.as_deref(), "WHERE", true);
        if *is_from {
            self.noted.truncate(noted);
        }
        self.scopes.pop();
        if *is_from {
            return Gives::Nothing;
        }
        if *is_program || !filename.is_empty() {
            self.note(Effect::Copied, "a file or program of the server", &row.sources(), None);
            return Gives::Nothing;
        }
        Gives::Rows(row)
    }

    /// `(name value)`: a word, a number, a list of columns.
    pub(super) fn option(&mut self, option: &Node) {
        let Some(NodeEnum::DefElem(option)) = option.node.as_ref() else {
            self.lose("an option that is none");
            return;
        };
        match option.arg.as_deref().and_then(|a| a.node.as_ref()) {
            // A list of columns, or all of them.
            Some(NodeEnum::AStar(_)) | None => {}
            Some(NodeEnum::List(list)) if names(&list.items).is_some() => {}
            Some(other) => {
                self.value(other);
            }
        }
    }

    fn disclosure(&self, all: &[Tag]) -> Disclosure {
        let of = |effect: Effect| -> Vec<Tag> {
            let noted = self.noted.iter().filter(|n| n.effect == effect);
            let tags: BTreeSet<Tag> = noted.flat_map(|n| n.sources.tags(all)).collect();
            tags.into_iter().collect()
        };
        let matched = of(Effect::Matched);
        let guesses = if matched.is_empty() { 0 } else { u32::try_from(self.matches.max(1)).unwrap_or(u32::MAX) };
        Disclosure { shown: Vec::new(), matched, chosen: of(Effect::Chosen), copied: of(Effect::Copied), guesses }
    }

    fn reasons(&self, all: &[Tag]) -> Vec<Reason> {
        let mut reasons: Vec<Reason> = Vec::with_capacity(self.noted.len());
        for noted in &self.noted {
            let reason = Reason {
                effect: noted.effect,
                what: noted.what,
                columns: source_names(&noted.sources),
                tags: noted.sources.tags(all).into_iter().collect(),
                place: noted.place.filter(|_| self.depth == 0),
            };
            if reasons.last() != Some(&reason) {
                reasons.push(reason);
            }
        }
        reasons
    }

    fn outputs_of(&self, row: &Row, all: &[Tag]) -> Outputs {
        if row.others.is_some() {
            let tags = row.sources().tags(all);
            return Outputs::Unknown { tags: tags.into_iter().collect() };
        }
        let column = |(name, value): &(Arc<str>, Value)| OutputColumn {
            name: (**name != *"?column?").then(|| Arc::clone(name)),
            sources: source_names(&value.sources).into(),
            tags: value.sources.tags(all).into_iter().collect(),
            direct: value.nearness == Nearness::Direct && value.type_oid != 0 && !value.sources.columns().is_empty(),
            type_oid: value.type_oid,
        };
        Outputs::Columns(row.columns.iter().map(column).collect())
    }
}

fn source_names(sources: &Sources) -> Vec<Arc<str>> {
    let mut names: Vec<Arc<str>> = sources.columns().iter().map(|c| Arc::clone(&c.name)).collect();
    if sources.anything {
        names.insert(0, "*".into());
    }
    names.dedup();
    names
}

/// `INTO` stands in the first part of a set operation.
fn first_into(select: &pg_query::protobuf::SelectStmt) -> bool {
    let mut at = select;
    while let Some(left) = &at.larg {
        if left.into_clause.is_some() {
            return true;
        }
        at = left;
    }
    false
}
