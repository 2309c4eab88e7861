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

#[test]
fn comments_name_tags() {
    for (comment, expected) in [
        ("Where to write to. [pii.email]", "pii.email"),
        ("[pii.email, secret] and [pii.card]", "pii.card pii.email secret"),
        ("[secret]", "secret"),
        ("countersign: pii.email, secret", "pii.email secret"),
        ("first line\ncountersign: PII.Phone; not this", "pii.phone"),
        // Brackets hold many things.
        ("[see wiki] [1] [optional] [PII email] []", ""),
        ("[pii.email", ""),
        ("countersign:", ""),
    ] {
        let found = super::tags::comment_tags(comment);
        assert_eq!(found.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" "), expected, "{comment}");
    }
}

#[test]
fn rules_fit_names_and_types_and_system_schemas_only_by_name() {
    use countersign_model::{Tag, TagRule, Tagging};
    let rule = |column: &str, data_type: &str, tag: &str| TagRule {
        column: column.to_owned(),
        data_type: data_type.to_owned(),
        tag: Tag::parse(tag).unwrap(),
    };
    let rules = vec![
        rule("**", "mail", "by.domain"),
        rule("**", "bigint", "by.alias"),
        rule("**.x", "", "by.name"),
        rule("**", "public.*", "by.qualified"),
        rule("pg_catalog.t.x", "", "by.system"),
        rule("s.\"a.b\".x", "", "by.quoted"),
    ];
    let mut builder = CatalogBuilder::new(1).tagged(&Tagging { rules, comments: true, detect: Vec::new() });
    let mut row = |s, c: &[&str]| builder.row(s, &c.iter().map(|c| Some(*c)).collect::<Vec<_>>()).unwrap();
    for (oid, schema, name) in [("1", "s", "t"), ("2", "pg_catalog", "t"), ("3", "s", "a.b")] {
        row(Section::Relations, &[oid, schema, name, "r"]);
        for (n, column, kind) in [("1", "x", "25"), ("2", "m", "90001"), ("3", "ms", "90002"), ("4", "n", "20")] {
            row(Section::Columns, &[oid, n, column, kind, ""]);
        }
    }
    row(Section::Comments, &["1", "4", "[by.comment]"]);
    row(Section::Types, &["25", "pg_catalog", "text", ""]);
    row(Section::Types, &["20", "pg_catalog", "int8", ""]);
    row(Section::Types, &["90001", "public", "mail", "25"]);
    row(Section::Types, &["90002", "public", "_mail", "90001"]);
    let catalog = builder.build();
    let tags = |schema: &str, table: &str| {
        let columns = catalog.relation(schema, table).unwrap().columns().iter();
        columns.map(|c| c.tags.iter().map(|t| t.as_str()).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join(" / ")
    };
    assert_eq!(tags("s", "t"), "by.name / by.domain by.qualified / by.domain by.qualified / by.alias by.comment");
    assert_eq!(tags("pg_catalog", "t"), "by.system /  /  / ");
    assert_eq!(tags("s", "a.b"), "by.name by.quoted / by.domain by.qualified / by.domain by.qualified / by.alias");
}
