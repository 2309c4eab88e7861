//! Reviews in the store, for every door: sessions that wait, people who answer.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use countersign_enforce::{
    BoxFuture, Digest, FactorAsk, FactorChallenge, FactorProof, FactorPurpose, Factors, NoFactor, Standing,
};
use countersign_model::{Factor, FactorUsed, IdentityParts, SessionId, Timestamp};
use countersign_store::{ReviewAnswerRecord, ReviewRecord, Store};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::error::No;
use crate::give;
use crate::state::{Answer, Change, Manner, Review, Status, Verb};

/// Reviews that are open at once, in the whole house.
pub const OPEN_MAX: u32 = 10_000;
/// Reviews that one asker has open at once.
pub const OPEN_OF_ASKER_MAX: u32 = 50;
/// The longest comment, in characters.
pub const COMMENT_CHARS_MAX: usize = 1000;
/// How often a change is made anew because somebody else was faster.
const TRIES_MAX: usize = 16;
/// How long a review is kept after its time, in microseconds (90 days).
const KEPT_US: i64 = 90 * 86_400_000_000;

/// The kind under which held actions are kept.
const KIND: &str = "statement";
/// The kind under which requests for access are kept.
const GRANT_KIND: &str = "grant";

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Knows whether somebody who said yes may still say so.
pub trait People: Send + Sync {
    /// Whether their login and account, with the groups that they had, still stand, and no lock keeps them out: neither them, nor what
    /// they presented, nor where they said it from.
    fn standing<'a>(
        &'a self,
        person: &'a IdentityParts,
        source: Option<SocketAddr>,
        now: Timestamp,
    ) -> BoxFuture<'a, Standing>;
}

/// What comes with an answer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Said<'a> {
    /// In words.
    pub comment: Option<&'a str>,
    /// The digest of what they looked at, if they say so: anything else is not answered.
    pub action: Option<&'a str>,
    /// Where it comes from.
    pub source: Option<SocketAddr>,
    /// What is shown beside the login, with a yes.
    pub factor: Option<&'a FactorProof>,
}

/// What the service is made of.
#[derive(Clone)]
pub struct ApprovalsParts {
    /// Where reviews are kept.
    pub store: Store,
    /// Knows who still stands.
    pub people: Arc<dyn People>,
    /// Knows what people show beside their logins.
    pub factors: Arc<dyn Factors>,
    /// Tells the time.
    pub clock: Clock,
    /// Where the tasks of waiting sessions run.
    pub tasks: Handle,
}

pub(crate) struct Shared {
    pub(crate) parts: ApprovalsParts,
    /// This process, among those that use the store.
    pub(crate) gateway: String,
    /// Woken when their review changed here.
    pub(crate) wakes: Mutex<HashMap<String, Arc<Notify>>>,
    pub(crate) held: AtomicUsize,
}

/// The reviews of a gateway. Cloning it shares it.
#[derive(Clone)]
pub struct Approvals(pub(crate) Arc<Shared>);

impl std::fmt::Debug for Approvals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Approvals({})", self.0.gateway)
    }
}

impl Approvals {
    /// The service of one process.
    pub fn new(parts: ApprovalsParts) -> Self {
        let gateway = new_id((parts.clock)());
        Self(Arc::new(Shared { parts, gateway, wakes: Mutex::default(), held: AtomicUsize::new(0) }))
    }

    /// The review, if this identity may see it.
    ///
    /// # Errors
    /// [`No::Unknown`] when there is none, or it is none of theirs.
    pub async fn show(&self, id: &str, who: &IdentityParts) -> Result<Review, No> {
        self.0.load(id).await?.filter(|r| r.is_visible_to(who)).ok_or(No::Unknown)
    }

    /// The review with this id, whoever may see it: for the gateway itself, never for whoever asks it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn find(&self, id: &str) -> Result<Option<Review>, No> {
        self.0.load(id).await
    }

    /// Somebody says yes, no, or something.
    ///
    /// # Errors
    /// Why the answer is not taken; nothing has changed then.
    pub async fn answer(&self, id: &str, verb: Verb, by: &IdentityParts, said: Said<'_>) -> Result<Review, No> {
        let comment = match said.comment.map(str::trim).filter(|c| !c.is_empty()) {
            Some(c) if c.chars().count() > COMMENT_CHARS_MAX || c.chars().any(|c| c.is_control() && c != '\n') => {
                return Err(No::Comment(COMMENT_CHARS_MAX));
            }
            None if verb == Verb::Comment => return Err(No::Comment(COMMENT_CHARS_MAX)),
            other => other.map(str::to_owned),
        };
        let shown = match said.factor.filter(|_| verb == Verb::Approve) {
            None => None,
            Some(proof) => Some(Box::pin(self.0.shown(id, by, said.action, proof)).await?),
        };
        let changing = self.0.change(id, |review, now| {
            looks_at(review, by, said.action)?;
            // It was shown for what an approval was good for then.
            if shown.as_ref().is_some_and(|(_, signed)| *signed != review.signing()) {
                return Err(No::Changed);
            }
            let factor = shown.as_ref().map(|(used, _)| used.clone());
            review.answer(verb, by, Manner { source: said.source, comment: comment.clone(), factor }, now)
        });
        let review = Box::pin(changing).await?;
        tracing::info!(review = id, verb = ?verb, by = by.name, issuer = by.issuer, status = review.status.as_str(), "answered");
        Box::pin(give::settled(&self.0, review)).await
    }

    /// What a key of theirs is to sign, so that it says yes to exactly this review as it waits now. `action` is the digest of what they
    /// looked at, if they say so; `origin` is where their browser is.
    ///
    /// # Errors
    /// Why they may not say yes, or not so.
    pub async fn challenge(
        &self,
        id: &str,
        by: &IdentityParts,
        action: Option<&str>,
        origin: Option<&str>,
    ) -> Result<FactorChallenge, No> {
        let (review, now) = self.0.asked(id, by, action).await?;
        let purpose = FactorPurpose::Approve { review: &review.id, bound: review.signing() };
        Ok(self.0.parts.factors.challenge(FactorAsk { person: by, purpose, now }, origin).await?)
    }

    /// The asker takes it back.
    ///
    /// # Errors
    /// Why not.
    pub async fn withdraw(&self, id: &str, by: &IdentityParts) -> Result<Review, No> {
        let review = Box::pin(self.0.change(id, |review, now| review.withdraw(by, now))).await?;
        Box::pin(give::settled(&self.0, review)).await
    }

    /// Removes what is long over. To be called every few minutes.
    pub async fn maintain(&self, now: Timestamp) {
        let before = Timestamp::from_unix_us(now.unix_us().saturating_sub(KEPT_US));
        if let Err(fault) = self.0.parts.store.remove_reviews_over(before).await {
            tracing::warn!(%fault, "old reviews could not be removed");
        }
    }
}

impl Shared {
    pub(crate) fn now(&self) -> Timestamp {
        (self.parts.clock)()
    }

    pub(crate) async fn load(&self, id: &str) -> Result<Option<Review>, No> {
        let Some((record, answers)) = self.parts.store.review(id).await? else { return Ok(None) };
        read(record, &answers).map(Some)
    }

    /// A review that this person may say yes to now.
    async fn asked(&self, id: &str, by: &IdentityParts, action: Option<&str>) -> Result<(Review, Timestamp), No> {
        let review = self.load(id).await?.ok_or(No::Unknown)?;
        let now = self.now();
        looks_at(&review, by, action)?;
        review.may_say(Verb::Approve, by, now)?;
        Ok((review, now))
    }

    /// What a yes is shown with, and what it was shown for; asked only of somebody who may say yes, because it is used up by that.
    async fn shown(
        &self,
        id: &str,
        by: &IdentityParts,
        action: Option<&str>,
        proof: &FactorProof,
    ) -> Result<(FactorUsed, Digest), No> {
        let (review, now) = self.asked(id, by, action).await?;
        if let (Some(Factor::Webauthn), FactorProof::Code(_)) = (review.content.spec.factor, proof) {
            return Err(No::Factor(NoFactor::Needed(Factor::Webauthn)));
        }
        let bound = review.signing();
        let purpose = FactorPurpose::Approve { review: &review.id, bound };
        Ok((self.parts.factors.prove(FactorAsk { person: by, purpose, now }, proof).await?, bound))
    }

    /// Makes a change of whatever the review is now, until it is made of what is kept.
    pub(crate) async fn change(
        &self,
        id: &str,
        step: impl Fn(&Review, Timestamp) -> Result<Change, No>,
    ) -> Result<Review, No> {
        for _ in 0..TRIES_MAX {
            let review = self.load(id).await?.ok_or(No::Unknown)?;
            let change = step(&review, self.now())?;
            if self.save(&change).await? {
                return Ok(change.next);
            }
        }
        Err(No::Busy)
    }

    /// Keeps a change; `false` when it was made of an older version.
    pub(crate) async fn save(&self, change: &Change) -> Result<bool, No> {
        let record = written(&change.next)?;
        let answer = match &change.answer {
            None => None,
            Some(answer) => Some(ReviewAnswerRecord { version: change.next.version, content: json(answer)? }),
        };
        let saved = self.parts.store.change_review(&record, answer.as_ref()).await?;
        if saved {
            self.wake(&change.next.id);
        }
        Ok(saved)
    }

    /// Adds a new review; `false` when there are too many.
    pub(crate) async fn add(&self, review: &Review) -> Result<bool, No> {
        Ok(self.parts.store.add_review(&written(review)?, OPEN_MAX, OPEN_OF_ASKER_MAX).await?)
    }

    pub(crate) fn wake(&self, id: &str) {
        let waiting = self.wakes.lock().get(id).cloned();
        if let Some(waiting) = waiting {
            waiting.notify_one();
        }
    }
}

/// That somebody may see a review, and that it is what they looked at, if they say what that was.
fn looks_at(review: &Review, by: &IdentityParts, action: Option<&str>) -> Result<(), No> {
    if !review.is_visible_to(by) {
        return Err(No::Unknown);
    }
    if action.is_some_and(|a| a != review.action.to_string()) {
        return Err(No::Changed);
    }
    Ok(())
}

/// A new id: a ULID.
pub(crate) fn new_id(now: Timestamp) -> String {
    SessionId::new(now, rand::random()).to_string()
}

fn json(value: &impl serde::Serialize) -> Result<String, No> {
    serde_json::to_string(value).map_err(|e| No::Unavailable(e.to_string()))
}

/// As it is kept.
pub(crate) fn written(r: &Review) -> Result<ReviewRecord, No> {
    Ok(ReviewRecord {
        id: r.id.clone(),
        kind: if r.content.grant.is_some() { GRANT_KIND } else { KIND }.to_owned(),
        version: r.version,
        status: r.status.as_str().to_owned(),
        issuer: r.content.asker.issuer.clone(),
        subject: r.content.asker.subject.clone(),
        session: r.session.map(|s| s.to_string()).unwrap_or_default(),
        action: r.action.to_string(),
        binding: r.binding().map(|b| b.to_string()).unwrap_or_default(),
        content: json(&r.content)?,
        gateway: r.gateway.clone(),
        lease_until: r.lease_until,
        created_at: r.created_at,
        expires_at: r.expires_at,
        ended: r.ended.clone(),
    })
}

/// From what is kept. Whatever does not fit together is no review.
pub(crate) fn read(r: ReviewRecord, answers: &[ReviewAnswerRecord]) -> Result<Review, No> {
    let broken = |what: &str| No::Unavailable(format!("{what} of review {} cannot be read", r.id));
    let answers = answers.iter().map(|a| serde_json::from_str::<Answer>(&a.content).map_err(|_| broken("an answer")));
    let session = if r.session.is_empty() {
        None
    } else {
        Some(SessionId::parse(&r.session).ok_or_else(|| broken("the session"))?)
    };
    let review = Review {
        version: r.version,
        status: Status::parse(&r.status).ok_or_else(|| broken("the status"))?,
        session,
        gateway: r.gateway.clone(),
        lease_until: r.lease_until,
        action: digest(&r.action).ok_or_else(|| broken("the digest"))?,
        created_at: r.created_at,
        expires_at: r.expires_at,
        ended: r.ended.clone(),
        content: serde_json::from_str(&r.content).map_err(|_| broken("the content"))?,
        answers: answers.collect::<Result<_, _>>()?,
        id: r.id.clone(),
    };
    // What was shown, asked for and bound must be one thing; a row that somebody bent is not.
    if review.binding().map(|b| b.to_string()).unwrap_or_default() != r.binding {
        return Err(broken("the binding"));
    }
    Ok(review)
}

fn digest(hex: &str) -> Option<Digest> {
    let mut bytes = [0; 32];
    if hex.len() != 64 || !hex.is_ascii() {
        return None;
    }
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    Some(Digest(bytes))
}

/// True when the store only could not be asked now.
pub(crate) fn passes(no: &No) -> bool {
    matches!(no, No::Unavailable(_) | No::Busy)
}
