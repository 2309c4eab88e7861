//! A journal: the folder of segments that the sessions of one target share, and the names of the files in it.
//!
//! File names: `000000000001.seg` is a segment, `000000000001.idx` the index that is made when it is sealed. Names of journals
//! that no target can have begin with `_`.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_model::TargetName;

use crate::RecordingError;
use crate::frame::SegmentHeader;
use crate::segment::{SegmentFile, sync_folder_of};
use crate::shard::Shard;

/// Where refused connections are recorded.
pub(crate) const REFUSED: &str = "_refused";
/// Where removals by retention are recorded. Nothing removes from it.
pub(crate) const REMOVED: &str = "_removed";
/// Ends the name of a segment.
pub(crate) const SEGMENT: &str = "seg";
/// Ends the name of an index.
pub(crate) const INDEX: &str = "idx";
/// Ends the name of a segment whose damaged end was cut off by recovery, kept as it was.
pub(crate) const DAMAGED: &str = "damaged";
/// The most files that are listed of one journal.
const SEGMENTS_MAX: usize = 1 << 20;

/// One journal, with its writers.
pub(crate) struct Journal {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) shards: Box<[Shard]>,
    next_number: AtomicU64,
    segment_bytes: u64,
    instance: u64,
}

impl Journal {
    /// Opens the folder, making it if need be.
    pub(crate) fn open(
        root: &Path,
        name: &str,
        shards: usize,
        segment_bytes: u64,
        instance: u64,
    ) -> Result<Arc<Self>, RecordingError> {
        let dir = root.join(name);
        make_private_folder(&dir).map_err(RecordingError::io("create", &dir))?;
        // Once per target and run: the folder's own name must survive a power failure like its files.
        sync_folder_of(&dir).map_err(RecordingError::io("sync", &dir))?;
        let last = segment_numbers(&dir)?.last().copied().unwrap_or(0);
        let shards = (0..shards).map(|i| Shard::new(u16::try_from(i).unwrap_or(u16::MAX))).collect();
        Ok(Arc::new(Self {
            name: name.to_owned(),
            dir,
            shards,
            next_number: AtomicU64::new(last + 1),
            segment_bytes,
            instance,
        }))
    }

    /// Makes the next segment of a shard, large enough for an entry of `need` bytes.
    pub(crate) fn create_segment(&self, shard: u16, need: usize) -> Result<Arc<SegmentFile>, RecordingError> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let header = SegmentHeader {
            number,
            shard,
            instance: self.instance,
            created_at: crate::retention::system_time().unix_us(),
            journal: self.name.clone(),
        };
        SegmentFile::create(file_path(&self.dir, number, SEGMENT), header, self.segment_bytes.max(need as u64))
    }

    /// The shard of a session.
    pub(crate) fn shard_of(&self, session: u128) -> Option<&Shard> {
        let low = (session & u128::from(u64::MAX)) as u64;
        let i = low.checked_rem(self.shards.len() as u64)?;
        self.shards.get(usize::try_from(i).ok()?)
    }
}

/// Makes a folder that only its owner can enter.
pub(crate) fn make_private_folder(dir: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// The path of a journal's file.
pub(crate) fn file_path(dir: &Path, number: u64, extension: &str) -> PathBuf {
    dir.join(format!("{number:012}.{extension}"))
}

/// The number and the extension of a journal's file.
pub(crate) fn parse_file_name(name: &str) -> Option<(u64, &str)> {
    let (number, extension) = name.split_once('.')?;
    let valid = number.len() >= 12 && number.bytes().all(|b| b.is_ascii_digit());
    valid.then(|| number.parse().ok()).flatten().map(|n| (n, extension))
}

/// The numbers of the segments in a folder, ascending. A folder that is not there has none.
pub(crate) fn segment_numbers(dir: &Path) -> Result<Vec<u64>, RecordingError> {
    let mut numbers: Vec<u64> = file_names(dir)?
        .iter()
        .filter_map(|n| parse_file_name(n))
        .filter(|(_, extension)| *extension == SEGMENT)
        .map(|(n, _)| n)
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The names of the files in a folder.
pub(crate) fn file_names(dir: &Path) -> Result<Vec<String>, RecordingError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(RecordingError::io("list", dir)(e)),
    };
    let mut names = Vec::new();
    for entry in entries.take(SEGMENTS_MAX) {
        let entry = entry.map_err(RecordingError::io("list", dir))?;
        if let Ok(name) = entry.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The names of the journals under the recording's folder, in order.
pub(crate) fn journal_names(root: &Path) -> Result<Vec<String>, RecordingError> {
    let mut names = file_names(root)?;
    names.retain(|n| (n == REFUSED || n == REMOVED || TargetName::parse(n).is_some()) && root.join(n).is_dir());
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::parse_file_name;

    #[test]
    fn only_names_that_we_give_are_ours() {
        for (name, expected) in [
            ("000000000001.seg", Some((1, "seg"))),
            ("1000000000000.idx", Some((1_000_000_000_000, "idx"))),
            ("000000000001.idx.tmp", Some((1, "idx.tmp"))),
            ("1.seg", None),
            ("00000000000x.seg", None),
            ("+00000000001.seg", None),
            ("000000000001", None),
            (".lock", None),
        ] {
            assert_eq!(parse_file_name(name), expected, "{name}");
        }
    }
}
