//! Who brings notices to one receiver. Each receiver has one on every gateway; the one that holds the receiver's lease sends. A receiver that
//! hangs holds up nobody but its own courier.

use std::sync::Arc;
use std::time::Duration;

use countersign_model::Timestamp;
use countersign_store::{NoticeReceiverRecord, NoticeRecord, StoreError, notice_error};
use tokio::time::{Instant, sleep};

use crate::pace::{TRIES_MAX, Turn, backoff, turn};
use crate::send::{Failure, Http, Message, send};
use crate::service::{LEASE, POLL, Shared, new_id};
use crate::{Kind, Notice, Receiver};

/// How long a receiver that fails is left alone at most: what waits meanwhile is not tried one by one.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How long the store is left alone when it could not be asked.
const STORE_PAUSE: Duration = Duration::from_secs(3);

pub(crate) struct Courier {
    shared: Arc<Shared>,
    receiver: Arc<Receiver>,
    http: Http,
    /// Failures since the last success.
    failures: i64,
}

/// What came of one look.
enum Looked {
    /// There may be more at once.
    Again,
    /// Nothing to do now.
    Rest(Duration),
}

impl Courier {
    pub(crate) fn new(shared: Arc<Shared>, receiver: Arc<Receiver>) -> Self {
        let http = Http::new(receiver.ca.clone());
        Self { shared, receiver, http, failures: 0 }
    }

    pub(crate) async fn run(mut self) {
        loop {
            let rest = match Box::pin(self.look()).await {
                Ok(Looked::Again) => continue,
                Ok(Looked::Rest(rest)) => rest,
                Err(error) => {
                    tracing::debug!(receiver = self.receiver.name, %error, "notices wait for the store");
                    STORE_PAUSE
                }
            };
            let least = Instant::now() + rest;
            tokio::select! {
                () = self.shared.woken.notified() => {}
                () = sleep(rest) => {}
            }
            // A receiver that fails is left alone whatever comes in.
            if self.failures > 0 {
                tokio::time::sleep_until(least).await;
            }
        }
    }

    fn now(&self) -> Timestamp {
        (self.shared.clock)()
    }

    async fn lease(&self) -> Result<Option<NoticeReceiverRecord>, StoreError> {
        let (store, now) = (&self.shared.store, self.now());
        let until = after(now, LEASE);
        store
            .lease_notice_receiver(&self.receiver.name, &self.shared.gateway, until, store.is_for_one_gateway(), now)
            .await
    }

    async fn look(&mut self) -> Result<Looked, StoreError> {
        let name = &self.receiver.name;
        if self.shared.store.due_notices(name, 1, self.now()).await?.0 == 0 {
            return Ok(Looked::Rest(POLL));
        }
        let Some(mut state) = self.lease().await? else { return Ok(Looked::Rest(POLL)) };
        // Another gateway may have sent it since it was read.
        let (due, first) = self.shared.store.due_notices(name, 1, self.now()).await?;
        let Some(record) = first.into_iter().next() else { return Ok(Looked::Rest(POLL)) };
        // While it fails nothing is merged: what waits is told one by one once it can be.
        let counted = if state.failing_since.is_some() { 1 } else { due };
        match turn(&mut state, counted, self.receiver.per_minute, self.now().unix_us()) {
            Turn::Wait(until) => {
                let left = Timestamp::from_unix_us(until).since_us(self.now());
                Ok(Looked::Rest(Duration::from_micros(left).clamp(Duration::from_millis(50), POLL)))
            }
            Turn::Merge if self.merge().await? > 0 => Ok(Looked::Again),
            Turn::Merge | Turn::Send => self.bring(record, state).await,
        }
    }

    /// Puts one notice in the place of all that wait; says how many there were.
    async fn merge(&self) -> Result<u64, StoreError> {
        let now = self.now();
        let id = new_id(now);
        let notice = Notice { path: "/console".to_owned(), ..Notice::new(Kind::Summary, format!("summary/{id}"), now) };
        let summary = NoticeRecord {
            id,
            receiver: self.receiver.name.clone(),
            topic: notice.topic.clone(),
            kind: notice.kind.as_str().to_owned(),
            urgency: notice.kind.urgency(),
            content: serde_json::to_string(&notice).unwrap_or_default(),
            next_at: now.unix_us(),
            created_at: now.unix_us(),
            ..NoticeRecord::default()
        };
        let merged = self.shared.store.merge_notices(&summary, now).await?;
        if merged > 0 {
            tracing::warn!(receiver = self.receiver.name, merged, "many notices were put into one");
        }
        Ok(merged)
    }

    /// Sends one notice and keeps what came of it.
    async fn bring(&mut self, record: NoticeRecord, mut state: NoticeReceiverRecord) -> Result<Looked, StoreError> {
        let shared = self.shared.clone();
        let store = &shared.store;
        let name = self.receiver.name.clone();
        let Ok(notice) = serde_json::from_str::<Notice>(&record.content) else {
            store.notice_failed(&record.id, "it cannot be read", None, self.now()).await?;
            return Ok(Looked::Again);
        };
        let thread = store.notices_of_thread(&name, &record.thread).await?;
        if notice.kind.asks() && self.receiver.channel.is_for_people() {
            let end = thread.iter().find(|n| n.id > record.id && n.status == "waiting");
            if let Some(end) = end {
                store.supersede_notice(&record.id, &end.id, self.now()).await?;
                return Ok(Looked::Again);
            }
        }
        let earlier = thread.iter().rfind(|n| n.status == "sent" && !n.reference.is_empty());
        let message = Message {
            id: &record.id,
            notice: &notice,
            more: record.more,
            merged: if notice.kind == Kind::Summary { store.merged_notices(&record.id).await? } else { Vec::new() },
            earlier: earlier.filter(|_| notice.kind.is_end()).map(|n| n.reference.clone()),
            base: &shared.base,
            now: self.now(),
        };
        let sent = send(&mut self.http, &self.receiver, &message).await;
        let now = self.now();
        state.sent_in_minute = state.sent_in_minute.saturating_add(1);
        let looked = match sent {
            Ok(reference) => {
                store.notice_sent(&record.id, &reference, record.more, now).await?;
                metrics::counter!("countersign_notices_sent_total", "receiver" => name.clone()).increment(1);
                if state.failing_since.is_some() {
                    tracing::info!(receiver = name, "notices can be sent again");
                }
                self.failures = 0;
                (state.failing_since, state.sent_at) = (None, Some(now.unix_us()));
                state.error.clear();
                Looked::Again
            }
            Err(failure) => {
                let why = notice_error(&failure.why);
                let rest = self.failed(&record, &failure, &why, now).await?;
                if state.failing_since.is_none() {
                    tracing::warn!(receiver = name, why, "notices cannot be sent");
                    state.failing_since = Some(now.unix_us());
                }
                state.error = why;
                Looked::Rest(rest)
            }
        };
        store.keep_notice_receiver(&state).await?;
        Ok(looked)
    }

    /// Keeps that a notice was not sent; says how long the receiver is left alone.
    async fn failed(
        &mut self,
        record: &NoticeRecord,
        failure: &Failure,
        why: &str,
        now: Timestamp,
    ) -> Result<Duration, StoreError> {
        let name = self.receiver.name.clone();
        metrics::counter!("countersign_notices_failed_total", "receiver" => name.clone()).increment(1);
        self.failures = self.failures.saturating_add(1);
        let tries = record.tries.saturating_add(1);
        let wait = backoff(tries, rand::random()).max(failure.after.unwrap_or_default());
        let next = (tries < TRIES_MAX && !failure.gone).then(|| after(now, wait));
        if next.is_none() {
            tracing::error!(receiver = name, notice = record.id, why, tries, "a notice was given up");
        }
        self.shared.store.notice_failed(&record.id, why, next, now).await?;
        Ok(backoff(self.failures, rand::random()).min(PAUSE_MAX).max(failure.after.unwrap_or_default()))
    }
}

fn after(now: Timestamp, d: Duration) -> Timestamp {
    Timestamp::from_unix_us(now.unix_us().saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
}
