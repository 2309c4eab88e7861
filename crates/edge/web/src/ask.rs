//! How pages ask the API: as a client of the very router that serves everybody, for somebody who is known.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Extensions, HeaderValue, Method, Request, Response, StatusCode, header};
use countersign_api::{KnownCaller, Peer};
use countersign_model::Identity;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::facts::Facts;
use crate::shown::Shown;

/// The longest answer that a page is made of, in bytes.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What the API says no with.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    pub(crate) why: Shown,
    pub(crate) hint: Shown,
}

impl Refusal {
    /// Read from a problem.
    fn of(status: StatusCode, said: &Value) -> Self {
        let said = Facts::of(said);
        let why = said.at("detail").text();
        let why = if why.is_empty() { Shown::new(status.canonical_reason().unwrap_or("it was refused")) } else { why };
        Self { status: status.as_u16(), why, hint: said.at("hint").text() }
    }
}

fn failed(why: &str) -> Refusal {
    Refusal { status: 500, why: Shown::new(why), hint: Shown::default() }
}

/// The API, as one person asks it.
#[derive(Clone)]
pub(crate) struct Ask {
    pub(crate) api: Router,
    pub(crate) who: Arc<Identity>,
    pub(crate) peer: Peer,
}

impl Ask {
    pub(crate) async fn get(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Result<Value, Refusal> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Result<Value, Refusal> {
        self.send(Method::DELETE, path, None).await
    }

    /// A stream of events, after the last one that was heard.
    pub(crate) async fn events(&self, path: &str, last: Option<&HeaderValue>) -> Result<Body, Refusal> {
        let mut request = Request::get(path);
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = self.answer(request.body(Body::empty())).await?;
        if response.status().is_success() {
            return Ok(response.into_body());
        }
        let status = response.status();
        let said = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await.unwrap_or_default();
        Err(Refusal::of(status, &serde_json::from_slice(&said).unwrap_or(Value::Null)))
    }

    async fn answer(&self, request: Result<Request<Body>, axum::http::Error>) -> Result<Response<Body>, Refusal> {
        let mut request = request.map_err(|_| failed("internal error: the request cannot be made"))?;
        let mut extensions = Extensions::new();
        extensions.insert(self.peer.clone());
        extensions.insert(KnownCaller(self.who.clone()));
        *request.extensions_mut() = extensions;
        match self.api.clone().oneshot(request).await {
            Ok(response) => Ok(response),
            Err(never) => match never {},
        }
    }

    async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Refusal> {
        let mut request = Request::builder().method(method).uri(path);
        let body = match body {
            None => Body::empty(),
            Some(body) => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let response = self.answer(request.body(body)).await?;
        let status = response.status();
        let bytes = axum::body::to_bytes(response.into_body(), ANSWER_BYTES_MAX).await;
        let bytes = bytes.map_err(|_| failed("the answer is too long for a page: narrow what you ask for"))?;
        let said: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        // Readiness says with its status what its body says in detail.
        if status.is_success() || path == "/readyz" {
            return Ok(said);
        }
        Err(Refusal::of(status, &said))
    }
}
