//! Random interleavings of requests, answers with and without a security key, expiry, locks, lost keys, restarts and steps of the clock, on the
//! real store, beside a model that is simple enough to be seen to be right: no statement runs without its approvals and the keys that they were
//! given with, none runs twice. A seed that fails is printed with what was done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

#[path = "../../factors/tests/key/mod.rs"]
mod key;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_approvals::{Approvals, Said, Verb};
use countersign_enforce::{
    Alert, AlertSink, Assertion, FactorAsk, FactorProof, FactorPurpose, Factors as _, Leaving, ReviewEnd, ReviewEvent,
    Reviews as _, Standing, binding,
};
use countersign_factors::webauthn::Site;
use countersign_factors::{SecondFactors, SecondFactorsParts};
use countersign_model::Factor;
use tokio::runtime::Runtime;

use key::{ORIGIN, Says, SoftKey};
use world::{Dice, Held, World, person, play, spec};

/// Sequences, and steps of each.
const SEEDS: u64 = 24;
const STEPS: usize = 40;
/// A review's time, in milliseconds.
const LIFE_MS: i64 = 900_000;

/// Who may answer, and in which groups they are.
const PEOPLE: [(&str, &[&str]); 4] =
    [("rita", &["dba"]), ("rolf", &["dba", "security"]), ("ruth", &["dba", "security"]), ("sam", &["security"])];
/// Whom each statement needs.
const NEEDS: [&[(&str, u16)]; 3] = [&[("dba", 2)], &[("dba", 1), ("security", 1)], &[("dba", 2), ("security", 1)]];
const TEXTS: [&str; 3] = ["update a", "update b", "update c"];
/// Which of them needs a security key.
const WITH_KEY: [bool; 3] = [false, true, true];

struct Deaf;

impl AlertSink for Deaf {
    fn raise(&self, _: Alert) {}
}

/// What somebody shows with a yes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shows {
    /// Their key signed what they look at.
    Key,
    Nothing,
    /// What their key signed before, and they were believed.
    Again,
    /// What their key signed for another review.
    OfAnother,
}

/// A process: its tasks end with it.
struct Gateway {
    runtime: Option<Runtime>,
    reviews: Approvals,
}

impl Gateway {
    fn start(w: &World) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        Self { reviews: w.process(runtime.handle().clone()), runtime: Some(runtime) }
    }

    /// Nobody is told of it.
    fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.die();
    }
}

/// A review as the model has it.
struct Modelled {
    id: String,
    statement: usize,
    expires_ms: i64,
    /// Those who say yes, each once, in the order of their answers.
    yes: Vec<usize>,
    /// With which key of theirs, of those who showed one.
    with: BTreeMap<usize, usize>,
    /// Enough have said yes.
    approved: bool,
    over: bool,
    runs: usize,
    /// The session that waits for it, and at which gateway.
    waits: Option<(usize, usize)>,
}

/// Tries every way to give people to places.
fn enough(places: &[String], people: &[usize]) -> bool {
    let Some((first, rest)) = places.split_first() else { return true };
    (0..people.len()).any(|n| {
        let mut others = people.to_vec();
        let one = others.remove(n);
        PEOPLE[one].1.contains(&first.as_str()) && enough(rest, &others)
    })
}

impl Modelled {
    fn is_enough(&self) -> bool {
        let places =
            NEEDS[self.statement].iter().flat_map(|(g, n)| std::iter::repeat_n((*g).to_owned(), usize::from(*n)));
        enough(&places.collect::<Vec<_>>(), &self.yes)
    }

    fn is_open(&self, now_ms: i64) -> bool {
        !self.over && now_ms < self.expires_ms
    }
}

/// What the model expects a waiting session to hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Runs,
    Ends(ReviewEnd),
}

struct Run {
    dice: Dice,
    w: World,
    gateways: [Gateway; 2],
    reviews: Vec<Modelled>,
    /// By session.
    held: BTreeMap<usize, Held>,
    sessions: usize,
    /// What may be said of each person now: `None` when nobody can tell.
    stands: [Option<bool>; 4],
    factors: SecondFactors,
    /// What each has: a key, and how many they had before it.
    keys: [Option<(SoftKey, usize)>; 4],
    keys_made: usize,
    /// With what each was believed last.
    signed: [Option<Assertion>; 4],
    log: Vec<String>,
}

impl Run {
    async fn new(seed: u64) -> Self {
        let mut w = World::new().await;
        let factors = SecondFactors::new(SecondFactorsParts {
            store: w.store.clone(),
            sealer: None,
            alerts: Arc::new(Deaf),
            sites: vec![Site::of(ORIGIN).unwrap()],
        });
        w.with_factors(Arc::new(factors.clone())).await;
        let gateways = [Gateway::start(&w), Gateway::start(&w)];
        let (reviews, held, log) = (Vec::new(), BTreeMap::new(), Vec::new());
        let (keys, signed, stands) = Default::default();
        let mut run = Self {
            dice: Dice(seed),
            w,
            gateways,
            reviews,
            held,
            sessions: 0,
            stands,
            factors,
            keys,
            keys_made: 0,
            signed,
            log,
        };
        run.stands = [Some(true); 4];
        for who in 0..4 {
            run.register(who).await;
        }
        run
    }

    async fn register(&mut self, who: usize) {
        let (name, groups) = PEOPLE[who];
        self.keys_made += 1;
        let (by, mut key) = (person(name, groups), SoftKey::new(&format!("{name}'s {}", self.keys_made)));
        let ask = FactorAsk { person: &by, purpose: FactorPurpose::Register, now: self.w.now() };
        let asked = self.factors.challenge(ask, None).await.unwrap();
        let made = key.register(&asked.challenge, &Says::default());
        self.factors.add_key(&by, "key", &made, None, self.w.now()).await.unwrap();
        self.keys[who] = Some((key, self.keys_made));
    }

    /// Somebody loses their key; mostly they get another.
    async fn key(&mut self) {
        let (who, again) = (self.dice.below(4), self.dice.below(3) > 0);
        let (name, _) = PEOPLE[who];
        let gone = self.factors.reset(name, "otto", self.w.now()).await;
        assert_eq!(gone.ok() == Some(1), self.keys[who].take().is_some(), "{name}");
        if again {
            self.register(who).await;
        }
        self.note(format!("{name} loses the key, and gets another: {again}"));
    }

    fn now_ms(&self) -> i64 {
        self.w.now().unix_us() / 1000
    }

    fn note(&mut self, what: String) {
        self.log.push(what);
    }

    async fn step(&mut self) {
        match self.dice.below(40) {
            0..9 => self.ask().await,
            9..28 => self.answer().await,
            28..30 => self.leave().await,
            30 => self.withdraw().await,
            31..33 => self.restart(),
            33..35 => self.person(),
            35..38 => self.key().await,
            _ => self.time(),
        }
        self.settle().await;
    }

    /// Somebody sends a statement, which may take up what an earlier session left.
    async fn ask(&mut self) {
        let (statement, gateway) = (self.dice.below(TEXTS.len()), self.dice.below(2));
        self.sessions += 1;
        let session = self.sessions;
        let question = self.w.question(person("ana", &[]), session as u128, |f| {
            f.text = TEXTS[statement].as_bytes();
            f.spec = spec(NEEDS[statement]);
            f.spec.factor = WITH_KEY[statement].then_some(Factor::Webauthn);
        });
        let review = Some(self.gateways[gateway].reviews.open(question.clone()));
        let mut held = Held { question, review };
        let id = held.opened().await;
        self.note(format!("session {session} at {gateway} sends {statement}: {id}"));
        let now_ms = self.now_ms();
        match self.reviews.iter_mut().find(|r| r.id == id) {
            None => {
                let expires_ms = now_ms + LIFE_MS;
                let waits = Some((session, gateway));
                let (yes, with, approved, over, runs) = (Vec::new(), BTreeMap::new(), false, false, 0);
                self.reviews.push(Modelled { id, statement, expires_ms, yes, with, approved, over, runs, waits });
            }
            Some(r) => {
                assert!(r.statement == statement && r.is_open(now_ms), "taken up, and it was not this one's to take");
                // Of another gateway, or one that a step of the clock has made seem to be gone.
                if let Some((before, _)) = r.waits.replace((session, gateway)) {
                    let mut loser = self.held.remove(&before).unwrap();
                    assert_eq!(loser.refused().await.end, ReviewEnd::Superseded);
                }
            }
        }
        self.held.insert(session, held);
    }

    async fn answer(&mut self) {
        if self.reviews.is_empty() {
            return;
        }
        // Mostly of the latest: those before are mostly over.
        let back = self.dice.below(self.reviews.len().min(3));
        let n = self.reviews.len() - 1 - back;
        let (who, no, gateway) = (self.dice.below(4), self.dice.below(20) == 0, self.dice.below(2));
        let shows = self.shows(n, no);
        let now_ms = self.now_ms();
        let (name, groups) = PEOPLE[who];
        let (id, statement) = (self.reviews[n].id.clone(), self.reviews[n].statement);
        let proof = match shows {
            Shows::Nothing => None,
            Shows::Key => self.sign(who, &id, gateway).await,
            Shows::Again => self.signed[who].clone(),
            Shows::OfAnother => {
                let other = self.reviews[self.dice.below(self.reviews.len())].id.clone();
                if other == id { None } else { self.sign(who, &other, gateway).await }
            }
        };
        let proven = proof.is_some() && shows == Shows::Key;
        let signed = proof.clone();
        let proof = proof.map(FactorProof::Assertion);
        let r = &mut self.reviews[n];
        let asked = NEEDS[statement].iter().any(|(g, _)| groups.contains(g));
        let shown = if WITH_KEY[statement] { proven } else { proven || proof.is_none() };
        let fine = r.is_open(now_ms) && asked && (no || (!r.yes.contains(&who) && shown));
        let verb = if no { Verb::Deny } else { Verb::Approve };
        let said = Said { factor: proof.as_ref(), ..Said::default() };
        let said = self.gateways[gateway].reviews.answer(&id, verb, &person(name, groups), said).await;
        assert_eq!(said.is_ok(), fine, "{name} {verb:?} {id}, showing {shows:?}: {said:?}");
        if fine && no {
            r.over = true;
            r.yes.clear();
        } else if fine {
            if signed.is_some() {
                self.signed[who] = signed;
            }
            r.yes.push(who);
            let with = self.keys[who].as_ref().filter(|_| proven).map(|(_, number)| *number);
            r.with.remove(&who);
            r.with.extend(with.map(|number| (who, number)));
            r.approved |= r.is_enough();
        }
        self.note(format!("{name} says {verb:?} to {id} at {gateway}, showing {shows:?}: {fine}"));
        if fine && no {
            self.told(n, Expected::Ends(ReviewEnd::Denied)).await;
        }
    }

    /// What they show: mostly what is asked for.
    fn shows(&mut self, n: usize, no: bool) -> Shows {
        let all = [Shows::Nothing, Shows::Again, Shows::OfAnother];
        match self.dice.below(12) {
            one if one < all.len() && !no => all[one],
            _ if no || !WITH_KEY[self.reviews[n].statement] => Shows::Nothing,
            _ => Shows::Key,
        }
    }

    /// What their key signs for this review; nothing where they have none, or may not answer it.
    async fn sign(&mut self, who: usize, id: &str, gateway: usize) -> Option<Assertion> {
        let (name, groups) = PEOPLE[who];
        let asked = self.gateways[gateway].reviews.challenge(id, &person(name, groups), None, None).await.ok()?;
        let (key, _) = self.keys[who].as_mut()?;
        let signed = key.sign(&asked.challenge, &Says::default());
        Some(signed)
    }

    /// A client goes, or a gateway sends its clients away.
    async fn leave(&mut self) {
        let Some(session) = self.held.keys().copied().nth(self.dice.below(self.held.len().max(1))) else { return };
        let left = self.dice.below(2) == 0;
        let now_ms = self.now_ms();
        let r = self.reviews.iter_mut().find(|r| r.waits.is_some_and(|(s, _)| s == session)).unwrap();
        r.waits = None;
        r.over |= !left && now_ms < r.expires_ms;
        let id = r.id.clone();
        self.note(format!("session {session} leaves {id}, to be taken up: {left}"));
        let mut held = self.held.remove(&session).unwrap();
        held.review.take().unwrap().leave(if left { Leaving::Left } else { Leaving::Withdrawn("gone") });
        self.w.until(&id, |r| r.session.is_none() || !r.status.is_open()).await;
    }

    async fn withdraw(&mut self) {
        if self.reviews.is_empty() {
            return;
        }
        let n = self.dice.below(self.reviews.len());
        let now_ms = self.now_ms();
        let fine = self.reviews[n].is_open(now_ms);
        let id = self.reviews[n].id.clone();
        let said = self.gateways[0].reviews.withdraw(&id, &person("ana", &[])).await;
        assert_eq!(said.is_ok(), fine, "{said:?}");
        self.note(format!("ana withdraws {id}: {fine}"));
        if fine {
            self.reviews[n].over = true;
            self.told(n, Expected::Ends(ReviewEnd::Withdrawn)).await;
        }
    }

    fn restart(&mut self) {
        let gateway = self.dice.below(2);
        self.gateways[gateway].die();
        self.gateways[gateway] = Gateway::start(&self.w);
        for r in &mut self.reviews {
            if let Some((session, _)) = r.waits.filter(|(_, g)| *g == gateway) {
                std::mem::forget(self.held.remove(&session).unwrap().review);
                r.waits = None;
            }
        }
        self.note(format!("gateway {gateway} dies and is started"));
    }

    /// Somebody is locked out, let in again, or nobody can tell.
    fn person(&mut self) {
        let who = self.dice.below(4);
        let stands = [Some(false), Some(true), Some(true), None][self.dice.below(4)];
        self.stands[who] = stands;
        let mut ended = self.w.people.ended.lock().unwrap();
        let name = PEOPLE[who].0.to_owned();
        match stands {
            Some(true) => ended.remove(&name),
            Some(false) => ended.insert(name, Standing::Ended(World::denial())),
            None => ended.insert(name, Standing::Unknown),
        };
        drop(ended);
        self.note(format!("{} stands: {stands:?}", PEOPLE[who].0));
    }

    fn time(&mut self) {
        let ms = [1, 10_000, 60_000, 300_000, LIFE_MS, -1, -400_000][self.dice.below(7)];
        self.w.pass(ms);
        self.note(format!("the clock goes {ms} ms"));
    }

    /// Whoever waits for it hears that, and nobody waits any more.
    async fn told(&mut self, n: usize, expected: Expected) {
        let Some((session, _)) = self.reviews[n].waits.take() else { return };
        let mut held = self.held.remove(&session).unwrap();
        self.note(format!("session {session} is to hear {expected:?}"));
        match held.last().await {
            ReviewEvent::Approved(a) => {
                assert_eq!(expected, Expected::Runs, "it ran");
                assert_eq!(a.review, self.reviews[n].id);
                assert_eq!(a.binding, binding(held.question.action, held.question.session, a.expires_at));
                let by: BTreeSet<&str> = a.by.iter().map(|p| p.name.as_str()).collect();
                let counted: BTreeSet<&str> = self.reviews[n].yes.iter().map(|p| PEOPLE[*p].0).collect();
                assert!(by.is_subset(&counted) && by.len() == a.by.len(), "{by:?} of {counted:?}");
                self.reviews[n].runs += 1;
                assert_eq!(self.reviews[n].runs, 1, "it ran twice");
            }
            ReviewEvent::Refused(refusal) => assert_eq!(expected, Expected::Ends(refusal.end)),
            ReviewEvent::Opened(_) => panic!("opened twice"),
        }
    }

    /// What follows by itself: time, and the use of what is approved, by those who may still say so.
    async fn settle(&mut self) {
        let now_ms = self.now_ms();
        for n in 0..self.reviews.len() {
            let r = &mut self.reviews[n];
            if r.waits.is_none() || r.over {
                continue;
            }
            if now_ms >= r.expires_ms {
                r.over = true;
                self.told(n, Expected::Ends(ReviewEnd::Expired)).await;
                continue;
            }
            let keys = &self.keys;
            let has_key = |with: &BTreeMap<usize, usize>, p: &usize| {
                with.get(p).is_none_or(|number| keys[*p].as_ref().is_some_and(|(_, has)| has == number))
            };
            if !r.approved || r.yes.iter().any(|p| has_key(&r.with, p) && self.stands[*p].is_none()) {
                continue;
            }
            let with = &r.with;
            r.yes.retain(|p| self.stands[*p] == Some(true) && has_key(with, p));
            r.approved = r.is_enough();
            if r.approved {
                r.over = true;
                self.told(n, Expected::Runs).await;
            } else {
                let (id, left) = (self.reviews[n].id.clone(), self.reviews[n].yes.len());
                self.w.until(&id, |r| r.approvers().len() == left).await;
            }
        }
        // Whoever else waits has heard nothing.
        for (session, held) in &mut self.held {
            if let Some(came) = held.so_far().await {
                panic!("session {session} heard {came:?}");
            }
        }
    }
}

async fn run(seed: u64) -> Result<usize, String> {
    let mut run = Run::new(seed).await;
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = log.clone();
    let task = tokio::spawn(async move {
        for _ in 0..STEPS {
            run.step().await;
            kept.lock().unwrap().clone_from(&run.log);
        }
        // What waits still waits when everybody has looked once more.
        tokio::time::sleep(countersign_approvals::POLL + countersign_approvals::POLL / 2).await;
        run.settle().await;
        run.reviews.iter().map(|r| r.runs).sum()
    });
    task.await.map_err(|_| format!("seed {seed}, after\n  {}", log.lock().unwrap().join("\n  ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_runs_without_its_approvals_and_none_twice() {
    play(SEEDS, 20, run).await;
}
