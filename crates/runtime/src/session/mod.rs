//! One session: a single task that drives a machine, its client's socket and its target's. It must never send a client's bytes
//! itself: what goes to the target went through the gate.

mod ending;
mod hold;
mod login;
mod perform;
mod spans;
mod timer;
mod transfer;

use std::collections::VecDeque;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use countersign_enforce::{
    BoxFuture, CloseReason, Dialling, Gate, Holding, Machine, Outbound, Output, ProposalId, Protocol, SessionEvent,
    Upstream, Waiting,
};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Timestamp};

use crate::buffers::Input;
use crate::cancel::CancelKept;
use crate::inside::Visitor;
use crate::listener::{Shared, Stay};
use crate::registry::call;
use crate::route::Route;
use crate::socket::Socket;
use ending::Ending;
use login::{Login, Step};
pub(crate) use login::{no_such_target, unreachable_target, why_not_dialled};
pub(crate) use perform::defect;
use spans::Spans;
use timer::{Purpose, Timer};

/// Rounds of reading and writing in one turn; then other sessions get theirs.
const ROUNDS_MAX: usize = 32;

/// The wall clock, for the core, which has none.
pub(crate) fn wall_clock() -> Timestamp {
    let us = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |d| d.as_micros());
    Timestamp::from_unix_us(i64::try_from(us).unwrap_or(i64::MAX))
}

/// The connection to the target, as far as it is.
enum Link {
    None,
    Dialling(Socket, Dialling),
    Up(Socket, Upstream),
}

/// Which connection TLS is to be put on once what is queued for it has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Client,
    Target,
}

/// What moved since the counters were last brought up to date.
#[derive(Default)]
struct Moved {
    client_in: u64,
    client_out: u64,
    target_in: u64,
    target_out: u64,
}

/// A session's task.
pub(crate) struct Driver<P: Protocol> {
    shared: Arc<Shared<P>>,
    machine: P::Machine,
    client: Socket,
    client_in: Input,
    client_out: Outbound,
    link: Link,
    target_in: Input,
    /// The client sends no more.
    client_ended: bool,
    /// The target no longer takes bytes: what is meant for it is dropped until its end is read.
    target_deaf: bool,
    gate: Option<Box<Gate>>,
    route: Option<Arc<Route>>,
    /// An admitted action whose record is on its way to the disk.
    waiting: Option<Box<(ProposalId, Waiting)>>,
    /// An action that waits for people. The session goes on meanwhile.
    review: Option<Box<(ProposalId, Holding)>>,
    /// Outputs for the target behind `waiting`, in order. What is for the client goes on.
    held: VecDeque<Output>,
    /// TLS to be started; outputs wait.
    tls_due: Option<Side>,
    /// What the login waits for; outputs wait.
    step: Option<BoxFuture<'static, Step>>,
    /// A cancel order for this session under way.
    aside: Option<BoxFuture<'static, ()>>,
    /// The machine gave that order: nothing goes on until the target has it, because it would hit whatever runs by then.
    stopped: bool,
    login: Option<Box<Login>>,
    ending: Option<Box<Ending>>,
    cancel: Option<CancelKept>,
    timer: Timer,
    now: Option<Timestamp>,
    moved: Moved,
    /// Grows with every read and write; tells the tick whether the session rested.
    turns: u32,
    turns_at_tick: u32,
    /// Ticks in a row at which the client had left bytes untouched.
    stalled_ticks: u32,
    released: bool,
    listening: bool,
    source: SocketAddr,
    span: tracing::Span,
    spans: Spans,
    stay: Stay,
}

impl<P: Protocol> Unpin for Driver<P> {}

impl<P: Protocol> Driver<P> {
    pub(crate) fn new(
        machine: P::Machine,
        client: Socket,
        source: SocketAddr,
        shared: Arc<Shared<P>>,
        stay: Stay,
    ) -> Self {
        let timer = Timer::new(Purpose::Login, shared.config.login_timeout);
        Self {
            machine,
            client,
            client_in: Input::default(),
            client_out: Outbound::new(),
            link: Link::None,
            target_in: Input::default(),
            client_ended: false,
            target_deaf: false,
            gate: None,
            route: None,
            waiting: None,
            review: None,
            held: VecDeque::new(),
            tls_due: None,
            step: None,
            aside: None,
            stopped: false,
            login: Some(Box::new(Login::new(wall_clock()))),
            ending: None,
            cancel: None,
            timer,
            now: None,
            moved: Moved::default(),
            turns: 0,
            turns_at_tick: 0,
            stalled_ticks: 0,
            released: false,
            listening: false,
            source,
            span: tracing::Span::none(),
            spans: Spans::new(),
            shared,
            stay,
        }
    }

    /// The same for a client in this process, of whom it is known who they are.
    pub(crate) fn of(mut self, visitor: Visitor) -> Self {
        if let Some(login) = &mut self.login {
            login.encrypted = visitor.encrypted;
            login.visitor = Some(visitor);
        }
        self
    }

    /// The time of this turn. The clock is read once, and the machine is told.
    fn now(&mut self) -> Timestamp {
        if let Some(now) = self.now {
            return now;
        }
        let now = wall_clock();
        self.now = Some(now);
        self.machine.on_time(now);
        now
    }

    /// Heeds what came from outside the two sockets.
    fn heed(&mut self, calls: u8) {
        if calls & call::CANCELLED != 0 && self.ending.is_none() {
            let now = self.now();
            if let Some(Err(denial)) = self.gate.as_mut().map(|g| g.event(&SessionEvent::Cancelled, now)) {
                self.fail(denial);
            }
            self.review_cancelled();
        }
        if calls & call::ENDED != 0
            && let Some(denial) = self.stay.seated.seat.ended().cloned()
        {
            self.cut(denial);
        }
        if calls & call::DRAIN != 0 && self.ending.is_none() {
            self.machine.on_drain();
            self.review_drained();
        }
        if calls & call::END != 0 {
            self.fail_as(
                CloseReason::Drained,
                Denial::new(
                    Culprit::Us,
                    DenialCode::Draining,
                    ClientText::new("the gateway is shutting down and its patience is over"),
                ),
            );
        }
    }

    /// Moves what is waited for; true when something came of it.
    fn await_all(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        if let Some(aside) = &mut self.aside
            && aside.as_mut().poll(cx).is_ready()
        {
            self.aside = None;
            if std::mem::take(&mut self.stopped) {
                self.perform_held();
            }
            moved = true;
        }
        if !self.stopped
            && let Some(waiting) = &mut self.waiting
            && let Poll::Ready(result) = Pin::new(&mut waiting.1).poll(cx)
        {
            let (id, seq) = (waiting.0, waiting.1.seq());
            self.waiting = None;
            self.now();
            if result.as_ref().is_err_and(|d| d.culprit != Culprit::Us) {
                self.not_sent(seq);
            }
            if self.ending.is_none() {
                self.ruled(id, result);
                self.perform_held();
            }
            moved = true;
        }
        moved |= self.await_review(cx);
        if let Some(step) = &mut self.step
            && let Poll::Ready(done) = step.as_mut().poll(cx)
        {
            self.step = None;
            self.step_done(done);
            // It may have brought another socket.
            self.listen_again();
            moved = true;
        }
        moved
    }

    /// Both sides are to be asked whether something is there.
    fn listen_again(&mut self) {
        self.client_in.begin_turn();
        self.target_in.begin_turn();
    }

    /// Carries out what the machine wants, until it wants nothing or something must be waited for.
    fn carry_out(&mut self) {
        while self.step.is_none() && self.tls_due.is_none() && self.ending.is_none() && !self.stopped {
            let Some(output) = self.machine.poll_output() else { return };
            self.perform(output);
        }
    }

    /// One session's turn comes to its end with nothing left to do now.
    fn park(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.client_in.park();
        self.target_in.park();
        if self.login.is_none() && self.ending.is_none() && !self.timer.is_armed() && !self.released {
            self.turns_at_tick = self.turns;
            self.timer.arm(Purpose::Tick, timer::TICK);
        }
        self.timer.park(cx);
        Poll::Pending
    }
}

impl<P: Protocol> Future for Driver<P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        this.now = None;
        this.listen_again();
        let calls = if this.listening {
            this.stay.seated.seat.take_calls()
        } else {
            this.listening = true;
            this.stay.seated.seat.listen(cx)
        };
        if calls != 0 {
            this.heed(calls);
        }
        if let Some(purpose) = this.timer.fired() {
            this.on_timer(purpose);
        }
        for _ in 0..ROUNDS_MAX {
            let mut moved = this.await_all(cx);
            this.carry_out();
            if this.ending.is_some() {
                if this.finish(cx).is_ready() {
                    return Poll::Ready(());
                }
                if !moved {
                    return this.park(cx);
                }
                continue;
            }
            moved |= this.feed_client();
            moved |= this.read_client(cx);
            moved |= this.feed_target();
            moved |= this.read_target(cx);
            moved |= this.write(cx);
            moved |= this.begin_tls();
            if !moved && this.ending.is_none() {
                return this.park(cx);
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl<P: Protocol> Drop for Driver<P> {
    fn drop(&mut self) {
        self.count_bytes();
        self.shared.core.rested.note();
        self.shared.core.telemetry.connections_open.decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use countersign_enforce::{Arrival, Connected, Plan, TlsFacts};
    use countersign_model::Identity;

    use super::*;

    struct Null;

    impl Protocol for Null {
        type Machine = Null;
        fn name(&self) -> &'static str {
            "null"
        }
        fn alpn(&self) -> &'static [&'static [u8]] {
            &[]
        }
        fn accept(&self, _arrival: Arrival) -> Null {
            Null
        }
        fn canceller(&self, _order: bytes::Bytes, _tls_required: bool) -> Null {
            Null
        }
    }

    impl Machine for Null {
        fn on_client(&mut self, _b: &mut bytes::BytesMut) -> Result<(), Denial> {
            Ok(())
        }
        fn on_upstream(&mut self, _b: &mut bytes::BytesMut) -> Result<(), Denial> {
            Ok(())
        }
        fn on_client_tls(&mut self, _tls: TlsFacts) -> Result<(), Denial> {
            Ok(())
        }
        fn on_upstream_tls(&mut self, _tls: TlsFacts) -> Result<(), Denial> {
            Ok(())
        }
        fn on_identity(&mut self, _identity: &Arc<Identity>) {}
        fn on_connected(&mut self, _connected: Connected) {}
        fn on_ruling(&mut self, _id: ProposalId, _ruling: Result<Plan, Denial>) {}
        fn on_upstream_end(&mut self) {}
        fn on_fatal(&mut self, _denial: &Denial) {}
        fn on_drain(&mut self) {}
        fn poll_output(&mut self) -> Option<Output> {
            None
        }
        fn wants_client(&self) -> bool {
            true
        }
        fn is_busy(&self) -> bool {
            false
        }
    }

    /// Idle sessions are counted in thousands: what a session's task holds besides its machine is kept small.
    #[test]
    fn the_task_of_a_session_is_small() {
        let size = size_of::<Driver<Null>>();
        assert!(size <= 1024, "{size} bytes; box what only the login or the end needs");
    }
}
