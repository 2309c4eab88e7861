//! Classification against a catalog that came from a real PostgreSQL 15 (`tests/fixtures/catalog.tsv`).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod adversarial;
mod cache;
mod corpus;
mod facts;
mod grammar;
mod lineage;
mod names;
mod oracle;
mod server;
mod support;
