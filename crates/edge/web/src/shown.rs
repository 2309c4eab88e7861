//! Text on a page. Whatever came from anywhere becomes a [`Shown`] first: characters that hide or reorder what is read are made visible.
//! What it means in HTML is the templates' to escape, and they do so with everything.

use std::fmt;
use std::fmt::Write as _;

use countersign_model::acts_on_readers;

/// A text that can be shown.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Shown(String);

impl Shown {
    /// On one line: line ends and tabs become spaces.
    pub fn new(text: &str) -> Self {
        Self::made(text, false)
    }

    /// With its lines and tabs.
    pub fn lines(text: &str) -> Self {
        Self::made(text, true)
    }

    fn made(text: &str, lines: bool) -> Self {
        let mut out = String::with_capacity(text.len());
        for c in text.chars() {
            match c {
                '\n' | '\t' if lines => out.push(c),
                '\n' | '\t' | '\r' => out.push(' '),
                c if acts_on_readers(c) => {
                    // Writing to a String cannot fail.
                    let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
                }
                c => out.push(c),
            }
        }
        Self(out)
    }

    /// At most so many characters, with `…` where something was cut off.
    #[must_use]
    pub fn cut(self, chars: usize) -> Self {
        match self.0.char_indices().nth(chars) {
            None => self,
            Some((at, _)) => Self(format!("{}…", self.0.get(..at).unwrap_or_default())),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_hides_or_reorders() {
        for (text, one, many) in [
            ("plain", "plain", "plain"),
            ("a\nb\tc", "a b c", "a\nb\tc"),
            ("a\r\nb", "a  b", "a \nb"),
            ("\u{1b}[2J", "\\u{1b}[2J", "\\u{1b}[2J"),
            ("user\u{202e}nimda", "user\\u{202e}nimda", "user\\u{202e}nimda"),
            ("zero\u{200b}width", "zero\\u{200b}width", "zero\\u{200b}width"),
            ("\u{e0041}", "\\u{e0041}", "\\u{e0041}"),
            ("\0", "\\u{0}", "\\u{0}"),
            ("grün 日本 🙂", "grün 日本 🙂", "grün 日本 🙂"),
        ] {
            assert_eq!(Shown::new(text).as_str(), one);
            assert_eq!(Shown::lines(text).as_str(), many);
        }
        assert_eq!(Shown::new("grün").cut(3).as_str(), "grü…");
        assert_eq!(Shown::new("grün").cut(4).as_str(), "grün");
    }
}
