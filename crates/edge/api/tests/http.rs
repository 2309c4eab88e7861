//! The server over real sockets, mostly with bytes written by hand: what a well-behaved client library would never send.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use countersign_api::{
    Answer, Api, Check, FormEndpoint, HEADER_BYTES_MAX, IssuerDoor, LocalIssuer, Metrics, PAGE_QUERY_BYTES_MAX, Page,
    PageForm, READY_CHECK_TIMEOUT, READY_KEPT, ServeOptions, TOKEN_FORM_BYTES_MAX, TokenForm,
};
use countersign_enforce::BoxFuture;
use countersign_model::Secret;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod support;

use support::{Server, finish, send_tls, status, tls};

/// Counts tokens, and answers with what it was sent.
#[derive(Default)]
struct Echo(AtomicUsize);

impl LocalIssuer for Echo {
    fn openid_configuration(&self) -> Answer {
        let headers =
            vec![("content-type", "application/json".into()), ("cache-control", "public, max-age=300".into())];
        Answer { status: 200, headers, body: "{\"issuer\":\"x\"}".into() }
    }

    fn jwks(&self) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: "{\"keys\":[]}".into() }
    }

    fn page(&self, page: Page, form: PageForm) -> BoxFuture<'_, Answer> {
        Box::pin(async move {
            let shown = format!("{form:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            let text = |s: &Secret| s.expose_str().unwrap_or_default().to_owned();
            let (query, cookie, body) = (text(&form.query), form.cookie.as_ref().map(text), text(&form.body));
            let said = format!("{page:?} {} {query} {cookie:?} {body} {}", form.posted, form.same_origin);
            let policy = ("content-security-policy", "default-src 'none'; style-src 'sha256-x'".to_owned());
            let headers = vec![policy, ("referrer-policy", "same-origin".into()), ("set-cookie", "a=b".into())];
            Answer { status: 200, headers, body: said }
        })
    }

    fn form(&self, endpoint: FormEndpoint, form: TokenForm) -> BoxFuture<'_, Answer> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if endpoint != FormEndpoint::Token {
                return Answer { status: 200, headers: Vec::new(), body: format!("{endpoint:?}") };
            }
            let shown = format!("{form:?}");
            assert!(!shown.contains("hunter2"), "{shown}");
            let body = form.body.expose_str().unwrap_or_default();
            if body == "slow" {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let authorization = form.authorization.as_ref().and_then(|a| a.expose_str()).unwrap_or("-").to_owned();
            let content_type = form.content_type.as_deref().unwrap_or("-");
            let text = format!("{} {authorization} {content_type} {body}", form.source);
            Answer { status: 401, headers: vec![("www-authenticate", "Basic".into())], body: text }
        })
    }
}

fn with_issuer(path: &str) -> Api {
    Api { issuer: Some(IssuerDoor { path: path.into(), issuer: Arc::new(Echo::default()) }), ..Api::default() }
}

#[tokio::test]
async fn health_errors_and_headers() {
    let server = Server::start(Api::default(), ServeOptions::default()).await;
    let health = server.get("/healthz").await;
    assert!(health.starts_with("HTTP/1.1 200 OK") && health.ends_with("\r\n\r\nok\n"), "{health}");
    for (request, want) in [
        ("GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("GET /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("GET //healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404"),
        ("POST /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", "405"),
    ] {
        let response = server.send(request.as_bytes()).await;
        assert_eq!(status(&response), want, "{request}");
        assert!(response.contains("content-type: application/problem+json"), "{response}");
        assert!(response.contains(&format!("\"status\":{want}")), "{response}");
        for header in [
            "x-content-type-options: nosniff",
            "x-frame-options: DENY",
            "content-security-policy: default-src 'none'",
            "cache-control: no-store",
            "referrer-policy: no-referrer",
        ] {
            assert!(response.contains(header), "{header} in {response}");
        }
        assert!(!response.contains("strict-transport-security"), "only over TLS: {response}");
    }
}

#[tokio::test]
async fn adv_071_malformed_requests_are_refused_and_closed() {
    let server = Server::start(with_issuer(""), ServeOptions::default()).await;
    let fits = format!(
        "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX: {}\r\n\r\n",
        "x".repeat(HEADER_BYTES_MAX - 200)
    );
    assert_eq!(status(&server.send(fits.as_bytes()).await), "200");
    let large = format!("GET /healthz HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "x".repeat(2 * HEADER_BYTES_MAX));
    let many = format!("GET /healthz HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(65));
    for (request, want) in [
        (large.as_str(), "431"),
        (many.as_str(), "431"),
        ("\u{16}\u{3}\u{1}\u{2}", "400"),
        ("GET /healthz\r\n\r\n", "400"),
        ("GET /healthz HTTP/1.1\r\nBad Header: x\r\n\r\n", "400"),
        ("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "400"),
        ("POST /token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: x\r\n\r\nhello", "400"),
    ] {
        let response = server.send(request.as_bytes()).await;
        assert_eq!(status(&response), want, "{}", &request[..request.len().min(80)]);
    }
    // A head with both lengths is read as chunked, and what might be smuggled behind it is not answered.
    let both = "POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let response = server.send(both.as_bytes()).await;
    assert!(response.matches("HTTP/1.1").count() <= 1, "{response}");
}

#[tokio::test]
async fn readiness_names_what_failed_and_keeps_reasons_to_itself() {
    let well = Arc::new(AtomicBool::new(true));
    let asked = Arc::new(AtomicUsize::new(0));
    let (w, a) = (well.clone(), asked.clone());
    let store = Check::known("store", move || {
        a.fetch_add(1, Ordering::Relaxed);
        if w.load(Ordering::Relaxed) { Ok(()) } else { Err("hunter2 at db.internal".into()) }
    });
    let policy = Check::known("policy", || Ok(()));
    let server = Server::start(Api { checks: vec![store, policy], ..Api::default() }, ServeOptions::default()).await;
    let ready = server.get("/readyz").await;
    assert_eq!(status(&ready), "200");
    assert!(ready.contains("\"ready\":true") && ready.contains("content-type: application/json"), "{ready}");
    for _ in 0..5 {
        server.get("/readyz").await;
    }
    assert!(asked.load(Ordering::Relaxed) < 6, "the answer is kept for a moment");

    well.store(false, Ordering::Relaxed);
    tokio::time::sleep(READY_KEPT).await;
    let not = server.get("/readyz").await;
    assert_eq!(status(&not), "503");
    assert!(not.contains("\"store\":\"failed\"") && not.contains("\"policy\":\"ok\""), "{not}");
    assert!(!not.contains("hunter2") && !not.contains("db.internal"), "{not}");
    assert_eq!(status(&server.get("/healthz").await), "200", "alive all the same");
}

#[tokio::test]
async fn advice_is_told_and_keeps_nobody_away() {
    let odd = Check::known("configuration", || Err("hunter2".to_owned())).into_advice();
    let server = Server::start(Api { checks: vec![odd], ..Api::default() }, ServeOptions::default()).await;
    let ready = server.get("/readyz").await;
    assert_eq!(status(&ready), "200");
    assert!(ready.contains("\"ready\":true") && ready.contains("\"configuration\":\"degraded\""), "{ready}");
    assert!(!ready.contains("hunter2"), "{ready}");
}

#[tokio::test]
async fn adv_003_a_check_that_hangs_is_a_check_that_failed() {
    let hangs = Check::new("store", || Box::pin(std::future::pending()));
    let server = Server::start(Api { checks: vec![hangs], ..Api::default() }, ServeOptions::default()).await;
    let started = Instant::now();
    let (a, b) = tokio::join!(server.get("/readyz"), server.get("/readyz"));
    assert_eq!((status(&a), status(&b)), ("503", "503"));
    assert!(started.elapsed() < READY_CHECK_TIMEOUT + Duration::from_secs(1), "both share one check");
}

#[tokio::test]
async fn metrics_are_prometheus_text() {
    let metrics = Metrics::install().unwrap();
    assert!(Metrics::install().is_ok(), "a second time is the first");
    metrics::counter!("countersign_test_total", "kind" => "a\"b").increment(3);
    metrics::histogram!("countersign_test_seconds").record(0.002);
    let server = Server::start(Api { metrics: Some(metrics), ..Api::default() }, ServeOptions::default()).await;
    let text = server.get("/metrics").await;
    assert!(text.contains("content-type: text/plain; version=0.0.4"), "{text}");
    assert!(text.contains("countersign_test_total{kind=\"a\\\"b\"} 3"), "{text}");
    assert!(text.contains("countersign_test_seconds_bucket{le=\"0.0025\"} 1"), "{text}");
    assert!(text.contains("countersign_test_seconds_bucket{le=\"0.001\"} 0"), "{text}");
}

#[tokio::test]
async fn the_issuer_is_where_its_url_says() {
    for path in ["", "/idp", "/idp/"] {
        let server = Server::start(with_issuer(path), ServeOptions::default()).await;
        let path = path.trim_end_matches('/');
        let discovery = server.get(&format!("{path}/.well-known/openid-configuration")).await;
        assert!(discovery.ends_with("{\"issuer\":\"x\"}") && status(&discovery) == "200", "{discovery}");
        assert!(discovery.contains("cache-control: public, max-age=300"), "{discovery}");
        assert!(server.get(&format!("{path}/jwks.json")).await.ends_with("{\"keys\":[]}"));
        let token = server
            .post(&format!("{path}/token"), "Authorization: Basic hunter2\r\nContent-Type: a/b\r\n", "grant_type=x")
            .await;
        assert!(token.ends_with("127.0.0.1 Basic hunter2 a/b grant_type=x"), "{token}");
        assert!(token.contains("www-authenticate: Basic") && token.contains("cache-control: no-store"), "{token}");
        assert_eq!(status(&server.get(&format!("{path}/token")).await), "405");
        for (door, want) in [("device_authorization", "DeviceAuthorization"), ("revoke", "Revoke")] {
            assert!(server.post(&format!("{path}/{door}"), "", "x").await.ends_with(want), "{door}");
            assert_eq!(
                status(&server.post(&format!("{path}/{door}"), "Origin: https://evil.example\r\n", "x").await),
                "403"
            );
        }
        for (door, want) in [("authorize", "Authorize"), ("device", "Device")] {
            let page = server.get(&format!("{path}/{door}?a=hunter2")).await;
            assert!(page.ends_with(&format!("{want} false a=hunter2 None  true")), "{page}");
            for header in [
                "content-security-policy: default-src 'none'; style-src 'sha256-x'",
                "referrer-policy: same-origin",
                "set-cookie: a=b",
                "cache-control: no-store",
                "x-frame-options: DENY",
            ] {
                assert!(page.contains(header), "{header} in {page}");
            }
            assert_eq!(page.matches("content-security-policy").count(), 1, "{page}");
            let headers = "Cookie: c=1\r\nOrigin: https://evil.example\r\n";
            let sent = server.post(&format!("{path}/{door}"), headers, "password=hunter2").await;
            assert!(sent.ends_with(&format!("{want} true  Some(\"c=1\") password=hunter2 false")), "{sent}");
        }
    }
}

#[tokio::test]
async fn page_forms_have_limits() {
    let server = Server::start(with_issuer(""), ServeOptions::default()).await;
    let long = |n: usize| format!("/authorize?{}", "x".repeat(n));
    assert_eq!(status(&server.get(&long(PAGE_QUERY_BYTES_MAX)).await), "200");
    assert_eq!(status(&server.get(&long(PAGE_QUERY_BYTES_MAX + 1)).await), "414");
    assert_eq!(status(&server.post("/authorize", "", &"x".repeat(TOKEN_FORM_BYTES_MAX)).await), "200");
    assert_eq!(status(&server.post("/authorize", "", &"x".repeat(TOKEN_FORM_BYTES_MAX + 1)).await), "413");
}

#[tokio::test]
async fn token_forms_have_limits() {
    let server = Server::start(with_issuer(""), ServeOptions::default()).await;
    assert_eq!(status(&server.post("/token", "", &"x".repeat(TOKEN_FORM_BYTES_MAX)).await), "401");
    assert_eq!(status(&server.post("/token", "", &"x".repeat(TOKEN_FORM_BYTES_MAX + 1)).await), "413");
    let chunk = format!("1000\r\n{}\r\n", "x".repeat(0x1000));
    let chunked = format!(
        "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}{chunk}0\r\n\r\n"
    );
    assert_eq!(status(&server.send(chunked.as_bytes()).await), "413", "without a stated length, too");
    let page = server.post("/token", "Origin: https://evil.example\r\n", "x").await;
    assert_eq!(status(&page), "403", "a web page is no client");
}

#[tokio::test]
async fn slow_clients_are_let_go() {
    let options = ServeOptions {
        header_timeout: Duration::from_millis(300),
        request_timeout: Duration::from_millis(300),
        ..ServeOptions::default()
    };
    let server = Server::start(with_issuer(""), options).await;
    for (bytes, want) in [
        ("", ""),
        ("GET /healthz HTTP/1.1\r\nHost", ""),
        ("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", "HTTP/1.1 408"),
        ("POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslow", "HTTP/1.1 408"),
    ] {
        let started = Instant::now();
        let response = server.send(bytes.as_bytes()).await;
        assert!(response.starts_with(want), "{bytes:?}: {response}");
        assert!(started.elapsed() < Duration::from_secs(3), "{bytes:?}: {:?}", started.elapsed());
    }
    // A byte at a time does not buy more time.
    let mut drip = TcpStream::connect(server.address).await.unwrap();
    let started = Instant::now();
    for byte in b"GET /healthz HTTP/1.1\r\nHost: x\r\n".iter().cycle() {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if drip.write_all(&[*byte]).await.is_err() || started.elapsed() > Duration::from_secs(5) {
            break;
        }
    }
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
}

#[tokio::test]
async fn connections_have_a_limit_and_places_come_back() {
    let options = ServeOptions { connections_max: 3, ..ServeOptions::default() };
    let server = Server::start(Api::default(), options).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut s = TcpStream::connect(server.address).await.unwrap();
        s.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let mut first = [0; 12];
        s.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(s);
    }
    assert_eq!(server.get("/healthz").await, "", "the fourth is closed without an answer");
    held.pop();
    let deadline = Instant::now() + Duration::from_secs(5);
    while status(&server.get("/healthz").await) != "200" {
        assert!(Instant::now() < deadline, "a place that was left is not given again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn stopping_answers_what_is_under_way_and_nothing_new() {
    let mut server = Server::start(with_issuer(""), ServeOptions::default()).await;
    let mut under_way = TcpStream::connect(server.address).await.unwrap();
    under_way.write_all(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nslow").await.unwrap();
    let idle = TcpStream::connect(server.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    server.stop();
    let response = finish(under_way).await;
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    assert!(response.contains("connection: close"), "{response}");
    assert_eq!(finish(idle).await, "", "idle connections end");
    tokio::time::timeout(Duration::from_secs(2), &mut server.done).await.expect("it ends").unwrap();
    assert!(TcpStream::connect(server.address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn stopping_has_a_deadline() {
    let options = ServeOptions { drain_timeout: Duration::from_millis(200), ..ServeOptions::default() };
    let mut server = Server::start(with_issuer(""), options).await;
    let mut stuck = TcpStream::connect(server.address).await.unwrap();
    stuck.write_all(b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    server.stop();
    tokio::time::timeout(Duration::from_secs(5), &mut server.done).await.expect("it ends").unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
}

#[tokio::test]
async fn tls_is_spoken_when_given() {
    let (tls, roots) = tls();
    let server = Server::start(Api::default(), ServeOptions { tls: Some(tls), ..ServeOptions::default() }).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let out = send_tls(server.address, roots, None, request).await;
    assert!(out.starts_with("HTTP/1.1 200") && out.contains("strict-transport-security: max-age="), "{out}");

    let plain = server.get("/healthz").await;
    assert_eq!(status(&plain), "200", "this machine itself may do without");
    assert!(!plain.contains("strict-transport-security"), "{plain}");
    assert!(!server.send(&[0x16, 3, 1, 0, 2, 0, 0]).await.contains("HTTP/1.1"), "what begins as TLS stays TLS");
}
