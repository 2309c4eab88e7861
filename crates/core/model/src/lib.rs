//! The words of Countersign as types: who asks (identity), for what (target), what is about to happen (action), what
//! policy says of it (verdict), and why not (denial).
//!
//! Pure: it must never read a clock, open a socket, or know the name of a protocol.

mod action;
mod attribute;
mod claims;
mod denial;
mod identity;
mod ids;
mod secret;
mod session;
mod target;
mod time;
mod verdict;

pub use action::{Access, Action, Fingerprint, PARAMETERS_MAX, Shape, ShapeId, Use};
pub use attribute::{Attribute, AttributeKind, AttributeSpec, Attributes, Vocabulary};
pub use claims::lasting_claims;
pub use denial::{ClientText, Culprit, Denial, DenialCode};
pub use identity::{Actor, CredentialBinding, Identity, IdentityKind, IdentityParts};
pub use ids::{RuleId, SessionId};
pub use secret::Secret;
pub use session::{Request, SessionContext};
pub use target::{RecordLevel, Target, TargetName};
pub use time::Timestamp;
pub use verdict::{Decision, Effects, Limits, Policy, Severity, Verdict};
