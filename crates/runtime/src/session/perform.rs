//! Carrying out what a machine wants, one output after the other. What is meant for the target goes through the gate's types, or not
//! at all.

use std::collections::VecDeque;

use countersign_enforce::{
    Admission, Cleared, CloseReason, Connected, Gate, Machine, Output, Plan, Proposal, ProposalId, Protocol,
    SessionEvent,
};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Timestamp};

use super::{Driver, Link, Side};
use crate::telemetry::CancelResult;

/// Outputs for the target that may wait behind one record. A machine that pipelines deeper than this is at fault.
const HELD_MAX: usize = 64 * 1024;

/// A denial for what only a defect can bring about.
pub(crate) fn defect(what: &'static str) -> Denial {
    Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("internal error: ").and(what))
}

impl<P: Protocol> Driver<P> {
    pub(super) fn perform(&mut self, output: Output) {
        let behind = self.waiting.is_some()
            && matches!(output, Output::Propose(..) | Output::Follow(..) | Output::Control(_) | Output::Close(..));
        if !behind {
            self.perform_now(output);
        } else if self.held.len() < HELD_MAX {
            self.held.push_back(output);
        } else {
            self.fail(Denial::new(
                Culprit::Client,
                DenialCode::Busy,
                ClientText::new("too much waits behind a statement whose record is on its way to the disk"),
            ));
        }
    }

    /// Goes on with what was held behind a record that has reached the disk, up to the next one that has not.
    pub(super) fn perform_held(&mut self) {
        while self.waiting.is_none()
            && self.ending.is_none()
            && !self.stopped
            && let Some(output) = self.held.pop_front()
        {
            self.perform_now(output);
        }
        if self.held.is_empty() {
            self.held = VecDeque::new();
        }
    }

    fn perform_now(&mut self, output: Output) {
        match output {
            Output::Client(b) => self.client_out.push(b),
            Output::Propose(id, proposal) => self.propose(id, proposal),
            Output::Follow(permit, b) => {
                let ours = match &mut self.link {
                    Link::Up(_, upstream) => upstream.follow(&permit, b),
                    Link::None | Link::Dialling(..) => false,
                };
                if !ours {
                    self.fail(defect("bytes came without a permit of this session"));
                }
            }
            Output::Control(frame) => match &mut self.link {
                Link::Up(_, upstream) => upstream.control(frame),
                Link::None | Link::Dialling(..) => self.fail(defect("a control message before the target let us in")),
            },
            Output::Login(b) => match &mut self.link {
                Link::Dialling(_, dialling) => dialling.login(b),
                Link::None | Link::Up(..) => self.fail(defect("login bytes outside of a login")),
            },
            Output::StartClientTls => self.tls_due = Some(Side::Client),
            Output::StartUpstreamTls => self.tls_due = Some(Side::Target),
            Output::Authenticate(presented) => self.authenticate(presented),
            Output::Connect(request) => self.connect(request),
            Output::Established { account, target_session } => self.established(&account, &target_session),
            Output::CancelKey { client_key, order } => self.keep_cancel_key(&client_key, &order),
            Output::Cancel(key) => self.cancel_other(&key),
            Output::CancelOwn => {
                self.cancel_own();
                self.stopped = self.aside.is_some();
            }
            Output::Outcome(seq, outcome) => {
                self.spans.ended(seq, &outcome);
                self.record(|gate, now| gate.outcome(seq, &outcome, now));
            }
            Output::Rows(seq, b) => self.record(|gate, now| gate.output(seq, &b, now)),
            Output::Rejected(denial) => self.rejected(denial),
            Output::Close(reason, denial) => self.end(reason, denial),
        }
    }

    fn propose(&mut self, id: ProposalId, proposal: Proposal) {
        let now = self.now();
        let (Some(gate), Link::Up(..)) = (&mut self.gate, &self.link) else {
            self.fail(defect("an action was proposed before the session was up"));
            return;
        };
        self.spans.begin(&self.span, &proposal);
        let machine = &self.machine;
        let admission = gate.admit(proposal, &|| machine.hold_facts(id), now);
        self.admitted(id, admission);
    }

    /// The gate's answer, as far as there is one.
    pub(super) fn admitted(&mut self, id: ProposalId, admission: Admission) {
        match admission {
            Admission::Ready(ruling) => self.ruled(id, ruling),
            Admission::Wait(waiting) => self.waiting = Some(Box::new((id, waiting))),
            Admission::Held(holding) => self.review = Some(Box::new((id, *holding))),
        }
    }

    /// Sends what was cleared, or tells the machine why not.
    pub(super) fn ruled(&mut self, id: ProposalId, ruling: Result<(Cleared, Plan), Denial>) {
        match ruling {
            Ok((cleared, plan)) => {
                let Link::Up(_, upstream) = &mut self.link else {
                    self.fail(defect("an action was cleared without a target"));
                    return;
                };
                if let Some(literal) = self.machine.prelude(id, &plan) {
                    upstream.control(literal);
                }
                if !upstream.send(cleared) {
                    self.fail(defect("an action was cleared for another session"));
                    return;
                }
                self.shared.core.telemetry.allowed.increment(1);
                self.spans.allowed(plan.permit.seq());
                self.machine.on_ruling(id, Ok(plan));
            }
            // Not the rules but the gateway failed: without its record the session ends.
            Err(denial) if denial.culprit == Culprit::Us => self.fail(denial),
            Err(denial) => {
                self.shared.core.telemetry.denied.increment(1);
                self.spans.denied(&denial);
                self.shared.core.telemetry.refused(denial.code);
                self.machine.on_ruling(id, Err(denial));
            }
        }
    }

    fn record(&mut self, entry: impl FnOnce(&mut Gate, Timestamp) -> Result<(), Denial>) {
        let now = self.now();
        let result = match &mut self.gate {
            Some(gate) => entry(gate, now),
            None => Err(defect("something was to be recorded before the session was open")),
        };
        if let Err(denial) = result {
            self.fail(denial);
        }
    }

    /// What was admitted did not go on after all.
    pub(super) fn not_sent(&mut self, seq: u64) {
        self.record(|gate, now| gate.stopped(seq, now));
    }

    fn rejected(&mut self, denial: Denial) {
        self.shared.core.telemetry.refused(denial.code);
        if self.gate.is_some() {
            self.record(|gate, now| gate.event(&SessionEvent::Rejected(&denial), now));
        } else if let Some(login) = &mut self.login {
            login.rejection.get_or_insert(denial);
        }
    }

    fn established(&mut self, account: &str, target_session: &str) {
        match std::mem::replace(&mut self.link, Link::None) {
            Link::Dialling(socket, dialling) => self.link = Link::Up(socket, dialling.established()),
            other => {
                self.link = other;
                self.fail(defect("a login ended that had not begun"));
                return;
            }
        }
        self.timer.disarm();
        let now = self.now();
        if let Some(login) = self.login.take() {
            // Microseconds to seconds; a login is over long before the precision is.
            #[allow(clippy::cast_precision_loss)]
            self.shared.core.telemetry.login_seconds.record(now.since_us(login.started) as f64 / 1e6);
        }
        self.shared.core.telemetry.sessions_opened.increment(1);
        self.record(|gate, now| gate.event(&SessionEvent::Connected { account, target_session }, now));
    }

    /// The session must end: the machine says so in its protocol, then both sides are closed. Work that runs is cancelled.
    pub(super) fn fail(&mut self, denial: Denial) {
        let reason = match (denial.culprit, denial.code) {
            (_, DenialCode::Draining) => CloseReason::Drained,
            (Culprit::Us, _) => CloseReason::Failed,
            (Culprit::Target, _) => CloseReason::Target,
            (Culprit::Client | Culprit::Policy, _) => CloseReason::Denied,
        };
        self.fail_as(reason, denial);
    }

    /// As [`Driver::fail`], for a reason that the denial alone does not tell.
    pub(super) fn fail_as(&mut self, reason: CloseReason, denial: Denial) {
        if self.ending.is_none() {
            self.last_words(&denial);
            self.end(reason, Some(denial));
        }
    }

    /// Ends the session, as one of many perhaps: what is to be done at the target waits until all their clients were told.
    pub(super) fn cut(&mut self, denial: Denial) {
        if self.ending.is_some() {
            return;
        }
        if let Link::Up(_, upstream) = &mut self.link
            && !upstream.outbound().is_empty()
        {
            // What was not sent yet must not run later.
            self.target_deaf = true;
        }
        self.fail_as(CloseReason::Denied, denial);
        if self.aside.is_none() {
            let shared = self.shared.clone();
            self.aside = Some(Box::pin(async move { shared.core.registry.all_told().await }));
        }
    }

    /// Drops what was under way, cancels work that runs, and lets the machine say in its protocol why it ends.
    pub(super) fn last_words(&mut self, denial: &Denial) {
        if self.machine.is_busy() {
            self.cancel_own();
        }
        self.review_ended(denial);
        self.waiting = None;
        self.held = VecDeque::new();
        self.step = None;
        self.tls_due = None;
        // What the machine wanted before is not carried out any more: it may be what could not be recorded.
        while let Some(output) = self.machine.poll_output() {
            self.perform_last(output, denial.culprit != Culprit::Us);
        }
        self.machine.on_fatal(denial);
        while let Some(output) = self.machine.poll_output() {
            if matches!(output, Output::Close(..)) {
                break;
            }
            self.perform_last(output, true);
        }
    }

    /// What is still carried out once the session has failed: words for the client, literals for the target, and records.
    fn perform_last(&mut self, output: Output, tell_client: bool) {
        match output {
            Output::Client(b) if tell_client => self.client_out.push(b),
            Output::Control(frame) => {
                if let Link::Up(_, upstream) = &mut self.link {
                    upstream.control(frame);
                }
            }
            Output::Outcome(seq, outcome) => {
                self.spans.ended(seq, &outcome);
                let now = self.now();
                if let Some(Err(e)) = self.gate.as_mut().map(|g| g.outcome(seq, &outcome, now)) {
                    self.log_unrecorded(&e);
                }
            }
            _ => {}
        }
    }

    pub(super) fn log_unrecorded(&self, denial: &Denial) {
        tracing::error!(parent: &self.span, error = %denial, detail = denial.detail, "something could not be recorded");
    }

    pub(super) fn count_cancel(&self, result: CancelResult) {
        self.shared.core.telemetry.cancelled(result);
    }

    pub(super) fn connected(&mut self, connected: Connected) {
        self.machine.on_connected(connected);
    }
}
