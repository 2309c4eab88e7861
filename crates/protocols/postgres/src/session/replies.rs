//! The target's replies to what a client asked, message kind by message kind, up to the end of each: results, errors, `ReadyForQuery`.

use bytes::Bytes;
use countersign_enforce::{Outcome, OutcomeStatus, Output};
use countersign_model::Denial;

use super::expect::{Expect, Over, Running, over_limit};
use super::names::Closing;
use super::server::Fate;
use super::{Session, frames};
use crate::wire::{self, Fields, Gravity, HEADER_BYTES, target_fault};

impl Session {
    /// A simple query ended what extended messages without a Sync had begun.
    pub(super) fn synced_by_query(&mut self) {
        self.unsynced = false;
        self.flushed = false;
    }

    pub(super) fn on_query_reply(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
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
        if r.veil.is_some()
            && let Some(fate) = self.on_masked_reply(tag, frame)
        {
            return Ok(fate);
        }
        let Some(Expect::Query(r)) = self.expects.front_mut() else { return Ok(Fate::Pass) };
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

    pub(super) fn on_query_end(&mut self, frame: &[u8]) -> Result<Fate, Denial> {
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

    pub(super) fn on_end(&mut self, frame: &[u8]) -> Result<Fate, Denial> {
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

    pub(super) fn on_execute_reply(&mut self, tag: u8, frame: &[u8]) -> Result<Fate, Denial> {
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
            b'H' | b'c' if r.veil.is_some() => return Ok(self.on_masked_reply(tag, frame).unwrap_or(Fate::Pass)),
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

    pub(super) fn on_sync(&mut self, run: u64, frame: &[u8]) -> Result<Fate, Denial> {
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
    pub(super) fn on_extended_error(&mut self, frame: &[u8]) -> Fate {
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
                        self.outcome(r.permit.seq(), status, None);
                    }
                }
                Expect::Parse { seq, name, prior, .. } => {
                    self.outcome(seq, status, first.then(|| code.into()));
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

    pub(super) fn finish(&mut self, r: &Running) {
        self.ended(r);
        let status = match (&r.over, &r.failed) {
            (Some(Over::Unmaskable(_)), _) => OutcomeStatus::Failed,
            (Some(_), _) => OutcomeStatus::Limited,
            (None, Some(_)) => OutcomeStatus::Failed,
            (None, None) => OutcomeStatus::Done,
        };
        let code = match r.over {
            Some(Over::Unmaskable(why)) => Some(wire::sqlstate(why.denial().code).into()),
            _ => r.failed.clone(),
        };
        let masked = r.veil.as_ref().map_or_else(Box::default, |v| v.counts());
        let outcome = Outcome { status, rows: r.rows, bytes: r.bytes, affected: r.affected, code, masked };
        self.out.push_back(Output::Outcome(r.permit.seq(), outcome));
    }

    /// How something ended that gave no rows.
    pub(super) fn outcome(&mut self, seq: u64, status: OutcomeStatus, code: Option<Box<str>>) {
        let outcome = Outcome { code, ..Outcome::of(status) };
        self.out.push_back(Output::Outcome(seq, outcome));
    }
}

/// The transaction status that a `ReadyForQuery` tells.
pub(super) fn status_of(frame: &[u8]) -> Result<u8, Denial> {
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

/// What the client is told of a limit that was passed.
pub(super) fn limit_error(r: &Running) -> Bytes {
    r.over.map_or_else(Bytes::new, |over| wire::error_response(&over_limit(over, &[]), Gravity::Error))
}
