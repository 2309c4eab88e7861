//! Locks: orders to cut off and keep out whatever they match, on every gateway within a second.
//!
//! A lock is kept in the store, never removed, and compiled into a snapshot in memory that answers for a session in a few look-ups.
//! The store is asked several times a second whether anything changed. When it cannot be asked for as long as the lease, everybody is
//! kept out: who is locked out must not come in because a database is down.
//!
//! It must never cost a statement anything, hold a lock that matches everything, or forget who made one and why.

mod book;
mod error;
mod lock;
mod matcher;
mod network;
mod service;
mod siblings;
mod snapshot;

pub use book::{LockBook, LockFilter};
pub use error::LockError;
pub use lock::{Lock, LockEnd, LockKind, NewLock, REASON_BYTES_MAX};
pub use matcher::{CLAIMS_MAX, MATCHER_TEXT_BYTES_MAX, Matcher};
pub use network::Network;
pub use service::{LEASE_DEFAULT, LockConfig, LockService, POLL_INTERVAL};
pub use siblings::credential_sources;
