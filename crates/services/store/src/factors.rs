//! What people show beside their logins. What it means lives elsewhere; here a change is made of one version and of no other, so that of two
//! gateways that are at it at once one must look again.

use crate::error::Fault;
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

impl Store {
    /// What is kept of a person, and its version.
    pub async fn factors(&self, issuer: &str, subject: &str) -> Result<Option<(u64, String)>, StoreError> {
        on_pool!(self, "read the factors of somebody", |pool| {
            let row: Option<(i64, String)> =
                sqlx::query_as("SELECT version, content FROM factors WHERE issuer = $1 AND subject = $2")
                    .bind(issuer)
                    .bind(subject)
                    .fetch_optional(pool)
                    .await?;
            row.map(|(version, content)| {
                let version =
                    u64::try_from(version).map_err(|_| Fault::Corrupt("the version of factors".to_owned()))?;
                Ok((version, content))
            })
            .transpose()
        })
    }

    /// Puts this in the place of version `replaces`, or where there is nothing yet; `false` when something else is there. `name` is what
    /// people call the person; without it that stays.
    pub async fn save_factors(
        &self,
        issuer: &str,
        subject: &str,
        name: Option<&str>,
        content: &str,
        replaces: Option<u64>,
    ) -> Result<bool, StoreError> {
        fits("who somebody is", issuer.len() + subject.len() + name.map_or(0, str::len), TEXT_BYTES_MAX)?;
        fits("the factors of somebody", content.len(), TEXT_BYTES_MAX)?;
        let old = replaces.unwrap_or(0);
        let number = |n: u64| i64::try_from(n).map_err(|_| StoreError::Limit("a version is too large".to_owned()));
        let (old, next) = (number(old)?, number(old.saturating_add(1))?);
        on_pool!(self, "save the factors of somebody", |pool| {
            let query = match replaces {
                None => sqlx::query(
                    "INSERT INTO factors (issuer, subject, name, content, version) VALUES ($1, $2, COALESCE($3, ''), $4, $5) \
                     ON CONFLICT (issuer, subject) DO NOTHING",
                ),
                Some(_) => sqlx::query(
                    "UPDATE factors SET name = COALESCE($3, name), content = $4, version = $5 \
                     WHERE issuer = $1 AND subject = $2 AND version = $6",
                ),
            };
            let query = query.bind(issuer).bind(subject).bind(name).bind(content).bind(next);
            let query = if replaces.is_some() { query.bind(old) } else { query };
            Ok(query.execute(pool).await?.rows_affected() == 1)
        })
    }

    /// The issuer and subject of those who are called this: a name, or `ISSUER#SUBJECT`, which no name is taken for. Two at most, as nobody
    /// needs more to know that there are several.
    pub async fn factor_owners(&self, person: &str) -> Result<Vec<(String, String)>, StoreError> {
        on_pool!(self, "look for the owner of factors", |pool| {
            let found: Vec<(String, String)> = sqlx::query_as(
                "SELECT issuer, subject FROM factors WHERE ($2 = 0 AND name = $1) OR ($2 = 1 AND issuer || '#' || subject = $1) \
                 ORDER BY issuer, subject LIMIT 2",
            )
            .bind(person)
            .bind(i64::from(person.contains('#')))
            .fetch_all(pool)
            .await?;
            Ok(found)
        })
    }
}
