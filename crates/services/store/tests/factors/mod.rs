//! What people show beside their logins: each change is made of one version.

use countersign_store::{Store, StoreError, TEXT_BYTES_MAX};

pub(crate) async fn suite(store: &Store) {
    let ids = [("https://a", "rita"), ("https://b", "rita")];
    for (issuer, subject) in ids {
        assert_eq!(store.factors(issuer, subject).await.unwrap(), None);
        assert!(store.save_factors(issuer, subject, Some("Rita"), r#"{"it's":1}"#, None).await.unwrap());
        assert!(!store.save_factors(issuer, subject, Some("Rita"), "{}", None).await.unwrap(), "one is there");
        assert_eq!(store.factors(issuer, subject).await.unwrap(), Some((1, r#"{"it's":1}"#.to_owned())));
    }
    let (issuer, subject) = ids[0];
    let save = async |version| store.save_factors(issuer, subject, None, "two", Some(version)).await.unwrap();
    assert!(!save(0).await && !save(2).await && save(1).await && !save(1).await, "a change is made of one version");
    let (a, b) = tokio::join!(save(2), save(2));
    assert!(a != b, "of two at once one is first");
    assert_eq!(store.factors(issuer, subject).await.unwrap(), Some((3, "two".to_owned())));
    let owners = async |person: &str| store.factor_owners(person).await.unwrap().len();
    assert_eq!((owners("Rita").await, owners("rita").await), (2, 0));
    assert_eq!((owners("https://a#rita").await, owners("https://a#Rita").await, owners("").await), (1, 0, 0));
    assert!(store.save_factors("https://c", "x", Some("https://a#rita"), "{}", None).await.unwrap());
    assert_eq!(store.factor_owners("https://a#rita").await.unwrap(), [("https://a".to_owned(), "rita".to_owned())]);
    let long = "x".repeat(TEXT_BYTES_MAX);
    assert!(store.save_factors(issuer, subject, None, &long, Some(3)).await.unwrap());
    let longer = store.save_factors(issuer, subject, None, &format!("{long}x"), Some(4)).await;
    assert!(matches!(longer, Err(StoreError::Limit(_))), "{longer:?}");
}
