//! The HTTP side of a gateway: health, readiness, metrics, the doors of identity and of the local issuer, and the API for those
//! who run it.
//!
//! It answers; it decides nothing. It must never show a secret, a reason that only operators may read, or anything about sessions to
//! somebody who has not logged in; nor take a password over an open wire from another machine.

mod api_keys;
mod configuration;
mod factors;
mod grants;
mod identity;
mod issuer;
mod problem;
mod prometheus;
mod ready;
mod reviews;
mod router;
mod scim;
mod serve;
mod sql;
mod targets;
mod v1;

pub use api_keys::{ApiKeyDoor, ApiKeyDoors, ApiKeyList, ApiKeyRevocation};
pub use configuration::{Apply, ConfigurationDoor, ConfigurationDoors, MayApply, Wanted};
pub use factors::{FactorCall, FactorDoor, FactorDoors};
pub use grants::{GrantCall, GrantDoor, GrantDoors, GrantQuery};
pub use identity::{DoorRequest, IDENTITY_FORM_BYTES_MAX, IdentityDoor, IdentityDoors, KnownCaller};
pub use issuer::{
    Answer, FormEndpoint, IssuerDoor, LocalIssuer, PAGE_QUERY_BYTES_MAX, Page, PageForm, TOKEN_FORM_BYTES_MAX,
    TokenForm, is_same_origin, may_send_secrets,
};
pub use prometheus::{Metrics, MetricsError};
pub use ready::{Check, READY_CHECK_TIMEOUT, READY_KEPT};
pub use reviews::{ReviewDoor, ReviewDoors, ReviewQuery, ReviewVerb};
pub use router::{Api, Pages};
pub use scim::{SCIM_BODY_BYTES_MAX, SCIM_PATH, ScimCall, ScimDoor, ScimDoors};
pub use serve::{
    CONNECTION_LIFETIME_MAX, HEADER_BYTES_MAX, HEADER_TIMEOUT_DEFAULT, Peer, REQUEST_TIMEOUT_DEFAULT, ServeOptions,
    TlsSource, serve,
};
pub use sql::{SqlCaller, SqlDoor, SqlDoors};
pub use targets::{TargetDoor, TargetDoors, TargetQuery};
pub use v1::{
    APPLIED_BYTES_MAX, APPLIED_FILES_MAX, AddCodesBody, AddKeyBody, ApiKeyBody, ApiKeyEndView, ApiKeyOwnerView,
    ApiKeyPage, ApiKeyUseView, ApiKeyView, AppliedFile, AppliedView, ApplyBody, AskedGrantView, AskerView,
    AssertionBody, Caller, CallerKey, Callers, ChangeKind, ChangeView, CodeBody, CodeText, CodesView, Desk, DiffBody,
    DiffView, DryRun, DryRunBody, EndGrantBody, EndGrantsBody, EndedGrantsView, EndedView, FactorBody,
    FactorChallengeBody, FactorChallengeView, FactorPage, FactorUse, FactorView, FileChangeView, FileProblemView,
    GrantAskerView, GrantBody, GrantDetailView, GrantPage, GrantView, LockEndView, LockPage, LockView, LoginView,
    NewApiKeyView, NewLockBody, NoticePage, NoticeTestBody, NoticeTestView, NoticeView, OPERATIONS, OpenSqlBody,
    Operation, OperationPage, Parameter, PartyView, Place, PoliciesInForce, PolicyPage, PolicyText, Problem,
    ReceiverView, RemoveFactorBody, RequirementView, ResetFactorsBody, ResetFactorsView, RevertBody, ReviewBody,
    ReviewChallengeBody, ReviewCommentBody, ReviewPage, ReviewView, RevisionDetailView, RevisionPage, RevisionView,
    RunSqlBody, SaidView, SessionPage, SessionView, SiblingView, SqlCellView, SqlColumnView, SqlErrorView,
    SqlExportView, SqlPage, SqlResultView, SqlReviewView, SqlState, SqlStatementView, SqlView, TagPage, TagRuleView,
    TargetAccessView, TargetPage, TargetTagsView, TargetView, VOCABULARY, Who, openapi, would_cut,
};
