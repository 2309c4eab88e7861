//! One of the writers side by side of a journal: a lock, an active segment, and who waits for the disk.
//!
//! An append holds the lock for a memcpy and a checksum. It never waits for the disk: space and segments are prepared ahead by
//! the keeper, and when there is none the append takes a step itself or fails, which ends its session.

use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use countersign_model::{Denial, Shape, Verdict};
use foldhash::fast::FixedState;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::entry::{Entry, TextRef};
use crate::error::unavailable;
use crate::frame::{SEGMENT_HEADER_BYTES, framed_bytes};
use crate::header::DefinitionRef;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::segment::{ActiveSegment, RESERVE_BYTES, SegmentFile};

/// Sessions of one shard that may wait for the disk at once.
const WAITERS_MAX: usize = 65_536;
/// Segments are tried this often for one entry: the active one, the next, and one made to measure.
const SEGMENTS_TRIED_MAX: usize = 3;
/// JSON of a definition longer than this is not kept as a buffer for the next.
const SCRATCH_BYTES_MAX: usize = 64 << 10;

/// One writer of a journal.
pub(crate) struct Shard {
    index: u16,
    state: Mutex<State>,
    /// Bytes of this shard that are on the disk, counted over all of its segments.
    synced: AtomicU64,
    waiters: Mutex<Vec<Waiter>>,
}

struct State {
    active: Option<Box<ActiveSegment>>,
    next: Option<Arc<SegmentFile>>,
    preparing: bool,
    stopped: bool,
    /// The number of the newest segment that was written: a session's segments must ascend.
    last_number: u64,
    /// Retired segments whose last entries may not be on the disk.
    unsynced: Vec<Arc<SegmentFile>>,
    /// Bytes appended, counted over all segments.
    position: u64,
    /// Grows when the disk failed; sessions from before it have ended.
    generation: u64,
    scratch: Vec<u8>,
}

struct Waiter {
    position: u64,
    done: oneshot::Sender<Result<(), String>>,
}

/// The place of a frame.
pub(crate) type Place = (u64, u32);

/// What a session's entries need besides themselves.
pub(crate) struct SessionHead {
    /// The header, as JSON.
    pub(crate) json: Box<[u8]>,
    /// Where it was written last.
    pub(crate) placed: Option<Place>,
    /// The generation of the shard that this session began in.
    pub(crate) generation: u64,
}

/// An entry to append.
pub(crate) struct Draft<'a> {
    /// The entry; offsets in it are filled in.
    pub(crate) entry: Entry<'a>,
    /// For intents: what it means and what policy said.
    pub(crate) define: Option<(&'a Shape, &'a Verdict)>,
    /// For intents: where the same text is already.
    pub(crate) text_at: Option<Place>,
    /// True for what ends something: it may use the space kept back for that.
    pub(crate) ends: bool,
}

/// Where an entry went.
pub(crate) struct Appended {
    pub(crate) place: Place,
    /// The shard's position after it.
    pub(crate) position: u64,
    /// True when the text was written, and not a reference to it.
    pub(crate) text_inline: bool,
}

/// What to sync: files in order, and the position that is reached then.
pub(crate) struct Unsynced {
    pub(crate) files: Vec<Arc<SegmentFile>>,
    pub(crate) position: u64,
}

impl Shard {
    pub(crate) fn new(index: u16) -> Self {
        let state = State {
            active: None,
            next: None,
            preparing: false,
            stopped: false,
            last_number: 0,
            unsynced: Vec::new(),
            position: 0,
            generation: 0,
            scratch: Vec::new(),
        };
        Self { index, state: Mutex::new(state), synced: AtomicU64::new(0), waiters: Mutex::new(Vec::new()) }
    }

    pub(crate) fn generation(&self) -> u64 {
        self.state.lock().generation
    }

    /// Appends an entry, with the session header and the definition before it when the segment lacks them.
    pub(crate) fn append(
        &self,
        journal: &Arc<Journal>,
        keeper: &Keeper,
        at: i64,
        head: Option<&mut SessionHead>,
        draft: &Draft<'_>,
    ) -> Result<Appended, Denial> {
        let mut state = self.state.lock();
        let result = state.append(self.index, journal, keeper, at, head, draft);
        if let Some(active) = &state.active {
            if active.wants_space() {
                keeper.grow(&active.file);
            }
            if active.over_half() && state.next.is_none() && !state.preparing {
                state.preparing = keeper.prepare(journal, self.index);
            }
        }
        result
    }

    /// Takes a segment that was made ahead.
    pub(crate) fn prepared(&self, segment: Option<Arc<SegmentFile>>) {
        let mut state = self.state.lock();
        state.preparing = false;
        if let Some(segment) = segment {
            if state.stopped || state.next.is_some() || segment.header.number < state.last_number {
                drop(state);
                remove_unused(&segment);
            } else {
                state.next = Some(segment);
            }
        }
    }

    /// Retires the active segment when it has entries and is older than `age`.
    pub(crate) fn retire_older_than(&self, age: std::time::Duration, keeper: &Keeper) {
        let mut state = self.state.lock();
        if state.active.as_ref().is_some_and(|a| a.count > 0 && a.opened.elapsed() >= age) {
            // Failing to queue it leaves it active; the next tick tries again.
            let _ = state.retire(keeper);
        }
    }

    /// Ends the writing for good.
    pub(crate) fn stop(&self, keeper: &Keeper) {
        let mut state = self.state.lock();
        state.stopped = true;
        if let Err(denial) = state.retire(keeper) {
            tracing::warn!(detail = denial.detail, "a segment stays open; the next start seals it");
        }
        if let Some(next) = state.next.take() {
            remove_unused(&next);
        }
    }

    /// What is not on the disk; `None` when everything is.
    pub(crate) fn unsynced(&self) -> Option<Unsynced> {
        let mut state = self.state.lock();
        if state.position == self.synced.load(Ordering::Acquire) && state.unsynced.is_empty() {
            return None;
        }
        let mut files = std::mem::take(&mut state.unsynced);
        files.extend(state.active.as_ref().map(|a| Arc::clone(&a.file)));
        Some(Unsynced { files, position: state.position })
    }

    /// Everything up to a position is on the disk.
    pub(crate) fn synced_to(&self, position: u64) {
        let mut waiters = self.waiters.lock();
        self.synced.fetch_max(position, Ordering::AcqRel);
        for waiter in waiters.extract_if(.., |w| w.position <= position) {
            // The waiter may have given up.
            let _ = waiter.done.send(Ok(()));
        }
    }

    /// The disk failed: what was written since the last sync may be lost, so every session of this shard ends.
    pub(crate) fn fail(&self, error: &io::Error) {
        let mut state = self.state.lock();
        state.generation += 1;
        // The segment stays as it is; the next start recovers what is valid of it.
        state.active = None;
        let position = state.position;
        drop(state);
        let mut waiters = self.waiters.lock();
        self.synced.fetch_max(position, Ordering::AcqRel);
        for waiter in waiters.drain(..) {
            let _ = waiter.done.send(Err(format!("the recording could not be forced to the disk: {error}")));
        }
    }

    /// Resolves when a position is on the disk.
    pub(crate) fn wait_for(&self, position: u64) -> Result<oneshot::Receiver<Result<(), String>>, Denial> {
        let (done, wait) = oneshot::channel();
        let mut waiters = self.waiters.lock();
        if self.synced.load(Ordering::Acquire) >= position {
            let _ = done.send(Ok(()));
        } else if waiters.len() >= WAITERS_MAX {
            return Err(unavailable(format!("more than {WAITERS_MAX} statements wait for the recording's disk")));
        } else {
            waiters.push(Waiter { position, done });
        }
        Ok(wait)
    }
}

impl State {
    fn append(
        &mut self,
        index: u16,
        journal: &Journal,
        keeper: &Keeper,
        at: i64,
        head: Option<&mut SessionHead>,
        draft: &Draft<'_>,
    ) -> Result<Appended, Denial> {
        if self.stopped {
            return Err(unavailable("the recorder has stopped"));
        }
        if head.as_ref().is_some_and(|h| h.generation != self.generation) {
            return Err(unavailable("the disk of the recording failed while this session ran; the log has the error"));
        }
        let mut json = std::mem::take(&mut self.scratch);
        json.clear();
        let result = self.append_somewhere(index, journal, keeper, at, head, draft, &mut json);
        if json.capacity() <= SCRATCH_BYTES_MAX {
            self.scratch = json;
        }
        result
    }

    #[allow(clippy::too_many_arguments)]
    fn append_somewhere(
        &mut self,
        index: u16,
        journal: &Journal,
        keeper: &Keeper,
        at: i64,
        mut head: Option<&mut SessionHead>,
        draft: &Draft<'_>,
        json: &mut Vec<u8>,
    ) -> Result<Appended, Denial> {
        let mut room = 0;
        for _ in 0..SEGMENTS_TRIED_MAX {
            let active = match &mut self.active {
                Some(active) => active,
                none => {
                    let file = match self.next.take() {
                        Some(next) => next,
                        None => journal.create_segment(index, room).map_err(unavailable)?,
                    };
                    self.last_number = file.header.number;
                    none.insert(Box::new(ActiveSegment::new(file).map_err(unavailable)?))
                }
            };
            let plan = Plan::of(active, head.as_deref(), draft, json)?;
            if active.fits(plan.need) {
                let spare = if draft.ends { 0 } else { RESERVE_BYTES };
                active
                    .ensure(plan.need, spare)
                    .map_err(|e| unavailable(format!("cannot take space for {}: {e}", active.file.path.display())))?;
                let before = active.used();
                let result = plan.write(active, at, head.take(), draft, json);
                self.position += (active.used() - before) as u64;
                let place = result.ok_or_else(|| unavailable("an entry was larger than its bound"))?;
                let text_inline = matches!(plan.entry, Entry::Intent(i) if matches!(i.text, TextRef::Inline(_)));
                return Ok(Appended { place, position: self.position, text_inline });
            }
            room = SEGMENT_HEADER_BYTES + plan.need;
            self.retire(keeper)?;
        }
        Err(unavailable("no segment is large enough for an entry"))
    }

    fn retire(&mut self, keeper: &Keeper) -> Result<(), Denial> {
        let Some(active) = self.active.take() else { return Ok(()) };
        let file = Arc::clone(&active.file);
        match keeper.seal(active) {
            Ok(()) => {
                self.unsynced.push(file);
                Ok(())
            }
            Err(active) => {
                self.active = Some(active);
                Err(unavailable("the disk of the recording cannot keep up: too many segments wait to be sealed"))
            }
        }
    }
}

/// What it takes to append an entry to a certain segment.
struct Plan<'a> {
    entry: Entry<'a>,
    need: usize,
    definition: Defined,
}

enum Defined {
    /// The entry has none.
    Not,
    /// It is there.
    At(u32),
    /// It must be written; the hash of its JSON.
    Missing(u64),
}

impl<'a> Plan<'a> {
    fn of(
        active: &mut ActiveSegment,
        head: Option<&SessionHead>,
        draft: &Draft<'a>,
        json: &mut Vec<u8>,
    ) -> Result<Self, Denial> {
        let mut entry = draft.entry;
        if let (Entry::Intent(intent), Some((segment, offset))) = (&mut entry, draft.text_at)
            && segment == active.number()
        {
            intent.text = TextRef::Elsewhere(offset);
        }
        let mut need = framed_bytes(entry.payload_bytes_max());
        if let Some(head) = head.filter(|h| h.placed.is_none_or(|(segment, _)| segment != active.number())) {
            need += framed_bytes(Entry::Session { continued: false, json: &head.json }.payload_bytes_max());
        }
        let mut definition = Defined::Not;
        if let Some((shape, verdict)) = draft.define {
            definition = match active.definition_of(shape, verdict) {
                Some(offset) => Defined::At(offset),
                None => {
                    if json.is_empty() {
                        serde_json::to_writer(&mut *json, &DefinitionRef::new(shape, verdict)).map_err(unavailable)?;
                    }
                    let hash = FixedState::default().hash_one(json.as_slice());
                    match active.definition_like(hash, json) {
                        Some(offset) => {
                            active.remember(shape, verdict, offset);
                            Defined::At(offset)
                        }
                        None => {
                            need += framed_bytes(Entry::Definition { json }.payload_bytes_max());
                            Defined::Missing(hash)
                        }
                    }
                }
            };
        }
        Ok(Self { entry, need, definition })
    }

    fn write(
        &self,
        active: &mut ActiveSegment,
        at: i64,
        head: Option<&mut SessionHead>,
        draft: &Draft<'_>,
        json: &[u8],
    ) -> Option<Place> {
        let number = active.number();
        let mut session = 0;
        if let Some(head) = head {
            session = match head.placed {
                Some((segment, offset)) if segment == number => offset,
                placed => {
                    let offset =
                        active.append(at, &Entry::Session { continued: placed.is_some(), json: &head.json })?;
                    head.placed = Some((number, offset));
                    offset
                }
            };
        }
        let definition = match self.definition {
            Defined::Not => 0,
            Defined::At(offset) => offset,
            Defined::Missing(hash) => {
                let offset = active.append(at, &Entry::Definition { json })?;
                if let Some((shape, verdict)) = draft.define {
                    active.remember(shape, verdict, offset);
                }
                active.remember_like(hash, json, offset);
                offset
            }
        };
        // A session's beginning is its header alone.
        if matches!(draft.entry, Entry::Session { .. }) {
            return Some((number, session));
        }
        let offset = active.append(at, &self.entry.placed(session, definition))?;
        Some((number, offset))
    }
}

/// Removes a segment that was made ahead and never used.
fn remove_unused(segment: &SegmentFile) {
    if let Err(error) = std::fs::remove_file(&segment.path) {
        // The next start removes it: it has no entries.
        tracing::warn!(path = %segment.path.display(), %error, "cannot remove an unused segment");
    }
}
