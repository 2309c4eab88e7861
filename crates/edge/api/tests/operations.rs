//! Every actor at every operation, over real sockets with real policies and a real store: what they get, and what is recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_api::{
    Answer, Api, Callers, Desk, DoorRequest, GrantCall, GrantDoor, GrantDoors, IdentityDoor, IdentityDoors, OPERATIONS,
    Pages, PolicyPage, ReviewDoor, ReviewDoors, ReviewQuery, ReviewVerb, ServeOptions, VOCABULARY, Who,
};
use countersign_enforce::*;
use countersign_locks::{LockConfig, LockKind, LockService, Matcher, NewLock};
use countersign_model::*;
use countersign_policy::{Language, PolicyFile, PolicySet};
use countersign_store::{Store, StoreConfig};

mod support;

use support::{Server, status};

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
const ACTORS: [&str; 8] = ["-", "nobody", "stranger", "auditor", "on-call", "responder", "helper", "locked"];

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
    fn identify(&self, request: DoorRequest) -> BoxFuture<'_, Result<Arc<Identity>, Answer>> {
        let token = request.authorization.as_ref().and_then(|a| a.expose_str()).unwrap_or_default();
        let found = token.strip_prefix("Bearer ").and_then(identity);
        let headers = vec![("www-authenticate", "Bearer realm=\"countersign\"".to_owned())];
        let body = r#"{"error":"invalid_token","error_description":"who are you?"}"#.to_owned();
        Box::pin(std::future::ready(found.ok_or(Answer { status: 401, headers, body })))
    }

    fn standing<'a>(&'a self, _: &'a Identity, _: Timestamp) -> BoxFuture<'a, Standing> {
        Box::pin(std::future::ready(Standing::Stands))
    }
}

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<String>>>);

impl Memory {
    fn add(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }

    fn take(&self) -> Vec<String> {
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

    fn act(&self, _: DoorRequest, id: String, verb: ReviewVerb) -> BoxFuture<'_, Answer> {
        heard((verb, id))
    }
}

impl GrantDoors for Doors {
    fn serve(&self, request: DoorRequest, call: GrantCall) -> BoxFuture<'_, Answer> {
        heard((request.known.map(|k| k.name.clone()), call))
    }
}

struct Silent;

impl AlertSink for Silent {
    fn raise(&self, _: Alert) {}
}

fn now() -> Timestamp {
    Timestamp::from_unix_s(1_767_614_400)
}

struct World {
    server: Server,
    /// Everything that is routed, as it describes itself.
    routed: Arc<Mutex<String>>,
    memory: Memory,
    locks: Arc<LockService>,
    _dir: tempfile::TempDir,
}

impl World {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.db");
        let store = Store::open(&StoreConfig::Sqlite { path, timeout: Duration::from_secs(5) }).await.unwrap();
        let lasting = LockConfig { lease: Duration::from_secs(3_600), ..LockConfig::default() };
        let locks = Arc::new(LockService::open(store.clone(), lasting, Arc::new(Silent), now()).await.unwrap());
        let matcher = Matcher { name: Some("locked".to_owned()), ..Matcher::default() };
        let new = NewLock { matcher, kind: LockKind::Lock, reason: "a test".to_owned(), expires_at: None };
        locks.add(new, "a test", now()).await.unwrap();
        let language = Arc::new(Language::new(&[VOCABULARY], &[]).unwrap());
        let file = PolicyFile { path: "p".to_owned(), text: POLICY.to_owned() };
        let policy = PolicySet::load(&[file], &language, 1).unwrap();
        let memory = Memory::default();
        let desk = Desk {
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
        let api = Api {
            desk: Some(desk),
            identity: Some(IdentityDoor(Arc::new(Doors))),
            reviews: Some(ReviewDoor(Arc::new(Doors))),
            grants: Some(GrantDoor(Arc::new(Doors))),
            pages: Some(Pages(Arc::new(move |all: axum::Router| {
                *seen.lock().unwrap() = format!("{all:?}");
                axum::Router::new()
            }))),
            ..Api::default()
        };
        let server = Server::start(api, ServeOptions::default()).await;
        Self { server, routed, memory, locks, _dir: dir }
    }

    async fn ask(&self, actor: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
        let authorization = if actor == "-" { String::new() } else { format!("Authorization: Bearer {actor}\r\n") };
        let (len, kind) = (body.len(), if body.is_empty() { "" } else { "Content-Type: application/json\r\n" });
        let text = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len}\r\n{kind}{authorization}{headers}\r\n{body}"
        );
        self.server.send(text.as_bytes()).await
    }
}

/// The status that each actor gets at each operation; a new operation needs a row.
const MATRIX: &str = "\
operation           -   nobody stranger auditor on-call responder helper locked
locks.list          401 401    403      200     403     200       403    403
locks.add           401 401    403      403     201     201       403    403
locks.dry-run       401 401    403      200     403     200       403    403
locks.show          401 401    403      200     403     200       403    403
locks.remove        401 401    403      403     403     200       403    403
sessions.list       401 401    403      200     403     200       403    403
sessions.show       401 401    403      404     403     404       403    403
sessions.end        401 401    403      403     403     404       403    403
recordings.list     401 401    403      200     403     200       403    403
recordings.activity 401 401    403      200     403     200       403    403
recordings.show     401 401    403      404     403     404       403    403
policies.show       401 401    403      200     403     200       403    403
";

#[tokio::test]
async fn every_actor_gets_what_is_theirs_at_every_operation() {
    let w = World::start().await;
    let mut rows = vec![format!("{:<20}{}", "operation", header())];
    for operation in OPERATIONS.iter().filter(|o| matches!(o.who, Who::Policy(_))) {
        let mut row = format!("{:<20}", operation.name);
        for actor in ACTORS {
            let new = NewLock {
                matcher: Matcher { name: Some("somebody".to_owned()), ..Matcher::default() },
                kind: LockKind::Lock,
                reason: "a test".to_owned(),
                expires_at: None,
            };
            let lock = w.locks.add(new, "a test", now()).await.unwrap().id;
            let id = if operation.name.starts_with("locks") { lock.as_str() } else { "01JGV2XJ8E0000000000000000" };
            let reason = if operation.method == "DELETE" { "?reason=over" } else { "" };
            let path = format!("{}{reason}", operation.path.replace("{id}", id));
            let body = match operation.name {
                "locks.add" => r#"{"matcher":{"name":"eve"},"reason":"stolen"}"#,
                "locks.dry-run" => r#"{"matcher":{"name":"eve"}}"#,
                _ => "",
            };
            let before = w.locks.live(now()).len();
            let answer = w.ask(actor, operation.method, &path, "", body).await;
            let got = status(&answer);
            row.push_str(&format!("{got:<width$}", width = actor.len().max(3) + 1));
            let recorded = w.memory.take();
            let changed = w.locks.live(now()).len() != before;
            match got {
                "401" => {
                    assert!(answer.contains("www-authenticate: Bearer") && answer.contains("problem+json"), "{answer}");
                    assert!(recorded.is_empty(), "{recorded:?}");
                }
                "403" if actor == "locked" => {
                    assert_eq!(recorded, ["refused locked on countersign: Locked"]);
                    assert!(answer.contains("locked out by lock"), "{answer}");
                }
                "403" => {
                    assert!(
                        recorded[1].starts_with(&format!("Deny {} {}", operation.name, operation.method)),
                        "{recorded:?}"
                    );
                    assert_eq!(recorded.last().unwrap(), "close denied");
                    assert!(answer.contains("no rule allows it"), "{answer}");
                }
                _ => {
                    let durable = operation.changes;
                    let outcome = if got.starts_with('2') { "done -".to_owned() } else { format!("failed {got}") };
                    let mut want = vec![format!("open {actor} on countersign")];
                    let text = if body.is_empty() { String::new() } else { format!("\n{body}") };
                    want.push(format!("Allow {} {} {path}{text}", operation.name, operation.method));
                    want.extend(durable.then(|| "durable".to_owned()));
                    want.extend([outcome, "close client".to_owned()]);
                    assert_eq!(recorded, want);
                }
            }
            assert_eq!(changed, got.starts_with('2') && operation.changes, "{actor} {}", operation.name);
        }
        rows.push(row);
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&rows.join("\n")), trimmed(MATRIX), "\n{}", rows.join("\n"));
}

fn header() -> String {
    ACTORS.iter().map(|a| format!("{a:<width$}", width = a.len().max(3) + 1)).collect()
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let w = World::start().await;
    let add = async |actor: &str, key: &str, name: &str| {
        let body = format!(r#"{{"matcher":{{"name":"{name}"}},"reason":"stolen"}}"#);
        let answer = w.ask(actor, "POST", "/v1/locks", &format!("Idempotency-Key: {key}\r\n"), &body).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (status(head).to_owned(), body.to_owned())
    };
    let first = add("responder", "k", "eve").await;
    assert_eq!(first.0, "201");
    assert_eq!(add("responder", "k", "eve").await, first, "the same answer");
    assert_eq!(w.locks.live(now()).len(), 2, "and one lock besides the one that was there");
    assert_eq!(add("responder", "k", "mallory").await.0, "422", "another request under the same key");
    assert_eq!(add("on-call", "k", "mallory").await.0, "201", "keys are the caller's own");
    let lock = w.locks.live(now()).into_iter().find(|l| l.reason == "stolen").unwrap().id.clone();
    let end = async |reason: &str| {
        let path = format!("/v1/locks/{lock}?reason={reason}");
        status(&w.ask("responder", "DELETE", &path, "Idempotency-Key: e\r\n", "").await).to_owned()
    };
    assert_eq!(end("over").await, "200");
    assert_eq!(end("over").await, "200", "a second time it would be 409");
    assert_eq!(end("mistake").await, "422", "the query is part of the request");
    assert_eq!(add("responder", "l", "").await.0, "400");
    assert_eq!(add("responder", "l", "").await.0, "400", "what was wrong stays wrong");
    assert_eq!(add("responder", &"k".repeat(256), "eve").await.0, "400");
    assert_eq!(add("responder", "two words", "eve").await.0, "400");
    assert_eq!(add("responder", &"k".repeat(255), "eve").await.0, "201");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let w = World::start().await;
    for (method, path, headers, body, want) in [
        ("POST", "/v1/locks", "", "", "400"),
        ("POST", "/v1/locks", "", "{", "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"nam":"eve"},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"name":"eve"}}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"name":"eve"},"reason":"x","expires_in_s":0}"#, "400"),
        (
            "POST",
            "/v1/locks",
            "",
            r#"{"matcher":{"name":"eve"},"reason":"x","expires_in_s":18446744073709551615}"#,
            "400",
        ),
        ("POST", "/v1/locks", "", r#"{"matcher":{"source":"0.0.0.0/0"},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks?x=1", "", r#"{"matcher":{"name":"eve"},"reason":"x"}"#, "400"),
        ("GET", "/v1/locks?limit=0", "", "", "400"),
        ("GET", "/v1/locks?limit=1001", "", "", "400"),
        ("GET", "/v1/locks?limit=1&limit=2", "", "", "400"),
        ("GET", "/v1/locks?al=true", "", "", "400"),
        ("GET", "/v1/locks?all=yes", "", "", "400"),
        ("GET", "/v1/locks/nothing", "", "", "404"),
        ("DELETE", "/v1/locks/nothing?reason=x", "", "", "404"),
        ("GET", "/v1/sessions/nothing", "", "", "400"),
        ("GET", "/v1/sessions?after=x", "", "", "400"),
        ("PUT", "/v1/locks", "", "", "405"),
        ("GET", "/v1/locks", "Origin: https://evil.example\r\n", "", "403"),
    ] {
        let answer = w.ask("responder", method, path, headers, body).await;
        assert_eq!(status(&answer), want, "{method} {path} {body}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert_eq!(w.locks.live(now()).len(), 1);
    let long = "x".repeat(4_097);
    assert_eq!(status(&w.ask("responder", "GET", &format!("/v1/locks?before={long}"), "", "").await), "414");
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let w = World::start().await;
    for n in 0..5 {
        let body = format!(r#"{{"matcher":{{"name":"n{n}"}},"reason":"x","expires_in_s":60}}"#);
        assert_eq!(status(&w.ask("responder", "POST", "/v1/locks", "", &body).await), "201");
    }
    let (mut seen, mut before) = (BTreeSet::new(), String::new());
    loop {
        let answer = w.ask("auditor", "GET", &format!("/v1/locks?limit=2{before}"), "", "").await;
        let page: countersign_api::LockPage = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(page.locks.len() <= 2);
        for lock in page.locks {
            assert!(seen.insert(lock.id), "twice");
        }
        match page.next {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn every_route_is_an_operation_and_every_operation_a_route() {
    let w = World::start().await;
    // The server's own task makes the routes.
    assert_eq!(status(&w.server.get("/healthz").await), "200");
    let routed = w.routed.lock().unwrap().clone();
    let paths: BTreeSet<&str> = routed.split("\"/v1/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let listed: BTreeSet<&str> = OPERATIONS.iter().filter_map(|o| o.path.strip_prefix("/v1/")).collect();
    assert_eq!(paths, listed);
    for path in listed {
        let path = format!("/v1/{path}");
        let answer = w.ask("responder", "PATCH", &path.replace("{id}", "x"), "", "").await;
        assert_eq!(status(&answer), "405", "{answer}");
        let allowed = answer.lines().find_map(|l| l.strip_prefix("allow: ")).unwrap();
        let allowed: BTreeSet<&str> = allowed.trim().split(',').filter(|m| *m != "HEAD").collect();
        let listed: BTreeSet<&str> = OPERATIONS.iter().filter(|o| o.path == path).map(|o| o.method).collect();
        assert_eq!(allowed, listed, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_the_callers_own_is_for_those_whom_policy_lets() {
    let w = World::start().await;
    let (one, several) = ("/v1/grants/x/revoke", "/v1/grants/revoke");
    let (mine, all) = (r#"{"reason":"over"}"#, r#"{"reason":"over","everybody":true}"#);
    let theirs = r#"{"answered_by":"rita","reason":"over"}"#;
    let everybodys = r#"{"answered_by":"rita","reason":"over","everybody":true}"#;
    for (actor, method, path, body, want) in [
        ("stranger", "GET", "/v1/grants", "", "200"),
        ("stranger", "GET", "/v1/grants?everybody=false", "", "200"),
        ("stranger", "GET", "/v1/grants?everybody=true", "", "403"),
        ("helper", "GET", "/v1/grants?everybody=true", "", "403"),
        ("auditor", "GET", "/v1/grants?everybody=true", "", "200"),
        ("responder", "GET", "/v1/grants?everybody=true", "", "200"),
        ("locked", "GET", "/v1/grants", "", "403"),
        ("nobody", "GET", "/v1/grants", "", "401"),
        ("stranger", "POST", one, mine, "200"),
        ("stranger", "POST", one, all, "403"),
        ("auditor", "POST", one, all, "403"),
        ("helper", "POST", one, all, "403"),
        ("responder", "POST", one, all, "200"),
        ("locked", "POST", one, mine, "403"),
        ("stranger", "POST", several, theirs, "200"),
        ("stranger", "POST", several, everybodys, "403"),
        ("auditor", "POST", several, everybodys, "403"),
        ("responder", "POST", several, everybodys, "200"),
        // What could be read in two ways is read in none.
        ("stranger", "POST", one, r#"{"reason":"over","everybody":true,"everybody":false}"#, "400"),
        ("stranger", "POST", one, r#"["over",true]"#, "400"),
        ("stranger", "POST", one, r#"{"reason":"over","everybody":"true"}"#, "400"),
        ("stranger", "POST", one, "", "400"),
        ("stranger", "POST", one, r#"{"reason":" "}"#, "400"),
        ("stranger", "GET", "/v1/grants?everybody=true&everybody=false", "", "400"),
        ("stranger", "GET", "/v1/grants?everybody=1", "", "400"),
        ("stranger", "GET", "/v1/grants?since=-1", "", "400"),
        ("stranger", "GET", "/v1/grants/..", "", "404"),
    ] {
        let answer = w.ask(actor, method, path, "", body).await;
        assert_eq!(status(&answer), want, "{actor} {method} {path} {body}: {answer}");
        let recorded = w.memory.take().join("\n");
        let beyond = path.ends_with("everybody=true") || body.ends_with(r#""everybody":true}"#);
        match want {
            "200" => {
                assert!(answer.contains(actor), "the door knows who asks: {answer}");
                assert_eq!(answer.contains("everybody: true"), beyond, "{answer}");
                // Looking at what is one's own leaves no record; everything else does, with what was asked.
                assert_eq!(recorded.contains(&format!("{method} {path}")), beyond || method == "POST", "{recorded}");
                assert_eq!(recorded.contains("durable"), method == "POST", "{recorded}");
            }
            "403" if actor != "locked" => assert!(recorded.contains("Deny grants."), "{recorded}"),
            _ => {}
        }
    }
}
