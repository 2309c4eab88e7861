//! Which names are visible where, and what stands behind them.
//!
//! Where that cannot be told, everything that may stand behind a name counts.

use std::sync::Arc;

use super::Tracer;
use super::value::{Row, Sources, Value};

/// One query level.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// What may be named: `t` in `t.x`.
    pub(super) entries: Vec<Entry>,
    /// What `FROM` gives, item by item: bare names and `*` are looked for here.
    pub(super) rows: Vec<Row>,
    pub(super) ctes: Vec<Cte>,
    /// What the windows of the `WINDOW` clause depend on.
    pub(super) windows: Vec<(Arc<str>, Sources)>,
}

/// A name in `FROM`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: Arc<str>,
    /// Empty when an alias hides it.
    pub(super) schema: Arc<str>,
    pub(super) row: Row,
}

/// A name of a `WITH` list.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: Arc<str>,
    pub(super) row: Row,
}

/// The columns that every table has.
fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

impl Tracer<'_> {
    /// The level that is looked at.
    pub(super) fn scope(&mut self) -> &mut Scope {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::default());
        }
        let last = self.scopes.len() - 1;
        // Just made sure that there is one.
        #[allow(clippy::indexing_slicing)]
        &mut self.scopes[last]
    }

    /// The row of a `WITH` list's name.
    pub(super) fn cte(&self, name: &str) -> Option<Row> {
        self.scopes.iter().rev().find_map(|s| s.ctes.iter().rev().find(|c| *c.name == *name)).map(|c| c.row.clone())
    }

    /// The rows behind a name in `FROM`.
    pub(super) fn entry(&self, schema: Option<&str>, name: &str) -> Option<&Row> {
        let is_it = |e: &&Entry| *e.name == *name && schema.is_none_or(|s| e.schema.is_empty() || *e.schema == *s);
        self.scopes.iter().rev().find_map(|s| s.entries.iter().rev().find(is_it)).map(|e| &e.row)
    }

    /// What a bare name means among the columns of one level; `true` when it may also mean something further out.
    pub(super) fn column_at(&self, level: usize, name: &str) -> (Option<Value>, bool) {
        let Some(scope) = self.scopes.get(level) else { return (None, true) };
        let mut found: Option<Value> = None;
        let mut perhaps: Option<Value> = None;
        for row in &scope.rows {
            if let Some(value) = row.named(name) {
                match &mut found {
                    Some(all) => all.or(&value),
                    None => found = Some(value),
                }
            } else if let Some(others) = &row.others {
                let value = Value::computed(others.clone());
                match &mut perhaps {
                    Some(all) => all.or(&value),
                    None => perhaps = Some(value),
                }
            }
        }
        match (found, perhaps) {
            (Some(mut found), perhaps) => {
                if let Some(perhaps) = perhaps {
                    found.or(&perhaps);
                }
                (Some(found), false)
            }
            (None, perhaps) => (perhaps, true),
        }
    }

    /// A bare name: a column of the nearest level that has it, or else the whole row of that name.
    pub(super) fn bare(&mut self, name: &str) -> Value {
        let mut perhaps: Option<Value> = None;
        for level in (0..self.scopes.len()).rev() {
            let (value, further) = self.column_at(level, name);
            if let Some(value) = value {
                match &mut perhaps {
                    Some(all) => all.or(&value),
                    None => perhaps = Some(value),
                }
            }
            if !further {
                return perhaps.unwrap_or_default();
            }
        }
        if let Some(row) = self.entry(None, name) {
            let mut all = row.sources();
            if let Some(perhaps) = perhaps {
                all.add(&perhaps.sources);
            }
            return Value::computed(all);
        }
        if let Some(perhaps) = perhaps {
            return perhaps;
        }
        if is_system_column(name) && self.scopes.iter().any(|s| !s.rows.is_empty()) {
            return Value::default();
        }
        self.lose("a name that is not in sight")
    }

    /// `t.x`.
    pub(super) fn qualified(&mut self, schema: Option<&str>, table: &str, column: &str) -> Value {
        let Some(row) = self.entry(schema, table) else {
            // It may be a field of a composite column, or a mistake.
            if schema.is_none() {
                return self.field_of_column(table, column);
            }
            return self.lose("a name that is not in sight");
        };
        if let Some(value) = row.named(column) {
            return value;
        }
        if let Some(others) = &row.others {
            return Value::computed(others.clone());
        }
        if is_system_column(column) {
            return Value::default();
        }
        // t.f is f(t) when t has no column f, and any function may be meant.
        self.lose("a function written like a column")
    }

    fn field_of_column(&mut self, column: &str, _field: &str) -> Value {
        let in_sight = (0..self.scopes.len()).rev().any(|level| self.column_at(level, column).0.is_some());
        if !in_sight {
            return self.lose("a name that is not in sight");
        }
        // PostgreSQL takes only (c).f for it; until the server says so, all of it counts.
        Value::computed(self.bare(column).sources)
    }
}
