//! Sessions through the protocol's machine, against a real server and against a fake one. What a client gets is compared with what the
//! real server gives for the same bytes; what reached the server and what was recorded are checked for every session.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(dead_code, reason = "the bench serves the fuzz targets, too")]

#[path = "../bench/mod.rs"]
mod bench;
#[path = "../bench/cluster.rs"]
mod cluster;

mod attacks;
mod bearer;
mod bounds;
mod canary;
mod cases;
mod copying;
mod extended;
mod faults;
mod inside;
mod leaving;
mod limits;
mod masking;
mod masking_types;
mod meaning;
mod names;
mod properties;
mod startup;
mod transactions;
