//! What a lock does to sessions, wherever they are.

use std::time::Duration;

use countersign_model::*;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::time::{Instant, sleep};

use crate::world::{eventually, world};

/// Far less than a client that does not read is otherwise waited for.
const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn adv_006_a_lock_ends_running_work_and_keeps_out() {
    let w = world().await;
    let (mut idle, mut busy) = (w.dial().await, w.dial().await);
    idle.login_as("eve", "db").await;
    busy.login_as("eve", "db").await;
    let mut other = w.login("db").await;
    busy.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    w.memory.lock("eve");
    for c in [&mut idle, &mut busy] {
        assert_eq!(c.line().await, "error locked out by lock L1");
        assert_eq!(c.line().await, "", "nothing more comes");
    }
    eventually("the cancel order", || w.seen.has("CANCEL order-")).await;
    eventually("both ends", || w.memory.count("close denied Some(Locked)") == 2).await;
    assert_eq!(w.memory.count("alert Medium eve on db"), 2);

    let mut again = w.dial().await;
    again.say("LOGIN eve good db\n").await;
    assert_eq!(again.line().await, "error locked out by lock L1");
    eventually("the refusal", || w.memory.has("refused eve on db: Locked")).await;
    assert_eq!(w.memory.count("open eve"), 2, "who is locked out opens no session");
    assert_eq!(other.ask("read on").await, ["did read on"], "others go on");
}

#[tokio::test]
async fn adv_006_a_lock_does_not_wait_for_a_client_that_does_not_read() {
    let w = world().await;
    let mut c = w.dial().await;
    c.login_as("eve", "db").await;
    c.say("read bulk 100000000\n").await;
    eventually("the statement", || w.seen.has("read bulk")).await;
    // Until everything between here and there is full.
    sleep(Duration::from_millis(300)).await;
    let locked = Instant::now();
    w.memory.lock("eve");
    w.empty().await;
    assert!(locked.elapsed() < SOON, "{:?}", locked.elapsed());
    eventually("the cancel order", || w.seen.has("CANCEL order-")).await;
    let mut rest = Vec::new();
    // What was on its way is all that comes; whether the connection is reset is the system's.
    let _ = c.io.read_to_end(&mut rest).await;
    assert!(rest.len() < 100_000_000);
}

#[tokio::test]
async fn adv_006_what_a_lock_finds_unsent_is_never_sent() {
    /// More than the sockets between gateway and target hold.
    const STATEMENTS: usize = 60;
    let w = world().await;
    let (mut idle, mut full) = (w.dial().await, w.dial().await);
    full.login_as("eve", "db").await;
    idle.login_as("eve", "db").await;
    full.say("read hang\n").await;
    eventually("the statement", || w.seen.has("read hang")).await;
    let (read, mut write) = tokio::io::split(full.io.into_inner());
    let pushing = tokio::spawn(async move {
        for n in 0..STATEMENTS {
            let statement = format!("write quietly {n} {}\n", "x".repeat(200_000));
            if write.write_all(statement.as_bytes()).await.is_err() {
                break;
            }
        }
    });
    // Until everything between the gateway and the target is full.
    let sent = || w.memory.count("intent Allow write");
    let mut before = usize::MAX;
    while before != sent() {
        before = sent();
        sleep(Duration::from_millis(300)).await;
    }
    assert!(sent() > 0);
    w.memory.lock("eve");
    let mut full = BufReader::new(read);
    let mut said = String::new();
    full.read_line(&mut said).await.unwrap();
    assert_eq!(said, "error locked out by lock L1\n");
    eventually("both ends", || w.seen.has("0 GONE") && w.seen.has("1 GONE")).await;
    assert!(w.seen.of(1).contains(&"bye".to_owned()), "where nothing was unsent, the target is told");
    let of_full = w.seen.of(0);
    assert!(!of_full.contains(&"bye".to_owned()), "nothing was added to what was in the pipe");
    let ran = of_full.iter().filter(|l| l.starts_with("write") && l.ends_with('…')).count();
    assert!(ran < sent(), "{ran} of {}", sent());
    pushing.abort();
}

#[tokio::test]
async fn a_session_is_ended_by_its_id() {
    let w = world().await;
    let mut c = w.login("db").await;
    let mut other = w.login("db").await;
    let id = w.gateway.sessions().sessions().first().map(|s| s.id).unwrap();
    let denial = || Denial::new(Culprit::Policy, DenialCode::Locked, ClientText::new("ended by a responder"));
    assert!(!w.gateway.sessions().end(SessionId::from_u128(7), denial()));
    assert!(w.gateway.sessions().end(id, denial()));
    assert_eq!(c.line().await, "error ended by a responder");
    assert_eq!(other.ask("read on").await, ["did read on"]);
}
