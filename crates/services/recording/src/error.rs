//! What can go wrong with a recording, for operators: which file, what was tried, what to do.

use std::io;
use std::path::{Path, PathBuf};

use countersign_model::{ClientText, Culprit, Denial, DenialCode};

/// Bytes of a segment that cannot be what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// Where in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// A failure of the recorder or the reader.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The operating system refused.
    #[error("cannot {tried} {path}: {source}; check that the folder exists, is writable and has space")]
    Io {
        /// What was tried, as a verb.
        tried: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A segment is not what was written.
    #[error(
        "{path} is damaged at byte {offset}: {what}; keep the file, run `countersign sessions verify`, and restore it from a copy"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// What a [`crate::SegmentProblem`] says.
    #[error("{0}")]
    Unreadable(String),
    /// Another gateway writes this folder.
    #[error("{path} is in use by another gateway; give each gateway its own recording folder")]
    Locked {
        /// The folder.
        path: PathBuf,
    },
    /// The recorder was shut down.
    #[error("the recorder has stopped, because the gateway is stopping; start the gateway again")]
    Stopped,
    /// A setting is outside its limits.
    #[error("recording: {setting} is {given}, but must be {must}")]
    Setting {
        /// Which setting.
        setting: &'static str,
        /// What it is.
        given: String,
        /// What it must be.
        must: String,
    },
    /// There is no such session.
    #[error(
        "no session {id} is recorded under {path}; `countersign sessions list` shows what is kept (retention may have removed it)"
    )]
    NoSession {
        /// Which one was asked for.
        id: String,
        /// Where was looked.
        path: PathBuf,
    },
    /// A value of an export could not be written.
    #[error("cannot write the export: {0}")]
    Export(#[source] io::Error),
}

impl RecordingError {
    pub(crate) fn io(tried: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { tried, path, source }
    }

    pub(crate) fn damaged(path: &Path, damage: &Damage) -> Self {
        Self::Damaged { path: path.to_owned(), offset: damage.offset, what: damage.what }
    }
}

/// The denial that ends a session whose recording cannot be written. The client learns only that; operators learn the cause.
pub(crate) fn unavailable(cause: impl std::fmt::Display) -> Denial {
    Denial::new(
        Culprit::Us,
        DenialCode::RecorderUnavailable,
        ClientText::new("this session cannot be recorded, so it cannot go on"),
    )
    .hint(ClientText::new("Tell the operators of Countersign; their log names the cause."))
    .detail(cause)
}

/// The denial for something that is too large to be recorded.
pub(crate) fn oversize(what: &'static str, bytes: usize, bytes_max: usize) -> Denial {
    Denial::new(
        Culprit::Client,
        DenialCode::Oversize,
        ClientText::new(what)
            .and(" is too large to be recorded: ")
            .number(bytes as u64)
            .and(" bytes, and the most is ")
            .number(bytes_max as u64),
    )
}
