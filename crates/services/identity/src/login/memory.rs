//! Logins and uses that end with the process: for tests and throwaway gateways.
//!
//! Must behave like a real store, conflicts included.

use std::collections::{BTreeMap, HashMap};
use std::future::ready;

use countersign_enforce::BoxFuture;
use countersign_model::Timestamp;
use parking_lot::Mutex;

use super::{LOGINS_LISTED_MAX, Login, LoginEnd, LoginStore, Use, UseLedger};
use crate::local::StoreFault;

/// Logins in memory.
#[derive(Debug, Default)]
pub struct MemoryLogins(Mutex<BTreeMap<String, Login>>);

impl LoginStore for MemoryLogins {
    fn save<'a>(&'a self, login: &'a Login) -> BoxFuture<'a, Result<(), StoreFault>> {
        let mut logins = self.0.lock();
        let saved = if logins.contains_key(&login.id) {
            Err(StoreFault("there is a login with this id".to_owned()))
        } else {
            logins.insert(login.id.clone(), login.clone());
            Ok(())
        };
        Box::pin(ready(saved))
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>> {
        Box::pin(ready(Ok(self.0.lock().get(id).cloned())))
    }

    fn find_by_token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>> {
        let found = self.0.lock().values().filter(|l| l.token == token).max_by_key(|l| l.created_at).cloned();
        Box::pin(ready(Ok(found)))
    }

    fn end<'a>(&'a self, id: &'a str, end: &'a LoginEnd) -> BoxFuture<'a, Result<bool, StoreFault>> {
        let mut logins = self.0.lock();
        let ended = logins.get_mut(id).filter(|l| l.ended.is_none()).map(|l| l.ended = Some(end.clone())).is_some();
        Box::pin(ready(Ok(ended)))
    }

    fn end_by_subject<'a>(
        &'a self,
        issuer: &'a str,
        subject: &'a str,
        end: &'a LoginEnd,
    ) -> BoxFuture<'a, Result<u64, StoreFault>> {
        let mut logins = self.0.lock();
        let of_subject =
            |l: &&mut Login| l.ended.is_none() && l.identity.issuer == issuer && l.identity.subject == subject;
        let mut count = 0;
        for login in logins.values_mut().filter(of_subject) {
            login.ended = Some(end.clone());
            count += 1;
        }
        Box::pin(ready(Ok(count)))
    }

    fn list_live(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Login>, StoreFault>> {
        let mut live: Vec<Login> = self.0.lock().values().filter(|l| l.is_live(now)).cloned().collect();
        live.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let listed = if live.len() > LOGINS_LISTED_MAX {
            Err(StoreFault(format!("there are more than {LOGINS_LISTED_MAX} live logins")))
        } else {
            Ok(live)
        };
        Box::pin(ready(listed))
    }

    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        self.0.lock().retain(|_, l| l.expires_at >= before);
        Box::pin(ready(Ok(())))
    }
}

/// First uses in memory.
#[derive(Debug, Default)]
pub struct MemoryUses(Mutex<HashMap<String, Use>>);

impl UseLedger for MemoryUses {
    fn first<'a>(&'a self, first: &'a Use) -> BoxFuture<'a, Result<String, StoreFault>> {
        let mut uses = self.0.lock();
        let kept = uses.entry(first.id.clone()).or_insert_with(|| first.clone()).binding.clone();
        Box::pin(ready(Ok(kept)))
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreFault>> {
        let found = self.0.lock().get(id).map(|u| u.binding.clone());
        Box::pin(ready(Ok(found)))
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<u64, StoreFault>> {
        let mut uses = self.0.lock();
        uses.retain(|_, u| u.expires_at > now);
        Box::pin(ready(Ok(uses.len() as u64)))
    }
}
