//! The SQL/JSON expressions, and the end of the list: whatever is not known depends on anything.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    JsonAggConstructor, JsonBehavior, JsonKeyValue, JsonOutput, JsonTable, JsonTableColumn, JsonTablePathSpec,
    JsonValueExpr,
};

use super::Tracer;
use super::value::{Sources, Value};

impl Tracer<'_> {
    pub(super) fn json(&mut self, node: &NodeEnum) -> Value {
        match node {
            NodeEnum::JsonFormat(_) | NodeEnum::JsonReturning(_) => Value::default(),
            NodeEnum::JsonValueExpr(e) => self.json_value(Some(e)),
            NodeEnum::JsonIsPredicate(e) => {
                let arg = self.maybe(e.expr.as_deref());
                self.decides("IS JSON", arg.sources, e.location)
            }
            NodeEnum::JsonArgument(e) => self.json_value(e.val.as_deref()),
            NodeEnum::JsonFuncExpr(e) => {
                let mut all = self.json_value(e.context_item.as_deref()).sources;
                all.add(&self.maybe(e.pathspec.as_deref()).sources);
                all.add(&self.values(&e.passing));
                self.json_output(e.output.as_ref());
                all.add(&self.json_behavior(e.on_empty.as_deref()));
                all.add(&self.json_behavior(e.on_error.as_deref()));
                self.decides("a JSON query", all, e.location)
            }
            NodeEnum::JsonParseExpr(e) => {
                let arg = self.json_value(e.expr.as_deref());
                self.json_output(e.output.as_ref());
                self.decides("a text read as JSON", arg.sources, e.location)
            }
            NodeEnum::JsonScalarExpr(e) => {
                let arg = self.maybe(e.expr.as_deref());
                self.json_output(e.output.as_ref());
                self.json_made(arg.sources, e.output.as_ref(), e.location)
            }
            NodeEnum::JsonSerializeExpr(e) => {
                let arg = self.json_value(e.expr.as_deref());
                self.json_output(e.output.as_ref());
                self.decides("a text read as JSON", arg.sources, e.location)
            }
            NodeEnum::JsonObjectConstructor(e) => {
                let mut all = Sources::default();
                for pair in &e.exprs {
                    all.add(&self.node(pair).sources);
                }
                self.json_output(e.output.as_ref());
                self.json_made(all, e.output.as_ref(), e.location)
            }
            NodeEnum::JsonKeyValue(e) => self.json_pair(e),
            NodeEnum::JsonArrayConstructor(e) => {
                let all = self.values(&e.exprs);
                self.json_output(e.output.as_ref());
                self.json_made(all, e.output.as_ref(), e.location)
            }
            NodeEnum::JsonArrayQueryConstructor(e) => {
                let all = self.maybe(e.query.as_deref()).sources;
                self.json_output(e.output.as_ref());
                self.json_made(all, e.output.as_ref(), e.location)
            }
            NodeEnum::JsonObjectAgg(e) => {
                let mut all = e.constructor.as_deref().map(|c| self.json_aggregate(c)).unwrap_or_default();
                if let Some(pair) = &e.arg {
                    all.add(&self.json_pair(pair).sources);
                }
                Value::computed(all)
            }
            NodeEnum::JsonArrayAgg(e) => {
                let mut all = e.constructor.as_deref().map(|c| self.json_aggregate(c)).unwrap_or_default();
                all.add(&self.json_value(e.arg.as_deref()).sources);
                Value::computed(all)
            }
            _ => {
                self.chosen("an expression that is not known here", &Sources::anything(), None);
                self.lose("an expression that is not known here")
            }
        }
    }

    /// A document that was put together; into another type than JSON it may not fit.
    fn json_made(&mut self, sources: Sources, output: Option<&JsonOutput>, location: i32) -> Value {
        if output.is_some() {
            self.decides("JSON as another type", sources, location)
        } else {
            Value::computed(sources)
        }
    }

    fn json_value(&mut self, value: Option<&JsonValueExpr>) -> Value {
        let Some(value) = value else { return Value::default() };
        let mut found = self.maybe(value.raw_expr.as_deref());
        found.sources.add(&self.maybe(value.formatted_expr.as_deref()).sources);
        if value
            .format
            .as_ref()
            .is_some_and(|f| f.format_type > pg_query::protobuf::JsonFormatType::JsFormatDefault as i32)
        {
            return self.decides("a text read as JSON", found.sources, -1);
        }
        found
    }

    fn json_pair(&mut self, pair: &JsonKeyValue) -> Value {
        let key = self.maybe(pair.key.as_deref());
        // A null key fails, and so may two that are the same.
        self.chosen("a key of a JSON object", &key.sources, None);
        let mut all = self.json_value(pair.value.as_deref()).sources;
        all.add(&key.sources);
        Value::computed(all)
    }

    fn json_behavior(&mut self, behavior: Option<&JsonBehavior>) -> Sources {
        behavior.map(|b| self.maybe(b.expr.as_deref()).sources).unwrap_or_default()
    }

    fn json_output(&mut self, output: Option<&JsonOutput>) {
        if let Some(JsonOutput { type_name: Some(name), returning: _ }) = output {
            self.type_name(name);
        }
    }

    fn json_path(&mut self, path: Option<&JsonTablePathSpec>) -> Sources {
        path.map(|p| self.maybe(p.string.as_deref()).sources).unwrap_or_default()
    }

    fn json_aggregate(&mut self, aggregate: &JsonAggConstructor) -> Sources {
        let JsonAggConstructor { output, agg_filter, agg_order, over, location } = aggregate;
        self.json_output(output.as_ref());
        let mut all = self.maybe(agg_filter.as_deref()).sources;
        for by in agg_order {
            all.add(&self.sort_key(by).sources);
        }
        self.chosen("FILTER or ORDER BY of an aggregate", &all, super::place(*location));
        if let Some(over) = over {
            all.add(&self.window(over));
        }
        all
    }

    /// `JSON_TABLE`: all of its columns depend on all that goes in, and so does the number of rows.
    pub(super) fn json_table(&mut self, table: &JsonTable) -> (Vec<std::sync::Arc<str>>, Sources) {
        let JsonTable { context_item, pathspec, passing, columns, on_error, alias: _, lateral: _, location } = table;
        let mut all = self.json_value(context_item.as_deref()).sources;
        all.add(&self.json_path(pathspec.as_deref()));
        all.add(&self.values(passing));
        let mut names = Vec::new();
        for column in columns {
            self.json_column(column, &mut names, &mut all);
        }
        all.add(&self.json_behavior(on_error.as_deref()));
        self.chosen("JSON_TABLE", &all, super::place(*location));
        (names, all)
    }

    fn json_column(
        &mut self,
        node: &pg_query::protobuf::Node,
        names: &mut Vec<std::sync::Arc<str>>,
        all: &mut Sources,
    ) {
        let Some(NodeEnum::JsonTableColumn(column)) = node.node.as_ref() else {
            all.add(&self.lose("a column of JSON_TABLE that is not known here").sources);
            return;
        };
        let JsonTableColumn { name, type_name, pathspec, columns, on_empty, on_error, .. } = &**column;
        if let Some(name) = type_name {
            self.type_name(name);
        }
        all.add(&self.json_path(pathspec.as_deref()));
        if columns.is_empty() {
            names.push(name.as_str().into());
        }
        for column in columns {
            self.json_column(column, names, all);
        }
        all.add(&self.json_behavior(on_empty.as_deref()));
        all.add(&self.json_behavior(on_error.as_deref()));
    }
}
