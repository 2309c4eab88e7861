//! What a text was read to: commands with their words.

use std::fmt;

/// Why a text cannot be read; may be shown to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt(pub &'static str);

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Doubt {}

/// A word after quotes were taken away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text; what is only known when it runs is left as written.
    pub text: String,
    /// True when the shell makes exactly this one word of it, whatever the state of the system.
    pub fixed: bool,
}

/// A file that a redirection opens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirection {
    /// The file.
    pub path: Word,
    /// True when it is opened for writing.
    pub writes: bool,
}

/// A command that a text may run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Command {
    /// The program and its arguments. Empty where a text only assigns or redirects. The first word is always fixed.
    pub words: Vec<Word>,
    /// The variables that are set for it or by it.
    pub assigned: Vec<String>,
    /// The files that it is redirected to.
    pub redirections: Vec<Redirection>,
    /// True when more arguments may be added when it runs, as `xargs` does.
    pub more: bool,
}

impl Command {
    /// The program as written; empty where there is none.
    pub fn program(&self) -> &str {
        self.words.first().map_or("", |w| w.text.as_str())
    }

    /// The last part of the program's path.
    pub fn name(&self) -> &str {
        self.program().rsplit('/').next().unwrap_or_default()
    }

    /// True when every argument and every file is known.
    pub fn is_fixed(&self) -> bool {
        !self.more && self.words.iter().all(|w| w.fixed) && self.redirections.iter().all(|r| r.path.fixed)
    }
}

/// Every command that a text names, in the order of the text; a program that runs others stands before them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The commands.
    pub commands: Vec<Command>,
}

impl Reading {
    /// The words of a text that is one program with fixed arguments and nothing else; `None` for all others.
    pub fn simple(&self) -> Option<Vec<&str>> {
        match self.commands.as_slice() {
            [c] if c.is_fixed() && !c.words.is_empty() && c.assigned.is_empty() && c.redirections.is_empty() => {
                Some(c.words.iter().map(|w| w.text.as_str()).collect())
            }
            _ => None,
        }
    }
}
