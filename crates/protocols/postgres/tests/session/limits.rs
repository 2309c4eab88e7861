//! Limits of policy, kept by the machine: rows, bytes, changed rows; in both protocols, in and outside transactions.

use countersign_model::Limits;

use crate::bench::wire::{b, d, data, done, e, h, p, pbe, q, s};
use crate::bench::world::Rules;
use crate::cases::{Pair, send, until};

fn limited(limits: Limits) -> Pair {
    // Only what touches these is limited.
    Pair::with(Rules { limits_on: Some(("public.t", limits)), ..Rules::default() })
}

fn rows(n: u64) -> Pair {
    limited(Limits { rows: Some(n), ..Limits::NONE })
}

fn affected(n: u64) -> Pair {
    limited(Limits { affected: Some(n), ..Limits::NONE })
}

const NEXT: [&str; 4] = ["T:?column?", "D:1", "C:SELECT 1", "Z:I"];

fn then_next<'a>(head: &[&'a str]) -> Vec<&'a str> {
    head.iter().copied().chain(NEXT).collect()
}

#[test]
fn at_the_edge_nothing_is_noticed() {
    let pair = rows(10);
    pair.same(
        "rows",
        &[send(&[q("SELECT id FROM t ORDER BY id"), pbe("SELECT id FROM t", &[]), s(), q("SELECT 1")], 3)],
    );
    let pair = affected(10);
    pair.same(
        "affected",
        &[send(&[q("UPDATE t SET name = 'n'"), pbe("UPDATE t SET name = 'm'", &[]), s(), q("SELECT * FROM t")], 3)],
    );
    pair.same(
        "autocommit",
        &[
            send(&[q("UPDATE t SET name = 'a' WHERE id = 1; UPDATE t SET name = 'b' WHERE id = 2; SELECT 3")], 1),
            send(&[q("SELECT * FROM t")], 1),
        ],
    );
    pair.same(
        "with an error",
        &[send(&[q("UPDATE t SET name = 'z'; SELECT 1/0"), q("SELECT * FROM t ORDER BY id")], 2)],
    );
    pair.same(
        "copy",
        &[send(&[q("COPY t FROM STDIN"), data("100\tx\n101\ty\n"), done(), q("SELECT count(*) FROM t")], 2)],
    );
    pair.same(
        "commit that fails",
        &[send(&[q("INSERT INTO child SELECT 1, 999 FROM t WHERE id = 1"), q("SELECT count(*) FROM child")], 2)],
    );
    pair.same(
        "in a transaction",
        &[send(
            &[
                q("BEGIN"),
                q("DELETE FROM t WHERE id = 3"),
                pbe("DELETE FROM t WHERE id = 4", &[]),
                s(),
                q("COMMIT"),
                q("SELECT id FROM t"),
            ],
            5,
        )],
    );
    pair.same(
        "a failed transaction",
        &[send(&[q("BEGIN"), q("SELECT 1/0"), q("DELETE FROM t"), q("ROLLBACK"), q("SELECT count(*) FROM t")], 5)],
    );
}

#[test]
fn too_many_rows() {
    let pair = rows(2);
    let got = |w: &[&'static str]| then_next(w);
    let t = pair.want(
        "simple",
        &[send(&[q("SELECT id FROM t ORDER BY id"), q("SELECT 1")], 2)],
        &got(&["T:id", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    assert_eq!(t.log.outcomes(), ["SELECT id FROM t ORDER BY id: limited 2 -", "SELECT 1: done 1 -"]);
    assert_eq!(t.own_cancels, 1);
    pair.want(
        "extended",
        &[send(&[p("", "SELECT id FROM t ORDER BY id"), b("", "", &[]), d(b'P', ""), e("", 0), s(), q("SELECT 1")], 2)],
        &got(&["1", "2", "T:id", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "extended, and what follows in the run is skipped",
        &[send(&[pbe("SELECT id FROM t ORDER BY id", &[]), pbe("SELECT 7", &[]), s(), q("SELECT 1")], 2)],
        &got(&["1", "2", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "extended with Flush",
        &[
            until(&[pbe("SELECT id FROM t ORDER BY id", &[]), h()], b'E', 1),
            send(&[pbe("SELECT 7", &[]), s(), q("SELECT 1")], 2),
        ],
        &got(&["1", "2", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "in a transaction, which fails",
        &[send(&[q("BEGIN"), q("SELECT id FROM t ORDER BY id"), q("SELECT 5"), q("COMMIT"), q("SELECT 1")], 5)],
        &got(&[
            "C:BEGIN",
            "Z:T",
            "T:id",
            "D:1",
            "D:2",
            "E:ERROR:53400",
            "Z:E",
            "E:ERROR:25P02",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
        ]),
    );
    pair.want(
        "extended in a transaction, which fails",
        &[send(&[q("BEGIN"), pbe("SELECT id FROM t ORDER BY id", &[]), s(), s(), q("ROLLBACK"), q("SELECT 1")], 5)],
        &got(&["C:BEGIN", "Z:T", "1", "2", "D:1", "D:2", "E:ERROR:53400", "Z:E", "Z:E", "C:ROLLBACK", "Z:I"]),
    );
    pair.want(
        "over all fetches of a portal",
        &[send(
            &[
                q("BEGIN"),
                p("a", "SELECT id FROM t ORDER BY id"),
                b("c", "a", &[]),
                e("c", 1),
                s(),
                e("c", 1),
                s(),
                e("c", 1),
                s(),
                q("ROLLBACK"),
                q("SELECT 1"),
            ],
            6,
        )],
        &got(&[
            "C:BEGIN",
            "Z:T",
            "1",
            "2",
            "D:1",
            "s",
            "Z:T",
            "D:2",
            "s",
            "Z:T",
            "E:ERROR:53400",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
        ]),
    );
    let cursor = [q("BEGIN"), q("DECLARE c CURSOR FOR SELECT id FROM t ORDER BY id")];
    pair.want(
        "adv_021 over all FETCHes",
        &[send(&[cursor.concat(), q("FETCH 2 FROM c"), q("FETCH 1 FROM c"), q("ROLLBACK"), q("SELECT 1")], 6)],
        &got(&[
            "C:BEGIN",
            "Z:T",
            "C:DECLARE CURSOR",
            "Z:T",
            "T:id",
            "D:1",
            "D:2",
            "C:FETCH 2",
            "Z:T",
            "T:id",
            "E:ERROR:53400",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
        ]),
    );
    pair.want(
        "adv_021 over all FETCHes by the extended protocol",
        &[send(
            &[
                cursor.concat(),
                pbe("FETCH 2 FROM c", &[]),
                s(),
                pbe("FETCH 1 FROM c", &[]),
                s(),
                q("ROLLBACK"),
                q("SELECT 1"),
            ],
            6,
        )],
        &got(&[
            "C:BEGIN",
            "Z:T",
            "C:DECLARE CURSOR",
            "Z:T",
            "1",
            "2",
            "D:1",
            "D:2",
            "C:FETCH 2",
            "Z:T",
            "1",
            "2",
            "E:ERROR:53400",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
        ]),
    );
    pair.want(
        "adv_021 a FETCH among other things cannot be counted",
        &[send(&[cursor.concat(), q("FETCH 2 FROM c; SELECT 1"), q("ROLLBACK"), q("SELECT 1")], 5)],
        &got(&["C:BEGIN", "Z:T", "C:DECLARE CURSOR", "Z:T", "E:ERROR:42501", "Z:E", "C:ROLLBACK", "Z:I"]),
    );
    pair.want(
        "copy out",
        &[send(&[q("COPY t TO STDOUT"), q("SELECT 1")], 2)],
        &got(&["H:0:2", "d:1\tname1", "d:2\tname2", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "several statements count together",
        &[send(&[q("SELECT id FROM t WHERE id = 1; SELECT id FROM t WHERE id > 1 ORDER BY id"), q("SELECT 1")], 2)],
        &got(&["T:id", "D:1", "C:SELECT 1", "T:id", "D:2", "E:ERROR:53400", "Z:I"]),
    );
}

#[test]
fn too_many_rows_of_a_write_undo_it() {
    let pair = rows(2);
    pair.want(
        "simple",
        &[send(&[q("DELETE FROM t RETURNING id"), q("SELECT 1")], 2)],
        &then_next(&["T:id", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "extended",
        &[send(&[pbe("DELETE FROM t RETURNING id", &[]), s(), q("SELECT 1")], 2)],
        &then_next(&["1", "2", "D:1", "D:2", "E:ERROR:53400", "Z:I"]),
    );
    assert_eq!(pair.peek("SELECT count(*) FROM t"), ["10"]);
}

#[test]
fn too_many_bytes() {
    let pair = limited(Limits { bytes: Some(40), ..Limits::NONE });
    pair.want(
        "simple",
        &[send(&[q("SELECT repeat('x', 20) FROM t"), q("SELECT 1")], 2)],
        &then_next(&["T:repeat", "D:xxxxxxxxxxxxxxxxxxxx", "E:ERROR:53400", "Z:I"]),
    );
    pair.want(
        "a row of a megabyte",
        &[send(&[q("SELECT repeat('x', 1000000) FROM t"), q("SELECT 1")], 2)],
        &then_next(&["T:repeat", "E:ERROR:53400", "Z:I"]),
    );
}

#[test]
fn too_many_rows_of_a_large_table_are_cancelled() {
    let pair = Pair::with(Rules {
        limits_on: Some(("public.big", Limits { rows: Some(3), ..Limits::NONE })),
        ..Rules::default()
    });
    for _ in 0..3 {
        pair.want(
            "large",
            &[send(&[q("SELECT a.id FROM big a, big b"), q("SELECT 1")], 2)],
            &then_next(&["T:id", "D:1", "D:1", "D:1", "E:ERROR:53400", "Z:I"]),
        );
    }
    pair.want(
        "large, extended",
        &[send(&[pbe("SELECT a.id FROM big a, big b", &[]), s(), q("SELECT 1")], 2)],
        &then_next(&["1", "2", "D:1", "D:1", "D:1", "E:ERROR:53400", "Z:I"]),
    );
}

#[test]
fn too_many_changed_rows_are_undone() {
    let pair = affected(3);
    let cases: &[(&str, crate::cases::Step, &[&str])] = &[
        ("simple", send(&[q("UPDATE t SET name = 'x'"), q("SELECT 1")], 2), &["E:ERROR:53400", "Z:I"]),
        (
            "extended",
            send(&[pbe("UPDATE t SET name = 'x'", &[]), s(), q("SELECT 1")], 2),
            &["1", "2", "E:ERROR:53400", "Z:I"],
        ),
        (
            "extended, with more in the run",
            send(&[pbe("UPDATE t SET name = 'x'", &[]), pbe("DELETE FROM t WHERE id = 1", &[]), s(), q("SELECT 1")], 2),
            &["1", "2", "E:ERROR:53400", "Z:I"],
        ),
        (
            "together",
            send(&[q("DELETE FROM t WHERE id < 3; DELETE FROM t WHERE id < 5"), q("SELECT 1")], 2),
            &["E:ERROR:53400", "Z:I"],
        ),
        (
            "copy",
            send(&[q("COPY t FROM STDIN"), data("20\ta\n21\ta\n22\ta\n23\ta\n"), done(), q("SELECT 1")], 2),
            &["G:0:2", "E:ERROR:53400", "Z:I"],
        ),
        (
            "sql prepared",
            send(&[q("PREPARE u AS DELETE FROM t"), q("EXECUTE u"), q("SELECT 1")], 3),
            &["C:PREPARE", "Z:I", "E:ERROR:53400", "Z:I"],
        ),
        (
            "in a transaction",
            send(&[q("BEGIN"), q("DELETE FROM t"), q("COMMIT"), q("SELECT 1")], 4),
            &["C:BEGIN", "Z:T", "E:ERROR:53400", "Z:E", "C:ROLLBACK", "Z:I"],
        ),
        (
            "extended in a transaction",
            send(&[q("BEGIN"), pbe("DELETE FROM t", &[]), s(), q("COMMIT"), q("SELECT 1")], 4),
            &["C:BEGIN", "Z:T", "1", "2", "E:ERROR:53400", "Z:E", "C:ROLLBACK", "Z:I"],
        ),
        (
            "own transaction control",
            send(&[q("BEGIN; DELETE FROM t; COMMIT"), q("SELECT 1")], 2),
            &["E:ERROR:42501", "Z:I"],
        ),
    ];
    for (name, step, want) in cases {
        pair.want(name, std::slice::from_ref(step), &then_next(want));
        assert_eq!(
            pair.peek("SELECT count(*), count(*) FILTER (WHERE name = 'x') FROM t"),
            ["10|0"],
            "{name}: something was changed"
        );
    }
}

#[test]
fn a_begin_by_the_extended_protocol_is_not_taken_for_ours() {
    let pair = affected(3);
    pair.same(
        "unsynced BEGIN, then a limited query",
        &[send(&[pbe("BEGIN", &[]), q("DELETE FROM t WHERE id = 1"), q("ROLLBACK"), q("SELECT count(*) FROM t")], 3)],
    );
}
