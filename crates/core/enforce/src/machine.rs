//! A wire protocol without I/O: bytes and events in, outputs out. The runtime drives it.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_model::{Denial, Identity, Limits, Mask, Shape, Tagging, Timestamp, WatchSpec};

use crate::{CloseReason, HoldFacts, Outcome, Permit, Presented, Proposal, ReviewNotice, TargetCredential};

/// Tells which proposal a ruling belongs to, within one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalId(pub u64);

/// A connection that just came in.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Where from.
    pub source: SocketAddr,
    /// True when the listener can do TLS.
    pub tls_offered: bool,
    /// True when the client may go on without TLS (loopback, or the configuration says so).
    pub plaintext_allowed: bool,
    /// Random bytes for whatever the protocol must make unguessable.
    pub random: [u8; 32],
    /// True when the client is in this process, and who it is for is known: nothing is asked of it, and it is told what only a client of
    /// ours understands. No connection from outside is ever one.
    pub inside: bool,
}

/// What TLS settled on.
#[derive(Clone, Debug, Default)]
pub struct TlsFacts {
    /// The application protocol that was agreed on, if any.
    pub alpn: Option<Vec<u8>>,
    /// The peer's certificates (DER), the end-entity certificate first; empty where there are none. Of clients only those that the
    /// authenticator recognises: a machine need not know of others.
    pub peer_certificates: Vec<Bytes>,
}

/// The machine asks for its target.
#[derive(Clone, Debug)]
pub struct ConnectRequest {
    /// The target's name as the client wrote it.
    pub target: String,
    /// The part of it, such as a database; empty for the target's default.
    pub part: String,
    /// What the client says it is.
    pub application: String,
    /// The connect action's shape.
    pub shape: Arc<Shape>,
}

/// The target was dialled; what the machine needs to log in.
#[derive(Debug)]
pub struct Connected {
    /// The account to use.
    pub credential: TargetCredential,
    /// The part of the target to ask for, after the configuration's default was applied.
    pub part: String,
    /// True when the connection must be encrypted before anything secret is said.
    pub tls_required: bool,
    /// The label of the target, stable over its configuration's life, for what a protocol caches about it.
    pub target: Arc<str>,
    /// How the target's data is known to be sensitive.
    pub tagging: Arc<Tagging>,
    /// The keys of which the target must prove one, where its protocol has such keys.
    pub host_keys: Arc<[String]>,
}

/// What the gate allows, for the machine to carry out.
#[derive(Clone, Debug)]
pub struct Plan {
    /// For bytes that belong to the action.
    pub permit: Permit,
    /// Limits to enforce; a machine that cannot must refuse.
    pub limits: Limits,
    /// What is masked in what the client and the record see, sorted by tag; a machine that cannot must refuse.
    pub masks: Arc<[Mask]>,
    /// Who must be watching while it runs; a machine that cannot hold it must not say that it can ([`crate::Proposal::watchable`]).
    pub watch: Option<Arc<WatchSpec>>,
    /// True when result rows are to be emitted as [`Output::Rows`], too.
    pub record_rows: bool,
}

/// What a machine wants done, in order.
#[derive(Debug)]
pub enum Output {
    /// Bytes for the client.
    Client(Bytes),
    /// Judge this, then call [`Machine::on_ruling`]; if allowed it has been sent.
    Propose(ProposalId, Proposal),
    /// Bytes that belong to an admitted action.
    Follow(Permit, Bytes),
    /// A literal for the target that carries no command.
    Control(&'static [u8]),
    /// Bytes for the target while logging in; a fault after [`Output::Established`].
    Login(Bytes),
    /// Start TLS with the client. Bytes that the machine left in its input belong to the handshake.
    StartClientTls,
    /// Start TLS with the target.
    StartUpstreamTls,
    /// Find out who it is, then call [`Machine::on_identity`].
    Authenticate(Presented),
    /// Ask the gate, fetch credentials, dial; then call [`Machine::on_connected`].
    Connect(ConnectRequest),
    /// The target let us in; `account` and `target_session` are for the record.
    Established {
        /// The account at the target.
        account: String,
        /// The target's words for the session.
        target_session: String,
    },
    /// From now on `client_key`, presented on another connection, cancels what runs by sending `order` to the target.
    CancelKey {
        /// What a client presents.
        client_key: Bytes,
        /// What [`Protocol::canceller`] is given.
        order: Bytes,
    },
    /// This connection only presents a cancel key.
    Cancel(Bytes),
    /// Cancel what runs in this session: a limit was passed. Whatever comes after it waits until the target has the order, or cannot be
    /// given it in time, so that the order never meets a later statement.
    CancelOwn,
    /// An action ended.
    Outcome(u64, Outcome),
    /// Result bytes as the client saw them.
    Rows(u64, Bytes),
    /// A message was refused before it became an action: for the record.
    Rejected(Denial),
    /// Flush, then close both sides.
    Close(CloseReason, Option<Denial>),
}

/// A wire protocol's state for one client connection. No I/O, no clock, no randomness but what [`Arrival`] gave.
///
/// The driver calls an `on_` method, then [`Machine::poll_output`] until it is `None`, carrying out each output before the next.
/// A machine must bound what it keeps.
pub trait Machine: Send {
    /// Bytes from the client. Takes what it can use and leaves the rest; called again when more arrives or [`Machine::wants_client`]
    /// turns true.
    ///
    /// # Errors
    /// A fault that ends the session; the driver then calls [`Machine::on_fatal`].
    fn on_client(&mut self, b: &mut BytesMut) -> Result<(), Denial>;

    /// Bytes from the target, as [`Machine::on_client`].
    ///
    /// # Errors
    /// A fault that ends the session.
    fn on_upstream(&mut self, b: &mut BytesMut) -> Result<(), Denial>;

    /// TLS with the client is up.
    ///
    /// # Errors
    /// When what was agreed on does not fit.
    fn on_client_tls(&mut self, tls: TlsFacts) -> Result<(), Denial>;

    /// TLS with the target is up.
    ///
    /// # Errors
    /// When what was agreed on does not fit.
    fn on_upstream_tls(&mut self, tls: TlsFacts) -> Result<(), Denial>;

    /// Who it is; a refusal goes to [`Machine::on_fatal`] instead.
    fn on_identity(&mut self, identity: &Arc<Identity>);

    /// The target is dialled.
    fn on_connected(&mut self, connected: Connected);

    /// The gate allows the proposal, which is about to be sent: a literal to send just ahead of it, such as the opening of a
    /// transaction in which a limit can be kept.
    fn prelude(&mut self, _id: ProposalId, _plan: &Plan) -> Option<&'static [u8]> {
        None
    }

    /// What decides what a proposed action does, for what an approval of it is bound to. Asked only when it would be held.
    fn hold_facts(&self, _id: ProposalId) -> HoldFacts {
        HoldFacts {
            settings: Bytes::new(),
            in_transaction: false,
            cannot: Some("it needs a review, and this protocol cannot wait for people"),
        }
    }

    /// The proposal waits for people: tell the client. The ruling comes later.
    fn on_held(&mut self, _id: ProposalId, _notice: &ReviewNotice) {}

    /// The gate's answer to a proposal.
    fn on_ruling(&mut self, id: ProposalId, ruling: Result<Plan, Denial>);

    /// The target's connection ended. The machine tells the client and closes.
    fn on_upstream_end(&mut self);

    /// The session must end now: say so in the protocol's words, as far as the client's state allows, and close.
    fn on_fatal(&mut self, denial: &Denial);

    /// The gateway wants to stop: close when idle, or as soon as what runs has ended.
    fn on_drain(&mut self);

    /// The next thing to do.
    fn poll_output(&mut self) -> Option<Output>;

    /// False while the machine would leave all client bytes untouched.
    fn wants_client(&self) -> bool;

    /// True when `b`, which the machine has not taken yet, begins with a message that could still be acted on. Asked when the client
    /// is gone: a message that was cut off will never be whole.
    fn is_whole(&self, _b: &[u8]) -> bool {
        true
    }

    /// True while the target works for this session, so that a lost client's work must be cancelled there.
    fn is_busy(&self) -> bool;

    /// Gives back memory that an idle session does not need.
    fn release(&mut self) {}

    /// What time it is. The driver says so once per wake, before it hands over bytes; a machine whose decisions age needs it.
    fn on_time(&mut self, _now: Timestamp) {}
}

/// A wire protocol: makes machines. A new protocol is one implementation of this and one line in the binary.
pub trait Protocol: Send + Sync + 'static {
    /// The machine of a client's connection.
    type Machine: Machine;

    /// The protocol's name in configuration and records.
    fn name(&self) -> &'static str;

    /// Application protocols to offer in TLS, best first.
    fn alpn(&self) -> &'static [&'static [u8]];

    /// A machine for a connection that just came in.
    fn accept(&self, arrival: Arrival) -> Self::Machine;

    /// A machine without a client that gives a cancel order ([`Output::CancelKey`]) to the target; it closes when done.
    fn canceller(&self, order: Bytes, tls_required: bool) -> Self::Machine;
}
