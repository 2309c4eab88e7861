//! Targets and clients that do wrong: cut off, late, out of order, endless.

use countersign_enforce::Machine as _;

use crate::bench::fake::{Fake, complete, error, ready, rows};
use crate::bench::through::{Through, Wire as _, protocol};
use crate::bench::wire::{self, frame, pbe, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cases::{Pair, play, send};

fn open(script: &[&[u8]]) -> Through<Fake> {
    let mut t = Through::logged_in(&protocol(), Fake::answering(script), "shop", &Rules::default());
    t.take();
    t
}

fn words(t: &mut Through<Fake>) -> Vec<String> {
    t.take().iter().map(wire::words).collect()
}

#[test]
fn the_target_dies() {
    for (name, script, want, outcome) in [
        ("without a word", vec![rows(&["1", "2"])], vec!["T:id", "D:1", "D:2", "E:FATAL:08006"], "lost 0 -"),
        (
            "with a word",
            vec![[rows(&["1"]), error("FATAL", "57P01")].concat()],
            vec!["T:id", "D:1", "E:FATAL:57P01"],
            "lost 0 -",
        ),
        ("before it says anything", vec![Vec::new()], vec!["E:FATAL:08006"], "lost 0 -"),
    ] {
        let script: Vec<&[u8]> = script.iter().map(Vec::as_slice).collect();
        let mut t = open(&script);
        t.send(&q("SELECT id FROM t"));
        while t.pull() {}
        assert_eq!(words(&mut t), want, "{name}");
        assert!(t.closed.is_some(), "{name}: still open");
        t.log.check();
        assert_eq!(t.log.outcomes(), [format!("SELECT id FROM t: {outcome}")], "{name}");
        assert!(t.log.entries().contains(&Entry::Closed("target".into())), "{name}");
    }
}

#[test]
fn the_target_dies_within_a_row() {
    let whole = rows(&["1", "abcdefgh"]);
    let mut t = open(&[&whole[..whole.len() - 3]]);
    t.send(&q("SELECT id FROM t"));
    while t.pull() {}
    assert_eq!(t.told, whole[..whole.len() - 3], "within a row nothing else can be told");
    assert!(t.closed.is_some());
    t.log.check();
}

#[test]
fn the_target_breaks_the_protocol() {
    for (name, answer) in [
        ("a row that nobody asked for", [ready(b'I'), rows(&["1"])].concat()),
        ("an unknown transaction status", ready(b'?')),
        ("an impossible length", b"C\0\0\0\x01".to_vec()),
        ("a message larger than any", b"C\x7f\0\0\0".to_vec()),
        ("replication", frame(b'W', b"")),
        ("another encoding", frame(b'S', b"client_encoding\0SJIS\0")),
        ("a reply of another protocol", [ready(b'I'), frame(b'1', b"")].concat()),
    ] {
        let mut t = open(&[&answer]);
        t.send(&q("SELECT id FROM t"));
        while t.pull() {}
        let got = words(&mut t);
        assert!(got.last().is_some_and(|w| w.starts_with("E:FATAL:")), "{name}: {got:?}");
        assert!(t.closed.is_some(), "{name}");
        t.log.check();
    }
}

#[test]
fn the_client_breaks_the_protocol() {
    for (name, bytes) in [
        ("an unknown message", frame(b'!', b"")),
        ("an impossible length", b"Q\0\0\0\x01".to_vec()),
        ("a malformed Parse", frame(b'P', b"no end")),
        ("a Parse with too much", frame(b'P', b"a\0b\0\0\0x")),
        ("a malformed Bind", frame(b'B', b"x")),
        ("a malformed Describe", frame(b'D', b"Xa\0")),
        ("a malformed Close", frame(b'C', b"")),
        ("a malformed Execute", frame(b'E', b"x")),
        ("a password", frame(b'p', b"x\0")),
        ("an endless name", [b"D\0\x10\0\0S".to_vec(), vec![b'x'; 100]].concat()),
    ] {
        let mut t = open(&[]);
        t.send(&bytes);
        let got = words(&mut t);
        assert!(got.last().is_some_and(|w| w.starts_with("E:FATAL:")), "{name}: {got:?}");
        assert!(t.closed.is_some(), "{name}");
        t.log.check();
        assert_eq!(t.forwarded(), ["X"], "{name}");
    }
}

#[test]
fn a_statement_that_is_a_byte_short_waits() {
    let mut t = open(&[]);
    let whole = [q("SELECT id FROM t"), pbe("SELECT 1", &[]), s()].concat();
    for byte in &whole[..whole.len() - 1] {
        t.send(&[*byte]);
        while t.pull() {}
        if t.closed.is_some() {
            break;
        }
    }
    // The fake ends the connection when it has nothing to say, so a machine that waits for it is closed; the first message must be
    // forwarded whole or not at all in any case.
    for said in t.forwarded() {
        assert!(["Q SELECT id FROM t", "P  SELECT 1", "B  ", "E  0", "H", "S", "X"].contains(&&*said), "{said}");
    }
}

#[test]
fn a_pipeline_has_a_limit() {
    let mut t = open(&[]);
    let run = [wire::c(b'S', ""), wire::p("", "SELECT 1")].concat();
    t.send(&run.repeat(20_000));
    assert!(t.untaken() > 0, "a pipeline without an end was taken");
    assert!(t.far.got.len() < 10_000, "{}", t.far.got.len());
    assert!(!t.machine.wants_client());
}

#[test]
fn rows_of_any_size_pass_without_being_held() {
    let mut t = open(&[]);
    t.send(&q("SELECT id FROM t"));
    t.pull();
    t.take();
    let big = frame(b'D', &[&[0, 1, 0, 0x10, 0, 0][..], &vec![b'x'; 1 << 20]].concat());
    let answer = [rows(&[]), big.clone(), big, complete("SELECT 2"), ready(b'I')].concat();
    let mut t = open(&[&answer]);
    t.far_piece = 1000;
    t.send(&q("SELECT id FROM t"));
    t.wait(b'Z', 1);
    assert_eq!(t.told, answer);
    t.goodbye();
}

#[test]
fn a_probe_that_is_cancelled_fails_the_statement_and_not_the_session() {
    let pair = Pair::new();
    // The target refuses to work for longer than this, so that the question of what names mean times out.
    let slow = "SET statement_timeout = '1ms'";
    let mut t = pair.open();
    let got = play(&mut t, &[send(&[q(slow), q("CREATE TEMP TABLE z1 (a int)")], 2)]);
    if got.iter().any(|w| w == "E:ERROR:57014") {
        return; // A very slow machine: nothing to see here.
    }
    let got = play(&mut t, &[send(&[q("SELECT * FROM z1")], 1), send(&[pbe("SELECT * FROM z1", &[]), s()], 1)]);
    assert!(t.closed.is_none(), "the session ended: {got:?}");
    let got = play(&mut t, &[send(&[q("SET statement_timeout = 0"), q("SELECT count(*) FROM z1")], 2)]);
    assert_eq!(got, ["C:SET", "Z:I", "T:count", "D:0", "C:SELECT 1", "Z:I"]);
    t.goodbye();
}

#[test]
fn a_probe_that_fails_within_a_run_or_a_transaction() {
    let pair = Pair::new();
    for (name, steps, status) in [
        (
            "run",
            vec![send(
                &[
                    pbe("CREATE TEMP TABLE z2 (a int)", &[]),
                    pbe("SET statement_timeout = '1ms'", &[]),
                    pbe("SELECT * FROM z2", &[]),
                    s(),
                ],
                1,
            )],
            "Z:I",
        ),
        (
            "transaction",
            vec![send(
                &[
                    q("BEGIN"),
                    q("CREATE TEMP TABLE z3 (a int)"),
                    q("SET LOCAL statement_timeout = '1ms'"),
                    q("SELECT * FROM z3"),
                ],
                4,
            )],
            "Z:E",
        ),
    ] {
        let mut t = pair.open();
        let got = play(&mut t, &steps);
        assert!(t.closed.is_none(), "{name}: the session ended: {got:?}");
        if got.iter().any(|w| w.starts_with("E:")) {
            assert_eq!(got.last().map(String::as_str), Some(status), "{name}: {got:?}");
        }
        let got =
            play(&mut t, &[send(&[q("ROLLBACK"), q("SET statement_timeout = 0"), q("SELECT count(*) FROM t")], 3)]);
        assert!(got.iter().any(|w| w == "D:10"), "{name}: {got:?}");
        t.goodbye();
    }
}
