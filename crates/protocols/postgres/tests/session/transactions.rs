//! Transactions, savepoints and what comes in between: notices, notifications, settings.

use crate::bench::through::Wire as _;
use crate::bench::wire::{pbe, q, s};
use crate::cases::{Pair, play, send};

#[test]
fn transactions_are_as_direct() {
    let pair = Pair::new();
    for (name, steps) in [
        (
            "commit",
            vec![send(&[q("BEGIN"), q("INSERT INTO t VALUES (20, 'a')"), q("COMMIT"), q("SELECT count(*) FROM t")], 4)],
        ),
        ("rollback", vec![send(&[q("BEGIN"), q("DELETE FROM t"), q("ROLLBACK"), q("SELECT count(*) FROM t")], 4)]),
        ("failed", vec![send(&[q("BEGIN"), q("SELECT 1/0"), q("SELECT 1"), q("COMMIT"), q("SELECT 1")], 5)]),
        (
            "failed, extended",
            vec![send(
                &[
                    pbe("BEGIN", &[]),
                    pbe("SELECT 1/0", &[]),
                    s(),
                    pbe("SELECT 1", &[]),
                    s(),
                    pbe("ROLLBACK", &[]),
                    pbe("SELECT 1", &[]),
                    s(),
                ],
                3,
            )],
        ),
        (
            "savepoints",
            vec![send(
                &[
                    q("BEGIN"),
                    q("SAVEPOINT a"),
                    q("SELECT 1/0"),
                    q("ROLLBACK TO a"),
                    q("SELECT 1"),
                    q("RELEASE a"),
                    q("COMMIT"),
                ],
                7,
            )],
        ),
        (
            "chain",
            vec![send(
                &[
                    q("BEGIN"),
                    q("COMMIT AND CHAIN"),
                    q("SELECT 1"),
                    q("ROLLBACK AND CHAIN"),
                    q("SELECT 1"),
                    q("ROLLBACK"),
                ],
                6,
            )],
        ),
        ("warnings", vec![send(&[q("COMMIT"), q("BEGIN"), q("BEGIN"), q("ROLLBACK")], 4)]),
        (
            "in one text",
            vec![send(&[q("BEGIN; INSERT INTO t VALUES (21, 'b'); COMMIT"), q("SELECT count(*) FROM t")], 2)],
        ),
        ("in one text, failing", vec![send(&[q("BEGIN; SELECT 1/0; COMMIT"), q("SELECT 1"), q("ROLLBACK")], 3)]),
        (
            "deferred constraint",
            vec![send(
                &[q("BEGIN"), q("INSERT INTO child VALUES (1, 999)"), q("COMMIT"), q("SELECT count(*) FROM child")],
                4,
            )],
        ),
        (
            "deferred constraint at Sync",
            vec![send(&[pbe("INSERT INTO child VALUES (2, 999)", &[]), s(), pbe("SELECT 1", &[]), s()], 2)],
        ),
        (
            "isolation",
            vec![send(
                &[
                    q("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY"),
                    q("SHOW transaction_isolation"),
                    q("DELETE FROM t"),
                    q("ROLLBACK"),
                ],
                4,
            )],
        ),
        ("vacuum", vec![send(&[q("VACUUM t"), q("SELECT 1")], 2)]),
        (
            "notices",
            vec![send(
                &[
                    q("DROP TABLE IF EXISTS a1; DROP TABLE IF EXISTS a2; SELECT 1"),
                    pbe("DROP TABLE IF EXISTS a1", &[]),
                    s(),
                ],
                2,
            )],
        ),
        (
            "settings",
            vec![send(
                &[q("SET datestyle = 'German'; SELECT 1"), q("BEGIN"), q("SET LOCAL datestyle = 'ISO'"), q("ROLLBACK")],
                4,
            )],
        ),
    ] {
        pair.same(name, &steps);
    }
}

#[test]
fn notifications_come_in_between() {
    let pair = Pair::new();
    let mut t = pair.open();
    play(&mut t, &[send(&[q("LISTEN ch")], 1)]);
    crate::cluster::Direct::connect(&pair.ours).run("NOTIFY ch, 'hello'");
    let got = play(&mut t, &[send(&[q("SELECT 1")], 1)]);
    assert!(got.contains(&"A:ch:hello".to_owned()), "{got:?}");
    t.goodbye();
}

#[test]
fn drained_when_nothing_is_under_way() {
    use countersign_enforce::Machine as _;
    let pair = Pair::new();
    for (name, before, after, want) in [
        ("idle", vec![q("SELECT 1")], vec![], vec!["E:FATAL:57P01"]),
        (
            "in a transaction",
            vec![q("BEGIN")],
            vec![q("SELECT 1"), q("COMMIT")],
            vec!["T:?column?", "D:1", "C:SELECT 1", "Z:T", "C:COMMIT", "Z:I", "E:FATAL:57P01"],
        ),
        (
            "in a failed transaction",
            vec![q("BEGIN"), q("SELECT 1/0")],
            vec![q("ROLLBACK")],
            vec!["C:ROLLBACK", "Z:I", "E:FATAL:57P01"],
        ),
        (
            "after unsynced messages that a query ended",
            vec![pbe("SELECT 1", &[]), q("SELECT 1")],
            vec![],
            vec!["E:FATAL:57P01"],
        ),
    ] {
        let mut t = pair.open();
        for message in before {
            let waits = message[0] == b'Q';
            t.send(&message);
            if waits {
                t.wait(b'Z', 1);
                t.take();
            }
        }
        t.machine.on_drain();
        t.pump();
        t.send(&after.concat());
        t.wait(b'E', 1);
        let got: Vec<String> = t.take().iter().map(crate::bench::wire::words).collect();
        assert_eq!(got, want, "{name}");
        assert!(t.closed.is_some(), "{name}");
        t.goodbye();
    }
}

#[test]
fn drained_when_what_runs_has_ended() {
    use countersign_enforce::Machine as _;
    let pair = Pair::new();
    let mut t = pair.open();
    t.send(&[pbe("SELECT 1", &[]), pbe("SELECT 2", &[])].concat());
    t.machine.on_drain();
    t.pump();
    assert!(t.closed.is_none());
    t.send(&s());
    t.wait(b'E', 1);
    let got: Vec<String> = t.take().iter().map(crate::bench::wire::words).collect();
    assert_eq!(got, ["1", "2", "D:1", "C:SELECT 1", "1", "2", "D:2", "C:SELECT 1", "Z:I", "E:FATAL:57P01"]);
    t.goodbye();
    // And in the middle of a copy.
    let mut t = pair.open();
    t.send(&q("COPY empty FROM STDIN"));
    t.wait(b'G', 1);
    t.machine.on_drain();
    t.pump();
    t.send(&[crate::bench::wire::data("1\ta\n"), crate::bench::wire::done()].concat());
    t.wait(b'E', 1);
    let got: Vec<String> = t.take().iter().map(crate::bench::wire::words).collect();
    assert_eq!(got, ["G:0:2", "C:COPY 1", "Z:I", "E:FATAL:57P01"]);
    t.goodbye();
}
