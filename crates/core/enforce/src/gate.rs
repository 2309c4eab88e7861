//! The gate: evaluate, record the intent, then clear. In that order, and nothing else makes a [`Cleared`].

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_model::{
    Access, Action, ClientText, Culprit, Decision, Denial, DenialCode, Identity, Policy, Request, SessionContext,
    Severity, Shape, Target, Timestamp, Verdict,
};

use crate::machine::Plan;
use crate::masking::{self, Masking};
use crate::{
    Alert, AlertSink, BoxFuture, Cleared, CloseReason, Closed, Intent, Outcome, OutcomeStatus, Passage, Permit,
    Proposal, Receipt, Recorder, SessionEvent, SessionOpened, SessionRecorder,
};
use countersign_model::RecordLevel;

/// Actions that were forwarded and have not ended. A machine that pipelines deeper waits.
const IN_FLIGHT_MAX: usize = 16 * 1024;

/// Resolves once a record is on the disk.
type Durable = BoxFuture<'static, Result<(), Denial>>;

/// What a gate is made of.
pub struct GateParts {
    /// Who.
    pub identity: Arc<Identity>,
    /// On what.
    pub target: Arc<Target>,
    /// In which session.
    pub context: SessionContext,
    /// What judges.
    pub policy: Arc<dyn Policy>,
    /// What takes alerts.
    pub alerts: Arc<dyn AlertSink>,
    /// What a denied person is told to do, from the configuration; `None` for the default words.
    pub ask: Option<Arc<str>>,
}

/// The gate of one session.
pub struct Gate {
    parts: GateParts,
    recorder: Box<dyn SessionRecorder>,
    in_flight: VecDeque<(u64, Timestamp)>,
    closed: bool,
}

/// A session that may begin.
pub struct Opened {
    /// Its gate.
    pub gate: Gate,
    /// Leave to dial.
    pub passage: Passage,
}

/// The gate's answer to a proposal.
pub enum Admission {
    /// At once: the action may be sent with this plan, or it is refused.
    Ready(Result<(Cleared, Plan), Denial>),
    /// Later: the record must reach the disk first.
    Wait(Waiting),
}

/// An admitted action whose record is on its way to the disk.
pub struct Waiting {
    durable: Durable,
    cleared: Option<(Cleared, Plan)>,
}

impl Future for Waiting {
    type Output = Result<(Cleared, Plan), Denial>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.durable.as_mut().poll(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(denial)) => Poll::Ready(Err(denial)),
            Poll::Ready(Ok(())) => Poll::Ready(self.cleared.take().ok_or_else(|| {
                Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("an admission was used twice"))
            })),
        }
    }
}

/// Why a limit could not be kept on an action.
#[derive(Clone, Copy, Default)]
struct Obstacles {
    /// Any limit.
    limit: Option<&'static str>,
    /// A limit on changed rows.
    count: Option<&'static str>,
    /// Masks.
    masking: Masking,
}

impl Obstacles {
    /// What stands against an allow with limits.
    fn against(self, verdict: &Verdict) -> Option<&'static str> {
        let limits = verdict.effects.limits;
        if verdict.decision == Decision::Deny || limits.is_none() {
            return None;
        }
        self.limit.or(self.count.filter(|_| limits.affected.is_some()))
    }
}

impl Gate {
    /// Begins a session: opens its recording and judges the connect action.
    ///
    /// # Errors
    /// When the recording cannot be written or policy denies; the refusal is in the recording where there is one.
    pub fn open(parts: GateParts, recorder: &dyn Recorder, connect: &Shape, now: Timestamp) -> Result<Opened, Denial> {
        let session = parts.context.id;
        let mut gate = Self::recording(parts, recorder)?;
        let nothing = Bytes::new();
        match gate.judge(connect, &nothing, &nothing, None, Obstacles::default(), now) {
            Ok((receipt, _verdict)) => {
                gate.outcome(
                    receipt.seq(),
                    &Outcome {
                        status: OutcomeStatus::Done,
                        rows: 0,
                        bytes: 0,
                        affected: None,
                        code: None,
                        masked: Box::default(),
                    },
                    now,
                )?;
                Ok(Opened { gate, passage: Passage { session } })
            }
            Err(denial) => {
                gate.close(CloseReason::Denied, Some(&denial), now)?;
                Err(denial)
            }
        }
    }

    /// A gate with an open recording, and nothing judged yet.
    pub(crate) fn recording(parts: GateParts, recorder: &dyn Recorder) -> Result<Self, Denial> {
        let recording = recorder.open(&SessionOpened {
            context: &parts.context,
            identity: &parts.identity,
            target: &parts.target,
        })?;
        Ok(Self { parts, recorder: recording, in_flight: VecDeque::new(), closed: false })
    }

    /// Judges and records an action that has no frame; what to wait for before it may be done, if something.
    pub(crate) fn judge_whole(
        &mut self,
        action: &Action,
        now: Timestamp,
    ) -> Result<(Receipt, Option<Durable>), Denial> {
        let limit = Some("the gateway's own acts have no rows to limit");
        let none = Obstacles { limit, ..Obstacles::default() };
        let (receipt, _) = self.judge(&action.shape, &action.text, &action.parameters, None, none, now)?;
        let durable = self.parts.target.durable && action.shape.access() >= Access::Write;
        Ok((receipt, durable.then(|| self.recorder.durable(receipt))))
    }

    /// Judges a proposal and records it, allowed or denied.
    pub fn admit(&mut self, proposal: Proposal, now: Timestamp) -> Admission {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Admission::Ready(Err(Denial::new(
                Culprit::Client,
                DenialCode::Busy,
                ClientText::new("too many statements in one pipeline: at most ").number(IN_FLIGHT_MAX as u64),
            )));
        }
        let same_text_as = proposal.same_text_as();
        let obstacles =
            Obstacles { limit: proposal.why_no_limit(), count: proposal.why_no_count(), masking: proposal.masking() };
        let (frame, action) = proposal.into_parts();
        let (receipt, verdict) =
            match self.judge(&action.shape, &action.text, &action.parameters, same_text_as, obstacles, now) {
                Ok(judged) => judged,
                Err(denial) => return Admission::Ready(Err(denial)),
            };
        let session = self.parts.context.id;
        let plan = Plan {
            permit: Permit::new(session, receipt, action.text),
            limits: verdict.effects.limits,
            masks: Arc::clone(&verdict.effects.masks),
            record_rows: self.parts.target.record == RecordLevel::Results,
        };
        let cleared = (Cleared { session, frame }, plan);
        if self.parts.target.durable && action.shape.access() >= Access::Write {
            return Admission::Wait(Waiting { durable: self.recorder.durable(receipt), cleared: Some(cleared) });
        }
        Admission::Ready(Ok(cleared))
    }

    fn judge(
        &mut self,
        shape: &Shape,
        text: &Bytes,
        parameters: &Bytes,
        same_text_as: Option<u64>,
        obstacles: Obstacles,
        now: Timestamp,
    ) -> Result<(Receipt, Arc<Verdict>), Denial> {
        let p = &self.parts;
        let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
        let mut verdict = p.policy.evaluate(&request);
        let unlimitable = obstacles.against(&verdict);
        if let Some(why) = unlimitable {
            let denied = Verdict { decision: Decision::Deny, reason: Some(why.to_owned()), ..Verdict::clone(&verdict) };
            verdict = Arc::new(denied);
        }
        let unmaskable = masking::refusal(obstacles.masking, &*p.policy, &request, &verdict);
        if let Some(why) = &unmaskable {
            let reason = Some(why.as_str().to_owned());
            verdict = Arc::new(Verdict { decision: Decision::Deny, reason, ..Verdict::clone(&verdict) });
        }
        let receipt =
            self.recorder.intent(&Intent { at: now, text, same_text_as, parameters, shape, verdict: &verdict })?;
        if let Some(severity) = verdict.effects.alert {
            self.alert(severity, &verdict, shape, receipt, now)?;
        }
        match verdict.decision {
            Decision::Allow => {
                self.in_flight.push_back((receipt.seq(), now));
                Ok((receipt, verdict))
            }
            Decision::Deny => {
                let p = &self.parts;
                let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
                let hint = self.hint(shape, &verdict, p.policy.ask(&request, &verdict));
                let denial = match unlimitable.map(ClientText::new).or(unmaskable) {
                    Some(why) => Denial::new(Culprit::Policy, DenialCode::Forbidden, why),
                    None => self.denial(shape, &verdict),
                };
                Err(denial.rules(verdict.rules.clone()).hint(hint))
            }
        }
    }

    fn alert(
        &mut self,
        severity: Severity,
        verdict: &Verdict,
        shape: &Shape,
        receipt: Receipt,
        now: Timestamp,
    ) -> Result<(), Denial> {
        let word = match severity {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        };
        self.recorder.event(now, &SessionEvent::Alert { severity: word, seq: receipt.seq() })?;
        self.parts.alerts.raise(Alert {
            at: now,
            severity,
            session: Some(self.parts.context.id),
            identity: self.parts.identity.name.clone(),
            target: self.parts.target.name.as_str().to_owned(),
            rules: verdict.rules.clone(),
            what: shape.kind().to_owned(),
        });
        Ok(())
    }

    fn denial(&self, shape: &Shape, verdict: &Verdict) -> Denial {
        let target = self.parts.target.name.as_str();
        let (code, message) = if let Some(why) = shape.why_unreadable() {
            (DenialCode::Unreadable, ClientText::new("Countersign cannot judge this statement: ").name(why))
        } else if let Some(why) = masking::withheld(verdict) {
            (DenialCode::Forbidden, why)
        } else {
            let mut what = ClientText::new("").name(shape.kind()).and(" on target \"").name(target).and("\" is denied");
            for (n, whom) in verdict.denied_for.iter().enumerate() {
                what = what.and(if n == 0 { " for " } else { ", " }).name(whom);
            }
            let message = match verdict.rules.as_slice() {
                [] if verdict.reason.is_some() => what.and(": the policy could not be evaluated"),
                [] => what.and(": no rule allows it"),
                [rule] => what.and(" by rule \"").name(rule.as_str()).and("\""),
                [rule, rest @ ..] => {
                    let mut what = what.and(" by rules \"").name(rule.as_str()).and("\"");
                    for rule in rest {
                        what = what.and(", \"").name(rule.as_str()).and("\"");
                    }
                    what
                }
            };
            (DenialCode::Forbidden, message)
        };
        let mut denial = Denial::new(Culprit::Policy, code, message);
        if let Some(reason) = &verdict.reason {
            denial = denial.detail(reason);
        }
        denial
    }

    /// How to ask for access: as the rule says, else as the configuration says, else whom.
    fn hint(&self, shape: &Shape, verdict: &Verdict, rule_says: Option<ClientText>) -> ClientText {
        let hint = match (rule_says, &self.parts.ask) {
            (Some(ask), _) => ask,
            (None, Some(ask)) => ClientText::new("").name(ask),
            (None, None) => ClientText::new("To ask for access, tell the owner of target \"")
                .name(self.parts.target.name.as_str())
                .and("\" that you (")
                .name(&self.parts.identity.name)
                .and(") need \"")
                .name(&masking::needed(shape.access().as_str(), verdict))
                .and("\"."),
        };
        hint.and(" This refusal is in session ").name(&self.parts.context.id.to_string()).and(".")
    }

    /// Records how an admitted action ended.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn outcome(&mut self, seq: u64, outcome: &Outcome, now: Timestamp) -> Result<(), Denial> {
        let started = match self.in_flight.front() {
            Some((s, at)) if *s == seq => {
                let at = *at;
                self.in_flight.pop_front();
                Some(at)
            }
            _ => match self.in_flight.iter().position(|(s, _)| *s == seq) {
                Some(i) => self.in_flight.remove(i).map(|(_, at)| at),
                None => None,
            },
        };
        let duration_us = started.map_or(0, |at| now.since_us(at));
        self.recorder.outcome(seq, now, duration_us, outcome)
    }

    /// Records result bytes as the client saw them.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn output(&mut self, seq: u64, bytes: &[u8], now: Timestamp) -> Result<(), Denial> {
        self.recorder.output(seq, now, bytes)
    }

    /// Records something that happened to the session.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn event(&mut self, event: &SessionEvent<'_>, now: Timestamp) -> Result<(), Denial> {
        self.recorder.event(now, event)
    }

    /// Ends the session: what is still in flight is recorded as lost.
    ///
    /// # Errors
    /// When the recording cannot be written.
    pub fn close(&mut self, reason: CloseReason, denial: Option<&Denial>, now: Timestamp) -> Result<(), Denial> {
        if self.closed {
            return Ok(());
        }
        self.closed = true;
        let lost = Outcome {
            status: OutcomeStatus::Lost,
            rows: 0,
            bytes: 0,
            affected: None,
            code: None,
            masked: Box::default(),
        };
        while let Some((seq, at)) = self.in_flight.pop_front() {
            self.recorder.outcome(seq, now, now.since_us(at), &lost)?;
        }
        self.recorder.close(&Closed { at: now, reason, denial })
    }

    /// Who this session is.
    pub fn identity(&self) -> &Arc<Identity> {
        &self.parts.identity
    }

    /// What it is connected to.
    pub fn target(&self) -> &Arc<Target> {
        &self.parts.target
    }

    /// Its facts.
    pub fn context(&self) -> &SessionContext {
        &self.parts.context
    }
}
