//! The doors of identity over real sockets: what reaches them, and what never does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use countersign_api::{Answer, Api, DoorRequest, IDENTITY_FORM_BYTES_MAX, IdentityDoor, IdentityDoors, ServeOptions};
use countersign_enforce::BoxFuture;
use rustls_pki_types::PrivateKeyDer;

mod support;

use support::{Server, send_tls, status, tls};

/// Answers with what it was sent.
struct Echo;

impl Echo {
    fn say(request: DoorRequest) -> BoxFuture<'static, Answer> {
        let shown = format!("{request:?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        let text =
            |s: &Option<countersign_model::Secret>| s.as_ref().and_then(|s| s.expose_str()).unwrap_or("-").to_owned();
        let body = format!(
            "{} {} auth={} dpop={} type={} certificates={} body={}",
            request.method,
            request.path,
            text(&request.authorization),
            text(&request.dpop),
            request.content_type.as_deref().unwrap_or("-"),
            request.certificate.len(),
            request.body.expose_str().unwrap_or_default(),
        );
        Box::pin(std::future::ready(Answer { status: 200, headers: Vec::new(), body }))
    }
}

impl IdentityDoors for Echo {
    fn exchange(&self, request: DoorRequest) -> BoxFuture<'_, Answer> {
        Self::say(request)
    }

    fn renew(&self, request: DoorRequest) -> BoxFuture<'_, Answer> {
        Self::say(request)
    }

    fn logout(&self, request: DoorRequest) -> BoxFuture<'_, Answer> {
        Self::say(request)
    }

    fn whoami(&self, request: DoorRequest) -> BoxFuture<'_, Answer> {
        Self::say(request)
    }

    fn login_facts(&self) -> Answer {
        Answer { status: 200, headers: vec![("content-type", "application/json".into())], body: "{}".into() }
    }
}

fn api() -> Api {
    Api { identity: Some(IdentityDoor(Arc::new(Echo))), ..Api::default() }
}

#[tokio::test]
async fn each_door_gets_what_was_sent_to_it() {
    let server = Server::start(api(), ServeOptions::default()).await;
    for path in ["/v1/exchange", "/v1/renew", "/v1/logout"] {
        let headers = "Authorization: Bearer hunter2\r\nDPoP: proof\r\nContent-Type: a/b\r\n";
        let out = server.post(path, headers, "x=hunter2").await;
        let want = format!("POST {path} auth=Bearer hunter2 dpop=proof type=a/b certificates=0 body=x=hunter2");
        assert!(out.ends_with(&want), "{out}");
        assert!(out.contains("cache-control: no-store"), "{out}");
        assert_eq!(status(&server.get(path).await), "405");
    }
    let out = server.get("/v1/whoami?x=y").await;
    assert!(out.ends_with("GET /v1/whoami auth=- dpop=- type=- certificates=0 body="), "{out}");
    assert!(server.get("/v1/login").await.ends_with("{}"));
    let none = Server::start(Api::default(), ServeOptions::default()).await;
    assert_eq!(status(&none.get("/v1/login").await), "404");
}

#[tokio::test]
async fn bodies_have_a_limit_and_headers_one_meaning() {
    let server = Server::start(api(), ServeOptions::default()).await;
    let full = "x".repeat(IDENTITY_FORM_BYTES_MAX);
    assert_eq!(status(&server.post("/v1/exchange", "", &full).await), "200");
    assert_eq!(status(&server.post("/v1/exchange", "", &format!("{full}x")).await), "413");
    for (headers, want) in [
        ("Origin: https://evil.example\r\n", "403"),
        ("DPoP: a\r\nDPoP: b\r\n", "400"),
        ("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n", "400"),
        ("Content-Type: a/b\r\nContent-Type: c/d\r\n", "400"),
        ("DPoP: \u{ff}\r\n", "400"),
    ] {
        assert_eq!(status(&server.post("/v1/renew", headers, "").await), want, "{headers}");
    }
}

#[tokio::test]
async fn adv_087_a_client_certificate_comes_from_the_handshake_and_never_from_a_header() {
    let (tls, roots) = tls();
    let server = Server::start(api(), ServeOptions { tls: Some(tls), ..ServeOptions::default() }).await;
    let mine = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(mine.signing_key.serialize_der()).unwrap();
    let pem = mine.cert.pem().replace('\n', "%0A");
    let request = format!(
        "GET /v1/whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-Client-Cert: Cert=\"{pem}\"\r\n\
         X-SSL-Client-Cert: {pem}\r\nX-Client-Cert: {pem}\r\nSSL_CLIENT_CERT: {pem}\r\n\
         Client-Cert: :AAAA:\r\nX-Forwarded-For: 192.0.2.1\r\n\r\n"
    );
    let without = send_tls(server.address, roots.clone(), None, request.as_bytes()).await;
    assert!(without.contains("certificates=0"), "{without}");
    let plain = server.send(request.as_bytes()).await;
    assert!(plain.contains("certificates=0"), "{plain}");
    let with = send_tls(server.address, roots, Some((vec![mine.cert.der().clone()], key)), request.as_bytes()).await;
    assert!(with.contains("certificates=1"), "the control: {with}");
}
