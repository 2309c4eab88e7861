//! Logins: what a verified token became, for as long as its certificates are good; and which key a token was first used with.
//!
//! A certificate carries no rights: the login does, and whoever ends it ends all of its certificates and sessions. Must never keep a
//! token or a private key, nor take an answer that the store could not give for a yes.

mod keeper;
mod memory;
mod uses;

use countersign_enforce::BoxFuture;
use countersign_model::{IdentityParts, Timestamp};

use crate::local::StoreFault;

pub(crate) use keeper::Logins;
pub use keeper::{LOGIN_KEPT_MS, LOGINS_KEPT_MAX};
pub use memory::{MemoryLogins, MemoryUses};
pub use uses::{Use, UseLedger};
pub(crate) use uses::{Uses, digest_of};

/// The most live logins that a list holds; more is an error, because a cut list would look whole.
pub const LOGINS_LISTED_MAX: usize = 50_000;

/// One login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Its id, a ULID.
    pub id: String,
    /// Who logged in, as verified then.
    pub identity: IdentityParts,
    /// The thumbprint of the key that all of its certificates are for (RFC 7638, SHA-256, base64url).
    pub key: String,
    /// The digest of what the token's issuer signed (SHA-256, base64url): the same token leads to the same login.
    pub token: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// Who ended it before that.
    pub ended: Option<LoginEnd>,
}

/// An end before the time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginEnd {
    /// When.
    pub at: Timestamp,
    /// Why, for operators.
    pub why: String,
}

impl Login {
    /// True while its certificates may be used.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires_at
    }
}

/// Keeps logins, for all gateways.
pub trait LoginStore: Send + Sync {
    /// Adds a login. Fails when there is one with its id.
    fn save<'a>(&'a self, login: &'a Login) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// The login with this id.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>>;

    /// The latest login that came of this token (its digest).
    fn find_by_token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>>;

    /// Ends a login unless it has ended; says whether it did.
    fn end<'a>(&'a self, id: &'a str, end: &'a LoginEnd) -> BoxFuture<'a, Result<bool, StoreFault>>;

    /// Ends every login of this subject that has not ended; says how many.
    fn end_by_subject<'a>(
        &'a self,
        issuer: &'a str,
        subject: &'a str,
        end: &'a LoginEnd,
    ) -> BoxFuture<'a, Result<u64, StoreFault>>;

    /// The logins that are live, oldest first; fails when there are more than [`LOGINS_LISTED_MAX`].
    fn list_live(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Login>, StoreFault>>;

    /// Removes the logins that ended by themselves before this time.
    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>>;
}
