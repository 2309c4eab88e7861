//! Where problems are collected, up to a limit.

use std::ops::Range;

use crate::excerpt::Source;
use crate::problem::{PROBLEMS_MAX, Problem, Problems, Severity};

/// Something wrong at a place.
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) key: String,
    pub(crate) message: String,
    pub(crate) found: Option<String>,
    pub(crate) expected: Option<String>,
    pub(crate) suggestion: Option<String>,
}

impl Fault {
    pub(crate) fn new(span: Range<usize>, key: String, message: String) -> Self {
        Self { span, key, message, found: None, expected: None, suggestion: None }
    }

    #[must_use]
    pub(crate) fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = Some(text.into());
        self
    }

    #[must_use]
    pub(crate) fn found(mut self, text: impl Into<String>) -> Self {
        self.found = Some(text.into());
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, text: impl Into<String>) -> Self {
        self.suggestion = Some(text.into());
        self
    }
}

/// Collects problems.
pub(crate) struct Sink<'s> {
    source: &'s Source,
    errors: Vec<Problem>,
    missing: Vec<Problem>,
    warnings: Vec<Problem>,
    more: usize,
}

impl<'s> Sink<'s> {
    pub(crate) fn new(source: &'s Source) -> Self {
        Self { source, errors: Vec::new(), missing: Vec::new(), warnings: Vec::new(), more: 0 }
    }

    /// What the parser complained of.
    pub(crate) fn syntax(&mut self, faults: &[toml::de::Error]) {
        for fault in faults {
            let mut lines = fault.message().lines();
            let message = lines.next().unwrap_or("malformed").to_owned();
            let expected: Vec<&str> = lines.map(|l| l.trim_start_matches("expected ").trim()).collect();
            let fault = Fault::new(fault.span().unwrap_or(0..0), String::new(), format!("not TOML: {message}"));
            self.error(if expected.is_empty() { fault } else { fault.expected(expected.join(" ")) });
        }
    }

    /// It cannot be used like this.
    pub(crate) fn error(&mut self, fault: Fault) {
        if self.is_full() {
            self.more += 1;
        } else {
            let problem = self.problem(Severity::Error, fault);
            self.errors.push(problem);
        }
    }

    /// Something must be there and is not.
    pub(crate) fn missing(&mut self, fault: Fault) {
        if self.missing.len() < PROBLEMS_MAX {
            let problem = self.problem(Severity::Error, fault);
            self.missing.push(problem);
        } else {
            self.more += 1;
        }
    }

    /// It can be used, but is probably not what was meant.
    pub(crate) fn warning(&mut self, fault: Fault) {
        if self.warnings.len() < PROBLEMS_MAX {
            let problem = self.problem(Severity::Warning, fault);
            self.warnings.push(problem);
        }
    }

    /// Whether further errors are only counted.
    pub(crate) fn is_full(&self) -> bool {
        self.errors.len() >= PROBLEMS_MAX
    }

    /// Counts an error that is not looked into, because there are too many.
    pub(crate) fn count_one(&mut self) {
        self.more += 1;
    }

    /// A key that seemed to be missing is there, but misspelt.
    pub(crate) fn retract_missing(&mut self, key: &str) {
        self.missing.retain(|p| p.key != key);
    }

    /// Whether anything was found that makes the configuration unusable.
    pub(crate) fn has_errors(&self) -> bool {
        !self.errors.is_empty() || !self.missing.is_empty()
    }

    /// `line N`, for people.
    pub(crate) fn line_of(&self, span: &Range<usize>) -> String {
        format!("line {}", self.source.place(span).line)
    }

    /// Drops what a broken syntax makes doubtful: what seems to be missing may well be there, and after a broken header nothing is
    /// where it belongs.
    pub(crate) fn distrust(&mut self) {
        self.missing.clear();
        self.warnings.clear();
        let header_broken = self.errors.iter().any(|p| is_syntax(p) && p.excerpt.trim_start().starts_with('['));
        if header_broken {
            self.errors.retain(is_syntax);
        }
    }

    /// Errors, and warnings.
    pub(crate) fn finish(mut self) -> (Problems, Problems) {
        let room = PROBLEMS_MAX.saturating_sub(self.errors.len());
        self.more += self.missing.len().saturating_sub(room);
        self.errors.extend(self.missing.into_iter().take(room));
        (Problems::new(self.errors, self.more), Problems::new(self.warnings, 0))
    }

    fn problem(&self, severity: Severity, fault: Fault) -> Problem {
        let place = self.source.place(&fault.span);
        Problem {
            severity,
            file: self.source.file_name().to_owned(),
            line: place.line,
            column: place.column,
            key: fault.key,
            message: fault.message,
            found: fault.found,
            expected: fault.expected,
            suggestion: fault.suggestion,
            excerpt: place.text,
            offset: place.offset,
            length: place.length,
        }
    }
}

/// Only the parser's problems have no key.
fn is_syntax(p: &Problem) -> bool {
    p.key.is_empty()
}
