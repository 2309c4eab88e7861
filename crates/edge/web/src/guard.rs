//! Who asks for a page, and whether a change came from a form of ours. Every page begins here.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_api::{Peer, is_same_origin, may_send_secrets};
use countersign_model::{Culprit, Denial, DenialCode, Secret, Timestamp};
use subtle::ConstantTimeEq as _;

use crate::ask::Ask;
use crate::console::Shared;
use crate::door::{self, COOKIE, IDLE_S};
use crate::events;
use crate::facts::encoded;
use crate::pages::applied::EDITED_BYTES_MAX;
use crate::people::Entered;
use crate::respond::{self, HOME, see_other, trouble};

/// The longest form, in bytes: a file that is changed in one, whose characters are up to three each in a form. And the most of its fields.
const FORM_BYTES_MAX: usize = 4 * EDITED_BYTES_MAX;
const FORM_FIELDS_MAX: usize = 64;
/// How often, in seconds, it is noted that somebody is still there.
const SEEN_S: u64 = 60;
/// Under which kind it is noted in the store.
pub(crate) const SEEN_KIND: &str = "console_seen";

/// Somebody who is signed in asks for something.
pub(crate) struct Signed {
    pub(crate) entered: Entered,
    pub(crate) ask: Ask,
    /// What forms of theirs carry.
    pub(crate) csrf: String,
    pub(crate) now: Timestamp,
    pub(crate) query: Fields,
}

/// Somebody who is signed in changes something, by a form of ours.
pub(crate) struct Changing {
    pub(crate) signed: Signed,
    pub(crate) form: Fields,
}

impl FromRequestParts<Arc<Shared>> for Signed {
    type Rejection = Response<Body>;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Shared>) -> Result<Self, Response<Body>> {
        console.signed(parts).await.map_err(|instead| *instead)
    }
}

impl FromRequest<Arc<Shared>> for Changing {
    type Rejection = Response<Body>;

    async fn from_request(request: Request, console: &Arc<Shared>) -> Result<Self, Response<Body>> {
        console.changing(request).await.map_err(|instead| *instead)
    }
}

/// Fields of a form or a query, each at most once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields(Vec<(String, String)>);

impl Fields {
    /// Reads them; `None` when one is there twice, or there are too many.
    pub(crate) fn read(text: &[u8]) -> Option<Self> {
        let mut all: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(text) {
            if all.len() == FORM_FIELDS_MAX || all.iter().any(|(known, _)| *known == name) {
                return None;
            }
            all.push((name.into_owned(), value.into_owned()));
        }
        Some(Self(all))
    }

    /// A field without the space around it; empty when it is not there.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim()).unwrap_or_default()
    }
}

/// An answer instead of a page.
pub(crate) type Instead = Box<Response<Body>>;

/// The other end, if what it sends stays between us.
pub(crate) fn peer(parts: &Parts) -> Result<Peer, Instead> {
    let Some(peer) = parts.extensions.get::<Peer>() else {
        return Err(Box::new((StatusCode::INTERNAL_SERVER_ERROR, "the peer is not known").into_response()));
    };
    if !may_send_secrets(peer) {
        let why = "The console is reached over https, or from the gateway's own machine.";
        return Err(Box::new(trouble(StatusCode::FORBIDDEN, "Not over an open wire", why, "", false)));
    }
    Ok(peer.clone())
}

impl Shared {
    /// Whoever the cookie names, or the way to sign in.
    pub(crate) async fn signed(&self, parts: &Parts) -> Result<Signed, Instead> {
        let peer = peer(parts)?;
        // A page of another site may send somebody here, but not load from here.
        let navigates = parts.headers.get("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let visits = navigates && parts.method == Method::GET;
        if !visits && !is_same_origin(&parts.headers) {
            return Err(Box::new(foreign()));
        }
        let now = (self.parts.clock)();
        let Some(ticket) = door::ticket(&parts.headers) else { return Err(Box::new(way_in(parts, false))) };
        let entered = match self.parts.people.find(&ticket.login, &ticket.secret, peer.address).await {
            Ok(entered) => entered,
            Err(denial) if denial.code == DenialCode::Locked => return Err(Box::new(locked_out(&denial))),
            Err(denial) if denial.culprit == Culprit::Us => return Err(Box::new(not_now(&denial))),
            Err(_) => return Err(Box::new(way_in(parts, true))),
        };
        // What a page asks by itself does not show that anybody is there.
        let by_itself = parts.headers.contains_key("hx-request") || events::is_asked_by(&parts.headers);
        match self.is_awake(&entered.login, !by_itself, now).await {
            Ok(true) => {}
            Ok(false) => {
                if let Err(denial) = self.parts.people.close(&entered.login, "nobody was there").await {
                    tracing::warn!(%denial, "an idle login of a browser could not be ended");
                }
                return Err(Box::new(way_in(parts, true)));
            }
            Err(unknown) => return Err(unknown),
        }
        let Some(query) = Fields::read(parts.uri.query().unwrap_or_default().as_bytes()) else {
            return Err(Box::new(unreadable()));
        };
        let ask = Ask { api: self.api.clone(), who: entered.identity.clone(), peer };
        Ok(Signed { csrf: csrf(&ticket.secret), entered, ask, now, query })
    }

    /// The same of somebody who changes something: the form is ours, and was sent from this site.
    async fn changing(&self, request: Request) -> Result<Changing, Instead> {
        let (parts, body) = request.into_parts();
        if !is_same_origin(&parts.headers) {
            return Err(Box::new(foreign()));
        }
        let signed = self.signed(&parts).await?;
        let is_form = parts
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|t| t.to_str().ok())
            .is_some_and(|t| t.split(';').next().is_some_and(|t| t.trim() == "application/x-www-form-urlencoded"));
        let Ok(body) = axum::body::to_bytes(body, FORM_BYTES_MAX).await else { return Err(Box::new(unreadable())) };
        let form = Fields::read(&body).filter(|_| is_form);
        let Some(form) = form else { return Err(Box::new(unreadable())) };
        if !bool::from(form.get("csrf").as_bytes().ct_eq(signed.csrf.as_bytes())) {
            return Err(Box::new(foreign()));
        }
        Ok(Changing { signed, form })
    }

    /// Whether somebody has been there lately.
    async fn is_awake(&self, login: &str, note: bool, now: Timestamp) -> Result<bool, Instead> {
        let store = &self.parts.store;
        let seen = store.short_lived(SEEN_KIND, login).await.map_err(|error| {
            tracing::warn!(%error, "the store cannot say when somebody was last seen");
            Box::new(later())
        })?;
        let Some(seen) = seen.filter(|s| s.consumed_at.is_none() && now < s.expires_at) else { return Ok(false) };
        let at = seen.content.parse::<i64>().ok().map(Timestamp::from_unix_s);
        let ago = at.map_or(u64::MAX, |at| now.since_us(at) / 1_000_000);
        if ago > IDLE_S {
            return Ok(false);
        }
        if note && ago >= SEEN_S {
            let noted = now.unix_s().to_string();
            if let Err(error) = store.replace_short_lived(SEEN_KIND, login, &seen.content, &noted, now).await {
                tracing::warn!(%error, "it could not be noted that somebody is there");
            }
        }
        Ok(true)
    }
}

/// What forms carry: no other site knows it.
pub(crate) fn csrf(secret: &Secret) -> String {
    door::derived(secret, "csrf")
}

/// To the sign-in, and from there back to where they wanted to.
fn way_in(parts: &Parts, over: bool) -> Response<Body> {
    let wanted = match parts.uri.path_and_query() {
        Some(path) if parts.method == Method::GET => respond::next(path.as_str()),
        _ => HOME,
    };
    let to = format!("/console/sign-in?next={}{}", encoded(wanted), if over { "&over=true" } else { "" });
    let cookies = if over { vec![door::unset(COOKIE)] } else { Vec::new() };
    let mut response = see_other(&to, &cookies);
    if parts.headers.contains_key("hx-request") {
        // A part of a page cannot show the sign-in: the whole page goes there.
        *response.status_mut() = StatusCode::OK;
        if let Some(location) = response.headers_mut().remove(header::LOCATION) {
            response.headers_mut().insert("hx-redirect", location);
        }
    }
    response
}

pub(crate) fn foreign() -> Response<Body> {
    let why = "This did not come from a page of this console, or the page is from before you signed in.";
    trouble(StatusCode::FORBIDDEN, "Not from here", why, "Go back, load the page again, and try once more.", false)
}

fn unreadable() -> Response<Body> {
    trouble(
        StatusCode::BAD_REQUEST,
        "That cannot be read",
        "The form or the address is not as this console makes it.",
        "",
        false,
    )
}

fn locked_out(denial: &Denial) -> Response<Body> {
    let hint = denial.hint.as_ref().map(ToString::to_string).unwrap_or_default();
    trouble(StatusCode::FORBIDDEN, "You are locked out", &denial.message.to_string(), &hint, false)
}

fn not_now(denial: &Denial) -> Response<Body> {
    tracing::warn!(%denial, "nobody can say who is signed in");
    later()
}

pub(crate) fn later() -> Response<Body> {
    let why = "The gateway cannot tell now who is signed in.";
    trouble(StatusCode::SERVICE_UNAVAILABLE, "Not now", why, "Try again in a moment.", false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_there_once() {
        let form = Fields::read(b"a=1&b=+x+&c=%3Cscript%3E").unwrap();
        assert_eq!((form.get("a"), form.get("b"), form.get("c"), form.get("d")), ("1", "x", "<script>", ""));
        assert!(Fields::read(b"a=1&a=2").is_none());
        let many = |n: usize| (0..n).map(|i| format!("f{i}=1")).collect::<Vec<_>>().join("&");
        assert!(Fields::read(many(FORM_FIELDS_MAX).as_bytes()).is_some());
        assert!(Fields::read(many(FORM_FIELDS_MAX + 1).as_bytes()).is_none());
    }
}
