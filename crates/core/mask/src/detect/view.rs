//! What a detector may look at: the text around one place, within limits, with what was found before it out of sight.
//!
//! It must never let a detector look further than its limits, because a stream keeps no more than that.

use super::{Confidence, Detector, Hit, Wanted};

/// How far back any detector looks, in bytes.
pub(super) const BEHIND_BYTES_MAX: usize = 128;
/// How far ahead all but the long ones look, in bytes.
pub(super) const AHEAD_BYTES_MAX: usize = 320;
/// How far ahead tokens, private keys and quoted secrets may go, in bytes; what is longer is found up to there.
pub(super) const LONG_BYTES_MAX: usize = 16 << 10;
/// What a hit counts as where words before a place are looked for: the length of the text that replaces it.
const HIT_BYTES: usize = crate::REDACTED.len();

/// The text around a place.
pub(super) struct View<'t> {
    /// All that is at hand.
    text: &'t [u8],
    /// What names the text: a column, a key. May be empty.
    pub(super) name: &'t [u8],
    /// Earlier bytes belong to a hit.
    pub(super) floor: usize,
    /// True when nothing follows the text.
    complete: bool,
    pub(super) wanted: Wanted,
}

impl<'t> View<'t> {
    pub(super) const fn new(text: &'t [u8], name: &'t [u8], wanted: Wanted, complete: bool) -> Self {
        Self { text, name, floor: 0, complete, wanted }
    }

    pub(super) const fn len(&self) -> usize {
        self.text.len()
    }

    /// The byte at `i`; `None` outside of the text and before the floor.
    #[inline]
    pub(super) fn at(&self, i: usize) -> Option<u8> {
        if i < self.floor { None } else { self.text.get(i).copied() }
    }

    /// The byte before `i`.
    #[inline]
    pub(super) fn before(&self, i: usize) -> Option<u8> {
        self.at(i.checked_sub(1)?)
    }

    /// The bytes from `i` on, as far as detectors may look.
    #[inline]
    pub(super) fn ahead(&self, i: usize) -> &'t [u8] {
        let end = i.saturating_add(AHEAD_BYTES_MAX).min(self.text.len());
        self.text.get(i..end).unwrap_or_default()
    }

    /// The same for what may be long. `None` when more of it may come: the place must then be looked at again.
    pub(super) fn long_ahead(&self, i: usize, ends: impl Fn(&[u8]) -> Option<usize>) -> Option<usize> {
        let end = i.saturating_add(LONG_BYTES_MAX).min(self.text.len());
        match ends(self.text.get(i..end).unwrap_or_default()) {
            Some(length) => Some(i + length),
            None if self.complete || end == i.saturating_add(LONG_BYTES_MAX) => Some(end),
            None => None,
        }
    }

    /// The bytes before `i`, as far as detectors may look.
    #[inline]
    pub(super) fn behind(&self, i: usize) -> &'t [u8] {
        let start = i.saturating_sub(BEHIND_BYTES_MAX).max(self.floor);
        self.text.get(start..i).unwrap_or_default()
    }

    /// Where the run of bytes before `i` that fulfil `is` begins; `None` when it is longer than `max`.
    #[inline]
    pub(super) fn run_start(&self, i: usize, max: usize, is: impl Fn(u8) -> bool) -> Option<usize> {
        let mut start = i;
        while let Some(b) = self.before(start)
            && is(b)
        {
            start -= 1;
            if i - start > max {
                return None;
            }
        }
        Some(start)
    }

    /// Where the run of bytes from `i` that fulfil `is` ends, `max` bytes on at the latest.
    #[inline]
    pub(super) fn run_end(&self, i: usize, max: usize, is: impl Fn(u8) -> bool) -> usize {
        let ahead = self.text.get(i..).unwrap_or_default();
        i + ahead.iter().take(max).take_while(|b| is(**b)).count()
    }

    /// The bytes of a range.
    #[inline]
    pub(super) fn slice(&self, range: std::ops::Range<usize>) -> &'t [u8] {
        self.text.get(range).unwrap_or_default()
    }

    /// Gives the pieces of text before `i`, from the nearest, with hits left out, as far back as `bytes`. A hit counts as the text that
    /// will replace it, so that a masked text gives the same pieces.
    pub(super) fn pieces_before(&self, i: usize, bytes: usize, hits: &[Hit], mut piece: impl FnMut(&'t [u8]) -> bool) {
        let (mut end, mut left) = (i, bytes);
        // However much of it is hits, a stream has no more than this.
        let first = i.saturating_sub(BEHIND_BYTES_MAX);
        let mut hits = hits.iter().rev();
        loop {
            let hit = hits.next().filter(|h| h.range.end <= end);
            let floor = hit.map_or(0, |h| h.range.end);
            let start = end.saturating_sub(left).max(floor).max(first).min(end);
            if piece(self.slice(start..end)) {
                return;
            }
            left = left.saturating_sub(end - start).saturating_sub(HIT_BYTES);
            match hit {
                Some(h) if left > 0 && start == floor && h.range.start > first => end = h.range.start,
                _ => return,
            }
        }
    }
}

/// What a detector says of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) detector: Detector,
    pub(super) confidence: Confidence,
}

impl Found {
    pub(super) const fn new(start: usize, end: usize, detector: Detector, confidence: Confidence) -> Self {
        Self { start, end, detector, confidence }
    }
}

#[inline]
pub(super) const fn is_word(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b == b'_'
}
