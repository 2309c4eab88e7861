//! Protocols that bring their own server and client along, and the house that they are guests of.
//!
//! A wire protocol is a [`crate::Machine`] that the runtime drives. Where a well-kept library speaks both sides of a protocol, with
//! handshakes, encryption and channels of its own, driving it byte by byte would mean to write it again. Such a protocol is
//! [`Hosted`]: it gets the client's connection and a [`Host`], and everything that decides stays with the host: who it is, whether it
//! may connect, what is admitted, what is recorded, when it must end. It is dialled by the host, after the gate gave leave, and what the
//! gate cleared is handed out by a [`Courier`] alone.
//!
//! It must never hold a connection that the host cannot sever.

use std::sync::Arc;

use bytes::Bytes;
use countersign_model::{Denial, Identity, Secret, SessionId, Shape, Timestamp, WatchSpec};
use futures_io::{AsyncRead, AsyncWrite};

use crate::{
    Arrival, BoxFuture, Cleared, CloseReason, ConnectRequest, Connected, HoldFacts, Invitation, Outcome, Passage,
    Permit, Plan, Presented, Proposal, ReviewNotice, SessionEvent,
};

/// A connection's bytes, both ways.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection of whatever kind.
pub type BoxWire = Box<dyn Wire>;

/// A protocol with a server and a client of its own. A new one is one implementation of this and one line in the binary.
pub trait Hosted: Send + Sync + 'static {
    /// The protocol's name in configuration and records.
    fn name(&self) -> &'static str;

    /// Serves one connection until it ends, and says how it ended. Dropping the future ends it at once.
    fn serve(&self, client: BoxWire, arrival: Arrival, host: Arc<dyn Host>) -> BoxFuture<'static, End>;

    /// The bytes that tell a client why it is turned away before anything was agreed on; empty where the protocol has no such words.
    fn turn_away(&self, denial: &Denial) -> Bytes;
}

/// How a connection ended.
#[derive(Clone, Debug)]
pub struct End {
    /// Why.
    pub reason: CloseReason,
    /// The refusal behind it, if one was.
    pub denial: Option<Denial>,
}

/// What the house tells a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Close when idle, or as soon as what runs has ended.
    Drain,
    /// End now: stop what runs at the target, tell the client why, and return. Whoever takes longer than a few seconds is severed.
    End(Denial),
}

/// The house, for one connection.
pub trait Host: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Finds out who it is.
    ///
    /// # Errors
    /// A denial for the client; the host has it recorded when the connection ends.
    fn authenticate(&self, presented: Presented) -> BoxFuture<'_, Result<Arc<Identity>, Denial>>;

    /// True when people can be invited to sign in with a browser.
    fn invites(&self) -> bool;

    /// Invites the person behind this connection to sign in with a browser, once for each connection; the login's deadline is put off
    /// for as long as that may take. `purpose` is what they are told.
    ///
    /// # Errors
    /// A denial for the client: nobody can, or it was asked for too often.
    fn invite<'a>(&'a self, purpose: &'a str) -> BoxFuture<'a, Result<Invitation, Denial>>;

    /// What the person said: a token for [`Host::authenticate`], or nothing yet.
    ///
    /// # Errors
    /// A denial for the client: the person refused, or did not answer in time.
    fn answer<'a>(&'a self, invitation: &'a Invitation) -> BoxFuture<'a, Result<Option<Secret>, Denial>>;

    /// Asks the gate, fetches credentials and dials; once for each connection, after [`Host::authenticate`].
    ///
    /// # Errors
    /// Why not; it is recorded, and the connection can only end.
    fn connect(&self, request: ConnectRequest) -> BoxFuture<'_, Result<Linked, Denial>>;

    /// The target let the session in, under this account; the login's deadline is over by that.
    ///
    /// # Errors
    /// When it cannot be recorded: the session must end.
    fn established(&self, account: &str, target_session: &str) -> Result<(), Denial>;

    /// Judges a proposal and records it. Where people must decide, it waits for them, and `held` is told when they were asked; dropping
    /// the future takes the question back.
    ///
    /// # Errors
    /// Why not. Where the culprit is us, the host ends the session.
    fn admit<'a>(
        &'a self,
        proposal: Proposal,
        facts: HoldFacts,
        held: &'a (dyn Fn(&ReviewNotice) + Send + Sync),
    ) -> BoxFuture<'a, Result<(Cleared, Plan), Denial>>;

    /// Records how an admitted action ended.
    ///
    /// # Errors
    /// When it cannot be recorded: the session must end.
    fn outcome(&self, seq: u64, outcome: &Outcome) -> Result<(), Denial>;

    /// Records bytes of an admitted action as the client sees them, or as it sent them.
    ///
    /// # Errors
    /// When it cannot be recorded: the session must end.
    fn output(&self, seq: u64, bytes: &[u8]) -> Result<(), Denial>;

    /// Records something that happened to the session.
    ///
    /// # Errors
    /// When it cannot be recorded: the session must end.
    fn event(&self, event: &SessionEvent<'_>) -> Result<(), Denial>;

    /// Refuses what never became an action, for the record.
    fn rejected(&self, denial: &Denial);

    /// Whether all watch this session now who have to. Neither who asks counts, nor whoever acts for them, nor a program.
    fn is_watched(&self, by: &WatchSpec) -> bool;

    /// Who watches now and counts, by name.
    fn watchers(&self) -> Vec<String>;

    /// Returns when somebody has begun or ceased to watch since this was called.
    fn watchers_changed(&self) -> BoxFuture<'_, ()>;

    /// Waits for the next call.
    fn called(&self) -> BoxFuture<'_, Call>;
}

/// A target that the host dialled.
pub struct Linked {
    /// The connection.
    pub target: BoxWire,
    /// What hands out cleared actions for it.
    pub courier: Courier,
    /// What is needed to log in.
    pub connected: Connected,
}

/// Hands out the bytes of cleared actions, of one session and once each: the only way for a hosted protocol to them.
#[derive(Debug)]
pub struct Courier {
    session: SessionId,
}

impl Courier {
    /// Takes up work for the session that may be dialled.
    pub fn new(passage: Passage) -> Self {
        Self { session: passage.session }
    }

    /// The very bytes that were judged; `None` for an action of another session, which is a defect: the caller must end the session.
    #[must_use]
    pub fn release(&self, cleared: Cleared) -> Option<Bytes> {
        (cleared.session == self.session).then_some(cleared.frame)
    }

    /// True when bytes that belong to this permit's action may go on.
    #[must_use]
    pub fn carries(&self, permit: &Permit) -> bool {
        permit.session == self.session
    }
}

/// A proposal whose frame is its text, as that of hosted protocols mostly is.
///
/// # Errors
/// None today; see [`Proposal::new`].
pub fn propose(text: Bytes, shape: Arc<Shape>, parameters: Bytes) -> Result<Proposal, Denial> {
    Proposal::new(text.clone(), countersign_model::Action { shape, text, parameters })
}
