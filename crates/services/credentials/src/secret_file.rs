//! Files that hold a secret: read whole, within a limit, and only when others cannot read them.

use std::fs::OpenOptions;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use countersign_model::Secret;
use zeroize::Zeroizing;

use crate::CredentialError;

/// The largest file.
pub const SECRET_FILE_BYTES_MAX: usize = 64 * 1024;

/// Anybody on the machine.
const OTHERS: u32 = 0o007;
/// Others in the group may read, so that a mounted secret works, but not write.
const GROUP_WRITE: u32 = 0o020;

/// Reads the file. The checks are made on the open file, so that it cannot be exchanged in between.
pub(crate) fn read(path: &Path) -> Result<Secret, CredentialError> {
    let fault = |why: String| CredentialError::File { path: path.to_owned(), why };
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::CLOEXEC;
    let flags = i32::try_from(flags.bits()).unwrap_or(0);
    // Without NONBLOCK, opening a named pipe would wait for a writer for ever.
    let mut file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| fault(e.to_string()))?;
    let metadata = file.metadata().map_err(|e| fault(e.to_string()))?;
    if !metadata.is_file() {
        return Err(fault("it is not a regular file".to_owned()));
    }
    if metadata.mode() & OTHERS != 0 {
        return Err(fault(format!("others can read or change it (mode {:04o}): chmod 0600", metadata.mode() & 0o7777)));
    }
    if metadata.mode() & GROUP_WRITE != 0 {
        tracing::warn!(path = %path.display(), "the group of this secret file may change it: chmod 0640 or 0600");
    }
    // One buffer that is large enough from the start: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_FILE_BYTES_MAX + 64));
    let limit = u64::try_from(SECRET_FILE_BYTES_MAX + 1).unwrap_or(u64::MAX);
    file.by_ref().take(limit).read_to_end(&mut bytes).map_err(|e| fault(e.to_string()))?;
    if bytes.len() > SECRET_FILE_BYTES_MAX {
        return Err(fault(format!("it is larger than {SECRET_FILE_BYTES_MAX} bytes")));
    }
    if bytes.is_empty() {
        return Err(fault("it is empty".to_owned()));
    }
    Ok(Secret::new(bytes.to_vec()))
}

/// Without the line end that editors and `echo` add.
pub(crate) fn without_line_end(secret: &Secret) -> Secret {
    let bytes = secret.expose();
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
    Secret::new(bytes.to_vec())
}
