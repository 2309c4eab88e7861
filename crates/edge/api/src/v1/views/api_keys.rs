//! API keys as they are made, told and revoked.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::{said, whole_of};
use crate::v1::table::{API_KEY_NAME_CHARS_MAX, API_KEY_S_MAX, API_KEY_S_MIN, OPERATIONS};

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApiKeyBody {
    /// What its owner calls it.
    #[schemars(schema_with = "name")]
    pub name: String,
    /// The operations that it is for. An operation that is new later is in no scope.
    #[schemars(schema_with = "scope")]
    pub scope: BTreeSet<String>,
    /// Seconds until it ends by itself.
    #[serde(deserialize_with = "lifetime")]
    #[schemars(schema_with = "lifetime_schema")]
    pub expires_in_s: u64,
}

fn lifetime<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    whole_of(&Number::deserialize(d)?)
}

fn lifetime_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": API_KEY_S_MIN, "maximum": API_KEY_S_MAX })
}

/// Not blank, and no control characters.
fn name(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$";
    json_schema!({ "type": "string", "maxLength": API_KEY_NAME_CHARS_MAX, "pattern": PATTERN })
}

fn scope(_: &mut SchemaGenerator) -> Schema {
    let names: Vec<&str> = OPERATIONS.iter().filter(|o| o.by_key).map(|o| o.name).collect();
    json_schema!({ "type": "array", "minItems": 1, "items": { "type": "string", "enum": names } })
}

/// Whose key it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyOwnerView {
    /// The short name.
    pub name: String,
    /// As its issuer has it.
    pub subject: String,
    /// Who vouched for it.
    pub issuer: String,
}

/// How a key was revoked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyEndView {
    /// When.
    pub at: String,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

/// The last use of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyUseView {
    /// When, to the minute.
    pub at: String,
    /// From which address.
    pub from: String,
}

/// A key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyView {
    /// Its id: a lock names it as `token_id`.
    pub id: String,
    /// True while it may be used.
    pub live: bool,
    /// What its owner calls it.
    pub name: String,
    /// Whose it is.
    pub owner: ApiKeyOwnerView,
    /// The operations that it is for.
    pub scope: BTreeSet<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends by itself.
    pub expires_at: String,
    /// When it was last used, if it was.
    #[serde(default)]
    pub used: Option<ApiKeyUseView>,
    /// How it was ended before that.
    pub ended: Option<ApiKeyEndView>,
}

/// A key as it is made.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
pub struct NewApiKeyView {
    /// What is presented as a Bearer token. It is told here and never again.
    pub secret: String,
    /// The key.
    #[serde(flatten)]
    pub key: ApiKeyView,
}

impl std::fmt::Debug for NewApiKeyView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewApiKeyView({})", self.key.id)
    }
}

/// Some keys, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApiKeyPage {
    /// The keys.
    pub keys: Vec<ApiKeyView>,
    /// `before` of the next page; nothing when this is the last.
    pub next: Option<String>,
}

/// Why a key is to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndApiKeyBody {
    /// Why.
    #[schemars(schema_with = "said")]
    pub(crate) reason: String,
    /// Also one that is not the caller's, where policy lets them.
    #[serde(default)]
    pub(crate) everybody: bool,
}
