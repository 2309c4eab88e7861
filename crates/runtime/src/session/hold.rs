//! An action that waits for people, while the session goes on: the client's connection is watched, other messages wait, and whoever
//! takes it back is heard. It must never let the action go on by itself: the gate does.

use std::task::{Context, Poll};

use countersign_enforce::{Gate, Holding, Leaving, Machine, Protocol, ReviewEvent};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Timestamp};

use super::Driver;
use super::perform::defect;

impl<P: Protocol> Driver<P> {
    /// Moves the review; true when something came of it.
    pub(super) fn await_review(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(review) = &mut self.review else { return false };
        let Poll::Ready(event) = review.1.poll(cx) else { return false };
        let now = self.now();
        match event {
            ReviewEvent::Opened(notice) => {
                let Some(review) = &mut self.review else { return false };
                let id = review.0;
                let asked = self.gate.as_mut().map(|gate| gate.asked(&mut review.1, &notice, now));
                match asked {
                    Some(Ok(())) => self.machine.on_held(id, &notice),
                    Some(Err(denial)) => self.fail(denial),
                    None => self.fail(defect("an action waits without a session")),
                }
            }
            ReviewEvent::Approved(approval) => {
                self.resolve(|gate, holding| gate.release(holding, &approval, now));
            }
            ReviewEvent::Refused(refusal) => {
                self.resolve(|gate, holding| {
                    countersign_enforce::Admission::Ready(Err(gate.refuse(holding, &refusal, now)))
                });
            }
        }
        true
    }

    fn resolve(&mut self, end: impl FnOnce(&mut Gate, Holding) -> countersign_enforce::Admission) {
        let (Some(review), Some(gate)) = (self.review.take(), &mut self.gate) else { return };
        let (id, holding) = *review;
        let admission = end(gate, holding);
        self.admitted(id, admission);
    }

    /// The client takes back what waits; the session goes on.
    pub(super) fn review_cancelled(&mut self) {
        let Some(id) = self.review.as_ref().map(|r| r.0) else { return };
        if self.leave_review(Leaving::Withdrawn("the client cancelled it")) {
            let text = ClientText::new("canceled while it waited for a review");
            self.ruled(id, Err(Denial::new(Culprit::Client, DenialCode::Cancelled, text)));
        }
    }

    /// The gateway stops, and people take their time: the client is told, and the question stays.
    pub(super) fn review_drained(&mut self) {
        let Some(review) = &self.review else { return };
        let id = review.1.review().unwrap_or_default().to_owned();
        if self.leave_review(Leaving::Left) {
            let text =
                ClientText::new("the gateway is shutting down while review ").name(&id).and(" waits for an answer");
            let hint = ClientText::new(
                "The review can still be answered. Connect again and send exactly the same: it takes up this review and runs once.",
            );
            self.fail(Denial::new(Culprit::Us, DenialCode::Draining, text).hint(hint));
        }
    }

    /// The session fails while something waits.
    pub(super) fn review_ended(&mut self, denial: &Denial) {
        let leaving = match denial.code {
            DenialCode::Draining => Leaving::Left,
            DenialCode::Unauthenticated => Leaving::Withdrawn("the login of its session ended"),
            _ if denial.culprit == Culprit::Client => Leaving::Withdrawn("the client has gone"),
            _ => Leaving::Withdrawn("the session ended"),
        };
        self.leave_review(leaving);
    }

    /// Gives up what waits; false when that could not be recorded, and the session ends for it.
    pub(super) fn leave_review(&mut self, leaving: Leaving) -> bool {
        let Some(review) = self.review.take() else { return true };
        let now: Timestamp = self.now();
        match self.gate.as_mut().map(|gate| gate.give_up(review.1, leaving, now)) {
            Some(Err(denial)) if self.ending.is_none() => {
                self.fail(denial);
                false
            }
            _ => true,
        }
    }
}
