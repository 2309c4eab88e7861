//! The door of directories (SCIM 2.0): requests of identity providers in, answers out. What they mean lives elsewhere and is given by the binary.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Response, StatusCode, header};
use countersign_enforce::BoxFuture;
use countersign_model::Secret;

use crate::identity::single;
use crate::issuer::{Answer, may_send_secrets, respond};
use crate::problem::problem;
use crate::serve::Peer;

/// Where the door is.
pub const SCIM_PATH: &str = "/scim/v2";
/// The longest body that it takes, in bytes.
pub const SCIM_BODY_BYTES_MAX: usize = 256 * 1024;

/// A request of an identity provider.
#[derive(Debug)]
pub struct ScimCall {
    /// The method.
    pub method: String,
    /// The path behind [`SCIM_PATH`].
    pub path: String,
    /// The query.
    pub query: String,
    /// The `Authorization` header.
    pub authorization: Option<Secret>,
    /// The body, at most [`SCIM_BODY_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// Directories as their door needs them.
pub trait ScimDoors: Send + Sync {
    /// Answers a request.
    fn answer(&self, call: ScimCall) -> BoxFuture<'_, Answer>;
}

/// The door, to be routed.
#[derive(Clone)]
pub struct ScimDoor(pub Arc<dyn ScimDoors>);

impl fmt::Debug for ScimDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScimDoor")
    }
}

pub(crate) async fn scim(State(ScimDoor(doors)): State<ScimDoor>, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>() else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the peer is not known");
    };
    if !may_send_secrets(peer) {
        return problem(StatusCode::FORBIDDEN, "this endpoint takes tokens: use https");
    }
    // A page in somebody's browser keeps no directory.
    if parts.headers.contains_key(header::ORIGIN) {
        return problem(StatusCode::FORBIDDEN, "this endpoint is not for web pages");
    }
    let authorization = match single(&parts.headers, &header::AUTHORIZATION) {
        Ok(authorization) => authorization.map(Secret::from),
        Err((status, why)) => return problem(status, why),
    };
    let Ok(body) = axum::body::to_bytes(body, SCIM_BODY_BYTES_MAX).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or its transfer broke off");
    };
    let call = ScimCall {
        method: parts.method.to_string(),
        path: parts.uri.path().strip_prefix(SCIM_PATH).unwrap_or_default().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        authorization,
        body: body.to_vec(),
    };
    let answer = doors.answer(call).await;
    let unauthorized = answer.status == 401;
    let mut response = respond(answer);
    if unauthorized {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"scim\""));
    }
    response
}
