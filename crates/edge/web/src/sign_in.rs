//! Signing in: OpenID Connect's authorization code flow with PKCE at an issuer of the configuration, or a one-time link; and out. SAML is in
//! `saml`.
//!
//! A sign-in under way belongs to the browser that began it: `state`, `nonce` and the verifier are all derived from a secret in its
//! cookie, so that nobody can be made to finish somebody else's. A login begins with a secret of its own, and ends the one before.

use std::net::SocketAddr;
use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Response, StatusCode, header};
use countersign_model::{Culprit, Denial, Secret, Timestamp};
use countersign_store::{ShortLivedAdded, ShortLivedRecord};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use crate::assets;
use crate::console::Shared;
use crate::door::{self, COOKIE, PENDING_COOKIE, PENDING_MAX, PENDING_S};
use crate::facts::{Facts, encoded};
use crate::guard::{self, Changing, Fields, Instead, SEEN_KIND, later};
use crate::people::{Entered, SignInAnswer, SignInAsk, Trouble};
use crate::respond::{self, HOME, html, see_other, trouble};
use crate::shown::Shown;

pub(crate) const PENDING_KIND: &str = "console_sign_in";
/// The kind under which one-time links are in the store.
pub const LINK_KIND: &str = "console_link";
/// How long a one-time link is good, in seconds.
pub const LINK_S: u64 = 15 * 60;
/// Logins of browsers at one time; more are refused.
const SEEN_MAX: u32 = 100_000;
/// The longest code or error that comes back, in bytes.
const BACK_BYTES_MAX: usize = 4 * 1024;

/// Under which name the link with this code is in the store.
pub fn link_name(code: &Secret) -> String {
    door::derived(code, "link")
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    css: String,
    issuers: Vec<Choice>,
    over: bool,
}

struct Choice {
    label: Shown,
    url: Shown,
    href: String,
}

pub(crate) fn fields(parts: &Parts) -> Fields {
    Fields::read(parts.uri.query().unwrap_or_default().as_bytes()).unwrap_or_default()
}

/// `GET /console/sign-in`.
pub(crate) async fn show(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    if let Err(instead) = guard::peer(&parts) {
        return *instead;
    }
    let query = fields(&parts);
    let next = encoded(respond::next(query.get("next")));
    let issuers = console.parts.people.issuers().into_iter();
    let issuers = issuers.map(|i| Choice {
        href: format!("/console/sign-in/start?with={}&next={next}", encoded(&i.label)),
        label: Shown::new(&i.label),
        url: Shown::new(&i.url),
    });
    let page = SignInPage { css: assets::css(), issuers: issuers.collect(), over: query.get("over") == "true" };
    html(StatusCode::OK, &page)
}

/// `GET /console/sign-in/start`: to the issuer.
pub(crate) async fn start(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match console.started(&parts).await {
        Ok(response) => response,
        Err(instead) => *instead,
    }
}

/// `GET /console/callback`: back from the issuer.
pub(crate) async fn callback(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match console.came_back(&parts).await {
        Ok(response) => response,
        Err(instead) => *instead,
    }
}

/// `GET /console/enter`: a one-time link, on the gateway's own machine.
pub(crate) async fn enter(State(console): State<Arc<Shared>>, request: Request) -> Response<Body> {
    let (parts, _) = request.into_parts();
    match console.linked(&parts).await {
        Ok(response) => response,
        Err(instead) => *instead,
    }
}

/// `POST /console/sign-out`.
pub(crate) async fn sign_out(State(console): State<Arc<Shared>>, Changing { signed, .. }: Changing) -> Response<Body> {
    match console.parts.people.close(&signed.entered.login, "signed out").await {
        Ok(()) => see_other("/console/sign-in", &[door::unset(COOKIE)]),
        Err(denial) => {
            tracing::warn!(%denial, "a login of a browser could not be ended");
            later()
        }
    }
}

pub(crate) fn no(why: &str) -> Instead {
    Box::new(trouble(StatusCode::FORBIDDEN, "You are not signed in", why, "", true))
}

/// A refusal of somebody who tried to sign in. Operators are told the reason, of which the page may say little.
pub(crate) fn denied(denial: &Denial) -> Instead {
    let why = denial.detail.as_deref().unwrap_or(denial.message.as_str());
    tracing::warn!(why, "somebody was not signed in");
    match denial.culprit {
        Culprit::Us => Box::new(later()),
        _ => no(&denial.message.to_string()),
    }
}

pub(crate) fn troubled(Trouble(why): Trouble) -> Instead {
    no(&why)
}

pub(crate) fn store_failed(error: &countersign_store::StoreError) -> Instead {
    tracing::warn!(%error, "a sign-in could not be kept");
    Box::new(later())
}

impl Shared {
    /// The address that this browser uses, if it is one of ours.
    fn base(&self, parts: &Parts) -> Option<&str> {
        let host = parts.headers.get(header::HOST)?.to_str().ok()?;
        let fits = |base: &&String| base.split_once("://").is_some_and(|(_, authority)| authority == host);
        self.parts.bases.iter().find(fits).map(String::as_str)
    }

    async fn started(&self, parts: &Parts) -> Result<Response<Body>, Instead> {
        guard::peer(parts)?;
        let query = fields(parts);
        let next = respond::next(query.get("next"));
        let Some(base) = self.base(parts) else {
            // At an address that no issuer knows: from the usual one.
            let usual = self.parts.bases.first().map(String::as_str).unwrap_or_default();
            return Ok(see_other(&format!("{usual}/console/sign-in?next={}", encoded(next)), &[]));
        };
        let with = query.get("with");
        if self.parts.people.issuers().iter().any(|i| i.saml && i.label == with) {
            let usual = self.parts.bases.first().map(String::as_str).unwrap_or_default();
            if base != usual {
                let way = format!("{usual}/console/sign-in/start?with={}&next={}", encoded(with), encoded(next));
                return Ok(see_other(&way, &[]));
            }
            return self.saml_started(base, with, next).await;
        }
        let now = (self.parts.clock)();
        let secret = door::fresh();
        let verifier = door::derived(&secret, "verifier");
        let ask = SignInAsk {
            label: with.to_owned(),
            redirect_uri: format!("{base}/console/callback"),
            state: door::derived(&secret, "state"),
            nonce: door::derived(&secret, "nonce"),
            challenge: door::challenge(&verifier),
        };
        let page = self.parts.people.page(&ask).await.map_err(troubled)?;
        let content = json!({ "label": ask.label, "next": next, "redirect_uri": ask.redirect_uri }).to_string();
        let record = ShortLivedRecord { content, expires_at: after(now, PENDING_S), consumed_at: None };
        let name = door::derived(&secret, "name");
        match self.parts.store.add_short_lived(PENDING_KIND, &name, &record, PENDING_MAX, now).await {
            Ok(ShortLivedAdded::Kept) => {}
            Ok(_) => return Err(no("Too many people are signing in at this moment. Try again in a few minutes.")),
            Err(error) => return Err(store_failed(&error)),
        }
        let cookie = door::set(PENDING_COOKIE, secret.expose_str().unwrap_or_default(), PENDING_S);
        Ok(see_other(&page, &[cookie]))
    }

    async fn came_back(&self, parts: &Parts) -> Result<Response<Body>, Instead> {
        let peer = guard::peer(parts)?;
        let query = fields(parts);
        let began = || no("This sign-in was not begun in this browser, or it was begun too long ago.");
        let secret = door::cookie(&parts.headers, PENDING_COOKIE).map(Secret::from).ok_or_else(began)?;
        let state = door::derived(&secret, "state");
        if !bool::from(state.as_bytes().ct_eq(query.get("state").as_bytes())) {
            return Err(began());
        }
        let now = (self.parts.clock)();
        let name = door::derived(&secret, "name");
        let store = &self.parts.store;
        let kept = store.short_lived(PENDING_KIND, &name).await.map_err(|e| store_failed(&e))?.ok_or_else(began)?;
        if !store.consume_short_lived(PENDING_KIND, &name, now).await.map_err(|e| store_failed(&e))? {
            return Err(began());
        }
        let kept: Value = serde_json::from_str(&kept.content).unwrap_or_default();
        let kept = Facts::of(&kept);
        if query.get("code").is_empty() || query.get("code").len() > BACK_BYTES_MAX {
            let why = Shown::new(query.get("error")).cut(100);
            return Err(no(&format!("The issuer did not sign you in: {why}.")));
        }
        let answer = SignInAnswer {
            label: kept.at("label").raw().to_owned(),
            redirect_uri: kept.at("redirect_uri").raw().to_owned(),
            code: Secret::from(query.get("code").to_owned()),
            issuer: Some(query.get("iss").to_owned()).filter(|iss| !iss.is_empty()),
            nonce: door::derived(&secret, "nonce"),
            verifier: Secret::from(door::derived(&secret, "verifier")),
        };
        let token = self.parts.people.token(&answer).await.map_err(troubled)?;
        self.open(parts, &token, peer.address, respond::next(kept.at("next").raw()), now).await
    }

    async fn linked(&self, parts: &Parts) -> Result<Response<Body>, Instead> {
        let peer = guard::peer(parts)?;
        if !peer.address.ip().to_canonical().is_loopback() {
            return Err(no("One-time links are for the gateway's own machine."));
        }
        let now = (self.parts.clock)();
        let over = || no("This link was used already, or is too old. Whoever runs the gateway can make another.");
        let name = link_name(&Secret::from(fields(parts).get("code").to_owned()));
        let store = &self.parts.store;
        let kept = store.short_lived(LINK_KIND, &name).await.map_err(|e| store_failed(&e))?.ok_or_else(over)?;
        if !store.consume_short_lived(LINK_KIND, &name, now).await.map_err(|e| store_failed(&e))? {
            return Err(over());
        }
        let token = self.parts.people.linked(&kept.content).await.map_err(troubled)?;
        self.open(parts, &token, peer.address, HOME, now).await
    }

    /// A login with a new secret.
    async fn open(
        &self,
        parts: &Parts,
        token: &Secret,
        source: SocketAddr,
        next: &str,
        now: Timestamp,
    ) -> Result<Response<Body>, Instead> {
        let secret = door::fresh();
        let opened = self.parts.people.open(token, &secret, source).await;
        let entered = opened.map_err(|denial| denied(&denial))?;
        self.let_in(parts, &secret, entered, source, next, now).await
    }

    /// Gives a browser the cookie of its new login; the one before in this browser ends.
    pub(crate) async fn let_in(
        &self,
        parts: &Parts,
        secret: &Secret,
        entered: Entered,
        source: SocketAddr,
        next: &str,
        now: Timestamp,
    ) -> Result<Response<Body>, Instead> {
        let people = &self.parts.people;
        let record =
            ShortLivedRecord { content: now.unix_s().to_string(), expires_at: entered.expires_at, consumed_at: None };
        let noted = self.parts.store.add_short_lived(SEEN_KIND, &entered.login, &record, SEEN_MAX, now).await;
        if !matches!(noted, Ok(ShortLivedAdded::Kept)) {
            return Err(Box::new(later()));
        }
        if let Some(before) = door::ticket(&parts.headers)
            && people.find(&before.login, &before.secret, source).await.is_ok()
            && let Err(denial) = people.close(&before.login, "signed in again").await
        {
            tracing::warn!(%denial, "the login before could not be ended");
        }
        let left_s = entered.expires_at.since_us(now) / 1_000_000;
        let value = format!("{}.{}", entered.login, secret.expose_str().unwrap_or_default());
        Ok(see_other(next, &[door::set(COOKIE, &value, left_s), door::unset(PENDING_COOKIE)]))
    }
}

pub(crate) fn after(now: Timestamp, seconds: u64) -> Timestamp {
    let us = i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000);
    Timestamp::from_unix_us(now.unix_us().saturating_add(us))
}
