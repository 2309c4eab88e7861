//! Any bytes are judged without a panic, a hang or an overflow, and the cache gives the same answer as no cache.
#![no_main]

use std::sync::{Arc, LazyLock};

use countersign_sql::{Analyser, Catalog, CatalogBuilder, Section, Settings, analyse};
use libfuzzer_sys::fuzz_target;

static CATALOG: LazyLock<Arc<Catalog>> = LazyLock::new(|| {
    let mut builder = CatalogBuilder::new(1);
    for (oid, name) in [("20001", "orders"), ("20002", "customers")] {
        builder.row(Section::Relations, &[Some(oid), Some("public"), Some(name), Some("r")]).expect("a good row");
        for (number, column) in [("1", "id"), ("2", "name")] {
            builder.row(Section::Columns, &[Some(oid), Some(number), Some(column), Some("23")]).expect("a good row");
        }
    }
    for (oid, name, volatility) in [("30001", "lower", "i"), ("30002", "pg_read_file", "v"), ("30003", "count", "i")] {
        let row = [oid, "pg_catalog", name, "1", "0", "f", volatility, "f", "f"].map(Some);
        builder.row(Section::Functions, &row).expect("a good row");
    }
    builder.build()
});
static SETTINGS: LazyLock<Arc<Settings>> = LazyLock::new(|| Arc::new(Settings::new(&["pg_catalog", "public"], None)));
static ANALYSER: LazyLock<Analyser> = LazyLock::new(Analyser::new);

fuzz_target!(|data: &[u8]| {
    let plain = analyse(data, &CATALOG, &SETTINGS);
    let cached = ANALYSER.analyse(data, &CATALOG, &SETTINGS);
    assert_eq!(plain.shape().uses(), cached.shape().uses());
    assert_eq!(plain.shape().kind(), cached.shape().kind());
    assert_eq!(plain.shape().fingerprint(), cached.shape().fingerprint());
    assert!(!plain.shape().uses().is_empty());
});
