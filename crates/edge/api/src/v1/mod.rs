//! The API of a gateway: everything under `/v1`. Everything in it is an *operation* of one table: named, with a method, a path, who may,
//! and what it takes and answers. For those who run the gateway it is known who asks, judged by policy on the target `countersign`, and
//! recorded, before anything is done.
//!
//! It must never do anything for somebody whom the gate has not let do it, and has no rights of its own; nor route what is not in the
//! table.

mod api_keys;
mod call;
mod configuration;
mod events;
mod factors;
mod follow;
mod grants;
mod locks;
mod notices;
mod once;
mod openapi;
mod operation;
mod operations;
mod policies;
mod problem;
mod recordings;
mod reviews;
mod sessions;
mod sql;
mod table;
mod targets;
mod time;
mod views;
mod watching;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::header;
use axum::routing::{MethodRouter, delete, get, post};
use countersign_enforce::{AlertSink, BoxFuture, Recorder, Standing};
use countersign_locks::LockService;
use countersign_model::{AttributeKind, AttributeSpec, Identity, Policy, Timestamp, Vocabulary};
use countersign_notices::Notices;
use countersign_recording::Reader;
use countersign_runtime::SessionRegistry;
use countersign_store::Store;

use crate::api_keys::ApiKeyDoor;
use crate::configuration::ConfigurationDoor;
use crate::factors::FactorDoor;
use crate::grants::GrantDoor;
use crate::identity::{self, DoorRequest, IdentityDoor};
use crate::issuer::Answer;
use crate::reviews::{ReviewDoor, ReviewVerb};
use crate::sql::SqlDoor;
use crate::targets::TargetDoor;

pub use api_keys::CallerKey;
pub(crate) use call::unidentified;
pub(crate) use events::Hub;
pub use locks::would_cut;
pub use openapi::openapi;
pub use operation::{Operation, Parameter, Place, Who};
pub use policies::{PoliciesInForce, PolicyPage, PolicyText};
pub use problem::Problem;
pub use table::{APPLIED_BYTES_MAX, APPLIED_FILES_MAX, OPERATIONS};
pub use views::{
    AddCodesBody, AddKeyBody, ApiKeyBody, ApiKeyEndView, ApiKeyOwnerView, ApiKeyPage, ApiKeyUseView, ApiKeyView,
    AppliedFile, AppliedView, ApplyBody, AskedGrantView, AskerView, AssertionBody, ChangeKind, ChangeView, CodeBody,
    CodeText, CodesView, DiffBody, DiffView, DryRun, DryRunBody, EndGrantBody, EndGrantsBody, EndedGrantsView,
    EndedView, FactorBody, FactorChallengeBody, FactorChallengeView, FactorPage, FactorUse, FactorView, FileChangeView,
    FileProblemView, GrantAskerView, GrantBody, GrantDetailView, GrantPage, GrantView, LockEndView, LockPage, LockView,
    LoginView, NewApiKeyView, NewLockBody, NoticePage, NoticeTestBody, NoticeTestView, NoticeView, OpenSqlBody,
    OperationPage, PartyView, ReceiverView, RemoveFactorBody, RequirementView, ResetFactorsBody, ResetFactorsView,
    RevertBody, ReviewBody, ReviewChallengeBody, ReviewCommentBody, ReviewPage, ReviewView, RevisionDetailView,
    RevisionPage, RevisionView, RunSqlBody, SaidView, SessionPage, SessionView, SiblingView, SqlCellView,
    SqlColumnView, SqlErrorView, SqlExportView, SqlPage, SqlResultView, SqlReviewView, SqlState, SqlStatementView,
    SqlView, TagPage, TagRuleView, TargetAccessView, TargetPage, TargetTagsView, TargetView,
};

/// What operations tell policy about themselves.
pub const VOCABULARY: Vocabulary = &[AttributeSpec {
    name: "operation",
    kind: AttributeKind::String,
    doc: "On target countersign: the operation of the gateway's API, such as locks.add.",
}];

/// Who asks.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Who it is.
    pub identity: Arc<Identity>,
    /// The API key that they came with; `None` for a login or a token, which are for every operation.
    pub key: Option<Arc<CallerKey>>,
}

/// Knows who asks. Given by the binary.
pub trait Callers: Send + Sync {
    /// Who it is; else the answer for them.
    fn identify(&self, request: DoorRequest) -> BoxFuture<'_, Result<Caller, Answer>>;

    /// Whether somebody who was let in before still stands.
    fn standing<'a>(&'a self, caller: &'a Caller, now: Timestamp) -> BoxFuture<'a, Standing>;
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
    /// What is told outside.
    pub notices: Notices,
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

/// What is behind the operations. What is not there is not routed.
#[derive(Clone, Debug)]
pub(crate) struct Behind {
    pub(crate) identity: Option<IdentityDoor>,
    pub(crate) desk: Option<Arc<Desk>>,
    pub(crate) reviews: Option<ReviewDoor>,
    pub(crate) grants: Option<GrantDoor>,
    pub(crate) api_keys: Option<ApiKeyDoor>,
    pub(crate) factors: Option<FactorDoor>,
    pub(crate) configuration: Option<ConfigurationDoor>,
    pub(crate) targets: Option<TargetDoor>,
    pub(crate) sql: Option<SqlDoor>,
    pub(crate) hub: Arc<Hub>,
}

impl Behind {
    /// The routes of all operations that something is behind.
    pub(crate) fn router(&self) -> Router {
        let mut router = Router::new();
        for operation in OPERATIONS {
            if let Some(methods) = self.methods(operation) {
                router = router.route(operation.path, methods);
            }
        }
        router
    }

    fn methods(&self, operation: &'static Operation) -> Option<MethodRouter> {
        let doors = || self.identity.as_ref().map(|d| d.0.clone());
        Some(match operation.name {
            "openapi.show" => get(|| async { ([(header::CONTENT_TYPE, "application/json")], openapi()) }),
            "login.show" => get(identity::login_facts).with_state(doors()?),
            "login.exchange" => post(identity::exchange).with_state(doors()?),
            "login.renew" => post(identity::renew).with_state(doors()?),
            "login.end" => post(identity::logout).with_state(doors()?),
            "whoami.show" => get(identity::whoami).with_state(doors()?),
            name if name.starts_with("reviews.") && self.reviews.is_none() => return None,
            name if name.starts_with("grants.") && self.grants.is_none() => return None,
            name if name.starts_with("api-keys.") && self.api_keys.is_none() => return None,
            name if name.starts_with("factors.") && self.factors.is_none() => return None,
            "targets.list" | "tags.list" if self.targets.is_none() => return None,
            name if name.starts_with("sql.") && self.sql.is_none() => return None,
            name if name.starts_with("configuration.") && self.configuration.is_none() => return None,
            _ => {
                let (desk, behind) = (self.desk.clone()?, self.clone());
                let handle = move |request: Request| call::serve(desk, behind, operation, request);
                match operation.method {
                    "POST" => post(handle),
                    "DELETE" => delete(handle),
                    _ => get(handle),
                }
            }
        })
    }
}

/// Does what an operation is for, once the gate let it.
async fn perform(
    desk: &Desk,
    behind: &Behind,
    operation: &Operation,
    call: &call::Call,
) -> Result<call::Done, Problem> {
    let nothing = || Problem::not_found("there is no such operation");
    match operation.name {
        "locks.list" => locks::list(desk, call).await,
        "locks.add" => locks::add(desk, call).await,
        "locks.dry-run" => locks::dry_run(desk, call).await,
        "locks.show" => locks::show(desk, call).await,
        "locks.remove" => locks::remove(desk, call).await,
        "notices.list" => notices::list(desk, call).await,
        "notices.test" => notices::test(desk, call).await,
        "notices.retry" => notices::retry(desk, call).await,
        "recordings.list" => recordings::list(desk, call).await,
        "recordings.activity" => recordings::activity(desk, call).await,
        "recordings.show" => recordings::show(desk, call).await,
        "operations.list" => operations::list(desk, call),
        "policies.show" => policies::show(desk),
        "sessions.list" => sessions::list(desk, call),
        "sessions.show" => sessions::show(desk, call),
        "sessions.end" => sessions::end(desk, call),
        name if name.starts_with("api-keys.") => {
            let doors = &*behind.api_keys.as_ref().ok_or_else(nothing)?.0;
            match name {
                "api-keys.create" => api_keys::create(doors, call).await,
                "api-keys.list" => api_keys::list(doors, call).await,
                "api-keys.revoke" => api_keys::revoke(doors, call).await,
                _ => Err(nothing()),
            }
        }
        "targets.list" | "tags.list" => {
            let doors = &*behind.targets.as_ref().ok_or_else(nothing)?.0;
            targets::serve(doors, operation, call)
        }
        name if name.starts_with("sql.") => {
            let doors = &*behind.sql.as_ref().ok_or_else(nothing)?.0;
            sql::serve(doors, operation, call).await
        }
        name if name.starts_with("configuration.") => {
            let doors = &*behind.configuration.as_ref().ok_or_else(nothing)?.0;
            configuration::serve(doors, operation, call).await
        }
        name if name.starts_with("factors.") => {
            let doors = &*behind.factors.as_ref().ok_or_else(nothing)?.0;
            factors::serve(doors, operation, call).await
        }
        name if name.starts_with("grants.") => {
            let doors = &*behind.grants.as_ref().ok_or_else(nothing)?.0;
            grants::serve(doors, operation, call).await
        }
        name => {
            let doors = &*behind.reviews.as_ref().ok_or_else(nothing)?.0;
            let verb = match name {
                "reviews.list" => return reviews::list(doors, operation, call).await,
                "reviews.show" => return reviews::show(doors, operation, call).await,
                "reviews.challenge" => return reviews::challenge(doors, operation, call).await,
                "reviews.approve" => ReviewVerb::Approve,
                "reviews.deny" => ReviewVerb::Deny,
                "reviews.comment" => ReviewVerb::Comment,
                "reviews.withdraw" => ReviewVerb::Withdraw,
                _ => return Err(nothing()),
            };
            reviews::act(doors, operation, call, verb).await
        }
    }
}
