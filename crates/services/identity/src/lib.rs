//! Who is really asking: tokens of configured issuers become verified identities, and a small team gets an issuer of its own.
//!
//! Tokens and certificates become identities in `service`; a token becomes a certificate that is bound to a key in `doors`.
//!
//! This crate is the only one that vouches for an identity (`Identity::mint`), and it does so in one place, `mapping`. It must never
//! accept a symmetric algorithm, take a key from a token, log a token or a key, or go on when it cannot check.

mod alarms;
mod api_keys;
mod authenticator;
mod certificate;
mod check;
mod claims;
mod clones;
mod config;
mod confirmation;
mod departed;
mod derived;
mod doors;
mod dpop;
mod fetch;
mod form;
mod key_source;
mod keys;
pub mod local;
pub mod login;
mod mapping;
mod names;
mod provisioned;
mod rejection;
pub mod saml;
mod service;
mod spiffe;
mod strict_json;
mod thumbprint;
mod token;
mod token_review;
mod verified;

use std::collections::BTreeMap;

use countersign_enforce::BoxFuture;
use serde_json::Value;

pub use api_keys::{
    API_KEY_LIFETIME_S_MAX, API_KEY_LIFETIME_S_MIN, API_KEY_PREFIX, API_KEYS_OF_OWNER_MAX, ApiKey, ApiKeyContent,
    ApiKeyEnd, ApiKeyFault, ApiKeyQuery, ApiKeyStore, ApiKeyUse, KeyHolder,
};
pub use authenticator::{IssuerEntry, TokenAuthenticator};
pub use certificate::{AuthorityFault, CERTIFICATE_LIFETIME_S_MAX, IdentityAuthority};
pub use check::{Finding, FindingLevel, check};
pub use config::{
    ClaimMatch, IssuerConfig, KEYS_AGE_S_MAX, KEYS_REFRESH_S_MIN, LEEWAY_S_MAX, MappingRule, OnUnreachable,
    TOKEN_LIFETIME_S_MAX, TokenReviewConfig, Unmapped,
};
pub use doors::{
    BROWSER_SECRET_BYTES_MIN, BrowserLogin, DoorRequest, EXCHANGE_FORM_BYTES_MAX, LOGIN_LIFETIME_S_MAX, TOKEN_TYPE_X509,
};
pub use key_source::SharedKeys;
pub use keys::{Algorithm, KeySet};
pub use rejection::Rejection;
pub use service::{Clones, IdentityConfig, IdentityService, SessionLife};
pub use spiffe::{BundleSource, SpiffeConfig};
pub use token::{TOKEN_BYTES_MAX, Unverified, parse_unverified};
pub use token_review::{HELD_MAX, REVIEWED_AGAIN_S};

/// Whether an account, and the sign-in that a token is of, still stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountStanding {
    /// They do, and are what the token says of them.
    Stands,
    /// The account has another name or kind, or other groups now.
    Changed,
    /// The account is disabled or gone, or the sign-in has ended.
    Ended,
    /// That cannot be told now.
    Unknown,
}

/// The claim that holds the groups of a directory, where an issuer has one. What a token says under this name is never looked at.
pub const PROVISIONED_GROUPS_CLAIM: &str = "provisioned_groups";

/// Which groups somebody is in, where something else than their issuer's word says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provisioned {
    /// Nothing else does: as claimed.
    AsClaimed,
    /// These, and they stand.
    Groups(Vec<String>),
    /// They are switched off, or not known.
    Ended,
    /// That cannot be told now.
    Unknown,
}

/// Says whether the account behind a token still stands. Asked at every connection, also for remembered tokens, and every few seconds
/// for live sessions.
pub trait AccountCheck: Send + Sync {
    /// Whether the account with this subject stands, as a token with these claims says that it is.
    fn standing<'a>(&'a self, subject: &'a str, claims: &'a BTreeMap<String, Value>) -> BoxFuture<'a, AccountStanding>;

    /// The groups of whoever these verified claims are about, before an identity is made of them.
    fn provisioned<'a>(&'a self, claims: &'a serde_json::Map<String, Value>) -> BoxFuture<'a, Provisioned> {
        let _ = claims;
        Box::pin(std::future::ready(Provisioned::AsClaimed))
    }
}
