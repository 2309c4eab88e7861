//! Following a recording while it is written, across segments.
//!
//! The caller asks again and again; nothing waits in here.

use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use countersign_model::{TargetName, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::{HashMap, HashSet};

use crate::RecordingError;
use crate::journal::{self, SEGMENT, file_path};
use crate::reader::Reader;
use crate::record::Record;
use crate::records::{RecordFilter, SegmentRecords};

/// Where following begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TailFrom {
    /// With what is written from now on.
    Now,
    /// With the oldest that is kept.
    Start,
    /// With the oldest that may hold what was written at this time; older records may come first.
    Time(Timestamp),
}

/// How long a file that is mapped may have changed without its time: the system notes a change when it first writes it to the disk.
const UNNOTED: Duration = Duration::from_secs(600);

/// Follows a recording.
pub struct Tail {
    root: PathBuf,
    filter: RecordFilter,
    /// How far each segment was read; `None` when it is read to its footer.
    read: HashMap<PathBuf, Option<u64>, FixedState>,
}

impl Reader {
    /// Follows the records that fit a filter.
    ///
    /// # Errors
    /// When the folder or a segment cannot be read.
    pub fn tail(&self, filter: &RecordFilter, from: TailFrom) -> Result<Tail, RecordingError> {
        let mut tail = Tail {
            root: self.root().to_owned(),
            filter: filter.clone(),
            read: HashMap::with_hasher(FixedState::default()),
        };
        if let TailFrom::Time(time) = from {
            let since = UNIX_EPOCH + Duration::from_micros(u64::try_from(time.unix_us()).unwrap_or(0));
            for path in tail.segments()? {
                let changed = std::fs::metadata(&path).and_then(|m| m.modified());
                if changed.is_ok_and(|at| at + UNNOTED < since) {
                    tail.read.insert(path, None);
                }
            }
        }
        if from == TailFrom::Now {
            let mut problems = Vec::new();
            for facts in self.segments_of(filter.target.as_ref(), &mut problems)? {
                if facts.footer.is_some() {
                    // Nothing is written to it any more.
                    tail.read.insert(facts.path, None);
                } else if let Some(mut segment) = SegmentRecords::open(&facts.path)? {
                    segment.skip_all()?;
                    tail.read.insert(facts.path, Some(segment.position()));
                }
            }
            if let Some(problem) = problems.into_iter().next() {
                return Err(problem.into_error());
            }
        }
        Ok(tail)
    }
}

impl Tail {
    /// What was written since the last time, ordered by time, about `limit` records at most; empty when nothing was.
    ///
    /// # Errors
    /// When the folder cannot be read or a segment is damaged; that segment is not followed any further.
    pub fn poll(&mut self, limit: usize) -> Result<Vec<Record>, RecordingError> {
        let mut records = Vec::new();
        let paths = self.segments()?;
        if self.read.len() > paths.len() {
            let there: HashSet<&PathBuf, FixedState> = paths.iter().collect();
            self.read.retain(|path, _| there.contains(path));
        }
        for path in paths {
            let Some(offset) = self.read.get(&path).copied().unwrap_or(Some(0)) else { continue };
            if records.len() >= limit {
                break;
            }
            let Some(mut segment) = SegmentRecords::open(&path)? else { continue };
            if offset > 0 {
                segment.seek(offset);
            }
            loop {
                match segment.next(&self.filter) {
                    Ok(Some(record)) => records.push(record),
                    Ok(None) => break,
                    Err(e) => {
                        self.read.insert(path, None);
                        return Err(e);
                    }
                }
                if records.len() >= limit {
                    break;
                }
            }
            self.read.insert(path, (!segment.ended).then(|| segment.position()));
        }
        // Segments side by side are each in order; a stable sort keeps that.
        records.sort_by_key(|r| r.at);
        Ok(records)
    }

    fn segments(&self) -> Result<Vec<PathBuf>, RecordingError> {
        let journals = match self.filter.target.as_ref().map(TargetName::as_str) {
            Some(target) => vec![target.to_owned()],
            None => journal::journal_names(&self.root)?,
        };
        let mut out = Vec::new();
        for name in journals {
            let dir = self.root.join(name);
            out.extend(journal::segment_numbers(&dir)?.into_iter().map(|n| file_path(&dir, n, SEGMENT)));
        }
        Ok(out)
    }
}
