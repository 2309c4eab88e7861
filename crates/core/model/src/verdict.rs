//! What policy says.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{
    ClientText, Culprit, Denial, DenialCode, Mask, Probe, ProbeRefusal, Request, ReviewSpec, RuleId, SessionId, Tag,
    Taking, Timestamp, WatchSpec, Withheld,
};

/// Allow, hold or deny.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decision {
    /// It may go on, with the effects.
    Allow,
    /// It may once people have said yes: [`Effects::review`] says who.
    Hold,
    /// It may not.
    Deny,
}

/// How loudly to tell people.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For the record.
    Low,
    /// Someone should look today.
    Medium,
    /// Someone should look now.
    High,
    /// Wake someone.
    Critical,
}

/// Limits of one action; `None` is unlimited. Several rules combine to the strictest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Limits {
    /// The most result rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rows: Option<u64>,
    /// The most bytes of result rows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    /// The most rows that a write may change; more, and it is undone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub affected: Option<u64>,
}

impl Decision {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Hold => "hold",
            Self::Deny => "deny",
        }
    }
}

impl Limits {
    /// No limit at all.
    pub const NONE: Self = Self { rows: None, bytes: None, affected: None };

    /// The stricter of each.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        fn min(a: Option<u64>, b: Option<u64>) -> Option<u64> {
            match (a, b) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            }
        }
        Self {
            rows: min(self.rows, other.rows),
            bytes: min(self.bytes, other.bytes),
            affected: min(self.affected, other.affected),
        }
    }

    /// True when nothing is limited.
    pub fn is_none(&self) -> bool {
        *self == Self::NONE
    }
}

/// What goes with a decision.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Limits.
    #[serde(default)]
    pub limits: Limits,
    /// Raise an alert of this severity.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub alert: Option<Severity>,
    /// The tags whose values are masked in what the client sees, sorted by tag. Cheap to clone.
    #[serde(skip_serializing_if = "no_items", default = "empty")]
    pub masks: Arc<[Mask]>,
    /// The tags that a rule let this identity see in clear, and that this action shows; sorted. For the record.
    #[serde(skip_serializing_if = "no_items", default = "empty")]
    pub unmasked: Arc<[Tag]>,
    /// The masked tags that this action may compare with a constant, and how often that may be done; sorted by tag. Whoever admits
    /// the action counts it first: [`Policy::spend`].
    #[serde(skip_serializing_if = "no_items", default = "empty")]
    pub probes: Arc<[Probe]>,
    /// The tags that it is a deny for: no mask hides what the action would tell of them. Sorted; empty for every allow.
    #[serde(skip_serializing_if = "no_items", default = "empty")]
    pub withheld: Arc<[Withheld]>,
    /// Who must say yes first. With an allow: when it is executed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub review: Option<Arc<ReviewSpec>>,
    /// Who must be watching while it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub watch: Option<Arc<WatchSpec>>,
    /// The grants without which it would be a deny; sorted. Whoever lets it run takes them first: [`Policy::take`].
    #[serde(skip_serializing_if = "no_items", default = "empty")]
    pub grants: Arc<[Arc<str>]>,
}

fn no_items<T>(items: &Arc<[T]>) -> bool {
    items.is_empty()
}

fn empty<T>() -> Arc<[T]> {
    Arc::from([])
}

/// Policy's answer. It is cheap to share: caches hold it behind an [`Arc`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Allow, hold or deny.
    pub decision: Decision,
    /// What goes with it.
    pub effects: Effects,
    /// The rules that decided it, sorted; empty when nothing matched (default deny).
    pub rules: Vec<RuleId>,
    /// Why it is a deny, when no rule said so: an evaluation error or an unreadable action; with an allow, why a tag stayed masked that
    /// a rule might have lifted. For operators and the record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// For whom it is a deny, where somebody acts for the identity: those of the subject and its actors for whom it is one, each as
    /// `NAME (ISSUER#SUBJECT)`. Empty when it is an allow, and when nobody acts for the identity.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub denied_for: Vec<String>,
    /// Which version of the policies answered.
    pub epoch: u64,
}

/// Decides. Total: there is no error that is not a deny.
pub trait Policy: Send + Sync {
    /// Answers the question. Every use of the shape must be allowed; effects combine to the strictest.
    fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict>;

    /// The version of the policies now in force; it grows with every reload.
    fn epoch(&self) -> u64;

    /// True when the verdict on this request stays the same for as long as its epoch is in force, whatever the time is: a session may
    /// then keep it for the shape. It must be false when that is not certain.
    fn is_lasting(&self, request: &Request<'_>, verdict: &Verdict) -> bool {
        let _ = (request, verdict);
        false
    }

    /// How a denied client may ask for access, as the policies put it; `None` when they do not say.
    fn ask(&self, request: &Request<'_>, verdict: &Verdict) -> Option<ClientText> {
        let _ = (request, verdict);
        None
    }

    /// Counts the probes of an action that is about to run. Evaluation counts nothing, because verdicts are kept.
    ///
    /// # Errors
    /// When one of them may not be made now: then none was counted, and the action must not run.
    fn spend(&self, request: &Request<'_>, probes: &[Probe]) -> Result<(), ProbeRefusal> {
        let _ = (request, probes);
        Err(ProbeRefusal::Uncounted)
    }

    /// Takes the grants that a verdict needs, as [`Grants::take`](crate::Grants::take) does.
    ///
    /// # Errors
    /// When one of them has come to its end; then the action must not run.
    fn take(
        &self,
        session: SessionId,
        grants: &[Arc<str>],
        counts: bool,
        now: Timestamp,
    ) -> Result<Option<Taking>, Denial> {
        let _ = (session, grants, counts, now);
        Err(Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("internal error: nobody keeps grants")))
    }

    /// A session that took grants is over, as [`Grants::leave`](crate::Grants::leave) is told.
    fn leave(&self, session: SessionId) {
        let _ = session;
    }
}
