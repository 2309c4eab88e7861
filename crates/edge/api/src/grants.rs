//! The doors of grants: requests for access, what became of them, their end. What they mean lives elsewhere and is given by the binary.
//!
//! What somebody may ask for follows from the rules, and what they see and end from the grant itself. What reaches beyond that has been let by
//! policy before it comes here.

use std::fmt;
use std::sync::Arc;

use countersign_enforce::BoxFuture;

use crate::identity::DoorRequest;
use crate::issuer::Answer;
use crate::v1::{EndGrantBody, EndGrantsBody, GrantBody};

/// Which grants.
#[derive(Clone, Debug, Default)]
pub struct GrantQuery {
    /// Also those that are over.
    pub all: bool,
    /// Everybody's: policy lets the caller see them.
    pub everybody: bool,
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

/// What is asked of a door. Where it says `everybody`, policy lets the caller.
#[derive(Clone, Debug)]
pub enum GrantCall {
    /// `GET /v1/grants`: those that the caller may see, latest first.
    List(GrantQuery),
    /// `POST /v1/grants`: a request.
    Request(GrantBody),
    /// `GET /v1/grants/{id}`.
    Show(String),
    /// `POST /v1/grants/{id}/revoke`.
    Revoke(String, EndGrantBody),
    /// `POST /v1/grants/revoke`: those that somebody approved in a window of time.
    RevokeApproved(EndGrantsBody),
}

/// Grants as their doors need them. The requests name their caller.
pub trait GrantDoors: Send + Sync {
    /// Answers one request.
    fn serve(&self, request: DoorRequest, call: GrantCall) -> BoxFuture<'_, Answer>;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct GrantDoor(pub Arc<dyn GrantDoors>);

impl fmt::Debug for GrantDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GrantDoor")
    }
}
