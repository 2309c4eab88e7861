//! The client's messages: which are proposed, which follow a permit, which are ours to answer.

use bytes::{Buf, Bytes, BytesMut};
use std::sync::Arc;

use countersign_enforce::{CloseReason, Output, Permit, Proposal, ProposalId};
use countersign_model::{Access, Action, Attribute, ClientText, Culprit, Denial, DenialCode, Fingerprint, Shape};
use countersign_sql::{Analysis, join};

use super::expect::Expect;
use super::judge::Judged;
use super::names::{Closing, PARAMETERS_BYTES_MAX, Portal, Prepared};
use super::ruling::Op;
use super::{Session, frames};
use crate::probe::RESERVED_PREFIX;
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
        let access = shape.access();
        let action = Action { shape, text: text_of(&frame, HEADER_BYTES, text_bytes), parameters: Bytes::new() };
        let is_empty = |a: &Analysis| a.syntax_error().is_none() && a.statements().is_empty();
        self.names.drop_unnamed(!analysis.as_deref().is_some_and(is_empty));
        let proposal = Proposal::new(frame, action)?;
        let proposal = match analysis.as_ref().and_then(|a| super::after::why_limits_cannot_hold(a)) {
            Some(why) => proposal.cannot_limit(why),
            None => proposal,
        };
        self.ask_gate(proposal, Op::Query { analysis, access });
        Ok(true)
    }

    fn parse(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let (Some(name), Some(text)) = (f.cstr(), f.cstr()) else {
            return Err(protocol_fault("a Parse message is malformed"));
        };
        let count = f.i16().and_then(|n| usize::try_from(n).ok());
        if count.is_none_or(|n| f.0.len() != n * 4) {
            return Err(protocol_fault("a Parse message is malformed"));
        }
        let name_bytes = name.len();
        let known = !name.is_empty() && self.names.statements.contains_key(name);
        if self.closed_before(b'S', name) {
            return Ok(false);
        }
        // Whether the target still has this name decides what the name will mean: its answer must be seen first.
        if known && !self.expects.is_empty() {
            self.hold_until_answered();
            return Ok(false);
        }
        let text_bytes = text.len();
        let judged = if name.starts_with(RESERVED_PREFIX.as_bytes()) {
            unreadable("statement names that begin with _countersign are reserved")
        } else if self.names.has_room() {
            self.judge(text)
        } else {
            unreadable("the session has too many prepared statements")
        };
        let Judged::Ready { shape, analysis } = judged else { return Ok(false) };
        let frame = b.split_to(head.frame_bytes).freeze();
        let name = frame.slice(HEADER_BYTES..HEADER_BYTES + name_bytes);
        let text = text_of(&frame, HEADER_BYTES + name_bytes + 1, text_bytes);
        let proposal = Proposal::new(frame, Action { shape: shape.clone(), text, parameters: Bytes::new() })?;
        // The name is kept longer than the frame that brought it.
        let name = Bytes::copy_from_slice(&name);
        self.ask_gate(proposal, Op::Parse { name, known, shape, analysis });
        Ok(true)
    }

    fn bind(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let (Some(portal), Some(statement)) = (f.cstr(), f.cstr()) else {
            return Err(protocol_fault("a Bind message is malformed"));
        };
        let known = !portal.is_empty() && self.names.portals.contains_key(portal);
        if known && !self.expects.is_empty() {
            self.hold_until_answered();
            return Ok(false);
        }
        if self.closed_before(b'P', portal) || self.closed_before(b'S', statement) {
            return Ok(false);
        }
        if portal.starts_with(RESERVED_PREFIX.as_bytes()) || !self.names.has_room() {
            b.advance(head.frame_bytes);
            self.refuse_extended(&no_room(), Native::default());
            return Ok(true);
        }
        let mut prepared = match self.names.statement(statement, self.run) {
            Some((s, true)) => s.clone(),
            Some((_, false)) if !self.expects.is_empty() => {
                self.hold_until_answered();
                return Ok(false);
            }
            Some(_) | None => {
                let denial = unknown_name("prepared statement", statement);
                b.advance(head.frame_bytes);
                self.refuse_extended(&denial, Native::state("26000"));
                return Ok(true);
            }
        };
        // From here on it means what names mean now, whatever they come to mean before it is executed.
        if prepared.shape.access() > Access::Connect {
            if !self.renew(&mut prepared) {
                return Ok(false);
            }
            if let Some(kept) = self.names.statements.get_mut(statement) {
                kept.clone_from(&prepared);
            }
        }
        let parameters_at = HEADER_BYTES + portal.len() + statement.len() + 2;
        if !self.names.has_room_for(portal, head.frame_bytes.saturating_sub(parameters_at)) {
            // What waits for its answer may make room: a portal that is closed, or ends with its transaction.
            if !self.expects.is_empty() {
                self.hold_until_answered();
                return Ok(false);
            }
            let denial = too_much_bound();
            b.advance(head.frame_bytes);
            self.out.push_back(Output::Rejected(denial.clone()));
            self.refuse_extended(&denial, Native::default());
            return Ok(true);
        }
        let name = Bytes::copy_from_slice(portal);
        let frame = b.split_to(head.frame_bytes).freeze();
        let permit = prepared.permit.clone();
        let id = self.portal_id();
        let bound = Portal {
            id,
            statement: prepared,
            parameters: self.names.keep(parameters_of(&frame, parameters_at)),
            rows: 0,
            bytes: 0,
            cursor: false,
            outlives: false,
            run: self.run,
            confirmed: false,
        };
        self.out.push_back(Output::Follow(permit, frame));
        self.sent();
        if known {
            // The target may have dropped the old one by itself: only its answer tells which of the two the name means.
            self.expects.push_back(Expect::Bind { portal: name, id, bound: Some(Box::new(bound)) });
            self.hold_until_answered();
        } else {
            self.names.portals.insert(name.clone(), bound);
            self.expects.push_back(Expect::Bind { portal: name, id, bound: None });
        }
        Ok(true)
    }

    fn describe(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let Some(found) = self.named(b, head)? else { return Ok(false) };
        let Some((_, _, permit)) = found else { return Ok(true) };
        let frame = b.split_to(head.frame_bytes).freeze();
        self.out.push_back(Output::Follow(permit, frame));
        self.sent();
        self.expects.push_back(Expect::Describe);
        Ok(true)
    }

    fn close_name(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let (Some(kind), Some(name)) = (f.u8(), f.cstr()) else {
            return Err(protocol_fault("a Close message is malformed"));
        };
        let known = match kind {
            b'S' => self.names.statements.contains_key(name),
            b'P' => self.names.portals.contains_key(name),
            _ => return Err(protocol_fault("a Close message is malformed")),
        };
        if self.closed_before(kind, name) {
            return Ok(false);
        }
        if !known {
            // Closing what is not there is no error; the target need not be asked.
            b.advance(head.frame_bytes);
            self.expects.push_back(Expect::Answer(Bytes::from_static(frames::CLOSE_COMPLETE)));
            self.give_answers();
            return Ok(true);
        }
        let Some(found) = self.named(b, head)? else { return Ok(false) };
        let Some((kind, name, permit)) = found else { return Ok(true) };
        let closing = if kind == b'S' {
            self.names.statements.remove(&name).map(|s| Closing::Statement(name, Box::new(s)))
        } else {
            self.names.portals.remove(&name).map(|p| Closing::Portal(name, Box::new(p)))
        };
        let Some(closing) = closing else { return Ok(true) };
        let frame = b.split_to(head.frame_bytes).freeze();
        self.out.push_back(Output::Follow(permit, frame));
        self.sent();
        self.closes_pending += 1;
        self.expects.push_back(Expect::Close { run: self.run, closing });
        Ok(true)
    }

    /// The permit behind the name in a Describe or Close: `None` to wait, `Some(None)` when it was refused.
    #[allow(clippy::type_complexity, reason = "three answers, used twice, in this file alone")]
    fn named(&mut self, b: &mut BytesMut, head: Head) -> Result<Option<Option<(u8, Bytes, Permit)>>, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let (Some(kind), Some(name)) = (f.u8(), f.cstr()) else {
            return Err(protocol_fault("a message that names a statement or portal is malformed"));
        };
        if self.closed_before(kind, name) {
            return Ok(None);
        }
        let found = match kind {
            b'S' => self.names.statement(name, self.run).map(|(s, usable)| (s.permit.clone(), usable)),
            b'P' => self.names.portal(name, self.run).map(|(p, usable)| (p.statement.permit.clone(), usable)),
            _ => return Err(protocol_fault("a message that names a statement or portal is malformed")),
        };
        match found {
            Some((permit, true)) => Ok(Some(Some((kind, Bytes::copy_from_slice(name), permit)))),
            Some((_, false)) if !self.expects.is_empty() => {
                self.hold_until_answered();
                Ok(None)
            }
            Some(_) | None => {
                let (what, state) = if kind == b'S' { ("prepared statement", "26000") } else { ("portal", "34000") };
                let denial = unknown_name(what, name);
                b.advance(head.frame_bytes);
                self.refuse_extended(&denial, Native::state(state));
                Ok(Some(None))
            }
        }
    }

    fn execute(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let Some(name) = f.cstr() else { return Err(protocol_fault("an Execute message is malformed")) };
        if self.closed_before(b'P', name) {
            return Ok(false);
        }
        let portal = match self.names.portal(name, self.run) {
            Some((p, true)) => p.clone(),
            Some((_, false)) if !self.expects.is_empty() => {
                self.hold_until_answered();
                return Ok(false);
            }
            Some(_) | None => {
                let denial = unknown_name("portal", name);
                b.advance(head.frame_bytes);
                self.refuse_extended(&denial, Native::state("34000"));
                return Ok(true);
            }
        };
        let name = Bytes::copy_from_slice(name);
        let mut prepared = portal.statement;
        // What a cursor reads was settled when it was declared. Of other portals some names were settled when they were bound, and some
        // are looked up only now, so both meanings count.
        if prepared.shape.access() > Access::Connect && !portal.cursor {
            let bound = prepared.shape.clone();
            if !self.renew(&mut prepared) {
                return Ok(false);
            }
            if bound.id() != prepared.shape.id() {
                prepared.shape = join(&[&bound, &prepared.shape]);
            }
        }
        let Prepared { permit, shape, analysis, .. } = prepared;
        let access = shape.access();
        let frame = b.split_to(head.frame_bytes).freeze();
        let parameters = portal.parameters.as_ref().map(|p| p.bytes().clone()).unwrap_or_default();
        let proposal = Proposal::under(&permit, frame, shape, parameters);
        self.ask_gate(proposal, Op::Execute { portal: name, analysis, access });
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
            Ok(proposal) => self.ask_gate(proposal, Op::Query { analysis: None, access: Access::Opaque }),
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

    /// True when an earlier run closes this name, and it is not known yet whether the target skipped that: it must answer first.
    fn closed_before(&mut self, kind: u8, name: &[u8]) -> bool {
        let pending = self.closes_pending > 0
            && self.expects.iter().any(|e| match e {
                Expect::Close { run, closing: Closing::Statement(n, _) } => {
                    kind == b'S' && *run < self.run && n == name
                }
                Expect::Close { run, closing: Closing::Portal(n, _) } => kind == b'P' && *run < self.run && n == name,
                _ => false,
            });
        if pending {
            self.hold_until_answered();
        }
        pending
    }

    /// An id for the next portal.
    pub(super) fn portal_id(&mut self) -> u64 {
        self.next_portal += 1;
        self.next_portal
    }

    /// What a statement that SQL prepared means is all that is known of it.
    pub(super) fn prepared_by_sql(&self, name: &Arc<str>, permit: Permit, shape: Arc<Shape>) -> Prepared {
        Prepared {
            permit,
            shape,
            analysis: None,
            epoch: self.facts.epoch,
            run: self.run,
            confirmed: true,
            sql_name: Some(name.clone()),
        }
    }

    /// An extended message went out.
    pub(super) fn sent(&mut self) {
        self.unsynced = true;
        self.flushed = false;
    }

    fn ask_gate(&mut self, proposal: Proposal, op: Op) {
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

fn unreadable(why: &str) -> Judged {
    Judged::Ready { shape: Shape::unreadable(why, Fingerprint(0)), analysis: None }
}

fn text_of(frame: &Bytes, at: usize, len: usize) -> Bytes {
    frame.slice(at.min(frame.len())..(at + len).min(frame.len()))
}

/// The parameters of a Bind. A run that is short against what is read at once is copied, so that a portal does not keep a large buffer
/// alive.
fn parameters_of(frame: &Bytes, at: usize) -> Bytes {
    const COPIED_BYTES_MAX: usize = 64 << 10;
    let parameters = frame.slice(at.min(frame.len())..);
    if parameters.len() <= COPIED_BYTES_MAX { Bytes::copy_from_slice(&parameters) } else { parameters }
}

fn unknown_name(what: &'static str, name: &[u8]) -> Denial {
    if name.is_empty() && what == "prepared statement" {
        let message = ClientText::new("unnamed prepared statement does not exist");
        return Denial::new(Culprit::Client, DenialCode::Undefined, message);
    }
    Denial::new(
        Culprit::Client,
        DenialCode::Undefined,
        ClientText::new(what).and(" \"").name(&String::from_utf8_lossy(name)).and("\" does not exist"),
    )
}

fn too_much_bound() -> Denial {
    Denial::new(
        Culprit::Client,
        DenialCode::Oversize,
        ClientText::new("too much is bound to open portals: all of a session keep at most ")
            .number(PARAMETERS_BYTES_MAX as u64)
            .and(" bytes"),
    )
    .hint(ClientText::new("Close portals that are no longer needed, or end the transaction."))
}

fn no_room() -> Denial {
    Denial::new(
        Culprit::Client,
        DenialCode::Busy,
        ClientText::new("the portal's name is reserved, or the session has too many portals and statements"),
    )
}
