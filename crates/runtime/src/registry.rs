//! Who is here: every connection has a seat, from accept to close, by which it is counted and can be called. It must never hold
//! what a session is working on.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Waker};
use std::time::Duration;

use countersign_model::{Denial, Identity, SessionId, Target, Timestamp};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::watching::Watchers;

/// Locks that seats are spread over.
const SHARDS: usize = 16;

/// The longest that work at targets waits until the clients of all sessions that are being ended were told.
const TELLING_TIMEOUT: Duration = Duration::from_millis(250);

/// What a seat can be told. Several may be pending at once.
pub(crate) mod call {
    /// Close when idle.
    pub(crate) const DRAIN: u8 = 1;
    /// Close now.
    pub(crate) const END: u8 = 2;
    /// A cancel order for this session was carried out.
    pub(crate) const CANCELLED: u8 = 4;
    /// Its identity no longer stands, or a lock matches it: see [`super::Seat::ended`].
    pub(crate) const ENDED: u8 = 8;
}

/// A session as operators see it.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Its id.
    pub id: SessionId,
    /// Who.
    pub identity: Arc<Identity>,
    /// On what.
    pub target: Arc<Target>,
    /// Where from.
    pub source: SocketAddr,
    /// Since when.
    pub since: Timestamp,
}

/// How a running connection is reached from elsewhere.
#[derive(Debug)]
pub(crate) struct Seat {
    number: u64,
    calls: AtomicU8,
    waker: OnceLock<Waker>,
    info: OnceLock<SessionInfo>,
    ended: OnceLock<Denial>,
    /// How far the telling of its end is: one of [`telling`].
    telling: AtomicU8,
    untold: Arc<Untold>,
    /// Those who watch it; made when it is first asked for.
    watchers: OnceLock<Box<Watchers>>,
}

/// How far somebody who is being ended was told.
mod telling {
    /// Nobody ended it.
    pub(super) const LIVE: u8 = 0;
    /// It is to end, and its client was not told yet.
    pub(super) const DUE: u8 = 1;
    /// Its client was told, or left.
    pub(super) const OVER: u8 = 2;
}

/// How many sessions are to end whose clients were not told yet.
#[derive(Debug, Default)]
struct Untold {
    count: AtomicUsize,
    none: Notify,
}

impl Untold {
    fn one_less(&self) {
        if self.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none.notify_waiters();
        }
    }
}

impl Seat {
    /// Tells it something and wakes it.
    pub(crate) fn call(&self, what: u8) {
        self.calls.fetch_or(what, Ordering::AcqRel);
        if let Some(waker) = self.waker.get() {
            waker.wake_by_ref();
        }
    }

    /// Ends its session, with these words.
    pub(crate) fn end(&self, denial: Denial) {
        // Of two reasons the first is as good.
        let _ = self.ended.set(denial);
        // Counted ahead: whoever leaves in this moment counts itself out.
        self.untold.count.fetch_add(1, Ordering::AcqRel);
        if self.telling.compare_exchange(telling::LIVE, telling::DUE, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.untold.one_less();
        }
        self.call(call::ENDED);
    }

    /// Its client was told all that it will be told.
    pub(crate) fn told(&self) {
        if self.telling.swap(telling::OVER, Ordering::AcqRel) == telling::DUE {
            self.untold.one_less();
        }
    }

    /// Why its session must end, once that was said.
    pub(crate) fn ended(&self) -> Option<&Denial> {
        self.ended.get()
    }

    /// What it was told since the last time.
    pub(crate) fn take_calls(&self) -> u8 {
        // A plain load first: this is asked on every wake, and almost always nothing was said.
        if self.calls.load(Ordering::Relaxed) == 0 { 0 } else { self.calls.swap(0, Ordering::AcqRel) }
    }

    /// The task to wake from now on; a task is woken by the same waker as long as it lives. Returns what was said before.
    pub(crate) fn listen(&self, cx: &Context<'_>) -> u8 {
        self.waker.get_or_init(|| cx.waker().clone());
        // Not a plain load: either this sees a call, or the call sees the waker.
        self.calls.swap(0, Ordering::AcqRel)
    }

    /// Those who watch it.
    pub(crate) fn watchers(&self) -> &Watchers {
        self.watchers.get_or_init(Box::default)
    }

    /// Makes it a session.
    pub(crate) fn introduce(&self, info: SessionInfo) {
        // A second introduction would be a second session on one connection: the first stays.
        let _ = self.info.set(info);
    }
}

/// Every connection of a gateway, spread over several locks.
#[derive(Debug, Default)]
pub struct SessionRegistry {
    shards: [Mutex<HashMap<u64, Arc<Seat>>>; SHARDS],
    next: AtomicU64,
    connections: AtomicUsize,
    left: Notify,
    untold: Arc<Untold>,
}

impl SessionRegistry {
    /// Connections now open, including those still logging in.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Acquire)
    }

    /// The sessions that are logged in or judged to be let in, oldest first.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let mut all: Vec<SessionInfo> = self
            .shards
            .iter()
            .flat_map(|s| s.lock().values().filter_map(|seat| seat.info.get().cloned()).collect::<Vec<_>>())
            .collect();
        all.sort_by_key(|i| (i.since, i.id));
        all
    }

    /// Every seat of a session, with its identity.
    pub(crate) fn identities(&self) -> Vec<(Arc<Seat>, Arc<Identity>)> {
        let all = |s: &Mutex<HashMap<u64, Arc<Seat>>>| {
            s.lock()
                .values()
                .filter_map(|seat| Some((seat.clone(), seat.info.get()?.identity.clone())))
                .collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(all).collect()
    }

    /// Every seat of a session, with what is known of it.
    pub(crate) fn introduced(&self) -> Vec<(Arc<Seat>, SessionInfo)> {
        let all = |s: &Mutex<HashMap<u64, Arc<Seat>>>| {
            s.lock().values().filter_map(|seat| Some((seat.clone(), seat.info.get()?.clone()))).collect::<Vec<_>>()
        };
        self.shards.iter().flat_map(all).collect()
    }

    /// Ends a session with these words: running work is cancelled at the target. False when there is no such session here.
    pub fn end(&self, id: SessionId, denial: Denial) -> bool {
        let found = self.introduced().into_iter().find(|(_, info)| info.id == id);
        found.map(|(seat, _)| seat.end(denial)).is_some()
    }

    fn shard(&self, number: u64) -> Option<&Mutex<HashMap<u64, Arc<Seat>>>> {
        self.shards.get(usize::try_from(number).unwrap_or(usize::MAX) % SHARDS)
    }

    /// A seat for a new connection, until the guard is dropped.
    pub(crate) fn sit(self: &Arc<Self>) -> Seated {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let seat = Arc::new(Seat {
            number,
            calls: AtomicU8::new(0),
            waker: OnceLock::new(),
            info: OnceLock::new(),
            ended: OnceLock::new(),
            telling: AtomicU8::new(telling::LIVE),
            untold: Arc::clone(&self.untold),
            watchers: OnceLock::new(),
        });
        self.connections.fetch_add(1, Ordering::AcqRel);
        if let Some(shard) = self.shard(number) {
            shard.lock().insert(number, seat.clone());
        }
        Seated { registry: self.clone(), seat }
    }

    /// Tells everybody.
    pub(crate) fn call_all(&self, what: u8) {
        for shard in &self.shards {
            let seats: Vec<Arc<Seat>> = shard.lock().values().cloned().collect();
            for seat in seats {
                seat.call(what);
            }
        }
    }

    /// Returns once the client of every session that is being ended was told, or a while later. Telling hundreds takes a gateway a moment; what
    /// is done for them at their targets meanwhile takes that moment's processor time.
    pub(crate) async fn all_told(&self) {
        let told = async {
            loop {
                let none = self.untold.none.notified();
                if self.untold.count.load(Ordering::Acquire) == 0 {
                    return;
                }
                none.await;
            }
        };
        // Somebody who does not read is no reason to let work run.
        let _ = tokio::time::timeout(TELLING_TIMEOUT, told).await;
    }

    /// Returns once nobody is left.
    pub(crate) async fn empty(&self) {
        loop {
            let left = self.left.notified();
            if self.connections() == 0 {
                return;
            }
            left.await;
        }
    }
}

/// A taken seat; dropping it leaves.
#[derive(Debug)]
pub(crate) struct Seated {
    registry: Arc<SessionRegistry>,
    pub(crate) seat: Arc<Seat>,
}

impl Drop for Seated {
    fn drop(&mut self) {
        self.seat.told();
        if let Some(shard) = self.registry.shard(self.seat.number) {
            let mut seats = shard.lock();
            seats.remove(&self.seat.number);
            if seats.is_empty() {
                *seats = HashMap::new();
            }
        }
        if self.registry.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.registry.left.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use countersign_model::{ClientText, Culprit, DenialCode};

    use super::*;

    fn denial() -> Denial {
        Denial::new(Culprit::Policy, DenialCode::Locked, ClientText::new("locked"))
    }

    /// Time stands still but for waiting: no machine is too slow for it.
    #[tokio::test(start_paused = true)]
    async fn work_at_targets_waits_until_everybody_who_ends_was_told() {
        let registry = Arc::new(SessionRegistry::default());
        let (told, left, bystander) = (registry.sit(), registry.sit(), registry.sit());
        let began = tokio::time::Instant::now();
        registry.all_told().await;
        assert_eq!(began.elapsed(), Duration::ZERO, "nobody is to be told");
        for seated in [&told, &left, &told] {
            seated.seat.end(denial());
        }
        registry.all_told().await;
        assert_eq!(began.elapsed(), TELLING_TIMEOUT, "nobody was told, and work at the target does not wait for ever");
        let waiting = tokio::spawn({
            let registry = Arc::clone(&registry);
            async move { registry.all_told().await }
        });
        tokio::task::yield_now().await;
        told.seat.told();
        told.seat.told();
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "one was not told yet");
        drop(left);
        waiting.await.unwrap();
        assert_eq!(began.elapsed(), TELLING_TIMEOUT);
        // Somebody who left, or was told, is not waited for again.
        told.seat.end(denial());
        bystander.seat.told();
        bystander.seat.end(denial());
        registry.all_told().await;
        assert_eq!(began.elapsed(), TELLING_TIMEOUT);
    }

    #[tokio::test]
    async fn ends_and_departures_at_the_same_time_are_counted_out() {
        let registry = Arc::new(SessionRegistry::default());
        for _ in 0..2_000 {
            let seated = registry.sit();
            let seat = Arc::clone(&seated.seat);
            let ender = std::thread::spawn(move || seat.end(denial()));
            drop(seated);
            ender.join().unwrap();
            assert_eq!(registry.untold.count.load(Ordering::Acquire), 0);
        }
    }
}
