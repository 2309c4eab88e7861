//! Column references, and the columns that `*` gives.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{ColumnRef, Node};

use super::Tracer;
use super::value::{Row, Value};
use crate::walk::{COLUMNS_MAX, figured_name};

impl Tracer<'_> {
    pub(super) fn column(&mut self, reference: &ColumnRef) -> Value {
        let Some((parts, star)) = parts(reference) else { return self.lose("a column that is not made of names") };
        self.seen.columns += 1;
        let value = match (parts.as_slice(), star) {
            (names, true) => Value::computed(self.star(names).sources()),
            ([column], false) => self.bare(column),
            ([table, column], false) => self.qualified(None, table, column),
            ([.., schema, table, column], false) => self.qualified(Some(schema), table, column),
            ([], false) => self.lose("a column without a name"),
        };
        self.step(value.sources.columns().len());
        value
    }

    /// The row that `*`, `t.*` or `s.t.*` stands for. The caller counts the reference.
    fn star(&mut self, names: &[&str]) -> Row {
        match names {
            [] => {
                let rows = self.scopes.last().map(|s| s.rows.clone()).unwrap_or_default();
                let mut all = Row::default();
                for row in rows {
                    all.columns.extend(row.columns);
                    if let Some(others) = row.others {
                        all.others.get_or_insert_default().add(&others);
                    }
                }
                all
            }
            [.., table] => {
                let schema = names.len().checked_sub(2).and_then(|i| names.get(i)).copied();
                match self.entry(schema, table) {
                    Some(row) => row.clone(),
                    None => {
                        // The fields of a composite column, as far as anybody can tell.
                        let value = self.bare(table);
                        Row { columns: Vec::new(), others: Some(value.sources) }
                    }
                }
            }
        }
    }

    /// The row that a target list gives.
    pub(super) fn targets(&mut self, targets: &[Node]) -> Row {
        let mut row = Row::default();
        for target in targets {
            let Some(NodeEnum::ResTarget(target)) = target.node.as_ref() else {
                self.lose("a result list that holds something else");
                return Row::anything();
            };
            let node = target.val.as_deref().and_then(|v| v.node.as_ref());
            if let Some(expanded) = self.expanded(node) {
                row.columns.extend(expanded.columns);
                if let Some(others) = expanded.others {
                    row.others.get_or_insert_default().add(&others);
                }
            } else {
                let value = node.map_or_else(Value::default, |n| self.value(n));
                let name: Arc<str> = if target.name.is_empty() {
                    figured_name(node).unwrap_or_else(|| "?column?".into())
                } else {
                    target.name.as_str().into()
                };
                row.columns.push((name, value));
            }
            if !self.step(row.columns.len()) || row.columns.len() > COLUMNS_MAX {
                self.lose("more columns than PostgreSQL takes");
                return Row::anything();
            }
        }
        row
    }

    /// A target that stands for several columns.
    fn expanded(&mut self, node: Option<&NodeEnum>) -> Option<Row> {
        match node? {
            NodeEnum::ColumnRef(reference) => {
                let (parts, star) = parts(reference)?;
                if !star {
                    return None;
                }
                self.seen.columns += 1;
                Some(self.star(&parts))
            }
            NodeEnum::AIndirection(e) => {
                let (last, before) = e.indirection.split_last()?;
                if !matches!(last.node.as_ref(), Some(NodeEnum::AStar(_))) {
                    return None;
                }
                if before.is_empty()
                    && let Some(row) = self.whole_row(e.arg.as_deref())
                {
                    return Some(row);
                }
                let value = self.value(node?);
                Some(Row { columns: Vec::new(), others: Some(value.sources) })
            }
            _ => None,
        }
    }
}

/// The names of a column reference, and whether a star ends them; `None` when it is made of something else.
fn parts(reference: &ColumnRef) -> Option<(Vec<&str>, bool)> {
    let mut parts = Vec::with_capacity(reference.fields.len());
    let mut star = false;
    for field in &reference.fields {
        match field.node.as_ref() {
            Some(NodeEnum::String(s)) => parts.push(s.sval.as_str()),
            Some(NodeEnum::AStar(_)) => star = true,
            _ => return None,
        }
    }
    Some((parts, star))
}
