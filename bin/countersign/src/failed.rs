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
    /// It needs a second factor that was not shown.
    NeedsFactor = 5,
    /// Something would change, or is different.
    Changes = 6,
}

/// A failure with words for a person.
#[derive(Debug)]
pub(crate) struct Failed {
    message: String,
    exit: u8,
}

impl Failed {
    /// It did not work.
    pub(crate) fn new(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Failed as u8 }
    }

    /// The configuration or the policies have errors.
    pub(crate) fn invalid(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::Invalid as u8 }
    }

    /// What was asked for is not there.
    pub(crate) fn not_found(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::NotFound as u8 }
    }

    /// It needs a second factor that was not shown.
    pub(crate) fn needs_factor(message: impl fmt::Display) -> Self {
        Self { message: message.to_string(), exit: Exit::NeedsFactor as u8 }
    }

    /// A command that was run here failed with this code and has said why itself.
    pub(crate) fn of_command(code: u8) -> Self {
        Self { message: String::new(), exit: code }
    }

    /// True when there is nothing to say.
    pub(crate) fn is_quiet(&self) -> bool {
        self.message.is_empty()
    }

    /// The code to leave with.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(self.exit)
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
