//! The cache must not be seen: the same answer with it and without, whatever was asked before.

use std::sync::Arc;

use countersign_sql::{Analyser, Analysis, CACHE_ENTRIES_MAX, CACHED_TEXT_BYTES_MAX, Settings, analyse};
use proptest::prelude::*;

use super::support::{builder, catalog, settings, uses};

/// Everything that a verdict or the machine depends on.
fn essence(a: &Analysis) -> String {
    format!(
        "{}|{}|{:?}|{:?}|{:?}|{:?}",
        a.shape().kind(),
        a.shape().fingerprint(),
        a.shape().uses(),
        a.shape().why_unreadable().is_some(),
        a.statements()
            .iter()
            .map(|s| (s.kind, s.access, &s.settings, &s.copy, &s.executes, s.may_change_settings))
            .collect::<Vec<_>>(),
        a.undefined()
    )
}

const TEMPLATES: &[&str] = &[
    "select id from orders where id = @",
    "select * from orders where status = @ and total > @ limit @",
    "insert into audit (what) values (@), (@)",
    "update orders set status = @ where id = @",
    "delete from orders where id in (@, @, @)",
    "select @::int, @::text, cast(@ as numeric)",
    "set application_name = @",
    "set client_encoding = @",
    "set search_path = @",
    "select set_config(@, @, false)",
    "select pg_read_file(@)",
    "select nextval(@)",
    "select - @, -@, 1 - @",
    "copy orders to @",
    "do @",
    "select 1 from orders order by @",
    "select @ @",
    "select a.@ from orders a",
    "explain (analyze @) delete from orders where id = @",
    "prepare p as select @",
    "notify c, @",
    "select * from orders tablesample bernoulli (@)",
    "select date @, interval @",
    "select wild(@)",
    "select @;select @",
    "select U&\"\\0061\" UESCAPE @ from orders",
    "select x'0@'",
    "with d as (delete from orders where id = @ returning id) select * from d where @ = @",
];

fn constant() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "1",
            "-1",
            "0",
            "1.5",
            "1e5",
            "0x1f",
            "1_000",
            "99999999999",
            "'a'",
            "'on'",
            "'off'",
            "'UTF8'",
            "'SJIS'",
            "'evil'",
            "'public'",
            "'role'",
            "'search_path'",
            "''",
            "'it''s'",
            "E'\\''",
            "E'a\\\\'",
            "U&'\\0061'",
            "N'x'",
            "B'01'",
            "X'ff'",
            "$$a$$",
            "$t$ ' $t$",
            "'a'\n'b'",
            "'a' 'b'",
            "'a' -- c\n'b'",
            "'a' /* c */",
            "/**/1",
            "1--\n",
            "1a",
            "1 ",
            " 1",
            "$1",
            "$2",
            "true",
            "null",
            "'/tmp/x'",
            "'; drop table orders; --'",
            "1; drop table orders",
            "1 or true",
            "1) or (1=1",
            "stdout",
            "'\u{1}s'",
            "'\u{1}0'",
            "\u{1}0",
            "\"x\"",
            "id",
            "now()",
            "wild(1)",
        ])
        .prop_map(str::to_owned),
        "[0-9]{1,6}",
        "'[a-z '\\\\]{0,8}'",
    ]
}

fn fill(template: &str, constants: &[String]) -> String {
    let mut constants = constants.iter().cycle();
    let mut out = String::new();
    for part in template.split_inclusive('@') {
        match part.strip_suffix('@') {
            Some(head) => {
                out.push_str(head);
                out.push_str(constants.next().unwrap());
            }
            None => out.push_str(part),
        }
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    /// One cache sees several fillings of one template, each twice; every answer is that of no cache.
    #[test]
    fn the_cache_is_not_seen(template in prop::sample::select(TEMPLATES), fillings in prop::collection::vec(prop::collection::vec(constant(), 1..4), 2..6)) {
        let analyser = Analyser::new();
        let settings = settings();
        for round in 0..2 {
            for filling in &fillings {
                let text = fill(template, filling);
                let plain = analyse(text.as_bytes(), catalog(), &settings);
                let cached = analyser.analyse(text.as_bytes(), catalog(), &settings);
                prop_assert_eq!(essence(&plain), essence(&cached), "round {} {:?}", round, text);
            }
        }
    }

    #[test]
    fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let analyser = Analyser::new();
        let a = analyser.analyse(&bytes, catalog(), &settings());
        prop_assert!(!a.shape().uses().is_empty());
    }

    #[test]
    fn any_words_are_judged(words in prop::collection::vec(prop::sample::select(vec![
        "select", "from", "where", "(", ")", ",", "orders", "customers", "with", "as", "insert", "into", "values", "update", "set", "delete", "join",
        "on", "=", "1", "'a'", "*", ".", "o", "union", "all", "returning", "lateral", "using", "group", "by", "order", "having", "window", "over",
        "case", "when", "then", "end", "exists", "in", "array", "[", "]", "::", "int", "cast", "row", "explain", "analyze", "copy", "to", "stdout",
        ";", "create", "table", "temp", "view", "drop", "grant", "not", "null", "is", "and", "or", "for", "only", "recursive", "values", "merge"]), 0..25)) {
        let text = words.join(" ");
        let a = analyse(text.as_bytes(), catalog(), &settings());
        prop_assert!(!a.shape().why_unreadable().is_some_and(|why| why.contains("not understood")), "{}: {:?}", text, a.shape().why_unreadable());
    }
}

/// The same over the whole corpus: the census agrees with the walk everywhere.
#[test]
fn corpus_through_the_cache() {
    let analyser = Analyser::new();
    let settings = settings();
    let texts: Vec<&str> = include_str!("../corpus.txt")
        .lines()
        .filter(|l| !l.starts_with('#') && !l.trim().is_empty())
        .map(|l| l.splitn(4, ";;").nth(3).unwrap().trim())
        .collect();
    for _ in 0..3 {
        for text in &texts {
            let plain = analyse(text.as_bytes(), catalog(), &settings);
            assert_eq!(essence(&plain), essence(&analyser.analyse(text.as_bytes(), catalog(), &settings)), "{text}");
        }
    }
}

#[test]
fn literals_share_one_analysis_and_nothing_else_does() {
    let analyser = Analyser::new();
    let settings = settings();
    let ask = |text: &str| analyser.analyse(text.as_bytes(), catalog(), &settings);
    assert!(Arc::ptr_eq(
        &ask("select id from orders where id = 1"),
        &ask("SELECT id\nFROM orders /* x */ WHERE id = 2")
    ));
    assert!(!Arc::ptr_eq(&ask("select id from orders where id = 1"), &ask("select id from orders where id = 1.0")));
    assert!(!Arc::ptr_eq(&ask("select id from orders where id = 1"), &ask("select id from orders where id = '1'")));
    assert!(!Arc::ptr_eq(&ask("select id from orders"), &ask("select \"id\" from orders")));
    assert!(!Arc::ptr_eq(&ask("set application_name = 'a'"), &ask("set application_name = 'b'")));
    assert!(Arc::ptr_eq(&ask("set application_name = 'a'"), &ask("set application_name = 'a'")));
    assert_eq!(
        ask("select id from orders where id = 1").shape().fingerprint(),
        ask("select id from orders where id = 99").shape().fingerprint()
    );
}

#[test]
fn a_new_catalog_or_path_is_asked_anew() {
    let analyser = Analyser::new();
    let text = b"select count(*) from orders";
    let public = settings();
    let evil = Arc::new(Settings::new(&["pg_catalog", "evil", "public"], None));
    assert_eq!(uses(analyser.analyse(text, catalog(), &public).shape()), "read(public.orders)");
    assert_eq!(uses(analyser.analyse(text, catalog(), &evil).shape()), "read(evil.orders)");
    assert_eq!(uses(analyser.analyse(text, catalog(), &public).shape()), "read(public.orders)");
    // Equal settings of another session hit the same entry.
    let again = analyser.analyse(text, catalog(), &public);
    assert!(Arc::ptr_eq(&again, &analyser.analyse(text, catalog(), &settings())));
    let other = builder(2).build();
    assert!(!Arc::ptr_eq(&again, &analyser.analyse(text, &other, &public)));
    let empty = countersign_sql::CatalogBuilder::new(3).build();
    assert!(analyser.analyse(text, &empty, &public).undefined().is_some());
}

#[test]
fn what_is_not_kept() {
    let analyser = Analyser::new();
    let settings = settings();
    for text in ["select from from", "select * from nope", "select nope()"] {
        analyser.analyse(text.as_bytes(), catalog(), &settings);
    }
    assert!(analyser.is_empty());
    let padded = |n: usize| format!("select 1{}", " ".repeat(n - 8));
    analyser.analyse(padded(CACHED_TEXT_BYTES_MAX + 1).as_bytes(), catalog(), &settings);
    assert!(analyser.is_empty());
    analyser.analyse(padded(CACHED_TEXT_BYTES_MAX).as_bytes(), catalog(), &settings);
    assert!(!analyser.is_empty());
}

#[test]
fn the_cache_is_bounded() {
    let analyser = Analyser::new();
    let settings = settings();
    for i in 0..CACHE_ENTRIES_MAX + 5_000 {
        analyser.analyse(format!("set application_name = 'a{i}'").as_bytes(), catalog(), &settings);
    }
    assert!(analyser.len() <= CACHE_ENTRIES_MAX && analyser.len() > CACHE_ENTRIES_MAX / 3, "{}", analyser.len());
}
