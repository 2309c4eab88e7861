//! What requests and answers look like. Times are RFC 3339 text, but for those of reviews, grants, recordings and identities.

mod api_keys;
mod configuration;
mod factors;
mod grants;
mod identity;
mod notices;
mod recordings;
mod reviews;
mod sql;
mod targets;

use std::collections::BTreeSet;

use countersign_locks::{Lock, LockKind, Matcher};
use countersign_model::{IdentityKind, IdentityParts, Timestamp};
use countersign_runtime::SessionInfo;
use countersign_store::LoginRecord;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::table::{EXPIRES_IN_S_MAX, SAID_CHARS_MAX};

pub(crate) use api_keys::EndApiKeyBody;
pub use api_keys::{ApiKeyBody, ApiKeyEndView, ApiKeyOwnerView, ApiKeyPage, ApiKeyUseView, ApiKeyView, NewApiKeyView};
pub(crate) use configuration::is_path;
pub use configuration::{
    AppliedFile, AppliedView, ApplyBody, ChangeKind, ChangeView, DiffBody, DiffView, FileChangeView, FileProblemView,
    RevertBody, RevisionDetailView, RevisionPage, RevisionView,
};
pub use factors::{
    AddCodesBody, AddKeyBody, AssertionBody, CodeBody, CodeText, CodesView, FactorBody, FactorChallengeBody,
    FactorChallengeView, FactorPage, FactorUse, FactorView, RemoveFactorBody, ResetFactorsBody, ResetFactorsView,
    ReviewChallengeBody,
};
pub use grants::{
    EndGrantBody, EndGrantsBody, EndedGrantsView, GrantAskerView, GrantBody, GrantDetailView, GrantPage, GrantView,
};
pub(crate) use identity::{ExchangeForm, ExchangedView, LoginFactsView, LogoutView, OauthError, RenewForm, WhoamiView};
pub use notices::{NoticePage, NoticeTestBody, NoticeTestView, NoticeView, ReceiverView};
pub(crate) use recordings::{ActivityView, CountsView, HourView, RecordingPage, RecordingView};
pub use reviews::{
    AskedGrantView, AskerView, RequirementView, ReviewBody, ReviewCommentBody, ReviewPage, ReviewView, SaidView,
};
pub use sql::{
    OpenSqlBody, RunSqlBody, SqlCellView, SqlColumnView, SqlErrorView, SqlExportView, SqlPage, SqlResultView,
    SqlReviewView, SqlState, SqlStatementView, SqlView,
};
pub use targets::{TagPage, TagRuleView, TargetAccessView, TargetPage, TargetTagsView, TargetView};

/// The largest number that is read where it is written as a float: no number here is larger, and all up to it are read exactly.
const FLOAT_MAX: f64 = 1e12;

/// A lock to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLockBody {
    /// What it matches.
    pub matcher: Matcher,
    /// What it does.
    #[serde(default)]
    pub kind: LockKind,
    /// Why.
    #[schemars(regex(pattern = r"\S"))]
    pub reason: String,
    /// Seconds until it ends by itself; without it, somebody has to end it.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "given_whole")]
    #[schemars(schema_with = "expires_in_s")]
    pub expires_in_s: Option<u64>,
}

/// What a dry run is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DryRunBody {
    /// What the lock would match.
    pub matcher: Matcher,
    /// Whether siblings are looked for.
    #[serde(default)]
    pub siblings: bool,
}

/// A whole number; as JSON Schema has it, one that is written with a fraction of nothing is one, too.
fn whole_of<T: TryFrom<i64>, E: serde::de::Error>(number: &Number) -> Result<T, E> {
    let float = || number.as_f64().filter(|f| f.fract() == 0.0 && f.abs() <= FLOAT_MAX).map(|f| f as i64);
    let whole = number.as_i64().or_else(float).and_then(|n| T::try_from(n).ok());
    whole.ok_or_else(|| E::custom(format!("{number} is no whole number, or too small or too large")))
}

/// A whole number, or `null`.
fn whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(d: D) -> Result<Option<T>, D::Error> {
    Option::<Number>::deserialize(d)?.map(|n| whole_of(&n)).transpose()
}

/// What is named must be there: `null` could be read as "never".
fn given_whole<'de, D: Deserializer<'de>, T: TryFrom<i64>>(d: D) -> Result<Option<T>, D::Error> {
    whole_of(&Number::deserialize(d)?).map(Some)
}

/// What somebody has to say: not blank, and no control characters but line feeds.
fn said(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x09\x0b-\x1f\x7f-\x9f]*$";
    json_schema!({ "type": "string", "maxLength": SAID_CHARS_MAX, "pattern": PATTERN })
}

/// The same, or nothing.
fn maybe_said(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$";
    json_schema!({ "type": ["string", "null"], "maxLength": SAID_CHARS_MAX, "pattern": PATTERN })
}

/// Text that may be empty.
fn maybe_text(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = r"^[^\x00-\x09\x0b-\x1f\x7f-\x9f]*$";
    json_schema!({ "type": "string", "maxLength": SAID_CHARS_MAX, "pattern": PATTERN })
}

fn expires_in_s(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": EXPIRES_IN_S_MAX })
}

fn identity_kind(_: &mut SchemaGenerator) -> Schema {
    let words = [IdentityKind::Human, IdentityKind::Machine, IdentityKind::Agent].map(IdentityKind::as_str);
    json_schema!({ "type": "string", "enum": words })
}

/// How a lock was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockEndView {
    /// When.
    pub at: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// A lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockView {
    /// Its id.
    pub id: String,
    /// True while it is in force.
    pub live: bool,
    /// What it does.
    pub kind: LockKind,
    /// What it matches.
    pub matcher: Matcher,
    /// Why it was made.
    pub reason: String,
    /// By whom.
    pub created_by: String,
    /// When.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: Option<String>,
    /// How it was ended before that.
    pub ended: Option<LockEndView>,
}

impl LockView {
    /// As it is now.
    pub fn new(lock: &Lock, now: Timestamp) -> Self {
        Self {
            id: lock.id.clone(),
            live: lock.is_live(now),
            kind: lock.kind,
            matcher: lock.matcher.clone(),
            reason: lock.reason.clone(),
            created_by: lock.created_by.clone(),
            created_at: lock.created_at.rfc3339(),
            expires_at: lock.expires_at.map(Timestamp::rfc3339),
            ended: lock.ended.as_ref().map(|e| LockEndView {
                at: e.at.rfc3339(),
                by: e.by.clone(),
                why: e.why.clone(),
            }),
        }
    }
}

/// Some locks, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LockPage {
    /// The locks.
    pub locks: Vec<LockView>,
    /// `before` of the next page; nothing when this is the last.
    pub next: Option<String>,
}

/// Somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PartyView {
    /// The short name.
    pub name: String,
    /// As its issuer has it.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Person, workload or AI agent.
    #[schemars(schema_with = "identity_kind")]
    pub kind: IdentityKind,
    /// Its groups.
    pub groups: BTreeSet<String>,
}

impl From<&IdentityParts> for PartyView {
    fn from(i: &IdentityParts) -> Self {
        Self {
            name: i.name.clone(),
            subject: i.subject.clone(),
            issuer: i.issuer.clone(),
            kind: i.kind,
            groups: i.groups.clone(),
        }
    }
}

/// A live session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionView {
    /// Its id.
    pub id: String,
    /// Who.
    pub identity: PartyView,
    /// The login that its credential belongs to.
    pub login: Option<String>,
    /// On what.
    pub target: String,
    /// Where from.
    pub source: String,
    /// Since when.
    pub since: String,
}

impl From<&SessionInfo> for SessionView {
    fn from(s: &SessionInfo) -> Self {
        Self {
            id: s.id.to_string(),
            identity: PartyView::from(&**s.identity),
            login: s.identity.login.clone(),
            target: s.target.name.to_string(),
            source: s.source.to_string(),
            since: s.since.rfc3339(),
        }
    }
}

/// Some live sessions of this gateway, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionView>,
    /// `after` of the next page; nothing when this is the last.
    pub next: Option<String>,
}

/// A login that is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LoginView {
    /// Its id.
    pub id: String,
    /// Whose.
    pub identity: PartyView,
    /// Since when.
    pub since: String,
    /// Until when.
    pub expires_at: String,
}

impl LoginView {
    pub(crate) fn new(login: &LoginRecord, identity: &IdentityParts) -> Self {
        Self {
            id: login.id.clone(),
            identity: identity.into(),
            since: login.created_at.rfc3339(),
            expires_at: login.expires_at.rfc3339(),
        }
    }
}

/// An identity whose credential comes from where a matched one's does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SiblingView {
    /// Who.
    pub identity: PartyView,
    /// What they share.
    pub shares: Vec<String>,
}

/// What a lock would cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DryRun {
    /// Live sessions of this gateway.
    pub sessions: Vec<SessionView>,
    /// Logins that would be useless.
    pub logins: Vec<LoginView>,
    /// Whose credentials come from the same place, and whom it would not match.
    pub siblings: Vec<SiblingView>,
    /// True when it would keep out who asks.
    pub matches_you: bool,
}

/// What the caller may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OperationPage {
    /// The names of the operations that they may ask for.
    pub operations: Vec<String>,
    /// Those of them that are about what is the caller's own, which they may ask for with `everybody`, too.
    pub everybody: Vec<String>,
}

/// A session that was ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedView {
    /// Its id.
    pub ended: String,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_read_however_they_are_written() {
        let read = |text: &str| {
            let body = format!(r#"{{"matcher": {{"name": "eve"}}, "reason": "x", "expires_in_s": {text}}}"#);
            serde_json::from_str::<NewLockBody>(&body).ok().map(|b| b.expires_in_s)
        };
        for (text, want) in
            [("7", Some(7)), ("7.0", Some(7)), ("7e2", Some(700)), ("253402300799.0", Some(253_402_300_799))]
        {
            assert_eq!(read(text), Some(want), "{text}");
        }
        for bad in ["7.5", "-1", "-7.0", "null", "\"7\"", "true", "1e300", "1000000000001.0", "18446744073709551616"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
