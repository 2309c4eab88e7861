//! Discovery and key sets against a real HTTP server: rotation, outage, slowness, floods, redirects.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_identity::{IssuerConfig, TokenAuthenticator};
use serde_json::json;
use support::{Answer, Key, Server, at, claims, jwks, outcome};

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn config(server: &Server) -> IssuerConfig {
    let mut c = IssuerConfig::new("corp", &server.url, &["gw"]);
    c.max_token_lifetime_s = 7 * 86_400;
    c
}

fn auth(c: IssuerConfig) -> Arc<TokenAuthenticator> {
    Arc::new(TokenAuthenticator::new(vec![c.into()]).unwrap())
}

/// A token that outlives the tests.
fn token(key: &Key, server: &Server) -> String {
    key.token("ES256", &claims(&server.url, &json!({"exp": support::NOW_S + 6 * 86_400})))
}

/// Waits for what happens behind the scenes.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(5), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn keys_are_discovered_once_for_a_crowd() {
    let (server, key) = (Server::start().await, Key::p256("a"));
    server.publish(&[&key]);
    let auth = auth(config(&server));
    let mut crowd = tokio::task::JoinSet::new();
    for n in 0..50 {
        let auth = Arc::clone(&auth);
        let token = key.token("ES256", &claims(&server.url, &json!({"jti": n.to_string()})));
        crowd.spawn(async move { outcome(&auth, &token, at(0)).await });
    }
    while let Some(got) = crowd.join_next().await {
        assert_eq!(got.unwrap(), "ok");
    }
    assert_eq!((server.hits(DISCOVERY), server.hits("/jwks")), (1, 1));
}

#[tokio::test]
async fn a_new_key_is_found_and_an_old_one_forgotten() {
    let (server, old, new) = (Server::start().await, Key::p256("a"), Key::p256("b"));
    server.publish(&[&old]);
    let auth = auth(config(&server));
    let (of_old, of_new) = (token(&old, &server), token(&new, &server));
    assert_eq!(outcome(&auth, &of_old, at(0)).await, "ok");
    server.publish(&[&new]);
    // Asked a moment ago: not again so soon.
    assert_eq!(outcome(&auth, &of_new, at(9)).await, "unknown_key");
    assert_eq!(outcome(&auth, &of_old, at(9)).await, "ok");
    assert_eq!(outcome(&auth, &of_new, at(10)).await, "ok");
    // The old key is gone, and with it the memory of what it signed.
    assert_eq!(outcome(&auth, &of_old, at(10)).await, "unknown_key");
    assert_eq!(server.hits("/jwks"), 2);
}

#[tokio::test]
async fn a_revoked_key_is_noticed_by_the_refresh_ahead() {
    let (server, old, new) = (Server::start().await, Key::p256("a"), Key::p256("b"));
    server.publish(&[&old]);
    let auth = auth(config(&server));
    let of_old = token(&old, &server);
    assert_eq!(outcome(&auth, &of_old, at(0)).await, "ok");
    server.publish(&[&new]);
    assert_eq!(outcome(&auth, &of_old, at(299)).await, "ok");
    assert_eq!(server.hits("/jwks"), 1);
    // Old enough: this one is still served from the cache, and starts the refresh.
    assert_eq!(outcome(&auth, &of_old, at(300)).await, "ok");
    until("the refresh", || server.hits("/jwks") == 2).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(outcome(&auth, &of_old, at(301)).await, "unknown_key");
}

#[tokio::test]
async fn adv_082_unknown_kids_do_not_hammer_the_issuer() {
    let (server, key) = (Server::start().await, Key::p256("a"));
    server.publish(&[&key]);
    let auth = auth(config(&server));
    assert_eq!(outcome(&auth, &token(&key, &server), at(0)).await, "ok");
    for n in 0..200 {
        let bogus = token(&Key { kid: format!("x{n}"), ..Key::p256("x") }, &server);
        assert_eq!(outcome(&auth, &bogus, at(100)).await, "unknown_key");
    }
    assert_eq!(server.hits("/jwks"), 2);
    // The issuer's own tokens are not hurt.
    assert_eq!(outcome(&auth, &token(&key, &server), at(100)).await, "ok");
}

#[tokio::test]
async fn while_the_issuer_is_down_cached_keys_live_on_but_not_for_ever() {
    let (server, key) = (Server::start().await, Key::p256("a"));
    server.publish(&[&key]);
    let auth = auth(config(&server));
    let t = token(&key, &server);
    assert_eq!(outcome(&auth, &t, at(0)).await, "ok");
    server.clear();
    for s in [301, 5000, 40_000, 86_399] {
        assert_eq!(outcome(&auth, &t, at(s)).await, "ok", "{s}");
        until("the failed refresh", || server.hits(DISCOVERY) >= 2).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    assert_eq!(outcome(&auth, &t, at(86_400)).await, "keys_unavailable");
    server.publish(&[&key]);
    assert_eq!(outcome(&auth, &t, at(86_400 + 61)).await, "ok");
}

#[tokio::test]
async fn failures_are_tried_again_but_ever_more_slowly() {
    let (server, key) = (Server::start().await, Key::p256("a"));
    let auth = auth(config(&server));
    let t = token(&key, &server);
    let mut asked = Vec::new();
    for s in 0..200 {
        let before = server.hits(DISCOVERY);
        assert_eq!(outcome(&auth, &t, at(s)).await, "keys_unavailable");
        if server.hits(DISCOVERY) > before {
            asked.push(s);
        }
    }
    assert_eq!(asked, [0, 1, 3, 7, 15, 31, 63, 123, 183]);
}

#[tokio::test]
async fn hostile_and_broken_issuers_fail_closed() {
    let key = Key::p256("a");
    let good_keys = jwks(&[&key]);
    let elsewhere = Server::start().await;
    elsewhere.put("/jwks", Answer::json(good_keys.clone()));
    type Spoil = Box<dyn Fn(&Server)>;
    let discovery = |f: fn(&str) -> serde_json::Value| -> Spoil {
        Box::new(move |s: &Server| s.put(DISCOVERY, Answer::json(f(&s.url).to_string())))
    };
    let keys = |answer: Answer| -> Spoil { Box::new(move |s: &Server| s.put("/jwks", answer.clone())) };
    let chunked = |n: usize| {
        let body = format!("{:x}\r\n{}\r\n0\r\n\r\n", n, " ".repeat(n));
        Answer { headers: "transfer-encoding: chunked\r\n".into(), ..Answer::json(body) }
    };
    let redirect = format!("location: {}/jwks\r\n", elsewhere.url);
    let flood = json!({"keys": (0..=64).map(|n| json!({"kty":"EC","kid":n.to_string()})).collect::<Vec<_>>()});
    let cases: Vec<(&str, Spoil, &str)> = vec![
        (
            "another issuer's name",
            discovery(|u| json!({"issuer": format!("{u}/"), "jwks_uri": format!("{u}/jwks")})),
            "exactly",
        ),
        ("no issuer", discovery(|u| json!({"jwks_uri": format!("{u}/jwks")})), "exactly"),
        ("no jwks_uri", discovery(|u| json!({"issuer": u})), "no \"jwks_uri\""),
        (
            "keys in clear from afar",
            discovery(|u| json!({"issuer": u, "jwks_uri": "http://keys.example/jwks"})),
            "https",
        ),
        ("keys in a file", discovery(|u| json!({"issuer": u, "jwks_uri": "file:///etc/passwd"})), "https"),
        (
            "issuer twice",
            Box::new(|s: &Server| {
                let text = format!(r#"{{"issuer":"x","issuer":"{0}","jwks_uri":"{0}/jwks"}}"#, s.url);
                s.put(DISCOVERY, Answer::json(text));
            }),
            "twice",
        ),
        ("a redirect", keys(Answer { status: 302, headers: redirect, ..Answer::json("") }), "302"),
        ("not found", keys(Answer { status: 404, ..Answer::json(good_keys.clone()) }), "404"),
        ("not JSON", keys(Answer::json("<html>")), "not well-formed"),
        ("no keys", keys(Answer::json("{\"keys\":[]}")), "no key"),
        ("a flood of keys", keys(Answer::json(flood.to_string())), "more than 64"),
        ("too long, and says so", keys(Answer::json(" ".repeat(300_000))), "longer than"),
        ("too long, bit by bit", keys(chunked(300_000)), "longer than"),
        ("the same kid twice", keys(Answer::json(jwks(&[&key, &Key::p256("a")]))), "same kid"),
        ("only shared secrets", keys(Answer::json(r#"{"keys":[{"kty":"oct","k":"AAAA","kid":"a"}]}"#)), "no key"),
    ];
    for (what, spoil, why) in cases {
        let server = Server::start().await;
        server.publish(&[&key]);
        spoil(&server);
        let auth = auth(config(&server));
        let t = token(&key, &server);
        let rejection = auth.verify(&t, at(0)).await.unwrap_err();
        assert_eq!(rejection.as_str(), "keys_unavailable", "{what}");
        assert!(rejection.to_string().contains(why), "{what}: {rejection}");
        // Mended, it works: the fault was the one meant.
        server.publish(&[&key]);
        assert_eq!(outcome(&auth, &t, at(10)).await, "ok", "{what}");
    }
    assert_eq!(elsewhere.hits("/jwks"), 0);
}

#[tokio::test]
async fn a_slow_issuer_is_given_up() {
    let (server, key) = (Server::start().await, Key::p256("a"));
    server.publish(&[&key]);
    server.put("/jwks", Answer { delay: Duration::from_secs(60), ..Answer::json(jwks(&[&key])) });
    let auth = auth(config(&server));
    let t = token(&key, &server);
    let start = Instant::now();
    let (a, b) = tokio::join!(outcome(&auth, &t, at(0)), outcome(&auth, &t, at(0)));
    assert_eq!((a, b), ("keys_unavailable", "keys_unavailable"));
    let took = start.elapsed();
    assert!(took >= Duration::from_secs(4) && took < Duration::from_secs(9), "{took:?}");
    assert_eq!(server.hits("/jwks"), 1, "those who waited do not each try again");
}

#[tokio::test]
async fn keys_in_a_file_may_change() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jwks.json");
    let (old, new) = (Key::p256("a"), Key::p256("b"));
    let mut c = IssuerConfig::new("corp", "https://id.example", &["gw"]);
    c.jwks_file = Some(path.clone());
    let auth = auth(c);
    let sign = |k: &Key| k.token("ES256", &claims("https://id.example", &json!({})));
    assert_eq!(outcome(&auth, &sign(&old), at(0)).await, "keys_unavailable");
    std::fs::write(&path, jwks(&[&old])).unwrap();
    assert_eq!(outcome(&auth, &sign(&old), at(1)).await, "ok");
    std::fs::write(&path, jwks(&[&new])).unwrap();
    assert_eq!(outcome(&auth, &sign(&new), at(11)).await, "ok");
    assert_eq!(outcome(&auth, &sign(&old), at(11)).await, "unknown_key");
}

#[tokio::test]
async fn tls_trusts_the_configured_authority_and_no_other() {
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], private)
        .unwrap();
    let server = Server::start_with(Some(Arc::new(tls).into())).await;
    let key = Key::p256("a");
    server.publish(&[&key]);
    let t = token(&key, &server);
    let rejection = auth(config(&server)).verify(&t, at(0)).await.unwrap_err();
    assert!(rejection.to_string().contains("certificate"), "{rejection}");
    let dir = tempfile::tempdir().unwrap();
    let mut trusting = config(&server);
    trusting.ca_file = Some(dir.path().join("ca.pem"));
    std::fs::write(dir.path().join("ca.pem"), certified.cert.pem()).unwrap();
    assert_eq!(outcome(&auth(trusting.clone()), &t, at(0)).await, "ok");
    std::fs::write(dir.path().join("ca.pem"), "nothing").unwrap();
    let found = TokenAuthenticator::new(vec![trusting.into()]).err().unwrap();
    assert!(found[0].message.contains("no certificate"), "{found:?}");
}
