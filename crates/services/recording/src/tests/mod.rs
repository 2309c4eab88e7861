//! Tests over the whole crate: what is written comes back, whatever happens in between.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod crash;
mod damage;
mod export;
mod fill;
mod limits;
mod read;
mod retention;
mod speed;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_enforce::{
    CloseReason, Closed, Intent, Outcome, OutcomeStatus, Receipt, Recorder, SessionOpened, SessionRecorder,
};
use countersign_model::{
    Access, Attribute, Attributes, CredentialBinding, Decision, Denial, Effects, Fingerprint, Identity, IdentityKind,
    IdentityParts, RecordLevel, RuleId, SessionContext, SessionId, Shape, Tag, Target, TargetName, Timestamp, Use,
    Verdict,
};

use crate::{FileRecorder, Reader, Record, RecordEntry, RecordFilter, RecordingConfig, SessionFilter};

/// The time of session `n`: a second apart, and far ahead, so that retention by the wall clock leaves it alone.
pub(super) fn at(n: u64) -> Timestamp {
    Timestamp::from_unix_us(4_000_000_000_000_000 + i64::try_from(n).unwrap() * 1_000_000)
}

pub(super) fn later(n: u64, us: i64) -> Timestamp {
    Timestamp::from_unix_us(at(n).unix_us() + us)
}

pub(super) fn id(n: u64) -> SessionId {
    SessionId::new(at(n), u128::from(n))
}

pub(super) fn config(dir: &Path) -> RecordingConfig {
    RecordingConfig { segment_bytes: 256 << 10, shards: 1, ..RecordingConfig::new(dir) }
}

pub(super) fn start(dir: &Path) -> FileRecorder {
    FileRecorder::start(config(dir)).unwrap()
}

#[allow(clippy::disallowed_methods, reason = "tests vouch for nobody real")]
pub(super) fn identity(name: &str) -> Identity {
    Identity::mint(IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://issuer.test".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Machine,
        groups: BTreeSet::from(["deployers".to_owned()]),
        claims: BTreeMap::from([("ref".to_owned(), serde_json::json!({"branch": ["main", 1, null]}))]),
        delegation: Vec::new(),
        // One of them came with a certificate.
        credential: if name == "who0" { CredentialBinding::Bound } else { CredentialBinding::Bearer },
        token_id: Some("jti-1".to_owned()),
        key: None,
        signer: None,
        login: (name == "who0").then(|| "01JD3V0000000000000000000A".to_owned()),
        issued_at: at(0),
        expires_at: at(3600),
    })
}

pub(super) fn target(name: &str) -> Target {
    Target {
        name: TargetName::parse(name).unwrap(),
        protocol: "wire".into(),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        record: RecordLevel::Results,
        durable: true,
        tagging: Arc::default(),
    }
}

pub(super) fn context(n: u64) -> SessionContext {
    SessionContext {
        id: id(n),
        source: SocketAddr::from(([192, 0, 2, 7], 4711)),
        encrypted: true,
        application: "app\u{1b}[31m".to_owned(),
        part: "shop".to_owned(),
        started_at: at(n),
    }
}

pub(super) fn shape(kind: &str) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("relations", Attribute::set(["public.orders"]));
    Shape::new(kind, vec![Use { access: Access::Write, attributes }], Fingerprint(42))
}

/// What every outcome here masked.
pub(super) fn masked() -> Box<[(Tag, u64)]> {
    [(Tag::parse("pii.email").unwrap(), 300), (Tag::parse("secret").unwrap(), 1)].into()
}

pub(super) fn verdict(decision: Decision) -> Verdict {
    Verdict {
        decision,
        effects: Effects::default(),
        rules: vec![RuleId::new("ci-deploys"), RuleId::new("default")],
        reason: None,
        denied_for: Vec::new(),
        epoch: 3,
    }
}

pub(super) fn open(recorder: &FileRecorder, n: u64, who: &str, on: &str) -> Box<dyn SessionRecorder> {
    try_open(recorder, n, who, on).unwrap()
}

pub(super) fn try_open(
    recorder: &FileRecorder,
    n: u64,
    who: &str,
    on: &str,
) -> Result<Box<dyn SessionRecorder>, Denial> {
    recorder.open(&SessionOpened { context: &context(n), identity: &identity(who), target: &target(on) })
}

/// A session with what its intents share.
pub(super) struct Writer {
    pub(super) session: Box<dyn SessionRecorder>,
    pub(super) n: u64,
    shape: Arc<Shape>,
    allow: Verdict,
    deny: Verdict,
}

impl Writer {
    pub(super) fn new(recorder: &FileRecorder, n: u64, who: &str, on: &str) -> Self {
        Self::of(open(recorder, n, who, on), n)
    }

    pub(super) fn of(session: Box<dyn SessionRecorder>, n: u64) -> Self {
        Self { session, n, shape: shape("update"), allow: verdict(Decision::Allow), deny: verdict(Decision::Deny) }
    }

    pub(super) fn intent(&mut self, text: &[u8], parameters: &[u8]) -> Result<Receipt, Denial> {
        self.judged(text, parameters, None, true)
    }

    pub(super) fn judged(
        &mut self,
        text: &[u8],
        parameters: &[u8],
        same_text_as: Option<u64>,
        allowed: bool,
    ) -> Result<Receipt, Denial> {
        let verdict = if allowed { &self.allow } else { &self.deny };
        self.session.intent(&Intent {
            at: later(self.n, 10),
            text,
            same_text_as,
            prepares: false,
            parameters,
            shape: &self.shape,
            verdict,
        })
    }

    pub(super) fn outcome(&mut self, seq: u64, status: OutcomeStatus) -> Result<(), Denial> {
        let code = (status == OutcomeStatus::Failed).then(|| "23505".into());
        let outcome = Outcome { status, rows: 2, bytes: 30, affected: Some(1), code, masked: masked() };
        self.session.outcome(seq, later(self.n, 60), 50, &outcome)
    }

    pub(super) fn close(&mut self) -> Result<(), Denial> {
        self.session.close(&Closed { at: later(self.n, 90), reason: CloseReason::Client, denial: None })
    }
}

/// Every record that fits; panics on damage.
pub(super) fn records(dir: &Path, filter: &RecordFilter) -> Vec<Record> {
    Reader::new(dir).records(filter).unwrap().map(Result::unwrap).collect()
}

pub(super) fn of_session(dir: &Path, n: u64) -> Vec<Record> {
    records(dir, &RecordFilter { session: Some(id(n)), ..RecordFilter::default() })
}

/// The numbers and texts of a session's intents.
pub(super) fn texts(records: &[Record]) -> Vec<(u64, Vec<u8>)> {
    let text = |r: &Record| match &r.entry {
        RecordEntry::Intent(i) => Some((i.seq, i.text.clone())),
        _ => None,
    };
    records.iter().filter_map(text).collect()
}

pub(super) fn all_sessions() -> SessionFilter {
    SessionFilter { limit: 1000, ..SessionFilter::default() }
}

pub(super) fn files(dir: &Path, extension: &str) -> Vec<std::path::PathBuf> {
    let mut found: Vec<_> = match std::fs::read_dir(dir) {
        Ok(entries) => {
            entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == extension)).collect()
        }
        Err(_) => Vec::new(),
    };
    found.sort();
    found
}

/// Waits for something that a background thread does.
pub(super) fn eventually(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
