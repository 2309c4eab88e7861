//! Any bytes as what is shown at the doors of identity: a form, a certificate request, a proof of possession, a client certificate.
//!
//! There is a token that is good and no login: a bearer may be told who it is, and nobody is let in by a certificate.

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_enforce::{Alert, AlertSink, Authenticator as _, Presented, PresentedCredential};
use countersign_identity::local::{MemoryKeys, Reply};
use countersign_identity::login::{MemoryLogins, MemoryUses};
use countersign_identity::{
    Algorithm, DoorRequest, IdentityAuthority, IdentityConfig, IdentityService, IssuerConfig, TokenAuthenticator,
};
use countersign_model::Timestamp;

/// Signed by a key of `jwks.json`.
const TOKEN: &str = include_str!("../corpus/jwt/valid-es256");
/// A minute after it was issued.
const NOW: Timestamp = Timestamp::from_unix_s(1_767_614_460);
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
                     &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt&subject_token=";
const FORM: &str = "application/x-www-form-urlencoded";

struct Deaf;

impl AlertSink for Deaf {
    fn raise(&self, _alert: Alert) {}
}

/// The first byte says at which door the rest is shown.
///
/// # Panics
/// When somebody is let in who must not be, or a door waits for something although all is here.
pub fn run(data: &[u8]) {
    let Some((door, shown)) = data.split_first() else { return };
    let text = std::str::from_utf8(shown).ok();
    match door % 5 {
        0 => {
            ask("exchange", DoorRequest { body: shown, ..request(FORM) });
        }
        1 => {
            let csr: String = form_urlencoded(&STANDARD.encode(shown));
            let body = format!("{GRANT}{TOKEN}&csr={csr}");
            ask("exchange", DoorRequest { body: body.as_bytes(), ..request(FORM) });
        }
        2 => {
            let authorization = format!("DPoP {TOKEN}");
            let request = DoorRequest { authorization: Some(&authorization), dpop: text, method: "GET", ..request("") };
            // The token is bound to no key, so no proof makes it a DPoP token.
            assert_ne!(ask("whoami", request).status, 200, "a proof made a bearer token a bound one");
        }
        3 => {
            let reply = ask("whoami", DoorRequest { authorization: text, method: "GET", ..request("") });
            let genuine = TOKEN.rsplit_once('.').is_some_and(|(signed, _)| text.is_some_and(|t| t.contains(signed)));
            assert!(reply.status != 200 || genuine, "somebody was somebody without a token");
        }
        _ => {
            let chain = [Bytes::copy_from_slice(shown)];
            let reply = ask("logout", DoorRequest { certificate: &chain, ..request("") });
            assert_ne!(reply.status, 200, "a certificate without a login ended one");
            if service().recognises(&chain) {
                let presented = Presented {
                    user: "ci".to_owned(),
                    credential: PresentedCredential::Certificate(chain.to_vec()),
                    target: "orders".to_owned(),
                    source: source(),
                    encrypted: true,
                };
                assert!(done(service().authenticate(&presented, NOW)).is_err(), "a certificate without a login let in");
            }
        }
    }
}

fn request(content_type: &'static str) -> DoorRequest<'static> {
    DoorRequest {
        method: "POST",
        path: "/v1/door",
        authorization: None,
        dpop: None,
        content_type: Some(content_type),
        body: b"",
        certificate: &[],
        source: source(),
    }
}

fn source() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), 9))
}

fn ask(door: &str, request: DoorRequest<'_>) -> Reply {
    match door {
        "exchange" => done(service().exchange(&request, NOW)),
        "logout" => done(service().logout(&request, NOW)),
        _ => done(service().whoami(&request, NOW)),
    }
}

fn form_urlencoded(text: &str) -> String {
    text.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")
}

fn done<T>(asked: impl Future<Output = T>) -> T {
    let mut asked = pin!(asked);
    match asked.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(outcome) => outcome,
        Poll::Pending => refuse("a door waits for something although all is here"),
    }
}

fn service() -> &'static IdentityService {
    static SERVICE: OnceLock<IdentityService> = OnceLock::new();
    SERVICE.get_or_init(|| {
        let config = IssuerConfig {
            jwks: Some(include_str!("jwks.json").to_owned()),
            algorithms: vec![Algorithm::RS256, Algorithm::ES256],
            ..IssuerConfig::new("test", "https://issuer.test", &["countersign"])
        };
        let tokens = TokenAuthenticator::with_ledger(vec![config.into()], Arc::new(MemoryUses::default()));
        let (Ok(tokens), Ok(authority)) = (tokens, done(IdentityAuthority::open(Arc::new(MemoryKeys::default()), NOW)))
        else {
            refuse("the service cannot be made")
        };
        let config = IdentityConfig { urls: vec!["https://gw.test".to_owned()], ..IdentityConfig::default() };
        let logins = Arc::new(MemoryLogins::default());
        IdentityService::new(config, Arc::new(tokens), logins, Some(Arc::new(authority)), Arc::new(Deaf))
    })
}

#[allow(clippy::panic)] // A fuzz target reports by panicking.
fn refuse(why: &str) -> ! {
    panic!("{why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genuine_token_and_a_sound_request_are_good_so_that_the_target_can_tell_what_is_not() {
        let bearer = format!("Bearer {}", TOKEN.trim());
        let request = |authorization| DoorRequest { authorization: Some(authorization), method: "GET", ..request("") };
        assert_eq!(ask("whoami", request(bearer.as_str())).status, 200);
        assert_eq!(ask("whoami", request("Bearer x.y.z")).status, 401);
        let form = include_bytes!("../corpus/identity_doors/form").get(1..).unwrap_or_default();
        let reply = ask("exchange", DoorRequest { body: form, ..super::request(FORM) });
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(ask("whoami", request(bearer.as_str())).status, 401, "it is bound now");
    }
}
