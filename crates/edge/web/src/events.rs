//! What tells an open page that something changed: the API's own stream of events, as whoever is signed in may hear it.
//!
//! It must never be heard by a page of another site, nor go on for somebody who was signed out, locked out or not there for too long; nor
//! count as somebody who is there.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, BodyDataStream, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_api::is_same_origin;
use futures_util::{StreamExt as _, stream};

use crate::console::Shared;
use crate::guard::foreign;
use crate::pages::is_id;

/// What a browser's `EventSource` accepts, and nothing that it navigates to.
const EVENTS: &str = "text/event-stream";
/// Said last to somebody who may not hear more: the page is asked for anew, and says why.
const OVER: &[u8] = b"event: over\ndata: {}\n\n";

/// Whether a script of a page asks for events.
pub(crate) fn is_asked_by(headers: &HeaderMap) -> bool {
    headers.get(header::ACCEPT).is_some_and(|accept| accept == EVENTS)
}

/// One page's stream.
struct Watched {
    console: Arc<Shared>,
    /// The request that it began with: whose cookie it was.
    parts: Parts,
    events: BodyDataStream,
    over: bool,
}

impl Watched {
    /// What is said next; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        // The API gives a sign of life every few seconds, so that it is never long until it is asked again who is there.
        let Some(Ok(said)) = self.events.next().await else { return None };
        if self.console.signed(&self.parts).await.is_err() {
            self.over = true;
            return Some(Bytes::from_static(OVER));
        }
        Some(said)
    }
}

/// `GET /console/events`, with `?session=ID` also that the record of this session grows.
pub(crate) async fn watch(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    // A window of another site may be sent to a page, but not here: it would take places for nothing.
    if !is_asked_by(&parts.headers) || !is_same_origin(&parts.headers) {
        return foreign();
    }
    let signed = match console.signed(&parts).await {
        Ok(signed) => signed,
        Err(instead) => return *instead,
    };
    let session = signed.query.get("session");
    let query = if is_id(session) { format!("?session={session}") } else { String::new() };
    let last = parts.headers.get("last-event-id");
    let events = match signed.ask.events(&format!("/v1/events{query}"), last).await {
        Ok(events) => events,
        Err(no) => {
            let status = StatusCode::from_u16(no.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            return (status, no.why.to_string()).into_response();
        }
    };
    let watched = Watched { console, parts, events: events.into_data_stream(), over: false };
    let said = stream::unfold(watched, |mut watched| async move {
        let said = watched.next().await?;
        Some((Ok::<_, Infallible>(said), watched))
    });
    let mut response = Response::new(Body::from_stream(said));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(EVENTS));
    response
}
