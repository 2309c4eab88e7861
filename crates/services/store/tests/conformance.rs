//! One suite, both databases: a store behaves the same whatever is below it. Then each one's own faults.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod api_keys;
mod applied;
mod cluster;
mod directory;
mod factors;
mod grants;
mod notices;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use countersign_model::{IdentityKind, Secret, Timestamp};
use countersign_store::{
    AccountRecord, BLOB_BYTES_MAX, LockEndRecord, LockRecord, LoginRecord, REVIEW_ANSWERS_MAX, ReviewAnswerRecord,
    ReviewFilter, ReviewRecord, SHORT_LIVED_KEPT_US, SealedSecret, ShortLivedAdded, ShortLivedRecord, SigningKeyRecord,
    Store, StoreConfig, StoreError, TEXT_BYTES_MAX,
};

use cluster::Cluster;

const TIMEOUT: Duration = Duration::from_secs(2);

fn sqlite(path: &Path) -> StoreConfig {
    StoreConfig::Sqlite { path: path.to_owned(), timeout: TIMEOUT }
}

fn postgres(cluster: &Cluster) -> StoreConfig {
    StoreConfig::Postgres { url: Secret::from(cluster.url()), timeout: TIMEOUT }
}

fn at(s: i64) -> Timestamp {
    Timestamp::from_unix_s(s)
}

fn account(id: &str, name: &str) -> AccountRecord {
    AccountRecord {
        id: id.into(),
        name: name.into(),
        kind: IdentityKind::Human,
        groups: BTreeSet::from(["dba".to_owned(), "quoted \"'\\".to_owned()]),
        secret_hash: Some("$argon2id$v=19$hash".into()),
        disabled: false,
        created_at: at(1_700_000_000),
    }
}

fn secret(name: &str, version: u64, ciphertext: &[u8]) -> SealedSecret {
    SealedSecret {
        name: name.into(),
        version,
        nonce: vec![0, 255, 7],
        ciphertext: ciphertext.to_vec(),
        created_at: at(i64::try_from(version).unwrap()),
    }
}

/// Everything that both must do.
async fn suite(config: &StoreConfig) {
    let store = Store::open(config).await.unwrap();
    store.check().await.unwrap();
    accounts(&store).await;
    signing_keys(&store).await;
    secrets(&store).await;
    meta(&store).await;
    limits(&store).await;
    races(&store).await;
    short_lived(&store).await;
    logins(&store).await;
    credential_uses(&store).await;
    locks(&store).await;
    Box::pin(reviews(&store)).await;
    Box::pin(api_keys::suite(&store)).await;
    Box::pin(applied::suite(&store)).await;
    Box::pin(applied::at_once(&store)).await;
    Box::pin(directory::suite(&store)).await;
    Box::pin(factors::suite(&store)).await;
    Box::pin(grants::suite(&store)).await;
    Box::pin(grants::at_once(&store)).await;
    Box::pin(notices::suite(&store)).await;

    // What was acknowledged is there after closing and opening again, and the tables need not be made twice.
    store.close().await;
    assert!(matches!(store.check().await, Err(StoreError::Unavailable { .. })), "a closed store answers nothing");
    let store = Store::open(config).await.unwrap();
    assert_eq!(store.list_accounts().await.unwrap().len(), 1);
    assert_eq!(store.login("l-1").await.unwrap().unwrap().ended, Some((at(50), "logged out".to_owned())));
    assert_eq!(store.credential_binding("race").await.unwrap().map(|b| b.len()), Some(1));
    assert_eq!(store.sealed_secret("race").await.unwrap().unwrap().version, 2);
    store.close().await;
}

fn review(id: &str, subject: &str) -> ReviewRecord {
    ReviewRecord {
        id: id.into(),
        kind: "statement".into(),
        version: 1,
        status: "pending".into(),
        issuer: "https://a".into(),
        subject: subject.into(),
        session: "s".into(),
        action: "digest".into(),
        binding: "binding".into(),
        content: r#"{"text":"it's"}"#.into(),
        gateway: "g".into(),
        lease_until: at(10),
        created_at: at(1),
        expires_at: at(100),
        ended: None,
    }
}

async fn reviews(store: &Store) {
    let first = review("r1", "ana");
    assert_eq!(store.review("r1").await.unwrap(), None);
    assert!(store.add_review(&first, 3, 2).await.unwrap());
    assert_eq!(store.review("r1").await.unwrap(), Some((first.clone(), vec![])));
    assert!(matches!(store.add_review(&first, 3, 2).await, Err(StoreError::Conflict(_))));
    assert!(store.add_review(&review("r2", "ana"), 3, 2).await.unwrap());
    assert!(!store.add_review(&review("r3", "ana"), 3, 2).await.unwrap(), "one asker has no more");
    assert!(store.add_review(&review("r3", "bob"), 3, 2).await.unwrap());
    assert!(!store.add_review(&review("r4", "eve"), 3, 2).await.unwrap(), "nor have all together");
    let late = ReviewRecord { created_at: at(100), expires_at: at(200), ..review("r4", "ana") };
    assert!(store.add_review(&late, 3, 2).await.unwrap(), "what has expired does not count");

    let ids = |all: Vec<ReviewRecord>| all.into_iter().map(|r| r.id).collect::<Vec<_>>();
    let list = async |filter: ReviewFilter| ids(store.list_reviews(&filter).await.unwrap());
    assert_eq!(list(ReviewFilter { limit: 10, ..Default::default() }).await, ["r4", "r3", "r2", "r1"]);
    assert_eq!(list(ReviewFilter { limit: 2, before: Some("r4".into()), ..Default::default() }).await, ["r3", "r2"]);
    assert_eq!(list(ReviewFilter { limit: 9, kind: Some("grant".into()), ..Default::default() }).await, [""; 0]);
    assert_eq!(ids(store.open_reviews_of("digest", "https://a", "ana", at(50)).await.unwrap()), ["r4", "r2", "r1"]);
    assert_eq!(ids(store.open_reviews_of("digest", "https://a", "ana", at(100)).await.unwrap()), ["r4"]);
    assert_eq!(ids(store.open_reviews_of("digest", "https://b", "ana", at(50)).await.unwrap()), [""; 0]);

    let answer = |version| ReviewAnswerRecord { version, content: format!("answer {version}") };
    let next = ReviewRecord { version: 2, status: "approved".into(), session: "t".into(), ..first.clone() };
    assert!(store.change_review(&next, Some(&answer(2))).await.unwrap());
    assert!(!store.change_review(&next, Some(&answer(2))).await.unwrap(), "that version is gone");
    assert_eq!(store.review("r1").await.unwrap(), Some((next.clone(), vec![answer(2)])));
    store.renew_review_lease("r1", "s", at(77)).await.unwrap();
    store.renew_review_lease("r1", "t", at(78)).await.unwrap();
    assert_eq!(store.review("r1").await.unwrap().unwrap().0.lease_until, at(78), "only where it waits");

    // Two at once: one of them must look again, and its answer is not kept either.
    let used =
        |by: &str| ReviewRecord { version: 3, status: "used".into(), ended: Some((at(60), by.into())), ..next.clone() };
    let (one, two) = (used("one"), used("two"));
    let (a, b) = (answer(3), answer(3));
    let (one, two) = tokio::join!(store.change_review(&one, Some(&a)), store.change_review(&two, Some(&b)));
    assert!(one.unwrap() != two.unwrap());
    assert_eq!(store.review("r1").await.unwrap().unwrap().1.len(), 2);
    assert_eq!(list(ReviewFilter { open: true, limit: 10, ..Default::default() }).await, ["r4", "r3", "r2"]);

    // What is open is always there, whatever is newer; of what is over, the newest.
    let marks = async |latest: u32| {
        let all = store.review_marks(latest).await.unwrap();
        all.into_iter().map(|m| format!("{} {} {}", m.id, m.version, m.open)).collect::<Vec<_>>()
    };
    assert_eq!(marks(3).await, ["r4 1 true", "r3 1 true", "r2 1 true"]);
    assert_eq!(marks(4).await, ["r4 1 true", "r3 1 true", "r2 1 true", "r1 3 false"]);

    let mut busy = review("r3", "bob");
    for _ in 0..REVIEW_ANSWERS_MAX {
        busy.version += 1;
        assert!(store.change_review(&busy, Some(&answer(busy.version))).await.unwrap());
    }
    busy.version += 1;
    assert!(matches!(store.change_review(&busy, Some(&answer(busy.version))).await, Err(StoreError::Limit(_))));
    assert!(store.change_review(&busy, None).await.unwrap(), "what is no answer still goes");
    let unknown = ReviewRecord { status: "perhaps".into(), version: busy.version + 1, ..busy.clone() };
    assert!(store.change_review(&unknown, None).await.is_err());

    assert_eq!(store.remove_reviews_over(at(101)).await.unwrap(), 3);
    assert_eq!(list(ReviewFilter { limit: 10, ..Default::default() }).await, ["r4"]);
    assert!(store.add_review(&review("r1", "ana"), 9, 9).await.unwrap());
    assert_eq!(store.review("r1").await.unwrap().unwrap().1, [], "the answers went with it");
}

async fn accounts(store: &Store) {
    assert_eq!(store.list_accounts().await.unwrap(), []);
    let ana = account("1", "Ana");
    store.save_account(&ana).await.unwrap();
    assert_eq!(store.find_account_by_name("Ana").await.unwrap().as_ref(), Some(&ana));
    assert_eq!(store.find_account_by_id("1").await.unwrap().as_ref(), Some(&ana));
    assert_eq!(store.find_account_by_name("ana").await.unwrap(), None, "names are compared exactly");
    assert_eq!(store.find_account_by_name("' OR '1'='1").await.unwrap(), None);

    for name in ["Ana", "ANA", "ana"] {
        let refused = store.save_account(&account("2", name)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Conflict(_)), "{name}: {refused}");
    }
    let changed = AccountRecord {
        kind: IdentityKind::Agent,
        groups: BTreeSet::new(),
        secret_hash: None,
        disabled: true,
        ..account("1", "Äna")
    };
    store.save_account(&changed).await.unwrap();
    assert_eq!(store.find_account_by_id("1").await.unwrap(), Some(changed));
    assert!(store.save_account(&account("2", "äNA")).await.is_err(), "case folding reaches beyond ASCII");
    store.save_account(&account("2", "bob")).await.unwrap();
    let names: Vec<String> = store.list_accounts().await.unwrap().into_iter().map(|a| a.name).collect();
    assert_eq!(names.len(), 2);
    assert!(store.remove_account("1").await.unwrap());
    assert!(!store.remove_account("1").await.unwrap());
    assert_eq!(store.list_accounts().await.unwrap().len(), 1);
}

async fn signing_keys(store: &Store) {
    let key = |id: &str, s: i64| SigningKeyRecord {
        id: id.into(),
        private_key: vec![0, 1, 254, 255],
        created_at: at(s),
        retired_at: None,
    };
    store.save_signing_key("https://a", &key("younger", 20)).await.unwrap();
    store.save_signing_key("https://a", &key("older", 10)).await.unwrap();
    store.save_signing_key("https://b", &key("older", 30)).await.unwrap();
    let ids = |keys: Vec<SigningKeyRecord>| keys.into_iter().map(|k| k.id).collect::<Vec<_>>();
    assert_eq!(ids(store.signing_keys("https://a").await.unwrap()), ["older", "younger"]);
    let retired = SigningKeyRecord { retired_at: Some(at(40)), ..key("older", 10) };
    store.save_signing_key("https://a", &retired).await.unwrap();
    assert_eq!(store.signing_keys("https://a").await.unwrap()[0], retired);
    assert!(store.remove_signing_key("https://a", "older").await.unwrap());
    assert!(!store.remove_signing_key("https://a", "older").await.unwrap());
    assert_eq!(store.signing_keys("https://b").await.unwrap().len(), 1, "another issuer's key stays");
    assert_eq!(store.signing_keys("https://c").await.unwrap(), []);
}

async fn secrets(store: &Store) {
    assert_eq!(store.sealed_secret("orders").await.unwrap(), None);
    let first = secret("orders", 1, b"\x00\xff sealed");
    store.save_sealed_secret(&first, None).await.unwrap();
    assert_eq!(store.sealed_secret("orders").await.unwrap().as_ref(), Some(&first));
    let second = secret("orders", 2, b"two");
    for (replaces, why) in [(None, "there is one"), (Some(7), "it is not version 7")] {
        let lost = store.save_sealed_secret(&second, replaces).await.unwrap_err();
        assert!(matches!(lost, StoreError::Conflict(_)), "{why}: {lost}");
    }
    store.save_sealed_secret(&second, Some(1)).await.unwrap();
    assert_eq!(store.sealed_secret("orders").await.unwrap(), Some(second));
    store.save_sealed_secret(&secret("billing", 1, b"b"), None).await.unwrap();
    let listed: Vec<_> =
        store.list_sealed_secrets().await.unwrap().into_iter().map(|l| (l.name, l.version, l.created_at)).collect();
    assert_eq!(listed, [("billing".to_owned(), 1, at(1)), ("orders".to_owned(), 2, at(2))]);

    assert!(store.remove_sealed_secret("orders").await.unwrap());
    assert!(!store.remove_sealed_secret("orders").await.unwrap());
    assert!(store.remove_sealed_secret("billing").await.unwrap());
}

async fn meta(store: &Store) {
    assert_eq!(store.meta("check").await.unwrap(), None);
    assert_eq!(store.meta_or_insert("check", "one").await.unwrap(), "one");
    assert_eq!(store.meta_or_insert("check", "two").await.unwrap(), "one");
    assert_eq!(store.meta("check").await.unwrap().as_deref(), Some("one"));
    assert!(!store.replace_meta("check", "two", "three").await.unwrap(), "it is not \"two\"");
    assert!(store.replace_meta("check", "one", "three").await.unwrap());
    assert_eq!(store.meta("check").await.unwrap().as_deref(), Some("three"));
}

async fn limits(store: &Store) {
    let fits = SealedSecret { ciphertext: vec![1; BLOB_BYTES_MAX], ..secret("large", 1, b"") };
    store.save_sealed_secret(&fits, None).await.unwrap();
    assert!(store.remove_sealed_secret("large").await.unwrap());
    let over = SealedSecret { ciphertext: vec![1; BLOB_BYTES_MAX + 1], ..fits };
    assert!(matches!(store.save_sealed_secret(&over, None).await, Err(StoreError::Limit(_))));
    let long = AccountRecord { name: "x".repeat(TEXT_BYTES_MAX + 1), ..account("9", "x") };
    assert!(matches!(store.save_account(&long).await, Err(StoreError::Limit(_))));
    assert!(matches!(store.meta_or_insert("x", &"x".repeat(TEXT_BYTES_MAX + 1)).await, Err(StoreError::Limit(_))));
}

/// Of many that replace the same version at once, exactly one wins.
async fn races(store: &Store) {
    store.save_sealed_secret(&secret("race", 1, b"start"), None).await.unwrap();
    let tasks: Vec<_> = (0..8_u8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.save_sealed_secret(&secret("race", 2, &[n]), Some(1)).await })
        })
        .collect();
    let mut won = 0;
    for t in tasks {
        match t.await.unwrap() {
            Ok(()) => won += 1,
            Err(e) => assert!(matches!(e, StoreError::Conflict(_)), "{e}"),
        }
    }
    assert_eq!(won, 1);
}

async fn short_lived(store: &Store) {
    let entry = |content: &str, expires_s: i64| ShortLivedRecord {
        content: content.into(),
        expires_at: at(expires_s),
        consumed_at: None,
    };
    let add = async |kind: &str, digest: &str, entry: &ShortLivedRecord, most: u32, now: i64| {
        store.add_short_lived(kind, digest, entry, most, at(now)).await.unwrap()
    };
    let one = entry("one", 100);
    assert_eq!(store.short_lived("code", "a").await.unwrap(), None);
    assert_eq!(add("code", "a", &one, 2, 10).await, ShortLivedAdded::Kept);
    assert_eq!(add("code", "a", &entry("other", 200), 2, 10).await, ShortLivedAdded::Taken);
    assert_eq!(store.short_lived("code", "a").await.unwrap(), Some(one.clone()));
    assert_eq!(store.short_lived("device", "a").await.unwrap(), None, "kinds are apart");

    // Only so many at a time; what has ended does not count.
    assert_eq!(add("code", "b", &entry("b", 50), 2, 10).await, ShortLivedAdded::Kept);
    assert_eq!(add("code", "c", &entry("c", 200), 2, 49).await, ShortLivedAdded::Full);
    assert_eq!(add("device", "c", &entry("c", 200), 2, 49).await, ShortLivedAdded::Kept);
    assert_eq!(add("code", "c", &entry("c", 200), 2, 50).await, ShortLivedAdded::Kept);

    // Changed only from what it is.
    assert!(!store.replace_short_lived("code", "a", "another", "two", at(20)).await.unwrap());
    assert!(!store.replace_short_lived("code", "a", "one", "two", at(100)).await.unwrap(), "it has ended");
    assert!(store.replace_short_lived("code", "a", "one", "two", at(20)).await.unwrap());

    // Used up once, and only in time.
    assert!(!store.consume_short_lived("code", "b", at(50)).await.unwrap(), "it has ended");
    assert!(!store.consume_short_lived("code", "nothing", at(20)).await.unwrap());
    assert!(store.consume_short_lived("code", "a", at(20)).await.unwrap());
    assert!(!store.consume_short_lived("code", "a", at(20)).await.unwrap());
    assert!(!store.replace_short_lived("code", "a", "two", "three", at(20)).await.unwrap(), "it is used up");
    let used = ShortLivedRecord { content: "two".into(), consumed_at: Some(at(20)), ..one };
    assert_eq!(store.short_lived("code", "a").await.unwrap(), Some(used.clone()));

    // Ended, also before it is added; an earlier end stays.
    store.end_short_lived("family", "f", at(300), at(30)).await.unwrap();
    store.end_short_lived("family", "f", at(300), at(40)).await.unwrap();
    assert_eq!(store.short_lived("family", "f").await.unwrap().unwrap().consumed_at, Some(at(30)));
    assert_eq!(add("family", "f", &entry("late", 300), 9, 30).await, ShortLivedAdded::Taken);
    assert!(!store.consume_short_lived("family", "f", at(30)).await.unwrap());
    assert_eq!(add("family", "g", &entry("early", 300), 9, 30).await, ShortLivedAdded::Kept);
    store.end_short_lived("family", "g", at(900), at(31)).await.unwrap();
    let ended = store.short_lived("family", "g").await.unwrap().unwrap();
    assert_eq!((ended.content.as_str(), ended.expires_at, ended.consumed_at), ("early", at(300), Some(at(31))));

    // A day longer than it is good, and no longer.
    let kept_s = SHORT_LIVED_KEPT_US / 1_000_000;
    assert_eq!(store.purge_short_lived(at(50 + kept_s)).await.unwrap(), 0);
    assert_eq!(store.purge_short_lived(at(51 + kept_s)).await.unwrap(), 1);
    assert_eq!(store.short_lived("code", "a").await.unwrap(), Some(used));
    let long = entry(&"x".repeat(TEXT_BYTES_MAX + 1), 1);
    assert!(matches!(store.add_short_lived("code", "z", &long, 9, at(0)).await, Err(StoreError::Limit(_))));

    // Of many that use it at once, exactly one is first.
    assert_eq!(add("code", "race", &entry("r", 100), 9, 0).await, ShortLivedAdded::Kept);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.consume_short_lived("code", "race", at(1)).await.unwrap() })
        })
        .collect();
    let mut first = 0;
    for t in tasks {
        first += u32::from(t.await.unwrap());
    }
    assert_eq!(first, 1);
}

async fn logins(store: &Store) {
    let login = |id: &str, subject: &str, created_s: i64| LoginRecord {
        id: id.into(),
        issuer: "https://i".into(),
        subject: subject.into(),
        identity: "{\"name\":\"'Ana\\u0000\"}".into(),
        key: "k".into(),
        token: "t".into(),
        created_at: at(created_s),
        expires_at: at(created_s + 100),
        ended: None,
    };
    let first = login("l-1", "ana", 10);
    assert_eq!(store.login("l-1").await.unwrap(), None);
    store.add_login(&first).await.unwrap();
    assert!(matches!(store.add_login(&login("l-1", "eve", 11)).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.login("l-1").await.unwrap(), Some(first.clone()));
    for (id, subject, created_s) in [("l-2", "ana", 20), ("l-3", "ana", 30), ("l-4", "bob", 40)] {
        store.add_login(&login(id, subject, created_s)).await.unwrap();
    }
    assert_eq!(store.login_of_token("t").await.unwrap().unwrap().id, "l-4", "the latest");
    assert_eq!(store.login_of_token("other").await.unwrap(), None);

    assert!(store.end_login("l-1", at(50), "logged out").await.unwrap());
    assert!(!store.end_login("l-1", at(60), "again").await.unwrap());
    assert!(!store.end_login("nothing", at(60), "x").await.unwrap());
    assert_eq!(store.end_logins_of("https://i", "ana", at(70), "removed").await.unwrap(), 2);
    assert_eq!(store.end_logins_of("https://j", "bob", at(70), "removed").await.unwrap(), 0);
    let ended = |l: LoginRecord| l.ended;
    assert_eq!(store.login("l-1").await.unwrap().and_then(ended), Some((at(50), "logged out".to_owned())));
    assert_eq!(store.login("l-2").await.unwrap().and_then(ended), Some((at(70), "removed".to_owned())));

    let live = async |now: i64| -> Vec<String> {
        store.live_logins(at(now)).await.unwrap().into_iter().map(|l| l.id).collect()
    };
    store.add_login(&login("l-5", "bob", 45)).await.unwrap();
    assert_eq!(live(139).await, ["l-4", "l-5"]);
    assert_eq!(live(140).await, ["l-5"], "its time is over");
    assert_eq!(store.remove_logins_over(at(110)).await.unwrap(), 0);
    assert_eq!(store.remove_logins_over(at(111)).await.unwrap(), 1, "the first, ended or not");
    store.add_login(&first).await.unwrap();
    store.end_login("l-1", at(50), "logged out").await.unwrap();
    let long = LoginRecord { identity: "x".repeat(TEXT_BYTES_MAX + 1), ..login("l-9", "x", 1) };
    assert!(matches!(store.add_login(&long).await, Err(StoreError::Limit(_))));
}

async fn credential_uses(store: &Store) {
    assert_eq!(store.credential_binding("a").await.unwrap(), None);
    assert_eq!(store.bind_credential("a", "k1", at(1), at(100)).await.unwrap(), "k1");
    assert_eq!(store.bind_credential("a", "k2", at(2), at(200)).await.unwrap(), "k1", "the first is kept");
    assert_eq!(store.credential_binding("a").await.unwrap().as_deref(), Some("k1"));
    assert_eq!(store.bind_credential("b", "k2", at(1), at(300)).await.unwrap(), "k2");
    assert_eq!(store.sweep_credential_uses(at(99)).await.unwrap(), 2);
    assert_eq!(store.sweep_credential_uses(at(100)).await.unwrap(), 1, "the second did not prolong it");
    assert_eq!(store.credential_binding("a").await.unwrap(), None);
    let long = "x".repeat(TEXT_BYTES_MAX + 1);
    assert!(matches!(store.bind_credential("c", &long, at(1), at(2)).await, Err(StoreError::Limit(_))));

    // Of many that are first at once, one is, and all hear of the same.
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { store.bind_credential("race", &n.to_string(), at(1), at(900)).await.unwrap() })
        })
        .collect();
    let mut kept = BTreeSet::new();
    for t in tasks {
        kept.insert(t.await.unwrap());
    }
    assert_eq!(kept.len(), 1);
}

async fn locks(store: &Store) {
    let lock = |id: &str, created_s: i64, expires_s: Option<i64>| LockRecord {
        id: id.into(),
        matcher: "{\"name\":\"ci'\"}".into(),
        kind: "lock".into(),
        reason: "a stolen laptop".into(),
        created_by: "ana".into(),
        created_at: at(created_s),
        expires_at: expires_s.map(at),
        ended: None,
    };
    let start = store.lock_changes().await.unwrap();
    assert_eq!(store.live_locks(at(0)).await.unwrap(), (start, vec![]));
    let (a, b, c) = (lock("A", 10, None), lock("B", 20, Some(100)), lock("C", 30, None));
    for l in [&a, &b, &c] {
        store.add_lock(l).await.unwrap();
    }
    assert!(matches!(store.add_lock(&a).await, Err(StoreError::Conflict(_))));
    assert_eq!(store.lock_changes().await.unwrap(), start + 3, "what failed changed nothing");
    assert_eq!(store.lock("B").await.unwrap().as_ref(), Some(&b));
    assert_eq!(store.lock("Z").await.unwrap(), None);
    assert_eq!(store.live_locks(at(99)).await.unwrap(), (start + 3, vec![a.clone(), b.clone(), c.clone()]));
    assert_eq!(store.live_locks(at(100)).await.unwrap().1, [a.clone(), c.clone()]);

    let end = |s: i64| LockEndRecord { at: at(s), by: "bob".into(), why: "found it".into() };
    assert!(store.end_lock("A", &end(40)).await.unwrap());
    assert!(!store.end_lock("A", &end(41)).await.unwrap());
    assert!(!store.end_lock("B", &end(100)).await.unwrap(), "its time is over");
    assert!(!store.end_lock("Z", &end(40)).await.unwrap());
    assert!(store.lock_changes().await.unwrap() > start + 3);
    assert_eq!(store.lock("A").await.unwrap().unwrap().ended, Some(end(40)));
    let ids = async |live: Option<i64>, before: Option<&str>, limit: usize| -> Vec<String> {
        store.list_locks(live.map(at), before, limit).await.unwrap().into_iter().map(|l| l.id).collect()
    };
    assert_eq!(ids(None, None, 9).await, ["C", "B", "A"]);
    assert_eq!(ids(None, Some("C"), 1).await, ["B"]);
    assert_eq!(ids(Some(50), None, 9).await, ["C", "B"]);
    let long = LockRecord { reason: "x".repeat(TEXT_BYTES_MAX + 1), ..lock("L", 1, None) };
    assert!(matches!(store.add_lock(&long).await, Err(StoreError::Limit(_))));

    // Of many that change locks at once, each is counted.
    let before = store.lock_changes().await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (store, lock) = (store.clone(), lock(&format!("R{n}"), 50, None));
            tokio::spawn(async move { store.add_lock(&lock).await.unwrap() })
        })
        .collect();
    for t in tasks {
        t.await.unwrap();
    }
    assert_eq!(store.lock_changes().await.unwrap(), before + 8);
    assert_eq!(store.live_locks(at(60)).await.unwrap().1.len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_passes_the_suite() {
    let dir = tempfile::tempdir().unwrap();
    suite(&sqlite(&dir.path().join("deep/er/countersign.db"))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_passes_the_suite_and_fails_in_time() {
    let cluster = Cluster::start();
    suite(&postgres(&cluster)).await;

    let store = Store::open(&postgres(&cluster)).await.unwrap();
    let blocker = cluster.hold_lock("accounts");
    in_time("a locked table", store.find_account_by_id("2")).await;
    drop(blocker);

    // Two gateways may start at the same moment.
    let (a, b) = (postgres(&cluster), postgres(&cluster));
    let (a, b) = tokio::join!(Store::open(&a), Store::open(&b));
    assert!(a.is_ok() && b.is_ok(), "{a:?} {b:?}");

    let config = postgres(&cluster);
    drop(cluster);
    in_time("a stopped server", store.check()).await;
    let refused = Store::open(&config).await.unwrap_err();
    assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
}

/// It fails, within the limit and a little, and says which store it was.
async fn in_time<T: std::fmt::Debug>(what: &str, work: impl Future<Output = Result<T, StoreError>>) {
    let started = Instant::now();
    let failed = work.await.expect_err(what);
    assert!(started.elapsed() < TIMEOUT + Duration::from_secs(1), "{what}: {:?}", started.elapsed());
    assert!(matches!(failed, StoreError::Unavailable { .. }), "{what}: {failed}");
    assert!(failed.to_string().contains("SQL"), "{what}: {failed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn adv_003_a_locked_sqlite_file_is_an_error_in_time() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("countersign.db");
    let store = Store::open(&sqlite(&path)).await.unwrap();
    let mut other = <sqlx::SqliteConnection as sqlx::Connection>::connect(path.to_str().unwrap()).await.unwrap();
    sqlx::query("BEGIN EXCLUSIVE").execute(&mut other).await.unwrap();
    in_time("a write to a locked file", store.save_account(&account("1", "ana"))).await;
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    store.save_account(&account("1", "ana")).await.unwrap();
}

#[tokio::test]
async fn sqlite_files_are_for_the_owner_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("new/countersign.db");
    let store = Store::open(&sqlite(&path)).await.unwrap();
    store.save_account(&account("1", "ana")).await.unwrap();
    let mode = |p: &Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    let mut seen = 0;
    for entry in std::fs::read_dir(path.parent().unwrap()).unwrap() {
        let entry = entry.unwrap().path();
        assert_eq!(mode(&entry), 0o600, "{}", entry.display());
        seen += 1;
    }
    assert_eq!(seen, 3, "the database, its log and its index");
    store.close().await;

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    Store::open(&sqlite(&path)).await.unwrap();
    assert_eq!(mode(&path), 0o600, "an open file is closed again");
}

#[tokio::test]
async fn what_is_no_store_is_refused_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let junk = dir.path().join("junk.db");
    std::fs::write(&junk, "this is a text file, and no database at all; it is long enough to be looked at".repeat(40))
        .unwrap();
    for path in [junk.as_path(), dir.path()] {
        let refused = Store::open(&sqlite(path)).await.unwrap_err();
        assert!(matches!(refused, StoreError::Open { .. }), "{refused}");
        assert!(refused.to_string().contains(path.to_str().unwrap()), "{refused}");
    }
}

#[tokio::test]
async fn adv_008_no_password_in_errors_and_debug_texts() {
    for url in
        ["postgres://u:hunter2@127.0.0.1:1/x", "hunter2", "postgres://u:hunter2@[:x/y", "postgres://u:hunter2@h:99999/"]
    {
        let config = StoreConfig::Postgres { url: Secret::from(url.to_owned()), timeout: TIMEOUT };
        let refused = Store::open(&config).await.unwrap_err();
        for shown in [refused.to_string(), format!("{refused:?}"), format!("{config:?}")] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
    let shown = format!("{:?} {:?}", account("1", "ana"), secret("x", 1, b"hunter2"));
    assert!(!shown.contains("argon2") && !shown.contains("hunter2") && !shown.contains("104, 117"), "{shown}");
}
