//! `GET /v1/events`: that something changed, as server-sent events (HTML standard, 9.2). An event says what changed and no more; what it
//! is now, the operation about it says to whoever may ask that.
//!
//! It must never tell somebody of what they may not list, nor go on when they may not any more. Nobody who reads slowly is waited for,
//! and nothing is kept for them: one log of bounded length serves everybody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::convert::Infallible;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Response, header};
use countersign_enforce::Standing;
use countersign_model::{Access, Decision, Request as Question, SessionContext, SessionId, Timestamp};
use countersign_store::{GrantMark, ReviewMark, StoreError};
use futures_util::stream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use super::call::{Call, gateway_target, kept_out, shape_of};
use super::follow::Followed;
use super::operation::Operation;
use super::problem::Problem;
use super::recordings::session_id;
use super::{Behind, Caller, Desk, OPERATIONS};
use crate::grants::GrantCall;

/// How often it is looked what changed.
const POLL: Duration = Duration::from_millis(500);
/// Events that are kept for those who come back.
const KEPT_MAX: usize = 1_024;
/// The latest reviews, and grants, that are looked at besides those that are open: what began and ended between two looks is among them.
const LATEST: u32 = 200;
/// Streams at one time.
const STREAMS_MAX: usize = 128;
/// Streams of one person, workload or agent at one time.
const STREAMS_PER_CALLER_MAX: usize = 8;
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

/// The count of changes, the grants, and those that changed and are not among them.
type LookedAtGrants = (Option<u64>, BTreeMap<String, GrantMark>, Vec<String>);

/// What there was, when it was looked.
#[derive(Clone, Debug, Default)]
struct Seen {
    sessions: BTreeSet<SessionId>,
    locks: BTreeSet<String>,
    reviews: BTreeMap<String, ReviewMark>,
    /// What the store counts of changes of grants: while that stays, they do.
    grant_changes: Option<u64>,
    grants: BTreeMap<String, GrantMark>,
    /// Grants that changed and are not looked at any more.
    grants_left: Vec<String>,
}

impl Seen {
    async fn look(desk: &Desk, before: &Self) -> Self {
        let reviews = match desk.store.review_marks(LATEST).await {
            Ok(all) => all.into_iter().map(|r| (r.id.clone(), r)).collect(),
            Err(error) => {
                tracing::warn!(%error, "it cannot be seen which reviews changed");
                before.reviews.clone()
            }
        };
        let (grant_changes, grants, grants_left) = match before.look_at_grants(desk).await {
            Ok(looked) => looked,
            Err(error) => {
                tracing::warn!(%error, "it cannot be seen which grants changed");
                (before.grant_changes, before.grants.clone(), Vec::new())
            }
        };
        Self {
            sessions: desk.sessions.sessions().iter().map(|s| s.id).collect(),
            locks: desk.locks.live((desk.clock)()).iter().map(|l| l.id.clone()).collect(),
            reviews,
            grant_changes,
            grants,
            grants_left,
        }
    }

    async fn look_at_grants(&self, desk: &Desk) -> Result<LookedAtGrants, StoreError> {
        // The number first: a change that comes in between is seen now, and looked for once more.
        let number = Some(desk.store.grant_changes().await?);
        if number == self.grant_changes {
            return Ok((number, self.grants.clone(), Vec::new()));
        }
        let marks = desk.store.grant_marks(LATEST, (desk.clock)()).await?;
        let now: BTreeMap<String, GrantMark> = marks.into_iter().map(|g| (g.id.clone(), g)).collect();
        let mut left = Vec::new();
        for (id, mark) in self.grants.iter().filter(|(id, _)| !now.contains_key(*id)) {
            // Its time may be over, which is no change.
            if desk.store.grant_mark(id).await?.is_some_and(|g| g != *mark) {
                left.push(id.clone());
            }
        }
        Ok((number, now, left))
    }

    /// What is different now.
    fn changes(&self, now: &Self) -> Vec<(Kind, String)> {
        let mut all = Vec::new();
        all.extend(now.sessions.difference(&self.sessions).map(|id| (Kind::SessionBegan, id.to_string())));
        all.extend(self.sessions.difference(&now.sessions).map(|id| (Kind::SessionEnded, id.to_string())));
        all.extend(now.locks.difference(&self.locks).map(|id| (Kind::LockAdded, id.clone())));
        all.extend(self.locks.difference(&now.locks).map(|id| (Kind::LockEnded, id.clone())));
        let changed = now.reviews.iter().filter(|(id, mark)| self.reviews.get(*id) != Some(mark));
        all.extend(changed.map(|(id, _)| (Kind::ReviewChanged, id.clone())));
        // Open ones are always looked at: one that is not there any more was closed.
        let closed = self.reviews.values().filter(|r| r.open && !now.reviews.contains_key(&r.id));
        all.extend(closed.map(|r| (Kind::ReviewChanged, r.id.clone())));
        let changed = now.grants.iter().filter(|(id, mark)| self.grants.get(*id) != Some(mark));
        all.extend(changed.map(|(id, _)| (Kind::GrantChanged, id.clone())));
        all.extend(now.grants_left.iter().map(|id| (Kind::GrantChanged, id.clone())));
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
    /// The streams of each, by issuer and subject.
    of: StdMutex<BTreeMap<(String, String), usize>>,
}

impl Default for Hub {
    fn default() -> Self {
        let places = Arc::new(Semaphore::new(STREAMS_MAX));
        Self { log: Mutex::default(), grown: watch::Sender::new(0), places, of: StdMutex::default() }
    }
}

/// A stream's place among all, and among those of whoever watches.
#[derive(Debug)]
pub(super) struct Taken {
    hub: Arc<Hub>,
    who: (String, String),
    _place: OwnedSemaphorePermit,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut of = self.hub.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(n) = of.get_mut(&self.who) {
            *n = n.saturating_sub(1);
            if *n == 0 {
                of.remove(&self.who);
            }
        }
    }
}

impl Hub {
    /// A place for a stream of whoever this is.
    pub(super) fn take(self: &Arc<Self>, issuer: &str, subject: &str) -> Result<Taken, Problem> {
        let full = |_| Problem::unavailable("too many watch already: ask again later");
        let place = self.places.clone().try_acquire_owned().map_err(full)?;
        let who = (issuer.to_owned(), subject.to_owned());
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let n = of.entry(who.clone()).or_default();
        if *n >= STREAMS_PER_CALLER_MAX {
            let why = format!("{STREAMS_PER_CALLER_MAX} streams of yours are open already: end one of them");
            return Err(Problem::with_status(429, why));
        }
        *n += 1;
        drop(of);
        Ok(Taken { hub: self.clone(), who, _place: place })
    }

    /// Begins to look, unless somebody does; says where the log is now.
    async fn join(self: &Arc<Self>, desk: &Arc<Desk>) -> (String, u64) {
        let mut log = self.log.lock().await;
        if !log.watching {
            // Whoever asked may be gone while this looks: nothing is said to be watched before somebody watches.
            let seen = Seen::look(desk, &Seen::default()).await;
            let now = (desk.clock)();
            *log = Log { run: SessionId::new(now, rand::random()).to_string(), watching: true, ..Log::default() };
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
    /// That the record of a session grows.
    recordings: bool,
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
    /// The session whose record is followed, too.
    followed: Option<Followed>,
    /// When something was said last.
    said: Instant,
    _taken: Taken,
}

/// Begins a stream, after the event that the caller had last, if it is still known.
pub(crate) async fn stream(
    desk: Arc<Desk>,
    behind: Behind,
    call: Call,
    last: Option<String>,
) -> Result<Response<Body>, Problem> {
    let taken = behind.hub.take(&call.caller.issuer, &call.caller.subject)?;
    let now = (desk.clock)();
    let over = || Problem::with_status(403, "the caller may not watch");
    let rights = rights(&desk, &call, now).await.ok_or_else(over)?;
    let followed = match call.parameter("session") {
        None => None,
        Some(_) if !rights.recordings => {
            return Err(Problem::with_status(403, "no rule allows recordings.show, which following a session needs"));
        }
        Some(id) => Some(Followed::begin(&desk.recordings, session_id(id)?).await?),
    };
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
    let (said, _taken) = (asked, taken);
    let one = Stream { desk, behind, call, run, next, rights, asked, grown, greeting, followed, said, _taken };
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
        let text = self.next_text().await?;
        self.said = Instant::now();
        Some(text)
    }

    async fn next_text(&mut self) -> Option<String> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            self.grown.borrow_and_update();
            let (same, events, newest) = {
                let log = self.behind.hub.log.lock().await;
                (log.run == self.run, log.since(self.next), log.next)
            };
            let grew = match &mut self.followed {
                Some(followed) => followed.grew().await,
                None => false,
            };
            // Nothing is told on rights that were asked before it happened.
            if grew || events.as_ref().is_none_or(|e| !e.is_empty()) || self.asked.elapsed() >= RIGHTS_EVERY {
                self.rights = rights(&self.desk, &self.call, (self.desk.clock)()).await?;
                self.asked = Instant::now();
                if self.followed.is_some() && !self.rights.recordings {
                    return None;
                }
            }
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
            if let Some(followed) = self.followed.as_ref().filter(|_| grew) {
                let data = serde_json::json!({ "id": followed.id().to_string() }).to_string();
                let _ = write!(text, "{}", written(&self.run, self.next, "session.grew", &data));
            }
            if !text.is_empty() {
                return Some(text);
            }
            let quiet = if self.followed.is_some() { POLL } else { RIGHTS_EVERY };
            match tokio::time::timeout(quiet, self.grown.changed()).await {
                Ok(Err(_)) => return None,
                // A sign of life, so that either end notices that the other is gone.
                Err(_) if self.said.elapsed() >= RIGHTS_EVERY => return Some(": \n\n".to_owned()),
                Ok(Ok(())) | Err(_) => {}
            }
        }
    }

    async fn may_hear(&self, kind: Kind, id: &str) -> bool {
        match kind {
            Kind::SessionBegan | Kind::SessionEnded => self.rights.sessions,
            Kind::LockAdded | Kind::LockEnded => self.rights.locks,
            Kind::ReviewChanged => {
                let Some(door) = &self.behind.reviews else { return false };
                let Some(show) = operation("reviews.show").filter(|o| in_scope(&self.call, o.name)) else {
                    return false;
                };
                door.0.show(self.call.door_request(show), id.to_owned()).await.status == 200
            }
            Kind::GrantChanged => {
                let Some(door) = &self.behind.grants else { return false };
                let Some(show) = operation("grants.show").filter(|o| in_scope(&self.call, o.name)) else {
                    return false;
                };
                door.0.serve(self.call.door_request(show), GrantCall::Show(id.to_owned())).await.status == 200
            }
        }
    }
}

/// An API key hears of what it may look at.
fn in_scope(call: &Call, name: &str) -> bool {
    operation(name).is_some_and(|o| call.key.as_ref().is_none_or(|key| key.refuses(o).is_none()))
}

fn operation(name: &str) -> Option<&'static Operation> {
    OPERATIONS.iter().find(|o| o.name == name)
}

/// What the caller may hear of; `None` when they may not be here at all.
async fn rights(desk: &Desk, call: &Call, now: Timestamp) -> Option<Rights> {
    let target = gateway_target()?;
    if kept_out(desk, call, &target, now).is_some() || call.caller.expires_at <= now {
        return None;
    }
    // What cannot be told now is no yes: whoever watches comes back.
    let caller = Caller { identity: call.caller.clone(), key: call.key.clone() };
    if desk.callers.standing(&caller, now).await != Standing::Stands {
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
    let may = |name: &'static str| {
        let shape = shape_of(name, Access::Read);
        let question = Question { identity: &call.caller, target: &target, session: &context, shape: &shape, now };
        in_scope(call, name) && desk.policy.evaluate(&question).decision == Decision::Allow
    };
    Some(Rights { sessions: may("sessions.list"), locks: may("locks.list"), recordings: may("recordings.show") })
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
    fn places_are_limited_for_each_and_for_all_and_given_back() {
        let hub = Arc::new(Hub::default());
        let mut all: Vec<Taken> = (0..STREAMS_PER_CALLER_MAX).map(|_| hub.take("i", "ana").unwrap()).collect();
        assert_eq!(hub.take("i", "ana").unwrap_err().status, 429);
        // Somebody else of this name is somebody else.
        all.push(hub.take("j", "ana").unwrap());
        all.remove(0);
        all.push(hub.take("i", "ana").unwrap());
        let others = STREAMS_MAX - all.len();
        all.extend((0..others).map(|n| hub.take("i", &n.to_string()).unwrap()));
        assert_eq!(hub.take("i", "eve").unwrap_err().status, 503);
        all.clear();
        assert!(hub.of.lock().unwrap().is_empty(), "nothing is kept of those who left");
        assert_eq!(hub.places.available_permits(), STREAMS_MAX);
    }

    #[test]
    fn changes_are_what_differs() {
        let session = SessionId::from_u128(1);
        let grant = |uses| {
            let mark = GrantMark { id: "g".to_owned(), status: "active".to_owned(), uses, started: true };
            [("g".to_owned(), mark)].into()
        };
        let review = |id: &str, version, open| (id.to_owned(), ReviewMark { id: id.to_owned(), version, open });
        let before = Seen {
            sessions: BTreeSet::new(),
            locks: ["a".to_owned()].into(),
            // Of those that are looked at no more, one was open and one was over before.
            reviews: [review("r", 1, true), review("o", 4, true), review("p", 4, false)].into(),
            grants: grant(1),
            ..Seen::default()
        };
        let now = Seen {
            sessions: [session].into(),
            locks: ["b".to_owned()].into(),
            reviews: [review("r", 2, true), review("s", 1, true)].into(),
            grants: grant(2),
            grants_left: vec!["f".to_owned()],
            ..Seen::default()
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
            "review.changed o",
            "grant.changed g",
            "grant.changed f",
        ];
        assert_eq!(names(before.changes(&now)), want);
        let same = Seen { grants_left: Vec::new(), ..now.clone() };
        assert_eq!(names(now.changes(&same)), [""; 0]);
    }
}
