//! Notices on their way out, and their receivers.

use countersign_model::Timestamp;
use countersign_notices::{ReceiverState, Tested};
use countersign_store::NoticeRecord;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Who is told what happens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReceiverView {
    /// Its name.
    pub name: String,
    /// The way to it: `webhook`, `slack`, `teams`, `email`.
    pub kind: String,
    /// Notices that wait for it.
    pub waiting: u64,
    /// Notices that were given up.
    pub dead: u64,
    /// Since when nothing could be sent.
    pub failing_since: Option<String>,
    /// Why.
    pub error: Option<String>,
    /// When something was sent last.
    pub sent_at: Option<String>,
}

/// A notice for one receiver. What it says of a statement is not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeView {
    /// Its id: the receiver knows it by this.
    pub id: String,
    /// For whom.
    pub receiver: String,
    /// What happened: `review.asked`.
    pub kind: String,
    /// How far it is: `waiting`, `sent`, `dead` when it was given up, `merged` when another tells of it.
    pub status: String,
    /// Who it is about.
    pub identity: Option<String>,
    /// The target.
    pub target: Option<String>,
    /// How often the same came again.
    pub more: u64,
    /// How often it was tried.
    pub tries: u64,
    /// When it was added.
    pub created_at: String,
    /// When it is tried next, where it waits.
    pub next_at: Option<String>,
    /// When it was sent, given up or merged.
    pub done_at: Option<String>,
    /// Why it was not sent the last time.
    pub error: Option<String>,
    /// The notice that tells of it.
    pub merged_into: Option<String>,
}

/// Receivers, and notices.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticePage {
    /// The receivers, as they are configured.
    pub receivers: Vec<ReceiverView>,
    /// The notices, latest first.
    pub notices: Vec<NoticeView>,
    /// What to give as `before` for those that are older.
    pub next: Option<String>,
}

/// Whom to send a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeTestBody {
    /// The receiver.
    pub receiver: String,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NoticeTestView {
    /// The notice.
    pub id: String,
    /// `sent`, or how far it is.
    pub status: String,
    /// Why it was not sent.
    pub error: Option<String>,
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn at(us: i64) -> String {
    Timestamp::from_unix_us(us).rfc3339()
}

impl From<ReceiverState> for ReceiverView {
    fn from(s: ReceiverState) -> Self {
        Self {
            kind: s.channel.to_owned(),
            waiting: s.waiting,
            dead: s.dead,
            failing_since: s.failing_since.map(Timestamp::rfc3339),
            error: some(&s.error),
            sent_at: s.sent_at.map(Timestamp::rfc3339),
            name: s.name,
        }
    }
}

impl From<NoticeRecord> for NoticeView {
    fn from(r: NoticeRecord) -> Self {
        let said: serde_json::Value = serde_json::from_str(&r.content).unwrap_or_default();
        let text = |name: &str| said.get(name).and_then(|v| v.as_str()).and_then(some);
        Self {
            identity: text("identity"),
            target: text("target"),
            more: r.more.unsigned_abs(),
            tries: r.tries.unsigned_abs(),
            created_at: at(r.created_at),
            next_at: (r.status == "waiting").then(|| at(r.next_at)),
            done_at: r.done_at.map(at),
            error: some(&r.error),
            merged_into: some(&r.merged_into),
            id: r.id,
            receiver: r.receiver,
            kind: r.kind,
            status: r.status,
        }
    }
}

impl From<Tested> for NoticeTestView {
    fn from(t: Tested) -> Self {
        Self { error: some(&t.error), id: t.id, status: t.status }
    }
}
