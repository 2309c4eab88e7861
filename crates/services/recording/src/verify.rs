//! Verification: every segment is read strictly, compared with its digest and with the index beside it.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::RecordingError;
use crate::index::{SegmentIndex, scan_error};
use crate::journal::{self, DAMAGED, INDEX, SEGMENT, file_path, parse_file_name};
use crate::reader::Reader;
use crate::record::hex;
use crate::records::starts_with_zeros;
use crate::scan::Frames;
use crate::seal::digest;

/// Something wrong with a segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentProblem {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong, and what to do.
    pub what: String,
}

impl SegmentProblem {
    pub(crate) fn new(path: &Path, what: &impl std::fmt::Display) -> Self {
        Self { path: path.to_owned(), what: what.to_string() }
    }

    pub(crate) fn into_error(self) -> RecordingError {
        RecordingError::Unreadable(self.what)
    }
}

/// What verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct VerifyReport {
    /// Sealed segments read.
    pub sealed: u64,
    /// Open segments read; they have no digest yet.
    pub open: u64,
    /// Entries read.
    pub entries: u64,
    /// What is wrong.
    pub problems: Vec<SegmentProblem>,
}

impl Reader {
    /// Reads every byte of every segment and says what is wrong. What a gateway is writing meanwhile is read as far as it is.
    ///
    /// # Errors
    /// When the folder cannot be listed.
    pub fn verify(&self) -> Result<VerifyReport, RecordingError> {
        let mut report = VerifyReport::default();
        let running = self.running_instance().is_some();
        for name in journal::journal_names(self.root())? {
            let dir = self.root().join(&name);
            for file in journal::file_names(&dir)? {
                if let Some((number, DAMAGED)) = parse_file_name(&file) {
                    let what = "kept aside by recovery because it is damaged; compare it with a copy, then remove it";
                    report.problems.push(SegmentProblem::new(&file_path(&dir, number, DAMAGED), &what));
                }
            }
            for number in journal::segment_numbers(&dir)? {
                let path = file_path(&dir, number, SEGMENT);
                if let Err(error) = verify_segment(&path, &name, number, running, &mut report)
                    && path.exists()
                {
                    report.problems.push(SegmentProblem::new(&path, &error));
                }
            }
        }
        Ok(report)
    }
}

fn verify_segment(
    path: &Path,
    journal: &str,
    number: u64,
    running: bool,
    report: &mut VerifyReport,
) -> Result<(), RecordingError> {
    let file = File::open(path).map_err(RecordingError::io("open", path))?;
    if starts_with_zeros(path) {
        return Ok(());
    }
    let mut frames = Frames::open(file).map_err(|e| scan_error(path, e))?;
    if (frames.header.journal.as_str(), frames.header.number) != (journal, number) {
        let what =
            format!("its header says {}/{}: it was moved or renamed", frames.header.journal, frames.header.number);
        report.problems.push(SegmentProblem::new(path, &what));
    }
    let index = SegmentIndex::build(path)?;
    report.entries += index.entries;
    let beside = path.with_extension(INDEX);
    if index.sha256.is_empty() {
        report.open += 1;
        if beside.exists() {
            let what = "it has an index and no footer: the end of it was cut off after it was sealed";
            report.problems.push(SegmentProblem::new(path, &what));
        }
        // In an open segment valid entries may follow while it is read, but never after a gap.
        let end = index.bytes;
        frames.seek(end);
        if matches!(frames.advance(), Ok(None)) && frames.valid_frame_after(end).map_err(|e| scan_error(path, e))? {
            let still = SegmentIndex::build(path)?.bytes == end;
            if still {
                let what = format!("valid entries follow a gap at byte {end}: entries were wiped out");
                report.problems.push(SegmentProblem::new(path, &what));
            }
        }
        return Ok(());
    }
    report.sealed += 1;
    let sha256 = digest(frames.source(), index.bytes).map_err(RecordingError::io("read", path))?;
    if hex(&sha256) != index.sha256 {
        report.problems.push(SegmentProblem::new(path, &"its content does not match the digest in its footer"));
    }
    match SegmentIndex::load(&beside, number, &index.sha256) {
        Some(loaded) if loaded == index => {}
        // A running recorder makes it right after the footer.
        None if !beside.exists() && running => {}
        _ => {
            let what = "missing, or not what the segment says: remove it, and the next start makes it again";
            report.problems.push(SegmentProblem::new(&beside, &what));
        }
    }
    Ok(())
}
