//! Who holds which grant now, and which sessions live by it: a snapshot in memory, kept up to date, and a lease on what was last read.
//!
//! It must never let anybody act by a grant that has come to its end, on whatever clock, nor by one that it has not been able to read about for
//! longer than the lease.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_model::{
    ClientText, Culprit, Denial, DenialCode, GATEWAY_TARGET, Grants, HeldGrant, IdentityParts, RuleId, SessionId,
    Taking, TargetName, Timestamp,
};
use countersign_store::{Store, StoreError};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::grants::Grant;
use crate::people::parties;

/// How often the store is asked whether grants changed, and looked which have come to their end.
pub const GRANT_POLL: Duration = Duration::from_millis(200);
/// For so long what was read from the store is good when the store cannot be asked; then nobody holds a grant.
pub const GRANT_LEASE: Duration = Duration::from_secs(10);
/// The most sessions of a gateway that live by grants.
pub const LIVING_MAX: usize = 100_000;
/// For so long a session that lived by an ended grant is remembered if nobody says that it is over.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// A grant in force, as far as it matters here.
struct Live {
    id: Arc<str>,
    grant: Grant,
    rules: Vec<RuleId>,
    accesses: Arc<[countersign_model::Access]>,
}

impl Live {
    /// Its time has come and is not over.
    fn is_on(&self, now: Timestamp) -> bool {
        let r = &self.grant.record;
        match (r.started_at, r.ends_at, r.start_by) {
            (Some(from), Some(to), _) => from <= now && now < to,
            (None, _, Some(by)) => now < by,
            _ => false,
        }
    }

    fn is_left(&self) -> bool {
        let r = &self.grant.record;
        r.uses_max.is_none_or(|most| r.uses < most)
    }

    /// Using it changes it.
    fn is_counted(&self) -> bool {
        self.grant.record.uses_max.is_some() || self.grant.record.started_at.is_none()
    }

    /// It is exactly theirs: everybody who acts for the asker is as it was.
    fn is_of(&self, who: &IdentityParts) -> bool {
        let asker = &self.grant.content.asker;
        asker.subject == who.subject
            && asker.issuer == who.issuer
            && asker.delegation.len() == who.delegation.len()
            && (who.delegation.is_empty() || parties(asker) == parties(who))
    }
}

#[derive(Default)]
struct Snapshot {
    number: u64,
    all: HashMap<Arc<str>, Arc<Live>>,
    /// By subject; in each first what is to be used first.
    of: HashMap<String, Vec<Arc<Live>>>,
}

impl Snapshot {
    fn new(number: u64, grants: Vec<Grant>) -> Self {
        let mut new = Self { number, ..Self::default() };
        for grant in grants {
            let id: Arc<str> = grant.record.id.as_str().into();
            let accesses = grant.content.grant.as_ref().map(|a| a.accesses.clone()).unwrap_or_default();
            let rules = grant.content.rules.clone();
            let live = Arc::new(Live { id: id.clone(), rules, accesses: accesses.into(), grant });
            new.of.entry(live.grant.record.subject.clone()).or_default().push(live.clone());
            new.all.insert(id, live);
        }
        for held in new.of.values_mut() {
            // What need not be counted first, then what is over first.
            held.sort_by_key(|l| (l.is_counted(), l.grant.record.ends_at, l.grant.record.start_by));
        }
        new
    }
}

/// A session that lives by grants.
struct Living {
    grants: Vec<Arc<str>>,
    /// Since when one of them has been over.
    over: Option<Instant>,
}

struct Shared {
    store: Store,
    snapshot: ArcSwap<Snapshot>,
    read_at: Mutex<Instant>,
    living: Mutex<HashMap<SessionId, Living>>,
    changes: watch::Sender<u64>,
    refreshing: tokio::sync::Mutex<()>,
    /// The latest time seen, in microseconds: a clock that is set back gives nobody time.
    latest: AtomicI64,
}

/// The grants of a gateway. Cloning it shares it.
#[derive(Clone)]
pub struct GrantKeeper(Arc<Shared>);

impl fmt::Debug for GrantKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GrantKeeper").field("grants", &self.0.snapshot.load().all.len()).finish_non_exhaustive()
    }
}

fn over(id: &str) -> Denial {
    Denial::new(Culprit::Policy, DenialCode::Locked, ClientText::new("grant ").name(id).and(" has come to its end"))
        .hint(ClientText::new("Ask for another one: countersign request --help"))
        .rules(vec![RuleId::new(&format!("grant:{id}"))])
}

impl GrantKeeper {
    /// Reads the grants in force.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn open(store: Store, now: Timestamp) -> Result<Self, StoreError> {
        let keeper = Self(Arc::new(Shared {
            store,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            read_at: Mutex::new(Instant::now()),
            living: Mutex::default(),
            changes: watch::channel(0).0,
            refreshing: tokio::sync::Mutex::new(()),
            latest: AtomicI64::new(i64::MIN),
        }));
        keeper.0.refresh(now).await?;
        Ok(keeper)
    }

    /// Keeps the grants up to date for as long as it is polled.
    pub async fn watch(&self, clock: impl Fn() -> Timestamp) {
        let mut poll = interval(GRANT_POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut well = true;
        loop {
            poll.tick().await;
            let why = self.catch_up(&clock).await.err();
            if let Some(why) = why.as_ref().filter(|_| well) {
                tracing::warn!(error = why, "grants cannot be read");
            }
            well = why.is_none();
        }
    }

    /// Reads what changed and looks what is over, now: for whoever has just changed something, so that it holds here once they are told.
    ///
    /// # Errors
    /// Why it could not be read; it is tried again by [`GrantKeeper::watch`].
    pub async fn catch_up(&self, clock: &impl Fn() -> Timestamp) -> Result<(), String> {
        let read = match timeout(GRANT_LEASE / 4, self.0.refresh(clock())).await {
            Ok(read) => read.map_err(|e| e.to_string()),
            Err(_) => Err("the store does not answer".to_owned()),
        };
        self.look(clock());
        read
    }

    /// Asks the store whether grants changed, and reads them if so.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), StoreError> {
        self.0.refresh(now).await
    }

    /// Looks which sessions live by what is over, so that whoever waits in [`GrantKeeper::changed`] ends them.
    pub fn look(&self, now: Timestamp) {
        let now = self.0.steady(now);
        let mut found = false;
        let at = Instant::now();
        self.0.living.lock().retain(|_, living| {
            if living.over.is_none() && living.grants.iter().any(|id| !self.0.is_on(id, now)) {
                living.over = Some(at);
                found = true;
            }
            living.over.is_none_or(|since| at.duration_since(since) < FORGOTTEN_AFTER)
        });
        if found {
            self.0.changes.send_modify(|n| *n += 1);
        }
    }

    /// Why a session must end that lived by a grant.
    pub fn ends(&self, session: SessionId, now: Timestamp) -> Option<Denial> {
        let living = self.0.living.lock();
        let lived = living.get(&session)?;
        let now = self.0.steady(now);
        lived.grants.iter().find(|id| lived.over.is_some() || !self.0.is_on(id, now)).map(|id| over(id))
    }

    /// Resolves once the number of looks that found something is another than `seen`, and tells it.
    pub async fn changed(&self, seen: u64) -> u64 {
        let mut changes = self.0.changes.subscribe();
        let changed = changes.wait_for(|n| *n != seen).await.map(|n| *n);
        match changed {
            Ok(n) => n,
            // The sender lives as long as this does.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Shared {
    /// Time never goes back here.
    fn steady(&self, now: Timestamp) -> Timestamp {
        let before = self.latest.fetch_max(now.unix_us(), Ordering::AcqRel);
        Timestamp::from_unix_us(before.max(now.unix_us()))
    }

    fn knows(&self) -> bool {
        self.read_at.lock().elapsed() < GRANT_LEASE
    }

    fn is_on(&self, id: &str, now: Timestamp) -> bool {
        self.knows() && self.snapshot.load().all.get(id).is_some_and(|l| l.is_on(now))
    }

    async fn refresh(&self, now: Timestamp) -> Result<(), StoreError> {
        let _one = self.refreshing.lock().await;
        let asked = Instant::now();
        if self.store.grant_changes().await? != self.snapshot.load().number {
            let (number, records) = self.store.live_grants(self.steady(now)).await?;
            // One that cannot be read gives nobody anything.
            let readable = records.into_iter().filter_map(|r| Grant::read(r).ok()).collect();
            self.snapshot.store(Arc::new(Snapshot::new(number, readable)));
        }
        *self.read_at.lock() = asked;
        Ok(())
    }

    /// Uses up what must be counted, and knows of it before the action goes on.
    async fn spend(self: Arc<Self>, grants: Vec<Arc<str>>, now: Timestamp) -> Result<(), Denial> {
        let unavailable = |e: &StoreError| {
            tracing::error!(error = %e, "the use of a grant could not be counted");
            let why = ClientText::new("it needs a grant, and its uses cannot be counted now: try again later");
            Denial::new(Culprit::Policy, DenialCode::Forbidden, why)
        };
        for id in &grants {
            if !self.store.use_grant(id, now).await.map_err(|e| unavailable(&e))? {
                let why = ClientText::new("grant ").name(id).and(" is used up, or has come to its end");
                return Err(Denial::new(Culprit::Policy, DenialCode::Forbidden, why));
            }
        }
        self.refresh(now).await.map_err(|e| unavailable(&e))?;
        // Somebody may have ended it in between.
        match grants.iter().find(|id| !self.is_on(id, self.steady(now))) {
            None => Ok(()),
            Some(id) => Err(over(id)),
        }
    }
}

impl Grants for GrantKeeper {
    fn held(&self, identity: &IdentityParts, target: &TargetName, now: Timestamp) -> Vec<HeldGrant> {
        let snapshot = self.0.snapshot.load();
        let Some(theirs) = snapshot.of.get(&identity.subject) else { return Vec::new() };
        // What is asked of the gateway itself is nobody's to give.
        if target.as_str() == GATEWAY_TARGET || !self.0.knows() {
            return Vec::new();
        }
        let now = self.0.steady(now);
        let here = theirs
            .iter()
            .filter(|l| l.grant.record.target == target.as_str() && l.is_left() && l.is_on(now) && l.is_of(identity));
        let each = here.flat_map(|l| {
            l.rules.iter().map(|rule| HeldGrant { id: l.id.clone(), rule: rule.clone(), accesses: l.accesses.clone() })
        });
        each.collect()
    }

    fn take(
        &self,
        session: SessionId,
        grants: &[Arc<str>],
        counts: bool,
        now: Timestamp,
    ) -> Result<Option<Taking>, Denial> {
        let now = self.0.steady(now);
        {
            let mut living = self.0.living.lock();
            if living.len() >= LIVING_MAX && !living.contains_key(&session) {
                let why = ClientText::new("too many sessions live by grants already");
                return Err(Denial::new(Culprit::Policy, DenialCode::Busy, why));
            }
            let lived = living.entry(session).or_insert_with(|| Living { grants: Vec::new(), over: None });
            for id in grants.iter().filter(|id| !lived.grants.contains(id)).cloned().collect::<Vec<_>>() {
                lived.grants.push(id);
            }
        }
        // After it is known that the session lives by them: what ends in between finds it, or is seen here.
        let snapshot = self.0.snapshot.load();
        let mut counted = Vec::new();
        for id in grants {
            match snapshot.all.get(id).filter(|l| self.0.knows() && l.is_on(now)) {
                None => return Err(over(id)),
                Some(live) if counts && live.is_counted() => counted.push(id.clone()),
                Some(_) => {}
            }
        }
        if counted.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::pin(self.0.clone().spend(counted, now))))
    }

    fn leave(&self, session: SessionId) {
        self.0.living.lock().remove(&session);
    }
}
