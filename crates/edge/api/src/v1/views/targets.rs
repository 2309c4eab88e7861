//! Targets as their users see them, and the rules about tags.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What somebody may do with a target, as far as rules tell that do not look at the action itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetAccessView {
    /// `connect`, `read`, `write`, `execute` or `admin`.
    pub access: String,
    /// The rules that may permit it; their conditions are asked of each action.
    pub permits: Vec<String>,
    /// The rules that may forbid it, or hold it for people.
    pub forbids: Vec<String>,
    /// The rules of which a grant can be asked for.
    pub grants: Vec<String>,
}

/// A target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetView {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is applied; else it is of the gateway's own configuration.
    pub applied: bool,
    /// The addresses of this gateway's listeners that lead to it.
    pub listeners: Vec<String>,
    /// The live sessions on it at this gateway that the caller sees: their own, or with everybody all.
    pub sessions: u64,
    /// What the caller may do with it.
    pub accesses: Vec<TargetAccessView>,
}

/// Targets, by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetPage {
    /// The targets.
    pub targets: Vec<TargetView>,
    /// For `after`, when there are more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<String>,
}

/// A rule about tags.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TagRuleView {
    /// A pattern of full names of columns.
    pub column: String,
    /// A pattern of names of types; empty for any.
    #[serde(rename = "type")]
    pub data_type: String,
    /// What such columns hold.
    pub tag: String,
    /// Whether it is applied; else it is of the gateway's own configuration.
    pub applied: bool,
    /// The databases that sessions of this gateway were in and in which it fits no column: is its name right?
    pub idle_in: Vec<String>,
}

/// What is known of a target's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetTagsView {
    /// The target.
    pub target: String,
    /// Its rules.
    pub rules: Vec<TagRuleView>,
    /// Whether comments on columns name tags, too.
    pub comments: bool,
    /// What is looked for in the content of results.
    pub detect: Vec<String>,
}

/// The rules about tags, by target.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TagPage {
    /// The targets that have any, or whose content is searched.
    pub targets: Vec<TargetTagsView>,
}
