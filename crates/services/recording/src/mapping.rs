//! A segment's file in memory: the one place with `unsafe` in this crate.
//!
//! A [`Mapping`] spans the segment's whole capacity, while its file grows in steps beneath it. Touching a page past the end of
//! the file would kill the process (SIGBUS), so the mapping hands out only what it was told is allocated. It must never be
//! given to two writers: it is owned by the shard that appends to it.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};

use memmap2::{MmapMut, MmapOptions};

/// Writable memory over a file.
pub(crate) struct Mapping {
    map: MmapMut,
    allocated: usize,
}

impl Mapping {
    /// Maps `capacity` bytes, of which the first `allocated` are backed by the file now.
    #[allow(unsafe_code)]
    pub(crate) fn new(file: &File, capacity: usize, allocated: usize) -> io::Result<Self> {
        // SAFETY: the file is created by this process with a new name (O_EXCL, mode 0600) in a folder that it holds a lock on,
        // and nothing shortens it while this mapping lives: sealing takes the mapping first. Other processes only read it.
        // Bytes are written through this mapping, or by its one owner into the same file while no reference into them is held, and read
        // back here only after they were written.
        let map = unsafe { MmapOptions::new().len(capacity).map_mut(file)? };
        Ok(Self { map, allocated: allocated.min(capacity) })
    }

    /// How many bytes may be touched.
    pub(crate) fn allocated(&self) -> usize {
        self.allocated
    }

    /// Tells that the file now backs the first `allocated` bytes.
    pub(crate) fn grown_to(&mut self, allocated: usize) {
        self.allocated = self.allocated.max(allocated.min(self.map.len()));
    }

    /// The bytes of a range, when it is allocated.
    pub(crate) fn range(&mut self, from: usize, len: usize) -> Option<&mut [u8]> {
        let end = from.checked_add(len).filter(|end| *end <= self.allocated)?;
        self.map.get_mut(from..end)
    }

    /// The bytes of a range to compare with, when it is allocated.
    pub(crate) fn peek(&self, from: usize, len: usize) -> Option<&[u8]> {
        let end = from.checked_add(len).filter(|end| *end <= self.allocated)?;
        self.map.get(from..end)
    }

    /// Stores a number after everything that was written before it, so that a reader who sees it sees that, too. `false` when
    /// the place is not allocated or not aligned.
    #[must_use]
    #[allow(unsafe_code)]
    pub(crate) fn publish(&mut self, offset: usize, value: u32) -> bool {
        let Some(place) = self.range(offset, size_of::<u32>()) else { return false };
        let place = place.as_mut_ptr().cast::<u32>();
        if !place.is_aligned() {
            return false;
        }
        // SAFETY: the pointer is in the mapping, backed by the file, aligned (both checked above) and exclusively borrowed.
        unsafe { AtomicU32::from_ptr(place) }.store(value.to_le(), Ordering::Release);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::Mapping;

    #[test]
    fn only_what_is_allocated_can_be_touched() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(4096).unwrap();
        let mut m = Mapping::new(&file, 8192, 4096).unwrap();
        assert!(m.range(0, 4096).is_some());
        assert!(m.range(4095, 2).is_none());
        assert!(m.range(usize::MAX, 2).is_none());
        assert!(!m.publish(4096, 1), "not allocated");
        assert!(!m.publish(2, 1), "not aligned");
        assert!(m.publish(4092, 7));
        file.set_len(8192).unwrap();
        m.grown_to(1 << 20);
        assert_eq!(m.allocated(), 8192);
        assert!(m.range(4096, 4096).is_some());
        assert_eq!(m.peek(4092, 4), Some(&7_u32.to_le_bytes()[..]));
    }
}
