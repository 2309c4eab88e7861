//! The doors of identity: exchange, renewal, logout, "who am I", and what a client needs to log in. What they mean lives elsewhere
//! and is given by the binary.
//!
//! A client certificate is what the TLS handshake of this very connection proved; no header is ever read for one.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use countersign_enforce::BoxFuture;
use countersign_model::{Identity, Secret};

use crate::issuer::{Answer, may_send_secrets, respond};
use crate::problem::problem;
use crate::serve::Peer;
use crate::v1::unidentified;

/// The longest body that these doors take: two tokens of 16 KiB, form-encoded, and a certificate request.
pub const IDENTITY_FORM_BYTES_MAX: usize = 64 * 1024;

/// The header of a proof of possession (RFC 9449, 4.1).
const DPOP: HeaderName = HeaderName::from_static("dpop");

/// A request to one of the doors. What may hold a token is a secret.
#[derive(Debug)]
pub struct DoorRequest {
    /// The method.
    pub method: &'static str,
    /// The path, without a query.
    pub path: String,
    /// The `Authorization` header.
    pub authorization: Option<Secret>,
    /// The `DPoP` header.
    pub dpop: Option<Secret>,
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The body, at most [`IDENTITY_FORM_BYTES_MAX`] where the operation takes no longer one; empty for GET.
    pub body: Secret,
    /// The client certificate whose key the TLS handshake proved: DER, the end-entity certificate first; empty when there is none.
    pub certificate: Vec<Bytes>,
    /// Where it comes from.
    pub source: SocketAddr,
    /// Who asks, where a page of this gateway asks for somebody it knows: then nothing else says who. No request from outside has it.
    pub known: Option<Arc<Identity>>,
}

/// Put on a request by the pages, for whom they ask.
#[derive(Clone, Debug)]
pub struct KnownCaller(pub Arc<Identity>);

/// Identity as its doors need it.
pub trait IdentityDoors: Send + Sync {
    /// `POST /v1/exchange` (RFC 8693): a token and a certificate request for a bound certificate.
    fn exchange(&self, request: DoorRequest) -> BoxFuture<'_, Answer>;

    /// `POST /v1/renew`: another certificate of the same login, for the holder of a valid one.
    fn renew(&self, request: DoorRequest) -> BoxFuture<'_, Answer>;

    /// `POST /v1/logout`: ends the login of the certificate.
    fn logout(&self, request: DoorRequest) -> BoxFuture<'_, Answer>;

    /// `GET /v1/whoami`: the identity as the gateway sees it.
    fn whoami(&self, request: DoorRequest) -> BoxFuture<'_, Answer>;

    /// `GET /v1/login`: what a client needs to log in. For everybody.
    fn login_facts(&self) -> Answer;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct IdentityDoor(pub Arc<dyn IdentityDoors>);

impl fmt::Debug for IdentityDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IdentityDoor")
    }
}

type Doors = State<Arc<dyn IdentityDoors>>;

pub(crate) async fn exchange(State(doors): Doors, request: Request) -> Response<Body> {
    match read("POST", "/v1/exchange", IDENTITY_FORM_BYTES_MAX, request).await {
        Ok(request) => respond(doors.exchange(request).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn renew(State(doors): Doors, request: Request) -> Response<Body> {
    match read("POST", "/v1/renew", IDENTITY_FORM_BYTES_MAX, request).await {
        Ok(request) => respond(doors.renew(request).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn logout(State(doors): Doors, request: Request) -> Response<Body> {
    match read("POST", "/v1/logout", IDENTITY_FORM_BYTES_MAX, request).await {
        Ok(request) => respond(doors.logout(request).await),
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn whoami(State(doors): Doors, request: Request) -> Response<Body> {
    match read("GET", "/v1/whoami", IDENTITY_FORM_BYTES_MAX, request).await {
        Ok(request) => {
            let answer = doors.whoami(request).await;
            if answer.status < 400 { respond(answer) } else { unidentified(answer).respond() }
        }
        Err((status, why)) => problem(status, why),
    }
}

pub(crate) async fn login_facts(State(doors): Doors) -> Response<Body> {
    respond(doors.login_facts())
}

/// Why a request does not reach its door.
pub(crate) type Refused = (StatusCode, &'static str);

/// Reads a request whose body has at most `body_bytes_max` bytes.
pub(crate) async fn read(
    method: &'static str,
    path: &str,
    body_bytes_max: usize,
    request: Request,
) -> Result<DoorRequest, Refused> {
    let (parts, body) = request.into_parts();
    let Some(peer) = parts.extensions.get::<Peer>().cloned() else {
        return Err((StatusCode::INTERNAL_SERVER_ERROR, "the peer is not known"));
    };
    if !may_send_secrets(&peer) {
        return Err((StatusCode::FORBIDDEN, "this endpoint takes tokens: use https"));
    }
    // A page in somebody's browser is no client of these doors; its certificate must not be used behind its back.
    if parts.headers.contains_key(header::ORIGIN) {
        return Err((StatusCode::FORBIDDEN, "this endpoint is not for web pages"));
    }
    let authorization = single(&parts.headers, &header::AUTHORIZATION)?.map(Secret::from);
    let dpop = single(&parts.headers, &DPOP)?.map(Secret::from);
    let content_type = single(&parts.headers, &header::CONTENT_TYPE)?;
    let Ok(body) = axum::body::to_bytes(body, body_bytes_max).await else {
        return Err((StatusCode::PAYLOAD_TOO_LARGE, "the body is too long, or its transfer broke off"));
    };
    Ok(DoorRequest {
        method,
        path: path.to_owned(),
        authorization,
        dpop,
        content_type,
        body: Secret::new(body.to_vec()),
        certificate: peer.certificate.to_vec(),
        source: peer.address,
        known: parts.extensions.get::<KnownCaller>().map(|k| k.0.clone()),
    })
}

/// The header's value; a header that is there twice, or is no text, could be read in two ways.
pub(crate) fn single(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, Refused> {
    let mut values = headers.get_all(name).iter();
    let text = |v: &HeaderValue| v.to_str().map(str::to_owned).ok();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => match text(value) {
            Some(text) => Ok(Some(text)),
            None => Err((StatusCode::BAD_REQUEST, "a header is not text")),
        },
        (Some(_), Some(_)) => Err((StatusCode::BAD_REQUEST, "a header is there twice")),
    }
}
