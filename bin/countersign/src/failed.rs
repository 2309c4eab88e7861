//! Why a command failed, for the person who typed it, and the exit code that scripts look at.

use std::fmt;
use std::process::ExitCode;

/// Exit codes; `countersign --help` lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// The configuration or the policies have errors.
    Invalid = 3,
    /// What was asked for is not there.
    NotFound = 4,
}

/// A failure with words for a person.
#[derive(Debug)]
pub(crate) struct Failed {
    message: String,
    exit: Exit,
}

impl Failed {
    /// It did not work.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Failed }
    }

    /// The configuration or the policies have errors.
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Invalid }
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::NotFound }
    }

    /// The code to leave with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<std::io::Error> for Failed {
    fn from(e: std::io::Error) -> Self {
        Self::new(e)
    }
}
