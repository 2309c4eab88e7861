//! What reaches the target, in which order, and when.

use std::sync::atomic::Ordering;
use std::time::Duration;

use proptest::prelude::*;
use tokio::io::AsyncReadExt;
use tokio::time::sleep;

use crate::world::{eventually, world};

#[tokio::test]
async fn a_statement_goes_on_after_its_ruling_and_a_denied_one_never() {
    let w = world().await;
    let mut c = w.login("db/sales").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    let denied = c.ask("drop all").await;
    assert_eq!(denied, ["denied drop on target \"db\" is denied by rule \"no-drop\""]);
    assert_eq!(c.ask("read two").await, ["did read two"]);
    assert_eq!(w.seen.statements(), ["read one", "read two"]);
    assert_eq!(w.seen.of(0)[0], "hello app hidden sales");
    assert!(w.memory.has("open ana on db/sales"));
    assert!(w.memory.has("intent Deny drop all"));
    assert!(w.memory.has("account: \"app\""));
    c.say("bye\n").await;
    w.empty().await;
    assert!(w.memory.has("close client None"));
    assert!(!w.memory.has("hidden"), "a target's password is in the record");
}

#[tokio::test]
async fn adv_005_order_is_kept_under_pipelining_around_a_denied_statement() {
    let w = world().await;
    let mut c = w.login("db").await;
    let mut all = String::new();
    let mut want_target = Vec::new();
    for i in 0..500 {
        if i % 7 == 3 {
            all += &format!("drop {i}\n");
        } else {
            all += &format!("read {i}\n");
            want_target.push(format!("read {i}"));
        }
    }
    let ask = c.say(&all);
    ask.await;
    for i in 0..500 {
        let reply = c.reply().await;
        if i % 7 == 3 {
            assert!(reply[0].starts_with("denied drop"), "{i}: {reply:?}");
        } else {
            assert_eq!(reply, [format!("did read {i}")]);
        }
    }
    assert_eq!(w.seen.statements(), want_target);
    assert_eq!(w.memory.count("outcome"), want_target.len() + 1, "one for each, and the connect's");
}

#[tokio::test]
async fn a_prelude_goes_just_ahead_of_its_statement() {
    let w = world().await;
    let mut c = w.login("db").await;
    c.say("read a\ntx b\nread c\n").await;
    for want in ["did read a", "did tx b", "did read c"] {
        assert_eq!(c.reply().await, [want]);
    }
    let want = ["hello app hidden main", "read a", "sync", "begin", "tx b", "sync", "read c", "sync"];
    assert_eq!(w.seen.of(0)[..want.len()], want);
}

#[tokio::test]
async fn a_durable_write_waits_for_the_disk_and_keeps_its_place() {
    let w = world().await;
    w.memory.durable.send_replace(false);
    let mut c = w.login("durable").await;
    c.say("read before\nwrite a\nread after\nwrite b\n").await;
    assert_eq!(c.reply().await, ["did read before"]);
    sleep(Duration::from_millis(100)).await;
    assert_eq!(w.seen.statements(), ["read before"], "something went on ahead of the disk");
    assert_eq!(w.seen.of(0), ["hello app hidden main", "read before", "sync"]);
    w.memory.durable.send_replace(true);
    for want in ["did write a", "did read after", "did write b"] {
        assert_eq!(c.reply().await, [want]);
    }
    let want =
        ["hello app hidden main", "read before", "sync", "write a", "sync", "read after", "sync", "write b", "sync"];
    assert_eq!(w.seen.of(0), want);
    assert_eq!(w.memory.entries.lock().unwrap().iter().filter(|e| *e == "durable").count(), 2);
}

#[tokio::test]
async fn a_write_whose_record_cannot_reach_the_disk_is_not_sent() {
    let w = world().await;
    w.memory.durable.send_replace(false);
    let mut c = w.login("durable").await;
    c.say("write a\nread b\n").await;
    eventually("the intent", || w.memory.has("intent Allow write a")).await;
    w.memory.broken.store(true, Ordering::SeqCst);
    w.memory.durable.send_replace(true);
    assert_eq!(c.line().await, "error the recording cannot be written");
    assert_eq!(c.line().await, "");
    w.empty().await;
    assert!(w.seen.statements().is_empty(), "{:?}", w.seen.statements());
}

#[tokio::test]
async fn adv_002_a_recorder_that_fails_ends_the_session_and_nothing_is_forwarded() {
    let w = world().await;
    let mut c = w.login("db").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    w.memory.broken.store(true, Ordering::SeqCst);
    c.say("read two\nread three\n").await;
    assert_eq!(c.line().await, "error the recording cannot be written");
    assert_eq!(c.line().await, "");
    w.empty().await;
    assert_eq!(w.seen.statements(), ["read one"]);
    // A session that cannot be recorded does not begin.
    let mut c = w.dial().await;
    c.say("LOGIN ana good db\n").await;
    assert_eq!(c.line().await, "error the recording cannot be written");
    assert_eq!(w.seen.sessions.load(Ordering::SeqCst), 1, "the target was dialled");
}

#[tokio::test]
async fn rows_that_cannot_be_recorded_are_not_delivered() {
    let w = world().await;
    let mut c = w.login("rows").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    assert!(w.memory.has("rows 15"));
    c.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    w.memory.broken.store(true, Ordering::SeqCst);
    let mut canceller = w.dial().await;
    canceller.say(&format!("CANCEL {}\n", c.key)).await;
    assert_eq!(c.line().await, "error the recording cannot be written");
}

#[tokio::test]
async fn a_client_that_stops_reading_stalls_the_target_and_nobody_else() {
    let w = world().await;
    let mut slow = w.login("db").await;
    let mut sibling = w.login("db").await;
    const BULK: u64 = 96 << 20;
    slow.say(&format!("read bulk {BULK}\n")).await;
    let taken = || w.seen.bulk_bytes.load(Ordering::SeqCst);
    let mut before = 1;
    while before != taken() {
        before = taken();
        sleep(Duration::from_millis(300)).await;
    }
    // What the sockets' buffers and the gateway's queue hold, and no more.
    assert!(taken() < 32 << 20, "{} bytes were taken for a client that reads nothing", taken());
    assert!(taken() > 64 << 10);
    for i in 0..50 {
        assert_eq!(sibling.ask(&format!("read {i}")).await, [format!("did read {i}")]);
    }
    // It goes on where it stopped.
    let mut left = BULK + 2;
    let mut buf = vec![0; 1 << 20];
    while left > 0 {
        let n = slow.io.read(&mut buf).await.unwrap();
        assert!(n > 0);
        left -= n as u64;
    }
    assert_eq!(slow.ask("read on").await, ["did read on"]);
}

#[tokio::test]
async fn an_oversized_line_ends_the_session_cleanly() {
    let w = world().await;
    let mut c = w.login("db").await;
    c.say(&"x".repeat(3 << 19)).await;
    assert_eq!(c.line().await, "error a long line");
    w.empty().await;
    assert!(w.memory.has("close denied Some(Oversize)"));
    let mut c = w.dial().await;
    c.say(&"x".repeat(200 << 10)).await;
    assert_eq!(c.line().await, "error a message is larger than the gateway holds");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn the_target_gets_the_same_bytes_however_the_clients_are_cut(
        lines in prop::collection::vec("(read|write|drop) [a-z]{0,40}", 1..20),
        cuts in prop::collection::vec(1usize..40, 1..30),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let w = world().await;
            let mut c = w.login("db").await;
            let all = lines.join("\n") + "\n";
            let mut rest = all.as_str();
            for cut in cuts.iter().cycle() {
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                c.say(now).await;
                tokio::task::yield_now().await;
                if cut % 3 == 0 {
                    sleep(Duration::from_micros(500)).await;
                }
                rest = later;
                if rest.is_empty() {
                    break;
                }
            }
            for line in &lines {
                let reply = c.reply().await;
                let denied = reply[0].starts_with("denied");
                assert_eq!(denied, line.starts_with("drop"), "{line}: {reply:?}");
            }
            let want: Vec<String> =
                lines.iter().filter(|l| !l.starts_with("drop")).map(|l| l.trim_end().to_owned()).collect();
            assert_eq!(w.seen.statements(), want);
        });
    }
}
