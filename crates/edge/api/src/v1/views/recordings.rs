//! What was recorded, as it is told. Times are microseconds since the Unix epoch; where they are text, RFC 3339.

use std::collections::BTreeMap;

use countersign_model::CredentialBinding;
use countersign_recording::{SessionSummary, TimelineItem};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::identity_kind;

/// A recorded session: what of [`SessionSummary`] is written.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it is a description")]
pub(crate) struct RecordedSessionView {
    /// The session.
    id: String,
    /// The identity's short name.
    identity: String,
    /// As its issuer has it.
    subject: String,
    /// Who vouched for it.
    issuer: String,
    /// Person, workload or AI agent.
    #[schemars(schema_with = "identity_kind")]
    kind: String,
    /// How its credential was tied to its holder.
    #[schemars(schema_with = "credential")]
    credential: String,
    /// The login that the credential belonged to; nothing for a token.
    login: Option<String>,
    /// The target.
    target: String,
    /// The target's protocol.
    protocol: String,
    /// Which part of the target.
    part: String,
    /// Where the client came from.
    source: String,
    /// What the client said it was: unverified.
    application: String,
    /// When it began.
    started_at: i64,
    /// Its last entry.
    last_at: i64,
    /// Whether it goes on.
    #[schemars(schema_with = "state")]
    state: String,
    /// Why it ended, if it did.
    close_reason: Option<String>,
    /// Intents, allowed and denied; connecting is one.
    statements: u64,
    /// Intents that were denied.
    denied: u64,
    /// Intents that did not end well at the target.
    failed: u64,
    /// Result rows that the client was sent.
    rows: u64,
    /// Recorded result bytes.
    output_bytes: u64,
    /// True when retention removed its beginning: the counts are of the rest.
    truncated: bool,
}

fn credential(_: &mut SchemaGenerator) -> Schema {
    let all = [CredentialBinding::Bearer, CredentialBinding::Bound, CredentialBinding::Hardware];
    json_schema!({ "type": "string", "enum": all.map(CredentialBinding::as_str) })
}

fn state(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "enum": ["live", "closed", "unfinished"] })
}

/// Some recorded sessions, newest first.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RecordingPage {
    /// The sessions.
    #[schemars(with = "Vec<RecordedSessionView>")]
    pub(crate) sessions: Vec<SessionSummary>,
    /// `before` of the next page; nothing when this is the last.
    pub(crate) next: Option<String>,
    /// What could not be read: sessions may be missing for it.
    pub(crate) problems: Vec<String>,
}

/// A recorded session with what happened in it.
#[derive(Serialize, JsonSchema)]
pub(crate) struct RecordingView {
    /// The session.
    #[schemars(with = "RecordedSessionView")]
    pub(crate) session: SessionSummary,
    /// What happened, in order; each statement with how it ended.
    #[schemars(schema_with = "items")]
    pub(crate) timeline: Vec<TimelineItem>,
    /// `after` of the next page; nothing when this is the last.
    pub(crate) next: Option<u64>,
    /// What could not be read: items are missing for it.
    pub(crate) problems: Vec<String>,
}

/// What else an item has depends on its type, and is as `countersign sessions show --output json` has it.
fn items(_: &mut SchemaGenerator) -> Schema {
    let types = ["opened", "statement", "event", "late_outcome", "closed", "abandoned"];
    json_schema!({ "type": "array", "items": {
        "type": "object", "required": ["type"], "properties": { "type": { "type": "string", "enum": types } },
    } })
}

/// What there was of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct CountsView {
    /// Sessions that began.
    pub(crate) sessions: u64,
    /// Intents in them, allowed and denied.
    pub(crate) statements: u64,
    /// Intents that were denied.
    pub(crate) denied: u64,
}

/// One hour.
#[derive(Serialize, JsonSchema)]
pub(crate) struct HourView {
    /// When it began, as RFC 3339 text.
    pub(crate) at: String,
    /// What there was in it.
    #[serde(flatten)]
    pub(crate) counts: CountsView,
}

/// The last 24 hours.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ActivityView {
    /// By hour, the oldest first.
    pub(crate) hours: Vec<HourView>,
    /// By target.
    pub(crate) targets: BTreeMap<String, CountsView>,
    /// False when there were more sessions than are counted.
    pub(crate) whole: bool,
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use countersign_model::{CredentialBinding, IdentityKind, SessionId, TargetName, Timestamp};
    use countersign_recording::{SessionState, SessionSummary};

    use super::RecordedSessionView;

    #[test]
    fn a_session_is_written_as_it_is_described() {
        let summary = SessionSummary {
            id: SessionId::from_u128(1),
            identity: "ana".to_owned(),
            subject: "ana".to_owned(),
            issuer: "https://i".to_owned(),
            kind: IdentityKind::Human,
            credential: CredentialBinding::Bound,
            login: None,
            target: TargetName::parse("shop").unwrap(),
            protocol: "postgres".to_owned(),
            part: "shop".to_owned(),
            source: ([127, 0, 0, 1], 1).into(),
            application: "psql".to_owned(),
            started_at: Timestamp::from_unix_s(1),
            last_at: Timestamp::from_unix_s(2),
            state: SessionState::Closed,
            close_reason: Some("client".to_owned()),
            statements: 3,
            denied: 1,
            failed: 0,
            rows: 2,
            output_bytes: 0,
            truncated: false,
        };
        let written = serde_json::to_value(&summary).unwrap();
        assert_eq!(written["started_at"], 1_000_000);
        // It has neither more nor less than the description.
        assert!(serde_json::from_value::<RecordedSessionView>(written).is_ok());
    }
}
