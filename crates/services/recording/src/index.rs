//! The index of a segment: which sessions it has, where, and their counts, so that listing reads no statements.
//!
//! A sealed segment has its index beside it. It is a copy of what the segment says and never the truth: one that is missing or
//! does not fit its segment is made again from it.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use countersign_enforce::OutcomeStatus;
use countersign_model::{CredentialBinding, Decision, IdentityKind, SessionId, TargetName, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};

use crate::RecordingError;
use crate::entry::Entry;
use crate::error::Damage;
use crate::frame::SegmentHeader;
use crate::header::{Definition, Event, SessionHeader, close_reason};
use crate::record::{ClosedRecord, RefusedRecord, RemovedRecord, hex};
use crate::scan::{Frames, ScanError, Walk};

const MAGIC: &[u8; 8] = b"CSIDX\r\n\x01";
/// The most bytes of an index that is read; a larger one is made again from the segment.
const INDEX_BYTES_MAX: u64 = 512 << 20;

/// The index of one segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SegmentIndex {
    pub(crate) number: u64,
    pub(crate) shard: u16,
    pub(crate) instance: u64,
    /// Bytes up to the footer or the end.
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    pub(crate) first_at: Timestamp,
    pub(crate) last_at: Timestamp,
    /// The footer's digest in hexadecimal; empty while the segment is open.
    pub(crate) sha256: String,
    pub(crate) recovered: bool,
    pub(crate) refused: u64,
    pub(crate) sessions: Vec<SessionPart>,
    /// Their places, newest session first.
    #[serde(skip)]
    newest: Vec<u32>,
}

/// A session's part in one segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionPart {
    pub(crate) id: SessionId,
    pub(crate) continued: bool,
    pub(crate) identity: String,
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) kind: IdentityKind,
    pub(crate) credential: CredentialBinding,
    pub(crate) login: Option<String>,
    pub(crate) target: TargetName,
    pub(crate) protocol: String,
    pub(crate) part: String,
    pub(crate) source: SocketAddr,
    pub(crate) application: String,
    pub(crate) started_at: Timestamp,
    /// Offsets of its first and last entries.
    pub(crate) first_offset: u32,
    pub(crate) last_offset: u32,
    pub(crate) last_at: Timestamp,
    pub(crate) statements: u64,
    pub(crate) denied: u64,
    pub(crate) failed: u64,
    pub(crate) rows: u64,
    pub(crate) output_bytes: u64,
    pub(crate) abandoned: bool,
    pub(crate) closed: Option<(Timestamp, String)>,
}

/// Whether a session goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SessionState {
    /// It goes on.
    Live,
    /// It ended.
    Closed,
    /// Its gateway ended first, or dropped it: what happened last may be missing from its end, but nothing that was acknowledged.
    Unfinished,
}

/// One session, as listed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionSummary {
    /// The session.
    pub id: SessionId,
    /// The identity's short name.
    pub identity: String,
    /// The identity's subject.
    pub subject: String,
    /// Who vouched for it.
    pub issuer: String,
    /// Person, workload or AI agent.
    pub kind: IdentityKind,
    /// How its credential was tied to its holder.
    pub credential: CredentialBinding,
    /// The login that the credential belonged to; `None` for a token.
    pub login: Option<String>,
    /// The target.
    pub target: TargetName,
    /// The target's protocol.
    pub protocol: String,
    /// Which part of the target.
    pub part: String,
    /// Where the client came from.
    pub source: SocketAddr,
    /// What the client said it was: unverified.
    pub application: String,
    /// When it began.
    pub started_at: Timestamp,
    /// Its last entry.
    pub last_at: Timestamp,
    /// Whether it goes on.
    pub state: SessionState,
    /// Why it ended, if it did.
    pub close_reason: Option<String>,
    /// Intents, allowed and denied; connecting is one.
    pub statements: u64,
    /// Intents that were denied.
    pub denied: u64,
    /// Intents that did not end well at the target.
    pub failed: u64,
    /// Result rows that the client was sent.
    pub rows: u64,
    /// Recorded result bytes.
    pub output_bytes: u64,
    /// True when retention removed its beginning: the counts are of the rest.
    pub truncated: bool,
}

/// One segment, as listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentInfo {
    /// The journal: a target's name, `_refused` or `_removed`.
    pub journal: String,
    /// Its number in the journal.
    pub number: u64,
    /// Its content in bytes, without the footer.
    pub bytes: u64,
    /// Its entries.
    pub entries: u64,
    /// The earliest entry.
    pub first_at: Timestamp,
    /// The latest entry.
    pub last_at: Timestamp,
    /// SHA-256 of its content in hexadecimal; `None` while it is open.
    pub sha256: Option<String>,
    /// True when a crash had left it open.
    pub recovered: bool,
}

/// Gathers an index from entries in order, and checks what is JSON in them.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    sessions: Vec<SessionPart>,
    /// Positions in `sessions` by the offset of the header.
    by_header: HashMap<u32, usize, FixedState>,
    /// Whether a definition denies, by its offset.
    denies: HashMap<u32, bool, FixedState>,
    refused: u64,
}

impl IndexBuilder {
    /// Adds an entry; the error says what is wrong with it.
    pub(crate) fn add(&mut self, offset: u32, at: i64, entry: &Entry<'_>) -> Result<(), &'static str> {
        let at = Timestamp::from_unix_us(at);
        let part = match entry.session() {
            Some(header) => {
                let i = self.by_header.get(&header).ok_or("an entry refers to a session that is not before it")?;
                self.sessions.get_mut(*i)
            }
            None => None,
        };
        if let Some(part) = part {
            part.last_offset = offset;
            part.last_at = part.last_at.max(at);
            match entry {
                Entry::Intent(i) => {
                    part.statements += 1;
                    part.denied += u64::from(self.denies.get(&i.definition).copied().unwrap_or(false));
                }
                Entry::Outcome(o) => {
                    match o.status {
                        OutcomeStatus::Done => {}
                        // It was held for a review and never ran.
                        OutcomeStatus::Withheld => part.denied += 1,
                        _ => part.failed += 1,
                    }
                    part.rows = part.rows.saturating_add(o.rows);
                }
                Entry::Output { bytes, .. } => part.output_bytes += bytes.len() as u64,
                Entry::Event { json, .. } => {
                    serde_json::from_slice::<Event>(json).map_err(|_| "an event is malformed")?;
                }
                Entry::Closed { json, .. } => part.closed = Some((at, parse_closed(json)?.reason)),
                Entry::Abandoned { .. } => part.abandoned = true,
                _ => {}
            }
        }
        match entry {
            Entry::Session { continued, json } => self.session(offset, at, *continued, json)?,
            Entry::Definition { json } => {
                let d: Definition = serde_json::from_slice(json).map_err(|_| "a definition is malformed")?;
                self.denies.insert(offset, d.verdict.decision == Decision::Deny);
            }
            Entry::Refused { json } => {
                serde_json::from_slice::<RefusedRecord>(json).map_err(|_| "a refusal is malformed")?;
                self.refused += 1;
            }
            Entry::Removed { json } => {
                serde_json::from_slice::<RemovedRecord>(json).map_err(|_| "a removal is malformed")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn session(&mut self, offset: u32, at: Timestamp, continued: bool, json: &[u8]) -> Result<(), &'static str> {
        let h: SessionHeader = serde_json::from_slice(json).map_err(|_| "a session header is malformed")?;
        self.by_header.insert(offset, self.sessions.len());
        self.sessions.push(SessionPart {
            id: h.id,
            continued,
            identity: h.identity.name,
            subject: h.identity.subject,
            issuer: h.identity.issuer,
            kind: h.identity.kind,
            credential: h.identity.credential,
            login: h.identity.login,
            target: h.target,
            protocol: h.protocol,
            part: h.part,
            source: h.source,
            application: h.application,
            started_at: h.started_at,
            first_offset: offset,
            last_offset: offset,
            last_at: at,
            statements: 0,
            denied: 0,
            failed: 0,
            rows: 0,
            output_bytes: 0,
            abandoned: false,
            closed: None,
        });
        Ok(())
    }

    fn finish<S>(self, walk: &Walk<S>, header: &SegmentHeader, bytes: u64) -> SegmentIndex {
        let at = |us: i64| Timestamp::from_unix_us(if walk.count == 0 { header.created_at } else { us });
        SegmentIndex {
            number: header.number,
            shard: header.shard,
            instance: header.instance,
            bytes,
            entries: walk.count,
            first_at: at(walk.first_at),
            last_at: at(walk.last_at),
            sha256: walk.footer.map(|f| hex(&f.sha256)).unwrap_or_default(),
            recovered: walk.footer.is_some_and(|f| f.recovered),
            refused: self.refused,
            sessions: self.sessions,
            newest: Vec::new(),
        }
        .ordered()
    }
}

/// Reads the end of a session.
pub(crate) fn parse_closed(json: &[u8]) -> Result<ClosedRecord, &'static str> {
    let closed: ClosedRecord = serde_json::from_slice(json).map_err(|_| "the end of a session is malformed")?;
    close_reason(&closed.reason).ok_or("the end of a session has an unknown reason")?;
    Ok(closed)
}

impl SegmentIndex {
    fn ordered(mut self) -> Self {
        let count = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        // They are written about in the order that they begin: turned around, there is little to sort.
        let mut newest: Vec<u32> = (0..count).rev().collect();
        newest.sort_by_key(|place| std::cmp::Reverse(self.sessions.get(*place as usize).map(|p| p.id)));
        self.newest = newest;
        self
    }

    /// The part at a rank, the newest session's at 0.
    pub(crate) fn ranked(&self, rank: usize) -> Option<&SessionPart> {
        self.sessions.get(*self.newest.get(rank)? as usize)
    }

    /// The first rank of a session that is not newer than this one.
    pub(crate) fn rank_of(&self, id: SessionId) -> usize {
        self.newest.partition_point(|place| self.sessions.get(*place as usize).is_some_and(|p| p.id > id))
    }

    /// The parts of one session.
    pub(crate) fn parts_of(&self, id: SessionId) -> impl Iterator<Item = &SessionPart> {
        (self.rank_of(id)..).map_while(|rank| self.ranked(rank)).take_while(move |p| p.id == id)
    }
    /// Makes the index of a segment by reading all of it.
    pub(crate) fn build(path: &Path) -> Result<Self, RecordingError> {
        match Self::build_valid(path)? {
            (index, None) => Ok(index),
            (_, Some(damage)) => Err(RecordingError::damaged(path, &damage)),
        }
    }

    /// The index of what is valid before the first damage, and the damage.
    pub(crate) fn build_valid(path: &Path) -> Result<(Self, Option<Damage>), RecordingError> {
        let file = File::open(path).map_err(RecordingError::io("open", path))?;
        let frames = Frames::open(file).map_err(|e| scan_error(path, e))?;
        let mut walk = Walk::new(frames);
        let mut builder = IndexBuilder::default();
        let mut valid = walk.frames.position();
        let damage = loop {
            match walk.next() {
                Ok(None) => break None,
                Ok(Some((offset, at, entry))) => {
                    if let Err(what) = builder.add(offset, at, &entry) {
                        break Some(Damage { offset: u64::from(offset), what });
                    }
                    valid = walk.frames.position();
                }
                Err(ScanError::Damage(damage)) => break Some(damage),
                Err(e) => return Err(scan_error(path, e)),
            }
        };
        let header = walk.frames.header.clone();
        Ok((builder.finish(&walk, &header, valid), damage))
    }

    /// The index that lies beside a sealed segment, when it is whole and belongs to it.
    pub(crate) fn load(path: &Path, number: u64, sha256: &str) -> Option<Self> {
        let file = File::open(path).ok()?;
        if file.metadata().ok()?.len() > INDEX_BYTES_MAX {
            return None;
        }
        let bytes = std::fs::read(path).ok()?;
        let rest = bytes.strip_prefix(MAGIC)?;
        let (crc, json) = rest.split_first_chunk::<4>()?;
        if crc32c::crc32c(json) != u32::from_le_bytes(*crc) {
            return None;
        }
        let index: Self = serde_json::from_slice(json).ok()?;
        (index.number == number && index.sha256 == sha256).then(|| index.ordered())
    }
}

/// The bytes of an index file.
pub(crate) fn to_bytes(index: &SegmentIndex) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(index)?;
    let mut out = Vec::with_capacity(json.len() + MAGIC.len() + 4);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&crc32c::crc32c(&json).to_le_bytes());
    out.extend_from_slice(&json);
    Ok(out)
}

pub(crate) fn scan_error(path: &Path, e: ScanError) -> RecordingError {
    match e {
        ScanError::Io(source) => RecordingError::io("read", path)(source),
        ScanError::Damage(damage) => RecordingError::damaged(path, &damage),
    }
}
