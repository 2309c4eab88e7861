//! The text a problem points into: places as line and column, and lines to show.
//!
//! A line is shown only after everything on it that stands where a secret is expected has been blotted out, because people do
//! write passwords there, and problems end up in terminals, logs and tickets.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

use crate::suggest;

/// Keys whose text is taken for a secret, also when they are misspelt.
const SECRET_KEYS: [&str; 8] =
    ["password", "passwd", "passphrase", "secret", "client_secret", "token", "private_key", "credential"];
/// Nested values deeper than this are not searched for secrets: the parser refuses them first.
const DEPTH_MAX: usize = 100;
/// What a blotted character looks like.
const BLOT: char = '*';

/// A text with its name.
pub(crate) struct Source<'s> {
    file_name: &'s str,
    text: &'s str,
    line_starts: Vec<usize>,
    hidden: Vec<Range<usize>>,
}

/// Where something is, and the line it is on.
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// The line, without secrets and control characters.
    pub(crate) text: String,
    /// How many characters of the line are meant, at least 1.
    pub(crate) length: usize,
}

impl<'s> Source<'s> {
    /// Looks the text over for lines and secrets.
    pub(crate) fn new(file_name: &'s str, text: &'s str, tree: &DeTable<'_>) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        let mut hidden = Vec::new();
        hide_table(tree, 0, &mut hidden);
        hide_by_look(text, &mut hidden);
        Self { file_name, text, line_starts, hidden }
    }

    /// What the text is called.
    pub(crate) fn file_name(&self) -> &'s str {
        self.file_name
    }

    /// Where a span of bytes is.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let index = self.line_starts.partition_point(|s| *s <= span.start).saturating_sub(1);
        let start = self.line_starts.get(index).copied().unwrap_or(0);
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next.saturating_sub(1));
        let line = self.text.get(start..end).unwrap_or_default();
        let mut shown = String::with_capacity(line.len());
        let (mut column, mut length) = (1, 0);
        for (i, c) in line.char_indices().map(|(i, c)| (start + i, c)).filter(|(_, c)| *c != '\r') {
            if i < span.start {
                column += 1;
            } else if i < span.end {
                length += 1;
            }
            let blotted = self.hidden.iter().any(|h| h.contains(&i));
            shown.push(if blotted { BLOT } else { plain(c) });
        }
        Place { line: index + 1, column, text: shown, length: length.max(1) }
    }
}

/// A tab counts as one column; a control character could forge the terminal's text.
fn plain(c: char) -> char {
    match c {
        '\t' => ' ',
        c if c.is_control() => '\u{fffd}',
        c => c,
    }
}

/// Whether a text under this key is taken for a secret.
pub(crate) fn is_secret_key(key: &str) -> bool {
    suggest::nearest(key, SECRET_KEYS).is_some() || SECRET_KEYS.iter().any(|s| key.to_lowercase().contains(s))
}

fn hide_table(table: &DeTable<'_>, depth: usize, hidden: &mut Vec<Range<usize>>) {
    if depth > DEPTH_MAX {
        return;
    }
    for (key, value) in table {
        hide_value(value.get_ref(), value.span(), is_secret_key(key.get_ref()), depth + 1, hidden);
    }
}

fn hide_value(value: &DeValue<'_>, span: Range<usize>, secret: bool, depth: usize, hidden: &mut Vec<Range<usize>>) {
    match value {
        DeValue::Table(t) => hide_table(t, depth, hidden),
        DeValue::Array(items) if depth <= DEPTH_MAX => {
            for item in items {
                hide_value(item.get_ref(), item.span(), secret, depth + 1, hidden);
            }
        }
        DeValue::String(s) if secret || has_user_info(s) => hidden.push(span),
        DeValue::Integer(_) | DeValue::Float(_) if secret => hidden.push(span),
        _ => {}
    }
}

/// `scheme://user:password@host`.
pub(crate) fn has_user_info(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user_info, _)| user_info.contains(':'))
    })
}

/// Where the syntax is broken the tree does not know everything: a line `secret_key = …` is blotted from the sign on, unless a
/// table follows.
fn hide_by_look(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        for (at, _) in line.match_indices('=') {
            let Some((before, after)) = line.split_at_checked(at) else { continue };
            let key = before.trim_end().rsplit([' ', '\t', ',', '{', '.', '\n']).next().unwrap_or_default();
            let value = after.trim_start_matches('=').trim_start();
            if is_secret_key(key.trim_matches(['"', '\''])) && !value.starts_with(['{', '[']) {
                hidden.push(start + line.len() - value.len()..start + line.len());
                break;
            }
        }
        start += line.len();
    }
}
