//! Sign-in, sessions of browsers and their ends, with a clock of the test's: no browser, no issuer, a real store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, header};
use axum::routing::get;
use countersign_api::Peer;
use countersign_enforce::BoxFuture;
use countersign_model::*;
use countersign_store::{ShortLivedRecord, Store, StoreConfig};
use countersign_web::*;
use futures_util::StreamExt as _;
use tower::ServiceExt as _;

static NOW_S: AtomicI64 = AtomicI64::new(1_767_614_400);
/// One clock for all tests here: they take turns.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
const LIFE_S: i64 = 12 * 3_600;
const SIGN: &str = ": \n\n";

fn now() -> Timestamp {
    Timestamp::from_unix_s(NOW_S.load(Ordering::SeqCst))
}

fn pass(seconds: i64) {
    NOW_S.fetch_add(seconds, Ordering::SeqCst);
}

fn identity(name: &str) -> Arc<Identity> {
    #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
    Arc::new(Identity::mint(IdentityParts {
        subject: name.to_owned(),
        issuer: "https://i".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: BTreeSet::new(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: now(),
        expires_at: now(),
    }))
}

/// Logins by id, each with its secret, whose it is and when it ends.
#[derive(Default)]
struct Logins(Mutex<BTreeMap<String, Kept>>);

type Kept = (Vec<u8>, Arc<Identity>, Timestamp);

fn gone() -> Denial {
    Denial::new(Culprit::Client, DenialCode::Unauthenticated, ClientText::new("the login is over"))
}

impl People for Logins {
    fn issuers(&self) -> Vec<SignInIssuer> {
        vec![
            SignInIssuer { label: "corp".to_owned(), url: "https://i".to_owned(), saml: false },
            SignInIssuer { label: "saml".to_owned(), url: "https://s".to_owned(), saml: true },
        ]
    }

    fn page<'a>(&'a self, ask: &'a SignInAsk) -> BoxFuture<'a, Result<String, Trouble>> {
        let page = format!("https://i/authorize?state={}&redirect_uri={}", ask.state, ask.redirect_uri);
        Box::pin(async move { Ok(page) })
    }

    fn token<'a>(&'a self, answer: &'a SignInAnswer) -> BoxFuture<'a, Result<Secret, Trouble>> {
        Box::pin(async move { Ok(Secret::from(answer.code.expose_str().unwrap().to_owned())) })
    }

    fn saml_page<'a>(&'a self, ask: &'a SamlSignIn) -> BoxFuture<'a, Result<String, Trouble>> {
        let page = format!("https://s/sso?RelayState={}&id={}&acs={}", ask.relay_state, ask.request, ask.acs);
        Box::pin(async move { Ok(page) })
    }

    /// An answer is whom it is of and the request, with a dot between.
    fn saml_answer<'a>(
        &'a self,
        ask: &'a SamlSignIn,
        answer: &'a str,
        _: SocketAddr,
    ) -> BoxFuture<'a, Result<String, Denial>> {
        let fits = answer.split_once('.').filter(|(_, request)| *request == ask.request);
        let outcome = fits.map(|(who, _)| who.to_owned()).ok_or_else(gone);
        Box::pin(async move { outcome })
    }

    fn open_saml<'a>(
        &'a self,
        kept: &'a str,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move { self.open(&Secret::from(kept.to_owned()), secret, source).await })
    }

    fn saml_metadata(&self, label: &str, acs: &str) -> Option<String> {
        (label == "saml").then(|| format!("<md:EntityDescriptor>{acs}</md:EntityDescriptor>"))
    }

    fn linked<'a>(&'a self, account: &'a str) -> BoxFuture<'a, Result<Secret, Trouble>> {
        Box::pin(async move { Ok(Secret::from(account.to_owned())) })
    }

    fn open<'a>(
        &'a self,
        token: &'a Secret,
        secret: &'a Secret,
        _: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move {
            let mut all = self.0.lock().unwrap();
            // As everywhere, no login has the id of one that was there before.
            let login = format!("{:026}", rand::random::<u64>());
            let identity = identity(token.expose_str().unwrap());
            let expires_at = Timestamp::from_unix_s(now().unix_s() + LIFE_S);
            all.insert(login.clone(), (secret.expose().to_vec(), identity.clone(), expires_at));
            Ok(Entered { login, identity, expires_at })
        })
    }

    fn find<'a>(&'a self, login: &'a str, secret: &'a Secret, _: SocketAddr) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move {
            let all = self.0.lock().unwrap();
            let (kept, identity, expires_at) = all.get(login).ok_or_else(gone)?;
            if kept != secret.expose() || now() >= *expires_at {
                return Err(gone());
            }
            Ok(Entered { login: login.to_owned(), identity: identity.clone(), expires_at: *expires_at })
        })
    }

    fn close<'a>(&'a self, login: &'a str, _: &'a str) -> BoxFuture<'a, Result<(), Denial>> {
        self.0.lock().unwrap().remove(login);
        Box::pin(async { Ok(()) })
    }
}

struct World {
    router: Router,
    store: Store,
    _dir: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let store = Store::open(&StoreConfig::Sqlite { path, timeout: Duration::from_secs(5) }).await.unwrap();
        let console = Console {
            people: Arc::new(Logins::default()),
            store: store.clone(),
            bases: vec!["https://gw.example".to_owned(), "http://localhost:7070".to_owned()],
            clock: now,
        };
        // A sign of life each time that it is asked for one.
        let signs = || futures_util::stream::repeat_with(|| Ok::<_, Infallible>(SIGN));
        let api = Router::new()
            .route("/v1/reviews", get(|| async { r#"{"reviews":[]}"# }))
            .route("/v1/events", get(async move || Body::from_stream(signs())));
        Self { router: console.router(api), store, _dir: dir }
    }

    async fn ask(&self, peer: &str, encrypted: bool, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        let mut request = Request::get(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::empty()).unwrap();
        let peer = Peer { address: peer.parse().unwrap(), encrypted, certificate: Arc::default() };
        request.extensions_mut().insert(peer);
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// What a page of an identity provider posts.
    async fn post_saml(&self, label: &str, state: &str, answer: &str) -> Response<Body> {
        let form = format!("RelayState={state}&SAMLResponse={answer}");
        let request = Request::post(format!("/console/saml/{label}/acs")).header("origin", "https://s");
        let mut request = request.header("sec-fetch-site", "cross-site").body(Body::from(form)).unwrap();
        let peer = Peer { address: "192.0.2.1:9".parse().unwrap(), encrypted: true, certificate: Arc::default() };
        request.extensions_mut().insert(peer);
        self.router.clone().oneshot(request).await.unwrap()
    }

    /// From this machine.
    async fn near(&self, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
        self.ask("127.0.0.1:9", false, path, headers).await
    }

    async fn link(&self) -> String {
        let code = format!("code{}", rand::random::<u64>());
        let record = ShortLivedRecord {
            content: "ana".to_owned(),
            expires_at: Timestamp::from_unix_s(now().unix_s() + i64::try_from(LINK_S).unwrap()),
            consumed_at: None,
        };
        let name = link_name(&Secret::from(code.clone()));
        self.store.add_short_lived(LINK_KIND, &name, &record, 10, now()).await.unwrap();
        format!("/console/enter?code={code}")
    }

    async fn enter(&self) -> String {
        cookie(&self.near(&self.link().await, &[]).await, COOKIE).unwrap()
    }
}

fn cookie(response: &Response<Body>, name: &str) -> Option<String> {
    let all = response.headers().get_all(header::SET_COOKIE).iter();
    let mut pairs = all.filter_map(|v| v.to_str().unwrap().split(';').next().map(str::to_owned));
    pairs.find(|p| p.starts_with(&format!("{name}=")) && !p.ends_with('='))
}

fn location(response: &Response<Body>) -> &str {
    response.headers().get(header::LOCATION).map(|l| l.to_str().unwrap()).unwrap_or_default()
}

#[tokio::test]
async fn a_session_ends_when_nobody_is_there_and_at_its_end() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let idle = i64::try_from(IDLE_S).unwrap();
    let mine = w.enter().await;
    let status = async |headers: &[(&str, &str)]| w.near("/console/policies", headers).await.status().as_u16();
    assert_eq!(status(&[]).await, 303);
    assert_eq!(status(&[("cookie", &mine)]).await, 200);
    pass(idle);
    assert_eq!(status(&[("cookie", &mine)]).await, 200, "at the edge it is still awake");
    pass(idle);
    assert_eq!(status(&[("cookie", &mine)]).await, 200, "being there was noted");
    pass(idle + 1);
    assert_eq!(status(&[("cookie", &mine)]).await, 303);
    pass(-idle);
    assert_eq!(status(&[("cookie", &mine)]).await, 303, "it does not come back");

    let mine = w.enter().await;
    pass(idle - 60);
    assert_eq!(status(&[("cookie", &mine), ("hx-request", "true")]).await, 200);
    pass(61);
    let over = w.near("/console/policies", &[("cookie", &mine), ("hx-request", "true")]).await;
    assert_eq!(over.status(), 200);
    assert!(over.headers().contains_key("hx-redirect"), "what a page asks by itself keeps nobody awake");

    let mine = w.enter().await;
    for _ in 0..LIFE_S / idle {
        assert_eq!(status(&[("cookie", &mine)]).await, 200);
        pass(idle);
    }
    assert_eq!(status(&[("cookie", &mine)]).await, 303, "it has an end, however busy it is");
}

#[tokio::test]
async fn adv_a_stream_keeps_nobody_signed_in_and_ends_with_the_sign_in() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let idle = i64::try_from(IDLE_S).unwrap();
    let watch = async |mine: &str| {
        let headers = [("cookie", mine), ("accept", "text/event-stream"), ("sec-fetch-site", "same-origin")];
        let begun = w.near("/console/events", &headers).await;
        (begun.status().as_u16(), begun.into_body().into_data_stream())
    };
    let mine = w.enter().await;
    let (status, mut stream) = watch(&mine).await;
    assert_eq!(status, 200);
    assert_eq!(stream.next().await.unwrap().unwrap(), SIGN);
    pass(idle - 60);
    assert_eq!(stream.next().await.unwrap().unwrap(), SIGN);
    assert_eq!(watch(&mine).await.0, 200, "one that is opened again");
    pass(61);
    assert_eq!(stream.next().await.unwrap().unwrap(), "event: over\ndata: {}\n\n", "nobody was there");
    assert!(stream.next().await.is_none(), "nothing comes after it");
    assert_eq!(watch(&mine).await.0, 303);

    let mine = w.enter().await;
    let (_, mut stream) = watch(&mine).await;
    // A new sign-in of the same browser ends the one before.
    let link = w.link().await;
    assert!(cookie(&w.near(&link, &[("cookie", &mine)]).await, COOKIE).is_some());
    assert_eq!(stream.next().await.unwrap().unwrap(), "event: over\ndata: {}\n\n");
}

#[tokio::test]
async fn a_link_is_good_once_here_and_for_a_while() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let link = w.link().await;
    let far = w.ask("192.0.2.1:9", true, &link, &[]).await;
    assert_eq!((far.status().as_u16(), cookie(&far, COOKIE)), (403, None));
    let plain = w.ask("192.0.2.1:9", false, &link, &[]).await;
    assert_eq!(plain.status(), 403);
    assert!(cookie(&w.near(&link, &[]).await, COOKIE).is_some());
    let again = w.near(&link, &[]).await;
    assert_eq!((again.status().as_u16(), cookie(&again, COOKIE)), (403, None));
    let late = w.link().await;
    pass(i64::try_from(LINK_S).unwrap());
    assert_eq!(w.near(&late, &[]).await.status(), 403);
    assert_eq!(w.near("/console/enter?code=", &[]).await.status(), 403);
}

#[tokio::test]
async fn adv_a_sign_in_is_finished_in_time_and_only_by_who_began_it() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let begin = async || {
        let begun = w
            .ask("192.0.2.1:9", true, "/console/sign-in/start?with=corp&next=/console/inbox", &[("host", "gw.example")])
            .await;
        let state = location(&begun).split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
        assert!(location(&begun).ends_with("redirect_uri=https://gw.example/console/callback"));
        (cookie(&begun, "__Host-countersign-sign-in").unwrap(), state)
    };
    let back = async |cookie: &str, state: &str| {
        w.ask("192.0.2.1:9", true, &format!("/console/callback?code=ana&state={state}"), &[("cookie", cookie)]).await
    };
    let (mine, state) = begin().await;
    let (other, _) = begin().await;
    for (what, cookie_of, state_of) in
        [("no cookie", "", state.as_str()), ("another's", &other, &state), ("none", &mine, "")]
    {
        let refused = back(cookie_of, state_of).await;
        assert_eq!((refused.status().as_u16(), cookie(&refused, COOKIE)), (403, None), "{what}");
    }
    let entered = back(&mine, &state).await;
    assert_eq!((entered.status().as_u16(), location(&entered)), (303, "/console/inbox"));
    assert!(cookie(&entered, COOKIE).is_some());
    assert_eq!(back(&mine, &state).await.status(), 403, "once");
    let (mine, state) = begin().await;
    pass(i64::try_from(PENDING_S).unwrap());
    assert_eq!(back(&mine, &state).await.status(), 403, "in time");
    // From an address that no issuer knows, the sign-in goes on at the usual one, never at what the client says.
    let elsewhere = w.ask("192.0.2.1:9", true, "/console/sign-in/start?with=corp", &[("host", "evil.example")]).await;
    assert_eq!(location(&elsewhere), "https://gw.example/console/sign-in?next=%2Fconsole");
}

/// Begins at the identity provider: the browser's cookie, the state that comes back, and the id of the request.
async fn begin_saml(w: &World) -> (String, String, String) {
    let start = "/console/sign-in/start?with=saml&next=/console/inbox";
    let begun = w.ask("192.0.2.1:9", true, start, &[("host", "gw.example")]).await;
    let field = |name: &str| {
        let query = location(&begun).split_once('?').unwrap().1.to_owned();
        query.split('&').find_map(|p| p.strip_prefix(&format!("{name}=")).map(str::to_owned)).unwrap()
    };
    assert_eq!(field("acs"), "https://gw.example/console/saml/saml/acs");
    (cookie(&begun, "__Host-countersign-sign-in").unwrap(), field("RelayState"), field("id"))
}

#[tokio::test]
async fn adv_088_what_an_identity_provider_asserts_is_for_the_browser_that_began() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let finish = async |to: &str, cookie: &str| w.ask("192.0.2.1:9", true, to, &[("cookie", cookie)]).await;
    // The page of another site posts it: no cookie comes with it, and none is made.
    let (mine, state, request) = begin_saml(&w).await;
    let (other, ..) = begin_saml(&w).await;
    let posted = w.post_saml("saml", &state, &format!("ana.{request}")).await;
    let to = location(&posted).to_owned();
    assert_eq!((posted.status().as_u16(), cookie(&posted, COOKIE)), (303, None));
    assert!(to.starts_with("/console/saml/finish?answer="));
    for (what, cookie_of, to) in
        [("no cookie", "", to.as_str()), ("another's", &other, &to), ("no answer", &mine, "/console/saml/finish")]
    {
        let refused = finish(to, cookie_of).await;
        assert_eq!((refused.status().as_u16(), cookie(&refused, COOKIE)), (403, None), "{what}");
    }
    let entered = finish(&to, &mine).await;
    assert_eq!((entered.status().as_u16(), location(&entered)), (303, "/console/inbox"));
    assert!(cookie(&entered, COOKIE).is_some());
    assert_eq!(finish(&to, &mine).await.status(), 403, "once");
    assert_eq!(w.post_saml("saml", &state, &format!("ana.{request}")).await.status(), 403, "answered once");

    // Nobody asked, somebody else was asked, another request, nothing at all.
    let (mine, state, request) = begin_saml(&w).await;
    for (what, label, state, answer) in [
        ("unsolicited", "saml", "made-up", format!("ana.{request}")),
        ("no state", "saml", "", format!("ana.{request}")),
        ("another provider", "corp", &state, format!("ana.{request}")),
        ("another request", "saml", &state, "ana._x".to_owned()),
        ("nothing", "saml", &state, String::new()),
    ] {
        let refused = w.post_saml(label, state, &answer).await;
        assert_eq!((refused.status().as_u16(), cookie(&refused, COOKIE)), (403, None), "{what}");
    }
    // None of it used the sign-in up; and it may take a while, but not for ever.
    let posted = w.post_saml("saml", &state, &format!("ana.{request}")).await;
    pass(60);
    assert_eq!(finish(location(&posted), &mine).await.status(), 403, "the browser comes at once");
    let (_, state, request) = begin_saml(&w).await;
    pass(i64::try_from(PENDING_S).unwrap());
    assert_eq!(w.post_saml("saml", &state, &format!("ana.{request}")).await.status(), 403, "in time");
}

#[tokio::test]
async fn a_sign_in_by_saml_begins_where_the_identity_provider_answers_to() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let start = "/console/sign-in/start?with=saml&next=/console/inbox";
    let begun = w.ask("127.0.0.1:9", false, start, &[("host", "localhost:7070")]).await;
    let usual = "https://gw.example/console/sign-in/start?with=saml&next=%2Fconsole%2Finbox";
    assert_eq!((location(&begun), cookie(&begun, "__Host-countersign-sign-in")), (usual, None));
    let metadata = w.near("/console/saml/saml/metadata", &[]).await;
    assert_eq!(metadata.headers()[header::CONTENT_TYPE], "application/samlmetadata+xml");
    assert_eq!(w.near("/console/saml/corp/metadata", &[]).await.status(), 404);
    let (_, state, request) = begin_saml(&w).await;
    let answer = |n: usize| format!("ana.{request}&pad={}", "a".repeat(n));
    let fixed = format!("RelayState={state}&SAMLResponse={}", answer(0)).len();
    assert_eq!(w.post_saml("saml", &state, &answer(512 * 1024 - fixed + 1)).await.status(), 403);
    assert_eq!(w.post_saml("saml", &state, &answer(512 * 1024 - fixed)).await.status(), 303);
}

#[tokio::test]
async fn adv_other_sites_load_nothing() {
    let _turn = TURN.lock().await;
    let w = World::new().await;
    let mine = w.enter().await;
    for (site, mode, fine) in [
        ("same-origin", "navigate", true),
        ("same-origin", "cors", true),
        ("none", "navigate", true),
        ("cross-site", "navigate", true),
        ("cross-site", "cors", false),
        ("cross-site", "no-cors", false),
        ("same-site", "cors", false),
    ] {
        let headers = [("cookie", mine.as_str()), ("sec-fetch-site", site), ("sec-fetch-mode", mode)];
        let answer = w.near("/console/policies", &headers).await;
        assert_eq!(answer.status() == 200, fine, "{site} {mode}");
    }
    assert_eq!(
        w.ask("192.0.2.1:9", false, "/console/policies", &[("cookie", &mine)]).await.status(),
        403,
        "an open wire"
    );
}
