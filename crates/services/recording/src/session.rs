//! The recording of one session: what the gate calls for every action.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use countersign_enforce::{BoxFuture, Closed, Intent, Outcome, Receipt, SessionEvent, SessionOpened, SessionRecorder};
use countersign_model::{Denial, PARAMETERS_MAX, Timestamp};
use sha2::{Digest, Sha256};

use crate::entry::{Entry, IntentEntry, OutcomeEntry, ParametersRef, TEXT_INLINE_BYTES, TextRef};
use crate::error::{oversize, unavailable};
use crate::frame::PAYLOAD_BYTES_MAX;
use crate::header::{Event, SessionHeader};
use crate::journal::Journal;
use crate::masked;
use crate::record::ClosedRecord;
use crate::recorder::House;
use crate::shard::{Appended, Draft, Place, SessionHead, Shard};

/// Long texts of a session that are remembered; the oldest is forgotten, and then written again.
const LONG_TEXTS_MAX: usize = 64;
/// The longest statement that can be recorded, and so the longest that can pass.
const TEXT_BYTES_MAX: usize = PAYLOAD_BYTES_MAX - PARAMETERS_MAX - 1024;
/// The most bytes of one output entry; longer output is several entries.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// The most bytes of a session's header: identities with larger claims are refused.
const HEADER_BYTES_MAX: usize = 256 << 10;
/// The most bytes of an event or a close.
const EVENT_BYTES_MAX: usize = 64 << 10;
/// The longest that an action waits for the disk.
const DURABLE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The recording of one session.
pub(crate) struct SessionWriter {
    house: Arc<House>,
    journal: Arc<Journal>,
    id: u128,
    head: SessionHead,
    /// The last intent's number.
    seq: u64,
    /// The shard's position after this session's last entry.
    position: u64,
    last_at: i64,
    long_texts: VecDeque<(u64, Place)>,
    closed: bool,
}

impl SessionWriter {
    /// Writes the session's header.
    pub(crate) fn open(house: Arc<House>, journal: Arc<Journal>, opened: &SessionOpened<'_>) -> Result<Self, Denial> {
        let json = serde_json::to_vec(&SessionHeader::from(opened)).map_err(unavailable)?;
        if json.len() > HEADER_BYTES_MAX {
            return Err(oversize("the identity with its claims", json.len(), HEADER_BYTES_MAX));
        }
        let id = opened.context.id.to_u128();
        let at = opened.context.started_at;
        let generation = journal.shard_of(id).map_or(0, Shard::generation);
        let head = SessionHead { json: json.into(), placed: None, generation };
        let mut session = Self {
            house,
            journal,
            id,
            head,
            seq: 0,
            position: 0,
            last_at: at.unix_us(),
            long_texts: VecDeque::new(),
            // Until the header is written there is nothing to abandon.
            closed: true,
        };
        session.append(
            at,
            Draft { entry: Entry::Session { continued: false, json: &[] }, define: None, text_at: None, ends: false },
        )?;
        session.closed = false;
        Ok(session)
    }

    fn append(&mut self, at: Timestamp, draft: Draft<'_>) -> Result<Appended, Denial> {
        let shard = self.journal.shard_of(self.id).ok_or_else(|| unavailable("the journal has no shards"))?;
        let at = at.unix_us();
        let appended = shard.append(&self.journal, &self.house.keeper, at, Some(&mut self.head), &draft)?;
        self.position = appended.position;
        self.last_at = at;
        Ok(appended)
    }

    fn plain(&mut self, at: Timestamp, entry: Entry<'_>, ends: bool) -> Result<(), Denial> {
        self.append(at, Draft { entry, define: None, text_at: None, ends }).map(|_| ())
    }
}

impl SessionRecorder for SessionWriter {
    fn intent(&mut self, intent: &Intent<'_>) -> Result<Receipt, Denial> {
        if intent.text.len() > TEXT_BYTES_MAX {
            return Err(oversize("the statement", intent.text.len(), TEXT_BYTES_MAX));
        }
        let seq = self.seq + 1;
        let parameters = if intent.parameters.len() <= PARAMETERS_MAX {
            ParametersRef::Inline(intent.parameters)
        } else {
            ParametersRef::Digest {
                bytes: intent.parameters.len() as u64,
                sha256: Sha256::digest(intent.parameters).into(),
            }
        };
        let long = intent.text.len() > TEXT_INLINE_BYTES;
        let text_at = intent
            .same_text_as
            .filter(|_| long)
            .and_then(|seq| self.long_texts.iter().find(|(s, _)| *s == seq))
            .map(|(_, place)| *place);
        let entry = Entry::Intent(IntentEntry {
            session: 0,
            definition: 0,
            seq,
            same_text_as: intent.same_text_as,
            prepares: intent.prepares,
            text: TextRef::Inline(intent.text),
            parameters,
        });
        let draft = Draft { entry, define: Some((intent.shape, intent.verdict)), text_at, ends: false };
        let appended = self.append(intent.at, draft)?;
        self.seq = seq;
        if long && appended.text_inline {
            // Later intents name the first one with this text, so the place is kept under that number.
            let first = intent.same_text_as.unwrap_or(seq);
            self.long_texts.retain(|(s, _)| *s != first);
            if self.long_texts.len() >= LONG_TEXTS_MAX {
                self.long_texts.pop_front();
            }
            self.long_texts.push_back((first, appended.place));
        }
        Ok(Receipt::new(seq))
    }

    fn durable(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), Denial>> {
        // The session's last entry is at or after the receipt's, so waiting for it covers the receipt.
        debug_assert!(receipt.seq() <= self.seq);
        let waiting = match self.journal.shard_of(self.id) {
            Some(shard) => shard.wait_for(self.position),
            None => Err(unavailable("the journal has no shards")),
        };
        if waiting.is_ok() {
            self.house.syncer.hurry();
        }
        Box::pin(async move {
            match tokio::time::timeout(DURABLE_WAIT_MAX, waiting?).await {
                Ok(Ok(done)) => done.map_err(unavailable),
                Ok(Err(_)) => Err(unavailable("the recorder stopped before the record reached the disk")),
                Err(_) => Err(unavailable(format!(
                    "the record did not reach the disk within {} s",
                    DURABLE_WAIT_MAX.as_secs()
                ))),
            }
        })
    }

    fn output(&mut self, seq: u64, at: Timestamp, bytes: &[u8]) -> Result<(), Denial> {
        bytes
            .chunks(OUTPUT_BYTES_MAX)
            .try_for_each(|bytes| self.plain(at, Entry::Output { session: 0, seq, bytes }, false))
    }

    fn outcome(&mut self, seq: u64, at: Timestamp, duration_us: u64, outcome: &Outcome) -> Result<(), Denial> {
        let masked = masked::encode(&outcome.masked);
        let entry = OutcomeEntry {
            session: 0,
            seq,
            status: outcome.status,
            duration_us,
            rows: outcome.rows,
            bytes: outcome.bytes,
            affected: outcome.affected,
            masked: &masked,
            code: outcome.code.as_deref().map(|c| cut(c, EVENT_BYTES_MAX)),
        };
        self.plain(at, Entry::Outcome(entry), true)
    }

    fn event(&mut self, at: Timestamp, event: &SessionEvent<'_>) -> Result<(), Denial> {
        let json = serde_json::to_vec(&Event::from(event)).map_err(unavailable)?;
        if json.len() > EVENT_BYTES_MAX {
            return Err(oversize("an event", json.len(), EVENT_BYTES_MAX));
        }
        self.plain(at, Entry::Event { session: 0, json: &json }, false)
    }

    fn close(&mut self, closed: &Closed<'_>) -> Result<(), Denial> {
        let body = ClosedRecord { reason: closed.reason.as_str().into(), denial: closed.denial.cloned() };
        let json = serde_json::to_vec(&body).map_err(unavailable)?;
        if json.len() > EVENT_BYTES_MAX {
            return Err(oversize("the reason of an end", json.len(), EVENT_BYTES_MAX));
        }
        self.plain(closed.at, Entry::Closed { session: 0, json: &json }, true)?;
        self.closed = true;
        Ok(())
    }
}

impl Drop for SessionWriter {
    fn drop(&mut self) {
        if self.closed {
            return;
        }
        // Marks the session as unfinished for those who read while the gateway still runs.
        let at = Timestamp::from_unix_us(self.last_at);
        if let Err(denial) = self.plain(at, Entry::Abandoned { session: 0 }, true) {
            tracing::warn!(detail = denial.detail, "a session was dropped and could not be marked as unfinished");
        }
    }
}

/// At most `bytes_max` bytes of a text, cut between characters.
fn cut(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
