//! HTTP and TLS towards gateways and issuers: verified always, no redirects, bounded in time and size.
//!
//! Nothing is sent over plain HTTP but to this machine, and nothing that a server says decides what is trusted.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use countersign_model::Secret;
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::de::DeserializeOwned;

use crate::commands::text::inert;
use crate::failed::Failed;

/// How long a request may take, from dialling to the last byte of its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that one stream is read; then it is asked for again.
const STREAM_TIMEOUT: Duration = Duration::from_secs(600);
/// The longest that one session is watched without asking again; whoever asks again is shown all of it once more.
const WATCH_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// How long dialling may take.
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest answer that is read, in bytes.
pub(crate) const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// The longest answer about what is applied: it may hold two sets of files as JSON.
pub(crate) const LONG_ANSWER_BYTES_MAX: usize = 16 << 20;
/// The longest text of a server that is repeated to the person, in characters.
const SAID_CHARS_MAX: usize = 400;

/// Whom to trust.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trust {
    /// Certificates of authorities, PEM.
    pub(crate) pem: String,
    /// The system's authorities as well.
    pub(crate) system: bool,
}

impl Trust {
    fn roots(&self) -> Result<RootCertStore, Failed> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.pem.as_bytes()) {
            let certificate = certificate.map_err(|e| Failed::new(format!("the authorities cannot be read: {e}")))?;
            roots.add(certificate).map_err(|e| Failed::new(format!("an authority cannot be used: {e}")))?;
        }
        if self.system {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        Ok(roots)
    }
}

/// A certificate chain and its key, PEM.
#[derive(Clone, Debug)]
pub(crate) struct Credential {
    /// The chain, leaf first.
    pub(crate) chain: String,
    /// The key.
    pub(crate) key: Secret,
}

/// TLS that verifies the server, and presents the credential if there is one.
pub(crate) fn tls(trust: &Trust, credential: Option<&Credential>, alpn: &[&[u8]]) -> Result<ClientConfig, Failed> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Failed::new)?
        .with_root_certificates(trust.roots()?);
    let mut config = match credential {
        None => builder.with_no_client_auth(),
        Some(c) => {
            let unusable = |what: &str| Failed::new(format!("{what}: log in again with `countersign login`"));
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(c.chain.as_bytes()).collect();
            let chain = chain.map_err(|_| unusable("the kept certificate cannot be read"))?;
            let key =
                PrivateKeyDer::from_pem_slice(c.key.expose()).map_err(|_| unusable("the kept key cannot be read"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| unusable(&format!("the certificate and the key do not fit ({e})")))?
        }
    };
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    // A ticket would tie connections together, and outlive the certificate.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// True for addresses and names of this machine.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}

/// A URL that may be talked to: https, or http on this machine; no user name, no fragment.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let shown = inert(text);
    let url = Url::parse(text).map_err(|e| format!("\"{shown}\" is not a URL ({e})"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(&url) => {}
        _ => return Err(format!("\"{shown}\" must begin with https:// (http:// is for this machine only)")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not hold a user name or a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("\"{shown}\" must have no fragment"));
    }
    Ok(url)
}

/// What a server answered.
pub(crate) struct Reply {
    /// The status code.
    pub(crate) status: u16,
    /// The `DPoP-Nonce` header (RFC 9449, 8).
    pub(crate) nonce: Option<String>,
    /// The body; it may hold a token.
    body: Secret,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.status)
    }
}

impl Reply {
    /// A reply as it would have come.
    #[cfg(test)]
    pub(crate) fn new(status: u16, body: &str) -> Self {
        Self { status, nonce: None, body: Secret::from(body.to_owned()) }
    }

    /// True for 2xx.
    pub(crate) fn fine(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON of this shape. A member that is there twice is an error.
    pub(crate) fn json<T: DeserializeOwned>(&self) -> Result<T, String> {
        // serde_json names the place and the kind of mistake; of the content it repeats at most a scalar, which `inert` holds still.
        serde_json::from_slice(self.body.expose()).map_err(|e| inert(&e.to_string()))
    }
}

/// Text of a server, fit to be repeated: inert, and not long.
pub(crate) fn said(text: &str) -> String {
    inert(text).chars().take(SAID_CHARS_MAX).collect()
}

/// A client for one server.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
}

impl Http {
    /// Prepares a client for the server at `url`.
    pub(crate) fn new(url: &Url, trust: &Trust, credential: Option<&Credential>) -> Result<Self, Failed> {
        let mut client = Client::builder()
            .use_preconfigured_tls(tls(trust, credential, &[b"http/1.1"])?)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(DIAL_TIMEOUT)
            .pool_max_idle_per_host(1)
            .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
        if is_loopback(url) {
            client = client.no_proxy();
        }
        Ok(Self { client: client.build().map_err(|e| Failed::new(chain(&e)))? })
    }

    /// `GET`.
    pub(crate) async fn get(&self, url: &Url) -> Result<Reply, String> {
        answer(url, self.client.get(url.clone()).header(ACCEPT, "application/json")).await
    }

    /// `GET` with a bearer token that is the server's own.
    pub(crate) async fn get_with(&self, url: &Url, token: &Secret) -> Result<Reply, String> {
        let mut value = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat())
            .map_err(|_| "the token cannot be sent in a header".to_owned())?;
        value.set_sensitive(true);
        let request = self.client.get(url.clone()).header(ACCEPT, "application/json");
        answer(url, request.header(reqwest::header::AUTHORIZATION, value)).await
    }

    /// A request with a method and, where there is one, a JSON body; its answer has at most `most` bytes. The key makes that it is done once, however often it is sent.
    pub(crate) async fn json(
        &self,
        method: Method,
        url: &Url,
        body: Option<&serde_json::Value>,
        key: Option<&str>,
        most: usize,
    ) -> Result<Reply, String> {
        let mut request = self.client.request(method, url.clone()).header(ACCEPT, "application/json");
        if let Some(body) = body {
            request = request.json(body);
        }
        if let Some(key) = key {
            request = request.header(HeaderName::from_static("idempotency-key"), key);
        }
        answer_up_to(most, url, request).await
    }

    /// `GET` of an answer that goes on.
    pub(crate) async fn stream(&self, url: &Url, last_event: Option<&str>) -> Result<reqwest::Response, String> {
        let mut request = self.client.get(url.clone()).header(ACCEPT, "text/event-stream").timeout(STREAM_TIMEOUT);
        if let Some(last) = last_event {
            request = request.header(HeaderName::from_static("last-event-id"), last);
        }
        request.send().await.map_err(|e| chain(&e.without_url()))
    }

    /// `GET` of server-sent events that go on for as long as what they are about.
    pub(crate) async fn watch(&self, url: &Url) -> Result<reqwest::Response, String> {
        let request = self.client.get(url.clone()).header(ACCEPT, "text/event-stream").timeout(WATCH_TIMEOUT);
        request.send().await.map_err(|e| chain(&e.without_url()))
    }

    /// `POST` of a form, with a DPoP proof if there is one.
    pub(crate) async fn post(&self, url: &Url, form: &[(&str, &str)], proof: Option<&Secret>) -> Result<Reply, String> {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut request = self
            .client
            .post(url.clone())
            .header(ACCEPT, "application/json")
            .header(reqwest::header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        if let Some(proof) = proof {
            let mut value = HeaderValue::from_bytes(proof.expose()).map_err(|e| e.to_string())?;
            value.set_sensitive(true);
            request = request.header(HeaderName::from_static("dpop"), value);
        }
        answer(url, request).await
    }
}

async fn answer(url: &Url, request: reqwest::RequestBuilder) -> Result<Reply, String> {
    answer_up_to(ANSWER_BYTES_MAX, url, request).await
}

async fn answer_up_to(most: usize, url: &Url, request: reqwest::RequestBuilder) -> Result<Reply, String> {
    // The query may hold what is nobody's business.
    let place = inert(&format!("{}{}", url.origin().ascii_serialization(), url.path()));
    let fault = |e: reqwest::Error| format!("{place}: {}", chain(&e.without_url()));
    let mut response = request.send().await.map_err(fault)?;
    let too_long = || format!("{place}: the answer is longer than {most} bytes");
    if response.content_length().is_some_and(|n| n > most as u64) {
        return Err(too_long());
    }
    let nonce = response.headers().get("dpop-nonce").and_then(|v| v.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(fault)? {
        if body.len().saturating_add(chunk.len()) > most {
            return Err(too_long());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: response.status().as_u16(), nonce, body: Secret::new(body) })
}

/// An error with its causes: the outermost alone often says nothing.
pub(crate) fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        let more = c.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = c.source();
    }
    said(&text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn only_urls_that_keep_a_secret_are_talked_to() {
        for (text, fine) in [
            ("https://gw.example.com", true),
            ("https://gw.example.com:7070/x?y=1", true),
            ("http://localhost:7070", true),
            ("http://127.0.0.1:7070", true),
            ("http://[::1]:7070", true),
            ("http://gw.example.com", false),
            ("http://127.0.0.1.example.com", false),
            ("http://localhost.example.com", false),
            ("http://2130706433.example", false),
            ("https://ana@gw.example.com", false),
            ("https://ana:word@gw.example.com", false),
            ("https://gw.example.com/#x", false),
            ("ftp://localhost/", false),
            ("file:///etc/passwd", false),
            ("javascript:alert(1)", false),
            ("gw.example.com", false),
            ("", false),
        ] {
            assert_eq!(check_url(text).is_ok(), fine, "{text}");
        }
    }

    #[test]
    fn what_a_server_says_does_not_act() {
        assert_eq!(said("no\u{1b}[2J"), "no\\u{1b}[2J");
        assert_eq!(said(&"x".repeat(SAID_CHARS_MAX + 1)).len(), SAID_CHARS_MAX);
    }

    /// Answers one connection with these bytes.
    async fn served(answer: Vec<u8>) -> Result<Reply, String> {
        countersign_runtime::install_crypto();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = [0; 1024];
            let _ = stream.read(&mut head).await.unwrap();
            // Who has heard enough hangs up.
            let _ = stream.write_all(&answer).await;
        });
        Http::new(&url, &Trust::default(), None).unwrap().get(&url).await
    }

    #[tokio::test]
    async fn answers_have_a_longest_and_redirects_are_not_followed() {
        let sized =
            |n: usize| [format!("HTTP/1.1 200 OK\r\nContent-Length: {n}\r\n\r\n").into_bytes(), vec![b'1'; n]].concat();
        assert!(served(sized(ANSWER_BYTES_MAX)).await.unwrap().fine());
        assert!(served(sized(ANSWER_BYTES_MAX + 1)).await.unwrap_err().contains("longer than"));
        let endless = [b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![b'1'; ANSWER_BYTES_MAX + 1]].concat();
        assert!(served(endless).await.unwrap_err().contains("longer than"));
        let elsewhere = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n".to_vec();
        assert_eq!(served(elsewhere).await.unwrap().status, 302);
    }

    #[test]
    fn a_member_that_is_there_twice_is_an_error() {
        #[derive(Debug, serde::Deserialize)]
        struct One {
            a: u8,
        }
        assert_eq!(Reply::new(200, r#"{"a":1,"b":2}"#).json::<One>().unwrap().a, 1);
        assert!(Reply::new(200, r#"{"a":1,"a":2}"#).json::<One>().is_err());
    }
}
