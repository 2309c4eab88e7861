//! Who is really asking.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// What sort of thing an identity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityKind {
    /// A person.
    Human,
    /// A CI job, service account or other workload.
    Machine,
    /// An AI agent.
    Agent,
}

impl IdentityKind {
    /// The word used in policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Human => "human",
            Self::Machine => "machine",
            Self::Agent => "agent",
        }
    }
}

/// How firmly what was presented is tied to who presented it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CredentialBinding {
    /// Whoever holds it may use it.
    Bearer,
    /// Useless without a key.
    Bound,
    /// Useless without a key that cannot leave its hardware. Reserved: nothing proves that yet.
    Hardware,
}

impl CredentialBinding {
    /// The word used in policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Bound => "bound",
            Self::Hardware => "hardware",
        }
    }
}

/// One link of a delegation chain: who acts for the identity (RFC 8693 `act`). What the actor may not do itself it may not do for
/// somebody else either, so that it carries what policy asks about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The actor's subject.
    pub subject: String,
    /// Who vouches for the actor.
    pub issuer: String,
    /// The actor's short name.
    #[serde(default)]
    pub name: String,
    /// Person, workload or AI agent.
    #[serde(default = "agent")]
    pub kind: IdentityKind,
    /// The actor's own groups after mapping.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<String>,
    /// What is claimed of the actor.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, serde_json::Value>,
    /// The thumbprint of its issuer's key that the actor's own token was verified with; `None` where there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
}

const fn agent() -> IdentityKind {
    IdentityKind::Agent
}

/// The facts of an identity, before somebody vouches for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdentityParts {
    /// The issuer's stable identifier (`sub`).
    pub subject: String,
    /// Who vouches (`iss`).
    pub issuer: String,
    /// The short name that people read, and that clients give as their user name.
    pub name: String,
    /// Person, workload or AI agent.
    pub kind: IdentityKind,
    /// Groups after mapping.
    pub groups: BTreeSet<String>,
    /// Claims as verified, for policy and for the record. Never the token itself.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// Who acts for the subject, nearest first; empty when nobody does.
    pub delegation: Vec<Actor>,
    /// How the credential is bound.
    pub credential: CredentialBinding,
    /// The token's or certificate's own id (`jti`, serial), for locks and clone detection.
    pub token_id: Option<String>,
    /// The thumbprint of the key that the credential is bound to (SHA-256, base64url: RFC 7638 for a JWK, RFC 8705 for a certificate).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The thumbprint of the issuer's key that the credential was verified with (SHA-256, base64url: RFC 7638 for a JWK; of an authority's
    /// certificate, its SubjectPublicKeyInfo): when that key is revoked, so is what it signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// The login that the credential belongs to: whoever ends it ends every credential of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<String>,
    /// When the credential was issued.
    pub issued_at: Timestamp,
    /// When the credential ends.
    pub expires_at: Timestamp,
}

/// A verified identity. Holding one means that `services/identity` checked it: clippy bans [`Identity::mint`] elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identity(IdentityParts);

impl Identity {
    /// Vouches for the parts. Only `services/identity` may call this, after verification (`clippy.toml` bans the name).
    pub fn mint(parts: IdentityParts) -> Self {
        Self(parts)
    }
}

impl std::ops::Deref for Identity {
    type Target = IdentityParts;

    fn deref(&self) -> &IdentityParts {
        &self.0
    }
}
