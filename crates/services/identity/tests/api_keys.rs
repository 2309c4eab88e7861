//! API keys: good for whoever made them, for as long as they stand, and for nothing and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::{Arc, Mutex};

use countersign_enforce::{BoxFuture, PresentedCredential, Standing};
use countersign_identity::local::{AccountStore as _, StoreFault};
use countersign_identity::{
    API_KEY_LIFETIME_S_MAX, API_KEY_LIFETIME_S_MIN, API_KEYS_OF_OWNER_MAX, ApiKey, ApiKeyEnd, ApiKeyFault, ApiKeyQuery,
    ApiKeyStore, ApiKeyUse, DoorRequest, IdentityService, KeyHolder,
};
use countersign_model::{CredentialBinding, Denial, Identity, IdentityKind, Secret, Timestamp};
use serde_json::json;
use support::at;
use support::gateway::{Gateway, HERE, Store};

/// Keys that end with the process.
#[derive(Default)]
struct Keys {
    all: Mutex<BTreeMap<String, ApiKey>>,
    down: Mutex<bool>,
    /// Uses that came to be noted.
    noted: Mutex<u32>,
    /// Notes cannot be written.
    notes_broken: Mutex<bool>,
}

impl ApiKeyStore for Keys {
    fn add<'a>(&'a self, key: &'a ApiKey, most_of_owner: u32) -> BoxFuture<'a, Result<bool, StoreFault>> {
        let mut all = self.all.lock().unwrap();
        let fits = all.len() < most_of_owner as usize;
        if fits {
            all.insert(key.id.clone(), key.clone());
        }
        Box::pin(ready(Ok(fits)))
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ApiKey>, StoreFault>> {
        let down = *self.down.lock().unwrap();
        let found = self.all.lock().unwrap().get(id).cloned();
        Box::pin(ready(if down { Err(StoreFault("it is down".to_owned())) } else { Ok(found) }))
    }

    fn list<'a>(&'a self, query: &'a ApiKeyQuery, now: Timestamp) -> BoxFuture<'a, Result<Vec<ApiKey>, StoreFault>> {
        let all = self.all.lock().unwrap();
        let wanted = all.values().rev().filter(|k| query.all || k.is_live(now)).cloned();
        Box::pin(ready(Ok(wanted.collect())))
    }

    fn note_use<'a>(&'a self, id: &'a str, used: &'a ApiKeyUse) -> BoxFuture<'a, Result<(), StoreFault>> {
        *self.noted.lock().unwrap() += 1;
        let mut all = self.all.lock().unwrap();
        let key = all.get_mut(id).filter(|_| !*self.notes_broken.lock().unwrap());
        let noted = key.map(|k| k.used = Some(used.clone()));
        Box::pin(ready(noted.ok_or_else(|| StoreFault("it is down".to_owned()))))
    }

    fn end<'a>(&'a self, id: &'a str, end: &'a ApiKeyEnd) -> BoxFuture<'a, Result<bool, StoreFault>> {
        let mut all = self.all.lock().unwrap();
        let live = all.get_mut(id).filter(|k| k.is_live(end.at));
        let ended = live.map(|k| k.ended = Some(end.clone())).is_some();
        Box::pin(ready(Ok(ended)))
    }

    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        self.all.lock().unwrap().retain(|_, k| k.expires_at >= before);
        Box::pin(ready(Ok(())))
    }
}

async fn bearer(gateway: &Gateway, name: &str, token: &str) -> Result<Arc<Identity>, Denial> {
    gateway.present(name, PresentedCredential::token(Secret::from(token.to_owned())), HERE, 1).await
}

struct World {
    store: Store,
    keys: Arc<Keys>,
    service: IdentityService,
    ana: Arc<Identity>,
}

impl World {
    async fn new() -> Self {
        let (store, keys) = (Store::new().await, Arc::new(Keys::default()));
        let gateway = store.gateway().await;
        let token = store.account("ana", IdentityKind::Human, &["dbas"]).await;
        let ana = bearer(&gateway, "ana", &token).await.unwrap();
        let Gateway { service, .. } = gateway;
        Self { store, service: service.with_api_keys(keys.clone()), keys, ana }
    }

    async fn make(&self, lifetime_s: u64) -> (String, ApiKey) {
        let scope = BTreeSet::from(["locks.list".to_owned()]);
        let made = self.service.make_api_key(&self.ana, "nightly".to_owned(), scope, lifetime_s, at(1)).await;
        let (secret, key) = made.unwrap();
        (secret.expose_str().unwrap().to_owned(), key)
    }

    /// Who comes with it: the holder, or the status and what is said.
    async fn comes(&self, authorization: &str, s: i64) -> Option<Result<KeyHolder, (u16, String)>> {
        let request = DoorRequest {
            method: "GET",
            path: "/v1/locks",
            authorization: Some(authorization),
            dpop: None,
            content_type: None,
            body: b"",
            certificate: &[],
            source: HERE.parse().unwrap(),
        };
        let holder = self.service.key_holder(&request, at(s)).await?;
        Some(holder.map_err(|reply| (reply.status, reply.body)))
    }

    async fn refused(&self, key: &str, s: i64) -> (u16, String) {
        self.comes(&format!("Bearer {key}"), s).await.unwrap().unwrap_err()
    }
}

fn end(s: i64) -> ApiKeyEnd {
    ApiKeyEnd { at: at(s), by: "ana".to_owned(), why: "lost".to_owned() }
}

#[tokio::test]
async fn its_last_use_is_noted_once_a_minute_and_only_when_it_was_good() {
    let w = World::new().await;
    let (text, key) = w.make(3600).await;
    let good = format!("Bearer {text}");
    let noted = || (*w.keys.noted.lock().unwrap(), w.keys.all.lock().unwrap()[&key.id].used.clone());
    assert_eq!(w.refused(&format!("{text}A"), 1).await.0, 401);
    assert_eq!(noted(), (0, None));
    let first = ApiKeyUse { at: at(2), from: "192.0.2.1".to_owned() };
    for (s, count, used) in [(2, 1, &first), (61, 1, &first), (62, 2, &ApiKeyUse { at: at(62), ..first.clone() })] {
        w.comes(&good, s).await.unwrap().unwrap();
        assert_eq!(noted(), (count, Some(used.clone())), "{s}");
    }
    *w.keys.notes_broken.lock().unwrap() = true;
    w.comes(&good, 200).await.unwrap().expect("a list that is late keeps nobody out");
}

#[tokio::test]
async fn a_key_stands_for_whoever_made_it() {
    let w = World::new().await;
    let (text, key) = w.make(3600).await;
    assert!(!format!("{key:?}").contains(text.rsplit_once('_').unwrap().1), "the secret is not kept");
    let holder = w.comes(&format!("bearer {text}"), 2).await.unwrap().unwrap();
    let who = &holder.identity;
    assert_eq!((who.name.as_str(), &who.groups, who.kind), ("ana", &w.ana.groups, IdentityKind::Human));
    assert_eq!((who.credential, who.token_id.as_deref()), (CredentialBinding::Bearer, Some(key.id.as_str())));
    assert_eq!((who.issued_at, who.expires_at), (at(1), at(3601)));
    assert_eq!(*holder.key, key);
    assert_eq!(w.service.key_standing(&key.id, at(3)).await, Standing::Stands);
    for none in ["Basic csk_x", "Bearer eyJhbGciOiJub25lIn0.e30.", "csk_x", "Bearer"] {
        assert!(w.comes(none, 2).await.is_none(), "{none}");
    }
    // Where tokens are taken, it is none: neither for a session nor in exchange for a certificate.
    let gateway = w.store.gateway().await;
    assert!(bearer(&gateway, "ana", &text).await.is_err());
}

#[tokio::test]
async fn a_key_is_refused_when_it_is_another_over_or_revoked() {
    let w = World::new().await;
    let (text, key) = w.make(60).await;
    let (_, other) = w.make(60).await;
    let swapped = text.replace(&key.id, &other.id);
    let tampered = format!("{}{}", &text[..text.len() - 1], if text.ends_with('A') { 'E' } else { 'A' });
    let unknown = text.replace(&key.id, "01JGV2XJ8E0000000000000000");
    let lower = text.to_lowercase();
    for forged in [swapped.as_str(), &tampered, &unknown, &lower, "csk_", &text[..40]] {
        let (status, said) = w.refused(forged, 2).await;
        assert!(status == 401 && said.contains("there is no such API key"), "{forged}: {said}");
    }
    assert!(w.comes(&format!("Bearer {text}"), 60).await.unwrap().is_ok(), "its last second");
    let (status, said) = w.refused(&text, 61).await;
    assert!(status == 401 && said.contains("expired 0 s ago"), "{said}");
    assert!(matches!(w.service.key_standing(&key.id, at(61)).await, Standing::Ended(_)));
    // The gateway's clock going back a little brings nothing back to life.
    assert!(w.refused(&text, 60).await.1.contains("expired"));

    let (text, key) = w.make(3600).await;
    w.service.end_api_key(&key.id, Some(&w.ana), &end(62)).await.unwrap();
    let (status, said) = w.refused(&text, 63).await;
    assert!(status == 401 && said.contains("was revoked") && !said.contains("lost"), "{said}");
    assert!(matches!(w.service.key_standing(&key.id, at(63)).await, Standing::Ended(_)));
    let again = w.service.end_api_key(&key.id, Some(&w.ana), &end(64)).await;
    assert!(matches!(again, Err(ApiKeyFault::Over)));
}

#[tokio::test]
async fn a_key_is_good_while_its_owner_stands_and_the_store_says_so() {
    let w = World::new().await;
    let (text, key) = w.make(3600).await;
    w.store.local.set_disabled("ana", true).await.unwrap();
    assert_eq!(w.refused(&text, 2).await.0, 401);
    assert!(matches!(w.service.key_standing(&key.id, at(2)).await, Standing::Ended(_)));
    w.store.local.set_disabled("ana", false).await.unwrap();
    assert!(w.comes(&format!("Bearer {text}"), 3).await.unwrap().is_ok());
    *w.keys.down.lock().unwrap() = true;
    assert_eq!(w.refused(&text, 4).await.0, 503, "what cannot be told is no yes");
    assert_eq!(w.service.key_standing(&key.id, at(4)).await, Standing::Unknown);
    *w.keys.down.lock().unwrap() = false;
    // Other groups, other rights: the key is of somebody who is not there any more.
    let mut ana = w.store.accounts.find_by_name("ana").await.unwrap().unwrap();
    ana.groups.clear();
    w.store.accounts.save(&ana).await.unwrap();
    assert_eq!(w.refused(&text, 5).await.0, 401);
}

#[tokio::test]
async fn keys_have_limits_and_are_ended_by_their_owners() {
    let w = World::new().await;
    let scope = || BTreeSet::from(["locks.list".to_owned()]);
    let make = async |s: u64| w.service.make_api_key(&w.ana, "x".to_owned(), scope(), s, at(1)).await;
    for bad in [0, API_KEY_LIFETIME_S_MIN - 1, API_KEY_LIFETIME_S_MAX + 1, u64::MAX] {
        assert!(matches!(make(bad).await, Err(ApiKeyFault::Lifetime)), "{bad}");
    }
    let (_, key) = make(API_KEY_LIFETIME_S_MIN).await.unwrap();
    for _ in 1..API_KEYS_OF_OWNER_MAX {
        make(API_KEY_LIFETIME_S_MAX).await.unwrap();
    }
    assert!(matches!(make(API_KEY_LIFETIME_S_MIN).await, Err(ApiKeyFault::TooMany)));

    let bob = w.store.account("bob", IdentityKind::Human, &["dbas"]).await;
    let bob = bearer(&w.store.gateway().await, "bob", &bob).await.unwrap();
    assert!(matches!(w.service.end_api_key(&key.id, Some(&bob), &end(2)).await, Err(ApiKeyFault::Unknown)));
    assert!(matches!(w.service.end_api_key("01J", None, &end(2)).await, Err(ApiKeyFault::Unknown)));
    assert_eq!(w.service.end_api_key(&key.id, None, &end(2)).await.unwrap().ended, Some(end(2)));

    let none = w.store.gateway().await.service;
    let refused = none.make_api_key(&w.ana, "x".to_owned(), scope(), 60, at(1)).await;
    assert!(matches!(refused, Err(ApiKeyFault::None)));
    assert!(json!(key.content).get("owner").is_some(), "it can be kept as text");
}
