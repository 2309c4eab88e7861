//! Grants: asked for, given, started, used, ended. What they mean lives elsewhere; here each step happens at most once, and a use is counted
//! in the same change that says whether there was one left.

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most grants that are given and not over at one time.
pub const GRANTS_LIVE_MAX: u32 = 10_000;

/// The most marks of grants that are read at one time.
pub const GRANT_MARKS_MAX: u32 = 30_000;

/// A grant as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantRecord {
    /// Its id.
    pub id: String,
    /// How far it is: `requested`, `active`, `ended`. Whether its time or its uses are over does not show here.
    pub status: String,
    /// Who vouches for the asker.
    pub issuer: String,
    /// The asker's subject.
    pub subject: String,
    /// The target.
    pub target: String,
    /// What its owner knows of it.
    pub content: String,
    /// It was taken before anybody said yes.
    pub at_once: bool,
    /// How long it lasts from its start, in microseconds.
    pub lasts_us: i64,
    /// The most uses; `None` for any number.
    pub uses_max: Option<u32>,
    /// The uses so far, of a grant with a limit.
    pub uses: u32,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it was given.
    pub given_at: Option<Timestamp>,
    /// Until when it must have started.
    pub start_by: Option<Timestamp>,
    /// When it started.
    pub started_at: Option<Timestamp>,
    /// When it ends.
    pub ends_at: Option<Timestamp>,
    /// How it was ended before that.
    pub ended: Option<GrantEndRecord>,
}

/// How a grant was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantEndRecord {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// Which grants.
#[derive(Clone, Debug, Default)]
pub struct GrantFilter {
    /// Only those that are asked for or given at this time, and not over.
    pub live_at: Option<Timestamp>,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them.
    pub limit: u32,
}

/// What tells whether a grant changed. That its time is over does not show here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantMark {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: String,
    /// The uses so far, of a grant with a limit.
    pub uses: u32,
    /// Whether it has started.
    pub started: bool,
}

/// The columns, in the order of the fields.
const COLUMNS: &str = "id, status, issuer, subject, target, content, at_once, lasts, uses_max, uses, created_at, given_at, start_by, \
                       started_at, ends_at, ended_at, ended_by, ended_why";
/// Given, and neither ended nor over, at `$1`.
const IN_FORCE: &str = "status = 'active' AND ((started_at IS NULL AND start_by > $1) OR ends_at > $1)";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    status: String,
    issuer: String,
    subject: String,
    target: String,
    content: String,
    at_once: i64,
    lasts: i64,
    uses_max: Option<i64>,
    uses: i64,
    created_at: i64,
    given_at: Option<i64>,
    start_by: Option<i64>,
    started_at: Option<i64>,
    ends_at: Option<i64>,
    ended_at: Option<i64>,
    ended_by: Option<String>,
    ended_why: Option<String>,
}

fn record(r: Row) -> Result<GrantRecord, Fault> {
    let number = |n: i64| u32::try_from(n).map_err(|_| Fault::Corrupt(format!("the uses of grant {}", r.id)));
    Ok(GrantRecord {
        uses_max: r.uses_max.map(number).transpose()?,
        uses: number(r.uses)?,
        ended: r.ended_at.map(|at| GrantEndRecord {
            at: Timestamp::from_unix_us(at),
            by: r.ended_by.unwrap_or_default(),
            why: r.ended_why.unwrap_or_default(),
        }),
        id: r.id,
        status: r.status,
        issuer: r.issuer,
        subject: r.subject,
        target: r.target,
        content: r.content,
        at_once: r.at_once != 0,
        lasts_us: r.lasts,
        created_at: Timestamp::from_unix_us(r.created_at),
        given_at: r.given_at.map(Timestamp::from_unix_us),
        start_by: r.start_by.map(Timestamp::from_unix_us),
        started_at: r.started_at.map(Timestamp::from_unix_us),
        ends_at: r.ends_at.map(Timestamp::from_unix_us),
    })
}

/// The columns of a mark.
const MARK: &str = "id, status, uses, started_at";

type MarkRow = (String, String, i64, Option<i64>);

fn mark((id, status, uses, started_at): MarkRow) -> Result<GrantMark, Fault> {
    let uses = u32::try_from(uses).map_err(|_| Fault::Corrupt(format!("the uses of grant {id}")))?;
    Ok(GrantMark { id, status, uses, started: started_at.is_some() })
}

/// Counts a change, and makes whoever else changes grants wait.
const CHANGED: &str = "UPDATE grant_changes SET number = number + 1 WHERE id = 1";

/// What `$1#$2` took at once, and has not been reviewed.
const UNREVIEWED: &str = "SELECT g.id FROM grants g JOIN reviews r ON r.id = g.id WHERE g.at_once = 1 AND g.issuer = $1 AND g.subject = $2 \
                          AND r.status NOT IN ('used', 'denied') ORDER BY g.id DESC LIMIT 1";

impl Store {
    /// Adds a grant, asked for or given; of what is taken at once by one asker, one at a time: says which one stands in its way, if one does,
    /// and adds nothing then.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one with its id, [`StoreError::Limit`] when too many are given.
    pub async fn add_grant(&self, grant: &GrantRecord) -> Result<Option<String>, StoreError> {
        for (what, text) in [
            ("the id of a grant", &grant.id),
            ("the issuer of a grant", &grant.issuer),
            ("the subject of a grant", &grant.subject),
            ("the target of a grant", &grant.target),
            ("a grant", &grant.content),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        on_pool!(self, "add a grant", |pool| {
            let mut tx = pool.begin().await?;
            sqlx::query(CHANGED).execute(&mut *tx).await?;
            if grant.at_once {
                // Whoever else adds one waits for the change above, so that of two at a time one finds the other.
                let (issuer, subject) = (&grant.issuer, &grant.subject);
                let open: Option<(String,)> =
                    sqlx::query_as(UNREVIEWED).bind(issuer).bind(subject).fetch_optional(&mut *tx).await?;
                if let Some((open,)) = open {
                    return Ok(Some(open));
                }
            }
            let live = format!("SELECT COUNT(*) FROM grants WHERE {IN_FORCE}");
            let (live,): (i64,) =
                sqlx::query_as(sqlx::AssertSqlSafe(live)).bind(grant.created_at.unix_us()).fetch_one(&mut *tx).await?;
            if live >= i64::from(GRANTS_LIVE_MAX) {
                return Err(Fault::Limit(format!(
                    "there are {GRANTS_LIVE_MAX} grants in force already: end some first"
                )));
            }
            let text = format!(
                "INSERT INTO grants ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, \
                 NULL, NULL, NULL)"
            );
            sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(&grant.id)
                .bind(&grant.status)
                .bind(&grant.issuer)
                .bind(&grant.subject)
                .bind(&grant.target)
                .bind(&grant.content)
                .bind(i64::from(grant.at_once))
                .bind(grant.lasts_us)
                .bind(grant.uses_max.map(i64::from))
                .bind(i64::from(grant.uses))
                .bind(grant.created_at.unix_us())
                .bind(grant.given_at.map(Timestamp::unix_us))
                .bind(grant.start_by.map(Timestamp::unix_us))
                .bind(grant.started_at.map(Timestamp::unix_us))
                .bind(grant.ends_at.map(Timestamp::unix_us))
                .execute(&mut *tx)
                .await?;
            tx.commit().await?;
            Ok(None)
        })
    }

    /// What this asker took at once and nobody has said yes or no to.
    pub async fn unreviewed_grant(&self, issuer: &str, subject: &str) -> Result<Option<String>, StoreError> {
        on_pool!(self, "look for what waits for its review", |pool| {
            let open: Option<(String,)> =
                sqlx::query_as(UNREVIEWED).bind(issuer).bind(subject).fetch_optional(pool).await?;
            Ok(open.map(|(id,)| id))
        })
    }

    /// Gives a grant that was asked for: at `now`, to be started until `start_by`, or started already. Says whether it was this call that did.
    pub async fn give_grant(
        &self,
        id: &str,
        now: Timestamp,
        start_by: Timestamp,
        started: Option<(Timestamp, Timestamp)>,
    ) -> Result<bool, StoreError> {
        on_pool!(self, "give a grant", |pool| {
            let mut tx = pool.begin().await?;
            sqlx::query(CHANGED).execute(&mut *tx).await?;
            let done = sqlx::query(
                "UPDATE grants SET status = 'active', given_at = $2, start_by = $3, started_at = $4, ends_at = $5 \
                 WHERE id = $1 AND status = 'requested'",
            )
            .bind(id)
            .bind(now.unix_us())
            .bind(start_by.unix_us())
            .bind(started.map(|(from, _)| from.unix_us()))
            .bind(started.map(|(_, to)| to.unix_us()))
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Uses a grant once: starts it when it has not started, and counts where uses are limited. `false` when it is not in force at `now` or none
    /// is left; then nothing has changed.
    pub async fn use_grant(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        on_pool!(self, "use a grant", |pool| {
            let mut tx = pool.begin().await?;
            sqlx::query(CHANGED).execute(&mut *tx).await?;
            let text = format!(
                "UPDATE grants SET uses = CASE WHEN uses_max IS NULL THEN uses ELSE uses + 1 END, \
                 ends_at = COALESCE(ends_at, CAST($1 AS BIGINT) + lasts), started_at = COALESCE(started_at, $1) \
                 WHERE id = $2 AND {IN_FORCE} AND (started_at IS NULL OR started_at <= $1) \
                 AND (uses_max IS NULL OR uses < uses_max)"
            );
            let done = sqlx::query(sqlx::AssertSqlSafe(text)).bind(now.unix_us()).bind(id).execute(&mut *tx).await?;
            if done.rows_affected() != 1 {
                tx.rollback().await?;
                return Ok(false);
            }
            tx.commit().await?;
            Ok(true)
        })
    }

    /// Ends a grant, or a request for one, that was not ended before; says whether it was this call that did.
    pub async fn end_grant(&self, id: &str, end: &GrantEndRecord) -> Result<bool, StoreError> {
        fits("who ends a grant", end.by.len(), TEXT_BYTES_MAX)?;
        fits("why a grant ends", end.why.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "end a grant", |pool| {
            let mut tx = pool.begin().await?;
            sqlx::query(CHANGED).execute(&mut *tx).await?;
            let done = sqlx::query(
                "UPDATE grants SET status = 'ended', ended_at = $2, ended_by = $3, ended_why = $4 \
                 WHERE id = $1 AND status <> 'ended'",
            )
            .bind(id)
            .bind(end.at.unix_us())
            .bind(&end.by)
            .bind(&end.why)
            .execute(&mut *tx)
            .await?;
            tx.commit().await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// The grant with this id.
    pub async fn grant(&self, id: &str) -> Result<Option<GrantRecord>, StoreError> {
        on_pool!(self, "look up a grant", |pool| {
            let text = format!("SELECT {COLUMNS} FROM grants WHERE id = $1");
            let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id).fetch_optional(pool).await?;
            row.map(record).transpose()
        })
    }

    /// Grants, latest first.
    pub async fn list_grants(&self, filter: &GrantFilter) -> Result<Vec<GrantRecord>, StoreError> {
        on_pool!(self, "list grants", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM grants WHERE ($1 < 0 OR status = 'requested' OR ({IN_FORCE})) \
                 AND ($2 = '' OR id < $2) ORDER BY id DESC LIMIT $3"
            );
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(filter.live_at.map_or(-1, Timestamp::unix_us))
                .bind(filter.before.as_deref().unwrap_or_default())
                .bind(i64::from(filter.limit))
                .fetch_all(pool)
                .await?;
            rows.into_iter().map(record).collect()
        })
    }

    /// The number of changes that grants have seen.
    pub async fn grant_changes(&self) -> Result<u64, StoreError> {
        on_pool!(self, "ask whether grants changed", |pool| {
            let (number,): (i64,) =
                sqlx::query_as("SELECT number FROM grant_changes WHERE id = 1").fetch_one(pool).await?;
            Ok(number.unsigned_abs())
        })
    }

    /// The marks of all grants that are asked for, or given and not over at this time, and of the `latest` newest ones, newest first; at most
    /// [`GRANT_MARKS_MAX`].
    pub async fn grant_marks(&self, latest: u32, now: Timestamp) -> Result<Vec<GrantMark>, StoreError> {
        on_pool!(self, "look which grants changed", |pool| {
            let text = format!(
                "SELECT {MARK} FROM grants WHERE status = 'requested' OR ({IN_FORCE}) \
                 UNION SELECT {MARK} FROM (SELECT {MARK} FROM grants ORDER BY id DESC LIMIT $2) AS newest \
                 ORDER BY id DESC LIMIT $3"
            );
            let rows: Vec<MarkRow> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(now.unix_us())
                .bind(i64::from(latest))
                .bind(i64::from(GRANT_MARKS_MAX))
                .fetch_all(pool)
                .await?;
            rows.into_iter().map(mark).collect()
        })
    }

    /// The mark of one grant, over or not.
    pub async fn grant_mark(&self, id: &str) -> Result<Option<GrantMark>, StoreError> {
        on_pool!(self, "look whether a grant changed", |pool| {
            let text = format!("SELECT {MARK} FROM grants WHERE id = $1");
            let row: Option<MarkRow> = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id).fetch_optional(pool).await?;
            row.map(mark).transpose()
        })
    }

    /// Every grant that is in force at this time, used up or not, and a number of changes that all of them were there at.
    ///
    /// # Errors
    /// [`StoreError::Limit`] when there are more than [`GRANTS_LIVE_MAX`].
    pub async fn live_grants(&self, now: Timestamp) -> Result<(u64, Vec<GrantRecord>), StoreError> {
        // The number first: a change that comes in between is read now, and once more.
        let number = self.grant_changes().await?;
        let all = on_pool!(self, "read the grants in force", |pool| {
            let text = format!("SELECT {COLUMNS} FROM grants WHERE {IN_FORCE} ORDER BY id LIMIT $2");
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(now.unix_us())
                .bind(i64::from(GRANTS_LIVE_MAX) + 1)
                .fetch_all(pool)
                .await?;
            rows.into_iter().map(record).collect::<Result<Vec<_>, Fault>>()
        })?;
        if all.len() > usize::try_from(GRANTS_LIVE_MAX).unwrap_or(usize::MAX) {
            return Err(StoreError::Limit(format!("there are more than {GRANTS_LIVE_MAX} grants in force")));
        }
        Ok((number, all))
    }
}
