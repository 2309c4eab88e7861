//! Service-account tokens of a Kubernetes cluster, which is asked about them. The cluster here is none: a small HTTPS server that answers
//! with the documents of the API's reference (`authentication.k8s.io/v1`, TokenReview), as a test tells it to.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::io::Write as _;
use std::sync::Arc;

use countersign_enforce::{Authenticator as _, PresentedCredential, Standing};
use countersign_identity::{ClaimMatch, IdentityConfig, IssuerConfig, MappingRule, OnUnreachable, TokenReviewConfig};
use countersign_model::{IdentityKind, Secret};
use serde_json::{Value, json};
use support::gateway::{Client, Gateway, HERE, Store, body, chain, reason};
use support::{Answer, Key, NOW_S, Server, at, jwks};

const PATH: &str = "/apis/authentication.k8s.io/v1/tokenreviews";
const CLUSTER: &str = "https://kubernetes.default.svc.cluster.local";
const USER: &str = "system:serviceaccount:shop:web";

struct Cluster {
    server: Server,
    key: Key,
    files: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let files = tempfile::tempdir().unwrap();
        let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(files.path().join("ca.pem"), certified.cert.pem()).unwrap();
        std::fs::write(files.path().join("token"), "own-token\n").unwrap();
        let private = rustls_pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], private)
            .unwrap();
        let server = Server::start_with(Some(Arc::new(tls).into())).await;
        Self { server, key: Key::rsa("cluster"), files }
    }

    fn config(&self, on_unreachable: OnUnreachable) -> IssuerConfig {
        let mut c = IssuerConfig::new("cluster", CLUSTER, &["gw"]);
        c.jwks = Some(jwks(&[&self.key]));
        c.types = vec![String::new()];
        c.kind = IdentityKind::Machine;
        c.max_token_lifetime_s = 7 * 86_400;
        c.mapping = vec![MappingRule {
            when: [
                ("kubernetes_namespace".to_owned(), ClaimMatch::Text("shop".to_owned())),
                ("/kubernetes.io/serviceaccount/uid".to_owned(), ClaimMatch::Text("sa-1".to_owned())),
            ]
            .into(),
            name: Some("web".to_owned()),
            groups: Vec::new(),
            kind: None,
        }];
        c.token_review = Some(TokenReviewConfig {
            url: self.server.url.clone(),
            ca_file: Some(self.files.path().join("ca.pem")),
            token_file: self.files.path().join("token"),
            on_unreachable,
        });
        c
    }

    async fn gateway(&self, store: &Store, on_unreachable: OnUnreachable) -> Gateway {
        store.gateway_of(IdentityConfig::default(), vec![self.config(on_unreachable).into()]).await
    }

    /// As a projected volume has it.
    fn token(&self, jti: &str) -> String {
        let claims = json!({
            "aud": ["gw"], "exp": NOW_S + 3600, "iat": NOW_S - 7, "nbf": NOW_S - 7, "iss": CLUSTER, "jti": jti, "sub": USER,
            "kubernetes.io": {
                "namespace": "shop", "node": {"name": "n1", "uid": "node-1"}, "pod": {"name": "web-0", "uid": "pod-1"},
                "serviceaccount": {"name": "web", "uid": "sa-1"}, "warnafter": NOW_S + 3000,
            },
        });
        let header = json!({"alg": "RS256", "kid": "cluster"}).to_string();
        self.key.raw("RS256", &header, &claims.to_string())
    }

    fn answer(&self, status: u16, document: &Value) {
        self.server.put(PATH, Answer { status, ..Answer::json(document.to_string()) });
    }

    /// Says of every token what the API's reference has for a good one, with something put over it.
    fn says(&self, over: &[(&str, Value)]) {
        let mut document = json!({
            "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "metadata": {"creationTimestamp": null},
            "spec": {"token": "elided", "audiences": ["gw"]},
            "status": {
                "authenticated": true,
                "user": {
                    "username": USER, "uid": "sa-1",
                    "groups": ["system:serviceaccounts", "system:serviceaccounts:shop", "system:authenticated"],
                    "extra": {
                        "authentication.kubernetes.io/pod-name": ["web-0"],
                        "authentication.kubernetes.io/pod-uid": ["pod-1"],
                    },
                },
                "audiences": ["gw"],
            },
        });
        for (path, value) in over {
            *document.pointer_mut(path).unwrap() = value.clone();
        }
        self.answer(201, &document);
    }

    fn says_gone(&self) {
        self.answer(
            201,
            &json!({
                "kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": "elided"},
                "status": {"user": {}, "error": "[invalid bearer token, pod no longer exists]"},
            }),
        );
    }

    fn asked(&self) -> usize {
        self.server.hits(PATH)
    }
}

fn presented(token: &str) -> PresentedCredential {
    PresentedCredential::token(Secret::from(token.to_owned()))
}

async fn see(gateway: &Gateway, token: &str, s: i64) -> String {
    reason(&gateway.present("web", presented(token), HERE, s).await)
}

#[tokio::test]
async fn a_stand_in_for_a_cluster_is_asked_as_the_reference_says_and_nested_claims_have_names() {
    let (cluster, store) = (Cluster::start().await, Store::new().await);
    cluster.says(&[]);
    let gateway = cluster.gateway(&store, OnUnreachable::Refuse).await;
    let token = cluster.token("1");
    let identity = gateway.present("web", presented(&token), HERE, 0).await.unwrap();
    for (name, want) in [
        ("kubernetes_namespace", "shop"),
        ("kubernetes_serviceaccount", "web"),
        ("kubernetes_serviceaccount_uid", "sa-1"),
        ("kubernetes_pod", "web-0"),
        ("kubernetes_pod_uid", "pod-1"),
        ("kubernetes_node", "n1"),
    ] {
        assert_eq!(identity.claims[name], json!(want), "{name}");
    }
    let (head, sent) = cluster.server.last(PATH);
    assert!(head.starts_with(&format!("POST {PATH} HTTP/1.1\r\n")), "{head}");
    assert!(head.to_ascii_lowercase().contains("authorization: bearer own-token\r\n"), "{head}");
    let sent: Value = serde_json::from_slice(&sent).unwrap();
    assert_eq!(
        sent,
        json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token, "audiences": ["gw"]},
        })
    );
    // A crowd of connections costs one question.
    assert_eq!(see(&gateway, &token, 9).await, "ok");
    assert_eq!(cluster.asked(), 1);
    assert_eq!(see(&gateway, &token, 10).await, "ok");
    assert_eq!(cluster.asked(), 2);
    // What does not verify here is not sent anywhere.
    let forged = Key::rsa("cluster").raw("RS256", &json!({"alg": "RS256", "kid": "cluster"}).to_string(), "{}");
    assert_ne!(see(&gateway, &forged, 10).await, "ok");
    assert_eq!(cluster.asked(), 2);
}

#[tokio::test]
async fn adv_083_what_a_stand_in_for_a_cluster_does_not_vouch_for_is_refused() {
    let (cluster, store) = (Cluster::start().await, Store::new().await);
    let (strict, lenient) =
        (cluster.gateway(&store, OnUnreachable::Refuse).await, cluster.gateway(&store, OnUnreachable::Accept).await);
    let mut n = 0;
    let mut check = async |what: &str, want: &str, want_lenient: &str| {
        n += 1;
        let token = cluster.token(&n.to_string());
        assert_eq!(see(&strict, &token, 0).await, want, "{what}");
        assert_eq!(see(&lenient, &token, 0).await, want_lenient, "{what}, where no answer is accepted");
    };
    cluster.says_gone();
    check("a pod that is gone", "not_vouched", "not_vouched").await;
    for (path, value) in [
        ("/status/authenticated", json!(false)),
        ("/status/authenticated", json!("true")),
        ("/status/authenticated", Value::Null),
        ("/status/user/username", json!("system:serviceaccount:shop:admin")),
        ("/status/user/username", Value::Null),
        ("/status/user/uid", json!("sa-2")),
        ("/status/user/uid", Value::Null),
        ("/status/audiences", json!([])),
        ("/status/audiences", Value::Null),
        ("/status/audiences", json!(["https://kubernetes.default.svc"])),
        ("/status", Value::Null),
    ] {
        cluster.says(&[(path, value.clone())]);
        check(&format!("{path} is {value}"), "not_vouched", "not_vouched").await;
    }
    for (path, value) in [("/kind", json!("Status")), ("/apiVersion", json!("authentication.k8s.io/v1beta1"))] {
        cluster.says(&[(path, value)]);
        check(path, "review_unavailable", "review_unavailable").await;
    }
    cluster.server.put(PATH, Answer { status: 201, ..Answer::json("{\"kind\":1,\"kind\":2}") });
    check("not strict JSON", "review_unavailable", "review_unavailable").await;
    cluster.server.put(PATH, Answer { status: 201, ..Answer::json("x".repeat(70_000)) });
    check("too long", "review_unavailable", "review_unavailable").await;
    for (status, lenient) in
        [(401, false), (403, false), (404, false), (302, false), (429, true), (500, true), (503, true)]
    {
        cluster.answer(status, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure"}));
        check(&status.to_string(), "review_unavailable", if lenient { "ok" } else { "review_unavailable" }).await;
    }
    cluster.says(&[]);
    check("good again", "ok", "ok").await;
    std::fs::remove_file(cluster.files.path().join("token")).unwrap();
    check("without a token to ask with", "review_unavailable", "review_unavailable").await;
    std::fs::File::create(cluster.files.path().join("token")).unwrap().write_all(b"a\nb").unwrap();
    check("with a token that is none", "review_unavailable", "review_unavailable").await;
}

#[tokio::test]
async fn adv_003_only_a_cluster_that_cannot_be_reached_is_unreachable() {
    let (cluster, other, store) = (Cluster::start().await, Cluster::start().await, Store::new().await);
    other.says(&[]);
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (what, url, want) in [
        ("nobody listens", format!("https://127.0.0.1:{port}"), "ok"),
        ("somebody else's certificate", other.server.url.clone(), "review_unavailable"),
    ] {
        let mut config = cluster.config(OnUnreachable::Accept);
        config.token_review.as_mut().unwrap().url = url;
        let gateway = store.gateway_of(IdentityConfig::default(), vec![config.into()]).await;
        assert_eq!(see(&gateway, &cluster.token("1"), 0).await, want, "{what}");
    }
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn adv_090_sessions_end_when_a_stand_in_for_a_cluster_says_that_their_pod_is_gone() {
    let (cluster, store) = (Cluster::start().await, Store::new().await);
    cluster.says(&[]);
    let (here, there) =
        (cluster.gateway(&store, OnUnreachable::Refuse).await, cluster.gateway(&store, OnUnreachable::Refuse).await);
    let token = cluster.token("1");
    let live = here.present("web", presented(&token), HERE, 0).await.unwrap();
    let client = Client::new();
    let reply = here.exchange(&cluster.token("2"), &client, 0).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    let bound = |reply| PresentedCredential::Certificate(chain(reply));
    let login = here.present("web", bound(&reply), HERE, 1).await.unwrap();
    assert_eq!(body(&reply)["identity"]["name"], json!("web"));
    let asked = cluster.asked();
    for (s, more) in [(5, 0), (59, 0), (60, 1), (61, 1), (119, 1), (120, 2)] {
        assert_eq!(here.service.standing(&live, at(s)).await, Standing::Stands, "{s}");
        assert_eq!(cluster.asked(), asked + more, "{s}");
    }
    cluster.answer(503, &json!({}));
    assert_eq!(here.service.standing(&live, at(180)).await, Standing::Unknown);
    cluster.says_gone();
    assert!(matches!(here.service.standing(&live, at(181)).await, Standing::Ended(_)));
    assert!(matches!(here.service.standing(&login, at(181)).await, Standing::Ended(_)));
    cluster.says(&[]);
    assert!(matches!(here.service.standing(&live, at(182)).await, Standing::Ended(_)), "gone is gone");
    assert_eq!(see(&here, &token, 182).await, "not_vouched");
    // The login ended for every gateway.
    assert_eq!(reason(&there.present("web", bound(&reply), HERE, 183).await), "login_ended");
}

#[tokio::test]
async fn a_token_that_has_ended_is_not_asked_about_any_more() {
    let (cluster, store) = (Cluster::start().await, Store::new().await);
    cluster.says(&[]);
    let gateway = cluster.gateway(&store, OnUnreachable::Refuse).await;
    let live = gateway.present("web", presented(&cluster.token("1")), HERE, 0).await.unwrap();
    cluster.says_gone();
    assert_eq!(gateway.service.standing(&live, at(3600)).await, Standing::Stands);
    assert_eq!(cluster.asked(), 1);
}
