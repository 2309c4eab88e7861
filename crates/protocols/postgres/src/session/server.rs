//! The target's messages: runs of them pass as one slice; only what must be swallowed, replaced or counted is looked at.

use bytes::{Buf, Bytes, BytesMut};
use countersign_enforce::{Outcome, OutcomeStatus, Output};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use super::expect::{Expect, Running, over_limit};
use super::names::Closing;
use super::{Session, frames};
use crate::wire::{self, Fields, Gravity, HEADER_BYTES, Head, target_fault};

/// The longest message of the target that is held whole: an error, a notice, a description. Rows are not held.
const HELD_BYTES_MAX: usize = 64 << 20;

/// A run of bytes that goes on to the client.
#[derive(Clone, Copy, Default)]
struct Run {
    bytes: usize,
    /// The intent whose rows they are, when they are to be recorded.
    seq: Option<u64>,
}

/// What becomes of a message.
enum Fate {
    /// It goes on.
    Pass,
    /// It goes on after these bytes.
    PassAfter(Bytes),
    /// It is dropped.
    Drop,
    /// These bytes go instead.
    Replace(Bytes),
}

impl Session {
    /// Bytes from the target.
    pub(crate) fn on_upstream(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        // Bytes before `pass` go on; they are cut off in one piece when something else must happen. All or none of them are result rows
        // for the record.
        let mut pass = Run::default();
        if self.server_rest > 0 {
            let n = self.server_rest.min(b.len());
            self.server_rest -= n;
            if self.server_rest_passes { pass = Run { bytes: n, seq: self.recorded(b'd') } } else { b.advance(n) }
        }
        loop {
            let rest = b.get(pass.bytes..).unwrap_or_default();
            let Some(head) = wire::head(rest).map_err(|_| target_fault("a message length is impossible"))? else {
                break;
            };
            let is_row = matches!(head.tag, b'D' | b'd');
            let there = head.frame_bytes.min(rest.len());
            if there < head.frame_bytes && !(is_row && self.may_stream()) {
                if head.frame_bytes > HELD_BYTES_MAX {
                    return Err(target_fault("a message is too long"));
                }
                break;
            }
            let seq = self.recorded(head.tag);
            if seq != pass.seq {
                self.pass_on(b, &mut pass);
                pass.seq = seq;
            }
            let frame = b.get(pass.bytes..).and_then(|rest| rest.get(..there)).unwrap_or_default();
            let fate = if is_row { self.on_row(head, frame)? } else { self.on_message(head.tag, frame)? };
            self.server_rest = head.frame_bytes - there;
            self.server_rest_passes = matches!(fate, Fate::Pass | Fate::PassAfter(_));
            match fate {
                Fate::Pass => pass.bytes += there,
                Fate::PassAfter(before) => {
                    self.pass_on(b, &mut pass);
                    self.client(before);
                    pass.bytes = there;
                }
                Fate::Drop => {
                    self.pass_on(b, &mut pass);
                    b.advance(there);
                }
                Fate::Replace(with) => {
                    self.pass_on(b, &mut pass);
                    b.advance(there);
                    self.client(with);
                }
            }
            if !is_row {
                self.give_answers_after(b, &mut pass);
            }
        }
        self.pass_on(b, &mut pass);
        self.settle();
        Ok(())
    }

    /// Rows of a client's statement go on as they come; those of a probe are read whole.
    fn may_stream(&self) -> bool {
        matches!(self.expects.front(), Some(Expect::Query(_) | Expect::Execute(_)))
    }

    /// The intent whose record this message belongs into: rows, and what says how to read them.
    fn recorded(&self, tag: u8) -> Option<u64> {
        match self.expects.front() {
            Some(Expect::Query(r) | Expect::Execute(r)) if r.record && matches!(tag, b'T' | b'D' | b'd') => {
                Some(r.permit.seq())
            }
            _ => None,
        }
    }

    fn pass_on(&mut self, b: &mut BytesMut, pass: &mut Run) {
        if pass.bytes > 0 {
            let run = b.split_to(pass.bytes).freeze();
            pass.bytes = 0;
            if let Some(seq) = pass.seq {
                self.out.push_back(Output::Rows(seq, run.clone()));
            }
            self.out.push_back(Output::Client(run));
        }
    }

    /// Our own answers whose turn has come.
    pub(super) fn give_answers(&mut self) {
        while let Some(Expect::Answer(_)) = self.expects.front() {
            if let Some(Expect::Answer(b)) = self.expects.pop_front() {
                self.client(b);
            }
        }
        self.settle();
    }

    fn give_answers_after(&mut self, b: &mut BytesMut, pass: &mut Run) {
        if matches!(self.expects.front(), Some(Expect::Answer(_))) {
            self.pass_on(b, pass);
            self.give_answers();
        }
    }

    fn on_row(&mut self, head: Head, there: &[u8]) -> Result<Fate, Denial> {
        let row_bytes = (head.frame_bytes - HEADER_BYTES) as u64;
        match self.expects.front_mut() {
            Some(Expect::Query(r) | Expect::Execute(r)) => {
                if r.over.is_some() {
                    return Ok(Fate::Drop);
                }
                if !r.count_row(row_bytes) {
                    return Ok(match r.held.take() {
                        Some(held) => Fate::PassAfter(held),
                        None => Fate::Pass,
                    });
                }
                let error = limit_error(r);
                self.out.push_back(Output::CancelOwn);
                Ok(Fate::Replace(error))
            }
            Some(Expect::Probe(probe)) => {
                probe.on_frame(head.tag, there)?;
                Ok(Fate::Drop)
            }
            _ => Err(target_fault("a row that nobody asked for")),
        }
    }

    fn on_message(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
        match tag {
            b'N' | b'A' => return Ok(Fate::Pass),
            b'S' => return self.on_parameter(frame),
            b'W' => {
                return Err(Denial::new(
                    Culprit::Target,
                    DenialCode::Unsupported,
                    ClientText::new("replication is not let through"),
                ));
            }
            b'E' if wire::is_fatal(frame) => {
                // Its last word: what is under way stays without an outcome, because nobody knows.
                self.fatal_told = true;
                return Ok(Fate::Pass);
            }
            _ => {}
        }
        match self.expects.front_mut() {
            None if tag == b'E' => Ok(Fate::Pass),
            None => Err(target_fault("a message that nobody asked for")),
            Some(Expect::Probe(probe)) => {
                if probe.on_frame(tag, frame)? {
                    self.probe_ended(tag, frame)
                } else {
                    Ok(Fate::Drop)
                }
            }
            Some(Expect::Begin) => match tag {
                b'C' => Ok(Fate::Drop),
                b'Z' => {
                    self.expects.pop_front();
                    Ok(Fate::Drop)
                }
                _ => Err(target_fault("a transaction could not be opened")),
            },
            Some(Expect::Query(_)) => self.on_query_reply(tag, frame),
            Some(Expect::End(r)) => match tag {
                b'C' => Ok(Fate::Drop),
                b'E' => {
                    // The commit failed: what was held back never came true.
                    r.failed = Some(wire::error_code(frame).unwrap_or("?").into());
                    r.held = None;
                    Ok(if r.over.is_some() { Fate::Drop } else { Fate::Pass })
                }
                b'Z' => self.on_end(frame),
                _ => Err(target_fault("an unexpected message at the end of a transaction")),
            },
            Some(Expect::Fail) => match tag {
                b'E' => Ok(Fate::Drop),
                b'Z' => {
                    self.expects.pop_front();
                    let status = status_of(frame)?;
                    self.synced_by_query();
                    self.status_is(status);
                    self.names.end_transaction_if(status == b'I', self.run);
                    Ok(Fate::Pass)
                }
                _ => Err(target_fault("an unexpected message in a failed transaction")),
            },
            Some(Expect::Sync { run }) => match tag {
                b'Z' => {
                    let run = *run;
                    self.expects.pop_front();
                    self.on_sync(run, frame)
                }
                b'E' => Ok(Fate::Pass),
                _ => Err(target_fault("an unexpected message at a Sync")),
            },
            Some(_) if tag == b'E' => Ok(self.on_extended_error(frame)),
            Some(Expect::Execute(_)) => self.on_execute_reply(tag, frame),
            Some(Expect::Parse { .. }) if tag == b'1' => {
                if let Some(Expect::Parse { seq, name, prepared, .. }) = self.expects.pop_front() {
                    if let Some(mut prepared) = prepared {
                        prepared.confirmed = true;
                        self.names.statements.insert(name, *prepared);
                    } else if let Some(s) = self.names.statements.get_mut(&name).filter(|s| s.permit.seq() == seq) {
                        s.confirmed = true;
                    } else {
                        self.confirm_taken_away(seq);
                    }
                    self.outcome(seq, OutcomeStatus::Done, None, None);
                }
                Ok(Fate::Pass)
            }
            Some(Expect::Bind { .. }) if tag == b'2' => {
                if let Some(Expect::Bind { portal, bound, id }) = self.expects.pop_front() {
                    if let Some(mut bound) = bound {
                        bound.confirmed = true;
                        self.names.portals.insert(portal, *bound);
                    } else if let Some(p) = self.names.portals.get_mut(&portal).filter(|p| p.id == id) {
                        p.confirmed = true;
                    } else {
                        self.confirm_portal_taken_away(id);
                    }
                }
                Ok(Fate::Pass)
            }
            Some(Expect::Describe) if tag == b't' => Ok(Fate::Pass),
            Some(Expect::Describe) if matches!(tag, b'T' | b'n') => {
                self.expects.pop_front();
                Ok(Fate::Pass)
            }
            Some(Expect::Close { .. }) if tag == b'3' => {
                self.expects.pop_front();
                self.closes_pending = self.closes_pending.saturating_sub(1);
                Ok(Fate::Pass)
            }
            Some(_) => Err(target_fault("an unexpected message")),
        }
    }

    /// The target has a statement that a message further back takes away, and might not after all.
    fn confirm_taken_away(&mut self, seq: u64) {
        let taken = self.expects.iter_mut().filter_map(|e| match e {
            Expect::Close { closing: Closing::Statement(_, s), .. } => Some(s),
            Expect::Parse { prior: Some(s), .. } | Expect::Denied { prior: Some(s), .. } => Some(s),
            _ => None,
        });
        for s in taken.filter(|s| s.permit.seq() == seq) {
            s.confirmed = true;
        }
    }

    fn confirm_portal_taken_away(&mut self, id: u64) {
        for e in &mut self.expects {
            if let Expect::Close { closing: Closing::Portal(_, p), .. } = e
                && p.id == id
            {
                p.confirmed = true;
            }
        }
    }

    fn on_parameter(&mut self, frame: &[u8]) -> Result<Fate, Denial> {
        let mut f = Fields::of(frame);
        let pair = (f.cstr().unwrap_or_default(), f.cstr().unwrap_or_default());
        match pair {
            (b"client_encoding", v) if !v.eq_ignore_ascii_case(b"utf8") => {
                return Err(target_fault("the client encoding is no longer UTF8"));
            }
            (b"standard_conforming_strings", v) if v != b"on" => {
                return Err(target_fault("standard_conforming_strings is no longer on"));
            }
            // Some servers report it: ours to follow, whoever changed it.
            (b"search_path" | b"session_authorization", _) => {
                if matches!(self.expects.front(), Some(Expect::Probe(_))) {
                    return Ok(Fate::Drop);
                }
                self.facts.dirty = true;
            }
            _ => {}
        }
        Ok(Fate::Pass)
    }

    fn probe_ended(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
        let Some(Expect::Probe(probe)) = self.expects.pop_front() else { return Ok(Fate::Drop) };
        if tag == b'Z' {
            self.status = status_of(frame)?;
        }
        match probe.failure() {
            None => {
                let generation = probe.generation;
                self.learn(generation, probe.finish());
                Ok(Fate::Drop)
            }
            Some((denial, false)) => {
                self.facts.failed = Some(denial);
                Ok(Fate::Drop)
            }
            Some((denial, true)) => {
                // The target skips to the client's Sync: the message at hand and those after it fail as by any other error.
                self.skipping = true;
                self.names.drop_unconfirmed(self.run);
                Ok(Fate::Replace(wire::error_response(&denial, Gravity::Error)))
            }
        }
    }

    /// A simple query ended what extended messages without a Sync had begun.
    fn synced_by_query(&mut self) {
        self.unsynced = false;
        self.flushed = false;
    }

    fn on_query_reply(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
        let Some(Expect::Query(r)) = self.expects.front_mut() else { return Ok(Fate::Pass) };
        if tag == b'Z' {
            return self.on_query_end(frame);
        }
        if tag == b'G' {
            self.copy_in = Some(r.permit.clone());
        }
        if tag == b'E' {
            r.failed = Some(wire::error_code(frame).unwrap_or("?").into());
            self.copy_in = None;
        }
        let Some(Expect::Query(r)) = self.expects.front_mut() else { return Ok(Fate::Pass) };
        if r.over.is_some() {
            return Ok(Fate::Drop);
        }
        if tag == b'C' {
            if count_command(r, frame) {
                return Ok(Fate::Replace(limit_error(r)));
            }
            if r.wrapped {
                // The last one may only be told once our transaction is through.
                let before = r.held.replace(Bytes::copy_from_slice(frame));
                return Ok(before.map_or(Fate::Drop, Fate::Replace));
            }
        }
        Ok(r.held.take().map_or(Fate::Pass, Fate::PassAfter))
    }

    fn on_query_end(&mut self, frame: &[u8]) -> Result<Fate, Denial> {
        let status = status_of(frame)?;
        let Some(Expect::Query(r)) = self.expects.pop_front() else { return Ok(Fate::Pass) };
        self.copy_in = None;
        if r.wrapped && status != b'I' {
            let undo = status == b'E' || r.over.is_some();
            self.control(if undo { frames::ROLLBACK } else { frames::COMMIT });
            self.expects.push_front(Expect::End(r));
            return Ok(Fate::Drop);
        }
        let must_fail = r.over.is_some() && status == b'T';
        self.finish(&r);
        self.synced_by_query();
        self.status_is(status);
        if must_fail {
            self.control(frames::FAIL_QUERY);
            self.expects.push_front(Expect::Fail);
            return Ok(Fate::Drop);
        }
        self.names.end_transaction_if(status == b'I', self.run);
        Ok(r.held.map_or(Fate::Pass, Fate::PassAfter))
    }

    fn on_end(&mut self, frame: &[u8]) -> Result<Fate, Denial> {
        let Some(Expect::End(mut r)) = self.expects.pop_front() else { return Ok(Fate::Pass) };
        let held = r.held.take();
        let status = status_of(frame)?;
        self.finish(&r);
        self.synced_by_query();
        self.status_is(status);
        self.names.end_transaction_if(status == b'I', self.run);
        Ok(match held {
            Some(held) if r.over.is_none() && r.failed.is_none() => Fate::PassAfter(held),
            _ => Fate::Pass,
        })
    }

    fn on_execute_reply(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
        let Some(Expect::Execute(r)) = self.expects.front_mut() else { return Ok(Fate::Pass) };
        match tag {
            b'G' => {
                self.copy_in = Some(r.permit.clone());
                // The target says that the copy is over only when it is asked to: the Sync must get through.
                self.hold = false;
                self.hold_but_sync = true;
                return Ok(Fate::Pass);
            }
            b'H' | b'c' if r.over.is_some() => return Ok(Fate::Drop),
            b'H' | b'c' => return Ok(Fate::Pass),
            b'C' | b's' | b'I' => {}
            _ => return Err(target_fault("an unexpected message while a statement runs")),
        }
        let told = r.over.is_some();
        let error = if tag == b'C' && !told && count_command(r, frame) { Some(limit_error(r)) } else { None };
        let Some(Expect::Execute(r)) = self.expects.pop_front() else { return Ok(Fate::Pass) };
        self.copy_in = None;
        self.finish(&r);
        if r.over.is_none() {
            return Ok(Fate::Pass);
        }
        // It ran through before it could be stopped. What it did must be undone, and what comes after it must not run.
        if self.expects.is_empty() {
            self.control(frames::FAIL_PARSE);
            self.sent();
            self.expects.push_back(Expect::Denied { error: Bytes::new(), prior: None });
            self.skipping = true;
        } else {
            self.over_at_sync = true;
        }
        Ok(error.map_or(Fate::Drop, Fate::Replace))
    }

    fn on_sync(&mut self, run: u64, frame: &[u8]) -> Result<Fate, Denial> {
        let status = status_of(frame)?;
        self.names.end_transaction_if(status == b'I', run);
        self.status_is(status);
        if std::mem::take(&mut self.over_at_sync) && status == b'T' {
            self.control(frames::FAIL_QUERY);
            self.expects.push_front(Expect::Fail);
            self.hold = true;
            return Ok(Fate::Drop);
        }
        Ok(Fate::Pass)
    }

    /// An error ends the run: the target skips everything up to Sync, and so do we.
    fn on_extended_error(&mut self, frame: &[u8]) -> Fate {
        let code = wire::error_code(frame).unwrap_or("?");
        let mut fate = Fate::Pass;
        let mut first = true;
        let mut run = self.run;
        let mut kept = Vec::new();
        self.copy_in = None;
        while let Some(expect) = self.expects.front() {
            if let Expect::Sync { run: r } = expect {
                run = *r;
                break;
            }
            let Some(expect) = self.expects.pop_front() else { break };
            let status = if first { OutcomeStatus::Failed } else { OutcomeStatus::Skipped };
            match expect {
                Expect::Execute(mut r) => {
                    r.failed = Some(code.into());
                    if first && r.over.is_some() {
                        fate = Fate::Drop;
                    }
                    if first {
                        self.finish(&r);
                    } else {
                        self.outcome(r.permit.seq(), status, None, None);
                    }
                }
                Expect::Parse { seq, name, prior, .. } => {
                    self.outcome(seq, status, None, first.then(|| code.into()));
                    kept.extend(prior.filter(|_| !first).map(|s| Closing::Statement(name, s)));
                }
                Expect::Close { closing, .. } => {
                    self.closes_pending = self.closes_pending.saturating_sub(1);
                    kept.push(closing);
                }
                Expect::Denied { error, .. } if first => {
                    fate = if error.is_empty() { Fate::Drop } else { Fate::Replace(error) };
                }
                Expect::Denied { prior, .. } => {
                    kept.extend(prior.map(|s| Closing::Statement(Bytes::new(), s)));
                }
                _ => {}
            }
            first = false;
        }
        if self.expects.is_empty() {
            self.skipping = true;
        }
        self.names.drop_unconfirmed(run);
        for closing in kept {
            self.names.keep_after_all(closing);
        }
        fate
    }

    fn finish(&mut self, r: &Running) {
        self.ended(r);
        let status = match (&r.over, &r.failed) {
            (Some(_), _) => OutcomeStatus::Limited,
            (None, Some(_)) => OutcomeStatus::Failed,
            (None, None) => OutcomeStatus::Done,
        };
        self.outcome(r.permit.seq(), status, Some((r.rows, r.bytes, r.affected)), r.failed.clone());
    }

    fn outcome(
        &mut self,
        seq: u64,
        status: OutcomeStatus,
        counts: Option<(u64, u64, Option<u64>)>,
        code: Option<Box<str>>,
    ) {
        let (rows, bytes, affected) = counts.unwrap_or_default();
        self.out.push_back(Output::Outcome(seq, Outcome { status, rows, bytes, affected, code }));
    }
}

fn status_of(frame: &[u8]) -> Result<u8, Denial> {
    match frame.get(HEADER_BYTES..) {
        Some([s @ (b'I' | b'T' | b'E')]) => Ok(*s),
        _ => Err(target_fault("an unknown transaction status")),
    }
}

/// Counts what a command changed; true when it is too much.
fn count_command(r: &mut Running, frame: &[u8]) -> bool {
    let tag = Fields::of(frame).cstr().unwrap_or_default();
    match wire::tag_count(tag) {
        // A copy out has the same tag as a copy in.
        (true, Some(_)) if tag.starts_with(b"COPY ") && r.rows > 0 => false,
        (true, Some(n)) => r.count_affected(n),
        _ => false,
    }
}

fn limit_error(r: &Running) -> Bytes {
    r.over.map_or_else(Bytes::new, |over| wire::error_response(&over_limit(over, &[]), Gravity::Error))
}
