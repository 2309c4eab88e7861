//! `GET /v1/events`: that something changed, as server-sent events (HTML standard, 9.2). An event says what changed and no more; what it
//! is now, the operation about it says to whoever may ask that.
//!
//! It must never tell somebody of what they may not list, nor go on when they may not any more. Nobody who reads slowly is waited for,
//! and nothing is kept for them: one log of bounded length serves everybody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use countersign_enforce::{Lockable, Locks as _, Standing};
use countersign_model::{Access, Decision, Request as Question, SessionContext, SessionId, Timestamp};
use countersign_store::{GrantFilter, GrantRecord, REVIEWS_PAGE_MAX, ReviewFilter};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use super::call::{Call, gateway_target, shape_of};
use super::operation::Operation;
use super::problem::Problem;
use super::{Behind, Desk, OPERATIONS};
use crate::grants::GrantCall;

/// How often it is looked what changed.
const POLL: Duration = Duration::from_millis(500);
/// Events that are kept for those who come back.
const KEPT_MAX: usize = 1_024;
/// The latest reviews, and grants, that are looked at.
const LATEST: u32 = REVIEWS_PAGE_MAX;
/// Streams at one time.
const STREAMS_MAX: usize = 64;
/// How often it is asked whether somebody may still watch; and a sign of life for what is in between.
const RIGHTS_EVERY: Duration = Duration::from_secs(5);
/// Looking goes on for so long when nobody watches: whoever lost a connection comes back to the same log.
const IDLE: Duration = Duration::from_secs(60);

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    SessionBegan,
    SessionEnded,
    LockAdded,
    LockEnded,
    ReviewChanged,
    GrantChanged,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SessionBegan => "session.began",
            Self::SessionEnded => "session.ended",
            Self::LockAdded => "lock.added",
            Self::LockEnded => "lock.ended",
            Self::ReviewChanged => "review.changed",
            Self::GrantChanged => "grant.changed",
        }
    }
}

/// What there was, when it was looked.
#[derive(Clone, Debug, Default)]
struct Seen {
    sessions: BTreeSet<SessionId>,
    locks: BTreeSet<String>,
    /// Their versions.
    reviews: BTreeMap<String, u64>,
    grants: BTreeMap<String, GrantMark>,
}

/// What of a grant changes, but for the time that it has left: status, uses, whether it started and whether it was ended.
type GrantMark = (String, u32, bool, bool);

fn mark(grant: GrantRecord) -> (String, GrantMark) {
    (grant.id, (grant.status, grant.uses, grant.started_at.is_some(), grant.ended.is_some()))
}

impl Seen {
    async fn look(desk: &Desk, before: &Self) -> Self {
        let latest = ReviewFilter { open: false, kind: None, before: None, limit: LATEST };
        let reviews = match desk.store.list_reviews(&latest).await {
            Ok(all) => all.into_iter().map(|r| (r.id, r.version)).collect(),
            Err(error) => {
                tracing::warn!(%error, "it cannot be seen which reviews changed");
                before.reviews.clone()
            }
        };
        let latest = GrantFilter { live_at: None, before: None, limit: LATEST };
        let grants = match desk.store.list_grants(&latest).await {
            Ok(all) => all.into_iter().map(mark).collect(),
            Err(error) => {
                tracing::warn!(%error, "it cannot be seen which grants changed");
                before.grants.clone()
            }
        };
        Self {
            sessions: desk.sessions.sessions().iter().map(|s| s.id).collect(),
            locks: desk.locks.live((desk.clock)()).iter().map(|l| l.id.clone()).collect(),
            reviews,
            grants,
        }
    }

    /// What is different now.
    fn changes(&self, now: &Self) -> Vec<(Kind, String)> {
        let mut all = Vec::new();
        all.extend(now.sessions.difference(&self.sessions).map(|id| (Kind::SessionBegan, id.to_string())));
        all.extend(self.sessions.difference(&now.sessions).map(|id| (Kind::SessionEnded, id.to_string())));
        all.extend(now.locks.difference(&self.locks).map(|id| (Kind::LockAdded, id.clone())));
        all.extend(self.locks.difference(&now.locks).map(|id| (Kind::LockEnded, id.clone())));
        let changed = now.reviews.iter().filter(|(id, version)| self.reviews.get(*id) != Some(version));
        all.extend(changed.map(|(id, _)| (Kind::ReviewChanged, id.clone())));
        let changed = now.grants.iter().filter(|(id, mark)| self.grants.get(*id) != Some(mark));
        all.extend(changed.map(|(id, _)| (Kind::GrantChanged, id.clone())));
        all
    }
}

/// What happened lately. The number of an event is its place since the log began.
#[derive(Debug, Default)]
struct Log {
    /// Names the log, so that a number is never taken for one of another.
    run: String,
    events: VecDeque<(Kind, String)>,
    /// The number of the next event.
    next: u64,
    watching: bool,
}

impl Log {
    fn add(&mut self, changes: Vec<(Kind, String)>) {
        for change in changes {
            if self.events.len() == KEPT_MAX {
                self.events.pop_front();
            }
            self.events.push_back(change);
            self.next += 1;
        }
    }

    /// The events from this number on; `None` when some of them are not kept any more.
    fn since(&self, number: u64) -> Option<Vec<(Kind, String)>> {
        let first = self.next.saturating_sub(self.events.len() as u64);
        let skip = usize::try_from(number.checked_sub(first)?).ok()?;
        (number <= self.next).then(|| self.events.iter().skip(skip).cloned().collect())
    }
}

/// Where all streams read.
#[derive(Debug)]
pub(crate) struct Hub {
    log: Mutex<Log>,
    grown: watch::Sender<u64>,
    places: Arc<Semaphore>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { log: Mutex::default(), grown: watch::Sender::new(0), places: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl Hub {
    /// Begins to look, unless somebody does; says where the log is now.
    async fn join(self: &Arc<Self>, desk: &Arc<Desk>) -> (String, u64) {
        let mut log = self.log.lock().await;
        if !log.watching {
            let now = (desk.clock)();
            *log = Log { run: SessionId::new(now, rand::random()).to_string(), watching: true, ..Log::default() };
            let seen = Seen::look(desk, &Seen::default()).await;
            tokio::spawn(look(Arc::downgrade(self), desk.clone(), seen));
        }
        (log.run.clone(), log.next)
    }
}

/// Looks for changes for as long as somebody is there to hear of them.
async fn look(hub: Weak<Hub>, desk: Arc<Desk>, mut seen: Seen) {
    let mut heard = Instant::now();
    loop {
        tokio::time::sleep(POLL).await;
        let Some(hub) = hub.upgrade() else { return };
        let now = Seen::look(&desk, &seen).await;
        let changes = seen.changes(&now);
        seen = now;
        let mut log = hub.log.lock().await;
        if hub.places.available_permits() < STREAMS_MAX {
            heard = Instant::now();
        } else if heard.elapsed() > IDLE {
            *log = Log::default();
            return;
        }
        if !changes.is_empty() {
            log.add(changes);
            hub.grown.send_replace(log.next);
        }
    }
}

/// What somebody may hear of, besides reviews and grants, which are looked at one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rights {
    sessions: bool,
    locks: bool,
}

/// One stream.
struct Stream {
    desk: Arc<Desk>,
    behind: Behind,
    call: Call,
    run: String,
    next: u64,
    rights: Rights,
    asked: Instant,
    grown: watch::Receiver<u64>,
    /// What is said first.
    greeting: Option<String>,
    _place: OwnedSemaphorePermit,
}

/// Begins a stream, after the event that the caller had last, if it is still known.
pub(crate) async fn stream(
    desk: Arc<Desk>,
    behind: Behind,
    call: Call,
    last: Option<String>,
) -> Result<Response<Body>, Problem> {
    let full = || Problem::unavailable("too many watch already: ask again later");
    let place = behind.hub.places.clone().try_acquire_owned().map_err(|_| full())?;
    let now = (desk.clock)();
    let over = || Problem::with_status(403, "the caller may not watch");
    let rights = rights(&desk, &call, now).await.ok_or_else(over)?;
    let (run, newest) = behind.hub.join(&desk).await;
    let resumed = last.as_deref().and_then(|id| id.split_once('-')).filter(|(of, _)| *of == run);
    let resumed: Option<u64> = resumed.and_then(|(_, number)| number.parse().ok()).filter(|n| *n <= newest);
    let (next, greeting) = match (resumed, &last) {
        (Some(next), _) => (next, None),
        (None, None) => (newest, Some(written(&run, newest, "ready", "{}"))),
        (None, Some(_)) => (newest, Some(written(&run, newest, "reset", "{}"))),
    };
    let grown = behind.hub.grown.subscribe();
    let asked = Instant::now();
    let one = Stream { desk, behind, call, run, next, rights, asked, grown, greeting, _place: place };
    let parts = stream::unfold(one, |mut one| async move {
        let text = one.wait().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), one))
    });
    let mut response = Response::new(Body::from_stream(parts));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    Ok(response)
}

/// An event. Its id is where to go on after it.
fn written(run: &str, next: u64, kind: &str, data: &str) -> String {
    format!("id: {run}-{next}\nevent: {kind}\ndata: {data}\n\n")
}

impl Stream {
    /// What is said next; `None` when the caller may not watch any more.
    async fn wait(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if self.asked.elapsed() >= RIGHTS_EVERY {
                self.rights = rights(&self.desk, &self.call, (self.desk.clock)()).await?;
                self.asked = Instant::now();
            }
            self.grown.borrow_and_update();
            let (same, events, newest) = {
                let log = self.behind.hub.log.lock().await;
                (log.run == self.run, log.since(self.next), log.next)
            };
            let Some(events) = events.filter(|_| same) else {
                // Not all that was missed is kept: whoever watches must ask anew.
                let (run, newest) =
                    if same { (self.run.clone(), newest) } else { self.behind.hub.join(&self.desk).await };
                (self.run, self.next) = (run, newest);
                return Some(written(&self.run, self.next, "reset", "{}"));
            };
            let mut text = String::new();
            for (kind, id) in events {
                self.next += 1;
                if self.may_hear(kind, &id).await {
                    let data = serde_json::json!({ "id": id }).to_string();
                    let _ = write!(text, "{}", written(&self.run, self.next, kind.as_str(), &data));
                }
            }
            if !text.is_empty() {
                return Some(text);
            }
            match tokio::time::timeout(RIGHTS_EVERY, self.grown.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                // A sign of life, so that either end notices that the other is gone.
                Err(_) => return Some(": \n\n".to_owned()),
            }
        }
    }

    async fn may_hear(&self, kind: Kind, id: &str) -> bool {
        match kind {
            Kind::SessionBegan | Kind::SessionEnded => self.rights.sessions,
            Kind::LockAdded | Kind::LockEnded => self.rights.locks,
            Kind::ReviewChanged => {
                let Some(door) = &self.behind.reviews else { return false };
                let Some(show) = operation("reviews.show") else { return false };
                door.0.show(self.call.door_request(show), id.to_owned()).await.status == 200
            }
            Kind::GrantChanged => {
                let Some(door) = &self.behind.grants else { return false };
                let Some(show) = operation("grants.show") else { return false };
                door.0.serve(self.call.door_request(show), GrantCall::Show(id.to_owned())).await.status == 200
            }
        }
    }
}

fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|o| o.name == name)
}

/// What the caller may hear of; `None` when they may not be here at all.
async fn rights(desk: &Desk, call: &Call, now: Timestamp) -> Option<Rights> {
    let target = gateway_target()?;
    let what = Lockable { identity: &call.caller, source: call.source, target: &target.name, session: call.session };
    if desk.locks.keeps_out(&what, now).is_some() || call.caller.expires_at <= now {
        return None;
    }
    // What cannot be told now is no yes: whoever watches comes back.
    if desk.callers.standing(&call.caller, now).await != Standing::Stands {
        return None;
    }
    let context = SessionContext {
        id: call.session,
        source: call.source,
        encrypted: call.encrypted,
        application: String::new(),
        part: String::new(),
        started_at: call.now,
    };
    let may = |operation: &'static str| {
        let shape = shape_of(operation, Access::Read);
        let question = Question { identity: &call.caller, target: &target, session: &context, shape: &shape, now };
        desk.policy.evaluate(&question).decision == Decision::Allow
    };
    Some(Rights { sessions: may("sessions.list"), locks: may("locks.list") })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn event(n: usize) -> (Kind, String) {
        (Kind::LockAdded, n.to_string())
    }

    #[test]
    fn the_log_has_a_longest_and_says_when_something_is_missing() {
        let mut log = Log::default();
        assert_eq!(log.since(0).unwrap(), []);
        assert_eq!(log.since(1), None, "that is yet to happen");
        log.add((0..KEPT_MAX).map(event).collect());
        assert_eq!(log.since(0).unwrap().len(), KEPT_MAX);
        log.add(vec![event(KEPT_MAX)]);
        assert_eq!(log.since(0), None, "the first is gone");
        let rest = log.since(1).unwrap();
        assert_eq!((rest.len(), rest.last().unwrap().1.as_str()), (KEPT_MAX, "1024"));
        assert_eq!(log.since(log.next).unwrap(), []);
    }

    #[test]
    fn changes_are_what_differs() {
        let session = SessionId::from_u128(1);
        let grant = |uses| [("g".to_owned(), ("active".to_owned(), uses, true, false))].into();
        let before = Seen {
            sessions: BTreeSet::new(),
            locks: ["a".to_owned()].into(),
            reviews: [("r".to_owned(), 1)].into(),
            grants: grant(1),
        };
        let now = Seen {
            sessions: [session].into(),
            locks: ["b".to_owned()].into(),
            reviews: [("r".to_owned(), 2), ("s".to_owned(), 1)].into(),
            grants: grant(2),
        };
        let names = |all: Vec<(Kind, String)>| {
            all.into_iter().map(|(k, id)| format!("{} {id}", k.as_str())).collect::<Vec<_>>()
        };
        let want = [
            &format!("session.began {session}"),
            "lock.added b",
            "lock.ended a",
            "review.changed r",
            "review.changed s",
            "grant.changed g",
        ];
        assert_eq!(names(before.changes(&now)), want);
        assert_eq!(names(now.changes(&now.clone())), [""; 0]);
    }
}
