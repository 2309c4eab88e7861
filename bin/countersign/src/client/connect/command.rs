//! Running a command that uses the local port: its environment, the signals that are meant for it, its exit code.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;

use rustix::process::{Pid, Signal, getpgrp, kill_process};
use rustix::termios::tcgetpgrp;
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use crate::failed::Failed;

/// What a shell gives for a command that cannot be found, or not be run.
const NOT_FOUND: u8 = 127;
const NOT_RUN: u8 = 126;
/// What a shell adds to the number of the signal that ended a command.
const BY_SIGNAL: i32 = 128;

/// Variables to set, and others that would lead elsewhere.
#[derive(Clone, Debug)]
pub(super) struct Environment {
    /// Names and values.
    pub(super) set: Vec<(&'static str, String)>,
    /// Names.
    pub(super) unset: &'static [&'static str],
}

/// Runs the command to its end.
pub(super) async fn run(words: &[OsString], environment: &Environment) -> Result<(), Failed> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    // Ahead of the start: a signal that comes at once must not be lost.
    let (mut terminate, mut hangup) = (signal(SignalKind::terminate())?, signal(SignalKind::hangup())?);
    let (mut interrupt, mut quit) = (signal(SignalKind::interrupt())?, signal(SignalKind::quit())?);
    let (mut one, mut two) = (signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?);

    let mut command = Command::new(program);
    command.args(arguments).kill_on_drop(true);
    for name in environment.unset {
        command.env_remove(name);
    }
    command.envs(environment.set.iter().map(|(name, value)| (name, value)));
    let mut child = command.spawn().map_err(|e| {
        crate::output::note(&format!("countersign: {} cannot be run: {e}", program.display()));
        Failed::of_command(if e.kind() == std::io::ErrorKind::NotFound { NOT_FOUND } else { NOT_RUN })
    })?;
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let pass = |signal: Signal| {
        // One that has ended meanwhile needs no signal.
        let _ = pid.map(|pid| kill_process(pid, signal));
    };
    loop {
        let status = tokio::select! {
            status = child.wait() => status?,
            _ = terminate.recv() => { pass(Signal::TERM); continue }
            _ = hangup.recv() => { pass(Signal::HUP); continue }
            _ = one.recv() => { pass(Signal::USR1); continue }
            _ = two.recv() => { pass(Signal::USR2); continue }
            // The terminal has told the command as well, when it was a key.
            _ = interrupt.recv() => { if !of_the_terminal() { pass(Signal::INT) } continue }
            _ = quit.recv() => { if !of_the_terminal() { pass(Signal::QUIT) } continue }
        };
        let code = status.code().or_else(|| status.signal().map(|s| BY_SIGNAL + s)).unwrap_or(1);
        return match u8::try_from(code).unwrap_or(1) {
            0 => Ok(()),
            code => Err(Failed::of_command(code)),
        };
    }
}

/// True when a key of the terminal reaches us and the command alike.
fn of_the_terminal() -> bool {
    File::open("/dev/tty").is_ok_and(|tty| tcgetpgrp(tty).is_ok_and(|group| group == getpgrp()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    async fn code(script: &str) -> String {
        let environment = Environment { set: vec![("PGHOST", "here".to_owned())], unset: &["HOME"] };
        let words: Vec<OsString> = ["sh", "-c", script].into_iter().map(OsString::from).collect();
        match run(&words, &environment).await {
            Ok(()) => "0".to_owned(),
            Err(failed) => format!("{:?} {}", failed.code(), failed.is_quiet()),
        }
    }

    #[tokio::test]
    async fn the_commands_code_is_ours() {
        let quiet = |n: u8| format!("{:?} true", std::process::ExitCode::from(n));
        for (script, expected) in [
            ("exit 0", "0".to_owned()),
            ("exit 7", quiet(7)),
            ("test \"$PGHOST\" = here -a -z \"$HOME\"", "0".to_owned()),
            ("kill -TERM $$", quiet(143)),
        ] {
            assert_eq!(code(script).await, expected, "{script}");
        }
        let missing = run(&["/no/such/program".into()], &Environment { set: vec![], unset: &[] }).await.unwrap_err();
        assert_eq!(format!("{:?}", missing.code()), format!("{:?}", std::process::ExitCode::from(127)));
    }
}
