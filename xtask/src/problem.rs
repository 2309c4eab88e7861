//! What a check found, and how it is shown.

use std::fmt::{self, Write as _};

/// Something that is wrong in one place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// The file, relative to the root.
    pub(crate) path: String,
    /// The line, from 1; 0 when the whole file is meant.
    pub(crate) line: usize,
    /// What is wrong and what to do.
    pub(crate) what: String,
}

impl Problem {
    pub(crate) fn new(path: &str, line: usize, what: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.path, self.what)
        } else {
            write!(f, "{}:{}: {}", self.path, self.line, self.what)
        }
    }
}

/// All that a check has to say.
#[derive(Debug)]
pub(crate) struct Report {
    /// The check's name.
    pub(crate) check: &'static str,
    /// What was looked at, such as "212 files".
    pub(crate) scope: String,
    /// Worth a look, but no failure.
    pub(crate) notes: Vec<Problem>,
    /// Failures.
    pub(crate) problems: Vec<Problem>,
}

impl Report {
    /// The text to show; an `Err` when there is a problem.
    pub(crate) fn into_outcome(mut self) -> Result<String, String> {
        let mut out = String::new();
        self.notes.sort();
        self.problems.sort();
        for n in &self.notes {
            let _ = writeln!(out, "note: {n}");
        }
        for p in &self.problems {
            let _ = writeln!(out, "{p}");
        }
        let (check, scope, count) = (self.check, &self.scope, self.problems.len());
        if count == 0 {
            let _ = writeln!(out, "{check}: {scope}, all in order");
            return Ok(out);
        }
        let _ = writeln!(out, "{check}: {scope}, {count} problem{}", if count == 1 { "" } else { "s" });
        Err(out)
    }
}
