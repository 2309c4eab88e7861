//! JSON texts, leaf by leaf: RFC 8259, read strictly, because what another reader would see otherwise must not slip through.
//!
//! It must never change a byte outside of the leaves that it masks.

use super::{ContentPlan, Counts, Scratch};
use crate::detect::scan;
use crate::transform::Masker;

/// Appends the masked text and says whether anything changed; `None` when it is not JSON, and `out` is then of no use.
pub(super) fn mask(
    masker: &Masker,
    plan: &ContentPlan,
    text: &[u8],
    name: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
    counts: &mut Counts,
) -> Option<bool> {
    let mut walk = Walk { masker, plan, text, at: 0, copied: 0, out, counts, scratch, changed: false };
    walk.values(name)?;
    walk.spaces();
    if walk.at != text.len() {
        return None;
    }
    walk.copy_to(text.len());
    Some(walk.changed)
}

/// What a value stands in.
enum Within<'w> {
    Object,
    /// With the name of its elements.
    Array(&'w [u8]),
}

struct Walk<'w> {
    masker: &'w Masker,
    plan: &'w ContentPlan,
    text: &'w [u8],
    at: usize,
    /// Up to here the text is in `out`.
    copied: usize,
    out: &'w mut Vec<u8>,
    counts: &'w mut Counts,
    scratch: &'w mut Scratch,
    changed: bool,
}

impl<'w> Walk<'w> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn expect(&mut self, b: u8) -> Option<()> {
        (self.peek()? == b).then(|| self.at += 1)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn copy_to(&mut self, end: usize) {
        self.out.extend_from_slice(self.text.get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    /// All values, the outermost first. What it is within is kept in a list, not on the stack, so that no depth breaks it.
    fn values(&mut self, outer: &'w [u8]) -> Option<()> {
        let mut within: Vec<Within<'w>> = Vec::new();
        let mut name = outer;
        loop {
            self.spaces();
            match self.peek()? {
                b'{' => {
                    self.at += 1;
                    self.spaces();
                    if self.peek()? != b'}' {
                        within.push(Within::Object);
                        name = self.key()?;
                        continue;
                    }
                    self.at += 1;
                }
                b'[' => {
                    self.at += 1;
                    self.spaces();
                    if self.peek()? != b']' {
                        within.push(Within::Array(name));
                        continue;
                    }
                    self.at += 1;
                }
                b'"' => {
                    self.string(name)?;
                }
                b't' => self.word(b"true")?,
                b'f' => self.word(b"false")?,
                b'n' => self.word(b"null")?,
                _ => self.number(name)?,
            }
            // What the value ends, and what comes next.
            loop {
                self.spaces();
                let Some(innermost) = within.last() else { return Some(()) };
                match (innermost, self.peek()?) {
                    (Within::Object, b',') => {
                        self.at += 1;
                        name = self.key()?;
                        break;
                    }
                    (Within::Array(own), b',') => {
                        name = own;
                        self.at += 1;
                        break;
                    }
                    (Within::Object, b'}') | (Within::Array(_), b']') => {
                        self.at += 1;
                        within.pop();
                    }
                    _ => return None,
                }
            }
        }
    }

    /// A name in an object, with its colon.
    fn key(&mut self) -> Option<&'w [u8]> {
        self.spaces();
        let key = self.string(b"")?;
        self.spaces();
        self.expect(b':')?;
        Some(key)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())
    }

    /// A number: digits, sign, point, exponent. Others decide whether it is a good one; nothing else may hide in it.
    fn number(&mut self, name: &[u8]) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let number = self.text.get(start..self.at).filter(|n| n.iter().any(u8::is_ascii_digit))?;
        scan(number, name, self.plan.wanted, &mut self.scratch.hits);
        self.scratch.hits.retain(|h| h.confidence >= self.plan.least);
        if let Some(hit) = self.scratch.hits.first() {
            self.counts.count(hit.detector);
            self.copy_to(start);
            self.out.extend_from_slice(b"null");
            self.copied = self.at;
            self.changed = true;
        }
        Some(())
    }

    /// A string; gives what is between its quotes.
    fn string(&mut self, name: &[u8]) -> Option<&'w [u8]> {
        self.expect(b'"')?;
        let start = self.at;
        let mut escaped = false;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    self.at += 2;
                }
                0..=0x1f => return None,
                _ => self.at += 1,
            }
        }
        let raw = self.text.get(start..self.at)?;
        self.at += 1;
        let mut leaf = std::mem::take(&mut self.scratch.leaf);
        leaf.clear();
        let text = if escaped { unescape(raw, &mut leaf).map(|()| &*leaf) } else { Some(raw) };
        let masked = text.map(|text| self.leaf(text, name, start));
        self.scratch.leaf = leaf;
        masked.map(|()| raw)
    }

    /// Masks the text of a string whose bytes begin at `start`.
    fn leaf(&mut self, text: &[u8], name: &[u8], start: usize) {
        scan(text, name, self.plan.wanted, &mut self.scratch.hits);
        self.scratch.hits.retain(|h| h.confidence >= self.plan.least);
        if self.scratch.hits.is_empty() {
            return;
        }
        self.copy_to(start);
        let mut new = Vec::with_capacity(text.len());
        self.masker.replace(self.plan, text, &self.scratch.hits, &mut new, self.counts);
        escape(&new, self.out);
        self.copied = self.at - 1;
        self.changed = true;
    }
}

/// Takes the escapes out; `None` when one is wrong, or half of a surrogate pair is alone.
fn unescape(raw: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let unit = |at: usize| {
        let digits = std::str::from_utf8(raw.get(at..at + 4)?).ok()?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
    };
    let mut i = 0;
    while let Some(b) = raw.get(i) {
        if *b != b'\\' {
            out.push(*b);
            i += 1;
            continue;
        }
        let plain = match raw.get(i + 1)? {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            c @ (b'"' | b'\\' | b'/') => *c,
            b'u' => {
                let high = unit(i + 2)?;
                i += 6;
                let code = if (0xd800..0xdc00).contains(&high) {
                    (raw.get(i..i + 2)? == b"\\u").then_some(())?;
                    let low = unit(i + 2).filter(|l| (0xdc00..0xe000).contains(l))?;
                    i += 6;
                    0x1_0000 + ((high - 0xd800) << 10) + (low - 0xdc00)
                } else {
                    high
                };
                out.extend_from_slice(char::from_u32(code)?.encode_utf8(&mut [0; 4]).as_bytes());
                continue;
            }
            _ => return None,
        };
        out.push(plain);
        i += 2;
    }
    Some(())
}

/// Puts the escapes in that must be there.
fn escape(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for b in text {
        match b {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *b]),
            b'\n' => out.extend_from_slice(b"\\n"),
            0..=0x1f => {
                let digit = |d: u8| HEX.get(usize::from(d)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(b >> 4), digit(b & 15)]);
            }
            _ => out.push(*b),
        }
    }
}
