//! One segment being written: its file, which grows in preallocated steps, and the end at which entries are appended.
//!
//! Space is taken from the file system before it is written, so that a full disk is an error at the step and never a fault in
//! the middle of an entry. An entry's length is published last.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use countersign_model::{Shape, Verdict};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;
use rustix::fs::FallocateFlags;
use rustix::io::Errno;
use smallvec::SmallVec;

use crate::RecordingError;
use crate::entry::{BULK_HEAD_BYTES_MAX, Entry};
use crate::frame::{FRAME_HEAD_BYTES, SEGMENT_HEADER_BYTES, SegmentHeader, checksum, checksum_of_parts, framed_bytes};
use crate::mapping::Mapping;
use crate::wire::Put;

/// The smallest step in which space is taken.
pub(crate) const STEP_BYTES_MIN: u64 = 256 << 10;
/// The largest step in which space is taken.
const STEP_BYTES_MAX: u64 = 4 << 20;
/// More space is asked for in the background when less than this is left.
const AHEAD_BYTES: usize = 128 << 10;
/// Space that only the ends of things may use (outcomes, closes), so that a full disk does not hide how sessions ended.
pub(crate) const RESERVE_BYTES: usize = 32 << 10;
/// Outputs of at least so many bytes are written by the system's call and not through the mapping: each page that is touched there for the
/// first time is a fault, and each that is written back is one more on every core that has seen it.
const BULK_BYTES_MIN: usize = 8 << 10;
/// Shapes that one segment remembers the definitions of. Beyond it they are forgotten and defined again.
const SHAPES_MAX: usize = 8192;
/// Definitions of one shape that a segment remembers; verdicts that depend on time or source make several.
const VERDICTS_PER_SHAPE_MAX: usize = 8;

/// The file of a segment. Shared by the shard that appends, the thread that syncs and the thread that keeps house.
pub(crate) struct SegmentFile {
    pub(crate) file: File,
    pub(crate) path: PathBuf,
    pub(crate) header: SegmentHeader,
    capacity: usize,
    allocated: AtomicU64,
    growing: Mutex<()>,
    grow_asked: AtomicBool,
    in_folder: AtomicBool,
}

impl SegmentFile {
    /// Makes the file with its header and the first step of space.
    pub(crate) fn create(path: PathBuf, header: SegmentHeader, capacity: u64) -> Result<Arc<Self>, RecordingError> {
        let bytes = header.encode().ok_or_else(|| RecordingError::Setting {
            setting: "target name",
            given: header.journal.clone(),
            must: "at most 64 bytes long".to_owned(),
        })?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .map_err(RecordingError::io("create", &path))?;
        let segment = Self {
            file,
            path,
            header,
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            allocated: AtomicU64::new(0),
            growing: Mutex::new(()),
            grow_asked: AtomicBool::new(false),
            in_folder: AtomicBool::new(false),
        };
        let made = segment.grow(0).and_then(|()| segment.file.write_all_at(&bytes, 0));
        if let Err(e) = made {
            // An empty file would be found and removed at the next start; removing it now leaves the disk as it was.
            let _ = std::fs::remove_file(&segment.path);
            return Err(RecordingError::io("allocate space for", &segment.path)(e));
        }
        Ok(Arc::new(segment))
    }

    pub(crate) fn allocated(&self) -> usize {
        usize::try_from(self.allocated.load(Ordering::Acquire)).unwrap_or(usize::MAX)
    }

    /// Takes space until at least `need` bytes are there, and a step more where the capacity allows it.
    pub(crate) fn grow(&self, need: usize) -> io::Result<()> {
        let _one_at_a_time = self.growing.lock();
        let have = self.allocated.load(Ordering::Acquire);
        self.grow_asked.store(false, Ordering::Release);
        let capacity = self.capacity as u64;
        if have >= capacity || (need > 0 && have >= need as u64) {
            return Ok(());
        }
        let wanted = (need as u64).max(have).saturating_add(have.clamp(STEP_BYTES_MIN, STEP_BYTES_MAX)).min(capacity);
        let taken = allocate(&self.file, have, wanted - have).map(|()| wanted).or_else(|e| {
            // A nearly full disk may still have what this one entry needs.
            let least = need as u64;
            if least <= have { Err(e) } else { allocate(&self.file, have, least - have).map(|()| least) }
        })?;
        self.allocated.store(taken, Ordering::Release);
        Ok(())
    }

    /// Takes a step more, ahead of need.
    pub(crate) fn grow_ahead(&self) {
        if let Err(error) = self.grow(0) {
            // The append that needs the space tries again and reports the failure to its session.
            tracing::warn!(path = %self.path.display(), %error, "cannot take recording space ahead of need");
        }
    }

    /// Forces what was written to the disk, and at the first time the file's name, too.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.in_folder.load(Ordering::Acquire) {
            sync_folder_of(&self.path)?;
            self.in_folder.store(true, Ordering::Release);
        }
        Ok(())
    }
}

/// Forces a file's name to the disk.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// Takes space in a file.
pub(crate) fn allocate(file: &File, offset: u64, len: u64) -> io::Result<()> {
    loop {
        return match rustix::fs::fallocate(file, FallocateFlags::empty(), offset, len) {
            Ok(()) => Ok(()),
            Err(Errno::INTR) => continue,
            // File systems without preallocation: zeros that are really written take the space just as well.
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => write_zeros(file, offset, len),
            Err(e) => Err(e.into()),
        };
    }
}

fn write_zeros(file: &File, offset: u64, len: u64) -> io::Result<()> {
    const ZEROS: &[u8] = &[0; 64 << 10];
    let mut done = 0;
    while done < len {
        let n = usize::try_from(len - done).unwrap_or(ZEROS.len()).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..n).unwrap_or_default(), offset + done)?;
        done += n as u64;
    }
    Ok(())
}

/// The end of a segment at which entries are appended. Owned by its shard.
pub(crate) struct ActiveSegment {
    pub(crate) file: Arc<SegmentFile>,
    map: Mapping,
    used: usize,
    pub(crate) count: u64,
    first_at: i64,
    last_at: i64,
    pub(crate) opened: Instant,
    /// Offsets of definitions by shape, each with the verdict that it is for.
    shapes: HashMap<u64, SmallVec<[(Verdict, u32); 1]>, FixedState>,
    /// Offset and length of definitions by the hash of their bytes: texts that mean the same define it once.
    contents: HashMap<u64, (u32, u32), FixedState>,
}

/// What is needed to seal a segment.
pub(crate) struct Retired {
    pub(crate) file: Arc<SegmentFile>,
    pub(crate) used: usize,
    pub(crate) count: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
}

impl ActiveSegment {
    pub(crate) fn new(file: Arc<SegmentFile>) -> io::Result<Self> {
        let map = Mapping::new(&file.file, file.capacity, file.allocated())?;
        Ok(Self {
            file,
            map,
            used: SEGMENT_HEADER_BYTES,
            count: 0,
            first_at: i64::MAX,
            last_at: i64::MIN,
            opened: Instant::now(),
            shapes: HashMap::with_hasher(FixedState::default()),
            contents: HashMap::with_hasher(FixedState::default()),
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.file.header.number
    }

    /// Bytes of frames so far.
    pub(crate) fn used(&self) -> usize {
        self.used
    }

    pub(crate) fn fits(&self, need: usize) -> bool {
        self.used.checked_add(need).is_some_and(|end| end <= self.file.capacity)
    }

    pub(crate) fn over_half(&self) -> bool {
        self.used > self.file.capacity / 2
    }

    /// Makes sure that `need` bytes can be written, with `spare` left after them.
    pub(crate) fn ensure(&mut self, need: usize, spare: usize) -> io::Result<()> {
        let least = self.used + need;
        let wanted = least.saturating_add(spare).min(self.file.capacity).max(least);
        if wanted > self.map.allocated() {
            self.map.grown_to(self.file.allocated());
        }
        if wanted > self.map.allocated() {
            self.file.grow(wanted)?;
            self.map.grown_to(self.file.allocated());
        }
        if wanted > self.map.allocated() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// True once when space should be taken ahead of need.
    pub(crate) fn wants_space(&self) -> bool {
        self.map.allocated() < self.file.capacity
            && self.map.allocated() - self.used < AHEAD_BYTES + RESERVE_BYTES
            && !self.file.grow_asked.swap(true, Ordering::AcqRel)
    }

    /// Appends one entry; its offset. Space must have been ensured; `None` says that it was not, or that the file could not be written.
    pub(crate) fn append(&mut self, at: i64, entry: &Entry<'_>) -> Option<u32> {
        let offset = u32::try_from(self.used).ok()?;
        let start = self.used + FRAME_HEAD_BYTES;
        let room = entry.payload_bytes_max().min(self.map.allocated().checked_sub(start)?);
        let len = match entry.split_bulk() {
            Some((head, bulk)) if bulk.len() >= BULK_BYTES_MIN => self.write_bulk(at, offset, &head, bulk),
            _ => self.write_mapped(at, offset, entry, room),
        };
        let Some(len) = len else {
            // Readers and recovery expect zeros after the last entry.
            self.map.range(self.used, FRAME_HEAD_BYTES + room)?.fill(0);
            return None;
        };
        self.used += framed_bytes(len);
        self.count += 1;
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        Some(offset)
    }

    /// Writes a frame into memory; the bytes of its payload.
    fn write_mapped(&mut self, at: i64, offset: u32, entry: &Entry<'_>, room: usize) -> Option<usize> {
        let room = self.map.range(self.used + FRAME_HEAD_BYTES, room)?;
        let mut put = Put::new(room);
        entry.encode(at, &mut put);
        let len = put.finish()?;
        let crc = checksum(self.file.header.number, offset, room.get(..len)?);
        self.map.range(self.used + 4, 4)?.copy_from_slice(&crc.to_le_bytes());
        self.map.publish(self.used, u32::try_from(len).ok()?).then_some(len)
    }

    /// Writes a frame whose payload ends with these bytes into the file; the bytes of its payload. The system shows one file to both ways
    /// of writing, and whoever sees the length sees what was written before it.
    fn write_bulk(&self, at: i64, offset: u32, head: &Entry<'_>, bulk: &[u8]) -> Option<usize> {
        let mut begin = [0; 4 + BULK_HEAD_BYTES_MAX];
        let (place, room) = begin.split_first_chunk_mut::<4>()?;
        let mut put = Put::new(room);
        head.encode(at, &mut put);
        let fields = put.finish()?;
        let len = fields + bulk.len();
        *place = checksum_of_parts(self.file.header.number, offset, room.get(..fields)?, bulk).to_le_bytes();
        let from = u64::from(offset);
        let written = u32::try_from(len).ok()?.to_le_bytes();
        if self.map.allocated() < self.used + FRAME_HEAD_BYTES + len {
            return None;
        }
        let file = &self.file.file;
        let wrote = file
            .write_all_at(begin.get(..4 + fields)?, from + 4)
            .and_then(|()| file.write_all_at(bulk, from + (FRAME_HEAD_BYTES + fields) as u64))
            .and_then(|()| file.write_all_at(&written, from));
        if let Err(error) = &wrote {
            tracing::warn!(path = %self.file.path.display(), %error, "an output cannot be recorded");
        }
        wrote.is_ok().then_some(len)
    }

    /// The offset of the definition of a shape with this verdict, if this segment has it.
    pub(crate) fn definition_of(&self, shape: &Shape, verdict: &Verdict) -> Option<u32> {
        self.shapes.get(&shape.id().as_u64())?.iter().find(|(v, _)| v == verdict).map(|(_, offset)| *offset)
    }

    /// The offset of a definition with these very bytes, if this segment has it.
    pub(crate) fn definition_like(&self, hash: u64, json: &[u8]) -> Option<u32> {
        /// Bytes between the start of a definition's frame and its JSON.
        const BEFORE_JSON: usize = FRAME_HEAD_BYTES + 10;
        let (offset, len) = *self.contents.get(&hash)?;
        let same = len as usize == json.len() && self.map.peek(offset as usize + BEFORE_JSON, json.len()) == Some(json);
        same.then_some(offset)
    }

    pub(crate) fn remember(&mut self, shape: &Shape, verdict: &Verdict, offset: u32) {
        if self.shapes.len() >= SHAPES_MAX {
            self.shapes.clear();
        }
        let verdicts = self.shapes.entry(shape.id().as_u64()).or_default();
        if verdicts.len() >= VERDICTS_PER_SHAPE_MAX {
            verdicts.remove(0);
        }
        verdicts.push((verdict.clone(), offset));
    }

    pub(crate) fn remember_like(&mut self, hash: u64, json: &[u8], offset: u32) {
        if self.contents.len() >= SHAPES_MAX {
            self.contents.clear();
        }
        self.contents.insert(hash, (offset, u32::try_from(json.len()).unwrap_or(u32::MAX)));
    }

    /// Ends the writing; the mapping is gone when this returns.
    pub(crate) fn retire(self) -> Retired {
        let Self { file, used, count, first_at, last_at, .. } = self;
        Retired { file, used, count, first_at, last_at }
    }
}
