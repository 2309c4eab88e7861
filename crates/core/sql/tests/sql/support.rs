//! The catalog of the tests, and ways to look at a shape.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use countersign_model::{Access, Attribute, Shape, Use};
use countersign_sql::{Analysis, Catalog, CatalogBuilder, Section, Settings, analyse};

const FIXTURE: &str = include_str!("../fixtures/catalog.tsv");

pub(crate) fn builder(generation: u64) -> CatalogBuilder {
    let mut builder = CatalogBuilder::new(generation);
    let mut section = None;
    for line in FIXTURE.lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = Some(match name {
                "Relations" => Section::Relations,
                "Columns" => Section::Columns,
                "Views" => Section::Views,
                "Comments" => Section::Comments,
                "Generated" => Section::Generated,
                "Inheritance" => Section::Inheritance,
                "Functions" => Section::Functions,
                "Operators" => Section::Operators,
                "Casts" => Section::Casts,
                "Types" => Section::Types,
                "Extensions" => Section::Extensions,
                other => panic!("{other}"),
            });
            continue;
        }
        let columns: Vec<String> = line.split('\t').map(|c| c.replace("\\n", "\n")).collect();
        let columns: Vec<Option<&str>> = columns.iter().map(|c| (c != "\\N").then_some(c.as_str())).collect();
        builder.row(section.unwrap(), &columns).unwrap();
    }
    builder
}

pub(crate) fn catalog() -> &'static Arc<Catalog> {
    static CATALOG: OnceLock<Arc<Catalog>> = OnceLock::new();
    CATALOG.get_or_init(|| builder(1).build())
}

pub(crate) fn settings() -> Arc<Settings> {
    Arc::new(Settings::new(&["pg_catalog", "public"], Some("ana")))
}

pub(crate) fn look(text: &str) -> Analysis {
    analyse(text.as_bytes(), catalog(), &settings())
}

pub(crate) fn look_with(text: &str, path: &[&str]) -> Analysis {
    analyse(text.as_bytes(), catalog(), &Settings::new(path, Some("ana")))
}

pub(crate) fn find(shape: &Shape, access: Access) -> Option<&Use> {
    shape.uses().iter().find(|u| u.access == access)
}

/// The items of a set attribute, over all uses.
pub(crate) fn items(shape: &Shape, name: &str) -> BTreeSet<String> {
    shape.uses().iter().flat_map(|u| set(u, name)).collect()
}

pub(crate) fn set(used: &Use, name: &str) -> BTreeSet<String> {
    match used.attributes.find(name) {
        Some(Attribute::Set(items)) => items.iter().map(|i| i.to_string()).collect(),
        None => BTreeSet::new(),
        other => panic!("{name}: {other:?}"),
    }
}

pub(crate) fn flag(used: &Use, name: &str) -> bool {
    used.attributes.find(name) == Some(&Attribute::Bool(true))
}

/// `read(public.orders) write(public.audit)`; `opaque: why` when unreadable.
pub(crate) fn uses(shape: &Shape) -> String {
    if let Some(why) = shape.why_unreadable() {
        return format!("opaque: {why}");
    }
    let words: Vec<String> = shape
        .uses()
        .iter()
        .map(|u| {
            let relations: Vec<String> = set(u, "relations").into_iter().collect();
            format!("{}({})", u.access.as_str(), relations.join(","))
        })
        .collect();
    words.join(" ")
}

pub(crate) fn access(word: &str) -> Access {
    *Access::ALL.iter().find(|a| a.as_str() == word).unwrap_or_else(|| panic!("no access {word}"))
}
