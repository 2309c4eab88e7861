//! Commands that print a key, such as a KMS client: no shell, no input, bounded output and time, and nothing of what it says is shown.

use std::process::Stdio;
use std::time::Duration;

use countersign_model::Secret;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;
use zeroize::Zeroizing;

use crate::CredentialError;

/// The longest that a command may take.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);
/// The most bytes that a command may print.
pub const COMMAND_OUTPUT_BYTES_MAX: usize = 4096;

/// Runs the program with its arguments and gives what it prints.
pub(crate) async fn output(argv: &[String], timeout: Duration) -> Result<Secret, CredentialError> {
    let Some((program, arguments)) = argv.split_first() else {
        return Err(CredentialError::Key("the command is empty".to_owned()));
    };
    let fault = |why: String| CredentialError::Command { program: program.clone(), why };
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        // A group of its own, so that what it starts can be ended with it.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| fault(format!("it cannot be started: {e}")))?;
    let _group = Group(child.id());
    let work = async {
        let mut bytes = Zeroizing::new(Vec::with_capacity(COMMAND_OUTPUT_BYTES_MAX + 64));
        let limit = u64::try_from(COMMAND_OUTPUT_BYTES_MAX + 1).unwrap_or(u64::MAX);
        if let Some(stdout) = child.stdout.take() {
            stdout.take(limit).read_to_end(&mut bytes).await.map_err(|e| fault(e.to_string()))?;
        }
        if bytes.len() > COMMAND_OUTPUT_BYTES_MAX {
            return Err(fault(format!("it printed more than {COMMAND_OUTPUT_BYTES_MAX} bytes")));
        }
        let status = child.wait().await.map_err(|e| fault(e.to_string()))?;
        if !status.success() {
            return Err(fault(format!("it ended with {status}")));
        }
        Ok(Secret::new(bytes.to_vec()))
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(fault(format!("it did not finish within {} ms", timeout.as_millis()))),
    }
}

/// Ends the whole group when dropped. After a normal end there is nobody left, which is no fault.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.0.and_then(|p| i32::try_from(p).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}
