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
    loop {
        let (current, previous) = (text.get(i..)?, text.get(i - 1..)?);
        if let (Some(c), Some(p)) = (current.first_chunk::<BLOCK>(), previous.first_chunk::<BLOCK>())
            && is_quiet(p, c)
        {
            i += BLOCK;
            continue;
        }
        let pairs = previous.iter().zip(current.iter().take(BLOCK));
        let found = pairs.clone().position(|(p, c)| anchor(*p, *c));
        match found {
            Some(offset) => return Some(i + offset),
            None if current.len() <= BLOCK => return None,
            None => i += BLOCK,
        }
    }
}

/// True when the block has no anchor. Without branches, so that it becomes vector instructions.
#[inline]
fn is_quiet(previous: &[u8; BLOCK], current: &[u8; BLOCK]) -> bool {
    let found = previous.iter().zip(current).fold(0, |found, (p, c)| {
        // Digits and the colon follow each other.
        let single =
            u8::from(c.wrapping_sub(b'0') <= 10) | u8::from(*c == b'=') | u8::from(*c == b'@') | u8::from(*c == b'_');
        let dash = u8::from(*c == b'-') & (u8::from(*p == b'-') | u8::from(*p == b't'));
        let aws = u8::from(*p == b'A') & (u8::from(*c == b'K') | u8::from(*c == b'S'));
        let jwt = u8::from(*p == b'y') & u8::from(*c == b'J');
        found | single | dash | aws | jwt
    });
    found == 0
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
    use super::{BLOCK, anchor, is_quiet};

    #[test]
    fn blocks_and_bytes_agree_on_every_pair() {
        for p in 0..=255_u8 {
            for c in 0..=255_u8 {
                let mut text = [b'x'; BLOCK + 1];
                (text[7], text[8]) = (p, c);
                let (previous, current) = (text.first_chunk::<BLOCK>(), text.last_chunk::<BLOCK>());
                let bytes = text.windows(2).any(|w| anchor(w[0], w[1]));
                assert_eq!(previous.zip(current).is_some_and(|(p, c)| is_quiet(p, c)), !bytes, "{p} {c}");
            }
        }
    }
}
