//! Tests: what differs and what does not, and the estimate of depth.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::Normal;

fn normal(text: &str) -> Normal {
    let mut n = Normal::default();
    n.read(text.as_bytes());
    n
}

#[test]
fn same_but_for_constants() {
    for (a, b) in [
        ("select 1", "SELECT  2 -- x"),
        ("select 'a'", "select ''''"),
        ("select 'a'\n'b'", "select 'c'"),
        ("select $$a$$", "select $t$b$t$"),
        ("select 1.5", "select 1e9"),
        ("select e'\\''", "select E''"),
        ("select a<-1", "select a < - 2"),
    ] {
        assert_eq!(normal(a).text, normal(b).text, "{a} {b}");
    }
}

#[test]
fn every_other_difference_shows() {
    for (a, b) in [
        ("select 1", "select '1'"),
        ("select 1", "select 1.0"),
        ("select 1", "select $1"),
        ("select $1", "select $2"),
        ("select a", "select \"a\""),
        ("select \"a\"", "select \"A\""),
        ("select 'a'", "select e'a'"),
        ("select 'a'", "select n'a'"),
        ("select b'1'", "select x'1'"),
        ("select a b", "select ab"),
        ("select 1, 2", "select 1"),
        ("select -1", "select 1"),
        ("select a<-1", "select a<- 1 - 1"),
        ("select a <> b", "select a < > b"),
        ("select 'a' 'b'", "select 'a'"),
        ("select 1; select 2", "select 1 select 2"),
        ("select \u{1}0", "select 1"),
    ] {
        let (a_normal, b_normal) = (normal(a), normal(b));
        assert!(a_normal.text != b_normal.text || a_normal.broken != b_normal.broken, "{a} {b}");
        assert_ne!(a_normal.fingerprint(a.as_bytes()), b_normal.fingerprint(b.as_bytes()), "{a} {b}");
    }
}

#[test]
fn fingerprints_are_stable() {
    // Records of earlier versions carry it.
    assert_eq!(normal("SELECT * FROM orders WHERE id = 7").fingerprint(b"").to_string(), STABLE);
}

const STABLE: &str = "520e6fcd2b6de4d61b9cfb38d24a7ab2";

#[test]
fn depth_is_never_underestimated_by_much() {
    assert_eq!(normal("select 1").measure.nesting, 1);
    assert!(normal("select ((((1))))").measure.nesting >= 4);
    assert!(normal("select f(a, g(b), h(i(j(1))))").measure.nesting >= 4);
    assert!(normal("select 1, 2, 3, 4, 5, 6, 7, 8, 9").measure.nesting <= 2);
    assert!(normal("insert into t values (1,-2),(3,-4),(5,-6),(7,-8)").measure.nesting <= 8);
    assert!(normal("select 1, 2 union select 1, 2 union select 1, 2").measure.nesting >= 3);
    // Chains of conditions are flat, chains of joins are not.
    assert!(normal(&format!("select 1 where {} a = 1", "a = 1 or b = 2 and ".repeat(3_000))).measure.nesting < 12);
    assert!(normal(&format!("select 1 from a {}", "join b on a = b and c = d ".repeat(50))).measure.nesting >= 50);
    assert!(normal(&format!("select {} 1", "case when a and b then ".repeat(50))).measure.nesting >= 50);
    assert!(normal(&format!("select {} 1", "case when a.end and b then ".repeat(50))).measure.nesting >= 50);
    assert!(normal(&format!("select {}", "case when a then b end, ".repeat(500))).measure.nesting < 12);
    // A flat list of any length is flat.
    let list = format!("select 1 in ({}1)", "-1,".repeat(10_000));
    assert!(normal(&list).measure.nesting < 10);
}

/// Levels of node within node.
fn depth(node: &impl serde::Serialize) -> usize {
    fn walk(v: &serde_json::Value) -> usize {
        match v {
            serde_json::Value::Object(o) => 1 + o.values().map(walk).max().unwrap_or(0),
            serde_json::Value::Array(a) => a.iter().map(walk).max().unwrap_or(0),
            _ => 0,
        }
    }
    walk(&serde_json::to_value(node).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    /// The tree of a text is never much deeper than the estimate says: what the stacks are measured by.
    #[test]
    fn trees_stay_within_the_estimate(shape in prop::collection::vec(0usize..20, 0..12)) {
        let mut e = "a".to_owned();
        for s in shape {
            e = match s {
                0 => format!("({e})"),
                1 => format!("{e} + b"),
                2 => format!("- {e}"),
                3 => format!("f(1, {e})"),
                4 => format!("(select {e})"),
                5 => format!("case when {e} then 1 end"),
                6 => format!("({e})::int[]"),
                7 => format!("array[{e}, 2]"),
                8 => format!("not {e}"),
                9 => format!("({e})[1].b"),
                10 => format!("exists (select 1 union all select {e})"),
                11 => format!("coalesce(row({e}, 1), 2)"),
                13 => format!("{e} and b or c"),
                14 => format!("a or b and {e}"),
                15 => format!("case when a and b then 1 else {e} end"),
                16 => format!("case {e} when a or b then 1 end and c"),
                17 => format!("(select 1 from a join b on x and {e} join c on y or z)"),
                18 => format!("{e} between 1 and {e}"),
                12 => format!("sum({e}) filter (where {e} is null) over (order by {e})"),
                _ => format!("json_object('k' : {e})"),
            };
            if e.len() > 20_000 { break; }
        }
        let text = format!("select {e}");
        let estimate = normal(&text).measure.nesting;
        if let Ok(tree) = pg_query::parse(&text, 0) {
            // Each level of the estimate may be a handful of messages in a row.
            prop_assert!(depth(&tree.protobuf) <= 12 * estimate + 24, "{} levels, estimate {}: {}", depth(&tree.protobuf), estimate, text);
        }
    }
}
