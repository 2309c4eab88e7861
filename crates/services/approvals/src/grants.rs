//! Requests for access, and what became of them. Who may ask for what the rules say, and whoever calls has asked them.
//!
//! It must never give anything by itself: that a review's answers do, or, for what may be taken at once, the rule.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_enforce::{Alert, AlertSink, GrantFacts};
use countersign_model::{Access, GrantSpec, IdentityParts, RuleId, SessionId, Severity, Timestamp};
use countersign_store::{GrantEndRecord, GrantFilter, GrantRecord};
use serde_json::{Value, json};

use crate::content::{AskedGrant, Content, Held};
use crate::error::No;
use crate::give::{later, settle};
use crate::people::{is_party_to, is_person};
use crate::service::{Approvals, new_id};
use crate::state::{Answer, Review, Status, Verb};

/// The longest reason, in characters.
pub const REASON_CHARS_MAX: usize = 1000;
/// How far ahead a grant may start, in seconds (30 days).
const AHEAD_S_MAX: u64 = 30 * 86_400;
/// For how long what was taken at once waits for its review, in seconds (a year).
const AFTERWARDS_S: u64 = 365 * 86_400;
/// The most grants in one list, and of one page of the store.
const LISTED_MAX: usize = 100;
const PAGE: u32 = 200;
/// Pages of all grants that are looked through for one list.
const PAGES_MAX: usize = 60;

/// What somebody asks for.
#[derive(Clone, Debug)]
pub struct NewGrant {
    /// Who.
    pub asker: IdentityParts,
    /// On which target.
    pub target: String,
    /// Its protocol.
    pub protocol: String,
    /// What.
    pub accesses: Vec<Access>,
    /// The rules that offer it.
    pub rules: Vec<RuleId>,
    /// What they offer together.
    pub spec: GrantSpec,
    /// Why.
    pub reason: String,
    /// How long, in seconds; `None` for as long as the rules let it.
    pub lasts_s: Option<u64>,
    /// For how many uses; `None` for as many as the rules let it.
    pub uses: Option<u32>,
    /// From when on; `None` for from the first use.
    pub starts_at: Option<Timestamp>,
    /// Now, and reviewed afterwards.
    pub at_once: bool,
}

/// How far a grant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// People are asked.
    Requested,
    /// They said yes, and it has not started.
    Given,
    /// It is in force.
    Active,
    /// It is in force, and no use is left.
    UsedUp,
    /// Its time is over, or it was not used in time.
    Over,
    /// Nobody, or too few, answered in time.
    Expired,
    /// It was ended before its time, denied or withdrawn.
    Ended,
}

impl GrantState {
    /// The word that people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Given => "given",
            Self::Active => "active",
            Self::UsedUp => "used up",
            Self::Over => "over",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }
}

/// A grant, or a request for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// As it is kept.
    pub record: GrantRecord,
    /// What was asked for.
    pub content: Content,
}

/// Approvals that were given in a window of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Whose: a name, or `ISSUER#SUBJECT`.
    pub answered_by: String,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

impl Window {
    /// True for a yes of theirs in that time.
    pub(crate) fn has(&self, a: &Answer) -> bool {
        let who = &a.by;
        (who.name == self.answered_by || format!("{}#{}", who.issuer, who.subject) == self.answered_by)
            && a.verb == Verb::Approve
            && self.since.is_none_or(|t| a.at >= t)
            && self.until.is_none_or(|t| a.at < t)
    }
}

/// A list of grants.
#[derive(Clone, Debug)]
pub struct GrantsListed {
    /// The grants, latest first.
    pub grants: Vec<Grant>,
    /// What to give as `before` for those that are older; `None` at the end.
    pub next: Option<String>,
}

/// Takes requests, shows them, ends grants. Cloning it shares it.
#[derive(Clone)]
pub struct GrantDesk {
    reviews: Approvals,
    alerts: Arc<dyn AlertSink>,
}

impl std::fmt::Debug for GrantDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrantDesk")
    }
}

impl Grant {
    pub(crate) fn read(record: GrantRecord) -> Result<Self, No> {
        let broken = || No::Unavailable(format!("grant {} cannot be read", record.id));
        let content: Content = serde_json::from_str(&record.content).map_err(|_| broken())?;
        if content.grant.is_none() {
            return Err(broken());
        }
        Ok(Self { content, record })
    }

    /// How far it is.
    pub fn state(&self, now: Timestamp) -> GrantState {
        let r = &self.record;
        match (r.status.as_str(), r.started_at, r.ends_at) {
            ("requested", ..) if now >= later(r.created_at, self.content.spec.expires_s) => GrantState::Expired,
            ("requested", ..) => GrantState::Requested,
            ("active", Some(_), Some(ends)) if now >= ends => GrantState::Over,
            ("active", Some(starts), Some(_)) if now < starts => GrantState::Given,
            ("active", Some(_), Some(_)) if r.uses_max.is_some_and(|most| r.uses >= most) => GrantState::UsedUp,
            ("active", Some(_), Some(_)) => GrantState::Active,
            ("active", None, _) if r.start_by.is_some_and(|by| now < by) => GrantState::Given,
            ("active", ..) => GrantState::Over,
            _ => GrantState::Ended,
        }
    }

    /// Seen by those who have a part in it, and those who are asked.
    fn is_visible_to(&self, who: &IdentityParts) -> bool {
        is_party_to(&self.content.asker, who) || self.is_asked(who)
    }

    fn is_asked(&self, who: &IdentityParts) -> bool {
        self.content.spec.requirements.iter().any(|r| who.groups.contains(&r.group))
    }

    /// As people see it. Times are seconds since the Unix epoch.
    pub fn view(&self, now: Timestamp) -> Value {
        let (r, c) = (&self.record, &self.content);
        let asked = c.grant.as_ref();
        let acting: Vec<&str> = c.asker.delegation.iter().map(|a| a.name.as_str()).collect();
        json!({
            "id": r.id,
            "state": self.state(now).as_str(),
            "asker": {
                "name": c.asker.name, "kind": c.asker.kind, "issuer": c.asker.issuer, "subject": c.asker.subject,
                "acting": acting,
            },
            "target": c.target,
            "actions": asked.map(|a| &a.accesses),
            "rules": c.rules,
            "reason": asked.map(|a| &a.reason),
            "reviewers": c.spec.to_string(),
            "lasts_s": r.lasts_us / 1_000_000,
            "uses": r.uses,
            "uses_max": r.uses_max,
            "at_once": r.at_once,
            "created_at": r.created_at.unix_s(),
            "given_at": r.given_at.map(Timestamp::unix_s),
            "start_by": r.start_by.map(Timestamp::unix_s),
            "started_at": r.started_at.map(Timestamp::unix_s),
            "ends_at": r.ends_at.map(Timestamp::unix_s),
            "ended_at": r.ended.as_ref().map(|e| e.at.unix_s()),
            "ended_by": r.ended.as_ref().map(|e| &e.by),
            "ended_why": r.ended.as_ref().map(|e| &e.why),
        })
    }
}

/// A reason, as it may be kept.
fn reason(text: &str) -> Result<String, No> {
    let text = text.trim();
    let fits = !text.is_empty()
        && text.chars().count() <= REASON_CHARS_MAX
        && !text.chars().any(|c| c.is_control() && c != '\n');
    if fits { Ok(text.to_owned()) } else { Err(No::Reason(REASON_CHARS_MAX)) }
}

/// What is asked for, in words: what reviewers read.
fn in_words(asked: &AskedGrant, target: &str) -> String {
    let accesses: Vec<&str> = asked.accesses.iter().map(|a| a.as_str()).collect();
    let mut text = format!("access to {target}: {}\nfor {} s from ", accesses.join(", "), asked.lasts_s);
    // Writing to a String cannot fail.
    let _ = match asked.starts_at {
        _ if asked.at_once => write!(text, "the moment it was asked for: taken at once, to be reviewed afterwards"),
        Some(at) => write!(text, "{} (seconds since the epoch)", at.unix_s()),
        None => write!(text, "its first use"),
    };
    if let Some(n) = asked.uses_max {
        let _ = write!(text, ", {n} uses");
    }
    let _ = write!(text, "\nreason: {}", asked.reason);
    text
}

impl GrantDesk {
    /// The desk of these reviews.
    pub fn new(reviews: Approvals, alerts: Arc<dyn AlertSink>) -> Self {
        Self { reviews, alerts }
    }

    /// Asks for a grant, or takes one at once where the rules let that be.
    ///
    /// # Errors
    /// When it is more than the rules offer, or too many are open.
    pub async fn request(&self, new: NewGrant) -> Result<Grant, No> {
        let shared = &self.reviews.0;
        let now = shared.now();
        let spec = &new.spec;
        let lasts_s = new.lasts_s.unwrap_or(spec.longest_s);
        let uses_max = new.uses.or(spec.uses_max);
        if lasts_s == 0 || lasts_s > spec.longest_s {
            return Err(No::TooMuch(format!("the rules offer it for at most {} s", spec.longest_s)));
        }
        if uses_max == Some(0) || spec.uses_max.is_some_and(|most| uses_max.is_none_or(|n| n > most)) {
            let most = spec.uses_max.unwrap_or(u32::MAX);
            return Err(No::TooMuch(format!("the rules offer it for 1 to {most} uses")));
        }
        let ahead = later(now, AHEAD_S_MAX);
        if new.starts_at.is_some_and(|at| at < now || at > ahead || new.at_once) {
            let days = AHEAD_S_MAX / 86_400;
            return Err(No::TooMuch(format!("it starts within {days} days from now, and at once without a time")));
        }
        if new.at_once && !spec.at_once {
            return Err(No::TooMuch("the rules do not let it be taken at once".to_owned()));
        }
        if new.at_once {
            let (issuer, subject) = (&new.asker.issuer, &new.asker.subject);
            // The store asks once more when it is taken. This one spares reviewers what comes to nothing.
            if let Some(open) = shared.parts.store.unreviewed_grant(issuer, subject).await? {
                return Err(No::Unreviewed(open));
            }
        }
        let id = new_id(now);
        let asked = AskedGrant {
            accesses: new.accesses,
            reason: reason(&new.reason)?,
            lasts_s,
            uses_max,
            starts_at: new.starts_at,
            at_once: new.at_once,
        };
        let action = GrantFacts {
            id: &id,
            identity: &new.asker,
            target: &new.target,
            accesses: &asked.accesses,
            rules: &new.rules,
            reason: &asked.reason,
            lasts_s,
            uses_max,
            starts_at: asked.starts_at,
            at_once: asked.at_once,
            spec: &spec.review,
        }
        .digest();
        let held = Held {
            session: id.clone(),
            seq: 0,
            kind: "grant".to_owned(),
            access: asked.accesses.iter().copied().max().unwrap_or(Access::Opaque),
            text: in_words(&asked, &new.target),
            parameters: String::new(),
        };
        let content = Content {
            asker: new.asker,
            spec: spec.review.clone(),
            rules: new.rules,
            target: new.target,
            protocol: new.protocol,
            part: String::new(),
            held,
            grant: Some(asked),
        };
        let written = content.written().ok_or(No::TooMuch("it is too long to be put before people".to_owned()))?;
        let answer_within_s = if new.at_once { AFTERWARDS_S } else { spec.review.expires_s };
        let review = Review {
            id: id.clone(),
            version: 1,
            status: Status::Pending,
            session: SessionId::parse(&id),
            gateway: String::new(),
            lease_until: now,
            action,
            created_at: now,
            expires_at: later(now, answer_within_s),
            ended: None,
            content,
            answers: Vec::new(),
        };
        if !Box::pin(shared.add(&review)).await? {
            return Err(No::TooMuch("too many requests are open: wait for answers, or withdraw some".to_owned()));
        }
        let ends_at = later(now, lasts_s);
        let record = GrantRecord {
            id,
            status: if new.at_once { "active" } else { "requested" }.to_owned(),
            issuer: review.content.asker.issuer.clone(),
            subject: review.content.asker.subject.clone(),
            target: review.content.target.clone(),
            content: written,
            at_once: new.at_once,
            lasts_us: i64::try_from(lasts_s).unwrap_or(i64::MAX).saturating_mul(1_000_000),
            uses_max,
            uses: 0,
            created_at: now,
            given_at: new.at_once.then_some(now),
            start_by: new.at_once.then_some(ends_at),
            started_at: new.at_once.then_some(now),
            ends_at: new.at_once.then_some(ends_at),
            ended: None,
        };
        let added = match Box::pin(shared.parts.store.add_grant(&record)).await {
            Ok(None) => Ok(()),
            Ok(Some(open)) => Err(No::Unreviewed(open)),
            Err(e) => Err(e.into()),
        };
        if let Err(no) = added {
            self.call_off(&record.id, "it could not be kept, or something else waits for its review").await;
            return Err(no);
        }
        let grant = Grant { record, content: review.content };
        if new.at_once {
            self.alarm(&grant, now);
        }
        Ok(grant)
    }

    /// Nobody need answer a request any more. Where that cannot be kept, an answer gives nothing all the same.
    async fn call_off(&self, id: &str, why: &str) {
        let changed = Box::pin(self.reviews.0.change(id, |review, now| review.call_off(why, now))).await;
        if let Err(no) = changed
            && !matches!(no, No::Over(_))
        {
            tracing::warn!(review = id, %no, "people are still asked about what is over");
        }
    }

    fn alarm(&self, grant: &Grant, now: Timestamp) {
        let c = &grant.content;
        let why = c.grant.as_ref().map(|a| a.reason.as_str()).unwrap_or_default();
        let what = format!("access was taken at once, to be reviewed as {}: {why}", grant.record.id);
        tracing::warn!(grant = grant.record.id, asker = c.asker.name, target = c.target, "access was taken at once");
        self.alerts.raise(Alert {
            at: now,
            severity: Severity::Critical,
            session: None,
            identity: c.asker.name.clone(),
            target: c.target.clone(),
            rules: c.rules.clone(),
            what,
        });
    }

    /// A grant that this identity may see, with its review; `all` says that they may see every one.
    ///
    /// # Errors
    /// [`No::Unknown`] when there is none, or it is none of theirs.
    pub async fn show(&self, id: &str, who: &IdentityParts, all: bool) -> Result<(Grant, Review), No> {
        let shared = &self.reviews.0;
        let review = Box::pin(shared.load(id)).await?.filter(|r| r.content.grant.is_some()).ok_or(No::Unknown)?;
        let review = Box::pin(settle(shared, review)).await?;
        let record = shared.parts.store.grant(id).await?.ok_or(No::Unknown)?;
        let grant = Grant::read(record)?;
        if all || grant.is_visible_to(who) { Ok((grant, review)) } else { Err(No::Unknown) }
    }

    /// Grants that this identity may see, latest first; `live` leaves out those that are over, `window` all but those that somebody
    /// approved then.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn list(
        &self,
        who: &IdentityParts,
        all: bool,
        live: bool,
        window: Option<&Window>,
        before: Option<&str>,
    ) -> Result<GrantsListed, No> {
        let shared = &self.reviews.0;
        let now = shared.now();
        let mut filter = GrantFilter { live_at: live.then_some(now), before: before.map(str::to_owned), limit: PAGE };
        let mut grants = Vec::new();
        for _ in 0..PAGES_MAX {
            let page = Box::pin(shared.parts.store.list_grants(&filter)).await?;
            let last = page.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
            for record in page {
                if grants.len() == LISTED_MAX {
                    return Ok(GrantsListed { grants, next: filter.before });
                }
                filter.before = Some(record.id.clone());
                let grant = Grant::read(record)?;
                let over = live && grant.state(now) == GrantState::Expired;
                if over || !(all || grant.is_visible_to(who)) {
                    continue;
                }
                if let Some(window) = window {
                    let review = Box::pin(shared.load(&grant.record.id)).await?;
                    if !review.is_some_and(|r| r.answers.iter().any(|a| window.has(a))) {
                        continue;
                    }
                }
                grants.push(grant);
            }
            if last {
                return Ok(GrantsListed { grants, next: None });
            }
        }
        Ok(GrantsListed { grants, next: filter.before })
    }

    /// Ends a grant: by who has a part in it, by a person who is asked about it, or by whoever may end all.
    ///
    /// # Errors
    /// Why not.
    pub async fn revoke(&self, id: &str, by: &IdentityParts, all: bool, why: &str) -> Result<Grant, No> {
        let why = reason(why)?;
        let (grant, _) = Box::pin(self.show(id, by, all)).await?;
        let shared = &self.reviews.0;
        if !(all || is_party_to(&grant.content.asker, by) || (is_person(by) && grant.is_asked(by))) {
            return Err(No::NotAPerson);
        }
        let named = format!("{} ({}#{})", by.name, by.issuer, by.subject);
        let end = GrantEndRecord { at: shared.now(), by: named, why };
        if !shared.parts.store.end_grant(id, &end).await? {
            return Err(No::Over("it has ended already"));
        }
        tracing::warn!(grant = id, by = end.by, why = end.why, "a grant was ended");
        if !grant.record.at_once {
            self.call_off(id, &format!("ended by {}", by.name)).await;
        }
        Grant::read(shared.parts.store.grant(id).await?.ok_or(No::Unknown)?)
    }

    /// Ends every grant in force that somebody approved in a window of time, of those that `by` may end; says which.
    ///
    /// # Errors
    /// When one could not be ended: those before it were.
    pub async fn revoke_window(
        &self,
        window: &Window,
        by: &IdentityParts,
        all: bool,
        why: &str,
    ) -> Result<Vec<Grant>, No> {
        let mut ended = Vec::new();
        let mut before: Option<String> = None;
        loop {
            let page = Box::pin(self.list(by, all, true, Some(window), before.as_deref())).await?;
            for grant in page.grants {
                match Box::pin(self.revoke(&grant.record.id, by, all, why)).await {
                    Ok(grant) => ended.push(grant),
                    Err(No::Over(_) | No::NotAPerson) => {}
                    Err(no) => return Err(no),
                }
            }
            match page.next {
                Some(next) => before = Some(next),
                None => return Ok(ended),
            }
        }
    }

    /// Carries out what answers came to where that was left undone. To be called every few minutes.
    pub async fn maintain(&self) {
        let shared = &self.reviews.0;
        let mut filter = GrantFilter { live_at: Some(shared.now()), limit: PAGE, ..GrantFilter::default() };
        for _ in 0..PAGES_MAX {
            let Ok(page) = shared.parts.store.list_grants(&filter).await else { return };
            let Some(last) = page.last() else { return };
            filter.before = Some(last.id.clone());
            for record in page {
                if let Ok(Some(review)) = shared.load(&record.id).await
                    && let Err(no) = Box::pin(settle(shared, review)).await
                {
                    tracing::warn!(grant = record.id, %no, "what was answered could not be carried out yet");
                }
            }
        }
    }
}
