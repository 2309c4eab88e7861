//! `FROM`: the rows that come into the scope of a query, and under which names.

use std::sync::Arc;

use pg_query::NodeEnum;
use pg_query::protobuf::{
    Alias, JoinExpr, JoinType, Node, RangeFunction, RangeSubselect, RangeTableFunc, RangeVar, TypeName,
};

use super::Tracer;
use super::scope::Entry;
use super::value::{Nearness, Row, Source, Sources, Value};
use crate::catalog::{Relation, RelationKind, TEMPORARY_SCHEMA, push_part};
use crate::settings::is_temporary;
use crate::tables::total;
use crate::walk::{alias_columns, figured_name, names, strings};

impl<'a> Tracer<'a> {
    /// Puts an item of `FROM` into the scope.
    pub(super) fn item_of_from(&mut self, node: &Node) {
        if !self.step(1) {
            return;
        }
        match node.node.as_ref() {
            Some(NodeEnum::RangeVar(range)) => {
                let row = self.range(range);
                let schema = if range.alias.is_some() { "" } else { &*range.schemaname };
                self.enter(&range.relname, schema, range.alias.as_ref(), row);
            }
            Some(NodeEnum::RangeSubselect(sub)) => self.subselect(sub),
            Some(NodeEnum::RangeFunction(range)) => self.range_function(range),
            Some(NodeEnum::RangeTableFunc(range)) => self.xml_table(range),
            Some(NodeEnum::JsonTable(table)) => {
                let (columns, sources) = self.json_table(table);
                let row = named_row(columns, &sources);
                self.enter("json_table", "", table.alias.as_ref(), row);
            }
            Some(NodeEnum::RangeTableSample(sample)) => {
                match sample.relation.as_deref() {
                    Some(item) => self.item_of_from(item),
                    None => {
                        self.lose("a sample of nothing");
                    }
                }
                let mut all = self.values(&sample.args);
                all.add(&self.maybe(sample.repeatable.as_deref()).sources);
                self.chosen("TABLESAMPLE", &all, super::place(sample.location));
            }
            Some(NodeEnum::JoinExpr(join)) => self.join(join),
            _ => {
                self.lose("an item of FROM that is not known here");
                self.scope().rows.push(Row::anything());
            }
        }
    }

    /// Puts a row into the scope under its name or alias.
    pub(super) fn enter(&mut self, name: &str, schema: &str, alias: Option<&Alias>, row: Row) {
        let row = row.renamed(&alias_columns(alias));
        self.step(row.columns.len());
        let name: Arc<str> = alias.map_or(name, |a| a.aliasname.as_str()).into();
        let scope = self.scope();
        scope.rows.push(row.clone());
        scope.entries.push(Entry { name, schema: schema.into(), row });
    }

    fn range(&mut self, range: &RangeVar) -> Row {
        if range.schemaname.is_empty()
            && let Some(row) = self.cte(&range.relname)
        {
            self.seen.relations += 1;
            return row;
        }
        self.relation(range)
    }

    /// The row of a relation that is not looked for among the names of `WITH` lists.
    pub(super) fn relation(&mut self, range: &RangeVar) -> Row {
        self.seen.relations += 1;
        match self.resolve(&range.schemaname, &range.relname) {
            Some(relation) => self.row_of(relation),
            None => {
                self.lose("a relation that is not known");
                Row::anything()
            }
        }
    }

    /// The relation that a name means; `None` when this text made it, or nobody did.
    pub(super) fn resolve(&mut self, schema: &str, name: &str) -> Option<&'a Relation> {
        let (catalog, settings, overlay) = (self.catalog, self.settings, self.overlay);
        let look = |schema: &str| -> Result<Option<&'a Relation>, ()> {
            if overlay.is_created(schema, name) {
                return Err(());
            }
            if overlay.is_dropped(schema, name) {
                return Ok(None);
            }
            if schema == TEMPORARY_SCHEMA {
                return Ok(settings.temporary().and_then(|t| t.relation(TEMPORARY_SCHEMA, name)));
            }
            Ok(catalog.relation(schema, name))
        };
        if schema.is_empty() {
            for schema in settings.search_path() {
                match look(schema) {
                    Ok(None) => {}
                    Ok(found) => return found,
                    Err(()) => return None,
                }
            }
            return None;
        }
        look(if is_temporary(schema) { TEMPORARY_SCHEMA } else { schema }).ok().flatten()
    }

    /// What the columns of a relation depend on.
    pub(super) fn row_of(&mut self, relation: &'a Relation) -> Row {
        if self.catalog.is_tagged(&relation.qualified) {
            self.reached.insert(Arc::clone(&relation.qualified));
        }
        for relative in self.catalog.relatives(relation) {
            if self.catalog.is_tagged(&relative.qualified) {
                self.reached.insert(Arc::clone(&relative.qualified));
            }
        }
        let is_view = matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView);
        if is_view && relation.definition.is_some() {
            return self.view(relation);
        }
        let is_system = matches!(&*relation.schema, "pg_catalog" | "information_schema");
        if is_view && !is_system || relation.kind == RelationKind::Other {
            // A view whose text is not known, a TOAST table.
            return Row::anything();
        }
        let plain = total::plain_columns(&relation.name);
        let columns = relation.columns.iter().map(|column| {
            if plain.is_some_and(|p| !p.contains(&&*column.name)) {
                return (Arc::clone(&column.name), Value::anything());
            }
            let value = Value {
                sources: Sources::one(source_of(relation, &column.name, &column.tags)),
                nearness: Nearness::Direct,
                type_oid: column.type_oid,
            };
            (Arc::clone(&column.name), value)
        });
        Row { columns: columns.collect(), others: None }
    }

    fn subselect(&mut self, sub: &RangeSubselect) {
        let RangeSubselect { lateral, subquery, alias } = sub;
        // Its neighbours in FROM are visible to a lateral subquery alone.
        let scope = self.scope();
        let hidden = (!*lateral).then(|| (std::mem::take(&mut scope.entries), std::mem::take(&mut scope.rows)));
        let row = match subquery.as_deref().and_then(|q| q.node.as_ref()) {
            Some(query) => self.query(query),
            None => Row::anything(),
        };
        if let Some((entries, rows)) = hidden {
            let scope = self.scope();
            scope.entries = entries;
            scope.rows = rows;
        }
        // Without a name nobody can refer to it but by its columns.
        self.enter("", "", alias.as_ref(), row);
    }

    fn join(&mut self, join: &JoinExpr) {
        let JoinExpr { jointype, is_natural, larg, rarg, using_clause, join_using_alias, quals, alias, rtindex: _ } =
            join;
        let (entries, rows) = (self.scope().entries.len(), self.scope().rows.len());
        for side in [larg, rarg] {
            match side.as_deref() {
                Some(item) => self.item_of_from(item),
                None => {
                    self.lose("a join with nothing");
                }
            }
        }
        let may_match = *jointype == JoinType::JoinInner as i32;
        self.condition(quals.as_deref(), "ON", may_match);
        let scope = self.scope();
        let (right, left) = (scope.rows.pop().unwrap_or_default(), scope.rows.pop().unwrap_or_default());
        scope.rows.truncate(rows);
        let shared: Vec<Arc<str>> = if *is_natural {
            left.columns
                .iter()
                .map(|(n, _)| n)
                .filter(|n| right.columns.iter().any(|(m, _)| m == *n))
                .cloned()
                .collect()
        } else {
            strings(using_clause)
        };
        if (*is_natural || !shared.is_empty()) && self.made_operator(&["="]) {
            self.lose_softly("an operator that somebody made", -1);
        }
        if *is_natural && (left.others.is_some() || right.others.is_some()) {
            let mut all = left.sources();
            all.add(&right.sources());
            self.joined(&all);
        }
        let mut merged = Row::default();
        for name in &shared {
            let side = |row: &Row| {
                row.named(name).unwrap_or_else(|| Value::computed(row.others.clone().unwrap_or_else(Sources::anything)))
            };
            let mut value = side(&left);
            value.or(&side(&right));
            self.joined(&value.sources);
            merged.columns.push((Arc::clone(name), value));
        }
        if let Some(alias) = join_using_alias {
            let row = merged.clone().renamed(&alias_columns(Some(alias)));
            self.scope().entries.push(Entry { name: alias.aliasname.as_str().into(), schema: "".into(), row });
        }
        for row in [left, right] {
            merged.columns.extend(row.columns.into_iter().filter(|(n, _)| !shared.contains(n)));
            if let Some(others) = row.others {
                merged.others.get_or_insert_default().add(&others);
            }
        }
        self.step(merged.columns.len());
        match alias {
            Some(alias) => {
                // It hides the names within.
                self.scope().entries.truncate(entries);
                self.enter("", "", Some(alias), merged);
            }
            None => self.scope().rows.push(merged),
        }
    }

    /// Functions in `FROM`.
    fn range_function(&mut self, range: &RangeFunction) {
        let RangeFunction { lateral: _, ordinality, is_rowsfrom: _, functions, alias, coldeflist } = range;
        let mut row = Row::default();
        let mut called: Option<Arc<str>> = None;
        for function in functions {
            let Some(NodeEnum::List(list)) = function.node.as_ref() else {
                self.lose("a function in FROM that is none");
                row.others = Some(Sources::anything());
                continue;
            };
            let mut definitions: Vec<&Node> = Vec::new();
            let mut value = Value::default();
            let mut one_column = false;
            let mut name: Option<Arc<str>> = None;
            for (i, item) in list.items.iter().enumerate() {
                match item.node.as_ref() {
                    Some(NodeEnum::List(inner)) if i > 0 => definitions.extend(&inner.items),
                    Some(NodeEnum::ColumnDef(_)) => definitions.push(item),
                    Some(NodeEnum::FuncCall(call)) if i == 0 => {
                        let parts = names(&call.funcname).unwrap_or_default();
                        one_column = match parts.split_last() {
                            Some((name, schema)) => self.gives_one_column(schema.last().copied(), name),
                            None => false,
                        };
                        name = figured_name(item.node.as_ref());
                        value = self.call(call, true);
                        one_column |= parts.last() == Some(&"unnest") && self.unnests_plain(call);
                    }
                    Some(other) => {
                        name = name.or_else(|| figured_name(Some(other)));
                        value.sources.add(&self.value(other).sources);
                        one_column |=
                            i == 0 && matches!(other, NodeEnum::SqlvalueFunction(_) | NodeEnum::CoalesceExpr(_));
                    }
                    None => {}
                }
            }
            definitions.extend(coldeflist);
            // How many rows come depends on the arguments.
            self.chosen("a function in FROM", &value.sources, None);
            if called.is_none() {
                called.clone_from(&name);
            }
            if !definitions.is_empty() {
                for definition in definitions {
                    let Some(NodeEnum::ColumnDef(d)) = definition.node.as_ref() else { continue };
                    if let Some(name) = &d.type_name {
                        self.type_name(name);
                    }
                    row.columns.push((d.colname.as_str().into(), Value::computed(value.sources.clone())));
                }
            } else if one_column {
                // A lone column is called like the alias.
                let alone = functions.len() == 1;
                let name = alias.as_ref().filter(|_| alone).map(|a| a.aliasname.as_str().into()).or(name);
                row.columns.push((name.unwrap_or_else(|| "".into()), Value::computed(value.sources)));
            } else {
                row.others.get_or_insert_default().add(&value.sources);
            }
        }
        if *ordinality && row.others.is_none() {
            row.columns.push(("ordinality".into(), Value::default()));
        }
        let name = called.unwrap_or_else(|| "".into());
        self.enter(&name, "", alias.as_ref(), row);
    }

    /// True when the argument of `unnest` cannot be an array of rows, which would give one column for each field.
    fn unnests_plain(&self, call: &pg_query::protobuf::FuncCall) -> bool {
        let [arg] = call.args.as_slice() else { return false };
        match arg.node.as_ref() {
            Some(NodeEnum::TypeCast(cast)) => cast.type_name.as_ref().is_some_and(|t| self.is_plain_array(t)),
            Some(NodeEnum::AArrayExpr(a)) => {
                a.elements.iter().all(|e| matches!(e.node.as_ref(), Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_))))
            }
            Some(NodeEnum::FuncCall(inner)) => {
                matches!(names(&inner.funcname).as_deref(), Some(["string_to_array" | "regexp_split_to_array"]))
            }
            _ => false,
        }
    }

    fn is_plain_array(&self, name: &TypeName) -> bool {
        let parts = names(&name.names).unwrap_or_default();
        let Some((word, schema)) = parts.split_last() else { return false };
        !name.array_bounds.is_empty()
            && self.type_oid(schema.last().copied(), word).is_some_and(|oid| oid < super::expression::FIRST_MADE_OID)
    }

    fn xml_table(&mut self, range: &RangeTableFunc) {
        let RangeTableFunc { lateral: _, docexpr, rowexpr, namespaces, columns, alias, location } = range;
        let mut all = self.maybe(docexpr.as_deref()).sources;
        all.add(&self.maybe(rowexpr.as_deref()).sources);
        all.add(&self.values(namespaces));
        let mut found = Vec::new();
        for column in columns {
            let Some(NodeEnum::RangeTableFuncCol(column)) = column.node.as_ref() else {
                all.add(&self.lose("a column of XMLTABLE that is not known here").sources);
                continue;
            };
            if let Some(name) = &column.type_name {
                self.type_name(name);
            }
            all.add(&self.maybe(column.colexpr.as_deref()).sources);
            all.add(&self.maybe(column.coldefexpr.as_deref()).sources);
            found.push(Arc::from(column.colname.as_str()));
        }
        self.chosen("XMLTABLE", &all, super::place(*location));
        let row = named_row(found, &all);
        self.enter("xmltable", "", alias.as_ref(), row);
    }
}

fn named_row(columns: Vec<Arc<str>>, sources: &Sources) -> Row {
    Row { columns: columns.into_iter().map(|n| (n, Value::computed(sources.clone()))).collect(), others: None }
}

/// A column of a relation as something that values depend on.
pub(super) fn source_of(relation: &Relation, column: &str, tags: &[countersign_model::Tag]) -> Source {
    let mut name = relation.qualified.to_string();
    name.push('.');
    push_part(&mut name, column);
    let of_view = matches!(relation.kind, RelationKind::View | RelationKind::MaterializedView);
    Source { name: name.into(), tags: tags.into(), of_view }
}
