//! The life of a review, without I/O and with time as an input.
//!
//! ```text
//! pending ──enough say yes──▶ approved ──the session takes it, once──▶ used
//!    ▲          │                │
//!    └── a yes no longer counts ─┘      both ──▶ denied, withdrawn, expired
//! ```
//! Each step makes the next version of a review; whoever keeps it must make it of the version that it was made of, or look again.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use countersign_enforce::{Approver, Digest, NoFactor, binding};
use countersign_model::{FactorUsed, IdentityParts, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::error::No;
use crate::matching::assign;
use crate::people::{Person, is_party_to, is_person};

/// How far a review is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Too few have said yes.
    Pending,
    /// Enough have; it was not used.
    Approved,
    /// Somebody said no.
    Denied,
    /// The asker took it back.
    Withdrawn,
    /// Its time is over.
    Expired,
    /// The action went on.
    Used,
}

impl Status {
    const ALL: [Self; 6] = [Self::Pending, Self::Approved, Self::Denied, Self::Withdrawn, Self::Expired, Self::Used];

    /// The word that it is kept under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
            Self::Used => "used",
        }
    }

    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == word)
    }

    /// True while it can still lead to a yes.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Pending | Self::Approved)
    }
}

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Yes.
    Approve,
    /// No.
    Deny,
    /// Words alone.
    Comment,
    /// Of the gateway: this person's yes does not count any more.
    Void,
}

/// What somebody said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// When.
    pub at: Timestamp,
    /// What.
    pub verb: Verb,
    /// Who; for [`Verb::Void`], whose yes it is about.
    pub by: IdentityParts,
    /// Where from; `None` where that was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SocketAddr>,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What they showed beside their login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<FactorUsed>,
}

/// How an answer is given.
#[derive(Clone, Debug, Default)]
pub struct Manner {
    /// Where from.
    pub source: Option<SocketAddr>,
    /// In words.
    pub comment: Option<String>,
    /// What was shown beside the login, and found good for this answer.
    pub factor: Option<FactorUsed>,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Review {
    /// Its id.
    pub id: String,
    /// Grows with every change.
    pub version: u64,
    /// How far it is.
    pub status: Status,
    /// The session in which the action waits; `None` when none does.
    pub session: Option<SessionId>,
    /// The process of that session.
    pub gateway: String,
    /// Until when that process said that it waits.
    pub lease_until: Timestamp,
    /// What the action is, whatever the session.
    pub action: Digest,
    /// When it was asked.
    pub created_at: Timestamp,
    /// Until when it may be answered and used.
    pub expires_at: Timestamp,
    /// When and why it came to its end.
    pub ended: Option<(Timestamp, String)>,
    /// What is asked.
    pub content: Content,
    /// What was said, oldest first.
    pub answers: Vec<Answer>,
}

/// The next version of a review, and what was said, if that is what made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What it is from now on.
    pub next: Review,
    /// The last of its answers, when that is new.
    pub answer: Option<Answer>,
}

/// What comes of wanting to use an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Redemption {
    /// It is not approved.
    NotYet,
    /// Somebody's yes does not count any more: make this change and try again.
    Void(Box<Change>),
    /// Once this change is made, the action may go on. Who said yes, and for which group each counts.
    Use(Box<Change>, Vec<Approver>),
}

impl Review {
    fn next(&self, status: Status) -> Self {
        Self { version: self.version + 1, status, ..self.clone() }
    }

    fn end(&self, status: Status, why: String, now: Timestamp) -> Change {
        Change { next: Self { ended: Some((now, why)), ..self.next(status) }, answer: None }
    }

    /// That it is open now, or why not.
    fn open(&self, now: Timestamp) -> Result<(), No> {
        match self.status {
            Status::Pending | Status::Approved if now >= self.expires_at => Err(No::Over("its time has passed")),
            Status::Pending | Status::Approved => Ok(()),
            Status::Denied => Err(No::Over("it was denied")),
            Status::Withdrawn => Err(No::Over("it was withdrawn")),
            Status::Expired => Err(No::Over("its time has passed")),
            Status::Used if self.content.grant.is_some() => Err(No::Over("it was approved")),
            Status::Used => Err(No::Over("it was approved, and the action has gone on")),
        }
    }

    /// What an approval of it is good for, where it waits now.
    pub fn binding(&self) -> Option<Digest> {
        self.session.map(|session| binding(self.action, session, self.expires_at))
    }

    /// What somebody who says yes now puts their factor to: the same as [`Review::binding`], of no session where it waits in none.
    pub fn signing(&self) -> Digest {
        self.binding().unwrap_or_else(|| binding(self.action, SessionId::from_u128(0), self.expires_at))
    }

    /// That this is enough for a yes, or what is.
    fn is_shown(&self, factor: Option<&FactorUsed>) -> Result<(), No> {
        match self.content.spec.factor {
            Some(needed) if factor.is_none_or(|f| f.kind < needed) => Err(No::Factor(NoFactor::Needed(needed))),
            _ => Ok(()),
        }
    }

    /// That this identity may see it: the asker and those who have a part in it, and everybody who is asked.
    pub fn is_visible_to(&self, who: &IdentityParts) -> bool {
        is_party_to(&self.content.asker, who) || self.is_asked(who)
    }

    fn is_asked(&self, who: &IdentityParts) -> bool {
        self.content.spec.requirements.iter().any(|r| who.groups.contains(&r.group))
    }

    /// That this identity may say yes or no, or why not.
    pub fn may_answer(&self, who: &IdentityParts) -> Result<(), No> {
        if is_party_to(&self.content.asker, who) {
            Err(No::OwnRequest)
        } else if !is_person(who) {
            Err(No::NotAPerson)
        } else if !self.is_asked(who) {
            Err(No::NotAsked)
        } else {
            Ok(())
        }
    }

    /// Those whose last word is yes, each once, with the groups that they had when they said so.
    pub fn approvers(&self) -> Vec<&IdentityParts> {
        self.approvals().into_iter().map(|a| &a.by).collect()
    }

    /// The answers of those.
    pub fn approvals(&self) -> Vec<&Answer> {
        let mut latest: Vec<(Person, &Answer)> = Vec::new();
        for answer in self.answers.iter().filter(|a| a.verb != Verb::Comment) {
            let person = Person::of(&answer.by);
            latest.retain(|(p, _)| *p != person);
            latest.push((person, answer));
        }
        // Whoever could not answer does not count, whatever is kept.
        let counts = |a: &&Answer| {
            a.verb == Verb::Approve && self.may_answer(&a.by).is_ok() && self.is_shown(a.factor.as_ref()).is_ok()
        };
        latest.into_iter().map(|(_, a)| a).filter(counts).collect()
    }

    /// For each of these people the requirement that they count for; `None` when they are not enough.
    fn enough(&self, people: &[&IdentityParts]) -> Option<Vec<Option<usize>>> {
        let groups: Vec<&BTreeSet<String>> = people.iter().map(|p| &p.groups).collect();
        assign(&self.content.spec.requirements, &groups)
    }

    /// That this identity may say this now, or why not. What a yes has to be shown with is asked of the answer itself.
    pub fn may_say(&self, verb: Verb, by: &IdentityParts, now: Timestamp) -> Result<(), No> {
        if verb == Verb::Comment {
            if !self.is_visible_to(by) {
                return Err(No::Unknown);
            }
        } else {
            self.may_answer(by)?;
        }
        self.open(now)?;
        if verb == Verb::Approve && self.approvers().iter().any(|p| Person::of(p) == Person::of(by)) {
            return Err(No::Twice);
        }
        Ok(())
    }

    /// Somebody answers or comments.
    pub fn answer(&self, verb: Verb, by: &IdentityParts, manner: Manner, now: Timestamp) -> Result<Change, No> {
        self.may_say(verb, by, now)?;
        if verb == Verb::Approve {
            self.is_shown(manner.factor.as_ref())?;
        }
        let Manner { source, comment, factor } = manner;
        let answer = Answer { at: now, verb, by: by.clone(), source, comment, factor };
        let mut next = self.next(self.status);
        next.answers.push(answer.clone());
        match verb {
            Verb::Deny => {
                next.status = Status::Denied;
                next.ended = Some((now, format!("denied by {}", by.name)));
            }
            Verb::Approve if next.enough(&next.approvers()).is_some() => next.status = Status::Approved,
            Verb::Approve | Verb::Comment | Verb::Void => {}
        }
        Ok(Change { next, answer: Some(answer) })
    }

    /// What it asks for has come to its end, or to nothing.
    pub(crate) fn call_off(&self, why: &str, now: Timestamp) -> Result<Change, No> {
        self.open(now)?;
        Ok(self.end(Status::Withdrawn, why.to_owned(), now))
    }

    /// The asker takes it back.
    pub fn withdraw(&self, by: &IdentityParts, now: Timestamp) -> Result<Change, No> {
        if Person::of(by) != Person::of(&self.content.asker) {
            return Err(if self.is_visible_to(by) { No::NotYours } else { No::Unknown });
        }
        if self.content.grant.as_ref().is_some_and(|g| g.at_once) {
            return Err(No::Over("it was taken at once: its review is not the asker's to withdraw"));
        }
        self.open(now)?;
        Ok(self.end(Status::Withdrawn, format!("withdrawn by {}", by.name), now))
    }

    /// The session in which it waits gives it up.
    pub fn give_up(&self, session: SessionId, why: &str, now: Timestamp) -> Result<Change, No> {
        self.open(now)?;
        if self.session != Some(session) {
            return Err(No::NotYours);
        }
        Ok(self.end(Status::Withdrawn, why.to_owned(), now))
    }

    /// The session in which it waits cannot wait any longer; the question stays.
    pub fn leave(&self, session: SessionId, now: Timestamp) -> Result<Change, No> {
        self.open(now)?;
        if self.session != Some(session) {
            return Err(No::NotYours);
        }
        let next = Self { session: None, gateway: String::new(), lease_until: now, ..self.next(self.status) };
        Ok(Change { next, answer: None })
    }

    /// True when no session waits for it any longer, as far as can be known: `sole` says that no other gateway but `gateway` runs.
    pub fn is_left(&self, gateway: &str, sole: bool, now: Timestamp) -> bool {
        self.session.is_none() || self.lease_until <= now || (sole && self.gateway != gateway)
    }

    /// The same action came again, in a session of the same asker: it waits there from now on.
    pub fn adopt(
        &self,
        session: SessionId,
        gateway: &str,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Change, No> {
        self.open(now)?;
        let next = Self { session: Some(session), gateway: gateway.to_owned(), lease_until, ..self.next(self.status) };
        Ok(Change { next, answer: None })
    }

    /// The session wants to go on. `stands` says of each of [`Review::approvers`] whether they may still say so.
    pub fn redeem(
        &self,
        session: SessionId,
        bound: Digest,
        stands: &dyn Fn(&IdentityParts) -> bool,
        now: Timestamp,
    ) -> Result<Redemption, No> {
        self.open(now)?;
        if self.session != Some(session) || self.binding() != Some(bound) {
            return Err(No::NotYours);
        }
        let approvals = self.approvals();
        let approvers: Vec<&IdentityParts> = approvals.iter().map(|a| &a.by).collect();
        if let Some(gone) = approvers.iter().find(|p| !stands(p)) {
            let answer =
                Answer { at: now, verb: Verb::Void, by: (*gone).clone(), source: None, comment: None, factor: None };
            let mut next = self.next(Status::Pending);
            next.answers.push(answer.clone());
            if next.enough(&next.approvers()).is_some() {
                next.status = Status::Approved;
            }
            return Ok(Redemption::Void(Box::new(Change { next, answer: Some(answer) })));
        }
        let Some(places) = self.enough(&approvers) else { return Ok(Redemption::NotYet) };
        let by = approvals.iter().zip(places).filter_map(|(a, place)| {
            let requirement = self.content.spec.requirements.get(place?)?;
            let p = &a.by;
            Some(Approver {
                name: p.name.clone(),
                issuer: p.issuer.clone(),
                subject: p.subject.clone(),
                group: requirement.group.clone(),
                factor: a.factor.as_ref().map(|f| f.kind),
            })
        });
        let by: Vec<Approver> = by.collect();
        let names: Vec<&str> = by.iter().map(|a| a.name.as_str()).collect();
        let change = self.end(Status::Used, format!("approved by {}", names.join(", ")), now);
        Ok(Redemption::Use(Box::new(change), by))
    }

    /// Its time has passed: what to make of it, once.
    pub fn expire(&self, now: Timestamp) -> Option<Change> {
        (self.status.is_open() && now >= self.expires_at)
            .then(|| self.end(Status::Expired, "its time has passed".to_owned(), now))
    }
}
