//! The entries of a segment in their binary form, and the strict way back.
//!
//! A payload is `kind u8 | flags u8 | at i64 | fields`. What repeats is written once per segment and named by the offset of
//! its frame: the session header, the definition of a shape with its verdict, a long text. Rich and rare parts are JSON.
//! [`decode`] is total: whatever the bytes, it answers with an entry or with what is wrong, and never with a guess.

use countersign_enforce::OutcomeStatus;

use crate::masked;
use crate::wire::{Put, Take};

/// Bytes of the fields that every entry has.
const PREFIX_BYTES: usize = 10;
/// More than the fixed fields of any entry take.
const FIELDS_BYTES_MAX: usize = 96;
/// More than the fields of an entry whose bytes are written apart.
pub(crate) const BULK_HEAD_BYTES_MAX: usize = FIELDS_BYTES_MAX;
/// A text up to this long is always inline. A longer one is written once per segment and then referred to.
pub(crate) const TEXT_INLINE_BYTES: usize = 4 << 10;
/// Bytes of the payload of a footer.
pub(crate) const FOOTER_PAYLOAD_BYTES: usize = PREFIX_BYTES + 64;

const KIND_SESSION: u8 = 1;
const KIND_DEFINITION: u8 = 2;
const KIND_INTENT: u8 = 3;
const KIND_OUTPUT: u8 = 4;
const KIND_OUTCOME: u8 = 5;
const KIND_EVENT: u8 = 6;
const KIND_CLOSED: u8 = 7;
const KIND_ABANDONED: u8 = 8;
const KIND_REFUSED: u8 = 9;
const KIND_REMOVED: u8 = 10;
const KIND_FOOTER: u8 = 11;

const SESSION_CONTINUED: u8 = 1;
const INTENT_SAME_TEXT: u8 = 1;
const INTENT_TEXT_ELSEWHERE: u8 = 2;
const INTENT_PARAMETERS_DIGEST: u8 = 4;
const INTENT_PREPARES: u8 = 8;
const OUTCOME_AFFECTED: u8 = 1;
const OUTCOME_CODE: u8 = 2;
const OUTCOME_MASKED: u8 = 4;
const FOOTER_RECOVERED: u8 = 1;

/// The text of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextRef<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// In the intent at this offset of the same segment.
    Elsewhere(u32),
}

/// The parameters of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParametersRef<'a> {
    /// Here.
    Inline(&'a [u8]),
    /// Too large to keep.
    Digest {
        /// Their length in bytes.
        bytes: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
}

/// What is about to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IntentEntry<'a> {
    /// Offset of the session's header.
    pub(crate) session: u32,
    /// Offset of the definition of shape and verdict.
    pub(crate) definition: u32,
    /// Number in the session, from 1.
    pub(crate) seq: u64,
    /// The earlier intent with the same text.
    pub(crate) same_text_as: Option<u64>,
    /// It runs nothing: it puts in place what later intents run.
    pub(crate) prepares: bool,
    /// The text.
    pub(crate) text: TextRef<'a>,
    /// Bound parameters.
    pub(crate) parameters: ParametersRef<'a>,
}

/// How an intent ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutcomeEntry<'a> {
    pub(crate) session: u32,
    pub(crate) seq: u64,
    pub(crate) status: OutcomeStatus,
    pub(crate) duration_us: u64,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) affected: Option<u64>,
    /// How many values of which tags were masked, as [`crate::masked`] writes them; empty for most.
    pub(crate) masked: &'a [u8],
    pub(crate) code: Option<&'a str>,
}

/// The end of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Footer {
    /// Entries before the footer.
    pub(crate) count: u64,
    /// The earliest time of an entry.
    pub(crate) first_at: i64,
    /// The latest time of an entry.
    pub(crate) last_at: i64,
    /// SHA-256 of the file up to the footer's frame.
    pub(crate) sha256: [u8; 32],
    /// True when a crash left the segment open and it was sealed at the next start.
    pub(crate) recovered: bool,
    /// Bytes of a torn last entry that recovery dropped.
    pub(crate) dropped: u64,
}

/// One entry, borrowed from the bytes of its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// A session's header; `continued` when an earlier segment has the beginning.
    Session { continued: bool, json: &'a [u8] },
    /// A shape with its verdict.
    Definition { json: &'a [u8] },
    /// What is about to happen.
    Intent(IntentEntry<'a>),
    /// Result bytes as the client saw them.
    Output { session: u32, seq: u64, bytes: &'a [u8] },
    /// How an intent ended.
    Outcome(OutcomeEntry<'a>),
    /// Something that happened to the session.
    Event { session: u32, json: &'a [u8] },
    /// The session's end.
    Closed { session: u32, json: &'a [u8] },
    /// The session's recording was dropped without an end.
    Abandoned { session: u32 },
    /// A connection that never became a session.
    Refused { json: &'a [u8] },
    /// A segment that retention removed.
    Removed { json: &'a [u8] },
    /// The end of the segment.
    Footer(Footer),
}

impl Entry<'_> {
    /// At least as many bytes as the payload takes.
    pub(crate) fn payload_bytes_max(&self) -> usize {
        let variable = match self {
            Self::Session { json, .. }
            | Self::Definition { json }
            | Self::Event { json, .. }
            | Self::Closed { json, .. }
            | Self::Refused { json }
            | Self::Removed { json } => json.len(),
            Self::Intent(i) => {
                let text = if let TextRef::Inline(t) = i.text { t.len() } else { 0 };
                let parameters = if let ParametersRef::Inline(p) = i.parameters { p.len() } else { 0 };
                text.saturating_add(parameters)
            }
            Self::Output { bytes, .. } => bytes.len(),
            Self::Outcome(o) => o.code.map_or(0, str::len).saturating_add(o.masked.len()),
            Self::Abandoned { .. } | Self::Footer(_) => 0,
        };
        variable.saturating_add(FIELDS_BYTES_MAX)
    }

    /// The entry without the bytes that its payload ends with, and those bytes, for kinds that may have many. The entry alone takes at most
    /// [`BULK_HEAD_BYTES_MAX`].
    pub(crate) fn split_bulk(&self) -> Option<(Entry<'static>, &[u8])> {
        match *self {
            Self::Output { session, seq, bytes } => Some((Entry::Output { session, seq, bytes: &[] }, bytes)),
            _ => None,
        }
    }

    /// The session header's offset, for entries that belong to a session.
    pub(crate) fn session(&self) -> Option<u32> {
        match self {
            Self::Intent(i) => Some(i.session),
            Self::Outcome(o) => Some(o.session),
            Self::Output { session, .. }
            | Self::Event { session, .. }
            | Self::Closed { session, .. }
            | Self::Abandoned { session } => Some(*session),
            _ => None,
        }
    }

    /// The same entry with the offsets of its session's header and of its definition filled in, where it has them.
    pub(crate) fn placed(mut self, header: u32, definition_at: u32) -> Self {
        match &mut self {
            Self::Intent(i) => {
                i.session = header;
                i.definition = definition_at;
            }
            Self::Outcome(o) => o.session = header,
            Self::Output { session, .. }
            | Self::Event { session, .. }
            | Self::Closed { session, .. }
            | Self::Abandoned { session } => *session = header,
            Self::Session { .. }
            | Self::Definition { .. }
            | Self::Refused { .. }
            | Self::Removed { .. }
            | Self::Footer(_) => {}
        }
        self
    }

    /// Writes the payload.
    pub(crate) fn encode(&self, at: i64, put: &mut Put<'_>) {
        let mut head = |kind: u8, flags: u8| {
            put.u8(kind);
            put.u8(flags);
            put.i64(at);
        };
        match self {
            Self::Session { continued, json } => {
                head(KIND_SESSION, if *continued { SESSION_CONTINUED } else { 0 });
                put.bytes(json);
            }
            Self::Definition { json } => {
                head(KIND_DEFINITION, 0);
                put.bytes(json);
            }
            Self::Intent(i) => encode_intent(i, at, put),
            Self::Output { session, seq, bytes } => {
                head(KIND_OUTPUT, 0);
                put.u32(*session);
                put.varint(*seq);
                put.bytes(bytes);
            }
            Self::Outcome(o) => encode_outcome(o, at, put),
            Self::Event { session, json } => {
                head(KIND_EVENT, 0);
                put.u32(*session);
                put.bytes(json);
            }
            Self::Closed { session, json } => {
                head(KIND_CLOSED, 0);
                put.u32(*session);
                put.bytes(json);
            }
            Self::Abandoned { session } => {
                head(KIND_ABANDONED, 0);
                put.u32(*session);
            }
            Self::Refused { json } => {
                head(KIND_REFUSED, 0);
                put.bytes(json);
            }
            Self::Removed { json } => {
                head(KIND_REMOVED, 0);
                put.bytes(json);
            }
            Self::Footer(f) => {
                head(KIND_FOOTER, if f.recovered { FOOTER_RECOVERED } else { 0 });
                put.u64(f.count);
                put.i64(f.first_at);
                put.i64(f.last_at);
                put.bytes(&f.sha256);
                put.u64(f.dropped);
            }
        }
    }
}

fn encode_intent(i: &IntentEntry<'_>, at: i64, put: &mut Put<'_>) {
    let mut flags = 0;
    if i.same_text_as.is_some() {
        flags |= INTENT_SAME_TEXT;
    }
    if matches!(i.text, TextRef::Elsewhere(_)) {
        flags |= INTENT_TEXT_ELSEWHERE;
    }
    if matches!(i.parameters, ParametersRef::Digest { .. }) {
        flags |= INTENT_PARAMETERS_DIGEST;
    }
    if i.prepares {
        flags |= INTENT_PREPARES;
    }
    put.u8(KIND_INTENT);
    put.u8(flags);
    put.i64(at);
    put.u32(i.session);
    put.u32(i.definition);
    put.varint(i.seq);
    if let Some(seq) = i.same_text_as {
        put.varint(seq);
    }
    match i.text {
        TextRef::Inline(text) => put.sized(text),
        TextRef::Elsewhere(offset) => put.u32(offset),
    }
    match i.parameters {
        ParametersRef::Inline(bytes) => put.bytes(bytes),
        ParametersRef::Digest { bytes, sha256 } => {
            put.varint(bytes);
            put.bytes(&sha256);
        }
    }
}

fn encode_outcome(o: &OutcomeEntry<'_>, at: i64, put: &mut Put<'_>) {
    let mut flags = 0;
    if o.affected.is_some() {
        flags |= OUTCOME_AFFECTED;
    }
    if o.code.is_some() {
        flags |= OUTCOME_CODE;
    }
    if !o.masked.is_empty() {
        flags |= OUTCOME_MASKED;
    }
    put.u8(KIND_OUTCOME);
    put.u8(flags);
    put.i64(at);
    put.u32(o.session);
    put.u8(status_number(o.status));
    for v in [o.seq, o.duration_us, o.rows, o.bytes] {
        put.varint(v);
    }
    if let Some(affected) = o.affected {
        put.varint(affected);
    }
    if !o.masked.is_empty() {
        put.sized(o.masked);
    }
    if let Some(code) = o.code {
        put.bytes(code.as_bytes());
    }
}

const STATUSES: [OutcomeStatus; 6] = [
    OutcomeStatus::Done,
    OutcomeStatus::Failed,
    OutcomeStatus::Skipped,
    OutcomeStatus::Limited,
    OutcomeStatus::Lost,
    OutcomeStatus::Withheld,
];

fn status_number(status: OutcomeStatus) -> u8 {
    match status {
        OutcomeStatus::Done => 0,
        OutcomeStatus::Failed => 1,
        OutcomeStatus::Skipped => 2,
        OutcomeStatus::Limited => 3,
        OutcomeStatus::Lost => 4,
        OutcomeStatus::Withheld => 5,
    }
}

/// Reads one payload: the time of the entry, and the entry. Every byte must be accounted for.
pub(crate) fn decode(payload: &[u8]) -> Result<(i64, Entry<'_>), &'static str> {
    let mut take = Take::new(payload);
    let entry = decode_fields(&mut take)?;
    if take.is_empty() { Ok(entry) } else { Err("an entry has bytes after its end") }
}

fn decode_fields<'a>(take: &mut Take<'a>) -> Result<(i64, Entry<'a>), &'static str> {
    const SHORT: &str = "an entry is cut short";
    let kind = take.u8().ok_or(SHORT)?;
    let flags = take.u8().ok_or(SHORT)?;
    let at = take.i64().ok_or(SHORT)?;
    let known = match kind {
        KIND_SESSION => SESSION_CONTINUED,
        KIND_INTENT => INTENT_SAME_TEXT | INTENT_TEXT_ELSEWHERE | INTENT_PARAMETERS_DIGEST | INTENT_PREPARES,
        KIND_OUTCOME => OUTCOME_AFFECTED | OUTCOME_CODE | OUTCOME_MASKED,
        KIND_FOOTER => FOOTER_RECOVERED,
        _ => 0,
    };
    if flags & !known != 0 {
        return Err("an entry has flags that this version does not know");
    }
    let entry = match kind {
        KIND_SESSION => Entry::Session { continued: flags & SESSION_CONTINUED != 0, json: take.all() },
        KIND_DEFINITION => Entry::Definition { json: take.all() },
        KIND_INTENT => decode_intent(flags, take).map(Entry::Intent).ok_or(SHORT)?,
        KIND_OUTPUT => {
            let (session, seq) = (take.u32().ok_or(SHORT)?, take.varint().ok_or(SHORT)?);
            Entry::Output { session, seq, bytes: take.all() }
        }
        KIND_OUTCOME => decode_outcome(flags, take).map(Entry::Outcome).ok_or("an outcome is malformed")?,
        KIND_EVENT => Entry::Event { session: take.u32().ok_or(SHORT)?, json: take.all() },
        KIND_CLOSED => Entry::Closed { session: take.u32().ok_or(SHORT)?, json: take.all() },
        KIND_ABANDONED => Entry::Abandoned { session: take.u32().ok_or(SHORT)? },
        KIND_REFUSED => Entry::Refused { json: take.all() },
        KIND_REMOVED => Entry::Removed { json: take.all() },
        KIND_FOOTER => decode_footer(flags, take).map(Entry::Footer).ok_or(SHORT)?,
        _ => return Err("an entry has a kind that this version does not know"),
    };
    Ok((at, entry))
}

fn decode_intent<'a>(flags: u8, take: &mut Take<'a>) -> Option<IntentEntry<'a>> {
    let (session, definition, seq) = (take.u32()?, take.u32()?, take.varint()?);
    let same_text_as = if flags & INTENT_SAME_TEXT != 0 { Some(take.varint()?) } else { None };
    let text = if flags & INTENT_TEXT_ELSEWHERE != 0 {
        TextRef::Elsewhere(take.u32()?)
    } else {
        TextRef::Inline(take.sized()?)
    };
    let parameters = if flags & INTENT_PARAMETERS_DIGEST != 0 {
        ParametersRef::Digest { bytes: take.varint()?, sha256: take.bytes(32)?.try_into().ok()? }
    } else {
        ParametersRef::Inline(take.all())
    };
    let prepares = flags & INTENT_PREPARES != 0;
    Some(IntentEntry { session, definition, seq, same_text_as, prepares, text, parameters })
}

fn decode_outcome<'a>(flags: u8, take: &mut Take<'a>) -> Option<OutcomeEntry<'a>> {
    let session = take.u32()?;
    let status = *STATUSES.get(usize::from(take.u8()?))?;
    let (seq, duration_us, rows, bytes) = (take.varint()?, take.varint()?, take.varint()?, take.varint()?);
    let affected = if flags & OUTCOME_AFFECTED != 0 { Some(take.varint()?) } else { None };
    let masked = if flags & OUTCOME_MASKED != 0 { Some(take.sized()?).filter(|m| masked::is_valid(m))? } else { &[] };
    let code = if flags & OUTCOME_CODE != 0 { Some(std::str::from_utf8(take.all()).ok()?) } else { None };
    Some(OutcomeEntry { session, seq, status, duration_us, rows, bytes, affected, masked, code })
}

fn decode_footer(flags: u8, take: &mut Take<'_>) -> Option<Footer> {
    Some(Footer {
        count: take.u64()?,
        first_at: take.i64()?,
        last_at: take.i64()?,
        sha256: take.bytes(32)?.try_into().ok()?,
        recovered: flags & FOOTER_RECOVERED != 0,
        dropped: take.u64()?,
    })
}

#[cfg(test)]
mod tests {
    use countersign_model::Tag;
    use proptest::option::of;
    use proptest::prelude::*;

    use super::*;

    fn encoded(at: i64, entry: &Entry<'_>) -> Vec<u8> {
        let mut buf = vec![0; entry.payload_bytes_max()];
        let mut put = Put::new(&mut buf);
        entry.encode(at, &mut put);
        let n = put.finish().expect("the bound holds");
        buf.truncate(n);
        buf
    }

    fn check(at: i64, entry: &Entry<'_>) {
        let bytes = encoded(at, entry);
        assert_eq!(decode(&bytes), Ok((at, *entry)));
        for cut in 0..bytes.len() {
            // A shorter payload may only be read as something else when its last field has no length of its own.
            if let Ok((_, shorter)) = decode(&bytes[..cut]) {
                assert_ne!(shorter, *entry, "cut at {cut}");
            }
        }
    }

    proptest! {
        #[test]
        fn entries_come_back(
            at: i64,
            session: u32,
            definition: u32,
            seq: u64,
            numbers in prop::array::uniform4(any::<u64>()),
            maybe in of(any::<u64>()),
            elsewhere in of(any::<u32>()),
            digest in of(any::<[u8; 32]>()),
            a in prop::collection::vec(any::<u8>(), 0..200),
            b in prop::collection::vec(any::<u8>(), 0..200),
            code in of("[A-Z0-9]{0,8}"),
            tags in prop::collection::btree_map("[a-z]{1,5}(\\.[a-z]{1,5})?", any::<u64>(), 0..4),
            status in 0_usize..5,
            flag: bool,
        ) {
            let text = elsewhere.map_or(TextRef::Inline(&a), TextRef::Elsewhere);
            let parameters =
                digest.map_or(ParametersRef::Inline(&b), |sha256| ParametersRef::Digest { bytes: numbers[0], sha256 });
            check(at, &Entry::Intent(IntentEntry { session, definition, seq, same_text_as: maybe, prepares: seq % 2 == 0, text, parameters }));
            let tags: Vec<(Tag, u64)> = tags.iter().map(|(t, n)| (Tag::parse(t).expect("a tag"), *n)).collect();
            let masked = masked::encode(&tags);
            check(at, &Entry::Outcome(OutcomeEntry {
                session,
                seq,
                status: STATUSES[status],
                duration_us: numbers[1],
                rows: numbers[2],
                bytes: numbers[3],
                affected: maybe,
                masked: &masked,
                code: code.as_deref(),
            }));
            check(at, &Entry::Session { continued: flag, json: &a });
            check(at, &Entry::Definition { json: &a });
            check(at, &Entry::Output { session, seq, bytes: &b });
            check(at, &Entry::Event { session, json: &b });
            check(at, &Entry::Closed { session, json: &b });
            check(at, &Entry::Abandoned { session });
            check(at, &Entry::Refused { json: &b });
            check(at, &Entry::Removed { json: &b });
            let footer = Footer {
                count: seq,
                first_at: at,
                last_at: at,
                sha256: digest.unwrap_or_default(),
                recovered: flag,
                dropped: numbers[0],
            };
            check(at, &Entry::Footer(footer));
            prop_assert_eq!(encoded(at, &Entry::Footer(footer)).len(), FOOTER_PAYLOAD_BYTES);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120), kind in 0_u8..14) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = kind;
            }
            if let Ok((at, entry)) = decode(&bytes) {
                prop_assert_eq!(encoded(at, &entry), bytes);
            }
        }
    }

    #[test]
    fn statuses_keep_their_numbers() {
        for (i, status) in STATUSES.iter().enumerate() {
            assert_eq!(usize::from(status_number(*status)), i);
        }
    }
}
