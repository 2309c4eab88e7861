//! The doors of API keys. What a key is lives elsewhere and is given by the binary; what it may be used for is judged with the operations.

use std::fmt;
use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Identity, Timestamp};

use crate::v1::{ApiKeyBody, ApiKeyPage, ApiKeyView, NewApiKeyView, Problem};

/// Which keys.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyList {
    /// Also those that are over.
    pub all: bool,
    /// Everybody's: policy lets the caller see them.
    pub everybody: bool,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them.
    pub limit: usize,
}

/// The end of a key.
#[derive(Clone, Debug)]
pub struct ApiKeyRevocation {
    /// Which.
    pub id: String,
    /// Why.
    pub reason: String,
    /// Whom to name as the one who did it.
    pub by: String,
    /// Anybody's: policy lets the caller.
    pub everybody: bool,
}

/// API keys as their doors need them. Where it says `everybody`, policy lets the caller.
pub trait ApiKeyDoors: Send + Sync {
    /// Makes a key of the caller.
    fn create<'a>(
        &'a self,
        caller: &'a Identity,
        new: ApiKeyBody,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<NewApiKeyView, Problem>>;

    /// Lists keys, newest first.
    fn list<'a>(
        &'a self,
        caller: &'a Identity,
        query: ApiKeyList,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<ApiKeyPage, Problem>>;

    /// Ends a key.
    fn revoke<'a>(
        &'a self,
        caller: &'a Identity,
        end: ApiKeyRevocation,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<ApiKeyView, Problem>>;
}

/// The doors, to be routed.
#[derive(Clone)]
pub struct ApiKeyDoor(pub Arc<dyn ApiKeyDoors>);

impl fmt::Debug for ApiKeyDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKeyDoor")
    }
}
