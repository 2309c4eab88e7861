//! What is kept of a person's factors, and how it changes: a state machine without I/O, with time as an input.
//!
//! Each step makes the next version; whoever keeps it must make it of the version that it was made of, or look again. So a code, a count of a
//! key and a wrong guess are each counted once, also when two gateways are asked at the same instant.

use countersign_enforce::NoFactor;
use countersign_model::{Factor, FactorUsed, Timestamp};
use serde::{Deserialize, Serialize};

use crate::nonce::later;

/// The most factors of one person.
pub const FACTORS_MAX: usize = 10;
/// The longest name of a factor, in characters.
pub const NAME_CHARS_MAX: usize = 64;
/// How long a new secret of codes waits for its first code, in seconds.
pub const PENDING_S: u64 = 600;
/// So many wrong codes in a row, and codes are not looked at for a while.
pub const FAILURES_MAX: u32 = 5;
/// For how long, in seconds, the first time; each time after that twice as long.
pub const LOCKED_S: u64 = 15 * 60;
/// And at most for so long.
pub const LOCKED_S_MAX: u64 = 24 * 3600;

/// What a person has.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Kept {
    pub(crate) factors: Vec<One>,
    /// A secret of codes that was shown, and whose first code is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pending: Option<Pending>,
    /// Wrong codes in a row.
    #[serde(default)]
    pub(crate) failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) locked_until: Option<Timestamp>,
}

/// A factor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct One {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) used_at: Option<Timestamp>,
    pub(crate) how: How,
}

/// What it takes to check one. Bytes are in base64.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum How {
    /// A key.
    Webauthn { site: String, credential: String, public_key: String, sign_count: u32 },
    /// Codes: the sealed secret, and the last step whose code was used.
    Totp { sealed: String, step: u64 },
}

/// A secret that was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pending {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) sealed: String,
    pub(crate) expires_at: Timestamp,
    /// It is asked for by somebody who showed another factor. Otherwise it must still be the first.
    pub(crate) proven: bool,
}

impl One {
    pub(crate) const fn kind(&self) -> Factor {
        match self.how {
            How::Webauthn { .. } => Factor::Webauthn,
            How::Totp { .. } => Factor::Totp,
        }
    }

    pub(crate) fn used(&self) -> FactorUsed {
        FactorUsed { kind: self.kind(), id: self.id.clone() }
    }
}

impl Kept {
    pub(crate) fn find(&self, id: &str) -> Option<&One> {
        self.factors.iter().find(|f| f.id == id)
    }

    pub(crate) fn has(&self, used: &FactorUsed) -> bool {
        self.find(&used.id).is_some_and(|f| f.kind() == used.kind)
    }

    /// That one more may be added: `proven` says that one of those that are there was shown.
    pub(crate) fn room(&self, proven: bool) -> Result<(), NoFactor> {
        if !self.factors.is_empty() && !proven {
            // The greatest that they have is named: it does for all.
            return Err(NoFactor::Needed(Factor::Totp));
        }
        if self.factors.len() >= FACTORS_MAX { Err(NoFactor::Full(FACTORS_MAX)) } else { Ok(()) }
    }

    /// A factor was shown, and was right.
    pub(crate) fn shown(&mut self, id: &str, now: Timestamp, how: How) {
        if let Some(one) = self.factors.iter_mut().find(|f| f.id == id) {
            if one.kind() == Factor::Totp {
                self.failures = 0;
                self.locked_until = None;
            }
            one.used_at = Some(now);
            one.how = how;
        }
    }

    /// That codes are looked at now.
    pub(crate) fn unlocked(&self, now: Timestamp) -> Result<(), NoFactor> {
        match self.locked_until {
            Some(until) if now < until => Err(NoFactor::LockedOut(until)),
            _ => Ok(()),
        }
    }

    /// A code was wrong; says until when none is looked at, if this was one too many.
    pub(crate) fn failed(&mut self, now: Timestamp) -> Option<Timestamp> {
        self.failures = self.failures.saturating_add(1);
        if !self.failures.is_multiple_of(FAILURES_MAX) {
            return None;
        }
        let doublings = (self.failures / FAILURES_MAX).saturating_sub(1).min(u32::BITS);
        let locked_s = LOCKED_S.saturating_mul(1u64 << doublings).min(LOCKED_S_MAX);
        self.locked_until = Some(later(now, locked_s));
        self.locked_until
    }
}

/// A name as people may give it.
pub(crate) fn named(name: &str) -> Result<String, NoFactor> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARS_MAX || name.chars().any(char::is_control) {
        return Err(NoFactor::Unfit("a factor's name has 1 to 64 characters and no control characters"));
    }
    Ok(name.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    #[test]
    fn guesses_lock_longer_and_longer() {
        let mut kept = Kept::default();
        let mut spans = Vec::new();
        for _ in 0..10 * FAILURES_MAX {
            if let Some(until) = kept.failed(at(1000)) {
                spans.push(until.unix_s() - 1000);
                assert_eq!(kept.unlocked(at(until.unix_s() - 1)), Err(NoFactor::LockedOut(until)));
                assert_eq!(kept.unlocked(until), Ok(()));
            }
        }
        assert_eq!(spans, [900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400, 86_400, 86_400]);
        let totp = How::Totp { sealed: String::new(), step: 1 };
        kept.factors.push(One {
            id: "1".into(),
            name: "a".into(),
            created_at: at(1),
            used_at: None,
            how: totp.clone(),
        });
        kept.shown("1", at(2), totp);
        assert_eq!((kept.failures, kept.locked_until), (0, None));
    }

    #[test]
    fn only_the_first_is_added_without_showing_another() {
        let mut kept = Kept::default();
        assert_eq!(kept.room(false), Ok(()));
        for n in 0..FACTORS_MAX {
            let how = How::Totp { sealed: String::new(), step: 0 };
            kept.factors.push(One { id: n.to_string(), name: "a".into(), created_at: at(1), used_at: None, how });
            assert!(matches!(kept.room(false), Err(NoFactor::Needed(_))));
            assert_eq!(kept.room(true).is_ok(), n + 1 < FACTORS_MAX);
        }
        assert_eq!(kept.room(true), Err(NoFactor::Full(FACTORS_MAX)));
    }

    #[test]
    fn names_are_short_lines() {
        assert_eq!(named("  blue key \u{e9} ").unwrap(), "blue key \u{e9}");
        for bad in ["", "   ", "a\nb", "a\u{1b}[2J", &"x".repeat(NAME_CHARS_MAX + 1)] {
            assert!(named(bad).is_err(), "{bad:?}");
        }
        assert!(named(&"\u{e9}".repeat(NAME_CHARS_MAX)).is_ok());
    }
}
