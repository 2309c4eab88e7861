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
}

impl ReviewSpec {
    /// Both at once: every group that either asks for, the larger number of each, the shorter time.
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
        }
    }

    /// True when whoever satisfies this one satisfies the other, too.
    pub fn covers(&self, other: &Self) -> bool {
        other
            .requirements
            .iter()
            .all(|theirs| self.requirements.iter().any(|r| r.group == theirs.group && r.people >= theirs.people))
    }

    /// How many people it takes.
    pub fn people(&self) -> usize {
        self.requirements.iter().map(|r| usize::from(r.people)).sum()
    }
}

/// `2 of dba and 1 of security`.
impl fmt::Display for ReviewSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, r) in self.requirements.iter().enumerate() {
            let between = if n == 0 { "" } else { " and " };
            write!(f, "{between}{} of {}", r.people, r.group)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Requirement, ReviewSpec};

    fn spec(all: &[(&str, u16)], expires_s: u64, in_transaction: bool) -> ReviewSpec {
        let one = |(group, people): &(&str, u16)| Requirement { group: (*group).to_owned(), people: *people };
        ReviewSpec { requirements: all.iter().map(one).collect(), expires_s, in_transaction }
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
}
