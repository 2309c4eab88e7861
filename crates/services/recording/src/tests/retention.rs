//! What is too old or beyond a budget goes, oldest first; what is open stays; removals are recorded.

use countersign_enforce::Refused;
use countersign_model::{ClientText, Culprit, DenialCode};

use super::*;
use crate::{RemovedRecord, Retention};

const DAY_US: i64 = 24 * 3600 * 1_000_000;

/// Fills several segments of a target; the recorder runs on with one open.
fn fill(recorder: &FileRecorder, n: u64, on: &str, dir: &Path) -> Writer {
    let mut w = Writer::new(recorder, n, "ci", on);
    for _ in 0..100 {
        w.intent(&[b'x'; 9000], b"").unwrap();
    }
    eventually("sealing", || files(&dir.join(on), "idx").len() >= 3);
    w
}

fn removed(dir: &Path) -> Vec<RemovedRecord> {
    let removal = |r: Record| match r.entry {
        RecordEntry::Removed(r) => Some(r),
        _ => None,
    };
    records(dir, &RecordFilter::default()).into_iter().filter_map(removal).collect()
}

fn recorder(dir: &Path, retention: Retention) -> FileRecorder {
    let targets = BTreeMap::from([(TargetName::parse("orders").unwrap(), retention)]);
    FileRecorder::start(RecordingConfig { targets, ..config(dir) }).unwrap()
}

#[test]
fn segments_go_when_their_last_entry_is_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(dir.path(), Retention { days: Some(2), budget_bytes: None });
    let _writers = (fill(&recorder, 1, "orders", dir.path()), fill(&recorder, 2, "stock", dir.path()));
    let sealed = files(&dir.path().join("orders"), "idx").len();
    let last = later(1, 10).unix_us();
    assert_eq!(recorder.apply_retention(Timestamp::from_unix_us(last + 2 * DAY_US)).unwrap(), 0, "at the edge");
    assert_eq!(recorder.apply_retention(Timestamp::from_unix_us(last + 2 * DAY_US + 1)).unwrap(), sealed);
    assert_eq!(files(&dir.path().join("orders"), "idx").len(), 0);
    assert!(!files(&dir.path().join("orders"), "seg").is_empty(), "the open one stays");
    assert!(files(&dir.path().join("stock"), "idx").len() >= 3, "the other target keeps everything");
    let removed = removed(dir.path());
    assert_eq!(removed.len(), sealed);
    assert!(
        removed.iter().all(|r| r.reason == "age" && r.journal == "orders" && r.entries > 0 && r.sha256.len() == 64)
    );
    // The session is still there, from what is left of it.
    let summary = Reader::new(dir.path()).sessions(&all_sessions()).unwrap();
    assert!(summary.sessions.iter().any(|s| s.target.as_str() == "orders" && s.truncated));
}

#[test]
fn a_budget_takes_the_oldest_and_never_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let budget = 600 << 10;
    let recorder = recorder(dir.path(), Retention { days: None, budget_bytes: Some(budget) });
    let _writer = fill(&recorder, 1, "orders", dir.path());
    let journal = dir.path().join("orders");
    let size = || files(&journal, "seg").iter().map(|p| p.metadata().unwrap().len()).sum::<u64>();
    recorder.apply_retention(at(1)).unwrap();
    eventually("the budget", || {
        recorder.apply_retention(at(1)).unwrap();
        size() <= budget
    });
    let removed = removed(dir.path());
    let numbers: Vec<u64> = removed.iter().map(|r| r.number).collect();
    assert!(numbers.is_sorted() && numbers[0] == 1, "oldest first: {numbers:?}");
    let kept = Reader::new(dir.path()).segments().unwrap();
    let oldest = kept.iter().filter(|s| s.journal == "orders" && s.sha256.is_some()).map(|s| s.number).min();
    assert!(oldest.is_none_or(|n| n > *numbers.last().unwrap()), "{oldest:?} {numbers:?}");
    assert!(removed.iter().all(|r| r.reason == "budget"));
    assert!(!files(&journal, "seg").is_empty());
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
}

#[test]
fn a_budget_smaller_than_what_is_open_removes_only_what_is_sealed() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = recorder(dir.path(), Retention { days: None, budget_bytes: Some(256 << 10) });
    let mut w = fill(&recorder, 1, "orders", dir.path());
    recorder.apply_retention(at(1)).unwrap();
    let seq = w.intent(b"still recorded", b"").unwrap().seq();
    let texts = texts(&of_session(dir.path(), 1));
    assert_eq!(texts.last().unwrap(), &(seq, b"still recorded".to_vec()));
}

#[test]
fn settings_can_change_while_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let _writer = fill(&recorder, 1, "orders", dir.path());
    let far = Timestamp::from_unix_us(at(1).unix_us() + 400 * DAY_US);
    assert_eq!(recorder.apply_retention(far).unwrap(), 0);
    assert!(
        recorder
            .set_retention(Retention { days: Some(0), budget_bytes: None }, Retention::default(), BTreeMap::new())
            .is_err()
    );
    assert_eq!(recorder.apply_retention(far).unwrap(), 0, "a wrong setting changes nothing");
    recorder
        .set_retention(Retention { days: Some(365), budget_bytes: None }, Retention::default(), BTreeMap::new())
        .unwrap();
    assert!(recorder.apply_retention(far).unwrap() >= 3);
    // What was removed is not removed again, and the record of it stays for good.
    assert_eq!(recorder.apply_retention(far).unwrap(), 0);
    recorder.shutdown();
    assert!(removed(dir.path()).len() >= 3);
    drop(recorder);
    let recorder = start(dir.path());
    recorder
        .set_retention(
            Retention { days: Some(1), budget_bytes: Some(256 << 10) },
            Retention::default(),
            BTreeMap::new(),
        )
        .unwrap();
    recorder.apply_retention(far).unwrap();
    assert!(removed(dir.path()).len() >= 3);
}

#[test]
fn refused_connections_have_a_retention_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let _writer = fill(&recorder, 1, "orders", dir.path());
    let journal = dir.path().join("_refused");
    let denial = Denial::new(Culprit::Client, DenialCode::Unauthenticated, ClientText::new("no"));
    let denial = denial.detail("x".repeat(30_000));
    for n in 0..40 {
        let source = "192.0.2.1:9".parse().unwrap();
        let id = SessionId::new(at(2), n);
        let one = Refused { id, at: at(2), source, protocol: "toy", user: "u", target: "t", denial: &denial };
        recorder.refused(&one).unwrap();
    }
    // Forty of 30 kB fill four segments and begin a fifth. A segment that is sealed after retention has run would still be there.
    eventually("sealing", || files(&journal, "idx").len() == 4);
    let budget = Retention { days: None, budget_bytes: Some(256 << 10) };
    recorder.set_retention(Retention::default(), budget, BTreeMap::new()).unwrap();
    recorder.apply_retention(at(3)).unwrap();
    assert_eq!(files(&journal, "idx").len(), 0, "what is sealed is beyond the budget");
    assert!(files(&dir.path().join("orders"), "idx").len() >= 3, "the target's recording is kept");
    assert!(removed(dir.path()).iter().all(|r| r.journal == "_refused" && r.reason == "budget"));
}
