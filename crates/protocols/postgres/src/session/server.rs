//! The target's messages: runs of them pass as one slice; only what must be swallowed, replaced or counted is looked at.

use bytes::{Buf, Bytes, BytesMut};
use countersign_enforce::{OutcomeStatus, Output};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use super::Session;
use super::expect::Expect;
use super::names::Closing;
use super::replies::{limit_error, status_of};
use crate::aside;
use crate::masking::ROW_BYTES_MAX as MASKED_ROW_BYTES_MAX;
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
pub(super) enum Fate {
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
            pass.bytes += self.plain_rows(b.get(pass.bytes..).unwrap_or_default(), pass.seq);
            let rest = b.get(pass.bytes..).unwrap_or_default();
            let Some(head) = wire::head(rest).map_err(|_| target_fault("a message length is impossible"))? else {
                break;
            };
            let is_row = matches!(head.tag, b'D' | b'd');
            let there = head.frame_bytes.min(rest.len());
            let rewritten = is_row && self.rewrites_rows();
            if there < head.frame_bytes && !(is_row && self.may_stream(head, rewritten)) {
                if head.frame_bytes > HELD_BYTES_MAX {
                    return Err(target_fault("a message is too long"));
                }
                break;
            }
            let seq = self.recorded(head.tag);
            if seq != pass.seq || rewritten {
                self.pass_on(b, &mut pass);
                pass.seq = seq;
            }
            let frame = b.get(pass.bytes..).and_then(|rest| rest.get(..there)).unwrap_or_default();
            let fate = if rewritten {
                self.on_masked_row(head, frame)
            } else if is_row {
                self.on_row(head, frame)?
            } else {
                self.flush_rewritten();
                let fate = self.on_message(head.tag, frame)?;
                if matches!(head.tag, b'E' | b'N') { self.worded(head.tag, frame, fate) } else { fate }
            };
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
                    self.pass_run(b, &mut pass);
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
        self.give_notice();
        self.settle();
        Ok(())
    }

    /// How many bytes from the beginning are whole rows that belong to the run at hand and are only counted.
    fn plain_rows(&mut self, rest: &[u8], run: Option<u64>) -> usize {
        match self.expects.front_mut() {
            Some(Expect::Query(r) | Expect::Execute(r)) if r.record.then(|| r.permit.seq()) == run => {
                r.count_rows(rest)
            }
            _ => 0,
        }
    }

    /// Rows of a client's statement go on as they come; those of a probe are read whole, and so are those to be rewritten, unless they are
    /// too long for it: then nothing of them passes.
    fn may_stream(&self, head: Head, rewritten: bool) -> bool {
        matches!(self.expects.front(), Some(Expect::Query(_) | Expect::Execute(_)))
            && (!rewritten || head.frame_bytes > MASKED_ROW_BYTES_MAX)
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
        self.flush_rewritten();
        self.pass_run(b, pass);
    }

    /// What passes comes after all that was rewritten.
    fn pass_run(&mut self, b: &mut BytesMut, pass: &mut Run) {
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
            aside::TAG if self.is_inside => return Err(target_fault("a message that only the gateway sends")),
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
                    self.outcome(seq, OutcomeStatus::Done, None);
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
            Some(Expect::Describe(_)) if tag == b't' => Ok(Fate::Pass),
            Some(Expect::Describe(describing)) if matches!(tag, b'T' | b'n') => {
                let fate = describing.answered(tag, frame);
                self.expects.pop_front();
                Ok(fate)
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
        self.note_parameter(frame);
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
}
