//! A gateway with services that remember, in front of the toy target.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use countersign_enforce::*;
use countersign_model::*;
use countersign_runtime::*;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::target::{self, Seen};
use crate::toy::Toy;

/// Far more than anything here takes.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct Memory {
    pub entries: Mutex<Vec<String>>,
    pub broken: AtomicBool,
    /// True once what was appended is on the disk.
    pub durable: watch::Sender<bool>,
    /// Names whose logins have ended.
    pub ended: Mutex<Vec<String>>,
    /// Names that are locked out, and how often that changed.
    pub locked: watch::Sender<(u64, Vec<String>)>,
    /// What comes of taking a grant: `None` while that is not known.
    pub takes: watch::Sender<Option<bool>>,
}

impl Memory {
    /// Locks a name out.
    pub fn lock(&self, name: &str) {
        self.locked.send_modify(|(n, names)| {
            *n += 1;
            names.push(name.to_owned());
        });
    }

    fn add(&self, what: String) -> Result<(), Denial> {
        if self.broken.load(Ordering::SeqCst) {
            let text = ClientText::new("the recording cannot be written");
            return Err(Denial::new(Culprit::Us, DenialCode::RecorderUnavailable, text));
        }
        self.entries.lock().unwrap().push(what);
        Ok(())
    }

    pub fn has(&self, what: &str) -> bool {
        self.entries.lock().unwrap().iter().any(|e| e.contains(what))
    }

    pub fn count(&self, what: &str) -> usize {
        self.entries.lock().unwrap().iter().filter(|e| e.contains(what)).count()
    }
}

#[derive(Clone)]
pub struct Handle(pub Arc<Memory>);

struct One(Arc<Memory>, u64);

impl Recorder for Handle {
    fn open(&self, session: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial> {
        self.0.add(format!("open {} on {}/{}", session.identity.name, session.target.name, session.context.part))?;
        Ok(Box::new(One(self.0.clone(), 0)))
    }

    fn refused(&self, r: &Refused<'_>) -> Result<(), Denial> {
        self.0.add(format!("refused {} on {}: {:?} {} id={}", r.user, r.target, r.denial.code, r.denial, r.id))
    }
}

impl SessionRecorder for One {
    fn intent(&mut self, i: &Intent<'_>) -> Result<Receipt, Denial> {
        self.0.add(format!("intent {:?} {}", i.verdict.decision, String::from_utf8_lossy(i.text)))?;
        self.1 += 1;
        Ok(Receipt::new(self.1))
    }

    fn durable(&self, _receipt: Receipt) -> BoxFuture<'static, Result<(), Denial>> {
        let mut durable = self.0.durable.subscribe();
        let memory = self.0.clone();
        Box::pin(async move {
            durable.wait_for(|d| *d).await.unwrap();
            memory.add("durable".to_owned())
        })
    }

    fn output(&mut self, _seq: u64, _at: Timestamp, bytes: &[u8]) -> Result<(), Denial> {
        self.0.add(format!("rows {}", bytes.len()))
    }

    fn outcome(&mut self, seq: u64, _at: Timestamp, _us: u64, o: &Outcome) -> Result<(), Denial> {
        self.0.add(format!("outcome {seq} {}", o.status.as_str()))
    }

    fn event(&mut self, _at: Timestamp, e: &SessionEvent<'_>) -> Result<(), Denial> {
        self.0.add(format!("event {e:?}"))
    }

    fn close(&mut self, c: &Closed<'_>) -> Result<(), Denial> {
        self.0.add(format!("close {} {:?}", c.reason.as_str(), c.denial.map(|d| d.code)))
    }
}

/// Lets in whoever does not say "bad", and knows certificates that say "known".
pub struct Door(pub Arc<Memory>);

impl Authenticator for Door {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Denial>> {
        Box::pin(async move {
            match &presented.credential {
                PresentedCredential::Token { token, .. } if token.expose() == b"slow" => {
                    tokio::time::sleep(PATIENCE * 2).await;
                }
                PresentedCredential::Token { token, .. } if token.expose() == b"bad" => {
                    let text = ClientText::new("who are you?");
                    return Err(Denial::new(Culprit::Client, DenialCode::Unauthenticated, text));
                }
                PresentedCredential::Token { certificate: None, .. } | PresentedCredential::SshCertificate(_) => {}
                PresentedCredential::Token { certificate: Some(leaf), .. } => {
                    self.0.add(format!("token with {:?}", names(leaf)))?;
                }
                PresentedCredential::Certificate(chain) => {
                    self.0.add(format!("certificates {:?}", chain.iter().map(names).collect::<Vec<_>>()))?;
                }
            }
            #[expect(clippy::disallowed_methods, reason = "a test's authenticator vouches for its own")]
            Ok(Arc::new(Identity::mint(IdentityParts {
                subject: presented.user.clone(),
                issuer: "test".to_owned(),
                name: presented.user.clone(),
                kind: IdentityKind::Human,
                groups: Default::default(),
                claims: Default::default(),
                delegation: Vec::new(),
                credential: CredentialBinding::Bearer,
                token_id: None,
                key: None,
                signer: None,
                login: None,
                issued_at: Timestamp::from_unix_s(0),
                expires_at: Timestamp::from_unix_s(i64::MAX),
            })))
        })
    }

    fn recognises(&self, chain: &[Bytes]) -> bool {
        chain.first().is_some_and(|leaf| names(leaf) == "known")
    }

    fn standing<'a>(&'a self, identity: &'a Identity, _now: Timestamp) -> BoxFuture<'a, Standing> {
        let ended = self.0.ended.lock().unwrap().contains(&identity.name);
        let text = ClientText::new("this login has ended");
        let denial = Denial::new(Culprit::Client, DenialCode::Unauthenticated, text).alarming(Severity::High);
        Box::pin(std::future::ready(if ended { Standing::Ended(denial) } else { Standing::Stands }))
    }
}

/// Which of the tests' names a certificate carries.
fn names(leaf: &Bytes) -> &'static str {
    let has = |name: &str| leaf.windows(name.len()).any(|w| w == name.as_bytes());
    ["known", "foreign", "issuer"].into_iter().find(|n| has(n)).unwrap_or("none")
}

struct Stub(Arc<Memory>);

impl Credentials for Stub {
    fn fetch<'a>(
        &'a self,
        _target: &'a TargetName,
        _identity: &'a Identity,
        _session: SessionId,
        _now: Timestamp,
    ) -> BoxFuture<'a, Result<TargetCredential, Denial>> {
        let password = Some(Secret::from("hidden".to_owned()));
        let credential = TargetCredential { user: "app".to_owned(), password, key: None, certificate: None };
        Box::pin(std::future::ready(Ok(credential)))
    }
}

impl Policy for Stub {
    fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict> {
        let drop = request.shape.kind() == "drop";
        let closed = request.target.name.as_str() == "closed";
        Arc::new(Verdict {
            decision: if drop || closed { Decision::Deny } else { Decision::Allow },
            effects: Effects { grants: by_grants(request), ..Effects::default() },
            rules: if drop { vec![RuleId::new("no-drop")] } else { Vec::new() },
            reason: None,
            denied_for: Vec::new(),
            epoch: 1,
        })
    }

    fn epoch(&self) -> u64 {
        1
    }

    fn take(
        &self,
        _session: SessionId,
        grants: &[Arc<str>],
        counts: bool,
        _now: Timestamp,
    ) -> Result<Option<Taking>, Denial> {
        self.0.add(format!("takes {grants:?}, counts: {counts}"))?;
        let over = || Denial::new(Culprit::Policy, DenialCode::Forbidden, ClientText::new("the grant is over"));
        if !counts {
            return if *self.0.takes.borrow() == Some(false) { Err(over()) } else { Ok(None) };
        }
        let mut takes = self.0.takes.subscribe();
        Ok(Some(Box::pin(async move {
            let taken = takes.wait_for(Option::is_some).await.unwrap().unwrap();
            if taken { Ok(()) } else { Err(over()) }
        })))
    }

    fn leave(&self, _session: SessionId) {
        self.0.add("leaves".to_owned()).unwrap();
    }
}

/// What is lent is allowed by a grant alone, and so is the target of that name.
fn by_grants(request: &Request<'_>) -> Arc<[Arc<str>]> {
    let connects = request.shape.kind() == "connect" && request.target.name.as_str() == "lent";
    if connects || request.shape.kind() == "lend" { Arc::new(["g1".into()]) } else { Arc::default() }
}

impl Locks for Door {
    fn keeps_out(&self, what: &Lockable<'_>, _now: Timestamp) -> Option<Denial> {
        let text = ClientText::new("locked out by lock L1");
        let denial = Denial::new(Culprit::Policy, DenialCode::Locked, text).alarming(Severity::Medium);
        self.0.locked.borrow().1.contains(&what.identity.name).then_some(denial)
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, u64> {
        let mut changes = self.0.locked.subscribe();
        Box::pin(async move {
            let changed = changes.wait_for(|(n, _)| *n != seen).await.map(|c| c.0);
            changed.unwrap_or(seen)
        })
    }
}

impl AlertSink for Door {
    fn raise(&self, a: Alert) {
        self.0.add(format!("alert {:?} {} on {}: {}", a.severity, a.identity, a.target, a.what)).unwrap();
    }
}

pub struct World {
    pub gateway: Gateway,
    pub entrance: Entrance,
    pub addr: SocketAddr,
    pub target: SocketAddr,
    pub seen: Arc<Seen>,
    pub memory: Arc<Memory>,
}

#[derive(Default)]
pub struct Setup {
    pub listener: Option<ListenerConfig>,
    pub target_tls: Option<Arc<rustls::ServerConfig>>,
    pub upstream_tls: Option<UpstreamTls>,
    pub workers: Option<usize>,
    pub connect_timeout: Option<Duration>,
    /// A target that runs elsewhere, instead of one of our own.
    pub target: Option<SocketAddr>,
}

impl Setup {
    pub async fn start(self) -> World {
        let (at, seen) = match self.target {
            Some(at) => (at, Arc::default()),
            None => target::start(self.target_tls).await,
        };
        let memory = Arc::new(Memory {
            entries: Mutex::default(),
            broken: AtomicBool::new(false),
            durable: watch::channel(true).0,
            ended: Mutex::default(),
            locked: watch::channel((0, Vec::new())).0,
            takes: watch::channel(Some(true)).0,
        });
        let tls = self.upstream_tls.unwrap_or(UpstreamTls::disabled());
        let route = |name: &str, protocol: &str, port: u16, record, durable| {
            let target = Target {
                name: TargetName::parse(name).unwrap(),
                protocol: protocol.into(),
                labels: Default::default(),
                record,
                durable,
                tagging: Default::default(),
            };
            let endpoint = Endpoint::Tcp { host: "localhost".to_owned(), port };
            let mut route = Route::new(Arc::new(target), endpoint, tls.clone(), "main");
            route.connect_timeout = self.connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT);
            route
        };
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let routes = RouteTable::new([
            route("db", "toy", at.port(), RecordLevel::Statements, false),
            route("rows", "toy", at.port(), RecordLevel::Results, false),
            route("durable", "toy", at.port(), RecordLevel::Statements, true),
            route("lent", "toy", at.port(), RecordLevel::Statements, false),
            route("closed", "toy", at.port(), RecordLevel::Statements, false),
            route("down", "toy", nobody, RecordLevel::Statements, false),
            route("other", "another", at.port(), RecordLevel::Statements, false),
        ]);
        let services = Services {
            authenticator: Arc::new(Door(memory.clone())),
            credentials: Arc::new(Stub(memory.clone())),
            policy: Arc::new(Stub(memory.clone())),
            recorder: Arc::new(Handle(memory.clone())),
            locks: Arc::new(Door(memory.clone())),
            alerts: Arc::new(Door(memory.clone())),
            targets: Arc::new(routes),
            reviews: None,
            sign_ins: None,
            ask: None,
        };
        let gateway = Gateway::start(GatewayConfig { workers: self.workers.or(Some(2)) }, services).unwrap();
        let (addr, entrance) = gateway.serve_inside(Toy, self.listener.unwrap_or_else(local)).unwrap();
        World { gateway, entrance, addr, target: at, seen, memory }
    }
}

pub fn local() -> ListenerConfig {
    ListenerConfig::new("127.0.0.1:0".parse().unwrap())
}

pub async fn world() -> World {
    Setup::default().start().await
}

impl World {
    /// A connection that said nothing yet.
    pub async fn dial(&self) -> Client<TcpStream> {
        let tcp = TcpStream::connect(self.addr).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Client { io: BufReader::new(tcp), key: String::new() }
    }

    pub async fn login(&self, target: &str) -> Client<TcpStream> {
        let mut client = self.dial().await;
        client.login(target).await;
        client
    }

    /// Waits until nobody is connected.
    pub async fn empty(&self) {
        eventually("everybody leaves", || self.gateway.sessions().connections() == 0).await;
    }
}

pub struct Client<S> {
    pub io: BufReader<S>,
    pub key: String,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub async fn say(&mut self, s: &str) {
        self.io.write_all(s.as_bytes()).await.unwrap();
        self.io.flush().await.unwrap();
    }

    /// The next line; empty at the end.
    pub async fn line(&mut self) -> String {
        let mut line = String::new();
        match timeout(PATIENCE, self.io.read_line(&mut line)).await.expect("an answer in time") {
            Ok(_) => line.trim_end().to_owned(),
            Err(e) => format!("broken: {e}"),
        }
    }

    pub async fn login(&mut self, target: &str) {
        self.login_as("ana", target).await;
    }

    pub async fn login_as(&mut self, name: &str, target: &str) {
        self.say(&format!("LOGIN {name} good {target}\n")).await;
        let said = self.line().await;
        self.key = said.strip_prefix("welcome ").unwrap_or_else(|| panic!("{said}")).to_owned();
    }

    /// Says a line and reads the reply up to its end.
    pub async fn ask(&mut self, s: &str) -> Vec<String> {
        self.say(&format!("{s}\n")).await;
        self.reply().await
    }

    pub async fn reply(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            let line = self.line().await;
            if line == "." || line.is_empty() {
                return lines;
            }
            lines.push(line);
        }
    }
}

pub async fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let wait = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never came: {what}"));
}
