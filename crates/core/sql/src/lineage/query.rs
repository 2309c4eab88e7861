//! `SELECT`, set operations and `VALUES`: the row that a query gives, and what chooses among its rows.

use pg_query::NodeEnum;
use pg_query::protobuf::{GroupingSet, Node, SelectStmt, SetOperation, a_const};

use super::scope::Scope;
use super::value::{Row, Sources, Value};
use super::{Effect, Tracer};
use crate::walk::names;

impl Tracer<'_> {
    /// A query or a data-modifying statement with `RETURNING`: the row that it gives.
    pub(super) fn query(&mut self, node: &NodeEnum) -> Row {
        if !self.step(1) {
            return Row::anything();
        }
        match node {
            NodeEnum::SelectStmt(s) => self.select(s),
            NodeEnum::InsertStmt(s) => self.insert(s),
            NodeEnum::UpdateStmt(s) => self.update(s),
            NodeEnum::DeleteStmt(s) => self.delete(s),
            NodeEnum::MergeStmt(s) => self.merge(s),
            _ => {
                self.lose("a query that is not known here");
                Row::anything()
            }
        }
    }

    pub(super) fn select(&mut self, select: &SelectStmt) -> Row {
        self.scopes.push(Scope::default());
        let row = self.select_in_scope(select);
        self.scopes.pop();
        row
    }

    fn select_in_scope(&mut self, select: &SelectStmt) -> Row {
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
            op,
            all,
            larg,
            rarg,
        } = select;
        if let Some(with) = with_clause {
            self.with(with);
        }
        let mut row = match (larg, rarg) {
            (Some(left), Some(right)) => self.set_operation(left, right, *op, *all),
            _ => Row::default(),
        };
        let is_set_operation = larg.is_some();
        for item in from_clause {
            self.item_of_from(item);
        }
        self.condition(where_clause.as_deref(), "WHERE", true);
        self.windows(window_clause);
        if !is_set_operation && values_lists.is_empty() {
            row = self.targets(target_list);
        } else if !is_set_operation {
            row = self.value_lists(values_lists);
        }
        for node in group_clause {
            self.group_item(node, &row);
        }
        self.condition(having_clause.as_deref(), "HAVING", false);
        self.distinct(distinct_clause, &row);
        for node in sort_clause {
            let sources = self.by_output(node, &row, false);
            self.chosen("ORDER BY", &sources, place_of(node));
        }
        for limit in [limit_offset, limit_count] {
            let value = self.maybe(limit.as_deref());
            self.chosen("LIMIT or OFFSET", &value.sources, None);
        }
        for lock in locking_clause {
            if let Some(NodeEnum::LockingClause(clause)) = lock.node.as_ref() {
                self.seen.relations += clause.locked_rels.len();
            }
        }
        if let Some(into) = into_clause {
            self.seen.relations += 1;
            for option in &into.options {
                self.option(option);
            }
            self.note(Effect::Copied, "a table made from a query", &row.sources(), None);
        }
        row
    }

    fn set_operation(&mut self, left: &SelectStmt, right: &SelectStmt, op: i32, all: bool) -> Row {
        let mut row = self.select(left);
        let other = self.select(right);
        self.step(row.columns.len());
        row.or(&other);
        if !(all && op == SetOperation::SetopUnion as i32) {
            self.chosen("a set operation that drops equal rows", &row.sources(), None);
        }
        row
    }

    /// `VALUES`: column by column.
    fn value_lists(&mut self, lists: &[Node]) -> Row {
        let mut row: Option<Row> = None;
        for list in lists {
            let Some(NodeEnum::List(list)) = list.node.as_ref() else {
                self.lose("VALUES that hold something else");
                return Row::anything();
            };
            let mut columns = Vec::with_capacity(list.items.len());
            for (i, item) in list.items.iter().enumerate() {
                columns.push((format!("column{}", i + 1).into(), self.node(item)));
            }
            self.step(columns.len());
            let one = Row { columns, others: None };
            match &mut row {
                Some(row) => row.or(&one),
                None => row = Some(one),
            }
        }
        row.unwrap_or_default()
    }

    fn windows(&mut self, clause: &[Node]) {
        for node in clause {
            if let Some(NodeEnum::WindowDef(window)) = node.node.as_ref() {
                let sources = self.window(window);
                self.scope().windows.push((window.name.as_str().into(), sources));
            }
        }
    }

    fn distinct(&mut self, clause: &[Node], row: &Row) {
        // A lone empty node is DISTINCT without ON.
        if clause.iter().all(|n| n.node.is_none()) {
            if !clause.is_empty() {
                self.chosen("DISTINCT", &row.sources(), None);
            }
            return;
        }
        for node in clause {
            let sources = self.by_output(node, row, false);
            self.chosen("DISTINCT ON", &sources, place_of(node));
        }
    }

    /// One item of `GROUP BY`, sets of items taken apart.
    fn group_item(&mut self, node: &Node, row: &Row) {
        match node.node.as_ref() {
            Some(NodeEnum::GroupingSet(GroupingSet { kind: _, content, location: _ })) => {
                for item in content {
                    self.group_item(item, row);
                }
            }
            Some(NodeEnum::RowExpr(e)) => {
                for item in &e.args {
                    self.group_item(item, row);
                }
            }
            _ => {
                let sources = self.by_output(node, row, true);
                self.chosen("GROUP BY", &sources, place_of(node));
            }
        }
    }

    /// An item of `ORDER BY`, `DISTINCT ON` or `GROUP BY`: the number or the name of an output column, or an expression. For
    /// `GROUP BY` a column of `FROM` comes before an output of that name.
    fn by_output(&mut self, node: &Node, row: &Row, columns_first: bool) -> Sources {
        let inner = match node.node.as_ref() {
            Some(NodeEnum::SortBy(by)) => {
                if !by.use_op.is_empty() && self.made_operator(&names(&by.use_op).unwrap_or_default()) {
                    return self.lose_softly("an operator that somebody made", by.location).sources;
                }
                by.node.as_deref().and_then(|n| n.node.as_ref())
            }
            other => other,
        };
        match inner {
            Some(NodeEnum::AConst(c)) => {
                self.constants_matter = true;
                match &c.val {
                    Some(a_const::Val::Ival(n)) => match usize::try_from(n.ival).ok().and_then(|n| n.checked_sub(1)) {
                        Some(i) if row.others.is_none() => {
                            row.columns.get(i).map(|(_, v)| v.sources.clone()).unwrap_or_default()
                        }
                        _ => row.sources(),
                    },
                    _ => Sources::default(),
                }
            }
            Some(NodeEnum::ColumnRef(reference)) => {
                let name = names(&reference.fields);
                if let Some([name]) = name.as_deref() {
                    let here = self.scopes.len().saturating_sub(1);
                    let (column, further) = self.column_at(here, name);
                    if let Some(value) = row.named(name)
                        && !(columns_first && column.is_some() && !further)
                    {
                        self.seen.columns += 1;
                        let mut sources = value.sources;
                        if row.others.is_some() || columns_first && column.is_some() {
                            sources.add(&column.unwrap_or_default().sources);
                        }
                        return sources;
                    }
                }
                let mut sources = self.column(reference).sources;
                if let Some(others) = &row.others {
                    sources.add(others);
                }
                sources
            }
            Some(other) => self.value(other).sources,
            None => Sources::default(),
        }
    }

    /// What a row that is stored depends on, as one value.
    pub(super) fn of_row(row: &Row, index: usize) -> Value {
        match row.columns.get(index) {
            Some((_, value)) if row.others.is_none() => value.clone(),
            _ => Value::computed(row.sources()),
        }
    }
}

/// Where an item stands in the text.
fn place_of(node: &Node) -> Option<usize> {
    let location = match node.node.as_ref()? {
        NodeEnum::SortBy(by) => return by.node.as_deref().and_then(place_of),
        NodeEnum::ColumnRef(c) => c.location,
        NodeEnum::AConst(c) => c.location,
        NodeEnum::FuncCall(c) => c.location,
        NodeEnum::AExpr(e) => e.location,
        _ => -1,
    };
    super::place(location)
}
