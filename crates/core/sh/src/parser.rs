//! The place in a text, and what all parts of the grammar need: looking ahead, blanks, reserved words.

use crate::command::{Command, Doubt};
use crate::word::RawWord;
use crate::{COMMANDS_MAX, DEPTH_MAX};

/// A here-document whose body begins on the next line.
pub(crate) struct HereDocument {
    pub(crate) delimiter: Vec<u8>,
    /// Its delimiter was quoted: the body is plain text.
    pub(crate) plain: bool,
    pub(crate) strip_tabs: bool,
}

pub(crate) struct Parser<'a> {
    pub(crate) text: &'a [u8],
    pub(crate) at: usize,
    pub(crate) depth: usize,
    pub(crate) out: &'a mut Vec<Command>,
    pub(crate) pending: Vec<HereDocument>,
}

pub(crate) type Parsed<T = ()> = Result<T, Doubt>;

/// Adds the commands of a whole text.
pub(crate) fn parse_into(text: &[u8], depth: usize, out: &mut Vec<Command>) -> Parsed {
    let mut p = Parser { text, at: 0, depth, out, pending: Vec::new() };
    p.deeper()?;
    p.list()?;
    if p.at < text.len() {
        return Err(Doubt("it is not a text of the shell's grammar"));
    }
    p.nothing_pending()
}

/// Ends an unquoted word.
pub(crate) const fn ends_word(b: u8) -> bool {
    matches!(b, b' ' | b'\t' | b'\n' | b';' | b'&' | b'|' | b'<' | b'>' | b'(' | b')')
}

impl Parser<'_> {
    pub(crate) fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    pub(crate) fn rest(&self) -> &[u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn next(&mut self) -> Option<u8> {
        let b = self.peek()?;
        self.at += 1;
        Some(b)
    }

    /// Takes `what` if it is next.
    pub(crate) fn take(&mut self, what: &[u8]) -> bool {
        let there = self.rest().starts_with(what);
        if there {
            self.at += what.len();
        }
        there
    }

    pub(crate) fn deeper(&mut self) -> Parsed {
        self.depth += 1;
        if self.depth > DEPTH_MAX { Err(Doubt("it is nested too deep")) } else { Ok(()) }
    }

    pub(crate) fn push(&mut self, command: Command) -> Parsed {
        if self.out.len() >= COMMANDS_MAX {
            return Err(Doubt("it has more than 256 commands"));
        }
        self.out.push(command);
        Ok(())
    }

    pub(crate) fn nothing_pending(&self) -> Parsed {
        if self.pending.is_empty() { Ok(()) } else { Err(Doubt("a here-document has no body")) }
    }

    /// Skips blanks, continued lines and a comment.
    pub(crate) fn blanks(&mut self) {
        loop {
            match self.peek() {
                Some(b' ' | b'\t') => self.at += 1,
                Some(b'\\') if self.rest().starts_with(b"\\\n") => self.at += 2,
                Some(b'#') => {
                    while self.peek().is_some_and(|b| b != b'\n') {
                        self.at += 1;
                    }
                }
                _ => return,
            }
        }
    }

    /// Skips blanks and line ends, with the here-documents that begin there. True when there was a line end.
    pub(crate) fn lines(&mut self) -> Parsed<bool> {
        let mut any = false;
        loop {
            self.blanks();
            if self.peek() != Some(b'\n') {
                return Ok(any);
            }
            self.at += 1;
            any = true;
            for document in std::mem::take(&mut self.pending) {
                self.here_document(&document)?;
            }
        }
    }

    /// The reserved word that stands here, if one does.
    pub(crate) fn reserved(&self) -> Option<&'static str> {
        RESERVED.iter().copied().find(|word| {
            self.rest().strip_prefix(word.as_bytes()).is_some_and(|after| after.first().copied().is_none_or(ends_word))
        })
    }

    /// Takes a reserved word, after blanks and line ends.
    pub(crate) fn expect(&mut self, word: &'static str) -> Parsed {
        self.lines()?;
        if self.reserved() != Some(word) {
            return Err(Doubt("a compound command is not complete"));
        }
        self.at += word.len();
        Ok(())
    }

    /// A word that must be there.
    pub(crate) fn needed_word(&mut self) -> Parsed<RawWord> {
        self.blanks();
        self.word()?.ok_or(Doubt("a word is missing"))
    }
}

/// The reserved words of all the shells, where a command may begin.
pub(crate) const RESERVED: [&str; 24] = [
    "if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done", "case", "esac", "in", "{", "}", "!",
    "function", "select", "coproc", "[[", "]]", "repeat", "foreach", "end",
];
