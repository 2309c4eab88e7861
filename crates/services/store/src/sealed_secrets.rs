//! Secrets that were sealed before they came here. Names and versions are in the clear; contents cannot be read without the key.

use std::fmt;

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{BLOB_BYTES_MAX, Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most secrets that a list holds; more is an error.
pub const SEALED_SECRETS_MAX: usize = 10_000;

/// A sealed secret as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct SealedSecret {
    /// Its name.
    pub name: String,
    /// From 1; it grows with every change.
    pub version: u64,
    /// The nonce it was sealed with.
    pub nonce: Vec<u8>,
    /// The sealed bytes with their tag.
    pub ciphertext: Vec<u8>,
    /// When this version was made.
    pub created_at: Timestamp,
}

/// Without the bytes.
impl fmt::Debug for SealedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealedSecret")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// What may be shown of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedSecretListing {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: u64,
    /// When this version was made.
    pub created_at: Timestamp,
}

type Row = (String, i64, Vec<u8>, Vec<u8>, i64);

impl Store {
    /// The secret with this name.
    pub async fn sealed_secret(&self, name: &str) -> Result<Option<SealedSecret>, StoreError> {
        on_pool!(self, "read a secret", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT name, version, nonce, ciphertext, created_at FROM sealed_secrets WHERE name = $1",
            )
            .bind(name)
            .fetch_optional(pool)
            .await?;
            row.map(record).transpose()
        })
    }

    /// Names, versions and times of all secrets, by name.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`SEALED_SECRETS_MAX`].
    pub async fn list_sealed_secrets(&self) -> Result<Vec<SealedSecretListing>, StoreError> {
        on_pool!(self, "list secrets", |pool| {
            let rows: Vec<(String, i64, i64)> =
                sqlx::query_as("SELECT name, version, created_at FROM sealed_secrets ORDER BY name LIMIT $1")
                    .bind(i64::try_from(SEALED_SECRETS_MAX + 1).unwrap_or(i64::MAX))
                    .fetch_all(pool)
                    .await?;
            if rows.len() > SEALED_SECRETS_MAX {
                return Err(Fault::Limit(format!("there are more than {SEALED_SECRETS_MAX} secrets")));
            }
            rows.into_iter()
                .map(|(name, version, created_at)| {
                    let version = version_of(&name, version)?;
                    Ok(SealedSecretListing { name, version, created_at: Timestamp::from_unix_us(created_at) })
                })
                .collect()
        })
    }

    /// Puts a secret in the place of version `replaces`; `None` when there must be none yet.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when something else is there: somebody was faster.
    pub async fn save_sealed_secret(&self, secret: &SealedSecret, replaces: Option<u64>) -> Result<(), StoreError> {
        fits("the name of a secret", secret.name.len(), TEXT_BYTES_MAX)?;
        fits("a nonce", secret.nonce.len(), TEXT_BYTES_MAX)?;
        fits("a sealed secret", secret.ciphertext.len(), BLOB_BYTES_MAX)?;
        let version = number(secret.version)?;
        let saved = on_pool!(self, "save a secret", |pool| {
            let query = match replaces {
                None => sqlx::query(
                    "INSERT INTO sealed_secrets (name, version, nonce, ciphertext, created_at) \
                     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (name) DO NOTHING",
                ),
                Some(_) => sqlx::query(
                    "UPDATE sealed_secrets SET version = $2, nonce = $3, ciphertext = $4, created_at = $5 \
                     WHERE name = $1 AND version = $6",
                ),
            };
            let query = query
                .bind(&secret.name)
                .bind(version)
                .bind(&secret.nonce)
                .bind(&secret.ciphertext)
                .bind(secret.created_at.unix_us());
            let query = match replaces {
                None => query,
                Some(old) => query.bind(i64::try_from(old).unwrap_or(i64::MAX)),
            };
            Ok(query.execute(pool).await?.rows_affected() == 1)
        })?;
        let lost =
            || StoreError::Conflict(format!("the secret \"{}\" was changed by somebody else: look again", secret.name));
        saved.then_some(()).ok_or_else(lost)
    }

    /// Removes a secret; says whether there was one.
    pub async fn remove_sealed_secret(&self, name: &str) -> Result<bool, StoreError> {
        on_pool!(self, "remove a secret", |pool| {
            let done = sqlx::query("DELETE FROM sealed_secrets WHERE name = $1").bind(name).execute(pool).await?;
            Ok(done.rows_affected() > 0)
        })
    }
}

fn number(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| StoreError::Limit("the version of a secret is too large".to_owned()))
}

fn version_of(name: &str, version: i64) -> Result<u64, Fault> {
    u64::try_from(version).map_err(|_| Fault::Corrupt(format!("the version of secret \"{name}\"")))
}

fn record((name, version, nonce, ciphertext, created_at): Row) -> Result<SealedSecret, Fault> {
    let version = version_of(&name, version)?;
    Ok(SealedSecret { name, version, nonce, ciphertext, created_at: Timestamp::from_unix_us(created_at) })
}
