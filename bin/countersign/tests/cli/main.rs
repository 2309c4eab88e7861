//! The operator's commands, as they are typed: the built binary, its output and its exit code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod accounts;
mod config;
mod credentials;
mod help;
mod live;
mod policy;
mod recorded;
mod replay;
mod sessions;
mod support;
