//! What is behind the gateway.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Tagging;

/// The name under which policies and records see the gateway itself: what is asked of its API is an action on this target. No other
/// target may have it.
pub const GATEWAY_TARGET: &str = "countersign";

/// The name clients use for a target: 1 to 63 of `a-z A-Z 0-9 _ - .`, starting with a letter or digit.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct TargetName(Arc<str>);

impl TargetName {
    /// Checks the form; `None` when it is not a target name.
    pub fn parse(s: &str) -> Option<Self> {
        let ok = s.len() <= 63
            && s.starts_with(|c: char| c.is_ascii_alphanumeric())
            && s.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.'));
        ok.then(|| Self(s.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TargetName {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&s)
            .ok_or_else(|| serde::de::Error::custom("not a target name (1 to 63 letters, digits, '_', '-' or '.')"))
    }
}

/// How much of a session is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecordLevel {
    /// Statements, binds, verdicts and outcomes.
    #[default]
    Statements,
    /// The result rows as the client saw them, too.
    Results,
}

/// A target as policy and the record see it. It has no address and no credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Target {
    /// Its name.
    pub name: TargetName,
    /// Which protocol it speaks.
    pub protocol: Arc<str>,
    /// Labels for policy, as in `Label::"env:prod"`.
    pub labels: BTreeMap<String, String>,
    /// What is recorded.
    pub record: RecordLevel,
    /// When true, the record of a write reaches the disk before the write reaches the target.
    pub durable: bool,
    /// How its data is known to be sensitive.
    pub tagging: Arc<Tagging>,
}
