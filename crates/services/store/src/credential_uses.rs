//! First uses of credentials: what a token is bound to, and proofs that are good once.

use countersign_model::Timestamp;

use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

impl Store {
    /// Keeps what something is bound to, unless it is bound already; says which binding is kept: of several gateways that do this at
    /// once, all get the same.
    pub async fn bind_credential(
        &self,
        id: &str,
        binding: &str,
        at: Timestamp,
        expires_at: Timestamp,
    ) -> Result<String, StoreError> {
        fits("the id of a use", id.len(), TEXT_BYTES_MAX)?;
        fits("what a use is bound to", binding.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "bind a credential", |pool| {
            sqlx::query(
                "INSERT INTO credential_uses (id, binding, used_at, expires_at) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (id) DO NOTHING",
            )
            .bind(id)
            .bind(binding)
            .bind(at.unix_us())
            .bind(expires_at.unix_us())
            .execute(pool)
            .await?;
            let (kept,): (String,) =
                sqlx::query_as("SELECT binding FROM credential_uses WHERE id = $1").bind(id).fetch_one(pool).await?;
            Ok(kept)
        })
    }

    /// What something is bound to.
    pub async fn credential_binding(&self, id: &str) -> Result<Option<String>, StoreError> {
        on_pool!(self, "look up the use of a credential", |pool| {
            let row: Option<(String,)> = sqlx::query_as("SELECT binding FROM credential_uses WHERE id = $1")
                .bind(id)
                .fetch_optional(pool)
                .await?;
            Ok(row.map(|(binding,)| binding))
        })
    }

    /// Removes what has expired; says how many uses are left.
    pub async fn sweep_credential_uses(&self, now: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "remove old uses of credentials", |pool| {
            sqlx::query("DELETE FROM credential_uses WHERE expires_at <= $1").bind(now.unix_us()).execute(pool).await?;
            let (left,): (i64,) = sqlx::query_as("SELECT COUNT(*) FROM credential_uses").fetch_one(pool).await?;
            Ok(u64::try_from(left).unwrap_or(u64::MAX))
        })
    }
}
