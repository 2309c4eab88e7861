//! The start after a crash: segments that were left open are read to their last valid entry, cut there, sealed and marked.
//!
//! A torn last entry was never acknowledged and is dropped. Valid entries after invalid bytes mean damage: the file is kept
//! aside as `NUMBER.damaged`, the log says so, and only then is the valid beginning sealed.

use std::fs::{self, File, OpenOptions};
use std::path::Path;

use crate::RecordingError;
use crate::entry::Footer;
use crate::index::{IndexBuilder, scan_error};
use crate::journal::{self, DAMAGED, INDEX, SEGMENT, file_path};
use crate::scan::{Frames, ScanError, Walk, footer};
use crate::seal;

/// Recovers every journal under the folder.
pub(crate) fn recover(root: &Path) -> Result<(), RecordingError> {
    for name in journal::journal_names(root)? {
        let dir = root.join(&name);
        // Leftovers go first: sealing makes files of the same names.
        for file in journal::file_names(&dir)? {
            let path = dir.join(&file);
            match journal::parse_file_name(&file) {
                Some((_, "idx.tmp")) => remove(&path)?,
                Some((number, INDEX)) if !file_path(&dir, number, SEGMENT).exists() => remove(&path)?,
                _ => {}
            }
        }
        for number in journal::segment_numbers(&dir)? {
            recover_segment(&file_path(&dir, number, SEGMENT))?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), RecordingError> {
    fs::remove_file(path).map_err(RecordingError::io("remove", path))
}

/// How an open segment ends.
struct End {
    walk: Walk<File>,
    /// Where the last valid entry ends.
    valid: u64,
    /// What is wrong there, when valid entries follow or an entry is nonsense although its checksum fits.
    damage: Option<&'static str>,
    /// Bytes after the end that are not zero.
    dropped: u64,
}

fn recover_segment(path: &Path) -> Result<(), RecordingError> {
    let file = OpenOptions::new().read(true).write(true).open(path).map_err(RecordingError::io("open", path))?;
    let reading = file.try_clone().map_err(RecordingError::io("open", path))?;
    let mut frames = match Frames::open(reading) {
        Ok(frames) => frames,
        Err(ScanError::Damage(damage)) => return headless(path, damage.what),
        Err(e) => return Err(scan_error(path, e)),
    };
    if footer(&mut frames).map_err(|e| scan_error(path, e))?.is_some() {
        if !path.with_extension(INDEX).exists()
            && let Err(error) = seal::write_index(path)
        {
            tracing::error!(%error, "a sealed recording segment has no index and none can be made; readers scan it");
        }
        return Ok(());
    }
    let end = find_end(frames).map_err(|e| scan_error(path, e))?;
    if let Some(what) = end.damage {
        let aside = path.with_extension(DAMAGED);
        fs::copy(path, &aside).map_err(RecordingError::io("copy", path))?;
        tracing::error!(
            segment = %path.display(), offset = end.valid, what, kept = %aside.display(),
            "a recording segment is damaged in the middle: what is valid before it is kept in place, the whole file aside"
        );
    } else if end.dropped > 0 {
        tracing::warn!(segment = %path.display(), bytes = end.dropped, "a torn last entry, never acknowledged, was dropped");
    }
    if end.walk.count == 0 && end.damage.is_none() {
        return remove(path);
    }
    let footer = Footer {
        count: end.walk.count,
        first_at: end.walk.first_at,
        last_at: end.walk.last_at,
        sha256: [0; 32],
        recovered: true,
        dropped: end.dropped,
    };
    seal::seal(&file, path, &end.walk.frames.header, end.valid, footer)?;
    tracing::info!(segment = %path.display(), entries = end.walk.count, "recovered a recording segment that a crash left open");
    Ok(())
}

fn find_end(frames: Frames<File>) -> Result<End, ScanError> {
    let mut walk = Walk::new(frames);
    let mut builder = IndexBuilder::default();
    let mut valid = walk.frames.position();
    let (mut counted, mut first_at, mut last_at) = (0, i64::MAX, i64::MIN);
    let mut damage = None;
    loop {
        match walk.next() {
            Ok(None) => break,
            Ok(Some((offset, at, entry))) => {
                if let Err(what) = builder.add(offset, at, &entry) {
                    damage = Some(what);
                    break;
                }
                counted += 1;
                first_at = first_at.min(at);
                last_at = last_at.max(at);
                valid = walk.frames.position();
            }
            Err(ScanError::Damage(d)) => {
                // A frame that is invalid as such may be torn; one that is valid and says nonsense is not.
                if walk.frames.position() > valid {
                    damage = Some(d.what);
                }
                break;
            }
            Err(e) => return Err(e),
        }
    }
    // The walk counts an entry before its content is judged; what is sealed is what was judged.
    (walk.count, walk.first_at, walk.last_at) = (counted, first_at, last_at);
    if damage.is_none() && walk.frames.valid_frame_after(valid)? {
        damage = Some("valid entries follow bytes that are none");
    }
    let dropped = walk.frames.bytes_after(valid)?;
    Ok(End { walk, valid, damage, dropped })
}

/// A file without a valid header: an empty one is what a crash leaves of a segment that was just made.
fn headless(path: &Path, what: &'static str) -> Result<(), RecordingError> {
    let bytes = fs::read(path).map_err(RecordingError::io("read", path))?;
    if bytes.iter().all(|b| *b == 0) {
        return remove(path);
    }
    let aside = path.with_extension(DAMAGED);
    tracing::error!(segment = %path.display(), what, kept = %aside.display(), "a recording segment has no valid header: it is kept aside");
    fs::rename(path, &aside).map_err(RecordingError::io("rename", path))
}
