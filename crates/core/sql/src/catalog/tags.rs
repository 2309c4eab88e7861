//! Which stored columns carry which tags: rules by name and type, words in comments, relatives, generated columns and views.
//!
//! It must never take a tag away: whatever says that a column is sensitive counts.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::{Tag, TagRule, Tagging};
use hashbrown::HashMap;

use super::glob::Glob;
use super::{Catalog, Relation, RelationKind, TEMPORARY_SCHEMA, push_part};
use crate::lineage::{derived_tags, generated_tags};

/// Rounds that look for columns generated from generated columns of relatives. PostgreSQL refuses the former, so one round more than
/// the two that can matter.
const ROUNDS_MAX: usize = 3;

/// What the builder kept for later: it needs the whole catalog.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) tagging: Tagging,
    /// Relation, column number, text.
    pub(super) comments: Vec<(u32, i16, Box<str>)>,
    /// Relation, column number, and the expression where it could be read.
    pub(super) generated: Vec<(u32, i16, Option<Box<str>>)>,
}

type Found = Vec<Vec<BTreeSet<Tag>>>;

/// The tags that a comment names: every `[…]` that holds nothing but tags, one of them with a dot or `secret` alone, and what
/// follows `countersign:` on a line. Several are
/// separated by commas or spaces.
pub(crate) fn comment_tags(comment: &str) -> BTreeSet<Tag> {
    let list = |s: &str| -> Option<Vec<Tag>> {
        let words = s.split([',', ' ', '\t']).filter(|w| !w.is_empty());
        words.map(|w| Tag::parse(&w.to_ascii_lowercase())).collect::<Option<Vec<Tag>>>()
    };
    let mut found = BTreeSet::new();
    for line in comment.lines() {
        let mut rest = line;
        while let Some((_, after)) = rest.split_once('[') {
            rest = after;
            if let Some((inside, _)) = after.split_once(']') {
                // Brackets hold many things; a word with a dot in it is a tag without doubt.
                let tags = list(inside).unwrap_or_default();
                if tags.iter().any(|t| t.as_str().contains('.')) || inside.trim() == "secret" {
                    found.extend(tags);
                }
            }
        }
        if let Some((_, after)) = line.split_once("countersign:") {
            // A person wrote that it is sensitive; words that are no tags end the list.
            let list = after.split_once(';').map_or(after, |(list, _)| list);
            let words = list.split([',', ' ', '\t']).filter(|w| !w.is_empty());
            found.extend(words.map_while(|w| Tag::parse(&w.trim_end_matches('.').to_ascii_lowercase())));
        }
    }
    found
}

/// Fills [`super::Column::tags`] and what goes with them.
pub(super) fn apply(catalog: &mut Catalog, notes: &Notes) {
    let (mut found, unmatched) = stated(catalog, notes);
    catalog.unmatched = unmatched;
    if found.iter().flatten().all(BTreeSet::is_empty) {
        return;
    }
    for _ in 0..ROUNDS_MAX {
        inherit(catalog, &mut found);
        write(catalog, &found);
        if !generate(catalog, notes, &mut found) {
            break;
        }
    }
    inherit(catalog, &mut found);
    write(catalog, &found);
    let is_view = |r: &Relation| {
        // Those of a session are read with the database's catalog in hand, when a statement names them.
        matches!(r.kind, RelationKind::View | RelationKind::MaterializedView)
            && r.definition.is_some()
            && *r.schema != *TEMPORARY_SCHEMA
    };
    let views: Vec<(usize, Vec<Box<[Tag]>>)> = catalog
        .relations
        .iter()
        .enumerate()
        .filter(|(_, r)| is_view(r))
        .map(|(i, r)| (i, derived_tags(catalog, r)))
        .collect();
    for (index, tags) in views {
        let Some(relation) = catalog.relations.get_mut(index) else { continue };
        for (column, tags) in relation.columns.iter_mut().zip(tags) {
            column.tags = tags;
        }
        note_tagged(&mut catalog.tagged, relation);
    }
}

/// Puts what was found so far into the catalog.
fn write(catalog: &mut Catalog, found: &Found) {
    let mut all: BTreeSet<&Tag> = BTreeSet::new();
    for (relation, columns) in catalog.relations.iter_mut().zip(found) {
        for (column, tags) in relation.columns.iter_mut().zip(columns) {
            column.tags = tags.iter().cloned().collect();
        }
        all.extend(columns.iter().flatten());
        note_tagged(&mut catalog.tagged, relation);
    }
    catalog.tags = all.into_iter().cloned().collect();
}

fn note_tagged(tagged: &mut hashbrown::HashSet<Arc<str>, foldhash::fast::RandomState>, relation: &Relation) {
    if relation.columns.iter().any(|c| !c.tags.is_empty()) {
        tagged.insert(Arc::clone(&relation.qualified));
    }
}

/// What rules and comments say, and the rules that say nothing.
fn stated(catalog: &Catalog, notes: &Notes) -> (Found, Vec<TagRule>) {
    let rules: Vec<(Glob, Option<Glob>, &TagRule, Cell<bool>)> = notes
        .tagging
        .rules
        .iter()
        .map(|r| {
            (Glob::new(&r.column), (!r.data_type.is_empty()).then(|| Glob::new(&r.data_type)), r, Cell::new(false))
        })
        .collect();
    let types = TypeNames::of(catalog);
    let mut comments: HashMap<(u32, i16), BTreeSet<Tag>, foldhash::fast::RandomState> = HashMap::default();
    if notes.tagging.comments {
        for (oid, number, text) in &notes.comments {
            comments.entry((*oid, *number)).or_default().extend(comment_tags(text));
        }
    }
    let mut name = String::new();
    let of_column = |relation: &Relation, column: &super::Column, name: &str| {
        let mut tags = comments.get(&(relation.oid, column.number)).cloned().unwrap_or_default();
        for (pattern, data_type, rule, met) in &rules {
            if is_system(&relation.schema) && !pattern.begins_with(&relation.schema) {
                continue;
            }
            if (!met.get() || !tags.contains(&rule.tag))
                && pattern.fits(name)
                && data_type.as_ref().is_none_or(|t| types.of_oid(catalog, column.type_oid).iter().any(|n| t.fits(n)))
            {
                tags.insert(rule.tag.clone());
                met.set(true);
            }
        }
        tags
    };
    let found = catalog
        .relations
        .iter()
        .map(|relation| {
            let columns = relation.columns.iter().map(|column| {
                name.clear();
                name.push_str(&relation.qualified);
                name.push('.');
                push_part(&mut name, &column.name);
                of_column(relation, column, &name)
            });
            columns.collect()
        })
        .collect();
    let unmatched = rules.iter().filter(|(.., met)| !met.get()).map(|(_, _, rule, _)| (*rule).clone()).collect();
    (found, unmatched)
}

/// PostgreSQL's own schemas: a rule must name them to reach them.
fn is_system(schema: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema" | "pg_toast")
}

/// Parents show their children's rows, and children have what their parents say of a column: all relatives share.
fn inherit(catalog: &Catalog, found: &mut Found) {
    for relation in &catalog.relations {
        // From each root once; a child that has several parents is met from each.
        if !relation.parents.is_empty() || relation.children.is_empty() {
            continue;
        }
        let mut family: Vec<&Relation> = vec![relation];
        let mut i = 0;
        // The children's other parents belong to it, too.
        while let Some(member) = family.get(i).copied() {
            for index in member.children.iter().chain(&member.parents) {
                if let Some(other) = catalog.relations.get(*index as usize)
                    && !family.iter().any(|f| f.oid == other.oid)
                {
                    family.push(other);
                }
            }
            i += 1;
        }
        let mut shared: HashMap<Arc<str>, BTreeSet<Tag>, foldhash::fast::RandomState> = HashMap::default();
        let indices: Vec<usize> = family
            .iter()
            .filter_map(|f| catalog.schemas.get(&*f.schema)?.relations.get(&f.name).map(|i| *i as usize))
            .collect();
        for (member, index) in family.iter().zip(&indices) {
            for (column, tags) in member.columns.iter().zip(found.get(*index).into_iter().flatten()) {
                shared.entry(Arc::clone(&column.name)).or_default().extend(tags.iter().cloned());
            }
        }
        for (member, index) in family.iter().zip(&indices) {
            let Some(columns) = found.get_mut(*index) else { continue };
            for (column, tags) in member.columns.iter().zip(columns) {
                tags.extend(shared.get(&column.name).into_iter().flatten().cloned());
            }
        }
    }
}

/// Generated columns have what they are generated from; true when that added something.
fn generate(catalog: &Catalog, notes: &Notes, found: &mut Found) -> bool {
    let mut added = false;
    let by_oid: HashMap<u32, usize, foldhash::fast::RandomState> =
        catalog.relations.iter().enumerate().map(|(i, r)| (r.oid, i)).collect();
    for (oid, number, expression) in &notes.generated {
        let Some(index) = by_oid.get(oid) else { continue };
        let Some(relation) = catalog.relations.get(*index) else { continue };
        let Some(at) = relation.columns.iter().position(|c| c.number == *number) else { continue };
        if relation.columns.iter().all(|c| c.tags.is_empty()) {
            continue;
        }
        let tags = generated_tags(catalog, relation, expression.as_deref());
        if let Some(slot) = found.get_mut(*index).and_then(|columns| columns.get_mut(at)) {
            let before = slot.len();
            slot.extend(tags);
            added |= slot.len() > before;
        }
    }
    added
}

/// Object ids of types to their names.
struct TypeNames(HashMap<u32, (Arc<str>, Arc<str>), foldhash::fast::RandomState>);

impl TypeNames {
    fn of(catalog: &Catalog) -> Self {
        let mut names = HashMap::default();
        for (schema, inside) in &catalog.schemas {
            for (name, oid) in &inside.types {
                names.insert(*oid, (Arc::clone(schema), Arc::clone(name)));
            }
        }
        Self(names)
    }

    /// The names of a type and of all that it is made of: bases of domains, elements of arrays, fields of rows.
    fn of_oid(&self, catalog: &Catalog, oid: u32) -> Vec<String> {
        let mut met = vec![oid];
        let mut names = Vec::new();
        let mut i = 0;
        while let Some(oid) = met.get(i).copied() {
            if let Some((schema, name)) = self.0.get(&oid) {
                names.push(name.to_string());
                names.push(super::qualify(schema, name));
                names.extend(alias(name).map(str::to_owned));
            }
            for inner in catalog.inner_types.get(&oid).into_iter().flatten() {
                if !met.contains(inner) {
                    met.push(*inner);
                }
            }
            i += 1;
        }
        names
    }
}

/// The standard's name of a built-in type.
fn alias(name: &str) -> Option<&'static str> {
    Some(match name {
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "bool" => "boolean",
        "float4" => "real",
        "float8" => "double precision",
        "bpchar" => "character",
        "varchar" => "character varying",
        "varbit" => "bit varying",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        _ => return None,
    })
}
