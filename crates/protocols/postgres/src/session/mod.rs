//! A session after login: the client's messages on one side, the target's on the other, and the queue of replies between them.
//!
//! | file | what it does |
//! |---|---|
//! | `client` | splits the client's messages, decides what is proposed and what follows |
//! | `extended` | those of the extended protocol: named statements and portals |
//! | `copying` | rows that the client sends in |
//! | `judge` | from text to shape, with facts that are fresh enough |
//! | `holding` | statements that wait for people |
//! | `ruling` | carries out the gate's answer, or refuses in the protocol's words |
//! | `server` | passes the target's messages, counts, swallows and replaces |
//! | `replies` | what the target says to a statement, up to its end |
//! | `after` | what a statement's success changes: names, settings, the catalog |
//! | `masked` | rows rewritten on their way, words that quote nothing |
//! | `expect`, `names` | the queue of replies, the named statements and portals |
//!
//! It must never forward bytes of the client but through a proposal or under a permit.

mod after;
mod client;
mod copying;
mod expect;
mod extended;
mod holding;
mod judge;
mod masked;
mod names;
mod replies;
mod ruling;
mod server;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_enforce::{CloseReason, Output, Permit, ProposalId};
use countersign_model::{Culprit, Denial, DenialCode, Timestamp};

use crate::knowledge::Database;
use crate::masking::{Guard, Tools};
use crate::wire::{self, Gravity, Native};
use expect::Expect;
use holding::Reported;
use judge::Facts;
pub(crate) use masked::Columns;
use masked::Rewritten;
use names::Names;
use ruling::Op;

/// Frames that carry no client's command.
pub(crate) mod frames {
    /// `Sync`.
    pub(crate) const SYNC: &[u8] = b"S\0\0\0\x04";
    /// `Flush`.
    pub(crate) const FLUSH: &[u8] = b"H\0\0\0\x04";
    /// `Terminate`.
    pub(crate) const TERMINATE: &[u8] = b"X\0\0\0\x04";
    /// A query that no grammar accepts: it fails an open transaction as any other error would.
    pub(crate) const FAIL_QUERY: &[u8] = b"Q\0\0\0\x38refused by Countersign: this transaction has failed\0";
    /// A Parse that no grammar accepts: it fails the run of messages up to Sync.
    pub(crate) const FAIL_PARSE: &[u8] =
        b"P\0\0\0\x48_countersign_fail\0refused by Countersign: this transaction failed\0\0\0";
    /// Opens our own transaction around a limited write.
    pub(crate) const BEGIN: &[u8] = b"Q\0\0\0\x0aBEGIN\0";
    /// Ends it.
    pub(crate) const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";
    /// Undoes it.
    pub(crate) const ROLLBACK: &[u8] = b"Q\0\0\0\x0dROLLBACK\0";
    /// `CloseComplete`.
    pub(crate) const CLOSE_COMPLETE: &[u8] = b"3\0\0\0\x04";
}

/// A logged-in session.
pub(crate) struct Session {
    out: VecDeque<Output>,
    database: Arc<Database>,
    facts: Facts,
    names: Names,
    expects: VecDeque<Expect>,
    /// Transaction status as the target last said: `I`, `T` or `E`.
    status: u8,
    /// The run of extended messages that the next Sync ends.
    run: u64,
    /// Extended messages went out since the last Sync.
    unsynced: bool,
    /// One of them was an Execute.
    executed: bool,
    /// A Flush went out since the last extended message.
    flushed: bool,
    /// A refused extended message: everything up to Sync is dropped.
    skipping: bool,
    /// No client message is taken until the target owes nothing.
    hold: bool,
    /// As `hold`, but a Sync may pass.
    hold_but_sync: bool,
    /// A limit was passed by a statement whose Sync is out already: the transaction must be failed after it.
    over_at_sync: bool,
    /// The gate is asked and has not answered.
    asked: Option<(ProposalId, Op)>,
    /// What the target reports of how it reads texts.
    reported: Reported,
    /// To be told as soon as no row is half told.
    notice: Option<Bytes>,
    next_proposal: u64,
    next_portal: u64,
    /// Closes that the target has not answered.
    closes_pending: usize,
    /// The client may send rows for this statement.
    copy_in: Option<Permit>,
    /// Bytes of a row that the client is still sending, in pieces that are whole messages to the target.
    client_rest: usize,
    /// Bytes of an oversize message that are still to be dropped.
    client_drop: usize,
    /// Bytes of a row that the target is still sending, and whether they pass.
    server_rest: usize,
    server_rest_passes: bool,
    /// How masks are put on.
    tools: Tools,
    /// Rewritten rows that are not told yet.
    rewritten: Rewritten,
    /// What is masked may be at hand, and in the target's words, until the transaction ends.
    guard: Option<Guard>,
    /// The client is in this process, and is told aside what others are not.
    is_inside: bool,
    draining: bool,
    closed: bool,
    /// The target said its last word, and the client has it.
    fatal_told: bool,
    now: Timestamp,
}

impl Session {
    /// A session whose login is done; its first probe is on the way.
    pub(crate) fn start(database: Arc<Database>, tools: Tools, now: Timestamp) -> Self {
        let mut session = Self {
            out: VecDeque::new(),
            facts: Facts::unknown(),
            database,
            names: Names::default(),
            expects: VecDeque::new(),
            status: b'I',
            run: 1,
            unsynced: false,
            executed: false,
            reported: Reported::default(),
            notice: None,
            flushed: false,
            skipping: false,
            hold: false,
            hold_but_sync: false,
            over_at_sync: false,
            asked: None,
            next_proposal: 0,
            next_portal: 0,
            closes_pending: 0,
            copy_in: None,
            client_rest: 0,
            client_drop: 0,
            server_rest: 0,
            server_rest_passes: false,
            tools,
            rewritten: Rewritten::default(),
            guard: None,
            is_inside: false,
            draining: false,
            closed: false,
            fatal_told: false,
            now,
        };
        session.catch_up(false);
        session
    }

    /// The same for a client in this process.
    pub(crate) fn inside(mut self, is_inside: bool) -> Self {
        self.is_inside = is_inside;
        self
    }

    /// True once the target told what names mean, so that the client may begin.
    pub(crate) fn is_prepared(&self) -> bool {
        !self.facts.dirty && self.expects.is_empty()
    }

    /// Why the target could not tell what names mean, when it could not.
    pub(crate) fn take_failure(&mut self) -> Option<Denial> {
        self.facts.failed.take()
    }

    /// What time it is.
    pub(crate) fn on_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// The next thing to do.
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// Puts outputs back that were looked at and not carried out.
    pub(crate) fn put_back(&mut self, outputs: Vec<Output>) {
        for output in outputs.into_iter().rev() {
            self.out.push_front(output);
        }
    }

    /// False while every client byte would be left untouched.
    pub(crate) fn wants_client(&self) -> bool {
        if self.closed || self.asked.is_some() {
            return false;
        }
        self.copy_in.is_some() || !self.hold || self.expects.is_empty()
    }

    /// True while the target works for the client.
    pub(crate) fn is_busy(&self) -> bool {
        self.expects.iter().any(|e| matches!(e, Expect::Query(_) | Expect::Execute(_) | Expect::End(_)))
    }

    /// Gives back what an idle session does not need.
    pub(crate) fn release(&mut self) {
        if self.out.is_empty() && self.out.capacity() > 8 {
            self.out = VecDeque::new();
        }
        if self.expects.is_empty() && self.expects.capacity() > 8 {
            self.expects = VecDeque::new();
        }
    }

    /// The gateway stops: leave when nothing is under way.
    pub(crate) fn on_drain(&mut self) {
        self.draining = true;
        self.leave_if_drained();
    }

    fn leave_if_drained(&mut self) {
        if self.draining
            && !self.closed
            && self.expects.is_empty()
            && self.asked.is_none()
            && self.status == b'I'
            && !self.unsynced
        {
            let denial = crate::draining();
            self.client(wire::error_response(&denial, Gravity::Fatal));
            self.close(CloseReason::Drained, None);
        }
    }

    /// The session must end: say why, and leave.
    pub(crate) fn on_fatal(&mut self, denial: &Denial) {
        if self.closed {
            return;
        }
        // In the middle of a row no error can be told: the client sees the connection break.
        if !self.fatal_told && (self.server_rest == 0 || !self.server_rest_passes) {
            // Within a session nobody logs in: a login that has ended is told as an administrator's order, so that pools connect anew.
            let native = match denial.code {
                DenialCode::Unauthenticated => Native::state("57P01"),
                _ => Native::default(),
            };
            self.client(wire::error_response_with(denial, Gravity::Fatal, &native));
        }
        self.close(reason_of(denial), Some(denial.clone()));
    }

    fn close(&mut self, reason: CloseReason, denial: Option<Denial>) {
        if !self.closed {
            self.closed = true;
            self.out.push_back(Output::Control(frames::TERMINATE));
            self.out.push_back(Output::Close(reason, denial));
        }
    }

    fn client(&mut self, b: Bytes) {
        if !b.is_empty() {
            self.out.push_back(Output::Client(b));
        }
    }

    fn control(&mut self, frame: &'static [u8]) {
        self.out.push_back(Output::Control(frame));
    }

    /// Waits until the target owes nothing before the next client message is taken.
    fn hold_until_answered(&mut self) {
        self.hold = true;
        if self.unsynced && !self.flushed {
            self.flushed = true;
            self.control(frames::FLUSH);
        }
    }

    /// Something was answered: perhaps the client may go on.
    fn settle(&mut self) {
        if self.expects.is_empty() {
            self.hold = false;
            self.hold_but_sync = false;
            self.leave_if_drained();
        }
    }

    fn transaction_is_open(&self) -> bool {
        self.status == b'T'
    }

    /// Bytes from the client.
    pub(crate) fn on_client(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        while !b.is_empty() && self.wants_client() {
            if !self.client_step(b)? {
                break;
            }
        }
        Ok(())
    }
}

/// Why a session ends by this refusal.
pub(crate) fn reason_of(denial: &Denial) -> CloseReason {
    match (denial.culprit, denial.code) {
        (_, DenialCode::Draining) => CloseReason::Drained,
        (Culprit::Us, _) => CloseReason::Failed,
        (Culprit::Target, _) => CloseReason::Target,
        (Culprit::Client | Culprit::Policy, _) => CloseReason::Denied,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::frames;
    use crate::wire;

    #[test]
    fn literal_frames_are_whole() {
        for frame in [
            frames::SYNC,
            frames::FLUSH,
            frames::TERMINATE,
            frames::FAIL_QUERY,
            frames::FAIL_PARSE,
            frames::BEGIN,
            frames::COMMIT,
            frames::ROLLBACK,
            frames::CLOSE_COMPLETE,
        ] {
            let head = wire::head(frame).unwrap().unwrap();
            assert_eq!(head.frame_bytes, frame.len(), "{frame:?}");
        }
    }
}
