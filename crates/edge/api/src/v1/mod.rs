//! The API of a gateway for those who run it: locks, live sessions, what was recorded. Everything in it is an *operation*: named, with a method, a path and
//! an access, known who asks, judged by policy on the target `countersign`, and recorded, before it is done.
//!
//! It must never do anything for somebody whom the gate has not let do it, and has no rights of its own.

mod call;
mod locks;
mod policies;
mod problem;
mod recordings;
mod sessions;
mod time;
mod views;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodRouter, delete, get, post};
use countersign_enforce::{AlertSink, BoxFuture, Recorder};
use countersign_locks::LockService;
use countersign_model::{Access, AttributeKind, AttributeSpec, Identity, Policy, Timestamp, Vocabulary};
use countersign_recording::Reader;
use countersign_runtime::SessionRegistry;
use countersign_store::Store;

use crate::identity::DoorRequest;
use crate::issuer::Answer;

pub use locks::would_cut;
pub use policies::{PoliciesInForce, PolicyPage, PolicyText};
pub use problem::Problem;
pub use views::{
    DryRun, LockEndView, LockPage, LockView, LoginView, NewLockBody, PartyView, SessionPage, SessionView, SiblingView,
};

/// What operations tell policy about themselves.
pub const VOCABULARY: Vocabulary = &[AttributeSpec {
    name: "operation",
    kind: AttributeKind::String,
    doc: "On target countersign: the operation of the gateway's API, such as locks.add.",
}];

/// Something that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name, in policies and records.
    pub name: &'static str,
    /// The method.
    pub method: &'static str,
    /// The path; `{id}` stands for an id.
    pub path: &'static str,
    /// What policy must allow: [`Access::Read`] or [`Access::Admin`].
    pub access: Access,
}

const fn operation(name: &'static str, method: &'static str, path: &'static str, access: Access) -> Operation {
    Operation { name, method, path, access }
}

/// Every operation.
pub const OPERATIONS: [Operation; 12] = [
    operation("locks.list", "GET", "/v1/locks", Access::Read),
    operation("locks.add", "POST", "/v1/locks", Access::Admin),
    operation("locks.dry-run", "POST", "/v1/locks/dry-run", Access::Read),
    operation("locks.show", "GET", "/v1/locks/{id}", Access::Read),
    operation("locks.remove", "DELETE", "/v1/locks/{id}", Access::Admin),
    operation("sessions.list", "GET", "/v1/sessions", Access::Read),
    operation("sessions.show", "GET", "/v1/sessions/{id}", Access::Read),
    operation("recordings.list", "GET", "/v1/recordings", Access::Read),
    operation("recordings.activity", "GET", "/v1/recordings/activity", Access::Read),
    operation("recordings.show", "GET", "/v1/recordings/{id}", Access::Read),
    operation("policies.show", "GET", "/v1/policies", Access::Read),
    operation("sessions.end", "DELETE", "/v1/sessions/{id}", Access::Admin),
];

/// Knows who asks. Given by the binary.
pub trait Callers: Send + Sync {
    /// Who it is; else the answer for them.
    fn identify(&self, request: DoorRequest) -> BoxFuture<'_, Result<Arc<Identity>, Answer>>;
}

/// What the operations work with.
#[derive(Clone)]
pub struct Desk {
    /// Knows who asks.
    pub callers: Arc<dyn Callers>,
    /// Judges.
    pub policy: Arc<dyn Policy>,
    /// Records.
    pub recorder: Arc<dyn Recorder>,
    /// Tells people.
    pub alerts: Arc<dyn AlertSink>,
    /// The locks.
    pub locks: Arc<LockService>,
    /// The live sessions of this gateway.
    pub sessions: Arc<SessionRegistry>,
    /// What was recorded.
    pub recordings: Arc<Reader>,
    /// The policies as they were loaded.
    pub policies: PoliciesInForce,
    /// Logins, and the answers to requests that may come twice.
    pub store: Store,
    /// What a denied person is told to do; `None` for the default words.
    pub ask: Option<Arc<str>>,
    /// What time it is.
    pub clock: fn() -> Timestamp,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

pub(crate) fn router(desk: Desk) -> Router {
    let desk = Arc::new(desk);
    let mut router = Router::new();
    for operation in OPERATIONS {
        let desk = desk.clone();
        let handle = move |request: Request| call::serve(desk, operation, request);
        let method: MethodRouter = match operation.method {
            "POST" => post(handle),
            "DELETE" => delete(handle),
            _ => get(handle),
        };
        router = router.route(operation.path, method);
    }
    router
}

/// Does what an operation is for, once the gate let it.
async fn perform(desk: &Desk, operation: &Operation, call: &call::Call) -> Result<call::Done, Problem> {
    match operation.name {
        "locks.list" => locks::list(desk, call).await,
        "locks.add" => locks::add(desk, call).await,
        "locks.dry-run" => locks::dry_run(desk, call).await,
        "locks.show" => locks::show(desk, call).await,
        "locks.remove" => locks::remove(desk, call).await,
        "recordings.list" => recordings::list(desk, call).await,
        "recordings.activity" => recordings::activity(desk, call).await,
        "recordings.show" => recordings::show(desk, call).await,
        "policies.show" => policies::show(desk, call),
        "sessions.list" => sessions::list(desk, call),
        "sessions.show" => sessions::show(desk, call),
        "sessions.end" => sessions::end(desk, call),
        _ => Err(Problem::not_found("there is no such operation")),
    }
}
