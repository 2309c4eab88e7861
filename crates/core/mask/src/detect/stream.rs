//! The same pass over a stream that comes in chunks: wherever it is cut, the hits are the same.
//!
//! It keeps what a detector may still look back at, and what it must see before it can say; never more than [`CARRY_BYTES_MAX`] and a chunk.

use super::scan::advance;
use super::view::{AHEAD_BYTES_MAX, BEHIND_BYTES_MAX, LONG_BYTES_MAX, View};
use super::{Confidence, Detector, Hit, Wanted};

/// The most bytes that are kept back between two chunks: the longest hit, what may be looked ahead behind it, and what is looked back.
pub const CARRY_BYTES_MAX: usize = 2 * LONG_BYTES_MAX + BEHIND_BYTES_MAX + AHEAD_BYTES_MAX;

/// A piece of a stream, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'s> {
    /// Bytes without anything in them.
    Clear(&'s [u8]),
    /// Something that was found.
    Found {
        /// Its bytes.
        bytes: &'s [u8],
        /// What it is.
        detector: Detector,
        /// How sure that is.
        confidence: Confidence,
    },
}

/// Scans a stream. What is given out lags behind what came in; [`StreamScanner::finish`] gives out the rest.
pub struct StreamScanner {
    wanted: Wanted,
    buffer: Vec<u8>,
    /// Where in the buffer the pass is.
    cursor: usize,
    /// Where in the buffer the last hit ends.
    floor: usize,
    /// Up to here the buffer was given out.
    released: usize,
    hits: Vec<Hit>,
}

impl StreamScanner {
    /// For a stream that begins now.
    pub const fn new(wanted: Wanted) -> Self {
        Self { wanted, buffer: Vec::new(), cursor: 0, floor: 0, released: 0, hits: Vec::new() }
    }

    /// Takes the next bytes, and gives out all that is settled.
    pub fn push(&mut self, chunk: &[u8], piece: impl FnMut(Piece<'_>)) {
        self.buffer.extend_from_slice(chunk);
        let stop = self.buffer.len().saturating_sub(AHEAD_BYTES_MAX);
        if stop > self.cursor {
            self.advance(stop, false);
        }
        self.release(self.cursor.saturating_sub(BEHIND_BYTES_MAX), piece);
        self.forget();
    }

    /// The stream has ended, or waits for an answer: gives out everything. What comes later is a new stream.
    pub fn finish(&mut self, piece: impl FnMut(Piece<'_>)) {
        self.advance(self.buffer.len(), true);
        self.release(self.buffer.len(), piece);
        *self = Self::new(self.wanted);
    }

    /// How many bytes are kept back.
    pub fn carried(&self) -> usize {
        self.buffer.len() - self.released
    }

    fn advance(&mut self, stop: usize, complete: bool) {
        let mut view = View::new(&self.buffer, b"", self.wanted, complete);
        view.floor = self.floor;
        advance(&mut view, &mut self.cursor, stop, &mut self.hits);
        self.floor = view.floor;
    }

    /// Gives out the buffer up to `end`, but no part of a hit that goes on behind it.
    fn release(&mut self, end: usize, mut piece: impl FnMut(Piece<'_>)) {
        let straddling = self.hits.iter().find(|h| h.range.start < end && h.range.end > end);
        let end = straddling.map_or(end, |h| h.range.start).max(self.released);
        let mut at = self.released;
        let clear = |from: usize, to: usize, piece: &mut dyn FnMut(Piece<'_>)| {
            if let Some(bytes) = self.buffer.get(from..to).filter(|b| !b.is_empty()) {
                piece(Piece::Clear(bytes));
            }
        };
        for h in self.hits.iter().filter(|h| h.range.start >= self.released && h.range.end <= end) {
            clear(at, h.range.start, &mut piece);
            if let Some(bytes) = self.buffer.get(h.range.clone()) {
                piece(Piece::Found { bytes, detector: h.detector, confidence: h.confidence });
            }
            at = h.range.end;
        }
        clear(at, end, &mut piece);
        self.released = end;
    }

    /// Drops what nobody looks at any more.
    fn forget(&mut self) {
        let first = self.released.min(self.cursor.saturating_sub(BEHIND_BYTES_MAX));
        if first == 0 {
            return;
        }
        self.buffer.drain(..first);
        self.hits.retain_mut(|h| {
            let kept = h.range.end > first;
            h.range = h.range.start.saturating_sub(first)..h.range.end.saturating_sub(first);
            kept
        });
        self.cursor -= first;
        self.floor = self.floor.saturating_sub(first);
        self.released -= first;
    }
}
