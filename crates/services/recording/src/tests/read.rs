//! Listing, paging, timelines and following.

use super::*;
use crate::{SessionState, Tail, TailFrom, TimelineItem};

/// Thirty sessions over two targets and three identities, spread over several segments; every fifth has a denial.
fn recording() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    for n in 0..30 {
        let on = if n % 2 == 0 { "orders" } else { "stock" };
        let mut w = Writer::new(&recorder, n, &format!("who{}", n % 3), on);
        for _ in 0..5 {
            let seq = w.intent(&[b'x'; 9000], b"").unwrap().seq();
            w.outcome(seq, OutcomeStatus::Done).unwrap();
        }
        if n % 5 == 0 {
            w.judged(b"drop", b"", None, false).unwrap();
        }
        w.close().unwrap();
    }
    recorder.shutdown();
    assert!(files(&dir.path().join("orders"), "seg").len() >= 3);
    dir
}

#[test]
fn sessions_are_listed_newest_first_by_every_filter() {
    let dir = recording();
    let check = |change: &dyn Fn(&mut SessionFilter), expected: &dyn Fn(u64) -> bool| {
        let mut filter = all_sessions();
        change(&mut filter);
        let page = Reader::new(dir.path()).sessions(&filter).unwrap();
        let got: Vec<_> = page.sessions.iter().map(|s| s.id).collect();
        let expected: Vec<_> = (0..30).rev().filter(|n| expected(*n)).map(id).collect();
        assert_eq!(got, expected, "{filter:?}");
        assert!(page.problems.is_empty() && page.next.is_none());
    };
    check(&|_| {}, &|_| true);
    check(&|f| f.target = TargetName::parse("stock"), &|n| n % 2 == 1);
    check(&|f| f.target = TargetName::parse("nowhere"), &|_| false);
    check(&|f| f.identity = Some("who1".to_owned()), &|n| n % 3 == 1);
    check(&|f| f.identity = Some("sub-who2".to_owned()), &|n| n % 3 == 2);
    check(&|f| f.identity = Some("who".to_owned()), &|_| false);
    check(&|f| f.denied_only = true, &|n| n % 5 == 0);
    check(&|f| f.until = Some(at(10)), &|n| n < 10);
    check(&|f| f.since = Some(at(25)), &|n| n >= 25);
    check(&|f| f.since = Some(later(25, 91)), &|n| n >= 26);
    check(&|f| (f.since, f.until) = (Some(at(3)), Some(at(7))), &|n| (3..7).contains(&n));
    check(&|f| f.before = Some(id(4)), &|n| n < 4);
    check(
        &|f| (f.identity, f.denied_only, f.target) = (Some("who0".to_owned()), true, TargetName::parse("stock")),
        &|n| n == 15,
    );
    let all = Reader::new(dir.path()).sessions(&all_sessions()).unwrap().sessions;
    for s in all {
        let n = (s.started_at.unix_us() - at(0).unix_us()) / 1_000_000;
        let denied = u64::from(n % 5 == 0);
        assert_eq!((s.statements, s.denied, s.failed, s.rows), (5 + denied, denied, 0, 10), "session {n}");
        assert_eq!((s.state, s.close_reason.as_deref(), s.truncated), (SessionState::Closed, Some("client"), false));
        let bound = (CredentialBinding::Bound, Some("01JD3V0000000000000000000A"));
        let expected = if s.identity == "who0" { bound } else { (CredentialBinding::Bearer, None) };
        assert_eq!((s.credential, s.login.as_deref()), expected, "session {n}");
    }
}

#[test]
fn pages_join_without_gap_or_repeat() {
    let dir = recording();
    for limit in [1, 7, 29, 30, 31] {
        let reader = Reader::new(dir.path());
        let mut filter = SessionFilter { limit, ..SessionFilter::default() };
        let mut got = Vec::new();
        loop {
            let page = reader.sessions(&filter).unwrap();
            assert!(page.sessions.len() <= limit);
            // Counts are whole on every page, wherever the segments are cut.
            assert!(page.sessions.iter().all(|s| s.rows == 10 && s.state == SessionState::Closed));
            got.extend(page.sessions.iter().map(|s| s.id));
            match page.next {
                Some(next) => filter.before = Some(next),
                None => break,
            }
        }
        assert_eq!(got, (0..30).rev().map(id).collect::<Vec<_>>(), "limit {limit}");
    }
}

#[test]
fn an_index_that_is_missing_or_wrong_is_made_again() {
    let dir = recording();
    let list = || Reader::new(dir.path()).sessions(&all_sessions()).unwrap().sessions;
    let expected = list();
    let indexes = files(&dir.path().join("orders"), "idx");
    std::fs::remove_file(&indexes[0]).unwrap();
    std::fs::write(&indexes[1], b"CSIDX\r\n\x01nonsense").unwrap();
    std::fs::copy(files(&dir.path().join("stock"), "idx").first().unwrap(), &indexes[2]).unwrap();
    assert_eq!(list(), expected);
    let problems = Reader::new(dir.path()).verify().unwrap().problems;
    assert_eq!(problems.len(), 3, "{problems:?}");
    drop(start(dir.path()));
    assert!(indexes[0].exists(), "a start makes what is missing");
}

#[test]
fn a_timeline_joins_statements_with_their_ends_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    for text in [&b"one"[..], b"two", b"three"] {
        w.intent(text, b"").unwrap();
    }
    w.judged(b"denied", b"", None, false).unwrap();
    w.session.output(2, at(1), b"rows").unwrap();
    w.session.output(2, at(1), b"more").unwrap();
    // Pipelined: ends come in another order than beginnings, and the last never comes.
    w.outcome(2, OutcomeStatus::Failed).unwrap();
    w.outcome(1, OutcomeStatus::Done).unwrap();
    w.outcome(99, OutcomeStatus::Done).unwrap();
    let reader = Reader::new(dir.path());
    let words = |items: &[TimelineItem]| -> Vec<String> {
        let word = |i: &TimelineItem| match i {
            TimelineItem::Opened { .. } => "opened".to_owned(),
            TimelineItem::Statement(s) => {
                let end = s.outcome.as_ref().map_or("-", |(_, o)| o.status);
                format!("{} {end} {}", String::from_utf8_lossy(&s.intent.text), s.output_bytes)
            }
            TimelineItem::LateOutcome { outcome, .. } => format!("late {}", outcome.seq),
            TimelineItem::Closed { closed, .. } => format!("closed {}", closed.reason),
            other => format!("{other:?}"),
        };
        items.iter().map(word).collect()
    };
    let all = reader.timeline(id(1), 0, 100).unwrap();
    assert_eq!(words(&all.items), ["opened", "one done 0", "two failed 8", "three - 0", "denied - 0", "late 99"]);
    w.close().unwrap();
    let mut paged = Vec::new();
    let mut after = 0;
    loop {
        let page = reader.timeline(id(1), after, 2).unwrap();
        paged.extend(words(&page.items));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    let whole = ["opened", "one done 0", "two failed 8", "three - 0", "denied - 0", "late 99", "closed client"];
    assert_eq!(paged, whole);
    let missing = reader.timeline(id(77), 0, 1).unwrap_err().to_string();
    assert!(missing.contains(&id(77).to_string()), "{missing}");
}

#[test]
fn records_are_filtered_by_time_identity_and_target() {
    let dir = recording();
    let count = |filter: RecordFilter| {
        records(dir.path(), &filter).iter().filter(|r| matches!(r.entry, RecordEntry::Intent(_))).count()
    };
    assert_eq!(count(RecordFilter::default()), 156);
    assert_eq!(count(RecordFilter { target: TargetName::parse("orders"), ..RecordFilter::default() }), 78);
    assert_eq!(count(RecordFilter { identity: Some("who0".to_owned()), ..RecordFilter::default() }), 52);
    assert_eq!(count(RecordFilter { since: Some(at(29)), ..RecordFilter::default() }), 5);
    assert_eq!(count(RecordFilter { until: Some(at(1)), ..RecordFilter::default() }), 6);
}

#[test]
fn following_sees_everything_once_across_segments() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"before", b"").unwrap();
    let reader = Reader::new(dir.path());
    let mut now = reader.tail(&RecordFilter::default(), TailFrom::Now).unwrap();
    let mut whole = reader.tail(&RecordFilter::default(), TailFrom::Start).unwrap();
    let mut other = reader
        .tail(&RecordFilter { target: TargetName::parse("stock"), ..RecordFilter::default() }, TailFrom::Now)
        .unwrap();
    assert!(now.poll(100).unwrap().is_empty());
    let mut got = (Vec::new(), Vec::new());
    let poll = |tail: &mut Tail, into: &mut Vec<_>| {
        loop {
            let records = tail.poll(3).unwrap();
            if records.is_empty() {
                break;
            }
            assert!(records.len() <= 3);
            into.extend(texts(&records));
        }
    };
    let mut expected = Vec::new();
    for n in 2..60_u64 {
        let text = format!("{n} {}", "x".repeat(20_000)).into_bytes();
        w.intent(&text, b"").unwrap();
        expected.push((n, text));
        if n % 4 == 0 {
            poll(&mut now, &mut got.0);
            assert_eq!(got.0.len(), expected.len(), "at once");
        }
        if n % 17 == 0 {
            poll(&mut whole, &mut got.1);
        }
    }
    w.close().unwrap();
    recorder.shutdown();
    poll(&mut now, &mut got.0);
    poll(&mut whole, &mut got.1);
    assert!(files(&dir.path().join("orders"), "seg").len() > 3);
    assert!(got.0 == expected);
    expected.insert(0, (1, b"before".to_vec()));
    assert!(got.1 == expected);
    assert!(other.poll(100).unwrap().is_empty());
}

#[test]
fn reading_while_writing_sees_whole_entries_only() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"0", b"").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut last = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let texts = texts(&of_session(dir.path(), 1));
                for (i, (seq, text)) in texts.iter().enumerate() {
                    assert_eq!(*seq, i as u64 + 1);
                    assert!(text.starts_with(i.to_string().as_bytes()));
                }
                assert!(texts.len() >= last, "{} after {last}", texts.len());
                last = texts.len();
            }
        });
        for i in 1..3000_u64 {
            w.intent(format!("{i} {}", "z".repeat(usize::try_from(i % 900).unwrap())).as_bytes(), b"").unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_eq!(texts(&of_session(dir.path(), 1)).len(), 3000);
}

#[test]
fn a_folder_that_is_not_there_has_no_sessions() {
    let reader = Reader::new("/nonexistent/countersign");
    assert!(reader.sessions(&all_sessions()).unwrap().sessions.is_empty());
    assert!(reader.segments().unwrap().is_empty());
    assert!(reader.session(id(1)).is_err());
}
