//! The doors of the local issuer: requests in, answers out. The issuer itself lives elsewhere and is given by the binary.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_enforce::BoxFuture;
use countersign_model::Secret;

use crate::problem::problem;
use crate::serve::Peer;

/// The longest form that the token endpoint takes.
pub const TOKEN_FORM_BYTES_MAX: usize = 8 * 1024;

/// The longest query that a page takes.
pub const PAGE_QUERY_BYTES_MAX: usize = 8 * 1024;

/// What a form of a program is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FormEndpoint {
    /// `POST /token`.
    Token,
    /// `POST /device_authorization` (RFC 8628).
    DeviceAuthorization,
    /// `POST /revoke` (RFC 7009).
    Revoke,
}

/// A page for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// `/authorize`: sign in for a program.
    Authorize,
    /// `/device`: sign in for a device.
    Device,
}

/// A request of a browser. What may hold a password or a code is a secret.
#[derive(Debug)]
pub struct PageForm {
    /// True for POST, false for GET.
    pub posted: bool,
    /// The query, at most [`PAGE_QUERY_BYTES_MAX`].
    pub query: Secret,
    /// The `Cookie` header.
    pub cookie: Option<Secret>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, at most [`TOKEN_FORM_BYTES_MAX`]; empty for GET.
    pub body: Secret,
    /// False when the browser says that a page of another origin sent it.
    pub same_origin: bool,
    /// Where it comes from.
    pub source: IpAddr,
}

/// A request of a program, such as to the token endpoint. Header and body may hold a password, so that they are secrets.
#[derive(Debug)]
pub struct TokenForm {
    /// The `Authorization` header.
    pub authorization: Option<Secret>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, at most [`TOKEN_FORM_BYTES_MAX`].
    pub body: Secret,
    /// Where it comes from.
    pub source: IpAddr,
}

/// What the issuer answers.
#[derive(Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
}

/// The body may hold a token.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

/// The issuer as its doors need it.
pub trait LocalIssuer: Send + Sync {
    /// `GET /.well-known/openid-configuration`.
    fn openid_configuration(&self) -> Answer;

    /// `GET /jwks.json`.
    fn jwks(&self) -> Answer;

    /// A form of a program.
    fn form(&self, endpoint: FormEndpoint, form: TokenForm) -> BoxFuture<'_, Answer>;

    /// A page, or what it sends. A page brings its own policy for contents and referrers.
    fn page(&self, page: Page, form: PageForm) -> BoxFuture<'_, Answer>;
}

/// Where the issuer's doors are.
#[derive(Clone)]
pub struct IssuerDoor {
    /// The path of its URL, such as `/idp`; empty for the root.
    pub path: String,
    /// The issuer.
    pub issuer: Arc<dyn LocalIssuer>,
}

impl fmt::Debug for IssuerDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IssuerDoor({})", self.path)
    }
}

pub(crate) async fn openid_configuration(State(issuer): State<Arc<dyn LocalIssuer>>) -> Response<Body> {
    respond(issuer.openid_configuration())
}

pub(crate) async fn jwks(State(issuer): State<Arc<dyn LocalIssuer>>) -> Response<Body> {
    respond(issuer.jwks())
}

pub(crate) async fn token(State(issuer): State<Arc<dyn LocalIssuer>>, request: Request) -> Response<Body> {
    form(issuer, FormEndpoint::Token, request).await
}

pub(crate) async fn device_authorization(
    State(issuer): State<Arc<dyn LocalIssuer>>,
    request: Request,
) -> Response<Body> {
    form(issuer, FormEndpoint::DeviceAuthorization, request).await
}

pub(crate) async fn revoke(State(issuer): State<Arc<dyn LocalIssuer>>, request: Request) -> Response<Body> {
    form(issuer, FormEndpoint::Revoke, request).await
}

pub(crate) async fn authorize(State(issuer): State<Arc<dyn LocalIssuer>>, request: Request) -> Response<Body> {
    page(issuer, Page::Authorize, request).await
}

pub(crate) async fn device(State(issuer): State<Arc<dyn LocalIssuer>>, request: Request) -> Response<Body> {
    page(issuer, Page::Device, request).await
}

async fn form(issuer: Arc<dyn LocalIssuer>, endpoint: FormEndpoint, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    // A page in somebody's browser is no client of these endpoints.
    if parts.headers.contains_key(header::ORIGIN) {
        return problem(StatusCode::FORBIDDEN, "this endpoint is not for web pages");
    }
    let (source, body) = match receive(&parts, body).await {
        Ok(received) => received,
        Err(refusal) => return *refusal,
    };
    let form = TokenForm {
        authorization: text(&parts.headers, header::AUTHORIZATION).map(Secret::from),
        content_type: text(&parts.headers, header::CONTENT_TYPE),
        body,
        source,
    };
    respond(issuer.form(endpoint, form).await)
}

async fn page(issuer: Arc<dyn LocalIssuer>, page: Page, request: Request) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().unwrap_or_default();
    if query.len() > PAGE_QUERY_BYTES_MAX {
        return problem(StatusCode::URI_TOO_LONG, "the query is too long");
    }
    let (source, body) = match receive(&parts, body).await {
        Ok(received) => received,
        Err(refusal) => return *refusal,
    };
    let form = PageForm {
        posted: parts.method == Method::POST,
        query: Secret::from(query.to_owned()),
        cookie: text(&parts.headers, header::COOKIE).map(Secret::from),
        content_type: text(&parts.headers, header::CONTENT_TYPE),
        body,
        same_origin: is_same_origin(&parts.headers),
        source,
    };
    respond(issuer.page(page, form).await)
}

/// The sender and the body, when passwords may come this way.
async fn receive(parts: &Parts, body: Body) -> Result<(IpAddr, Secret), Box<Response<Body>>> {
    let refuse = |status, why| Err(Box::new(problem(status, why)));
    let Some(peer) = parts.extensions.get::<Peer>() else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the peer is not known");
    };
    if !may_send_secrets(peer) {
        return refuse(StatusCode::FORBIDDEN, "this endpoint takes passwords: use https");
    }
    let Ok(bytes) = axum::body::to_bytes(body, TOKEN_FORM_BYTES_MAX).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long, or its transfer broke off");
    };
    Ok((peer.address.ip(), Secret::new(bytes.to_vec())))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_owned)
}

/// What the browser says of the page that sent this: `Sec-Fetch-Site` where it has that, else `Origin`.
pub fn is_same_origin(headers: &HeaderMap) -> bool {
    if let Some(site) = headers.get("sec-fetch-site") {
        return site == "same-origin" || site == "none";
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let authority = origin.to_str().ok().and_then(|o| o.split_once("://")).map(|(_, authority)| authority);
    authority.is_some() && authority == headers.get(header::HOST).and_then(|h| h.to_str().ok())
}

/// Over TLS, or without leaving this machine.
pub fn may_send_secrets(peer: &Peer) -> bool {
    peer.encrypted || peer.address.ip().to_canonical().is_loopback()
}

pub(crate) fn respond(answer: Answer) -> Response<Body> {
    let Ok(status) = StatusCode::from_u16(answer.status) else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the issuer gave no status");
    };
    let mut response = (status, answer.body).into_response();
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::from_str(&value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn passwords_come_over_tls_or_from_this_machine() {
        for (address, encrypted, fine) in [
            ("127.0.0.1:9", false, true),
            ("[::1]:9", false, true),
            ("[::ffff:127.0.0.1]:9", false, true),
            ("192.0.2.1:9", false, false),
            ("[2001:db8::1]:9", false, false),
            ("192.0.2.1:9", true, true),
        ] {
            let peer = Peer { address: address.parse().unwrap(), encrypted, certificate: Arc::default() };
            assert_eq!(may_send_secrets(&peer), fine, "{peer:?}");
        }
    }

    #[test]
    fn adv_079_a_browser_says_which_page_sent_a_form() {
        for (site, origin, fine) in [
            (Some("same-origin"), None, true),
            (Some("none"), None, true),
            (Some("same-site"), None, false),
            (Some("cross-site"), Some("https://gw.example"), false),
            (None, None, true),
            (None, Some("https://gw.example"), true),
            (None, Some("https://gw.example:444"), false),
            (None, Some("https://evil.example"), false),
            (None, Some("null"), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("gw.example"));
            for (name, value) in [("sec-fetch-site", site), ("origin", origin)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(is_same_origin(&headers), fine, "{site:?} {origin:?}");
        }
    }
}
