//! What is allowed by a grant goes on once the grant is taken, and never where it is not.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use crate::world::{eventually, world};

#[tokio::test]
async fn what_needs_a_grant_waits_until_it_is_taken_and_keeps_its_place() {
    let w = world().await;
    let mut c = w.login("db").await;
    w.memory.takes.send_replace(None);
    c.say("read before\nlend a\nread after\n").await;
    assert_eq!(c.reply().await, ["did read before"]);
    eventually("the grant is asked for", || w.memory.has("takes [\"g1\"], counts: true")).await;
    sleep(Duration::from_millis(100)).await;
    assert_eq!(w.seen.statements(), ["read before"], "something went on ahead of the grant");
    w.memory.takes.send_replace(Some(true));
    for want in ["did lend a", "did read after"] {
        assert_eq!(c.reply().await, [want]);
    }
    assert_eq!(w.memory.count("takes"), 1, "what is allowed without one takes none");
    assert_eq!(w.memory.count("leaves"), 0);
    c.say("bye\n").await;
    w.empty().await;
    assert_eq!(w.memory.count("leaves"), 1, "whoever keeps grants is told that the session is over");
}

#[tokio::test]
async fn what_could_not_take_its_grant_is_never_sent_and_the_session_goes_on() {
    let w = world().await;
    let mut c = w.login("db").await;
    w.memory.takes.send_replace(Some(false));
    assert_eq!(c.ask("lend a").await, ["denied the grant is over"]);
    assert_eq!(c.ask("read on").await, ["did read on"]);
    assert_eq!(w.seen.statements(), ["read on"]);
    assert_eq!(
        (w.memory.count("intent Allow lend a"), w.memory.count("outcome 2 withheld")),
        (1, 1),
        "the record says so"
    );
    // Its place among those on the way is free again: nothing is lost when the session ends.
    c.say("bye\n").await;
    w.empty().await;
    assert_eq!((w.memory.count("lost"), w.memory.count("leaves")), (0, 1));
}

#[tokio::test]
async fn a_session_that_is_cut_while_its_grant_is_asked_for_sends_nothing() {
    let w = world().await;
    let mut c = w.dial().await;
    c.login_as("eve", "db").await;
    w.memory.takes.send_replace(None);
    c.say("lend a\n").await;
    eventually("the grant is asked for", || w.memory.has("takes")).await;
    w.memory.lock("eve");
    assert_eq!(c.line().await, "error locked out by lock L1");
    w.memory.takes.send_replace(Some(true));
    w.empty().await;
    assert!(w.seen.statements().is_empty(), "{:?}", w.seen.statements());
    assert_eq!(w.memory.count("leaves"), 1);
}

#[tokio::test]
async fn a_session_begins_by_a_grant_and_not_without() {
    let w = world().await;
    let mut c = w.login("lent").await;
    assert!(w.memory.has("takes [\"g1\"], counts: false"), "to connect is no use of it");
    assert_eq!(c.ask("read one").await, ["did read one"]);
    c.say("bye\n").await;
    w.empty().await;
    assert_eq!(w.memory.count("leaves"), 1);
    w.memory.takes.send_replace(Some(false));
    let mut c = w.dial().await;
    c.say("LOGIN ana good lent\n").await;
    assert_eq!(c.line().await, "error the grant is over");
    w.empty().await;
    assert_eq!(w.seen.sessions.load(Ordering::SeqCst), 1, "the target was dialled");
    assert_eq!(w.memory.count("leaves"), 2);
}
