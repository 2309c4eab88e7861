//! A store, people, a clock that the test moves, and sessions that wait.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::collections::{BTreeMap, HashMap};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use countersign_approvals::{Approvals, ApprovalsParts, People, Review};
use countersign_enforce::{
    ActionFacts, Approval, BoxFuture, Factors, NoFactors, PendingReview, ReviewEvent, ReviewQuestion, ReviewRefusal,
    Reviews as _, Standing,
};
use countersign_model::{
    Access, Actor, ClientText, CredentialBinding, Culprit, Denial, DenialCode, Identity, IdentityKind, IdentityParts,
    Requirement, ReviewSpec, RuleId, SessionId, Target, TargetName, Timestamp,
};
use countersign_store::{Store, StoreConfig};
use tempfile::TempDir;

/// The longest that a test waits for something that must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// For so long nothing may come where nothing must: longer than a look at the store takes.
const QUIET: Duration = Duration::from_millis(1300);
const BEGIN_US: i64 = 1_767_614_400_000_000;

pub(crate) fn person(name: &str, groups: &[&str]) -> IdentityParts {
    IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://id".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: groups.iter().map(|g| (*g).to_owned()).collect(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bound,
        token_id: None,
        key: None,
        login: None,
        signer: None,
        issued_at: Timestamp::from_unix_us(BEGIN_US),
        expires_at: Timestamp::from_unix_us(BEGIN_US + 3_600_000_000),
    }
}

/// Somebody who acts for another.
pub(crate) fn through(name: &str) -> Actor {
    Actor {
        subject: format!("sub-{name}"),
        issuer: "https://id".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Human,
        groups: Default::default(),
        claims: BTreeMap::new(),
        signer: None,
    }
}

/// Numbers that follow from a seed (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }
}

/// Plays a model with these seeds at once, or with the one that `COUNTERSIGN_MODEL_SEED` names; more than `ran_min` things must have run in
/// all of them, or the model is not tried.
pub(crate) async fn play<F>(seeds: u64, ran_min: usize, run: impl Fn(u64) -> F)
where
    F: Future<Output = Result<usize, String>> + Send + 'static,
{
    let one: Option<u64> = std::env::var("COUNTERSIGN_MODEL_SEED").ok().and_then(|s| s.parse().ok());
    let seeds: Vec<u64> = one.map_or_else(|| (0..seeds).collect(), |seed| vec![seed]);
    let mut all = tokio::task::JoinSet::new();
    for seed in seeds {
        all.spawn(run(seed));
    }
    let (mut ran, mut failed) = (0, Vec::new());
    for done in all.join_all().await {
        match done {
            Ok(n) => ran += n,
            Err(why) => failed.push(why),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    assert!(one.is_some() || ran > ran_min, "{ran} ran: the model is not tried");
}

/// Who no longer stands, by name.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) ended: Mutex<HashMap<String, Standing>>,
    /// Who is locked out there.
    pub(crate) locked: Mutex<Option<SocketAddr>>,
}

impl People for Known {
    fn standing<'a>(
        &'a self,
        person: &'a IdentityParts,
        source: Option<SocketAddr>,
        _now: Timestamp,
    ) -> BoxFuture<'a, Standing> {
        if source.is_some() && source == *self.locked.lock().unwrap() {
            return Box::pin(std::future::ready(Standing::Ended(World::denial())));
        }
        let standing = self.ended.lock().unwrap().get(&person.name).cloned().unwrap_or(Standing::Stands);
        Box::pin(std::future::ready(standing))
    }
}

/// What an action is made of, beside who asks.
pub(crate) struct Facts {
    pub(crate) text: &'static [u8],
    pub(crate) parameters: Vec<u8>,
    pub(crate) part: &'static str,
    pub(crate) account: &'static str,
    pub(crate) settings: &'static [u8],
    pub(crate) spec: ReviewSpec,
}

pub(crate) fn spec(all: &[(&str, u16)]) -> ReviewSpec {
    let one = |(group, people): &(&str, u16)| Requirement { group: (*group).to_owned(), people: *people };
    ReviewSpec { requirements: all.iter().map(one).collect(), expires_s: 900, in_transaction: false, factor: None }
}

pub(crate) struct World {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
    pub(crate) people: Arc<Known>,
    pub(crate) clock: Arc<AtomicI64>,
    pub(crate) factors: Arc<dyn Factors>,
    pub(crate) reviews: Approvals,
    /// Another process over the same store.
    pub(crate) second: Approvals,
}

fn parts(store: &Store, people: &Arc<Known>, clock: &Arc<AtomicI64>, factors: &Arc<dyn Factors>) -> ApprovalsParts {
    let clock = clock.clone();
    ApprovalsParts {
        store: store.clone(),
        people: people.clone(),
        factors: factors.clone(),
        clock: Arc::new(move || Timestamp::from_unix_us(clock.load(Ordering::SeqCst))),
        tasks: tokio::runtime::Handle::current(),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = StoreConfig::Sqlite { path: dir.path().join("store.db"), timeout: Duration::from_secs(20) };
        let store = Store::open(&config).await.unwrap();
        let (people, clock) = (Arc::<Known>::default(), Arc::new(AtomicI64::new(BEGIN_US)));
        let factors: Arc<dyn Factors> = Arc::new(NoFactors);
        let reviews = Approvals::new(parts(&store, &people, &clock, &factors));
        let second = Approvals::new(parts(&store, &people, &clock, &factors));
        Self { dir, store, people, clock, factors, reviews, second }
    }

    /// Another process takes over; what waited in the one before is not told.
    pub(crate) async fn restart(&mut self) {
        self.reviews = Approvals::new(self.parts());
    }

    /// Both processes know these factors.
    pub(crate) async fn with_factors(&mut self, factors: Arc<dyn Factors>) {
        self.factors = factors;
        self.second = Approvals::new(self.parts());
        self.restart().await;
    }

    fn parts(&self) -> ApprovalsParts {
        parts(&self.store, &self.people, &self.clock, &self.factors)
    }

    /// A process of its own over the same store, whose tasks run there.
    pub(crate) fn process(&self, tasks: tokio::runtime::Handle) -> Approvals {
        Approvals::new(ApprovalsParts { tasks, ..self.parts() })
    }

    pub(crate) fn denial() -> Denial {
        Denial::new(Culprit::Client, DenialCode::Unauthenticated, ClientText::new("gone"))
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_unix_us(self.clock.load(Ordering::SeqCst))
    }

    /// Time passes, in milliseconds.
    pub(crate) fn pass(&self, ms: i64) {
        self.clock.fetch_add(ms * 1000, Ordering::SeqCst);
    }

    /// One of those who are asked usually.
    pub(crate) fn someone(&self, name: &str) -> IdentityParts {
        person(name, &["dba"])
    }

    pub(crate) async fn load(&self, id: &str) -> Review {
        self.reviews.show(id, &self.everybody()).await.unwrap()
    }

    fn everybody(&self) -> IdentityParts {
        person("looks-at-all", &["dba", "security", "lead"])
    }

    pub(crate) async fn used_at(&self, id: &str) -> Timestamp {
        self.load(id).await.ended.unwrap().0
    }

    pub(crate) async fn until(&self, id: &str, is: impl Fn(&Review) -> bool) {
        let end = tokio::time::Instant::now() + PATIENCE;
        while !is(&self.load(id).await) {
            assert!(tokio::time::Instant::now() < end, "{:?}", self.load(id).await.status);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn ask(&self, text: &'static str, parameters: &[u8], session: u128) -> Held {
        let parameters = parameters.to_vec();
        self.ask_with(session, move |f| {
            f.text = text.as_bytes();
            f.parameters = parameters;
        })
        .await
    }

    pub(crate) async fn ask_of(&self, requirements: &[(&str, u16)], session: u128) -> Held {
        let spec = spec(requirements);
        self.ask_with(session, move |f| f.spec = spec).await
    }

    pub(crate) async fn ask_with(&self, session: u128, change: impl FnOnce(&mut Facts)) -> Held {
        self.held(person("ana", &[]), session, change).await
    }

    pub(crate) async fn ask_as(&self, who: IdentityParts, session: u128) -> Held {
        self.held(who, session, |_| {}).await
    }

    pub(crate) async fn held(&self, who: IdentityParts, session: u128, change: impl FnOnce(&mut Facts)) -> Held {
        let question = self.question(who, session, change);
        Held { review: Some(self.reviews.open(question.clone())), question }
    }

    pub(crate) fn question(
        &self,
        who: IdentityParts,
        session: u128,
        change: impl FnOnce(&mut Facts),
    ) -> ReviewQuestion {
        let mut facts = Facts {
            text: b"update t",
            parameters: b"1".to_vec(),
            part: "main",
            account: "app",
            settings: b"public",
            spec: spec(&[("dba", 2)]),
        };
        change(&mut facts);
        let target = Arc::new(Target {
            name: TargetName::parse("orders").unwrap(),
            protocol: "toy".into(),
            labels: BTreeMap::new(),
            record: Default::default(),
            durable: false,
            tagging: Default::default(),
        });
        let identity = Arc::new(Identity::mint(who));
        let (text, parameters) = (Bytes::from_static(facts.text), Bytes::from(facts.parameters));
        let action = ActionFacts {
            text: &text,
            parameters: &parameters,
            target: &target,
            part: facts.part,
            account: facts.account,
            settings: facts.settings,
            identity: &identity,
            spec: &facts.spec,
        }
        .digest();
        ReviewQuestion {
            at: self.now(),
            spec: Arc::new(facts.spec),
            rules: vec![RuleId::new("r")],
            identity,
            target,
            part: facts.part.to_owned(),
            session: SessionId::from_u128(session),
            seq: 1,
            kind: "update".into(),
            access: Access::Write,
            text,
            parameters,
            action,
        }
    }
}

/// A session that waits.
pub(crate) struct Held {
    pub(crate) question: ReviewQuestion,
    pub(crate) review: Option<Box<dyn PendingReview>>,
}

impl Held {
    async fn next(&mut self) -> ReviewEvent {
        let review = self.review.as_mut().unwrap();
        tokio::time::timeout(PATIENCE, poll_fn(|cx| review.poll(cx))).await.expect("nothing came of it")
    }

    /// The id, once people can answer.
    pub(crate) async fn opened(&mut self) -> String {
        match self.next().await {
            ReviewEvent::Opened(notice) => notice.id,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn last(&mut self) -> ReviewEvent {
        self.next().await
    }

    pub(crate) async fn approved(&mut self) -> Approval {
        match self.next().await {
            ReviewEvent::Approved(approval) => approval,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn refused(&mut self) -> ReviewRefusal {
        match self.next().await {
            ReviewEvent::Refused(refusal) => refusal,
            other => panic!("{other:?}"),
        }
    }

    /// Nothing comes for a while.
    pub(crate) async fn still_waits(&mut self) {
        let review = self.review.as_mut().unwrap();
        let came = tokio::time::timeout(QUIET, poll_fn(|cx| review.poll(cx))).await;
        assert!(came.is_err(), "{came:?}");
    }

    /// What came so far, without waiting.
    pub(crate) async fn so_far(&mut self) -> Option<ReviewEvent> {
        let review = self.review.as_mut()?;
        tokio::time::timeout(Duration::ZERO, poll_fn(|cx| review.poll(cx))).await.ok()
    }
}

pub(crate) fn denied(event: ReviewEvent) -> (String, Option<String>) {
    match event {
        ReviewEvent::Refused(r) => (r.by.unwrap_or_default(), r.comment),
        other => panic!("{other:?}"),
    }
}
