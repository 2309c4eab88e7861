//! Expansions: what they would give is not known, but the commands in them are found (POSIX.1-2024, Shell Command Language, 2.6).

use crate::command::Doubt;
use crate::parser::{Parsed, Parser, parse_into};
use crate::word::Building;

const UNENDED: Doubt = Doubt("an expansion does not end");

impl Parser<'_> {
    /// What follows a `$`.
    pub(crate) fn dollar(&mut self, b: &mut Building, in_quotes: bool) -> Parsed {
        let begin = self.at - 1;
        match self.peek() {
            Some(b'(') => {
                self.at += 1;
                if self.peek() == Some(b'(') {
                    self.at += 1;
                    self.arithmetic()?;
                } else {
                    self.substitution()?;
                }
            }
            Some(b'{') => {
                self.at += 1;
                self.parameter()?;
            }
            Some(b'[') => return Err(Doubt("it has arithmetic in a form that not every shell has")),
            Some(b'\'') if !in_quotes => {
                self.at += 1;
                let mut text = Building { bytes: Vec::new(), fixed: true };
                self.single_quoted(&mut text)?;
                if text.bytes.contains(&b'\\') {
                    return Err(Doubt("shells differ in what $'...' with a backslash means"));
                }
            }
            Some(b'"') if !in_quotes => {
                self.at += 1;
                self.double_quoted(b)?;
            }
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => {
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_') {
                    self.at += 1;
                }
                // `$name[...]` is a subscript in some shells, whose inside is worked out.
                if self.peek() == Some(b'[') {
                    return Err(Doubt("some shells read a bracket after a variable as arithmetic"));
                }
            }
            Some(c) if c.is_ascii_digit() || b"@*#?-$!".contains(&c) => self.at += 1,
            Some(b'=' | b'~' | b'^' | b'+') => return Err(Doubt("it has an expansion that not every shell has")),
            _ => {
                b.bytes.push(b'$');
                return Ok(());
            }
        }
        b.fixed = false;
        b.bytes.extend_from_slice(self.text.get(begin..self.at).unwrap_or_default());
        Ok(())
    }

    /// `$( ... )`, after the parenthesis.
    fn substitution(&mut self) -> Parsed {
        let outer = self.depth;
        self.deeper()?;
        self.nothing_pending()?;
        self.list()?;
        self.lines()?;
        self.nothing_pending()?;
        self.depth = outer;
        if self.take(b")") { Ok(()) } else { Err(UNENDED) }
    }

    /// `$(( ... ))`, after both parentheses: only numbers, because a variable's value is worked out as a text of its own.
    fn arithmetic(&mut self) -> Parsed {
        let mut open = 0_usize;
        while let Some(c) = self.next() {
            match c {
                b'(' => open += 1,
                b')' if open > 0 => open -= 1,
                b')' => return if self.take(b")") { Ok(()) } else { Err(UNENDED) },
                b' ' | b'0'..=b'9' | b'+' | b'-' | b'*' | b'/' | b'%' => {}
                _ => return Err(Doubt("it has arithmetic that is not of plain numbers")),
            }
        }
        Err(UNENDED)
    }

    /// `${ ... }`, after the brace.
    fn parameter(&mut self) -> Parsed {
        const STRANGE: Doubt = Doubt("it has an expansion that not every shell has");
        if self.peek() == Some(b'#') && self.rest().get(1) != Some(&b'}') {
            self.at += 1;
        }
        match self.next() {
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => {
                while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == b'_') {
                    self.at += 1;
                }
            }
            Some(c) if c.is_ascii_digit() => {
                while self.peek().is_some_and(|c| c.is_ascii_digit()) {
                    self.at += 1;
                }
            }
            Some(c) if b"@*#?-$!".contains(&c) => {}
            _ => return Err(STRANGE),
        }
        if self.take(b"}") {
            return Ok(());
        }
        let colon = self.take(b":");
        match self.next() {
            Some(b'-' | b'=' | b'?' | b'+') => {}
            Some(b'#' | b'%') if !colon => {}
            _ => return Err(STRANGE),
        }
        let mut b = Building { bytes: Vec::new(), fixed: true };
        loop {
            match self.next() {
                None => return Err(UNENDED),
                Some(b'}') => return Ok(()),
                Some(b'\\') => {
                    self.next().ok_or(UNENDED)?;
                }
                Some(b'$') => self.dollar(&mut b, true)?,
                Some(b'`') => self.backquoted(&mut b, true)?,
                // Within double quotes shells differ in what quotes in here mean.
                Some(b'\'' | b'"' | b'{') => return Err(STRANGE),
                Some(_) => {}
            }
        }
    }

    /// A command in backquotes, after the first one.
    pub(crate) fn backquoted(&mut self, b: &mut Building, in_quotes: bool) -> Parsed {
        let begin = self.at - 1;
        let mut inner = Vec::new();
        loop {
            match self.next() {
                None => return Err(UNENDED),
                Some(b'`') => break,
                Some(b'\\') => match self.next() {
                    None => return Err(UNENDED),
                    Some(c @ (b'$' | b'`' | b'\\')) => inner.push(c),
                    Some(b'"') if in_quotes => {
                        return Err(Doubt("shells differ in quotes within backquotes within quotes"));
                    }
                    Some(c) => inner.extend([b'\\', c]),
                },
                Some(c) => inner.push(c),
            }
        }
        b.fixed = false;
        b.bytes.extend_from_slice(self.text.get(begin..self.at).unwrap_or_default());
        parse_into(&inner, self.depth, self.out)
    }

    /// The substitutions of a here-document's body.
    pub(crate) fn substitutions_of(&mut self, body: &[u8]) -> Parsed {
        let mut p = Parser { text: body, at: 0, depth: self.depth, out: self.out, pending: Vec::new() };
        p.deeper()?;
        let mut b = Building { bytes: Vec::new(), fixed: true };
        while let Some(c) = p.next() {
            match c {
                b'\\' => {
                    p.next();
                }
                b'$' => p.dollar(&mut b, true)?,
                b'`' => p.backquoted(&mut b, false)?,
                _ => {}
            }
        }
        Ok(())
    }
}
