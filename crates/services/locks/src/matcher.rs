//! What a lock matches: all of what it names. A delegated session is matched through everybody in its chain: a lock on an agent cuts
//! what it does for others, a lock on a person what others do for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use countersign_enforce::Lockable;
use countersign_model::{IdentityParts, SessionId, TargetName};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::Network;

/// The longest text in a matcher, in bytes.
pub const MATCHER_TEXT_BYTES_MAX: usize = 2048;
/// The most claims that a matcher names.
pub const CLAIMS_MAX: usize = 8;

/// What a lock matches. Every part that is there must fit; at least one must be there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("minProperties" = 1))]
pub struct Matcher {
    /// The identity's short name.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub name: Option<String>,
    /// Its subject, as its issuer has it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub subject: Option<String>,
    /// Who vouches for it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub issuer: Option<String>,
    /// A group that it is in.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub group: Option<String>,
    /// Claims by name, such as `repository` or `job_workflow_ref`. A `*` at the end of a value stands for anything.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "some")]
    #[schemars(schema_with = "claims_schema")]
    pub claims: BTreeMap<String, String>,
    /// A login: every certificate of it.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub login: Option<String>,
    /// The id of a token (`jti`) or the serial number of a certificate, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub token_id: Option<String>,
    /// The thumbprint of the key that a credential is bound to.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "text_schema")]
    pub key: Option<String>,
    /// Where it comes from: an address or a network.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "source_schema")]
    pub source: Option<Network>,
    /// The target.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "target_schema")]
    pub target: Option<TargetName>,
    /// One session.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "given")]
    #[schemars(schema_with = "session_schema")]
    pub session: Option<SessionId>,
}

/// A part that is named must be there: `null` could be read as "anything".
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(d: D) -> Result<Option<T>, D::Error> {
    T::deserialize(d).map(Some)
}

fn some<'de, D: Deserializer<'de>>(d: D) -> Result<BTreeMap<String, String>, D::Error> {
    let claims = BTreeMap::deserialize(d)?;
    if claims.is_empty() { Err(serde::de::Error::custom("`claims` names no claim")) } else { Ok(claims) }
}

/// Not empty, and more than a `*`. Lengths count bytes, which JSON Schema cannot say.
const TEXT_PATTERN: &str = r"^([^*]|\*[\s\S])";

fn text_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": TEXT_PATTERN })
}

fn claims_schema(_: &mut SchemaGenerator) -> Schema {
    let text = json_schema!({ "type": "string", "pattern": TEXT_PATTERN });
    json_schema!({
        "type": "object", "minProperties": 1, "maxProperties": CLAIMS_MAX, "propertyNames": text, "additionalProperties": text,
    })
}

/// Addresses, and networks as they are mostly written.
fn source_schema(_: &mut SchemaGenerator) -> Schema {
    const V4: &str = r"((25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])";
    const V6: &str = "(([0-9A-Fa-f]{1,4}:){1,6}|:):([0-9A-Fa-f]{1,4})?";
    json_schema!({ "type": "string", "anyOf": [
        { "format": "ipv4" },
        { "format": "ipv6" },
        { "pattern": format!("^{V4}/([1-9]|[12][0-9]|3[0-2])$") },
        { "pattern": format!("^{V6}/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-8])$") },
    ] })
}

fn target_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-9A-Za-z][0-9A-Za-z_.-]{0,62}$" })
}

fn session_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "pattern": "^[0-7][0-9A-HJKMNP-TV-Z]{25}$" })
}

/// One party of a session, as far as matchers look at it.
pub(crate) struct Party<'a> {
    pub(crate) name: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) groups: &'a BTreeSet<String>,
    pub(crate) claims: &'a BTreeMap<String, Value>,
}

/// The identity and everybody who acts for it.
pub(crate) fn parties(identity: &IdentityParts) -> impl Iterator<Item = Party<'_>> {
    let subject = Party {
        name: &identity.name,
        subject: &identity.subject,
        issuer: &identity.issuer,
        groups: &identity.groups,
        claims: &identity.claims,
    };
    let actors = identity.delegation.iter().map(|a| Party {
        name: if a.name.is_empty() { &a.subject } else { &a.name },
        subject: &a.subject,
        issuer: &a.issuer,
        groups: &a.groups,
        claims: &a.claims,
    });
    std::iter::once(subject).chain(actors)
}

impl Matcher {
    /// What is wrong with it, if something is.
    ///
    /// # Errors
    /// When it names nothing, or something is empty or too long.
    pub fn check(&self) -> Result<(), String> {
        if *self == Self::default() {
            return Err("a lock must name what it is about: an empty one would match everybody".to_owned());
        }
        if self.claims.len() > CLAIMS_MAX {
            return Err(format!("a lock names at most {CLAIMS_MAX} claims"));
        }
        let texts = [
            ("name", &self.name),
            ("subject", &self.subject),
            ("issuer", &self.issuer),
            ("group", &self.group),
            ("login", &self.login),
            ("token_id", &self.token_id),
            ("key", &self.key),
        ];
        let texts = texts.into_iter().filter_map(|(what, text)| Some((what, text.as_deref()?)));
        let claims = self.claims.iter().flat_map(|(name, value)| [("claim", name.as_str()), (name, value.as_str())]);
        for (what, text) in texts.chain(claims) {
            if text.is_empty() || text == "*" {
                return Err(format!("\"{what}\" must not be empty: it would match what has none"));
            }
            if text.len() > MATCHER_TEXT_BYTES_MAX {
                return Err(format!("\"{what}\" is longer than {MATCHER_TEXT_BYTES_MAX} bytes"));
            }
        }
        Ok(())
    }

    /// True when it matches.
    pub fn matches(&self, what: &Lockable<'_>) -> bool {
        self.source.is_none_or(|network| network.contains(what.source.ip()))
            && self.target.as_ref().is_none_or(|target| target == what.target)
            && self.session.is_none_or(|session| session == what.session)
            && self.matches_identity(what.identity)
    }

    /// True when what it names of an identity fits, wherever that comes from and goes to.
    pub fn matches_identity(&self, identity: &IdentityParts) -> bool {
        fits(&self.login, identity.login.as_deref())
            && fits(&self.token_id, identity.token_id.as_deref())
            && fits(&self.key, identity.key.as_deref())
            && parties(identity).any(|party| self.matches_party(&party))
    }

    /// True when it names an identity or a credential, not only a place.
    pub fn is_about_identities(&self) -> bool {
        Self { source: None, target: None, session: None, ..self.clone() } != Self::default()
    }

    fn matches_party(&self, party: &Party<'_>) -> bool {
        fits(&self.name, Some(party.name))
            && fits(&self.subject, Some(party.subject))
            && fits(&self.issuer, Some(party.issuer))
            && self.group.as_ref().is_none_or(|group| party.groups.contains(group))
            && self
                .claims
                .iter()
                .all(|(name, want)| party.claims.get(name).is_some_and(|value| claim_fits(want, value)))
    }
}

fn fits(want: &Option<String>, is: Option<&str>) -> bool {
    want.as_deref().is_none_or(|want| is == Some(want))
}

/// Texts and numbers as they are written; of a list, one that fits is enough.
fn claim_fits(want: &str, value: &Value) -> bool {
    match value {
        Value::String(text) => text_fits(want, text),
        Value::Number(_) | Value::Bool(_) => text_fits(want, &value.to_string()),
        Value::Array(all) => all.iter().any(|v| !v.is_array() && claim_fits(want, v)),
        Value::Null | Value::Object(_) => false,
    }
}

fn text_fits(want: &str, text: &str) -> bool {
    match want.strip_suffix('*') {
        Some(prefix) => text.starts_with(prefix),
        None => want == text,
    }
}

/// As people read it: `name=ci-deploy source=10.0.0.0/8`.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts: Vec<String> = Vec::new();
        let mut add = |name: &str, value: Option<String>| parts.extend(value.map(|v| format!("{name}={v}")));
        add("identity", self.name.clone());
        add("subject", self.subject.clone());
        add("issuer", self.issuer.clone());
        add("group", self.group.clone());
        for (name, value) in &self.claims {
            add(name, Some(value.clone()));
        }
        add("login", self.login.clone());
        add("token_id", self.token_id.clone());
        add("key", self.key.clone());
        add("source", self.source.map(|s| s.to_string()));
        add("target", self.target.as_ref().map(ToString::to_string));
        add("session", self.session.map(|s| s.to_string()));
        f.write_str(&parts.join(" "))
    }
}
