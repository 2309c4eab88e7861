//! Reading the frames of a segment, strictly: from a file that may still be written, or from bytes in memory.
//!
//! Files are read and never mapped, because a segment is cut to its length when it is sealed. Damage is an answer of its own
//! and never skipped. What is read is bounded by the limits of the format and the size of the source, whatever the bytes say.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;

use foldhash::fast::FixedState;
use hashbrown::HashSet;

use crate::entry::{self, Entry, Footer, TEXT_INLINE_BYTES, TextRef};
use crate::error::Damage;
use crate::frame::{
    FRAME_HEAD_BYTES, PAYLOAD_BYTES_MAX, SEGMENT_HEADER_BYTES, SegmentHeader, aligned, checksum, frame, framed_bytes,
};
use crate::index::IndexBuilder;
use crate::seal::FOOTER_FRAME_BYTES;

/// How much is read at once.
const WINDOW_BYTES: usize = 256 << 10;
/// How much is read at once where an entry refers to.
const REFERENCE_BYTES: usize = 4 << 10;
/// Bytes that are checksummed at most in the search for valid frames after damage.
const SALVAGE_BYTES_MAX: usize = 256 << 20;
/// The smallest payload: kind, flags and time.
const PAYLOAD_BYTES_MIN: usize = 10;

/// Where a segment's bytes come from.
pub(crate) trait Source {
    /// Reads at an offset; fewer bytes than asked for only at the end.
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// How many bytes there are now.
    fn size(&self) -> io::Result<u64>;
}

impl Source for File {
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|r| !r.is_empty()) {
            match self.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(done)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

impl Source for &[u8] {
    fn read(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|o| self.get(o..)).unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// Why a segment could not be read on.
#[derive(Debug)]
pub(crate) enum ScanError {
    Io(io::Error),
    Damage(Damage),
}

impl From<io::Error> for ScanError {
    fn from(e: io::Error) -> Self {
        Self::Io(e)
    }
}

fn damage(offset: u64, what: &'static str) -> ScanError {
    ScanError::Damage(Damage { offset, what })
}

/// The frames of a segment in order.
pub(crate) struct Frames<S> {
    source: S,
    pub(crate) header: SegmentHeader,
    next: u64,
    window: Vec<u8>,
    window_at: u64,
    read_ahead: usize,
}

impl<S: Source> Frames<S> {
    /// Reads the segment's header.
    pub(crate) fn open(source: S) -> Result<Self, ScanError> {
        let mut head = [0; SEGMENT_HEADER_BYTES];
        let n = source.read(&mut head, 0)?;
        let header = SegmentHeader::decode(head.get(..n).unwrap_or_default()).map_err(|what| damage(0, what))?;
        let next = SEGMENT_HEADER_BYTES as u64;
        Ok(Self { source, header, next, window: Vec::new(), window_at: 0, read_ahead: WINDOW_BYTES })
    }

    /// Where the next frame begins.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    pub(crate) fn seek(&mut self, offset: u64) {
        self.next = offset;
    }

    pub(crate) fn size(&self) -> io::Result<u64> {
        self.source.size()
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// Makes sure that the window has the range, as far as the source does; its place in the window. `fresh` reads again what
    /// may have changed since.
    fn view(&mut self, at: u64, len: usize, fresh: bool) -> Result<Range<usize>, ScanError> {
        let inside = |window_at: u64, window: &[u8]| {
            let start = usize::try_from(at.checked_sub(window_at)?).ok()?;
            let end = start.checked_add(len)?;
            (end <= window.len()).then_some(start..end)
        };
        if !fresh && let Some(range) = inside(self.window_at, &self.window) {
            return Ok(range);
        }
        let left = usize::try_from(self.source.size()?.saturating_sub(at)).unwrap_or(usize::MAX);
        self.window.resize(len.max(self.read_ahead).min(left), 0);
        let n = self.source.read(&mut self.window, at)?;
        self.window.truncate(n);
        self.window_at = at;
        Ok(0..len.min(n))
    }

    /// Goes past the next frame: its offset and the place of its payload; `None` at the end of what is published.
    pub(crate) fn advance(&mut self) -> Result<Option<(u32, Range<usize>)>, ScanError> {
        let at = self.next;
        // What the window holds may have been read while the writer was at it: anything but a valid frame is looked at again.
        let found = match self.frame_range(at, false) {
            Ok(Some(found)) => Some(found),
            Ok(None) | Err(ScanError::Damage(_)) => self.frame_range(at, true)?,
            Err(e) => return Err(e),
        };
        let Some(range) = found else { return Ok(None) };
        self.next = at + framed_bytes(range.len()) as u64;
        let offset = u32::try_from(at).map_err(|_| damage(at, "the segment is longer than the format allows"))?;
        Ok(Some((offset, range)))
    }

    /// The payload of the frame that was just gone past.
    pub(crate) fn payload(&self, range: Range<usize>) -> &[u8] {
        self.window.get(range).unwrap_or_default()
    }

    /// The place in the window of the payload at an offset, checked.
    fn frame_range(&mut self, at: u64, fresh: bool) -> Result<Option<Range<usize>>, ScanError> {
        const CUT: &str = "an entry is cut off by the end of the file";
        if !aligned(at) || at < SEGMENT_HEADER_BYTES as u64 {
            return Err(damage(at, "a reference points between entries"));
        }
        let range = self.view(at, FRAME_HEAD_BYTES, fresh)?;
        let head = self.window.get(range).unwrap_or_default();
        let Some((len, crc)) =
            head.split_first_chunk::<4>().and_then(|(l, rest)| Some((*l, *rest.first_chunk::<4>()?)))
        else {
            return if head.iter().all(|b| *b == 0) { Ok(None) } else { Err(damage(at, CUT)) };
        };
        let len = u32::from_le_bytes(len) as usize;
        if len == 0 {
            return Ok(None);
        }
        if !(PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&len) {
            return Err(damage(at, "the length of an entry is impossible"));
        }
        let frame = self.view(at, framed_bytes(len), fresh)?;
        if frame.len() < framed_bytes(len) {
            return Err(damage(at, CUT));
        }
        let payload = frame.start + FRAME_HEAD_BYTES..frame.start + FRAME_HEAD_BYTES + len;
        let padding = self.window.get(payload.end..frame.end).unwrap_or_default();
        let bytes = self.window.get(payload.clone()).unwrap_or_default();
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        if checksum(self.header.number, offset, bytes) != u32::from_le_bytes(crc) {
            return Err(damage(at, "an entry does not match its checksum"));
        }
        if padding.iter().any(|b| *b != 0) {
            return Err(damage(at, "the bytes between entries are not zero"));
        }
        Ok(Some(payload))
    }

    /// The payload of the frame at an offset that an entry refers to. The sequence of [`Frames::advance`] is not disturbed.
    pub(crate) fn frame_at(&mut self, offset: u32) -> Result<Vec<u8>, ScanError> {
        let window = std::mem::take(&mut self.window);
        let window_at = self.window_at;
        self.read_ahead = REFERENCE_BYTES;
        let found = self.frame_range(u64::from(offset), true);
        self.read_ahead = WINDOW_BYTES;
        let payload = match found {
            Ok(Some(range)) => Ok(self.window.get(range).unwrap_or_default().to_vec()),
            Ok(None) => Err(damage(u64::from(offset), "a reference points past the last entry")),
            Err(e) => Err(e),
        };
        self.window = window;
        self.window_at = window_at;
        payload
    }

    /// True when a valid frame begins anywhere after an offset; also when there is too much to be sure that none does.
    pub(crate) fn valid_frame_after(&mut self, offset: u64) -> Result<bool, ScanError> {
        let size = self.size()?;
        let mut at = offset.next_multiple_of(8) + 8;
        let mut checked = 0;
        while at + FRAME_HEAD_BYTES as u64 <= size {
            let range = self.view(at, FRAME_HEAD_BYTES, false)?;
            let len = self.window.get(range).and_then(|h| h.first_chunk::<4>()).map_or(0, |l| u32::from_le_bytes(*l));
            let len = len as usize;
            if (PAYLOAD_BYTES_MIN..=PAYLOAD_BYTES_MAX).contains(&len) && at + framed_bytes(len) as u64 <= size {
                checked += len;
                if checked > SALVAGE_BYTES_MAX {
                    return Ok(true);
                }
                if let Ok(Some(_)) = self.frame_range(at, false) {
                    return Ok(true);
                }
            }
            at += 8;
        }
        Ok(false)
    }

    /// How many bytes after an offset are there up to the last one that is not zero.
    pub(crate) fn bytes_after(&mut self, offset: u64) -> Result<u64, ScanError> {
        let size = self.size()?;
        let (mut at, mut last) = (offset, offset);
        while at < size {
            let want = usize::try_from(size - at).unwrap_or(WINDOW_BYTES).min(WINDOW_BYTES);
            let range = self.view(at, want, false)?;
            let bytes = self.window.get(range).unwrap_or_default();
            if bytes.is_empty() {
                break;
            }
            if let Some(i) = bytes.iter().rposition(|b| *b != 0) {
                last = at + i as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(last - offset)
    }
}

/// The footer of a segment, if it is sealed: the last frame of the file.
pub(crate) fn footer<S: Source>(frames: &mut Frames<S>) -> Result<Option<Footer>, ScanError> {
    let Some(at) = frames.size()?.checked_sub(FOOTER_FRAME_BYTES) else { return Ok(None) };
    let Ok(offset) = u32::try_from(at) else { return Ok(None) };
    let payload = match frames.frame_at(offset) {
        Ok(payload) => payload,
        Err(ScanError::Damage(_)) => return Ok(None),
        Err(e) => return Err(e),
    };
    match entry::decode(&payload) {
        Ok((_, Entry::Footer(footer))) => Ok(Some(footer)),
        _ => Ok(None),
    }
}

/// The entries of a segment in order, with every reference checked.
pub(crate) struct Walk<S> {
    pub(crate) frames: Frames<S>,
    sessions: HashSet<u32, FixedState>,
    definitions: HashSet<u32, FixedState>,
    texts: HashSet<u32, FixedState>,
    pub(crate) count: u64,
    pub(crate) first_at: i64,
    pub(crate) last_at: i64,
    pub(crate) footer: Option<Footer>,
}

impl<S: Source> Walk<S> {
    pub(crate) fn new(frames: Frames<S>) -> Self {
        let set = || HashSet::with_hasher(FixedState::default());
        Self {
            frames,
            sessions: set(),
            definitions: set(),
            texts: set(),
            count: 0,
            first_at: i64::MAX,
            last_at: i64::MIN,
            footer: None,
        }
    }

    /// The next entry, with its offset and time; `None` at the end. The footer is kept and not answered.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, i64, Entry<'_>)>, ScanError> {
        if self.footer.is_some() {
            return Ok(None);
        }
        let Some((offset, range)) = self.frames.advance()? else { return Ok(None) };
        let place = u64::from(offset);
        let (at, entry) = entry::decode(self.frames.payload(range)).map_err(|what| damage(place, what))?;
        if let Entry::Footer(footer) = entry {
            if (footer.count, footer.first_at, footer.last_at) != (self.count, self.first_at, self.last_at) {
                return Err(damage(place, "the footer does not fit the entries before it"));
            }
            if place + FOOTER_FRAME_BYTES != self.frames.size()? {
                return Err(damage(place + FOOTER_FRAME_BYTES, "there are bytes after the footer"));
            }
            self.footer = Some(footer);
            return Ok(None);
        }
        if entry.session().is_some_and(|s| !self.sessions.contains(&s)) {
            return Err(damage(place, "an entry refers to a session that is not before it"));
        }
        match entry {
            Entry::Session { .. } => {
                self.sessions.insert(offset);
            }
            Entry::Definition { .. } => {
                self.definitions.insert(offset);
            }
            Entry::Intent(i) => {
                if !self.definitions.contains(&i.definition) {
                    return Err(damage(place, "an intent refers to a definition that is not before it"));
                }
                match i.text {
                    TextRef::Inline(text) if text.len() > TEXT_INLINE_BYTES => {
                        self.texts.insert(offset);
                    }
                    TextRef::Inline(_) => {}
                    TextRef::Elsewhere(text) if !self.texts.contains(&text) => {
                        return Err(damage(place, "an intent refers to a text that is not before it, or not long"));
                    }
                    TextRef::Elsewhere(_) => {}
                }
            }
            _ => {}
        }
        self.count += 1;
        self.first_at = self.first_at.min(at);
        self.last_at = self.last_at.max(at);
        Ok(Some((offset, at, entry)))
    }
}

/// A segment of these payloads, with a valid header and valid checksums: for fuzzing, which could not get past them by chance.
#[doc(hidden)]
pub fn segment_of(payloads: &[&[u8]]) -> Vec<u8> {
    let header = SegmentHeader { number: 1, shard: 0, instance: 1, created_at: 0, journal: "fuzzed".to_owned() };
    let mut out = header.encode().map(Vec::from).unwrap_or_default();
    for payload in payloads {
        let offset = u32::try_from(out.len()).unwrap_or(u32::MAX);
        out.extend(frame(1, offset, payload).unwrap_or_default());
    }
    out
}

/// Checks the bytes of one segment as strictly as the reader does: the number of entries before the footer or the end.
///
/// # Errors
/// The first thing that cannot be what was written.
pub fn check_segment(bytes: &[u8]) -> Result<u64, Damage> {
    let run = || -> Result<u64, ScanError> {
        let mut walk = Walk::new(Frames::open(bytes)?);
        let mut index = IndexBuilder::default();
        while let Some((offset, at, entry)) = walk.next()? {
            index.add(offset, at, &entry).map_err(|what| damage(u64::from(offset), what))?;
        }
        Ok(walk.count)
    };
    run().map_err(|e| match e {
        ScanError::Damage(d) => d,
        // Memory cannot fail to be read.
        ScanError::Io(_) => Damage { offset: 0, what: "the bytes could not be read" },
    })
}
