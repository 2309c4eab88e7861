//! Function calls: which functions may be meant, and how grave the gravest of them is.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{CoercionForm, FuncCall, WindowDef};

use super::{Walk, names};
use crate::analysis::UndefinedKind;
use crate::catalog::{Function, qualify};
use crate::settings::is_temporary;
use crate::tables::functions as tables;

impl Walk<'_> {
    /// A call with its arguments. `is_call` says that it stands in `CALL`.
    pub(super) fn call(&mut self, call: &FuncCall, is_call: bool) {
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
            func_variadic,
            funcformat,
            location: _,
        } = call;
        self.nodes(args);
        self.nodes(agg_order);
        self.maybe(agg_filter.as_deref());
        if let Some(over) = over {
            self.window(over);
        }
        let Some(parts) = names(funcname) else {
            self.refuse("a function name is not made of names");
            return;
        };
        let Some((name, schema)) = parts.split_last() else {
            self.refuse("a function has no name");
            return;
        };
        let ordered = if *agg_within_group { agg_order.len() } else { 0 };
        let has_names = args.iter().any(|a| matches!(a.node, Some(NodeEnum::NamedArgExpr(_))));
        let arguments = (!has_names && !*func_variadic).then_some(args.len() + ordered);
        let built_in_syntax = *funcformat == CoercionForm::CoerceSqlSyntax as i32;
        let found = self.function(schema.last().copied(), name, arguments, is_call);
        if found || built_in_syntax {
            return;
        }
        if args.len() == 1
            && let Some(oid) = self.type_oid(schema.last().copied(), name)
        {
            // f(x) is a cast when f is a type.
            self.casts_to(oid);
            return;
        }
        if !self.created_functions {
            self.undefined(UndefinedKind::Function, &parts.join("."));
        }
        let written: Arc<str> = qualify(schema.last().copied().unwrap_or(""), name).into();
        self.use_function(Access::Execute, &written);
        self.may_change_settings = true;
    }

    /// Judges the functions that a name may mean; false when there are none.
    pub(super) fn function(
        &mut self,
        schema: Option<&str>,
        name: &str,
        arguments: Option<usize>,
        is_call: bool,
    ) -> bool {
        let catalog = self.catalog;
        let mut candidates: Vec<&Function> = Vec::new();
        let mut look = |schema: &str| {
            let indices = catalog.schemas.get(schema).and_then(|s| s.functions.get(name));
            candidates.extend(indices.into_iter().flatten().filter_map(|i| catalog.functions.get(*i as usize)));
        };
        match schema {
            Some(schema) => look(schema),
            // Temporary functions are found by their schema alone.
            None => self.settings.search_path().iter().filter(|s| !is_temporary(s)).for_each(|s| look(s)),
        }
        if candidates.is_empty() {
            return false;
        }
        let fits = |f: &&Function| {
            f.is_procedure == is_call
                && arguments.is_none_or(|n| {
                    n >= usize::from(f.arguments_min) && f.arguments_max.is_none_or(|max| n <= usize::from(max))
                })
        };
        if candidates.iter().any(fits) {
            candidates.retain(fits);
        }
        for function in candidates {
            self.judge(function);
        }
        true
    }

    /// A function that an operator or a cast runs.
    pub(super) fn function_of_oid(&mut self, oid: u32) {
        let catalog = self.catalog;
        match catalog.function_of_oid(oid) {
            Some(function) => self.judge(function),
            None => {
                self.uses.part(Access::Execute);
                self.may_change_settings = true;
            }
        }
    }

    fn judge(&mut self, function: &Function) {
        if !function.built_in && !self.catalog.casts.is_empty() {
            self.types_in_sight.extend(&function.types);
        }
        if tables::is_sensitive(&function.name) {
            self.uses.part(Access::Read).sensitive();
        }
        if tables::changes_settings(&function.name) {
            self.constants_matter = true;
        }
        let access = if function.built_in {
            match tables::built_in(&function.name, function.is_volatile) {
                None => return,
                Some(access) => access,
            }
        } else if let Some(access) = tables::grave(&function.name) {
            access
        } else if function.is_volatile || function.security_definer || function.is_procedure {
            Access::Execute
        } else {
            Access::Read
        };
        self.use_function(access, &function.qualified);
        if access == Access::Write {
            self.uses.part(access).touches(false);
        }
        if access >= Access::Execute {
            self.constants_matter = true;
            // Built-in functions change no settings but through set_config.
            self.may_change_settings |= !function.built_in || tables::changes_settings(&function.name);
        }
    }

    pub(super) fn window(&mut self, window: &WindowDef) {
        let WindowDef {
            name: _,
            refname: _,
            partition_clause,
            order_clause,
            frame_options: _,
            start_offset,
            end_offset,
            location: _,
        } = window;
        self.nodes(partition_clause);
        self.nodes(order_clause);
        self.maybe(start_offset.as_deref());
        self.maybe(end_offset.as_deref());
    }
}
