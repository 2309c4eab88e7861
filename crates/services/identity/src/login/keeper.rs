//! Logins as they are asked about at every connection and, for each live session, every few seconds.
//!
//! An answer of the store is kept for a moment, so that a crowd of sessions of one login costs one question. Must never keep it longer:
//! a login that was ended on another gateway is ended here after that moment.

use std::collections::HashMap;
use std::sync::Arc;

use countersign_model::Timestamp;
use parking_lot::Mutex;

use super::{Login, LoginEnd, LoginStore};
use crate::Rejection;
use crate::local::StoreFault;

/// How long the store's answer about a login is kept, in milliseconds.
pub const LOGIN_KEPT_MS: u64 = 500;
/// The most answers kept; with more, all are forgotten.
pub const LOGINS_KEPT_MAX: usize = 16_384;
/// How long a login is kept after its time, in seconds (7 days): so that what happened can be looked up.
const SWEPT_AFTER_S: i64 = 7 * 86_400;

type Kept = HashMap<String, (Timestamp, Option<Arc<Login>>)>;

/// Logins with a short memory.
pub(crate) struct Logins {
    store: Arc<dyn LoginStore>,
    kept: Mutex<Kept>,
}

impl Logins {
    pub(crate) fn new(store: Arc<dyn LoginStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    /// The login with this id, as the store has it or had it a moment ago.
    pub(crate) async fn find(&self, id: &str, now: Timestamp) -> Result<Option<Arc<Login>>, Rejection> {
        let kept = self.kept.lock().get(id).cloned();
        if let Some((at, login)) = kept
            && at <= now
            && now.since_us(at) < LOGIN_KEPT_MS.saturating_mul(1000)
        {
            return Ok(login);
        }
        let login = self.store.find(id).await.map_err(unknown)?.map(Arc::new);
        let mut kept = self.kept.lock();
        if kept.len() >= LOGINS_KEPT_MAX {
            kept.clear();
        }
        kept.insert(id.to_owned(), (now, login.clone()));
        Ok(login)
    }

    /// The login that came of a token, as the store has it now.
    pub(crate) async fn find_by_token(&self, token: &str) -> Result<Option<Login>, Rejection> {
        self.store.find_by_token(token).await.map_err(unknown)
    }

    pub(crate) async fn save(&self, login: &Login) -> Result<(), Rejection> {
        self.kept.lock().remove(&login.id);
        self.store.save(login).await.map_err(unknown)
    }

    /// Ends a login; says whether it was this call that did.
    pub(crate) async fn end(&self, id: &str, why: &str, now: Timestamp) -> Result<bool, Rejection> {
        let ended = self.store.end(id, &LoginEnd { at: now, why: why.to_owned() }).await.map_err(unknown);
        self.kept.lock().remove(id);
        ended
    }

    /// Removes those that are long over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        let before = now.unix_us().saturating_sub(SWEPT_AFTER_S.saturating_mul(1_000_000));
        self.store.sweep(Timestamp::from_unix_us(before)).await.map_err(unknown)
    }
}

fn unknown(fault: StoreFault) -> Rejection {
    Rejection::LoginUnknown(fault.to_string())
}
