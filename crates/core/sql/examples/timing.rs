//! How long an analysis takes, without and with the cache. `cargo run --release -p countersign-sql --example timing`.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use countersign_sql::{Analyser, CatalogBuilder, Section, Settings, analyse};

const ROUNDS: u32 = 20_000;

fn main() {
    let mut builder = CatalogBuilder::new(1);
    let mut section = Section::Relations;
    for line in include_str!("../tests/fixtures/catalog.tsv").lines() {
        if let Some(name) = line.strip_prefix("# ") {
            section = match name {
                "Relations" => Section::Relations,
                "Columns" => Section::Columns,
                "Views" => Section::Views,
                "Inheritance" => Section::Inheritance,
                "Functions" => Section::Functions,
                "Operators" => Section::Operators,
                "Casts" => Section::Casts,
                "Types" => Section::Types,
                _ => Section::Extensions,
            };
            continue;
        }
        let columns: Vec<Option<&str>> = line.split('\t').map(Some).collect();
        builder.row(section, &columns).unwrap();
    }
    let catalog = builder.build();
    let settings = Arc::new(Settings::new(&["pg_catalog", "public"], Some("ana")));
    let analyser = Analyser::new();
    for (name, text) in [
        ("short", "select id, total from orders where id = 4711"),
        (
            "100 bytes",
            "SELECT o.id, o.total, c.name FROM orders o JOIN customers c ON c.id = o.customer_id WHERE o.id = 42 LIMIT 1",
        ),
        ("update", "UPDATE orders SET status = 'paid', total = 12.50 WHERE id = 17 RETURNING id"),
        ("no constant", "select id, total from orders where id = $1"),
        ("begin", "begin"),
        ("set", "set application_name = 'x'"),
    ] {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            black_box(analyse(black_box(text.as_bytes()), &catalog, &settings));
        }
        let plain = start.elapsed() / ROUNDS;
        analyser.analyse(text.as_bytes(), &catalog, &settings);
        let start = Instant::now();
        for _ in 0..ROUNDS * 20 {
            black_box(analyser.analyse(black_box(text.as_bytes()), &catalog, &settings));
        }
        let cached = start.elapsed() / (ROUNDS * 20);
        println!("{name:12} {:4} bytes  uncached {plain:>10?}  cached {cached:>8?}", text.len());
    }
}
