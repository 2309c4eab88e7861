//! Locks: orders to cut off and keep out. Their matcher is its owner's JSON. None is ever removed.

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most locks that are in force at once.
pub const LOCKS_LIVE_MAX: usize = 10_000;

/// A lock as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockRecord {
    /// Its id: a ULID.
    pub id: String,
    /// What it matches, in its owner's form.
    pub matcher: String,
    /// What it does: `lock` or `reauthenticate`.
    pub kind: String,
    /// Why it was made.
    pub reason: String,
    /// By whom.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Option<Timestamp>,
    /// How it was ended before that.
    pub ended: Option<LockEndRecord>,
}

/// The end of a lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockEndRecord {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

type Row = (String, String, String, String, String, i64, Option<i64>, Option<i64>, Option<String>, Option<String>);

impl Store {
    /// Adds a lock.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are [`LOCKS_LIVE_MAX`] in force, [`StoreError::Conflict`] when there is one with its id.
    pub async fn add_lock(&self, lock: &LockRecord) -> Result<(), StoreError> {
        for (what, text) in [
            ("the id of a lock", &lock.id),
            ("the matcher of a lock", &lock.matcher),
            ("the reason of a lock", &lock.reason),
            ("the maker of a lock", &lock.created_by),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        on_pool!(self, "add a lock", |pool| {
            let mut changing = pool.begin().await?;
            // First of all: it makes whoever else changes locks wait, so that numbers become visible in their order.
            sqlx::query("UPDATE lock_changes SET number = number + 1 WHERE id = 1").execute(&mut *changing).await?;
            let (live,): (i64,) = sqlx::query_as(
                "SELECT COUNT(*) FROM locks WHERE ended_at IS NULL AND (expires_at IS NULL OR expires_at > $1)",
            )
            .bind(lock.created_at.unix_us())
            .fetch_one(&mut *changing)
            .await?;
            if usize::try_from(live).unwrap_or(usize::MAX) >= LOCKS_LIVE_MAX {
                return Err(Fault::Limit(format!("there are {LOCKS_LIVE_MAX} locks in force already: end some first")));
            }
            sqlx::query(
                "INSERT INTO locks (id, matcher, kind, reason, created_by, created_at, expires_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
            )
            .bind(&lock.id)
            .bind(&lock.matcher)
            .bind(&lock.kind)
            .bind(&lock.reason)
            .bind(&lock.created_by)
            .bind(lock.created_at.unix_us())
            .bind(lock.expires_at.map(Timestamp::unix_us))
            .execute(&mut *changing)
            .await?;
            changing.commit().await?;
            Ok(())
        })
    }

    /// Ends a lock that was not ended before and whose time is not over; says whether it was this call that did.
    pub async fn end_lock(&self, id: &str, end: &LockEndRecord) -> Result<bool, StoreError> {
        fits("who ends a lock", end.by.len(), TEXT_BYTES_MAX)?;
        fits("why a lock ends", end.why.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "end a lock", |pool| {
            let mut changing = pool.begin().await?;
            sqlx::query("UPDATE lock_changes SET number = number + 1 WHERE id = 1").execute(&mut *changing).await?;
            let done = sqlx::query(
                "UPDATE locks SET ended_at = $2, ended_by = $3, ended_why = $4 \
                 WHERE id = $1 AND ended_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
            )
            .bind(id)
            .bind(end.at.unix_us())
            .bind(&end.by)
            .bind(&end.why)
            .execute(&mut *changing)
            .await?;
            changing.commit().await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// The lock with this id, in force or not.
    pub async fn lock(&self, id: &str) -> Result<Option<LockRecord>, StoreError> {
        on_pool!(self, "look up a lock", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, matcher, kind, reason, created_by, created_at, expires_at, ended_at, ended_by, ended_why \
                 FROM locks WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(record))
        })
    }

    /// At most `limit` locks, newest first, that are older than the one with the id `before`; only those in force at `live_at` where
    /// that is given.
    pub async fn list_locks(
        &self,
        live_at: Option<Timestamp>,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<LockRecord>, StoreError> {
        on_pool!(self, "list locks", |pool| {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT id, matcher, kind, reason, created_by, created_at, expires_at, ended_at, ended_by, ended_why \
                 FROM locks WHERE ($1 < 0 OR (ended_at IS NULL AND (expires_at IS NULL OR expires_at > $1))) \
                 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3",
            )
            .bind(live_at.map_or(-1, Timestamp::unix_us))
            .bind(before.unwrap_or_default())
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(record).collect())
        })
    }

    /// The number of changes that locks have seen: where it is the same, no lock was added or ended.
    pub async fn lock_changes(&self) -> Result<u64, StoreError> {
        on_pool!(self, "ask whether locks changed", |pool| {
            let (number,): (i64,) =
                sqlx::query_as("SELECT number FROM lock_changes WHERE id = 1").fetch_one(pool).await?;
            Ok(number.unsigned_abs())
        })
    }

    /// Every lock in force, oldest first, and a number of changes that all of them were there at.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`LOCKS_LIVE_MAX`].
    pub async fn live_locks(&self, now: Timestamp) -> Result<(u64, Vec<LockRecord>), StoreError> {
        // The number first: a lock that comes in between is read now, and once more.
        let number = self.lock_changes().await?;
        let mut locks = self.list_locks(Some(now), None, LOCKS_LIVE_MAX + 1).await?;
        if locks.len() > LOCKS_LIVE_MAX {
            return Err(StoreError::Limit(format!("there are more than {LOCKS_LIVE_MAX} locks in force")));
        }
        locks.reverse();
        Ok((number, locks))
    }
}

fn record(
    (id, matcher, kind, reason, created_by, created_at, expires_at, ended_at, ended_by, ended_why): Row,
) -> LockRecord {
    LockRecord {
        id,
        matcher,
        kind,
        reason,
        created_by,
        created_at: Timestamp::from_unix_us(created_at),
        expires_at: expires_at.map(Timestamp::from_unix_us),
        ended: ended_at.map(|at| LockEndRecord {
            at: Timestamp::from_unix_us(at),
            by: ended_by.unwrap_or_default(),
            why: ended_why.unwrap_or_default(),
        }),
    }
}
