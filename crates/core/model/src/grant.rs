//! Access that people gave for a while: what rules offer, what somebody holds, and the port of whoever keeps it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Access, Denial, IdentityParts, ReviewSpec, RuleId, SessionId, TargetName, Timestamp};

/// What a rule with `@grant` offers, and for whose yes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantSpec {
    /// Who must say yes: before, or afterwards to what was taken at once.
    pub review: ReviewSpec,
    /// The longest that it may last, in seconds.
    pub longest_s: u64,
    /// The most actions that it may be used for; `None` for any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_max: Option<u32>,
    /// May be taken at once, and is reviewed afterwards.
    #[serde(default)]
    pub at_once: bool,
}

impl GrantSpec {
    /// Both at once: everybody that either asks for, and the less of everything else.
    #[must_use]
    pub fn strictest(&self, other: &Self) -> Self {
        Self {
            review: self.review.strictest(&other.review),
            longest_s: self.longest_s.min(other.longest_s),
            uses_max: match (self.uses_max, other.uses_max) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            },
            at_once: self.at_once && other.at_once,
        }
    }
}

/// A rule that somebody holds a grant of: for these accesses it applies to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldGrant {
    /// The grant.
    pub id: Arc<str>,
    /// The rule.
    pub rule: RuleId,
    /// What was granted of what the rule permits.
    pub accesses: Arc<[Access]>,
}

/// Resolves once it is certain that an action may run by its grants.
pub type Taking = Pin<Box<dyn Future<Output = Result<(), Denial>> + Send>>;

/// Keeps grants. Implemented by `services/approvals`.
pub trait Grants: Send + Sync {
    /// What exactly this identity, with everybody who acts for it, holds at this target now; first what is to be used first. Takes no longer
    /// than a look-up in memory.
    fn held(&self, identity: &IdentityParts, target: &TargetName, now: Timestamp) -> Vec<HeldGrant>;

    /// A session is about to live by these grants: it ends when one of them does. `counts` says that an action is about to run by them, which
    /// begins them, and is one of their uses. What comes of that is waited for where there is something to wait for.
    ///
    /// # Errors
    /// When one of them has come to its end; then the action must not run.
    fn take(
        &self,
        session: SessionId,
        grants: &[Arc<str>],
        counts: bool,
        now: Timestamp,
    ) -> Result<Option<Taking>, Denial>;

    /// A session is over: nothing need be known of it any more.
    fn leave(&self, session: SessionId);
}
