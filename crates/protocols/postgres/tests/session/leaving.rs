//! A farewell right behind what was asked: the target does the work first, as it would without a gateway.

use countersign_enforce::Machine as _;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Limits};

use crate::bench::fake::{Fake, complete, ready};
use crate::bench::through::{Through, Wire as _, protocol};
use crate::bench::wire::{self, b, data, e, h, p, pbe, q, s, x};
use crate::bench::world::Rules;
use crate::cases::Pair;

const NAME: &str = "SELECT name FROM t WHERE id = 1";

/// Says all of it at once and leaves; gives how the record says it ended.
#[track_caller]
fn leave(pair: &Pair, name: &str, parts: &[Vec<u8>]) -> Vec<String> {
    let all = [parts.concat(), x()].concat();
    let mut direct = pair.open_direct();
    direct.send(&all);
    direct.wait(b'Z', usize::MAX);
    let mut ours = pair.open();
    ours.send(&all);
    while ours.closed.is_none() && ours.pull() {}
    assert!(matches!(ours.closed, Some(None)), "{name}: {:?}", ours.closed);
    ours.log.check();
    assert_eq!(pair.peek(NAME), pair.peek_direct(NAME), "{name}: got (left) is not what PostgreSQL did (right)");
    ours.log.outcomes()
}

#[test]
fn what_was_asked_before_a_farewell_is_done() {
    let limits = Limits { affected: Some(10), rows: Some(1000), ..Limits::NONE };
    for (which, rules) in [
        ("no limits", Rules::default()),
        ("our own transaction around it", Rules { limits_on: Some(("public.t", limits)), ..Rules::default() }),
    ] {
        let pair = Pair::with(rules);
        for (name, parts, done) in [
            ("simple", vec![q("UPDATE t SET name = 'simple' WHERE id = 1")], 1),
            ("slow", vec![q("UPDATE t SET name = 'slow' FROM pg_sleep(0.3) WHERE id = 1")], 1),
            ("extended", vec![pbe("UPDATE t SET name = $1 WHERE id = 1", &["extended"]), s()], 1),
            ("a block", vec![q("BEGIN"), q("UPDATE t SET name = 'block' WHERE id = 1"), q("COMMIT")], 3),
            ("a block left open", vec![q("BEGIN"), q("UPDATE t SET name = 'open' WHERE id = 1")], 2),
            ("no Sync", vec![pbe("UPDATE t SET name = 'unsynced' WHERE id = 1", &[])], 1),
            ("Flush", vec![pbe("UPDATE t SET name = 'flushed' WHERE id = 1", &[]), h()], 1),
            ("several", vec![pbe("SELECT 1", &[]), s(), pbe("UPDATE t SET name = 'last' WHERE id = 1", &[]), s()], 2),
            ("rows", vec![q("SELECT generate_series(1, 100000)")], 1),
        ] {
            let outcomes = leave(&pair, &format!("{name}, {which}"), &parts);
            let ended = outcomes.iter().filter(|o| o.contains(": done")).count();
            assert!(ended >= done && !outcomes.iter().any(|o| o.contains("lost")), "{name}, {which}: {outcomes:?}");
        }
    }
}

#[test]
fn a_farewell_in_a_copy_or_after_a_refusal_ends_the_session_at_once() {
    let pair = Pair::new();
    let mut t = pair.open();
    t.send(&q("COPY t FROM STDIN"));
    t.wait(b'G', 1);
    t.send(&[data("100\tx\n"), x()].concat());
    assert!(matches!(t.closed, Some(None)));
    assert_eq!(pair.peek("SELECT count(*) FROM t WHERE id = 100"), ["0"]);
    let outcomes = leave(&pair, "refused", &[p("", "SELECT * FROM secret"), b("", "", &[]), e("", 0)]);
    assert_eq!(outcomes, ["SELECT * FROM secret: denied"]);
}

#[test]
fn a_farewell_waits_for_every_answer() {
    let t0 = Fake::answering(&[&[complete("SELECT 0"), ready(b'I')].concat()]);
    let mut t = Through::logged_in(&protocol(), t0, "shop", &Rules::default());
    t.take();
    t.send(&[q("SELECT id FROM t"), x()].concat());
    assert!(t.closed.is_none() && t.machine_is_held(), "it left before the answer");
    assert!(!t.forwarded().contains(&"X".to_owned()));
    assert!(t.pull());
    assert!(matches!(t.closed, Some(None)));
    assert_eq!(t.forwarded(), ["Q SELECT id FROM t", "X"]);
}

#[test]
fn a_login_that_has_ended_is_told_as_an_administrators_order() {
    let text = ClientText::new("this login has ended");
    let denial = Denial::new(Culprit::Client, DenialCode::Unauthenticated, text);
    let told = |t: &mut Through<Fake>| t.take().iter().map(wire::words).collect::<Vec<_>>();
    for (name, before) in [("idle", None), ("while a statement runs", Some(q("SELECT id FROM t")))] {
        let mut t = Through::logged_in(&protocol(), Fake::default(), "shop", &Rules::default());
        t.take();
        if let Some(before) = &before {
            t.send(before);
        }
        assert_eq!(t.machine.is_busy(), before.is_some(), "{name}");
        t.fatal(&denial);
        assert_eq!(told(&mut t), ["E:FATAL:57P01"], "{name}");
        assert!(matches!(&t.closed, Some(Some(d)) if d.code == DenialCode::Unauthenticated), "{name}: {:?}", t.closed);
        t.goodbye();
    }
    // At the way in it is a login that was refused.
    let mut t = crate::startup::fresh(false, true);
    t.send(&crate::startup::hello());
    t.take();
    t.fatal(&denial);
    assert_eq!(told(&mut t), ["E:FATAL:28000"]);
}
