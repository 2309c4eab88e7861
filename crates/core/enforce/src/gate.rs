//! The gate: evaluate, record the intent, then clear. In that order, and nothing else makes a [`Cleared`].

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use countersign_model::{
    Access, Action, ClientText, Culprit, Decision, Denial, DenialCode, Identity, Policy, Request, SessionContext,
    Severity, Shape, ShapeId, Target, Timestamp, Verdict,
};

use crate::machine::Plan;
use crate::masking::{self, Masking};
use crate::{
    Alert, AlertSink, BoxFuture, Cleared, CloseReason, Closed, HoldFacts, Holding, Intent, Outcome, OutcomeStatus,
    Passage, Permit, Proposal, Receipt, Recorder, Reviews, SessionEvent, SessionOpened, SessionRecorder, hold,
};
use countersign_model::RecordLevel;

/// Actions that were forwarded and have not ended. A machine that pipelines deeper waits.
const IN_FLIGHT_MAX: usize = 16 * 1024;

/// Resolves once a record is on the disk.
type Durable = BoxFuture<'static, Result<(), Denial>>;

/// Verdicts that a session keeps for the shapes it asked about last.
const VERDICTS_KEPT: usize = 4;

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
    /// What puts actions before people; without it, what needs a review is denied.
    pub reviews: Option<Arc<dyn Reviews>>,
    /// What a denied person is told to do, from the configuration; `None` for the default words.
    pub ask: Option<Arc<str>>,
}

/// The gate of one session.
pub struct Gate {
    pub(crate) parts: GateParts,
    pub(crate) recorder: Box<dyn SessionRecorder>,
    pub(crate) in_flight: VecDeque<(u64, Timestamp)>,
    /// The account at the target, once it let us in.
    pub(crate) account: Box<str>,
    /// What policy said of the shapes it was asked about last.
    kept: [Option<(ShapeId, Arc<Verdict>)>; VERDICTS_KEPT],
    /// It has taken grants.
    granted: bool,
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
    /// When people have said yes.
    Held(Box<Holding>),
}

/// An admitted action whose record is on its way to the disk.
pub struct Waiting {
    seq: u64,
    durable: Durable,
    cleared: Option<(Cleared, Plan)>,
}

impl Waiting {
    /// The number of its intent. Where it comes to a refusal that is not ours, [`Gate::stopped`] is told of it.
    pub fn seq(&self) -> u64 {
        self.seq
    }
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
pub(crate) struct Obstacles {
    /// Any limit.
    limit: Option<&'static str>,
    /// A limit on changed rows.
    count: Option<&'static str>,
    /// Masks.
    pub(crate) masking: Masking,
    /// It only puts in place what is judged again when it is executed.
    prepares: bool,
    /// It is held while nobody watches.
    watchable: bool,
}

impl Obstacles {
    /// What stands against an allow with limits, or one that has to be watched.
    pub(crate) fn against(self, verdict: &Verdict) -> Option<&'static str> {
        let limits = verdict.effects.limits;
        if verdict.decision == Decision::Deny {
            return None;
        }
        if verdict.effects.watch.is_some() && !self.watchable {
            return Some("this may only run while somebody watches, and it cannot be watched");
        }
        if limits.is_none() {
            return None;
        }
        self.limit.or(self.count.filter(|_| limits.affected.is_some()))
    }
}

/// What judging came to: the record, what policy said, and what the machine says of an action that is held.
type Judged = (Receipt, Arc<Verdict>, Option<HoldFacts>);

/// Of what people are never asked about.
fn cannot_wait(why: &'static str) -> HoldFacts {
    HoldFacts { settings: Bytes::new(), in_transaction: false, cannot: Some(why) }
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
        let connecting = || cannot_wait("who connects cannot wait for a review");
        match gate.judge((connect, &nothing, &nothing, None), Obstacles::default(), &connecting, now) {
            Ok((receipt, verdict, _)) => {
                if let Err(denial) = gate.begins_by(&verdict, now) {
                    gate.close(CloseReason::Denied, Some(&denial), now)?;
                    return Err(denial);
                }
                gate.in_flight.push_back((receipt.seq(), now));
                gate.outcome(receipt.seq(), &Outcome::of(OutcomeStatus::Done), now)?;
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
        Ok(Self {
            parts,
            recorder: recording,
            in_flight: VecDeque::new(),
            account: "".into(),
            kept: Default::default(),
            granted: false,
            closed: false,
        })
    }

    /// Judges and records an action that has no frame; what to wait for before it may be done, if something.
    pub(crate) fn judge_whole(
        &mut self,
        action: &Action,
        now: Timestamp,
    ) -> Result<(Receipt, Option<Durable>), Denial> {
        let limit = Some("the gateway's own acts have no rows to limit");
        let none = Obstacles { limit, ..Obstacles::default() };
        let at_once = || cannot_wait("what is asked of the gateway itself cannot wait for a review");
        let what = (&*action.shape, &action.text, &action.parameters, None);
        let (receipt, ..) = self.judge(what, none, &at_once, now)?;
        self.in_flight.push_back((receipt.seq(), now));
        let durable = self.parts.target.durable && action.shape.access() >= Access::Write;
        Ok((receipt, durable.then(|| self.recorder.durable(receipt))))
    }

    /// Judges a proposal and records it: allowed, held or denied. `facts` is asked only about what would be held.
    pub fn admit(&mut self, proposal: Proposal, facts: &dyn Fn() -> HoldFacts, now: Timestamp) -> Admission {
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Admission::Ready(Err(Denial::new(
                Culprit::Client,
                DenialCode::Busy,
                ClientText::new("too many statements in one pipeline: at most ").number(IN_FLIGHT_MAX as u64),
            )));
        }
        let same_text_as = proposal.same_text_as();
        let obstacles = Obstacles {
            limit: proposal.why_no_limit(),
            count: proposal.why_no_count(),
            masking: proposal.masking(),
            prepares: proposal.only_prepares(),
            watchable: proposal.is_watchable(),
        };
        let (frame, action) = proposal.into_parts();
        let what = (&*action.shape, &action.text, &action.parameters, same_text_as);
        match self.judge(what, obstacles, facts, now) {
            Ok((receipt, verdict, None)) => {
                self.in_flight.push_back((receipt.seq(), now));
                self.clear((frame, action.text), action.shape.access(), (receipt, &verdict), obstacles.prepares, now)
            }
            Ok((receipt, verdict, Some(facts))) => {
                let bytes = (frame, action.text, action.parameters);
                self.hold(bytes, action.shape, (receipt, &verdict), &facts, obstacles, now)
            }
            Err(denial) => Admission::Ready(Err(denial)),
        }
    }

    /// A session that begins by grants ends with them.
    fn begins_by(&mut self, verdict: &Verdict, now: Timestamp) -> Result<(), Denial> {
        let grants = &verdict.effects.grants;
        if grants.is_empty() {
            return Ok(());
        }
        self.granted = true;
        self.parts.policy.take(self.parts.context.id, grants, false, now).map(drop)
    }

    /// What was admitted did not go on after all: the record says so.
    ///
    /// # Errors
    /// When the recording cannot be written; the session must end.
    pub fn stopped(&mut self, seq: u64, now: Timestamp) -> Result<(), Denial> {
        self.outcome(seq, &Outcome::of(OutcomeStatus::Withheld), now)
    }

    /// What was admitted may go, at once or when its record has reached the disk and its grants are taken.
    pub(crate) fn clear(
        &mut self,
        (frame, text): (Bytes, Bytes),
        access: Access,
        (receipt, verdict): (Receipt, &Verdict),
        prepares: bool,
        now: Timestamp,
    ) -> Admission {
        let grants = &verdict.effects.grants;
        let mut taking = None;
        if !grants.is_empty() && !prepares {
            self.granted = true;
            // Housekeeping is no use of a grant, and begins none.
            match self.parts.policy.take(self.parts.context.id, grants, access > Access::Connect, now) {
                Ok(taken) => taking = taken,
                Err(denial) => {
                    let recorded = self.stopped(receipt.seq(), now);
                    return Admission::Ready(Err(recorded.err().unwrap_or(denial)));
                }
            }
        }
        let session = self.parts.context.id;
        let plan = Plan {
            permit: Permit::new(session, receipt, text),
            limits: verdict.effects.limits,
            masks: Arc::clone(&verdict.effects.masks),
            watch: verdict.effects.watch.clone(),
            record_rows: self.parts.target.record == RecordLevel::Results,
        };
        let cleared = (Cleared { session, frame }, plan);
        let durable = (self.parts.target.durable && access >= Access::Write).then(|| self.recorder.durable(receipt));
        let durable: Durable = match (taking, durable) {
            (None, None) => return Admission::Ready(Ok(cleared)),
            (Some(only), None) | (None, Some(only)) => only,
            (Some(taking), Some(durable)) => Box::pin(async move {
                taking.await?;
                durable.await
            }),
        };
        Admission::Wait(Waiting { seq: receipt.seq(), durable, cleared: Some(cleared) })
    }

    /// What policy says: of what was asked a moment ago it need not be asked again, while the same policies are in force and the answer
    /// does not pass with time.
    fn verdict(&mut self, shape: &Shape, now: Timestamp) -> Arc<Verdict> {
        let p = &self.parts;
        let slot = usize::try_from(shape.id().as_u64()).unwrap_or(0) % VERDICTS_KEPT;
        if let Some(Some((id, verdict))) = self.kept.get(slot)
            && *id == shape.id()
            && verdict.epoch == p.policy.epoch()
        {
            return Arc::clone(verdict);
        }
        let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
        let verdict = p.policy.evaluate(&request);
        let lasting = p.policy.is_lasting(&request, &verdict);
        if let Some(kept) = self.kept.get_mut(slot) {
            *kept = lasting.then(|| (shape.id(), Arc::clone(&verdict)));
        }
        verdict
    }

    fn judge(
        &mut self,
        (shape, text, parameters, same_text_as): (&Shape, &Bytes, &Bytes, Option<u64>),
        obstacles: Obstacles,
        facts: &dyn Fn() -> HoldFacts,
        now: Timestamp,
    ) -> Result<Judged, Denial> {
        let mut verdict = self.verdict(shape, now);
        let p = &self.parts;
        let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
        let mut obstacle = obstacles.against(&verdict);
        let mut held = None;
        if verdict.decision == Decision::Hold && obstacles.prepares {
            verdict = Arc::new(hold::until_executed(&verdict));
        } else if let (Decision::Hold, None, Some(spec)) = (verdict.decision, obstacle, &verdict.effects.review) {
            let facts = facts();
            obstacle = hold::why_not_held(&facts, spec);
            held = Some(facts);
        }
        if let Some(why) = obstacle {
            verdict = Arc::new(hold::not_held(&verdict, why));
        }
        let unmaskable = masking::refusal(obstacles.masking, obstacles.prepares, &*p.policy, &request, &verdict);
        if let Some(why) = &unmaskable {
            let reason = Some(why.as_str().to_owned());
            verdict = Arc::new(Verdict { decision: Decision::Deny, reason, ..Verdict::clone(&verdict) });
        }
        let receipt = self.recorder.intent(&Intent {
            at: now,
            text,
            same_text_as,
            prepares: obstacles.prepares,
            parameters,
            shape,
            verdict: &verdict,
        })?;
        if let Some(severity) = verdict.effects.alert {
            self.alert(severity, &verdict, shape, receipt, now)?;
        }
        match verdict.decision {
            Decision::Allow => Ok((receipt, verdict, None)),
            Decision::Hold if held.is_some() => Ok((receipt, verdict, held)),
            // A hold that says not for whom is none that anybody could end.
            Decision::Hold | Decision::Deny => {
                let p = &self.parts;
                let request = Request { identity: &p.identity, target: &p.target, session: &p.context, shape, now };
                let hint = self.hint(shape, &verdict, p.policy.ask(&request, &verdict));
                let denial = match (obstacle, unmaskable) {
                    (Some(why), _) => Denial::new(Culprit::Policy, DenialCode::Forbidden, ClientText::new(why)),
                    (None, Some(why)) => Denial::new(Culprit::Policy, DenialCode::Withheld, why),
                    (None, None) => self.denial(shape, &verdict),
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

    pub(crate) fn denial(&self, shape: &Shape, verdict: &Verdict) -> Denial {
        let target = self.parts.target.name.as_str();
        let (code, message) = if let Some(why) = shape.why_unreadable() {
            (DenialCode::Unreadable, ClientText::new("Countersign cannot judge this statement: ").name(why))
        } else if let Some(why) = masking::withheld(verdict) {
            (DenialCode::Withheld, why)
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
        if let SessionEvent::Connected { account, .. } = event {
            self.account = (*account).into();
        }
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
        if self.granted {
            self.parts.policy.leave(self.parts.context.id);
        }
        let lost = Outcome::of(OutcomeStatus::Lost);
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
