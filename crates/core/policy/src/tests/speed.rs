//! How long a verdict takes: a measurement to run by hand, because no test may depend on the machine's speed.
//!
//! `cargo test --release -p countersign-policy -- --ignored --nocapture speed`

use std::hint::black_box;
use std::time::{Duration, Instant};

use countersign_model::{Access, Policy};

use super::{World, load, on, shape, told};
use crate::{PolicyStore, Question};

const RULES: usize = 20;
const RUNS: u32 = 10;
const HITS: u32 = 20_000;
const MISSES: u32 = 50;

/// The mean time of a call in the best of several runs: the machine has other work too.
fn best(calls: u32, mut call: impl FnMut()) -> Duration {
    let mut run = |_| {
        let started = Instant::now();
        (0..calls).for_each(|_| call());
        started.elapsed() / calls
    };
    (0..RUNS).map(&mut run).min().unwrap()
}

#[test]
#[ignore = "a measurement, not a test"]
fn a_kept_verdict_is_quick() {
    let mut rules = String::from(
        "@id(\"read\") @limit(\"rows=10\") permit (principal in Group::\"analysts\", action == Action::\"read\", resource in Label::\"env:prod\") when { context.encrypted };\n",
    );
    for i in 0..RULES {
        rules.push_str(&format!(
            "@id(\"f{i}\") forbid (principal, action == Action::\"read\", resource) when {{ principal.kind == \"machine\" && principal.claims.repository == \"acme/{i}\" && context.relations.contains(\"r{i}\") }};\n"
        ));
    }
    let store = PolicyStore::new(load(&rules));
    let w = World::new();
    let s = shape(vec![on(Access::Read, &["a", "b"])]);
    let request = w.ask(&s);
    assert_eq!(told(&store.evaluate(&request)), "allow read [rows=10]");
    let hit = best(HITS, || drop(black_box(store.evaluate(black_box(&request)))));
    let set = store.current();
    let miss = best(MISSES, || drop(black_box(set.judge(black_box(&Question::from(&request))))));
    #[allow(clippy::print_stderr, reason = "the figures are for people")]
    {
        eprintln!("a kept verdict {hit:?}, a new one {miss:?}, {} rules", RULES + 1);
    }
}
