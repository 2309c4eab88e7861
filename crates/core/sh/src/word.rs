//! Words: quotes are taken away, and what is only known at run time is marked (POSIX.1-2024, Shell Command Language, 2.2 and 2.6).

use crate::command::{Doubt, Word};
use crate::parser::{Parsed, Parser, ends_word};

/// A word with what the grammar must know of how it was written.
#[derive(Default)]
pub(crate) struct RawWord {
    pub(crate) text: String,
    pub(crate) fixed: bool,
    pub(crate) quoted: bool,
    /// Where in the text the first quote stood.
    pub(crate) quoted_from: Option<usize>,
}

impl From<RawWord> for Word {
    fn from(w: RawWord) -> Self {
        Self { text: w.text, fixed: w.fixed }
    }
}

/// Characters that a person would not see, and blanks that only some shells take for blanks.
pub(crate) fn is_invisible(c: char) -> bool {
    let control = c.is_control() && c != '\n' && c != '\t';
    let blank = c.is_whitespace() && !c.is_ascii();
    let mark = matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    control || blank || mark
}

/// Bytes of a word as they come together.
pub(crate) struct Building {
    pub(crate) bytes: Vec<u8>,
    pub(crate) fixed: bool,
}

impl Building {
    fn into_text(self) -> Parsed<(String, bool)> {
        let text = String::from_utf8(self.bytes).map_err(|_| Doubt("a word is not UTF-8"))?;
        Ok((text, self.fixed))
    }
}

impl Parser<'_> {
    /// The next word; `None` where none begins.
    pub(crate) fn word(&mut self) -> Parsed<Option<RawWord>> {
        let begin = self.at;
        let mut b = Building { bytes: Vec::new(), fixed: true };
        let (mut quoted_from, mut globs, mut brace) = (None::<usize>, 0_usize, false);
        while let Some(c) = self.peek() {
            if ends_word(c) {
                break;
            }
            let here = b.bytes.len();
            self.at += 1;
            match c {
                b'\\' => match self.next() {
                    None => return Err(Doubt("it ends with a backslash")),
                    Some(b'\n') => {}
                    Some(c) => {
                        quoted_from.get_or_insert(here);
                        b.bytes.push(c);
                    }
                },
                b'\'' => {
                    quoted_from.get_or_insert(here);
                    self.single_quoted(&mut b)?;
                }
                b'"' => {
                    quoted_from.get_or_insert(here);
                    self.double_quoted(&mut b)?;
                }
                b'$' => self.dollar(&mut b, false)?,
                b'`' => self.backquoted(&mut b, false)?,
                b'*' | b'?' | b'[' => {
                    globs += 1;
                    b.bytes.push(c);
                }
                b'~' if here == 0 || matches!(b.bytes.last(), Some(b':' | b'=')) => {
                    b.fixed = false;
                    b.bytes.push(c);
                }
                b'=' if here == 0 => {
                    b.fixed = false;
                    b.bytes.push(c);
                }
                b'{' => {
                    brace = true;
                    b.bytes.push(c);
                }
                b',' | b'.' if brace => {
                    b.fixed = false;
                    b.bytes.push(c);
                }
                b'^' | b'#' if here > 0 || c == b'^' => {
                    // Patterns of some shells' extended globs.
                    b.fixed &= c == b'#';
                    b.bytes.push(c);
                }
                _ => b.bytes.push(c),
            }
        }
        if self.at == begin {
            return Ok(None);
        }
        if brace && matches!(self.peek(), Some(b'<' | b'>')) {
            return Err(Doubt("some shells read braces before a redirection as a variable"));
        }
        let number = quoted_from.is_none() && !b.bytes.is_empty() && b.bytes.iter().all(u8::is_ascii_digit);
        if number && matches!(self.peek(), Some(b'<' | b'>')) {
            // It names a descriptor, and here is no place for one.
            return Err(Doubt("a number before a redirection stands where a word belongs"));
        }
        // The command `[` is no pattern.
        if globs > 0 && b.bytes != b"[" {
            b.fixed = false;
        }
        let (text, fixed) = b.into_text()?;
        Ok(Some(RawWord { text, fixed, quoted: quoted_from.is_some(), quoted_from }))
    }

    pub(crate) fn single_quoted(&mut self, b: &mut Building) -> Parsed {
        loop {
            match self.next() {
                None => return Err(Doubt("a quote does not end")),
                Some(b'\'') => return Ok(()),
                Some(c) => b.bytes.push(c),
            }
        }
    }

    pub(crate) fn double_quoted(&mut self, b: &mut Building) -> Parsed {
        loop {
            match self.next() {
                None => return Err(Doubt("a quote does not end")),
                Some(b'"') => return Ok(()),
                Some(b'\\') => match self.next() {
                    None => return Err(Doubt("a quote does not end")),
                    Some(b'\n') => {}
                    Some(c @ (b'$' | b'`' | b'"' | b'\\')) => b.bytes.push(c),
                    Some(c) => b.bytes.extend([b'\\', c]),
                },
                Some(b'$') => self.dollar(b, true)?,
                Some(b'`') => self.backquoted(b, true)?,
                Some(c) => b.bytes.push(c),
            }
        }
    }
}
