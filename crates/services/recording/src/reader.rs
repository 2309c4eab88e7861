//! Reading recordings: listing sessions and going through records, while a gateway writes and from any process.
//!
//! Nothing is locked and nothing is changed. Damage never goes unsaid: it comes as a problem beside a list, or as an error in
//! its place among the records.

use std::collections::VecDeque;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_model::{SessionId, TargetName, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::RecordingError;
use crate::entry::{self, Entry, Footer, ParametersRef, TextRef};
use crate::error::Damage;
use crate::header::{Definition, SessionHeader};
use crate::index::{SegmentIndex, SegmentInfo, SessionPart, SessionState, SessionSummary, parse_closed, scan_error};
use crate::journal::{self, INDEX, SEGMENT, file_path};
use crate::record::{IntentRecord, OutcomeRecord, Parameters, Record, RecordEntry, hex};
use crate::recorder::LOCK;
use crate::scan::{Frames, ScanError, footer};
use crate::verify::SegmentProblem;

/// The most sessions of one page.
const PAGE_SESSIONS_MAX: usize = 10_000;
/// Sessions in the indexes that are kept in memory; beyond it the indexes are read again.
const CACHED_SESSIONS_MAX: usize = 200_000;
/// Definitions and headers of a segment that are kept while it is read.
const CACHED_REFERENCES_MAX: usize = 8192;
/// The most bytes of the lock file that are read.
const LOCK_BYTES_MAX: u64 = 64;

/// Reads the recordings under a folder.
pub struct Reader {
    root: PathBuf,
    indexes: Mutex<Indexes>,
}

/// What is wrong with a segment, and the index of what is valid before it, if anything is.
type PartialIndex = (Option<Arc<SegmentIndex>>, SegmentProblem);

#[derive(Default)]
struct Indexes {
    sessions: usize,
    by_path: HashMap<PathBuf, Arc<SegmentIndex>>,
}

/// Which sessions to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionFilter {
    /// The identity's short name or subject.
    pub identity: Option<String>,
    /// The target.
    pub target: Option<TargetName>,
    /// Only sessions with an entry at or after this time.
    pub since: Option<Timestamp>,
    /// Only sessions that began before this time.
    pub until: Option<Timestamp>,
    /// Only sessions in which something was denied.
    pub denied_only: bool,
    /// Only sessions older than this one: the `next` of an earlier page.
    pub before: Option<SessionId>,
    /// The most sessions; at least 1, at most 10,000.
    pub limit: usize,
}

/// A page of sessions, newest first.
#[derive(Clone, Debug, Default)]
pub struct SessionPage {
    /// The sessions.
    pub sessions: Vec<SessionSummary>,
    /// What to give as `before` for the next page; `None` at the end.
    pub next: Option<SessionId>,
    /// What could not be read. To be shown: sessions may be missing for it.
    pub problems: Vec<SegmentProblem>,
}

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

pub(crate) struct SegmentFacts {
    pub(crate) journal: String,
    pub(crate) number: u64,
    pub(crate) path: PathBuf,
    /// `None` while it is open.
    pub(crate) footer: Option<Footer>,
}

impl SegmentFacts {
    fn last_at(&self) -> i64 {
        self.footer.map_or(i64::MAX, |f| f.last_at)
    }
}

impl Reader {
    /// A reader of the recordings under a folder. A folder that is not there has none.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), indexes: Mutex::default() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Lists sessions, newest first. Sealed segments answer from their indexes, open ones are scanned.
    ///
    /// # Errors
    /// When the folder cannot be listed. Single segments that cannot be read are problems of the page.
    pub fn sessions(&self, filter: &SessionFilter) -> Result<SessionPage, RecordingError> {
        let limit = filter.limit.clamp(1, PAGE_SESSIONS_MAX);
        let mut page = SessionPage::default();
        let mut segments = self.segments_of(filter.target.as_ref(), &mut page.problems)?;
        segments.retain(|s| !s.journal.starts_with('_'));
        segments.sort_by_key(|s| std::cmp::Reverse(s.last_at()));
        let running = self.running_instance();
        let mut found: HashMap<SessionId, SessionSummary> = HashMap::new();
        for segment in &segments {
            // A session that began after this segment's last entry is known whole by now.
            let whole = |s: &SessionSummary| s.started_at.unix_us() > segment.last_at();
            let enough =
                found.len() > limit && found.values().filter(|s| whole(s) && matches(filter, s)).count() > limit;
            let too_old = filter.since.is_some_and(|t| segment.last_at() < t.unix_us())
                && found.values().all(|s| whole(s) || !matches(filter, s));
            if enough || too_old {
                break;
            }
            let index = match self.index(segment) {
                Ok(index) => index,
                Err(problem) => {
                    let (index, problem) = *problem;
                    page.problems.push(problem);
                    match index {
                        Some(index) => index,
                        None => continue,
                    }
                }
            };
            for part in &index.sessions {
                let identity = filter.identity.as_ref();
                if filter.before.is_some_and(|b| part.id >= b)
                    || identity.is_some_and(|i| *i != part.identity && *i != part.subject)
                {
                    continue;
                }
                let live = running == Some(index.instance);
                match found.get_mut(&part.id) {
                    Some(summary) => merge(summary, part, live),
                    None => {
                        found.insert(part.id, summarise(part, live));
                    }
                }
            }
        }
        let mut sessions: Vec<SessionSummary> = found.into_values().filter(|s| matches(filter, s)).collect();
        sessions.sort_by_key(|s| std::cmp::Reverse(s.id));
        if sessions.len() > limit {
            sessions.truncate(limit);
            page.next = sessions.last().map(|s| s.id);
        }
        page.sessions = sessions;
        Ok(page)
    }

    /// One session.
    ///
    /// # Errors
    /// When it is not there, or what has it cannot be read.
    pub fn session(&self, id: SessionId) -> Result<SessionSummary, RecordingError> {
        let running = self.running_instance();
        let mut summary: Option<SessionSummary> = None;
        for segment in self.segments_with(id, None)? {
            let index = match self.index(&segment) {
                Ok(index) => index,
                Err(problem) => match *problem {
                    (Some(index), _) => index,
                    (None, problem) => return Err(problem.into_error()),
                },
            };
            for part in index.sessions.iter().filter(|p| p.id == id) {
                let live = running == Some(index.instance);
                match &mut summary {
                    Some(summary) => merge(summary, part, live),
                    none => *none = Some(summarise(part, live)),
                }
            }
        }
        summary.ok_or_else(|| RecordingError::NoSession { id: id.to_string(), path: self.root.clone() })
    }

    /// The records that fit a filter: target by target, each in the order they were written. Refused connections and removals
    /// are read with a filter that names neither a session, an identity nor a target.
    ///
    /// # Errors
    /// When the folder cannot be listed, or the session that the filter names is not there. Damage comes as an error in its
    /// place; the iterator then goes on with the next segment.
    pub fn records(&self, filter: &RecordFilter) -> Result<Records, RecordingError> {
        let mut problems = Vec::new();
        let segments = match filter.session {
            Some(id) => {
                let segments = self.segments_with(id, filter.target.as_ref())?;
                if segments.is_empty() {
                    return Err(RecordingError::NoSession { id: id.to_string(), path: self.root.clone() });
                }
                segments
            }
            None => {
                let mut segments = self.segments_of(filter.target.as_ref(), &mut problems)?;
                segments.retain(|s| {
                    filter.since.is_none_or(|t| s.last_at() >= t.unix_us())
                        && filter.until.is_none_or(|t| s.footer.is_none_or(|f| f.first_at < t.unix_us()))
                        && (filter.identity.is_none() || !s.journal.starts_with('_'))
                });
                segments
            }
        };
        let errors = problems.into_iter().map(SegmentProblem::into_error).collect();
        let segments = segments.into_iter().map(|s| s.path).collect();
        Ok(Records { filter: filter.clone(), segments, errors, current: None })
    }

    /// Every segment, by journal and number.
    ///
    /// # Errors
    /// When the folder cannot be listed or a segment cannot be read.
    pub fn segments(&self) -> Result<Vec<SegmentInfo>, RecordingError> {
        let mut problems = Vec::new();
        let facts = self.segments_of(None, &mut problems)?;
        if let Some(problem) = problems.into_iter().next() {
            return Err(problem.into_error());
        }
        let info = |s: SegmentFacts| {
            let index = self.index(&s).map_err(|p| p.1.into_error())?;
            Ok(SegmentInfo {
                journal: s.journal,
                number: s.number,
                bytes: index.bytes,
                entries: index.entries,
                first_at: index.first_at,
                last_at: index.last_at,
                sha256: s.footer.map(|f| hex(&f.sha256)),
                recovered: index.recovered,
            })
        };
        facts.into_iter().map(info).collect()
    }

    /// The segments of a target, or of every journal, by journal and number.
    pub(crate) fn segments_of(
        &self,
        target: Option<&TargetName>,
        problems: &mut Vec<SegmentProblem>,
    ) -> Result<Vec<SegmentFacts>, RecordingError> {
        let journals = match target {
            Some(target) => vec![target.as_str().to_owned()],
            None => journal::journal_names(&self.root)?,
        };
        let mut out = Vec::new();
        for journal in journals {
            let dir = self.root.join(&journal);
            for number in journal::segment_numbers(&dir)? {
                let path = file_path(&dir, number, SEGMENT);
                match read_footer(&path) {
                    Ok(Some(footer)) => out.push(SegmentFacts { journal: journal.clone(), number, path, footer }),
                    // It was removed meanwhile, or its header is not written yet.
                    Ok(None) => {}
                    Err(error) => problems.push(SegmentProblem::new(&path, &error)),
                }
            }
        }
        Ok(out)
    }

    /// The segments that have entries of a session, in order.
    fn segments_with(&self, id: SessionId, target: Option<&TargetName>) -> Result<Vec<SegmentFacts>, RecordingError> {
        let mut problems = Vec::new();
        let mut segments = self.segments_of(target, &mut problems)?;
        // A session id begins with the time it was made, in milliseconds.
        let began_us = i64::try_from(id.to_u128() >> 80).unwrap_or(0).saturating_mul(1000);
        segments.retain(|s| !s.journal.starts_with('_') && s.last_at() >= began_us);
        let has = |index: &SegmentIndex| index.sessions.iter().any(|p| p.id == id);
        segments.retain(|s| match self.index(s) {
            Ok(index) => has(&index),
            Err(problem) => problem.0.as_ref().is_some_and(|index| has(index)),
        });
        Ok(segments)
    }

    /// The index of a segment. With a problem comes the index of what is valid, if anything is.
    fn index(&self, segment: &SegmentFacts) -> Result<Arc<SegmentIndex>, Box<PartialIndex>> {
        if let Some(f) = segment.footer {
            if let Some(index) = self.indexes.lock().by_path.get(&segment.path) {
                return Ok(Arc::clone(index));
            }
            let beside = segment.path.with_extension(INDEX);
            if let Some(index) = SegmentIndex::load(&beside, segment.number, &hex(&f.sha256)) {
                return Ok(self.indexes.lock().keep(&segment.path, index));
            }
        }
        match SegmentIndex::build_valid(&segment.path) {
            Ok((index, None)) if segment.footer.is_some() => Ok(self.indexes.lock().keep(&segment.path, index)),
            Ok((index, None)) => Ok(Arc::new(index)),
            Ok((index, Some(damage))) => {
                let error = RecordingError::damaged(&segment.path, &damage);
                Err(Box::new((Some(Arc::new(index)), SegmentProblem::new(&segment.path, &error))))
            }
            Err(error) => Err(Box::new((None, SegmentProblem::new(&segment.path, &error)))),
        }
    }

    /// The run of the recorder that writes now, if one does.
    pub(crate) fn running_instance(&self) -> Option<u64> {
        let file = File::open(self.root.join(LOCK)).ok()?;
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {}
            Ok(()) | Err(TryLockError::Error(_)) => return None,
        }
        let mut text = String::new();
        file.take(LOCK_BYTES_MAX).read_to_string(&mut text).ok()?;
        text.trim().parse().ok()
    }
}

impl Indexes {
    fn keep(&mut self, path: &Path, index: SegmentIndex) -> Arc<SegmentIndex> {
        let index = Arc::new(index);
        self.sessions += index.sessions.len();
        if self.sessions > CACHED_SESSIONS_MAX {
            self.by_path.clear();
            self.sessions = index.sessions.len();
        }
        self.by_path.insert(path.to_owned(), Arc::clone(&index));
        index
    }
}

/// The footer of a segment (`Some(None)` while it is open); `None` when there is no segment after all.
fn read_footer(path: &Path) -> Result<Option<Option<Footer>>, RecordingError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(RecordingError::io("open", path)(e)),
    };
    match Frames::open(file) {
        Ok(mut frames) => footer(&mut frames).map(Some).map_err(|e| scan_error(path, e)),
        // Just made: its header follows in an instant.
        Err(ScanError::Damage(_)) if starts_with_zeros(path) => Ok(None),
        Err(e) => Err(scan_error(path, e)),
    }
}

pub(crate) fn starts_with_zeros(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|f| f.take(crate::frame::SEGMENT_HEADER_BYTES as u64).read_to_end(&mut head));
    read.is_ok() && head.iter().all(|b| *b == 0)
}

fn matches(filter: &SessionFilter, s: &SessionSummary) -> bool {
    filter.since.is_none_or(|t| s.last_at >= t)
        && filter.until.is_none_or(|t| s.started_at < t)
        && (!filter.denied_only || s.denied > 0)
}

fn summarise(part: &SessionPart, live: bool) -> SessionSummary {
    let mut summary = SessionSummary {
        id: part.id,
        identity: part.identity.clone(),
        subject: part.subject.clone(),
        issuer: part.issuer.clone(),
        kind: part.kind,
        target: part.target.clone(),
        protocol: part.protocol.clone(),
        part: part.part.clone(),
        source: part.source,
        application: part.application.clone(),
        started_at: part.started_at,
        last_at: part.started_at,
        state: SessionState::Unfinished,
        close_reason: None,
        statements: 0,
        denied: 0,
        failed: 0,
        rows: 0,
        output_bytes: 0,
        truncated: true,
    };
    merge(&mut summary, part, live);
    summary
}

fn merge(summary: &mut SessionSummary, part: &SessionPart, live: bool) {
    summary.last_at = summary.last_at.max(part.last_at);
    summary.statements += part.statements;
    summary.denied += part.denied;
    summary.failed += part.failed;
    summary.rows = summary.rows.saturating_add(part.rows);
    summary.output_bytes += part.output_bytes;
    summary.truncated &= part.continued;
    if let Some((_, reason)) = &part.closed {
        summary.state = SessionState::Closed;
        summary.close_reason = Some(reason.clone());
    } else if live && !part.abandoned && summary.state == SessionState::Unfinished {
        summary.state = SessionState::Live;
    }
}

/// Records in the order they were written. Made by [`Reader::records`].
pub struct Records {
    filter: RecordFilter,
    segments: VecDeque<PathBuf>,
    errors: VecDeque<RecordingError>,
    current: Option<SegmentRecords>,
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
                    let path = self.segments.pop_front()?;
                    match SegmentRecords::open(&path) {
                        Ok(Some(opened)) => none.insert(opened),
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
            ended: false,
        }))
    }

    pub(crate) fn position(&self) -> u64 {
        self.frames.position()
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
        while !self.ended {
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
                Owned::Intent { seq, text, same_text_as, parameters, definition } => {
                    let text = match text {
                        Ok(text) => text,
                        Err(elsewhere) => self.text(elsewhere)?,
                    };
                    let definition = self.definition(definition)?;
                    RecordEntry::Intent(IntentRecord { seq, text, same_text_as, parameters, definition })
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
    Intent { seq: u64, text: Result<Vec<u8>, u32>, same_text_as: Option<u64>, parameters: Parameters, definition: u32 },
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
