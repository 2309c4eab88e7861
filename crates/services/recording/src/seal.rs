//! Sealing: a segment that is no longer written gives back its unused space, gets its footer, and an index beside it.
//!
//! The footer holds the SHA-256 of everything before it, so that segments can be chained and compared. Until it is there the
//! segment counts as open, whatever happens in between.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use sha2::{Digest, Sha256};

use crate::RecordingError;
use crate::entry::{Entry, FOOTER_PAYLOAD_BYTES, Footer};
use crate::frame::{SegmentHeader, frame, framed_bytes};
use crate::index::{self, SegmentIndex};
use crate::journal::INDEX;
use crate::segment::{ActiveSegment, Retired, sync_folder_of};
use crate::wire::Put;

/// Bytes of a footer with its frame.
pub(crate) const FOOTER_FRAME_BYTES: u64 = framed_bytes(FOOTER_PAYLOAD_BYTES) as u64;
/// How much is read at once for the digest.
const READ_BYTES: usize = 256 << 10;

/// Seals a segment that was full, old or ended with its recorder. A failure is logged: the segment stays open and valid, and the
/// next start seals it.
pub(crate) fn seal_or_report(segment: ActiveSegment) {
    let Retired { file, used, count, first_at, last_at } = segment.retire();
    let result = if count == 0 {
        fs::remove_file(&file.path).map_err(RecordingError::io("remove", &file.path))
    } else {
        let footer = Footer { count, first_at, last_at, sha256: [0; 32], recovered: false, dropped: 0 };
        seal(&file.file, &file.path, &file.header, used as u64, footer)
    };
    if let Err(error) = result {
        tracing::error!(%error, "a recording segment could not be sealed; the next start seals it");
    }
}

/// Cuts the file at `used`, writes the footer (with the digest filled in) and then the index.
pub(crate) fn seal(
    file: &File,
    path: &Path,
    header: &SegmentHeader,
    used: u64,
    mut footer: Footer,
) -> Result<(), RecordingError> {
    file.set_len(used).map_err(RecordingError::io("shorten", path))?;
    footer.sha256 = digest(file, used).map_err(RecordingError::io("read", path))?;
    let bytes = footer_frame(header.number, used, &footer)
        .ok_or_else(|| RecordingError::io("seal", path)(io::ErrorKind::FileTooLarge.into()))?;
    file.write_all_at(&bytes, used).map_err(RecordingError::io("seal", path))?;
    file.sync_all().map_err(RecordingError::io("sync", path))?;
    write_index(path)
}

fn footer_frame(number: u64, used: u64, footer: &Footer) -> Option<Vec<u8>> {
    let mut payload = [0; FOOTER_PAYLOAD_BYTES];
    let mut put = Put::new(&mut payload);
    Entry::Footer(*footer).encode(footer.last_at, &mut put);
    put.finish()?;
    frame(number, u32::try_from(used).ok()?, &payload)
}

/// The SHA-256 of the first `len` bytes.
pub(crate) fn digest(file: &File, len: u64) -> io::Result<[u8; 32]> {
    let mut sha = Sha256::new();
    let mut buf = vec![0; READ_BYTES];
    let mut at = 0;
    while at < len {
        let want = usize::try_from(len - at).unwrap_or(READ_BYTES).min(READ_BYTES);
        let n = file.read_at(buf.get_mut(..want).unwrap_or_default(), at)?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        sha.update(buf.get(..n).unwrap_or_default());
        at += n as u64;
    }
    Ok(sha.finalize().into())
}

/// Makes the index beside a sealed segment. It appears whole or not at all.
pub(crate) fn write_index(segment: &Path) -> Result<(), RecordingError> {
    let index = SegmentIndex::build(segment)?;
    let path = segment.with_extension(INDEX);
    let temporary = segment.with_extension("idx.tmp");
    let bytes = index::to_bytes(&index).map_err(RecordingError::io("write", &path))?;
    let write = || -> io::Result<()> {
        let file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        sync_folder_of(&path)
    };
    write().map_err(RecordingError::io("write", &path))
}
