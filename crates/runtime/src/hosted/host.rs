//! The house as one hosted connection sees it: the same ports, gate and registry that wire protocols are driven with. It must never
//! hand out a target's connection before the gate gave leave.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use countersign_enforce::{
    Admission, Alert, BoxFuture, Call, Cleared, ConnectRequest, Connected, Courier, End, Gate, GateParts, HoldFacts,
    Holding, Host, Invitation, Leaving, Linked, Lockable, Opened, Outcome, Plan, Presented, Proposal, Refused,
    ReviewEvent, ReviewNotice, SessionEvent,
};
use countersign_model::{
    Culprit, Denial, DenialCode, Identity, Secret, SessionContext, SessionId, Timestamp, WatchSpec,
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::wire::{Counts, Cut, SeverableWire};
use crate::dial::dial;
use crate::gateway::Core;
use crate::listener::{Reception, Shared};
use crate::registry::{Seat, SessionInfo};
use crate::session::{defect, no_such_target, unreachable_target, wall_clock, why_not_dialled};

/// Calls that a guest has not heard yet; they are few kinds, and later ones say nothing new.
const CALLS_MAX: usize = 4;

/// Refusals of somebody who is known, before the session is open, that are kept for its record; more only say the same.
const EARLY_MAX: usize = 64;

/// What is known of a connection.
#[derive(Default)]
struct State {
    user: String,
    target: String,
    identity: Option<Arc<Identity>>,
    gate: Option<Gate>,
    /// The session's id, once one was told to the client.
    id: Option<SessionId>,
    refusal_recorded: bool,
    rejection: Option<Denial>,
    /// An invitation to sign in was made; the login has this long for it, in seconds, until that was heeded.
    invited: bool,
    patience_s: Option<u64>,
    /// What was refused to somebody who is known, while the session was not open yet.
    early: Vec<Denial>,
    established: bool,
    /// The gateway failed: the session must end.
    failure: Option<Denial>,
    calls: VecDeque<Call>,
    /// The gateway goes away.
    draining: bool,
    waker: Option<Waker>,
    closed: bool,
    span: Option<tracing::Span>,
}

/// One connection's side of the house.
pub(super) struct Room {
    core: Arc<Core>,
    protocol: &'static str,
    source: SocketAddr,
    started: Timestamp,
    state: Mutex<State>,
    called: Notify,
    seat: Arc<Seat>,
    pub(super) cut: Arc<Cut>,
}

impl Room {
    pub(super) fn new<P: Reception>(shared: &Shared<P>, source: SocketAddr, seat: Arc<Seat>) -> Self {
        Self {
            core: shared.core.clone(),
            protocol: shared.protocol.name(),
            source,
            started: wall_clock(),
            state: Mutex::default(),
            seat,
            called: Notify::new(),
            cut: Arc::default(),
        }
    }

    pub(super) fn telemetry_of_client(&self) -> Counts {
        let t = &self.core.telemetry;
        Counts { read: t.client_in.clone(), written: t.client_out.clone() }
    }

    /// Tells the guest something.
    pub(super) fn call(&self, call: Call) {
        let mut state = self.state.lock();
        state.draining |=
            matches!(&call, Call::Drain) || matches!(&call, Call::End(d) if d.code == DenialCode::Draining);
        if state.calls.len() < CALLS_MAX && !state.calls.contains(&call) {
            state.calls.push_back(call);
        }
        drop(state);
        self.called.notify_one();
    }

    /// The task to wake when something happens here that its visit must know.
    pub(super) fn wake_by(&self, cx: &Context<'_>) {
        let mut state = self.state.lock();
        if !state.waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            state.waker = Some(cx.waker().clone());
        }
    }

    pub(super) fn take_failure(&self) -> Option<Denial> {
        self.state.lock().failure.take()
    }

    /// How much longer the login may take, in seconds, once after a person was invited to sign in.
    pub(super) fn take_patience_s(&self) -> Option<u64> {
        self.state.lock().patience_s.take()
    }

    pub(super) fn is_established(&self) -> bool {
        self.state.lock().established
    }

    /// The gateway failed, or said no to what a session cannot go on without.
    fn failed(&self, denial: &Denial) {
        let mut state = self.state.lock();
        state.failure.get_or_insert_with(|| denial.clone());
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn on_gate<T>(&self, entry: impl FnOnce(&mut Gate, Timestamp) -> Result<T, Denial>) -> Result<T, Denial> {
        let result = match &mut self.state.lock().gate {
            Some(gate) => entry(gate, wall_clock()),
            None => Err(defect("something was to be recorded before the session was open")),
        };
        if let Err(denial) = &result {
            self.failed(denial);
        }
        result
    }

    /// Ends the session, or records that there never was one.
    pub(super) fn close(&self, end: End) {
        self.cut.sever();
        let now = wall_clock();
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.closed, true) {
            return;
        }
        let early = state.early.pop();
        let denial = end.denial.or_else(|| if state.established { None } else { state.rejection.take().or(early) });
        let span = state.span.take().unwrap_or_else(tracing::Span::none);
        let (id, identity, target) = match &mut state.gate {
            Some(gate) => {
                if let Err(e) = gate.close(end.reason, denial.as_ref(), now) {
                    unrecorded(&span, &e);
                }
                let seconds = now.since_us(gate.context().started_at) / 1_000_000;
                tracing::info!(
                    parent: &span, reason = end.reason.as_str(), denial = denial.as_ref().map(tracing::field::display),
                    detail = denial.as_ref().and_then(|d| d.detail.as_deref()), seconds, "closed"
                );
                self.core.telemetry.closed(end.reason);
                (gate.context().id, gate.identity().name.clone(), gate.target().name.as_str().to_owned())
            }
            None => (
                state.id.unwrap_or_else(|| SessionId::new(now, rand::random())),
                state.user.clone(),
                state.target.clone(),
            ),
        };
        let Some(denial) = denial else { return };
        if !state.established {
            self.core.telemetry.refused(denial.code);
        }
        if state.gate.is_none() {
            tracing::info!(
                id = %id, source = %self.source, user = state.user, target = state.target, code = denial.code.as_str(),
                denial = %denial, detail = denial.detail, "refused"
            );
            if !state.refusal_recorded {
                let refused = Refused {
                    id,
                    at: now,
                    source: self.source,
                    protocol: self.protocol,
                    user: &state.user,
                    target: &state.target,
                    denial: &denial,
                };
                if let Err(e) = self.core.services.recorder.refused(&refused) {
                    unrecorded(&span, &e);
                }
            }
        }
        if let Some(severity) = denial.alarm {
            self.core.services.alerts.raise(Alert {
                at: now,
                severity,
                session: Some(id),
                identity,
                target,
                rules: denial.rules.clone(),
                what: denial.detail.clone().unwrap_or_else(|| denial.to_string()),
            });
        }
    }

    /// The connection is gone.
    pub(super) fn leave(&self) {
        self.close(End { reason: countersign_enforce::CloseReason::ClientLost, denial: None });
        self.core.telemetry.connections_open.decrement(1.0);
    }

    fn opened(&self, request: ConnectRequest) -> Result<Reachable, Denial> {
        let now = wall_clock();
        let mut state = self.state.lock();
        if state.gate.is_some() {
            return Err(defect("a second target was asked for"));
        }
        let Some(identity) = state.identity.clone() else {
            return Err(defect("a target was asked for before it was known who asks"));
        };
        state.target.clone_from(&request.target);
        let id = SessionId::new(now, rand::random());
        let services = &self.core.services;
        let route = services.targets.find(&request.target).filter(|r| *r.target.protocol == *self.protocol);
        let Some(route) = route else {
            state.id = Some(id);
            return Err(no_such_target(&request, &identity, services.ask.as_deref(), id));
        };
        let what = Lockable { identity: &identity, source: self.source, target: &route.target.name, session: id };
        if let Some(denial) = services.locks.keeps_out(&what, now) {
            state.id = Some(id);
            return Err(denial);
        }
        let part = if request.part.is_empty() { route.default_part.clone() } else { request.part };
        let parts = GateParts {
            identity: identity.clone(),
            target: route.target.clone(),
            context: SessionContext {
                id,
                source: self.source,
                // What brings its own server brings its own encryption.
                encrypted: true,
                application: request.application,
                part: part.clone(),
                started_at: self.started,
            },
            policy: services.policy.clone(),
            alerts: services.alerts.clone(),
            reviews: services.reviews.clone(),
            ask: route.ask.clone().or_else(|| services.ask.clone()),
        };
        let opened = Gate::open(parts, &*services.recorder, &request.shape, now);
        let passage = match opened {
            Ok(Opened { mut gate, passage }) => {
                let early = std::mem::take(&mut state.early);
                let recorded = early.iter().try_for_each(|denial| gate.event(&SessionEvent::Rejected(denial), now));
                state.gate = Some(gate);
                recorded?;
                passage
            }
            Err(denial) => {
                state.id = Some(id);
                state.refusal_recorded = denial.code != DenialCode::RecorderUnavailable;
                return Err(denial);
            }
        };
        self.seat.introduce(SessionInfo {
            id,
            identity: identity.clone(),
            target: route.target.clone(),
            source: self.source,
            since: now,
        });
        let span = tracing::info_span!(
            "session", id = %id, identity = %identity.name, target = %route.target.name, source = %self.source
        );
        span.in_scope(|| tracing::info!("opened"));
        state.span = Some(span);
        // Once more, now that it is seen by whoever looks for sessions to cut: a lock may have come in between.
        let what = Lockable { identity: &identity, source: self.source, target: &route.target.name, session: id };
        if let Some(denial) = services.locks.keeps_out(&what, now) {
            return Err(denial);
        }
        Ok(Reachable { route, identity, part, passage, id })
    }
}

/// What may be dialled.
struct Reachable {
    route: Arc<crate::Route>,
    identity: Arc<Identity>,
    part: String,
    passage: countersign_enforce::Passage,
    id: SessionId,
}

/// An action that waits for people. Whoever stops waiting for it takes the question back, or leaves it where the gateway goes away.
struct Held<'a> {
    room: &'a Room,
    holding: Option<Box<Holding>>,
}

impl Held<'_> {
    async fn answer(mut self, told: &(dyn Fn(&ReviewNotice) + Send + Sync)) -> Admission {
        loop {
            let event = poll_fn(|cx| match &mut self.holding {
                Some(holding) => holding.poll(cx),
                None => Poll::Pending,
            });
            let event = event.await;
            let now = wall_clock();
            let mut state = self.room.state.lock();
            let Some(gate) = &mut state.gate else { return nothing_waits() };
            match event {
                ReviewEvent::Opened(notice) => {
                    let Some(holding) = &mut self.holding else { return nothing_waits() };
                    if let Err(denial) = gate.asked(holding, &notice, now) {
                        drop(state);
                        return Admission::Ready(Err(denial));
                    }
                    drop(state);
                    told(&notice);
                }
                ReviewEvent::Approved(approval) => {
                    let Some(holding) = self.holding.take() else { return nothing_waits() };
                    return gate.release(*holding, &approval, now);
                }
                ReviewEvent::Refused(refusal) => {
                    let Some(holding) = self.holding.take() else { return nothing_waits() };
                    return Admission::Ready(Err(gate.refuse(*holding, &refusal, now)));
                }
            }
        }
    }
}

fn nothing_waits() -> Admission {
    Admission::Ready(Err(defect("an action waits without a session")))
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let Some(holding) = self.holding.take() else { return };
        let mut state = self.room.state.lock();
        let leaving = if state.draining { Leaving::Left } else { Leaving::Withdrawn("the session ended") };
        if let Some(gate) = &mut state.gate
            && let Err(e) = gate.give_up(*holding, leaving, wall_clock())
        {
            drop(state);
            self.room.failed(&e);
        }
    }
}

fn unrecorded(span: &tracing::Span, denial: &Denial) {
    tracing::error!(parent: span, error = %denial, detail = denial.detail, "something could not be recorded");
}

impl Host for Room {
    fn now(&self) -> Timestamp {
        wall_clock()
    }

    fn authenticate(&self, presented: Presented) -> BoxFuture<'_, Result<Arc<Identity>, Denial>> {
        Box::pin(async move {
            {
                let mut state = self.state.lock();
                if state.identity.is_some() {
                    return Err(defect("an identity was asked for twice"));
                }
                state.user.clone_from(&presented.user);
                state.target.clone_from(&presented.target);
            }
            let identified = self.core.services.authenticator.authenticate(&presented, wall_clock()).await;
            let mut state = self.state.lock();
            match identified {
                Ok(identity) => {
                    state.identity = Some(identity.clone());
                    state.rejection = None;
                    Ok(identity)
                }
                Err(denial) => {
                    state.rejection = Some(denial.clone());
                    Err(denial)
                }
            }
        })
    }

    fn invites(&self) -> bool {
        self.core.services.sign_ins.is_some() && !self.state.lock().invited
    }

    fn invite<'a>(&'a self, purpose: &'a str) -> BoxFuture<'a, Result<Invitation, Denial>> {
        Box::pin(async move {
            let Some(sign_ins) = self.core.services.sign_ins.as_ref().filter(|_| self.invites()) else {
                return Err(defect("an invitation was asked for where none is made"));
            };
            self.state.lock().invited = true;
            let invited = sign_ins.invite(purpose, self.source, wall_clock()).await;
            let mut state = self.state.lock();
            match &invited {
                Ok(invitation) => {
                    state.patience_s = Some(invitation.lifetime_s);
                    if let Some(waker) = &state.waker {
                        waker.wake_by_ref();
                    }
                }
                Err(denial) => state.rejection = Some(denial.clone()),
            }
            invited
        })
    }

    fn answer<'a>(&'a self, invitation: &'a Invitation) -> BoxFuture<'a, Result<Option<Secret>, Denial>> {
        Box::pin(async move {
            let Some(sign_ins) = &self.core.services.sign_ins else { return Ok(None) };
            let answer = sign_ins.answer(&invitation.ticket, wall_clock()).await;
            if let Err(denial) = &answer {
                self.state.lock().rejection = Some(denial.clone());
            }
            answer
        })
    }

    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<Linked, Denial>> {
        Box::pin(async move {
            let Reachable { route, identity, part, passage, id } = self.opened(request)?;
            let credentials = &self.core.services.credentials;
            let credential = credentials.fetch(&route.target.name, &identity, id, wall_clock()).await?;
            let socket = dial(&route).await.map_err(|e| {
                unreachable_target(&route, why_not_dialled(&e)).detail(format_args!("{}: {e}", route.endpoint))
            })?;
            let t = &self.core.telemetry;
            let counts = Counts { read: t.target_in.clone(), written: t.target_out.clone() };
            Ok(Linked {
                target: Box::new(SeverableWire::new(socket, self.cut.clone(), counts)),
                courier: Courier::new(passage),
                connected: Connected {
                    credential,
                    part,
                    tls_required: route.tls_required(),
                    target: route.label().clone(),
                    tagging: Arc::clone(&route.target.tagging),
                    host_keys: route.host_keys.clone(),
                },
            })
        })
    }

    fn established(&self, account: &str, target_session: &str) -> Result<(), Denial> {
        self.on_gate(|gate, now| gate.event(&SessionEvent::Connected { account, target_session }, now))?;
        let mut state = self.state.lock();
        state.established = true;
        // Microseconds to seconds; a login is over long before the precision is.
        #[allow(clippy::cast_precision_loss)]
        self.core.telemetry.login_seconds.record(wall_clock().since_us(self.started) as f64 / 1e6);
        self.core.telemetry.sessions_opened.increment(1);
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
        Ok(())
    }

    fn admit<'a>(
        &'a self,
        proposal: Proposal,
        facts: HoldFacts,
        held: &'a (dyn Fn(&ReviewNotice) + Send + Sync),
    ) -> BoxFuture<'a, Result<(Cleared, Plan), Denial>> {
        Box::pin(async move {
            let mut admission = match &mut self.state.lock().gate {
                Some(gate) => gate.admit(proposal, &|| facts.clone(), wall_clock()),
                None => Admission::Ready(Err(defect("an action was proposed before the session was up"))),
            };
            let ruling = loop {
                admission = match admission {
                    Admission::Ready(ruling) => break ruling,
                    Admission::Wait(waiting) => {
                        let seq = waiting.seq();
                        let done = waiting.await;
                        if done.as_ref().is_err_and(|d| d.culprit != Culprit::Us)
                            && let Err(unrecorded) = self.on_gate(|gate, now| gate.stopped(seq, now))
                        {
                            break Err(unrecorded);
                        }
                        break done;
                    }
                    Admission::Held(holding) => Held { room: self, holding: Some(holding) }.answer(held).await,
                };
            };
            match &ruling {
                Ok(_) => self.core.telemetry.allowed.increment(1),
                Err(denial) if denial.culprit == Culprit::Us => self.failed(denial),
                Err(denial) => {
                    self.core.telemetry.denied.increment(1);
                    self.core.telemetry.refused(denial.code);
                }
            }
            ruling
        })
    }

    fn outcome(&self, seq: u64, outcome: &Outcome) -> Result<(), Denial> {
        self.on_gate(|gate, now| gate.outcome(seq, outcome, now))
    }

    fn output(&self, seq: u64, bytes: &[u8]) -> Result<(), Denial> {
        self.on_gate(|gate, now| gate.output(seq, bytes, now))
    }

    fn event(&self, event: &SessionEvent<'_>) -> Result<(), Denial> {
        self.on_gate(|gate, now| gate.event(event, now))
    }

    fn rejected(&self, denial: &Denial) {
        self.core.telemetry.refused(denial.code);
        let open = {
            let mut state = self.state.lock();
            if state.gate.is_none() {
                if state.identity.is_none() {
                    state.rejection.get_or_insert_with(|| denial.clone());
                } else if state.early.len() < EARLY_MAX {
                    state.early.push(denial.clone());
                }
            }
            state.gate.is_some()
        };
        if open {
            // Its failure is noted where it happens.
            let _ = self.event(&SessionEvent::Rejected(denial));
        }
    }

    fn is_watched(&self, by: &WatchSpec) -> bool {
        self.seat.watchers().satisfy(by)
    }

    fn watchers(&self) -> Vec<String> {
        self.seat.watchers().names()
    }

    fn watchers_changed(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.seat.watchers().changed())
    }

    fn called(&self) -> BoxFuture<'_, Call> {
        Box::pin(async move {
            loop {
                let next = self.state.lock().calls.pop_front();
                match next {
                    Some(call) => return call,
                    None => self.called.notified().await,
                }
            }
        })
    }
}
