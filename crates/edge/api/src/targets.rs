//! The doors of targets and tags. What a caller may do with a target is for policies to say, and given by the binary.

use std::fmt;
use std::sync::Arc;

use countersign_model::{Identity, SessionContext, TargetName, Timestamp};

use crate::v1::{TagPage, TargetPage};

/// Which targets.
#[derive(Clone, Debug)]
pub struct TargetQuery {
    /// Who asks.
    pub caller: Arc<Identity>,
    /// The session that they ask in.
    pub session: SessionContext,
    /// All of them: policy lets the caller see what is not theirs to use.
    pub everybody: bool,
    /// Only those whose names come after this one.
    pub after: Option<TargetName>,
    /// The most of them.
    pub limit: usize,
    /// When.
    pub now: Timestamp,
}

/// Targets and tags as their doors need them.
pub trait TargetDoors: Send + Sync {
    /// The targets that the caller may connect to, or ask for access to.
    fn list(&self, query: &TargetQuery) -> TargetPage;

    /// The rules about tags.
    fn tags(&self) -> TagPage;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct TargetDoor(pub Arc<dyn TargetDoors>);

impl fmt::Debug for TargetDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TargetDoor")
    }
}
