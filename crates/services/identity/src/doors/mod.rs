//! What is asked over HTTP, without a web server: text in, text out. Exchange (RFC 8693), renewal, logout, "who am I".
//!
//! Errors are those of RFC 6749, 5.2. Must never put a token in a log or an answer that may be cached, nor tell more than the bearer of
//! a token may know.

mod browser;
mod exchange;
mod sessions;

use std::net::SocketAddr;

use bytes::Bytes;
use countersign_model::{Denial, Identity, Timestamp};
use serde_json::{Map, Value, json};

use crate::certificate::IdentityAuthority;
use crate::local::Reply;
use crate::service::{IdentityService, claimed};
use crate::{Rejection, dpop};

pub use browser::{BROWSER_SECRET_BYTES_MIN, BrowserLogin};
pub use exchange::{LOGIN_LIFETIME_S_MAX, TOKEN_TYPE_X509};

/// The longest form that the doors read, in bytes: two tokens and a certificate request.
pub const EXCHANGE_FORM_BYTES_MAX: usize = 64 * 1024;

/// A request.
#[derive(Clone, Copy)]
pub struct DoorRequest<'a> {
    /// The method.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
    /// The `Content-Type` header.
    pub content_type: Option<&'a str>,
    /// The body.
    pub body: &'a [u8],
    /// The client certificate whose key the TLS handshake proved: DER, the end-entity certificate first; empty when there is none.
    pub certificate: &'a [Bytes],
    /// Where it comes from.
    pub source: SocketAddr,
}

/// Why a request was not granted.
enum No {
    /// It is not as it must be: the error's code, and what is wrong.
    Malformed(&'static str, &'static str),
    /// There is no credential, or none of a kind that is taken; and which of both.
    Missing(&'static str),
    /// A credential was refused; and whose it claims to be.
    Refused(Rejection, String),
}

impl No {
    fn request(why: &'static str) -> Self {
        Self::Malformed("invalid_request", why)
    }

    fn certificate(chain: &[Bytes]) -> impl Fn(Rejection) -> Self {
        move |rejection| Self::Refused(rejection, IdentityAuthority::claimed(chain))
    }

    fn token(token: &str) -> impl Fn(Rejection) -> Self {
        move |rejection| Self::Refused(rejection, claimed(token))
    }
}

/// What is accepted where the request has no credential that is good.
const CHALLENGE: &str = "Bearer realm=\"countersign\"";

impl IdentityService {
    /// Every address of a path, as proofs of possession may name it.
    fn urls(&self, path: &str) -> Vec<String> {
        let config = self.config();
        let urls = config.urls.iter();
        urls.filter_map(|base| dpop::normal_url(&format!("{}{path}", base.trim_end_matches('/')))).collect()
    }

    /// The error, logged and alarmed where it should be. `code` is what a refused credential is called at this door.
    fn say_no(&self, no: No, door: &'static str, code: &'static str, source: SocketAddr, now: Timestamp) -> Reply {
        let (rejection, about) = match no {
            No::Malformed(code, why) => return Reply::error(400, code, why),
            No::Missing(why) => return challenged(Reply::error(401, "invalid_request", why), CHALLENGE),
            No::Refused(rejection, about) => (rejection, about),
        };
        let denial = self.say_denied(&rejection, &about, door, source, now);
        let said = match &denial.hint {
            Some(hint) => format!("{}. {hint}", denial.message),
            None => denial.message.to_string(),
        };
        if rejection.is_ours() {
            return Reply::error(503, "temporarily_unavailable", &said);
        }
        if code != "invalid_token" {
            return Reply::error(400, code, &said);
        }
        let challenge = format!("{CHALLENGE}, error=\"{code}\"");
        challenged(Reply::error(401, code, &said), &challenge)
    }
}

impl IdentityService {
    /// The answer to whoever came to the API with a credential that is refused.
    pub(crate) fn refused_at_api(
        &self,
        rejection: Rejection,
        about: String,
        source: SocketAddr,
        now: Timestamp,
    ) -> Reply {
        self.say_no(No::Refused(rejection, about), "api", "invalid_token", source, now)
    }

    /// The refusal of a credential, logged, recorded and alarmed where it should be.
    pub(crate) fn say_denied(
        &self,
        rejection: &Rejection,
        about: &str,
        door: &'static str,
        source: SocketAddr,
        now: Timestamp,
    ) -> Denial {
        let reason = rejection.as_str();
        tracing::info!(door, reason, detail = %rejection, claimed = about, %source, "a credential was refused");
        self.alarm(rejection, about, source, now);
        let denial = rejection.to_denial();
        self.record(&denial, about, door, source, now);
        denial
    }
}

/// With what would be accepted.
fn challenged(mut reply: Reply, bearer: &str) -> Reply {
    reply.headers.push(("www-authenticate", format!("{bearer}, DPoP algs=\"{}\"", dpop::ALGORITHMS)));
    reply
}

/// An identity as its holder may see it.
fn described(identity: &Identity) -> Map<String, Value> {
    let actors = identity
        .delegation
        .iter()
        .map(|a| json!({"name": a.name, "kind": a.kind, "groups": a.groups, "subject": a.subject, "issuer": a.issuer}));
    [
        ("name", json!(identity.name)),
        ("kind", json!(identity.kind)),
        ("groups", json!(identity.groups)),
        ("subject", json!(identity.subject)),
        ("issuer", json!(identity.issuer)),
        ("delegation", Value::Array(actors.collect())),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect()
}
