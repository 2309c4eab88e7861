//! The words of Countersign as types: who asks (identity), for what (target), what is about to happen (action), what
//! policy says of it (verdict), and why not (denial).
//!
//! Pure: it must never read a clock, open a socket, or know the name of a protocol.

mod action;
mod attribute;
mod claims;
mod denial;
mod grant;
mod identity;
mod ids;
mod mask;
mod probe;
mod review;
mod secret;
mod seen;
mod session;
mod tag;
mod target;
mod time;
mod verdict;
mod watch;

pub use action::{Access, Action, Fingerprint, PARAMETERS_MAX, Shape, ShapeId, Use};
pub use attribute::{Attribute, AttributeKind, AttributeSpec, Attributes, Vocabulary};
pub use claims::lasting_claims;
pub use denial::{ClientText, Culprit, Denial, DenialCode};
pub use grant::{GrantSpec, Grants, HeldGrant, Taking};
pub use identity::{Actor, CredentialBinding, Identity, IdentityKind, IdentityParts};
pub use ids::{RuleId, SessionId};
pub use mask::{KEPT_CHARS_MAX, Mask, Transform, UnknownTransform};
pub use probe::{Exposure, NotARate, Probe, ProbeRefusal, RATE_COUNT_MAX, RATE_WINDOW_MAX_S, Rate, Withheld};
pub use review::{Factor, FactorUsed, Requirement, ReviewSpec};
pub use secret::Secret;
pub use seen::acts_on_readers;
pub use session::{Request, SessionContext};
pub use tag::{Disclosure, TAG_BYTES_MAX, Tag, TagRule, Tagging};
pub use target::{GATEWAY_TARGET, RecordLevel, Target, TargetName};
pub use time::{Timestamp, civil_from_days, days_from_civil};
pub use verdict::{Decision, Effects, Limits, Policy, Severity, Verdict};
pub use watch::WatchSpec;
