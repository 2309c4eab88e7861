//! A session that waits: one task for each held action, from the question to the answer's one use.
//!
//! The task outlives neither the session's interest nor the review's time, and every wait in it is bounded. Must never say yes before the
//! store has said that this was the one use.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll as Polled};
use std::time::Duration;

use countersign_enforce::{
    Approval, Digest, Leaving, PendingReview, ReviewEnd, ReviewEvent, ReviewNotice, ReviewQuestion, ReviewRefusal,
    Reviews, Standing,
};
use countersign_model::{IdentityParts, SessionId, Timestamp};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::content::Content;
use crate::error::No;
use crate::people::Person;
use crate::service::{Approvals, Shared, new_id, passes, read};
use crate::state::{Answer, Redemption, Review, Status, Verb};

/// Actions of one gateway that wait at once.
pub const HELD_MAX: usize = 1000;
/// How often a waiting session looks what was said at other gateways.
pub const POLL: Duration = Duration::from_secs(1);
/// For so long a gateway is taken to wait after it said so; it says so three times in that.
pub const LEASE: Duration = Duration::from_secs(15);
/// How often it is tried to tell that nobody waits any longer.
const TELLS_MAX: u32 = 4;
/// Looks in a row at which somebody's yes turned out not to count any more.
const VOIDS_MAX: usize = 64;

/// The session's end of a waiting task.
struct Pending {
    events: mpsc::Receiver<ReviewEvent>,
    leave: Option<oneshot::Sender<Leaving>>,
    /// There was an answer: nothing is left to give up.
    over: bool,
}

impl PendingReview for Pending {
    fn poll(&mut self, cx: &mut Context<'_>) -> Polled<ReviewEvent> {
        match self.events.poll_recv(cx) {
            Polled::Pending => Polled::Pending,
            Polled::Ready(event) => {
                let event = event.unwrap_or_else(|| {
                    // The task is gone: it panicked, or the gateway stops.
                    ReviewEvent::Refused(refusal(None, ReviewEnd::Unavailable))
                });
                self.over |= !matches!(event, ReviewEvent::Opened(_));
                Polled::Ready(event)
            }
        }
    }

    fn leave(mut self: Box<Self>, leaving: Leaving) {
        if let Some(leave) = self.leave.take() {
            // It has ended by itself: then nobody waits there.
            let _ = leave.send(leaving);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(leave) = self.leave.take().filter(|_| !self.over) {
            let _ = leave.send(Leaving::Withdrawn("the session ended"));
        }
    }
}

impl Reviews for Approvals {
    fn open(&self, question: ReviewQuestion) -> Box<dyn PendingReview> {
        let (send, events) = mpsc::channel(2);
        let (leave, left) = oneshot::channel();
        let shared = self.0.clone();
        self.0.parts.tasks.spawn(async move {
            let full = shared.held.fetch_add(1, Ordering::AcqRel) >= HELD_MAX;
            let last = if full {
                Some(ReviewEvent::Refused(refusal(None, ReviewEnd::Full)))
            } else {
                wait(&shared, &question, &send, left).await
            };
            shared.held.fetch_sub(1, Ordering::AcqRel);
            if let Some(last) = last {
                // A session that has gone meanwhile does not hear it.
                let _ = send.send(last).await;
            }
        });
        Box::new(Pending { events, leave: Some(leave), over: false })
    }
}

pub(crate) fn refusal(review: Option<&str>, end: ReviewEnd) -> ReviewRefusal {
    ReviewRefusal { review: review.map(str::to_owned), end, by: None, comment: None }
}

/// Wakes the task when its review changes here, for as long as it is kept.
struct Woken<'a> {
    shared: &'a Shared,
    id: String,
    notify: Arc<Notify>,
}

impl<'a> Woken<'a> {
    fn new(shared: &'a Shared, id: &str) -> Self {
        let notify = Arc::new(Notify::new());
        shared.wakes.lock().insert(id.to_owned(), notify.clone());
        Self { shared, id: id.to_owned(), notify }
    }
}

impl Drop for Woken<'_> {
    fn drop(&mut self) {
        let mut wakes = self.shared.wakes.lock();
        if wakes.get(&self.id).is_some_and(|n| Arc::ptr_eq(n, &self.notify)) {
            wakes.remove(&self.id);
        }
    }
}

/// The whole life of a held action here; `None` when the session does not want to hear of it any more.
async fn wait(
    shared: &Shared,
    question: &ReviewQuestion,
    events: &mpsc::Sender<ReviewEvent>,
    mut left: oneshot::Receiver<Leaving>,
) -> Option<ReviewEvent> {
    let (review, resumed) = match begin(shared, question).await {
        Ok(begun) => begun,
        Err(refusal) => return Some(ReviewEvent::Refused(refusal)),
    };
    let woken = Woken::new(shared, &review.id);
    let notice = ReviewNotice {
        id: review.id.clone(),
        expires_at: review.expires_at,
        left_s: review.expires_at.since_us(shared.now()) / 1_000_000,
        reviewers: review.content.spec.to_string(),
        resumed,
    };
    // The channel has room for both words that are ever said.
    let _ = events.send(ReviewEvent::Opened(notice)).await;
    let (id, session) = (review.id.as_str(), question.session);
    let (bound, expires_at) = (review.binding()?, review.expires_at);
    let mut renewed = shared.now();
    loop {
        match look(shared, id, session, bound).await {
            Ok(Some(event)) => return Some(event),
            Ok(None) => {}
            Err(no) if passes(&no) && shared.now() < expires_at => {
                tracing::warn!(review = id, %no, "a review waits on")
            }
            Err(_) => return Some(ReviewEvent::Refused(refusal(Some(id), ReviewEnd::Unavailable))),
        }
        let now = shared.now();
        if now.since_us(renewed) >= micros(LEASE / 3) || now < renewed {
            renewed = now;
            let until = after(now, LEASE);
            if let Err(fault) = shared.parts.store.renew_review_lease(id, &session.to_string(), until).await {
                tracing::warn!(review = id, %fault, "the lease of a review could not be renewed");
            }
        }
        let nap = Duration::from_micros(expires_at.since_us(now)).clamp(Duration::from_millis(10), POLL);
        tokio::select! {
            leaving = &mut left => {
                let leaving = leaving.unwrap_or(Leaving::Withdrawn("the session ended"));
                tell(shared, id, session, leaving).await;
                return None;
            }
            () = woken.notify.notified() => {}
            () = tokio::time::sleep(nap) => {}
        }
    }
}

fn micros(d: Duration) -> u64 {
    u64::try_from(d.as_micros()).unwrap_or(u64::MAX)
}

fn after(now: Timestamp, d: Duration) -> Timestamp {
    Timestamp::from_unix_us(now.unix_us().saturating_add(i64::try_from(d.as_micros()).unwrap_or(i64::MAX)))
}

/// Takes up what an earlier session left, or asks anew.
async fn begin(shared: &Shared, question: &ReviewQuestion) -> Result<(Review, bool), ReviewRefusal> {
    let content = Content::of(question).filter(|c| c.written().is_some());
    let content = content.ok_or_else(|| refusal(None, ReviewEnd::Unshowable))?;
    let unavailable = |no: &No| {
        tracing::error!(%no, "a review could not be asked for");
        refusal(None, ReviewEnd::Unavailable)
    };
    if let Some(review) = adopt(shared, question).await.map_err(|no| unavailable(&no))? {
        return Ok((review, true));
    }
    let now = shared.now();
    let review = Review {
        id: new_id(now),
        version: 1,
        status: Status::Pending,
        session: Some(question.session),
        gateway: shared.gateway.clone(),
        lease_until: after(now, LEASE),
        action: question.action,
        created_at: now,
        expires_at: after(now, Duration::from_secs(question.spec.expires_s)),
        ended: None,
        content,
        answers: Vec::new(),
    };
    match shared.add(&review).await {
        Ok(true) => Ok((review, false)),
        Ok(false) => Err(refusal(None, ReviewEnd::Full)),
        Err(no) => Err(unavailable(&no)),
    }
}

async fn adopt(shared: &Shared, question: &ReviewQuestion) -> Result<Option<Review>, No> {
    let identity = &question.identity;
    let (store, sole) = (&shared.parts.store, shared.parts.store.is_for_one_gateway());
    let now = shared.now();
    let found = store
        .open_reviews_of(&question.action.to_string(), &identity.issuer, &identity.subject, now)
        .await
        .map_err(No::from)?;
    for record in found {
        let id = record.id.clone();
        let left = read(record, &[]).is_ok_and(|r| r.is_left(&shared.gateway, sole, now));
        if !left {
            continue;
        }
        let Some(review) = shared.load(&id).await? else { continue };
        let now = shared.now();
        if !review.is_left(&shared.gateway, sole, now) || review.action != question.action {
            continue;
        }
        let Ok(change) = review.adopt(question.session, &shared.gateway, after(now, LEASE), now) else { continue };
        // Somebody else was faster: then it is theirs.
        if shared.save(&change).await? {
            return Ok(Some(change.next));
        }
    }
    Ok(None)
}

/// Looks how far it is, and takes the yes when there is one.
pub(crate) async fn look(
    shared: &Shared,
    id: &str,
    session: SessionId,
    bound: Digest,
) -> Result<Option<ReviewEvent>, No> {
    for _ in 0..VOIDS_MAX {
        let Some(review) = shared.load(id).await? else {
            return Ok(Some(ReviewEvent::Refused(refusal(Some(id), ReviewEnd::Unavailable))));
        };
        let now = shared.now();
        if let Some(over) = over(&review, session) {
            return Ok(Some(ReviewEvent::Refused(over)));
        }
        if let Some(change) = review.expire(now) {
            if shared.save(&change).await? {
                return Ok(Some(ReviewEvent::Refused(refusal(Some(id), ReviewEnd::Expired))));
            }
            continue;
        }
        if review.status != Status::Approved {
            return Ok(None);
        }
        let Some(standing) = standing(shared, &review.approvals(), now).await else { return Ok(None) };
        let stands = |p: &IdentityParts| standing.contains(&Person::of(p));
        let redeemed = match review.redeem(session, bound, &stands, shared.now()) {
            // Its time passed in between: the next look says so.
            Err(No::Over(_)) => continue,
            other => other?,
        };
        match redeemed {
            Redemption::NotYet => return Ok(None),
            Redemption::Void(change) => {
                let who = change.answer.as_ref().map(|a| a.by.name.as_str()).unwrap_or_default();
                tracing::warn!(review = id, who, "a yes does not count any more: who gave it may not give it now");
                shared.save(&change).await?;
            }
            Redemption::Use(change, by) => {
                if shared.save(&change).await? {
                    let expires_at = review.expires_at;
                    return Ok(Some(ReviewEvent::Approved(Approval {
                        review: id.to_owned(),
                        binding: bound,
                        expires_at,
                        by,
                    })));
                }
            }
        }
    }
    Ok(None)
}

/// Why a session need not wait any longer.
fn over(review: &Review, session: SessionId) -> Option<ReviewRefusal> {
    let end = match review.status {
        Status::Pending | Status::Approved if review.session == Some(session) => return None,
        // The store did not say that the one use was ours: nobody may go on by it.
        Status::Used if review.session == Some(session) => ReviewEnd::Unavailable,
        Status::Pending | Status::Approved | Status::Used => ReviewEnd::Superseded,
        Status::Denied => ReviewEnd::Denied,
        Status::Withdrawn => ReviewEnd::Withdrawn,
        Status::Expired => ReviewEnd::Expired,
    };
    let no = review.answers.iter().rfind(|a| a.verb == Verb::Deny).filter(|_| end == ReviewEnd::Denied);
    Some(ReviewRefusal {
        by: no.map(|a| a.by.name.clone()),
        comment: no.and_then(|a| a.comment.clone()),
        ..refusal(Some(&review.id), end)
    })
}

/// Those of them who still stand; `None` when that cannot be told now, so that it is asked again.
async fn standing(shared: &Shared, approvals: &[&Answer], now: Timestamp) -> Option<HashSet<Person>> {
    let mut standing = HashSet::new();
    for answer in approvals {
        if let Some(used) = &answer.factor {
            match shared.parts.factors.stands(&answer.by, used).await {
                Ok(true) => {}
                Ok(false) => continue,
                Err(no) => {
                    tracing::warn!(%no, "it cannot be told whether a factor is still theirs");
                    return None;
                }
            }
        }
        match shared.parts.people.standing(&answer.by, answer.source, now).await {
            Standing::Stands => {
                standing.insert(Person::of(&answer.by));
            }
            Standing::Ended(_) => {}
            Standing::Unknown => return None,
        }
    }
    Some(standing)
}

/// Tells that nobody waits any longer. What cannot be told is found out when the lease ends.
async fn tell(shared: &Shared, id: &str, session: SessionId, leaving: Leaving) {
    let mut pause = Duration::from_millis(50);
    for _ in 0..TELLS_MAX {
        let told = shared
            .change(id, |review, now| match leaving {
                Leaving::Withdrawn(why) => review.give_up(session, why, now),
                Leaving::Left => review.leave(session, now),
            })
            .await;
        match told {
            Err(no) if passes(&no) => tokio::time::sleep(pause).await,
            _ => return,
        }
        pause *= 4;
    }
    tracing::warn!(review = id, "nobody waits for a review any longer, and the store could not be told");
}
