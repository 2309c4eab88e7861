//! The questions of `tests/masking/questions`, asked through the machine in every protocol and format against a database whose sensitive
//! cells stand nowhere else: not one of them, in any form that a query could give it, may reach the client or the record.

use std::collections::{HashMap, HashSet};

use countersign_model::Transform;

use crate::bench::through::{Through, Wire as _, protocol};
use crate::bench::wire::{self, d, e, frame, p, q, s};
use crate::bench::world::{Entry, Rules};
use crate::cluster::{Direct, Server, database};

const FIXTURE: &str = include_str!("../../../../../tests/masking/fixture.sql");
const COLUMNS: &str = include_str!("../../../../../tests/masking/questions/columns.txt");
const EXPRESSIONS: &str = include_str!("../../../../../tests/masking/questions/expressions.txt");
const SOURCES: &str = include_str!("../../../../../tests/masking/questions/sources.txt");
const SINGLE: &str = include_str!("../../../../../tests/masking/questions/single.txt");
const ORDINARY: &str = include_str!("../../../../../tests/masking/questions/ordinary.txt");
const TOOLS: &str = include_str!("../../../../../tests/masking/questions/tools.txt");

/// A shorter piece of a value could be there by chance.
const PIECE: usize = 8;
/// Of all products of source, expression and column, one in so many.
const STRIDE: usize = 97;

/// Ordinary questions that are refused: how they begin, and why.
const EXPLAINED: &[(&str, &str)] = &[(
    "select c.name, c.email, sum(o.total) from customers",
    "it groups by a masked column, which tells which values are equal",
)];

fn lines(file: &str) -> Vec<&str> {
    file.lines().filter(|l| !l.is_empty() && !l.starts_with('#')).collect()
}

/// Letters or digits for a canary: the same for the same label.
fn token(kind: &str, label: &str) -> String {
    let mut state = label
        .bytes()
        .chain(kind.bytes())
        .fold(0x9e37_79b9_7f4a_7c15_u64, |x, b| (x ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
    let mut next = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut letters = |n: usize, of: &str| -> String {
        (0..n).map(|_| char::from(of.as_bytes()[usize::try_from(next(of.len() as u64)).unwrap()])).collect()
    };
    match kind {
        "DIGITS" => letters(12, "0123456789"),
        "HEX" => format!(
            "{}-{}-4{}-8{}-",
            letters(8, "0123456789abcdef"),
            letters(4, "0123456789abcdef"),
            letters(3, "0123456789abcdef"),
            letters(3, "0123456789abcdef")
        ),
        _ => letters(14, "bcdfghjklmpqrstvwxz2345679"),
    }
}

fn planted() -> String {
    let mut out = String::new();
    let mut rest = FIXTURE;
    while let Some((before, after)) = rest.split_once("CANARY") {
        out.push_str(before);
        let (kind, after) = after.split_once('(').unwrap();
        if !matches!(kind, "" | "DIGITS" | "HEX") {
            // The words of a comment.
            out.push_str(kind);
            out.push('(');
            rest = after;
            continue;
        }
        let (label, after) = after.split_once(')').unwrap();
        out.push_str(&token(kind, label));
        rest = after;
    }
    out + rest
}

fn hex(b: &[u8]) -> String {
    b.iter().map(|b| format!("{b:02x}")).collect()
}

fn base64(b: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    b.chunks_exact(3)
        .flat_map(|c| {
            let n = u32::from(c[0]) << 16 | u32::from(c[1]) << 8 | u32::from(c[2]);
            [18, 12, 6, 0].map(|s| char::from(ALPHABET[(n >> s & 63) as usize]))
        })
        .collect()
}

/// All that must not be seen, in pieces, by the column that it is of.
struct Leaks(HashMap<[u8; PIECE], String>);

impl Leaks {
    fn add(&mut self, column: &str, form: &[u8]) {
        for w in form.to_ascii_lowercase().windows(PIECE) {
            let distinct: HashSet<&u8> = w.iter().collect();
            if distinct.len() > 3 {
                self.0.entry(w.try_into().unwrap()).or_insert_with(|| column.to_owned());
            }
        }
    }

    fn value(&mut self, column: &str, value: &str) {
        let reversed: String = value.chars().rev().collect();
        for v in [value.to_owned(), value.to_uppercase(), reversed.clone(), reversed.to_uppercase()] {
            self.add(column, v.as_bytes());
            self.add(column, hex(v.as_bytes()).as_bytes());
            for shift in 0..3 {
                let skip = if shift > 0 { 4 } else { 0 };
                let encoded = base64(&[&vec![0; shift], v.as_bytes()].concat());
                self.add(column, &encoded.as_bytes()[skip.min(encoded.len())..]);
            }
        }
    }

    /// The first piece found, with its column.
    fn find(&self, bytes: &[u8], transform: Transform) -> Option<(String, String)> {
        let lower = bytes.to_ascii_lowercase();
        lower.windows(PIECE).find_map(|w| {
            let column = self.0.get(<&[u8; PIECE]>::try_from(w).unwrap())?;
            // A pseudonym of a day is a day, and one that is there may hold a part of another's; addresses are no better.
            let is_short = matches!(column.as_str(), "born" | "last_seen" | "visits" | "address");
            if is_short && transform == Transform::Hash {
                return None;
            }
            Some((column.clone(), String::from_utf8_lossy(w).into_owned()))
        })
    }
}

fn column(direct: &mut Direct, sql: &str) -> Vec<String> {
    direct.run(sql).iter().filter_map(|w| w.strip_prefix("D:").map(str::to_owned)).collect()
}

fn leaks(direct: &mut Direct) -> Leaks {
    let mut leaks = Leaks(HashMap::new());
    for name in lines(COLUMNS).iter().map(|l| l.split_once(' ').unwrap().0) {
        for value in column(direct, &format!("SELECT {name}::text FROM customers")) {
            leaks.value(name, &value);
        }
        let digests = column(
            direct,
            &format!(
                "SELECT md5({name}::text) FROM customers UNION ALL SELECT encode(sha256({name}::text::bytea), 'hex') FROM customers \
                 UNION ALL SELECT md5(upper({name}::text)) FROM customers"
            ),
        );
        digests.iter().for_each(|v| leaks.add(name, &v.as_bytes()[..PIECE]));
    }
    for sql in [
        "SELECT email FROM hr.people",
        "SELECT substr(body, 10, 30) FROM events",
        "SELECT substr(notes, 27, 44) FROM customers",
    ] {
        column(direct, sql).iter().for_each(|v| leaks.value(sql, v));
    }
    // What stands before and after all of them is no secret.
    for shared in [
        "@box.example",
        "@json.example",
        "@notes.example",
        "@events.example",
        " from desk ",
        "\"2024-01-01 00:00:00+00\"",
        "notes.example or to ",
    ] {
        for w in shared.as_bytes().windows(PIECE) {
            leaks.0.remove(w);
        }
    }
    leaks
}

fn questions() -> Vec<String> {
    let (expressions, sources) = (lines(EXPRESSIONS), lines(SOURCES));
    let columns: Vec<&str> = lines(COLUMNS).iter().map(|l| l.split_once(' ').unwrap().0).collect();
    let mut all: Vec<String> = lines(SINGLE).iter().map(|l| (*l).to_owned()).collect();
    all.extend(columns.iter().map(|c| format!("select {c} from customers")));
    all.extend(expressions.iter().map(|e| sources[0].replace("{e}", &e.replace("{c}", "email"))));
    all.extend(sources.iter().map(|s| s.replace("{e}", "email")));
    let mut n = 0;
    for source in &sources {
        for expression in &expressions {
            for column in &columns {
                n += 1;
                if n % STRIDE == 0 {
                    all.push(source.replace("{e}", &expression.replace("{c}", column)));
                }
            }
        }
    }
    all
}

fn bind(binary: bool) -> Vec<u8> {
    frame(b'B', &[0, 0, 0, 0, 0, 0, 0, 1, 0, u8::from(binary)])
}

/// In which ways a question is asked.
fn ways(sql: &str) -> Vec<(&'static str, Vec<u8>)> {
    let mut ways = vec![("simple", q(sql))];
    if !sql.contains(';') && !sql.starts_with("copy") {
        ways.push(("text", [p("", sql), bind(false), d(b'P', ""), e("", 0), s()].concat()));
        let rows = ["select", "with", "values", "table"].iter().any(|w| sql.to_lowercase().starts_with(w));
        let run = if rows { [e("", 3), e("", 0)].concat() } else { e("", 0) };
        ways.push(("binary, in parts", [p("", sql), bind(true), run, s()].concat()));
    }
    ways
}

fn rules(transform: Transform) -> Rules {
    let columns: Vec<(String, &str)> = lines(COLUMNS)
        .iter()
        .map(|l| l.split_once(' ').unwrap())
        .map(|(c, tag)| (format!("public.customers.{c}"), tag))
        .collect();
    let columns: Vec<(&str, &str)> = columns.iter().map(|(c, t)| (c.as_str(), *t)).collect();
    let mut rules = Rules::masking(&[("pii", transform), ("secret", transform)], &columns, &["pii", "secret"]);
    rules.refuses_oracles = true;
    rules
}

fn fixture() -> String {
    let name = database();
    Direct::connect(&name).run(&planted());
    name
}

fn ask(t: &mut Through<Server>, bytes: &[u8]) -> Vec<wire::Message> {
    t.send(bytes);
    t.wait(b'Z', 1);
    t.take()
}

#[test]
fn adv_033_no_canary_in_any_form() {
    let name = fixture();
    let leaks = leaks(&mut Direct::connect(&name));
    let questions = questions();
    assert!(questions.len() >= 300, "{}", questions.len());
    let (mut answered, mut refused, mut failed, mut found) = (0, 0, 0, Vec::new());
    for transform in [Transform::Redact, Transform::Hash] {
        let rules = rules(transform);
        let mut t = Through::logged_in(&protocol(), Server::dial(), &name, &rules);
        t.take();
        for sql in questions.iter().step_by(if transform == Transform::Hash { 7 } else { 1 }) {
            for (way, bytes) in ways(sql) {
                if t.closed.is_some() {
                    t.goodbye();
                    t = Through::logged_in(&protocol(), Server::dial(), &name, &rules);
                    t.take();
                }
                let messages = ask(&mut t, &bytes);
                let words: Vec<String> = messages.iter().map(wire::words).collect();
                if words.iter().any(|w| w == "E:ERROR:42501" || w == "E:FATAL:42501") {
                    refused += 1;
                } else if words.iter().any(|w| w.starts_with("E:")) {
                    failed += 1;
                } else {
                    answered += 1;
                }
                for m in &messages {
                    if let Some((column, piece)) = leaks.find(&m.body, transform) {
                        found.push(format!(
                            "{transform}, {way}: {sql}\n    {column}: {piece} in {}",
                            wire::words(m).chars().take(200).collect::<String>()
                        ));
                        break;
                    }
                }
                if words.last().is_none_or(|w| w != "Z:I") {
                    ask(&mut t, &q("rollback"));
                }
                ask(&mut t, &q("deallocate all"));
            }
        }
        // It also holds that what was recorded is what was told.
        t.goodbye();
        for entry in t.log.entries() {
            if let Entry::Rows(_, bytes) = entry {
                assert!(leaks.find(&bytes, transform).is_none() || !found.is_empty());
            }
        }
    }
    assert!(found.is_empty(), "{} leaks:\n{}", found.len(), found.join("\n"));
    // What is refused cannot leak, and what cannot fail was not asked.
    assert!(
        answered > refused && refused > 100 && failed > 10,
        "{answered} answered, {refused} refused, {failed} failed"
    );
}

#[test]
fn ordinary_questions_work() {
    let name = fixture();
    let mut t = Through::logged_in(&protocol(), Server::dial(), &name, &rules(Transform::Redact));
    t.take();
    let mut direct = Direct::connect(&name);
    let mut problems = Vec::new();
    for sql in lines(ORDINARY).into_iter().chain(lines(TOOLS)) {
        for (way, bytes) in ways(sql) {
            direct.send(&bytes);
            direct.wait(b'Z', 1);
            let fails = direct.take().iter().any(|m| m.tag == b'E');
            if fails && way == "simple" {
                problems.push(format!("fails at the target itself: {sql}"));
            }
            let messages = ask(&mut t, &bytes);
            if EXPLAINED.iter().any(|(begin, _)| sql.starts_with(begin)) {
                continue;
            }
            if let Some(m) = messages.iter().find(|m| m.tag == b'E' && !fails) {
                let text = String::from_utf8_lossy(&m.body).replace('\0', " ");
                problems.push(format!("{way}: {sql}\n    {}", text.chars().take(300).collect::<String>()));
                ask(&mut t, &q("rollback"));
                break;
            }
        }
        ask(&mut t, &q("deallocate all"));
        direct.run("deallocate all");
    }
    t.goodbye();
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}
