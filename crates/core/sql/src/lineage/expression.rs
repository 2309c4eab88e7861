//! Expressions: what a value depends on, and which of it decides more than the value.
//!
//! The rule for what is computed in a result: it may be shown (and is masked) if no tagged value can make it fail or be null; anything
//! else is chosen by the value, because no mask hides that.

use pg_query::NodeEnum;
use pg_query::protobuf::{
    AArrayExpr, AExpr, AExprKind, AIndices, AIndirection, BoolExpr, CaseExpr, CaseWhen, CoalesceExpr, CollateClause,
    GroupingFunc, List, MinMaxExpr, MultiAssignRef, NamedArgExpr, Node, NullTest, ResTarget, RowExpr, SubLink,
    SubLinkType, TypeCast, TypeName, XmlExpr, XmlSerialize,
};

use super::value::{Nearness, Sources, Value};
use super::{Tracer, place};
use crate::tables::total;
use crate::walk::names;

/// Object ids below this one are PostgreSQL's own (`FirstNormalObjectId`).
pub(super) const FIRST_MADE_OID: u32 = 16_384;

impl Tracer<'_> {
    /// What the value of an expression depends on.
    pub(super) fn value(&mut self, node: &NodeEnum) -> Value {
        if !self.step(1) {
            return Value::anything();
        }
        match node {
            NodeEnum::AConst(_)
            | NodeEnum::ParamRef(_)
            | NodeEnum::SqlvalueFunction(_)
            | NodeEnum::SetToDefault(_)
            | NodeEnum::MergeSupportFunc(_)
            | NodeEnum::CurrentOfExpr(_)
            | NodeEnum::Integer(_)
            | NodeEnum::Float(_)
            | NodeEnum::Boolean(_)
            | NodeEnum::String(_)
            | NodeEnum::BitString(_) => Value::default(),
            NodeEnum::ColumnRef(reference) => self.column(reference),
            NodeEnum::FuncCall(call) => self.call(call, false),
            NodeEnum::AExpr(e) => self.operation(e),
            NodeEnum::BoolExpr(e) => {
                let BoolExpr { xpr: _, boolop: _, args, location } = &**e;
                let all = self.values(args);
                self.decides("AND, OR or NOT", all, *location)
            }
            NodeEnum::TypeCast(e) => self.cast(e),
            NodeEnum::TypeName(name) => {
                self.type_name(name);
                Value::default()
            }
            NodeEnum::CollateClause(e) => {
                let CollateClause { arg, collname: _, location: _ } = &**e;
                self.maybe(arg.as_deref())
            }
            NodeEnum::SubLink(e) => self.sub_link(e),
            NodeEnum::CaseExpr(e) => self.case(e),
            NodeEnum::RowExpr(e) => {
                let RowExpr { xpr: _, args, row_typeid: _, row_format: _, colnames: _, location: _ } = &**e;
                Value::computed(self.values(args))
            }
            NodeEnum::CoalesceExpr(e) => self.coalesce(e),
            NodeEnum::MinMaxExpr(e) => {
                let MinMaxExpr { xpr: _, minmaxtype: _, minmaxcollid: _, inputcollid: _, op: _, args, location: _ } =
                    &**e;
                Value::computed(self.values(args))
            }
            NodeEnum::NullTest(e) => {
                let NullTest { xpr: _, arg, nulltesttype: _, argisrow: _, location } = &**e;
                let arg = self.maybe(arg.as_deref());
                self.decides("IS NULL", arg.sources, *location)
            }
            NodeEnum::BooleanTest(e) => {
                let arg = self.maybe(e.arg.as_deref());
                self.decides("IS TRUE or IS FALSE", arg.sources, e.location)
            }
            NodeEnum::AArrayExpr(AArrayExpr { elements, list_start: _, list_end: _, location }) => {
                self.array(elements, *location)
            }
            NodeEnum::AIndirection(e) => self.indirection(e),
            NodeEnum::AIndices(e) => {
                let AIndices { is_slice: _, lidx, uidx } = &**e;
                let mut all = self.maybe(lidx.as_deref()).sources;
                all.add(&self.maybe(uidx.as_deref()).sources);
                self.decides("an index", all, -1)
            }
            NodeEnum::NamedArgExpr(e) => {
                let NamedArgExpr { xpr: _, arg, name: _, argnumber: _, location: _ } = &**e;
                self.maybe(arg.as_deref())
            }
            NodeEnum::List(List { items }) => Value::computed(self.values(items)),
            NodeEnum::ResTarget(e) => {
                let ResTarget { name: _, indirection, val, location: _ } = &**e;
                let mut all = self.values(indirection);
                all.add(&self.maybe(val.as_deref()).sources);
                Value::computed(all)
            }
            NodeEnum::MultiAssignRef(e) => {
                let MultiAssignRef { source, colno: _, ncolumns: _ } = &**e;
                self.maybe(source.as_deref())
            }
            NodeEnum::GroupingFunc(e) => {
                let GroupingFunc { xpr: _, args, refs: _, agglevelsup: _, location: _ } = &**e;
                // It tells which set a row belongs to, nothing of the values.
                self.values(args);
                Value::default()
            }
            NodeEnum::XmlExpr(e) => {
                let XmlExpr { named_args, args, location, .. } = &**e;
                let mut all = self.values(named_args);
                all.add(&self.values(args));
                self.decides("an XML expression", all, *location)
            }
            NodeEnum::XmlSerialize(e) => {
                let XmlSerialize { xmloption: _, expr, type_name, indent: _, location } = &**e;
                let arg = self.maybe(expr.as_deref());
                if let Some(name) = type_name {
                    self.type_name(name);
                }
                self.decides("an XML expression", arg.sources, *location)
            }
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => Value::computed(self.query(node).sources()),
            _ => self.json(node),
        }
    }

    /// A computed value that tells of its arguments by failing, by being null or by being one of few.
    pub(super) fn decides(&mut self, what: &'static str, sources: Sources, location: i32) -> Value {
        self.chosen(what, &sources, place(location));
        Value::computed(sources)
    }

    fn operation(&mut self, e: &AExpr) -> Value {
        self.seen.operators += 1;
        let AExpr { kind, name, lexpr, rexpr, rexpr_list_start: _, rexpr_list_end: _, location } = e;
        let left = self.maybe(lexpr.as_deref());
        let right = self.maybe(rexpr.as_deref());
        let parts = names(name).unwrap_or_default();
        let operator = parts.last().copied().unwrap_or_default();
        if self.made_operator(&parts) {
            let value = self.lose_softly("an operator that somebody made", *location);
            self.note(super::Effect::Copied, "an operator that somebody made", &left.sources, place(*location));
            self.note(super::Effect::Copied, "an operator that somebody made", &right.sources, place(*location));
            return value;
        }
        let mut all = left.sources.clone();
        all.add(&right.sources);
        self.step(all.columns().len());
        let plain = AExprKind::try_from(*kind) == Ok(AExprKind::AexprOp);
        let both_plain = |t: &Value| !t.sources.is_tagged() || total::is_plain_scalar(t.type_oid);
        if plain && operator == "||" && both_plain(&left) && both_plain(&right) {
            return Value { sources: all, nearness: Nearness::Computed, type_oid: total::TEXT_OID };
        }
        // A member that the text names: null if there is none, and that is how the document is made.
        if plain
            && matches!(operator, "->" | "->>" | "#>" | "#>>")
            && left.nearness <= Nearness::Part
            && !right.sources.is_tagged()
        {
            let type_oid = if operator.ends_with(">>") { total::TEXT_OID } else { 0 };
            return Value { sources: all, nearness: Nearness::Part, type_oid };
        }
        self.decides("an operator that compares or may fail", all, *location)
    }

    /// True when an operator of this name is one that somebody made and that may read anything.
    pub(super) fn made_operator(&self, parts: &[&str]) -> bool {
        let Some((name, schema)) = parts.split_last() else { return true };
        let harmful = |schema: &str| {
            let found = self.catalog.schemas.get(schema).and_then(|s| s.operators.get(*name));
            found.into_iter().flatten().any(|oid| {
                self.catalog
                    .function_of_oid(*oid)
                    .is_none_or(|f| !f.reads_only_arguments() || total::reads_anything(&f.name))
            })
        };
        match schema.last() {
            Some(schema) => harmful(schema),
            None => self.settings.search_path().iter().any(|s| harmful(s)),
        }
    }

    /// Code that may read anything and fail on it.
    pub(super) fn lose_softly(&mut self, what: &'static str, location: i32) -> Value {
        let anything = Sources::anything();
        self.chosen(what, &anything, place(location));
        Value::computed(anything)
    }

    fn cast(&mut self, e: &TypeCast) -> Value {
        let TypeCast { arg, type_name, location } = e;
        // The type of a constant is a built-in one.
        let is_constant = matches!(arg.as_deref().and_then(|a| a.node.as_ref()), Some(NodeEnum::AConst(_)));
        let mut arg = self.maybe(arg.as_deref());
        let Some(name) = type_name else { return self.lose("a cast to nothing") };
        let target = self.type_name(name);
        let parts = names(&name.names).unwrap_or_default();
        let (schema, word) = match parts.as_slice() {
            [word] => (None, *word),
            [schema, word] => (Some(*schema), *word),
            _ => (None, ""),
        };
        let from = if is_constant { 25 } else { arg.type_oid };
        if !self.catalog.casts.is_empty() && target.is_none_or(|oid| self.made_cast(from, oid)) {
            return self.lose_softly("a cast that somebody made", *location);
        }
        if !arg.sources.is_tagged() {
            arg.nearness = Nearness::Computed;
            arg.type_oid = target.unwrap_or(0);
            return arg;
        }
        let is_list = !name.array_bounds.is_empty() || name.setof;
        if !is_list && name.typmods.is_empty() && arg.type_oid != 0 && target == Some(arg.type_oid) {
            // The type that it has.
            return arg;
        }
        if !is_list && total::takes_any_value(schema, word) && self.is_built_in_type(word) {
            return Value { sources: arg.sources, nearness: Nearness::Computed, type_oid: target.unwrap_or(0) };
        }
        if !is_list && name.typmods.is_empty() && target.is_some_and(|t| widens(arg.type_oid, t)) {
            return Value { sources: arg.sources, nearness: Nearness::Computed, type_oid: target.unwrap_or(0) };
        }
        let mut value = self.decides("a cast that may fail", arg.sources, *location);
        if !is_list {
            value.type_oid = target.unwrap_or(0);
        }
        value
    }

    /// True when no other type takes this name from the built-in one.
    fn is_built_in_type(&self, word: &str) -> bool {
        self.type_oid(None, word).is_none_or(|oid| oid < FIRST_MADE_OID)
    }

    /// True when a cast between these may run code of somebody's; 0 stands for any type.
    pub(super) fn made_cast(&self, from: u32, to: u32) -> bool {
        self.catalog.casts.iter().any(|c| {
            (c.target == to || to == 0)
                && (c.source == from || from == 0)
                && self.catalog.function_of_oid(c.function).is_none_or(|f| !f.reads_only_arguments())
        })
    }

    /// Counts a type's name and what its modifiers hold; gives its object id, if it is known.
    pub(super) fn type_name(&mut self, name: &TypeName) -> Option<u32> {
        self.seen.types += 1;
        self.values(&name.typmods);
        let parts = names(&name.names)?;
        let (word, schema) = parts.split_last()?;
        self.type_oid(schema.last().copied(), word)
    }

    pub(super) fn type_oid(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        let find = |schema: &str| {
            let temporary = self.settings.temporary().filter(|_| crate::settings::is_temporary(schema));
            temporary.unwrap_or(self.catalog).schemas.get(schema)?.types.get(name).copied()
        };
        match schema {
            Some(schema) => find(schema),
            None => self.settings.search_path().iter().find_map(|s| find(s)),
        }
    }

    fn sub_link(&mut self, e: &SubLink) -> Value {
        let SubLink { xpr: _, sub_link_type, sub_link_id: _, testexpr, oper_name, subselect, location } = e;
        let test = self.maybe(testexpr.as_deref());
        let row = match subselect.as_deref().and_then(|s| s.node.as_ref()) {
            Some(query) => self.query(query),
            None => return self.lose("a subquery that is not there"),
        };
        match SubLinkType::try_from(*sub_link_type) {
            // That there are rows is decided by what chooses them, which was noted there.
            Ok(SubLinkType::ExistsSublink) => Value::default(),
            Ok(SubLinkType::ExprSublink) => match row.columns.as_slice() {
                [(_, value)] if row.others.is_none() => value.clone(),
                _ => Value::computed(row.sources()),
            },
            Ok(SubLinkType::ArraySublink | SubLinkType::MultiexprSublink) => Value::computed(row.sources()),
            _ => {
                let parts = names(oper_name).unwrap_or_default();
                if self.made_operator(if parts.is_empty() { &["="] } else { &parts }) {
                    return self.lose_softly("an operator that somebody made", *location);
                }
                let mut all = row.sources();
                all.add(&test.sources);
                self.decides("a comparison with a subquery", all, *location)
            }
        }
    }

    fn case(&mut self, e: &CaseExpr) -> Value {
        let CaseExpr { xpr: _, casetype: _, casecollid: _, arg, args, defresult, location } = e;
        let mut conditions = self.maybe(arg.as_deref()).sources;
        let mut result: Option<Value> = None;
        for node in args {
            let Some(NodeEnum::CaseWhen(when)) = node.node.as_ref() else {
                return self.lose("a CASE that holds something else");
            };
            let CaseWhen { xpr: _, expr, result: then, location: _ } = &**when;
            conditions.add(&self.maybe(expr.as_deref()).sources);
            let then = self.maybe(then.as_deref());
            match &mut result {
                Some(all) => all.or(&then),
                None => result = Some(then),
            }
        }
        let otherwise = self.maybe(defresult.as_deref());
        let mut all = result.map(|r| r.sources).unwrap_or_default();
        all.add(&otherwise.sources);
        self.chosen("the condition of a CASE", &conditions, place(*location));
        all.add(&conditions);
        Value::computed(all)
    }

    fn coalesce(&mut self, e: &CoalesceExpr) -> Value {
        let CoalesceExpr { xpr: _, coalescetype: _, coalescecollid: _, args, location } = e;
        let mut all = Sources::default();
        let mut type_oid = None;
        for (i, arg) in args.iter().enumerate() {
            let value = self.node(arg);
            // A later argument is only looked at when this one is null, so its failing would tell.
            let simple = args.iter().skip(i + 1).all(|later| {
                matches!(
                    later.node.as_ref(),
                    Some(NodeEnum::AConst(_) | NodeEnum::ParamRef(_) | NodeEnum::ColumnRef(_))
                )
            });
            if !simple {
                self.chosen("COALESCE with an argument that may fail", &value.sources, place(*location));
            }
            if value.type_oid != 0 || value.sources.is_tagged() {
                let same = type_oid.is_none_or(|t| t == value.type_oid);
                type_oid = Some(if same { value.type_oid } else { 0 });
            }
            all.add(&value.sources);
        }
        Value { sources: all, nearness: Nearness::Computed, type_oid: type_oid.unwrap_or(0) }
    }

    fn array(&mut self, elements: &[Node], location: i32) -> Value {
        let mut all = Sources::default();
        for element in elements {
            let value = self.node(element);
            let nested = matches!(element.node.as_ref(), Some(NodeEnum::AArrayExpr(_)));
            if !nested && !total::is_plain_scalar(value.type_oid) {
                // Arrays within an array must be of one size.
                self.chosen("an array of what may be arrays", &value.sources, place(location));
            }
            all.add(&value.sources);
        }
        Value::computed(all)
    }

    fn indirection(&mut self, e: &AIndirection) -> Value {
        let AIndirection { arg, indirection } = e;
        let value = match self.whole_row(arg.as_deref()) {
            Some(row) => match indirection.split_first() {
                Some((Node { node: Some(NodeEnum::String(field)) }, rest)) if row.named(&field.sval).is_some() => {
                    let value = row.named(&field.sval).unwrap_or_default();
                    return self.parts(value, rest);
                }
                _ => Value::computed(row.sources()),
            },
            None => self.maybe(arg.as_deref()),
        };
        self.parts(value, indirection)
    }

    fn parts(&mut self, mut value: Value, indirection: &[Node]) -> Value {
        for part in indirection {
            value.type_oid = 0;
            match part.node.as_ref() {
                Some(NodeEnum::String(field)) => {
                    // (x).f is f(x) when the type of x has no field f.
                    if self.has_function(&field.sval) {
                        value.sources.add(&self.lose_softly("a function written like a field", -1).sources);
                    }
                }
                Some(NodeEnum::AStar(_)) => {}
                _ => {
                    let index = self.node(part);
                    value.sources.add(&index.sources);
                }
            }
            if value.nearness > Nearness::Part {
                value = self.decides("an element that may not be there", value.sources, -1);
            } else {
                value.nearness = Nearness::Part;
            }
        }
        value
    }

    /// The row that a bare name stands for, when no column has that name.
    pub(super) fn whole_row(&mut self, node: Option<&Node>) -> Option<super::value::Row> {
        let Some(NodeEnum::ColumnRef(reference)) = node.and_then(|n| n.node.as_ref()) else { return None };
        let parts = names(&reference.fields)?;
        let [name] = parts.as_slice() else { return None };
        let is_column = (0..self.scopes.len()).any(|level| self.column_at(level, name).0.is_some());
        if is_column {
            return None;
        }
        let row = self.entry(None, name)?.clone();
        self.seen.columns += 1;
        Some(row)
    }

    /// True when a function of this name may be called without its schema.
    fn has_function(&self, name: &str) -> bool {
        let path = self.settings.search_path().iter();
        path.filter_map(|s| self.catalog.schemas.get(s)).any(|s| s.functions.contains_key(name))
    }
}

/// Casts between built-in types that take every value.
fn widens(from: u32, to: u32) -> bool {
    match from {
        // int2, int4, int8 to wider ones, float4, float8, numeric
        21 => matches!(to, 23 | 20 | 700 | 701 | 1700),
        23 => matches!(to, 20 | 700 | 701 | 1700),
        20 => matches!(to, 700 | 701 | 1700),
        700 => to == 701,
        // timestamp, timestamptz to date
        1114 | 1184 => to == 1082,
        _ => false,
    }
}
