//! Logins: what a verified token became. The identity is its owner's JSON; nothing in it opens anything.

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most live logins that a list holds; more is an error, because a cut list would look whole.
pub const LOGINS_LISTED_MAX: usize = 50_000;

/// A login as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginRecord {
    /// Its id.
    pub id: String,
    /// Who vouched for the identity.
    pub issuer: String,
    /// The identity's subject.
    pub subject: String,
    /// The identity, in its owner's form.
    pub identity: String,
    /// The thumbprint of its public key.
    pub key: String,
    /// The digest of the token that it came of.
    pub token: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When and why it was ended before that.
    pub ended: Option<(Timestamp, String)>,
}

type Row = (String, String, String, String, String, String, i64, i64, Option<i64>, Option<String>);

impl Store {
    /// Adds a login.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one with its id.
    pub async fn add_login(&self, login: &LoginRecord) -> Result<(), StoreError> {
        for (what, text) in [
            ("the id of a login", &login.id),
            ("the issuer of a login", &login.issuer),
            ("the subject of a login", &login.subject),
            ("the identity of a login", &login.identity),
            ("the key of a login", &login.key),
            ("the token of a login", &login.token),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        on_pool!(self, "add a login", |pool| {
            sqlx::query(
                "INSERT INTO logins (id, issuer, subject, identity, key_thumbprint, token_digest, created_at, \
                 expires_at, ended_at, ended_why) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            )
            .bind(&login.id)
            .bind(&login.issuer)
            .bind(&login.subject)
            .bind(&login.identity)
            .bind(&login.key)
            .bind(&login.token)
            .bind(login.created_at.unix_us())
            .bind(login.expires_at.unix_us())
            .bind(login.ended.as_ref().map(|(at, _)| at.unix_us()))
            .bind(login.ended.as_ref().map(|(_, why)| why.as_str()))
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// The login with this id.
    pub async fn login(&self, id: &str) -> Result<Option<LoginRecord>, StoreError> {
        on_pool!(self, "look up a login", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, issuer, subject, identity, key_thumbprint, token_digest, created_at, expires_at, ended_at, \
                 ended_why FROM logins WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(record))
        })
    }

    /// The latest login that came of this token (its digest).
    pub async fn login_of_token(&self, token: &str) -> Result<Option<LoginRecord>, StoreError> {
        on_pool!(self, "look up the login of a token", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, issuer, subject, identity, key_thumbprint, token_digest, created_at, expires_at, ended_at, \
                 ended_why FROM logins WHERE token_digest = $1 ORDER BY created_at DESC, id DESC LIMIT 1",
            )
            .bind(token)
            .fetch_optional(pool)
            .await?;
            Ok(row.map(record))
        })
    }

    /// Ends a login unless it was ended before; says whether it was this call that did.
    pub async fn end_login(&self, id: &str, at: Timestamp, why: &str) -> Result<bool, StoreError> {
        fits("why a login ends", why.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "end a login", |pool| {
            let done =
                sqlx::query("UPDATE logins SET ended_at = $2, ended_why = $3 WHERE id = $1 AND ended_at IS NULL")
                    .bind(id)
                    .bind(at.unix_us())
                    .bind(why)
                    .execute(pool)
                    .await?;
            Ok(done.rows_affected() > 0)
        })
    }

    /// Ends every login of a subject that was not ended before; says how many.
    pub async fn end_logins_of(
        &self,
        issuer: &str,
        subject: &str,
        at: Timestamp,
        why: &str,
    ) -> Result<u64, StoreError> {
        fits("why logins end", why.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "end the logins of a subject", |pool| {
            let done = sqlx::query(
                "UPDATE logins SET ended_at = $3, ended_why = $4 \
                 WHERE issuer = $1 AND subject = $2 AND ended_at IS NULL",
            )
            .bind(issuer)
            .bind(subject)
            .bind(at.unix_us())
            .bind(why)
            .execute(pool)
            .await?;
            Ok(done.rows_affected())
        })
    }

    /// The logins that are live, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`LOGINS_LISTED_MAX`].
    pub async fn live_logins(&self, now: Timestamp) -> Result<Vec<LoginRecord>, StoreError> {
        on_pool!(self, "list logins", |pool| {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT id, issuer, subject, identity, key_thumbprint, token_digest, created_at, expires_at, ended_at, \
                 ended_why FROM logins WHERE ended_at IS NULL AND expires_at > $1 ORDER BY created_at, id LIMIT $2",
            )
            .bind(now.unix_us())
            .bind(i64::try_from(LOGINS_LISTED_MAX + 1).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?;
            if rows.len() > LOGINS_LISTED_MAX {
                return Err(Fault::Limit(format!("there are more than {LOGINS_LISTED_MAX} live logins")));
            }
            Ok(rows.into_iter().map(record).collect())
        })
    }

    /// Removes the logins whose time was over before `before`; says how many.
    pub async fn remove_logins_over(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "remove old logins", |pool| {
            let done =
                sqlx::query("DELETE FROM logins WHERE expires_at < $1").bind(before.unix_us()).execute(pool).await?;
            Ok(done.rows_affected())
        })
    }
}

fn record(
    (id, issuer, subject, identity, key, token, created_at, expires_at, ended_at, ended_why): Row,
) -> LoginRecord {
    LoginRecord {
        id,
        issuer,
        subject,
        identity,
        key,
        token,
        created_at: Timestamp::from_unix_us(created_at),
        expires_at: Timestamp::from_unix_us(expires_at),
        ended: ended_at.map(|at| (Timestamp::from_unix_us(at), ended_why.unwrap_or_default())),
    }
}
