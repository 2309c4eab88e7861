//! The state that outlives the process: accounts, logins, locks, grants, signing keys, sealed secrets, what is good once, what people
//! show beside their logins, what waits for people, what was applied, what is on its way to people outside. SQLite for one gateway,
//! PostgreSQL for several, behind the same methods and one conformance suite.
//!
//! It keeps what it is given. It must never hold a key that opens what is sealed in it, wait without a limit, or answer from memory
//! when the database cannot be asked: a store that cannot be reached is an error, and its callers refuse.

mod accounts;
mod api_keys;
mod applied;
mod credential_uses;
mod directory;
mod error;
mod factors;
mod grants;
mod locks;
mod logins;
mod meta;
mod notices;
mod open;
mod reviews;
mod sealed_secrets;
mod short_lived;
mod signing_keys;

use std::fmt;
use std::future::Future;
use std::time::Duration;

use sqlx::{PgPool, SqlitePool};

pub use accounts::{ACCOUNTS_MAX, AccountRecord};
pub use api_keys::{
    API_KEYS_LIVE_MAX, API_KEYS_PAGE_MAX, ApiKeyEndRecord, ApiKeyFilter, ApiKeyRecord, ApiKeyUseRecord,
};
pub use applied::{APPLIED_BYTES_MAX, APPLIED_FILES_KEPT, APPLIED_PAGE_MAX, AppliedRecord};
pub use directory::{
    DIRECTORY_GROUPS_MAX, DIRECTORY_MEMBERS_MAX, DIRECTORY_PAGE_MAX, DIRECTORY_USERS_MAX, DirectoryChange,
    DirectoryFilter, DirectoryKind, DirectoryRecord,
};
pub use error::StoreError;
pub use grants::{GRANT_MARKS_MAX, GRANTS_LIVE_MAX, GrantEndRecord, GrantFilter, GrantMark, GrantRecord};
pub use locks::{LOCKS_LIVE_MAX, LockEndRecord, LockRecord};
pub use logins::{LOGINS_LISTED_MAX, LoginRecord};
pub use notices::{
    NOTICE_ERROR_BYTES_MAX, NOTICES_PAGE_MAX, NoticeAdded, NoticeFilter, NoticeReceiverRecord, NoticeRecord,
    notice_error,
};
pub use open::{StoreConfig, TIMEOUT_DEFAULT};
pub use reviews::{
    REVIEW_ANSWERS_MAX, REVIEW_MARKS_MAX, REVIEWS_PAGE_MAX, ReviewAnswerRecord, ReviewFilter, ReviewMark, ReviewRecord,
};
pub use sealed_secrets::{SEALED_SECRETS_MAX, SealedSecret, SealedSecretListing};
pub use short_lived::{SHORT_LIVED_KEPT_US, ShortLivedAdded, ShortLivedRecord};
pub use signing_keys::{SIGNING_KEYS_MAX, SigningKeyRecord};

use error::Fault;

/// The longest name, group list, hash or meta value, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 * 1024;
/// The longest sealed secret or key, in bytes.
pub const BLOB_BYTES_MAX: usize = 256 * 1024;

/// An open store. Cloning it shares its connections.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    /// What it is, for people; no password.
    label: String,
    timeout: Duration,
}

#[derive(Clone)]
enum Backend {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.label)
    }
}

/// Runs the same statement on whichever database it is, within the time limit. Both understand `$1`.
macro_rules! on_pool {
    ($store:expr, $what:literal, |$pool:ident| $body:expr) => {{
        let store: &$crate::Store = $store;
        store
            .within($what, async {
                match &store.backend {
                    $crate::Backend::Sqlite($pool) => $body,
                    $crate::Backend::Postgres($pool) => $body,
                }
            })
            .await
    }};
}
pub(crate) use on_pool;

impl Store {
    /// What the store is, for people: a file, or a host and database. No password.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// Asks the database something small: is it there and does it answer?
    ///
    /// # Errors
    /// When it does not, within the time limit.
    pub async fn check(&self) -> Result<(), StoreError> {
        on_pool!(self, "ask whether it is there", |pool| {
            sqlx::query("SELECT name FROM meta LIMIT 1").fetch_optional(pool).await?;
            Ok(())
        })
    }

    /// Gives the connections back. Later calls fail.
    pub async fn close(&self) {
        match &self.backend {
            Backend::Sqlite(pool) => pool.close().await,
            Backend::Postgres(pool) => pool.close().await,
        }
    }

    async fn within<T>(
        &self,
        what: &'static str,
        work: impl Future<Output = Result<T, Fault>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(fault)) => Err(fault.told(&self.label, what)),
            Err(_) => Err(StoreError::unavailable(
                &self.label,
                what,
                format!("no answer within {} ms: it is locked, overloaded or gone", self.timeout.as_millis()),
            )),
        }
    }
}

/// Refuses what is larger than its column may be.
fn fits(what: &'static str, bytes: usize, most: usize) -> Result<(), StoreError> {
    if bytes > most { Err(StoreError::Limit(format!("{what} has {bytes} bytes, at most {most}"))) } else { Ok(()) }
}
