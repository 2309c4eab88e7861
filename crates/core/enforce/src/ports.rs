//! The other ports: who is asking, under which account to go on, whom to tell.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use countersign_model::{Denial, Identity, RuleId, Secret, SessionId, Severity, TargetName, Timestamp};

/// A future behind a pointer.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What a client presented to be let in.
#[derive(Debug)]
pub struct Presented {
    /// The user name that the client gave: it must fit the identity.
    pub user: String,
    /// The proof.
    pub credential: PresentedCredential,
    /// The target it wants, as it wrote it.
    pub target: String,
    /// Where the connection comes from.
    pub source: SocketAddr,
    /// True when the connection is encrypted.
    pub encrypted: bool,
}

/// The proof that a client presented.
#[derive(Debug)]
pub enum PresentedCredential {
    /// A token, such as a JWT, given where the protocol has a password or a mechanism for tokens.
    Token {
        /// The token.
        token: Secret,
        /// The end-entity certificate (DER) of the connection, where there is one: a token may be bound to it (RFC 8705, 3). The runtime
        /// sets it; machines leave it `None`.
        certificate: Option<Bytes>,
    },
    /// A client certificate, whose key the TLS handshake proved: DER, the end-entity certificate first.
    Certificate(Vec<Bytes>),
    /// A certificate in OpenSSH's form (PROTOCOL.certkeys, the blob), whose key the SSH handshake proved.
    SshCertificate(Bytes),
}

impl PresentedCredential {
    /// A token on a connection without a client certificate.
    pub fn token(token: Secret) -> Self {
        Self::Token { token, certificate: None }
    }
}

/// Whether the identity of a live session may go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It may.
    Stands,
    /// It may not: what the client is told.
    Ended(Denial),
    /// That cannot be told now.
    Unknown,
}

/// Knows who is asking. Implemented by `services/identity`, the only mint of identities.
pub trait Authenticator: Send + Sync {
    /// Verifies what was presented.
    ///
    /// # Errors
    /// A denial whose message tells the client no more than it may know; the reason is in its detail.
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Denial>>;

    /// Whether a client certificate (DER, the end-entity certificate first) is of a kind that identities are known by here. Others
    /// are left aside, as clients send whatever certificate they were set up with. Says nothing of its being valid.
    fn recognises(&self, chain: &[Bytes]) -> bool;

    /// Whether an identity that was verified before still stands: its account, its login, and, where it is configured so, its
    /// credential's time. Asked for each live session every few seconds.
    fn standing<'a>(&'a self, identity: &'a Identity, now: Timestamp) -> BoxFuture<'a, Standing>;
}

/// A sign-in that a person finishes in a browser, for a connection that has none.
#[derive(Debug)]
pub struct Invitation {
    /// The page to open, which has the code filled in.
    pub page: String,
    /// The code, for people to compare.
    pub code: String,
    /// What the answer is asked for with. It never leaves the process.
    pub ticket: Secret,
    /// How long it waits for an answer, in seconds.
    pub lifetime_s: u64,
}

/// Invites people to sign in. Implemented by `services/identity`.
pub trait SignIns: Send + Sync {
    /// Makes an invitation, for a connection from `source` that wants `purpose`, which the person is told.
    ///
    /// # Errors
    /// When nobody can sign in so, or too many were asked for.
    fn invite<'a>(
        &'a self,
        purpose: &'a str,
        source: SocketAddr,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Invitation, Denial>>;

    /// What the person said: a token, once, or nothing yet.
    ///
    /// # Errors
    /// When the person refused, or did not answer in time.
    fn answer<'a>(&'a self, ticket: &'a Secret, now: Timestamp) -> BoxFuture<'a, Result<Option<Secret>, Denial>>;
}

/// The account to use at a target. It never reaches a client.
#[derive(Clone, Debug)]
pub struct TargetCredential {
    /// The account's name.
    pub user: String,
    /// Its password; `None` where a client certificate or the network is the proof.
    pub password: Option<Secret>,
    /// Its private key, in the form that its protocol writes one; `None` where there is none.
    pub key: Option<Secret>,
    /// A certificate of that key, made for this session alone, in the form that its protocol writes one; `None` where there is none.
    pub certificate: Option<String>,
}

/// Finds the account for an identity at a target. Implemented by `services/credentials`.
pub trait Credentials: Send + Sync {
    /// The account to use. What is made for it alone names the session and does not last.
    ///
    /// # Errors
    /// When there is none for this identity, or it cannot be read.
    fn fetch<'a>(
        &'a self,
        target: &'a TargetName,
        identity: &'a Identity,
        session: SessionId,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<TargetCredential, Denial>>;
}

/// Something that people should see.
#[derive(Clone, Debug)]
pub struct Alert {
    /// When.
    pub at: Timestamp,
    /// How loud.
    pub severity: Severity,
    /// In which session; `None` for what is no session.
    pub session: Option<SessionId>,
    /// Whose.
    pub identity: String,
    /// On which target, as the client wrote it where there is no such target; empty for none.
    pub target: String,
    /// The rules that asked for it.
    pub rules: Vec<RuleId>,
    /// What it is about: a kind of action; no constants of a statement.
    pub what: String,
}

/// Takes alerts. It must not block.
pub trait AlertSink: Send + Sync {
    /// Takes one.
    fn raise(&self, alert: Alert);
}
