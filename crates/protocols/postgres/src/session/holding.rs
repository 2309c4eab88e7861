//! Statements that wait for people: what they are bound to, and what the client is told meanwhile.

use bytes::{Bytes, BytesMut};
use countersign_enforce::{HoldFacts, ReviewNotice};
use countersign_model::ClientText;
use countersign_sql::Analysis;

use super::Session;
use super::expect::Expect;
use super::ruling::Op;
use crate::aside::Aside;
use crate::wire::{self, Fields};

/// The parameters that change what a text means and that every server reports, beside those that a session is asked for.
const MEANINGS: [&[u8]; 3] = [b"DateStyle", b"IntervalStyle", b"TimeZone"];
/// The longest value of one that is kept.
const MEANING_BYTES_MAX: usize = 256;

/// What the target last reported of [`MEANINGS`].
#[derive(Default)]
pub(crate) struct Reported([Box<[u8]>; MEANINGS.len()]);

impl Reported {
    /// Takes a `ParameterStatus` frame.
    pub(crate) fn note(&mut self, frame: &[u8]) {
        let mut f = Fields::of(frame);
        let (name, value) = (f.cstr().unwrap_or_default(), f.cstr().unwrap_or_default());
        let place = MEANINGS.iter().position(|m| *m == name).and_then(|n| self.0.get_mut(n));
        if let Some(place) = place {
            *place = value.get(..value.len().min(MEANING_BYTES_MAX)).unwrap_or_default().into();
        }
    }
}

impl Session {
    /// What of the session decides what the statement at hand does.
    pub(crate) fn hold_facts(&self) -> HoldFacts {
        let mut settings = self.facts.settings_in_bytes();
        for value in &self.reported.0 {
            settings.extend_from_slice(&(value.len() as u64).to_be_bytes());
            settings.extend_from_slice(value);
        }
        let analysis = match &self.asked {
            Some((_, Op::Query { analysis, .. } | Op::Parse { analysis, .. } | Op::Execute { analysis, .. })) => {
                analysis.as_deref()
            }
            None => None,
        };
        let by_name = |a: &Analysis| a.references().next().is_some();
        let cannot = match analysis {
            Some(a) if !by_name(a) => None,
            _ => Some(
                "it needs a review, and runs something by a name alone, so that people could not see what they decide: send its text",
            ),
        };
        HoldFacts { settings: settings.into(), in_transaction: self.may_be_in_transaction(), cannot }
    }

    /// True when the target holds locks for this client, or may by the time it has done what is on its way.
    fn may_be_in_transaction(&self) -> bool {
        let opens = |analysis: &Analysis| analysis.statements().iter().any(|s| s.transaction.is_some());
        self.status != b'I'
            || (self.unsynced && self.executed)
            || self.expects.iter().any(|e| match e {
                Expect::Query(r) | Expect::Execute(r) => r.after.as_deref().is_some_and(opens),
                _ => false,
            })
    }

    /// People were asked: the client is told, between two messages of the target.
    pub(crate) fn on_held(&mut self, notice: &ReviewNotice) {
        let told = held(notice);
        self.notice = Some(if self.is_inside { [aside(notice), told].concat().into() } else { told });
        self.give_notice();
    }

    pub(super) fn give_notice(&mut self) {
        if self.notice.is_some()
            && (self.server_rest == 0 || !self.server_rest_passes)
            && let Some(notice) = self.notice.take()
        {
            self.client(notice);
        }
    }

    /// Remembers a `ParameterStatus` frame.
    pub(crate) fn note_parameter(&mut self, frame: &[u8]) {
        self.reported.note(frame);
    }
}

/// The same for a client in this process.
fn aside(notice: &ReviewNotice) -> Bytes {
    let mut out = BytesMut::new();
    let (review, reviewers) = (notice.id.clone(), notice.reviewers.clone());
    Aside::Held { review, reviewers, left_s: notice.left_s }.put(&mut out);
    out.freeze()
}

/// Minutes for people, seconds where it is less than two minutes.
fn held(notice: &ReviewNotice) -> Bytes {
    let (n, unit) = if notice.left_s >= 120 { (notice.left_s / 60, " minutes") } else { (notice.left_s, " seconds") };
    let begun = if notice.resumed { "this statement takes up review " } else { "this statement waits for review " };
    let message = ClientText::new(begun)
        .name(&notice.id)
        .and(": ")
        .name(&notice.reviewers)
        .and(" must approve it within ")
        .number(n)
        .and(unit);
    let hint = ClientText::new("They answer with: countersign reviews approve ").name(&notice.id);
    let mut out = BytesMut::with_capacity(256);
    wire::notice(&mut out, &message, &hint);
    out.freeze()
}
