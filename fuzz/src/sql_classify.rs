//! Any bytes are judged, the cache gives the same answer as no cache, and outputs and disclosure agree.
//!
//! It must never reach a database: the catalog is written out here.

use std::sync::{Arc, LazyLock};

use countersign_model::{Tag, TagRule, Tagging};
use countersign_sql::{Analyser, Catalog, CatalogBuilder, Outputs, Section, Settings, analyse};

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let tag = Tag::parse("pii").map(|tag| TagRule { column: "**.name".into(), data_type: String::new(), tag });
    let tagging = Tagging { rules: tag.into_iter().collect(), comments: true, detect: Vec::new() };
    let mut builder = CatalogBuilder::new(1).tagged(&tagging);
    let mut row = |section, columns: &[&str]| {
        let columns: Vec<Option<&str>> = columns.iter().copied().map(Some).collect();
        let taken = builder.row(section, &columns);
        assert!(taken.is_ok(), "{taken:?}");
    };
    for (oid, name) in [("20001", "orders"), ("20002", "customers")] {
        row(Section::Relations, &[oid, "public", name, "r"]);
        row(Section::Columns, &[oid, "1", "id", "23"]);
        row(Section::Columns, &[oid, "2", "name", "25"]);
    }
    for (oid, schema, name, volatility) in [
        ("30001", "pg_catalog", "lower", "i"),
        ("30002", "pg_catalog", "pg_read_file", "v"),
        ("30003", "pg_catalog", "set_config", "v"),
        ("30004", "public", "wild", "v"),
    ] {
        row(Section::Functions, &[oid, schema, name, "1", "0", "t", volatility, "f", "f", "25"]);
    }
    row(Section::Operators, &["public", "===", "30004"]);
    builder.build()
});
static SETTINGS: LazyLock<Arc<Settings>> =
    LazyLock::new(|| Arc::new(Settings::new(&["pg_catalog", "public"], Some("ana"))));
static ANALYSER: LazyLock<Analyser> = LazyLock::new(Analyser::new);

/// Judges the input with and without the cache.
///
/// # Panics
/// When the two answers differ, or there is none.
pub fn run(data: &[u8]) {
    let plain = analyse(data, &CATALOG, &SETTINGS);
    assert!(!plain.shape().uses().is_empty(), "nothing would judge it");
    for statement in plain.statements() {
        // What is shown is said by the outputs, and the other way round.
        for tag in statement.outputs.tags() {
            let referred = statement.executes.is_some() || statement.session.is_some();
            assert!(referred || plain.shape().disclosure().shown.contains(&tag), "shown by nothing: {statement:?}");
        }
        if let Outputs::Columns(columns) = &statement.outputs {
            assert!(columns.iter().all(|c| !c.direct || !c.sources.is_empty()), "from nowhere: {statement:?}");
            assert!(
                columns.iter().all(|c| c.tags.is_empty() || !c.sources.is_empty()),
                "tags from nowhere: {statement:?}"
            );
        }
    }
    for _ in 0..2 {
        let cached = ANALYSER.analyse(data, &CATALOG, &SETTINGS);
        assert_eq!(plain.shape().uses(), cached.shape().uses());
        assert_eq!(plain.shape().kind(), cached.shape().kind());
        assert_eq!(plain.shape().fingerprint(), cached.shape().fingerprint());
        assert_eq!(plain.undefined(), cached.undefined());
        assert_eq!(plain.shape().disclosure(), cached.shape().disclosure());
        let outputs =
            |a: &countersign_sql::Analysis| a.statements().iter().map(|s| s.outputs.clone()).collect::<Vec<_>>();
        assert_eq!(outputs(&plain), outputs(&cached));
    }
}
