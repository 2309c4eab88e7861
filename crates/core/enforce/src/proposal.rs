//! An action on its way through the gate: proposed, then cleared.

use bytes::Bytes;
use countersign_model::{Action, ClientText, Culprit, Denial, DenialCode, SessionId, Shape};
use std::sync::Arc;

use crate::Receipt;
use crate::masking::Masking;

/// An action together with the very bytes that would carry it to the target.
#[derive(Debug)]
pub struct Proposal {
    frame: Bytes,
    action: Action,
    same_text_as: Option<u64>,
    cannot_limit: Option<&'static str>,
    cannot_count: Option<&'static str>,
    masking: Masking,
    prepares: bool,
    watchable: bool,
}

impl Proposal {
    /// Proposes `frame`, whose meaning was read from `action.text`.
    ///
    /// # Errors
    /// When the text does not lie within the frame: then the bytes judged would not be the bytes sent.
    pub fn new(frame: Bytes, action: Action) -> Result<Self, Denial> {
        if !aliases(&frame, &action.text) {
            return Err(Denial::new(
                Culprit::Us,
                DenialCode::Internal,
                ClientText::new("the statement could not be tied to the message that carries it"),
            )
            .detail("proposal text does not alias its frame"));
        }
        Ok(Self {
            frame,
            action,
            same_text_as: None,
            cannot_limit: None,
            cannot_count: None,
            masking: Masking::default(),
            prepares: false,
            watchable: false,
        })
    }

    /// Proposes a frame that runs what an earlier, admitted action put in place: the text is the earlier one's.
    pub fn under(permit: &Permit, frame: Bytes, shape: Arc<Shape>, parameters: Bytes) -> Self {
        let action = Action { shape, text: permit.text.clone(), parameters };
        Self {
            frame,
            action,
            same_text_as: Some(permit.seq),
            cannot_limit: None,
            cannot_count: None,
            masking: Masking::default(),
            prepares: false,
            watchable: false,
        }
    }

    /// Says that the machine could not keep a limit on this action, and why (shown to the client): the gate then denies it if
    /// policy sets one.
    #[must_use]
    pub fn cannot_limit(mut self, why: &'static str) -> Self {
        self.cannot_limit = Some(why);
        self
    }

    /// Says that the machine could not keep a limit on changed rows, and why: they are not counted by the target.
    #[must_use]
    pub fn cannot_count(mut self, why: &'static str) -> Self {
        self.cannot_count = Some(why);
        self
    }

    /// Says that the machine rewrites every tagged value in what this action returns: those that depend on tagged columns, and those
    /// that are found by their content. Without it the gate denies the action when anything of it would have to be masked.
    #[must_use]
    pub fn maskable(mut self) -> Self {
        self.masking.tagged = true;
        self
    }

    /// Says that tagged values could not be found by their content in what this action returns, and why (shown to the client after
    /// "and"): the gate then denies it where any are looked for.
    #[must_use]
    pub fn cannot_search(mut self, why: &'static str) -> Self {
        self.masking.no_search = Some(why);
        self
    }

    pub(crate) fn masking(&self) -> Masking {
        self.masking
    }

    /// Says that the frame only puts something in place, which is proposed again, under this one's permit, when it is to run: it
    /// need not be held for a review itself.
    #[must_use]
    pub fn prepares(mut self) -> Self {
        self.prepares = true;
        self
    }

    /// Says that the machine holds this action, its input and its output while nobody watches whom policy asks for. Without it the gate
    /// denies the action where policy asks for somebody.
    #[must_use]
    pub fn watchable(mut self) -> Self {
        self.watchable = true;
        self
    }

    pub(crate) fn is_watchable(&self) -> bool {
        self.watchable
    }

    pub(crate) fn only_prepares(&self) -> bool {
        self.prepares
    }

    pub(crate) fn why_no_count(&self) -> Option<&'static str> {
        self.cannot_count
    }

    pub(crate) fn why_no_limit(&self) -> Option<&'static str> {
        self.cannot_limit
    }

    /// What would happen.
    pub fn action(&self) -> &Action {
        &self.action
    }

    /// The sequence number of the earlier intent that has the same text, if this one runs something put in place before.
    pub fn same_text_as(&self) -> Option<u64> {
        self.same_text_as
    }

    pub(crate) fn into_parts(self) -> (Bytes, Action) {
        (self.frame, self.action)
    }
}

fn aliases(frame: &Bytes, text: &Bytes) -> bool {
    if text.is_empty() {
        return true;
    }
    let frame = frame.as_ptr_range();
    let text = text.as_ptr_range();
    frame.start <= text.start && text.end <= frame.end
}

/// Proof that the gate admitted an action and that its intent is recorded. Consumed by [`crate::Upstream::send`].
#[must_use = "an admitted action that is not sent was recorded as if it would be"]
#[derive(Debug)]
pub struct Cleared {
    pub(crate) session: SessionId,
    pub(crate) frame: Bytes,
}

/// Proof that an action was admitted, for the bytes that belong to it: binds, rows to copy in, closing. Only the gate makes one.
#[derive(Clone, Debug)]
pub struct Permit {
    pub(crate) session: SessionId,
    pub(crate) seq: u64,
    pub(crate) text: Bytes,
}

impl Permit {
    pub(crate) fn new(session: SessionId, receipt: Receipt, text: Bytes) -> Self {
        Self { session, seq: receipt.seq(), text }
    }

    /// The intent's sequence number in its session's recording.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The text that was judged.
    pub fn text(&self) -> &Bytes {
        &self.text
    }
}
