//! Reading recordings: listing sessions and going through records, while a gateway writes and from any process.
//!
//! Nothing is locked and nothing is changed. Damage never goes unsaid: it comes as a problem beside a list, or as an error in
//! its place among the records.

use std::collections::BinaryHeap;
use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_model::{SessionId, TargetName, Timestamp};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::RecordingError;
use crate::entry::Footer;
use crate::index::{SegmentIndex, SegmentInfo, SessionPart, SessionState, SessionSummary, scan_error};
use crate::journal::{self, INDEX, SEGMENT, file_path};
use crate::record::hex;
use crate::recorder::LOCK;
use crate::records::{RecordFilter, Records, Stretch, starts_with_zeros};
use crate::scan::{Frames, ScanError, footer};
use crate::verify::SegmentProblem;

/// The most sessions of one page.
const PAGE_SESSIONS_MAX: usize = 10_000;
/// Sessions in the indexes that are kept in memory; beyond it the indexes are read again.
const CACHED_SESSIONS_MAX: usize = 200_000;
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
    /// Not this target.
    pub without: Option<TargetName>,
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
        let without = filter.without.as_ref().map(TargetName::as_str);
        segments.retain(|s| !s.journal.starts_with('_') && without != Some(s.journal.as_str()));
        segments.sort_by_key(|s| std::cmp::Reverse(s.last_at()));
        let running = self.running_instance();
        let mut waiting = segments.iter().peekable();
        let mut looked: Vec<Arc<SegmentIndex>> = Vec::new();
        // Of each segment that is looked at, the newest session that may fit and was not taken yet, with its rank.
        let mut heads: BinaryHeap<(SessionId, usize, usize)> = BinaryHeap::new();
        let head = |index: &SegmentIndex, from: usize| {
            let mut parts = (from..).map_while(|rank| Some((rank, index.ranked(rank)?)));
            parts.find(|(_, part)| may_match(filter, part)).map(|(rank, part)| (part.id, rank))
        };
        while page.sessions.len() <= limit {
            // Another segment has a newer session, or more of the newest, only if something was written to it since that began.
            let since = match heads.peek() {
                Some((newest, ..)) => Some(began_us(*newest)),
                None => filter.since.map(Timestamp::unix_us),
            };
            if let Some(segment) = waiting.next_if(|s| since.is_none_or(|t| s.last_at() >= t)) {
                let index = match self.index(segment) {
                    Ok(index) => Some(index),
                    Err(problem) => {
                        let (index, problem) = *problem;
                        page.problems.push(problem);
                        index
                    }
                };
                if let Some(index) = index {
                    let from = filter.before.map_or(0, |b| index.rank_of(b));
                    heads.extend(head(&index, from).map(|(id, rank)| (id, looked.len(), rank)));
                    looked.push(index);
                }
                continue;
            }
            let Some((id, ..)) = heads.peek().copied() else { break };
            while let Some((_, of, rank)) = heads.peek().copied().filter(|(other, ..)| *other == id) {
                heads.pop();
                let next = looked.get(of).and_then(|index| head(index, rank + 1));
                heads.extend(next.map(|(id, rank)| (id, of, rank)));
            }
            let mut summary: Option<SessionSummary> = None;
            for index in &looked {
                let live = running == Some(index.instance);
                for part in index.parts_of(id) {
                    match &mut summary {
                        Some(summary) => merge(summary, part, live),
                        none => *none = Some(summarise(part, live)),
                    }
                }
            }
            page.sessions.extend(summary.filter(|s| matches(filter, s)));
        }
        if page.sessions.len() > limit {
            page.sessions.truncate(limit);
            page.next = page.sessions.last().map(|s| s.id);
        }
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
            for part in index.parts_of(id) {
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
        let stretch = |s: SegmentFacts| match filter.session {
            Some(id) => self.stretch(s, id),
            None => Stretch::whole(s.path),
        };
        let segments = segments.into_iter().map(stretch).collect();
        Ok(Records::new(filter.clone(), segments, errors))
    }

    /// What has to be read of a segment for one session.
    fn stretch(&self, segment: SegmentFacts, id: SessionId) -> Stretch {
        // Where it is damaged, all of it is read, and says so.
        let Ok(index) = self.index(&segment) else { return Stretch::whole(segment.path) };
        let parts = || index.parts_of(id);
        // While it is written, more may have come since.
        let ended = segment.footer.is_some() || parts().all(|p| p.closed.is_some() || p.abandoned);
        Stretch {
            from: parts().map(|p| u64::from(p.first_offset)).min().unwrap_or(0),
            to: if ended { parts().map(|p| u64::from(p.last_offset)).max() } else { None },
            path: segment.path,
        }
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
        segments.retain(|s| !s.journal.starts_with('_') && s.last_at() >= began_us(id));
        let has = |index: &SegmentIndex| index.parts_of(id).next().is_some();
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

/// When a session began, in microseconds: its id begins with the time it was made, in milliseconds.
fn began_us(id: SessionId) -> i64 {
    i64::try_from(id.to_u128() >> 80).unwrap_or(0).saturating_mul(1000)
}

/// Whether the session of a part may fit. Of what one part alone says, only the latest entry is asked for, or else denials: each of both may
/// be in another part.
fn may_match(filter: &SessionFilter, part: &SessionPart) -> bool {
    filter.before.is_none_or(|b| part.id < b)
        && filter.identity.as_ref().is_none_or(|i| *i == part.identity || *i == part.subject)
        && filter.until.is_none_or(|t| part.started_at < t)
        && match filter.since {
            Some(t) => part.last_at >= t,
            None => !filter.denied_only || part.denied > 0,
        }
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
        credential: part.credential,
        login: part.login.clone(),
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
