//! Policies: Cedar text in, verdicts out.
//!
//! [`PolicySet::load`] checks policy files against the [`Language`] (what protocols, sessions and identities tell policy) and refuses
//! anything that this build cannot enforce. [`PolicyStore`] holds the set in force and answers through
//! [`countersign_model::Policy`]. The answer is total: what cannot be evaluated is a deny.
//!
//! It must never allow on an error, answer from an entry that any fact read by the policies could have changed, read a clock, or
//! know the name of a protocol.

mod absence;
mod annotation;
mod cache;
mod calendar;
mod explain;
mod facts;
mod grant;
mod head;
mod key;
mod language;
mod literal;
mod load;
mod principal;
mod probes;
mod problem;
mod reads;
mod review;
mod schema;
mod set;
mod shelf;
mod store;
mod suite;
mod tags;

pub use annotation::{RuleEffect, RuleInfo};
pub use explain::{Explanation, RuleExplanation, RuleOutcome, TagExplanation, UseExplanation};
pub use facts::Question;
pub use language::{CLAIMS_MAX, ClaimKind, ClaimSpec, Language, LanguageError};
pub use load::{FILE_BYTES_MAX, PolicyFile, RULES_MAX};
pub use principal::ACTORS_MAX;
pub use problem::PolicyProblem;
pub use set::{PolicySet, USES_MAX};
pub use store::PolicyStore;
pub use suite::{CaseReport, Classify, SuiteReport, SuiteRunner, TestSuite};

#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "tests judge invented identities and fail loudly"
)]
mod tests;
mod watched;
