//! What was applied over the API: each revision is a whole set of files. What they mean lives elsewhere.
//!
//! It must never let two revisions follow the same one, nor forget who applied one.

use countersign_model::Timestamp;

use crate::error::{Fault, is_unique_violation};
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most bytes of the files of a revision, in their owner's form.
pub const APPLIED_BYTES_MAX: usize = 4 << 20;
/// So many revisions are kept with their files; of older ones it is known who applied them and when.
pub const APPLIED_FILES_KEPT: i64 = 500;
/// The most revisions on one page of a list.
pub const APPLIED_PAGE_MAX: u32 = 1_000;

/// A revision without its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppliedRecord {
    /// Its number, from 1; they have no gaps.
    pub revision: u64,
    /// The digest of its files.
    pub digest: String,
    /// Who applied it.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// What they said of it; may be empty.
    pub message: String,
    /// Whether its files are kept still.
    pub has_files: bool,
}

type Row = (i64, String, String, i64, String, bool);

impl Store {
    /// Adds the revision after `base`, where 0 is none; says whether `base` was the latest still.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when something is too long.
    pub async fn add_applied(&self, base: u64, new: &AppliedRecord, files: &str) -> Result<bool, StoreError> {
        for (what, text) in [
            ("the digest of a revision", &new.digest),
            ("who applies a revision", &new.by),
            ("the message of a revision", &new.message),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        fits("what is applied", files.len(), APPLIED_BYTES_MAX)?;
        let base = i64::try_from(base).map_err(|_| StoreError::Limit("there is no such revision".to_owned()))?;
        let Some(next) = base.checked_add(1) else {
            return Err(StoreError::Limit("there are too many revisions".to_owned()));
        };
        on_pool!(self, "keep what is applied", |pool| {
            let mut changing = pool.begin().await?;
            // Of two that follow the same one, the second meets the key of the first.
            let done = sqlx::query(
                "INSERT INTO applied_revisions (revision, digest, applied_by, applied_at, message, files) \
                 SELECT $1, $2, $3, $4, $5, $6 \
                 WHERE $7 = (SELECT COALESCE(MAX(revision), 0) FROM applied_revisions)",
            )
            .bind(next)
            .bind(&new.digest)
            .bind(&new.by)
            .bind(new.at.unix_us())
            .bind(&new.message)
            .bind(files)
            .bind(base)
            .execute(&mut *changing)
            .await;
            let added = match done {
                Ok(done) => done.rows_affected() == 1,
                Err(e) if is_unique_violation(&e) => return Ok(false),
                Err(e) => return Err(Fault::from(e)),
            };
            if added {
                sqlx::query("UPDATE applied_revisions SET files = NULL WHERE revision <= $1 AND files IS NOT NULL")
                    .bind(next.saturating_sub(APPLIED_FILES_KEPT))
                    .execute(&mut *changing)
                    .await?;
            }
            changing.commit().await?;
            Ok(added)
        })
    }

    /// The number of the latest revision; 0 when nothing was ever applied.
    pub async fn latest_applied(&self) -> Result<u64, StoreError> {
        on_pool!(self, "ask what is applied", |pool| {
            let (latest,): (i64,) =
                sqlx::query_as("SELECT COALESCE(MAX(revision), 0) FROM applied_revisions").fetch_one(pool).await?;
            Ok(latest.unsigned_abs())
        })
    }

    /// A revision with its files, where they are kept still.
    pub async fn applied(&self, revision: u64) -> Result<Option<(AppliedRecord, Option<String>)>, StoreError> {
        let Ok(revision) = i64::try_from(revision) else { return Ok(None) };
        on_pool!(self, "read what was applied", |pool| {
            let row: Option<(i64, String, String, i64, String, Option<String>)> = sqlx::query_as(
                "SELECT revision, digest, applied_by, applied_at, message, files FROM applied_revisions WHERE revision = $1",
            )
            .bind(revision)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(|(revision, digest, by, at, message, files)| {
                (record((revision, digest, by, at, message, files.is_some())), files)
            }))
        })
    }

    /// At most `limit` revisions, latest first, that are older than `before`.
    pub async fn list_applied(&self, before: Option<u64>, limit: u32) -> Result<Vec<AppliedRecord>, StoreError> {
        let before = before.and_then(|b| i64::try_from(b).ok()).unwrap_or(i64::MAX);
        on_pool!(self, "list what was applied", |pool| {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT revision, digest, applied_by, applied_at, message, files IS NOT NULL \
                 FROM applied_revisions WHERE revision < $1 ORDER BY revision DESC LIMIT $2",
            )
            .bind(before)
            .bind(i64::from(limit.min(APPLIED_PAGE_MAX)))
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(record).collect())
        })
    }
}

fn record((revision, digest, by, at, message, has_files): Row) -> AppliedRecord {
    let at = Timestamp::from_unix_us(at);
    AppliedRecord { revision: revision.unsigned_abs(), digest, by, at, message, has_files }
}
