//! What the gateway itself does for somebody, such as locking an identity out: one act, judged and recorded like any other action, in
//! a session of its own. There is no target to send anything to, so there is no `Cleared`: an [`Act`] is the leave to do it.

use bytes::Bytes;
use countersign_model::{Action, Denial, Timestamp};

use crate::{CloseReason, Gate, GateParts, Outcome, Recorder};

/// Leave to do one thing, whose intent is recorded. Dropping it unfinished leaves its recording unfinished, which is what a crash
/// looks like.
#[must_use = "an act that was admitted is recorded as if it would be done: finish it"]
pub struct Act {
    gate: Gate,
    seq: u64,
}

impl Act {
    /// Opens a recording, judges the action and records its intent, in that order. For a durable target it waits until the intent is
    /// on the disk.
    ///
    /// # Errors
    /// When the recording cannot be written or policy denies; the refusal is in the recording where there is one.
    pub async fn begin(
        parts: GateParts,
        recorder: &dyn Recorder,
        action: Action,
        now: Timestamp,
    ) -> Result<Self, Denial> {
        let mut gate = Gate::recording(parts, recorder)?;
        match gate.judge_whole(&action, now) {
            Ok((receipt, durable)) => {
                if let Some(durable) = durable {
                    durable.await?;
                }
                Ok(Self { gate, seq: receipt.seq() })
            }
            Err(denial) => {
                gate.close(CloseReason::Denied, Some(&denial), now)?;
                Err(denial)
            }
        }
    }

    /// Records how it went, with what was answered where that may be kept.
    ///
    /// # Errors
    /// When the recording cannot be written: it was done all the same.
    pub fn finish(mut self, outcome: &Outcome, answer: &Bytes, now: Timestamp) -> Result<(), Denial> {
        if !answer.is_empty() {
            self.gate.output(self.seq, answer, now)?;
        }
        self.gate.outcome(self.seq, outcome, now)?;
        self.gate.close(CloseReason::Client, None, now)
    }
}
