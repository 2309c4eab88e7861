//! The extended protocol, message by message and in pipelines, with refused messages in the middle.

use crate::bench::wire::{b, c, d, e, h, p, pbe, q, s};
use crate::cases::{Pair, send, until};

#[test]
fn pipelines_are_as_direct() {
    let pair = Pair::new();
    let parts: &[(&str, Vec<crate::cases::Step>)] = &[
        (
            "one",
            vec![send(
                &[p("", "SELECT id FROM t WHERE id = $1"), d(b'S', ""), b("", "", &["3"]), d(b'P', ""), e("", 0), s()],
                1,
            )],
        ),
        (
            "several in one run",
            vec![send(
                &[pbe("SELECT 1", &[]), pbe("SELECT name FROM t WHERE id = $1", &["2"]), pbe("SELECT 3", &[]), s()],
                1,
            )],
        ),
        (
            "several runs at once",
            vec![send(&[pbe("SELECT 1", &[]), s(), pbe("SELECT id FROM t", &[]), s(), s(), s()], 4)],
        ),
        (
            "an error in the middle",
            vec![send(
                &[pbe("SELECT 1", &[]), pbe("SELECT 1/0", &[]), pbe("SELECT 3", &[]), s(), pbe("SELECT 4", &[]), s()],
                2,
            )],
        ),
        (
            "a parse error in the middle",
            vec![send(
                &[pbe("SELECT 1", &[]), p("", "SELECT id + 'x' FROM t"), pbe("SELECT 3", &[]), s(), q("SELECT 5")],
                2,
            )],
        ),
        (
            "a bind error",
            vec![send(
                &[p("n", "SELECT $1::int"), b("", "n", &["x"]), e("", 0), s(), b("", "n", &["7"]), e("", 0), s()],
                2,
            )],
        ),
        ("too few parameters", vec![send(&[p("n", "SELECT $1::int"), b("", "n", &[]), e("", 0), s()], 1)]),
        (
            "row limits",
            vec![send(
                &[p("", "SELECT id FROM t ORDER BY id"), b("", "", &[]), e("", 3), e("", 3), e("", 100), e("", 1), s()],
                1,
            )],
        ),
        (
            "row limits of a named portal",
            vec![
                send(&[q("BEGIN")], 1),
                send(&[p("st", "SELECT id FROM t ORDER BY id"), b("po", "st", &[]), e("po", 4), s()], 1),
                send(&[e("po", 4), d(b'P', "po"), s()], 1),
                send(&[c(b'P', "po"), e("po", 4), s()], 1),
                send(&[q("COMMIT")], 1),
            ],
        ),
        (
            "flush without sync",
            vec![
                until(&[pbe("SELECT 1", &[]), h()], b'C', 1),
                until(&[pbe("SELECT 2", &[]), h()], b'C', 1),
                send(&[s()], 1),
            ],
        ),
        ("flush and nothing else", vec![send(&[h(), h(), s()], 1)]),
        (
            "an error, then flush, then more",
            vec![
                until(&[pbe("SELECT 1/0", &[]), h()], b'E', 1),
                send(&[pbe("SELECT 2", &[]), s()], 1),
                send(&[pbe("SELECT 2", &[]), s()], 1),
            ],
        ),
        ("empty query", vec![send(&[pbe("", &[]), pbe("-- nothing", &[]), s(), q(""), q(" ; ")], 3)]),
        (
            "no rows, no result",
            vec![send(&[p("", "CREATE TABLE n1 (a int)"), d(b'S', ""), b("", "", &[]), d(b'P', ""), e("", 0), s()], 1)],
        ),
        (
            "close of unknown names",
            vec![
                send(&[c(b'S', "no"), c(b'P', "no"), pbe("SELECT 1", &[]), c(b'S', "no"), s()], 1),
                send(&[c(b'S', ""), c(b'P', ""), s()], 1),
            ],
        ),
        ("describe of unknown names", vec![send(&[d(b'S', "no"), pbe("SELECT 1", &[]), s(), d(b'P', "no"), s()], 2)]),
        ("execute of an unknown portal", vec![send(&[pbe("SELECT 1", &[]), e("no", 0), pbe("SELECT 2", &[]), s()], 1)]),
        ("bind of an unknown statement", vec![send(&[b("", "no", &[]), e("", 0), s()], 1)]),
        (
            "a name twice",
            vec![send(&[p("a", "SELECT 1"), s(), p("a", "SELECT 2"), s(), b("", "a", &[]), e("", 0), s()], 3)],
        ),
        (
            "a name twice in one run",
            vec![send(&[p("a", "SELECT 1"), p("a", "SELECT 2"), s(), b("", "a", &[]), e("", 0), s()], 2)],
        ),
        (
            "a name closed and given again",
            vec![send(&[p("a", "SELECT 1"), c(b'S', "a"), p("a", "SELECT 2"), b("", "a", &[]), e("", 0), s()], 1)],
        ),
        (
            "a close that is skipped",
            vec![
                send(&[p("a", "SELECT 1"), s()], 1),
                send(&[pbe("SELECT 1/0", &[]), c(b'S', "a"), s(), b("", "a", &[]), e("", 0), s()], 2),
            ],
        ),
        (
            "a close and a new meaning that are skipped",
            vec![
                send(&[p("a", "SELECT 1"), s()], 1),
                send(
                    &[pbe("SELECT 1/0", &[]), c(b'S', "a"), p("a", "SELECT 2"), s(), b("", "a", &[]), e("", 0), s()],
                    2,
                ),
            ],
        ),
        (
            "an unnamed statement whose successor is skipped",
            vec![
                send(&[p("", "SELECT 1"), s()], 1),
                send(&[b("", "", &["too many"]), p("", "SELECT 2"), s(), b("", "", &[]), e("", 0), s()], 2),
            ],
        ),
        (
            "a portal's name twice",
            vec![send(&[p("a", "SELECT 1"), b("x", "a", &[]), b("x", "a", &[]), e("x", 0), s()], 1)],
        ),
        ("the portal ends with the run", vec![send(&[p("a", "SELECT 1"), b("x", "a", &[]), s(), e("x", 0), s()], 2)]),
        (
            "a query ends unsynced messages",
            vec![send(
                &[
                    pbe("INSERT INTO t VALUES (50, 'u')", &[]),
                    q("SELECT count(*) FROM t"),
                    q("SELECT 1/0"),
                    q("SELECT count(*) FROM t"),
                ],
                3,
            )],
        ),
        (
            "a failing query undoes unsynced messages",
            vec![send(&[pbe("INSERT INTO t VALUES (51, 'u')", &[]), q("SELECT 1/0"), q("SELECT count(*) FROM t")], 2)],
        ),
        (
            "a query without a statement leaves the unnamed portal",
            vec![
                send(&[q("BEGIN"), p("", "SELECT id FROM t ORDER BY id"), b("", "", &[]), e("", 1), h()], 1),
                send(
                    &[
                        q(" -- nothing"),
                        e("", 1),
                        s(),
                        q(""),
                        e("", 1),
                        s(),
                        q("SELECT 1"),
                        e("", 1),
                        s(),
                        q("ROLLBACK"),
                    ],
                    7,
                ),
            ],
        ),
        (
            "a query drops the unnamed statement",
            vec![send(&[p("", "SELECT 1"), s(), q("SELECT 2"), b("", "", &[]), e("", 0), s()], 3)],
        ),
        (
            "writes and their tags",
            vec![send(
                &[
                    pbe("INSERT INTO t VALUES ($1, 'a'), (61, 'b')", &["60"]),
                    pbe("UPDATE t SET name = 'c' WHERE id >= 60 RETURNING id", &[]),
                    pbe("DELETE FROM t WHERE id >= 60", &[]),
                    s(),
                ],
                1,
            )],
        ),
        ("several commands in one Parse", vec![send(&[p("", "SELECT 1; SELECT 2"), s()], 1)]),
        (
            "ddl between Parse and Execute",
            vec![
                send(&[q("CREATE TABLE dd (a int)"), p("dd", "SELECT * FROM dd"), s()], 2),
                send(&[q("ALTER TABLE dd ADD b int"), b("", "dd", &[]), e("", 0), s()], 2),
            ],
        ),
        (
            "ddl and use in one run",
            vec![send(
                &[
                    pbe("CREATE TABLE ee (a int)", &[]),
                    pbe("INSERT INTO ee VALUES (1)", &[]),
                    pbe("SELECT * FROM ee", &[]),
                    s(),
                ],
                1,
            )],
        ),
    ];
    for (name, steps) in parts {
        pair.same(name, steps);
    }
}

#[test]
fn simple_queries_are_as_direct() {
    let pair = Pair::new();
    for (name, sql) in [
        ("rows", "SELECT id, name FROM t ORDER BY id"),
        ("several", "SELECT 1; SELECT id FROM v; SELECT 'x'"),
        ("several with an error", "INSERT INTO t VALUES (70, 'a'); SELECT 1/0; SELECT 2"),
        ("error", "SELECT nope FROM t"),
        ("notice", "DROP TABLE IF EXISTS nope"),
        ("parameter status", "SET application_name = 'x'"),
        ("show", "SHOW application_name"),
        ("explain", "EXPLAIN (COSTS OFF) SELECT id FROM t"),
    ] {
        pair.same(name, &[send(&[q(sql)], 1), send(&[q("SELECT 1")], 1)]);
    }
    // Not judged by us, but by the grammar: the code is the server's.
    pair.same("syntax error", &[send(&[q("SELEC 1"), q("SELECT 1")], 2)]);
    pair.same("unknown relation", &[send(&[q("SELECT * FROM nowhere"), q("SELECT 1")], 2)]);
    pair.same("unknown function", &[send(&[q("SELECT nothing()"), q("SELECT 1")], 2)]);
    pair.same(
        "in a pipeline of queries",
        &[send(&[q("SELECT 1"), q("SELECT 1/0"), q("BEGIN"), q("SELECT 1/0"), q("SELECT 1"), q("ROLLBACK")], 6)],
    );
}

#[test]
fn refused_in_mid_pipeline() {
    let pair = Pair::new();
    let denied = "SELECT v FROM secret";
    let t = pair.want(
        "refused Parse outside a transaction",
        &[send(
            &[
                pbe("INSERT INTO t VALUES (80, 'x')", &[]),
                pbe(denied, &[]),
                pbe("SELECT 2", &[]),
                s(),
                pbe("SELECT count(*) FROM t", &[]),
                s(),
            ],
            2,
        )],
        &["1", "2", "C:INSERT 0 1", "E:ERROR:42501", "Z:I", "1", "2", "D:10", "C:SELECT 1", "Z:I"],
    );
    assert!(!t.forwarded().iter().any(|m| m.contains("secret")), "{:?}", t.forwarded());
    assert_eq!(
        t.log.outcomes(),
        [
            "INSERT INTO t VALUES (80, 'x'): done 0 -",
            "INSERT INTO t VALUES (80, 'x'): done 0 1",
            "SELECT v FROM secret: denied",
            "SELECT count(*) FROM t: done 0 -",
            "SELECT count(*) FROM t: done 1 -",
        ]
    );
    pair.want(
        "refused Parse in a transaction",
        &[send(
            &[
                q("BEGIN"),
                pbe("SELECT 1", &[]),
                pbe(denied, &[]),
                s(),
                pbe("SELECT 2", &[]),
                s(),
                q("ROLLBACK"),
                q("SELECT 1"),
            ],
            5,
        )],
        &[
            "C:BEGIN",
            "Z:T",
            "1",
            "2",
            "D:1",
            "C:SELECT 1",
            "E:ERROR:42501",
            "Z:E",
            "E:ERROR:25P02",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
            "T:?column?",
            "D:1",
            "C:SELECT 1",
            "Z:I",
        ],
    );
    pair.want(
        "refused before anything",
        &[send(&[p("", denied), s(), s(), q("SELECT 1")], 3)],
        &["E:ERROR:42501", "Z:I", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"],
    );
    pair.want(
        "refused, flushed, and only then synced",
        &[until(&[p("", denied), h()], b'E', 1), send(&[pbe("SELECT 1", &[]), q("SELECT 2"), s()], 1)],
        &["E:ERROR:42501", "Z:I"],
    );
    pair.want(
        "refused query in a transaction",
        &[send(&[q("BEGIN"), q(denied), q("SELECT 1"), q("COMMIT"), q("SELECT 1")], 5)],
        &[
            "C:BEGIN",
            "Z:T",
            "E:ERROR:42501",
            "Z:E",
            "E:ERROR:25P02",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
            "T:?column?",
            "D:1",
            "C:SELECT 1",
            "Z:I",
        ],
    );
    pair.want(
        "a refused query undoes unsynced messages",
        &[send(&[pbe("INSERT INTO t VALUES (81, 'x')", &[]), q(denied), q("SELECT count(*) FROM t")], 2)],
        &["1", "2", "C:INSERT 0 1", "E:ERROR:42501", "Z:I", "T:count", "D:10", "C:SELECT 1", "Z:I"],
    );
    pair.want(
        "a refused one behind one that fails is not told",
        &[send(&[pbe("SELECT 1/0", &[]), pbe(denied, &[]), s(), q("SELECT 1")], 2)],
        &["1", "E:ERROR:22012", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"],
    );
    pair.want(
        "a multi-statement with a refused one runs nothing",
        &[send(&[q("INSERT INTO t VALUES (82, 'x'); SELECT v FROM secret"), q("SELECT count(*) FROM t")], 2)],
        &["E:ERROR:42501", "Z:I", "T:count", "D:10", "C:SELECT 1", "Z:I"],
    );
}

#[test]
fn fast_path_calls_are_refused_in_sync() {
    let pair = Pair::new();
    let call = crate::bench::wire::frame(b'F', &[0, 0, 3, 0xe8, 0, 0, 0, 0, 0, 0]);
    pair.want(
        "FunctionCall",
        &[send(&[call.clone(), q("SELECT 1"), q("BEGIN"), call, q("ROLLBACK")], 5)],
        &[
            "E:ERROR:42501",
            "Z:I",
            "T:?column?",
            "D:1",
            "C:SELECT 1",
            "Z:I",
            "C:BEGIN",
            "Z:T",
            "E:ERROR:42501",
            "Z:E",
            "C:ROLLBACK",
            "Z:I",
        ],
    );
}

#[test]
fn oversize_statements_are_dropped_in_sync() {
    let pair = Pair::new();
    let long = format!("SELECT '{}'", "x".repeat((16 << 20) + 1));
    let t = pair.want(
        "oversize",
        &[send(&[q(&long), q("SELECT 1"), p("", &long), pbe("SELECT 2", &[]), s(), pbe("SELECT 3", &[]), s()], 4)],
        &[
            "E:ERROR:54000",
            "Z:I",
            "T:?column?",
            "D:1",
            "C:SELECT 1",
            "Z:I",
            "E:ERROR:54000",
            "Z:I",
            "1",
            "2",
            "D:3",
            "C:SELECT 1",
            "Z:I",
        ],
    );
    assert!(t.left_max < 32, "an oversize statement was kept: {} bytes", t.left_max);
    let just = format!("SELECT length('{}')", "x".repeat((16 << 20) - 32));
    pair.same("just below", &[send(&[q(&just), q("SELECT 1")], 2)]);
}

#[test]
fn rows_are_recorded_as_told() {
    let pair = Pair::new();
    let t = pair.same(
        "rows",
        &[send(
            &[
                q("SELECT id FROM t ORDER BY id; SELECT 'z'"),
                pbe("SELECT name FROM t", &[]),
                pbe("SELECT 'q'", &[]),
                s(),
                q("COPY t TO STDOUT"),
            ],
            3,
        )],
    );
    // The check of every session compares them byte by byte; here: that there are any, and of the right statements.
    let mut by_intent = std::collections::BTreeMap::<u64, Vec<u8>>::new();
    for entry in t.log.entries() {
        if let crate::bench::world::Entry::Rows(seq, bytes) = entry {
            by_intent.entry(seq).or_default().extend(bytes);
        }
    }
    let counts: Vec<(u64, usize)> = by_intent
        .iter()
        .map(|(seq, bytes)| {
            (*seq, crate::bench::wire::messages(bytes).0.iter().filter(|m| matches!(m.tag, b'D' | b'd')).count())
        })
        .collect();
    assert_eq!(counts, [(2, 11), (4, 10), (6, 1), (7, 10)]);
}
