//! The recording: what happened in each session, on disk before it happens at the target, and readable afterwards.
//!
//! Each target has a journal, a folder of segments that its sessions share. A segment is a preallocated file, mapped into
//! memory; an append encodes one entry into the mapping and publishes its length last, so that an entry is in the hands of the
//! operating system when the call returns and survives `kill -9`. `docs/recording.md` describes the format.
//!
//! [`FileRecorder`] writes, [`Reader`] reads: also while a gateway writes, and from another process.
//!
//! This crate must never write a credential (none of its types can carry one), acknowledge an entry that is not written, or
//! pass over damage in silence.

mod config;
mod entry;
mod error;
mod export;
mod frame;
mod header;
mod index;
mod journal;
mod keeper;
mod mapping;
mod masked;
mod reader;
mod record;
mod recorder;
mod records;
mod recovery;
mod retention;
mod scan;
mod seal;
mod segment;
mod session;
mod shard;
mod syncer;
mod tail;
mod text;
mod timeline;
mod verify;
mod wire;

#[cfg(test)]
mod tests;

pub use config::{RecordingConfig, Retention};
pub use error::{Damage, RecordingError};
pub use export::{CsvExport, JsonLinesExport};
pub use header::{Definition, Event, SessionHeader, UseRecord};
pub use index::{SegmentInfo, SessionState, SessionSummary};
pub use reader::{Reader, SessionFilter, SessionPage};
pub use record::{
    ClosedRecord, IntentRecord, OutcomeRecord, Parameters, Record, RecordEntry, RefusedRecord, RemovedRecord,
};
pub use recorder::FileRecorder;
pub use records::{RecordFilter, Records};
pub use scan::{check_segment, segment_of};
pub use tail::{Tail, TailFrom};
pub use text::inert_json;
pub use timeline::{StatementView, TimelineItem, TimelinePage};
pub use verify::{SegmentProblem, VerifyReport};
