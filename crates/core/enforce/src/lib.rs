//! The gate between what clients ask and what targets see, and the ports that the rest of the house plugs into.
//!
//! The one invariant: nothing reaches a target without a [`Cleared`]. Only [`Gate::admit`] makes one, it cannot be cloned or
//! built elsewhere, and [`Upstream::send`] consumes it. Bytes that belong to an admitted action go by [`Upstream::follow`] with
//! its [`Permit`]; bytes that carry no command are literals ([`Upstream::control`]).
//!
//! This crate must never do I/O, read a clock, or know a protocol by name.

mod act;
mod binding;
mod factors;
mod gate;
mod hold;
mod hosted;
mod locks;
mod machine;
mod masking;
mod ports;
mod proposal;
mod queue;
mod recorder;
mod reviews;
mod upstream;

pub use act::Act;
pub use binding::{ActionFacts, Digest, GrantFacts, binding};
pub use factors::{Assertion, FactorAsk, FactorChallenge, FactorProof, FactorPurpose, Factors, NoFactor, NoFactors};
pub use gate::{Admission, Gate, GateParts, Opened, Waiting};
pub use hold::Holding;
pub use hosted::{BoxWire, Call, Courier, End, Host, Hosted, Linked, Wire, propose};
pub use locks::{Lockable, Locks};
pub use machine::{Arrival, ConnectRequest, Connected, Machine, Output, Plan, ProposalId, Protocol, TlsFacts};
pub use ports::{
    Alert, AlertSink, Authenticator, BoxFuture, Credentials, Invitation, Presented, PresentedCredential, SignIns,
    Standing, TargetCredential,
};
pub use proposal::{Cleared, Permit, Proposal};
pub use queue::{OUTBOUND_SMALL_BYTES_MAX, Outbound};
pub use recorder::{
    CloseReason, Closed, Intent, Outcome, OutcomeStatus, Receipt, Recorder, Refused, ReviewStep, SessionEvent,
    SessionOpened, SessionRecorder,
};
pub use reviews::{
    Approval, Approver, HoldFacts, Leaving, PendingReview, ReviewEnd, ReviewEvent, ReviewNotice, ReviewQuestion,
    ReviewRefusal, Reviews,
};
pub use upstream::{Dialling, Passage, Pending, Upstream};
