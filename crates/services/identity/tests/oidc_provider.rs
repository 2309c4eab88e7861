//! Verification against a real, independent provider (npm `oidc-provider`): started, rotated and stopped here. `tests/oidc/run` runs it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_identity::{Algorithm, IssuerConfig, Rejection, TokenAuthenticator};
use countersign_model::{IdentityKind, Timestamp};
use serde_json::Value;

const ALGORITHMS: [&str; 5] = ["RS256", "PS256", "ES256", "ES384", "EdDSA"];

struct Provider(Child);

impl Provider {
    fn start(port: u16, generation: &str) -> Self {
        let script =
            std::env::var("OIDC_PROVIDER").expect("OIDC_PROVIDER must be the path of provider.mjs: run tests/oidc/run");
        let mut child = Command::new("node")
            .args([&script, &port.to_string(), generation])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("node starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line.trim(), "ready");
        Self(child)
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn now(ahead_s: i64) -> Timestamp {
    let s = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    Timestamp::from_unix_s(i64::try_from(s).unwrap() + ahead_s)
}

async fn token(client: &reqwest::Client, issuer: &str, resource: &str) -> String {
    let reply = client
        .post(format!("{issuer}/token"))
        .basic_auth("ci", Some("only-for-tests"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(format!("grant_type=client_credentials&resource={resource}"))
        .send()
        .await
        .unwrap();
    let body: Value = reply.json().await.unwrap();
    body["access_token"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

fn config(issuer: &str) -> IssuerConfig {
    let audiences: Vec<String> = ALGORITHMS.iter().map(|a| format!("urn:gw:{a}")).collect();
    let audiences: Vec<&str> = audiences.iter().map(String::as_str).collect();
    let mut c = IssuerConfig::new("idp", issuer, &audiences);
    c.algorithms = ALGORITHMS.iter().map(|a| Algorithm::parse(a).unwrap()).collect();
    c.types = vec!["at+jwt".to_owned()];
    c.authorized_parties = vec!["ci".to_owned()];
    c.groups_claim = Some("groups".to_owned());
    c.kind_claim = Some("kind".to_owned());
    c
}

async fn outcome(auth: &TokenAuthenticator, token: &str, ahead_s: i64) -> &'static str {
    auth.verify(token, now(ahead_s)).await.as_ref().map_or_else(Rejection::as_str, |_| "ok")
}

#[tokio::test]
#[ignore = "needs Node and npm oidc-provider: run tests/oidc/run"]
async fn an_independent_provider_is_understood_through_rotation_and_outage() {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build().unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let issuer = format!("http://127.0.0.1:{port}");
    let auth = TokenAuthenticator::new(vec![config(&issuer).into()]).unwrap();

    let first = Provider::start(port, "1");
    let mut before = Vec::new();
    for algorithm in ALGORITHMS {
        let t = token(&client, &issuer, &format!("urn:gw:{algorithm}")).await;
        let identity = auth.verify(&t, now(0)).await.unwrap_or_else(|r| panic!("{algorithm}: {r}"));
        assert_eq!((identity.name.as_str(), identity.kind), ("ci", IdentityKind::Machine));
        assert_eq!(identity.groups.iter().collect::<Vec<_>>(), ["idp:analysts", "idp:deployers"]);
        before.push(t);
    }
    let elsewhere = token(&client, &issuer, "urn:bank:ES256").await;
    assert_eq!(outcome(&auth, &elsewhere, 0).await, "audience");
    let opaque = token(&client, &issuer, "urn:opaque:ES256").await;
    assert_eq!(outcome(&auth, &opaque, 0).await, "malformed");

    drop(first);
    assert_eq!(outcome(&auth, &before[0], 0).await, "ok");
    let fresh = TokenAuthenticator::new(vec![config(&issuer).into()]).unwrap();
    assert_eq!(outcome(&fresh, &before[0], 0).await, "keys_unavailable");

    let _second = Provider::start(port, "2");
    let t = token(&client, &issuer, "urn:gw:ES256").await;
    assert_eq!(outcome(&auth, &t, 11).await, "ok", "a new key is found");
    for t in &before {
        assert_eq!(outcome(&auth, t, 11).await, "unknown_key", "the old keys are gone");
    }
}
