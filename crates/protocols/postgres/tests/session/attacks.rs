//! Attempts to have something run that was judged as something else.

use countersign_model::Limits;

use crate::bench::wire::{b, c, e, p, pbe, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cases::{Pair, play, send};

/// In `Parse "" A, Bind (fails), Parse "" B` the target keeps A; what is bound next must not be judged and recorded as B.
#[test]
fn adv_019_the_unnamed_statement_after_a_failed_pipeline() {
    let limits = Limits { rows: Some(2), ..Limits::NONE };
    let pair = Pair::with(Rules { limits_on: Some(("public.t", limits)), ..Rules::default() });
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[send(
            &[
                p("", "SELECT id FROM t"),
                b("", "", &["too", "many"]),
                p("", "SELECT 1"),
                s(),
                b("", "", &[]),
                e("", 0),
                s(),
                q("SELECT 1"),
            ],
            3,
        )],
    );
    let rows = got.iter().filter(|w| w.starts_with("D:")).count();
    assert!(rows <= 3, "the limit was evaded: {got:?}");
    t.goodbye();
    for entry in t.log.entries() {
        if let Entry::Rows(seq, bytes) = entry {
            let text = t.log.entries().iter().find_map(|e| match e {
                Entry::Intent { seq: s, text, .. } if *s == seq => Some(String::from_utf8_lossy(text).into_owned()),
                _ => None,
            });
            let rows = crate::bench::wire::messages(&bytes).0.iter().filter(|m| m.tag == b'D').count();
            assert!(
                rows <= 1 || text.as_deref() != Some("SELECT 1"),
                "rows of one statement under the name of another"
            );
        }
    }
}

#[test]
fn adv_019_a_portal_after_a_failed_pipeline() {
    let limits = Limits { rows: Some(2), ..Limits::NONE };
    let pair = Pair::with(Rules { limits_on: Some(("public.t", limits)), ..Rules::default() });
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[
            send(
                &[
                    q("BEGIN"),
                    p("a", "SELECT id FROM t"),
                    p("o", "SELECT 1"),
                    p("sp", "SAVEPOINT x"),
                    p("rb", "ROLLBACK TO x"),
                    s(),
                ],
                2,
            ),
            send(
                &[b("", "a", &[]), b("n1", "sp", &[]), e("n1", 0), b("", "o", &["too many"]), b("", "o", &[]), s()],
                1,
            ),
            send(&[b("n2", "rb", &[]), e("n2", 0), s()], 1),
            send(&[e("", 0), s(), q("ROLLBACK")], 2),
        ],
    );
    let rows = got.iter().filter(|w| w.starts_with("D:")).count();
    assert!(rows <= 2, "the limit was evaded: {got:?}");
    assert!(got.iter().any(|w| w == "C:ROLLBACK"), "the attack did not come off: {got:?}");
    t.goodbye();
}

#[test]
fn adv_012_what_execute_runs_is_looked_up_when_it_runs() {
    // What `EXECUTE x` means changes between its Parse and its Execute.
    let limits = Limits { affected: Some(1), ..Limits::NONE };
    let pair = Pair::with(Rules { limits_on: Some(("public.t", limits)), ..Rules::default() });
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[send(
            &[
                q("PREPARE x AS SELECT 1"),
                p("run", "EXECUTE x"),
                s(),
                q("DEALLOCATE x"),
                q("PREPARE x AS DELETE FROM t"),
                b("", "run", &[]),
                e("", 0),
                s(),
                q("SELECT 1"),
            ],
            6,
        )],
    );
    assert!(got.iter().any(|w| w.starts_with("E:ERROR")), "{got:?}");
    assert_eq!(pair.peek("SELECT count(*) FROM t"), ["10"], "the limit was evaded: {got:?}");
    t.goodbye();
}

#[test]
fn adv_005_nothing_runs_behind_a_refused_one() {
    let pair = Pair::new();
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[send(
            &[
                p("", "SELECT v FROM secret"),
                pbe("INSERT INTO t VALUES (90, 'x')", &[]),
                q("INSERT INTO t VALUES (91, 'x')"),
                c(b'S', ""),
                s(),
                q("SELECT count(*) FROM t"),
            ],
            2,
        )],
    );
    assert_eq!(got, ["E:ERROR:42501", "Z:I", "T:count", "D:10", "C:SELECT 1", "Z:I"]);
    t.goodbye();
}

#[test]
fn adv_026_encodings_are_pinned() {
    let pair = Pair::new();
    for sql in [
        "SET client_encoding = 'SJIS'",
        "SET standard_conforming_strings = off",
        "SELECT set_config('client_encoding', 'SJIS', false)",
    ] {
        let mut t = pair.open();
        let got = play(&mut t, &[send(&[q(sql)], 1)]);
        assert!(got.iter().any(|w| w.starts_with("E:")), "{sql}: {got:?}");
        t.goodbye();
    }
    let mut nul = q("SELECT 1;x");
    let at = nul.len() - 3;
    nul[at] = 0;
    let bad = [b"Q\0\0\0\x0d".to_vec(), b"SELECT \xff\0".to_vec()].concat();
    pair.want(
        "NUL and bad UTF-8",
        &[send(&[nul, bad, q("SELECT 1")], 3)],
        &["E:ERROR:42501", "Z:I", "E:ERROR:42501", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"],
    );
}
