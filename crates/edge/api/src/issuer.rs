//! The doors of the local issuer: requests in, answers out. The issuer itself lives elsewhere and is given by the binary.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use countersign_enforce::BoxFuture;
use countersign_model::Secret;

use crate::problem::problem;
use crate::serve::Peer;

/// The longest form that the token endpoint takes.
pub const TOKEN_FORM_BYTES_MAX: usize = 8 * 1024;

/// A request to the token endpoint. Header and body may hold a password, so that they are secrets.
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

    /// `POST /token`.
    fn token(&self, form: TokenForm) -> BoxFuture<'_, Answer>;
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
    let (parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().cloned() else {
        return problem(StatusCode::INTERNAL_SERVER_ERROR, "the peer is not known");
    };
    if !may_send_secrets(&peer) {
        return problem(StatusCode::FORBIDDEN, "this endpoint takes passwords: use https");
    }
    // A page in somebody's browser is no client of this endpoint.
    if parts.headers.contains_key(header::ORIGIN) {
        return problem(StatusCode::FORBIDDEN, "this endpoint is not for web pages");
    }
    let Ok(bytes) = axum::body::to_bytes(body, TOKEN_FORM_BYTES_MAX).await else {
        return problem(StatusCode::PAYLOAD_TOO_LARGE, "the form is too long, or its transfer broke off");
    };
    let text = |name| parts.headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok()).map(str::to_owned);
    let form = TokenForm {
        authorization: text(header::AUTHORIZATION).map(Secret::from),
        content_type: text(header::CONTENT_TYPE),
        body: Secret::new(bytes.to_vec()),
        source: peer.address.ip(),
    };
    respond(issuer.token(form).await)
}

/// Over TLS, or without leaving this machine.
pub(crate) fn may_send_secrets(peer: &Peer) -> bool {
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
}
