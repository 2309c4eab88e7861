//! Masked results, in every way that a client can ask for rows: nothing of a tagged value reaches the client or the record, and the session
//! stays in step.

use countersign_model::{Limits, Transform};

use crate::bench::fake::{Fake, complete, ready};
use crate::bench::through::{Far, Through, Wire as _, protocol};
use crate::bench::wire::{self, b, c, d, e, frame, h, p, pbe, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cluster::{Direct, Server, database};

/// The name in each row of `public.t` is tagged.
fn rules(transform: Transform) -> Rules {
    Rules::masking(&[("pii.name", transform)], &[("public.t.name", "pii.name")], &[])
}

fn open(rules: &Rules, database: &str) -> Through<Server> {
    let mut t = Through::logged_in(&protocol(), Server::dial(), database, rules);
    t.take();
    t
}

/// What the client is told, in words; what was told and recorded holds none of `secrets`.
#[track_caller]
fn told(t: &mut Through<impl Far>, bytes: &[Vec<u8>], count: usize, secrets: &[&str]) -> Vec<String> {
    t.send(&bytes.concat());
    t.wait(b'Z', count);
    let messages = t.take();
    for entry in t.log.entries() {
        if let Entry::Told(bytes) | Entry::Rows(_, bytes) = &entry {
            let text = String::from_utf8_lossy(bytes);
            assert!(secrets.iter().all(|secret| !text.contains(secret)), "{text}");
        }
    }
    messages.iter().map(wire::words).collect()
}

fn rows(words: &[String]) -> Vec<&str> {
    words.iter().filter_map(|w| w.strip_prefix("D:")).collect()
}

#[test]
fn adv_032_rows_are_masked_however_they_are_asked_for() {
    let name = database();
    Direct::connect(&name).run("CREATE VIEW named AS SELECT id AS n, name AS what FROM t");
    let rules = rules(Transform::Redact);
    for (sql, want) in [
        ("SELECT name FROM t WHERE id = 1", "[redacted]"),
        ("SELECT id, name AS id2, id FROM t WHERE id = 2", "2|[redacted]|2"),
        ("SELECT * FROM (SELECT upper(name) FROM t WHERE id = 1) x", "[redacted]"),
        ("WITH w AS (SELECT name FROM t WHERE id = 1) SELECT 'a' || name FROM w", "[redacted]"),
        ("SELECT what FROM named WHERE n = 3", "[redacted]"),
        ("SELECT name::text, md5(name), reverse(name) FROM t WHERE id = 1", "[redacted]|[redacted]|[redacted]"),
        ("SELECT array_agg(name) FROM t", "NULL"),
        ("SELECT t FROM t WHERE id = 4", "NULL"),
        ("SELECT to_jsonb(t) FROM t WHERE id = 4", "\"[redacted]\""),
        ("SELECT string_agg(name, ',') FROM t", "[redacted]"),
        ("UPDATE t SET id = id WHERE id = 5 RETURNING name", "[redacted]"),
        ("SELECT length(name) FROM t WHERE id = 1", "NULL"),
        ("SELECT null::text FROM t WHERE id = 1", "NULL"),
        ("SELECT id FROM t WHERE id = 1", "1"),
    ] {
        for extended in [false, true] {
            let mut t = open(&rules, &name);
            let ask = if extended { [pbe(sql, &[]), s()].concat() } else { q(sql) };
            let got = told(&mut t, &[ask], 1, &["name1", "name2", "name3", "name4", "name5"]);
            assert_eq!(rows(&got), [want], "{sql}: {got:?}");
            assert!(told(&mut t, &[q("SELECT 1")], 1, &[]).contains(&"D:1".to_owned()));
            t.goodbye();
        }
    }
}

#[test]
fn adv_042_a_cached_statement_is_masked_without_a_description() {
    let name = database();
    let mut t = open(&rules(Transform::Redact), &name);
    let got = told(&mut t, &[p("a", "SELECT id, name FROM t ORDER BY id"), s()], 1, &["name1"]);
    assert_eq!(got, ["1", "Z:I"]);
    for _ in 0..3 {
        let got = told(&mut t, &[b("", "a", &[]), e("", 2), s()], 1, &["name1"]);
        assert_eq!(got, ["2", "D:1|[redacted]", "D:2|[redacted]", "s", "Z:I"]);
    }
    // The client's own description is its own.
    let got = told(&mut t, &[b("c", "a", &[]), d(b'P', "c"), e("c", 1), e("c", 1), c(b'P', "c"), s()], 1, &["name1"]);
    assert_eq!(got, ["2", "T:id,name", "D:1|[redacted]", "s", "D:2|[redacted]", "s", "3", "Z:I"]);
    let got = told(&mut t, &[d(b'S', "a"), b("", "a", &[]), e("", 1), s()], 1, &["name1"]);
    assert_eq!(got, ["t", "T:id,name", "2", "D:1|[redacted]", "s", "Z:I"]);
    let asked = t.forwarded().iter().filter(|m| m.starts_with("D P ")).count();
    assert_eq!(asked, 4, "the target is asked where the client did not ask: {:?}", t.forwarded());
    t.goodbye();
}

#[test]
fn adv_034_cursors_prepared_statements_and_several_statements_are_masked() {
    let name = database();
    let secrets = ["name1", "name2", "name3"];
    for (sql, want) in [
        (
            "BEGIN; DECLARE c CURSOR FOR SELECT name, id FROM t ORDER BY id; FETCH 2 FROM c; FETCH 1 FROM c; COMMIT",
            vec!["[redacted]|1", "[redacted]|2", "[redacted]|3"],
        ),
        (
            "PREPARE x AS SELECT id, name FROM t WHERE id = 1; EXECUTE x; SELECT 2; EXECUTE x",
            vec!["1|[redacted]", "2", "1|[redacted]"],
        ),
        ("SELECT 1; SELECT name FROM t WHERE id = 1; SELECT id FROM t WHERE id = 2", vec!["1", "[redacted]", "2"]),
        (
            "BEGIN; DECLARE c BINARY CURSOR FOR SELECT name FROM t WHERE id = 1; FETCH ALL FROM c; COMMIT",
            vec!["[redacted]"],
        ),
    ] {
        let mut t = open(&rules(Transform::Redact), &name);
        let got = told(&mut t, &[q(sql)], 1, &secrets);
        assert_eq!(rows(&got), want, "{sql}: {got:?}");
        t.goodbye();
    }
    let mut t = open(&rules(Transform::Redact), &name);
    told(&mut t, &[q("BEGIN"), q("DECLARE c CURSOR FOR SELECT name, id FROM t ORDER BY id")], 2, &secrets);
    told(&mut t, &[q("PREPARE x AS SELECT id, name FROM t WHERE id = 1")], 1, &secrets);
    for (ask, want) in [
        (q("FETCH 1 FROM c"), "[redacted]|1"),
        ([pbe("FETCH 1 FROM c", &[]), s()].concat(), "[redacted]|2"),
        ([e("c", 1), s()].concat(), "[redacted]|3"),
        (q("EXECUTE x"), "1|[redacted]"),
        ([pbe("EXECUTE x", &[]), h(), s()].concat(), "1|[redacted]"),
    ] {
        let got = told(&mut t, &[ask], 1, &secrets);
        assert_eq!(rows(&got), [want], "{got:?}");
    }
    t.goodbye();
}

#[test]
fn adv_037_copies_out_are_masked() {
    let name = database();
    for (sql, want) in [
        ("COPY t TO STDOUT", "1\t[redacted]"),
        ("COPY t (name, id) TO STDOUT", "[redacted]\t1"),
        ("COPY (SELECT id, name FROM t ORDER BY id) TO STDOUT (FORMAT csv, FORCE_QUOTE *)", "\"1\",\"[redacted]\""),
        ("COPY t TO STDOUT (DELIMITER '|', NULL '')", "1|[redacted]"),
        ("COPY (SELECT id, upper(name), length(name) FROM t) TO STDOUT", "1\t[redacted]\t\\N"),
    ] {
        for extended in [false, true] {
            let mut t = open(&rules(Transform::Redact), &name);
            let ask = if extended { [pbe(sql, &[]), s()].concat() } else { q(sql) };
            let got = told(&mut t, &[ask], 1, &["name1", "NAME1"]);
            assert_eq!(got.iter().find_map(|w| w.strip_prefix("d:")), Some(want), "{sql}: {got:?}");
            assert_eq!(got.iter().filter(|w| w.starts_with("d:")).count(), 10, "{sql}: {got:?}");
            t.goodbye();
        }
    }
    let mut t = open(&rules(Transform::Redact), &name);
    let got = told(&mut t, &[q("COPY t TO STDOUT (FORMAT binary)")], 1, &["name1"]);
    assert!(got.iter().any(|w| w.contains("[redacted]")), "{got:?}");
    let got = told(&mut t, &[q("COPY t TO STDOUT (ENCODING 'latin1')")], 1, &["name1"]);
    assert_eq!(got, ["E:ERROR:42501", "Z:I"]);
    t.goodbye();
}

#[test]
fn adv_036_errors_and_notices_quote_nothing() {
    let name = database();
    let mut admin = Direct::connect(&name);
    admin.run("ALTER TABLE t ADD CHECK (id < 1000)");
    let secrets = ["name1", "name2", "row contains"];
    let mut t = open(&rules(Transform::Redact), &name);
    for (ask, code) in [
        (q("SELECT name::int FROM t"), "22P02"),
        ([pbe("SELECT name::date FROM t", &[]), s()].concat(), "22007"),
        (q("UPDATE t SET id = 5000 WHERE id = 1"), "23514"),
    ] {
        let got = told(&mut t, &[ask], 1, &secrets);
        assert!(got.iter().any(|w| *w == format!("E:ERROR:{code}")), "{got:?}");
    }
    // Until the transaction ends, and no longer.
    told(&mut t, &[q("BEGIN"), q("SELECT name FROM t WHERE id = 1")], 2, &secrets);
    t.send(&q("SELECT 'mine'::int"));
    t.wait(b'Z', 1);
    assert!(!String::from_utf8_lossy(&t.take()[0].body).contains("mine"));
    told(&mut t, &[q("ROLLBACK")], 1, &secrets);
    t.send(&q("SELECT 'mine'::int"));
    t.wait(b'Z', 1);
    assert!(String::from_utf8_lossy(&t.take()[0].body).contains("mine"));
    t.goodbye();
}

#[test]
fn content_is_masked_where_no_tag_tells() {
    let name = database();
    let mut admin = Direct::connect(&name);
    admin.run("CREATE TABLE notes (id int, body text, doc jsonb, list text[], mail text)");
    admin.run(
        "INSERT INTO notes VALUES (1, 'ask ana@example.com today', '{\"to\": \"ana@example.com\"}', '{ana@example.com,\"b, c\"}', 'x')",
    );
    let rules = Rules::masking(&[("pii.email", Transform::Redact)], &[], &["pii"]);
    let mut t = open(&rules, &name);
    let want = "1|ask [redacted] today|{\"to\": \"[redacted]\"}|{\"[redacted]\",\"b, c\"}|x";
    for ask in [q("SELECT * FROM notes"), [pbe("SELECT * FROM notes", &[]), s()].concat()] {
        let got = told(&mut t, &[ask], 1, &["ana@"]);
        assert_eq!(rows(&got), [want], "{got:?}");
    }
    let got = told(&mut t, &[q("SELECT n FROM (SELECT id, body FROM notes) n")], 1, &["ana@"]);
    assert_eq!(rows(&got), ["(1,\"ask [redacted] today\")"]);
    let got = told(&mut t, &[q("COPY notes (body) TO STDOUT")], 1, &["ana@"]);
    assert!(got.contains(&"d:ask [redacted] today".to_owned()), "{got:?}");
    let masked: u64 = t
        .log
        .entries()
        .iter()
        .map(|e| if let Entry::Outcome(_, o) = e { o.masked.iter().map(|m| m.1).sum() } else { 0 })
        .sum();
    assert_eq!(masked, 8);
    t.goodbye();
}

#[test]
fn limits_count_and_the_outcome_tells_how_much_was_masked() {
    let name = database();
    let rules = Rules { limits: Limits { rows: Some(3), ..Limits::NONE }, limits_on: None, ..rules(Transform::Redact) };
    let mut t = open(&rules, &name);
    let got = told(&mut t, &[q("SELECT name FROM t"), q("SELECT 1")], 2, &["name1"]);
    assert_eq!(rows(&got), ["[redacted]", "[redacted]", "[redacted]", "1"]);
    assert!(got.contains(&"E:ERROR:53400".to_owned()), "{got:?}");
    t.goodbye();
    let masked: Vec<_> = t
        .log
        .entries()
        .into_iter()
        .filter_map(|e| match e {
            Entry::Outcome(_, o) if !o.masked.is_empty() => Some((o.rows, o.masked[0].0.to_string(), o.masked[0].1)),
            _ => None,
        })
        .collect();
    assert_eq!(masked, [(3, "pii.name".to_owned(), 4)]);
}

#[test]
fn many_rows_in_any_pieces_are_the_same() {
    let name = database();
    Direct::connect(&name)
        .run("INSERT INTO t SELECT n, 'name' || n || repeat('x', n % 50) FROM generate_series(100, 4000) n");
    let mut whole = None;
    for piece in [usize::MAX, 1, 7, 4096] {
        let mut t = open(&rules(Transform::Hash), &name);
        t.far_piece = piece;
        let sql = if piece == 1 {
            "SELECT id, name FROM t WHERE id < 300 ORDER BY id"
        } else {
            "SELECT id, name FROM t ORDER BY id"
        };
        let got = told(&mut t, &[q(sql)], 1, &["name1", "xxxx"]);
        t.goodbye();
        match &whole {
            None => whole = Some(got),
            Some(all) if piece == 1 => assert!(rows(all).starts_with(&rows(&got)) && rows(&got).len() == 210),
            Some(all) => assert!(*all == got, "in pieces of {piece}"),
        }
    }
}

fn described(names: &[&str]) -> Vec<u8> {
    let mut body = i16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
    for name in names {
        body.extend(name.bytes());
        body.extend(b"\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0");
    }
    frame(b'T', &body)
}

fn row(cells: &[&str]) -> Vec<u8> {
    let mut body = i16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
    for cell in cells {
        body.extend(i32::try_from(cell.len()).unwrap().to_be_bytes());
        body.extend(cell.bytes());
    }
    frame(b'D', &body)
}

/// What a target's answer to a question for the tagged column becomes.
fn answered(answer: &[Vec<u8>], piece: usize) -> (Vec<String>, usize) {
    let script = [answer.concat(), complete("SELECT 1"), ready(b'I')].concat();
    let mut t = Through::logged_in(&protocol(), Fake::answering(&[&script]), "shop", &rules(Transform::Redact));
    t.take();
    t.far_piece = piece;
    let got = told(&mut t, &[q("SELECT id, name FROM t"), q("SELECT 1")], 2, &["secret"]);
    let cancels = t.own_cancels;
    t.goodbye();
    (got, cancels)
}

#[test]
fn a_result_that_is_not_as_understood_gives_an_error_and_no_row() {
    for answer in [
        vec![described(&["id"]), row(&["secret"])],
        vec![described(&["id", "name", "more"]), row(&["1", "secret", "secret"])],
        vec![row(&["1", "secret"])],
        vec![described(&["id", "name"]), row(&["1"])],
        vec![described(&["id", "name"]), frame(b'D', b"\0\x02\0\0\0\x01a\0\0\0\x7fsecret")],
        vec![described(&["id", "name"]), frame(b'd', b"secret")],
        vec![frame(b'H', b"\0\0\x02\0\0\0\0"), frame(b'd', b"1\tsecret\n")],
        vec![described(&["id", "name"]), row(&["1", &"secret".repeat(3 << 20)])],
    ] {
        for piece in [usize::MAX, 5000, 3].into_iter().take(if answer.concat().len() > 1 << 20 { 2 } else { 3 }) {
            let (got, cancels) = answered(&answer, piece);
            assert!(got.contains(&"E:ERROR:42501".to_owned()), "{got:?}");
            assert!(rows(&got).is_empty() && cancels == 1, "{got:?}");
            assert_eq!(got.iter().filter(|w| *w == "Z:I").count(), 2, "{got:?}");
        }
    }
    let answer = [described(&["id", "name"]), row(&["1", "secret"])];
    let (whole, _) = answered(&answer, usize::MAX);
    assert_eq!(rows(&whole), ["1|[redacted]"]);
    for piece in 1..answer.concat().len() {
        assert_eq!(answered(&answer, piece).0, whole);
    }
}

#[test]
fn a_name_that_nobody_has_is_refused_as_the_target_tells_it() {
    let name = database();
    let rules = Rules { refuses_oracles: true, ..rules(Transform::Redact) };
    for (sql, want) in [
        ("SELECT * FROM nowhere_at_all", "E:ERROR:42P01"),
        ("SELECT id FROM t JOIN nowhere_at_all USING (id) ORDER BY t.name", "E:ERROR:42P01"),
        ("SELECT id FROM t ORDER BY name", "E:ERROR:42501"),
        ("SELECT id, 'nowhere_at_all' FROM t WHERE name = 'a'", "E:ERROR:42501"),
    ] {
        for extended in [false, true] {
            let mut t = open(&rules, &name);
            let ask = if extended { [pbe(sql, &[]), s()].concat() } else { q(sql) };
            let got = told(&mut t, &[ask], 1, &["name1"]);
            assert_eq!(got, [want, "Z:I"], "{sql}");
            t.goodbye();
            let denied = format!("{sql}: denied");
            assert!(t.log.outcomes().contains(&denied), "it is the gateway that refuses: {:?}", t.log.outcomes());
        }
    }
}

#[test]
fn without_what_puts_masks_on_nothing_is_shown() {
    let name = database();
    let protocol = std::sync::Arc::new(countersign_postgres::Postgres::new());
    let mut t = Through::logged_in(&protocol, Server::dial(), &name, &rules(Transform::Redact));
    t.take();
    let got = told(&mut t, &[q("SELECT name FROM t"), q("SELECT id FROM t WHERE id = 1")], 2, &["name1"]);
    assert_eq!(got, ["E:ERROR:42501", "Z:I", "T:id", "D:1", "C:SELECT 1", "Z:I"]);
    t.goodbye();
}
