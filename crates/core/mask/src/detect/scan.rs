//! The pass: from anchor to anchor, each looked at once.
//!
//! An anchor is a byte that something can begin with or hang on: digits, `@ : = _`, and a few pairs of bytes that keys without a digit
//! have. It must never go back behind the cursor, so that the pass stays linear.

use super::view::{Found, View};
use super::{Detector, Hit, Wanted, address, key, number, secret, url};

/// Text is looked through in blocks of this many bytes; a block without an anchor costs a few vector instructions.
const BLOCK: usize = 16;

/// Which bytes may be anchors, by their value.
static MAY_BE_ANCHOR: [bool; 256] = {
    let mut all = [false; 256];
    let mut b = 0;
    while b < all.len() {
        #[expect(clippy::indexing_slicing, clippy::cast_possible_truncation, reason = "the loop's bound")]
        {
            all[b] = matches!(b as u8, b'0'..=b'9' | b':' | b'=' | b'@' | b'_' | b'-' | b'K' | b'S' | b'J');
        }
        b += 1;
    }
    all
};

/// Finds all that is wanted in `text` and puts it into `hits`, which is emptied first. `name` is what names the text (a column, a key; may
/// be empty): it counts as words before the text.
pub fn scan(text: &[u8], name: &[u8], wanted: Wanted, hits: &mut Vec<Hit>) {
    hits.clear();
    if wanted.is_none() {
        return;
    }
    let mut view = View::new(text, name, wanted, true);
    secret::whole(&view, hits);
    view.floor = hits.last().map_or(0, |h| h.range.end);
    let mut cursor = view.floor;
    advance(&mut view, &mut cursor, text.len(), hits);
}

/// Looks at all anchors from `cursor` to `stop`. Stops earlier where more of a stream must be seen first.
pub(super) fn advance(view: &mut View<'_>, cursor: &mut usize, stop: usize, hits: &mut Vec<Hit>) {
    while let Some(at) = next_anchor(view, *cursor, stop) {
        let mut sink = Sink { hits, floor: view.floor };
        let next = visit(view, at, &mut sink);
        view.floor = sink.floor;
        let Some(next) = next else {
            *cursor = at;
            return;
        };
        *cursor = next.max(at + 1).max(view.floor);
    }
    *cursor = (*cursor).max(stop);
}

/// Looks at one anchor; says where to go on, or `None` when more must be seen first.
fn visit(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    match view.at(at)? {
        b'0'..=b'9' => number::visit(view, at, sink),
        b'@' => Some(address::email(view, at, sink)),
        b':' => url::colon(view, at, sink),
        b'=' => secret::assignment(view, at, sink),
        _ => key::visit(view, at, sink),
    }
}

/// Where hits go.
pub(super) struct Sink<'h> {
    pub(super) hits: &'h mut Vec<Hit>,
    floor: usize,
}

impl Sink<'_> {
    /// Keeps what was found. What lies within it was a part of it; of a part that stands out, the rest is kept.
    pub(super) fn push(&mut self, view: &View<'_>, found: &Found) {
        let &Found { mut start, end, detector, confidence } = found;
        if !view.wanted.has(detector) {
            return;
        }
        while let Some(last) = self.hits.last()
            && last.range.start >= start
            && last.range.end <= end
        {
            self.hits.pop();
        }
        if let Some(last) = self.hits.last() {
            start = start.max(last.range.end);
        }
        if start < end {
            self.floor = self.floor.max(end);
            self.hits.push(Hit { range: start..end, detector, confidence });
        }
    }

    /// What was found last, if it ends at or behind `at`.
    pub(super) fn reaching(&self, at: usize) -> Option<Detector> {
        self.hits.last().filter(|h| h.range.end >= at).map(|h| h.detector)
    }
}

/// The first anchor in a range.
fn next_anchor(view: &View<'_>, from: usize, stop: usize) -> Option<usize> {
    let text = view.slice(0..stop);
    let mut i = from;
    if i == 0 {
        if anchor(0, *text.first()?) {
            return Some(0);
        }
        i = 1;
    }
    // Each block with the byte before it.
    while let Some(block) = text.get(i - 1..)?.first_chunk() {
        let found = anchors(block);
        if found != 0 {
            return Some(i + first(found));
        }
        i += BLOCK;
    }
    // What is left is less than a block: the last one of the text, without what was looked at.
    if let Some(block) = text.last_chunk() {
        let begin = text.len() - BLOCK;
        let found = anchors(block).checked_shr(u32::try_from((i - begin) * 8).ok()?)?;
        return (found != 0).then(|| i + first(found));
    }
    let (current, previous) = (text.get(i..)?, text.get(i - 1..)?);
    previous.iter().zip(current).position(|(p, c)| anchor(*p, *c)).map(|offset| i + offset)
}

/// The place of the first anchor in a block that has one.
#[inline]
const fn first(found: u128) -> usize {
    (found.trailing_zeros() / 8) as usize
}

/// A byte for each of a block, the first is the lowest: zero unless it is an anchor. Without branches, so that it becomes vector
/// instructions.
#[inline]
fn anchors(block: &[u8; BLOCK + 1]) -> u128 {
    let mut found = [0_u8; BLOCK];
    for ((f, p), c) in found.iter_mut().zip(block).zip(block.iter().skip(1)) {
        // Digits and the colon follow each other.
        let single =
            u8::from(c.wrapping_sub(b'0') <= 10) | u8::from(*c == b'=') | u8::from(*c == b'@') | u8::from(*c == b'_');
        let dash = u8::from(*c == b'-') & (u8::from(*p == b'-') | u8::from(*p == b't'));
        let aws = u8::from(*p == b'A') & (u8::from(*c == b'K') | u8::from(*c == b'S'));
        let jwt = u8::from(*p == b'y') & u8::from(*c == b'J');
        *f = single | dash | aws | jwt;
    }
    u128::from_le_bytes(found)
}

/// The same for one byte.
#[inline]
fn anchor(previous: u8, current: u8) -> bool {
    #[expect(clippy::indexing_slicing, reason = "a byte is below 256")]
    let may_be = MAY_BE_ANCHOR[usize::from(current)];
    may_be && is_anchor(previous, current)
}

#[inline]
const fn is_anchor(previous: u8, current: u8) -> bool {
    match current {
        b'0'..=b'9' | b':' | b'=' | b'@' | b'_' => true,
        b'-' => matches!(previous, b'-' | b't'),
        b'K' | b'S' => previous == b'A',
        b'J' => previous == b'y',
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::cast_possible_truncation)]
mod tests {
    use super::{BLOCK, anchor, anchors, next_anchor};
    use crate::detect::Wanted;
    use crate::detect::view::View;

    #[test]
    fn blocks_and_bytes_agree_on_every_pair() {
        for p in 0..=255_u8 {
            for c in 0..=255_u8 {
                let mut text = [b'x'; BLOCK + 1];
                (text[7], text[8]) = (p, c);
                let found = anchors(&text).to_le_bytes();
                for (w, f) in text.windows(2).zip(found) {
                    assert_eq!(anchor(w[0], w[1]), f != 0, "{p} {c}");
                }
            }
        }
    }

    /// Texts shorter than a block, of some blocks, and with less than one at their end.
    #[test]
    fn every_anchor_is_met_wherever_it_stands() {
        for len in 0..4 * BLOCK {
            for at in 0..len {
                for from in 0..=at {
                    let mut text = vec![b'x'; len];
                    text[at] = b'7';
                    let view = View::new(&text, b"", Wanted::ALL, true);
                    assert_eq!(next_anchor(&view, from, len), Some(at), "{len} {from}");
                    assert_eq!(next_anchor(&view, from, at), None, "{len} {from}");
                    assert_eq!(next_anchor(&view, at + 1, len), None, "{len}");
                }
            }
        }
    }
}
