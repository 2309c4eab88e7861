//! Signing in by SAML 2.0: to the identity provider, and back with what it asserts.
//!
//! The answer is posted by a page of the identity provider, so that the browser sends no cookie with it. It is checked at once, and what it
//! says is kept for a moment; the browser is then sent to a page of this site with a name for it, and comes there with the cookie of
//! whoever began. Only then is it a login. What is kept is in the store: any gateway may be asked next. Must never sign anybody in by what
//! was posted alone.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_model::Secret;
use countersign_store::{ShortLivedAdded, ShortLivedRecord};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::console::Shared;
use crate::door::{self, PENDING_COOKIE, PENDING_MAX, PENDING_S};
use crate::facts::{Facts, encoded};
use crate::guard::{self, Fields, Instead};
use crate::people::SamlSignIn;
use crate::respond::{self, see_other};
use crate::sign_in::{PENDING_KIND, after, denied, fields, no, store_failed, troubled};

/// Under which kind requests that wait for an answer are in the store.
const REQUEST_KIND: &str = "console_saml_request";
/// Under which kind what was asserted waits for its browser.
const ANSWER_KIND: &str = "console_saml_answer";
/// How long it waits, in seconds: the browser is sent on at once.
const ANSWER_S: u64 = 60;
/// The longest form that is posted, in bytes: a response in base64, with `%` before every sign that needs it.
pub(crate) const POSTED_BYTES_MAX: usize = 512 * 1024;

/// Where answers of an identity provider come to.
fn acs(base: &str, label: &str) -> String {
    format!("{base}/console/saml/{}/acs", encoded(label))
}

/// `GET /console/saml/{label}/metadata`: the gateway, as the identity provider is to know it.
pub(crate) async fn metadata(State(console): State<Arc<Shared>>, Path(label): Path<String>) -> Response<Body> {
    let base = console.parts.bases.first().map(String::as_str).unwrap_or_default();
    let Some(text) = console.parts.people.saml_metadata(&label, &acs(base, &label)) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("application/samlmetadata+xml");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// `POST /console/saml/{label}/acs`: what the identity provider answers (SAML Bindings, 3.5).
pub(crate) async fn answered(
    State(console): State<Arc<Shared>>,
    Path(label): Path<String>,
    request: Request,
) -> Response<Body> {
    match console.saml_answered(&label, request).await {
        Ok(response) => response,
        Err(instead) => *instead,
    }
}

/// `GET /console/saml/finish`: the browser that began comes for what was asserted.
pub(crate) async fn finish(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match console.saml_finished(&parts).await {
        Ok(response) => response,
        Err(instead) => *instead,
    }
}

fn began() -> Instead {
    no("This sign-in was not begun in this browser, or it was begun too long ago.")
}

fn kept(added: Result<ShortLivedAdded, countersign_store::StoreError>) -> Result<(), Instead> {
    match added {
        Ok(ShortLivedAdded::Kept) => Ok(()),
        Ok(_) => Err(no("Too many people are signing in at this moment. Try again in a few minutes.")),
        Err(error) => Err(store_failed(&error)),
    }
}

impl Shared {
    /// To the identity provider. `base` is the usual address, because it is the only one that the identity provider knows.
    pub(crate) async fn saml_started(&self, base: &str, label: &str, next: &str) -> Result<Response<Body>, Instead> {
        let now = (self.parts.clock)();
        let secret = door::fresh();
        let ask = SamlSignIn {
            label: label.to_owned(),
            acs: acs(base, label),
            // An XML name does not begin with a digit.
            request: format!("_{}", door::derived(&secret, "request")),
            relay_state: door::derived(&secret, "state"),
        };
        let page = self.parts.people.saml_page(&ask).await.map_err(troubled)?;
        let store = &self.parts.store;
        let record = |content: Value| ShortLivedRecord {
            content: content.to_string(),
            expires_at: after(now, PENDING_S),
            consumed_at: None,
        };
        let began = record(json!({ "label": label, "next": next }));
        let name = door::derived(&secret, "name");
        kept(store.add_short_lived(PENDING_KIND, &name, &began, PENDING_MAX, now).await)?;
        let waits = record(json!({ "label": label, "acs": ask.acs, "request": ask.request }));
        kept(store.add_short_lived(REQUEST_KIND, &ask.relay_state, &waits, PENDING_MAX, now).await)?;
        let cookie = door::set(PENDING_COOKIE, secret.expose_str().unwrap_or_default(), PENDING_S);
        Ok(see_other(&page, &[cookie]))
    }

    async fn saml_answered(&self, label: &str, request: Request) -> Result<Response<Body>, Instead> {
        let (parts, body) = request.into_parts();
        let peer = guard::peer(&parts)?;
        let Ok(body) = axum::body::to_bytes(body, POSTED_BYTES_MAX).await else {
            return Err(no("What the identity provider sent is too long."));
        };
        let form = Fields::read(&body).unwrap_or_default();
        let relay_state = form.get("RelayState");
        let now = (self.parts.clock)();
        let store = &self.parts.store;
        let found = store.short_lived(REQUEST_KIND, relay_state).await.map_err(|e| store_failed(&e))?;
        let waits = found.filter(|w| w.consumed_at.is_none() && now < w.expires_at);
        let waits = waits.ok_or_else(|| no("Nobody asked for this sign-in, or it was begun too long ago."))?;
        let waits: Value = serde_json::from_str(&waits.content).unwrap_or_default();
        let waits = Facts::of(&waits);
        if waits.at("label").raw() != label {
            return Err(no("Another identity provider answered than was asked."));
        }
        let ask = SamlSignIn {
            label: label.to_owned(),
            acs: waits.at("acs").raw().to_owned(),
            request: waits.at("request").raw().to_owned(),
            relay_state: relay_state.to_owned(),
        };
        let asserted = self.parts.people.saml_answer(&ask, form.get("SAMLResponse"), peer.address).await;
        let asserted = asserted.map_err(|denial| denied(&denial))?;
        // One answer to one request.
        if !store.consume_short_lived(REQUEST_KIND, relay_state, now).await.map_err(|e| store_failed(&e))? {
            return Err(no("This sign-in was answered already."));
        }
        let handle = door::fresh();
        let content = json!({ "state": relay_state, "asserted": asserted }).to_string();
        let record = ShortLivedRecord { content, expires_at: after(now, ANSWER_S), consumed_at: None };
        kept(store.add_short_lived(ANSWER_KIND, &door::derived(&handle, "answer"), &record, PENDING_MAX, now).await)?;
        let to = format!("/console/saml/finish?answer={}", handle.expose_str().unwrap_or_default());
        Ok(see_other(&to, &[]))
    }

    async fn saml_finished(&self, parts: &Parts) -> Result<Response<Body>, Instead> {
        let peer = guard::peer(parts)?;
        let secret = door::cookie(&parts.headers, PENDING_COOKIE).map(Secret::from).ok_or_else(began)?;
        let handle = Secret::from(fields(parts).get("answer").to_owned());
        let answer = door::derived(&handle, "answer");
        let now = (self.parts.clock)();
        let store = &self.parts.store;
        let found = store.short_lived(ANSWER_KIND, &answer).await.map_err(|e| store_failed(&e))?.ok_or_else(began)?;
        let found: Value = serde_json::from_str(&found.content).unwrap_or_default();
        let found = Facts::of(&found);
        let state = door::derived(&secret, "state");
        if !bool::from(state.as_bytes().ct_eq(found.at("state").raw().as_bytes())) {
            return Err(began());
        }
        let name = door::derived(&secret, "name");
        let began_with =
            store.short_lived(PENDING_KIND, &name).await.map_err(|e| store_failed(&e))?.ok_or_else(began)?;
        for (kind, name) in [(PENDING_KIND, &name), (ANSWER_KIND, &answer)] {
            if !store.consume_short_lived(kind, name, now).await.map_err(|e| store_failed(&e))? {
                return Err(began());
            }
        }
        let fresh = door::fresh();
        let opened = self.parts.people.open_saml(found.at("asserted").raw(), &fresh, peer.address).await;
        let entered = opened.map_err(|denial| denied(&denial))?;
        let began_with: Value = serde_json::from_str(&began_with.content).unwrap_or_default();
        let next = Facts::of(&began_with).at("next").raw().to_owned();
        self.let_in(parts, &fresh, entered, peer.address, respond::next(&next), now).await
    }
}
