//! How sessions begin and end: logins, limits, cancel orders, drains, and peers that vanish.

use std::sync::atomic::Ordering;
use std::time::Duration;

use countersign_runtime::{Plaintext, raise_file_limit};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, sleep};

use crate::toy::IN_PIPELINE_MAX;
use crate::world::{Setup, eventually, local, world};

#[tokio::test]
async fn every_refusal_is_told_and_recorded() {
    let w = world().await;
    for (login, told, recorded) in [
        ("LOGIN ana bad db", "error who are you?", "refused ana on db: Unauthenticated who are you?"),
        ("hello", "error not a login", "refused  on : Protocol not a login"),
        ("LOGIN ana good down", "error target \"down\" cannot be reached: connection refused", "TargetUnavailable"),
        ("LOGIN ana good closed", "error connect on target \"closed\" is denied: no rule allows it", "close denied"),
        (
            "LOGIN ana good nowhere",
            "error connect on target \"nowhere\" is denied: no rule allows it",
            "refused ana on nowhere: Forbidden",
        ),
        ("LOGIN ana good other", "error connect on target \"other\" is denied: no rule", "refused ana on other"),
    ] {
        let mut c = w.dial().await;
        c.say(&format!("{login}\n")).await;
        let said = c.line().await;
        assert!(said.starts_with(told), "{login}: {said}");
        assert_eq!(c.line().await, "");
        eventually(recorded, || w.memory.has(recorded)).await;
    }
    assert_eq!(w.seen.sessions.load(Ordering::SeqCst), 0, "a target was dialled");
    assert_eq!(w.memory.count("refused"), 4, "one each, and none twice: {:?}", w.memory.entries.lock().unwrap());
}

#[tokio::test]
async fn an_unknown_target_looks_like_a_forbidden_one() {
    let w = world().await;
    let mut said = Vec::new();
    for target in ["closed", "absent"] {
        let mut c = w.dial().await;
        c.say(&format!("LOGIN ana good {target}\n")).await;
        let line = c.line().await;
        let (before, id) = line.split_once("This refusal is in session ").unwrap();
        assert_eq!(id.len(), 26 + 2, "{line}");
        said.push(before.replace(target, "TARGET"));
    }
    assert_eq!(said[0], said[1]);
}

#[tokio::test]
async fn a_slow_login_is_over_in_time_wherever_it_dawdles() {
    let mut listener = local();
    listener.login_timeout = Duration::from_secs(1);
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    for begun in ["", "LOG", "LOGIN ana slow db\n"] {
        let start = Instant::now();
        let mut c = w.dial().await;
        c.say(begun).await;
        assert_eq!(c.line().await, "error the login took longer than 1 seconds", "{begun}");
        assert!(start.elapsed() >= Duration::from_millis(900));
    }
    // Drop by drop is no way around it.
    let mut c = w.dial().await;
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(800) {
        c.say("L").await;
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(c.line().await, "error the login took longer than 1 seconds");
    w.empty().await;
    assert_eq!(w.memory.count("Timeout"), 4);
    let mut c = w.login("db").await;
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(c.ask("read late").await, ["did read late"], "the deadline is for the login alone");
}

#[tokio::test]
async fn a_client_that_never_reads_is_closed_after_the_idle_write_timeout() {
    let mut listener = local();
    listener.idle_write_timeout = Duration::from_secs(2);
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    let mut c = w.login("db").await;
    c.say("read bulk 100000000\n").await;
    w.empty().await;
    assert!(w.memory.has("close client_lost Some(Timeout)"));
    eventually("the cancel order", || w.seen.has("CANCEL order-0")).await;
}

#[tokio::test]
async fn adv_027_a_cancel_key_works_for_its_live_session_alone() {
    let w = world().await;
    let mut c = w.login("db").await;
    let mut d = w.login("db").await;
    c.say("read hang\n").await;
    d.say("read hang\n").await;
    eventually("both statements", || w.seen.statements().len() == 2).await;
    let cancel = async |key: &str| {
        let mut canceller = w.dial().await;
        canceller.say(&format!("CANCEL {key}\n")).await;
        assert_eq!(canceller.line().await, "", "the answer is always the same: none");
    };
    cancel("0000000000000000").await;
    let first = if d.key.starts_with('0') { "1" } else { "0" };
    cancel(&format!("{first}{}", &d.key[1..])).await;
    assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), 0, "a forged key did something");
    cancel(&c.key).await;
    assert_eq!(c.reply().await, ["cancelled"]);
    eventually("the event", || w.memory.count("event Cancelled") == 1).await;
    assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), 1);
    assert_eq!(c.ask("read on").await, ["did read on"]);
    let key = c.key.clone();
    c.say("bye\n").await;
    eventually("one leaves", || w.gateway.sessions().connections() == 1).await;
    cancel(&key).await;
    assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), 1, "the key of a dead session did something");
    cancel(&d.key).await;
    assert_eq!(d.reply().await, ["cancelled"]);
}

#[tokio::test]
async fn a_machine_may_cancel_its_own_work() {
    let w = world().await;
    let mut c = w.login("db").await;
    assert_eq!(c.ask("over limit").await, ["one row", "cancelled"]);
    assert!(w.seen.has("CANCEL order-0"));
}

#[tokio::test]
async fn a_cancel_order_of_the_machine_never_meets_a_later_statement() {
    let w = world().await;
    let mut c = w.login("db").await;
    let mut sibling = w.login("db").await;
    let slow = w.seen.slow_orders.lock().await;
    c.say("over at once\n").await;
    eventually("the order", || w.seen.has("CANCEL order-0")).await;
    c.say("read after\n").await;
    for i in 0..50 {
        assert_eq!(sibling.ask(&format!("read {i}")).await, [format!("did read {i}")], "another session waits, too");
    }
    sleep(Duration::from_millis(100)).await;
    assert!(!w.seen.has("read after"), "a statement went on while the order was on its way");
    let told = tokio::time::timeout(Duration::from_millis(100), c.reply()).await;
    assert!(told.is_err(), "the client was told of the end while the order was on its way: {told:?}");
    drop(slow);
    eventually("the next statement", || w.seen.has("read after")).await;
    assert!(w.seen.has("met nothing") || w.seen.has("met over at once"), "{:?}", w.seen.lines.lock().unwrap());
}

#[tokio::test]
async fn a_target_that_takes_no_cancel_order_holds_a_session_up_for_a_time_only() {
    let connect_timeout = Some(Duration::from_secs(1));
    let w = Setup { connect_timeout, ..Setup::default() }.start().await;
    let mut c = w.login("db").await;
    let _slow = w.seen.slow_orders.lock().await;
    let start = Instant::now();
    c.say("over at once\nread after\n").await;
    assert_eq!(c.reply().await, ["one row"]);
    assert_eq!(c.reply().await, ["did read after"]);
    // The time to connect, and that to be understood.
    assert!(start.elapsed() >= Duration::from_secs(6), "{:?}", start.elapsed());
    assert!(w.seen.has("CANCEL order-0"));
}

#[tokio::test]
async fn work_of_a_client_that_vanished_is_cancelled_at_the_target() {
    let w = world().await;
    let mut c = w.login("db").await;
    c.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    drop(c);
    eventually("the cancel order", || w.seen.has("CANCEL order-0")).await;
    w.empty().await;
    assert!(w.memory.has("close client_lost None"));
    assert!(w.memory.has("lost"), "what ran is recorded as lost");
    // One that was idle has nothing to cancel.
    drop(w.login("db").await);
    w.empty().await;
    assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), 1);
    // One is noticed, too, while its machine wants nothing from it.
    let mut c = w.login("db").await;
    c.say(&"read hang\n".repeat(IN_PIPELINE_MAX)).await;
    eventually("the statements", || w.memory.count("intent Allow read hang") == 1 + IN_PIPELINE_MAX).await;
    drop(c);
    w.empty().await;
    assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), 2);
    // One that says goodbye and goes has its work done first.
    let mut c = w.login("db").await;
    c.say(&("read it\n".repeat(IN_PIPELINE_MAX) + "write last\nbye\n")).await;
    c.io.shutdown().await.unwrap();
    assert_eq!(c.reply().await, ["did read it"]);
    w.empty().await;
    eventually("the last statement", || w.seen.has("write last")).await;
    assert_eq!(w.memory.count("close client None"), 1);
}

#[tokio::test]
async fn work_of_a_client_that_said_goodbye_has_a_time_limit() {
    let mut listener = local();
    listener.idle_write_timeout = Duration::from_secs(1);
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    let mut c = w.login("db").await;
    c.say(&("read hang\n".repeat(IN_PIPELINE_MAX) + "bye\n")).await;
    let start = Instant::now();
    c.io.shutdown().await.unwrap();
    w.empty().await;
    assert!(start.elapsed() >= Duration::from_millis(900), "{:?}", start.elapsed());
    assert!(w.memory.has("close client_lost Some(Timeout)"));
    eventually("the cancel order", || w.seen.has("CANCEL order-0")).await;
}

#[tokio::test]
async fn a_login_that_has_ended_takes_its_sessions_along_and_no_others() {
    let w = world().await;
    let (mut idle, mut busy) = (w.login("db").await, w.login("db").await);
    let (mut bob, mut starting) = (w.dial().await, w.dial().await);
    bob.login_as("bob", "db").await;
    starting.say("LOGIN bob").await;
    busy.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    w.memory.ended.lock().unwrap().push("ana".to_owned());
    assert_eq!(idle.line().await, "error this login has ended");
    assert_eq!(idle.line().await, "");
    assert_eq!(busy.line().await, "error this login has ended");
    eventually("the cancel order", || w.seen.has("CANCEL order-1")).await;
    eventually("both are gone", || w.gateway.sessions().sessions().len() == 1).await;
    assert_eq!(w.memory.count("close denied Some(Unauthenticated)"), 2);
    assert_eq!(w.memory.count("alert High ana on db: this login has ended"), 2);
    assert_eq!(bob.ask("read on").await, ["did read on"]);
    starting.say(" good db\n").await;
    assert!(starting.line().await.starts_with("welcome"), "a login under way was hit");
}

#[tokio::test]
async fn a_target_that_dies_in_the_middle_of_a_result_ends_the_session_cleanly() {
    let w = world().await;
    let mut c = w.login("db").await;
    assert_eq!(c.ask("read die").await, ["partial", "error the target went away"]);
    w.empty().await;
    assert!(w.memory.has("close target None"));
    assert!(w.memory.has("outcome 2 lost"));
}

#[tokio::test]
async fn a_drain_lets_idle_sessions_go_and_busy_ones_finish() {
    let w = world().await;
    let mut idle = w.login("db").await;
    let mut busy = w.login("db").await;
    busy.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    let finish = async {
        assert_eq!(idle.line().await, "error draining");
        sleep(Duration::from_millis(100)).await;
        let refused = tokio::net::TcpStream::connect(w.addr).await;
        assert!(refused.is_err(), "the listener is still open");
        // The target ends it by itself.
        let mut order = tokio::net::TcpStream::connect(w.target).await.unwrap();
        order.write_all(b"CANCEL order-1\n").await.unwrap();
        assert_eq!(busy.reply().await, ["cancelled"]);
        assert_eq!(busy.line().await, "error draining");
    };
    let (drained, ()) = tokio::join!(w.gateway.drain(Duration::from_secs(20)), finish);
    assert_eq!((drained.open, drained.ended, drained.dropped), (2, 0, 0));
    assert_eq!(w.memory.count("close drained"), 2);
}

#[tokio::test]
async fn the_drains_deadline_ends_busy_sessions_and_cancels_their_work() {
    let w = world().await;
    let mut busy = w.login("db").await;
    let mut mute = w.dial().await;
    busy.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    let drained = w.gateway.drain(Duration::from_millis(200)).await;
    assert_eq!((drained.open, drained.ended, drained.dropped), (2, 2, 0));
    assert!(busy.line().await.starts_with("error the gateway is shutting down"));
    assert!(mute.line().await.starts_with("error the gateway is shutting down"));
    assert!(w.seen.has("CANCEL order-0"));
    assert!(w.memory.has("close drained Some(Draining)"));
}

#[tokio::test]
async fn over_the_limit_of_connections_one_is_told_so() {
    let mut listener = local();
    listener.max_connections = 2;
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    let first = w.login("db").await;
    let _second = w.login("db").await;
    let mut third = w.dial().await;
    assert_eq!(third.line().await, "error too many connections: this listener takes 2 at once");
    assert!(w.memory.has("Busy"));
    drop(first);
    eventually("a place", || w.gateway.sessions().connections() == 1).await;
    w.login("db").await;
}

#[tokio::test]
async fn plaintext_is_refused_where_it_is_not_allowed() {
    let mut listener = local();
    listener.plaintext = Plaintext::Never;
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    let mut c = w.dial().await;
    c.say("LOGIN ana good db\n").await;
    assert_eq!(c.line().await, "error encryption is required");
}

#[tokio::test]
async fn sessions_are_listed_while_they_live() {
    let w = world().await;
    let c = w.login("db").await;
    let all = w.gateway.sessions().sessions();
    assert_eq!(all.len(), 1);
    assert_eq!((all[0].identity.name.as_str(), all[0].target.name.as_str()), ("ana", "db"));
    drop(c);
    w.empty().await;
    assert!(w.gateway.sessions().sessions().is_empty());
}

#[tokio::test]
async fn two_thousand_connections_at_once() {
    const CONNECTIONS: usize = 2000;
    let files = raise_file_limit().unwrap();
    assert!(files > 4 * CONNECTIONS as u64 + 200, "only {files} files may be open");
    let w = world().await;
    let clients = futures_util::future::join_all((0..CONNECTIONS).map(|_| w.login("db"))).await;
    assert_eq!(w.gateway.sessions().sessions().len(), CONNECTIONS);
    let ask = clients.into_iter().enumerate().map(|(i, mut c)| async move {
        assert_eq!(c.ask(&format!("read {i}")).await, [format!("did read {i}")]);
        c
    });
    let clients = futures_util::future::join_all(ask).await;
    assert_eq!(w.seen.statements().len(), CONNECTIONS);
    drop(clients);
    w.empty().await;
}
