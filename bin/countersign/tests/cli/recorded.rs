//! A recording to read, written through the recorder itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use countersign_enforce::{
    CloseReason, Closed, Intent, Outcome, OutcomeStatus, Recorder as _, Refused, SessionEvent, SessionOpened,
    SessionRecorder,
};
use countersign_model::{
    Access, Attribute, Attributes, ClientText, CredentialBinding, Culprit, Decision, Denial, DenialCode, Effects,
    Fingerprint, Identity, IdentityKind, IdentityParts, RecordLevel, RuleId, SessionContext, SessionId, Shape, Target,
    TargetName, Timestamp, Use, Verdict,
};
use countersign_recording::{FileRecorder, RecordingConfig};

/// Text that would clear a screen, turn red and reverse what is read.
pub(crate) const NASTY: &str = "\u{1b}[2J\u{9b}31m\u{202e}\u{200b}";

/// The time of session `n`.
pub(crate) fn at(n: u64, ms: u64) -> Timestamp {
    Timestamp::from_unix_us(i64::try_from(1_767_614_400_000_000 + n * 3_600_000_000 + ms * 1000).unwrap())
}

pub(crate) fn id(n: u64) -> SessionId {
    SessionId::new(at(n, 0), u128::from(n))
}

#[allow(clippy::disallowed_methods, reason = "tests vouch for nobody real")]
fn identity(name: &str, group: &str) -> Identity {
    Identity::mint(IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://issuer.test".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: BTreeSet::from([group.to_owned()]),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: at(0, 0),
        expires_at: at(100, 0),
    })
}

fn target() -> Target {
    Target {
        name: TargetName::parse("shop").unwrap(),
        protocol: "postgres".into(),
        labels: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        record: RecordLevel::Results,
        durable: false,
        tagging: Arc::default(),
    }
}

fn verdict(decision: Decision, rule: &str) -> Verdict {
    Verdict {
        decision,
        effects: Effects::default(),
        rules: vec![RuleId::new(rule)],
        reason: None,
        denied_for: Vec::new(),
        epoch: 1,
    }
}

fn shape(access: Access, kind: &str, columns: &[&str]) -> Arc<Shape> {
    let mut attributes = Attributes::new();
    attributes.insert("columns", Attribute::set(columns.iter().copied()));
    attributes.insert("relations", Attribute::set(["public.staff"]));
    Shape::new(kind, vec![Use { access, attributes }], Fingerprint(7))
}

struct Session {
    n: u64,
    recorder: Box<dyn SessionRecorder>,
}

impl Session {
    fn open(recorder: &FileRecorder, n: u64, name: &str, group: &str, application: &str) -> Self {
        let context = SessionContext {
            id: id(n),
            source: SocketAddr::from(([192, 0, 2, 7], 4711)),
            encrypted: true,
            application: application.to_owned(),
            part: "shop".to_owned(),
            started_at: at(n, 0),
        };
        let opened = SessionOpened { context: &context, identity: &identity(name, group), target: &target() };
        Self { n, recorder: recorder.open(&opened).unwrap() }
    }

    fn intent(&mut self, ms: u64, text: &[u8], parameters: &[u8], shape: &Shape, verdict: &Verdict) -> u64 {
        let intent =
            Intent { at: at(self.n, ms), text, same_text_as: None, prepares: false, parameters, shape, verdict };
        self.recorder.intent(&intent).unwrap().seq()
    }

    fn done(&mut self, seq: u64, ms: u64, status: OutcomeStatus, rows: u64, code: Option<&str>) {
        let outcome = Outcome {
            status,
            rows,
            bytes: rows * 10,
            affected: None,
            code: code.map(Into::into),
            masked: Box::default(),
        };
        self.recorder.outcome(seq, at(self.n, ms), 2500, &outcome).unwrap();
    }

    fn close(&mut self, ms: u64) {
        self.recorder.close(&Closed { at: at(self.n, ms), reason: CloseReason::Client, denial: None }).unwrap();
    }
}

fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend(i32::try_from(body.len() + 4).unwrap().to_be_bytes());
    out.extend(body);
    out
}

/// A row of one column.
fn row(value: &str) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.extend(i32::try_from(value.len()).unwrap().to_be_bytes());
    body.extend(value.as_bytes());
    frame(b'D', &body)
}

/// Writes the recording: session 1 of ana (two statements allowed, one denied, one failed), session 2 of dora with hostile text
/// and without an end, and a refused connection.
pub(crate) fn write(dir: &Path) {
    let recorder = FileRecorder::start(RecordingConfig::new(dir)).unwrap();
    let mut ana = Session::open(&recorder, 1, "ana", "analysts", "psql");
    ana.recorder.event(at(1, 1), &SessionEvent::Connected { account: "reader", target_session: "4242" }).unwrap();
    let connect = shape(Access::Connect, "connect", &[]);
    let seq = ana.intent(2, b"", b"", &connect, &verdict(Decision::Allow, "people-connect"));
    ana.done(seq, 3, OutcomeStatus::Done, 0, None);
    let read = shape(Access::Read, "select", &["public.staff.name"]);
    let bind = [&[0, 0, 0, 1, 0, 0, 0, 2][..], b"42", &[0, 0]].concat();
    let text = b"select name\n  from staff\n where id = $1";
    let seq = ana.intent(100, text, &bind, &read, &verdict(Decision::Allow, "analysts-read"));
    let rows = [row("Grace"), row(&format!("Ada{NASTY}"))].concat();
    let (head, tail) = rows.split_at(9);
    ana.recorder.output(seq, at(1, 101), head).unwrap();
    ana.recorder.output(seq, at(1, 101), tail).unwrap();
    ana.done(seq, 103, OutcomeStatus::Done, 2, None);
    let salaries = shape(Access::Read, "select", &["public.staff.salary"]);
    ana.intent(200, b"select salary from staff", b"", &salaries, &verdict(Decision::Deny, "personal-numbers-stay"));
    let seq = ana.intent(300, b"select 1/0", b"", &read, &verdict(Decision::Allow, "analysts-read"));
    ana.done(seq, 301, OutcomeStatus::Failed, 0, Some("22012"));
    ana.close(400);

    let mut dora = Session::open(&recorder, 2, "dora-with-a-rather-long-name-indeed", "dbas", &format!("tool{NASTY}"));
    let text = format!("update orders set note = '{NASTY}' where id in ({})", "1234567, ".repeat(100));
    let change = shape(Access::Write, "update", &[]);
    let seq = dora.intent(10, text.as_bytes(), b"", &change, &verdict(Decision::Allow, "dbas-change"));
    dora.recorder.event(at(2, 11), &SessionEvent::Alert { severity: "high", seq }).unwrap();
    let denial =
        Denial::new(Culprit::Client, DenialCode::Unauthenticated, ClientText::new("the token was not accepted"));
    let refused = Refused {
        id: id(3),
        at: at(3, 0),
        source: SocketAddr::from(([192, 0, 2, 8], 99)),
        protocol: "postgres",
        user: &format!("mallory{NASTY}"),
        target: "shop",
        denial: &denial,
    };
    recorder.refused(&refused).unwrap();
    drop(dora);
    drop(ana);
    recorder.shutdown();
}
