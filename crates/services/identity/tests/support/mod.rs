//! What the tests share: keys that sign whatever they are told to, and a small HTTP server that misbehaves on order.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod gateway;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_enforce::{Alert, AlertSink};
use countersign_identity::login::MemoryLogins;
use countersign_identity::{IdentityConfig, IdentityService, Rejection, TokenAuthenticator};
use countersign_model::Timestamp;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub const NOW_S: i64 = 1_800_000_000;

pub fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(NOW_S + s)
}

pub fn b64(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub enum Private {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    P521(EcdsaKeyPair),
    Rsa(aws_lc_rs::rsa::KeyPair),
    Ed(Ed25519KeyPair),
}

pub struct Key {
    pub kid: String,
    pub private: Private,
}

impl Key {
    pub fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), private: Private::P256(pair) }
    }

    pub fn p384(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), private: Private::P384(pair) }
    }

    pub fn p521(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&signature::ECDSA_P521_SHA512_FIXED_SIGNING).unwrap();
        Self { kid: kid.to_owned(), private: Private::P521(pair) }
    }

    pub fn rsa(kid: &str) -> Self {
        let pair = aws_lc_rs::rsa::KeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        Self { kid: kid.to_owned(), private: Private::Rsa(pair) }
    }

    pub fn ed(kid: &str) -> Self {
        Self { kid: kid.to_owned(), private: Private::Ed(Ed25519KeyPair::generate().unwrap()) }
    }

    /// The public JWK.
    pub fn jwk(&self) -> Value {
        match &self.private {
            Private::P256(k) => {
                let p = k.public_key().as_ref();
                json!({"kty":"EC","crv":"P-256","kid":self.kid,"use":"sig","x":b64(&p[1..33]),"y":b64(&p[33..])})
            }
            Private::P384(k) => {
                let p = k.public_key().as_ref();
                json!({"kty":"EC","crv":"P-384","kid":self.kid,"use":"sig","x":b64(&p[1..49]),"y":b64(&p[49..])})
            }
            Private::P521(k) => {
                let p = k.public_key().as_ref();
                json!({"kty":"EC","crv":"P-521","kid":self.kid,"use":"sig","x":b64(&p[1..67]),"y":b64(&p[67..])})
            }
            Private::Rsa(k) => {
                let p = k.public_key();
                let n = p.modulus().big_endian_without_leading_zero();
                let e = p.exponent().big_endian_without_leading_zero();
                json!({"kty":"RSA","kid":self.kid,"use":"sig","n":b64(n),"e":b64(e)})
            }
            Private::Ed(k) => {
                json!({"kty":"OKP","crv":"Ed25519","kid":self.kid,"use":"sig","x":b64(k.public_key().as_ref())})
            }
        }
    }

    pub fn sign(&self, alg: &str, message: &[u8]) -> Vec<u8> {
        let rng = SystemRandom::new();
        match &self.private {
            Private::P256(k) | Private::P384(k) | Private::P521(k) => k.sign(&rng, message).unwrap().as_ref().to_vec(),
            Private::Ed(k) => k.sign(message).as_ref().to_vec(),
            Private::Rsa(k) => {
                let padding: &dyn signature::RsaEncoding = match alg {
                    "RS256" => &signature::RSA_PKCS1_SHA256,
                    "RS384" => &signature::RSA_PKCS1_SHA384,
                    "RS512" => &signature::RSA_PKCS1_SHA512,
                    "PS256" => &signature::RSA_PSS_SHA256,
                    "PS384" => &signature::RSA_PSS_SHA384,
                    _ => &signature::RSA_PSS_SHA512,
                };
                let mut out = vec![0; k.public_modulus_len()];
                k.sign(padding, &rng, message, &mut out).unwrap();
                out
            }
        }
    }

    /// A token with this header (as text) and payload (as text), signed as `alg`.
    pub fn raw(&self, alg: &str, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", b64(header), b64(payload));
        let signature = self.sign(alg, signed.as_bytes());
        format!("{signed}.{}", b64(signature))
    }

    /// An ordinary token.
    pub fn token(&self, alg: &str, claims: &Value) -> String {
        self.raw(alg, &json!({"alg": alg, "typ": "at+jwt", "kid": self.kid}).to_string(), &claims.to_string())
    }
}

pub fn jwks(keys: &[&Key]) -> String {
    json!({"keys": keys.iter().map(|k| k.jwk()).collect::<Vec<_>>()}).to_string()
}

/// Claims that are good at [`NOW_S`], with some put over them; `null` takes one away.
pub fn claims(issuer: &str, over: &Value) -> Value {
    let mut claims =
        json!({"iss": issuer, "sub": "u-1", "aud": "gw", "iat": NOW_S - 10, "exp": NOW_S + 290, "jti": "t-1"});
    for (name, value) in over.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

/// What became of a token: `ok`, or why not.
pub async fn outcome(auth: &TokenAuthenticator, token: &str, now: Timestamp) -> &'static str {
    auth.verify(token, now).await.as_ref().map_or_else(Rejection::as_str, |_| "ok")
}

/// Alerts as they were raised.
#[derive(Default)]
pub struct Alerts(pub Mutex<Vec<Alert>>);

impl AlertSink for Alerts {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

/// Everything that knows who is asking, without an authority.
pub fn service(tokens: TokenAuthenticator) -> IdentityService {
    let logins = Arc::new(MemoryLogins::default());
    IdentityService::new(IdentityConfig::default(), Arc::new(tokens), logins, None, Arc::new(Alerts::default()))
}

/// What the server answers at a path.
#[derive(Clone)]
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
    pub delay: Duration,
}

impl Answer {
    pub fn json(body: impl Into<String>) -> Self {
        Self { status: 200, headers: String::new(), body: body.into().into_bytes(), delay: Duration::ZERO }
    }
}

#[derive(Default)]
struct Site {
    answers: HashMap<String, Answer>,
    hits: HashMap<String, usize>,
    bodies: HashMap<String, (String, Vec<u8>)>,
}

/// A small HTTP server on loopback.
#[derive(Clone)]
pub struct Server {
    pub url: String,
    site: Arc<Mutex<Site>>,
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    pub async fn start_with(tls: Option<tokio_rustls::TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let site = Arc::new(Mutex::new(Site::default()));
        let shared = Arc::clone(&site);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (site, tls) = (Arc::clone(&shared), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, site).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, site).await;
                            }
                        }
                    }
                });
            }
        });
        Self { url, site }
    }

    /// Publishes discovery and these keys.
    pub fn publish(&self, keys: &[&Key]) {
        let discovery = json!({"issuer": self.url, "jwks_uri": format!("{}/jwks", self.url)});
        self.put("/.well-known/openid-configuration", Answer::json(discovery.to_string()));
        self.put("/jwks", Answer::json(jwks(keys)));
    }

    pub fn put(&self, path: &str, answer: Answer) {
        self.site.lock().unwrap().answers.insert(path.to_owned(), answer);
    }

    pub fn clear(&self) {
        self.site.lock().unwrap().answers.clear();
    }

    /// The head and the body of the last request for a path.
    pub fn last(&self, path: &str) -> (String, Vec<u8>) {
        self.site.lock().unwrap().bodies.get(path).cloned().unwrap_or_default()
    }

    pub fn hits(&self, path: &str) -> usize {
        self.site.lock().unwrap().hits.get(path).copied().unwrap_or(0)
    }
}

async fn serve(mut stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin, site: Arc<Mutex<Site>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 8192 {
        match stream.read_u8().await {
            Ok(b) => head.push(b),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
    let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
    let mut sent = vec![0; length.and_then(|n| n.trim().parse::<usize>().ok()).unwrap_or(0).min(65_536)];
    if stream.read_exact(&mut sent).await.is_err() {
        return;
    }
    let answer = {
        let mut site = site.lock().unwrap();
        *site.hits.entry(path.clone()).or_default() += 1;
        site.bodies.insert(path.clone(), (head, sent));
        site.answers.get(&path).cloned()
    };
    let answer = answer.unwrap_or(Answer { status: 503, ..Answer::json("{}") });
    tokio::time::sleep(answer.delay).await;
    let length = if answer.headers.contains("transfer-encoding") {
        String::new()
    } else {
        format!("content-length: {}\r\n", answer.body.len())
    };
    let head = format!("HTTP/1.1 {} X\r\nconnection: close\r\n{length}{}\r\n", answer.status, answer.headers);
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(&answer.body).await;
    let _ = stream.shutdown().await;
}
