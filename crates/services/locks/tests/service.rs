//! Locks over a real store: taken, ended, over, shared between gateways, and out of reach.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use countersign_enforce::{Alert, AlertSink, Lockable, Locks};
use countersign_locks::*;
use countersign_model::*;
use countersign_store::{LockRecord, Store, StoreConfig};

#[derive(Default)]
struct Alerts(Mutex<Vec<Alert>>);

impl AlertSink for Alerts {
    fn raise(&self, alert: Alert) {
        self.0.lock().unwrap().push(alert);
    }
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(s)
}

async fn store(path: &Path) -> Store {
    let config = StoreConfig::Sqlite { path: path.to_owned(), timeout: Duration::from_secs(2) };
    Store::open(&config).await.unwrap()
}

async fn service(store: &Store, lease: Duration) -> (Arc<LockService>, Arc<Alerts>) {
    let alerts = Arc::new(Alerts::default());
    let config = LockConfig { poll: Duration::from_millis(20), lease, ask: None };
    let service = LockService::open(store.clone(), config, alerts.clone(), at(0)).await.unwrap();
    (Arc::new(service), alerts)
}

fn identity(name: &str, issued_s: i64) -> Identity {
    #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
    Identity::mint(IdentityParts {
        subject: format!("sub-{name}"),
        issuer: "https://i".to_owned(),
        name: name.to_owned(),
        kind: IdentityKind::Machine,
        groups: Default::default(),
        claims: BTreeMap::new(),
        delegation: Vec::new(),
        credential: CredentialBinding::Bound,
        token_id: None,
        key: None,
        login: None,
        signer: None,
        issued_at: at(issued_s),
        expires_at: at(i64::MAX / 2_000_000),
    })
}

fn kept_out(locks: &LockService, who: &Identity, now_s: i64) -> Option<String> {
    let target = TargetName::parse("shop").unwrap();
    let source = "192.0.2.7:5".parse().unwrap();
    let what = Lockable { identity: who, source, target: &target, session: SessionId::from_u128(1) };
    locks.keeps_out(&what, at(now_s)).map(|d| {
        assert_eq!(d.code, DenialCode::Locked);
        d.to_string()
    })
}

fn of(name: &str) -> NewLock {
    NewLock {
        matcher: Matcher { name: Some(name.to_owned()), ..Matcher::default() },
        kind: LockKind::Lock,
        reason: "stolen".to_owned(),
        expires_at: None,
    }
}

#[tokio::test]
async fn a_lock_is_in_force_until_it_is_over_or_ended() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("s.db")).await;
    let (locks, alerts) = service(&store, Duration::from_secs(60)).await;
    let (eve, bob) = (identity("eve", 1), identity("bob", 1));
    assert_eq!(kept_out(&locks, &eve, 10), None);
    let changed = locks.changed(0);
    let lock = locks.add(of("eve"), "ana", at(10)).await.unwrap();
    assert_ne!(changed.await, 0, "whoever waits for changes is told");
    assert_eq!(kept_out(&locks, &eve, 10).unwrap(), format!("locked out by lock {}", lock.id));
    assert_eq!(kept_out(&locks, &bob, 10), None);
    {
        let alerts = alerts.0.lock().unwrap();
        assert!(alerts.len() == 1 && alerts[0].what.contains("by ana: stolen"), "{alerts:?}");
    }
    for why in ["", " "] {
        assert!(matches!(locks.end(&lock.id, "bob", why, at(20)).await, Err(LockError::Invalid(_))));
    }
    let ended = locks.end(&lock.id, "bob", "new token", at(20)).await.unwrap();
    assert_eq!(ended.ended.unwrap().by, "bob");
    assert_eq!(kept_out(&locks, &eve, 20), None);
    assert!(matches!(locks.end(&lock.id, "bob", "again", at(21)).await, Err(LockError::Over(_))));
    assert!(matches!(locks.end("nothing", "bob", "again", at(21)).await, Err(LockError::NotFound(_))));

    let brief = NewLock { expires_at: Some(at(40)), ..of("eve") };
    locks.add(brief.clone(), "ana", at(30)).await.unwrap();
    assert!(kept_out(&locks, &eve, 39).is_some());
    assert_eq!(kept_out(&locks, &eve, 40), None, "its time is over");
    assert!(matches!(locks.add(brief, "ana", at(40)).await, Err(LockError::Invalid(_))));
    let all = locks.book().list(&LockFilter { limit: 9, ..LockFilter::default() }).await.unwrap();
    assert_eq!(all.len(), 2, "none is forgotten");
}

#[tokio::test]
async fn a_fresh_login_lifts_an_order_to_log_in_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("s.db")).await;
    let (locks, _) = service(&store, Duration::from_secs(60)).await;
    locks.add(NewLock { kind: LockKind::Reauthenticate, ..of("eve") }, "ana", at(100)).await.unwrap();
    let with_auth_time = |issued_s: i64, auth_s: i64| {
        let mut parts = IdentityParts::clone(&identity("eve", issued_s));
        parts.claims.insert("auth_time".to_owned(), auth_s.into());
        #[expect(clippy::disallowed_methods, reason = "a test vouches for its own")]
        Identity::mint(parts)
    };
    for (who, out) in [
        (identity("eve", 99), true),
        (identity("eve", 100), true),
        (identity("eve", 101), false),
        // A refreshed token of an old login.
        (with_auth_time(150, 90), true),
        (with_auth_time(150, 140), false),
        (with_auth_time(90, 5_000), true),
    ] {
        assert_eq!(kept_out(&locks, &who, 200).is_some(), out, "{who:?}");
    }
}

#[tokio::test]
async fn another_gateway_hears_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("s.db");
    let (one, other) = (store(&path).await, store(&path).await);
    let (here, _) = service(&one, Duration::from_secs(60)).await;
    let (there, _) = service(&other, Duration::from_secs(60)).await;
    let watching = there.clone();
    tokio::spawn(async move { watching.watch(other, || at(10)).await });
    let changed = there.changed(0);
    here.add(of("eve"), "ana", at(10)).await.unwrap();
    tokio::time::timeout(Duration::from_secs(20), changed).await.unwrap();
    assert!(kept_out(&there, &identity("eve", 1), 10).is_some());
}

#[tokio::test]
async fn adv_003_nobody_is_let_in_when_locks_cannot_be_read_for_too_long() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("s.db")).await;
    let (locks, alerts) = service(&store, Duration::from_millis(400)).await;
    let bob = identity("bob", 1);
    store.close().await;
    let watching = locks.clone();
    tokio::spawn(async move { watching.watch(store, || at(10)).await });
    assert!(locks.check().is_ok() && kept_out(&locks, &bob, 10).is_none(), "what was read is good for the lease");
    tokio::time::timeout(Duration::from_secs(20), locks.changed(0)).await.unwrap();
    assert!(kept_out(&locks, &bob, 10).unwrap().contains("cannot be told"));
    assert!(locks.check().unwrap_err().contains("lease"));
    assert_eq!(alerts.0.lock().unwrap()[0].severity, Severity::Critical);
}

#[tokio::test]
async fn adv_003_a_lock_that_cannot_be_understood_lets_nobody_in() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir.path().join("s.db")).await;
    let (locks, _) = service(&store, Duration::from_millis(200)).await;
    let odd = LockRecord {
        id: "X".into(),
        matcher: "{\"moon_phase\":\"full\"}".into(),
        kind: "lock".into(),
        reason: "r".into(),
        created_by: "a newer version".into(),
        created_at: at(1),
        expires_at: None,
        ended: None,
    };
    store.add_lock(&odd).await.unwrap();
    assert!(locks.refresh(at(10)).await.is_err());
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert!(kept_out(&locks, &identity("bob", 1), 10).is_some());
    let config = LockConfig::default();
    assert!(
        LockService::open(store, config, Arc::new(Alerts::default()), at(10)).await.is_err(),
        "nor does a gateway begin"
    );
}

#[test]
fn matchers_that_match_everything_are_refused() {
    let with = |f: fn(&mut Matcher)| {
        let mut m = Matcher::default();
        f(&mut m);
        m.check()
    };
    assert!(Matcher::default().check().is_err());
    assert!(with(|m| m.name = Some(String::new())).is_err());
    assert!(with(|m| drop(m.claims.insert("ref".into(), "*".into()))).is_err());
    assert!(with(|m| m.name = Some("x".repeat(MATCHER_TEXT_BYTES_MAX))).is_ok());
    assert!(with(|m| m.name = Some("x".repeat(MATCHER_TEXT_BYTES_MAX + 1))).is_err());
    let claims = |n: usize| Matcher {
        claims: (0..n).map(|i| (format!("c{i}"), "v".to_owned())).collect(),
        ..Matcher::default()
    };
    assert!(claims(CLAIMS_MAX).check().is_ok() && claims(CLAIMS_MAX + 1).check().is_err());
    assert!(serde_json::from_str::<Matcher>("{\"nam\":\"x\"}").is_err(), "a misspelt part must not be left out");
}
