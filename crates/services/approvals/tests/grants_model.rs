//! Random interleavings of requests for access, answers, uses, revocations, restarts and steps of the clock at two gateways, on the real store,
//! beside a model: nothing runs by a grant that the model does not have in force, and none is used more often than it may be. A seed that fails
//! is printed with what was done.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::disallowed_methods)]

mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_approvals::{GrantDesk, GrantKeeper, NewGrant, No, Said, Verb};
use countersign_enforce::{Alert, AlertSink};
use countersign_model::{Access, GrantSpec, Grants as _, IdentityParts, RuleId, SessionId, TargetName, Timestamp};

use world::{Dice, World, person, play, spec};

/// Sequences, and steps of each.
const SEEDS: u64 = 24;
const STEPS: usize = 150;
const ASKERS: [&str; 2] = ["ana", "bob"];
const REVIEWERS: [&str; 3] = ["rita", "rolf", "ruth"];
/// How long a request may be answered, a grant must have started, and lasts: in microseconds.
const LIFE_US: i64 = 900_000_000;
const START_US: i64 = 86_400_000_000;
const LASTS_US: i64 = 600_000_000;

struct Deaf;

impl AlertSink for Deaf {
    fn raise(&self, _: Alert) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Asked,
    Given,
    Ended,
}

/// A grant as the model has it.
#[derive(Clone, Debug)]
struct Modelled {
    id: String,
    asker: usize,
    at_once: bool,
    expires_us: i64,
    yes: BTreeSet<usize>,
    /// Its review has come to its end.
    reviewed: bool,
    stage: Stage,
    start_by: i64,
    span: Option<(i64, i64)>,
    uses_max: Option<u32>,
    uses: u32,
}

impl Modelled {
    fn is_on(&self, now: i64) -> bool {
        self.stage == Stage::Given && self.span.map_or(now < self.start_by, |(from, to)| from <= now && now < to)
    }

    fn is_left(&self) -> bool {
        self.uses_max.is_none_or(|most| self.uses < most)
    }
}

/// A gateway, and what the model says that it knows.
struct Gateway {
    keeper: GrantKeeper,
    latest: i64,
    number: u64,
    view: Vec<Modelled>,
    /// By session: the grants that it lives by, and that one of them has been seen to be over.
    living: BTreeMap<usize, (BTreeSet<String>, bool)>,
}

impl Gateway {
    fn sees(&self, id: &str) -> Option<&Modelled> {
        self.view.iter().find(|g| g.id == id)
    }

    fn is_on(&self, id: &str) -> bool {
        self.sees(id).is_some_and(|g| g.is_on(self.latest))
    }
}

struct Run {
    dice: Dice,
    w: World,
    desk: GrantDesk,
    gateways: Vec<Gateway>,
    grants: Vec<Modelled>,
    ran: usize,
    log: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Run {
    async fn new(seed: u64, log: Arc<std::sync::Mutex<Vec<String>>>) -> Self {
        let w = World::new().await;
        let desk = GrantDesk::new(w.reviews.clone(), Arc::new(Deaf));
        let mut new = Self { dice: Dice(seed), w, desk, gateways: Vec::new(), grants: Vec::new(), ran: 0, log };
        for _ in 0..2 {
            let gateway = new.gateway().await;
            new.gateways.push(gateway);
        }
        new
    }

    fn now(&self) -> i64 {
        self.w.now().unix_us()
    }

    fn note(&self, what: String) {
        self.log.lock().unwrap().push(what);
    }

    async fn gateway(&self) -> Gateway {
        let keeper = GrantKeeper::open(self.w.store.clone(), self.w.now()).await.unwrap();
        let (latest, number) = (self.now(), self.w.store.grant_changes().await.unwrap());
        Gateway { keeper, latest, number, view: self.in_force(latest), living: BTreeMap::new() }
    }

    fn in_force(&self, now: i64) -> Vec<Modelled> {
        let over = |g: &&Modelled| g.span.map_or(g.start_by, |(_, to)| to) <= now;
        self.grants.iter().filter(|g| g.stage == Stage::Given && !over(g)).cloned().collect()
    }

    async fn step(&mut self) {
        match self.dice.below(40) {
            0..4 => self.ask().await,
            4..15 => self.answer().await,
            15..28 => self.uses().await,
            28 => self.revoke().await,
            29..37 => {
                let n = self.dice.below(2);
                self.refresh(n).await;
            }
            37 => {
                let n = self.dice.below(2);
                self.gateways[n] = self.gateway().await;
                self.note(format!("gateway {n} starts anew"));
            }
            _ => self.time().await,
        }
        self.look();
    }

    async fn ask(&mut self) {
        let (asker, at_once) = (self.dice.below(2), self.dice.below(5) == 0);
        let uses_max = [None, Some(1), Some(3)][self.dice.below(3)];
        let asked = self.desk.request(NewGrant {
            asker: person(ASKERS[asker], &[]),
            target: "orders".to_owned(),
            protocol: "toy".to_owned(),
            accesses: vec![Access::Write],
            rules: vec![RuleId::new("oncall")],
            spec: GrantSpec { review: spec(&[("dba", 2)]), longest_s: 600, uses_max: None, at_once: true },
            reason: "ticket".to_owned(),
            lasts_s: None,
            uses: uses_max,
            starts_at: None,
            at_once,
        });
        let asked = asked.await;
        let open = self.grants.iter().find(|g| g.at_once && !g.reviewed && g.asker == asker);
        if let Some(open) = open.filter(|_| at_once) {
            assert_eq!(asked.err(), Some(No::Unreviewed(open.id.clone())));
            return;
        }
        let (id, now) = (asked.unwrap().record.id, self.now());
        self.note(format!("{} asks for {id}, {uses_max:?} uses, at once: {at_once}", ASKERS[asker]));
        self.grants.push(Modelled {
            id,
            asker,
            at_once,
            expires_us: if at_once { i64::MAX } else { now + LIFE_US },
            yes: BTreeSet::new(),
            reviewed: false,
            stage: if at_once { Stage::Given } else { Stage::Asked },
            start_by: now + LASTS_US,
            span: at_once.then_some((now, now + LASTS_US)),
            uses_max,
            uses: 0,
        });
    }

    async fn answer(&mut self) {
        let Some(n) = self.recent() else { return };
        let (who, no) = (self.dice.below(3), self.dice.below(20) == 0);
        let verb = if no { Verb::Deny } else { Verb::Approve };
        let reviewer = self.w.someone(REVIEWERS[who]);
        let said = self.w.reviews.answer(&self.grants[n].id, verb, &reviewer, Said::default()).await;
        let now = self.now();
        let g = &mut self.grants[n];
        let fine = !g.reviewed && (no || !g.yes.contains(&who));
        assert_eq!(said.is_ok(), fine, "{} {verb:?} {}: {said:?}", REVIEWERS[who], g.id);
        if fine && no {
            (g.reviewed, g.stage) = (true, Stage::Ended);
        } else if fine {
            g.yes.insert(who);
            if g.yes.len() == 2 {
                g.reviewed = true;
                if g.stage == Stage::Asked {
                    (g.stage, g.start_by) = (Stage::Given, now + START_US);
                }
            }
        }
        let id = g.id.clone();
        self.note(format!("{} says {verb:?} to {id}: {fine}", REVIEWERS[who]));
    }

    /// Mostly of the latest: those before are mostly over.
    fn recent(&mut self) -> Option<usize> {
        let back = self.dice.below(self.grants.len().clamp(1, 4));
        self.grants.len().checked_sub(back + 1)
    }

    async fn uses(&mut self) {
        let Some(mut n) = self.recent() else { return };
        let on: Vec<usize> = (0..self.grants.len()).filter(|g| self.grants[*g].is_on(self.now())).collect();
        if !on.is_empty() && self.dice.below(3) > 0 {
            n = on[self.dice.below(on.len())];
        }
        let (at, session, counts) = (self.dice.below(2), self.dice.below(6), self.dice.below(4) > 0);
        self.look();
        let (id, now) = (self.grants[n].id.clone(), Timestamp::from_unix_us(self.now()));
        let gateway = &mut self.gateways[at];
        let grants: [Arc<str>; 1] = [id.as_str().into()];
        let taken = gateway.keeper.take(SessionId::from_u128(session as u128), &grants, counts, now);
        gateway.living.entry(session).or_default().0.insert(id.clone());
        let ran = match taken {
            Err(_) => false,
            Ok(None) => true,
            Ok(Some(taking)) => taking.await.is_ok(),
        };
        let (seen, latest) = (gateway.sees(&id).filter(|g| g.is_on(gateway.latest)).cloned(), gateway.latest);
        let asks = counts && seen.as_ref().is_some_and(|g| g.uses_max.is_some() || g.span.is_none());
        let g = &mut self.grants[n];
        let expected = if asks { g.is_on(latest) && g.is_left() } else { seen.is_some() };
        assert_eq!(ran, expected, "{id} at {at}: {g:?}, seen as {seen:?}");
        if asks && ran {
            g.span = g.span.or(Some((latest, latest + LASTS_US)));
            g.uses += u32::from(g.uses_max.is_some());
            self.refresh(at).await;
        }
        self.ran += usize::from(ran && counts);
        self.note(format!("session {session} at {at} takes {id}, counts: {counts}: {ran}"));
    }

    async fn revoke(&mut self) {
        let Some(n) = self.recent() else { return };
        let ended =
            self.desk.revoke(&self.grants[n].id, &person(ASKERS[self.grants[n].asker], &[]), false, "done").await;
        let g = &mut self.grants[n];
        assert_eq!(ended.is_ok(), g.stage != Stage::Ended, "{ended:?}");
        g.stage = Stage::Ended;
        g.reviewed |= !g.at_once;
        let id = g.id.clone();
        self.note(format!("{id} is revoked"));
    }

    async fn refresh(&mut self, n: usize) {
        self.gateways[n].keeper.refresh(self.w.now()).await.unwrap();
        let number = self.w.store.grant_changes().await.unwrap();
        if self.gateways[n].number != number {
            let latest = self.gateways[n].latest.max(self.now());
            let view = self.in_force(latest);
            let gateway = &mut self.gateways[n];
            (gateway.number, gateway.latest, gateway.view) = (number, latest, view);
        }
        self.note(format!("gateway {n} reads"));
    }

    async fn time(&mut self) {
        let ms = [1, 30_000, 30_000, 120_000, 120_000, 600_000, 900_000, 86_400_000, -1, -200_000][self.dice.below(10)];
        self.w.pass(ms);
        self.desk.maintain().await;
        let now = self.now();
        for g in self.grants.iter_mut().filter(|g| !g.reviewed && now >= g.expires_us) {
            (g.reviewed, g.stage) = (true, Stage::Ended);
        }
        self.note(format!("the clock goes {ms} ms"));
    }

    /// Every gateway looks what is over; then who holds what, and which sessions end, is as the model has it.
    fn look(&mut self) {
        let now = self.now();
        let (at, target) = (Timestamp::from_unix_us(now), TargetName::parse("orders").unwrap());
        for (n, gateway) in self.gateways.iter_mut().enumerate() {
            gateway.keeper.look(at);
            gateway.latest = gateway.latest.max(now);
            let lives = std::mem::take(&mut gateway.living);
            for (session, (grants, over)) in lives {
                let over = over || grants.iter().any(|id| !gateway.is_on(id));
                let ends = gateway.keeper.ends(SessionId::from_u128(session as u128), at).is_some();
                assert_eq!(ends, over, "session {session} at {n}, by {grants:?}");
                gateway.living.insert(session, (grants, over));
            }
            for (asker, name) in ASKERS.iter().enumerate() {
                let asker_is = |g: &&Modelled| g.asker == asker && g.is_left() && g.is_on(gateway.latest);
                let expected: BTreeSet<String> = gateway.view.iter().filter(asker_is).map(|g| g.id.clone()).collect();
                let who: IdentityParts = person(name, &[]);
                let held = gateway.keeper.held(&who, &target, at);
                assert_eq!(
                    held.into_iter().map(|h| h.id.to_string()).collect::<BTreeSet<_>>(),
                    expected,
                    "{name} at {n}"
                );
            }
            // Who was cut comes back as another session.
            let over: Vec<usize> = gateway.living.iter().filter(|(_, l)| l.1).map(|(s, _)| *s).collect();
            for session in over {
                gateway.keeper.leave(SessionId::from_u128(session as u128));
                gateway.living.remove(&session);
            }
        }
    }
}

async fn run(seed: u64) -> Result<usize, String> {
    let log = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = log.clone();
    let task = tokio::spawn(async move {
        let mut run = Run::new(seed, kept).await;
        for _ in 0..STEPS {
            run.step().await;
        }
        for g in &run.grants {
            let record = run.w.store.grant(&g.id).await.unwrap().unwrap();
            assert_eq!((record.uses, record.uses_max), (g.uses, g.uses_max), "{}", g.id);
            assert!(g.uses_max.is_none_or(|most| record.uses <= most));
            let span = record.started_at.zip(record.ends_at);
            assert_eq!(span.map(|(from, to)| (from.unix_us(), to.unix_us())), g.span, "{}", g.id);
        }
        run.ran
    });
    task.await.map_err(|_| format!("seed {seed}, after\n  {}", log.lock().unwrap().join("\n  ")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_runs_by_a_grant_that_is_not_in_force_nor_more_often_than_it_may() {
    play(SEEDS, 100, run).await;
}
