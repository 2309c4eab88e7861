//! What is wrong with a policy, said so that its writer can mend it.
//!
//! It must never stop at the first problem: callers gather all of them.

use std::fmt;

use miette::Diagnostic;
use serde::Serialize;

/// The most edits between a wrong word and one that is suggested for it.
const SUGGESTION_EDITS_MAX: usize = 3;

/// One thing wrong in one place of a policy file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PolicyProblem {
    /// The file, as it was given to the loader.
    pub file: String,
    /// The line, from 1; 0 when the problem is with the file as a whole.
    pub line: u32,
    /// The column in characters, from 1; 0 when the problem is with the file as a whole.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl PolicyProblem {
    /// A problem with a file as a whole.
    pub(crate) fn whole(file: &str, message: String, help: Option<String>) -> Self {
        Self { file: file.to_owned(), line: 0, column: 0, message, help }
    }

    /// A problem at a byte offset of the file's text.
    pub(crate) fn at(file: &str, text: &str, offset: usize, message: String, help: Option<String>) -> Self {
        let (line, column) = position(text, offset);
        Self { file: file.to_owned(), line, column, message, help }
    }

    /// What Cedar says, at the place that it points to, or at `fallback` when it points nowhere.
    pub(crate) fn from_cedar(file: &str, text: &str, fallback: usize, problem: &dyn Diagnostic) -> Self {
        let label = problem.labels().and_then(|mut labels| labels.next());
        let offset = label.as_ref().map_or(fallback, miette::LabeledSpan::offset);
        let mut message = problem.to_string();
        if let Some(expected) = label.as_ref().and_then(|l| l.label()) {
            message = format!("{message} ({expected})");
        }
        Self::at(file, text, offset, message, problem.help().map(|h| h.to_string()))
    }
}

impl fmt::Display for PolicyProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\n  help: {help}"),
            None => Ok(()),
        }
    }
}

/// Line and column of a byte offset, both from 1; an offset past the end is the end.
pub(crate) fn position(text: &str, offset: usize) -> (u32, u32) {
    let mut line = 1;
    let mut column = 1;
    for (i, c) in text.char_indices() {
        if i >= offset {
            break;
        }
        if c == '\n' {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

/// `did you mean "…"?` for the nearest known word, when one is near.
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let lower = word.to_lowercase();
    known
        .into_iter()
        .map(|k| (strsim::osa_distance(&lower, &k.to_lowercase()), k))
        .filter(|(distance, k)| *distance <= SUGGESTION_EDITS_MAX && *distance < k.chars().count())
        .min()
        .map(|(_, k)| format!("did you mean \"{k}\"?"))
}

#[cfg(test)]
mod tests {
    use super::{did_you_mean, position};

    #[test]
    fn positions_count_characters() {
        let text = "é1\nxy\n";
        for (offset, expected) in [(0, (1, 1)), (2, (1, 2)), (4, (2, 1)), (5, (2, 2)), (99, (3, 1))] {
            assert_eq!(position(text, offset), expected, "offset {offset}");
        }
    }

    #[test]
    fn suggestions_are_near_or_absent() {
        let known = ["limit", "alert", "id"];
        assert_eq!(did_you_mean("limits", known).as_deref(), Some("did you mean \"limit\"?"));
        assert_eq!(did_you_mean("Alret", known).as_deref(), Some("did you mean \"alert\"?"));
        assert_eq!(did_you_mean("completely", known), None);
        assert_eq!(did_you_mean("xy", known), None, "every short word would be near");
    }
}
