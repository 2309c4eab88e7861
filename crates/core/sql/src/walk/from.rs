//! `FROM`: which entries come into the scope of a query.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    JoinExpr, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeTableFuncCol, RangeTableSample,
};

use super::figure::figured_name;
use super::query::strings;
use super::scope::{Answer, Columns, Entry, Source, alias_columns};
use super::{Walk, names};

impl<'a> Walk<'a> {
    pub(super) fn from(&mut self, items: &[Node]) {
        for item in items {
            match item.node.as_ref() {
                Some(item) => {
                    self.range_item(item);
                }
                None => self.refuse("FROM holds an empty item"),
            }
        }
    }

    /// Puts the entries of a `FROM` item into the scope; returns their names.
    pub(super) fn range_item(&mut self, item: &NodeEnum) -> Vec<Arc<str>> {
        match item {
            NodeEnum::RangeVar(range) => {
                let entry = self.range(range, Access::Read);
                self.enter(entry)
            }
            NodeEnum::RangeSubselect(sub) => {
                let RangeSubselect { lateral, subquery, alias } = &**sub;
                // Its neighbours in FROM are visible to a lateral subquery alone.
                let hidden = if *lateral { Vec::new() } else { std::mem::take(&mut self.scope().entries) };
                let (columns, relations) = match subquery.as_deref().and_then(|q| q.node.as_ref()) {
                    Some(query) => self.query(query),
                    None => (None, Vec::new()),
                };
                if !*lateral {
                    self.scope().entries = hidden;
                }
                let name = alias.as_ref().map_or("", |a| a.aliasname.as_str());
                let mut entry = derived(name, columns, alias_columns(alias.as_ref()));
                entry.relations = relations;
                self.enter(entry)
            }
            NodeEnum::RangeFunction(range) => {
                let RangeFunction { lateral: _, ordinality: _, is_rowsfrom: _, functions, alias, coldeflist } = range;
                for function in functions {
                    self.range_function(function);
                }
                for column in coldeflist {
                    self.column_definition(column);
                }
                let called =
                    functions.first().and_then(|f| function_name(f.node.as_ref())).unwrap_or_else(|| "".into());
                let name = alias.as_ref().map_or(&*called, |a| a.aliasname.as_str());
                let entry = derived(name, None, alias_columns(alias.as_ref()));
                self.enter(entry)
            }
            NodeEnum::RangeTableFunc(range) => {
                let RangeTableFunc { lateral: _, docexpr, rowexpr, namespaces, columns, alias, location: _ } = &**range;
                self.maybe(docexpr.as_deref());
                self.maybe(rowexpr.as_deref());
                self.nodes(namespaces);
                for column in columns {
                    self.table_function_column(column);
                }
                let name = alias.as_ref().map_or("xmltable", |a| a.aliasname.as_str());
                let entry = derived(name, None, alias_columns(alias.as_ref()));
                self.enter(entry)
            }
            NodeEnum::JsonTable(table) => {
                self.json_table(table);
                let name = table.alias.as_ref().map_or("json_table", |a| a.aliasname.as_str());
                let entry = derived(name, None, alias_columns(table.alias.as_ref()));
                self.enter(entry)
            }
            NodeEnum::RangeTableSample(sample) => {
                let RangeTableSample { relation, method, args, repeatable, location: _ } = &**sample;
                let entered = match relation.as_deref().and_then(|r| r.node.as_ref()) {
                    Some(item) => self.range_item(item),
                    None => Vec::new(),
                };
                match names(method).as_deref() {
                    Some([.., name]) => {
                        self.function(None, name, Some(1), false);
                    }
                    _ => self.refuse("a sampling method has no name"),
                }
                self.nodes(args);
                self.maybe(repeatable.as_deref());
                entered
            }
            NodeEnum::JoinExpr(join) => self.join(join),
            other => {
                self.refuse(&format!("FROM holds a {}", super::kind::node_name(other)));
                Vec::new()
            }
        }
    }

    pub(super) fn enter(&mut self, entry: Entry<'a>) -> Vec<Arc<str>> {
        let name = Arc::clone(&entry.name);
        self.scope().entries.push(entry);
        vec![name]
    }

    fn join(&mut self, join: &JoinExpr) -> Vec<Arc<str>> {
        let JoinExpr { jointype: _, is_natural, larg, rarg, using_clause, join_using_alias, quals, alias, rtindex: _ } =
            join;
        let mut entered = Vec::new();
        for side in [larg, rarg] {
            if let Some(item) = side.as_deref().and_then(|n| n.node.as_ref()) {
                entered.extend(self.range_item(item));
            }
        }
        self.maybe(quals.as_deref());
        if *is_natural || !using_clause.is_empty() {
            self.operator(&["="]);
        }
        let shared: Vec<Arc<str>> = if *is_natural { self.shared_columns(&entered) } else { strings(using_clause) };
        for column in shared {
            for name in &entered {
                let entry = self.scope().entries.iter().find(|e| e.name == *name).cloned();
                if let Some(entry) = entry.filter(|e| matches!(e.answer(&column), Answer::Column(_))) {
                    self.written(&entry, &column);
                }
            }
        }
        for alias in [alias.as_ref(), join_using_alias.as_ref()].into_iter().flatten() {
            let entry = Entry {
                name: alias.aliasname.as_str().into(),
                schema: "".into(),
                source: Source::Join(entered.clone()),
                renamed: alias_columns(Some(alias)),
                access: Access::Read,
                relations: Vec::new(),
                only_named: true,
            };
            self.scope().entries.push(entry);
        }
        entered
    }

    /// Column names that two sides of a natural join have in common.
    fn shared_columns(&mut self, entered: &[Arc<str>]) -> Vec<Arc<str>> {
        let mut seen: Vec<Arc<str>> = Vec::new();
        let mut shared = Vec::new();
        for entry in self.scope().entries.iter().filter(|e| entered.contains(&e.name)) {
            for column in entry.star().unwrap_or_default() {
                if seen.contains(&column) {
                    shared.push(column);
                } else {
                    seen.push(column);
                }
            }
        }
        shared
    }

    /// A function in `FROM`: a list of the call and its column definitions.
    fn range_function(&mut self, node: &Node) {
        match node.node.as_ref() {
            Some(NodeEnum::List(list)) => {
                for item in &list.items {
                    match item.node.as_ref() {
                        Some(NodeEnum::List(definitions)) => {
                            for definition in &definitions.items {
                                self.column_definition(definition);
                            }
                        }
                        Some(NodeEnum::ColumnDef(_)) => self.column_definition(item),
                        _ => self.node(item),
                    }
                }
            }
            Some(other) => self.expression(other),
            None => {}
        }
    }

    fn column_definition(&mut self, node: &Node) {
        match node.node.as_ref() {
            Some(NodeEnum::ColumnDef(definition)) => {
                if let Some(name) = &definition.type_name {
                    self.type_name(name);
                }
            }
            _ => self.refuse("a column definition list holds something else"),
        }
    }

    fn table_function_column(&mut self, node: &Node) {
        match node.node.as_ref() {
            Some(NodeEnum::RangeTableFuncCol(column)) => {
                let RangeTableFuncCol {
                    colname: _,
                    type_name,
                    for_ordinality: _,
                    is_not_null: _,
                    colexpr,
                    coldefexpr,
                    location: _,
                } = &**column;
                if let Some(name) = type_name {
                    self.type_name(name);
                }
                self.maybe(colexpr.as_deref());
                self.maybe(coldefexpr.as_deref());
            }
            _ => self.refuse("XMLTABLE holds something that is not a column"),
        }
    }
}

fn derived<'a>(name: &str, columns: Columns, renamed: Vec<Arc<str>>) -> Entry<'a> {
    Entry {
        name: name.into(),
        schema: "".into(),
        source: Source::Derived(columns),
        renamed,
        access: Access::Read,
        relations: Vec::new(),
        only_named: false,
    }
}

/// The name that a function in `FROM` goes by.
fn function_name(node: Option<&NodeEnum>) -> Option<Arc<str>> {
    match node? {
        NodeEnum::List(list) => list.items.first().and_then(|i| function_name(i.node.as_ref())),
        other => figured_name(Some(other)),
    }
}
