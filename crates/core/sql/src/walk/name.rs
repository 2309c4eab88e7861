//! Names of relations, types and operators to what they are.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::protobuf::{RangeVar, TypeName};

use super::scope::{Cte, Entry, Source, alias_columns};
use super::{Walk, names};
use crate::analysis::UndefinedKind;
use crate::catalog::{Relation, RelationKind, TEMPORARY_SCHEMA, qualify};
use crate::settings::is_temporary;
use crate::tables::relations as tables;
use crate::view::ViewFacts;
use crate::vocabulary as v;

/// Object ids below this one are PostgreSQL's own (`FirstNormalObjectId`).
const FIRST_MADE_OID: u32 = 16_384;

/// What a relation name turned out to be.
pub(super) enum Resolved<'a> {
    Relation(&'a Relation),
    /// Made by this text, or not there at all; the qualified name.
    Unknown(Arc<str>),
}

impl<'a> Walk<'a> {
    /// The name of a `WITH` list that a bare name means here, if any.
    pub(super) fn cte(&self, name: &RangeVar) -> Option<&Cte> {
        if !name.schemaname.is_empty() {
            return None;
        }
        self.scopes.iter().rev().find_map(|s| s.ctes.iter().rev().find(|c| *c.name == *name.relname))
    }

    /// Looks a relation up along the search path.
    pub(super) fn resolve(&mut self, schema: &str, name: &str) -> Resolved<'a> {
        let path: Vec<Arc<str>> = if schema.is_empty() {
            self.settings.search_path().to_vec()
        } else if is_temporary(schema) {
            vec![TEMPORARY_SCHEMA.into()]
        } else {
            vec![schema.into()]
        };
        for schema in &path {
            if self.overlay.is_created(schema, name) {
                return Resolved::Unknown(qualify(schema, name).into());
            }
            if self.overlay.is_dropped(schema, name) {
                continue;
            }
            if **schema == *TEMPORARY_SCHEMA {
                if self.settings.temporary().is_some_and(|t| t.relation(TEMPORARY_SCHEMA, name).is_some()) {
                    return Resolved::Unknown(qualify(schema, name).into());
                }
            } else if let Some(relation) = self.catalog.relation(schema, name) {
                return Resolved::Relation(relation);
            }
        }
        let written = if schema.is_empty() { name.to_owned() } else { qualify(schema, name) };
        self.undefined(UndefinedKind::Relation, &written);
        // Where it would be made.
        Resolved::Unknown(if schema.is_empty() { self.name_of_new("", name, false).1 } else { written.into() })
    }

    /// Notes a relation under an access, with all that lies beneath it. Returns its qualified name.
    pub(super) fn touch(&mut self, access: Access, schema: &str, name: &str) -> (Arc<str>, Resolved<'a>) {
        let resolved = self.resolve(schema, name);
        match &resolved {
            Resolved::Unknown(qualified) => {
                let temporary = qualified.starts_with("pg_temp.");
                let part = self.uses.part(access);
                part.add(v::RELATIONS, qualified);
                part.add(v::RELATIONS_ALL, qualified);
                part.beyond_catalog();
                part.touches(temporary);
                let qualified = Arc::clone(qualified);
                if temporary {
                    self.temporary_view(access, name);
                }
                (qualified, resolved)
            }
            Resolved::Relation(relation) => {
                let relation = *relation;
                self.touch_relation(access, relation);
                (Arc::clone(&relation.qualified), resolved)
            }
        }
    }

    fn touch_relation(&mut self, access: Access, relation: &'a Relation) {
        let catalog = self.catalog;
        let part = self.uses.part(access);
        part.touches(false);
        part.add(v::RELATIONS, &relation.qualified);
        part.add(v::RELATIONS_ALL, &relation.qualified);
        if tables::is_sensitive(&relation.name) {
            part.sensitive();
        } else if !tables::is_catalog(&relation.schema, &relation.name) {
            part.beyond_catalog();
        }
        for relative in catalog.relatives(relation) {
            part.add(v::RELATIONS_ALL, &relative.qualified);
        }
        self.types_in_sight.extend(relation.columns.iter().filter(|_| !catalog.casts.is_empty()).map(|c| c.type_oid));
        if relation.unread {
            self.altered(&relation.qualified);
        }
        if let Some(definition) = &relation.definition {
            // What it means does not depend on who asks: no temporary object can come between.
            let settings = self.settings.clone().with_temporary(None);
            let facts = ViewFacts::of(relation, definition, catalog, &settings, self.view_depth);
            self.view(access, relation.kind == RelationKind::View, &facts);
        }
    }

    fn temporary_view(&mut self, access: Access, name: &str) {
        let settings = self.settings.clone();
        let Some(relation) = settings.temporary().and_then(|t| t.relation(TEMPORARY_SCHEMA, name)) else { return };
        if let Some(definition) = &relation.definition {
            let facts = ViewFacts::of(relation, definition, self.catalog, &settings, self.view_depth);
            self.view(access, true, &facts);
        }
        if relation.unread {
            self.altered(&relation.qualified);
        }
    }

    /// The definition of a view cannot be read now, so nobody knows what reading it means.
    fn altered(&mut self, view: &Arc<str>) {
        self.refuse("the definition of a view cannot be read while somebody alters what it reads");
        self.undefined(UndefinedKind::Altered, view);
    }

    fn view(&mut self, access: Access, runs: bool, facts: &ViewFacts) {
        if let Some(view) = &facts.unread {
            self.altered(view);
        }
        let part = self.uses.part(access);
        for relation in &facts.relations {
            part.add(v::RELATIONS_ALL, relation);
        }
        part.beyond_catalog();
        if facts.sensitive {
            part.sensitive();
        }
        if runs {
            let access = facts.access.max(access);
            for function in &facts.functions {
                self.use_function(access, function);
            }
            self.uses.part(access);
            self.may_change_settings |= facts.access >= Access::Execute;
        }
    }

    /// A relation in `FROM`: a name of a `WITH` list, or a real one.
    pub(super) fn range(&mut self, range: &RangeVar, access: Access) -> Entry<'a> {
        self.seen.relations += 1;
        let alias = range.alias.as_ref();
        let name: Arc<str> = alias.map_or(range.relname.as_str(), |a| a.aliasname.as_str()).into();
        let renamed = alias_columns(alias);
        if access == Access::Read
            && let Some(cte) = self.cte(range)
        {
            let (columns, relations) = (cte.columns.clone(), cte.relations.clone());
            let source = Source::Derived(columns);
            return Entry { name, schema: "".into(), source, renamed, access, relations, only_named: false };
        }
        self.target(range, access)
    }

    /// A relation that is not looked for among the names of `WITH` lists. The caller counts it.
    pub(super) fn target(&mut self, range: &RangeVar, access: Access) -> Entry<'a> {
        let alias = range.alias.as_ref();
        let name: Arc<str> = alias.map_or(range.relname.as_str(), |a| a.aliasname.as_str()).into();
        let (qualified, resolved) = self.touch(access, &range.schemaname, &range.relname);
        let (schema, source) = match resolved {
            Resolved::Relation(relation) => (Arc::clone(&relation.schema), Source::Relation(relation)),
            Resolved::Unknown(_) => (TEMPORARY_SCHEMA.into(), Source::Bare),
        };
        let schema = if alias.is_some() { "".into() } else { schema };
        Entry {
            name,
            schema,
            source,
            renamed: alias_columns(alias),
            access,
            relations: vec![qualified],
            only_named: false,
        }
    }

    /// A type: casts to it may run code, and its modifiers are expressions.
    pub(super) fn type_name(&mut self, name: &TypeName) {
        self.seen.types += 1;
        let TypeName {
            names: parts,
            type_oid: _,
            setof: _,
            pct_type,
            typmods,
            typemod: _,
            array_bounds: _,
            location: _,
        } = name;
        self.nodes(typmods);
        let Some(parts) = names(parts) else {
            self.refuse("a type name is not made of names");
            return;
        };
        if *pct_type {
            return;
        }
        if let [.., name] = parts.as_slice() {
            let schema = if parts.len() > 1 { parts.get(parts.len() - 2).copied() } else { None };
            if let Some(oid) = self.type_oid(schema, name) {
                self.casts_to(oid);
            }
        }
    }

    pub(super) fn type_oid(&self, schema: Option<&str>, name: &str) -> Option<u32> {
        let find = |schema: &str| {
            let temporary = self.settings.temporary().filter(|_| is_temporary(schema));
            temporary.unwrap_or(self.catalog).schemas.get(schema)?.types.get(name).copied()
        };
        match schema {
            Some(schema) => find(schema),
            None => self.settings.search_path().iter().find_map(|s| find(s)),
        }
    }

    /// A cast to a type, or a mention of it.
    pub(super) fn casts_to(&mut self, oid: u32) {
        self.types_named.push(oid);
        self.types_in_sight.push(oid);
    }

    /// The functions of casts that somebody made, where values of their types may come up. A made cast from a made type may happen
    /// wherever that type is; one from a built-in type to a made type, wherever the latter is; one between built-in types, where the
    /// target is named, and anywhere if it needs no naming.
    pub(super) fn casts(&mut self) {
        let catalog = self.catalog;
        let named = std::mem::take(&mut self.types_named);
        let mut sight = std::mem::take(&mut self.types_in_sight);
        if catalog.casts.is_empty() {
            return;
        }
        let mut i = 0;
        while let Some(oid) = sight.get(i).copied() {
            for inner in catalog.inner_types.get(&oid).into_iter().flatten() {
                if !sight.contains(inner) {
                    sight.push(*inner);
                }
            }
            i += 1;
        }
        let made = |oid: u32| oid >= FIRST_MADE_OID;
        for cast in &catalog.casts {
            let happens = if made(cast.source) {
                sight.contains(&cast.source)
            } else if made(cast.target) {
                sight.contains(&cast.target)
            } else {
                cast.implicit || named.contains(&cast.target)
            };
            if happens {
                self.function_of_oid(cast.function);
            }
        }
    }

    /// An operator by its name parts: only those that somebody made can run anything of note.
    pub(super) fn operator(&mut self, parts: &[&str]) {
        let catalog = self.catalog;
        let Some((name, schema)) = parts.split_last() else {
            self.refuse("an operator has no name");
            return;
        };
        let mut found: Vec<u32> = Vec::new();
        let mut look = |schema: &str| {
            if let Some(functions) = catalog.schemas.get(schema).and_then(|s| s.operators.get(*name)) {
                found.extend(functions);
            }
        };
        match schema.last() {
            Some(schema) => look(schema),
            None => self.settings.search_path().iter().for_each(|s| look(s)),
        }
        for function in found {
            self.function_of_oid(function);
        }
    }
}
