//! Where the binary speaks: results to standard output, everything else to standard error.

use std::io::{self, Write as _};

use crate::failed::Failed;

/// A line of a result. A reader that went away ends the command quietly.
pub(crate) fn say(line: &str) -> Result<(), Failed> {
    match writeln!(io::stdout().lock(), "{line}") {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// A line that is no result: progress, a warning.
pub(crate) fn note(line: &str) {
    // Nobody to tell is nothing to fail for.
    let _ = writeln!(io::stderr().lock(), "{line}");
}
