//! Who asks, what answers, and what notes what was recorded: policies, locks and the store are real.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_api::{
    Answer, Api, ApiKeyBody, ApiKeyDoor, ApiKeyDoors, ApiKeyList, ApiKeyPage, ApiKeyRevocation, ApiKeyView,
    AppliedView, Apply, Caller, CallerKey, Callers, ConfigurationDoor, ConfigurationDoors, Desk, DiffView, DoorRequest,
    FactorCall, FactorDoor, FactorDoors, GrantCall, GrantDoor, GrantDoors, IdentityDoor, IdentityDoors, KnownCaller,
    MayApply, NewApiKeyView, OpenSqlBody, Pages, Peer, PolicyPage, Problem, ReviewChallengeBody, ReviewDoor,
    ReviewDoors, ReviewQuery, ReviewVerb, RevisionDetailView, RevisionPage, RunSqlBody, ServeOptions, SqlCaller,
    SqlDoor, SqlDoors, SqlExportView, SqlPage, SqlView, TagPage, TargetDoor, TargetDoors, TargetPage, TargetQuery,
    VOCABULARY, Wanted,
};
use countersign_enforce::*;
use countersign_locks::{LockConfig, LockKind, LockService, Matcher, NewLock};
use countersign_model::*;
use countersign_notices::{Notices, NoticesParts};
use countersign_policy::{Language, PolicyFile, PolicySet};
use countersign_store::{Store, StoreConfig};

use crate::support::Server;

const POLICY: &str = r#"
@id("responders")
permit (principal in Group::"responders", action in [Action::"read", Action::"admin"], resource == Target::"countersign");
@id("auditors")
permit (principal in Group::"auditors", action == Action::"read", resource == Target::"countersign");
@id("on-call")
permit (principal in Group::"on-call", action in [Action::"read", Action::"admin"], resource == Target::"countersign")
when { context.operation == "locks.add" };
@id("dbas-of-everything-else")
permit (principal in Group::"dbas", action, resource in Label::"env:prod");
"#;

/// Everybody who asks. `helper` is an AI agent without groups that acts for a responder.
pub(crate) const ACTORS: [&str; 8] = ["-", "nobody", "stranger", "auditor", "on-call", "responder", "helper", "locked"];

struct Known;

fn identity(name: &str) -> Option<Arc<Identity>> {
    let group = match name {
        "stranger" => "dbas",
        "auditor" => "auditors",
        "on-call" => "on-call",
        "responder" | "helper" | "locked" => "responders",
        _ => return None,
    };
    let helper = Actor {
        subject: "helper".to_owned(),
        issuer: "https://ai".to_owned(),
        name: "helper".to_owned(),
        kind: IdentityKind::Agent,
        signer: None,
        groups: BTreeSet::new(),
        claims: Default::default(),
    };
    #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
    Some(Arc::new(Identity::mint(IdentityParts {
        subject: name.to_owned(),
        issuer: "https://i".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: BTreeSet::from([group.to_owned()]),
        claims: Default::default(),
        delegation: if name == "helper" { vec![helper] } else { Vec::new() },
        credential: CredentialBinding::Bound,
        token_id: None,
        key: None,
        login: None,
        signer: None,
        issued_at: Timestamp::from_unix_s(0),
        expires_at: Timestamp::from_unix_s(i64::MAX / 2_000_000),
    })))
}

impl Callers for Known {
    fn identify(&self, request: DoorRequest) -> BoxFuture<'_, Result<Caller, Answer>> {
        let token = request.authorization.as_ref().and_then(|a| a.expose_str()).unwrap_or_default();
        let token = token.strip_prefix("Bearer ").unwrap_or_default();
        // `NAME+OPERATION+OPERATION`: a key of theirs for these.
        let mut parts = token.split('+');
        let named = identity(parts.next().unwrap_or_default());
        let found = request.known.clone().or(named);
        let scope: BTreeSet<String> = parts.map(str::to_owned).collect();
        let key = |identity: &Arc<Identity>| CallerKey {
            id: "01JGV2XJ8E0000000000000KEY".to_owned(),
            name: "nightly".to_owned(),
            scope: scope.clone(),
            made_with: IdentityParts { token_id: Some("the-token".to_owned()), ..IdentityParts::clone(identity) },
        };
        let found = found.map(|identity| {
            let key = (!scope.is_empty()).then(|| Arc::new(key(&identity)));
            Caller { identity, key }
        });
        let headers = vec![("www-authenticate", "Bearer realm=\"countersign\"".to_owned())];
        let body = r#"{"error":"invalid_token","error_description":"who are you?"}"#.to_owned();
        Box::pin(std::future::ready(found.ok_or(Answer { status: 401, headers, body })))
    }

    fn standing<'a>(&'a self, _: &'a Caller, _: Timestamp) -> BoxFuture<'a, Standing> {
        Box::pin(std::future::ready(Standing::Stands))
    }
}

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Vec<String>>>);

impl Memory {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

impl Recorder for Memory {
    fn open(&self, s: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial> {
        self.add(format!("open {} on {}", s.identity.name, s.target.name));
        Ok(Box::new(self.clone()))
    }

    fn refused(&self, r: &Refused<'_>) -> Result<(), Denial> {
        self.add(format!("refused {} on {}: {:?}", r.user, r.target, r.denial.code));
        Ok(())
    }
}

impl SessionRecorder for Memory {
    fn intent(&mut self, i: &Intent<'_>) -> Result<Receipt, Denial> {
        self.add(format!("{:?} {} {}", i.verdict.decision, i.shape.kind(), String::from_utf8_lossy(i.text)));
        Ok(Receipt::new(1))
    }

    fn durable(&self, _: Receipt) -> BoxFuture<'static, Result<(), Denial>> {
        self.add("durable".to_owned());
        Box::pin(std::future::ready(Ok(())))
    }

    fn output(&mut self, _: u64, _: Timestamp, _: &[u8]) -> Result<(), Denial> {
        Ok(())
    }

    fn outcome(&mut self, _: u64, _: Timestamp, _: u64, o: &Outcome) -> Result<(), Denial> {
        self.add(format!("{} {}", o.status.as_str(), o.code.as_deref().unwrap_or("-")));
        Ok(())
    }

    fn event(&mut self, _: Timestamp, _: &SessionEvent<'_>) -> Result<(), Denial> {
        Ok(())
    }

    fn close(&mut self, c: &Closed<'_>) -> Result<(), Denial> {
        self.add(format!("close {}", c.reason.as_str()));
        Ok(())
    }
}

/// Answers whoever comes with what it was asked: what that means is tested where it is decided.
struct Doors;

fn heard(what: impl std::fmt::Debug) -> BoxFuture<'static, Answer> {
    let body = serde_json::json!({ "heard": format!("{what:?}") }).to_string();
    Box::pin(std::future::ready(Answer { status: 200, headers: Vec::new(), body }))
}

impl IdentityDoors for Doors {
    fn exchange(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        heard("exchange")
    }

    fn renew(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        heard("renew")
    }

    fn logout(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        heard("logout")
    }

    fn whoami(&self, _: DoorRequest) -> BoxFuture<'_, Answer> {
        heard("whoami")
    }

    fn login_facts(&self) -> Answer {
        Answer { status: 200, headers: Vec::new(), body: "{}".to_owned() }
    }
}

impl ReviewDoors for Doors {
    fn list(&self, _: DoorRequest, query: ReviewQuery) -> BoxFuture<'_, Answer> {
        heard(query)
    }

    fn show(&self, _: DoorRequest, id: String) -> BoxFuture<'_, Answer> {
        heard(id)
    }

    fn challenge(&self, _: DoorRequest, id: String, body: ReviewChallengeBody) -> BoxFuture<'_, Answer> {
        heard((id, body))
    }

    fn act(&self, _: DoorRequest, id: String, verb: ReviewVerb) -> BoxFuture<'_, Answer> {
        heard((verb, id))
    }
}

impl FactorDoors for Doors {
    fn serve(&self, request: DoorRequest, call: FactorCall) -> BoxFuture<'_, Answer> {
        heard((request.known.map(|k| k.name.clone()), call))
    }
}

impl GrantDoors for Doors {
    fn serve(&self, request: DoorRequest, call: GrantCall) -> BoxFuture<'_, Answer> {
        heard((request.known.map(|k| k.name.clone()), call))
    }
}

impl ConfigurationDoors for Doors {
    fn list(&self, _: Option<u64>, _: usize) -> BoxFuture<'_, Result<RevisionPage, Problem>> {
        let page = RevisionPage { latest: 0, in_force: 0, problem: None, revisions: Vec::new(), next: None };
        Box::pin(async move { Ok(page) })
    }

    fn show(&self, _: u64) -> BoxFuture<'_, Result<RevisionDetailView, Problem>> {
        Box::pin(async { Err(Problem::with_status(404, "there is none")) })
    }

    fn diff(&self, _: Wanted, from: Option<u64>, may: MayApply) -> BoxFuture<'_, Result<DiffView, Problem>> {
        // Says with `locks_you_out` whether the rules of this world let the caller apply.
        let locks_you_out = may(&*rules());
        let base = from.unwrap_or(0);
        Box::pin(async move {
            let (changes, files, problems, warnings) = Default::default();
            Ok(DiffView { base, digest: String::new(), changes, files, problems, warnings, locks_you_out })
        })
    }

    fn apply(&self, order: Apply) -> BoxFuture<'_, Result<AppliedView, Problem>> {
        Box::pin(async move { Ok(AppliedView { revision: order.base, changed: false, digest: order.by }) })
    }
}

impl TargetDoors for Doors {
    fn list(&self, query: &TargetQuery) -> TargetPage {
        // Says with `next` what it was asked.
        TargetPage { targets: Vec::new(), next: Some(format!("everybody {}", query.everybody)) }
    }

    fn tags(&self) -> TagPage {
        TagPage { targets: Vec::new() }
    }
}

fn nowhere<T: Send + 'static>() -> BoxFuture<'static, Result<T, Problem>> {
    Box::pin(async { Err(Problem::with_status(404, "there is none")) })
}

impl SqlDoors for Doors {
    fn open(&self, _: SqlCaller, _: OpenSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>> {
        nowhere()
    }

    fn list(&self, caller: SqlCaller) -> BoxFuture<'_, Result<SqlPage, Problem>> {
        // Only the console asks.
        assert_eq!(caller.source.ip().to_string(), "127.0.0.1");
        Box::pin(async { Ok(SqlPage { sessions: Vec::new() }) })
    }

    fn show(&self, _: SqlCaller, _: String, _: u64) -> BoxFuture<'_, Result<SqlView, Problem>> {
        nowhere()
    }

    fn run(&self, _: SqlCaller, _: String, _: RunSqlBody) -> BoxFuture<'_, Result<SqlView, Problem>> {
        nowhere()
    }

    fn cancel(&self, _: SqlCaller, _: String) -> BoxFuture<'_, Result<SqlView, Problem>> {
        nowhere()
    }

    fn close(&self, _: SqlCaller, _: String) -> BoxFuture<'_, Result<SqlView, Problem>> {
        nowhere()
    }

    fn export(&self, _: SqlCaller, _: String) -> BoxFuture<'_, Result<SqlExportView, Problem>> {
        nowhere()
    }
}

impl ApiKeyDoors for Doors {
    fn create<'a>(
        &'a self,
        caller: &'a Identity,
        new: ApiKeyBody,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NewApiKeyView, Problem>> {
        let key = api_key(caller, new.name, new.scope, now);
        Box::pin(std::future::ready(Ok(NewApiKeyView { secret: "csk_shown-once".to_owned(), key })))
    }

    fn list<'a>(&'a self, _: &'a Identity, _: ApiKeyList, _: Timestamp) -> BoxFuture<'a, Result<ApiKeyPage, Problem>> {
        Box::pin(std::future::ready(Ok(ApiKeyPage { keys: Vec::new(), next: None })))
    }

    fn revoke<'a>(
        &'a self,
        caller: &'a Identity,
        end: ApiKeyRevocation,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<ApiKeyView, Problem>> {
        Box::pin(std::future::ready(Ok(api_key(caller, end.by, BTreeSet::new(), now))))
    }
}

fn api_key(owner: &Identity, name: String, scope: BTreeSet<String>, now: Timestamp) -> ApiKeyView {
    let owner = countersign_api::ApiKeyOwnerView {
        name: owner.name.clone(),
        subject: owner.subject.clone(),
        issuer: owner.issuer.clone(),
    };
    let (created_at, expires_at) = (now.rfc3339(), now.rfc3339());
    ApiKeyView { id: "01J".to_owned(), live: true, name, owner, scope, created_at, expires_at, used: None, ended: None }
}

struct Silent;

impl AlertSink for Silent {
    fn raise(&self, _: Alert) {}
}

pub(crate) fn now() -> Timestamp {
    Timestamp::from_unix_s(1_767_614_400)
}

pub(crate) struct World {
    pub(crate) server: Server,
    /// Everything that is routed, as it describes itself.
    pub(crate) routed: Arc<Mutex<String>>,
    router: Arc<Mutex<Option<axum::Router>>>,
    pub(crate) memory: Memory,
    pub(crate) locks: Arc<LockService>,
    _dir: tempfile::TempDir,
}

fn rules() -> Arc<PolicySet> {
    let language = Arc::new(Language::new(&[VOCABULARY], &[]).unwrap());
    let file = PolicyFile { path: "p".to_owned(), text: POLICY.to_owned() };
    PolicySet::load(&[file], &language, 1).unwrap()
}

impl World {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let store = Store::open(&StoreConfig::Sqlite { path, timeout: Duration::from_secs(5) }).await.unwrap();
        let lasting = LockConfig { lease: Duration::from_secs(3_600), ..LockConfig::default() };
        let locks = Arc::new(LockService::open(store.clone(), lasting, Arc::new(Silent), now()).await.unwrap());
        let matcher = Matcher { name: Some("locked".to_owned()), ..Matcher::default() };
        let new = NewLock { matcher, kind: LockKind::Lock, reason: "a test".to_owned(), expires_at: None };
        locks.add(new, "a test", now()).await.unwrap();
        let policy = rules();
        let memory = Memory::default();
        let notices = Notices::start(NoticesParts {
            store: store.clone(),
            inbox: countersign_notices::queue().1,
            receivers: Vec::new(),
            base: String::new(),
            clock: now,
            tasks: tokio::runtime::Handle::current(),
        });
        let desk = Desk {
            notices,
            callers: Arc::new(Known),
            policy: Arc::new(countersign_policy::PolicyStore::new(policy)),
            recorder: Arc::new(memory.clone()),
            alerts: Arc::new(Silent),
            locks: locks.clone(),
            sessions: Arc::default(),
            store,
            recordings: Arc::new(countersign_recording::Reader::new(dir.path().join("recordings"))),
            policies: Arc::new(PolicyPage::default),
            ask: None,
            clock: now,
        };
        let routed = Arc::new(Mutex::new(String::new()));
        let seen = routed.clone();
        let router = Arc::<Mutex<Option<axum::Router>>>::default();
        let kept = router.clone();
        let api = Api {
            desk: Some(desk),
            identity: Some(IdentityDoor(Arc::new(Doors))),
            reviews: Some(ReviewDoor(Arc::new(Doors))),
            grants: Some(GrantDoor(Arc::new(Doors))),
            api_keys: Some(ApiKeyDoor(Arc::new(Doors))),
            targets: Some(TargetDoor(Arc::new(Doors))),
            sql: Some(SqlDoor(Arc::new(Doors))),
            configuration: Some(ConfigurationDoor(Arc::new(Doors))),
            factors: Some(FactorDoor(Arc::new(Doors))),
            pages: Some(Pages(Arc::new(move |all: axum::Router| {
                *seen.lock().unwrap() = format!("{all:?}");
                *kept.lock().unwrap() = Some(all);
                axum::Router::new()
            }))),
            ..Api::default()
        };
        let server = Server::start(api, ServeOptions::default()).await;
        Self { server, routed, router, memory, locks, _dir: dir }
    }

    /// The status of what a page of the console asks for somebody who is signed in there.
    pub(crate) async fn in_console(&self, method: &str, path: &str, body: &str) -> u16 {
        let router = self.router.lock().unwrap().clone().unwrap();
        let request =
            axum::http::Request::builder().method(method).uri(path).header("content-type", "application/json");
        let mut request = request.body(axum::body::Body::from(body.to_owned())).unwrap();
        let peer = Peer { address: "127.0.0.1:5".parse().unwrap(), encrypted: true, certificate: Vec::new().into() };
        request.extensions_mut().insert(peer);
        request.extensions_mut().insert(KnownCaller(identity("responder").unwrap()));
        tower::ServiceExt::oneshot(router, request).await.unwrap().status().as_u16()
    }

    pub(crate) async fn ask(&self, actor: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
        let authorization = if actor == "-" { String::new() } else { format!("Authorization: Bearer {actor}\r\n") };
        let (len, kind) = (body.len(), if body.is_empty() { "" } else { "Content-Type: application/json\r\n" });
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{kind}{authorization}{headers}\r\n{body}"
        );
        self.server.send(text.as_bytes()).await
    }
}
