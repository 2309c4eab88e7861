//! What was applied: one revision after the other, none twice, old files forgotten and old names kept.

use countersign_store::{APPLIED_BYTES_MAX, APPLIED_FILES_KEPT, AppliedRecord, Store, StoreError, TEXT_BYTES_MAX};

use crate::at;

fn revision(number: u64, by: &str) -> AppliedRecord {
    AppliedRecord {
        revision: number,
        digest: format!("digest of {number}"),
        by: by.into(),
        at: at(i64::try_from(number).unwrap()),
        message: "it's".into(),
        has_files: true,
    }
}

pub(crate) async fn suite(store: &Store) {
    assert_eq!(store.latest_applied().await.unwrap(), 0);
    assert_eq!(store.applied(1).await.unwrap(), None);
    assert!(!store.add_applied(1, &revision(2, "ana"), "[]").await.unwrap(), "there is no first one yet");
    assert!(store.add_applied(0, &revision(1, "ana"), r#"[{"path":"a"}]"#).await.unwrap());
    assert!(!store.add_applied(0, &revision(1, "bob"), "[]").await.unwrap(), "somebody was first");
    assert_eq!(store.applied(1).await.unwrap(), Some((revision(1, "ana"), Some(r#"[{"path":"a"}]"#.to_owned()))));
    for no in [u64::MAX, i64::MAX.unsigned_abs()] {
        assert!(matches!(store.add_applied(no, &revision(1, "ana"), "").await, Err(StoreError::Limit(_))));
        assert_eq!(store.applied(no).await.unwrap(), None);
    }
    let long = AppliedRecord { message: "x".repeat(TEXT_BYTES_MAX + 1), ..revision(2, "ana") };
    assert!(matches!(store.add_applied(1, &long, "").await, Err(StoreError::Limit(_))));
    let too_much = "x".repeat(APPLIED_BYTES_MAX + 1);
    assert!(matches!(store.add_applied(1, &revision(2, "ana"), &too_much).await, Err(StoreError::Limit(_))));
    let much = &too_much[1..];
    assert!(store.add_applied(1, &revision(2, "ana"), much).await.unwrap());
    assert_eq!(store.applied(2).await.unwrap().unwrap().1.as_deref(), Some(much));

    let kept = APPLIED_FILES_KEPT.unsigned_abs();
    for number in 3..=kept {
        assert!(store.add_applied(number - 1, &revision(number, "ana"), "[]").await.unwrap());
    }
    assert!(store.applied(1).await.unwrap().unwrap().0.has_files, "the last that is kept");
    assert!(store.add_applied(kept, &revision(kept + 1, "ana"), "[]").await.unwrap());
    let forgotten = AppliedRecord { has_files: false, ..revision(1, "ana") };
    assert_eq!(store.applied(1).await.unwrap(), Some((forgotten.clone(), None)));
    assert!(store.applied(2).await.unwrap().unwrap().0.has_files);
    assert_eq!(store.latest_applied().await.unwrap(), kept + 1);
    let page = store.list_applied(None, 2).await.unwrap();
    assert_eq!(page, [revision(kept + 1, "ana"), revision(kept, "ana")]);
    assert_eq!(store.list_applied(Some(2), 9).await.unwrap(), [forgotten]);
}

/// Of many at one moment, one follows.
pub(crate) async fn at_once(store: &Store) {
    let base = store.latest_applied().await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let store = store.clone();
            let new = revision(base + 1, &format!("racer {n}"));
            tokio::spawn(async move { store.add_applied(base, &new, "[]").await })
        })
        .collect();
    let mut won = 0;
    for task in tasks {
        won += u32::from(task.await.unwrap().unwrap());
    }
    assert_eq!(won, 1);
    assert_eq!(store.latest_applied().await.unwrap(), base + 1);
}
