//! Who has to be watching while an action runs.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Who has to be watching, and how long an action waits for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchSpec {
    /// Of each of these groups somebody; sorted, none twice.
    pub groups: Vec<String>,
    /// How long it waits while somebody is missing, each time, in seconds; then it ends.
    pub wait_s: u64,
}

impl WatchSpec {
    /// What satisfies both: everybody whom either wants, and the shorter wait.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        let mut groups: Vec<String> = self.groups.iter().chain(&other.groups).cloned().collect();
        groups.sort();
        groups.dedup();
        Self { groups, wait_s: self.wait_s.min(other.wait_s) }
    }
}

/// As people read it: `sre and security`.
impl fmt::Display for WatchSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.groups.join(" and "))
    }
}
