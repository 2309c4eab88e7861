//! A record as readers see it: one entry with everything that it referred to.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use countersign_model::{Denial, SessionId, Tag, Timestamp};
use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::header::{Definition, Event, SessionHeader};

/// One entry of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When.
    pub at: Timestamp,
    /// The session, except for refused connections and removals.
    pub header: Option<Arc<SessionHeader>>,
    /// What.
    pub entry: RecordEntry,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RecordEntry {
    /// The session began.
    Opened,
    /// The session goes on in another segment; written so that each segment is readable by itself.
    Continued,
    /// Something was about to happen.
    Intent(IntentRecord),
    /// Result bytes as the client saw them, in the target's protocol.
    Output {
        /// The intent that they answer.
        seq: u64,
        /// The bytes.
        #[serde(rename = "bytes_base64", serialize_with = "base64")]
        bytes: Vec<u8>,
    },
    /// An intent ended.
    Outcome(OutcomeRecord),
    /// Something happened to the session.
    Event(Event),
    /// The session ended.
    Closed(ClosedRecord),
    /// The session's recording was dropped without an end.
    Abandoned,
    /// A connection never became a session.
    Refused(RefusedRecord),
    /// Retention removed a segment.
    Removed(RemovedRecord),
}

/// Something that was about to happen, allowed or denied.
#[derive(Clone, Debug, PartialEq)]
pub struct IntentRecord {
    /// Its number in the session, from 1.
    pub seq: u64,
    /// The statement as it was to be sent; not always UTF-8.
    pub text: Vec<u8>,
    /// The earlier intent with the same text, when this ran something put in place before.
    pub same_text_as: Option<u64>,
    /// It ran nothing: it put in place what later intents, which name it, ran.
    pub prepares: bool,
    /// Bound parameters.
    pub parameters: Parameters,
    /// What it meant and what policy said.
    pub definition: Arc<Definition>,
}

/// Bound parameters as the wire had them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parameters {
    /// All of them; empty when there were none.
    Kept(Vec<u8>),
    /// They were larger than what is kept.
    Digest {
        /// Their length in bytes.
        bytes: u64,
        /// Their SHA-256.
        sha256: [u8; 32],
    },
}

/// How an intent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutcomeRecord {
    /// Which intent.
    pub seq: u64,
    /// `done`, `failed`, `skipped`, `limited`, `lost` or `withheld`.
    pub status: &'static str,
    /// Microseconds from the intent to its end.
    pub duration_us: u64,
    /// Result rows that the client was sent.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Rows changed, where the target said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affected: Option<u64>,
    /// How many values of which tags were masked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<Tag, u64>,
    /// The target's code for an error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClosedRecord {
    /// `client`, `client_lost`, `target`, `denied`, `drained` or `failed`.
    pub reason: String,
    /// The refusal behind it, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub denial: Option<Denial>,
}

/// A connection that never became a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RefusedRecord {
    /// Its id.
    pub id: SessionId,
    /// Where it came from.
    pub source: SocketAddr,
    /// Which protocol's listener it came to.
    pub protocol: String,
    /// The user name as presented, cut at 256 characters: unverified.
    pub user: String,
    /// The target as presented, cut at 256 characters: unverified.
    pub target: String,
    /// Why not.
    pub denial: Denial,
}

/// A segment that retention removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemovedRecord {
    /// The journal: a target's name, or `_refused`.
    pub journal: String,
    /// The segment's number.
    pub number: u64,
    /// Its entries.
    pub entries: u64,
    /// Its bytes.
    pub bytes: u64,
    /// Its first entry.
    pub first_at: Timestamp,
    /// Its last entry.
    pub last_at: Timestamp,
    /// SHA-256 of its content, in hexadecimal: what its footer said.
    pub sha256: String,
    /// `age` or `budget`.
    pub reason: String,
}

fn base64<S: Serializer>(bytes: &[u8], s: S) -> Result<S::Ok, S::Error> {
    s.serialize_str(&BASE64.encode(bytes))
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
        use std::fmt::Write;
        // Writing to a String cannot fail.
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// Adds a text that need not be UTF-8: as it reads, and besides in base64 where that loses something.
pub(crate) fn text_fields<M: SerializeMap>(map: &mut M, text: &[u8]) -> Result<(), M::Error> {
    let shown = String::from_utf8_lossy(text);
    map.serialize_entry("text", &shown)?;
    if matches!(shown, std::borrow::Cow::Owned(_)) {
        map.serialize_entry("text_base64", &BASE64.encode(text))?;
    }
    Ok(())
}

/// Adds parameters, when there are any.
pub(crate) fn parameter_fields<M: SerializeMap>(map: &mut M, parameters: &Parameters) -> Result<(), M::Error> {
    match parameters {
        Parameters::Kept(bytes) if bytes.is_empty() => Ok(()),
        Parameters::Kept(bytes) => map.serialize_entry("parameters_base64", &BASE64.encode(bytes)),
        Parameters::Digest { bytes, sha256 } => {
            map.serialize_entry("parameters_bytes", bytes)?;
            map.serialize_entry("parameters_sha256", &hex(sha256))
        }
    }
}

impl Serialize for IntentRecord {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut map = s.serialize_map(None)?;
        map.serialize_entry("seq", &self.seq)?;
        text_fields(&mut map, &self.text)?;
        if let Some(seq) = self.same_text_as {
            map.serialize_entry("same_text_as", &seq)?;
        }
        if self.prepares {
            map.serialize_entry("prepares", &true)?;
        }
        parameter_fields(&mut map, &self.parameters)?;
        definition_fields(&mut map, &self.definition)?;
        map.end()
    }
}

/// Adds what a statement meant and what policy said of it.
pub(crate) fn definition_fields<M: SerializeMap>(map: &mut M, d: &Definition) -> Result<(), M::Error> {
    map.serialize_entry("kind", &d.kind)?;
    map.serialize_entry("access", &d.access)?;
    map.serialize_entry("fingerprint", &d.fingerprint)?;
    map.serialize_entry("uses", &d.uses)?;
    if let Some(why) = &d.unreadable {
        map.serialize_entry("unreadable", why)?;
    }
    map.serialize_entry("decision", &d.verdict.decision)?;
    map.serialize_entry("rules", &d.verdict.rules)?;
    map.serialize_entry("effects", &d.verdict.effects)?;
    if let Some(reason) = &d.verdict.reason {
        map.serialize_entry("reason", reason)?;
    }
    if !d.verdict.denied_for.is_empty() {
        map.serialize_entry("denied_for", &d.verdict.denied_for)?;
    }
    map.serialize_entry("epoch", &d.verdict.epoch)
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            at: String,
            at_unix_us: i64,
            #[serde(skip_serializing_if = "Option::is_none")]
            session: Option<SessionId>,
            #[serde(skip_serializing_if = "Option::is_none")]
            identity: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            target: Option<&'a str>,
            #[serde(flatten)]
            entry: &'a RecordEntry,
            #[serde(skip_serializing_if = "Option::is_none")]
            header: Option<&'a SessionHeader>,
        }
        let header = self.header.as_deref();
        Line {
            at: self.at.rfc3339(),
            at_unix_us: self.at.unix_us(),
            session: header.map(|h| h.id),
            identity: header.map(|h| h.identity.name.as_str()),
            target: header.map(|h| h.target.as_str()),
            entry: &self.entry,
            header: header.filter(|_| matches!(self.entry, RecordEntry::Opened)),
        }
        .serialize(s)
    }
}
