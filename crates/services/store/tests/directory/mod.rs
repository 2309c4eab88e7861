//! Directories: names are there once, changes are of one version, memberships go with whom they are of.

use countersign_model::Timestamp;
use countersign_store::{
    DIRECTORY_PAGE_MAX, DirectoryChange, DirectoryFilter, DirectoryKind, DirectoryRecord, Store, StoreError,
    TEXT_BYTES_MAX,
};

use DirectoryChange::{Made, Stale, Taken};
use DirectoryKind::{Group, User};

fn entry(realm: &str, kind: DirectoryKind, id: &str, name: &str) -> DirectoryRecord {
    DirectoryRecord {
        realm: realm.to_owned(),
        kind,
        id: id.to_owned(),
        name: name.to_owned(),
        external_id: None,
        active: true,
        version: 1,
        content: r#"{"it's":1}"#.to_owned(),
        created_at: Timestamp::from_unix_s(1),
        changed_at: Timestamp::from_unix_s(2),
    }
}

pub(crate) async fn suite(store: &Store) {
    let mia = DirectoryRecord { external_id: Some("x1".to_owned()), ..entry("corp", User, "u1", "Mia@Corp") };
    assert_eq!(store.add_to_directory(&mia).await.unwrap(), Made);
    assert_eq!(store.directory_entry("corp", User, "u1").await.unwrap(), Some(mia.clone()));
    assert_eq!(store.directory_entry("corp", Group, "u1").await.unwrap(), None);
    assert_eq!(store.directory_entry("other", User, "u1").await.unwrap(), None);
    let same_external = DirectoryRecord { external_id: Some("x1".to_owned()), ..entry("corp", User, "u2", "bo") };
    for (other, want) in [
        (entry("corp", User, "u1", "bo"), Taken),
        (entry("corp", User, "u2", "mia@corp"), Taken),
        (same_external, Taken),
        (entry("corp", User, "u2", "bo"), Made),
        (entry("corp", User, "u3", "cy"), Made),
        (entry("other", User, "u1", "mia@corp"), Made),
        (entry("corp", Group, "g1", "mia@corp"), Made),
        (entry("corp", Group, "g2", "ops"), Made),
    ] {
        assert_eq!(store.add_to_directory(&other).await.unwrap(), want, "{other:?}");
    }
    let find = async |filter| {
        let (found, total) = store.directory_page("corp", User, filter, 0, 10).await.unwrap();
        (found.into_iter().map(|r| r.id).collect::<Vec<_>>(), total)
    };
    let ids = |all: &[&str]| all.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert_eq!(find(DirectoryFilter::All).await, (ids(&["u1", "u2", "u3"]), 3));
    assert_eq!(find(DirectoryFilter::Name("MIA@corp")).await, (ids(&["u1"]), 1));
    assert_eq!(find(DirectoryFilter::ExternalId("x1")).await, (ids(&["u1"]), 1));
    assert_eq!(find(DirectoryFilter::ExternalId("X1")).await, (ids(&[]), 0));
    let (page, total) = store.directory_page("corp", User, DirectoryFilter::All, 1, 1).await.unwrap();
    assert_eq!((page.len(), page[0].id.as_str(), total), (1, "u2", 3));
    assert!(store.directory_page("corp", User, DirectoryFilter::All, 0, DIRECTORY_PAGE_MAX + 1).await.is_ok());

    let changed = DirectoryRecord { active: false, version: 2, name: "mia".to_owned(), ..mia.clone() };
    let (a, b) = tokio::join!(store.replace_in_directory(&changed), store.replace_in_directory(&changed));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert!(matches!((a, b), (Made, Stale) | (Stale, Made)), "of two at once one is first: {a:?} {b:?}");
    assert_eq!(store.directory_entry("corp", User, "u1").await.unwrap(), Some(changed.clone()));
    let taken = DirectoryRecord { version: 3, name: "BO".to_owned(), ..changed.clone() };
    assert_eq!(store.replace_in_directory(&taken).await.unwrap(), Taken);

    let change = async |add: &[&str], remove: &[&str], only| {
        store.change_directory_members("corp", "g2", &ids(add), &ids(remove), only).await.unwrap();
        let members = store.directory_members("corp", "g2").await.unwrap();
        members.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
    };
    assert_eq!(change(&["u1", "u2", "u2", "nobody"], &[], false).await, ids(&["u1", "u2"]));
    assert_eq!(change(&["u3"], &["u2", "nobody"], false).await, ids(&["u1", "u3"]));
    assert_eq!(change(&["u2"], &[], true).await, ids(&["u2"]));
    assert_eq!(change(&["u1", "u3"], &[], false).await, ids(&["u1", "u2", "u3"]));
    store.change_directory_members("corp", "gone", &ids(&["u1"]), &[], false).await.unwrap();
    let groups = async |id: &str| store.directory_groups_of("corp", id).await.unwrap();
    assert_eq!(groups("u1").await, [("g2".to_owned(), "ops".to_owned())]);
    assert!(store.remove_from_directory("corp", User, "u1").await.unwrap());
    assert!(!store.remove_from_directory("corp", User, "u1").await.unwrap());
    assert!(store.directory_entry("other", User, "u1").await.unwrap().is_some());
    assert_eq!(change(&[], &[], false).await, ids(&["u2", "u3"]));
    assert!(store.remove_from_directory("corp", Group, "g2").await.unwrap());
    assert!(groups("u2").await.is_empty());

    let long = "x".repeat(TEXT_BYTES_MAX);
    let longest = DirectoryRecord { content: long.clone(), ..entry("corp", User, "long", "long") };
    assert_eq!(store.add_to_directory(&longest).await.unwrap(), Made);
    let longer = DirectoryRecord { content: format!("{long}x"), ..longest };
    assert!(matches!(store.add_to_directory(&longer).await, Err(StoreError::Limit(_))));
}
