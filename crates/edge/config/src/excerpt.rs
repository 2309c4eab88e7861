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

/// How much of a line is kept on each side of a place, in characters.
const CONTEXT_CHARS: usize = 100;

/// A text with its name.
#[derive(Clone)]
pub(crate) struct Source {
    file_name: String,
    text: String,
    line_starts: Vec<usize>,
    /// Sorted, apart from each other.
    hidden: Vec<Range<usize>>,
}

/// Where something is, and the line it is on.
pub(crate) struct Place {
    /// From 1.
    pub(crate) line: usize,
    /// In characters, from 1.
    pub(crate) column: usize,
    /// The line around the place, without secrets and control characters.
    pub(crate) text: String,
    /// Where in `text` the place begins, in characters.
    pub(crate) offset: usize,
    /// How many characters of `text` are meant, at least 1.
    pub(crate) length: usize,
}

impl Source {
    /// Looks the text over for lines and secrets.
    pub(crate) fn new(file_name: &str, text: &str, tree: &DeTable<'_>) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        let mut found = Vec::new();
        hide_table(tree, 0, &mut found);
        hide_by_look(text, &mut found);
        found.sort_by_key(|r| r.start);
        let mut hidden: Vec<Range<usize>> = Vec::with_capacity(found.len());
        for r in found {
            match hidden.last_mut() {
                Some(last) if r.start <= last.end => last.end = last.end.max(r.end),
                _ => hidden.push(r),
            }
        }
        Self { file_name: file_name.to_owned(), text: text.to_owned(), line_starts, hidden }
    }

    /// What the text is called.
    pub(crate) fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Where a span of bytes is.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let index = self.line_starts.partition_point(|s| *s <= span.start).saturating_sub(1);
        let start = self.line_starts.get(index).copied().unwrap_or(0);
        let end = self.line_starts.get(index + 1).map_or(self.text.len(), |next| next.saturating_sub(1));
        let at = span.start.clamp(start, end);
        let before = self.text.get(start..at).unwrap_or_default();
        let after = self.text.get(at..end).unwrap_or_default().trim_end_matches('\r');
        // Only what is near is looked at: a line may be as long as the file.
        let from = before.char_indices().rev().nth(CONTEXT_CHARS - 1).map_or(0, |(i, _)| i);
        let to = after.char_indices().nth(2 * CONTEXT_CHARS).map_or(after.len(), |(i, _)| i);
        let mut text = String::new();
        let (mut offset, mut length) = (0, 0);
        let near = self.text.get(start + from..at + to).unwrap_or_default();
        for (i, c) in near.char_indices().map(|(i, c)| (start + from + i, c)) {
            if i < at {
                offset += 1;
            } else if i < span.end {
                length += 1;
            }
            text.push(if self.is_hidden(i) { BLOT } else { plain(c) });
        }
        if from > 0 {
            text.insert(0, '…');
            offset += 1;
        }
        if to < after.len() {
            text.push('…');
        }
        Place { line: index + 1, column: before.chars().count() + 1, text, offset, length: length.max(1) }
    }

    fn is_hidden(&self, at: usize) -> bool {
        let next = self.hidden.partition_point(|r| r.start <= at);
        next.checked_sub(1).and_then(|i| self.hidden.get(i)).is_some_and(|r| r.contains(&at))
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
    let small = key.to_lowercase();
    suggest::nearest(&small, SECRET_KEYS).is_some() || SECRET_KEYS.iter().any(|s| small.contains(s))
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

/// Where the syntax is broken the tree does not know everything: a line `secret_key = …` is blotted from the value on, unless a
/// table or list follows.
fn hide_by_look(text: &str, hidden: &mut Vec<Range<usize>>) {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut key_from = 0;
        for (at, _) in line.match_indices('=') {
            // Each part of the line is looked at once, so that a line of signs takes no longer than another.
            let key = line.get(key_from..at).unwrap_or_default().trim_end();
            key_from = at + 1;
            let key = key.rsplit([' ', '\t', ',', '{', '.']).next().unwrap_or_default();
            if !is_secret_key(key.trim_matches(['"', '\''])) {
                continue;
            }
            let value = line.get(key_from..).unwrap_or_default().trim_start();
            if !value.starts_with(['{', '[']) {
                hidden.push(start + line.len() - value.len()..start + line.len());
                break;
            }
        }
        start += line.len();
    }
}
