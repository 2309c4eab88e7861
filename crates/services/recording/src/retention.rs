//! Retention: sealed segments that are too old, or beyond a target's budget, are removed, oldest first.
//!
//! A removal is recorded before it happens. Open segments are never removed, nor is the record of removals itself.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use countersign_model::Timestamp;

use crate::RecordingError;
use crate::config::Retention;
use crate::entry::Footer;
use crate::index::scan_error;
use crate::journal::{self, DAMAGED, INDEX, REMOVED, SEGMENT, file_path};
use crate::record::{RemovedRecord, hex};
use crate::scan::{Frames, footer};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// The wall clock.
pub(crate) fn system_time() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_us(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

struct Kept {
    number: u64,
    bytes: u64,
    /// `None` while it is open.
    footer: Option<Footer>,
}

/// Applies retention to every journal; how many segments were removed. `record` is called before each removal.
pub(crate) fn apply(
    root: &Path,
    now: Timestamp,
    retention_of: impl Fn(&str) -> Retention,
    record: impl Fn(&RemovedRecord) -> Result<(), String>,
) -> Result<usize, RecordingError> {
    let mut removed = 0;
    for journal in journal::journal_names(root)? {
        let retention = retention_of(&journal);
        if journal == REMOVED || retention == Retention::default() {
            continue;
        }
        let dir = root.join(&journal);
        let segments = segments(&dir)?;
        let mut total: u64 = segments.iter().map(|s| s.bytes).sum();
        for segment in &segments {
            let Some(f) = segment.footer else { continue };
            let old = retention
                .days
                .is_some_and(|days| f.last_at < now.unix_us().saturating_sub(i64::from(days).saturating_mul(DAY_US)));
            let reason = match (old, retention.budget_bytes) {
                (true, _) => "age",
                (false, Some(budget)) if total > budget => "budget",
                _ => continue,
            };
            let removal = RemovedRecord {
                journal: journal.clone(),
                number: segment.number,
                entries: f.count,
                bytes: segment.bytes,
                first_at: Timestamp::from_unix_us(f.first_at),
                last_at: Timestamp::from_unix_us(f.last_at),
                sha256: hex(&f.sha256),
                reason: reason.to_owned(),
            };
            let path = file_path(&dir, segment.number, SEGMENT);
            record(&removal).map_err(|e| RecordingError::io("record the removal of", &path)(io::Error::other(e)))?;
            fs::remove_file(&path).map_err(RecordingError::io("remove", &path))?;
            for beside in [INDEX, DAMAGED] {
                let path = file_path(&dir, segment.number, beside);
                match fs::remove_file(&path) {
                    Err(e) if e.kind() != io::ErrorKind::NotFound => {
                        return Err(RecordingError::io("remove", &path)(e));
                    }
                    _ => {}
                }
            }
            total = total.saturating_sub(segment.bytes);
            removed += 1;
        }
    }
    Ok(removed)
}

/// The segments of a journal, oldest first. What cannot be read as a sealed segment counts as open, and so is kept.
fn segments(dir: &Path) -> Result<Vec<Kept>, RecordingError> {
    let mut out = Vec::new();
    for number in journal::segment_numbers(dir)? {
        let path = file_path(dir, number, SEGMENT);
        let file = match File::open(&path) {
            Ok(file) => file,
            // An unused segment is removed when its shard stops.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(RecordingError::io("open", &path)(e)),
        };
        let bytes = file.metadata().map_err(RecordingError::io("read", &path))?.len();
        let footer = match Frames::open(file) {
            Ok(mut frames) => footer(&mut frames).map_err(|e| scan_error(&path, e))?,
            Err(_) => None,
        };
        out.push(Kept { number, bytes, footer });
    }
    Ok(out)
}
