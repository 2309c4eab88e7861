//! Directories: people and groups as identity providers keep them current. A change is made of one version and of no other, and who is in which
//! group is kept apart, so that a group of thousands is changed by one row.

use countersign_model::Timestamp;

use crate::error::{Fault, is_unique_violation};
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most people of a realm.
pub const DIRECTORY_USERS_MAX: u32 = 50_000;
/// The most groups of a realm.
pub const DIRECTORY_GROUPS_MAX: u32 = 5_000;
/// The most memberships of a realm.
pub const DIRECTORY_MEMBERS_MAX: u32 = 500_000;
/// The most entries of one page.
pub const DIRECTORY_PAGE_MAX: u32 = 200;

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryKind {
    /// Somebody.
    User,
    /// A group.
    Group,
}

impl DirectoryKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
        }
    }

    const fn most(self) -> u32 {
        match self {
            Self::User => DIRECTORY_USERS_MAX,
            Self::Group => DIRECTORY_GROUPS_MAX,
        }
    }
}

/// An entry as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryRecord {
    /// Whose it is.
    pub realm: String,
    /// What it is.
    pub kind: DirectoryKind,
    /// Its id, never used again.
    pub id: String,
    /// Its name; unique in the realm without regard to case.
    pub name: String,
    /// What its owner calls it; unique in the realm where there is one.
    pub external_id: Option<String>,
    /// Whether it is switched on.
    pub active: bool,
    /// How often it was changed.
    pub version: u64,
    /// Everything else, in its owner's form.
    pub content: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub changed_at: Timestamp,
}

/// Which entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryFilter<'f> {
    /// All.
    All,
    /// The one with this name, whatever its case.
    Name(&'f str),
    /// The one with this external id.
    ExternalId(&'f str),
}

/// What came of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DirectoryChange {
    /// It is made.
    Made,
    /// Another entry has the name or the external id.
    Taken,
    /// There are as many as may be.
    Full,
    /// It is gone, or was changed since.
    Stale,
}

type Row = (String, String, Option<String>, bool, i64, String, i64, i64);

const COLUMNS: &str = "id, name, external_id, active, version, content, created_at, changed_at";

impl Store {
    /// Adds an entry.
    pub async fn add_to_directory(&self, r: &DirectoryRecord) -> Result<DirectoryChange, StoreError> {
        check(r)?;
        on_pool!(self, "add to a directory", |pool| {
            let done = sqlx::query(
                "INSERT INTO directory (realm, kind, id, name, name_key, external_id, active, version, content, \
                 created_at, changed_at) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
                 CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS BOOLEAN), CAST($8 AS BIGINT), CAST($9 AS TEXT), \
                 CAST($10 AS BIGINT), CAST($11 AS BIGINT) \
                 WHERE (SELECT count(*) FROM directory WHERE realm = $1 AND kind = $2) < $12",
            )
            .bind(&r.realm)
            .bind(r.kind.as_str())
            .bind(&r.id)
            .bind(&r.name)
            .bind(r.name.to_lowercase())
            .bind(r.external_id.as_deref())
            .bind(r.active)
            .bind(number(r.version))
            .bind(&r.content)
            .bind(r.created_at.unix_us())
            .bind(r.changed_at.unix_us())
            .bind(i64::from(r.kind.most()))
            .execute(pool)
            .await;
            match done {
                Err(e) if is_unique_violation(&e) => Ok(DirectoryChange::Taken),
                Err(e) => Err(Fault::from(e)),
                Ok(done) if done.rows_affected() == 1 => Ok(DirectoryChange::Made),
                Ok(_) => Ok(DirectoryChange::Full),
            }
        })
    }

    /// Puts an entry in the place of the version before it.
    pub async fn replace_in_directory(&self, r: &DirectoryRecord) -> Result<DirectoryChange, StoreError> {
        check(r)?;
        on_pool!(self, "change a directory", |pool| {
            let done = sqlx::query(
                "UPDATE directory SET name = $4, name_key = $5, external_id = $6, active = $7, version = $8, \
                 content = $9, changed_at = $10 WHERE realm = $1 AND kind = $2 AND id = $3 AND version = $11",
            )
            .bind(&r.realm)
            .bind(r.kind.as_str())
            .bind(&r.id)
            .bind(&r.name)
            .bind(r.name.to_lowercase())
            .bind(r.external_id.as_deref())
            .bind(r.active)
            .bind(number(r.version))
            .bind(&r.content)
            .bind(r.changed_at.unix_us())
            .bind(number(r.version).saturating_sub(1))
            .execute(pool)
            .await;
            match done {
                Err(e) if is_unique_violation(&e) => Ok(DirectoryChange::Taken),
                Err(e) => Err(Fault::from(e)),
                Ok(done) if done.rows_affected() == 1 => Ok(DirectoryChange::Made),
                Ok(_) => Ok(DirectoryChange::Stale),
            }
        })
    }

    /// Removes an entry with its memberships; says whether there was one.
    pub async fn remove_from_directory(&self, realm: &str, kind: DirectoryKind, id: &str) -> Result<bool, StoreError> {
        on_pool!(self, "remove from a directory", |pool| {
            let mut tx = pool.begin().await?;
            let of_kind = match kind {
                DirectoryKind::User => "DELETE FROM directory_members WHERE realm = $1 AND user_id = $2",
                DirectoryKind::Group => "DELETE FROM directory_members WHERE realm = $1 AND group_id = $2",
            };
            sqlx::query(of_kind).bind(realm).bind(id).execute(&mut *tx).await?;
            let removed = sqlx::query("DELETE FROM directory WHERE realm = $1 AND kind = $2 AND id = $3")
                .bind(realm)
                .bind(kind.as_str())
                .bind(id)
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(removed.rows_affected() > 0)
        })
    }

    /// The entry with this id.
    pub async fn directory_entry(
        &self,
        realm: &str,
        kind: DirectoryKind,
        id: &str,
    ) -> Result<Option<DirectoryRecord>, StoreError> {
        on_pool!(self, "look into a directory", |pool| {
            let text = format!("SELECT {COLUMNS} FROM directory WHERE realm = $1 AND kind = $2 AND id = $3");
            let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(realm)
                .bind(kind.as_str())
                .bind(id)
                .fetch_optional(pool)
                .await?;
            row.map(|row| record(realm, kind, row)).transpose()
        })
    }

    /// A page of entries by id, from the `from`-th on (0 is the first), and how many there are in all.
    pub async fn directory_page(
        &self,
        realm: &str,
        kind: DirectoryKind,
        filter: DirectoryFilter<'_>,
        from: u32,
        limit: u32,
    ) -> Result<(Vec<DirectoryRecord>, u64), StoreError> {
        let (condition, value) = match filter {
            DirectoryFilter::All => ("CAST($3 AS TEXT) = ''", String::new()),
            DirectoryFilter::Name(name) => ("name_key = $3", name.to_lowercase()),
            DirectoryFilter::ExternalId(id) => ("external_id = $3", id.to_owned()),
        };
        on_pool!(self, "list a directory", |pool| {
            let of = format!("FROM directory WHERE realm = $1 AND kind = $2 AND {condition}");
            let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {of}")))
                .bind(realm)
                .bind(kind.as_str())
                .bind(&value)
                .fetch_one(pool)
                .await?;
            let text = format!("SELECT {COLUMNS} {of} ORDER BY id LIMIT $4 OFFSET $5");
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(realm)
                .bind(kind.as_str())
                .bind(&value)
                .bind(i64::from(limit.min(DIRECTORY_PAGE_MAX)))
                .bind(i64::from(from))
                .fetch_all(pool)
                .await?;
            let all = rows.into_iter().map(|row| record(realm, kind, row)).collect::<Result<Vec<_>, Fault>>()?;
            Ok((all, u64::try_from(total).unwrap_or(0)))
        })
    }

    /// Who is in a group: ids and names, by id.
    pub async fn directory_members(&self, realm: &str, group: &str) -> Result<Vec<(String, String)>, StoreError> {
        let entries = "SELECT d.id, d.name FROM directory_members m JOIN directory d ON d.realm = m.realm AND d.kind = 'user' \
                       AND d.id = m.user_id WHERE m.realm = $1 AND m.group_id = $2 ORDER BY d.id";
        self.directory_entries_of(entries, realm, group).await
    }

    /// Which groups somebody is in: ids and names, by name.
    pub async fn directory_groups_of(&self, realm: &str, user: &str) -> Result<Vec<(String, String)>, StoreError> {
        let entries = "SELECT d.id, d.name FROM directory_members m JOIN directory d ON d.realm = m.realm AND d.kind = 'group' \
                       AND d.id = m.group_id WHERE m.realm = $1 AND m.user_id = $2 ORDER BY d.name_key";
        self.directory_entries_of(entries, realm, user).await
    }

    /// The ids and names that a query gives of a realm and the entry with this id.
    async fn directory_entries_of(
        &self,
        query: &'static str,
        realm: &str,
        id: &str,
    ) -> Result<Vec<(String, String)>, StoreError> {
        on_pool!(self, "list who is in which group", |pool| Ok(sqlx::query_as(query)
            .bind(realm)
            .bind(id)
            .fetch_all(pool)
            .await?))
    }

    /// Changes who is in a group, all at once: `only` leaves nobody else in it. People that are not there are passed over.
    pub async fn change_directory_members(
        &self,
        realm: &str,
        group: &str,
        add: &[String],
        remove: &[String],
        only: bool,
    ) -> Result<DirectoryChange, StoreError> {
        on_pool!(self, "change the members of a group", |pool| {
            let mut tx = pool.begin().await?;
            if only {
                sqlx::query("DELETE FROM directory_members WHERE realm = $1 AND group_id = $2")
                    .bind(realm)
                    .bind(group)
                    .execute(&mut *tx)
                    .await?;
            }
            for user in remove {
                sqlx::query("DELETE FROM directory_members WHERE realm = $1 AND group_id = $2 AND user_id = $3")
                    .bind(realm)
                    .bind(group)
                    .bind(user)
                    .execute(&mut *tx)
                    .await?;
            }
            for user in add {
                sqlx::query(
                    "INSERT INTO directory_members (realm, group_id, user_id) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), \
                     CAST($3 AS TEXT) WHERE EXISTS (SELECT 1 FROM directory WHERE realm = $1 AND kind = 'user' AND id = $3) \
                     AND EXISTS (SELECT 1 FROM directory WHERE realm = $1 AND kind = 'group' AND id = $2) \
                     ON CONFLICT (realm, group_id, user_id) DO NOTHING",
                )
                .bind(realm)
                .bind(group)
                .bind(user)
                .execute(&mut *tx)
                .await?;
            }
            let all: i64 = sqlx::query_scalar("SELECT count(*) FROM directory_members WHERE realm = $1")
                .bind(realm)
                .fetch_one(&mut *tx)
                .await?;
            if all > i64::from(DIRECTORY_MEMBERS_MAX) {
                tx.rollback().await?;
                return Ok(DirectoryChange::Full);
            }
            tx.commit().await?;
            Ok(DirectoryChange::Made)
        })
    }
}

fn check(r: &DirectoryRecord) -> Result<(), StoreError> {
    for (what, bytes) in [
        ("the realm of a directory", r.realm.len()),
        ("an id in a directory", r.id.len()),
        ("a name in a directory", r.name.len()),
        ("an external id in a directory", r.external_id.as_ref().map_or(0, String::len)),
        ("an entry of a directory", r.content.len()),
    ] {
        fits(what, bytes, TEXT_BYTES_MAX)?;
    }
    Ok(())
}

fn number(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}

fn record(
    realm: &str,
    kind: DirectoryKind,
    (id, name, external_id, active, version, content, created_at, changed_at): Row,
) -> Result<DirectoryRecord, Fault> {
    let version = u64::try_from(version).map_err(|_| Fault::Corrupt("the version of an entry".to_owned()))?;
    Ok(DirectoryRecord {
        realm: realm.to_owned(),
        kind,
        id,
        name,
        external_id,
        active,
        version,
        content,
        created_at: Timestamp::from_unix_us(created_at),
        changed_at: Timestamp::from_unix_us(changed_at),
    })
}
