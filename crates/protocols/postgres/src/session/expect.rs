//! The queue of replies that the target owes, in order, with what is to become of each: passed on, swallowed, or replaced.

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Permit, Plan};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Limits, RuleId};
use countersign_sql::Analysis;

use super::masked::Describing;
use super::names::{Closing, Portal, Prepared};
use crate::masking::{Unmaskable, Veil};
use crate::probe::Probe;
use crate::wire::HEADER_BYTES;

/// What the target owes.
pub(crate) enum Expect {
    /// A simple query's replies, up to its `ReadyForQuery`.
    Query(Running),
    /// Our own `BEGIN` around a limited write: swallowed whole.
    Begin,
    /// Our own `COMMIT` or `ROLLBACK` after it: its `ReadyForQuery` passes, after what was held back.
    End(Running),
    /// Our own statement that fails the transaction: only its `ReadyForQuery` passes.
    Fail,
    /// `ParseComplete`. `prepared` is given its name only then, where an older statement may still have it.
    /// `prior` had the name before, in case that the target skips this.
    Parse { seq: u64, name: Bytes, prepared: Option<Box<Prepared>>, prior: Option<Box<Prepared>> },
    /// `BindComplete`. `bound` is given its name only then, where an older portal may still have it.
    Bind { portal: Bytes, id: u64, bound: Option<Box<Portal>> },
    /// The description of a statement or portal.
    Describe(Describing),
    /// The end of an Execute.
    Execute(Running),
    /// `CloseComplete`; kept in case that the target skips it.
    Close { run: u64, closing: Closing },
    /// A synthetic answer, given when its turn comes.
    Answer(Bytes),
    /// Our own failing Parse: its error is replaced by these bytes; empty when the client was told already. `prior` was the unnamed
    /// statement, which a Parse of another one does away with even when it fails.
    Denied { error: Bytes, prior: Option<Box<Prepared>> },
    /// `ReadyForQuery` of a Sync.
    Sync { run: u64 },
    /// The catalog.
    Probe(Box<Probe>),
}

/// Which limit was passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    Rows(u64),
    Bytes(u64),
    Affected(u64),
    /// No limit, but a result that cannot be masked.
    Unmaskable(Unmaskable),
}

/// An admitted statement that runs.
pub(crate) struct Running {
    pub(crate) permit: Permit,
    pub(crate) limits: Limits,
    pub(crate) record: bool,
    /// Our own transaction is around it.
    pub(crate) wrapped: bool,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) affected: Option<u64>,
    /// What fetches before this one gave of the same portal: they count for the limits.
    pub(crate) rows_before: u64,
    pub(crate) bytes_before: u64,
    /// The portal that the rows come from, with its id.
    pub(crate) portal: Option<(Bytes, u64)>,
    /// It came by the extended protocol: no `ReadyForQuery` follows by itself.
    pub(crate) extended: bool,
    /// It runs code that the text at hand does not tell of, which may change settings.
    pub(crate) runs_code: bool,
    pub(crate) over: Option<Over>,
    /// The target's error code, once it failed.
    pub(crate) failed: Option<Box<str>>,
    /// Held back until our own `COMMIT` is through: the last `CommandComplete`.
    pub(crate) held: Option<Bytes>,
    /// What its success changes for the session; `None` for most.
    pub(crate) after: Option<Arc<Analysis>>,
    /// What is masked in its rows; `None` for most.
    pub(crate) veil: Option<Box<Veil>>,
}

impl Running {
    /// A statement about to run under `plan`.
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            permit: plan.permit.clone(),
            limits: plan.limits,
            record: plan.record_rows,
            wrapped: false,
            rows: 0,
            bytes: 0,
            affected: None,
            rows_before: 0,
            bytes_before: 0,
            portal: None,
            extended: false,
            runs_code: false,
            over: None,
            failed: None,
            held: None,
            after: None,
            veil: None,
        }
    }

    /// Counts the whole rows that `b` begins with, when counting is all that is done with them; how many bytes they are. A result of many
    /// small rows costs what this loop costs.
    pub(crate) fn count_rows(&mut self, b: &[u8]) -> usize {
        let looked_at =
            self.over.is_some() || self.held.is_some() || self.veil.as_deref().is_some_and(|v| !v.is_clear());
        if looked_at || !self.limits.is_none() {
            return 0;
        }
        let (mut rows, mut passed) = (0, 0);
        while let Some(&[tag, a, b1, c, d]) = b.get(passed..).and_then(|rest| rest.first_chunk()) {
            let frame_bytes = u32::from_be_bytes([a, b1, c, d]) as usize + 1;
            // What is not whole, or not sound, is looked at by itself.
            if !matches!(tag, b'D' | b'd') || frame_bytes < HEADER_BYTES || frame_bytes > b.len() - passed {
                break;
            }
            rows += 1;
            passed += frame_bytes;
        }
        self.rows += rows;
        self.bytes += passed as u64 - rows * HEADER_BYTES as u64;
        passed
    }

    /// Counts a result row of `bytes`; true when it is one too many.
    pub(crate) fn count_row(&mut self, bytes: u64) -> bool {
        self.rows += 1;
        self.bytes += bytes;
        if self.limits.is_none() {
            return false;
        }
        if let Some(max) = self.limits.rows
            && self.rows_before + self.rows > max
        {
            self.over = Some(Over::Rows(max));
        } else if let Some(max) = self.limits.bytes
            && self.bytes_before + self.bytes > max
        {
            self.over = Some(Over::Bytes(max));
        }
        if self.over.is_some() {
            // The row that was one too many is not sent.
            self.rows -= 1;
            self.bytes -= bytes;
            return true;
        }
        false
    }

    /// Counts changed rows; true when they are too many.
    pub(crate) fn count_affected(&mut self, n: u64) -> bool {
        let all = self.affected.unwrap_or(0).saturating_add(n);
        self.affected = Some(all);
        match self.limits.affected {
            Some(max) if all > max => {
                self.over = Some(Over::Affected(max));
                true
            }
            _ => false,
        }
    }
}

/// The error for a passed limit.
pub(crate) fn over_limit(over: Over, rules: &[RuleId]) -> Denial {
    let (what, max, hint) = match over {
        Over::Unmaskable(why) => return why.denial().rules(rules.to_vec()),
        Over::Rows(max) => ("rows", max, "Ask for fewer rows: add a WHERE or a LIMIT."),
        Over::Bytes(max) => ("bytes of result", max, "Ask for fewer rows or columns."),
        Over::Affected(max) => {
            ("changed rows", max, "Nothing was changed. Narrow the WHERE, or ask for a higher limit.")
        }
    };
    Denial::new(
        Culprit::Policy,
        DenialCode::LimitExceeded,
        ClientText::new("limit exceeded: at most ").number(max).and(" ").and(what).and(" for this statement"),
    )
    .hint(ClientText::new(hint))
    .rules(rules.to_vec())
}

#[cfg(test)]
mod tests {
    // Counting needs a Permit, which only a gate makes: it is tested through whole sessions in tests/
    use super::*;

    #[test]
    fn the_error_says_which_limit() {
        let denial = over_limit(Over::Affected(5), &[]);
        assert_eq!(denial.message.as_str(), "limit exceeded: at most 5 changed rows for this statement");
    }
}
