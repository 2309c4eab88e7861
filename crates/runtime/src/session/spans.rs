//! The spans of a session's actions, for whoever collects traces. They must never hold an action's text, its parameters or its rows,
//! and cost next to nothing when nobody collects.

use std::collections::VecDeque;

use countersign_enforce::{Outcome, OutcomeStatus, Proposal};
use countersign_model::Denial;
use tracing::Span;
use tracing::field::{Empty, display};

/// The spans of what is under way. There are no more than the gate lets through at once.
pub(super) struct Spans {
    judged: Span,
    running: VecDeque<(u64, Span)>,
}

impl Spans {
    pub(super) fn new() -> Self {
        Self { judged: Span::none(), running: VecDeque::new() }
    }

    /// An action is proposed.
    pub(super) fn begin(&mut self, session: &Span, proposal: &Proposal) {
        let shape = &proposal.action().shape;
        self.judged = tracing::debug_span!(
            parent: session, "action", kind = shape.kind(), access = shape.access().as_str(), seq = Empty, denied = Empty,
            rules = Empty, status = Empty, rows = Empty, bytes = Empty, affected = Empty, code = Empty,
            otel.status_code = Empty
        );
    }

    /// It goes on to the target.
    pub(super) fn allowed(&mut self, seq: u64) {
        let span = std::mem::replace(&mut self.judged, Span::none());
        if !span.is_disabled() {
            span.record("seq", signed(seq));
            self.running.push_back((seq, span));
        }
    }

    /// It does not.
    pub(super) fn denied(&mut self, denial: &Denial) {
        let span = std::mem::replace(&mut self.judged, Span::none());
        if !span.is_disabled() {
            span.record("denied", denial.code.as_str());
            let rules: Vec<&str> = denial.rules.iter().map(|r| r.as_str()).collect();
            span.record("rules", rules.join(","));
        }
    }

    /// It is over.
    pub(super) fn ended(&mut self, seq: u64, outcome: &Outcome) {
        let Some(place) = self.running.iter().position(|(s, _)| *s == seq) else { return };
        let Some((_, span)) = self.running.remove(place) else { return };
        span.record("status", outcome.status.as_str());
        span.record("rows", signed(outcome.rows));
        span.record("bytes", signed(outcome.bytes));
        if let Some(affected) = outcome.affected {
            span.record("affected", signed(affected));
        }
        if let Some(code) = &outcome.code {
            span.record("code", display(code));
        }
        if outcome.status != OutcomeStatus::Done {
            // What tracing backends take for an error.
            span.record("otel.status_code", "ERROR");
        }
    }
}

/// Trace backends know signed numbers alone.
fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
