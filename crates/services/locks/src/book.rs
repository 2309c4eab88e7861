//! The locks in the store: made, ended, looked up. What a gateway does besides, and what an operator does without one.

use countersign_model::Timestamp;
use countersign_store::{LockEndRecord, Store};

use crate::{Lock, LockError, NewLock, REASON_BYTES_MAX};

/// Which locks to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockFilter {
    /// Only those in force at this time.
    pub live_at: Option<Timestamp>,
    /// Only those that are older than this one: where the page before ended.
    pub before: Option<String>,
    /// The most.
    pub limit: usize,
}

/// The locks in a store.
#[derive(Clone, Debug)]
pub struct LockBook(Store);

impl LockBook {
    /// The locks in this store.
    pub fn new(store: Store) -> Self {
        Self(store)
    }

    pub(crate) fn store(&self) -> &Store {
        &self.0
    }

    /// Makes a lock.
    ///
    /// # Errors
    /// When it makes no sense, or the store cannot keep it.
    pub async fn add(&self, new: NewLock, by: &str, now: Timestamp) -> Result<Lock, LockError> {
        new.check(now)?;
        let ms = u64::try_from(now.unix_us() / 1000).unwrap_or(0);
        let lock = Lock {
            id: ulid::Ulid::from_parts(ms, rand::random()).to_string(),
            matcher: new.matcher,
            kind: new.kind,
            reason: new.reason,
            created_by: by.to_owned(),
            created_at: now,
            expires_at: new.expires_at,
            ended: None,
        };
        self.0.add_lock(&lock.record()?).await?;
        Ok(lock)
    }

    /// Ends a lock.
    ///
    /// # Errors
    /// When there is no such lock, it is not in force any more, there is no reason, or the store cannot be asked.
    pub async fn end(&self, id: &str, by: &str, why: &str, now: Timestamp) -> Result<Lock, LockError> {
        if why.trim().is_empty() || why.len() > REASON_BYTES_MAX {
            return Err(LockError::Invalid(format!("ending a lock needs a reason of 1 to {REASON_BYTES_MAX} bytes")));
        }
        let end = LockEndRecord { at: now, by: by.to_owned(), why: why.to_owned() };
        let ended = self.0.end_lock(id, &end).await?;
        let lock = self.find(id).await?;
        if ended { Ok(lock) } else { Err(LockError::Over(lock.id)) }
    }

    /// A lock, in force or not.
    ///
    /// # Errors
    /// When there is none with this id, or the store cannot be asked.
    pub async fn find(&self, id: &str) -> Result<Lock, LockError> {
        let found = self.0.lock(id).await?;
        Lock::read(found.ok_or_else(|| LockError::NotFound(id.to_owned()))?)
    }

    /// Locks, newest first.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn list(&self, filter: &LockFilter) -> Result<Vec<Lock>, LockError> {
        let all = self.0.list_locks(filter.live_at, filter.before.as_deref(), filter.limit).await?;
        all.into_iter().map(Lock::read).collect()
    }
}
