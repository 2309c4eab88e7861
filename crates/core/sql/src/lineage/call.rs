//! Function calls: what a result depends on, and what becomes of the arguments.

use pg_query::NodeEnum;
use pg_query::protobuf::{CoercionForm, FuncCall, Node, WindowDef, a_const};

use super::value::{Nearness, Sources, Value};
use super::{Effect, Tracer, place};
use crate::catalog::Function;
use crate::settings::is_temporary;
use crate::tables::functions as effects;
use crate::tables::total::{self, Likeness, Safe};
use crate::walk::names;

/// What the functions that a name may mean amount to.
#[derive(Default)]
struct Meant {
    found: bool,
    /// All are PostgreSQL's own, or an extension's that do the same.
    built_in: bool,
    /// One of them is an extension's: only its first argument is known not to make it fail.
    alike: bool,
    /// One of them may read anything.
    reads: bool,
    /// One of them may keep or send its arguments.
    keeps: bool,
    /// One of them may give several rows.
    many: bool,
}

impl Tracer<'_> {
    /// A call in an expression. `in_from` says that its rows go into `FROM`.
    pub(super) fn call(&mut self, call: &FuncCall, in_from: bool) -> Value {
        self.seen.functions += 1;
        let FuncCall {
            funcname,
            args,
            agg_order,
            agg_filter,
            over,
            agg_within_group,
            agg_star: _,
            agg_distinct: _,
            func_variadic: _,
            funcformat,
            location,
        } = call;
        let at = place(*location);
        let mut values: Vec<Value> = args.iter().map(|a| self.node(a)).collect();
        let mut extra = Sources::default();
        let direct_args = values.len();
        if *agg_within_group {
            for by in agg_order {
                let value = self.sort_key(by);
                values.push(value);
            }
        } else {
            for by in agg_order {
                let value = self.sort_key(by);
                self.chosen("ORDER BY of an aggregate", &value.sources, at);
                extra.add(&value.sources);
            }
        }
        if let Some(filter) = agg_filter {
            let value = self.node(filter);
            self.chosen("FILTER", &value.sources, at);
            extra.add(&value.sources);
        }
        if let Some(over) = over {
            extra.add(&self.window(over));
        }
        let parts = names(funcname).unwrap_or_default();
        let Some((name, schema)) = parts.split_last() else { return self.lose("a function without a name") };
        let mut all = extra;
        for value in &values {
            self.step(value.sources.columns().len());
            all.add(&value.sources);
        }
        let has_names = args.iter().any(|a| matches!(a.node, Some(NodeEnum::NamedArgExpr(_))));
        let count = (!has_names && !call.func_variadic).then_some(values.len());
        let meant = self.meant(schema.last().copied(), name, count);
        let is_syntax = *funcformat == CoercionForm::CoerceSqlSyntax as i32;
        if !meant.found && !is_syntax {
            return self.cast_or_lose(schema.last().copied(), name, args, all, *location);
        }
        if meant.keeps {
            self.note(Effect::Copied, "an argument of a function that may keep it", &all, at);
        }
        if meant.reads {
            self.chosen("a function that may read anything", &Sources::anything(), at);
            all.anything = true;
            return Value::computed(all);
        }
        // A document is made of a value by the cast of its type, if somebody made one.
        if name.contains("json") && [114, 3802].iter().any(|json| self.made_cast(0, *json)) {
            all.add(&self.lose_softly("a cast that somebody made", *location).sources);
        }
        let safe = match total::safe(name).filter(|_| meant.built_in || is_syntax) {
            Some(_) if meant.alike => Some(Safe::First),
            safe => safe,
        };
        for (i, value) in values.iter().enumerate() {
            let allowed = match safe {
                Some(Safe::All) => !*agg_within_group || i >= direct_args,
                Some(Safe::First) => i == 0 && self.is_plain_use(name, args),
                Some(Safe::Second) => i == 1,
                None => false,
            };
            if !allowed || !fits(name, value, values.len()) {
                self.chosen("a function that may fail or give null", &value.sources, at);
            }
        }
        if meant.many && !in_from {
            // How many rows come depends on the arguments; built-in functions that are safe give one.
            if safe.is_none() {
                self.chosen("a function that may give several rows", &all, at);
            }
        }
        let type_oid =
            if meant.built_in && total::gives_text(name) { total::TEXT_OID } else { self.kept_type(name, &values) };
        Value { sources: all, nearness: Nearness::Computed, type_oid }
    }

    /// The type of an aggregate or window function that gives one of its arguments.
    fn kept_type(&self, name: &str, values: &[Value]) -> u32 {
        match (name, values) {
            (
                "min" | "max" | "first_value" | "last_value" | "any_value" | "lag" | "lead" | "nth_value",
                [first, ..],
            ) => first.type_oid,
            ("length" | "char_length" | "octet_length" | "ascii" | "strpos" | "position", _) => 23,
            ("count" | "row_number" | "rank" | "dense_rank", _) => 20,
            _ => 0,
        }
    }

    /// `substring(x from 'pattern')` is null where nothing fits, and only its arguments tell it from the one that counts characters.
    fn is_plain_use(&mut self, name: &str, args: &[Node]) -> bool {
        if name != "substring" {
            return true;
        }
        self.constants_matter = true;
        args.iter().skip(1).all(|a| match a.node.as_ref() {
            Some(NodeEnum::AConst(c)) => matches!(c.val, Some(a_const::Val::Ival(_))),
            _ => false,
        })
    }

    /// f(x) is a cast when f is a type and no function.
    fn cast_or_lose(&mut self, schema: Option<&str>, name: &str, args: &[Node], all: Sources, location: i32) -> Value {
        let oid = if args.len() == 1 { self.type_oid(schema, name) } else { None };
        match oid {
            Some(oid) if !self.made_cast(0, oid) => {
                if total::takes_any_value(schema, name) {
                    return Value { sources: all, nearness: Nearness::Computed, type_oid: oid };
                }
                self.decides("a cast that may fail", all, location)
            }
            _ => {
                self.note(Effect::Copied, "an argument of a function that is not known", &all, place(location));
                self.lose_softly("a function that is not known", location)
            }
        }
    }

    /// What the functions of this name amount to. Those that take another number of arguments are left out if any fits.
    fn meant(&self, schema: Option<&str>, name: &str, arguments: Option<usize>) -> Meant {
        let mut candidates: Vec<&Function> = Vec::new();
        let mut look = |schema: &str| {
            let indices = self.catalog.schemas.get(schema).and_then(|s| s.functions.get(name));
            candidates.extend(indices.into_iter().flatten().filter_map(|i| self.catalog.functions.get(*i as usize)));
        };
        match schema {
            Some(schema) => look(schema),
            None => self.settings.search_path().iter().filter(|s| !is_temporary(s)).for_each(|s| look(s)),
        }
        let fits = |f: &&Function| {
            arguments.is_none_or(|n| {
                n >= usize::from(f.arguments_min) && f.arguments_max.is_none_or(|max| n <= usize::from(max))
            })
        };
        if candidates.iter().any(fits) {
            candidates.retain(fits);
        }
        let mut meant = Meant { found: !candidates.is_empty(), built_in: true, ..Meant::default() };
        for function in candidates {
            let likeness = function.likeness.filter(|_| !self.made_operator(&["="]) && !self.made_operator(&["||"]));
            let harmless = function.reads_only_arguments() || likeness.is_some();
            meant.built_in &= function.built_in || likeness == Some(Likeness::Same);
            meant.alike |= likeness.is_some();
            meant.reads |= total::reads_anything(&function.name) || !harmless;
            meant.keeps |= if function.built_in {
                total::keeps(&function.name)
                    || effects::built_in(&function.name, function.is_volatile).is_some()
                    || total::reads_anything(&function.name)
            } else {
                !harmless
            };
            meant.many |= !function.gives_one;
        }
        meant
    }

    /// True when the functions of this name are built in and give one column of plain values.
    pub(super) fn gives_one_column(&self, schema: Option<&str>, name: &str) -> bool {
        let meant = self.meant(schema, name, None);
        meant.found && meant.built_in && total::one_column_set(name)
    }

    /// A window: rows are sorted and parted by what it depends on.
    pub(super) fn window(&mut self, window: &WindowDef) -> Sources {
        let WindowDef {
            name: _,
            refname,
            partition_clause,
            order_clause,
            frame_options: _,
            start_offset,
            end_offset,
            location,
        } = window;
        let mut all = Sources::default();
        for node in order_clause {
            all.add(&self.sort_key(node).sources);
        }
        all.add(&self.values(partition_clause));
        all.add(&self.maybe(start_offset.as_deref()).sources);
        all.add(&self.maybe(end_offset.as_deref()).sources);
        self.chosen("a window", &all, place(*location));
        let named = if refname.is_empty() { &window.name } else { refname };
        if let Some((_, sources)) = self.scope().windows.iter().find(|(n, _)| **n == **named) {
            let sources = sources.clone();
            all.add(&sources);
        }
        all
    }

    /// What a `SortBy` sorts by; it is no output column's name.
    pub(super) fn sort_key(&mut self, node: &Node) -> Value {
        match node.node.as_ref() {
            Some(NodeEnum::SortBy(by)) => {
                if !by.use_op.is_empty() && self.made_operator(&names(&by.use_op).unwrap_or_default()) {
                    return self.lose_softly("an operator that somebody made", by.location);
                }
                self.maybe(by.node.as_deref())
            }
            _ => self.node(node),
        }
    }
}

/// What is in the lists of [`total`] with a condition on the value.
fn fits(name: &str, value: &Value, arguments: usize) -> bool {
    match name {
        // With an encoding it fails on bytes that are none.
        "length" => arguments == 1,
        // Arrays of different sizes do not go together.
        "array_agg" | "array_append" | "array_prepend" => total::is_plain_scalar(value.type_oid),
        _ => true,
    }
}
