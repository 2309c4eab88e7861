//! A session as people read it: each statement joined with how it ended, in order.

use std::collections::VecDeque;

use countersign_model::{Decision, SessionId, Timestamp};
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use crate::header::Event;
use crate::reader::Reader;
use crate::record::{
    ClosedRecord, IntentRecord, OutcomeRecord, Record, RecordEntry, definition_fields, parameter_fields, text_fields,
};
use crate::records::RecordFilter;
use crate::{RecordingError, SessionHeader};

/// The most items of one page.
const PAGE_ITEMS_MAX: usize = 10_000;
/// Items that wait for an outcome before them, over all sessions that are joined at once. When there are more, the oldest
/// statement goes on without its outcome, which then comes as an item of its own.
const WAITING_MAX: usize = 65_536;

/// A statement with how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct StatementView {
    /// When it was judged.
    pub at: Timestamp,
    /// What was about to happen.
    pub intent: IntentRecord,
    /// When and how it ended; `None` for what was denied, still runs, or was cut off by a crash.
    pub outcome: Option<(Timestamp, OutcomeRecord)>,
    /// Recorded result bytes.
    pub output_bytes: u64,
}

impl Serialize for StatementView {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("at", &self.at.rfc3339())?;
        map.serialize_entry("at_unix_us", &self.at.unix_us())?;
        map.serialize_entry("seq", &self.intent.seq)?;
        text_fields(&mut map, &self.intent.text)?;
        if let Some(seq) = self.intent.same_text_as {
            map.serialize_entry("same_text_as", &seq)?;
        }
        if self.intent.prepares {
            map.serialize_entry("prepares", &true)?;
        }
        parameter_fields(&mut map, &self.intent.parameters)?;
        definition_fields(&mut map, &self.intent.definition)?;
        map.serialize_entry("output_bytes", &self.output_bytes)?;
        if let Some((at, outcome)) = &self.outcome {
            map.serialize_entry("ended_at", &at.rfc3339())?;
            map.serialize_entry("outcome", outcome)?;
        }
        map.end()
    }
}

/// One thing in the life of a session.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum TimelineItem {
    /// It began.
    Opened {
        /// When.
        at: Timestamp,
        /// Who, on what.
        header: Box<SessionHeader>,
    },
    /// A statement, allowed or denied.
    Statement(Box<StatementView>),
    /// Something else happened.
    Event {
        /// When.
        at: Timestamp,
        /// What.
        #[serde(flatten)]
        event: Event,
    },
    /// The end of a statement that is not in what is kept, or that did not wait for it.
    LateOutcome {
        /// When.
        at: Timestamp,
        /// How.
        outcome: OutcomeRecord,
    },
    /// It ended.
    Closed {
        /// When.
        at: Timestamp,
        /// Why.
        #[serde(flatten)]
        closed: ClosedRecord,
    },
    /// Its recording was dropped without an end.
    Abandoned {
        /// When, at the latest entry.
        at: Timestamp,
    },
}

/// A page of a session's life.
#[derive(Clone, Debug, Default)]
pub struct TimelinePage {
    /// What happened, in order.
    pub items: Vec<TimelineItem>,
    /// What to give as `after` for the next page; `None` at the end.
    pub next: Option<u64>,
    /// What could not be read, in words. To be shown: items are missing for it.
    pub problems: Vec<String>,
}

impl Reader {
    /// What happened in a session, in order, each statement with how it ended. `after` is how many items to pass over: 0, or
    /// the `next` of the page before. At most `limit` items, and 10,000.
    ///
    /// # Errors
    /// When the session is not there or the folder cannot be read. Damage is a problem of the page.
    pub fn timeline(&self, id: SessionId, after: u64, limit: usize) -> Result<TimelinePage, RecordingError> {
        let limit = limit.clamp(1, PAGE_ITEMS_MAX);
        let mut page = TimelinePage::default();
        let mut joiner = Joiner::default();
        let mut passed = 0;
        let mut records = self.records(&RecordFilter { session: Some(id), ..RecordFilter::default() })?;
        loop {
            let ended = match records.next() {
                None => {
                    joiner.finish();
                    true
                }
                Some(Ok(record)) => {
                    joiner.add(record);
                    false
                }
                Some(Err(error)) => {
                    page.problems.push(error.to_string());
                    false
                }
            };
            while let Some((_, item)) = joiner.pop() {
                if passed < after {
                    passed += 1;
                } else if page.items.len() < limit {
                    page.items.push(item);
                } else {
                    page.next = Some(after + limit as u64);
                    return Ok(page);
                }
            }
            if ended {
                return Ok(page);
            }
        }
    }
}

/// An item with its session.
pub(crate) type Joined = (std::sync::Arc<SessionHeader>, TimelineItem);

/// Joins outcomes to intents, for any number of sessions side by side, keeping each session's order.
#[derive(Default)]
pub(crate) struct Joiner {
    waiting: HashMap<SessionId, VecDeque<(Joined, bool)>, FixedState>,
    count: usize,
    ready: VecDeque<Joined>,
}

impl Joiner {
    /// Takes the next record of a session.
    pub(crate) fn add(&mut self, record: Record) {
        let Record { at, header: Some(header), entry } = record else { return };
        let id = header.id;
        let queue = self.waiting.entry(id).or_default();
        let (item, done) = match entry {
            RecordEntry::Opened => (TimelineItem::Opened { at, header: Box::new((*header).clone()) }, true),
            RecordEntry::Intent(intent) => {
                let denied = intent.definition.verdict.decision == Decision::Deny;
                let view = StatementView { at, intent, outcome: None, output_bytes: 0 };
                (TimelineItem::Statement(Box::new(view)), denied)
            }
            RecordEntry::Output { seq, bytes } => {
                if let Some((statement, _)) = find(queue, seq) {
                    statement.output_bytes += bytes.len() as u64;
                }
                return;
            }
            RecordEntry::Outcome(outcome) => match find(queue, outcome.seq) {
                Some((statement, done)) => {
                    statement.outcome = Some((at, outcome));
                    *done = true;
                    self.settle(id);
                    return;
                }
                None => (TimelineItem::LateOutcome { at, outcome }, true),
            },
            RecordEntry::Event(event) => (TimelineItem::Event { at, event }, true),
            RecordEntry::Closed(closed) => (TimelineItem::Closed { at, closed }, true),
            RecordEntry::Abandoned => (TimelineItem::Abandoned { at }, true),
            RecordEntry::Continued | RecordEntry::Refused(_) | RecordEntry::Removed(_) => return,
        };
        let last = matches!(item, TimelineItem::Closed { .. } | TimelineItem::Abandoned { .. });
        queue.push_back(((header, item), done));
        self.count += 1;
        if last || self.count > WAITING_MAX {
            self.flush(id);
        } else {
            self.settle(id);
        }
    }

    /// Lets everything go on as it is.
    pub(crate) fn finish(&mut self) {
        let ids: Vec<SessionId> = self.waiting.keys().copied().collect();
        for id in ids {
            self.flush(id);
        }
    }

    /// The next item whose turn it is.
    pub(crate) fn pop(&mut self) -> Option<Joined> {
        self.ready.pop_front()
    }

    fn settle(&mut self, id: SessionId) {
        let Some(queue) = self.waiting.get_mut(&id) else { return };
        while let Some((joined, _)) = queue.pop_front_if(|(_, done)| *done) {
            self.ready.push_back(joined);
            self.count -= 1;
        }
        if queue.is_empty() {
            self.waiting.remove(&id);
        }
    }

    fn flush(&mut self, id: SessionId) {
        if let Some(queue) = self.waiting.remove(&id) {
            self.count -= queue.len();
            self.ready.extend(queue.into_iter().map(|(joined, _)| joined));
        }
    }
}

fn find(queue: &mut VecDeque<(Joined, bool)>, seq: u64) -> Option<(&mut StatementView, &mut bool)> {
    queue.iter_mut().find_map(|((_, item), done)| match item {
        TimelineItem::Statement(s) if s.intent.seq == seq => Some((&mut **s, done)),
        _ => None,
    })
}
