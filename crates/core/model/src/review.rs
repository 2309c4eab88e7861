//! Who must say yes before an action goes on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// So many members of one group.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requirement {
    /// The group.
    pub group: String,
    /// How many of its members, at least 1.
    pub people: u16,
}

/// What a person shows beside their login, from the lesser to the greater: the greater one does where the lesser is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Factor {
    /// A code of an authenticator app (RFC 6238). It says that somebody has the secret, not what they said yes to.
    Totp,
    /// A key that signs what is answered (WebAuthn).
    Webauthn,
}

impl Factor {
    /// Every one, the lesser first.
    pub const ALL: [Self; 2] = [Self::Totp, Self::Webauthn];

    /// The word that policies, records and people use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Webauthn => "webauthn",
        }
    }

    /// From its word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|f| f.as_str() == word)
    }
}

/// A factor that somebody showed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactorUsed {
    /// Of which sort.
    pub kind: Factor,
    /// Which of theirs.
    pub id: String,
}

/// What a review asks for: everybody that is required, within a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewSpec {
    /// Each group once, sorted by group. Nobody counts for two of them.
    pub requirements: Vec<Requirement>,
    /// How long it may take, in seconds.
    pub expires_s: u64,
    /// May be held while a transaction is open at the target, whose locks it then pins.
    #[serde(default)]
    pub in_transaction: bool,
    /// What each of them must show beside their login, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<Factor>,
}

impl ReviewSpec {
    /// Both at once: every group that either asks for, the larger number of each, the shorter time, the greater factor.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        let mut requirements = self.requirements.clone();
        for theirs in &other.requirements {
            match requirements.iter_mut().find(|r| r.group == theirs.group) {
                Some(ours) => ours.people = ours.people.max(theirs.people),
                None => requirements.push(theirs.clone()),
            }
        }
        requirements.sort();
        Self {
            requirements,
            expires_s: self.expires_s.min(other.expires_s),
            in_transaction: self.in_transaction && other.in_transaction,
            factor: self.factor.max(other.factor),
        }
    }

    /// True when whoever satisfies this one satisfies the other, too.
    pub fn covers(&self, other: &Self) -> bool {
        self.factor >= other.factor
            && other
                .requirements
                .iter()
                .all(|theirs| self.requirements.iter().any(|r| r.group == theirs.group && r.people >= theirs.people))
    }

    /// How many people it takes.
    pub fn people(&self) -> usize {
        self.requirements.iter().map(|r| usize::from(r.people)).sum()
    }
}

/// `2 of dba and 1 of security`, with ` (with webauthn)` where a factor is asked for.
impl fmt::Display for ReviewSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, r) in self.requirements.iter().enumerate() {
            let between = if n == 0 { "" } else { " and " };
            write!(f, "{between}{} of {}", r.people, r.group)?;
        }
        if let Some(factor) = self.factor {
            write!(f, " (with {})", factor.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Factor, Requirement, ReviewSpec};

    fn spec(all: &[(&str, u16)], expires_s: u64, in_transaction: bool) -> ReviewSpec {
        let one = |(group, people): &(&str, u16)| Requirement { group: (*group).to_owned(), people: *people };
        ReviewSpec { requirements: all.iter().map(one).collect(), expires_s, in_transaction, factor: None }
    }

    #[test]
    fn the_strictest_has_all_of_both() {
        let a = spec(&[("dba", 2), ("security", 1)], 900, true);
        let b = spec(&[("audit", 1), ("dba", 1)], 60, false);
        let both = spec(&[("audit", 1), ("dba", 2), ("security", 1)], 60, false);
        assert_eq!(a.strictest(&b), both);
        assert_eq!(b.strictest(&a), both);
        assert!(both.covers(&a) && both.covers(&b) && a.covers(&a));
        assert!(!a.covers(&b) && !b.covers(&a), "each asks for something that the other does not");
        assert_eq!(both.people(), 4);
        assert_eq!(both.to_string(), "1 of audit and 2 of dba and 1 of security");
    }
    #[test]
    fn the_greater_factor_does_where_the_lesser_is_asked_for() {
        let with = |factor| ReviewSpec { factor, ..spec(&[("dba", 2)], 900, false) };
        let (none, totp, webauthn) = (with(None), with(Some(Factor::Totp)), with(Some(Factor::Webauthn)));
        for (strict, mild) in [(&totp, &none), (&webauthn, &none), (&webauthn, &totp)] {
            assert_eq!(strict.strictest(mild), *strict);
            assert_eq!(mild.strictest(strict), *strict);
            assert!(strict.covers(mild) && !mild.covers(strict));
        }
        assert_eq!(webauthn.to_string(), "2 of dba (with webauthn)");
        assert_eq!(Factor::ALL.map(|f| Factor::parse(f.as_str())), Factor::ALL.map(Some));
        assert_eq!(Factor::parse("WebAuthn"), None);
    }
}
