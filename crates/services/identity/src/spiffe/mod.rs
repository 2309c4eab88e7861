//! SPIFFE: workloads of configured trust domains, known by JWT-SVIDs and X.509-SVIDs.
//!
//! `id` reads SPIFFE IDs, `bundle` the keys of a trust domain, `jwt` and `x509` have the rules of the two documents; what they become is
//! for `mapping`, like every other token. Must never trust a document of one trust domain by the keys of another, nor a key whose use the
//! bundle does not say.

mod bundle;
mod config;
mod id;
mod jwt;
mod x509;

pub(crate) use bundle::Bundle;
pub use config::{BundleSource, SpiffeConfig};
pub(crate) use id::{SCHEME, SPIFFE_ID_BYTES_MAX, SpiffeId, subject_of};
pub(crate) use jwt::check_svid;
pub(crate) use x509::{Svid, recognises};
