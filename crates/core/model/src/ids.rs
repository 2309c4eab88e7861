//! Identifiers that people read and records carry.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// A session's id: a ULID, so that ids sort by the time they were made and fit in a terminal column (26 characters).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u128);

impl SessionId {
    /// Made from the time and 80 random bits; only the low 80 bits of `random` are used.
    pub fn new(now: Timestamp, random: u128) -> Self {
        let ms = u64::try_from(now.unix_us() / 1000).unwrap_or(0);
        Self(ulid::Ulid::from_parts(ms, random).0)
    }

    /// The id as an integer, for compact storage.
    pub const fn to_u128(self) -> u128 {
        self.0
    }

    /// Back from [`SessionId::to_u128`].
    pub const fn from_u128(v: u128) -> Self {
        Self(v)
    }

    /// Reads the 26-character form; `None` when it is not one.
    pub fn parse(s: &str) -> Option<Self> {
        ulid::Ulid::from_string(s).ok().map(|u| Self(u.0))
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ulid::Ulid(self.0).fmt(f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&s).ok_or_else(|| serde::de::Error::custom("not a session id (26 characters, Crockford base32)"))
    }
}

/// The name of a policy rule: its `@id`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// Names a rule.
    pub fn new(id: &str) -> Self {
        Self(id.into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
