//! `COPY` in both directions, in both protocols.

use crate::bench::through::Wire as _;
use crate::bench::wire::{b, data, done, e, fail, frame, h, p, q, s};
use crate::cases::{Pair, play, send, until};

#[test]
fn copies_are_as_direct() {
    let pair = Pair::new();
    let cases: &[(&str, Vec<crate::cases::Step>)] = &[
        ("out", vec![send(&[q("COPY t TO STDOUT")], 1)]),
        ("out of a query", vec![send(&[q("COPY (SELECT id FROM t WHERE id < 3) TO STDOUT (FORMAT csv, HEADER)")], 1)]),
        (
            "in",
            vec![
                until(&[q("COPY empty FROM STDIN")], b'G', 1),
                send(&[data("1\ta\n"), data("2\tb\n3\t"), data("c\n"), done()], 1),
            ],
        ),
        (
            "in at once",
            vec![send(&[q("COPY empty FROM STDIN"), data("4\ta\n"), done(), q("SELECT count(*) FROM empty")], 2)],
        ),
        ("in, nothing", vec![send(&[q("COPY empty FROM STDIN"), done()], 1)]),
        (
            "in, given up",
            vec![send(
                &[q("COPY empty FROM STDIN"), data("5\ta\n"), fail("no more"), q("SELECT count(*) FROM empty")],
                2,
            )],
        ),
        (
            "in, bad row",
            vec![
                until(&[q("COPY empty FROM STDIN"), data("x\ta\n"), done()], b'Z', 1),
                send(&[data("6\tb\n"), data("7\tc\n"), done(), q("SELECT 1")], 1),
            ],
        ),
        (
            "in, sync and flush in between",
            vec![send(&[q("COPY empty FROM STDIN"), s(), h(), data("8\ta\n"), s(), done()], 1)],
        ),
        (
            "in and out and in",
            vec![send(
                &[
                    q("COPY empty FROM STDIN; COPY empty TO STDOUT; COPY empty FROM STDIN"),
                    data("9\ta\n"),
                    done(),
                    data("10\tb\n"),
                    done(),
                ],
                1,
            )],
        ),
        (
            "extended in",
            vec![
                until(&[p("", "COPY empty FROM STDIN"), b("", "", &[]), e("", 0), s()], b'G', 1),
                send(&[data("11\ta\n"), done(), s()], 1),
            ],
        ),
        (
            "extended in, at once",
            vec![send(
                &[
                    p("", "COPY empty FROM STDIN"),
                    b("", "", &[]),
                    e("", 0),
                    data("12\ta\n"),
                    done(),
                    s(),
                    q("SELECT 1"),
                ],
                2,
            )],
        ),
        (
            "extended in, more in the run",
            vec![send(
                &[
                    p("", "COPY empty FROM STDIN"),
                    b("", "", &[]),
                    e("", 0),
                    data("13\ta\n"),
                    done(),
                    p("", "SELECT count(*) FROM empty"),
                    b("", "", &[]),
                    e("", 0),
                    s(),
                ],
                1,
            )],
        ),
        (
            "extended in, given up",
            vec![send(
                &[
                    p("", "COPY empty FROM STDIN"),
                    b("", "", &[]),
                    e("", 0),
                    data("14\ta\n"),
                    fail("no"),
                    s(),
                    q("SELECT 1"),
                ],
                2,
            )],
        ),
        (
            "extended in, bad row",
            vec![
                until(
                    &[p("", "COPY empty FROM STDIN"), b("", "", &[]), e("", 0), data("x\ta\n"), done(), h()],
                    b'E',
                    1,
                ),
                send(&[data("15\ta\n"), done(), s(), q("SELECT 1")], 2),
            ],
        ),
        ("extended out", vec![send(&[p("", "COPY t TO STDOUT"), b("", "", &[]), e("", 0), s(), q("SELECT 1")], 2)]),
        (
            "in a transaction",
            vec![send(
                &[q("BEGIN"), q("COPY empty FROM STDIN"), data("bad\n"), done(), q("SELECT 1"), q("ROLLBACK")],
                4,
            )],
        ),
        (
            "rows when there is no copy",
            vec![send(&[data("1\n"), done(), fail("x"), q("SELECT 1"), data("2\n"), q("SELECT 2")], 2)],
        ),
    ];
    for (name, steps) in cases {
        let t = pair.same(name, steps);
        assert_eq!(t.untaken(), 0, "{name}: bytes were left");
    }
}

#[test]
fn refused_copies_drop_their_rows() {
    let pair = Pair::new();
    for (name, steps, want) in [
        (
            "simple",
            send(&[q("COPY secret FROM STDIN"), data("1\ta\n"), done(), q("SELECT 1")], 2),
            &["E:ERROR:42501", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"][..],
        ),
        (
            "extended",
            send(
                &[
                    p("", "COPY secret FROM STDIN"),
                    b("", "", &[]),
                    e("", 0),
                    data("1\ta\n"),
                    done(),
                    s(),
                    q("SELECT 1"),
                ],
                2,
            ),
            &["E:ERROR:42501", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"][..],
        ),
    ] {
        let t = pair.want(name, &[steps], want);
        assert!(!t.forwarded().iter().any(|m| m == "d" || m == "c"), "{name}: {:?}", t.forwarded());
    }
    assert_eq!(pair.peek("SELECT count(*) FROM secret"), ["1"]);
}

/// A row longer than any buffer goes on in pieces; when the copy fails meanwhile, the target must not be left within a message, where it
/// would take the next statement for the rest of the row, and what is hidden in that for a statement.
#[test]
fn a_copy_that_fails_within_a_long_row_swallows_nothing_and_smuggles_nothing() {
    let pair = Pair::new();
    let mut t = pair.open();
    let long = frame(b'd', format!("2\t{}\n", "y".repeat(300_000)).as_bytes());
    let (first, rest) = long.split_at(100_000);
    t.send(&[q("COPY empty FROM STDIN"), data("x\tbad\n")].concat());
    t.wait(b'G', 1);
    t.send(first);
    t.wait(b'E', 1);
    // Whatever is told before the row ends: nothing of what follows may be swallowed.
    let hidden = q("SELECT v FROM secret");
    let padding = " ".repeat(rest.len());
    let carrier = [
        b"SELECT 1 /*".to_vec(),
        padding.into_bytes(),
        hidden.iter().map(|b| if *b == 0 { 1 } else { *b }).collect(),
        b"*/".to_vec(),
    ]
    .concat();
    t.send(rest);
    t.send(&done());
    t.send(&q(&String::from_utf8_lossy(&carrier)));
    t.wait(b'Z', 2);
    let got: Vec<String> = t.take().iter().map(crate::bench::wire::words).collect();
    assert_eq!(got, ["G:0:2", "E:ERROR:22P02", "Z:I", "T:?column?", "D:1", "C:SELECT 1", "Z:I"]);
    t.goodbye();
    // Every message that went to the target is whole: `forwarded` checks it.
    assert!(t.forwarded().iter().any(|m| m.starts_with("Q SELECT 1")));
}

#[test]
fn a_long_row_arrives_whole_however_it_is_split() {
    let pair = Pair::new();
    for (name, len, piece) in
        [("short", 10, 3), ("just held", 65_531, 1000), ("one more", 65_532, 1000), ("long", 1_000_000, 7_777)]
    {
        let mut t = pair.open();
        play(&mut t, &[send(&[q("DELETE FROM empty")], 1)]);
        t.send(&q("COPY empty FROM STDIN"));
        t.wait(b'G', 1);
        let bytes = [frame(b'd', format!("1\t{}\n", "z".repeat(len - 3)).as_bytes()), data("2\tb\n"), done()].concat();
        for piece in bytes.chunks(piece) {
            t.send(piece);
        }
        t.wait(b'Z', 1);
        let got: Vec<String> = t.take().iter().map(crate::bench::wire::words).collect();
        assert_eq!(got, ["G:0:2", "C:COPY 2", "Z:I"], "{name}");
        t.goodbye();
        assert_eq!(
            pair.peek("SELECT length(name) FROM empty ORDER BY id"),
            [(len - 3).to_string(), "1".into()],
            "{name}"
        );
    }
}
