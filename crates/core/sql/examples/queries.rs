//! Writes queries of the grammar that the oracle test uses, one a line: `FIRST COUNT`, where the query of a number is always the same. They
//! ask the tables of `tests/fixtures/oracle.sql`; `tests/masking/run` plays them by a real driver.
//!
//! It must never judge: what came back is looked at by whoever plays them.
#![allow(dead_code, clippy::indexing_slicing)]

#[path = "../tests/sql/grammar.rs"]
mod grammar;

use std::io::Write as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1);
    let mut number = |what| numbers.next().ok_or(what).and_then(|n| n.parse::<u64>().map_err(|_| what));
    let (first, count) = (number("the number of the first query")?, number("how many")?);
    let mut out = std::io::stdout().lock();
    for seed in first..first.saturating_add(count) {
        writeln!(out, "{}", grammar::Writer::new(seed).query().text.replace('\n', " "))?;
    }
    Ok(())
}
