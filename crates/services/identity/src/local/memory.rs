//! Accounts, keys and what is good once, that end with the process: for tests and throwaway gateways.
//!
//! Must behave like a real store, conflicts included.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use countersign_enforce::BoxFuture;
use countersign_model::Timestamp;
use parking_lot::Mutex;

use super::ports::{
    Account, AccountStore, Added, KeyStore, ShortLived, ShortLivedKind, ShortLivedStore, SigningKey, StoreFault,
};

/// How long what was good once is remembered after its end, in microseconds (an hour).
const KEPT_US: i64 = 3_600_000_000;

/// Accounts in memory.
#[derive(Debug, Default)]
pub struct MemoryAccounts(Mutex<BTreeMap<String, Account>>);

impl AccountStore for MemoryAccounts {
    fn find_by_name<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>> {
        let found = self.0.lock().values().find(|a| a.name == name).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn find_by_id<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Account>, StoreFault>> {
        let found = self.0.lock().get(id).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn save<'a>(&'a self, account: &'a Account) -> BoxFuture<'a, Result<(), StoreFault>> {
        let mut accounts = self.0.lock();
        let name = account.name.to_lowercase();
        let taken = accounts.values().any(|a| a.id != account.id && a.name.to_lowercase() == name);
        let saved = if taken {
            Err(StoreFault(format!("another account is named \"{}\"", account.name)))
        } else {
            accounts.insert(account.id.clone(), account.clone());
            Ok(())
        };
        Box::pin(std::future::ready(saved))
    }

    fn remove<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>> {
        self.0.lock().remove(id);
        Box::pin(std::future::ready(Ok(())))
    }

    fn list(&self) -> BoxFuture<'_, Result<Vec<Account>, StoreFault>> {
        let mut all: Vec<Account> = self.0.lock().values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Box::pin(std::future::ready(Ok(all)))
    }
}

/// Signing keys in memory.
#[derive(Debug, Default)]
pub struct MemoryKeys(Mutex<HashMap<String, Vec<SigningKey>>>);

impl KeyStore for MemoryKeys {
    fn load<'a>(&'a self, issuer: &'a str) -> BoxFuture<'a, Result<Vec<SigningKey>, StoreFault>> {
        let mut keys = self.0.lock().get(issuer).cloned().unwrap_or_default();
        keys.sort_by_key(|k| k.created_at);
        Box::pin(std::future::ready(Ok(keys)))
    }

    fn save<'a>(&'a self, issuer: &'a str, key: &'a SigningKey) -> BoxFuture<'a, Result<(), StoreFault>> {
        let mut all = self.0.lock();
        let keys = all.entry(issuer.to_owned()).or_default();
        keys.retain(|k| k.id != key.id);
        keys.push(key.clone());
        Box::pin(std::future::ready(Ok(())))
    }

    fn remove<'a>(&'a self, issuer: &'a str, id: &'a str) -> BoxFuture<'a, Result<(), StoreFault>> {
        if let Some(keys) = self.0.lock().get_mut(issuer) {
            keys.retain(|k| k.id != id);
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// What is good once, in memory.
#[derive(Debug, Default)]
pub struct MemoryShortLived(Mutex<HashMap<(ShortLivedKind, String), ShortLived>>);

impl MemoryShortLived {
    fn changed(
        &self,
        kind: ShortLivedKind,
        digest: &str,
        now: Timestamp,
        change: impl FnOnce(&mut ShortLived) -> bool,
    ) -> bool {
        let mut all = self.0.lock();
        let good = |e: &&mut ShortLived| e.consumed_at.is_none() && e.expires_at > now;
        all.get_mut(&(kind, digest.to_owned())).filter(good).is_some_and(change)
    }
}

impl ShortLivedStore for MemoryShortLived {
    fn add<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        entry: &'a ShortLived,
        most: u32,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Added, StoreFault>> {
        let mut all = self.0.lock();
        let there = all.iter().filter(|((k, _), e)| *k == kind && e.expires_at > now).count();
        let added = match all.entry((kind, digest.to_owned())) {
            Entry::Occupied(_) => Added::Taken,
            Entry::Vacant(_) if there >= most as usize => Added::Full,
            Entry::Vacant(place) => {
                place.insert(entry.clone());
                Added::Kept
            }
        };
        Box::pin(std::future::ready(Ok(added)))
    }

    fn find<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
    ) -> BoxFuture<'a, Result<Option<ShortLived>, StoreFault>> {
        let found = self.0.lock().get(&(kind, digest.to_owned())).cloned();
        Box::pin(std::future::ready(Ok(found)))
    }

    fn consume<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        let first = self.changed(kind, digest, now, |e| e.consumed_at.replace(now).is_none());
        Box::pin(std::future::ready(Ok(first)))
    }

    fn replace<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        old: &'a str,
        new: &'a str,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<bool, StoreFault>> {
        let done = self.changed(kind, digest, now, |e| {
            let same = e.content == old;
            if same {
                new.clone_into(&mut e.content);
            }
            same
        });
        Box::pin(std::future::ready(Ok(done)))
    }

    fn end<'a>(
        &'a self,
        kind: ShortLivedKind,
        digest: &'a str,
        until: Timestamp,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<(), StoreFault>> {
        let fresh = || ShortLived { content: String::new(), expires_at: until, consumed_at: None };
        self.0.lock().entry((kind, digest.to_owned())).or_insert_with(fresh).consumed_at.get_or_insert(now);
        Box::pin(std::future::ready(Ok(())))
    }

    fn purge(&self, now: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        let before = Timestamp::from_unix_us(now.unix_us().saturating_sub(KEPT_US));
        self.0.lock().retain(|_, e| e.expires_at >= before);
        Box::pin(std::future::ready(Ok(())))
    }
}
