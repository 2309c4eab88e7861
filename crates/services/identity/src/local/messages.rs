//! The requests that the doors of the local issuer take, and their replies, without a web server.
//!
//! Must never put a secret in a log or in a URL of ours, nor let an answer with a token be cached on its way.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::Secret;
use serde_json::{Value, json};

use crate::form::Form;

/// The longest form or query that is read, in bytes.
pub const FORM_BYTES_MAX: usize = 8 * 1024;

/// What to answer over HTTP.
#[derive(Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON, or a page.
    pub body: String,
}

/// The body may hold a token.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A request of a program: to the token, device authorization or revocation endpoint.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Where it comes from.
    pub source: IpAddr,
}

/// A request of a person's browser: to the sign-in page or the device page.
#[derive(Clone, Copy)]
pub struct PageRequest<'a> {
    /// True for POST, false for GET.
    pub posted: bool,
    /// The query, without its question mark.
    pub query: &'a str,
    /// The `Cookie` header.
    pub cookie: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// Whether the browser says that a page of this very server sent the form (`Sec-Fetch-Site`, else `Origin`); true when it says
    /// nothing.
    pub same_origin: bool,
    /// Where it comes from.
    pub source: IpAddr,
}

impl TokenRequest<'_> {
    /// The form that was sent, or what to answer instead.
    pub(super) fn form(&self) -> Result<Form, Reply> {
        let form = Form::of_body(self.content_type, self.body, FORM_BYTES_MAX);
        form.map_err(|why| Reply::error(400, "invalid_request", why))
    }
}

impl Reply {
    pub(super) fn document(body: String) -> Self {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "public, max-age=300".to_owned())];
        Self { status: 200, headers, body }
    }

    pub(crate) fn private(status: u16, body: &Value) -> Self {
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("pragma", "no-cache".to_owned()),
        ];
        Self { status, headers, body: body.to_string() }
    }

    /// RFC 6749, 5.2.
    pub(crate) fn error(status: u16, code: &str, description: &str) -> Self {
        Self::private(status, &json!({"error": code, "error_description": description}))
    }

    /// When the store or a key failed: the reason is for operators.
    pub(super) fn failed(fault: &super::LocalFault) -> Self {
        tracing::error!(%fault, "a sign-in could not go on");
        Self::error(503, "temporarily_unavailable", "this cannot be done now: try again in a minute")
    }

    pub(super) fn unauthorized(why: &str) -> Self {
        let mut reply = Self::error(401, "invalid_client", why);
        reply.headers.push(("www-authenticate", "Basic realm=\"countersign\", charset=\"UTF-8\"".to_owned()));
        reply
    }
}

/// The client's name and secret, from the header or from the form, but not from both. A public client has none.
pub(super) fn client_credentials(
    authorization: Option<&str>,
    form: &Form,
) -> Result<(String, Option<Secret>), &'static str> {
    match (authorization, form.get("client_id"), form.raw("client_secret")) {
        (Some(header), None, None) => {
            let malformed = "the Authorization header is not well-formed Basic";
            let (scheme, encoded) = header.split_once(' ').ok_or(malformed)?;
            if !scheme.eq_ignore_ascii_case("basic") {
                return Err("authenticate with Basic, or with client_id and client_secret");
            }
            let pair = STANDARD.decode(encoded.trim()).ok().and_then(|b| String::from_utf8(b).ok()).ok_or(malformed)?;
            let (name, secret) = pair.split_once(':').ok_or(malformed)?;
            Ok((form_decode(name)?, Some(Secret::from(form_decode(secret)?))))
        }
        (None, Some(name), secret) => Ok((name.to_owned(), secret.map(|s| Secret::from(s.to_owned())))),
        (None, None, _) => Err("client authentication is missing"),
        (Some(_), _, _) => Err("authenticate in one way only"),
    }
}

/// RFC 6749, 2.3.1: both halves are form-encoded before they are joined.
fn form_decode(s: &str) -> Result<String, &'static str> {
    let mut fields = form_urlencoded::parse(s.as_bytes());
    match (fields.next(), fields.next()) {
        (Some((name, value)), None) if value.is_empty() && !s.contains('=') => Ok(name.into_owned()),
        (None, _) => Ok(String::new()),
        _ => Err("the Authorization header is not well-formed Basic"),
    }
}
