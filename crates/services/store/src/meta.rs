//! Small named values about the store itself.

use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

impl Store {
    /// The value with this name.
    pub async fn meta(&self, name: &str) -> Result<Option<String>, StoreError> {
        on_pool!(self, "read a setting", |pool| {
            let row: Option<(String,)> =
                sqlx::query_as("SELECT content FROM meta WHERE name = $1").bind(name).fetch_optional(pool).await?;
            Ok(row.map(|(v,)| v))
        })
    }

    /// Keeps a value unless there is one, and says which one is kept: of two gateways that start together, both get the same.
    pub async fn meta_or_insert(&self, name: &str, value: &str) -> Result<String, StoreError> {
        fits("the name of a setting", name.len(), TEXT_BYTES_MAX)?;
        fits("a setting", value.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "keep a setting", |pool| {
            sqlx::query("INSERT INTO meta (name, content) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
                .bind(name)
                .bind(value)
                .execute(pool)
                .await?;
            let (kept,): (String,) =
                sqlx::query_as("SELECT content FROM meta WHERE name = $1").bind(name).fetch_one(pool).await?;
            Ok(kept)
        })
    }

    /// Puts `new` in the place of `old`; says whether `old` was there.
    pub async fn replace_meta(&self, name: &str, old: &str, new: &str) -> Result<bool, StoreError> {
        fits("a setting", new.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "change a setting", |pool| {
            let done = sqlx::query("UPDATE meta SET content = $3 WHERE name = $1 AND content = $2")
                .bind(name)
                .bind(old)
                .bind(new)
                .execute(pool)
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }
}
