//! The doors of grants: requests for access, what became of them, their end. What they mean lives elsewhere and is given by the binary.
//!
//! Whoever asks is known by the same credentials as at `whoami`; what they may ask for follows from the rules, and what they see and end from
//! the grant itself.

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
use crate::reviews::{is_id, unknown};

/// Which grants.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantQuery {
    /// Also those that are over.
    #[serde(default)]
    pub all: bool,
    /// Everybody's: for those whom policy lets `grants.list`.
    #[serde(default)]
    pub everybody: bool,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// Only those that somebody approved: a name, or `ISSUER#SUBJECT`.
    pub answered_by: Option<String>,
    /// With `answered_by`: not before this time, in seconds since the Unix epoch.
    pub since: Option<i64>,
    /// With `answered_by`: before this time.
    pub until: Option<i64>,
}

/// What is asked of a door.
#[derive(Clone, Debug)]
pub enum GrantCall {
    /// `GET /v1/grants`: those that the caller may see, latest first.
    List(GrantQuery),
    /// `POST /v1/grants`: a request.
    Request,
    /// `GET /v1/grants/{id}`.
    Show(String),
    /// `POST /v1/grants/{id}/revoke`.
    Revoke(String),
    /// `POST /v1/grants/revoke`: those that somebody approved in a window of time.
    RevokeWindow,
}

/// Grants as their doors need them.
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

type Doors = State<Arc<dyn GrantDoors>>;

async fn pass(
    doors: &dyn GrantDoors,
    method: &'static str,
    path: &str,
    request: Request,
    call: GrantCall,
) -> Response<Body> {
    match read(method, path, request).await {
        Ok(request) => respond(doors.serve(request, call).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn list(State(doors): Doors, request: Request) -> Response<Body> {
    let Ok(Query(query)) = Query::<GrantQuery>::try_from_uri(request.uri()) else {
        return problem(
            StatusCode::BAD_REQUEST,
            "the query has `all`, `everybody`, `before`, `answered_by`, `since` and `until` (seconds), no more",
        );
    };
    pass(&*doors, "GET", "/v1/grants", request, GrantCall::List(query)).await
}

pub(crate) async fn ask(State(doors): Doors, request: Request) -> Response<Body> {
    pass(&*doors, "POST", "/v1/grants", request, GrantCall::Request).await
}

pub(crate) async fn show(State(doors): Doors, Path(id): Path<String>, request: Request) -> Response<Body> {
    if !is_id(&id) {
        return unknown();
    }
    pass(&*doors, "GET", &format!("/v1/grants/{id}"), request, GrantCall::Show(id)).await
}

pub(crate) async fn revoke(State(doors): Doors, Path(id): Path<String>, request: Request) -> Response<Body> {
    if !is_id(&id) {
        return unknown();
    }
    pass(&*doors, "POST", &format!("/v1/grants/{id}/revoke"), request, GrantCall::Revoke(id)).await
}

pub(crate) async fn revoke_window(State(doors): Doors, request: Request) -> Response<Body> {
    pass(&*doors, "POST", "/v1/grants/revoke", request, GrantCall::RevokeWindow).await
}
