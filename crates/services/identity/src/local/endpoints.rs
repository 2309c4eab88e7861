//! The local issuer's documents and its token endpoint, without a web server: text in, text out.
//!
//! Must never put a secret in a log or in a URL, nor let a token be cached on its way.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{IdentityKind, Secret, Timestamp};
use serde_json::{Value, json};

use super::accounts::LoginFailure;
use super::issuer::LocalIssuer;

/// The longest form that the token endpoint reads, in bytes.
pub const FORM_BYTES_MAX: usize = 8 * 1024;
/// The most fields of such a form.
const FORM_FIELDS_MAX: usize = 16;

/// What to answer over HTTP.
#[derive(Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body: JSON.
    pub body: String,
}

/// The body may hold a token.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reply").field("status", &self.status).finish_non_exhaustive()
    }
}

/// A request to the token endpoint.
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

impl Reply {
    fn document(body: String) -> Self {
        let headers =
            vec![("content-type", "application/json".to_owned()), ("cache-control", "public, max-age=300".to_owned())];
        Self { status: 200, headers, body }
    }

    fn private(status: u16, body: &Value) -> Self {
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("pragma", "no-cache".to_owned()),
        ];
        Self { status, headers, body: body.to_string() }
    }

    fn error(status: u16, code: &str, description: &str) -> Self {
        Self::private(status, &json!({"error": code, "error_description": description}))
    }
}

impl LocalIssuer {
    /// `GET {issuer}/.well-known/openid-configuration`.
    pub fn openid_configuration(&self) -> Reply {
        let base = self.config.issuer.trim_end_matches('/');
        let document = json!({
            "issuer": self.config.issuer,
            "jwks_uri": format!("{base}/jwks.json"),
            "token_endpoint": format!("{base}/token"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "claims_supported": ["sub", "preferred_username", "groups", "kind"],
        });
        Reply::document(document.to_string())
    }

    /// `GET {issuer}/jwks.json`.
    pub fn jwks(&self) -> Reply {
        Reply::document(self.jwks_text())
    }

    /// `POST {issuer}/token`: the client credentials grant (RFC 6749, 4.4), for accounts of machines and agents.
    pub async fn token(&self, request: TokenRequest<'_>, now: Timestamp) -> Reply {
        let form = match read_form(&request) {
            Ok(form) => form,
            Err(why) => return Reply::error(400, "invalid_request", why),
        };
        let field = |name: &str| form.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str());
        match field("grant_type") {
            Some("client_credentials") => {}
            Some(_) => return Reply::error(400, "unsupported_grant_type", "only client_credentials is supported"),
            None => return Reply::error(400, "invalid_request", "grant_type is missing"),
        }
        for name in ["audience", "resource"] {
            if field(name).is_some_and(|a| a != self.config.audience) {
                return Reply::error(400, "invalid_target", "tokens are for this gateway only");
            }
        }
        let (name, secret) = match credentials(request.authorization, field("client_id"), field("client_secret")) {
            Ok(credentials) => credentials,
            Err(why) => return unauthorized(why),
        };
        let Some(door) = &self.door else { return unauthorized("this issuer has no accounts") };
        let account = match door.login(&name, secret, request.source, now).await {
            Ok(account) => account,
            Err(failure) => return refused(&failure, &name, request.source),
        };
        if account.kind == IdentityKind::Human {
            let what = "people do not log in this way: ask an operator for `countersign token`";
            return Reply::error(400, "unauthorized_client", what);
        }
        match self.mint_for(&account, None, now) {
            Ok(token) => {
                let token = token.expose_str().unwrap_or_default();
                let expires_in = self.config.token_lifetime_s;
                Reply::private(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}))
            }
            Err(fault) => {
                tracing::error!(%fault, "a token could not be made");
                Reply::error(500, "server_error", "the token could not be made")
            }
        }
    }
}

fn refused(failure: &LoginFailure, name: &str, source: IpAddr) -> Reply {
    tracing::info!(account = %crate::token::shown(name), %source, ?failure, "a login failed");
    match failure {
        LoginFailure::Wrong => unauthorized("the client is unknown or its secret is wrong"),
        LoginFailure::TooMany { wait_s } => {
            let mut reply = Reply::error(429, "invalid_client", "too many failed attempts");
            reply.headers.push(("retry-after", wait_s.to_string()));
            reply
        }
        LoginFailure::Busy => Reply::error(503, "temporarily_unavailable", "too many logins at once"),
        LoginFailure::Store(_) => Reply::error(503, "temporarily_unavailable", "accounts cannot be read now"),
    }
}

fn unauthorized(why: &str) -> Reply {
    let mut reply = Reply::error(401, "invalid_client", why);
    reply.headers.push(("www-authenticate", "Basic realm=\"countersign\", charset=\"UTF-8\"".to_owned()));
    reply
}

fn read_form(request: &TokenRequest<'_>) -> Result<Vec<(String, String)>, &'static str> {
    let content_type = request.content_type.unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        return Err("the body must be application/x-www-form-urlencoded");
    }
    if request.body.len() > FORM_BYTES_MAX {
        return Err("the body is too long");
    }
    let mut form: Vec<(String, String)> = Vec::new();
    for (name, value) in form_urlencoded::parse(request.body) {
        if form.len() >= FORM_FIELDS_MAX {
            return Err("the form has too many fields");
        }
        if form.iter().any(|(k, _)| *k == name) {
            return Err("a field is there twice");
        }
        form.push((name.into_owned(), value.into_owned()));
    }
    Ok(form)
}

/// The client's name and secret, from the header or from the form, but not from both.
fn credentials(
    authorization: Option<&str>,
    client_id: Option<&str>,
    client_secret: Option<&str>,
) -> Result<(String, Secret), &'static str> {
    match (authorization, client_id, client_secret) {
        (Some(header), None, None) => {
            let malformed = "the Authorization header is not well-formed Basic";
            let (scheme, encoded) = header.split_once(' ').ok_or(malformed)?;
            if !scheme.eq_ignore_ascii_case("basic") {
                return Err("authenticate with Basic, or with client_id and client_secret");
            }
            let pair = STANDARD.decode(encoded.trim()).ok().and_then(|b| String::from_utf8(b).ok()).ok_or(malformed)?;
            let (name, secret) = pair.split_once(':').ok_or(malformed)?;
            Ok((form_decode(name)?, Secret::from(form_decode(secret)?)))
        }
        (None, Some(name), Some(secret)) => Ok((name.to_owned(), Secret::from(secret.to_owned()))),
        (None, _, _) => Err("client authentication is missing"),
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
