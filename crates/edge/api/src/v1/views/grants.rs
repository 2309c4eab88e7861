//! Grants as they are asked for, told and ended. Times are seconds since the Unix epoch.

use countersign_model::Access;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::{ReviewView, said, whole};
use crate::v1::table::{GRANT_S_MAX, SECONDS_MAX};

/// A request for access.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantBody {
    /// The target.
    pub target: String,
    /// What is asked for there.
    #[schemars(schema_with = "accesses")]
    pub actions: Vec<Access>,
    /// Why: whoever decides reads it.
    #[schemars(schema_with = "said")]
    pub reason: String,
    /// Only by this rule, where several offer it.
    pub rule: Option<String>,
    /// How long it lasts from its start; without it, as long as the rule lets it.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(schema_with = "lasts")]
    pub for_s: Option<u64>,
    /// For how many statements; without it, as many as the rule lets it.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(schema_with = "uses")]
    pub uses: Option<u32>,
    /// When it starts; without it, when it is used first.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(schema_with = "moment")]
    pub starts_at: Option<i64>,
    /// Given now and reviewed afterwards, where the rule lets that be.
    #[serde(default)]
    pub at_once: bool,
}

/// Why a grant is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndGrantBody {
    /// Why.
    #[schemars(schema_with = "said")]
    pub reason: String,
    /// Also one that is not the caller's to end, where policy lets them.
    #[serde(default)]
    pub everybody: bool,
}

/// Why the grants are to end that somebody approved in a window of time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndGrantsBody {
    /// Who approved them: a name, or `ISSUER#SUBJECT`.
    pub answered_by: String,
    /// Not before this time.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(schema_with = "moment")]
    pub since: Option<i64>,
    /// Before this time.
    #[serde(default, deserialize_with = "whole")]
    #[schemars(schema_with = "moment")]
    pub until: Option<i64>,
    /// Why.
    #[schemars(schema_with = "said")]
    pub reason: String,
    /// Also those that are not the caller's to end, where policy lets them.
    #[serde(default)]
    pub everybody: bool,
}

fn accesses(_: &mut SchemaGenerator) -> Schema {
    let words: Vec<&str> = Access::ALL.iter().filter(|a| **a != Access::Opaque).map(|a| a.as_str()).collect();
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": words } })
}

fn lasts(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 1, "maximum": GRANT_S_MAX })
}

fn uses(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 1, "maximum": u32::MAX })
}

fn moment(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["integer", "null"], "minimum": 0, "maximum": SECONDS_MAX })
}

/// Who asked for a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantAskerView {
    /// The short name.
    pub name: String,
    /// Person, workload or AI agent.
    pub kind: String,
    /// Who vouches for it.
    pub issuer: String,
    /// As its issuer has it.
    pub subject: String,
    /// Who acts for it, nearest first.
    pub acting: Vec<String>,
}

/// A grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantView {
    /// Its id, and that of its review.
    pub id: String,
    /// How far it is.
    pub state: String,
    /// Who asked.
    pub asker: GrantAskerView,
    /// The target.
    pub target: String,
    /// What is granted there.
    pub actions: Vec<String>,
    /// The rules that offer it.
    pub rules: Vec<String>,
    /// Why.
    pub reason: String,
    /// Who must say yes, in words.
    pub reviewers: String,
    /// How long it lasts from its start.
    pub lasts_s: i64,
    /// The uses so far, of a grant with a number of them.
    pub uses: u32,
    /// The most uses.
    pub uses_max: Option<u32>,
    /// It was taken before anybody said yes.
    pub at_once: bool,
    /// When it was asked for.
    pub created_at: i64,
    /// When it was given.
    pub given_at: Option<i64>,
    /// Until when it must have started.
    pub start_by: Option<i64>,
    /// When it started.
    pub started_at: Option<i64>,
    /// When it ends.
    pub ends_at: Option<i64>,
    /// When it was ended before that.
    pub ended_at: Option<i64>,
    /// By whom.
    pub ended_by: Option<String>,
    /// Why.
    pub ended_why: Option<String>,
}

/// A grant with its review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantDetailView {
    /// The grant.
    #[serde(flatten)]
    pub grant: GrantView,
    /// Its review, as the caller sees it.
    pub review: ReviewView,
}

/// Some grants, latest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GrantPage {
    /// The grants.
    pub grants: Vec<GrantView>,
    /// `before` of the next page; nothing when this is the last.
    pub next: Option<String>,
}

/// The grants that were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedGrantsView {
    /// The grants.
    pub grants: Vec<GrantView>,
}
