//! The doors of reviews: who waits for an answer, and the answers. What they mean lives elsewhere and is given by the binary.
//!
//! Whoever asks is known by the same credentials as at `whoami`; what a person may see and answer follows from the review itself.

use std::fmt;
use std::sync::Arc;

use countersign_enforce::BoxFuture;

use crate::identity::DoorRequest;
use crate::issuer::Answer;
use crate::v1::ReviewChallengeBody;

/// Which reviews.
#[derive(Clone, Debug, Default)]
pub struct ReviewQuery {
    /// Also those that are over.
    pub all: bool,
    /// Only those on this target.
    pub target: Option<String>,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them.
    pub limit: usize,
    /// Only those that somebody approved: a name, or `ISSUER#SUBJECT`.
    pub answered_by: Option<String>,
    /// With `answered_by`: not before this time, in seconds since the Unix epoch.
    pub since: Option<i64>,
    /// With `answered_by`: before this time.
    pub until: Option<i64>,
}

/// What is done to a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewVerb {
    /// Somebody says yes.
    Approve,
    /// Somebody says no.
    Deny,
    /// Somebody says something.
    Comment,
    /// The asker takes it back.
    Withdraw,
}

/// Reviews as their doors need them. The requests name their caller.
pub trait ReviewDoors: Send + Sync {
    /// `GET /v1/reviews`: those that the caller may see, latest first.
    fn list(&self, request: DoorRequest, query: ReviewQuery) -> BoxFuture<'_, Answer>;

    /// `GET /v1/reviews/{id}`.
    fn show(&self, request: DoorRequest, id: String) -> BoxFuture<'_, Answer>;

    /// `POST /v1/reviews/{id}/challenge`: what a key is to sign, so that it says yes.
    fn challenge(&self, request: DoorRequest, id: String, body: ReviewChallengeBody) -> BoxFuture<'_, Answer>;

    /// `POST /v1/reviews/{id}/{approve,deny,comment,withdraw}`.
    fn act(&self, request: DoorRequest, id: String, verb: ReviewVerb) -> BoxFuture<'_, Answer>;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct ReviewDoor(pub Arc<dyn ReviewDoors>);

impl fmt::Debug for ReviewDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReviewDoor")
    }
}
