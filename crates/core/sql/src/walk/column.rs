//! Column references: to the columns of base relations they name, as well as can be told.
//!
//! Where it cannot be told, every column in sight counts: it must never leave one out.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node};

use super::Walk;
use super::scope::{Answer, Entry, Source};
use crate::catalog::{push_part, qualify};
use crate::vocabulary as v;

impl<'a> Walk<'a> {
    pub(super) fn column_ref(&mut self, reference: &ColumnRef) {
        self.seen.columns += 1;
        let mut parts: Vec<&str> = Vec::with_capacity(reference.fields.len());
        let mut star = false;
        for field in &reference.fields {
            match field.node.as_ref() {
                Some(NodeEnum::String(s)) => parts.push(&s.sval),
                Some(NodeEnum::AStar(_)) => star = true,
                _ => {
                    self.refuse("a column reference is not made of names");
                    return;
                }
            }
        }
        match (parts.as_slice(), star) {
            ([], _) => self.star_here(),
            ([column], false) => self.bare_column(column),
            ([.., table], true) => {
                self.whole_row(parts.len().checked_sub(2).and_then(|i| parts.get(i)).copied(), table)
            }
            ([.., table, column], false) => {
                self.table_column(parts.len().checked_sub(3).and_then(|i| parts.get(i)).copied(), table, column);
            }
        }
    }

    /// Notes one column of a base relation.
    fn note(&mut self, entry: &Entry<'a>, column: &str) {
        if let Some(relation) = entry.relations.first() {
            let mut name = relation.to_string();
            name.push('.');
            push_part(&mut name, if column == "*" { "*" } else { column });
            self.uses.part(entry.access).add(v::COLUMNS, &name.into());
        }
    }

    fn note_all(&mut self, entry: &Entry<'a>) {
        match &entry.source {
            Source::Relation(relation) => {
                for column in &relation.columns {
                    self.note(entry, &column.name);
                }
            }
            // Its columns are not known: the star stands for all of them.
            Source::Bare => self.note(entry, "*"),
            Source::Derived(_) => {}
            Source::Join(names) => {
                for name in names.clone() {
                    if let Some(inner) = self.entry(None, &name) {
                        self.note_all(&inner);
                    }
                }
            }
        }
    }

    fn entry(&self, schema: Option<&str>, name: &str) -> Option<Entry<'a>> {
        let matches =
            |e: &&Entry<'a>| &*e.name == name && schema.is_none_or(|s| *e.schema == *s || e.schema.is_empty());
        self.scopes.iter().rev().find_map(|s| s.entries.iter().rev().find(matches)).cloned()
    }

    fn star_here(&mut self) {
        let entries: Vec<Entry<'a>> = self.scopes.last().map(|s| s.entries.clone()).unwrap_or_default();
        for entry in entries.iter().filter(|e| !e.only_named) {
            self.note_all(entry);
        }
    }

    fn whole_row(&mut self, schema: Option<&str>, table: &str) {
        match self.entry(schema, table) {
            Some(entry) => self.note_all(&entry),
            None => self.everything_in_sight(),
        }
    }

    fn table_column(&mut self, schema: Option<&str>, table: &str, column: &str) {
        let Some(entry) = self.entry(schema, table) else {
            self.everything_in_sight();
            return;
        };
        if let Source::Join(inside) = &entry.source
            && entry.renamed.is_empty()
        {
            let inside: Vec<Entry<'a>> = inside.iter().filter_map(|name| self.entry(None, name)).collect();
            let answers: Vec<Answer> = inside.iter().map(|e| e.answer(column)).collect();
            if answers.iter().any(|a| matches!(a, Answer::Column(_) | Answer::Derived)) {
                for (entry, answer) in inside.iter().zip(answers) {
                    if let Answer::Column(real) = answer {
                        self.note(entry, &real);
                    }
                }
                return;
            }
        }
        match entry.answer(column) {
            Answer::Column(real) => self.note(&entry, &real),
            Answer::Derived => {}
            Answer::Perhaps => {
                match &entry.source {
                    Source::Bare => self.note(&entry, column),
                    _ => self.note_all(&entry),
                }
                self.function(None, column, Some(1), false);
            }
            Answer::No => {
                // t.f is f(t) when t has no column f.
                self.note_all(&entry);
                self.function(None, column, Some(1), false);
            }
        }
    }

    fn bare_column(&mut self, column: &str) {
        for depth in (0..self.scopes.len()).rev() {
            let Some(scope) = self.scopes.get(depth) else { continue };
            let mut notes: Vec<(Entry<'a>, Arc<str>)> = Vec::new();
            let mut perhaps: Vec<Entry<'a>> = Vec::new();
            let mut derived = false;
            for entry in scope.entries.iter().filter(|e| !e.only_named) {
                match entry.answer(column) {
                    Answer::Column(real) => notes.push((entry.clone(), real)),
                    Answer::Derived => derived = true,
                    Answer::Perhaps => perhaps.push(entry.clone()),
                    Answer::No => {}
                }
            }
            let is_output = scope.outputs.iter().any(|o| **o == *column);
            let found = derived || !notes.is_empty();
            for (entry, real) in notes {
                self.note(&entry, &real);
            }
            if found || is_output {
                return;
            }
            // Nothing certain here: the unknown entries may have it, and so may the levels above.
            for entry in perhaps {
                if matches!(entry.source, Source::Bare) {
                    self.note(&entry, column);
                }
            }
            if let Some(entry) =
                self.scopes.get(depth).and_then(|s| s.entries.iter().find(|e| *e.name == *column)).cloned()
            {
                self.note_all(&entry);
                return;
            }
        }
        if !self.some_unknown_entry() {
            self.everything_in_sight();
        }
    }

    fn some_unknown_entry(&self) -> bool {
        self.scopes.iter().flat_map(|s| &s.entries).any(|e| matches!(e.source, Source::Bare | Source::Derived(None)))
    }

    fn everything_in_sight(&mut self) {
        let entries: Vec<Entry<'a>> = self.scopes.iter().flat_map(|s| s.entries.clone()).collect();
        for entry in &entries {
            self.note_all(entry);
        }
    }

    /// The columns that a write names as its targets.
    pub(super) fn written(&mut self, entry: &Entry<'a>, column: &str) {
        match entry.answer(column) {
            Answer::Column(real) => self.note(entry, &real),
            _ => self.note(entry, column),
        }
    }

    /// Every column of a relation that is written.
    pub(super) fn written_all(&mut self, entry: &Entry<'a>) {
        self.note_all(entry);
    }

    /// Column names of a list of `String` nodes, noted for an entry: `COPY t (a, b)`.
    pub(super) fn listed(&mut self, entry: &Entry<'a>, nodes: &[Node]) {
        for node in nodes {
            match node.node.as_ref() {
                Some(NodeEnum::String(s)) => self.written(entry, &s.sval),
                _ => self.refuse("a column list is not made of names"),
            }
        }
    }

    /// Notes a relation by name under one more access: `FOR UPDATE`.
    pub(super) fn also(&mut self, access: Access, relations: &[Arc<str>]) {
        for relation in relations {
            let part = self.uses.part(access);
            part.add(v::RELATIONS, relation);
            part.add(v::RELATIONS_ALL, relation);
            part.beyond_catalog();
            part.touches(relation.starts_with("pg_temp."));
        }
    }

    /// `schema.name` of a name that a statement makes.
    pub(super) fn name_of_new(&self, schema: &str, name: &str, temporary: bool) -> (Arc<str>, Arc<str>) {
        let schema: Arc<str> = if temporary || crate::settings::is_temporary(schema) {
            crate::catalog::TEMPORARY_SCHEMA.into()
        } else if schema.is_empty() {
            // The first schema of the path that is not an implicit one.
            let mut path = self.settings.search_path().iter();
            path.find(|s| ***s != *"pg_catalog" && ***s != *crate::catalog::TEMPORARY_SCHEMA)
                .cloned()
                .unwrap_or_else(|| "public".into())
        } else {
            schema.into()
        };
        let qualified = qualify(&schema, name).into();
        (schema, qualified)
    }
}
