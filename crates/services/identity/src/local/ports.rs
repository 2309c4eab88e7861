//! What the local issuer needs kept: accounts, signing keys, and what is good once.
//!
//! Implementations must keep private keys encrypted at rest, under a key that is not in the same store. What is good once must be so for
//! all gateways over the same store together.

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

/// The kinds of what is good once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShortLivedKind {
    /// An authorization code (RFC 6749, 4.1.2).
    Code,
    /// A request of a device, by its device code (RFC 8628).
    Device,
    /// The same, by the code that the person types.
    UserCode,
    /// A refresh token.
    Refresh,
    /// All that came of one sign-in: ended as a whole.
    Family,
}

impl ShortLivedKind {
    /// The word that it is kept under.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Device => "device",
            Self::UserCode => "user_code",
            Self::Refresh => "refresh",
            Self::Family => "family",
        }
    }
}

/// An entry of what is good once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShortLived {
    /// What its owner knows of it; nothing in it opens anything.
    pub content: String,
    /// From when on it is good no more.
    pub expires_at: Timestamp,
    /// When it was used up or ended.
    pub consumed_at: Option<Timestamp>,
}

/// What came of adding an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// It is kept.
    Kept,
    /// There is one with this digest, or was: nothing has changed.
    Taken,
    /// There are as many of its kind as may be: nothing has changed.
    Full,
}

/// Keeps what is good once. Each call is one step that others see whole or not at all; entries stay for at least an hour after their
/// end, so that a second use is known for one.
pub trait ShortLivedStore: Send + Sync {
    /// Adds an entry, unless there is one or there are `most` of its kind that have not ended.
    fn add<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        entry: &'a ShortLived,
        most: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Added, StoreFault>>;

    /// The entry, whether it is still good or not.
    fn find<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
    ) -> BoxFuture<'a, Result<Option<ShortLived>, StoreFault>>;

    /// Uses an entry up: true for exactly one caller, and only while it is good at `now`.
    fn consume<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>>;

    /// Puts `new` in the place of the content `old`; says whether `old` was there, good and not used up.
    fn replace<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        old: &'a str,
        new: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>>;

    /// Ends an entry for good, also one that is yet to be added: it is then taken. An earlier end stays.
    fn end<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        until: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// Removes what has ended long ago.
    fn purge(&self, now: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>>;
}
