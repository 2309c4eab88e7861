//! Moving bytes between the sockets and the machine. A side is read only while the other keeps up, so that a peer that stops reading
//! stalls nobody but itself.

use std::task::{Context, Poll};

use countersign_enforce::{CloseReason, Machine, Protocol};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use super::timer::Purpose;
use super::{Driver, Link, Moved};
use crate::buffers::Filled;
use crate::socket::{Queue, Socket};

/// Bytes waiting for one side at which the other is not read any more.
pub(super) const QUEUE_BYTES_MAX: usize = 256 * 1024;
/// How often in a row a machine is shown what is left of a client's bytes. It takes them up to the next ruling each time, and what
/// comes of all goes out in one write; more than this and other sessions would wait.
const FEEDS_MAX: usize = 64;
/// Bytes that are read from a client ahead of what the machine wants.
const AHEAD_BYTES_MAX: usize = 8 * 1024;
/// The same while people decide, which takes longer than anything else: what comes behind must not hide that the client has gone.
const HELD_AHEAD_BYTES_MAX: usize = 256 * 1024;
/// Bytes that a machine may leave waiting for more, while it logs in and later. Machines have smaller limits of their own.
const LOGIN_INPUT_BYTES_MAX: usize = 128 * 1024;
const INPUT_BYTES_MAX: usize = 64 * 1024 * 1024;

impl<P: Protocol> Driver<P> {
    fn target_queue_len(&mut self) -> usize {
        match &mut self.link {
            Link::None => 0,
            Link::Dialling(_, dialling) => dialling.outbound().len(),
            Link::Up(_, upstream) => upstream.outbound().len(),
        }
    }

    fn takes_client(&mut self) -> bool {
        self.ending.is_none()
            && self.waiting.is_none()
            && self.step.is_none()
            && self.tls_due.is_none()
            && !self.stopped
            && !self.client.is_gone()
            && self.target_queue_len() < QUEUE_BYTES_MAX
            && self.machine.wants_client()
    }

    fn takes_target(&self) -> bool {
        self.ending.is_none()
            && self.step.is_none()
            && self.tls_due.is_none()
            && !self.stopped
            && self.client_out.len() < QUEUE_BYTES_MAX
    }

    /// Shows the machine what came from the client and is not taken yet, until it takes no more; true when it took something.
    pub(super) fn feed_client(&mut self) -> bool {
        let mut took = false;
        for _ in 0..FEEDS_MAX {
            if !self.feed_client_once() {
                break;
            }
            took = true;
        }
        took
    }

    fn feed_client_once(&mut self) -> bool {
        if self.client_in.settled || self.client_in.buf.is_empty() || !self.takes_client() {
            return false;
        }
        self.now();
        let before = self.client_in.buf.len();
        let result = self.machine.on_client(&mut self.client_in.buf);
        let took = self.client_in.buf.len() < before;
        self.client_in.settled = !took && self.machine.wants_client();
        match result {
            Ok(()) => self.carry_out(),
            Err(denial) => self.fail(denial),
        }
        took
    }

    /// As [`Driver::feed_client`], for what came from the target.
    pub(super) fn feed_target(&mut self) -> bool {
        if self.target_in.settled || self.target_in.buf.is_empty() || !self.takes_target() {
            return false;
        }
        self.now();
        let before = self.target_in.buf.len();
        let result = self.machine.on_upstream(&mut self.target_in.buf);
        let took = self.target_in.buf.len() < before;
        self.target_in.settled = !took;
        match result {
            Ok(()) => self.carry_out(),
            Err(denial) => self.fail(denial),
        }
        took
    }

    pub(super) fn read_client(&mut self, cx: &mut Context<'_>) -> bool {
        let seen = self.client_in.settled || self.client_in.buf.is_empty();
        if self.client_ended {
            // What it said before it went is still worth an answer at the target, and then it is lost.
            let cut_off = !seen && !self.machine.is_whole(&self.client_in.buf);
            // Nobody is left to whom the answer of a review would be told.
            let cut_off = cut_off || self.review.is_some();
            if (seen || cut_off) && self.ending.is_none() {
                self.client_lost();
            }
            return seen || cut_off;
        }
        if !(self.reads_ahead() || seen && self.takes_client()) {
            return false;
        }
        if self.client_in.buf.len() >= self.input_max() {
            self.fail(oversize(Culprit::Client));
            return true;
        }
        match self.client_in.poll_turn(&mut self.client, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(Filled::Some(n))) => {
                self.moved.client_in += n as u64;
                self.wake_up();
                self.feed_client();
                true
            }
            Poll::Ready(Ok(Filled::End)) => {
                self.client_ended = true;
                if self.login.is_none() {
                    self.timer.arm(Purpose::Left, self.shared.config.idle_write_timeout);
                }
                true
            }
            Poll::Ready(Err(_)) => {
                self.client_lost();
                true
            }
        }
    }

    /// True when a little is read although the machine does not want it now, because else a client that vanishes would not be
    /// noticed while its work runs.
    fn reads_ahead(&self) -> bool {
        self.ending.is_none()
            && self.login.is_none()
            && self.step.is_none()
            && self.tls_due.is_none()
            && !self.client.is_gone()
            && self.client_in.buf.len() < if self.review.is_some() { HELD_AHEAD_BYTES_MAX } else { AHEAD_BYTES_MAX }
    }

    pub(super) fn read_target(&mut self, cx: &mut Context<'_>) -> bool {
        if !(self.target_in.settled || self.target_in.buf.is_empty()) || !self.takes_target() {
            return false;
        }
        if self.target_in.buf.len() >= self.input_max() {
            self.fail(oversize(Culprit::Target));
            return true;
        }
        let (Link::Dialling(socket, _) | Link::Up(socket, _)) = &mut self.link else { return false };
        if socket.is_gone() {
            if self.waiting.is_some() {
                return false;
            }
            // The machine was told, and stays: without a target it could only wait for ever.
            self.fail(Denial::new(
                Culprit::Target,
                DenialCode::TargetUnavailable,
                ClientText::new("the target closed the connection"),
            ));
            return true;
        }
        match self.target_in.poll_turn(socket, cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(Filled::Some(n))) => {
                self.moved.target_in += n as u64;
                self.wake_up();
                self.feed_target();
                true
            }
            Poll::Ready(Ok(Filled::End) | Err(_)) => {
                self.target_lost();
                true
            }
        }
    }

    fn input_max(&self) -> usize {
        if self.login.is_some() { LOGIN_INPUT_BYTES_MAX } else { INPUT_BYTES_MAX }
    }

    fn wake_up(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        self.released = false;
    }

    /// Writes what is queued, both ways; true when bytes went out.
    pub(super) fn write(&mut self, cx: &mut Context<'_>) -> bool {
        let to_target = self.write_target(cx);
        self.write_client(cx) || to_target
    }

    pub(super) fn write_client(&mut self, cx: &mut Context<'_>) -> bool {
        if self.client.is_gone() {
            return false;
        }
        match drain(&mut self.client, &mut self.client_out, cx) {
            Ok(0) => false,
            Ok(n) => {
                self.moved.client_out += n;
                self.turns = self.turns.wrapping_add(1);
                true
            }
            Err(_) => {
                let waiting = self.client_out.len();
                self.client_out.advance(waiting);
                self.client = Socket::gone();
                self.client_lost();
                true
            }
        }
    }

    pub(super) fn write_target(&mut self, cx: &mut Context<'_>) -> bool {
        let result = match &mut self.link {
            Link::None => return false,
            Link::Dialling(socket, _) | Link::Up(socket, _) if socket.is_gone() => return false,
            Link::Dialling(_, dialling) if self.target_deaf => return discard(&mut dialling.outbound()),
            Link::Up(_, upstream) if self.target_deaf => return discard(&mut upstream.outbound()),
            Link::Dialling(socket, dialling) => drain(socket, &mut dialling.outbound(), cx),
            Link::Up(socket, upstream) => drain(socket, &mut upstream.outbound(), cx),
        };
        match result {
            Ok(0) => false,
            Ok(n) => {
                self.moved.target_out += n;
                self.turns = self.turns.wrapping_add(1);
                true
            }
            // It may have said why before it went: its end is met when it is read.
            Err(_) => {
                self.target_deaf = true;
                true
            }
        }
    }

    /// Work that nobody waits for any more is cancelled at the target.
    fn client_lost(&mut self) {
        if self.ending.is_none() {
            self.last_words(&Denial::new(
                Culprit::Client,
                DenialCode::Protocol,
                ClientText::new("the client's connection ended"),
            ));
            self.end(CloseReason::ClientLost, None);
        }
    }

    fn target_lost(&mut self) {
        if let Link::Dialling(socket, _) | Link::Up(socket, _) = &mut self.link {
            *socket = Socket::gone();
        }
        self.machine.on_upstream_end();
        self.carry_out();
    }

    /// Brings the counters up to date.
    pub(super) fn count_bytes(&mut self) {
        let Moved { client_in, client_out, target_in, target_out } = std::mem::take(&mut self.moved);
        let t = &self.shared.core.telemetry;
        t.client_in.increment(client_in);
        t.client_out.increment(client_out);
        t.target_in.increment(target_in);
        t.target_out.increment(target_out);
    }
}

fn oversize(culprit: Culprit) -> Denial {
    Denial::new(culprit, DenialCode::Oversize, ClientText::new("a message is larger than the gateway holds"))
}

fn discard(queue: &mut impl Queue) -> bool {
    let n = queue.len();
    queue.advance(n);
    n > 0
}

/// Writes until the queue is empty or the socket takes no more; says how many bytes it took.
fn drain(socket: &mut Socket, queue: &mut impl Queue, cx: &mut Context<'_>) -> std::io::Result<u64> {
    let mut sent = 0;
    while !queue.is_empty() || socket.unflushed() {
        match socket.poll_send(queue, cx) {
            Poll::Ready(Ok(n)) => sent += n as u64,
            Poll::Ready(Err(e)) => return Err(e),
            Poll::Pending => break,
        }
    }
    Ok(sent)
}
