//! Signing keys of the local issuer, as sealed bytes.

use std::fmt;

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{BLOB_BYTES_MAX, Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most keys of one issuer; more is an error.
pub const SIGNING_KEYS_MAX: usize = 1_000;

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningKeyRecord {
    /// Its `kid`.
    pub id: String,
    /// The private key, sealed by its owner under a key that is not in this store.
    pub private_key: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs no more.
    pub retired_at: Option<Timestamp>,
}

/// Without the key.
impl fmt::Debug for SigningKeyRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeyRecord")
            .field("id", &self.id)
            .field("created_at", &self.created_at)
            .field("retired_at", &self.retired_at)
            .finish_non_exhaustive()
    }
}

impl Store {
    /// All keys of an issuer, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`SIGNING_KEYS_MAX`].
    pub async fn signing_keys(&self, issuer: &str) -> Result<Vec<SigningKeyRecord>, StoreError> {
        on_pool!(self, "read signing keys", |pool| {
            let rows: Vec<(String, Vec<u8>, i64, Option<i64>)> = sqlx::query_as(
                "SELECT id, private_key, created_at, retired_at FROM signing_keys WHERE issuer = $1 \
                 ORDER BY created_at, id LIMIT $2",
            )
            .bind(issuer)
            .bind(i64::try_from(SIGNING_KEYS_MAX + 1).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?;
            if rows.len() > SIGNING_KEYS_MAX {
                return Err(Fault::Limit(format!("there are more than {SIGNING_KEYS_MAX} signing keys")));
            }
            Ok(rows
                .into_iter()
                .map(|(id, private_key, created_at, retired_at)| SigningKeyRecord {
                    id,
                    private_key,
                    created_at: Timestamp::from_unix_us(created_at),
                    retired_at: retired_at.map(Timestamp::from_unix_us),
                })
                .collect())
        })
    }

    /// Adds a key, or replaces the one with the same id.
    pub async fn save_signing_key(&self, issuer: &str, key: &SigningKeyRecord) -> Result<(), StoreError> {
        fits("the issuer of a key", issuer.len(), TEXT_BYTES_MAX)?;
        fits("the id of a key", key.id.len(), TEXT_BYTES_MAX)?;
        fits("a signing key", key.private_key.len(), BLOB_BYTES_MAX)?;
        on_pool!(self, "save a signing key", |pool| {
            sqlx::query(
                "INSERT INTO signing_keys (issuer, id, private_key, created_at, retired_at) \
                 VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (issuer, id) DO UPDATE SET private_key = excluded.private_key, \
                 created_at = excluded.created_at, retired_at = excluded.retired_at",
            )
            .bind(issuer)
            .bind(&key.id)
            .bind(&key.private_key)
            .bind(key.created_at.unix_us())
            .bind(key.retired_at.map(Timestamp::unix_us))
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// Removes a key; says whether there was one.
    pub async fn remove_signing_key(&self, issuer: &str, id: &str) -> Result<bool, StoreError> {
        on_pool!(self, "remove a signing key", |pool| {
            let done = sqlx::query("DELETE FROM signing_keys WHERE issuer = $1 AND id = $2")
                .bind(issuer)
                .bind(id)
                .execute(pool)
                .await?;
            Ok(done.rows_affected() > 0)
        })
    }
}
