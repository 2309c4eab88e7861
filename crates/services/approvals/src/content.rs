//! What reviewers are shown. It must never be less than what would run: what does not fit whole is not put before people.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_enforce::ReviewQuestion;
use countersign_model::{Access, IdentityParts, ReviewSpec, RuleId, Timestamp};
use countersign_store::TEXT_BYTES_MAX;
use serde::{Deserialize, Serialize};

/// The longest content in its written form, in bytes: the asker with all claims, the text and its parameters.
pub const CONTENT_TEXT_BYTES_MAX: usize = TEXT_BYTES_MAX;

/// What is asked, by whom, of whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Who asks.
    pub asker: IdentityParts,
    /// Who must say yes.
    pub spec: ReviewSpec,
    /// The rules that ask for it.
    pub rules: Vec<RuleId>,
    /// The target.
    pub target: String,
    /// Its protocol.
    pub protocol: String,
    /// Which part of it.
    pub part: String,
    /// The action that is held, or in words the access that is asked for.
    pub held: Held,
    /// The access that is asked for, where it is that and no action.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<AskedGrant>,
}

/// Access that somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedGrant {
    /// What.
    pub accesses: Vec<Access>,
    /// Why.
    pub reason: String,
    /// How long it lasts from its start, in seconds.
    pub lasts_s: u64,
    /// The most uses; `None` for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// When it starts; `None` for when it is used first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Timestamp>,
    /// It was taken at once, and people say afterwards whether that was right.
    #[serde(default)]
    pub at_once: bool,
}

/// An action that is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The session in which it was asked first.
    pub session: String,
    /// The intent's number there.
    pub seq: u64,
    /// A word for people: `update`.
    pub kind: String,
    /// The gravest of what it does.
    pub access: Access,
    /// The text.
    pub text: String,
    /// Bound parameters as the wire has them, in base64 (RFC 4648, 4).
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub parameters: String,
}

impl Content {
    /// What a held action is; `None` when its text is none that people could read.
    pub(crate) fn of(question: &ReviewQuestion) -> Option<Self> {
        Some(Self {
            asker: IdentityParts::clone(&question.identity),
            spec: ReviewSpec::clone(&question.spec),
            rules: question.rules.clone(),
            target: question.target.name.as_str().to_owned(),
            protocol: question.target.protocol.to_string(),
            part: question.part.clone(),
            held: Held {
                session: question.session.to_string(),
                seq: question.seq,
                kind: question.kind.to_string(),
                access: question.access,
                text: String::from_utf8(question.text.to_vec()).ok()?,
                parameters: STANDARD.encode(&question.parameters),
            },
            grant: None,
        })
    }

    /// In its written form; `None` when it is too long to be put before people whole.
    pub(crate) fn written(&self) -> Option<String> {
        serde_json::to_string(self).ok().filter(|t| t.len() <= CONTENT_TEXT_BYTES_MAX)
    }
}
