//! Tests: rows, names and relatives.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::{CatalogBuilder, CatalogError, QUERIES, Section, TEMPORARY_QUERIES, qualify};

#[test]
fn names_are_never_ambiguous() {
    assert_eq!(qualify("public", "orders"), "public.orders");
    assert_eq!(qualify("a.b", "c"), "\"a.b\".c");
    assert_eq!(qualify("a", "b.c"), "a.\"b.c\"");
    assert_eq!(qualify("a", "b\"c"), "a.\"b\"\"c\"");
    assert_ne!(qualify("a.b", "c"), qualify("a", "b.c"));
}

#[test]
fn malformed_rows_are_refused() {
    let mut builder = CatalogBuilder::new(1);
    let row = |b: &mut CatalogBuilder, s, c: &[&str]| b.row(s, &c.iter().map(|c| Some(*c)).collect::<Vec<_>>());
    assert_eq!(
        row(&mut builder, Section::Relations, &["x", "s", "n", "r"]),
        Err(CatalogError::Malformed { section: Section::Relations, column: 0 })
    );
    assert_eq!(
        row(&mut builder, Section::Relations, &["1", "s", "n"]),
        Err(CatalogError::Malformed { section: Section::Relations, column: 3 })
    );
    assert_eq!(
        builder.row(Section::Extensions, &[None]),
        Err(CatalogError::Malformed { section: Section::Extensions, column: 0 })
    );
    // Columns of a relation that is not there are passed over.
    assert_eq!(row(&mut builder, Section::Columns, &["7", "1", "a", "23"]), Ok(()));
}

#[test]
fn relatives_go_both_ways_and_end() {
    let mut builder = CatalogBuilder::new(1);
    for oid in ["1", "2", "3"] {
        builder.row(Section::Relations, &[Some(oid), Some("s"), Some(oid), Some("r")]).unwrap();
    }
    // A circle, as a torn snapshot might show.
    for (child, parent) in [("2", "1"), ("3", "2"), ("1", "3")] {
        builder.row(Section::Inheritance, &[Some(child), Some(parent)]).unwrap();
    }
    let catalog = builder.build();
    let relation = catalog.relation("s", "2").unwrap();
    assert_eq!(catalog.relatives(relation).len(), 2);
}

#[test]
fn every_section_has_a_query() {
    let sections: Vec<Section> = QUERIES.iter().map(|(s, _)| *s).collect();
    assert_eq!(sections.len(), 11);
    assert_eq!(sections[0], Section::Relations);
    assert!(TEMPORARY_QUERIES.iter().all(|(s, q)| sections.contains(s) && q.contains("pg_my_temp_schema")));
    // They would be judged harmless themselves.
    for (_, query) in QUERIES.iter().chain(TEMPORARY_QUERIES) {
        assert!(crate::parse::tests_support::parses(query), "{query}");
    }
}
