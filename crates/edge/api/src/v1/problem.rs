//! Why an operation was not done, as `application/problem+json` (RFC 9457).

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_locks::LockError;
use countersign_model::{Culprit, Denial};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// Which kind of problem; `about:blank` where the status says it all.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status in words.
    pub title: String,
    /// The status code.
    pub status: u16,
    /// What is wrong, for people.
    pub detail: String,
    /// What could be done about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            hint: None,
        }
    }

    /// A problem with this status, as somebody else found it.
    pub fn with_status(status: u16, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), detail)
    }

    /// The request makes no sense.
    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// What it is about is not there.
    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// It does not fit what is there.
    pub(crate) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// It cannot be told now.
    pub(crate) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail)
    }

    pub(crate) fn respond(&self) -> Response<Body> {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_string(self).unwrap_or_default();
        let mut response = (status, body).into_response();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response
    }
}

/// What the client reads of it, no more.
impl From<&Denial> for Problem {
    fn from(d: &Denial) -> Self {
        let status = if d.culprit == Culprit::Us { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::FORBIDDEN };
        Self { hint: d.hint.as_ref().map(ToString::to_string), ..Self::new(status, d.message.to_string()) }
    }
}

impl From<LockError> for Problem {
    fn from(e: LockError) -> Self {
        match &e {
            LockError::Invalid(_) => Self::bad_request(e.to_string()),
            LockError::NotFound(_) => Self::not_found(e.to_string()),
            LockError::Over(_) => Self::conflict(e.to_string()),
            LockError::Store(fault) => {
                tracing::warn!(error = %fault, "an operation on locks failed");
                Self::unavailable("the store cannot do it now: try again")
            }
        }
    }
}
