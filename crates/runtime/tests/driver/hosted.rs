//! A toy protocol that brings its own server and client: the house is the same for it, and its wires can be taken away.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use countersign_enforce::*;
use countersign_model::*;
use countersign_runtime::*;
use futures_io::{AsyncRead as _, AsyncWrite as _};

use crate::world::{Client, PATIENCE, World, eventually, local, world};

/// Speaks lines: `LOGIN user token target`, then one action a line. With `deaf`, it does not heed what it is called.
struct Guest {
    deaf: bool,
}

async fn write(wire: &mut BoxWire, mut bytes: &[u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let n = poll_fn(|cx| Pin::new(&mut *wire).poll_write(cx, bytes)).await?;
        bytes = &bytes[n..];
    }
    poll_fn(|cx| Pin::new(&mut *wire).poll_flush(cx)).await
}

async fn line(wire: &mut BoxWire) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        if poll_fn(|cx| Pin::new(&mut *wire).poll_read(cx, &mut byte)).await? == 0 {
            return Ok(None);
        }
        if byte == *b"\n" {
            return Ok(Some(String::from_utf8(line).unwrap()));
        }
        line.extend(byte);
    }
}

fn shape(kind: &str, access: Access) -> Arc<Shape> {
    Shape::new(kind, vec![Use { access, attributes: Attributes::new() }], Fingerprint(1))
}

async fn converse(client: &mut BoxWire, source: std::net::SocketAddr, host: &Arc<dyn Host>) -> Result<(), Denial> {
    let gone = |_| Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new("gone"));
    let Some(login) = line(client).await.map_err(gone)? else { return Ok(()) };
    let words: Vec<&str> = login.split(' ').collect();
    let [_, user, token, target] = words.as_slice() else { panic!("{login}") };
    let token = Secret::from((*token).to_owned());
    let presented = Presented {
        user: (*user).to_owned(),
        credential: PresentedCredential::token(token),
        target: (*target).to_owned(),
        source,
        encrypted: true,
    };
    host.authenticate(presented).await?;
    let request = ConnectRequest {
        target: (*target).to_owned(),
        part: String::new(),
        application: String::new(),
        shape: shape("connect", Access::Connect),
    };
    let Linked { mut target, courier, connected } = host.connect(request).await?;
    write(&mut target, format!("hello {}\n", connected.credential.user).as_bytes()).await.map_err(gone)?;
    line(&mut target).await.map_err(gone)?;
    host.established(&connected.credential.user, "")?;
    write(client, b"welcome guest\n").await.map_err(gone)?;
    while let Some(said) = line(client).await.map_err(gone)? {
        let kind = said.split(' ').next().unwrap().to_owned();
        let access = if kind == "write" { Access::Write } else { Access::Read };
        let facts = HoldFacts { settings: Bytes::new(), in_transaction: false, cannot: None };
        match host.admit(propose(Bytes::from(said), shape(&kind, access), Bytes::new())?, facts, &|_| ()).await {
            Ok((cleared, plan)) => {
                assert!(courier.carries(&plan.permit));
                let text = courier.release(cleared).unwrap();
                write(&mut target, &[&text[..], b"\n"].concat()).await.map_err(gone)?;
                while let Some(reply) = line(&mut target).await.map_err(gone)? {
                    write(client, format!("{reply}\n").as_bytes()).await.map_err(gone)?;
                    if reply == "." {
                        break;
                    }
                }
                let done = Outcome::of(OutcomeStatus::Done);
                host.outcome(plan.permit.seq(), &done)?;
            }
            Err(denial) => write(client, format!("denied {denial}\n.\n").as_bytes()).await.map_err(gone)?,
        }
    }
    Ok(())
}

impl Hosted for Guest {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn serve(&self, mut client: BoxWire, arrival: Arrival, host: Arc<dyn Host>) -> BoxFuture<'static, End> {
        let deaf = self.deaf;
        Box::pin(async move {
            let talk = async {
                match converse(&mut client, arrival.source, &host).await {
                    Ok(()) => End { reason: CloseReason::Client, denial: None },
                    Err(denial) => {
                        // It may be gone.
                        let _ = write(&mut client, format!("refused {denial}\n").as_bytes()).await;
                        End { reason: CloseReason::Denied, denial: Some(denial) }
                    }
                }
            };
            if deaf {
                return talk.await;
            }
            tokio::select! {
                end = talk => end,
                call = host.called() => match call {
                    Call::Drain => End { reason: CloseReason::Drained, denial: None },
                    Call::End(denial) => End { reason: CloseReason::Denied, denial: Some(denial) },
                },
            }
        })
    }

    fn turn_away(&self, denial: &Denial) -> Bytes {
        Bytes::from(format!("refused {denial}\n"))
    }
}

async fn hosting(deaf: bool, listener: ListenerConfig) -> World {
    let mut w = world().await;
    w.addr = w.gateway.host(Guest { deaf }, listener).unwrap();
    w
}

#[tokio::test]
async fn a_guest_has_the_same_house() {
    let w = hosting(false, local()).await;
    let mut c = w.login("db").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    assert_eq!(c.ask("drop all").await, ["denied drop on target \"db\" is denied by rule \"no-drop\""]);
    assert_eq!(c.ask("read two").await, ["did read two"]);
    assert_eq!(w.seen.statements(), ["read one", "read two"]);
    assert_eq!(w.gateway.sessions().sessions().len(), 1);
    drop(c);
    w.empty().await;
    for entry in [
        "open ana on db/main",
        "intent Allow read one",
        "intent Deny drop all",
        "outcome 2 done",
        "account: \"app\"",
        "close client None",
    ] {
        assert!(w.memory.has(entry), "{entry}: {:?}", w.memory.entries);
    }
    assert!(!w.memory.has("hidden"), "a target's password is in the record");
}

#[tokio::test]
async fn nothing_is_dialled_for_who_may_not() {
    for (login, said, recorded) in [
        ("LOGIN ana bad db\n", "refused who are you?", "refused ana on db"),
        (
            "LOGIN ana good nowhere\n",
            "refused connect on target \"nowhere\" is denied: no rule allows it",
            "refused ana on nowhere",
        ),
        (
            "LOGIN ana good closed\n",
            "refused connect on target \"closed\" is denied: no rule allows it",
            "close denied",
        ),
        (
            "LOGIN ana good other\n",
            "refused connect on target \"other\" is denied: no rule allows it",
            "refused ana on other",
        ),
        ("LOGIN ana good down\n", "refused target \"down\" cannot be reached: connection refused", "close denied"),
    ] {
        let w = hosting(false, local()).await;
        let mut c = w.dial().await;
        c.say(login).await;
        assert_eq!(c.line().await, said);
        w.empty().await;
        assert!(w.memory.has(recorded), "{login}: {:?}", w.memory.entries);
        assert_eq!(w.seen.sessions.load(Ordering::SeqCst), 0, "{login}");
    }
}

#[tokio::test]
async fn adv_002_a_guest_does_nothing_that_cannot_be_recorded() {
    let w = hosting(false, local()).await;
    let mut c = w.login("db").await;
    w.memory.broken.store(true, Ordering::SeqCst);
    c.say("read one\n").await;
    w.empty().await;
    assert_eq!(w.seen.statements(), Vec::<String>::new());
}

#[tokio::test]
async fn a_durable_write_waits_for_the_disk() {
    let w = hosting(false, local()).await;
    let mut c = w.login("durable").await;
    w.memory.durable.send_replace(false);
    c.say("write one\n").await;
    eventually("the intent", || w.memory.has("intent Allow write one")).await;
    assert!(!w.seen.has("write one"));
    w.memory.durable.send_replace(true);
    assert_eq!(c.reply().await, ["did write one"]);
}

/// Whatever a guest does with what it holds, its wires are dead soon after it was told to end.
#[tokio::test]
async fn a_guest_that_does_not_listen_is_severed() {
    let w = hosting(true, local()).await;
    let mut c = w.login("db").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    let began = Instant::now();
    w.memory.ended.lock().unwrap().push("ana".to_owned());
    assert_eq!(c.line().await, "", "the client's end");
    eventually("the target's end", || w.seen.has("END")).await;
    assert!(began.elapsed() < PATIENCE);
    w.empty().await;
    assert!(w.memory.has("close denied Some(Unauthenticated)"), "{:?}", w.memory.entries);
    assert!(w.memory.has("alert High ana on db"));
}

#[tokio::test]
async fn limits_hold_for_guests() {
    let mut listener = local();
    listener.max_connections = 1;
    listener.login_timeout = Duration::from_millis(300);
    let w = hosting(true, listener).await;
    let first: Client<_> = w.dial().await;
    let mut second = w.dial().await;
    assert!(second.line().await.starts_with("refused too many connections"));
    // It never says who it is.
    eventually("its end", || w.memory.has("the login took longer than 0 seconds")).await;
    drop(first);
    w.empty().await;
}

#[tokio::test]
async fn a_drain_is_heard() {
    let w = hosting(false, local()).await;
    let mut c = w.login("db").await;
    let drained = w.gateway.drain(PATIENCE).await;
    assert_eq!((drained.open, drained.ended, drained.dropped), (1, 0, 0));
    assert_eq!(c.line().await, "");
    assert!(w.memory.has("close drained None"));
}
