//! Accounts and keys that end with the process: for tests and throwaway gateways.
//!
//! Must behave like a real store, conflicts included.

use std::collections::{BTreeMap, HashMap};

use countersign_enforce::BoxFuture;
use parking_lot::Mutex;

use super::ports::{Account, AccountStore, KeyStore, SigningKey, StoreFault};

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
