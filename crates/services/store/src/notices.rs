//! Notices on their way out, and who receives them. What they say lives elsewhere; here each topic is kept once for a receiver, whichever
//! gateway adds it, and one gateway at a time sends to a receiver.

use countersign_model::Timestamp;

use crate::{Store, StoreError, TEXT_BYTES_MAX, fits, on_pool};

/// The most notices of one page.
pub const NOTICES_PAGE_MAX: u32 = 1_000;
/// The longest word on why a notice was not sent, in bytes; what is longer is not kept.
pub const NOTICE_ERROR_BYTES_MAX: usize = 500;

/// A notice for one receiver, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct NoticeRecord {
    /// Its id: a ULID.
    pub id: String,
    /// For whom.
    pub receiver: String,
    /// What makes it the same as another.
    pub topic: String,
    /// Its kind.
    pub kind: String,
    /// What it is about; empty for nothing in particular.
    pub thread: String,
    /// Lower goes first.
    pub urgency: i64,
    /// What its owner knows of it.
    pub content: String,
    /// How far it is: `waiting`, `sent`, `dead`, `merged`.
    pub status: String,
    /// How often the same came again.
    pub more: i64,
    /// How many of these were told.
    pub told: i64,
    /// Until when the same is counted here, in microseconds since the Unix epoch, as all times of this.
    pub window_until: i64,
    /// How often it was tried.
    pub tries: i64,
    /// When it is tried next.
    pub next_at: i64,
    /// When it was added.
    pub created_at: i64,
    /// When it was sent, given up or merged.
    pub done_at: Option<i64>,
    /// Why it was not sent the last time.
    pub error: String,
    /// Where the receiver put it.
    pub reference: String,
    /// The notice that tells of this one.
    pub merged_into: String,
}

/// What came of adding a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeAdded {
    /// It is kept.
    Kept,
    /// There is one of this topic for this receiver.
    Known,
    /// As many wait for this receiver as may: nothing has changed.
    Full,
}

/// How sending to a receiver goes, as it is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct NoticeReceiverRecord {
    /// Its name.
    pub name: String,
    /// The gateway that sends to it.
    pub gateway: String,
    /// Until when that said that it would, in microseconds since the Unix epoch, as all times of this.
    pub lease_until: i64,
    /// The minute that messages are counted in, since the Unix epoch.
    pub minute: i64,
    /// Messages in it.
    pub sent_in_minute: i64,
    /// Since when nothing could be sent.
    pub failing_since: Option<i64>,
    /// Why.
    pub error: String,
    /// When something was sent last.
    pub sent_at: Option<i64>,
}

/// Which notices.
#[derive(Clone, Debug, Default)]
pub struct NoticeFilter {
    /// Only those for this receiver.
    pub receiver: Option<String>,
    /// Only those that are this far.
    pub status: Option<String>,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them; at most [`NOTICES_PAGE_MAX`].
    pub limit: u32,
}

/// The columns, in the order of the fields.
const COLUMNS: &str = "id, receiver, topic, kind, thread, urgency, content, status, more, told, window_until, tries, next_at, created_at, \
                       done_at, error, reference, merged_into";
const RECEIVER_COLUMNS: &str = "name, gateway, lease_until, minute, sent_in_minute, failing_since, error, sent_at";

impl Store {
    /// Adds a notice that waits, unless there is one of its topic for its receiver, or `most` wait for that.
    pub async fn add_notice(&self, notice: &NoticeRecord, most: u32) -> Result<NoticeAdded, StoreError> {
        for (what, text) in [
            ("the receiver of a notice", &notice.receiver),
            ("the topic of a notice", &notice.topic),
            ("the thread of a notice", &notice.thread),
            ("a notice", &notice.content),
        ] {
            fits(what, text.len(), TEXT_BYTES_MAX)?;
        }
        let kept = on_pool!(self, "add a notice", |pool| {
            let text = format!(
                "INSERT INTO notices ({COLUMNS}) SELECT CAST($1 AS TEXT), CAST($2 AS TEXT), CAST($3 AS TEXT), CAST($4 AS TEXT), \
                 CAST($5 AS TEXT), CAST($6 AS BIGINT), CAST($7 AS TEXT), 'waiting', CAST($8 AS BIGINT), 0, CAST($9 AS BIGINT), 0, \
                 CAST($10 AS BIGINT), CAST($11 AS BIGINT), NULL, '', '', '' \
                 WHERE (SELECT count(*) FROM notices WHERE receiver = $2 AND status = 'waiting') < $12 \
                 ON CONFLICT (receiver, topic) DO NOTHING"
            );
            let done = sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(&notice.id)
                .bind(&notice.receiver)
                .bind(&notice.topic)
                .bind(&notice.kind)
                .bind(&notice.thread)
                .bind(notice.urgency)
                .bind(&notice.content)
                .bind(notice.more)
                .bind(notice.window_until)
                .bind(notice.next_at)
                .bind(notice.created_at)
                .bind(i64::from(most))
                .execute(pool)
                .await?;
            Ok(done.rows_affected() == 1)
        })?;
        if kept {
            return Ok(NoticeAdded::Kept);
        }
        let known = on_pool!(self, "look for a notice", |pool| {
            let row: Option<(String,)> = sqlx::query_as("SELECT id FROM notices WHERE receiver = $1 AND topic = $2")
                .bind(&notice.receiver)
                .bind(&notice.topic)
                .fetch_optional(pool)
                .await?;
            Ok(row.is_some())
        })?;
        Ok(if known { NoticeAdded::Known } else { NoticeAdded::Full })
    }

    /// The same came so many times more.
    pub async fn count_notice(&self, receiver: &str, topic: &str, times: u32) -> Result<(), StoreError> {
        on_pool!(self, "count a notice", |pool| {
            sqlx::query("UPDATE notices SET more = more + $3 WHERE receiver = $1 AND topic = $2")
                .bind(receiver)
                .bind(topic)
                .bind(i64::from(times))
                .execute(pool)
                .await?;
            Ok(())
        })
    }

    /// Notices for a receiver that are to be sent now, the most urgent and then the oldest first; and how many there are in all.
    pub async fn due_notices(
        &self,
        receiver: &str,
        limit: u32,
        now: Timestamp,
    ) -> Result<(u64, Vec<NoticeRecord>), StoreError> {
        on_pool!(self, "look for notices to send", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM notices WHERE receiver = $1 AND status = 'waiting' AND next_at <= $2 \
                 ORDER BY urgency, id LIMIT $3"
            );
            let rows: Vec<NoticeRecord> = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(receiver)
                .bind(now.unix_us())
                .bind(i64::from(limit.clamp(1, NOTICES_PAGE_MAX)))
                .fetch_all(pool)
                .await?;
            if rows.is_empty() {
                return Ok((0, rows));
            }
            let (all,): (i64,) = sqlx::query_as(
                "SELECT count(*) FROM notices WHERE receiver = $1 AND status = 'waiting' AND next_at <= $2",
            )
            .bind(receiver)
            .bind(now.unix_us())
            .fetch_one(pool)
            .await?;
            Ok((all.unsigned_abs(), rows))
        })
    }

    /// A notice has been sent, `told` of its repetitions in it.
    pub async fn notice_sent(&self, id: &str, reference: &str, told: i64, now: Timestamp) -> Result<(), StoreError> {
        fits("where a notice was put", reference.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "keep that a notice was sent", |pool| {
            sqlx::query(
                "UPDATE notices SET status = 'sent', done_at = $2, reference = $3, told = $4, tries = tries + 1, error = '' \
                 WHERE id = $1 AND status = 'waiting'",
            )
            .bind(id)
            .bind(now.unix_us())
            .bind(reference)
            .bind(told)
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// A notice could not be sent: it is tried again at `next`, or never.
    pub async fn notice_failed(
        &self,
        id: &str,
        error: &str,
        next: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        fits("why a notice was not sent", error.len(), NOTICE_ERROR_BYTES_MAX)?;
        on_pool!(self, "keep that a notice was not sent", |pool| {
            sqlx::query(
                "UPDATE notices SET tries = tries + 1, error = $2, status = CASE WHEN $3 < 0 THEN 'dead' ELSE 'waiting' END, \
                 next_at = CASE WHEN $3 < 0 THEN next_at ELSE $3 END, done_at = CASE WHEN $3 < 0 THEN CAST($4 AS BIGINT) END \
                 WHERE id = $1 AND status = 'waiting'",
            )
            .bind(id)
            .bind(error)
            .bind(next.map_or(-1, Timestamp::unix_us))
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// Puts one notice in the place of all that are to be sent to its receiver now and are less urgent, in one step; says how many. Where there
    /// is none, nothing changes.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when there is one with its id or topic.
    pub async fn merge_notices(&self, into: &NoticeRecord, now: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "merge notices", |pool| {
            let mut changing = pool.begin().await?;
            let done = sqlx::query(
                "UPDATE notices SET status = 'merged', done_at = $2, merged_into = $3 \
                 WHERE receiver = $1 AND status = 'waiting' AND next_at <= $2 AND urgency > $4",
            )
            .bind(&into.receiver)
            .bind(now.unix_us())
            .bind(&into.id)
            .bind(into.urgency)
            .execute(&mut *changing)
            .await?;
            if done.rows_affected() == 0 {
                changing.rollback().await?;
                return Ok(0);
            }
            let text = format!(
                "INSERT INTO notices ({COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7, 'waiting', 0, 0, 0, 0, $8, $9, NULL, '', '', '')"
            );
            sqlx::query(sqlx::AssertSqlSafe(text))
                .bind(&into.id)
                .bind(&into.receiver)
                .bind(&into.topic)
                .bind(&into.kind)
                .bind(&into.thread)
                .bind(into.urgency)
                .bind(&into.content)
                .bind(into.next_at)
                .bind(into.created_at)
                .execute(&mut *changing)
                .await?;
            changing.commit().await?;
            Ok(done.rows_affected())
        })
    }

    /// How many of each kind one notice tells of, with their repetitions.
    pub async fn merged_notices(&self, into: &str) -> Result<Vec<(String, u64)>, StoreError> {
        on_pool!(self, "count merged notices", |pool| {
            let rows: Vec<(String, i64)> = sqlx::query_as(
                "SELECT kind, CAST(SUM(1 + more - told) AS BIGINT) FROM notices WHERE merged_into = $1 GROUP BY kind ORDER BY kind",
            )
            .bind(into)
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(|(kind, n)| (kind, n.unsigned_abs())).collect())
        })
    }

    /// What is sent later says all that this notice would: it is not sent.
    pub async fn supersede_notice(&self, id: &str, by: &str, now: Timestamp) -> Result<(), StoreError> {
        on_pool!(self, "leave out a notice", |pool| {
            sqlx::query(
                "UPDATE notices SET status = 'merged', done_at = $3, merged_into = $2 WHERE id = $1 AND status = 'waiting'",
            )
            .bind(id)
            .bind(by)
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(())
        })
    }

    /// The notices of a thread for a receiver, oldest first.
    pub async fn notices_of_thread(&self, receiver: &str, thread: &str) -> Result<Vec<NoticeRecord>, StoreError> {
        on_pool!(self, "look for the notices of a thread", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM notices WHERE receiver = $1 AND thread = $2 AND thread <> '' ORDER BY id LIMIT $3"
            );
            let rows = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(receiver)
                .bind(thread)
                .bind(i64::from(NOTICES_PAGE_MAX))
                .fetch_all(pool)
                .await?;
            Ok(rows)
        })
    }

    /// Notices that were sent and came again since, and whose time of counting is over.
    pub async fn repeated_notices(&self, receiver: &str, now: Timestamp) -> Result<Vec<NoticeRecord>, StoreError> {
        on_pool!(self, "look for notices that came again", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM notices WHERE receiver = $1 AND status = 'sent' AND more > told AND window_until <= $2 \
                 ORDER BY id LIMIT $3"
            );
            let rows = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(receiver)
                .bind(now.unix_us())
                .bind(i64::from(NOTICES_PAGE_MAX))
                .fetch_all(pool)
                .await?;
            Ok(rows)
        })
    }

    /// The repetitions of a notice, this many, are told by another.
    pub async fn repetitions_told(&self, id: &str, told: i64) -> Result<(), StoreError> {
        on_pool!(self, "keep that repetitions were told", |pool| {
            sqlx::query("UPDATE notices SET told = $2 WHERE id = $1").bind(id).bind(told).execute(pool).await?;
            Ok(())
        })
    }

    /// Notices, latest first.
    pub async fn list_notices(&self, filter: &NoticeFilter) -> Result<Vec<NoticeRecord>, StoreError> {
        on_pool!(self, "list notices", |pool| {
            let text = format!(
                "SELECT {COLUMNS} FROM notices WHERE ($1 = '' OR receiver = $1) AND ($2 = '' OR status = $2) \
                 AND ($3 = '' OR id < $3) ORDER BY id DESC LIMIT $4"
            );
            let rows = sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(filter.receiver.as_deref().unwrap_or_default())
                .bind(filter.status.as_deref().unwrap_or_default())
                .bind(filter.before.as_deref().unwrap_or_default())
                .bind(i64::from(filter.limit.clamp(1, NOTICES_PAGE_MAX)))
                .fetch_all(pool)
                .await?;
            Ok(rows)
        })
    }

    /// The notice with this id.
    pub async fn notice(&self, id: &str) -> Result<Option<NoticeRecord>, StoreError> {
        on_pool!(self, "look up a notice", |pool| {
            let text = format!("SELECT {COLUMNS} FROM notices WHERE id = $1");
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(text)).bind(id).fetch_optional(pool).await?)
        })
    }

    /// A notice that waits, or was given up, is to be sent now, with all its tries before it; says whether it was one of these.
    pub async fn retry_notice(&self, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        on_pool!(self, "send a notice again", |pool| {
            let done = sqlx::query(
                "UPDATE notices SET status = 'waiting', done_at = NULL, tries = 0, next_at = $2 \
                 WHERE id = $1 AND status IN ('waiting', 'dead')",
            )
            .bind(id)
            .bind(now.unix_us())
            .execute(pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// How many notices wait for each receiver, and how many were given up: name, waiting, dead.
    pub async fn notice_counts(&self) -> Result<Vec<(String, u64, u64)>, StoreError> {
        on_pool!(self, "count notices", |pool| {
            let rows: Vec<(String, i64, i64)> = sqlx::query_as(
                "SELECT receiver, CAST(SUM(CASE WHEN status = 'waiting' THEN 1 ELSE 0 END) AS BIGINT), \
                 CAST(SUM(CASE WHEN status = 'dead' THEN 1 ELSE 0 END) AS BIGINT) FROM notices GROUP BY receiver ORDER BY receiver",
            )
            .fetch_all(pool)
            .await?;
            Ok(rows.into_iter().map(|(name, w, d)| (name, w.unsigned_abs(), d.unsigned_abs())).collect())
        })
    }

    /// Removes notices that came to their end before `over`, and those that wait since before `added`, as for a receiver that is gone; says
    /// how many.
    pub async fn remove_notices_over(&self, over: Timestamp, added: Timestamp) -> Result<u64, StoreError> {
        on_pool!(self, "remove old notices", |pool| {
            let done = sqlx::query(
                "DELETE FROM notices WHERE (done_at < $1 AND window_until < $1) OR (status = 'waiting' AND created_at < $2)",
            )
            .bind(over.unix_us())
            .bind(added.unix_us())
            .execute(pool)
            .await?;
            Ok(done.rows_affected())
        })
    }

    /// Takes the right to send to a receiver, or keeps it: `None` while another gateway has it. `sole` says that no other gateway runs.
    pub async fn lease_notice_receiver(
        &self,
        name: &str,
        gateway: &str,
        until: Timestamp,
        sole: bool,
        now: Timestamp,
    ) -> Result<Option<NoticeReceiverRecord>, StoreError> {
        fits("the name of a receiver", name.len(), TEXT_BYTES_MAX)?;
        on_pool!(self, "take a receiver of notices", |pool| {
            let text = format!(
                "INSERT INTO notice_receivers (name, gateway, lease_until, minute, sent_in_minute, failing_since, error, sent_at) \
                 VALUES ($1, $2, $3, 0, 0, NULL, '', NULL) \
                 ON CONFLICT (name) DO UPDATE SET gateway = excluded.gateway, lease_until = excluded.lease_until \
                 WHERE notice_receivers.gateway = excluded.gateway OR notice_receivers.lease_until <= $4 OR $5 = 1 \
                 RETURNING {RECEIVER_COLUMNS}"
            );
            Ok(sqlx::query_as(sqlx::AssertSqlSafe(text))
                .bind(name)
                .bind(gateway)
                .bind(until.unix_us())
                .bind(now.unix_us())
                .bind(i64::from(sole))
                .fetch_optional(pool)
                .await?)
        })
    }

    /// Keeps how sending to a receiver goes; `false` when another gateway sends to it by now.
    pub async fn keep_notice_receiver(&self, r: &NoticeReceiverRecord) -> Result<bool, StoreError> {
        fits("why a receiver fails", r.error.len(), NOTICE_ERROR_BYTES_MAX)?;
        on_pool!(self, "keep how a receiver of notices is", |pool| {
            let done = sqlx::query(
                "UPDATE notice_receivers SET minute = $3, sent_in_minute = $4, failing_since = $5, error = $6, sent_at = $7 \
                 WHERE name = $1 AND gateway = $2",
            )
            .bind(&r.name)
            .bind(&r.gateway)
            .bind(r.minute)
            .bind(r.sent_in_minute)
            .bind(r.failing_since)
            .bind(&r.error)
            .bind(r.sent_at)
            .execute(pool)
            .await?;
            Ok(done.rows_affected() == 1)
        })
    }

    /// Gives up the right to send to all receivers: the gateway stops.
    pub async fn release_notice_receivers(&self, gateway: &str) -> Result<(), StoreError> {
        on_pool!(self, "leave the receivers of notices", |pool| {
            sqlx::query("UPDATE notice_receivers SET lease_until = 0 WHERE gateway = $1")
                .bind(gateway)
                .execute(pool)
                .await?;
            Ok(())
        })
    }

    /// How sending goes, by the names of receivers.
    pub async fn notice_receivers(&self) -> Result<Vec<NoticeReceiverRecord>, StoreError> {
        on_pool!(self, "look how receivers of notices are", |pool| {
            let text = format!("SELECT {RECEIVER_COLUMNS} FROM notice_receivers ORDER BY name");
            Ok(sqlx::query_as::<_, NoticeReceiverRecord>(sqlx::AssertSqlSafe(text)).fetch_all(pool).await?)
        })
    }
}

/// Cuts a word on why something was not sent to what is kept.
pub fn notice_error(text: &str) -> String {
    let mut end = text.len().min(NOTICE_ERROR_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.get(..end).unwrap_or_default().to_owned()
}
