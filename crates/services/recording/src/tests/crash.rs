//! `kill -9` at any moment: nothing that was acknowledged may be missing.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::*;
use crate::SessionState;

const CHILD: &str = "tests::crash::child";
const ROUNDS: u64 = 6;
const THREADS: u64 = 3;

fn text(session: u64, i: u64) -> Vec<u8> {
    let padding = usize::try_from((i * 37 + session) % 3000).unwrap();
    format!("session {session} intent {i} {}", "p".repeat(padding)).into_bytes()
}

/// Appends until it is killed, and says on a pipe what was acknowledged.
#[test]
#[ignore = "started by nothing_acknowledged_is_lost_by_kill_9"]
fn child() {
    let Some(dir) = std::env::var_os("COUNTERSIGN_TEST_DIR") else { return };
    let recorder = FileRecorder::start(RecordingConfig { shards: 2, ..config(Path::new(&dir)) }).unwrap();
    let first: u64 = std::env::var("COUNTERSIGN_TEST_FIRST").unwrap().parse().unwrap();
    std::thread::scope(|scope| {
        for t in 0..THREADS {
            let recorder = &recorder;
            scope.spawn(move || {
                let n = first + t;
                let mut w = Writer::new(recorder, n, "ci", "orders");
                for i in 0_u64.. {
                    let seq = w.intent(&text(n, i), b"bind").unwrap().seq();
                    // One write of a short line: whole or not at all.
                    std::io::stdout().write_all(format!("acked {n} {seq}\n").as_bytes()).unwrap();
                    if i % 3 == 0 {
                        // Large enough to be written by the system's call; it may die within one.
                        w.session.output(seq, at(n), &vec![b'o'; 9_000 + usize::try_from(i % 5_000).unwrap()]).unwrap();
                    }
                    if i % 2 == 0 {
                        w.outcome(seq, OutcomeStatus::Done).unwrap();
                    }
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let exe = std::env::current_exe().unwrap();
    let mut acked: HashMap<u64, u64> = HashMap::new();
    for round in 0..ROUNDS {
        let mut child = Command::new(&exe)
            .args([CHILD, "--exact", "--ignored", "--nocapture"])
            .env("COUNTERSIGN_TEST_DIR", dir.path())
            .env("COUNTERSIGN_TEST_FIRST", (round * 10).to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut seen = 0;
        // Some rounds die in their first segment, some after several.
        let until = [1, 40, 300, 900, 1500, 77][usize::try_from(round).unwrap()];
        let mut take = |line: &str| {
            let Some(rest) = line.strip_prefix("acked ") else { return false };
            let (n, seq) = rest.split_once(' ').unwrap();
            acked.insert(n.parse().unwrap(), seq.parse().unwrap());
            true
        };
        while seen < until {
            seen += usize::from(take(&lines.next().expect("the child lives").unwrap()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        for line in lines {
            take(&line.unwrap());
        }
        // The next round's start recovers; so does this one, for the last.
        if round % 2 == 1 {
            drop(start(dir.path()));
        }
    }
    drop(start(dir.path()));
    assert!(acked.len() as u64 > ROUNDS, "{acked:?}");
    for (n, last) in &acked {
        let texts = texts(&of_session(dir.path(), *n));
        assert!(texts.len() as u64 >= *last, "session {n}: {} of {last}", texts.len());
        for (i, (seq, got)) in texts.iter().enumerate() {
            assert_eq!((*seq, got), (i as u64 + 1, &text(*n, i as u64)), "session {n}");
        }
        let summary = Reader::new(dir.path()).session(id(*n)).unwrap();
        assert_eq!(summary.state, SessionState::Unfinished);
    }
    let reader = Reader::new(dir.path());
    assert_eq!(reader.verify().unwrap().problems, []);
    let segments = reader.segments().unwrap();
    assert!(segments.iter().any(|s| s.recovered), "{segments:?}");
    assert!(segments.iter().all(|s| s.sha256.is_some()));
}

#[test]
fn a_session_that_was_dropped_is_unfinished_while_the_gateway_runs() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut dropped = Writer::new(&recorder, 1, "ci", "orders");
    dropped.intent(b"x", b"").unwrap();
    let live = Writer::new(&recorder, 2, "ci", "orders");
    Writer::new(&recorder, 3, "ci", "orders").close().unwrap();
    let states = || {
        let page = Reader::new(dir.path()).sessions(&all_sessions()).unwrap();
        page.sessions.iter().rev().map(|s| s.state).collect::<Vec<_>>()
    };
    assert_eq!(states(), [SessionState::Live, SessionState::Live, SessionState::Closed]);
    drop(dropped);
    assert_eq!(states(), [SessionState::Unfinished, SessionState::Live, SessionState::Closed]);
    recorder.shutdown();
    assert_eq!(states(), [SessionState::Unfinished, SessionState::Unfinished, SessionState::Closed]);
    drop(live);
}
