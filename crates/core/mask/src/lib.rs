//! Masking: detectors find personal data and secrets in what no tag covers, and transforms say what becomes of a value.
//!
//! Pure: it must never do I/O, read a clock, or know a protocol by name. Nothing that it was given may be in what it prints.

pub mod detect;
mod rewrite;
mod transform;

pub use rewrite::{ContentPlan, Counts, Scratch};
pub use transform::{KEY_BYTES_MIN, Masker, REDACTED, ShortKey, Value, Width};
