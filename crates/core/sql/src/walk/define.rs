//! Statements that change structure, rights or the server: [`Access::Admin`], whatever they hold. Temporary tables are the exception.
//!
//! Their names come from the census, so nothing in them is passed over.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{CreateStmt, DropBehavior, DropStmt, IntoClause, Node, RangeVar};

use super::kind::{is_function, is_part_of_relation, is_relation};
use super::name::Resolved;
use super::{Walk, names};
use crate::analysis::Statement;
use crate::catalog::TEMPORARY_SCHEMA;
use crate::census::Census;
use crate::vocabulary as v;

impl Walk<'_> {
    /// Any statement of [`super::kind::definition`].
    pub(super) fn define(&mut self, node: &NodeEnum, census: &Census, statement: &mut Statement) {
        self.seen = census.counts;
        self.quiet = true;
        statement.changes_catalog = true;
        let access = match node {
            NodeEnum::CreateStmt(create) => self.create_table(create, statement),
            NodeEnum::DropStmt(drop) => self.drop_objects(drop, statement),
            NodeEnum::IndexStmt(index) => {
                let range = index.relation.as_ref();
                let resolved = range.map(|r| self.resolve(&r.schemaname, &r.relname));
                match resolved {
                    Some(Resolved::Unknown(name)) if name.starts_with("pg_temp.") => Access::Write,
                    _ => Access::Admin,
                }
            }
            _ => Access::Admin,
        };
        self.uses.part(access);
        if access == Access::Write {
            statement.changes_temporary = true;
        }
        let made = made(node);
        if let Some((schema, name, temporary)) = made {
            let (_, qualified) = self.name_of_new(schema, name, temporary);
            self.note_new(access, &qualified, temporary);
        }
        // What a temporary table is made from is read; all else belongs to the change.
        let part =
            if access == Access::Write && matches!(node, NodeEnum::CreateStmt(_)) { Access::Read } else { access };
        // The census meets the name of the new thing first. It is not there yet, so any other of the same name is another.
        for (schema, name) in census.relations.iter().skip(usize::from(made.is_some())) {
            self.touch(part, schema, name);
        }
        if let Some((schema, name, temporary)) = made {
            let (schema, _) = self.name_of_new(schema, name, temporary);
            self.overlay.create(&schema, name);
        }
        for function in &census.functions {
            if let Some((name, schema)) = function.split_last() {
                self.function(schema.last().map(String::as_str), name, None, false);
            }
        }
        for role in &census.roles {
            self.uses.part(access).add(v::ROLES, &role.as_str().into());
        }
        self.special(node);
        self.quiet = false;
    }

    /// Names that the tree keeps as plain text, and what later statements of the same text must know.
    fn special(&mut self, node: &NodeEnum) {
        let mut role = |name: &str| self.uses.part(Access::Admin).add(v::ROLES, &name.into());
        match node {
            NodeEnum::CreateRoleStmt(s) => role(&s.role),
            NodeEnum::GrantRoleStmt(s) => {
                for granted in &s.granted_roles {
                    if let Some(NodeEnum::AccessPriv(p)) = granted.node.as_ref() {
                        role(&p.priv_name);
                    }
                }
            }
            NodeEnum::AlterSystemStmt(s) => {
                let name = s.setstmt.as_ref().map_or("", |s| &s.name).to_ascii_lowercase();
                self.uses.part(Access::Admin).add(v::SETTINGS, &name.into());
            }
            NodeEnum::AlterRoleSetStmt(s) => {
                let name = s.setstmt.as_ref().map_or("", |s| &s.name).to_ascii_lowercase();
                self.uses.part(Access::Admin).add(v::SETTINGS, &name.into());
            }
            NodeEnum::AlterDatabaseSetStmt(s) => {
                let name = s.setstmt.as_ref().map_or("", |s| &s.name).to_ascii_lowercase();
                self.uses.part(Access::Admin).add(v::SETTINGS, &name.into());
            }
            NodeEnum::CommentStmt(s) => self.object(s.objtype, s.object.as_deref()),
            NodeEnum::SecLabelStmt(s) => self.object(s.objtype, s.object.as_deref()),
            NodeEnum::RenameStmt(s) if is_relation(s.rename_type) => self.moves(s.relation.as_ref(), None, &s.newname),
            NodeEnum::RenameStmt(s) if is_part_of_relation(s.rename_type) => {}
            NodeEnum::AlterObjectSchemaStmt(s) if s.relation.is_some() => {
                let name = s.relation.as_ref().map_or("", |r| &r.relname);
                self.moves(s.relation.as_ref(), Some(&s.newschema), name);
            }
            // A schema, function, operator or type by another name: all that follows may mean something else.
            NodeEnum::RenameStmt(_) | NodeEnum::AlterObjectSchemaStmt(_) => self.adrift = true,
            NodeEnum::CreateFunctionStmt(s) => {
                self.created_functions = true;
                if let Some((name, schema)) = names(&s.funcname).as_deref().and_then(<[&str]>::split_last) {
                    let (_, qualified) = self.name_of_new(schema.last().unwrap_or(&""), name, false);
                    self.uses.part(Access::Admin).add(v::FUNCTIONS, &qualified);
                }
            }
            NodeEnum::CreateExtensionStmt(_) | NodeEnum::DefineStmt(_) => self.created_functions = true,
            NodeEnum::CreateTrigStmt(s) => self.named_functions(names(&s.funcname)),
            NodeEnum::DropStmt(s) if is_function(s.remove_type) => {
                for object in &s.objects {
                    if let Some(NodeEnum::ObjectWithArgs(object)) = object.node.as_ref() {
                        self.named_functions(names(&object.objname));
                    }
                }
            }
            _ => {}
        }
    }

    /// Functions that a change names without calling them.
    fn named_functions(&mut self, parts: Option<Vec<&str>>) {
        let Some((name, schema)) = parts.as_deref().and_then(<[&str]>::split_last) else { return };
        let catalog = self.catalog;
        let path: Vec<Arc<str>> = match schema.last() {
            Some(schema) => vec![Arc::from(*schema)],
            None => self.settings.search_path().to_vec(),
        };
        for schema in path {
            let indices = catalog.schemas.get(&*schema).and_then(|s| s.functions.get(*name));
            for function in indices.into_iter().flatten().filter_map(|i| catalog.functions.get(*i as usize)) {
                self.uses.part(Access::Admin).add(v::FUNCTIONS, &function.qualified);
            }
        }
    }

    /// A relation that `COMMENT` and the like name by a list of names.
    fn object(&mut self, kind: i32, object: Option<&Node>) {
        let Some(NodeEnum::List(list)) = object.and_then(|o| o.node.as_ref()) else { return };
        let Some(parts) = names(&list.items) else { return };
        let parts = if is_part_of_relation(kind) {
            parts.split_last().map_or(&[][..], |(_, rest)| rest)
        } else if is_relation(kind) {
            &parts[..]
        } else {
            return;
        };
        self.touch_parts(Access::Admin, parts);
    }

    /// A relation gets another schema or name.
    fn moves(&mut self, range: Option<&RangeVar>, schema: Option<&str>, name: &str) {
        let Some(range) = range else { return };
        let old = self.removed(&range.schemaname, &range.relname);
        self.overlay.create(schema.unwrap_or(&old), name);
    }

    /// A relation goes; gives the schema that it was in.
    fn removed(&mut self, schema: &str, name: &str) -> Arc<str> {
        let schema = match self.resolve(schema, name) {
            Resolved::Relation(relation) => Arc::clone(&relation.schema),
            Resolved::Unknown(qualified) if qualified.starts_with("pg_temp.") => TEMPORARY_SCHEMA.into(),
            Resolved::Unknown(_) => self.name_of_new(schema, name, false).0,
        };
        self.overlay.drop(&schema, name);
        schema
    }

    fn touch_parts(&mut self, access: Access, parts: &[&str]) -> Option<Arc<str>> {
        let (name, schema) = parts.split_last()?;
        Some(self.touch(access, schema.last().unwrap_or(&""), name).0)
    }

    fn create_table(&mut self, create: &CreateStmt, statement: &mut Statement) -> Access {
        let Some(range) = &create.relation else {
            self.refuse("CREATE TABLE has no name");
            return Access::Admin;
        };
        let temporary = range.relpersistence == "t" || crate::settings::is_temporary(&range.schemaname);
        let alone = create.inh_relations.is_empty() && create.partbound.is_none();
        let access = if temporary && alone { Access::Write } else { Access::Admin };
        statement.changes_temporary = temporary;
        access
    }

    fn note_new(&mut self, access: Access, qualified: &Arc<str>, temporary: bool) {
        let part = self.uses.part(access);
        part.add(v::RELATIONS, qualified);
        part.add(v::RELATIONS_ALL, qualified);
        part.beyond_catalog();
        part.touches(temporary);
    }

    fn drop_objects(&mut self, drop: &DropStmt, statement: &mut Statement) -> Access {
        let mut all_temporary = is_relation(drop.remove_type) && !drop.objects.is_empty();
        let mut found: Vec<Vec<&str>> = Vec::new();
        for object in &drop.objects {
            let parts = match object.node.as_ref() {
                Some(NodeEnum::List(list)) => names(&list.items),
                Some(NodeEnum::String(s)) => Some(vec![s.sval.as_str()]),
                Some(NodeEnum::TypeName(t)) => names(&t.names),
                Some(NodeEnum::ObjectWithArgs(o)) => names(&o.objname),
                _ => None,
            };
            found.extend(parts);
        }
        if !is_relation(drop.remove_type) && !is_part_of_relation(drop.remove_type) {
            if matches!(drop.remove_type, t if t == pg_query::protobuf::ObjectType::ObjectSchema as i32) {
                self.adrift = true;
            }
            return Access::Admin;
        }
        let mut resolved = Vec::new();
        for parts in &found {
            let parts = if is_part_of_relation(drop.remove_type) {
                parts.split_last().map_or(&[][..], |(_, rest)| rest)
            } else {
                &parts[..]
            };
            let Some((name, schema)) = parts.split_last() else { continue };
            let temporary = match self.resolve(schema.last().unwrap_or(&""), name) {
                Resolved::Unknown(qualified) => qualified.starts_with("pg_temp."),
                Resolved::Relation(_) => false,
            };
            all_temporary &= temporary;
            statement.changes_temporary |= temporary;
            resolved.push(parts);
        }
        let access = if all_temporary { Access::Write } else { Access::Admin };
        for parts in &resolved {
            self.touch_parts(access, parts);
        }
        if is_relation(drop.remove_type) {
            // With it goes what depends on it, and only the server knows what that is.
            self.adrift |= drop.behavior == DropBehavior::DropCascade as i32 && !resolved.is_empty();
            for (name, schema) in resolved.iter().filter_map(|parts| parts.split_last()) {
                self.removed(schema.last().unwrap_or(&""), name);
            }
        }
        access
    }

    /// `SELECT … INTO` and `CREATE TABLE AS`: a new table and what is in it.
    pub(super) fn select_into(&mut self, into: &IntoClause) {
        let IntoClause {
            rel,
            col_names: _,
            access_method: _,
            options,
            on_commit: _,
            table_space_name: _,
            view_query,
            skip_data: _,
        } = into;
        if view_query.is_some() {
            self.refuse("INTO holds a stored query");
        }
        self.nodes(options);
        let Some(range) = rel else {
            self.refuse("INTO has no name");
            return;
        };
        self.seen.relations += 1;
        let temporary = range.relpersistence == "t" || crate::settings::is_temporary(&range.schemaname);
        let (schema, qualified) = self.name_of_new(&range.schemaname, &range.relname, temporary);
        self.note_new(Access::Write, &qualified, temporary);
        if !temporary {
            self.note_new(Access::Admin, &qualified, false);
        }
        self.into = Some((schema, range.relname.as_str().into(), temporary));
    }

    /// After the whole statement: the table that it made is there.
    pub(super) fn settle_into(&mut self, statement: &mut Statement) {
        if let Some((schema, name, temporary)) = self.into.take() {
            self.overlay.create(&schema, &name);
            statement.changes_catalog = true;
            statement.changes_temporary = temporary;
        }
    }
}

/// The relation that a statement makes: schema as written, name, temporary.
fn made(node: &NodeEnum) -> Option<(&str, &str, bool)> {
    let range = match node {
        NodeEnum::CreateStmt(s) => s.relation.as_ref(),
        NodeEnum::ViewStmt(s) => s.view.as_ref(),
        NodeEnum::CreateSeqStmt(s) => s.sequence.as_ref(),
        NodeEnum::CompositeTypeStmt(s) => s.typevar.as_ref(),
        NodeEnum::CreateForeignTableStmt(s) => s.base_stmt.as_ref().and_then(|b| b.relation.as_ref()),
        _ => None,
    }?;
    let temporary = range.relpersistence == "t" || crate::settings::is_temporary(&range.schemaname);
    Some((&range.schemaname, &range.relname, temporary))
}
