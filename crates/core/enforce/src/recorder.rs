//! The port of the recording: the intent before the action, the outcome after it.

use std::net::SocketAddr;

use countersign_model::{Denial, Identity, SessionContext, SessionId, Shape, Tag, Target, Timestamp, Verdict};

use crate::BoxFuture;

/// Opens recordings. Implemented by `services/recording`.
pub trait Recorder: Send + Sync {
    /// Begins the recording of a session.
    ///
    /// # Errors
    /// When it cannot be written; then the session must not begin.
    fn open(&self, session: &SessionOpened<'_>) -> Result<Box<dyn SessionRecorder>, Denial>;

    /// Records a connection that never became a session: a failed login, an unknown target, a broken handshake.
    ///
    /// # Errors
    /// When it cannot be written; the connection is refused anyway.
    fn refused(&self, refused: &Refused<'_>) -> Result<(), Denial>;
}

/// The recording of one session. Entries are in the hands of the operating system when a call returns, so that they survive
/// `kill -9` of this process. Every error ends the session.
pub trait SessionRecorder: Send {
    /// Appends what is about to happen, allowed or denied.
    fn intent(&mut self, intent: &Intent<'_>) -> Result<Receipt, Denial>;

    /// Resolves once everything up to the receipt is on the disk.
    fn durable(&self, receipt: Receipt) -> BoxFuture<'static, Result<(), Denial>>;

    /// Appends result bytes as the client saw them.
    fn output(&mut self, seq: u64, at: Timestamp, bytes: &[u8]) -> Result<(), Denial>;

    /// Appends how an intent ended.
    fn outcome(&mut self, seq: u64, at: Timestamp, duration_us: u64, outcome: &Outcome) -> Result<(), Denial>;

    /// Appends something that happened to the session itself.
    fn event(&mut self, at: Timestamp, event: &SessionEvent<'_>) -> Result<(), Denial>;

    /// Ends the recording. Dropping a recording without it leaves it "unfinished", which is what a crash looks like.
    fn close(&mut self, closed: &Closed<'_>) -> Result<(), Denial>;
}

/// What is known when a session begins.
#[derive(Clone, Copy, Debug)]
pub struct SessionOpened<'a> {
    /// Source, times, application, part of the target.
    pub context: &'a SessionContext,
    /// Who.
    pub identity: &'a Identity,
    /// On what.
    pub target: &'a Target,
}

/// A connection that never became a session.
#[derive(Clone, Copy, Debug)]
pub struct Refused<'a> {
    /// An id for it all the same, so that people can talk about it.
    pub id: SessionId,
    /// When.
    pub at: Timestamp,
    /// Where from.
    pub source: SocketAddr,
    /// Which protocol's listener it came to.
    pub protocol: &'a str,
    /// The user name as presented: unverified.
    pub user: &'a str,
    /// The target as presented: unverified.
    pub target: &'a str,
    /// Why not.
    pub denial: &'a Denial,
}

/// What is about to happen.
#[derive(Clone, Copy, Debug)]
pub struct Intent<'a> {
    /// When it was judged.
    pub at: Timestamp,
    /// The statement as it will be sent.
    pub text: &'a [u8],
    /// The earlier intent with the same text, when this runs something put in place before.
    pub same_text_as: Option<u64>,
    /// It runs nothing: it puts in place what later intents run.
    pub prepares: bool,
    /// Bound parameters as the wire had them.
    pub parameters: &'a [u8],
    /// What it means.
    pub shape: &'a Shape,
    /// What policy said, with the rules.
    pub verdict: &'a Verdict,
}

/// Proof that an intent is recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Receipt(u64);

impl Receipt {
    /// For recorders: `seq` grows by one with every intent of a session, from 1.
    pub fn new(seq: u64) -> Self {
        Self(seq)
    }

    /// The intent's number in its session.
    pub fn seq(self) -> u64 {
        self.0
    }
}

/// How an action ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeStatus {
    /// The target did it.
    Done,
    /// The target answered with an error.
    Failed,
    /// The target skipped it because an earlier one in the same pipeline failed.
    Skipped,
    /// A limit was passed; a change was undone.
    Limited,
    /// The connection ended first: it may or may not have happened.
    Lost,
    /// It was held for a review and never ran.
    Withheld,
}

impl OutcomeStatus {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Limited => "limited",
            Self::Lost => "lost",
            Self::Withheld => "withheld",
        }
    }
}

/// How an action ended, with its counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How.
    pub status: OutcomeStatus,
    /// Result rows that the client was sent.
    pub rows: u64,
    /// Bytes of those rows.
    pub bytes: u64,
    /// Rows changed, where the target said so.
    pub affected: Option<u64>,
    /// The target's own code for an error.
    pub code: Option<Box<str>>,
    /// How many values of which tags were masked; empty for most.
    pub masked: Box<[(Tag, u64)]>,
}

impl Outcome {
    /// Of what gave no rows and changed none.
    pub fn of(status: OutcomeStatus) -> Self {
        Self { status, rows: 0, bytes: 0, affected: None, code: None, masked: Box::default() }
    }
}

/// Something that happened to a session.
#[derive(Clone, Copy, Debug)]
pub enum SessionEvent<'a> {
    /// The target let us in, under this account.
    Connected {
        /// The account at the target; no secret.
        account: &'a str,
        /// The target's own words for the session, such as a process id.
        target_session: &'a str,
    },
    /// The client asked to cancel what runs.
    Cancelled,
    /// An alert was raised.
    Alert {
        /// How loud.
        severity: &'a str,
        /// The intent it is about.
        seq: u64,
    },
    /// A message was refused before it became an action.
    Rejected(&'a Denial),
    /// Something happened to an action that waits for people.
    Review {
        /// The intent it is about.
        seq: u64,
        /// The review's id; empty when it did not come to one.
        review: &'a str,
        /// What happened.
        step: ReviewStep,
        /// Who did it, by name.
        by: &'a [&'a str],
        /// Who is asked, or why it ended.
        note: Option<&'a str>,
    },
    /// An action that may only run while people watch goes on, or is held.
    Watched {
        /// The intent it is about.
        seq: u64,
        /// Whether all are there who have to be.
        on: bool,
        /// Who watches, by name.
        by: &'a [String],
    },
}

/// What happened to an action that waits for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewStep {
    /// People were asked.
    Held,
    /// It took up what an earlier session asked.
    Resumed,
    /// They said yes, the rules still allow it, and it goes on.
    Released,
    /// Somebody said no.
    Denied,
    /// It was not answered in time.
    Expired,
    /// The client took it back or left.
    Withdrawn,
    /// The gateway went away; the request stays.
    Left,
    /// It was approved and cannot go on, or could not be asked.
    Stopped,
}

impl ReviewStep {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Resumed => "resumed",
            Self::Released => "released",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
            Self::Left => "left",
            Self::Stopped => "stopped",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// The client said goodbye.
    Client,
    /// The client's connection broke.
    ClientLost,
    /// The target ended it or broke.
    Target,
    /// It was refused or ended by a rule, a limit or a protocol fault.
    Denied,
    /// The gateway is shutting down.
    Drained,
    /// Something inside failed.
    Failed,
}

impl CloseReason {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientLost => "client_lost",
            Self::Target => "target",
            Self::Denied => "denied",
            Self::Drained => "drained",
            Self::Failed => "failed",
        }
    }
}

/// The end of a session.
#[derive(Clone, Copy, Debug)]
pub struct Closed<'a> {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: CloseReason,
    /// The refusal behind it, if one was.
    pub denial: Option<&'a Denial>,
}
