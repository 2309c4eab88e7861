//! Shell text to the commands that it names: every simple command in lists, pipelines, compound commands, functions, substitutions,
//! here-documents and the arguments of programs that are known to run others.
//!
//! [`read`] is total and never guesses. Where shells of the POSIX family (dash, bash, ksh, zsh, busybox) read a text differently, where
//! a program's name is not fixed, or where a construct can run what is not written there, the answer is a [`Doubt`]. It must never run
//! anything, look at a file, or be called a sandbox: what a named program does with its arguments is not known here.

mod command;
mod expansion;
mod grammar;
mod parser;
mod programs;
mod quote;
mod redirection;
mod unwrap;
mod word;

#[cfg(test)]
mod tests;

pub use command::{Command, Doubt, Reading, Redirection, Word};
pub use programs::access_of;
pub use quote::quoted;

/// The longest text that is read.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The most commands in a text.
pub const COMMANDS_MAX: usize = 256;
/// The deepest nesting of compound commands, substitutions and texts within texts.
pub const DEPTH_MAX: usize = 32;

/// Finds the commands of a text.
///
/// # Errors
/// A doubt: what makes it impossible to say which commands the text runs.
pub fn read(text: &[u8]) -> Result<Reading, Doubt> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Doubt("it is longer than 64 KiB"));
    }
    let text = std::str::from_utf8(text).map_err(|_| Doubt("it is not UTF-8"))?;
    if text.chars().any(word::is_invisible) {
        return Err(Doubt("it has control characters, or blanks and marks that do not show"));
    }
    let mut commands = Vec::new();
    parser::parse_into(text.as_bytes(), 0, &mut commands)?;
    if commands.is_empty() {
        return Err(Doubt("it has no command"));
    }
    Ok(Reading { commands })
}
