//! The locks as a gateway knows them: a snapshot in memory, kept up to date, and a lease on what was last read.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use countersign_enforce::{Alert, AlertSink, BoxFuture, Lockable, Locks};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, RuleId, Severity, Timestamp};
use countersign_store::Store;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout_at};

use crate::snapshot::Snapshot;
use crate::{Lock, LockBook, LockError, NewLock};

/// How often the store is asked whether locks changed.
pub const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// For how long what was read from the store is good when the store cannot be asked.
pub const LEASE_DEFAULT: Duration = Duration::from_secs(10);

/// How locks are kept up to date.
#[derive(Clone, Debug)]
pub struct LockConfig {
    /// How often the store is asked whether locks changed.
    pub poll: Duration,
    /// For how long what was read is good when the store cannot be asked; then everybody is kept out.
    pub lease: Duration,
    /// What somebody is told to do who is locked out; `None` for the default words.
    pub ask: Option<Arc<str>>,
}

impl Default for LockConfig {
    fn default() -> Self {
        Self { poll: POLL_INTERVAL, lease: LEASE_DEFAULT, ask: None }
    }
}

/// The locks of a gateway.
pub struct LockService {
    book: LockBook,
    config: LockConfig,
    alerts: Arc<dyn AlertSink>,
    snapshot: ArcSwap<Snapshot>,
    /// When the store was last asked with an answer.
    read_at: Mutex<Instant>,
    /// The end of the lease was told.
    told: AtomicBool,
    changes: watch::Sender<u64>,
    /// One refresh at a time, so that an older snapshot never replaces a newer one.
    refreshing: tokio::sync::Mutex<()>,
}

impl fmt::Debug for LockService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LockService").field("locks", &self.snapshot.load().locks.len()).finish_non_exhaustive()
    }
}

impl LockService {
    /// Reads the locks. A gateway that cannot must not begin.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds a lock that this version does not understand.
    pub async fn open(
        store: Store,
        config: LockConfig,
        alerts: Arc<dyn AlertSink>,
        now: Timestamp,
    ) -> Result<Self, LockError> {
        let service = Self {
            book: LockBook::new(store),
            config,
            alerts,
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            read_at: Mutex::new(Instant::now()),
            told: AtomicBool::new(false),
            changes: watch::channel(0).0,
            refreshing: tokio::sync::Mutex::new(()),
        };
        let asked = Instant::now();
        let first = read(&service.book, now).await?;
        service.put(first, asked);
        Ok(service)
    }

    /// The locks in the store.
    pub fn book(&self) -> &LockBook {
        &self.book
    }

    /// The locks that are in force now, as this gateway knows them.
    pub fn live(&self, now: Timestamp) -> Vec<Arc<Lock>> {
        self.snapshot.load().locks.iter().filter(|l| l.is_live(now)).cloned().collect()
    }

    /// Makes a lock; when this returns, it is in force on this gateway.
    ///
    /// # Errors
    /// As [`LockBook::add`].
    pub async fn add(&self, new: NewLock, by: &str, now: Timestamp) -> Result<Lock, LockError> {
        let lock = self.book.add(new, by, now).await?;
        self.catch_up(now).await;
        Ok(lock)
    }

    /// Ends a lock.
    ///
    /// # Errors
    /// As [`LockBook::end`].
    pub async fn end(&self, id: &str, by: &str, why: &str, now: Timestamp) -> Result<Lock, LockError> {
        let lock = self.book.end(id, by, why, now).await?;
        self.catch_up(now).await;
        Ok(lock)
    }

    /// What was changed is kept; if it cannot be read back just now, the next poll will.
    async fn catch_up(&self, now: Timestamp) {
        if let Err(e) = self.refresh(now).await {
            tracing::warn!(error = %e, "a change of locks could not be read back yet");
        }
    }

    /// Asks the store whether locks changed, and reads them if so.
    ///
    /// # Errors
    /// When the store cannot be asked, or holds a lock that this version does not understand.
    pub async fn refresh(&self, now: Timestamp) -> Result<(), LockError> {
        self.refresh_from(&self.book, now).await
    }

    async fn refresh_from(&self, book: &LockBook, now: Timestamp) -> Result<(), LockError> {
        let _one = self.refreshing.lock().await;
        let asked = Instant::now();
        if book.store().lock_changes().await? == self.snapshot.load().number {
            self.renewed(asked);
            return Ok(());
        }
        let new = read(book, now).await?;
        let old = self.put(new, asked);
        self.tell_of_new(&old, now);
        self.changes.send_modify(|n| *n += 1);
        Ok(())
    }

    /// Keeps the locks up to date for as long as it is polled. It asks by `store`, which is the same one by connections of its own: whatever
    /// else is done with the store, and wherever, must not use up the lease.
    pub async fn watch(&self, store: Store, clock: impl Fn() -> Timestamp) {
        let book = LockBook::new(store);
        let mut poll = interval(self.config.poll);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut well = true;
        loop {
            poll.tick().await;
            // Not longer than the lease: its end must be told in time, whatever the store does.
            let patience = self.lease_end().max(Instant::now() + self.config.poll);
            let why = match timeout_at(patience, self.refresh_from(&book, clock())).await {
                Ok(Ok(())) => None,
                Ok(Err(e)) => Some(e.to_string()),
                Err(_) => Some("the store does not answer".to_owned()),
            };
            if let Some(why) = &why
                && well
            {
                tracing::warn!(error = why, lease_s = self.config.lease.as_secs(), "locks cannot be read");
            }
            if why.is_none() && !well {
                tracing::info!("locks can be read again");
            }
            well = why.is_none();
            if !self.knows() && !self.told.swap(true, Ordering::AcqRel) {
                tracing::error!("locks could not be read for too long: everybody is kept out until they can");
                self.alert(
                    clock(),
                    Severity::Critical,
                    String::new(),
                    "locks cannot be read: everybody is kept out".to_owned(),
                );
                self.changes.send_modify(|n| *n += 1);
            }
        }
    }

    /// Whether it is known who is locked out.
    ///
    /// # Errors
    /// When it is not: what an operator should know.
    pub fn check(&self) -> Result<(), String> {
        if self.knows() {
            return Ok(());
        }
        let ago = self.read_at.lock().elapsed().as_secs();
        Err(format!("locks were last read {ago} s ago, the lease is {} s", self.config.lease.as_secs()))
    }

    fn lease_end(&self) -> Instant {
        *self.read_at.lock() + self.config.lease
    }

    fn knows(&self) -> bool {
        Instant::now() < self.lease_end()
    }

    fn renewed(&self, asked: Instant) {
        let mut read_at = self.read_at.lock();
        *read_at = (*read_at).max(asked);
        self.told.store(false, Ordering::Release);
    }

    fn put(&self, new: Snapshot, asked: Instant) -> Arc<Snapshot> {
        let old = self.snapshot.swap(Arc::new(new));
        self.renewed(asked);
        old
    }

    fn tell_of_new(&self, old: &Snapshot, now: Timestamp) {
        let known: HashSet<&str> = old.locks.iter().map(|l| l.id.as_str()).collect();
        for lock in self.snapshot.load().locks.iter().filter(|l| !known.contains(l.id.as_str())) {
            let what = format!("lock {} by {}: {}", lock.id, lock.created_by, lock.reason);
            self.alert(now, Severity::High, lock.matcher.to_string(), what);
        }
    }

    fn alert(&self, at: Timestamp, severity: Severity, identity: String, what: String) {
        let (target, rules) = (String::new(), Vec::new());
        self.alerts.raise(Alert { at, severity, session: None, identity, target, rules, what });
    }
}

async fn read(book: &LockBook, now: Timestamp) -> Result<Snapshot, LockError> {
    let (number, records) = book.store().live_locks(now).await?;
    let locks: Result<Vec<_>, _> = records.into_iter().map(|r| Lock::read(r).map(Arc::new)).collect();
    Ok(Snapshot::new(number, locks?))
}

impl Locks for LockService {
    fn keeps_out(&self, what: &Lockable<'_>, now: Timestamp) -> Option<Denial> {
        if !self.knows() {
            return Some(
                Denial::new(
                    Culprit::Us,
                    DenialCode::Locked,
                    ClientText::new("it cannot be told who is locked out, so nobody is let in"),
                )
                .hint(ClientText::new("Try again later, or tell whoever answers for this gateway."))
                .rules(vec![RuleId::new("lock:unknown")])
                .detail("the locks could not be read from the store for longer than their lease"),
            );
        }
        self.snapshot.load().find(what, now).map(|lock| lock.denial(self.config.ask.as_deref()))
    }

    fn changed(&self, seen: u64) -> BoxFuture<'_, u64> {
        let mut changes = self.changes.subscribe();
        Box::pin(async move {
            let changed = changes.wait_for(|n| *n != seen).await.map(|n| *n);
            match changed {
                Ok(n) => n,
                // The sender lives as long as this does.
                Err(_) => std::future::pending().await,
            }
        })
    }
}
