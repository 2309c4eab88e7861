//! The limits that are not reached in passing, each at its edge; and what happens when the disk itself fails.

use countersign_model::{Culprit, DenialCode};

use super::*;
use crate::frame::SegmentHeader;
use crate::keeper::Keeper;
use crate::segment::{ActiveSegment, SegmentFile};
use crate::timeline::{Joiner, TimelineItem};

#[tokio::test]
async fn a_disk_that_fails_ends_the_sessions_that_wrote_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let slow = RecordingConfig { sync_interval: Duration::from_secs(60), ..config(dir.path()) };
    let recorder = FileRecorder::start(slow).unwrap();
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"one", b"").unwrap();
    let (journal, _) = recorder.first_shard("orders");
    let shard = &journal.shards[0];
    let waiting = shard.wait_for(u64::MAX).unwrap();
    shard.fail(&std::io::Error::other("I/O error"));
    assert!(waiting.await.unwrap().unwrap_err().contains("I/O error"));
    let denial = w.intent(b"two", b"").unwrap_err();
    assert_eq!((denial.code, denial.culprit), (DenialCode::RecorderUnavailable, Culprit::Us));
    assert!(w.close().is_err(), "for good");
    // New sessions begin in a new segment.
    let mut new = Writer::new(&recorder, 2, "ci", "orders");
    let receipt = new.intent(b"three", b"").unwrap();
    new.session.durable(receipt).await.unwrap();
    drop((w, new));
    drop(recorder);
    // The next start seals what the failure left open; what was written is there.
    drop(start(dir.path()));
    assert_eq!(texts(&of_session(dir.path(), 1)), [(1, b"one".to_vec())]);
    assert_eq!(texts(&of_session(dir.path(), 2)), [(1, b"three".to_vec())]);
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
}

#[test]
fn waiters_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let (journal, _) = recorder.first_shard("orders");
    let waits: Vec<_> = (0..65_536).map(|_| journal.shards[0].wait_for(u64::MAX).unwrap()).collect();
    assert_eq!(journal.shards[0].wait_for(u64::MAX).map(|_| ()).unwrap_err().code, DenialCode::RecorderUnavailable);
    assert!(journal.shards[0].wait_for(0).is_ok(), "what is on the disk needs no place");
    drop(waits);
}

#[test]
fn segments_that_wait_to_be_sealed_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::default();
    let segment = |number| {
        let header = SegmentHeader { number, shard: 0, instance: 1, created_at: 0, journal: "orders".to_owned() };
        let file = SegmentFile::create(dir.path().join(number.to_string()), header, 256 << 10).unwrap();
        Box::new(ActiveSegment::new(file).unwrap())
    };
    for n in 1..=64 {
        assert!(keeper.seal(segment(n)).is_ok(), "{n}");
    }
    assert_eq!(keeper.seal(segment(65)).map_err(|s| s.number()), Err(65), "it comes back");
}

#[test]
fn hints_have_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let (journal, _) = recorder.first_shard("orders");
    let keeper = Keeper::default();
    assert!((0..1024).all(|_| keeper.prepare(&journal, 0)));
    assert!(!keeper.prepare(&journal, 0));
}

#[test]
fn a_segment_ahead_of_need_is_not_used_out_of_turn() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let (journal, _) = recorder.first_shard("orders");
    let early = journal.create_segment(0, 0).unwrap();
    Writer::new(&recorder, 1, "ci", "orders").close().unwrap();
    let path = early.path.clone();
    journal.shards[0].prepared(Some(early));
    assert!(!path.exists(), "its number is below that of the active segment");
}

#[test]
fn statements_without_an_end_are_joined_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"x", b"").unwrap();
    w.outcome(1, OutcomeStatus::Done).unwrap();
    let got = of_session(dir.path(), 1);
    let [_, intent, outcome] = &got[..] else { panic!("{got:?}") };
    let mut joiner = Joiner::default();
    let mut numbered = |seq: u64| {
        let mut record = intent.clone();
        if let RecordEntry::Intent(i) = &mut record.entry {
            i.seq = seq;
        }
        joiner.add(record);
        joiner.pop().is_some()
    };
    assert!((1..=65_536).all(|seq| !numbered(seq)), "the limit itself waits");
    assert!(numbered(65_537), "one more, and they go on");
    while joiner.pop().is_some() {}
    joiner.add(outcome.clone());
    assert!(matches!(joiner.pop(), Some((_, TimelineItem::LateOutcome { .. }))));
}

#[test]
fn long_texts_are_remembered_up_to_a_limit() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = FileRecorder::start(RecordingConfig { segment_bytes: 4 << 20, ..config(dir.path()) }).unwrap();
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let text = |n: u64| format!("{n} {}", "x".repeat(5000)).into_bytes();
    let mut expected = Vec::new();
    for n in 1..=65 {
        w.intent(&text(n), b"").unwrap();
        expected.push((n, text(n)));
    }
    let used = || Reader::new(dir.path()).segments().unwrap()[0].bytes;
    let mut again = |same: u64, seq: u64| {
        let before = used();
        w.judged(&text(same), b"", Some(same), true).unwrap();
        expected.push((seq, text(same)));
        used() - before
    };
    assert!(again(65, 66) < 100, "a reference");
    assert!(again(2, 67) < 100, "the oldest that is remembered");
    assert!(again(1, 68) > 5000, "forgotten, so written again");
    assert!(again(1, 69) < 100, "and remembered again");
    assert!(texts(&of_session(dir.path(), 1)) == expected);
    // A text at the limit is short: it is never a reference.
    let short = vec![b'y'; 4096];
    let first = w.intent(&short, b"").unwrap().seq();
    let before = used();
    w.judged(&short, b"", Some(first), true).unwrap();
    assert!(used() - before > 4096);
}

#[test]
fn shapes_beyond_the_limit_are_defined_again_and_stay_right() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = FileRecorder::start(RecordingConfig { segment_bytes: 64 << 20, ..config(dir.path()) }).unwrap();
    let mut session = open(&recorder, 1, "ci", "orders");
    let allow = verdict(Decision::Allow);
    let shapes: Vec<_> = (0..8200).map(|n| shape(&format!("kind{n}"))).collect();
    for shape in shapes.iter().chain(&shapes[..10]) {
        let verdict = &allow;
        session
            .intent(&Intent {
                at: at(1),
                text: b"t",
                same_text_as: None,
                prepares: false,
                parameters: b"",
                shape,
                verdict,
            })
            .unwrap();
    }
    let kinds: Vec<_> = of_session(dir.path(), 1)
        .into_iter()
        .filter_map(|r| match r.entry {
            RecordEntry::Intent(i) => Some(i.definition.kind.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(kinds.len(), 8210);
    assert!(
        (0..8200).all(|n| kinds[n] == format!("kind{n}")) && (0..10).all(|n| kinds[8200 + n] == format!("kind{n}"))
    );
}
