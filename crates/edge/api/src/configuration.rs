//! The doors of what is applied: targets, policies and tags that a repository owns. What the files mean lives elsewhere and is given by
//! the binary.

use std::fmt;
use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Policy, Timestamp};

use crate::v1::{AppliedFile, AppliedView, DiffView, Problem, RevisionDetailView, RevisionPage};

/// Whether some policies would let the caller apply.
pub type MayApply = Arc<dyn Fn(&dyn Policy) -> bool + Send + Sync>;

/// What is to be applied.
pub enum Wanted {
    /// These files.
    Files(Vec<AppliedFile>),
    /// Those of a revision.
    Revision(u64),
}

/// An order to apply something.
pub struct Apply {
    /// What.
    pub wanted: Wanted,
    /// The revision that it follows.
    pub base: u64,
    /// What is said of it.
    pub message: String,
    /// Apply it even if the caller could not apply anything after it.
    pub allow_lock_out: bool,
    /// Whom to name as the one who did it.
    pub by: String,
    /// Whether some policies would let the caller apply.
    pub may: MayApply,
    /// When.
    pub now: Timestamp,
}

impl fmt::Debug for Apply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Apply(after {}, by {})", self.base, self.by)
    }
}

/// What is applied, as its doors need it.
pub trait ConfigurationDoors: Send + Sync {
    /// Revisions that are older than `before`, latest first.
    fn list(&self, before: Option<u64>, limit: usize) -> BoxFuture<'_, Result<RevisionPage, Problem>>;

    /// A revision with its files.
    fn show(&self, revision: u64) -> BoxFuture<'_, Result<RevisionDetailView, Problem>>;

    /// What something would change: of the latest revision, or of another one.
    fn diff(&self, wanted: Wanted, from: Option<u64>, may: MayApply) -> BoxFuture<'_, Result<DiffView, Problem>>;

    /// Checks it and puts it in force.
    fn apply(&self, order: Apply) -> BoxFuture<'_, Result<AppliedView, Problem>>;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct ConfigurationDoor(pub Arc<dyn ConfigurationDoors>);

impl fmt::Debug for ConfigurationDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConfigurationDoor")
    }
}
