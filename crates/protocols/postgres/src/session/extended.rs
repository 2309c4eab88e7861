//! The client's messages of the extended protocol: statements and portals are made, described, run and closed by name.

use bytes::{Buf, Bytes, BytesMut};
use std::sync::Arc;

use countersign_enforce::{Output, Permit, Proposal};
use countersign_model::{Access, Action, ClientText, Culprit, Denial, DenialCode, Shape};
use countersign_sql::{Outputs, join};

use super::client::{text_of, unreadable};
use super::expect::Expect;
use super::judge::Judged;
use super::masked::Describing;
use super::names::{Closing, NAME_BYTES_MAX, PARAMETERS_BYTES_MAX, Portal, Prepared};
use super::ruling::Op;
use super::{Session, frames};
use crate::probe::RESERVED_PREFIX;
use crate::wire::{Fields, HEADER_BYTES, Head, Native, protocol_fault};

impl Session {
    pub(super) fn parse(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
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
        } else if name.len() > NAME_BYTES_MAX {
            unreadable("the statement's name is longer than 63 bytes")
        } else if self.names.has_room() {
            self.judge(text)
        } else {
            unreadable("the session has too many prepared statements")
        };
        let Judged::Ready { shape, analysis } = judged else { return Ok(false) };
        let (shape, analysis) = if self.names.take_room_for_text(head.frame_bytes) {
            (shape, analysis)
        } else {
            let why = "the session's prepared statements are longer than 64 MiB together";
            (Shape::unreadable(why, shape.fingerprint()), None)
        };
        let frame = b.split_to(head.frame_bytes).freeze();
        let name = frame.slice(HEADER_BYTES..HEADER_BYTES + name_bytes);
        let text = text_of(&frame, HEADER_BYTES + name_bytes + 1, text_bytes);
        let proposal = Proposal::new(frame, Action { shape: shape.clone(), text, parameters: Bytes::new() })?;
        let proposal = self.says_maskable(proposal, analysis.as_deref()).prepares();
        // The name is kept longer than the frame that brought it.
        let name = Bytes::copy_from_slice(&name);
        self.ask_gate(proposal, Op::Parse { name, known, shape, analysis });
        Ok(true)
    }

    pub(super) fn bind(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
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
        if portal.starts_with(RESERVED_PREFIX.as_bytes()) || portal.len() > NAME_BYTES_MAX || !self.names.has_room() {
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
        self.guard_by(prepared.guard.clone());
        // From here on it means what names mean now, whatever they come to mean before it is executed.
        if prepared.shape.access() > Access::Connect {
            let (epoch, shape) = (prepared.epoch, prepared.shape.id());
            if !self.renew(&mut prepared) {
                return Ok(false);
            }
            let is_new = (epoch, shape) != (prepared.epoch, prepared.shape.id());
            if is_new && let Some(kept) = self.names.statements.get_mut(statement) {
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
            described: None,
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

    pub(super) fn describe(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let Some(found) = self.named(b, head)? else { return Ok(false) };
        let Some((kind, name, permit)) = found else { return Ok(true) };
        let frame = b.split_to(head.frame_bytes).freeze();
        self.out.push_back(Output::Follow(permit, frame));
        self.sent();
        let into = self.describes(kind, &name);
        self.expects.push_back(Expect::Describe(Describing { into, ours: false }));
        Ok(true)
    }

    pub(super) fn close_name(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
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

    pub(super) fn execute(&mut self, b: &mut BytesMut, head: Head) -> Result<bool, Denial> {
        let mut f = Fields(b.get(HEADER_BYTES..head.frame_bytes).unwrap_or_default());
        let Some(name) = f.cstr() else { return Err(protocol_fault("an Execute message is malformed")) };
        if self.closed_before(b'P', name) {
            return Ok(false);
        }
        let (mut prepared, cursor, parameters) = match self.names.portal(name, self.run) {
            Some((p, true)) => (p.statement.clone(), p.cursor, p.parameters.clone()),
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
        // What a cursor reads was settled when it was declared. Of other portals some names were settled when they were bound, and some
        // are looked up only now, so both meanings count.
        if prepared.shape.access() > Access::Connect && !cursor {
            let bound = prepared.shape.clone();
            if !self.renew(&mut prepared) {
                return Ok(false);
            }
            if bound.id() != prepared.shape.id() {
                prepared.shape = join(&[&bound, &prepared.shape]);
            }
        }
        let masked = self.may_be_masked(&prepared.shape).then(|| self.names.portals.get(&name).cloned()).flatten();
        let ahead = masked.and_then(|portal| self.look_ahead(&name, &portal, &prepared));
        let Prepared { permit, shape, analysis, .. } = prepared;
        let (access, tagged) = (shape.access(), !shape.disclosure().is_empty());
        let frame = b.split_to(head.frame_bytes).freeze();
        let parameters = parameters.map(|p| p.bytes().clone()).unwrap_or_default();
        let proposal = self.says_maskable(Proposal::under(&permit, frame, shape, parameters), analysis.as_deref());
        self.ask_gate(proposal, Op::Execute { portal: name, analysis, access, tagged, ahead });
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

    /// What a statement that SQL prepared means and gives is all that is known of it.
    pub(super) fn prepared_by_sql(
        &self,
        name: &Arc<str>,
        permit: Permit,
        shape: Arc<Shape>,
        outputs: Outputs,
    ) -> Prepared {
        Prepared {
            outputs: Some(outputs),
            described: None,
            guard: None,
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
