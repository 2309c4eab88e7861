//! The local issuer: its tokens verified from its public documents alone, its token endpoint, its rotation, its accounts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_identity::local::{
    AccountStore as _, FORM_BYTES_MAX, GithubJob, KeyStore as _, LocalIssuer, LocalIssuerConfig, MINT_LIFETIME_S_MAX,
    MemoryAccounts, MemoryKeys, MintRequest, NewAccount, Reply, TokenRequest,
};
use countersign_identity::{ClaimMatch, IssuerConfig, MappingRule, TokenAuthenticator, check};
use countersign_model::{IdentityKind, Secret, Timestamp};
use serde_json::{Value, json};
use support::{Answer, Server, at, outcome};

const SECRET: &str = "a long enough secret";

struct World {
    issuer: Arc<LocalIssuer>,
    accounts: Arc<MemoryAccounts>,
    keys: Arc<MemoryKeys>,
}

async fn open(
    label: &str,
    url: &str,
    keys: &Arc<MemoryKeys>,
    accounts: Option<&Arc<MemoryAccounts>>,
    now: Timestamp,
) -> Arc<LocalIssuer> {
    let config = LocalIssuerConfig {
        label: label.to_owned(),
        issuer: url.to_owned(),
        audience: "countersign".to_owned(),
        token_lifetime_s: 3600,
    };
    let accounts = accounts.map(|a| Arc::clone(a) as Arc<dyn countersign_identity::local::AccountStore>);
    Arc::new(LocalIssuer::open(config, Arc::clone(keys) as _, accounts, now).await.unwrap())
}

async fn world(url: &str) -> World {
    let (keys, accounts) = (Arc::new(MemoryKeys::default()), Arc::new(MemoryAccounts::default()));
    let issuer = open("local", url, &keys, Some(&accounts), at(0)).await;
    for (name, kind, groups) in [
        ("ana", IdentityKind::Human, &["analysts"][..]),
        ("robot", IdentityKind::Machine, &["deployers"]),
        ("helper", IdentityKind::Agent, &[]),
    ] {
        let groups = groups.iter().map(|g| (*g).to_owned()).collect();
        let secret = Some(Secret::from(SECRET.to_owned()));
        issuer.create_account(NewAccount { name: name.to_owned(), kind, groups, secret }, at(0)).await.unwrap();
    }
    World { issuer, accounts, keys }
}

fn text(secret: &Secret) -> String {
    secret.expose_str().unwrap().to_owned()
}

#[tokio::test]
async fn its_tokens_verify_within_the_process_and_from_its_documents() {
    let server = Server::start().await;
    let w = world(&server.url).await;
    let publish = || {
        server.put("/.well-known/openid-configuration", Answer::json(w.issuer.openid_configuration().body));
        server.put("/jwks.json", Answer::json(w.issuer.jwks().body));
    };
    publish();
    let token = text(&w.issuer.mint_for_operator("ana", None, at(0)).await.unwrap());
    let here = TokenAuthenticator::new(vec![w.issuer.entry()]).unwrap();
    let far = TokenAuthenticator::new(vec![IssuerConfig { ca_file: None, ..w.issuer.entry().config }.into()]).unwrap();
    for auth in [&here, &far] {
        let ana = auth.verify(&token, at(1)).await.unwrap();
        assert_eq!((ana.name.as_str(), ana.kind), ("ana", IdentityKind::Human));
        assert_eq!(ana.groups.iter().collect::<Vec<_>>(), ["analysts"]);
        assert!(ana.subject.starts_with("local:"), "{}", ana.subject);
        assert_eq!(ana.expires_at, at(3600));
    }
    w.issuer.rotate(at(20)).await.unwrap();
    publish();
    let newer = text(&w.issuer.mint_for_operator("ana", None, at(20)).await.unwrap());
    for auth in [&here, &far] {
        assert_eq!(outcome(auth, &newer, at(20)).await, "ok");
        assert_eq!(outcome(auth, &token, at(20)).await, "ok");
    }
}

#[tokio::test]
async fn keys_rotate_by_age_and_leave_when_their_last_token_has_ended() {
    const DAY_S: i64 = 86_400;
    let w = world("https://gw.example/local").await;
    let ids = |w: &World| {
        let keys: Value = serde_json::from_str(&w.issuer.jwks().body).unwrap();
        keys["keys"].as_array().unwrap().iter().map(|k| k["kid"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = ids(&w);
    assert_eq!(first.len(), 1);
    w.issuer.maintain(at(30 * DAY_S - 1)).await.unwrap();
    assert_eq!(ids(&w), first);
    w.issuer.maintain(at(30 * DAY_S)).await.unwrap();
    assert_eq!(ids(&w).len(), 2);
    assert_ne!(ids(&w)[0], first[0], "the newest comes first");
    // A second gateway over the same store has the same keys.
    let other = open("local", "https://gw.example/local", &w.keys, Some(&w.accounts), at(30 * DAY_S)).await;
    assert_eq!(other.jwks().body, w.issuer.jwks().body);
    let end = 31 * DAY_S + 120;
    w.issuer.maintain(at(end)).await.unwrap();
    assert_eq!(ids(&w).len(), 2);
    w.issuer.maintain(at(end + 1)).await.unwrap();
    assert_eq!(ids(&w).len(), 1);
    assert_eq!(w.keys.load("https://gw.example/local").await.unwrap().len(), 1);
    let shown = format!("{:?}", w.keys);
    assert!(shown.contains("[secret]"), "{shown}");
}

#[tokio::test]
async fn a_disabled_or_removed_account_is_out_at_once() {
    let w = world("https://gw.example/local").await;
    let auth = TokenAuthenticator::new(vec![w.issuer.entry()]).unwrap();
    let token = text(&w.issuer.mint_for_operator("ana", None, at(0)).await.unwrap());
    let robot = text(&w.issuer.mint_for_operator("robot", None, at(0)).await.unwrap());
    assert_eq!(outcome(&auth, &token, at(1)).await, "ok");
    let mut ana = w.accounts.find_by_name("ana").await.unwrap().unwrap();
    ana.disabled = true;
    w.accounts.save(&ana).await.unwrap();
    assert_eq!(outcome(&auth, &token, at(2)).await, "account_ended");
    assert!(w.issuer.mint_for_operator("ana", None, at(2)).await.is_err());
    w.accounts.remove(&ana.id).await.unwrap();
    // A new account with the old name is somebody else.
    let new =
        NewAccount { name: "ana".to_owned(), kind: IdentityKind::Human, groups: Default::default(), secret: None };
    w.issuer.create_account(new.clone(), at(3)).await.unwrap();
    assert_eq!(outcome(&auth, &token, at(3)).await, "account_ended");
    assert_eq!(outcome(&auth, &robot, at(3)).await, "ok");
    let taken = w.issuer.create_account(NewAccount { name: "ANA".to_owned(), ..new }, at(3)).await;
    assert!(taken.is_err(), "names that differ in case only are one name");
}

async fn ask(w: &World, authorization: Option<&str>, body: &str) -> Reply {
    let content_type = Some("application/x-www-form-urlencoded; charset=utf-8");
    let source: IpAddr = "192.0.2.7".parse().unwrap();
    w.issuer.token(TokenRequest { authorization, content_type, body: body.as_bytes(), source }, at(0)).await
}

fn basic(name: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{secret}")))
}

#[tokio::test]
async fn the_token_endpoint_follows_rfc_6749() {
    let w = world("https://gw.example/local").await;
    let grant = "grant_type=client_credentials";
    let right = basic("robot", "a+long+enough+secret");
    let post = format!("{grant}&client_id=robot&client_secret=a+long+enough+secret");
    let crowded = format!("{grant}{}", (0..16).map(|n| format!("&x{n}=1")).collect::<String>());
    let long = format!("{grant}&x={}", "x".repeat(FORM_BYTES_MAX));
    for (what, authorization, body, status, want) in [
        ("basic", Some(right.as_str()), grant.to_owned(), 200, "Bearer"),
        ("post", None, post.clone(), 200, "Bearer"),
        ("our audience", Some(&right), format!("{grant}&audience=countersign"), 200, "Bearer"),
        ("an agent", Some(&basic("helper", "a+long+enough+secret")), grant.to_owned(), 200, "Bearer"),
        ("another audience", Some(&right), format!("{grant}&audience=bank"), 400, "invalid_target"),
        ("both ways", Some(&right), post, 400, "invalid"),
        (
            "password grant",
            Some(&right),
            "grant_type=password&username=ana&password=x".to_owned(),
            400,
            "unsupported_grant_type",
        ),
        ("no grant", Some(&right), String::new(), 400, "invalid_request"),
        ("a field twice", Some(&right), format!("{grant}&{grant}"), 400, "invalid_request"),
        ("crowded", Some(&right), crowded, 400, "invalid_request"),
        ("long", Some(&right), long, 400, "invalid_request"),
        ("wrong secret", Some(&basic("robot", "wrong")), grant.to_owned(), 401, "invalid_client"),
        ("nobody", Some(&basic("nobody", "wrong")), grant.to_owned(), 401, "invalid_client"),
        ("nothing", None, grant.to_owned(), 401, "invalid_client"),
        ("bearer", Some("Bearer x"), grant.to_owned(), 401, "invalid_client"),
        ("not base64", Some("Basic ?"), grant.to_owned(), 401, "invalid_client"),
        ("a person", Some(&basic("ana", "a+long+enough+secret")), grant.to_owned(), 400, "unauthorized_client"),
    ] {
        let reply = ask(&w, authorization, &body).await;
        let status = if want == "invalid" { 401 } else { status };
        assert_eq!(reply.status, status, "{what}: {}", reply.body);
        assert!(reply.body.contains(want), "{what}: {}", reply.body);
        let headers: BTreeMap<_, _> = reply.headers.iter().cloned().collect();
        assert_eq!(headers["cache-control"], "no-store", "{what}");
        assert_eq!(headers.contains_key("www-authenticate"), status == 401, "{what}");
        assert!(!format!("{reply:?}").contains("eyJ"), "{what}");
    }
    let reply = ask(&w, Some(&right), grant).await;
    let body: Value = serde_json::from_str(&reply.body).unwrap();
    let auth = TokenAuthenticator::new(vec![w.issuer.entry()]).unwrap();
    let robot = auth.verify(body["access_token"].as_str().unwrap(), at(0)).await.unwrap();
    assert_eq!(
        (robot.name.as_str(), robot.kind, body["expires_in"].as_u64()),
        ("robot", IdentityKind::Machine, Some(3600))
    );
    let json_type = TokenRequest {
        authorization: Some(&right),
        content_type: Some("application/json"),
        body: b"{}",
        source: "192.0.2.7".parse().unwrap(),
    };
    assert_eq!(w.issuer.token(json_type, at(0)).await.status, 400);
    for _ in 0..5 {
        ask(&w, Some(&basic("helper", "wrong")), grant).await;
    }
    let slowed = ask(&w, Some(&basic("helper", "a+long+enough+secret")), grant).await;
    assert_eq!(slowed.status, 429);
    assert!(slowed.headers.iter().any(|(k, v)| *k == "retry-after" && v == "30"), "{:?}", slowed.headers);
}

#[tokio::test]
async fn a_pipeline_token_is_pinned_by_what_cannot_be_renamed() {
    let keys = Arc::new(MemoryKeys::default());
    let ci = open("ci", "https://gw.example/ci", &keys, None, at(0)).await;
    let job = GithubJob::example();
    let mut config = IssuerConfig::new("ci", "https://gw.example/ci", &["countersign"]);
    config.kind = IdentityKind::Machine;
    let when = [
        ("repository_id", job.repository_id.to_string()),
        ("job_workflow_ref", "acme/shop/.github/workflows/deploy.yml@refs/heads/main".to_owned()),
    ];
    config.mapping = vec![MappingRule {
        when: when.into_iter().map(|(k, v)| (k.to_owned(), ClaimMatch::Text(v))).collect(),
        name: Some("ci-deploy".to_owned()),
        groups: vec!["ci-deployers".to_owned()],
        kind: None,
    }];
    assert_eq!(check(std::slice::from_ref(&config)), vec![]);
    let auth = TokenAuthenticator::new(vec![ci.entry_with(config)]).unwrap();
    let mint = |job: &GithubJob| {
        let request = MintRequest {
            subject: job.subject(),
            audience: None,
            lifetime_s: Some(300),
            token_type: "JWT",
            claims: job.claims(),
        };
        text(&ci.mint(request, at(0)).unwrap())
    };
    let identity = auth.verify(&mint(&job), at(1)).await.unwrap();
    assert_eq!((identity.name.as_str(), identity.kind), ("ci-deploy", IdentityKind::Machine));
    assert_eq!(identity.subject, "repo:acme/shop:ref:refs/heads/main");
    assert_eq!(identity.groups.iter().collect::<Vec<_>>(), ["ci-deployers"]);
    for claim in [
        "repository_id",
        "job_workflow_ref",
        "ref",
        "sha",
        "run_id",
        "run_attempt",
        "runner_environment",
        "actor",
        "event_name",
    ] {
        assert!(identity.claims.contains_key(claim), "{claim}");
    }
    let taken_over = GithubJob { repository_id: 1, ..job.clone() };
    assert_eq!(outcome(&auth, &mint(&taken_over), at(1)).await, "unmapped");
    let branch = GithubJob { git_ref: "refs/heads/feature".to_owned(), ..job.clone() };
    assert_eq!(outcome(&auth, &mint(&branch), at(1)).await, "unmapped");
    let with_environment = GithubJob { environment: Some("production".to_owned()), ..job };
    assert_eq!(
        auth.verify(&mint(&with_environment), at(1)).await.unwrap().subject,
        "repo:acme/shop:environment:production"
    );
}

#[tokio::test]
async fn what_may_be_minted_has_limits() {
    let w = world("https://gw.example/local").await;
    let mint = |lifetime_s: u64, claims: Value| {
        let claims = claims.as_object().unwrap().clone();
        let request = MintRequest {
            subject: "s".to_owned(),
            audience: None,
            lifetime_s: Some(lifetime_s),
            token_type: "at+jwt",
            claims,
        };
        w.issuer.mint(request, at(0)).is_ok()
    };
    assert!(mint(1, json!({"x": 1})));
    assert!(mint(MINT_LIFETIME_S_MAX, json!({})));
    assert!(!mint(MINT_LIFETIME_S_MAX + 1, json!({})));
    assert!(!mint(0, json!({})));
    for own in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"] {
        assert!(!mint(60, json!({own: "x"})), "{own}");
    }
    let shown = format!("{:?}", w.accounts.list().await.unwrap());
    assert!(shown.contains("ana") && !shown.contains("argon2"), "{shown}");
}
