//! Grants: given once, counted exactly, over by themselves.

use countersign_store::{GrantEndRecord, GrantFilter, GrantRecord, ReviewRecord, Store, StoreError, TEXT_BYTES_MAX};

use crate::at;

fn grant(id: &str, uses_max: Option<u32>) -> GrantRecord {
    GrantRecord {
        id: id.into(),
        status: "requested".into(),
        issuer: "https://a".into(),
        subject: "ana".into(),
        target: "shop".into(),
        content: r#"{"reason":"it's"}"#.into(),
        at_once: false,
        lasts_us: 100_000_000,
        uses_max,
        uses: 0,
        created_at: at(1),
        given_at: None,
        start_by: None,
        started_at: None,
        ends_at: None,
        ended: None,
    }
}

fn review(id: &str, status: &str) -> ReviewRecord {
    ReviewRecord {
        id: id.into(),
        kind: "grant".into(),
        version: 1,
        status: status.into(),
        issuer: "https://a".into(),
        subject: "eve".into(),
        session: String::new(),
        action: String::new(),
        binding: String::new(),
        content: String::new(),
        gateway: String::new(),
        lease_until: at(1),
        created_at: at(1),
        expires_at: at(900),
        ended: None,
    }
}

pub(crate) async fn suite(store: &Store) {
    let ids = |all: Vec<GrantRecord>| all.into_iter().map(|g| g.id).collect::<Vec<_>>();
    let live = async |s: i64| ids(store.live_grants(at(s)).await.unwrap().1);
    let end = |by: &str| GrantEndRecord { at: at(60), by: by.into(), why: "done".into() };
    assert_eq!(store.grant("g1").await.unwrap(), None);
    let before = store.grant_changes().await.unwrap();
    store.add_grant(&grant("g1", None)).await.unwrap();
    assert_eq!(store.grant("g1").await.unwrap(), Some(grant("g1", None)));
    assert!(matches!(store.add_grant(&grant("g1", None)).await, Err(StoreError::Conflict(_))));
    assert!(store.grant_changes().await.unwrap() > before);
    assert!(!store.use_grant("g1", at(2)).await.unwrap(), "nobody has said yes");
    assert_eq!(live(2).await, [""; 0]);

    // Given once; it starts with its first use, and ends by itself.
    assert!(store.give_grant("g1", at(5), at(50), None).await.unwrap());
    assert!(!store.give_grant("g1", at(6), at(500), None).await.unwrap(), "given once");
    assert_eq!((live(49).await, live(50).await), (vec!["g1".to_owned()], vec![]), "unused, it is over by then");
    let before = store.grant_changes().await.unwrap();
    assert!(store.use_grant("g1", at(20)).await.unwrap());
    assert!(store.grant_changes().await.unwrap() > before);
    let started = store.grant("g1").await.unwrap().unwrap();
    assert_eq!((started.started_at, started.ends_at, started.uses), (Some(at(20)), Some(at(120)), 0));
    assert!(store.use_grant("g1", at(119)).await.unwrap());
    assert_eq!(store.grant("g1").await.unwrap().unwrap(), started, "a later use moves nothing");
    assert!(!store.use_grant("g1", at(120)).await.unwrap());
    assert_eq!((live(119).await, live(120).await), (vec!["g1".to_owned()], vec![]));

    // Of two who use the last one, one does.
    store.add_grant(&grant("g2", Some(3))).await.unwrap();
    assert!(store.give_grant("g2", at(5), at(50), Some((at(30), at(130)))).await.unwrap());
    assert!(!store.use_grant("g2", at(29)).await.unwrap(), "it has not begun");
    assert!(store.use_grant("g2", at(30)).await.unwrap());
    let each = [0; 6].map(|_| store.use_grant("g2", at(31)));
    let [a, b, c, d, e, f] = each;
    let all = tokio::join!(a, b, c, d, e, f);
    let used = [all.0, all.1, all.2, all.3, all.4, all.5].into_iter().filter(|u| *u.as_ref().unwrap()).count();
    assert_eq!((used, store.grant("g2").await.unwrap().unwrap().uses), (2, 3));

    // Ended once, and not given any more.
    assert!(store.end_grant("g2", &end("ana")).await.unwrap());
    assert!(!store.end_grant("g2", &end("bob")).await.unwrap());
    assert_eq!(store.grant("g2").await.unwrap().unwrap().ended, Some(end("ana")));
    assert!(!store.use_grant("g2", at(40)).await.unwrap());
    assert_eq!(store.add_grant(&grant("g3", None)).await.unwrap(), None);
    assert!(store.end_grant("g3", &end("ana")).await.unwrap());
    assert!(!store.give_grant("g3", at(70), at(99), None).await.unwrap(), "ended before it was given");

    store.add_grant(&grant("g4", None)).await.unwrap();
    let list = async |filter: GrantFilter| ids(store.list_grants(&GrantFilter { limit: 9, ..filter }).await.unwrap());
    assert_eq!(list(GrantFilter::default()).await, ["g4", "g3", "g2", "g1"]);
    assert_eq!(list(GrantFilter { live_at: Some(at(100)), ..GrantFilter::default() }).await, ["g4", "g1"]);
    assert_eq!(list(GrantFilter { before: Some("g3".into()), ..GrantFilter::default() }).await, ["g2", "g1"]);

    // What is open is always there, whatever is newer; of what is over, the newest.
    let marks = async |latest: u32, s: i64| {
        let all = store.grant_marks(latest, at(s)).await.unwrap();
        all.into_iter().map(|m| format!("{} {} {} {}", m.id, m.status, m.uses, m.started)).collect::<Vec<_>>()
    };
    assert_eq!(marks(0, 119).await, ["g4 requested 0 false", "g1 active 0 true"]);
    assert_eq!(marks(0, 120).await, ["g4 requested 0 false"]);
    assert_eq!(marks(2, 119).await, ["g4 requested 0 false", "g3 ended 0 false", "g1 active 0 true"]);
    assert_eq!(
        store.grant_mark("g2").await.unwrap().map(|m| (m.status, m.uses, m.started)),
        Some(("ended".into(), 3, true))
    );
    assert_eq!(store.grant_mark("g9").await.unwrap(), None);

    let long = GrantRecord { content: "x".repeat(TEXT_BYTES_MAX + 1), ..grant("g5", None) };
    assert!(matches!(store.add_grant(&long).await, Err(StoreError::Limit(_))));
}

/// What was taken at once stands in the way of another one until its review is answered, also of one at the same time.
pub(crate) async fn at_once(store: &Store) {
    let taken = |id: &str| GrantRecord { subject: "eve".into(), at_once: true, ..grant(id, None) };
    let add = async |id: &str| store.add_grant(&taken(id)).await.unwrap();
    let unreviewed = async || store.unreviewed_grant("https://a", "eve").await.unwrap();
    let mut version = 1;
    assert!(store.add_review(&review("o1", "pending"), 100, 100).await.unwrap());
    assert_eq!(add("o1").await, None);
    for status in ["pending", "approved", "expired", "withdrawn"] {
        version += 1;
        assert!(store.change_review(&ReviewRecord { version, ..review("o1", status) }, None).await.unwrap());
        assert_eq!(unreviewed().await.as_deref(), Some("o1"), "{status}");
        assert_eq!(add("o2").await.as_deref(), Some("o1"), "{status}");
        assert_eq!(store.grant("o2").await.unwrap(), None);
    }
    // It is in nobody else's way, nor in that of what is asked for before it is given.
    let mal = GrantRecord { subject: "mal".into(), ..taken("o3") };
    assert_eq!(store.add_grant(&mal).await.unwrap(), None);
    assert_eq!(store.add_grant(&GrantRecord { at_once: false, ..taken("o4") }).await.unwrap(), None);
    for status in ["used", "denied"] {
        version += 1;
        assert!(store.change_review(&ReviewRecord { version, ..review("o1", status) }, None).await.unwrap());
        assert_eq!(unreviewed().await, None, "{status}");
    }
    let each = ["a", "b", "c", "d"].map(|id| async move {
        assert!(store.add_review(&review(id, "pending"), 100, 100).await.unwrap());
        store.add_grant(&taken(id)).await.unwrap().is_none()
    });
    let [a, b, c, d] = each;
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    assert_eq!([a, b, c, d].into_iter().filter(|done| *done).count(), 1, "of all at the same time, one");
}
