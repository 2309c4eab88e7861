//! Notices: each topic once for a receiver, sent by one gateway at a time, merged and retried in one step.

use countersign_model::Timestamp;
use countersign_store::{
    NOTICE_ERROR_BYTES_MAX, NoticeAdded, NoticeFilter, NoticeRecord, Store, StoreError, TEXT_BYTES_MAX, notice_error,
};

use crate::at;

fn us(s: i64) -> i64 {
    at(s).unix_us()
}

fn notice(id: &str, receiver: &str, topic: &str) -> NoticeRecord {
    NoticeRecord {
        id: id.into(),
        receiver: receiver.into(),
        topic: topic.into(),
        kind: "alert".into(),
        thread: String::new(),
        urgency: 1,
        content: r#"{"it's":"\\"}"#.into(),
        status: "waiting".into(),
        next_at: us(1),
        created_at: us(1),
        window_until: us(60),
        ..NoticeRecord::default()
    }
}

async fn due(store: &Store, receiver: &str, now: Timestamp) -> Vec<String> {
    store.due_notices(receiver, 100, now).await.unwrap().1.into_iter().map(|n| n.id).collect()
}

pub(crate) async fn suite(store: &Store) {
    outbox(store).await;
    endings(store).await;
    receivers(store).await;
}

async fn outbox(store: &Store) {
    let add = async |n: &NoticeRecord, most| store.add_notice(n, most).await.unwrap();
    assert_eq!(add(&notice("n1", "ops", "a"), 2).await, NoticeAdded::Kept);
    assert_eq!(store.notice("n1").await.unwrap(), Some(notice("n1", "ops", "a")));
    assert_eq!(add(&notice("n2", "ops", "a"), 2).await, NoticeAdded::Known, "the topic is there");
    assert_eq!(add(&NoticeRecord { urgency: 0, ..notice("n3", "ops", "b") }, 2).await, NoticeAdded::Kept);
    assert_eq!(add(&notice("n4", "ops", "c"), 2).await, NoticeAdded::Full);
    assert_eq!(add(&notice("n5", "ops", "a"), 2).await, NoticeAdded::Known, "known, full or not");
    assert_eq!(add(&notice("n6", "chat", "a"), 2).await, NoticeAdded::Kept, "another receiver's topics are its own");
    assert_eq!(add(&NoticeRecord { next_at: us(9), ..notice("n7", "chat", "b") }, 2).await, NoticeAdded::Kept);
    let long = NoticeRecord { content: "x".repeat(TEXT_BYTES_MAX + 1), ..notice("n8", "ops", "d") };
    assert!(matches!(store.add_notice(&long, 9).await, Err(StoreError::Limit(_))));

    assert_eq!(due(store, "ops", at(1)).await, ["n3", "n1"], "the urgent first");
    assert_eq!(due(store, "chat", at(8)).await, ["n6"]);
    assert_eq!(due(store, "chat", at(9)).await, ["n6", "n7"]);
    assert_eq!(store.due_notices("chat", 1, at(9)).await.unwrap().0, 2, "all are counted");
    assert_eq!(due(store, "ops", Timestamp::from_unix_us(us(1) - 1)).await, [""; 0]);
    assert_eq!(store.notice_counts().await.unwrap(), [("chat".to_owned(), 2, 0), ("ops".to_owned(), 2, 0)]);
}

async fn endings(store: &Store) {
    // Repetitions: told with the first, or after the time of counting.
    store.count_notice("ops", "a", 3).await.unwrap();
    store.notice_sent("n1", "C1/17.5", 1, at(2)).await.unwrap();
    let sent = store.notice("n1").await.unwrap().unwrap();
    assert_eq!((sent.status.as_str(), sent.more, sent.told, sent.tries), ("sent", 3, 1, 1));
    assert_eq!((sent.reference.as_str(), sent.done_at), ("C1/17.5", Some(us(2))));
    assert!(store.repeated_notices("ops", at(59)).await.unwrap().is_empty(), "still counted");
    let again: Vec<i64> =
        store.repeated_notices("ops", at(60)).await.unwrap().iter().map(|n| n.more - n.told).collect();
    assert_eq!(again, [2]);
    store.repetitions_told("n1", 3).await.unwrap();
    assert!(store.repeated_notices("ops", at(60)).await.unwrap().is_empty());
    store.notice_failed("n1", "late", None, at(3)).await.unwrap();
    assert_eq!(store.notice("n1").await.unwrap().unwrap().status, "sent", "what was sent does not fail any more");

    // Failures: later, then never; until somebody says so.
    store.notice_failed("n3", "refused", Some(at(5)), at(2)).await.unwrap();
    assert_eq!(due(store, "ops", at(4)).await, [""; 0]);
    assert_eq!(due(store, "ops", at(5)).await, ["n3"]);
    store.notice_failed("n3", "refused again", None, at(6)).await.unwrap();
    let dead = store.notice("n3").await.unwrap().unwrap();
    assert_eq!(
        (dead.status.as_str(), dead.tries, dead.error.as_str(), dead.done_at),
        ("dead", 2, "refused again", Some(us(6)))
    );
    assert_eq!(due(store, "ops", at(99)).await, [""; 0]);
    assert_eq!(store.notice_counts().await.unwrap(), [("chat".to_owned(), 2, 0), ("ops".to_owned(), 0, 1)]);
    assert!(store.retry_notice("n3", at(7)).await.unwrap());
    assert!(!store.retry_notice("n1", at(7)).await.unwrap(), "it was sent");
    assert!(!store.retry_notice("n0", at(7)).await.unwrap());
    assert_eq!(due(store, "ops", at(7)).await, ["n3"]);
    let longest = "é".repeat(NOTICE_ERROR_BYTES_MAX);
    assert!(matches!(store.notice_failed("n3", &longest, None, at(8)).await, Err(StoreError::Limit(_))));
    assert_eq!(notice_error(&longest).len(), NOTICE_ERROR_BYTES_MAX);
    assert_eq!(notice_error(&format!("x{longest}")).len(), NOTICE_ERROR_BYTES_MAX - 1, "whole characters");

    // Merging: all that is due, in one step with what tells of it.
    let summary = NoticeRecord {
        kind: "summary".into(),
        urgency: 0,
        window_until: 0,
        next_at: us(9),
        ..notice("s1", "chat", "s")
    };
    assert_eq!(store.merge_notices(&summary, at(8)).await.unwrap(), 1, "what is not due stays");
    assert_eq!(store.merged_notices("s1").await.unwrap(), [("alert".to_owned(), 1)]);
    assert_eq!(due(store, "chat", at(9)).await, ["s1", "n7"]);
    assert!(matches!(store.merge_notices(&summary, at(9)).await, Err(StoreError::Conflict(_))));
    assert_eq!(due(store, "chat", at(9)).await, ["s1", "n7"], "nothing was merged into what could not be added");

    // Threads.
    let thread = |id: &str, topic: &str| NoticeRecord { thread: "review/1".into(), ..notice(id, "ops", topic) };
    for (id, topic) in [("t1", "asked/1"), ("t2", "ended/1")] {
        assert_eq!(store.add_notice(&thread(id, topic), 9).await.unwrap(), NoticeAdded::Kept);
    }
    let of = async |thread| {
        let all = store.notices_of_thread("ops", thread).await.unwrap();
        all.into_iter().map(|n| n.id).collect::<Vec<_>>()
    };
    assert_eq!(of("review/1").await, ["t1", "t2"]);
    assert_eq!(of("").await, [""; 0], "no thread is no thread");
    store.supersede_notice("t1", "t2", at(9)).await.unwrap();
    assert_eq!(store.notice("t1").await.unwrap().unwrap().merged_into, "t2");

    let list = async |f: NoticeFilter| {
        let all = store.list_notices(&NoticeFilter { limit: f.limit.max(50), ..f }).await.unwrap();
        all.into_iter().map(|n| n.id).collect::<Vec<_>>()
    };
    let of = |receiver: &str, status: &str| NoticeFilter {
        receiver: Some(receiver.into()),
        status: (!status.is_empty()).then(|| status.into()),
        ..NoticeFilter::default()
    };
    assert_eq!(list(NoticeFilter::default()).await, ["t2", "t1", "s1", "n7", "n6", "n3", "n1"]);
    assert_eq!(list(of("ops", "sent")).await, ["n1"]);
    assert_eq!(list(NoticeFilter { before: Some("n7".into()), ..of("chat", "") }).await, ["n6"]);
    assert_eq!(store.list_notices(&NoticeFilter { limit: 1, ..NoticeFilter::default() }).await.unwrap().len(), 1);

    assert_eq!(store.remove_notices_over(at(59), at(1)).await.unwrap(), 0, "counted still");
    assert_eq!(store.remove_notices_over(at(61), at(1)).await.unwrap(), 3, "those that ended, and no others");
    assert_eq!(list(NoticeFilter::default()).await, ["t2", "s1", "n7", "n3"]);
    let alone = NoticeRecord { urgency: 1, ..notice("s2", "nobody", "s2") };
    assert_eq!(store.merge_notices(&alone, at(9)).await.unwrap(), 0);
    assert_eq!(store.notice("s2").await.unwrap(), None, "there was nothing to tell of");
    assert_eq!(store.remove_notices_over(at(0), at(2)).await.unwrap(), 4, "nobody fetches them any more");
}

async fn receivers(store: &Store) {
    let lease = async |gateway: &str, until, sole, now| {
        store.lease_notice_receiver("ops", gateway, at(until), sole, at(now)).await.unwrap()
    };
    let mut mine = lease("g1", 10, false, 1).await.unwrap();
    assert_eq!((mine.gateway.as_str(), mine.minute, mine.failing_since), ("g1", 0, None));
    assert_eq!(lease("g2", 12, false, 9).await, None, "it is another's");
    assert!(lease("g1", 20, false, 9).await.is_some(), "kept");
    assert_eq!(lease("g2", 22, false, 19).await, None);
    (mine.minute, mine.sent_in_minute, mine.failing_since) = (7, 3, Some(us(2)));
    (mine.error, mine.sent_at) = ("refused".to_owned(), Some(us(1)));
    assert!(store.keep_notice_receiver(&mine).await.unwrap());
    let theirs = lease("g2", 30, false, 20).await.unwrap();
    assert_eq!((theirs.gateway.as_str(), theirs.minute, theirs.sent_in_minute), ("g2", 7, 3), "the count goes on");
    assert!(!store.keep_notice_receiver(&mine).await.unwrap(), "it was taken over");
    assert!(lease("g3", 40, true, 21).await.is_some(), "of the only gateway nobody can be in the way");
    store.release_notice_receivers("g2").await.unwrap();
    assert_eq!(lease("g4", 40, false, 22).await, None, "it was not g2's");
    store.release_notice_receivers("g3").await.unwrap();
    assert!(lease("g4", 40, false, 22).await.is_some());
    let all = store.notice_receivers().await.unwrap();
    assert_eq!(all.iter().map(|r| (r.name.as_str(), r.error.as_str())).collect::<Vec<_>>(), [("ops", "refused")]);
}
