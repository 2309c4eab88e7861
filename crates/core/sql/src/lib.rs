//! PostgreSQL text to what it does: accesses, relations, columns, functions.
//!
//! [`analyse`] is total: a text that cannot be read, or only in part, gives an unreadable shape, which is always denied. Names mean
//! what a live [`Catalog`] and the session's [`Settings`] say they mean. [`Analyser`] is the same with a cache in front.
//!
//! It must never guess: what is not understood is refused, and what may be several things counts as the gravest of them. It opens no
//! sockets and reads no clock; for very large texts it starts a short-lived thread, because only a large stack is safe for them.

mod analyse;
mod analysis;
mod cache;
mod catalog;
mod census;
mod lexer;
mod lineage;
mod normal;
mod parse;
mod settings;
mod shape;
mod tables;
mod uses;
mod view;
mod vocabulary;
mod walk;

pub use analyse::{analyse, explain};
pub use analysis::{
    Analysis, Copy, CopyForm, Endpoint, Reference, SessionEffect, SettingChange, Statement, SyntaxError, Transaction,
    Undefined, UndefinedKind, join,
};
pub use cache::{Analyser, CACHE_BYTES_MAX, CACHE_ENTRIES_MAX, CACHED_TEXT_BYTES_MAX};
pub use catalog::{
    Catalog, CatalogBuilder, CatalogError, Column, QUERIES, Relation, RelationKind, Section, TEMPORARY_QUERIES,
    TEMPORARY_SCHEMA, TypeForm,
};
pub use lineage::{Effect, MATCHES_MAX, OutputColumn, Outputs, Reason, StatementLineage};
pub use parse::{
    DEEP_STACK_BYTES, DEEP_THREADS_MAX, DIRECT_BYTES_MAX, DIRECT_NESTING_MAX, NESTING_MAX, TEXT_BYTES_MAX, TOKENS_MAX,
};
pub use settings::Settings;
pub use shape::without_constants;
pub use vocabulary::VOCABULARY;
