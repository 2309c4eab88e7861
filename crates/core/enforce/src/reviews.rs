//! The port of reviews: an action is put before people, and the answer comes back.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_model::{Access, Factor, Identity, ReviewSpec, RuleId, SessionId, Target, Timestamp};

use crate::Digest;

/// What a machine says of an action that would be held for a review.
#[derive(Clone, Debug)]
pub struct HoldFacts {
    /// What of the session decides what the text does, in the protocol's own form; equal only where the text does the same.
    pub settings: Bytes,
    /// A transaction is, or may be, open at the target: to hold the action pins its locks.
    pub in_transaction: bool,
    /// Why the action cannot be held, if so.
    pub cannot: Option<&'static str>,
}

/// An action that waits for people.
#[derive(Clone, Debug)]
pub struct ReviewQuestion {
    /// When it was asked.
    pub at: Timestamp,
    /// Who must say yes, and how long it may take.
    pub spec: Arc<ReviewSpec>,
    /// The rules that ask for it.
    pub rules: Vec<RuleId>,
    /// Who asks.
    pub identity: Arc<Identity>,
    /// On what.
    pub target: Arc<Target>,
    /// Which part of it.
    pub part: String,
    /// In which session.
    pub session: SessionId,
    /// The intent's number there.
    pub seq: u64,
    /// A word for people: `update`.
    pub kind: Arc<str>,
    /// The gravest of what it does.
    pub access: Access,
    /// The text.
    pub text: Bytes,
    /// Bound parameters as the wire has them.
    pub parameters: Bytes,
    /// What it is, whatever the session.
    pub action: Digest,
}

/// Puts actions before people. Implemented by `services/approvals`. It must not block.
pub trait Reviews: Send + Sync {
    /// Asks, or takes up what an earlier session asked for the same action and could not wait for.
    fn open(&self, question: ReviewQuestion) -> Box<dyn PendingReview>;
}

/// A review under way. Dropping it withdraws it.
pub trait PendingReview: Send {
    /// What became of it; to be asked again after [`ReviewEvent::Opened`], and not after anything else.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReviewEvent>;

    /// The session does not wait any longer.
    fn leave(self: Box<Self>, leaving: Leaving);
}

/// What became of a review.
#[derive(Clone, Debug)]
pub enum ReviewEvent {
    /// People can answer.
    Opened(ReviewNotice),
    /// They said yes, and this yes is used up.
    Approved(Approval),
    /// It will not be.
    Refused(ReviewRefusal),
}

/// What is told of a review that began.
#[derive(Clone, Debug)]
pub struct ReviewNotice {
    /// Its id.
    pub id: String,
    /// Until when.
    pub expires_at: Timestamp,
    /// Seconds until then.
    pub left_s: u64,
    /// Who must say yes: `2 of dba and 1 of security`.
    pub reviewers: String,
    /// An earlier session asked, and could not wait.
    pub resumed: bool,
}

/// Somebody's yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approver {
    /// The name that people read.
    pub name: String,
    /// Who vouches.
    pub issuer: String,
    /// The issuer's identifier.
    pub subject: String,
    /// For which of the required groups it counts.
    pub group: String,
    /// What they showed beside their login.
    pub factor: Option<Factor>,
}

/// A yes that is used up: whoever holds it may run the action once.
#[derive(Clone, Debug)]
pub struct Approval {
    /// The review.
    pub review: String,
    /// What it is good for: see [`crate::binding`].
    pub binding: Digest,
    /// Until when it was good.
    pub expires_at: Timestamp,
    /// Who said yes.
    pub by: Vec<Approver>,
}

/// Why there is no yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRefusal {
    /// The review, if it came to one.
    pub review: Option<String>,
    /// What happened.
    pub end: ReviewEnd,
    /// Who did it, where somebody did.
    pub by: Option<String>,
    /// What they said.
    pub comment: Option<String>,
}

/// How a review ended without a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewEnd {
    /// Somebody said no.
    Denied,
    /// Nobody, or too few, answered in time.
    Expired,
    /// The asker took it back.
    Withdrawn,
    /// The same action was asked for anew and goes on there.
    Superseded,
    /// Too many wait already.
    Full,
    /// It is too long, or no text: people could not read what they decide.
    Unshowable,
    /// It could not be asked, or the answer could not be had.
    Unavailable,
}

impl ReviewEnd {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Superseded => "superseded",
            Self::Full => "full",
            Self::Unshowable => "unshowable",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Why a session does not wait any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// The client took it back, or is gone: nobody wants the answer.
    Withdrawn(&'static str),
    /// The gateway goes away: the question stays, and the same action may take it up.
    Left,
}
