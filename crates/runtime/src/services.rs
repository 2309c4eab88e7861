//! What the sessions of a gateway share: the ports, bundled. It must never implement one.

use std::sync::Arc;

use countersign_enforce::{AlertSink, Authenticator, Credentials, Locks, Recorder, Reviews, SignIns};
use countersign_model::Policy;

use crate::Route;

/// Knows the targets. Asked once for each session, so that a reload affects new sessions only.
pub trait Targets: Send + Sync {
    /// The way to a target; `None` when there is no such target.
    fn find(&self, name: &str) -> Option<Arc<Route>>;
}

/// The services behind every session. Each implementation reloads itself; the handles stay.
#[derive(Clone)]
pub struct Services {
    /// Knows who is asking.
    pub authenticator: Arc<dyn Authenticator>,
    /// Finds the accounts at the targets.
    pub credentials: Arc<dyn Credentials>,
    /// Judges.
    pub policy: Arc<dyn Policy>,
    /// Records.
    pub recorder: Arc<dyn Recorder>,
    /// Knows who is locked out.
    pub locks: Arc<dyn Locks>,
    /// Tells people.
    pub alerts: Arc<dyn AlertSink>,
    /// Knows the targets.
    pub targets: Arc<dyn Targets>,
    /// Puts actions before people; without it, what needs a review is denied.
    pub reviews: Option<Arc<dyn Reviews>>,
    /// Invites people to sign in with a browser; without it, nobody is.
    pub sign_ins: Option<Arc<dyn SignIns>>,
    /// What a denied person is told to do where the route says nothing; `None` for the default words.
    pub ask: Option<Arc<str>>,
}
