//! The port of the locks: orders to cut off and keep out.

use std::net::SocketAddr;

use countersign_model::{Denial, IdentityParts, SessionId, TargetName, Timestamp};

use crate::BoxFuture;

/// What a lock may match: a session that is, or is about to be.
#[derive(Clone, Copy, Debug)]
pub struct Lockable<'a> {
    /// Who.
    pub identity: &'a IdentityParts,
    /// Where from.
    pub source: SocketAddr,
    /// On what.
    pub target: &'a TargetName,
    /// The session's id.
    pub session: SessionId,
}

/// Knows who is locked out. Implemented by `services/locks`.
///
/// Asked when a session begins, and for all live sessions at once when the answers changed: nothing is asked for a statement.
pub trait Locks: Send + Sync {
    /// Why it must be kept out, if it must: because a lock matches, or because nobody has been able to tell for too long. Takes no
    /// longer than a look-up in memory.
    fn keeps_out(&self, what: &Lockable<'_>, now: Timestamp) -> Option<Denial>;

    /// Resolves once the number of changes is another than `seen`, and tells it: then whoever was let in before must be looked at again.
    fn changed(&self, seen: u64) -> BoxFuture<'_, u64>;
}
