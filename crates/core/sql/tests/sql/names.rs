//! The published vocabulary, and what the catalog answers.

use std::collections::BTreeSet;

use countersign_model::{Attribute, AttributeKind};
use countersign_sql::{RelationKind, VOCABULARY};

use super::support::{catalog, look};

#[test]
fn every_attribute_is_published_with_its_type() {
    let corpus = include_str!("../corpus.txt");
    let mut seen = BTreeSet::new();
    for line in corpus.lines().filter(|l| !l.starts_with('#') && !l.trim().is_empty()) {
        let found = look(line.splitn(4, ";;").nth(3).unwrap().trim());
        for used in found.shape().uses() {
            for (name, value) in used.attributes.iter() {
                let spec =
                    VOCABULARY.iter().find(|s| s.name == name).unwrap_or_else(|| panic!("{name} is not published"));
                assert_eq!(spec.kind, value.kind(), "{name}");
                assert!(!matches!(value, Attribute::Bool(false)), "{name} is false, which absence says already");
                seen.insert(name);
            }
        }
    }
    let published: BTreeSet<&str> = VOCABULARY.iter().map(|s| s.name).collect();
    assert_eq!(seen, published, "an attribute that no text sets");
    assert!(
        VOCABULARY.iter().all(|s| s.doc.ends_with('.') && matches!(s.kind, AttributeKind::Set | AttributeKind::Bool))
    );
}

#[test]
fn the_catalog_is_complete() {
    let catalog = catalog();
    let orders = catalog.relation("public", "orders").unwrap();
    assert_eq!(orders.kind(), RelationKind::Table);
    assert_eq!(
        orders.columns().iter().map(|c| c.name.to_string()).collect::<Vec<_>>(),
        ["id", "customer_id", "total", "status", "note", "created_at"]
    );
    let view = catalog.relation("public", "staff_names").unwrap();
    assert_eq!(view.kind(), RelationKind::View);
    assert!(view.definition().unwrap().contains("secret.staff"));
    assert!(catalog.function_count() > 3_000);
    assert!(catalog.relation("public", "nope").is_none());
    assert_eq!(catalog.extensions().len(), 1);
}
