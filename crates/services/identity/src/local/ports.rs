//! What the local issuer needs kept: accounts and signing keys.
//!
//! Implementations must keep private keys encrypted at rest, under a key that is not in the same store.

use std::collections::BTreeSet;

use countersign_enforce::BoxFuture;
use countersign_model::{IdentityKind, Secret, Timestamp};

/// The store failed. The text is for operators.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store failed: {0}")]
pub struct StoreFault(pub String);

/// A local account.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The subject of its tokens: never used again, so that a new account with an old name inherits nothing.
    pub id: String,
    /// Its name, compared exactly; unique without regard to case.
    pub name: String,
    /// Person, workload or AI agent.
    pub kind: IdentityKind,
    /// Its groups.
    pub groups: BTreeSet<String>,
    /// Its password or client secret as a PHC string (argon2id); `None` when it has none and only an operator can get it a token.
    pub secret_hash: Option<String>,
    /// True when it may not get a token, nor use one.
    pub disabled: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Without the hash: it is not secret enough to guess from, but nobody needs to read it.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("kind", &self.kind)
            .field("groups", &self.groups)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// Keeps accounts.
pub trait AccountStore: Send + Sync {
    /// The account with exactly this name.
    fn find_by_name<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>>;

    /// The account with this id.
    fn find_by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>>;

    /// Adds an account, or replaces the one with the same id. Fails when another id has the name, whatever its case.
    fn save<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// Removes an account; does nothing when there is none.
    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// All accounts, by name.
    fn list(&self) -> BoxFuture<'_, Result<Vec<Account>, StoreFault>>;
}

/// A signing key (ECDSA over P-256).
#[derive(Clone, Debug)]
pub struct SigningKey {
    /// Its `kid`.
    pub id: String,
    /// PKCS #8, DER.
    pub private_key: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it signs no more; it is published until its last token has ended.
    pub retired_at: Option<Timestamp>,
}

/// Keeps signing keys.
pub trait KeyStore: Send + Sync {
    /// All keys of an issuer, oldest first.
    fn load<'a>(&'a self, issuer: &'a str) -> BoxFuture<'a, Result<Vec<SigningKey>, StoreFault>>;

    /// Adds a key, or replaces the one with the same id.
    fn save<'a>(&'a self, issuer: &'a str, key: &'a SigningKey) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// Removes a key; does nothing when there is none.
    fn remove<'a>(&'a self, issuer: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>>;
}
