//! Reviews as they are asked about and answered. Times are seconds since the Unix epoch.

use std::collections::{BTreeMap, BTreeSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FactorBody, maybe_said, said};

/// What comes with an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewBody {
    /// What the one who answers has to say.
    #[serde(default)]
    #[schemars(schema_with = "maybe_said")]
    pub comment: Option<String>,
    /// The digest of what was looked at: anything else is not answered.
    pub action: Option<String>,
    /// What is shown beside the login, with a yes.
    #[serde(default)]
    pub factor: Option<FactorBody>,
}

/// A comment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReviewCommentBody {
    /// What somebody has to say.
    #[schemars(schema_with = "said")]
    pub comment: String,
    /// The digest of what was looked at: of anything else nothing is said.
    pub action: Option<String>,
}

/// Who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskerView {
    /// The short name.
    pub name: String,
    /// Person, workload or AI agent.
    pub kind: String,
    /// Who vouches for it.
    pub issuer: String,
    /// As its issuer has it.
    pub subject: String,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// Who acts for it, nearest first.
    pub acting: Vec<String>,
    /// The claims of its token.
    pub claims: BTreeMap<String, serde_json::Value>,
}

/// Access that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AskedGrantView {
    /// What.
    pub accesses: Vec<String>,
    /// Why.
    pub reason: String,
    /// How long it lasts from its start.
    pub lasts_s: u64,
    /// The most uses; any number where it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// When it starts, in microseconds since the Unix epoch; where it is not there, when it is used first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<i64>,
    /// It was taken at once, and people say afterwards whether that was right.
    pub at_once: bool,
}

/// Who must say yes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RequirementView {
    /// Of which group.
    pub group: String,
    /// How many of them.
    pub people: u32,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SaidView {
    /// When.
    pub at: i64,
    /// `approve`, `deny`, `comment`; `void` for a yes that does not count any more.
    pub verb: String,
    /// Who.
    pub by: String,
    /// Who vouches for them.
    pub issuer: String,
    /// What they said.
    pub comment: Option<String>,
    /// What they showed beside their login: `webauthn` or `totp`.
    pub factor: Option<String>,
}

/// A review, as the caller sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewView {
    /// Its id.
    pub id: String,
    /// How far it is.
    pub status: String,
    /// When it was asked.
    pub created_at: i64,
    /// Until when it can be answered.
    pub expires_at: i64,
    /// When it ended.
    pub ended_at: Option<i64>,
    /// How.
    pub ended_why: Option<String>,
    /// Who asked.
    pub asker: AskerView,
    /// The target.
    pub target: String,
    /// Its protocol.
    pub protocol: String,
    /// Which part of it, such as a database.
    pub part: String,
    /// The session that asked; a request for access waits in none.
    pub session: Option<String>,
    /// Whether a session waits for the answer now.
    pub waiting: bool,
    /// The access that is asked for, where it is that and no action.
    pub grant: Option<AskedGrantView>,
    /// What sort of action it is: `update`.
    pub kind: String,
    /// The gravest of what it does.
    pub access: String,
    /// The whole text that would run.
    pub text: String,
    /// Its bound parameters as the wire has them, in base64.
    pub parameters: String,
    /// The rules that ask for it.
    pub rules: Vec<String>,
    /// Who must say yes.
    pub requirements: Vec<RequirementView>,
    /// What each of them must show beside their login: `webauthn` or `totp`.
    pub factor: Option<String>,
    /// Whose yes counts.
    pub approved_by: Vec<String>,
    /// What was said, in order.
    pub answers: Vec<SaidView>,
    /// The digest of what an answer is bound to.
    pub action: String,
    /// Whether the caller may answer it.
    pub may_answer: bool,
    /// Why the caller may not.
    pub why_not: Option<String>,
}

/// Some reviews, latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReviewPage {
    /// The reviews.
    pub reviews: Vec<ReviewView>,
    /// `before` of the next page; nothing when this is the last.
    pub next: Option<String>,
}
