//! The doors of reviews: who waits for an answer, and the answers. What they mean lives elsewhere and is given by the binary.
//!
//! Whoever asks is known by the same credentials as at `whoami`; what a person may see and answer follows from the review itself.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{Response, StatusCode};
use countersign_enforce::BoxFuture;
use serde::Deserialize;

use crate::identity::{DoorRequest, read};
use crate::issuer::{Answer, respond};
use crate::problem::problem;

/// The longest id of a review, in bytes.
const ID_BYTES_MAX: usize = 64;

/// Which reviews.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewQuery {
    /// Also those that are over.
    #[serde(default)]
    pub all: bool,
    /// Only those that are older than this one.
    pub before: Option<String>,
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

impl ReviewVerb {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "approve" => Self::Approve,
            "deny" => Self::Deny,
            "comment" => Self::Comment,
            "withdraw" => Self::Withdraw,
            _ => return None,
        })
    }
}

/// Reviews as their doors need them.
pub trait ReviewDoors: Send + Sync {
    /// `GET /v1/reviews`: those that the caller may see, latest first.
    fn list(&self, request: DoorRequest, query: ReviewQuery) -> BoxFuture<'_, Answer>;

    /// `GET /v1/reviews/{id}`.
    fn show(&self, request: DoorRequest, id: String) -> BoxFuture<'_, Answer>;

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

type Doors = State<Arc<dyn ReviewDoors>>;

pub(crate) async fn list(State(doors): Doors, request: Request) -> Response<Body> {
    let Ok(Query(query)) = Query::<ReviewQuery>::try_from_uri(request.uri()) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "the query has `all`, `before`, `answered_by`, `since` and `until` (seconds), no more",
        );
    };
    match read("GET", "/v1/reviews", request).await {
        Ok(request) => respond(doors.list(request, query).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn show(State(doors): Doors, Path(id): Path<String>, request: Request) -> Response<Body> {
    if !is_id(&id) {
        return unknown();
    }
    match read("GET", &format!("/v1/reviews/{id}"), request).await {
        Ok(request) => respond(doors.show(request, id).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn act(
    State(doors): Doors,
    Path((id, verb)): Path<(String, String)>,
    request: Request,
) -> Response<Body> {
    let (true, Some(parsed)) = (is_id(&id), ReviewVerb::parse(&verb)) else { return unknown() };
    match read("POST", &format!("/v1/reviews/{id}/{verb}"), request).await {
        Ok(request) => respond(doors.act(request, id, parsed).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) fn is_id(id: &str) -> bool {
    !id.is_empty() && id.len() <= ID_BYTES_MAX && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

pub(crate) fn unknown() -> Response<Body> {
    problem(StatusCode::NOT_FOUND, "there is nothing at this path")
}
