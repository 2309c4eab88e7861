//! A local issuer with people, and a browser and a client written by hand.

use std::net::IpAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_enforce::{Alert, AlertSink, BoxFuture};
use countersign_identity::TokenAuthenticator;
use countersign_identity::local::{
    Added, CLI_CLIENT_ID, ClientConfig, LocalIssuer, LocalIssuerConfig, MemoryAccounts, MemoryKeys, MemoryShortLived,
    NewAccount, PageRequest, Reply, ShortLived, ShortLivedKind, ShortLivedStore, SignInConfig, StoreFault,
    TokenRequest,
};
use countersign_model::{IdentityKind, Secret, Severity, Timestamp};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

pub(crate) const ALL: &str = "openid profile offline_access";
pub(crate) const ISSUER: &str = "https://gw.example/idp";
pub(crate) const PASSWORD: &str = "correct horse battery";
pub(crate) const CLIENT_SECRET: &str = "a long enough secret";
pub(crate) const CALLBACK: &str = "http://127.0.0.1:43117/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const REFRESH_S: u64 = 8 * 3600;
pub(crate) const TOKEN_S: u64 = 900;

/// Hears alerts.
#[derive(Default)]
pub(crate) struct Alarms(Mutex<Vec<Alert>>);

impl AlertSink for Alarms {
    fn raise(&self, alert: Alert) {
        self.0.lock().push(alert);
    }
}

impl Alarms {
    /// What was heard since the last call; all of it must be grave and name ana.
    pub(crate) fn heard(&self) -> Vec<String> {
        let heard = std::mem::take(&mut *self.0.lock());
        assert!(heard.iter().all(|a| a.severity == Severity::High && a.identity == "ana"), "{heard:?}");
        heard.into_iter().map(|a| a.what).collect()
    }
}

/// Lets others go first before each step, now and then, so that requests at once meet between any two steps.
#[derive(Default)]
struct Halting(MemoryShortLived);

async fn halt<T>(step: BoxFuture<'_, T>) -> T {
    for _ in 0..rand::random_range(0..3) {
        tokio::task::yield_now().await;
    }
    step.await
}

impl ShortLivedStore for Halting {
    fn add<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        entry: &'a ShortLived,
        most: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Added, StoreFault>> {
        Box::pin(async move { halt(Box::pin(async move { self.0.add(kind, digest, entry, most, now).await })).await })
    }

    fn find<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
    ) -> BoxFuture<'a, Result<Option<ShortLived>, StoreFault>> {
        Box::pin(async move { halt(Box::pin(async move { self.0.find(kind, digest).await })).await })
    }

    fn consume<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move { halt(Box::pin(async move { self.0.consume(kind, digest, now).await })).await })
    }

    fn replace<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        old: &'a str,
        new: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move { halt(Box::pin(async move { self.0.replace(kind, digest, old, new, now).await })).await })
    }

    fn end<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        until: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move { halt(Box::pin(async move { self.0.end(kind, digest, until, now).await })).await })
    }

    fn purge(&self, now: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        self.0.purge(now)
    }
}

pub(crate) struct House {
    pub(crate) issuer: Arc<LocalIssuer>,
    pub(crate) accounts: Arc<MemoryAccounts>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) auth: TokenAuthenticator,
}

pub(crate) fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(1_800_000_000 + s)
}

pub(crate) fn source() -> IpAddr {
    "192.0.2.7".parse().unwrap()
}

/// Two gateways over the same store, and its accounts: ana and bo are people, robot is none.
pub(crate) async fn two_houses() -> (House, House) {
    let (keys, accounts) = (Arc::new(MemoryKeys::default()), Arc::new(MemoryAccounts::default()));
    let state = Arc::new(Halting::default());
    let alarms = Arc::new(Alarms::default());
    let one = async || {
        let config = LocalIssuerConfig {
            label: "local".to_owned(),
            issuer: ISSUER.to_owned(),
            audience: "countersign".to_owned(),
            token_lifetime_s: TOKEN_S,
        };
        let console = ClientConfig {
            id: "console".to_owned(),
            redirect_uris: vec!["https://console.example/back?x=1".to_owned()],
            secret: Some(Secret::from(CLIENT_SECRET.to_owned())),
        };
        let sign_in = SignInConfig {
            clients: vec![console],
            refresh_lifetime_s: REFRESH_S,
            state: state.clone(),
            alerts: alarms.clone(),
        };
        let issuer = LocalIssuer::open(config, keys.clone(), Some(accounts.clone()), at(0)).await.unwrap();
        let issuer = Arc::new(issuer.with_sign_in(sign_in).unwrap());
        let auth = TokenAuthenticator::new(vec![issuer.entry()]).unwrap();
        House { issuer, accounts: accounts.clone(), alarms: alarms.clone(), auth }
    };
    let (a, b) = (one().await, one().await);
    for (name, kind) in [("ana", IdentityKind::Human), ("bo", IdentityKind::Human), ("robot", IdentityKind::Machine)] {
        let groups = ["analysts".to_owned()].into();
        let secret = Some(Secret::from(PASSWORD.to_owned()));
        a.issuer.create_account(NewAccount { name: name.to_owned(), kind, groups, secret }, at(0)).await.unwrap();
    }
    (a, b)
}

pub(crate) async fn house() -> House {
    two_houses().await.0
}

pub(crate) fn challenge() -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER))
}

pub(crate) fn encode(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub(crate) fn header<'r>(reply: &'r Reply, name: &str) -> &'r str {
    reply.headers.iter().find(|(k, _)| *k == name).map_or("", |(_, v)| v.as_str())
}

pub(crate) fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or(Value::Null)
}

/// The value of the first input of that name.
pub(crate) fn input(page: &str, name: &str) -> String {
    let tag = page.split("<input").find(|t| t.contains(&format!("name=\"{name}\""))).unwrap_or_default();
    tag.split("value=\"").nth(1).and_then(|v| v.split('"').next()).unwrap_or_default().to_owned()
}

/// A browser with one cookie.
#[derive(Default)]
pub(crate) struct Browser {
    pub(crate) cookie: Option<String>,
}

impl Browser {
    pub(crate) fn request<'a>(&'a self, posted: bool, query: &'a str, body: &'a str) -> PageRequest<'a> {
        PageRequest {
            posted,
            query,
            cookie: self.cookie.as_deref(),
            content_type: posted.then_some("application/x-www-form-urlencoded"),
            body: body.as_bytes(),
            same_origin: true,
            source: source(),
        }
    }

    /// Keeps the cookie of an answer.
    pub(crate) fn keep(&mut self, reply: &Reply) {
        if let Some(cookie) = header(reply, "set-cookie").split(';').next().filter(|c| !c.is_empty()) {
            self.cookie = Some(format!("other=1; {cookie}"));
        }
    }

    /// Opens the sign-in page, fills it in and sends it.
    pub(crate) async fn sign_in(&mut self, house: &House, query: &str, name: &str, password: &str, s: i64) -> Reply {
        let page = house.issuer.authorize(self.request(false, query, ""), at(s)).await;
        self.keep(&page);
        let token = input(&page.body, "form");
        let body = encode(&[("form", &token), ("name", name), ("password", password), ("answer", "allow")]);
        house.issuer.authorize(self.request(true, query, &body), at(s)).await
    }

    /// Types a device's code; gives the page that asks.
    pub(crate) async fn type_code(&mut self, house: &House, code: &str, s: i64) -> Reply {
        let page = house.issuer.device(self.request(false, "", ""), at(s)).await;
        self.keep(&page);
        let body = encode(&[("form", &input(&page.body, "form")), ("user_code", code)]);
        house.issuer.device(self.request(true, "", &body), at(s)).await
    }

    /// Answers the page that asks.
    pub(crate) async fn answer(
        &mut self,
        house: &House,
        page: &Reply,
        name: &str,
        password: &str,
        answer: &str,
        s: i64,
    ) -> Reply {
        let (form, code) = (input(&page.body, "form"), input(&page.body, "user_code"));
        let fields =
            [("form", form.as_str()), ("user_code", &code), ("name", name), ("password", password), ("answer", answer)];
        house.issuer.device(self.request(true, "", &encode(&fields)), at(s)).await
    }
}

pub(crate) fn query_of(scope: &str) -> String {
    encode(&[
        ("response_type", "code"),
        ("client_id", CLI_CLIENT_ID),
        ("redirect_uri", CALLBACK),
        ("code_challenge", &challenge()),
        ("code_challenge_method", "S256"),
        ("scope", scope),
        ("state", "a state & more"),
        ("nonce", "n-1"),
    ])
}

/// The field of a redirect's query.
pub(crate) fn sent_back(reply: &Reply, name: &str) -> Option<String> {
    let (_, query) = header(reply, "location").split_once('?')?;
    form_urlencoded::parse(query.as_bytes()).find(|(k, _)| k == name).map(|(_, v)| v.into_owned())
}

pub(crate) fn post<'a>(authorization: Option<&'a str>, body: &'a str) -> TokenRequest<'a> {
    let content_type = Some("application/x-www-form-urlencoded");
    TokenRequest { authorization, content_type, body: body.as_bytes(), source: source() }
}

pub(crate) async fn token(house: &House, fields: &[(&str, &str)], s: i64) -> Reply {
    house.issuer.token(post(None, &encode(fields)), at(s)).await
}

/// A code for ana, for the built-in client.
pub(crate) async fn code(house: &House, scope: &str, s: i64) -> String {
    let reply = Browser::default().sign_in(house, &query_of(scope), "ana", PASSWORD, s).await;
    assert_eq!(reply.status, 303, "{}", reply.body);
    sent_back(&reply, "code").expect("a code")
}

pub(crate) async fn redeem(house: &House, code: &str, s: i64) -> Reply {
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", CLI_CLIENT_ID),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    token(house, &fields, s).await
}

pub(crate) async fn refresh(house: &House, token_: &str, s: i64) -> Reply {
    token(house, &[("grant_type", "refresh_token"), ("client_id", CLI_CLIENT_ID), ("refresh_token", token_)], s).await
}

/// The word for what the gateway says to an access token.
pub(crate) async fn accepted(house: &House, access: &str, s: i64) -> &'static str {
    house.auth.verify(access, at(s)).await.as_ref().map_or_else(countersign_identity::Rejection::as_str, |_| "ok")
}

/// A text of an answer.
pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value}")).to_owned()
}

/// A device asks.
pub(crate) async fn ask(house: &House, s: i64) -> Value {
    let body = encode(&[("client_id", CLI_CLIENT_ID), ("scope", ALL)]);
    json(&house.issuer.device_authorization(post(None, &body), at(s)).await)
}

/// A device asks whether the person has answered.
pub(crate) async fn poll(house: &House, device_code: &str, s: i64) -> Value {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", CLI_CLIENT_ID),
        ("device_code", device_code),
    ];
    json(&token(house, &fields, s).await)
}
