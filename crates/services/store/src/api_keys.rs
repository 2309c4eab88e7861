//! Keys for the gateway's API, as digests. What a key is good for lives elsewhere; here it is added within limits, found and ended once.
//!
//! It must never keep a secret, nor forget that a key was revoked while it could still be presented.

use countersign_model::Timestamp;

use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most keys of all owners that are in force at one time.
pub const API_KEYS_LIVE_MAX: u32 = 10_000;
/// The most keys on one page of a list.
pub const API_KEYS_PAGE_MAX: u32 = 1_000;

/// A key as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// Its id.
    pub id: String,
    /// The digest of its secret.
    pub digest: String,
    /// Who vouched for its owner.
    pub issuer: String,
    /// Its owner's subject.
    pub subject: String,
    /// What its owner knows of it.
    pub content: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, if it was.
    pub used: Option<ApiKeyUseRecord>,
    /// How it was ended before that.
    pub ended: Option<ApiKeyEndRecord>,
}

/// The last use of a key that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUseRecord {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub from: String,
}

/// How a key was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyEndRecord {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Which keys.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyFilter {
    /// Only those of this owner: issuer and subject.
    pub owner: Option<(String, String)>,
    /// Only those in force at this time.
    pub live_at: Option<Timestamp>,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them; at most [`API_KEYS_PAGE_MAX`].
    pub limit: u32,
}

/// The columns, in the order of the row.
const COLUMNS: &str =
    "id, digest, issuer, subject, content, created_at, expires_at, used_at, used_from, ended_at, ended_by, ended_why";

type Row = (
    String,
    String,
    String,
    String,
    String,
    i64,
    i64,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<String>,
);

impl Store {
    /// Adds a key unless its owner has `most_of_owner` in force, or all have [`API_KEYS_LIVE_MAX`]; says whether it did.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one with its id.
    pub async fn add_api_key(&self, key: &ApiKeyRecord, most_of_owner: u32) -> Result<bool, StoreError> {
        for (what, text) in [
            ("the id of an API key", &key.id),
            ("the digest of an API key", &key.digest),
            ("the issuer of an API key's owner", &key.issuer),
            ("the subject of an API key's owner", &key.subject),
            ("an API key", &key.content),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        on_pool!(self, "add an API key", |pool| {
            let live = "FROM api_keys WHERE ended_at IS NULL AND expires_at > $6";
            let text = format!(
                "INSERT INTO api_keys (id, digest, issuer, subject, content, created_at, expires_at) \
                 SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), CAST($5 AS TEXT), \
                 CAST($6 AS BIGINT), CAST($7 AS BIGINT) \
                 WHERE (SELECT count(*) {live}) < $8 AND (SELECT count(*) {live} AND issuer = $3 AND subject = $4) < $9"
            );
            let done = sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(&key.id)
                .bind(&key.digest)
                .bind(&key.issuer)
                .bind(&key.subject)
                .bind(&key.content)
                .bind(key.created_at.unix_us())
                .bind(key.expires_at.unix_us())
                .bind(i64::from(API_KEYS_LIVE_MAX))
                .bind(i64::from(most_of_owner))
                .execute(pool)
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// The key with this id, in force or not.
    pub async fn api_key(&self, id: &str) -> Result<Option<ApiKeyRecord>, StoreError> {
        on_pool!(self, "look up an API key", |pool| {
            let text = format!("SELECT {COLUMNS} FROM api_keys WHERE id = $1");
            let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id).fetch_optional(pool).await?;
            Ok(row.map(record))
        })
    }

    /// Keys, newest first.
    pub async fn list_api_keys(&self, filter: &ApiKeyFilter) -> Result<Vec<ApiKeyRecord>, StoreError> {
        on_pool!(self, "list API keys", |pool| {
            let owner = filter.owner.as_ref();
            let text = format!(
                "SELECT {COLUMNS} FROM api_keys WHERE ($1 = 0 OR (issuer = $2 AND subject = $3)) \
                 AND ($4 < 0 OR (ended_at IS NULL AND expires_at > $4)) AND ($5 = '' OR id < $5) ORDER BY id DESC LIMIT $6"
            );
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(i64::from(owner.is_some()))
                .bind(owner.map(|(issuer, _)| issuer.as_str()).unwrap_or_default())
                .bind(owner.map(|(_, subject)| subject.as_str()).unwrap_or_default())
                .bind(filter.live_at.map_or(-1, Timestamp::unix_us))
                .bind(filter.before.as_deref().unwrap_or_default())
                .bind(i64::from(filter.limit.clamp(1, API_KEYS_PAGE_MAX)))
                .fetch_all(pool)
                .await?;
            Ok(rows.into_iter().map(record).collect())
        })
    }

    /// Notes that a key was used. What was noted of a later time stays.
    pub async fn note_api_key_use(&self, id: &str, used: &ApiKeyUseRecord) -> Result<(), StoreError> {
        fits("where an API key was used from", used.from.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "note the use of an API key", |pool| {
            sqlx::query(
                "UPDATE api_keys SET used_at = $2, used_from = $3 WHERE id = $1 AND (used_at IS NULL OR used_at < $2)",
            )
            .bind(id)
            .bind(used.at.unix_us())
            .bind(&used.from)
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// Ends a key that is in force; says whether it was this call that did.
    pub async fn end_api_key(&self, id: &str, end: &ApiKeyEndRecord) -> Result<bool, StoreError> {
        fits("who ends an API key", end.by.len(), TEXT_BYTES_MAX)?;
        fits("why an API key ends", end.why.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "end an API key", |pool| {
            let done = sqlx::query(
                "UPDATE api_keys SET ended_at = $2, ended_by = $3, ended_why = $4 \
                 WHERE id = $1 AND ended_at IS NULL AND expires_at > $2",
            )
            .bind(id)
            .bind(end.at.unix_us())
            .bind(&end.by)
            .bind(&end.why)
            .execute(pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Removes the keys whose time was over before this time; says how many.
    pub async fn remove_api_keys_over(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "remove old API keys", |pool| {
            let done =
                sqlx::query("DELETE FROM api_keys WHERE expires_at < $1").bind(before.unix_us()).execute(pool).await?;
            Ok(done.rows_affected())
        })
    }
}

fn record(row: Row) -> ApiKeyRecord {
    let (id, digest, issuer, subject, content, created_at, expires_at, used_at, used_from, at, by, why) = row;
    ApiKeyRecord {
        id,
        digest,
        issuer,
        subject,
        content,
        created_at: Timestamp::from_unix_us(created_at),
        expires_at: Timestamp::from_unix_us(expires_at),
        used: used_at
            .map(|at| ApiKeyUseRecord { at: Timestamp::from_unix_us(at), from: used_from.unwrap_or_default() }),
        ended: at.map(|at| ApiKeyEndRecord {
            at: Timestamp::from_unix_us(at),
            by: by.unwrap_or_default(),
            why: why.unwrap_or_default(),
        }),
    }
}
