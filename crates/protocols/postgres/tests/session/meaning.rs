//! What names mean: by search path, by temporary objects, by another's DDL; and that a statement is judged by what they mean when it runs.

use countersign_model::Timestamp;

use crate::bench::through::{Through, Wire as _, protocol};
use crate::bench::wire::{self, b, e, p, pbe, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cases::{Pair, play, send};
use crate::cluster::{Direct, Server, database};

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
    Direct::connect(&pair.ours).run("CREATE VIEW w AS SELECT name FROM other.t");
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
            "set by EXECUTE of what the protocol prepared",
            vec![send(&[p("z", "SET search_path = other"), s(), q("EXECUTE z"), q("SELECT name FROM t")], 3)],
        ),
        (
            "after a rollback that was prepared long before",
            vec![send(
                &[
                    p("rb", "ROLLBACK"),
                    s(),
                    q("SET search_path = other"),
                    q("BEGIN"),
                    q("SET search_path = public"),
                    q("SELECT count(*) FROM t"),
                    q("SELECT 1/0"),
                    b("", "rb", &[]),
                    e("", 0),
                    pbe("SELECT name FROM t", &[]),
                    s(),
                ],
                7,
            )],
        ),
        (
            "a view of the same name until the rollback",
            vec![send(
                &[
                    q("BEGIN"),
                    q("DROP VIEW w"),
                    q("CREATE VIEW w AS SELECT name FROM public.t"),
                    q("SELECT name FROM w LIMIT 1"),
                    q("ROLLBACK; SELECT name FROM public.w"),
                ],
                5,
            )],
        ),
        (
            "a view of the same name until the transaction fails",
            vec![send(
                &[
                    q("BEGIN"),
                    q("DROP VIEW w"),
                    q("CREATE VIEW w AS SELECT name FROM public.t"),
                    q("SELECT name FROM w LIMIT 1"),
                    q("SELECT 1/0"),
                    q("ROLLBACK; SELECT name FROM public.w"),
                ],
                6,
            )],
        ),
        (
            "a view of the same name until the savepoint",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SAVEPOINT a"),
                    q("DROP VIEW w"),
                    q("CREATE VIEW w AS SELECT name FROM public.t"),
                    q("ROLLBACK TO a; SELECT name FROM public.w"),
                ],
                5,
            )],
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
        t.now = Timestamp::from_unix_us(t.now.unix_us() + 11_000_000);
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
fn a_failed_transaction_is_not_judged_by_what_others_changed_since() {
    let pair = Pair::with(Rules { denied: &["other.t"], ..Rules::default() });
    let (mut one, mut two) = (pair.open(), pair.open());
    let got = play(&mut one, &[send(&[q("SELECT count(*) FROM v"), q("BEGIN"), q("SELECT 1/0")], 3)]);
    assert_eq!(got.last().map(String::as_str), Some("Z:E"), "{got:?}");
    Direct::connect(&pair.ours).run("CREATE OR REPLACE VIEW v AS SELECT id FROM other.t");
    play(&mut two, &[send(&[q("CREATE TABLE bump (a int)")], 1)]);
    let got = play(&mut one, &[send(&[q("ROLLBACK; SELECT id FROM public.v")], 1)]);
    assert_eq!(got, ["E:ERROR:42501", "Z:E"]);
    let got = play(&mut one, &[send(&[q("ROLLBACK"), q("SELECT id FROM public.v")], 2)]);
    assert_eq!(got, ["C:ROLLBACK", "Z:I", "E:ERROR:42501", "Z:I"]);
    one.goodbye();
    two.goodbye();
}

/// Somebody alters a table and does not commit: the definitions of views on it cannot be read, and nobody else may have to wait for them.
#[test]
fn a_table_that_is_being_altered_holds_up_nobody_who_does_not_ask_for_it() {
    let name = database();
    let mut other = Direct::connect(&name);
    other.run(
        "CREATE VIEW safe AS SELECT id FROM t; CREATE VIEW unsafe AS SELECT count(*) FROM secret; \
         CREATE VIEW above AS SELECT * FROM unsafe; CREATE TABLE g (a int, b int GENERATED ALWAYS AS (a + 1) STORED)",
    );
    let open = || {
        let mut t = Through::logged_in(&protocol(), Server::dial(), &name, &Rules::default());
        t.take();
        t
    };
    let mut early = open();
    let ask = |t: &mut Through<Server>, sql: &str| -> Vec<String> {
        t.send(&q(sql));
        t.wait(b'Z', 1);
        t.take().iter().map(wire::words).collect()
    };
    assert_eq!(ask(&mut early, "SELECT count(*) FROM safe"), ["T:count", "D:10", "C:SELECT 1", "Z:I"]);
    other.run("BEGIN");
    other.run("ALTER TABLE t ADD COLUMN more int");
    other.run("ALTER TABLE secret ADD COLUMN more int");
    other.run("ALTER TABLE g ADD COLUMN more int");
    // A catalog that has grown old, a session that finds none, and a name that makes it doubt what it has.
    early.now = Timestamp::from_unix_us(early.now.unix_us() + 60_000_000);
    assert_eq!(ask(&mut early, "SELECT 1"), ["T:?column?", "D:1", "C:SELECT 1", "Z:I"]);
    let mut late = open();
    assert_eq!(ask(&mut late, "SELECT 2"), ["T:?column?", "D:2", "C:SELECT 1", "Z:I"]);
    assert_eq!(ask(&mut late, "SELECT * FROM nowhere")[0], "E:ERROR:42P01");
    // What a definition says that was read before still holds; without one the view is not known, and whoever may not do all is refused.
    assert_eq!(ask(&mut early, "SELECT count(*) FROM unsafe")[0], "E:ERROR:42501");
    for sql in ["SELECT count(*) FROM unsafe", "SELECT count(*) FROM safe", "SELECT * FROM above"] {
        assert_eq!(ask(&mut late, sql)[0], "E:ERROR:55P03", "{sql}");
    }
    other.run("COMMIT");
    for t in [&mut late, &mut early] {
        assert_eq!(ask(t, "SELECT count(*) FROM safe"), ["T:count", "D:10", "C:SELECT 1", "Z:I"]);
        assert_eq!(ask(t, "SELECT count(*) FROM unsafe")[0], "E:ERROR:42501");
    }
    early.goodbye();
    late.goodbye();
}

/// The text of a view that cannot be read now is known from before, unless a name in it may have changed since.
#[test]
fn a_view_of_before_is_not_taken_for_what_it_was_once_something_was_renamed() {
    let name = database();
    let mut other = Direct::connect(&name);
    other.run("CREATE VIEW safe AS SELECT id FROM t");
    let mut t = Through::logged_in(&protocol(), Server::dial(), &name, &Rules::default());
    t.take();
    let ask = |t: &mut Through<Server>, sql: &str| -> Vec<String> {
        t.send(&q(sql));
        t.wait(b'Z', 1);
        t.take().iter().map(wire::words).collect()
    };
    let look_again = |t: &mut Through<Server>| {
        t.now = Timestamp::from_unix_us(t.now.unix_us() + 60_000_000);
        assert_eq!(ask(t, "SELECT 1"), ["T:?column?", "D:1", "C:SELECT 1", "Z:I"]);
    };
    assert_eq!(ask(&mut t, "SELECT count(*) FROM safe"), ["T:count", "D:10", "C:SELECT 1", "Z:I"]);
    for renaming in
        ["ALTER TABLE t RENAME TO moved", "ALTER TABLE moved RENAME TO t", "ALTER TABLE t RENAME COLUMN id TO number"]
    {
        other.run(renaming);
        let locked = if renaming.ends_with("moved") { "moved" } else { "t" };
        other.run("BEGIN");
        other.run(&format!("LOCK TABLE {locked} IN ACCESS EXCLUSIVE MODE"));
        look_again(&mut t);
        assert_eq!(ask(&mut t, "SELECT count(*) FROM safe")[0], "E:ERROR:55P03", "{renaming}");
        other.run("COMMIT");
        look_again(&mut t);
        assert_eq!(ask(&mut t, "SELECT count(*) FROM safe")[1], "D:10", "{renaming}");
    }
    t.goodbye();
}
