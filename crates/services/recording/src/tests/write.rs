//! What is written comes back: every kind of entry, across segments, sessions and threads, and only what is meant to be written.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use countersign_enforce::{Refused, SessionEvent};
use countersign_model::{ClientText, Culprit, DenialCode, PARAMETERS_MAX};
use sha2::{Digest, Sha256};

use super::*;
use crate::{ClosedRecord, Event, IntentRecord, OutcomeRecord, Parameters, RecordingError};

fn denial() -> Denial {
    Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new("bad message")).detail("byte 3")
}

fn intent(entry: &RecordEntry) -> &IntentRecord {
    match entry {
        RecordEntry::Intent(i) => i,
        other => panic!("not an intent: {other:?}"),
    }
}

#[test]
fn every_entry_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let too_long = vec![7_u8; PARAMETERS_MAX + 1];
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let connected = SessionEvent::Connected { account: "app_rw", target_session: "pid 77" };
    w.session.event(later(1, 1), &connected).unwrap();
    assert_eq!(w.intent(b"update t set a = $1", b"\x00\x01bind").unwrap().seq(), 1);
    w.session.output(1, later(1, 20), b"row\x00\xff").unwrap();
    w.outcome(1, OutcomeStatus::Done).unwrap();
    w.judged(b"drop table t \xff", b"", None, false).unwrap();
    w.intent(b"update u", &too_long[1..]).unwrap();
    w.intent(b"update u", &too_long).unwrap();
    w.outcome(4, OutcomeStatus::Failed).unwrap();
    w.session.event(later(1, 70), &SessionEvent::Cancelled).unwrap();
    w.session.event(later(1, 71), &SessionEvent::Alert { severity: "high", seq: 2 }).unwrap();
    w.session.event(later(1, 72), &SessionEvent::Rejected(&denial())).unwrap();
    w.session.close(&Closed { at: later(1, 90), reason: CloseReason::Denied, denial: Some(&denial()) }).unwrap();

    let check = |recorder_runs: bool| {
        let got = of_session(dir.path(), 1);
        let header = got[0].header.clone().unwrap();
        assert_eq!(header.identity, *identity("ci"));
        assert_eq!((header.target.as_str(), header.protocol.as_str(), header.durable), ("orders", "wire", true));
        assert_eq!(header.labels["env"], "prod");
        assert_eq!((header.application.as_str(), header.part.as_str()), ("app\u{1b}[31m", "shop"));
        let mut entries: Vec<RecordEntry> = got.into_iter().map(|r| r.entry).collect();
        entries.retain(|e| *e != RecordEntry::Continued);
        assert_eq!(entries.len(), 13, "recorder runs: {recorder_runs}");
        let first = intent(&entries[2]);
        assert_eq!((first.seq, &first.text[..]), (1, &b"update t set a = $1"[..]));
        assert_eq!(first.parameters, Parameters::Kept(b"\x00\x01bind".to_vec()));
        assert_eq!(first.definition.verdict, verdict(Decision::Allow));
        assert_eq!((first.definition.kind.as_str(), first.definition.access), ("update", Access::Write));
        assert_eq!(first.definition.uses[0].attributes["relations"], serde_json::json!(["public.orders"]));
        assert_eq!(intent(&entries[5]).definition.verdict, verdict(Decision::Deny));
        assert_eq!(intent(&entries[5]).text.last(), Some(&0xff));
        assert_eq!(intent(&entries[6]).parameters, Parameters::Kept(too_long[1..].to_vec()), "the limit is kept");
        let digest = Parameters::Digest { bytes: too_long.len() as u64, sha256: Sha256::digest(&too_long).into() };
        assert_eq!(intent(&entries[7]).parameters, digest);
        let outcome = |seq, status, code: Option<&str>| {
            let code = code.map(str::to_owned);
            RecordEntry::Outcome(OutcomeRecord {
                seq,
                status,
                duration_us: 50,
                rows: 2,
                bytes: 30,
                affected: Some(1),
                masked: masked().into_iter().collect(),
                code,
            })
        };
        let connected = Event::Connected { account: "app_rw".to_owned(), target_session: "pid 77".to_owned() };
        for (i, expected) in [
            (0, RecordEntry::Opened),
            (1, RecordEntry::Event(connected)),
            (3, RecordEntry::Output { seq: 1, bytes: b"row\x00\xff".to_vec() }),
            (4, outcome(1, "done", None)),
            (8, outcome(4, "failed", Some("23505"))),
            (9, RecordEntry::Event(Event::Cancelled)),
            (10, RecordEntry::Event(Event::Alert { severity: "high".to_owned(), intent: 2 })),
            (11, RecordEntry::Event(Event::Rejected { denial: denial() })),
            (12, RecordEntry::Closed(ClosedRecord { reason: "denied".to_owned(), denial: Some(denial()) })),
        ] {
            assert_eq!(entries[i], expected, "entry {i}");
        }
    };
    check(true);
    drop(w);
    drop(recorder);
    check(false);
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
}

#[test]
fn sessions_go_on_across_segments_and_each_is_readable_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let long = vec![b'x'; 10 << 10];
    let mut expected = Vec::new();
    for n in 1..=200_u64 {
        // Every third runs the long text again; the others have one of their own.
        let own = format!("update t set n = {n} -- {}", "y".repeat(5000));
        let text = if n % 3 == 1 { long.clone() } else { own.into_bytes() };
        let same = (n % 3 == 1 && n > 1).then_some(1);
        assert_eq!(w.judged(&text, b"", same, true).unwrap().seq(), n);
        w.outcome(n, OutcomeStatus::Done).unwrap();
        expected.push((n, text));
    }
    w.close().unwrap();
    drop(w);
    drop(recorder);
    let journal = dir.path().join("orders");
    let segments = files(&journal, "seg");
    assert!(segments.len() > 2, "{segments:?}");
    assert_eq!(files(&journal, "idx").len(), segments.len());
    assert_eq!(texts(&of_session(dir.path(), 1)), expected);
    // The repeated text is there once per segment: 67 times 10 KiB would not fit into what the segments take.
    let total: u64 = segments.iter().map(|p| p.metadata().unwrap().len()).sum();
    assert!(total < 133 * 5200 + 67 * 5000, "{total}");
    // Any one segment without the others.
    for segment in &segments[1..] {
        let alone = tempfile::tempdir().unwrap();
        let folder = alone.path().join("orders");
        std::fs::create_dir(&folder).unwrap();
        std::fs::copy(segment, folder.join(segment.file_name().unwrap())).unwrap();
        let got = of_session(alone.path(), 1);
        assert!(got.iter().all(|r| r.header.is_some()) && !texts(&got).is_empty());
        let summary = Reader::new(alone.path()).session(id(1)).unwrap();
        assert!(summary.truncated, "its beginning is elsewhere");
    }
    let summary = Reader::new(dir.path()).session(id(1)).unwrap();
    assert_eq!((summary.statements, summary.truncated, summary.state), (200, false, crate::SessionState::Closed));
}

#[test]
fn an_entry_larger_than_a_segment_gets_one_made_to_measure() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"small", b"").unwrap();
    let huge = vec![b'z'; 9 << 20];
    w.intent(&huge, b"").unwrap();
    w.intent(b"small again", b"").unwrap();
    let over = vec![b'z'; 64 << 20];
    let denial = w.intent(&over, b"").unwrap_err();
    assert_eq!((denial.code, denial.culprit), (DenialCode::Oversize, Culprit::Client));
    w.close().unwrap();
    drop(w);
    drop(recorder);
    let expected = vec![(1, b"small".to_vec()), (2, huge), (3, b"small again".to_vec())];
    assert!(texts(&of_session(dir.path(), 1)) == expected);
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
}

#[test]
fn threads_and_sessions_do_not_mix() {
    const THREADS: u64 = 8;
    const SESSIONS: u64 = 6;
    const INTENTS: u64 = 150;
    let dir = tempfile::tempdir().unwrap();
    let recorder = FileRecorder::start(RecordingConfig { shards: 3, ..config(dir.path()) }).unwrap();
    std::thread::scope(|scope| {
        for t in 0..THREADS {
            let recorder = &recorder;
            scope.spawn(move || {
                let mut writers: Vec<Writer> =
                    (0..SESSIONS).map(|s| Writer::new(recorder, t * 100 + s, &format!("id-{t}"), "orders")).collect();
                for i in 0..INTENTS {
                    for w in &mut writers {
                        let text =
                            format!("session {} intent {i} {}", w.n, "p".repeat(usize::try_from(i).unwrap() * 7));
                        let receipt = w.intent(text.as_bytes(), b"").unwrap();
                        w.outcome(receipt.seq(), OutcomeStatus::Done).unwrap();
                    }
                }
                writers.iter_mut().for_each(|w| w.close().unwrap());
            });
        }
    });
    drop(recorder);
    assert!(files(&dir.path().join("orders"), "seg").len() > 3);
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
    for t in 0..THREADS {
        for s in 0..SESSIONS {
            let n = t * 100 + s;
            let got = of_session(dir.path(), n);
            assert!(got.iter().all(|r| r.header.as_ref().unwrap().identity.name == format!("id-{t}")));
            let texts = texts(&got);
            assert_eq!(texts.len() as u64, INTENTS);
            for (i, (seq, text)) in texts.iter().enumerate() {
                assert_eq!(*seq, i as u64 + 1);
                assert!(text.starts_with(format!("session {n} intent {i} ").as_bytes()));
            }
        }
    }
    assert_eq!(Reader::new(dir.path()).sessions(&all_sessions()).unwrap().sessions.len() as u64, THREADS * SESSIONS);
}

#[test]
fn definitions_are_written_once_per_meaning() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut session = open(&recorder, 1, "ci", "orders");
    let allow = verdict(Decision::Allow);
    let used = |dir: &Path| Reader::new(dir).segments().unwrap()[0].bytes;
    let mut record = |shape: &Shape, verdict: &Verdict| {
        let intent =
            Intent { at: at(1), text: b"t", same_text_as: None, prepares: false, parameters: b"", shape, verdict };
        session.intent(&intent).unwrap();
        used(dir.path())
    };
    let one = shape("update");
    let before = record(&one, &allow);
    let repeated = record(&one, &allow) - before;
    // Another shape object that means the same, as when a text was not in a cache.
    let again = record(&shape("update"), &allow) - before - repeated;
    assert_eq!(repeated, again);
    assert!(repeated <= 48, "{repeated}");
    let now = used(dir.path());
    let other = record(&one, &Verdict { epoch: 4, ..allow.clone() }) - now;
    assert!(other > 300, "another verdict is another definition: {other}");
}

#[tokio::test]
async fn durable_waits_share_syncs_and_resolve() {
    let dir = tempfile::tempdir().unwrap();
    let config = RecordingConfig { sync_interval: Duration::from_secs(60), ..config(dir.path()) };
    let recorder = FileRecorder::start(config).unwrap();
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let mut other = Writer::new(&recorder, 2, "ci", "orders");
    let receipt = w.intent(b"update", b"").unwrap();
    // The interval is a minute: it is the waiting that makes the sync happen.
    let began = Instant::now();
    w.session.durable(receipt).await.unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let receipt = other.intent(b"update", b"").unwrap();
            other.session.durable(receipt)
        })
        .collect();
    for wait in waiting {
        wait.await.unwrap();
    }
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Nothing new was written: no wait at all.
    w.session.durable(receipt).await.unwrap();
}

#[tokio::test]
async fn durable_waits_cover_segments_that_were_left_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    for _ in 0..20 {
        let receipt = w.intent(&vec![b'x'; 40 << 10], b"").unwrap();
        w.session.durable(receipt).await.unwrap();
    }
    let receipt = w.intent(b"last", b"").unwrap();
    let wait = w.session.durable(receipt);
    recorder.shutdown();
    wait.await.unwrap();
    let denial = w.intent(b"too late", b"").unwrap_err();
    assert_eq!(denial.code, DenialCode::RecorderUnavailable);
}

/// Small ones go through memory and large ones by the system's call, into one file: they stand in it in their order, at the edge between the
/// two and beyond segments, and while it runs they are read as they will be read later.
#[test]
fn outputs_of_all_sizes_come_back_in_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let seq = w.intent(b"select", b"").unwrap().seq();
    let edge = 8 << 10;
    let sizes = [2, 1, edge - 1, edge, edge + 1, 3, 100_000, edge, 7, 40_000];
    let made: Vec<Vec<u8>> = (0..60_usize)
        .map(|n| (0..sizes[n % sizes.len()]).map(|i| u8::try_from((n * 31 + i * 7) % 251).unwrap()).collect())
        .collect();
    let got = || -> Vec<Vec<u8>> {
        let output = |r: Record| match r.entry {
            RecordEntry::Output { bytes, .. } => Some(bytes),
            _ => None,
        };
        of_session(dir.path(), 1).into_iter().filter_map(output).collect()
    };
    for (n, bytes) in made.iter().enumerate() {
        w.session.output(seq, later(1, 20), bytes).unwrap();
        if n % 9 == 0 {
            assert_eq!(got(), made[..=n], "while it is written");
        }
    }
    w.outcome(seq, OutcomeStatus::Done).unwrap();
    w.close().unwrap();
    drop(recorder);
    drop(start(dir.path()));
    assert!(files(&dir.path().join("orders"), "idx").len() >= 4, "several segments");
    assert!(got() == made);
    assert_eq!(Reader::new(dir.path()).verify().unwrap().problems, []);
}

#[test]
fn refused_connections_have_a_journal_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let refused = Refused {
        id: id(9),
        at: at(9),
        source: SocketAddr::from(([192, 0, 2, 9], 1)),
        protocol: "wire",
        user: &"u".repeat(300),
        target: "nowhere",
        denial: &denial(),
    };
    recorder.refused(&refused).unwrap();
    let got = records(dir.path(), &RecordFilter::default());
    let RecordEntry::Refused(r) = &got[0].entry else { panic!("{got:?}") };
    assert_eq!((r.id, r.user.len(), r.target.as_str(), &r.denial), (id(9), 256, "nowhere", &denial()));
    assert_eq!(got[0].header, None);
    assert_eq!(Reader::new(dir.path()).sessions(&all_sessions()).unwrap().sessions, []);
    assert!(dir.path().join("_refused/000000000001.seg").exists());
}

#[test]
fn a_folder_has_one_writer_and_only_its_owner_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("recordings");
    let recorder = start(&root);
    let second = FileRecorder::start(config(&root)).map(|_| ()).unwrap_err();
    assert!(matches!(second, RecordingError::Locked { .. }), "{second}");
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"x", b"").unwrap();
    let mode = |p: &Path| p.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("orders")), 0o700);
    assert_eq!(mode(&root.join(".lock")), 0o600);
    assert_eq!(mode(&root.join("orders/000000000001.seg")), 0o600);
    drop(w);
    drop(recorder);
    assert_eq!(mode(&root.join("orders/000000000001.seg")), 0o600);
    assert_eq!(mode(&root.join("orders/000000000001.idx")), 0o600);
    drop(start(&root));
}

#[test]
fn a_check_says_whether_it_could_be_written_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("recordings");
    let recorder = start(&root);
    let files = || std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().file_name()).collect::<Vec<_>>();
    let before = files();
    recorder.check().unwrap();
    recorder.check().unwrap();
    assert_eq!(files(), before);
    std::fs::rename(&root, dir.path().join("elsewhere")).unwrap();
    assert!(recorder.check().unwrap_err().to_string().contains("recordings/.check"));
    std::fs::rename(dir.path().join("elsewhere"), &root).unwrap();
    recorder.check().unwrap();
    recorder.shutdown();
    assert!(matches!(recorder.check(), Err(RecordingError::Stopped)));
}

#[test]
fn sessions_on_an_idle_target_share_a_file_and_unused_space_is_given_back() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = FileRecorder::start(RecordingConfig::new(dir.path())).unwrap();
    for n in 0..40 {
        Writer::new(&recorder, n, "ci", "orders").close().unwrap();
    }
    let journal = dir.path().join("orders");
    assert!(files(&journal, "seg").len() <= 4, "one per shard");
    drop(recorder);
    let left = files(&journal, "seg");
    assert!(left.iter().all(|p| p.metadata().unwrap().len() < 64 << 10), "{left:?}");
    // A start without sessions leaves nothing behind.
    let before = files(&journal, "seg");
    drop(start(dir.path()));
    assert_eq!(files(&journal, "seg"), before);
}

#[test]
fn a_segment_is_sealed_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let age = Duration::from_secs(1);
    let recorder = FileRecorder::start(RecordingConfig { segment_age: age, ..config(dir.path()) }).unwrap();
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    w.intent(b"one", b"").unwrap();
    eventually("sealing", || files(&dir.path().join("orders"), "idx").len() == 1);
    // The session goes on in the next segment, and is live all the while.
    let state = || Reader::new(dir.path()).session(id(1)).unwrap().state;
    assert_eq!(state(), crate::SessionState::Live);
    w.intent(b"two", b"").unwrap();
    w.close().unwrap();
    assert_eq!(state(), crate::SessionState::Closed);
    assert_eq!(texts(&of_session(dir.path(), 1)), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
}

#[test]
fn an_identity_too_large_to_record_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let denial = try_open(&recorder, 1, &"n".repeat(200 << 10), "orders").map(|_| ()).unwrap_err();
    assert_eq!(denial.code, DenialCode::Oversize);
    assert!(try_open(&recorder, 2, &"n".repeat(100 << 10), "orders").is_ok());
}

/// The types that the recorder takes hold no credential; this looks at the bytes all the same.
#[test]
fn adv_008_no_token_is_in_a_recording() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let token = countersign_model::Secret::from("eyJhbGciOi.SECRET.TOKEN".to_owned());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let detail = format!("token {token:?} was refused");
    let refusal = denial().detail(&detail);
    w.session.event(at(1), &SessionEvent::Rejected(&refusal)).unwrap();
    w.session.event(at(1), &SessionEvent::Connected { account: "app", target_session: "1" }).unwrap();
    w.close().unwrap();
    drop(w);
    drop(recorder);
    let mut seen = 0;
    for journal in ["orders"] {
        for extension in ["seg", "idx"] {
            for file in files(&dir.path().join(journal), extension) {
                let bytes = std::fs::read(&file).unwrap();
                let has = |needle: &[u8]| bytes.windows(needle.len()).any(|w| w == needle);
                assert!(!has(b"eyJ") && !has(b"SECRET"), "{file:?}");
                seen += usize::from(has(b"[secret]") || has(b"sub-ci"));
            }
        }
    }
    assert_eq!(seen, 2, "the segment and its index were looked at");
}

/// Runs inside a mount namespace of its own, on a file system of 2 MiB.
#[test]
#[ignore = "started by adv_002_a_full_disk_ends_the_session"]
fn full_disk_child() {
    let Some(dir) = std::env::var_os("COUNTERSIGN_TEST_DIR") else { return };
    let dir = Path::new(&dir);
    let recorder = FileRecorder::start(RecordingConfig { segment_bytes: 64 << 20, ..config(dir) }).unwrap();
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    let mut last = 0;
    let denial = loop {
        match w.intent(&[b'q'; 2000], b"") {
            Ok(receipt) => last = receipt.seq(),
            Err(denial) => break denial,
        }
        assert!(last < 10_000, "the disk never filled");
    };
    assert!(last > 100, "{last}");
    assert_eq!((denial.code, denial.culprit), (DenialCode::RecorderUnavailable, Culprit::Us));
    assert!(!denial.message.as_str().contains("space"), "the client learns no more than that");
    assert!(denial.detail.unwrap().contains("No space left"));
    assert!(recorder.check().unwrap_err().to_string().contains("No space left"));
    // The end of what went on before still fits, into the space that is kept back for it.
    w.outcome(last, OutcomeStatus::Done).unwrap();
    w.close().unwrap();
    assert!(try_open(&recorder, 2, "ci", "other").is_err(), "no new session begins");
    // With space again, so do sessions; an attempt to take space ahead may hold some of it for a moment.
    std::fs::remove_file(dir.join("filler")).unwrap();
    let mut opened = None;
    eventually("a new session", || {
        opened = try_open(&recorder, 3, "ci", "other").ok();
        opened.is_some()
    });
    Writer::of(opened.unwrap(), 3).close().unwrap();
    eventually("readiness", || recorder.check().is_ok());
    drop(w);
    drop(recorder);
    let summary = Reader::new(dir).session(id(1)).unwrap();
    assert_eq!((summary.statements, summary.state), (last, crate::SessionState::Closed));
    assert_eq!(Reader::new(dir).verify().unwrap().problems, []);
}

#[test]
fn adv_002_a_full_disk_ends_the_session() {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let script = "mount -t tmpfs -o size=2m none \"$1\" && head -c 600000 /dev/zero > \"$1/filler\" && \
                  COUNTERSIGN_TEST_DIR=\"$1\" exec \"$2\" tests::write::full_disk_child --exact --ignored --nocapture";
    let output = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(&exe)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{stdout}{}", String::from_utf8_lossy(&output.stderr));
    assert!(stdout.contains("1 passed"), "{stdout}");
}
