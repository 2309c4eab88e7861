//! Reviews and their answers. What they mean lives elsewhere; here a change is made of one version of a review and of no other, so that
//! of two gateways, or two people, that are at it at once one must look again.

use countersign_model::Timestamp;

use crate::error::Fault;
use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most reviews on one page of a list.
pub const REVIEWS_PAGE_MAX: u32 = 200;
/// The most marks of reviews that are read at one time.
pub const REVIEW_MARKS_MAX: u32 = 20_000;
/// The most answers and comments of one review.
pub const REVIEW_ANSWERS_MAX: u32 = 200;

/// A review as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRecord {
    /// Its id.
    pub id: String,
    /// What sort of thing waits.
    pub kind: String,
    /// Grows with every change, from 1.
    pub version: u64,
    /// How far it is: `pending`, `approved`, `denied`, `withdrawn`, `expired`, `used`.
    pub status: String,
    /// Who vouches for the asker.
    pub issuer: String,
    /// The asker's subject.
    pub subject: String,
    /// Where it waits; empty when nothing does.
    pub session: String,
    /// What it is about, whatever the session.
    pub action: String,
    /// What an approval is good for.
    pub binding: String,
    /// What its owner knows of it.
    pub content: String,
    /// The process in which it waits.
    pub gateway: String,
    /// Until when that process said it would.
    pub lease_until: Timestamp,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when it may be answered and used.
    pub expires_at: Timestamp,
    /// When and why it came to its end.
    pub ended: Option<(Timestamp, String)>,
}

/// What somebody said to a review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewAnswerRecord {
    /// The version of the review that it made.
    pub version: u64,
    /// What its owner knows of it.
    pub content: String,
}

/// What tells whether a review changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewMark {
    /// Its id.
    pub id: String,
    /// Grows with every change.
    pub version: u64,
    /// Whether it is pending, or approved and not used.
    pub open: bool,
}

/// Which reviews.
#[derive(Clone, Debug, Default)]
pub struct ReviewFilter {
    /// Only those that are open: pending, or approved and not used.
    pub open: bool,
    /// Only those of this sort.
    pub kind: Option<String>,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them; at most [`REVIEWS_PAGE_MAX`].
    pub limit: u32,
}

/// The columns, in the order of the fields.
const COLUMNS: &str = "id, kind, version, status, issuer, subject, session, action, binding, content, gateway, lease_until, \
                       created_at, expires_at, ended_at, ended_why";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    kind: String,
    version: i64,
    status: String,
    issuer: String,
    subject: String,
    session: String,
    action: String,
    binding: String,
    content: String,
    gateway: String,
    lease_until: i64,
    created_at: i64,
    expires_at: i64,
    ended_at: Option<i64>,
    ended_why: Option<String>,
}

fn record(r: Row) -> Result<ReviewRecord, Fault> {
    Ok(ReviewRecord {
        version: version_of(&r.id, r.version)?,
        id: r.id,
        kind: r.kind,
        status: r.status,
        issuer: r.issuer,
        subject: r.subject,
        session: r.session,
        action: r.action,
        binding: r.binding,
        content: r.content,
        gateway: r.gateway,
        lease_until: Timestamp::from_unix_us(r.lease_until),
        created_at: Timestamp::from_unix_us(r.created_at),
        expires_at: Timestamp::from_unix_us(r.expires_at),
        ended: r.ended_at.map(|at| (Timestamp::from_unix_us(at), r.ended_why.unwrap_or_default())),
    })
}

fn version_of(id: &str, version: i64) -> Result<u64, Fault> {
    u64::try_from(version).map_err(|_| Fault::Corrupt(format!("the version of review {id}")))
}

fn number(version: u64) -> Result<i64, StoreError> {
    i64::try_from(version).map_err(|_| StoreError::Limit("the version of a review is too large".to_owned()))
}

impl Store {
    /// Adds a review unless `most` are open, or `most_of_asker` of its asker; says whether it did.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one with its id.
    pub async fn add_review(&self, review: &ReviewRecord, most: u32, most_of_asker: u32) -> Result<bool, StoreError> {
        for (what, text) in [
            ("the id of a review", &review.id),
            ("the issuer of a review", &review.issuer),
            ("the subject of a review", &review.subject),
            ("a review", &review.content),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        let version = number(review.version)?;
        on_pool!(self, "add a review", |pool| {
            let open = "FROM reviews WHERE status IN ('pending', 'approved') AND expires_at > $13";
            let text = format!(
                "INSERT INTO reviews ({COLUMNS}) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS BIGINT), \
                 CAST($4 AS TEXT), CAST($5 AS TEXT), CAST($6 AS TEXT), CAST($7 AS TEXT), CAST($8 AS TEXT), \
                 CAST($9 AS TEXT), CAST($10 AS TEXT), CAST($11 AS TEXT), CAST($12 AS BIGINT), CAST($13 AS BIGINT), \
                 CAST($14 AS BIGINT), CAST($15 AS BIGINT), CAST($16 AS TEXT) \
                 WHERE (SELECT count(*) {open}) < $17 AND (SELECT count(*) {open} AND issuer = $5 AND subject = $6) < $18"
            );
            let done = sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(&review.id)
                .bind(&review.kind)
                .bind(version)
                .bind(&review.status)
                .bind(&review.issuer)
                .bind(&review.subject)
                .bind(&review.session)
                .bind(&review.action)
                .bind(&review.binding)
                .bind(&review.content)
                .bind(&review.gateway)
                .bind(review.lease_until.unix_us())
                .bind(review.created_at.unix_us())
                .bind(review.expires_at.unix_us())
                .bind(review.ended.as_ref().map(|(at, _)| at.unix_us()))
                .bind(review.ended.as_ref().map(|(_, why)| why.as_str()))
                .bind(i64::from(most))
                .bind(i64::from(most_of_asker))
                .execute(pool)
                .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// A review with its answers, oldest first.
    pub async fn review(&self, id: &str) -> Result<Option<(ReviewRecord, Vec<ReviewAnswerRecord>)>, StoreError> {
        on_pool!(self, "look up a review", |pool| {
            let text = format!("SELECT {COLUMNS} FROM reviews WHERE id = $1");
            let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id).fetch_optional(pool).await?;
            let Some(row) = row else { return Ok(None) };
            // Answers that came since the row was read belong to a later version of it.
            let rows: Vec<(i64, String)> = sqlx::query_as(
                "SELECT version, content FROM review_answers WHERE review = $1 AND version <= $2 ORDER BY version",
            )
            .bind(id)
            .bind(row.version)
            .fetch_all(pool)
            .await?;
            let answers = rows
                .into_iter()
                .map(|(version, content)| Ok(ReviewAnswerRecord { version: version_of(id, version)?, content }));
            let answers = answers.collect::<Result<Vec<_>, Fault>>()?;
            Ok(Some((record(row)?, answers)))
        })
    }

    /// The open reviews about this action by this asker, latest first.
    pub async fn open_reviews_of(
        &self,
        action: &str,
        issuer: &str,
        subject: &str,
        now: Timestamp,
    ) -> Result<Vec<ReviewRecord>, StoreError> {
        on_pool!(self, "look for a review", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM reviews WHERE action = $1 AND issuer = $2 AND subject = $3 \
                 AND status IN ('pending', 'approved') AND expires_at > $4 ORDER BY id DESC LIMIT $5"
            );
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(action)
                .bind(issuer)
                .bind(subject)
                .bind(now.unix_us())
                .bind(i64::from(REVIEWS_PAGE_MAX))
                .fetch_all(pool)
                .await?;
            rows.into_iter().map(record).collect()
        })
    }

    /// Reviews, latest first.
    pub async fn list_reviews(&self, filter: &ReviewFilter) -> Result<Vec<ReviewRecord>, StoreError> {
        on_pool!(self, "list reviews", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM reviews WHERE ($1 = 0 OR status IN ('pending', 'approved')) \
                 AND ($2 = '' OR kind = $2) AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4"
            );
            let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(i64::from(filter.open))
                .bind(filter.kind.as_deref().unwrap_or_default())
                .bind(filter.before.as_deref().unwrap_or_default())
                .bind(i64::from(filter.limit.clamp(1, REVIEWS_PAGE_MAX)))
                .fetch_all(pool)
                .await?;
            rows.into_iter().map(record).collect()
        })
    }

    /// The marks of all open reviews and of the `latest` newest ones, newest first; at most [`REVIEW_MARKS_MAX`].
    pub async fn review_marks(&self, latest: u32) -> Result<Vec<ReviewMark>, StoreError> {
        on_pool!(self, "look which reviews changed", |pool| {
            let rows: Vec<(String, i64, String)> = sqlx::query_as(
                "SELECT id, version, status FROM reviews WHERE status IN ('pending', 'approved') \
                 UNION SELECT id, version, status FROM (SELECT id, version, status FROM reviews ORDER BY id DESC LIMIT $1) AS newest \
                 ORDER BY id DESC LIMIT $2",
            )
            .bind(i64::from(latest))
            .bind(i64::from(REVIEW_MARKS_MAX))
            .fetch_all(pool)
            .await?;
            let mark = |(id, version, status): (String, i64, String)| {
                let version = version_of(&id, version)?;
                Ok(ReviewMark { id, version, open: matches!(status.as_str(), "pending" | "approved") })
            };
            rows.into_iter().map(mark).collect()
        })
    }

    /// Puts the next version of a review in the place of the one before it, with what somebody said, if that is what changed it; `false`
    /// when somebody else was faster, and nothing has changed. What it is about, who asks and until when stay.
    pub async fn change_review(
        &self,
        next: &ReviewRecord,
        answer: Option<&ReviewAnswerRecord>,
    ) -> Result<bool, StoreError> {
        fits("why a review ended", next.ended.as_ref().map_or(0, |(_, why)| why.len()), TEXT_BYTES_MAX)?;
        fits("an answer", answer.map_or(0, |a| a.content.len()), TEXT_BYTES_MAX)?;
        let version = number(next.version)?;
        let answered = answer.map(|a| number(a.version)).transpose()?;
        on_pool!(self, "change a review", |pool| {
            let mut tx = pool.begin().await?;
            let done = sqlx::query(
                "UPDATE reviews SET version = $2, status = $3, session = $4, binding = $5, gateway = $6, lease_until = $7, \
                 ended_at = $8, ended_why = $9 WHERE id = $1 AND version = $10",
            )
            .bind(&next.id)
            .bind(version)
            .bind(&next.status)
            .bind(&next.session)
            .bind(&next.binding)
            .bind(&next.gateway)
            .bind(next.lease_until.unix_us())
            .bind(next.ended.as_ref().map(|(at, _)| at.unix_us()))
            .bind(next.ended.as_ref().map(|(_, why)| why.as_str()))
            .bind(version.saturating_sub(1))
            .execute(&mut *tx)
            .await?;
            if done.rows_affected() != 1 {
                tx.rollback().await?;
                return Ok(false);
            }
            if let (Some(answer), Some(answered)) = (answer, answered) {
                let done = sqlx::query(
                    "INSERT INTO review_answers (review, version, content) SELECT CAST($1 AS TEXT), CAST($2 AS BIGINT), \
                     CAST($3 AS TEXT) WHERE (SELECT count(*) FROM review_answers WHERE review = $1) < $4",
                )
                .bind(&next.id)
                .bind(answered)
                .bind(&answer.content)
                .bind(i64::from(REVIEW_ANSWERS_MAX))
                .execute(&mut *tx)
                .await?;
                if done.rows_affected() != 1 {
                    tx.rollback().await?;
                    return Err(Fault::Limit(format!(
                        "a review has at most {REVIEW_ANSWERS_MAX} answers and comments"
                    )));
                }
            }
            tx.commit().await?;
            Ok(true)
        })
    }

    /// The process in which a review waits says that it still does. No change of the review.
    pub async fn renew_review_lease(&self, id: &str, session: &str, until: Timestamp) -> Result<(), StoreError> {
        on_pool!(self, "renew the lease of a review", |pool| {
            sqlx::query("UPDATE reviews SET lease_until = $3 WHERE id = $1 AND session = $2")
                .bind(id)
                .bind(session)
                .bind(until.unix_us())
                .execute(pool)
                .await?;
            Ok(())
        })
    }

    /// Removes the reviews that expired before this time, with their answers; says how many.
    pub async fn remove_reviews_over(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "remove old reviews", |pool| {
            let before = before.unix_us();
            sqlx::query("DELETE FROM review_answers WHERE review IN (SELECT id FROM reviews WHERE expires_at < $1)")
                .bind(before)
                .execute(pool)
                .await?;
            let done = sqlx::query("DELETE FROM reviews WHERE expires_at < $1").bind(before).execute(pool).await?;
            Ok(done.rows_affected())
        })
    }

    /// True when no other gateway can be using this store: it is a file of this machine.
    pub fn is_for_one_gateway(&self) -> bool {
        matches!(self.backend, crate::Backend::Sqlite(_))
    }
}
