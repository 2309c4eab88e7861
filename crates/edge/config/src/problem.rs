//! What is wrong, for people at 80 columns and for machines as JSON.

use std::fmt::{self, Write as _};

use serde::Serialize;

/// The most problems that are kept; the rest is counted.
pub const PROBLEMS_MAX: usize = 200;

/// Widest line of a rendering, in characters.
const WIDTH: usize = 80;
/// The most lines that one note may take.
const NOTE_LINES_MAX: usize = 12;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The configuration cannot be used.
    Error,
    /// It can, but is probably not what was meant.
    Warning,
}

impl Severity {
    /// The word people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// The file, as it was named.
    pub file: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: usize,
    /// The column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// The key it is about, such as `target.orders.account.1.password`; empty when there is none.
    pub key: String,
    /// One sentence.
    pub message: String,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// What could be there instead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What was probably meant, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suggestion: Option<String>,
    #[serde(skip)]
    pub(crate) excerpt: String,
    #[serde(skip)]
    pub(crate) offset: usize,
    #[serde(skip)]
    pub(crate) length: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        note(&mut out, &format!("{}: ", self.severity.as_str()), &self.message);
        if self.line == 0 {
            note(&mut out, "  --> ", &self.file);
        } else {
            note(&mut out, "  --> ", &format!("{}:{}:{}", self.file, self.line, self.column));
            self.line_with_mark(&mut out);
        }
        for (label, text) in
            [("   = found: ", &self.found), ("   = expected: ", &self.expected), ("   = help: ", &self.suggestion)]
        {
            if let Some(text) = text {
                note(&mut out, label, text);
            }
        }
        f.write_str(&out)
    }
}

impl Problem {
    /// An error with a file as a whole.
    pub fn about(file: &str, message: &str) -> Self {
        Self {
            severity: Severity::Error,
            file: file.to_owned(),
            line: 0,
            column: 0,
            key: String::new(),
            message: message.to_owned(),
            found: None,
            expected: None,
            suggestion: None,
            excerpt: String::new(),
            offset: 0,
            length: 0,
        }
    }

    /// The line, cut to a window around the place, with a mark under it.
    fn line_with_mark(&self, out: &mut String) {
        let gutter = self.line.to_string();
        let blank = " ".repeat(gutter.len());
        let width = WIDTH.saturating_sub(gutter.len() + 3);
        let total = self.excerpt.chars().count();
        let at = self.offset.min(total);
        // Some of what stands before the place helps to recognise it.
        let from = if total <= width { 0 } else { at.saturating_sub(width / 3).min(total.saturating_sub(width)) };
        let mut window: Vec<char> = self.excerpt.chars().skip(from).take(width).collect();
        if from > 0
            && let Some(first) = window.first_mut()
        {
            *first = '…';
        }
        if from + window.len() < total
            && let Some(last) = window.last_mut()
        {
            *last = '…';
        }
        let offset = at.saturating_sub(from);
        let marks = self.length.min(width.saturating_sub(offset)).max(1);
        let line: String = window.into_iter().collect();
        let _ = writeln!(out, "{blank} |\n{gutter} | {}", line.trim_end());
        let _ = writeln!(out, "{blank} | {}{}", " ".repeat(offset), "^".repeat(marks));
    }
}

/// Writes `label` and the text, wrapped at [`WIDTH`] and indented under it.
fn note(out: &mut String, label: &str, text: &str) {
    let indent = label.chars().count().min(WIDTH / 3);
    let room = WIDTH - indent;
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(line) = lines.last_mut() {
            let used = line.chars().count();
            let sep = usize::from(used > 0);
            let len = rest.chars().count();
            if used + sep + len <= room {
                if sep == 1 {
                    line.push(' ');
                }
                line.push_str(rest);
                break;
            }
            if used > 0 {
                lines.push(String::new());
                continue;
            }
            // A word wider than the page is cut.
            let cut = rest.char_indices().nth(room).map_or(rest.len(), |(i, _)| i);
            let (head, tail) = rest.split_at_checked(cut).unwrap_or((rest, ""));
            line.push_str(head);
            lines.push(String::new());
            rest = tail;
        }
    }
    let cut = lines.len() > NOTE_LINES_MAX;
    lines.truncate(NOTE_LINES_MAX);
    if cut && let Some(last) = lines.last_mut() {
        *last = "…".to_owned();
    }
    for (n, line) in lines.iter().enumerate() {
        if n == 0 {
            out.push_str(label);
        } else {
            out.push_str(&" ".repeat(indent));
        }
        out.push_str(line);
        out.push('\n');
    }
}

/// Problems in the order of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems {
    list: Vec<Problem>,
    more: usize,
}

impl Problems {
    pub(crate) fn new(list: Vec<Problem>, more: usize) -> Self {
        let mut list = list;
        list.sort_by_key(|p| (p.line, p.column));
        Self { list, more }
    }

    /// These, by their places. More than [`PROBLEMS_MAX`] are counted.
    pub(crate) fn of(list: Vec<Problem>) -> Self {
        let more = list.len().saturating_sub(PROBLEMS_MAX);
        let mut list = list;
        list.truncate(PROBLEMS_MAX);
        Self { list, more }
    }

    /// The file as a whole cannot be used.
    pub(crate) fn unreadable(file: &str, message: String) -> Self {
        let expected = Some(format!("a TOML file of at most {} bytes", crate::FILE_BYTES_MAX));
        let problem = Problem { expected, ..Problem::about(file, &message) };
        Self { list: vec![problem], more: 0 }
    }

    /// Both, in the order of the file.
    pub(crate) fn and(self, other: Self) -> Self {
        let more = self.more + other.more;
        Self::new(self.list.into_iter().chain(other.list).collect(), more)
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are kept.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// How many more there were beyond [`PROBLEMS_MAX`].
    pub fn more(&self) -> usize {
        self.more
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.list.iter()
    }

    /// A JSON array of objects with `severity`, `file`, `line`, `column`, `key`, `message`, `found`, `expected`, `suggestion`.
    pub fn to_json(&self) -> String {
        // Serialising strings and numbers cannot fail.
        serde_json::to_string_pretty(&self.list).unwrap_or_else(|e| format!("[{{\"message\":\"{e}\"}}]"))
    }
}

impl<'p> IntoIterator for &'p Problems {
    type Item = &'p Problem;
    type IntoIter = std::slice::Iter<'p, Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.list {
            writeln!(f, "{problem}")?;
        }
        let errors = self.list.iter().filter(|p| p.severity == Severity::Error).count();
        let warnings = self.list.len() - errors;
        let word = |n: usize, w: &str| format!("{n} {w}{}", if n == 1 { "" } else { "s" });
        let more = if self.more > 0 { format!(", and {} more", self.more) } else { String::new() };
        writeln!(f, "{}, {}{more}", word(errors, "error"), word(warnings, "warning"))
    }
}

impl std::error::Error for Problems {}
