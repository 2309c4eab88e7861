//! The client's messages: which are proposed, which follow a permit, which are ours to answer.

use bytes::{Buf, Bytes, BytesMut};
use countersign_enforce::{CloseReason, Output, Proposal, ProposalId};
use countersign_model::{Access, Action, Attribute, ClientText, Culprit, Denial, DenialCode, Fingerprint, Shape};
use countersign_sql::Analysis;

use super::expect::Expect;
use super::judge::Judged;
use super::ruling::Op;
use super::{Session, frames};
use crate::wire::{self, Fields, HEADER_BYTES, Head, Native, protocol_fault};

/// The longest statement that is judged; a longer one is refused, and its bytes are dropped.
const STATEMENT_BYTES_MAX: usize = 16 << 20;

/// The longest Bind: it is held whole, because its parameters are recorded before they are sent. A little below what the runtime
/// holds of a client's bytes, so that a longer one is refused and not the session ended.
const BIND_BYTES_MAX: usize = (64 << 20) - (64 << 10);

/// The longest of the other messages: names, and why a copy failed.
const SMALL_BYTES_MAX: usize = 64 << 10;

/// Replies that the target may owe before the client must wait.
const PIPELINE_MAX: usize = 4096;

impl Session {
    /// Takes the next message, or a part of one; false when more bytes or an answer of the target must come first.
    pub(super) fn client_step(&mut self, b: &mut BytesMut) -> Result<bool, Denial> {
        if self.client_drop > 0 {
            let n = self.client_drop.min(b.len());
            b.advance(n);
            self.client_drop -= n;
            return Ok(true);
        }
        if self.client_rest > 0 {
            let n = self.client_rest.min(b.len());
            self.client_rest -= n;
            self.copy_piece(b, n);
            return Ok(true);
        }
        let Some(head) = wire::head(b)? else { return Ok(false) };
        if head.tag == b'd' {
            return Ok(self.copy_rows(b, head));
        }
        if self.copy_in.is_some() && !matches!(head.tag, b'c' | b'f' | b'S' | b'H' | b'X') {
            return Err(protocol_fault("an unexpected message during a copy"));
        }
        if matches!(head.tag, b'S' | b'H' | b'X' | b'c') && head.frame_bytes != HEADER_BYTES {
            return Err(protocol_fault("a message that has no body came with one"));
        }
        let bytes_max = match head.tag {
            b'Q' | b'P' | b'F' => STATEMENT_BYTES_MAX,
            b'B' => BIND_BYTES_MAX,
            b'D' | b'E' | b'C' | b'H' | b'S' | b'X' | b'c' | b'f' => SMALL_BYTES_MAX,
            _ => return Err(protocol_fault("an unknown message type")),
        };
        if self.must_wait(head.tag) {
            return Ok(false);
        }
        if head.frame_bytes > bytes_max {
            return self.oversize(b, head, bytes_max);
        }
        if b.len() < head.frame_bytes {
            return Ok(false);
        }
        if self.skipping && !matches!(head.tag, b'S' | b'X') {
            b.advance(head.frame_bytes);
            return Ok(true);
        }
        let taken = if self.copy_in.is_some() { self.copy_message(b, head)? } else { self.message(b, head)? };
        if taken {
            self.facts.fresh = false;
        }
        Ok(taken)
    }

    /// True when the target must answer before a message of this kind is looked at.
    fn must_wait(&mut self, tag: u8) -> bool {
        if self.expects.is_empty() || self.copy_in.is_some() || matches!(tag, b'c' | b'f') {
            return false;
        }
        // A farewell waits for what was asked before it, as it does at the target itself.
        let passes = self.unsynced && matches!(tag, b'S' | b'H');
        if tag == b'X' || self.expects.len() >= PIPELINE_MAX || (self.hold_but_sync && !passes) {
            self.hold_until_answered();
        }
        self.hold
    }

    pub(super) fn message(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        match head.tag {
            b'Q' => return self.query(b, head),
            b'P' => return self.parse(b, head),
            b'B' => return self.bind(b, head),
            b'D' => return self.describe(b, head),
            b'E' => return self.execute(b, head),
            b'C' => return self.close_name(b, head),
            b'F' => return Ok(self.function_call(b, head)),
            b'S' => {
                b.advance(head.frame_bytes);
                self.control(frames::SYNC);
                self.expects.push_back(Expect::Sync { run: self.run });
                self.run += 1;
                self.unsynced = false;
                self.executed = false;
                self.flushed = false;
                self.skipping = false;
                // It ends what was begun without a block, and with it what was set for that alone.
                self.facts.dirty |= self.facts.touched && !self.transaction_is_open();
            }
            b'H' => {
                b.advance(head.frame_bytes);
                self.flushed = true;
                self.control(frames::FLUSH);
            }
            b'X' => {
                b.advance(head.frame_bytes);
                self.close(CloseReason::Client, None);
            }
            // Left over from a copy that failed: the target would drop it, too.
            _ => b.advance(head.frame_bytes),
        }
        Ok(true)
    }

    fn query(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        if !self.expects.is_empty() {
            self.hold_until_answered();
            return Ok(false);
        }
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let whole = f.0;
        let text = f.cstr().filter(|_| f.0.is_empty());
        let (text_bytes, judged) = match text {
            Some(text) => (text.len(), self.judge(text)),
            None => (whole.len(), unreadable("the statement holds a zero byte or has no end")),
        };
        let Judged::Ready { shape, analysis } = judged else { return Ok(false) };
        let frame = b.split_to(head.frame_bytes).freeze();
        let (access, tagged) = (shape.access(), !shape.disclosure().is_empty());
        let action = Action { shape, text: text_of(&frame, HEADER_BYTES, text_bytes), parameters: Bytes::new() };
        let is_empty = |a: &Analysis| a.syntax_error().is_none() && a.statements().is_empty();
        self.names.drop_unnamed(!analysis.as_deref().is_some_and(is_empty));
        let proposal = Proposal::new(frame, action)?;
        let proposal = self.says_maskable(proposal, analysis.as_deref());
        let proposal = match analysis.as_ref().and_then(|a| super::after::why_limits_cannot_hold(a)) {
            Some(why) => proposal.cannot_limit(why),
            None => proposal,
        };
        self.ask_gate(proposal, Op::Query { analysis, access, tagged });
        Ok(true)
    }

    fn function_call(&mut self, b: &mut BytesMut, head: Head) -> bool {
        if !self.expects.is_empty() {
            self.hold_until_answered();
            return false;
        }
        let frame = b.split_to(head.frame_bytes).freeze();
        let shape = Shape::unreadable(
            "a function call by the fast path (FunctionCall message) is not let through",
            Fingerprint(0),
        );
        let action = Action { shape, text: frame.slice(HEADER_BYTES.min(frame.len())..), parameters: Bytes::new() };
        match Proposal::new(frame, action) {
            Ok(proposal) => {
                self.ask_gate(proposal, Op::Query { analysis: None, access: Access::Opaque, tagged: false })
            }
            Err(denial) => self.on_fatal(&denial),
        }
        true
    }

    fn oversize(&mut self, b: &mut BytesMut, head: Head, bytes_max: usize) -> Result<bool, Denial> {
        let denial = Denial::new(
            Culprit::Client,
            DenialCode::Oversize,
            ClientText::new("the message is too long: at most ").number(bytes_max as u64).and(" bytes are judged"),
        );
        match head.tag {
            b'Q' | b'F' | b'P' | b'B' => {}
            _ => return Err(denial),
        }
        if matches!(head.tag, b'Q' | b'F') && !self.expects.is_empty() {
            self.hold_until_answered();
            return Ok(false);
        }
        let n = head.frame_bytes.min(b.len());
        b.advance(n);
        self.client_drop = head.frame_bytes - n;
        if self.skipping {
            return Ok(true);
        }
        self.out.push_back(Output::Rejected(denial.clone()));
        if matches!(head.tag, b'Q' | b'F') {
            self.refuse_query(&denial, Native::default());
        } else {
            self.refuse_extended(&denial, Native::default());
        }
        Ok(true)
    }

    pub(super) fn ask_gate(&mut self, proposal: Proposal, op: Op) {
        let proposal = match proposal.action().shape.attribute("uncounted") {
            Some(Attribute::Bool(true)) => proposal.cannot_count(
                "changed rows are limited, and the target does not count what this statement changes: write it as plain \
                 INSERT, UPDATE or DELETE statements",
            ),
            _ => proposal,
        };
        let id = ProposalId(self.next_proposal);
        self.next_proposal += 1;
        self.asked = Some((id, op));
        self.out.push_back(Output::Propose(id, proposal));
    }
}

/// What could not be looked at.
pub(super) fn unreadable(why: &str) -> Judged {
    Judged::Ready { shape: Shape::unreadable(why, Fingerprint(0)), analysis: None }
}

/// A text within its frame.
pub(super) fn text_of(frame: &Bytes, at: usize, len: usize) -> Bytes {
    frame.slice(at.min(frame.len())..(at + len).min(frame.len()))
}
