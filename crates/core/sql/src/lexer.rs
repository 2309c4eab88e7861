//! The tokens of a text, by the rules of PostgreSQL's scanner (scan.l, version 18, `standard_conforming_strings` on).
//!
//! It is fast because every text passes it, cached or not. It must agree with the real scanner about where tokens begin and end: a
//! test holds it against `pg_query::scan`. Where it is unsure it gives up ([`Token::Broken`]), and the text goes to the real parser.

mod class;

use class::{DIGIT, IDENT, IDENT_START, OPERATOR, OPERATOR_STRONG, SPACE, class, is};

/// What a token is, as far as anybody here needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// An unquoted name or keyword.
    Word,
    /// A quoted name, also `U&"…"`.
    Quoted,
    /// A string constant of any spelling; continuation pieces are part of it.
    String,
    /// A number without point or exponent.
    Integer,
    /// Any other number.
    Float,
    /// `$1`.
    Param,
    /// An operator of more than one sign, or one that is not a character on its own.
    Operator,
    /// A character on its own: brackets, commas, `+`.
    Sign,
    /// Something that the real scanner refuses, or that this one cannot be sure of. Ends the text.
    Broken,
}

/// A token with its place, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lexeme {
    pub(crate) token: Token,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// How large and how deep a text is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Tokens, comments apart.
    pub(crate) tokens: usize,
    /// An upper estimate of how deep the tree can be: brackets, and chains of operators, keywords and set operations.
    pub(crate) nesting: usize,
}

/// How a string may hold a quote.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Quotes {
    /// As two.
    Doubled,
    /// As two, or behind a backslash: `E'…'`.
    Escaped,
    /// Not at all: `B'…'`, `X'…'`.
    Bare,
}

/// Walks a text.
pub(crate) struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a [u8]) -> Self {
        Self { text, at: 0 }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    /// Goes on over bytes that are `wanted`.
    fn run(&mut self, wanted: impl Fn(u8) -> bool) {
        let rest = self.text.get(self.at..).unwrap_or_default();
        self.at += rest.iter().position(|b| !wanted(*b)).unwrap_or(rest.len());
    }

    /// Skips white space and comments; false when a comment does not end.
    fn skip(&mut self) -> bool {
        loop {
            match self.byte(0) {
                Some(b) if class(b) & SPACE != 0 => self.run(|b| class(b) & SPACE != 0),
                Some(b'-') if self.byte(1) == Some(b'-') => self.skip_line(),
                Some(b'/') if self.byte(1) == Some(b'*') => {
                    if !self.skip_block() {
                        return false;
                    }
                }
                _ => return true,
            }
        }
    }

    fn skip_line(&mut self) {
        self.run(|b| b != b'\n' && b != b'\r');
    }

    fn skip_block(&mut self) -> bool {
        let mut depth = 0usize;
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b'/'), Some(b'*')) => {
                    depth += 1;
                    self.at += 2;
                }
                (Some(b'*'), Some(b'/')) => {
                    depth -= 1;
                    self.at += 2;
                    if depth == 0 {
                        return true;
                    }
                }
                (Some(b'/' | b'*'), _) => self.at += 1,
                (Some(_), _) => self.run(|b| b != b'/' && b != b'*'),
                (None, _) => return false,
            }
        }
    }

    /// The next token, or `None` at the end.
    pub(crate) fn next_lexeme(&mut self) -> Option<Lexeme> {
        if !self.skip() {
            return self.broken(self.at);
        }
        let start = self.at;
        let b = self.byte(0)?;
        let token = if class(b) & IDENT_START != 0 {
            self.word(b)
        } else if class(b) & DIGIT != 0 || (b == b'.' && is(self.byte(1), DIGIT)) {
            self.number()
        } else {
            match b {
                b'\'' => self.string(Quotes::Doubled),
                b'"' => self.quoted(),
                b'$' => self.dollar(),
                b',' | b'(' | b')' | b'[' | b']' | b';' => self.take(1, Token::Sign),
                b'.' if self.byte(1) == Some(b'.') => self.take(2, Token::Operator),
                b'.' => self.take(1, Token::Sign),
                b':' if matches!(self.byte(1), Some(b':' | b'=')) => self.take(2, Token::Operator),
                b':' => self.take(1, Token::Sign),
                _ if class(b) & OPERATOR != 0 => self.operator(),
                _ => Token::Broken,
            }
        };
        if token == Token::Broken {
            return self.broken(start);
        }
        Some(Lexeme { token, start, end: self.at })
    }

    fn broken(&mut self, start: usize) -> Option<Lexeme> {
        self.at = self.text.len();
        Some(Lexeme { token: Token::Broken, start, end: self.at })
    }

    fn take(&mut self, bytes: usize, token: Token) -> Token {
        self.at += bytes;
        token
    }

    fn word(&mut self, first: u8) -> Token {
        match (first, self.byte(1), self.byte(2)) {
            (b'e' | b'E', Some(b'\''), _) => {
                self.at += 1;
                return self.string(Quotes::Escaped);
            }
            (b'b' | b'B' | b'x' | b'X', Some(b'\''), _) => {
                self.at += 1;
                return self.string(Quotes::Bare);
            }
            // N'…' is the keyword NCHAR and a string; the caller sees one string that starts with n.
            (b'n' | b'N', Some(b'\''), _) => {
                self.at += 1;
                return self.string(Quotes::Doubled);
            }
            (b'u' | b'U', Some(b'&'), Some(b'\'')) => {
                self.at += 2;
                return self.string(Quotes::Doubled);
            }
            (b'u' | b'U', Some(b'&'), Some(b'"')) => {
                self.at += 2;
                return self.quoted();
            }
            _ => {}
        }
        self.run(|b| class(b) & IDENT != 0);
        Token::Word
    }

    /// From the opening quote to behind the closing one, continuation pieces included.
    fn string(&mut self, quotes: Quotes) -> Token {
        self.at += 1;
        loop {
            match self.byte(0) {
                None => return Token::Broken,
                Some(b'\\') if quotes == Quotes::Escaped => {
                    if self.byte(1).is_none() {
                        return Token::Broken;
                    }
                    self.at += 2;
                }
                Some(b'\'') if quotes != Quotes::Bare && self.byte(1) == Some(b'\'') => self.at += 2,
                Some(b'\'') => {
                    self.at += 1;
                    if !self.continues() {
                        return Token::String;
                    }
                }
                Some(b'\\') => self.at += 1,
                Some(_) => self.run(|b| b != b'\'' && b != b'\\'),
            }
        }
    }

    /// After a closing quote: white space with a line end in it, and then a quote, go on with the same string.
    fn continues(&mut self) -> bool {
        let mark = self.at;
        let mut line_end = false;
        loop {
            match self.byte(0) {
                Some(b'\n' | b'\r') => {
                    line_end = true;
                    self.at += 1;
                }
                Some(b) if class(b) & SPACE != 0 => self.at += 1,
                Some(b'-') if self.byte(1) == Some(b'-') => {
                    self.skip_line();
                    if self.byte(0).is_none() {
                        break;
                    }
                }
                Some(b'\'') if line_end => {
                    self.at += 1;
                    return true;
                }
                _ => break,
            }
        }
        self.at = mark;
        false
    }

    fn quoted(&mut self) -> Token {
        self.at += 1;
        let start = self.at;
        loop {
            match self.byte(0) {
                None => return Token::Broken,
                Some(b'"') if self.byte(1) == Some(b'"') => self.at += 2,
                Some(b'"') => {
                    let empty = self.at == start;
                    self.at += 1;
                    return if empty { Token::Broken } else { Token::Quoted };
                }
                Some(_) => self.at += 1,
            }
        }
    }

    fn dollar(&mut self) -> Token {
        if is(self.byte(1), DIGIT) {
            self.at += 1;
            while is(self.byte(0), DIGIT) {
                self.at += 1;
            }
            // `$1a` is a parameter and a name to the library and to servers before version 15; later ones refuse it.
            return Token::Param;
        }
        // $tag$ … $tag$
        let mut end = self.at + 1;
        if self.text.get(end).is_some_and(|b| class(*b) & IDENT_START != 0) {
            while self.text.get(end).is_some_and(|b| class(*b) & (IDENT_START | DIGIT) != 0) {
                end += 1;
            }
        }
        if self.text.get(end) != Some(&b'$') {
            return Token::Broken;
        }
        let Some(tag) = self.text.get(self.at..=end) else { return Token::Broken };
        let Some(rest) = self.text.get(end + 1..) else { return Token::Broken };
        match find(rest, tag) {
            Some(i) => {
                self.at = end + 1 + i + tag.len();
                Token::String
            }
            None => Token::Broken,
        }
    }

    fn digits(&mut self, ok: fn(u8) -> bool) -> bool {
        if !self.byte(0).is_some_and(ok) {
            return false;
        }
        loop {
            match (self.byte(0), self.byte(1)) {
                (Some(b), _) if ok(b) => self.at += 1,
                (Some(b'_'), Some(b)) if ok(b) => self.at += 1,
                _ => return true,
            }
        }
    }

    fn number(&mut self) -> Token {
        let decimal = |b: u8| b.is_ascii_digit();
        if self.byte(0) == Some(b'0') {
            let radix: Option<fn(u8) -> bool> = match self.byte(1) {
                Some(b'x' | b'X') => Some(|b| b.is_ascii_hexdigit()),
                Some(b'o' | b'O') => Some(|b| matches!(b, b'0'..=b'7')),
                Some(b'b' | b'B') => Some(|b| matches!(b, b'0' | b'1')),
                _ => None,
            };
            if let Some(ok) = radix {
                self.at += 2;
                if self.byte(0) == Some(b'_') {
                    self.at += 1;
                }
                let whole = self.digits(ok);
                return if whole && !is(self.byte(0), IDENT) { Token::Integer } else { Token::Broken };
            }
        }
        let mut token = Token::Integer;
        if self.byte(0) != Some(b'.') {
            self.digits(decimal);
            if self.byte(0) == Some(b'.') && self.byte(1) == Some(b'.') {
                return Token::Integer;
            }
        }
        if self.byte(0) == Some(b'.') {
            token = Token::Float;
            self.at += 1;
            self.digits(decimal);
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.byte(1), Some(b'+' | b'-')));
            if is(self.byte(1 + sign), DIGIT) {
                self.at += 1 + sign;
                self.digits(decimal);
                token = Token::Float;
            }
        }
        if is(self.byte(0), IDENT_START) { Token::Broken } else { token }
    }

    fn operator(&mut self) -> Token {
        let start = self.at;
        let mut strong = false;
        while let Some(b) = self.byte(0) {
            let c = class(b);
            let comment = matches!((b, self.byte(1)), (b'/', Some(b'*')) | (b'-', Some(b'-')));
            if c & OPERATOR == 0 || comment {
                break;
            }
            strong |= c & OPERATOR_STRONG != 0;
            self.at += 1;
        }
        if !strong {
            while self.at > start + 1 && matches!(self.text.get(self.at - 1), Some(b'+' | b'-')) {
                self.at -= 1;
            }
        }
        // PostgreSQL's limit for an operator is NAMEDATALEN - 1.
        match self.at - start {
            1 if matches!(self.text.get(start), Some(b'+' | b'-' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' | b'=')) => {
                Token::Sign
            }
            1..=63 => Token::Operator,
            _ => Token::Broken,
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    let first = *needle.first()?;
    let mut from = 0;
    while let Some(rest) = haystack.get(from..) {
        let i = rest.iter().position(|b| *b == first)?;
        if rest.get(i..i + needle.len()) == Some(needle) {
            return Some(from + i);
        }
        from += i + 1;
    }
    None
}

#[cfg(test)]
mod tests;
