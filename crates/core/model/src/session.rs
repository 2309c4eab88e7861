//! What is known of a session, and the question that policy answers.

use std::net::SocketAddr;

use crate::{Identity, SessionId, Shape, Target, Timestamp};

/// The facts of a session that stay the same while it lives.
#[derive(Clone, Debug)]
pub struct SessionContext {
    /// The session.
    pub id: SessionId,
    /// Where the client's connection comes from.
    pub source: SocketAddr,
    /// True when the client's connection is encrypted.
    pub encrypted: bool,
    /// What the client says it is (`application_name` and the like): shown, never trusted.
    pub application: String,
    /// Which part of the target: a database name; empty where the protocol has no such thing.
    pub part: String,
    /// When it began.
    pub started_at: Timestamp,
}

/// The question: may this identity do this to this target, now?
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who.
    pub identity: &'a Identity,
    /// On what.
    pub target: &'a Target,
    /// In which session.
    pub session: &'a SessionContext,
    /// What.
    pub shape: &'a Shape,
    /// When.
    pub now: Timestamp,
}
