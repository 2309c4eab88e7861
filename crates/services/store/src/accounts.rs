//! Local accounts.

use std::collections::BTreeSet;
use std::fmt;

use countersign_model::{IdentityKind, Timestamp};

use crate::error::{Fault, is_unique_violation};
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most accounts that a list holds; more is an error, because a cut list would look whole.
pub const ACCOUNTS_MAX: usize = 50_000;

/// A local account as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its id, never used again.
    pub id: String,
    /// Its name; unique without regard to case.
    pub name: String,
    /// What it is.
    pub kind: IdentityKind,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// Its password or client secret as a PHC string.
    pub secret_hash: Option<String>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Without the hash.
impl fmt::Debug for AccountRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountRecord")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("groups", &self.groups)
            .field("disabled", &self.disabled)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

type Row = (String, String, String, String, Option<String>, bool, i64);

impl Store {
    /// The account with exactly this name.
    pub async fn find_account_by_name(&self, name: &str) -> Result<Option<AccountRecord>, StoreError> {
        on_pool!(self, "look up an account", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, name, kind, member_of, secret_hash, disabled, created_at FROM accounts WHERE name = $1",
            )
            .bind(name)
            .fetch_optional(pool)
            .await?;
            row.map(record).transpose()
        })
    }

    /// The account with this id.
    pub async fn find_account_by_id(&self, id: &str) -> Result<Option<AccountRecord>, StoreError> {
        on_pool!(self, "look up an account", |pool| {
            let row: Option<Row> = sqlx::query_as(
                "SELECT id, name, kind, member_of, secret_hash, disabled, created_at FROM accounts WHERE id = $1",
            )
            .bind(id)
            .fetch_optional(pool)
            .await?;
            row.map(record).transpose()
        })
    }

    /// Adds an account, or replaces the one with the same id.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another id has the name, whatever its case.
    pub async fn save_account(&self, account: &AccountRecord) -> Result<(), StoreError> {
        let groups = serde_json::to_string(&account.groups).unwrap_or_default();
        let hash = account.secret_hash.as_ref().map_or(0, String::len);
        for (what, bytes) in [
            ("the id of an account", account.id.len()),
            ("the name of an account", account.name.len()),
            ("the groups of an account", groups.len()),
            ("the hash of an account", hash),
        ] {
            fits(what, bytes, TEXT_BYTES_MAX)?;
        }
        let saved = on_pool!(self, "save an account", |pool| {
            let done = sqlx::query(
                "INSERT INTO accounts (id, name, name_key, kind, member_of, secret_hash, disabled, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                 ON CONFLICT (id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key, \
                 kind = excluded.kind, member_of = excluded.member_of, secret_hash = excluded.secret_hash, \
                 disabled = excluded.disabled, created_at = excluded.created_at",
            )
            .bind(&account.id)
            .bind(&account.name)
            .bind(account.name.to_lowercase())
            .bind(account.kind.as_str())
            .bind(&groups)
            .bind(account.secret_hash.as_deref())
            .bind(account.disabled)
            .bind(account.created_at.unix_us())
            .execute(pool)
            .await;
            match done {
                Err(e) if is_unique_violation(&e) => Ok(false),
                other => other.map(|_| true).map_err(Fault::from),
            }
        })?;
        let taken = || StoreError::Conflict(format!("there is an account named \"{}\" already", account.name));
        saved.then_some(()).ok_or_else(taken)
    }

    /// Removes an account; says whether there was one.
    pub async fn remove_account(&self, id: &str) -> Result<bool, StoreError> {
        on_pool!(self, "remove an account", |pool| {
            Ok(sqlx::query("DELETE FROM accounts WHERE id = $1").bind(id).execute(pool).await?.rows_affected() > 0)
        })
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`ACCOUNTS_MAX`].
    pub async fn list_accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        on_pool!(self, "list accounts", |pool| {
            let rows: Vec<Row> = sqlx::query_as(
                "SELECT id, name, kind, member_of, secret_hash, disabled, created_at FROM accounts \
                 ORDER BY name_key LIMIT $1",
            )
            .bind(i64::try_from(ACCOUNTS_MAX + 1).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await?;
            if rows.len() > ACCOUNTS_MAX {
                return Err(Fault::Limit(format!("there are more than {ACCOUNTS_MAX} accounts")));
            }
            rows.into_iter().map(record).collect()
        })
    }
}

fn record((id, name, kind, groups, secret_hash, disabled, created_at): Row) -> Result<AccountRecord, Fault> {
    let kind = match kind.as_str() {
        "human" => IdentityKind::Human,
        "machine" => IdentityKind::Machine,
        "agent" => IdentityKind::Agent,
        _ => return Err(Fault::Corrupt(format!("the kind of account \"{name}\""))),
    };
    let groups =
        serde_json::from_str(&groups).map_err(|_| Fault::Corrupt(format!("the groups of account \"{name}\"")))?;
    Ok(AccountRecord { id, name, kind, groups, secret_hash, disabled, created_at: Timestamp::from_unix_us(created_at) })
}
