//! API keys: within limits, ended once, gone when they are long over.

use countersign_store::{
    ApiKeyEndRecord, ApiKeyFilter, ApiKeyRecord, ApiKeyUseRecord, Store, StoreError, TEXT_BYTES_MAX,
};

use crate::at;

fn key(id: &str, subject: &str) -> ApiKeyRecord {
    ApiKeyRecord {
        id: id.into(),
        digest: format!("digest of {id}"),
        issuer: "https://a".into(),
        subject: subject.into(),
        content: r#"{"name":"it's"}"#.into(),
        created_at: at(1),
        expires_at: at(100),
        used: None,
        ended: None,
    }
}

pub(crate) async fn suite(store: &Store) {
    assert_eq!(store.api_key("k1").await.unwrap(), None);
    assert!(store.add_api_key(&key("k1", "ana"), 2).await.unwrap());
    assert_eq!(store.api_key("k1").await.unwrap(), Some(key("k1", "ana")));
    assert!(matches!(store.add_api_key(&key("k1", "ana"), 2).await, Err(StoreError::Conflict(_))));
    assert!(store.add_api_key(&key("k2", "ana"), 2).await.unwrap());
    assert!(!store.add_api_key(&key("k3", "ana"), 2).await.unwrap(), "one owner has no more");
    assert!(store.add_api_key(&key("k3", "bob"), 2).await.unwrap());
    let later = ApiKeyRecord { created_at: at(100), expires_at: at(300), ..key("k4", "ana") };
    assert!(store.add_api_key(&later, 2).await.unwrap(), "what is over does not count");

    let list = async |filter: ApiKeyFilter| {
        let all = store.list_api_keys(&ApiKeyFilter { limit: filter.limit.max(9), ..filter }).await.unwrap();
        all.into_iter().map(|k| k.id).collect::<Vec<_>>()
    };
    let ana = Some(("https://a".to_owned(), "ana".to_owned()));
    assert_eq!(list(ApiKeyFilter::default()).await, ["k4", "k3", "k2", "k1"]);
    assert_eq!(list(ApiKeyFilter { owner: ana.clone(), ..Default::default() }).await, ["k4", "k2", "k1"]);
    assert_eq!(list(ApiKeyFilter { live_at: Some(at(100)), ..Default::default() }).await, ["k4"]);
    assert_eq!(list(ApiKeyFilter { before: Some("k3".into()), ..Default::default() }).await, ["k2", "k1"]);
    assert_eq!(store.list_api_keys(&ApiKeyFilter { limit: 1, ..Default::default() }).await.unwrap().len(), 1);
    let other = Some(("https://b".to_owned(), "ana".to_owned()));
    assert_eq!(list(ApiKeyFilter { owner: other, ..Default::default() }).await, [""; 0]);

    let used = |s: i64, from: &str| ApiKeyUseRecord { at: at(s), from: from.into() };
    store.note_api_key_use("k1", &used(10, "192.0.2.1")).await.unwrap();
    store.note_api_key_use("k1", &used(9, "192.0.2.2")).await.unwrap();
    let noted = store.api_key("k1").await.unwrap().unwrap();
    assert_eq!(noted.used, Some(used(10, "192.0.2.1")), "another gateway may be late with what it saw earlier");
    store.note_api_key_use("k1", &used(11, "192.0.2.3")).await.unwrap();
    assert_eq!(store.api_key("k1").await.unwrap().unwrap().used, Some(used(11, "192.0.2.3")));
    assert_eq!(store.api_key("k2").await.unwrap().unwrap().used, None);

    let end = |by: &str| ApiKeyEndRecord { at: at(50), by: by.into(), why: "lost".into() };
    assert!(store.end_api_key("k1", &end("ana")).await.unwrap());
    assert!(!store.end_api_key("k1", &end("bob")).await.unwrap(), "ended once");
    assert_eq!(store.api_key("k1").await.unwrap().unwrap().ended, Some(end("ana")));
    assert!(!store.end_api_key("k9", &end("ana")).await.unwrap());
    let late = ApiKeyEndRecord { at: at(100), ..end("ana") };
    assert!(!store.end_api_key("k2", &late).await.unwrap(), "it is over by itself");
    assert_eq!(list(ApiKeyFilter { owner: ana, live_at: Some(at(60)), ..Default::default() }).await, ["k4", "k2"]);

    assert_eq!(store.remove_api_keys_over(at(101)).await.unwrap(), 3);
    assert_eq!(list(ApiKeyFilter::default()).await, ["k4"]);
    let long = ApiKeyRecord { content: "x".repeat(TEXT_BYTES_MAX + 1), ..key("k5", "ana") };
    assert!(matches!(store.add_api_key(&long, 9).await, Err(StoreError::Limit(_))));
}
