//! Tests: limits, depth and threads.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::{DIRECT_BYTES_MAX, DIRECT_NESTING_MAX, NESTING_MAX, ParseError, TEXT_BYTES_MAX, TOKENS_MAX, with_tree};
use crate::normal::Normal;

fn statements(text: &str) -> Result<usize, ParseError> {
    let mut normal = Normal::default();
    normal.read(text.as_bytes());
    with_tree(text, &normal.measure, false, |tree| tree.stmts.len())
}

#[test]
fn good_and_bad_texts() {
    assert_eq!(statements("select 1; select 2"), Ok(2));
    assert_eq!(statements(""), Ok(0));
    assert_eq!(statements("/* nothing */ ;"), Ok(0));
    assert_eq!(
        statements("select from from"),
        Err(ParseError::Syntax(12, "syntax error at or near \"from\"".to_owned()))
    );
    // The parser counts characters, the answer is in bytes.
    assert_eq!(
        statements("select 'é' é from from"),
        Err(ParseError::Syntax(20, "syntax error at or near \"from\"".to_owned()))
    );
    assert!(matches!(statements("select '\0'"), Err(ParseError::Limit(_))));
    // A warning of the parser must not reach standard error, and the state stays good after errors.
    assert_eq!(statements("create global temp table t (a int)"), Ok(1));
    for _ in 0..100 {
        assert!(statements("select (").is_err());
        assert_eq!(statements("select 1"), Ok(1));
    }
}

#[test]
fn deep_texts_do_not_overflow() {
    let cases: [(&str, &str, &str, usize); 8] = [
        ("select ", "(select ", ")", 400),
        ("select ", "- ", "", 1_900),
        ("select 1", "+1", "", 1_900),
        ("select 1", " union all select 1", "", 400),
        ("select 1", "::int", "", 1_900),
        ("select ", "not ", "", 1_900),
        ("select ", "case when true then ", " end", 500),
        ("select ", "f(", ")", 900),
    ];
    for (head, open, close, n) in cases {
        let tail = if head.ends_with('1') { String::new() } else { format!("1{}", close.repeat(n)) };
        let text = format!("{head}{}{tail}", open.repeat(n));
        let outcome = statements(&text);
        assert!(matches!(outcome, Ok(1) | Err(ParseError::Limit(_))), "{open:?} x {n}: {outcome:?}");
    }
    // Far beyond: refused, and quickly.
    for (open, close) in [("(", ")"), ("- ", ""), ("(select ", ")"), ("f(", ")"), ("[", "]")] {
        let text = format!("select {}1{}", open.repeat(200_000), close.repeat(200_000));
        assert!(statements(&text).is_err());
    }
}

#[test]
fn the_direct_path_is_shallow_enough_for_a_worker() {
    // The deepest text of the direct path, on a stack of 1 MiB: half of what a worker has.
    for (open, close) in [("(select ", ")"), ("f(", ")"), ("case when true then ", " end"), ("- ", ""), ("array[", "]")]
    {
        let mut n = 1;
        let text = |n: usize| format!("select {}1{}", open.repeat(n), close.repeat(n));
        let nesting = |n: usize| {
            let mut normal = Normal::default();
            normal.read(text(n).as_bytes());
            normal.measure.nesting
        };
        while nesting(n + 1) <= DIRECT_NESTING_MAX {
            n += 1;
        }
        let handle = std::thread::Builder::new().stack_size(1 << 20).spawn(move || statements(&text(n))).unwrap();
        assert_eq!(handle.join().unwrap(), Ok(1), "{open}");
    }
}

#[test]
fn limits_at_their_edges() {
    let padded = |n: usize| format!("select 1{}", " ".repeat(n - 8));
    assert_eq!(statements(&padded(DIRECT_BYTES_MAX)), Ok(1));
    assert_eq!(statements(&padded(DIRECT_BYTES_MAX + 1)), Ok(1));
    assert_eq!(statements(&padded(TEXT_BYTES_MAX)), Ok(1));
    assert!(matches!(statements(&padded(TEXT_BYTES_MAX + 1)), Err(ParseError::Limit(_))));
    let listed = |tokens: usize| format!("select 1{}", ",1".repeat((tokens - 2) / 2));
    assert_eq!(statements(&listed(TOKENS_MAX)), Ok(1));
    assert!(matches!(statements(&listed(TOKENS_MAX + 2)), Err(ParseError::Limit(_))));
    let chain = |n: usize| format!("select {}1", "- ".repeat(n - 1));
    assert!(!matches!(statements(&chain(NESTING_MAX)), Err(ParseError::Limit(m)) if m.contains("2,000")));
    assert!(matches!(statements(&chain(NESTING_MAX + 1)), Err(ParseError::Limit(m)) if m.contains("2,000")));
}

#[test]
fn many_threads_parse_at_once() {
    std::thread::scope(|s| {
        for _ in 0..8 {
            s.spawn(|| {
                for _ in 0..200 {
                    assert_eq!(statements("select a, b from t where c = 1"), Ok(1));
                    assert!(statements("select from from").is_err());
                }
            });
        }
    });
}

/// The deepest trees that the limits let through, parsed, counted, walked and dropped on half of the stack that is set aside.
#[test]
fn the_deep_stack_has_room_to_spare() {
    use crate::catalog::CatalogBuilder;
    use crate::settings::Settings;
    use crate::walk::Walk;
    use countersign_model::Fingerprint;

    let cases = [
        ("(select ", ")"),
        ("- ", ""),
        ("f(", ")"),
        ("case when true then ", " end"),
        ("not ", ""),
        ("exists (select 1 union all select ", ")"),
        ("json_object('a' : ", ")"),
    ];
    for (open, close) in cases {
        let text = |n: usize| format!("select {}1{}", open.repeat(n), close.repeat(n));
        let allowed = |n: usize| {
            let mut normal = Normal::default();
            normal.read(text(n).as_bytes());
            normal.measure.nesting <= NESTING_MAX
        };
        let most = (1..=NESTING_MAX / 50).rev().map(|i| i * 50).find(|n| allowed(*n)).unwrap();
        let run = |n: usize| {
            let text = text(n);
            let work = move || {
                let tree = super::parse(&text).ok()?;
                let catalog = CatalogBuilder::new(1).build();
                let mut walk = Walk::new(&catalog, &Settings::new(&["public"], None), 0, Fingerprint(0));
                walk.text(&tree);
                Some(walk.finish().refused)
            };
            let thread = std::thread::Builder::new().stack_size(super::DEEP_STACK_BYTES / 2).spawn(work).unwrap();
            thread.join().unwrap()
        };
        // The library may give up earlier; what it accepts must be walked to its end.
        let deepest = (1..=most / 50).rev().map(|i| i * 50).find_map(|n| run(n).map(|refused| (n, refused)));
        let (n, refused) = deepest.unwrap();
        assert_eq!(refused, None, "{open} x {n}");
        assert!(n >= 200, "{open} x {n}");
    }
}
