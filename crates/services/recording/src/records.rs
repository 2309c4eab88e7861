//! Going through records: one segment after another, with everything that an entry refers to.
//!
//! What is kept in memory is bounded by the segment being read, never by the recording.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_model::{SessionId, TargetName, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use crate::RecordingError;
use crate::entry::{self, Entry, ParametersRef, TextRef};
use crate::error::Damage;
use crate::header::{Definition, SessionHeader};
use crate::index::{parse_closed, scan_error};
use crate::masked;
use crate::record::{IntentRecord, OutcomeRecord, Parameters, Record, RecordEntry};
use crate::scan::{Frames, ScanError};

/// Definitions and headers of a segment that are kept while it is read.
const CACHED_REFERENCES_MAX: usize = 8192;

/// Which records to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecordFilter {
    /// Only of this session.
    pub session: Option<SessionId>,
    /// Only of this identity: its short name or subject.
    pub identity: Option<String>,
    /// Only of this target.
    pub target: Option<TargetName>,
    /// Only at or after this time.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
}

/// What is read of a segment.
pub(crate) struct Stretch {
    pub(crate) path: PathBuf,
    /// The offset of the first entry; 0 for the segment's first.
    pub(crate) from: u64,
    /// The offset of the last entry; `None` for the segment's end.
    pub(crate) to: Option<u64>,
}

impl Stretch {
    pub(crate) fn whole(path: PathBuf) -> Self {
        Self { path, from: 0, to: None }
    }
}

/// Records in the order they were written. Made by [`Reader::records`].
pub struct Records {
    filter: RecordFilter,
    segments: VecDeque<Stretch>,
    errors: VecDeque<RecordingError>,
    current: Option<SegmentRecords>,
}

impl Records {
    pub(crate) fn new(filter: RecordFilter, segments: VecDeque<Stretch>, errors: VecDeque<RecordingError>) -> Self {
        Self { filter, segments, errors, current: None }
    }
}

impl Iterator for Records {
    type Item = Result<Record, RecordingError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.errors.pop_front() {
            return Some(Err(error));
        }
        loop {
            let current = match &mut self.current {
                Some(current) => current,
                none => {
                    let stretch = self.segments.pop_front()?;
                    match SegmentRecords::open(&stretch.path) {
                        Ok(Some(mut opened)) => {
                            opened.keep_to(&stretch);
                            none.insert(opened)
                        }
                        Ok(None) => continue,
                        Err(e) => return Some(Err(e)),
                    }
                }
            };
            match current.next(&self.filter) {
                Ok(Some(record)) => return Some(Ok(record)),
                Ok(None) => self.current = None,
                Err(e) => {
                    self.current = None;
                    return Some(Err(e));
                }
            }
        }
    }
}

/// The records of one segment, with what they refer to.
pub(crate) struct SegmentRecords {
    frames: Frames<File>,
    path: PathBuf,
    headers: HashMap<u32, Arc<SessionHeader>, FixedState>,
    definitions: HashMap<u32, Arc<Definition>, FixedState>,
    /// The offset of the last entry to read.
    to: u64,
    pub(crate) ended: bool,
}

impl SegmentRecords {
    /// `None` when the file is gone or only just made.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, RecordingError> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(RecordingError::io("open", path)(e)),
        };
        let frames = match Frames::open(file) {
            Ok(frames) => frames,
            Err(ScanError::Damage(_)) if starts_with_zeros(path) => return Ok(None),
            Err(e) => return Err(scan_error(path, e)),
        };
        let map = FixedState::default;
        Ok(Some(Self {
            frames,
            path: path.to_owned(),
            headers: HashMap::with_hasher(map()),
            definitions: HashMap::with_hasher(map()),
            to: u64::MAX,
            ended: false,
        }))
    }

    pub(crate) fn position(&self) -> u64 {
        self.frames.position()
    }

    fn keep_to(&mut self, stretch: &Stretch) {
        if stretch.from > 0 {
            self.seek(stretch.from);
        }
        self.to = stretch.to.unwrap_or(u64::MAX);
    }

    pub(crate) fn seek(&mut self, offset: u64) {
        self.frames.seek(offset);
    }

    /// Goes past everything that is published.
    pub(crate) fn skip_all(&mut self) -> Result<(), RecordingError> {
        loop {
            match self.frames.advance() {
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(e) => return Err(scan_error(&self.path, e)),
            }
        }
    }

    /// The next record that fits the filter; `None` at the end, for now or for good.
    pub(crate) fn next(&mut self, filter: &RecordFilter) -> Result<Option<Record>, RecordingError> {
        self.try_next(filter).map_err(|e| scan_error(&self.path, e))
    }

    fn try_next(&mut self, filter: &RecordFilter) -> Result<Option<Record>, ScanError> {
        while !self.ended && self.frames.position() <= self.to {
            let Some((offset, range)) = self.frames.advance()? else { return Ok(None) };
            let payload = self.frames.payload(range);
            let bad = |what| ScanError::Damage(Damage { offset: u64::from(offset), what });
            let (at, entry) = entry::decode(payload).map_err(bad)?;
            if let Entry::Footer(_) = entry {
                self.ended = true;
                break;
            }
            if let Entry::Session { json, .. } = entry {
                let header: SessionHeader =
                    serde_json::from_slice(json).map_err(|_| bad("a session header is malformed"))?;
                bounded_insert(&mut self.headers, offset, Arc::new(header));
            }
            let at = Timestamp::from_unix_us(at);
            let early = filter.since.is_some_and(|t| at < t);
            let late = filter.until.is_some_and(|t| at >= t);
            if early || late || matches!(entry, Entry::Definition { .. }) {
                continue;
            }
            let owned = Owned::of(&entry).map_err(bad)?;
            let header_at = if matches!(entry, Entry::Session { .. }) { Some(offset) } else { entry.session() };
            let header = match header_at {
                Some(header_at) => Some(self.header(header_at)?),
                None => None,
            };
            if !fits(filter, header.as_deref()) {
                continue;
            }
            let entry = match owned {
                Owned::Ready(entry) => entry,
                Owned::Intent { seq, text, same_text_as, prepares, parameters, definition } => {
                    let text = match text {
                        Ok(text) => text,
                        Err(elsewhere) => self.text(elsewhere)?,
                    };
                    let definition = self.definition(definition)?;
                    RecordEntry::Intent(IntentRecord { seq, text, same_text_as, prepares, parameters, definition })
                }
            };
            return Ok(Some(Record { at, header, entry }));
        }
        Ok(None)
    }

    fn header(&mut self, offset: u32) -> Result<Arc<SessionHeader>, ScanError> {
        if let Some(header) = self.headers.get(&offset) {
            return Ok(Arc::clone(header));
        }
        let payload = self.frames.frame_at(offset)?;
        let header = match entry::decode(&payload) {
            Ok((_, Entry::Session { json, .. })) => serde_json::from_slice::<SessionHeader>(json).ok(),
            _ => None,
        };
        let header = header.ok_or_else(|| wrong(offset, "a reference to a session points at something else"))?;
        let header = Arc::new(header);
        bounded_insert(&mut self.headers, offset, Arc::clone(&header));
        Ok(header)
    }

    fn definition(&mut self, offset: u32) -> Result<Arc<Definition>, ScanError> {
        if let Some(definition) = self.definitions.get(&offset) {
            return Ok(Arc::clone(definition));
        }
        let payload = self.frames.frame_at(offset)?;
        let definition = match entry::decode(&payload) {
            Ok((_, Entry::Definition { json })) => serde_json::from_slice::<Definition>(json).ok(),
            _ => None,
        };
        let definition =
            definition.ok_or_else(|| wrong(offset, "a reference to a definition points at something else"))?;
        let definition = Arc::new(definition);
        bounded_insert(&mut self.definitions, offset, Arc::clone(&definition));
        Ok(definition)
    }

    fn text(&mut self, offset: u32) -> Result<Vec<u8>, ScanError> {
        let payload = self.frames.frame_at(offset)?;
        match entry::decode(&payload) {
            Ok((_, Entry::Intent(i))) if let TextRef::Inline(text) = i.text => Ok(text.to_vec()),
            _ => Err(wrong(offset, "a reference to a text points at something else")),
        }
    }
}

fn wrong(offset: u32, what: &'static str) -> ScanError {
    ScanError::Damage(Damage { offset: u64::from(offset), what })
}

fn bounded_insert<T>(map: &mut HashMap<u32, T, FixedState>, offset: u32, value: T) {
    if map.len() >= CACHED_REFERENCES_MAX {
        map.clear();
    }
    map.insert(offset, value);
}

fn fits(filter: &RecordFilter, header: Option<&SessionHeader>) -> bool {
    match header {
        Some(h) => {
            filter.session.is_none_or(|id| h.id == id)
                && filter.target.as_ref().is_none_or(|t| h.target == *t)
                && filter.identity.as_ref().is_none_or(|i| *i == h.identity.name || *i == h.identity.subject)
        }
        None => filter.session.is_none() && filter.target.is_none() && filter.identity.is_none(),
    }
}

/// An entry without its borrow of the window.
enum Owned {
    Ready(RecordEntry),
    Intent {
        seq: u64,
        text: Result<Vec<u8>, u32>,
        same_text_as: Option<u64>,
        prepares: bool,
        parameters: Parameters,
        definition: u32,
    },
}

impl Owned {
    fn of(entry: &Entry<'_>) -> Result<Self, &'static str> {
        Ok(Self::Ready(match *entry {
            Entry::Session { continued: false, .. } => RecordEntry::Opened,
            Entry::Session { continued: true, .. } => RecordEntry::Continued,
            Entry::Intent(i) => {
                return Ok(Self::Intent {
                    seq: i.seq,
                    text: match i.text {
                        TextRef::Inline(text) => Ok(text.to_vec()),
                        TextRef::Elsewhere(offset) => Err(offset),
                    },
                    same_text_as: i.same_text_as,
                    prepares: i.prepares,
                    parameters: match i.parameters {
                        ParametersRef::Inline(bytes) => Parameters::Kept(bytes.to_vec()),
                        ParametersRef::Digest { bytes, sha256 } => Parameters::Digest { bytes, sha256 },
                    },
                    definition: i.definition,
                });
            }
            Entry::Output { seq, bytes, .. } => RecordEntry::Output { seq, bytes: bytes.to_vec() },
            Entry::Outcome(o) => RecordEntry::Outcome(OutcomeRecord {
                seq: o.seq,
                status: o.status.as_str(),
                duration_us: o.duration_us,
                rows: o.rows,
                bytes: o.bytes,
                affected: o.affected,
                masked: masked::decode(o.masked).ok_or("an outcome is malformed")?.into_iter().collect(),
                code: o.code.map(str::to_owned),
            }),
            Entry::Event { json, .. } => {
                RecordEntry::Event(serde_json::from_slice(json).map_err(|_| "an event is malformed")?)
            }
            Entry::Closed { json, .. } => RecordEntry::Closed(parse_closed(json)?),
            Entry::Abandoned { .. } => RecordEntry::Abandoned,
            Entry::Refused { json } => {
                RecordEntry::Refused(serde_json::from_slice(json).map_err(|_| "a refusal is malformed")?)
            }
            Entry::Removed { json } => {
                RecordEntry::Removed(serde_json::from_slice(json).map_err(|_| "a removal is malformed")?)
            }
            Entry::Definition { .. } | Entry::Footer(_) => return Err("an entry is of no session"),
        }))
    }
}

/// True for a segment that was just made: its header follows in an instant.
pub(crate) fn starts_with_zeros(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|f| f.take(crate::frame::SEGMENT_HEADER_BYTES as u64).read_to_end(&mut head));
    read.is_ok() && head.iter().all(|b| *b == 0)
}
