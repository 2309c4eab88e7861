//! The end of a session, and its rests: records are closed first, then what is queued is written, then both sides are closed. Nothing
//! here may take longer than its limit.

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::time::Duration;

use countersign_enforce::{Alert, CloseReason, Leaving, Machine, Protocol, Refused};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, SessionId, Timestamp};

use super::timer::{Purpose, TICK};
use super::{Driver, Link};
use crate::buffers::poll_discard;
use crate::socket::{Queue, Socket};

/// The longest that writing the last words may take.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// The same for a session that a lock cut off: a client that does not read is not waited for.
const CUT_FLUSH_TIMEOUT: Duration = Duration::from_millis(100);
/// The longest that is waited for the client to close after it was told why: closing with bytes unread would reset the connection,
/// and the client might never read what it was told.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);
/// The most that is read and dropped meanwhile.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How far the end has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Last words are being written.
    Flush,
    /// The client is being told that nothing more comes.
    Shutdown,
    /// The client is to close.
    Linger,
    /// The client's side is over.
    Over,
}

pub(super) struct Ending {
    stage: Stage,
    linger: bool,
    lingered_bytes: usize,
}

impl<P: Protocol> Driver<P> {
    /// Begins the end: closes the record and the ways in.
    pub(super) fn end(&mut self, reason: CloseReason, denial: Option<Denial>) {
        if self.ending.is_some() {
            return;
        }
        let now = self.now();
        let denial_code = denial.as_ref().map(|d| d.code);
        self.cancel = None;
        self.leave_review(Leaving::Withdrawn("the session ended"));
        self.waiting = None;
        self.held = VecDeque::new();
        self.step = None;
        self.tls_due = None;
        match &mut self.gate {
            Some(gate) => {
                if let Err(e) = gate.close(reason, denial.as_ref(), now) {
                    self.log_unrecorded(&e);
                }
                if self.login.is_some()
                    && let Some(denial) = &denial
                {
                    self.shared.core.telemetry.refused(denial.code);
                }
                let seconds = now.since_us(self.gate.as_ref().map_or(now, |g| g.context().started_at)) / 1_000_000;
                tracing::info!(
                    parent: &self.span, reason = reason.as_str(), denial = denial.as_ref().map(tracing::field::display),
                    detail = denial.as_ref().and_then(|d| d.detail.as_deref()), seconds, "closed"
                );
                self.shared.core.telemetry.closed(reason);
                if let (Some(gate), Some(denial)) = (&self.gate, &denial) {
                    let (identity, target) = (&gate.identity().name, gate.target().name.as_str());
                    self.alarm(denial, gate.context().id, identity, target, now);
                }
            }
            None => self.refuse(denial),
        }
        let cut = denial_code == Some(DenialCode::Locked);
        let linger = !matches!(reason, CloseReason::Client | CloseReason::ClientLost);
        self.ending = Some(Box::new(Ending { stage: Stage::Flush, linger, lingered_bytes: 0 }));
        self.timer.arm(Purpose::End, if cut { CUT_FLUSH_TIMEOUT } else { FLUSH_TIMEOUT });
    }

    /// Records the refusal of a connection that never became a session.
    fn refuse(&mut self, denial: Option<Denial>) {
        let now = self.now();
        let rejection = self.login.as_mut().and_then(|login| login.rejection.take());
        let Some(login) = &self.login else { return };
        let Some(denial) = denial.or(rejection) else { return };
        self.shared.core.telemetry.refused(denial.code);
        let refused = Refused {
            id: login.id.unwrap_or_else(|| SessionId::new(now, rand::random())),
            at: now,
            source: self.source,
            protocol: self.shared.protocol.name(),
            user: &login.user,
            target: &login.target,
            denial: &denial,
        };
        tracing::info!(
            id = %refused.id, source = %self.source, user = login.user, target = login.target,
            code = denial.code.as_str(), denial = %denial, detail = denial.detail, "refused"
        );
        let unrecorded =
            if login.refusal_recorded { None } else { self.shared.core.services.recorder.refused(&refused).err() };
        self.alarm(&denial, refused.id, refused.user, refused.target, now);
        if let Some(e) = unrecorded {
            self.log_unrecorded(&e);
        }
    }

    /// Tells people of a refusal or an end that they should see.
    fn alarm(&self, denial: &Denial, session: SessionId, identity: &str, target: &str, now: Timestamp) {
        let Some(severity) = denial.alarm else { return };
        self.shared.core.services.alerts.raise(Alert {
            at: now,
            severity,
            session: Some(session),
            identity: identity.to_owned(),
            target: target.to_owned(),
            rules: denial.rules.clone(),
            what: denial.detail.clone().unwrap_or_else(|| denial.to_string()),
        });
    }

    /// Works on the end; ready when both sides may be closed.
    pub(super) fn finish(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.write_client(cx);
        if self.aside.is_none() || self.stay.seated.seat.ended().is_none() {
            self.write_target(cx);
        }
        let Some(ending) = &mut self.ending else { return Poll::Ready(()) };
        loop {
            if self.client.is_gone() {
                ending.stage = Stage::Over;
            }
            ending.stage = match ending.stage {
                Stage::Flush if self.client_out.is_empty() && !self.client.unflushed() => Stage::Shutdown,
                Stage::Shutdown => match self.client.poll_end(cx) {
                    Poll::Ready(Ok(())) if ending.linger => {
                        self.timer.arm(Purpose::End, LINGER_TIMEOUT);
                        Stage::Linger
                    }
                    Poll::Ready(_) => Stage::Over,
                    Poll::Pending => break,
                },
                Stage::Linger => match poll_discard(&mut self.client, cx) {
                    Poll::Ready(Ok(n)) if n > 0 && ending.lingered_bytes < LINGER_BYTES_MAX => {
                        ending.lingered_bytes += n;
                        Stage::Linger
                    }
                    Poll::Ready(_) => Stage::Over,
                    Poll::Pending => break,
                },
                Stage::Over | Stage::Flush => break,
            };
        }
        let over = ending.stage == Stage::Over;
        if over || ending.stage == Stage::Linger {
            self.stay.seated.seat.told();
        }
        if over && !self.client.is_gone() {
            // A cancel order may still be on its way to the target; the client need not wait for that.
            self.client = Socket::gone();
        }
        if over && self.aside.is_none() && self.target_is_told() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// True when nothing is queued for the target any more, or it is gone.
    fn target_is_told(&mut self) -> bool {
        let deaf = self.target_deaf;
        match &mut self.link {
            Link::None => true,
            Link::Dialling(socket, dialling) => deaf || socket.is_gone() || dialling.outbound().is_empty(),
            Link::Up(socket, upstream) => deaf || socket.is_gone() || upstream.outbound().is_empty(),
        }
    }

    pub(super) fn on_timer(&mut self, purpose: Purpose) {
        match purpose {
            Purpose::Login => {
                let seconds = self.shared.config.login_timeout.as_secs();
                let text = ClientText::new("the login took longer than ").number(seconds).and(" seconds");
                self.fail(Denial::new(Culprit::Client, DenialCode::Timeout, text));
            }
            Purpose::Tick => self.tick(),
            Purpose::Left => {
                let seconds = self.shared.config.idle_write_timeout.as_secs();
                let text = ClientText::new("the client left, and what it had asked for took longer than ")
                    .number(seconds)
                    .and(" seconds");
                self.fail_as(CloseReason::ClientLost, Denial::new(Culprit::Client, DenialCode::Timeout, text));
            }
            // A cancel order has a limit of its own and may still run.
            Purpose::End => {
                self.client = Socket::gone();
                self.client_out = Default::default();
                self.link = Link::None;
            }
        }
    }

    fn tick(&mut self) {
        self.count_bytes();
        if self.ending.is_some() {
            return;
        }
        let rested = self.turns == self.turns_at_tick;
        if !rested {
            self.stalled_ticks = 0;
            return;
        }
        self.machine.release();
        self.client_out.release();
        match &mut self.link {
            Link::None => {}
            Link::Dialling(_, dialling) => dialling.outbound().release(),
            Link::Up(_, upstream) => upstream.outbound().release(),
        }
        if Queue::is_empty(&self.client_out) && !self.client.unflushed() {
            self.stalled_ticks = 0;
            self.released = true;
            self.shared.core.rested.note();
            return;
        }
        self.stalled_ticks = self.stalled_ticks.saturating_add(1);
        if TICK * self.stalled_ticks >= self.shared.config.idle_write_timeout {
            let seconds = self.shared.config.idle_write_timeout.as_secs();
            let text = ClientText::new("the client did not read for ").number(seconds).and(" seconds");
            self.fail_as(CloseReason::ClientLost, Denial::new(Culprit::Client, DenialCode::Timeout, text));
            // It will not read the last words either.
            self.client = Socket::gone();
        }
    }
}
