//! What lives for minutes or hours and is good once: codes, requests of devices, refresh tokens, families.
//!
//! Using something up is one statement of the database, so that of two gateways, or two requests, exactly one is first. It keeps digests
//! alone, and must never forget that something was used while that could still matter: see [`SHORT_LIVED_KEPT_US`].

use countersign_model::Timestamp;

use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// How long an entry is kept after its end, in microseconds (a day): a second use is told from a use of something that never was.
pub const SHORT_LIVED_KEPT_US: i64 = 86_400_000_000;

/// A short-lived entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortLivedRecord {
    /// What its owner knows of it.
    pub content: String,
    /// From when on it is good no more.
    pub expires_at: Timestamp,
    /// When it was used up or ended.
    pub consumed_at: Option<Timestamp>,
}

/// What came of adding an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShortLivedAdded {
    /// It is kept.
    Kept,
    /// There is one with this digest, or was: nothing has changed.
    Taken,
    /// There are as many of its kind as may be: nothing has changed.
    Full,
}

type Row = (String, i64, Option<i64>);

impl Store {
    /// Adds an entry, unless there is one or there are `most` of its kind that have not ended.
    pub async fn add_short_lived(
        &self,
        kind: &str,
        digest: &str,
        entry: &ShortLivedRecord,
        most: u32,
        now: Timestamp,
    ) -> Result<ShortLivedAdded, StoreError> {
        fits("the kind of a short-lived entry", kind.len(), TEXT_BYTES_MAX)?;
        fits("the digest of a short-lived entry", digest.len(), TEXT_BYTES_MAX)?;
        fits("a short-lived entry", entry.content.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "keep a short-lived entry", |pool| {
            let done = sqlx::query(
                "INSERT INTO short_lived (kind, digest, content, expires_at, consumed_at) \
                 SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS BIGINT), CAST($5 AS BIGINT) \
                 WHERE (SELECT count(*) FROM short_lived WHERE kind = $1 AND expires_at > $6) < $7 \
                 ON CONFLICT (kind, digest) DO NOTHING",
            )
            .bind(kind)
            .bind(digest)
            .bind(&entry.content)
            .bind(entry.expires_at.unix_us())
            .bind(entry.consumed_at.map(Timestamp::unix_us))
            .bind(now.unix_us())
            .bind(i64::from(most))
            .execute(pool)
            .await?;
            if done.rows_affected() == 1 {
                return Ok(ShortLivedAdded::Kept);
            }
            let there: Option<(i64,)> =
                sqlx::query_as("SELECT expires_at FROM short_lived WHERE kind = $1 AND digest = $2")
                    .bind(kind)
                    .bind(digest)
                    .fetch_optional(pool)
                    .await?;
            Ok(if there.is_some() { ShortLivedAdded::Taken } else { ShortLivedAdded::Full })
        })
    }

    /// The entry, whether it is still good or not.
    pub async fn short_lived(&self, kind: &str, digest: &str) -> Result<Option<ShortLivedRecord>, StoreError> {
        on_pool!(self, "read a short-lived entry", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT content, expires_at, consumed_at FROM short_lived WHERE kind = $1 AND digest = $2",
            )
            .bind(kind)
            .bind(digest)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(record))
        })
    }

    /// Uses an entry up. True for exactly one caller, and only while the entry is good at `now`.
    pub async fn consume_short_lived(&self, kind: &str, digest: &str, now: Timestamp) -> Result<bool, StoreError> {
        on_pool!(self, "use up a short-lived entry", |pool| {
            let done = sqlx::query(
                "UPDATE short_lived SET consumed_at = $3 \
                 WHERE kind = $1 AND digest = $2 AND consumed_at IS NULL AND expires_at > $3",
            )
            .bind(kind)
            .bind(digest)
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Puts `new` in the place of the content `old`; says whether `old` was there, good and not used up.
    pub async fn replace_short_lived(
        &self,
        kind: &str,
        digest: &str,
        old: &str,
        new: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        fits("a short-lived entry", new.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "change a short-lived entry", |pool| {
            let done = sqlx::query(
                "UPDATE short_lived SET content = $4 \
                 WHERE kind = $1 AND digest = $2 AND content = $3 AND consumed_at IS NULL AND expires_at > $5",
            )
            .bind(kind)
            .bind(digest)
            .bind(old)
            .bind(new)
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Ends an entry for good, also one that is yet to be added: it is then taken. An earlier end stays.
    pub async fn end_short_lived(
        &self,
        kind: &str,
        digest: &str,
        until: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        on_pool!(self, "end a short-lived entry", |pool| {
            sqlx::query(
                "INSERT INTO short_lived (kind, digest, content, expires_at, consumed_at) VALUES ($1, $2, '', $3, $4) \
                 ON CONFLICT (kind, digest) \
                 DO UPDATE SET consumed_at = COALESCE(short_lived.consumed_at, excluded.consumed_at)",
            )
            .bind(kind)
            .bind(digest)
            .bind(until.unix_us())
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// Removes what ended longer than [`SHORT_LIVED_KEPT_US`] ago; says how many there were.
    pub async fn purge_short_lived(&self, now: Timestamp) -> Result<u64, StoreError> {
        let before_us = now.unix_us().saturating_sub(SHORT_LIVED_KEPT_US);
        on_pool!(self, "remove what has ended", |pool| {
            let done =
                sqlx::query("DELETE FROM short_lived WHERE expires_at < $1").bind(before_us).execute(pool).await?;
            Ok(done.rows_affected())
        })
    }
}

fn record((content, expires_at, consumed_at): Row) -> ShortLivedRecord {
    ShortLivedRecord {
        content,
        expires_at: Timestamp::from_unix_us(expires_at),
        consumed_at: consumed_at.map(Timestamp::from_unix_us),
    }
}
