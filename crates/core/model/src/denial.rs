//! Why not: named culprit, what was tried, what to do.
//!
//! Text for clients is allow-listed by type: a [`ClientText`] is made of literals and of names that were cleaned.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{RuleId, Severity};

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Culprit {
    /// The client sent something wrong or was not let in.
    Client,
    /// The target failed or answered wrongly.
    Target,
    /// A rule said no.
    Policy,
    /// Countersign failed.
    Us,
}

/// The kind of denial: a metric label, and what protocols map to their own codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialCode {
    /// The credential was missing, wrong or expired.
    Unauthenticated,
    /// Policy denied the action.
    Forbidden,
    /// Its answer would tell of data that is masked for this identity.
    Withheld,
    /// The action could not be read.
    Unreadable,
    /// The action names something that the target does not have.
    Undefined,
    /// The protocol was not followed.
    Protocol,
    /// Encryption is required.
    Plaintext,
    /// Something is larger than its limit.
    Oversize,
    /// A limit set by policy was passed.
    LimitExceeded,
    /// The feature is known and not allowed through.
    Unsupported,
    /// Too many at once.
    Busy,
    /// It took too long.
    Timeout,
    /// The client took it back.
    Cancelled,
    /// The target cannot be reached or broke off.
    TargetUnavailable,
    /// The recording cannot be written.
    RecorderUnavailable,
    /// The gateway is shutting down.
    Draining,
    /// A lock keeps it out.
    Locked,
    /// Something inside failed.
    Internal,
}

impl DenialCode {
    /// Every code.
    pub const ALL: [Self; 18] = [
        Self::Unauthenticated,
        Self::Forbidden,
        Self::Withheld,
        Self::Unreadable,
        Self::Undefined,
        Self::Protocol,
        Self::Plaintext,
        Self::Oversize,
        Self::LimitExceeded,
        Self::Unsupported,
        Self::Busy,
        Self::Timeout,
        Self::Cancelled,
        Self::TargetUnavailable,
        Self::RecorderUnavailable,
        Self::Draining,
        Self::Locked,
        Self::Internal,
    ];

    /// The word used in metrics and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::Forbidden => "forbidden",
            Self::Withheld => "withheld",
            Self::Unreadable => "unreadable",
            Self::Undefined => "undefined",
            Self::Protocol => "protocol",
            Self::Plaintext => "plaintext",
            Self::Oversize => "oversize",
            Self::LimitExceeded => "limit_exceeded",
            Self::Unsupported => "unsupported",
            Self::Busy => "busy",
            Self::Timeout => "timeout",
            Self::Cancelled => "cancelled",
            Self::TargetUnavailable => "target_unavailable",
            Self::RecorderUnavailable => "recorder_unavailable",
            Self::Draining => "draining",
            Self::Locked => "locked",
            Self::Internal => "internal",
        }
    }
}

/// Text that a client may see: literals, and names without control characters, cut at 200 characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ClientText(String);

impl ClientText {
    /// Starts with a literal.
    pub fn new(literal: &'static str) -> Self {
        Self(literal.to_owned())
    }

    /// Adds a literal.
    #[must_use]
    pub fn and(mut self, literal: &'static str) -> Self {
        self.0.push_str(literal);
        self
    }

    /// Adds a name that the client itself sent, or that it may know: a rule, a target, a relation. Cleaned and cut.
    #[must_use]
    pub fn name(mut self, name: &str) -> Self {
        const NAME_CHARS_MAX: usize = 200;
        let mut chars = name.chars().filter(|c| !c.is_control());
        self.0.extend(chars.by_ref().take(NAME_CHARS_MAX));
        if chars.next().is_some() {
            self.0.push('…');
        }
        self
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, n: u64) -> Self {
        self.0.push_str(&n.to_string());
        self
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A refusal, with what the client may read and what only operators may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denial {
    /// Whose doing it is.
    pub culprit: Culprit,
    /// The kind.
    pub code: DenialCode,
    /// What the client reads.
    pub message: ClientText,
    /// What the client could do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<ClientText>,
    /// For operators and the record, never for clients; holds no secret.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub detail: Option<String>,
    /// The rules behind it.
    #[serde(default)]
    pub rules: Vec<RuleId>,
    /// How loudly people should be told of it, when they should.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alarm: Option<Severity>,
}

impl Denial {
    /// A refusal with what the client reads.
    pub fn new(culprit: Culprit, code: DenialCode, message: ClientText) -> Self {
        Self { culprit, code, message, hint: None, detail: None, rules: Vec::new(), alarm: None }
    }

    /// Adds what the client could do about it.
    #[must_use]
    pub fn hint(mut self, hint: ClientText) -> Self {
        self.hint = Some(hint);
        self
    }

    /// Adds what only operators may read.
    #[must_use]
    pub fn detail(mut self, detail: impl fmt::Display) -> Self {
        self.detail = Some(detail.to_string());
        self
    }

    /// Adds the rules behind it.
    #[must_use]
    pub fn rules(mut self, rules: Vec<RuleId>) -> Self {
        self.rules = rules;
        self
    }

    /// Says that people should be told of it, and how loudly.
    #[must_use]
    pub fn alarming(mut self, severity: Severity) -> Self {
        self.alarm = Some(severity);
        self
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message.as_str())
    }
}

impl std::error::Error for Denial {}

#[cfg(test)]
mod tests {
    use super::ClientText;

    #[test]
    fn names_are_cleaned_and_cut() {
        let t = ClientText::new("rule ").name("a\u{1b}[31m\nb").and(".");
        assert_eq!(t.as_str(), "rule a[31mb.");
        let long = ClientText::new("").name(&"x".repeat(300));
        assert_eq!(long.as_str().chars().count(), 201);
    }
}
