//! Names: what they mean, who shares them, and when the gateway must ask anew.

use crate::bench::through::{Through, Wire as _};
use crate::bench::wire::{b, c, d, e, p, pbe, q, s};
use crate::bench::world::Entry;
use crate::cases::{Pair, play, send};
use crate::cluster::Server;

#[test]
fn names_of_both_protocols_are_one_space() {
    let pair = Pair::new();
    for (name, steps) in [
        (
            "prepared by protocol, run by SQL",
            vec![send(
                &[
                    p("a", "SELECT id FROM t WHERE id = $1"),
                    s(),
                    q("EXECUTE a(3)"),
                    q("DEALLOCATE a"),
                    b("", "a", &["1"]),
                    s(),
                ],
                4,
            )],
        ),
        (
            "prepared by SQL, run by protocol",
            vec![send(
                &[
                    q("PREPARE b AS SELECT id FROM t WHERE id = $1"),
                    b("", "b", &["4"]),
                    e("", 0),
                    s(),
                    c(b'S', "b"),
                    s(),
                    q("EXECUTE b(1)"),
                ],
                4,
            )],
        ),
        (
            "prepared twice",
            vec![send(
                &[
                    q("PREPARE d AS SELECT 1"),
                    q("PREPARE d AS SELECT 2"),
                    q("EXECUTE d"),
                    p("d", "SELECT 3"),
                    s(),
                    q("EXECUTE d"),
                ],
                5,
            )],
        ),
        (
            "deallocate of unknown",
            vec![send(
                &[
                    q("DEALLOCATE nope"),
                    q("PREPARE n AS SELECT 1"),
                    q("BEGIN"),
                    q("SELECT 1/0"),
                    q("DEALLOCATE n"),
                    q("ROLLBACK"),
                    q("EXECUTE n"),
                ],
                7,
            )],
        ),
        (
            "deallocate all",
            vec![send(&[p("g", "SELECT 1"), s(), q("DEALLOCATE ALL"), b("", "g", &[]), s(), q("SELECT 1")], 4)],
        ),
        (
            "deallocate in a batch that fails",
            vec![send(
                &[
                    q("PREPARE z AS SELECT 1"),
                    q("DEALLOCATE z; SELECT 1/0"),
                    q("PREPARE z AS SELECT 2"),
                    q("EXECUTE z"),
                ],
                4,
            )],
        ),
        (
            "cursors",
            vec![send(
                &[
                    q("BEGIN"),
                    q("DECLARE k CURSOR FOR SELECT id FROM t ORDER BY id"),
                    e("k", 2),
                    s(),
                    q("FETCH 1 FROM k"),
                    d(b'P', "k"),
                    s(),
                    q("CLOSE k"),
                    e("k", 1),
                    s(),
                    q("ROLLBACK"),
                ],
                8,
            )],
        ),
        (
            "portals by SQL",
            vec![send(
                &[
                    q("BEGIN"),
                    p("", "SELECT id FROM t ORDER BY id"),
                    b("m", "", &[]),
                    e("m", 1),
                    s(),
                    q("FETCH 2 FROM m"),
                    q("MOVE 1 IN m"),
                    q("CLOSE m"),
                    q("COMMIT"),
                ],
                6,
            )],
        ),
        (
            "held cursors",
            vec![send(
                &[
                    q("BEGIN"),
                    q("DECLARE w CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id"),
                    q("COMMIT"),
                    q("FETCH 1 FROM w"),
                    e("w", 1),
                    s(),
                    q("CLOSE w"),
                ],
                6,
            )],
        ),
        (
            "cursors end with their transaction",
            vec![send(
                &[q("BEGIN"), q("DECLARE k CURSOR FOR SELECT 1"), q("COMMIT"), e("k", 0), s(), q("SELECT 1")],
                5,
            )],
        ),
        (
            "discard all",
            vec![send(
                &[p("x", "SELECT 1"), s(), q("DISCARD ALL"), b("", "x", &[]), s(), q("SELECT * FROM t WHERE id = 1")],
                4,
            )],
        ),
    ] {
        pair.same(name, &steps);
    }
}

#[test]
fn only_what_is_needed_is_asked() {
    let pair = Pair::new();
    let mut t = pair.open();
    let probes = |t: &Through<Server>| {
        t.log
            .entries()
            .iter()
            .filter(|e| matches!(e, Entry::Control(b) if b.windows(7).any(|w| w == b"probe\0S")))
            .count()
    };
    let before = probes(&t);
    for _ in 0..20 {
        play(
            &mut t,
            &[send(
                &[
                    q("BEGIN"),
                    q("SELECT * FROM t"),
                    q("UPDATE t SET name = 'n'"),
                    pbe("SELECT 1", &[]),
                    s(),
                    q("COMMIT"),
                ],
                5,
            )],
        );
    }
    assert_eq!(probes(&t), before, "the target was asked without need");
    t.goodbye();
}

#[test]
fn reserved_names_are_refused() {
    let pair = Pair::new();
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[
            send(
                &[
                    p("_countersign_probe", "SELECT 1"),
                    s(),
                    p("a", "SELECT 1"),
                    b("_countersign_x", "a", &[]),
                    s(),
                    q("SELECT 1"),
                ],
                3,
            ),
            send(
                &[
                    d(b'S', "_countersign_probe"),
                    s(),
                    b("", "_countersign_probe", &[]),
                    s(),
                    c(b'S', "_countersign_probe"),
                    s(),
                ],
                3,
            ),
            send(&[q("CREATE TEMP TABLE z (a int)"), q("SELECT * FROM z")], 2),
        ],
    );
    assert_eq!(
        got,
        [
            "E:ERROR:42501",
            "Z:I",
            "1",
            "E:ERROR:53300",
            "Z:I",
            "T:?column?",
            "D:1",
            "C:SELECT 1",
            "Z:I",
            "E:ERROR:26000",
            "Z:I",
            "E:ERROR:26000",
            "Z:I",
            "3",
            "Z:I",
            "C:CREATE TABLE",
            "Z:I",
            "T:a",
            "C:SELECT 0",
            "Z:I"
        ]
    );
    t.goodbye();
}

#[test]
fn cursors_of_ended_transactions_are_forgotten() {
    let pair = Pair::new();
    let mut t = pair.open();
    for batch in 0..205 {
        for n in 0..50 {
            t.send(&[q("BEGIN"), q(&format!("DECLARE c{batch}_{n} CURSOR FOR SELECT 1")), q("COMMIT")].concat());
        }
        t.wait(b'Z', 150);
        assert_eq!(t.take().iter().filter(|m| m.tag == b'C').count(), 150);
    }
    let got = play(&mut t, &[send(&[pbe("SELECT 42", &[]), s()], 1)]);
    assert!(got.iter().any(|w| w == "D:42"), "no room for a portal: {got:?}");
}
