//! Names: what they mean, who shares them, and when the gateway must ask anew.

use crate::bench::through::{Through, Wire as _};
use crate::bench::wire::{b, c, d, e, p, pbe, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cases::{Pair, play, send};
use crate::cluster::{Direct, Server};

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
fn search_path_and_temporary_tables() {
    let pair = Pair::new();
    for (name, steps) in [
        (
            "search_path",
            vec![send(
                &[
                    q("SET search_path = other"),
                    q("SELECT name FROM t"),
                    q("RESET search_path"),
                    q("SELECT count(*) FROM t"),
                ],
                4,
            )],
        ),
        (
            "search_path in one text",
            vec![send(&[q("SET search_path = other; SELECT name FROM t")], 1), send(&[q("SELECT name FROM t")], 1)],
        ),
        (
            "search_path undone",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SET search_path = other"),
                    q("SELECT name FROM t"),
                    q("ROLLBACK"),
                    q("SELECT count(*) FROM t"),
                ],
                5,
            )],
        ),
        (
            "search_path undone to a savepoint",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SAVEPOINT a"),
                    q("SET search_path = other"),
                    q("SELECT name FROM t"),
                    q("ROLLBACK TO a"),
                    q("SELECT count(*) FROM t"),
                    q("COMMIT"),
                ],
                7,
            )],
        ),
        (
            "local",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SET LOCAL search_path = other"),
                    q("SELECT name FROM t"),
                    q("COMMIT"),
                    q("SELECT count(*) FROM t"),
                ],
                5,
            )],
        ),
        (
            "local, extended",
            vec![send(
                &[
                    pbe("SET LOCAL search_path = other", &[]),
                    pbe("SELECT name FROM t", &[]),
                    s(),
                    pbe("SELECT count(*) FROM t", &[]),
                    s(),
                ],
                2,
            )],
        ),
        (
            "extended",
            vec![send(
                &[
                    p("n", "SELECT count(*) FROM t"),
                    b("", "n", &[]),
                    e("", 0),
                    s(),
                    pbe("SET search_path = other", &[]),
                    b("", "n", &[]),
                    e("", 0),
                    s(),
                ],
                2,
            )],
        ),
        (
            "temporary table",
            vec![send(
                &[
                    q("CREATE TEMP TABLE t (id int, name text)"),
                    q("SELECT count(*) FROM t"),
                    q("DROP TABLE pg_temp.t"),
                    q("SELECT count(*) FROM t"),
                ],
                4,
            )],
        ),
        (
            "temporary table undone",
            vec![send(
                &[
                    q("BEGIN"),
                    q("CREATE TEMP TABLE t (id int, name text)"),
                    q("SELECT count(*) FROM t"),
                    q("ROLLBACK"),
                    q("SELECT count(*) FROM t"),
                ],
                5,
            )],
        ),
        (
            "table undone",
            vec![send(
                &[
                    q("BEGIN"),
                    q("CREATE TABLE fleeting (a int)"),
                    q("INSERT INTO fleeting VALUES (1)"),
                    q("ROLLBACK"),
                    q("SELECT * FROM fleeting"),
                    q("SELECT 1"),
                ],
                6,
            )],
        ),
        (
            "in a failed transaction",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SET search_path = other"),
                    q("SELECT 1/0"),
                    q("SELECT name FROM t"),
                    q("ROLLBACK"),
                    q("SELECT count(*) FROM t"),
                ],
                6,
            )],
        ),
    ] {
        pair.same(name, &steps);
    }
}

/// The relations that the last statement was judged by are told by its denial.
#[test]
fn adv_016_shadowing() {
    let pair = Pair::with(Rules { denied: &["other.t"], ..Rules::default() });
    let denied = "E:ERROR:42501";
    for (name, steps) in [
        ("search_path", vec![send(&[q("SET search_path = other")], 1), send(&[q("SELECT name FROM t")], 1)]),
        ("in one text", vec![send(&[q("SET search_path = other; SELECT name FROM t")], 1)]),
        (
            "extended in one run",
            vec![send(&[pbe("SET search_path = other", &[]), pbe("SELECT name FROM t", &[]), s()], 1)],
        ),
        (
            "prepared under another path",
            vec![send(
                &[p("n", "SELECT name FROM t"), s(), q("SET search_path = other"), b("", "n", &[]), e("", 0), s()],
                3,
            )],
        ),
        (
            "prepared in SQL under another path",
            vec![send(&[q("PREPARE n AS SELECT name FROM t"), q("SET search_path = other"), q("EXECUTE n")], 3)],
        ),
        (
            "bound under another path",
            vec![send(
                &[
                    q("BEGIN"),
                    p("n", "SELECT name FROM t"),
                    s(),
                    q("SET search_path = other"),
                    b("x", "n", &[]),
                    s(),
                    q("SET search_path = public"),
                    e("x", 0),
                    s(),
                ],
                6,
            )],
        ),
        (
            "after a rollback in a failed transaction, in one run",
            vec![send(
                &[
                    q("SET search_path = other"),
                    q("BEGIN"),
                    q("SET search_path = public"),
                    q("SELECT count(*) FROM t"),
                    q("SELECT 1/0"),
                    pbe("ROLLBACK", &[]),
                    pbe("SELECT name FROM t", &[]),
                    s(),
                ],
                6,
            )],
        ),
        (
            "after a rollback in one text",
            vec![send(
                &[
                    q("SET search_path = other"),
                    q("BEGIN"),
                    q("SET search_path = public"),
                    q("SELECT count(*) FROM t"),
                    q("ROLLBACK; SELECT name FROM t"),
                ],
                5,
            )],
        ),
        (
            "after a rollback in one text, in a failed transaction",
            vec![send(
                &[
                    q("SET search_path = other"),
                    q("BEGIN"),
                    q("SET search_path = public"),
                    q("SELECT count(*) FROM t"),
                    q("SELECT 1/0"),
                    q("ROLLBACK; SELECT name FROM t"),
                ],
                6,
            )],
        ),
        (
            "a local path is over with Sync",
            vec![send(
                &[
                    q("SET search_path = other"),
                    pbe("SET LOCAL search_path = public", &[]),
                    pbe("SELECT count(*) FROM t", &[]),
                    s(),
                    pbe("SELECT name FROM t", &[]),
                    s(),
                ],
                3,
            )],
        ),
        (
            "set_config",
            vec![send(&[q("SELECT set_config('search_path', 'other', false)"), q("SELECT name FROM t")], 2)],
        ),
        (
            "set_config by a prepared statement",
            vec![send(
                &[
                    q("PREPARE z AS SELECT set_config('search_path', 'other', false)"),
                    q("EXECUTE z"),
                    q("SELECT name FROM t"),
                ],
                3,
            )],
        ),
        (
            "set_config by protocol and SQL",
            vec![send(
                &[
                    q("PREPARE z AS SELECT set_config('search_path', 'other', false)"),
                    b("", "z", &[]),
                    e("", 0),
                    pbe("SELECT name FROM t", &[]),
                    s(),
                ],
                2,
            )],
        ),
        (
            "set_config by a cursor",
            vec![send(
                &[
                    q("BEGIN"),
                    q("DECLARE z CURSOR FOR SELECT set_config('search_path', 'other', false)"),
                    q("FETCH 1 FROM z"),
                    q("SELECT name FROM t"),
                ],
                4,
            )],
        ),
    ] {
        let mut t = pair.open();
        let got = play(&mut t, &steps);
        assert!(got.iter().any(|w| w == denied), "{name}: {got:?}");
        assert!(!got.iter().any(|w| w == "D:shadow"), "{name}: {got:?}");
        t.goodbye();
    }
}

#[test]
fn a_temporary_view_shows_what_lies_beneath() {
    let pair = Pair::new();
    let mut t = pair.open();
    let got = play(
        &mut t,
        &[send(
            &[
                q("CREATE TEMP VIEW t AS SELECT 1 AS id"),
                q("SELECT id FROM t"),
                q("CREATE VIEW w AS SELECT * FROM secret"),
            ],
            3,
        )],
    );
    assert_eq!(got, ["C:CREATE VIEW", "Z:I", "T:id", "D:1", "C:SELECT 1", "Z:I", "E:ERROR:42501", "Z:I"]);
    t.goodbye();
}

#[test]
fn another_sessions_ddl_is_seen_at_once() {
    let pair = Pair::new();
    let (mut one, mut two) = (pair.open(), pair.open());
    let ask = |t: &mut Through<Server>, sql: &str| play(t, &[send(&[q(sql)], 1)]);
    assert_eq!(ask(&mut one, "SELECT id FROM v ORDER BY id LIMIT 1"), ["T:id", "D:1", "C:SELECT 1", "Z:I"]);
    ask(&mut one, "PREPARE s AS SELECT id FROM v");
    // Past the gateway it could not be seen at once; through it, it must be. The rule denies what lies beneath.
    Direct::connect(&pair.ours).run("CREATE FUNCTION peep() RETURNS SETOF int LANGUAGE sql AS 'SELECT id FROM secret'");
    assert_eq!(ask(&mut two, "CREATE OR REPLACE VIEW v AS SELECT id FROM other.t"), ["C:CREATE VIEW", "Z:I"]);
    assert_eq!(ask(&mut one, "SELECT id FROM v"), ["T:id", "D:1", "C:SELECT 1", "Z:I"]);
    let relations = one
        .log
        .entries()
        .iter()
        .filter(|e| matches!(e, Entry::Control(b) if b.windows(12).any(|w| w == b"pg_inherits ")))
        .count();
    assert_eq!(relations, 2, "the catalog was not read again");
    // In an open transaction: for itself at once, for others when it is through.
    ask(&mut two, "BEGIN");
    ask(&mut two, "CREATE TABLE later (a int)");
    assert_eq!(ask(&mut two, "SELECT * FROM later"), ["T:a", "C:SELECT 0", "Z:T"]);
    assert_eq!(ask(&mut one, "SELECT * FROM later"), ["E:ERROR:42P01", "Z:I"]);
    ask(&mut two, "COMMIT");
    assert_eq!(ask(&mut one, "SELECT * FROM later"), ["T:a", "C:SELECT 0", "Z:I"]);
    assert_eq!(ask(&mut one, "EXECUTE s"), ["T:id", "D:1", "C:SELECT 1", "Z:I"]);
    one.goodbye();
    two.goodbye();
}

#[test]
fn ddl_past_the_gateway_is_seen_when_the_catalog_is_old() {
    let pair = Pair::with(Rules { denied: &["public.secret"], ..Rules::default() });
    let mut t = pair.open();
    assert_eq!(play(&mut t, &[send(&[q("SELECT id FROM v LIMIT 1")], 1)]), ["T:id", "D:1", "C:SELECT 1", "Z:I"]);
    Direct::connect(&pair.ours).run("CREATE OR REPLACE VIEW v AS SELECT id FROM secret");
    for _ in 0..2 {
        t.now = countersign_model::Timestamp::from_unix_us(t.now.unix_us() + 11_000_000);
        let got = play(&mut t, &[send(&[q("SELECT id FROM v LIMIT 1")], 1)]);
        assert_eq!(
            got,
            ["E:ERROR:42501", "Z:I"],
            "a view that was replaced past the gateway is still judged by what it was"
        );
    }
    t.goodbye();
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
