//! The service: notices into the store, once for each receiver that wants them; a courier for each receiver; what operators ask.

use std::sync::Arc;
use std::time::Duration;

use countersign_model::{SessionId, Timestamp};
use countersign_store::{NoticeAdded, NoticeRecord, Store, StoreError};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use crate::courier::Courier;
use crate::teller::Inbox;
use crate::{Kind, Notice, Receiver};

/// How often a gateway looks what is to be sent, besides when it adds something itself.
pub const POLL: Duration = Duration::from_secs(1);
/// How long a gateway that says nothing is still taken to be sending to a receiver: longer than one message may take.
pub const LEASE: Duration = Duration::from_secs(15);
/// The time in which the same alert is counted and not told again.
pub const ALERT_WINDOW: Duration = Duration::from_secs(600);
/// Notices that wait for one receiver; more are lost, and counted.
pub const WAITING_MAX: u32 = 10_000;
/// How long what was sent is remembered, and what was not.
pub const KEPT: Duration = Duration::from_secs(7 * 86_400);
/// How often whoever watches for what is to be told should look.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// How often old notices are removed and the waiting are counted.
const UPKEEP: Duration = Duration::from_secs(15);
/// Notices that are written together.
const BATCH_MAX: usize = 256;
/// How long to wait with the store when it could not be written.
const STORE_PAUSE: Duration = Duration::from_secs(1);
/// How long a gateway that stops goes on writing what it was told.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a test waits for its notice.
const TEST_TIMEOUT: Duration = Duration::from_secs(12);
const TEST_POLL: Duration = Duration::from_millis(200);

/// What the service is made of.
pub struct NoticesParts {
    /// Where notices wait.
    pub store: Store,
    /// Where they come from.
    pub inbox: Inbox,
    /// Who receives them.
    pub receivers: Vec<Receiver>,
    /// The console's address, such as `https://gw.example:8443`; empty for none.
    pub base: String,
    /// Tells the time.
    pub clock: fn() -> Timestamp,
    /// Where tasks run.
    pub tasks: Handle,
}

/// How a receiver is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiverState {
    /// Its name.
    pub name: String,
    /// The way to it: `slack`.
    pub channel: &'static str,
    /// Notices that wait for it.
    pub waiting: u64,
    /// Notices that were given up.
    pub dead: u64,
    /// Since when nothing could be sent.
    pub failing_since: Option<Timestamp>,
    /// Why.
    pub error: String,
    /// When something was sent last.
    pub sent_at: Option<Timestamp>,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tested {
    /// The notice's id.
    pub id: String,
    /// How far it is: `sent`, or `waiting` when it failed or nobody tried yet.
    pub status: String,
    /// Why it was not sent.
    pub error: String,
}

pub(crate) struct Shared {
    pub(crate) store: Store,
    pub(crate) base: String,
    pub(crate) clock: fn() -> Timestamp,
    /// This process, among those that use the store.
    pub(crate) gateway: String,
    pub(crate) woken: Notify,
    receivers: Mutex<Vec<Arc<Receiver>>>,
    wanted: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    couriers: Mutex<Vec<JoinHandle<()>>>,
    own: Mutex<Vec<JoinHandle<()>>>,
    tasks: Handle,
}

/// The notices of a gateway. Cloning it shares it.
#[derive(Clone)]
pub struct Notices(Arc<Shared>);

impl std::fmt::Debug for Notices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Notices({:?})", self.0.receivers.lock())
    }
}

/// A new id: a ULID.
pub(crate) fn new_id(now: Timestamp) -> String {
    SessionId::new(now, rand::random()).to_string()
}

impl Notices {
    /// Starts to bring notices out.
    pub fn start(parts: NoticesParts) -> Self {
        let gateway = new_id((parts.clock)());
        let shared = Arc::new(Shared {
            store: parts.store,
            base: parts.base,
            clock: parts.clock,
            gateway,
            woken: Notify::new(),
            receivers: Mutex::default(),
            wanted: watch::Sender::new(false),
            stop: watch::Sender::new(false),
            couriers: Mutex::default(),
            own: Mutex::default(),
            tasks: parts.tasks.clone(),
        });
        let notices = Self(shared.clone());
        notices.configure(parts.receivers);
        let writer = parts.tasks.spawn(write(notices.clone(), parts.inbox));
        let upkeep = parts.tasks.spawn(upkeep(notices.clone()));
        shared.own.lock().extend([writer, upkeep]);
        notices
    }

    /// Sends to these receivers from now on. What waits for one that is not among them waits until it is.
    pub fn configure(&self, receivers: Vec<Receiver>) {
        let all: Vec<Arc<Receiver>> = receivers.into_iter().map(Arc::new).collect();
        let mut couriers = self.0.couriers.lock();
        // One in the middle of a message may send it twice: a message has an id for that.
        couriers.drain(..).for_each(|task| task.abort());
        couriers.extend(all.iter().map(|r| self.0.tasks.spawn(Courier::new(self.0.clone(), r.clone()).run())));
        self.0.wanted.send_replace(!all.is_empty());
        *self.0.receivers.lock() = all;
    }

    /// Whether anybody wants to be told anything.
    pub fn are_wanted(&self) -> bool {
        *self.0.wanted.borrow()
    }

    /// Puts a notice in the store for whoever wants it and was not told before. With `times`, the same came so often, and is counted where it
    /// is there already.
    ///
    /// # Errors
    /// When the store cannot keep it; whoever has it must try again.
    pub async fn keep(&self, notice: &Notice, times: Option<u32>) -> Result<(), StoreError> {
        let receivers = self.0.receivers.lock().clone();
        for receiver in receivers.iter().filter(|r| r.wants(notice)) {
            self.keep_for(receiver, notice, times).await?;
        }
        Ok(())
    }

    async fn keep_for(
        &self,
        receiver: &Receiver,
        notice: &Notice,
        times: Option<u32>,
    ) -> Result<Option<String>, StoreError> {
        let now = (self.0.clock)();
        let window = if times.is_some() { i64::try_from(ALERT_WINDOW.as_micros()).unwrap_or(0) } else { 0 };
        let content = serde_json::to_string(&receiver.cut(notice.clone())).unwrap_or_default();
        let record = NoticeRecord {
            id: new_id(now),
            receiver: receiver.name.clone(),
            topic: notice.topic.clone(),
            kind: notice.kind.as_str().to_owned(),
            thread: notice.thread.clone(),
            urgency: notice.kind.urgency(),
            content,
            more: times.map_or(0, |n| i64::from(n.saturating_sub(1))),
            window_until: now.unix_us().saturating_add(window),
            next_at: now.unix_us(),
            created_at: now.unix_us(),
            ..NoticeRecord::default()
        };
        match self.0.store.add_notice(&record, WAITING_MAX).await? {
            NoticeAdded::Kept => {
                self.0.woken.notify_waiters();
                return Ok(Some(record.id));
            }
            NoticeAdded::Known => {
                if let Some(times) = times {
                    self.0.store.count_notice(&receiver.name, &notice.topic, times).await?;
                }
            }
            NoticeAdded::Full => {
                metrics::counter!("countersign_notices_lost_total").increment(1);
                tracing::warn!(receiver = receiver.name, most = WAITING_MAX, "too many notices wait: one is lost");
            }
        }
        Ok(None)
    }

    /// How the receivers are, in the order of the configuration.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn states(&self) -> Result<Vec<ReceiverState>, StoreError> {
        let kept = self.0.store.notice_receivers().await?;
        let counts = self.0.store.notice_counts().await?;
        let receivers = self.0.receivers.lock().clone();
        let state = |r: &Arc<Receiver>| {
            let mut state =
                ReceiverState { name: r.name.clone(), channel: r.channel.as_str(), ..ReceiverState::default() };
            if let Some(k) = kept.iter().find(|k| k.name == r.name) {
                state.failing_since = k.failing_since.map(Timestamp::from_unix_us);
                state.error.clone_from(&k.error);
                state.sent_at = k.sent_at.map(Timestamp::from_unix_us);
            }
            if let Some((_, waiting, dead)) = counts.iter().find(|(name, ..)| *name == r.name) {
                (state.waiting, state.dead) = (*waiting, *dead);
            }
            state
        };
        Ok(receivers.iter().map(state).collect())
    }

    /// Tells a receiver that somebody tries whether notices arrive, and waits a while for what comes of it; `None` when there is no such
    /// receiver.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn test(&self, name: &str, by: &str) -> Result<Option<Tested>, StoreError> {
        let found = self.0.receivers.lock().iter().find(|r| r.name == name).cloned();
        let Some(receiver) = found else { return Ok(None) };
        let now = (self.0.clock)();
        let topic = format!("test/{}", new_id(now));
        let notice =
            Notice { identity: by.to_owned(), path: "/console".to_owned(), ..Notice::new(Kind::Test, topic, now) };
        let Some(id) = self.keep_for(&receiver, &notice, None).await? else {
            let error = "too many notices wait for it".to_owned();
            return Ok(Some(Tested { id: String::new(), status: "lost".to_owned(), error }));
        };
        let until = Instant::now() + TEST_TIMEOUT;
        loop {
            sleep(TEST_POLL).await;
            let Some(kept) = self.0.store.notice(&id).await? else { return Ok(None) };
            if kept.status != "waiting" || kept.tries > 0 || Instant::now() >= until {
                return Ok(Some(Tested { id, status: kept.status, error: kept.error }));
            }
        }
    }

    /// A notice that waits or was given up is sent now; `false` when it is neither.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn retry(&self, id: &str) -> Result<bool, StoreError> {
        let retried = self.0.store.retry_notice(id, (self.0.clock)()).await?;
        self.0.woken.notify_waiters();
        Ok(retried)
    }

    /// Writes what it was told, and leaves sending to others.
    pub async fn stop(&self) {
        self.0.stop.send_replace(true);
        let own: Vec<_> = self.0.own.lock().drain(..).collect();
        for task in own {
            let abort = task.abort_handle();
            if timeout(STOP_TIMEOUT, task).await.is_err() {
                abort.abort();
            }
        }
        self.0.couriers.lock().drain(..).for_each(|task| task.abort());
        if let Err(error) = self.0.store.release_notice_receivers(&self.0.gateway).await {
            tracing::warn!(%error, "other gateways wait before they send notices");
        }
    }
}

/// Writes notices to the store as they come.
async fn write(notices: Notices, mut inbox: Inbox) {
    let (mut wanted, mut stop) = (notices.0.wanted.subscribe(), notices.0.stop.subscribe());
    inbox.want(*wanted.borrow_and_update());
    let mut batch = Vec::new();
    loop {
        let stopping = *stop.borrow_and_update();
        if stopping && inbox.receiver.is_empty() {
            return;
        }
        tokio::select! {
            n = inbox.receiver.recv_many(&mut batch, BATCH_MAX) => if n == 0 { return },
            _ = wanted.changed() => inbox.want(*wanted.borrow_and_update()),
            _ = stop.changed() => {}
        }
        for (notice, times) in same_together(&mut batch) {
            while let Err(error) = notices.keep(&notice, Some(times)).await {
                if matches!(error, StoreError::Limit(_)) {
                    tracing::warn!(%error, "a notice is lost");
                    break;
                }
                tracing::warn!(%error, "notices wait for the store");
                sleep(STORE_PAUSE).await;
            }
        }
        let lost = inbox.lost();
        if lost > 0 {
            metrics::counter!("countersign_notices_lost_total").increment(lost);
            tracing::warn!(lost, "more notices came than could be written: some are lost");
        }
    }
}

/// Each topic once, in the order of its first, and how often it is there.
fn same_together(batch: &mut Vec<Notice>) -> Vec<(Notice, u32)> {
    let mut all: Vec<(Notice, u32)> = Vec::new();
    for notice in batch.drain(..) {
        match all.iter_mut().find(|(n, _)| n.topic == notice.topic) {
            Some((_, times)) => *times = times.saturating_add(1),
            None => all.push((notice, 1)),
        }
    }
    all
}

/// Counts what waits, tells of what came again, and removes what is long over.
async fn upkeep(notices: Notices) {
    let mut stop = notices.0.stop.subscribe();
    loop {
        if let Err(error) = notices.upkeep().await {
            tracing::warn!(%error, "notices could not be looked after");
        }
        tokio::select! {
            () = sleep(UPKEEP) => {}
            _ = stop.changed() => return,
        }
    }
}

impl Notices {
    async fn upkeep(&self) -> Result<(), StoreError> {
        let now = (self.0.clock)();
        let store = &self.0.store;
        for state in self.states().await? {
            let waiting = u32::try_from(state.waiting).unwrap_or(u32::MAX);
            metrics::gauge!("countersign_notices_waiting", "receiver" => state.name.clone()).set(f64::from(waiting));
            for again in store.repeated_notices(&state.name, now).await? {
                // Of several gateways that see it, one adds it; all of them then say that it was told.
                let record = NoticeRecord {
                    id: new_id(now),
                    topic: format!("{}/again/{}", again.topic, again.told),
                    more: again.more.saturating_sub(again.told).saturating_sub(1),
                    window_until: 0,
                    next_at: now.unix_us(),
                    created_at: now.unix_us(),
                    ..again.clone()
                };
                store.add_notice(&record, WAITING_MAX).await?;
                store.repetitions_told(&again.id, again.more).await?;
            }
        }
        let before = now.unix_us().saturating_sub(i64::try_from(KEPT.as_micros()).unwrap_or(i64::MAX));
        let before = Timestamp::from_unix_us(before);
        store.remove_notices_over(before, before).await?;
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn the_same_of_a_batch_is_one_with_a_count() {
        let notice = |topic: &str| Notice::new(Kind::Alert, topic, Timestamp::from_unix_s(1));
        let mut batch = ["a", "b", "a", "a", "c", "b"].map(notice).to_vec();
        let together: Vec<(String, u32)> = same_together(&mut batch).into_iter().map(|(n, t)| (n.topic, t)).collect();
        assert_eq!(together, [("a".to_owned(), 3), ("b".to_owned(), 2), ("c".to_owned(), 1)]);
        assert!(batch.is_empty());
    }
}
