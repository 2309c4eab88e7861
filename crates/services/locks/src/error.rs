//! Why it could not be done.

use countersign_store::StoreError;

/// Why it could not be done. Texts are for people who work with locks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Invalid(String),
    /// There is no such lock.
    #[error("there is no lock {0}")]
    NotFound(String),
    /// It is not in force any more.
    #[error("lock {0} is not in force any more")]
    Over(String),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
}
