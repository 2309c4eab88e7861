//! A snapshot of one database's names: what relations, functions, operators, casts and types there are.
//!
//! Immutable once built and shared by all sessions; a session's temporary objects are a small catalog of their own
//! ([`crate::Settings`]). It must never answer for a schema that it was not told of.

mod build;
mod glob;
mod load;
mod tags;

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;

pub use build::{CatalogBuilder, CatalogError};
pub use load::{QUERIES, Section, TEMPORARY_QUERIES, TEMPORARY_SCHEMA};

use countersign_model::{Tag, TagRule};

use crate::lineage::ViewLineage;
use crate::tables::total::Likeness;
use crate::view::ViewFacts;

/// The snapshot.
#[derive(Debug)]
pub struct Catalog {
    pub(crate) generation: u64,
    pub(crate) digest: u64,
    pub(crate) schemas: HashMap<Arc<str>, Schema, foldhash::fast::RandomState>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) functions: Vec<Function>,
    pub(crate) function_by_oid: HashMap<u32, u32, foldhash::fast::RandomState>,
    /// Casts by functions that are not built in.
    pub(crate) casts: Vec<Cast>,
    /// Types that others are made of: elements of arrays, bases of domains, fields of rows.
    pub(crate) inner_types: HashMap<u32, Box<[u32]>, foldhash::fast::RandomState>,
    /// Types that are not PostgreSQL's own and whose values can be taken apart.
    pub(crate) type_kinds: HashMap<u32, TypeKind, foldhash::fast::RandomState>,
    pub(crate) extensions: Vec<Arc<str>>,
    /// Every tag that some column carries, sorted; empty when nothing is known to be sensitive.
    pub(crate) tags: Arc<[Tag]>,
    /// Rules that fit no column.
    pub(crate) unmatched: Vec<TagRule>,
    /// Qualified names of the relations that have tagged columns.
    pub(crate) tagged: hashbrown::HashSet<Arc<str>, foldhash::fast::RandomState>,
}

/// The names of one schema, each with indices into the catalog's lists.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    pub(crate) relations: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    pub(crate) functions: HashMap<Arc<str>, Vec<u32>, foldhash::fast::RandomState>,
    /// Type name to object id.
    pub(crate) types: HashMap<Arc<str>, u32, foldhash::fast::RandomState>,
    /// Operators that are not built in: name to the object ids of their functions.
    pub(crate) operators: HashMap<Arc<str>, Vec<u32>, foldhash::fast::RandomState>,
}

/// What sort of type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TypeKind {
    Domain,
    Array,
    Row,
    Text,
    Pairs,
}

/// What the values of a type are made of, of those that are not PostgreSQL's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeForm<'c> {
    /// Those of the type that this domain is over.
    Domain(u32),
    /// Elements of this type.
    Array(u32),
    /// Fields of these types, in order.
    Row(&'c [u32]),
    /// Characters, written as `text` is: `citext`.
    Text,
    /// Keys and values: `hstore`.
    Pairs,
    /// Nothing is known of them; labels of enumerations, too, which have no other labels than those of their type.
    Other,
}

/// What sort of relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary or partitioned table.
    Table,
    /// A view.
    View,
    /// A materialized view.
    MaterializedView,
    /// A table of a foreign server.
    ForeignTable,
    /// A sequence.
    Sequence,
    /// An index, a composite type or a TOAST table: seldom named in a query.
    Other,
}

/// One relation.
#[derive(Debug)]
pub struct Relation {
    pub(crate) oid: u32,
    pub(crate) schema: Arc<str>,
    pub(crate) name: Arc<str>,
    /// `schema.name`, as policies see it.
    pub(crate) qualified: Arc<str>,
    pub(crate) kind: RelationKind,
    pub(crate) columns: Vec<Column>,
    /// The text of a view.
    pub(crate) definition: Option<Arc<str>>,
    /// Which text that is; 0 where nobody said.
    pub(crate) version: u32,
    /// It has a text, which could not be read without waiting for somebody.
    pub(crate) unread: bool,
    /// Indices of the tables that it inherits from or is a partition of.
    pub(crate) parents: Vec<u32>,
    /// Indices of its children and partitions.
    pub(crate) children: Vec<u32>,
    pub(crate) facts: OnceLock<Arc<ViewFacts>>,
    pub(crate) lineage: OnceLock<Arc<ViewLineage>>,
}

impl Relation {
    /// Its object id.
    pub fn oid(&self) -> u32 {
        self.oid
    }

    /// `schema.name`, quoted where a part holds a dot or a quote.
    pub fn qualified(&self) -> &Arc<str> {
        &self.qualified
    }

    /// What sort it is.
    pub fn kind(&self) -> RelationKind {
        self.kind
    }

    /// Its columns in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The text of a view, as `pg_get_viewdef` gives it.
    pub fn definition(&self) -> Option<&Arc<str>> {
        self.definition.as_ref()
    }

    pub(crate) fn has_column(&self, name: &str) -> bool {
        self.columns.iter().any(|c| &*c.name == name) || is_system_column(name)
    }
}

fn is_system_column(name: &str) -> bool {
    matches!(name, "ctid" | "xmin" | "xmax" | "cmin" | "cmax" | "tableoid")
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: Arc<str>,
    /// Its number, from 1.
    pub number: i16,
    /// Its type's object id.
    pub type_oid: u32,
    /// It is computed from others of its row.
    pub(crate) generated: bool,
    /// What it holds, sorted: by rule, by comment, of relatives, and of the columns that a view or a generated column is made from.
    pub tags: Box<[Tag]>,
}

/// One function, procedure, aggregate or window function.
#[derive(Clone, Debug)]
pub(crate) struct Function {
    pub(crate) name: Arc<str>,
    pub(crate) qualified: Arc<str>,
    pub(crate) built_in: bool,
    pub(crate) arguments_min: u16,
    /// `None` when variadic.
    pub(crate) arguments_max: Option<u16>,
    pub(crate) is_volatile: bool,
    /// It is one of the server's own in `information_schema`.
    pub(crate) comes_with_server: bool,
    /// Its language is machine code, not a text that the server runs.
    pub(crate) is_machine_code: bool,
    /// It came with an extension whose functions read nothing.
    pub(crate) is_vouched: bool,
    pub(crate) is_immutable: bool,
    /// It gives one value, not a set.
    pub(crate) gives_one: bool,
    pub(crate) is_procedure: bool,
    pub(crate) security_definer: bool,
    /// The types of its result and of its output arguments.
    pub(crate) types: Box<[u32]>,
    /// It is an extension's form of a built-in function.
    pub(crate) likeness: Option<Likeness>,
}

impl Function {
    /// Built in, or immutable machine code, or vouched for by name or extension where nobody else could have made it: it computes from its
    /// arguments and reads nothing.
    pub(crate) fn reads_only_arguments(&self) -> bool {
        let vouched =
            (self.is_machine_code || self.comes_with_server) && crate::tables::total::reads_nothing(&self.name);
        self.built_in || vouched || self.is_vouched || self.is_machine_code && self.is_immutable
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cast {
    pub(crate) source: u32,
    pub(crate) target: u32,
    pub(crate) function: u32,
    /// It may happen without `CAST` in the text.
    pub(crate) implicit: bool,
}

impl Catalog {
    /// Which load this is: part of cache keys, so two different snapshots must never share it.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// True when both were built from the same rows, in whatever order, with the same tagging.
    pub fn same_content(&self, other: &Self) -> bool {
        self.digest == other.digest && self.relations.len() == other.relations.len()
    }

    /// How many relations it knows.
    pub fn relation_count(&self) -> usize {
        self.relations.len()
    }

    /// How many functions it knows.
    pub fn function_count(&self) -> usize {
        self.functions.len()
    }

    /// Every tag that some column carries, sorted.
    pub fn tags(&self) -> &Arc<[Tag]> {
        &self.tags
    }

    /// True when the relation of this qualified name has a tagged column.
    pub(crate) fn is_tagged(&self, qualified: &str) -> bool {
        self.tagged.contains(qualified)
    }

    /// The type's object id of a stored column, by its full name `schema.relation.column`; `None` when there is none, or its name needs
    /// quotes.
    pub fn column_type(&self, column: &str) -> Option<u32> {
        let mut parts = column.split('.');
        let (schema, relation, column) = (parts.next()?, parts.next()?, parts.next()?);
        let index = *self.schemas.get(schema)?.relations.get(relation)?;
        let relation = self.relations.get(usize::try_from(index).ok()?)?;
        let found = relation.columns.iter().find(|c| &*c.name == column)?;
        parts.next().is_none().then_some(found.type_oid)
    }

    /// The rules that fit no column of this database: somebody may have mistyped a name.
    pub fn unmatched_rules(&self) -> &[TagRule] {
        &self.unmatched
    }

    /// What the values of a type are made of, by its object id.
    pub fn type_form(&self, oid: u32) -> TypeForm<'_> {
        let inner = self.inner_types.get(&oid).map(|all| &**all).unwrap_or_default();
        match (self.type_kinds.get(&oid), inner) {
            (Some(TypeKind::Domain), [base]) => TypeForm::Domain(*base),
            (Some(TypeKind::Array), [element]) => TypeForm::Array(*element),
            (Some(TypeKind::Row), fields) => TypeForm::Row(fields),
            (Some(TypeKind::Text), _) => TypeForm::Text,
            (Some(TypeKind::Pairs), _) => TypeForm::Pairs,
            _ => TypeForm::Other,
        }
    }

    /// Names of the installed extensions, sorted.
    pub fn extensions(&self) -> &[Arc<str>] {
        &self.extensions
    }

    /// Finds a relation by its exact schema and name.
    pub fn relation(&self, schema: &str, name: &str) -> Option<&Relation> {
        let index = *self.schemas.get(schema)?.relations.get(name)?;
        self.relations.get(index as usize)
    }

    pub(crate) fn function_of_oid(&self, oid: u32) -> Option<&Function> {
        self.functions.get(*self.function_by_oid.get(&oid)? as usize)
    }

    /// The relation's ancestors and descendants, itself excluded.
    pub(crate) fn relatives<'a>(&'a self, of: &'a Relation) -> Vec<&'a Relation> {
        let mut found: Vec<&Relation> = Vec::new();
        for direction in [|r: &Relation| r.parents.clone(), |r: &Relation| r.children.clone()] {
            let mut queue = direction(of);
            while let Some(index) = queue.pop() {
                let Some(relation) = self.relations.get(index as usize) else { continue };
                if relation.oid != of.oid && !found.iter().any(|f| f.oid == relation.oid) {
                    found.push(relation);
                    queue.extend(direction(relation));
                }
            }
        }
        found
    }
}

/// `schema.name`; a part that holds a dot or a quote is quoted, so that two relations never share a name.
pub(crate) fn qualify(schema: &str, name: &str) -> String {
    let mut out = String::with_capacity(schema.len() + name.len() + 1);
    push_part(&mut out, schema);
    out.push('.');
    push_part(&mut out, name);
    out
}

/// Adds one more part to a qualified name.
pub(crate) fn push_part(out: &mut String, part: &str) {
    if part.contains(['.', '"']) {
        out.push('"');
        out.push_str(&part.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(part);
    }
}

#[cfg(test)]
mod tests;
