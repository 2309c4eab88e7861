//! Actions that wait for people: recorded as held, put before reviewers, and judged again before they are cleared.
//!
//! It must never clear what was not approved in this very form, nor what policy would not let through by then.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_model::{
    ClientText, Culprit, Decision, Denial, DenialCode, Factor, Request, ReviewSpec, Shape, Timestamp, Verdict,
};

use crate::gate::{Admission, Gate, Obstacles};
use crate::{
    ActionFacts, Approval, Digest, HoldFacts, Leaving, Outcome, OutcomeStatus, PendingReview, Receipt, ReviewEnd,
    ReviewEvent, ReviewNotice, ReviewQuestion, ReviewRefusal, ReviewStep, SessionEvent, binding, masking,
};

/// An action that waits for people. Dropping it withdraws the review without a word in the record: see [`Gate::give_up`].
pub struct Holding {
    pub(crate) frame: Bytes,
    pub(crate) text: Bytes,
    pub(crate) shape: Arc<Shape>,
    pub(crate) receipt: Receipt,
    pub(crate) spec: Arc<ReviewSpec>,
    pub(crate) action: Digest,
    pub(crate) obstacles: Obstacles,
    id: Option<String>,
    review: Box<dyn PendingReview>,
}

impl Holding {
    /// What became of it; to be asked again after [`ReviewEvent::Opened`].
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<ReviewEvent> {
        self.review.poll(cx)
    }

    /// The review's id, once there is one.
    pub fn review(&self) -> Option<&str> {
        self.id.as_deref()
    }
}

/// Why an action that should wait for people cannot.
pub(crate) fn why_not_held(facts: &HoldFacts, spec: &ReviewSpec) -> Option<&'static str> {
    if facts.cannot.is_some() {
        return facts.cannot;
    }
    (facts.in_transaction && !spec.in_transaction).then_some(
        "it needs a review, and a transaction is open: people would decide while its locks are held. Send it by itself, outside of a \
         transaction",
    )
}

impl Gate {
    /// Begins to wait; the intent is recorded.
    pub(crate) fn hold(
        &mut self,
        (frame, text, parameters): (Bytes, Bytes, Bytes),
        shape: Arc<Shape>,
        (receipt, verdict): (Receipt, &Verdict),
        facts: &HoldFacts,
        obstacles: Obstacles,
        now: Timestamp,
    ) -> Admission {
        let p = &self.parts;
        let (Some(reviews), Some(spec)) = (&p.reviews, verdict.effects.review.clone()) else {
            return Admission::Ready(Err(nobody_reviews()));
        };
        let action = ActionFacts {
            text: &text,
            parameters: &parameters,
            target: &p.target,
            part: &p.context.part,
            account: &self.account,
            settings: &facts.settings,
            identity: &p.identity,
            spec: &spec,
        }
        .digest();
        let review = reviews.open(ReviewQuestion {
            at: now,
            spec: spec.clone(),
            rules: verdict.rules.clone(),
            identity: p.identity.clone(),
            target: p.target.clone(),
            part: p.context.part.clone(),
            session: p.context.id,
            seq: receipt.seq(),
            kind: shape.kind().into(),
            access: shape.access(),
            text: text.clone(),
            parameters,
            action,
        });
        Admission::Held(Box::new(Holding { frame, text, shape, receipt, spec, action, obstacles, id: None, review }))
    }

    /// Records that people were asked.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn asked(&mut self, holding: &mut Holding, notice: &ReviewNotice, now: Timestamp) -> Result<(), Denial> {
        holding.id = Some(notice.id.clone());
        let step = if notice.resumed { ReviewStep::Resumed } else { ReviewStep::Held };
        self.note(holding.receipt, &notice.id, step, &[], Some(&notice.reviewers), now)
    }

    /// People said yes: judges again, records who, and clears. What policy would not let through by now stays.
    pub fn release(&mut self, holding: Holding, approval: &Approval, now: Timestamp) -> Admission {
        let Holding { frame, text, shape, receipt, spec, action, obstacles, .. } = holding;
        let bound = binding(action, self.parts.context.id, approval.expires_at);
        let refusal = if bound != approval.binding {
            Some(Denial::new(
                Culprit::Policy,
                DenialCode::Forbidden,
                ClientText::new("the approval is for another action"),
            ))
        } else if now >= approval.expires_at {
            Some(too_late(&approval.review))
        } else {
            None
        };
        let by: Vec<&str> = approval.by.iter().map(|a| a.name.as_str()).collect();
        let judged = match refusal {
            Some(denial) => Err(denial),
            None => self.judge_again(&shape, &spec, obstacles, now),
        };
        match judged {
            Ok(verdict) => {
                let shown = shown(approval);
                if let Err(denial) =
                    self.note(receipt, &approval.review, ReviewStep::Released, &by, shown.as_deref(), now)
                {
                    return Admission::Ready(Err(denial));
                }
                self.in_flight.push_back((receipt.seq(), now));
                self.clear((frame, text), shape.access(), (receipt, &verdict), false, now)
            }
            Err(denial) => {
                let why = denial.message.as_str().to_owned();
                let recorded = self.note(receipt, &approval.review, ReviewStep::Stopped, &by, Some(&why), now);
                Admission::Ready(Err(self.withheld(receipt, now).and(recorded).err().unwrap_or(denial)))
            }
        }
    }

    /// There is no yes: records why, and says what the client reads; or that it could not be recorded, which ends the session.
    pub fn refuse(&mut self, holding: Holding, refusal: &ReviewRefusal, now: Timestamp) -> Denial {
        let id = refusal.review.as_deref().or(holding.id.as_deref()).unwrap_or_default().to_owned();
        let by: Vec<&str> = refusal.by.iter().map(String::as_str).collect();
        let step = match refusal.end {
            ReviewEnd::Denied => ReviewStep::Denied,
            ReviewEnd::Expired => ReviewStep::Expired,
            ReviewEnd::Withdrawn => ReviewStep::Withdrawn,
            ReviewEnd::Superseded | ReviewEnd::Full | ReviewEnd::Unshowable | ReviewEnd::Unavailable => {
                ReviewStep::Stopped
            }
        };
        let comment = refusal.comment.as_deref().or(match step {
            ReviewStep::Stopped => Some(refusal.end.as_str()),
            _ => None,
        });
        let recorded = self.note(holding.receipt, &id, step, &by, comment, now);
        let recorded = recorded.and(self.withheld(holding.receipt, now));
        recorded.err().unwrap_or_else(|| told(&id, refusal))
    }

    /// The session does not wait any longer: tells the reviewers and the record.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn give_up(&mut self, holding: Holding, leaving: Leaving, now: Timestamp) -> Result<(), Denial> {
        let Holding { receipt, id, review, .. } = holding;
        review.leave(leaving);
        let (step, why) = match leaving {
            Leaving::Withdrawn(why) => (ReviewStep::Withdrawn, why),
            Leaving::Left => (ReviewStep::Left, "the gateway goes away; the request stays"),
        };
        self.note(receipt, id.as_deref().unwrap_or_default(), step, &[], Some(why), now)?;
        self.withheld(receipt, now)
    }

    fn judge_again(
        &self,
        shape: &Shape,
        spec: &ReviewSpec,
        obstacles: Obstacles,
        now: Timestamp,
    ) -> Result<Arc<Verdict>, Denial> {
        let p = &self.parts;
        let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
        let verdict = p.policy.evaluate(&request);
        let denied = |why: &'static str| {
            Denial::new(Culprit::Policy, DenialCode::Forbidden, ClientText::new(why)).rules(verdict.rules.clone())
        };
        if verdict.decision == Decision::Deny {
            return Err(self.denial(shape, &verdict).rules(verdict.rules.clone()).hint(ClientText::new(
                "It was approved, and the rules have changed since: they do not allow it any more.",
            )));
        }
        if verdict.effects.review.as_ref().is_some_and(|now| !spec.covers(now)) {
            return Err(denied("it was approved, and by now the rules ask for more: send it again"));
        }
        if let Some(why) = obstacles.against(&verdict) {
            return Err(denied(why));
        }
        // Probes were counted when it was judged first.
        match masking::refusal(obstacles.masking, true, &*p.policy, &request, &verdict) {
            Some(why) => Err(Denial::new(Culprit::Policy, DenialCode::Withheld, why)),
            None => Ok(verdict),
        }
    }

    fn note(
        &mut self,
        receipt: Receipt,
        review: &str,
        step: ReviewStep,
        by: &[&str],
        note: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Denial> {
        self.recorder.event(now, &SessionEvent::Review { seq: receipt.seq(), review, step, by, note })
    }

    /// Records that a held action did not run.
    fn withheld(&mut self, receipt: Receipt, now: Timestamp) -> Result<(), Denial> {
        self.recorder.outcome(receipt.seq(), now, 0, &Outcome::of(OutcomeStatus::Withheld))
    }
}

/// An intent that only puts in place what will be held when it is executed: it may pass.
pub(crate) fn until_executed(verdict: &Verdict) -> Verdict {
    Verdict { decision: Decision::Allow, ..verdict.clone() }
}

/// What is denied because it cannot be held.
pub(crate) fn not_held(verdict: &Verdict, why: &str) -> Verdict {
    Verdict { decision: Decision::Deny, reason: Some(why.to_owned()), ..verdict.clone() }
}

/// Who showed what beside their login: `webauthn: rita, rolf; totp: ruth`.
fn shown(approval: &Approval) -> Option<String> {
    let of = |factor: &Factor| {
        let who = approval.by.iter().filter(|a| a.factor == Some(*factor)).map(|a| a.name.as_str());
        let who: Vec<&str> = who.collect();
        (!who.is_empty()).then(|| format!("{}: {}", factor.as_str(), who.join(", ")))
    };
    let all: Vec<String> = Factor::ALL.iter().rev().filter_map(of).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn nobody_reviews() -> Denial {
    Denial::new(
        Culprit::Policy,
        DenialCode::Forbidden,
        ClientText::new("it needs a review, and this gateway has nobody to ask"),
    )
}

fn too_late(review: &str) -> Denial {
    Denial::new(
        Culprit::Policy,
        DenialCode::Timeout,
        ClientText::new("review ").name(review).and(" was not approved in time"),
    )
    .hint(ClientText::new("Tell the reviewers, then send it again."))
}

/// What the client reads of a refusal.
fn told(id: &str, refusal: &ReviewRefusal) -> Denial {
    let of = ClientText::new("review ").name(id);
    let message = match refusal.end {
        ReviewEnd::Expired => return too_late(id),
        ReviewEnd::Denied => of.and(" was denied by ").name(refusal.by.as_deref().unwrap_or("a reviewer")),
        ReviewEnd::Withdrawn => of.and(" was withdrawn"),
        ReviewEnd::Superseded => of.and(" goes on in another session of yours, which sent the same"),
        ReviewEnd::Full => ClientText::new("it needs a review, and too many wait for one already"),
        ReviewEnd::Unshowable => ClientText::new(
            "it needs a review, and people could not be shown all of it: make it shorter, or send it in parts",
        ),
        ReviewEnd::Unavailable => {
            ClientText::new("it needs a review, and the reviewers cannot be asked now: try again later")
        }
    };
    let denial = Denial::new(Culprit::Policy, DenialCode::Forbidden, message);
    match &refusal.comment {
        Some(comment) if refusal.end == ReviewEnd::Denied => denial.hint(ClientText::new("").name(comment)),
        _ => denial,
    }
}
