//! A text without its constants: what fingerprints and the second cache level compare.
//!
//! Two texts with the same normal form differ only in the values of constants, in white space, comments and the case of unquoted
//! names. It must be injective beyond that: every other difference shows.

use countersign_model::Fingerprint;
use sha2::{Digest, Sha256};

use crate::lexer::{Lexer, Measure, Token};

/// Starts a place-holder. No token of SQL starts with this byte.
pub(crate) const HOLE: u8 = 0x01;

/// What one pass of the lexer learns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Normal {
    /// The text without constants. Empty when `broken`.
    pub(crate) text: Vec<u8>,
    /// Constants that were taken out.
    pub(crate) constants: usize,
    /// Characters are written by their codes (`U&`, `\\u`, `\\x`): whether the text is valid depends on the constants.
    pub(crate) unicode_escapes: bool,
    /// Where the real scanner would refuse the text.
    pub(crate) broken: Option<usize>,
    /// Size and depth.
    pub(crate) measure: Measure,
    /// Open brackets; empty between texts, kept for its memory.
    levels: Vec<Level>,
}

/// One level of brackets or of `CASE … END`, for the estimate of depth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Level {
    /// Tokens that may chain since the segment began. A comma begins a new one, and so do AND and OR, whose trees are flat.
    chain: usize,
    /// Set operations and joins since the level began; they chain across segments.
    sets: usize,
    /// Deepest child so far in this segment.
    child: usize,
    /// Deepest segment so far.
    deepest: usize,
    /// It began with `CASE`.
    is_case: bool,
}

impl Level {
    fn segment(&mut self) {
        self.deepest = self.deepest.max(self.chain + self.child);
        self.chain = 0;
        self.child = 0;
    }

    fn close(mut self) -> usize {
        self.segment();
        self.deepest + self.sets
    }

    /// Ends this level within the one around it.
    fn close_into(&mut self, outer: Option<Self>) {
        let depth = self.close() + 1;
        *self = outer.unwrap_or_default();
        self.child = self.child.max(depth);
    }
}

impl Normal {
    /// Reads `text` into `self`, keeping the buffer.
    pub(crate) fn read(&mut self, text: &[u8]) {
        self.text.clear();
        self.text.reserve(text.len() + text.len() / 4);
        self.constants = 0;
        self.unicode_escapes = false;
        self.broken = None;
        self.measure = Measure::default();
        let mut lexer = Lexer::new(text);
        let mut levels = std::mem::take(&mut self.levels);
        levels.clear();
        let mut level = Level::default();
        let mut deepest = 0usize;
        let mut after_dot = false;
        while let Some(lexeme) = lexer.next_lexeme() {
            let bytes = text.get(lexeme.start..lexeme.end).unwrap_or_default();
            self.measure.tokens += 1;
            if !self.text.is_empty() {
                self.text.push(b' ');
            }
            let dot = std::mem::replace(&mut after_dot, lexeme.token == Token::Sign && bytes == b".");
            match lexeme.token {
                Token::Broken => {
                    self.broken = Some(lexeme.start);
                    self.text.clear();
                    break;
                }
                Token::Word => {
                    level.chain += 1;
                    match structure(bytes) {
                        _ if dot => {}
                        Some(Structure::Separator) => level.segment(),
                        Some(Structure::Chain) => level.sets += 1,
                        Some(Structure::Case) => {
                            levels.push(level);
                            level = Level { is_case: true, ..Level::default() };
                        }
                        Some(Structure::End) if level.is_case => level.close_into(levels.pop()),
                        Some(Structure::End) | None => {}
                    }
                    self.text.extend(bytes.iter().map(u8::to_ascii_lowercase));
                }
                Token::Quoted => {
                    level.chain += 1;
                    self.unicode_escapes |= bytes.first() != Some(&b'"');
                    self.text.extend_from_slice(bytes);
                }
                Token::String => {
                    let kind = bytes.first().map_or(b'\'', u8::to_ascii_lowercase);
                    self.unicode_escapes |= kind == b'u' || (kind == b'e' && has_code_escape(bytes));
                    self.hole(kind);
                }
                Token::Integer => self.hole(b'0'),
                Token::Float => self.hole(b'1'),
                Token::Param => self.text.extend_from_slice(bytes),
                Token::Operator => {
                    level.chain += 1;
                    self.text.extend_from_slice(bytes);
                }
                Token::Sign => {
                    self.text.extend_from_slice(bytes);
                    match bytes.first() {
                        Some(b'(' | b'[') => {
                            levels.push(level);
                            level = Level::default();
                        }
                        Some(b')' | b']') => {
                            while level.is_case {
                                level.close_into(levels.pop());
                            }
                            level.close_into(levels.pop());
                        }
                        Some(b',') => level.segment(),
                        Some(b';') if levels.is_empty() => {
                            deepest = deepest.max(level.close());
                            level = Level::default();
                        }
                        _ => level.chain += 1,
                    }
                }
            }
        }
        // What never closed is a syntax error, but counts.
        let mut depth = level.close();
        while let Some(mut open) = levels.pop() {
            open.child = open.child.max(depth + 1);
            depth = open.close();
        }
        self.measure.nesting = deepest.max(depth);
        self.levels = levels;
    }

    fn hole(&mut self, kind: u8) {
        self.constants += 1;
        self.text.push(HOLE);
        self.text.push(kind);
    }

    /// What the fingerprint of `text` is: of its normal form, or of the raw bytes when it has none.
    pub(crate) fn fingerprint(&self, text: &[u8]) -> Fingerprint {
        let mut hash = Sha256::new();
        if self.broken.is_some() {
            hash.update([0]);
            hash.update(text);
        } else {
            hash.update([1]);
            hash.update(&self.text);
        }
        let digest = hash.finalize();
        let mut first = [0u8; 16];
        for (to, from) in first.iter_mut().zip(digest) {
            *to = from;
        }
        Fingerprint(u128::from_be_bytes(first))
    }
}

/// True when a string has an escape that gives a character by its code.
fn has_code_escape(string: &[u8]) -> bool {
    let mut bytes = string.iter();
    while let Some(b) = bytes.next() {
        if *b == b'\\' && matches!(bytes.next(), Some(b'u' | b'U' | b'x' | b'0'..=b'9')) {
            return true;
        }
    }
    false
}

/// What a keyword does to the depth of a tree.
enum Structure {
    /// `AND`, `OR`.
    Separator,
    /// `UNION`, `EXCEPT`, `INTERSECT`, `JOIN`.
    Chain,
    Case,
    End,
}

fn structure(word: &[u8]) -> Option<Structure> {
    let is = |keyword: &[u8]| word.eq_ignore_ascii_case(keyword);
    match word.len() {
        2 if is(b"or") => Some(Structure::Separator),
        3 if is(b"and") => Some(Structure::Separator),
        3 if is(b"end") => Some(Structure::End),
        4 if is(b"join") => Some(Structure::Chain),
        4 if is(b"case") => Some(Structure::Case),
        5 if is(b"union") => Some(Structure::Chain),
        6 if is(b"except") => Some(Structure::Chain),
        9 if is(b"intersect") => Some(Structure::Chain),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
