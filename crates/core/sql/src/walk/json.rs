//! The SQL/JSON expressions, and the end of the list: every other kind of node is refused where an expression stands.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    JsonAggConstructor, JsonArgument, JsonArrayAgg, JsonArrayConstructor, JsonArrayQueryConstructor, JsonBehavior,
    JsonFuncExpr, JsonIsPredicate, JsonKeyValue, JsonObjectAgg, JsonObjectConstructor, JsonOutput, JsonParseExpr,
    JsonScalarExpr, JsonSerializeExpr, JsonTable, JsonTableColumn, JsonTablePathSpec, JsonValueExpr, ReturningOption,
};

use super::Walk;

impl Walk<'_> {
    pub(super) fn json(&mut self, node: &NodeEnum) {
        match node {
            NodeEnum::JsonFormat(_) | NodeEnum::JsonReturning(_) => {}
            NodeEnum::JsonValueExpr(e) => self.json_value(e),
            NodeEnum::JsonIsPredicate(e) => {
                let JsonIsPredicate { expr, format: _, item_type: _, unique_keys: _, location: _ } = &**e;
                self.maybe(expr.as_deref());
            }
            NodeEnum::JsonBehavior(e) => self.json_behavior(e),
            NodeEnum::JsonOutput(e) => self.json_output(Some(e)),
            NodeEnum::JsonArgument(e) => {
                let JsonArgument { val, name: _ } = &**e;
                self.maybe_json(val.as_deref());
            }
            NodeEnum::JsonFuncExpr(e) => {
                let JsonFuncExpr {
                    op: _,
                    column_name: _,
                    context_item,
                    pathspec,
                    passing,
                    output,
                    on_empty,
                    on_error,
                    wrapper: _,
                    quotes: _,
                    location: _,
                } = &**e;
                self.maybe_json(context_item.as_deref());
                self.maybe(pathspec.as_deref());
                self.nodes(passing);
                self.json_output(output.as_ref());
                self.maybe_behavior(on_empty.as_deref());
                self.maybe_behavior(on_error.as_deref());
            }
            NodeEnum::JsonTablePathSpec(e) => self.json_path(e),
            NodeEnum::JsonTable(e) => self.json_table(e),
            NodeEnum::JsonTableColumn(e) => self.json_column(e),
            NodeEnum::JsonKeyValue(e) => self.json_pair(e),
            NodeEnum::JsonParseExpr(e) => {
                let JsonParseExpr { expr, output, unique_keys: _, location: _ } = &**e;
                self.maybe_json(expr.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonScalarExpr(e) => {
                let JsonScalarExpr { expr, output, location: _ } = &**e;
                self.maybe(expr.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonSerializeExpr(e) => {
                let JsonSerializeExpr { expr, output, location: _ } = &**e;
                self.maybe_json(expr.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonObjectConstructor(e) => {
                let JsonObjectConstructor { exprs, output, absent_on_null: _, unique: _, location: _ } = e;
                self.nodes(exprs);
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonArrayConstructor(e) => {
                let JsonArrayConstructor { exprs, output, absent_on_null: _, location: _ } = e;
                self.nodes(exprs);
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonArrayQueryConstructor(e) => {
                let JsonArrayQueryConstructor { query, output, format: _, absent_on_null: _, location: _ } = &**e;
                self.maybe(query.as_deref());
                self.json_output(output.as_ref());
            }
            NodeEnum::JsonAggConstructor(e) => self.json_aggregate(e),
            NodeEnum::JsonObjectAgg(e) => {
                let JsonObjectAgg { constructor, arg, absent_on_null: _, unique: _ } = &**e;
                if let Some(constructor) = constructor {
                    self.json_aggregate(constructor);
                }
                if let Some(pair) = arg {
                    self.json_pair(pair);
                }
            }
            NodeEnum::JsonArrayAgg(e) => {
                let JsonArrayAgg { constructor, arg, absent_on_null: _ } = &**e;
                if let Some(constructor) = constructor {
                    self.json_aggregate(constructor);
                }
                self.maybe_json(arg.as_deref());
            }
            NodeEnum::ReturningOption(ReturningOption { option: _, value: _, location: _ }) => {}
            other => {
                let name = super::kind::node_name(other);
                self.refuse(&format!("a {name} stands where an expression should"));
            }
        }
    }

    fn maybe_json(&mut self, value: Option<&JsonValueExpr>) {
        if let Some(value) = value {
            self.json_value(value);
        }
    }

    fn json_value(&mut self, value: &JsonValueExpr) {
        let JsonValueExpr { raw_expr, formatted_expr, format: _ } = value;
        self.maybe(raw_expr.as_deref());
        self.maybe(formatted_expr.as_deref());
    }

    fn maybe_behavior(&mut self, behavior: Option<&JsonBehavior>) {
        if let Some(behavior) = behavior {
            self.json_behavior(behavior);
        }
    }

    fn json_behavior(&mut self, behavior: &JsonBehavior) {
        let JsonBehavior { btype: _, expr, coerce: _, location: _ } = behavior;
        self.maybe(expr.as_deref());
    }

    fn json_output(&mut self, output: Option<&JsonOutput>) {
        if let Some(JsonOutput { type_name: Some(name), returning: _ }) = output {
            self.type_name(name);
        }
    }

    fn json_path(&mut self, path: &JsonTablePathSpec) {
        let JsonTablePathSpec { string, name: _, name_location: _, location: _ } = path;
        self.maybe(string.as_deref());
    }

    fn json_pair(&mut self, pair: &JsonKeyValue) {
        let JsonKeyValue { key, value } = pair;
        self.maybe(key.as_deref());
        self.maybe_json(value.as_deref());
    }

    fn json_aggregate(&mut self, aggregate: &JsonAggConstructor) {
        let JsonAggConstructor { output, agg_filter, agg_order, over, location: _ } = aggregate;
        self.json_output(output.as_ref());
        self.maybe(agg_filter.as_deref());
        self.nodes(agg_order);
        if let Some(over) = over {
            self.window(over);
        }
    }

    pub(super) fn json_table(&mut self, table: &JsonTable) {
        let JsonTable { context_item, pathspec, passing, columns, on_error, alias: _, lateral: _, location: _ } = table;
        self.maybe_json(context_item.as_deref());
        if let Some(path) = pathspec {
            self.json_path(path);
        }
        self.nodes(passing);
        self.nodes(columns);
        self.maybe_behavior(on_error.as_deref());
    }

    fn json_column(&mut self, column: &JsonTableColumn) {
        let JsonTableColumn {
            coltype: _,
            name: _,
            type_name,
            pathspec,
            format: _,
            wrapper: _,
            quotes: _,
            columns,
            on_empty,
            on_error,
            location: _,
        } = column;
        if let Some(name) = type_name {
            self.type_name(name);
        }
        if let Some(path) = pathspec {
            self.json_path(path);
        }
        self.nodes(columns);
        self.maybe_behavior(on_empty.as_deref());
        self.maybe_behavior(on_error.as_deref());
    }
}
