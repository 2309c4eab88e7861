//! Who is really asking: tokens of configured issuers become verified identities, and a small team gets an issuer of its own.
//!
//! This crate is the only one that vouches for an identity (`Identity::mint`), and it does so in one place, `mapping`. It must never
//! accept a symmetric algorithm, take a key from a token, log a token or a key, or go on when it cannot check.

mod authenticator;
mod check;
mod claims;
mod config;
mod fetch;
mod key_source;
mod keys;
pub mod local;
mod mapping;
mod names;
mod rejection;
mod replay;
mod strict_json;
mod token;
mod verified;

use countersign_enforce::BoxFuture;
use countersign_model::Identity;

pub use authenticator::{IssuerEntry, TokenAuthenticator};
pub use check::{Finding, FindingLevel, check};
pub use config::{
    ClaimMatch, IssuerConfig, KEYS_AGE_S_MAX, KEYS_REFRESH_S_MIN, LEEWAY_S_MAX, MappingRule, TOKEN_LIFETIME_S_MAX,
    Unmapped,
};
pub use key_source::SharedKeys;
pub use keys::{Algorithm, KeySet};
pub use rejection::Rejection;
pub use token::{TOKEN_BYTES_MAX, Unverified, parse_unverified};

/// Says whether the account and the sign-in behind a token still stand. Asked at every connection, also for remembered tokens, and
/// for live sessions.
pub trait AccountCheck: Send + Sync {
    /// False when the account of this subject is disabled or gone, when the sign-in that the token is of has ended, or when that
    /// cannot be told.
    fn stands<'a>(&'a self, identity: &'a Identity) -> BoxFuture<'a, bool>;
}
