//! Policy, recorder and gate of the bench, and the log of everything that happened, in order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use countersign_enforce::{
    Alert, AlertSink, BoxFuture, Closed, Gate, GateParts, Intent, Opened, Outcome, Receipt, Recorder, Refused,
    SessionEvent, SessionOpened, SessionRecorder,
};
use countersign_model::{
    Access, Attribute, CredentialBinding, Decision, Denial, Effects, Exposure, Identity, IdentityKind, IdentityParts,
    Limits, Mask, Policy, RecordLevel, Request, RuleId, SessionContext, SessionId, Shape, Tag, TagRule, Tagging,
    Target, TargetName, Timestamp, Transform, Verdict, Withheld,
};

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    Intent {
        seq: u64,
        text: Vec<u8>,
        parameters: Vec<u8>,
        kind: String,
        access: Access,
        allowed: bool,
    },
    /// An admitted action's message went to the target.
    Cleared(Vec<u8>),
    /// Bytes under a permit, with the intent's number.
    Followed(u64, Vec<u8>),
    /// A literal of the machine.
    Control(Vec<u8>),
    Rows(u64, Vec<u8>),
    Outcome(u64, Outcome),
    Event(String),
    /// The client was told this.
    Told(Vec<u8>),
    Closed(String),
}

/// The log, shared by all that write to it.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Entry>>>);

impl Log {
    pub(crate) fn add(&self, entry: Entry) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(entry);
    }

    pub(crate) fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// The outcome of each intent whose text is not empty, as `status rows affected`, by text.
    pub(crate) fn outcomes(&self) -> Vec<String> {
        let entries = self.entries();
        let mut ended = HashMap::new();
        for entry in &entries {
            if let Entry::Outcome(seq, o) = entry {
                ended.insert(*seq, o.clone());
            }
        }
        let mut out = Vec::new();
        for entry in &entries {
            let Entry::Intent { seq, text, allowed, .. } = entry else { continue };
            if text.is_empty() {
                continue;
            }
            let how = match ended.get(seq) {
                Some(o) => {
                    let affected = o.affected.map_or_else(|| "-".to_owned(), |n| n.to_string());
                    format!("{} {} {affected}", o.status.as_str(), o.rows)
                }
                None if *allowed => "open".to_owned(),
                None => "denied".to_owned(),
            };
            out.push(format!("{}: {how}", String::from_utf8_lossy(text)));
        }
        out
    }

    /// What must hold of every session that has been closed, whatever happened in it.
    pub(crate) fn check(&self) {
        let mut allowed: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
        let mut ended = BTreeSet::new();
        let mut told: Vec<u8> = Vec::new();
        let mut rows: Vec<u8> = Vec::new();
        let entries = self.entries();
        for entry in &entries {
            match entry {
                Entry::Intent { seq, text, allowed: true, .. } => {
                    allowed.insert(*seq, text.clone());
                }
                Entry::Cleared(frame) => {
                    let behind = allowed.values().any(|text| {
                        text.is_empty() || frame.windows(text.len()).any(|w| w == text) || frame.first() == Some(&b'E')
                    });
                    assert!(behind, "forwarded before its intent was recorded: {:?}", String::from_utf8_lossy(frame));
                }
                Entry::Followed(seq, _) => assert!(allowed.contains_key(seq), "a permit without an intent: {seq}"),
                Entry::Rows(seq, bytes) => {
                    assert!(allowed.contains_key(seq), "rows of no intent: {seq}");
                    assert!(!ended.contains(seq), "rows of {seq} after its outcome");
                    rows.extend(bytes);
                }
                Entry::Outcome(seq, _) => {
                    assert!(allowed.contains_key(seq), "an outcome of no intent: {seq}");
                    assert!(ended.insert(*seq), "two outcomes of {seq}");
                }
                Entry::Told(bytes) => {
                    // Rows are recorded just before the client gets them.
                    if !rows.is_empty() {
                        assert_eq!(*bytes, std::mem::take(&mut rows), "what was recorded is not what the client got");
                    }
                    told.extend(bytes);
                }
                _ => {}
            }
        }
        assert!(matches!(entries.last(), Some(Entry::Closed(_))), "the session is not closed: {entries:?}");
        let open: Vec<_> = allowed.iter().filter(|(seq, _)| !ended.contains(seq)).collect();
        assert!(open.is_empty(), "acknowledged and missing from the record: {open:?}");
    }
}

/// What the policy of a test says. What cannot be read is always denied.
#[derive(Clone)]
pub(crate) struct Rules {
    /// Relations that nobody may touch.
    pub(crate) denied: &'static [&'static str],
    /// The gravest access that is allowed.
    pub(crate) access_max: Access,
    /// On everything that is allowed.
    pub(crate) limits: Limits,
    /// Limits for what touches a relation.
    pub(crate) limits_on: Option<(&'static str, Limits)>,
    /// Record result rows.
    pub(crate) results: bool,
    /// What becomes of tagged data that is shown, and of what is found in content.
    pub(crate) masks: Vec<Mask>,
    /// How the target's data is known to be sensitive.
    pub(crate) tagging: Arc<Tagging>,
    /// What tells of tagged data otherwise than by showing it is denied.
    pub(crate) refuses_oracles: bool,
}

impl Rules {
    /// Masks for these tags; the tags are those of columns by their full names, or looked for in content.
    pub(crate) fn masking(masks: &[(&str, Transform)], columns: &[(&str, &str)], detect: &[&str]) -> Self {
        let tag = |s: &str| Tag::parse(s).unwrap_or_else(|| unreachable!("a constant that is a tag"));
        let rules = columns.iter().map(|(column, of)| TagRule {
            column: (*column).to_owned(),
            data_type: String::new(),
            tag: tag(of),
        });
        let tagging =
            Tagging { rules: rules.collect(), comments: true, detect: detect.iter().map(|t| tag(t)).collect() };
        let masks = masks.iter().map(|(t, transform)| Mask { tag: tag(t), transform: *transform });
        Self { masks: masks.collect(), tagging: Arc::new(tagging), ..Self::default() }
    }

    fn masks_on(&self, shape: &Shape) -> Arc<[Mask]> {
        let shown = &shape.disclosure().shown;
        let applies = |m: &&Mask| {
            let sought = self.tagging.detect.iter().any(|d| d.covers(&m.tag) || m.tag.covers(d));
            // Nothing comes back from what does not even read.
            (sought && shape.access() > Access::Connect) || shown.iter().any(|t| m.tag.covers(t))
        };
        self.masks.iter().filter(applies).cloned().collect()
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            denied: &["public.secret"],
            access_max: Access::Admin,
            limits: Limits::NONE,
            limits_on: None,
            results: true,
            masks: Vec::new(),
            tagging: Arc::default(),
            refuses_oracles: false,
        }
    }
}

fn tells(shape: &Shape) -> bool {
    let d = shape.disclosure();
    !d.chosen.is_empty() || !d.matched.is_empty() || !d.copied.is_empty()
}

fn touches(shape: &Shape, relation: &str) -> bool {
    shape.uses().iter().any(|u| match u.attributes.find("relations_all") {
        Some(Attribute::Set(items)) => items.iter().any(|i| &**i == relation),
        _ => false,
    })
}

impl Policy for Rules {
    fn evaluate(&self, request: &Request<'_>) -> Arc<Verdict> {
        let shape = request.shape;
        let denied = shape.why_unreadable().is_some()
            || shape.access() > self.access_max
            || (self.refuses_oracles && tells(shape))
            || self.denied.iter().any(|r| touches(shape, r));
        let limits = match self.limits_on {
            Some((relation, limits)) if touches(shape, relation) => self.limits.strictest(limits),
            _ => self.limits,
        };
        let d = shape.disclosure();
        let of = |tags: &[Tag], by| tags.iter().map(move |tag| Withheld { tag: tag.clone(), by }).collect::<Vec<_>>();
        let withheld = match self.refuses_oracles {
            true => {
                [of(&d.chosen, Exposure::Chosen), of(&d.matched, Exposure::Matched), of(&d.copied, Exposure::Copied)]
            }
            false => Default::default(),
        };
        Arc::new(Verdict {
            decision: if denied { Decision::Deny } else { Decision::Allow },
            effects: Effects {
                limits,
                masks: self.masks_on(shape),
                withheld: withheld.concat().into(),
                ..Effects::default()
            },
            rules: vec![RuleId::new(if denied { "no-secrets" } else { "bench" })],
            reason: None,
            denied_for: Vec::new(),
            epoch: 1,
        })
    }

    fn epoch(&self) -> u64 {
        1
    }
}

struct Memory(Log);

impl Recorder for Memory {
    fn open(&self, _session: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial> {
        Ok(Box::new(MemorySession { log: self.0.clone(), seq: 0 }))
    }

    fn refused(&self, _refused: &Refused<'_>) -> Result<(), Denial> {
        Ok(())
    }
}

struct MemorySession {
    log: Log,
    seq: u64,
}

impl SessionRecorder for MemorySession {
    fn intent(&mut self, i: &Intent<'_>) -> Result<Receipt, Denial> {
        self.seq += 1;
        self.log.add(Entry::Intent {
            seq: self.seq,
            text: i.text.to_vec(),
            parameters: i.parameters.to_vec(),
            kind: i.shape.kind().to_owned(),
            access: i.shape.access(),
            allowed: i.verdict.decision == Decision::Allow,
        });
        Ok(Receipt::new(self.seq))
    }

    fn durable(&self, _receipt: Receipt) -> BoxFuture<'static, Result<(), Denial>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn output(&mut self, seq: u64, _at: Timestamp, bytes: &[u8]) -> Result<(), Denial> {
        self.log.add(Entry::Rows(seq, bytes.to_vec()));
        Ok(())
    }

    fn outcome(&mut self, seq: u64, _at: Timestamp, _us: u64, outcome: &Outcome) -> Result<(), Denial> {
        self.log.add(Entry::Outcome(seq, outcome.clone()));
        Ok(())
    }

    fn event(&mut self, _at: Timestamp, event: &SessionEvent<'_>) -> Result<(), Denial> {
        self.log.add(Entry::Event(format!("{event:?}")));
        Ok(())
    }

    fn close(&mut self, closed: &Closed<'_>) -> Result<(), Denial> {
        self.log.add(Entry::Closed(closed.reason.as_str().to_owned()));
        Ok(())
    }
}

struct Deaf;

impl AlertSink for Deaf {
    fn raise(&self, _alert: Alert) {}
}

/// An identity that nobody verified, for the bench alone.
#[allow(clippy::disallowed_methods, reason = "the bench has nothing to verify")]
pub(crate) fn identity() -> Arc<Identity> {
    Arc::new(Identity::mint(IdentityParts {
        subject: "u1".into(),
        issuer: "bench".into(),
        name: "ana".into(),
        kind: IdentityKind::Human,
        groups: BTreeSet::new(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bearer,
        token_id: None,
        key: None,
        signer: None,
        login: None,
        issued_at: Timestamp::from_unix_s(0),
        expires_at: Timestamp::from_unix_s(i64::MAX),
    }))
}

/// Opens a session's gate.
pub(crate) fn open(rules: &Rules, log: &Log, connect: &Shape, now: Timestamp) -> Result<Opened, Denial> {
    let record = if rules.results { RecordLevel::Results } else { RecordLevel::Statements };
    let name = TargetName::parse("shop").unwrap_or_else(|| unreachable!("a constant that is a target name"));
    let parts = GateParts {
        identity: identity(),
        target: Arc::new(Target {
            name,
            protocol: "postgres".into(),
            labels: BTreeMap::new(),
            record,
            durable: false,
            tagging: rules.tagging.clone(),
        }),
        context: SessionContext {
            id: SessionId::new(now, 7),
            source: ([127, 0, 0, 1], 1).into(),
            encrypted: false,
            application: String::new(),
            part: "shop".into(),
            started_at: now,
        },
        policy: Arc::new(rules.clone()),
        alerts: Arc::new(Deaf),
        reviews: None,
        ask: None,
    };
    Gate::open(parts, &Memory(log.clone()), connect, now)
}
