//! The way in from this process: who comes by it is who they were said to be, and nobody else comes by it.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use countersign_enforce::{Authenticator as _, Presented, PresentedCredential};
use countersign_model::*;
use countersign_runtime::{ListenerConfig, Visitor};
use tokio::io::BufReader;
use tokio::net::UnixStream;

use crate::world::{Client, Door, Setup, World, eventually, local, world};

const SOURCE: &str = "203.0.113.7:4711";

async fn visitor(w: &World, name: &str) -> Visitor {
    let presented = Presented {
        user: name.to_owned(),
        credential: PresentedCredential::token(Secret::from("good".to_owned())),
        target: String::new(),
        source: SOURCE.parse().unwrap(),
        encrypted: true,
    };
    let identity = Door(w.memory.clone()).authenticate(&presented, Timestamp::from_unix_s(0)).await.unwrap();
    Visitor { identity, source: SOURCE.parse().unwrap(), encrypted: true, session: Arc::new(OnceLock::new()) }
}

async fn enter(w: &World, visitor: &Visitor) -> Client<UnixStream> {
    Client { io: BufReader::new(w.entrance.enter(visitor.clone()).await.unwrap()), key: String::new() }
}

#[tokio::test]
async fn a_visitor_is_who_they_were_said_to_be() {
    let w = world().await;
    let ana = visitor(&w, "ana").await;
    let mut c = enter(&w, &ana).await;
    // What is said on the way in counts for nothing but the target.
    c.say("LOGIN eve bad db\n").await;
    assert!(c.line().await.starts_with("welcome "));
    assert_eq!(c.ask("read this").await, ["did read this"]);
    assert_eq!(w.memory.count("open ana on db/main"), 1);
    assert_eq!(w.memory.count("open eve"), 0);
    let live = w.gateway.sessions().sessions();
    assert_eq!(live.len(), 1);
    assert_eq!(live[0].source, SOURCE.parse::<SocketAddr>().unwrap());
    assert_eq!(ana.session.get(), Some(&live[0].id), "whoever asked is told which session it is");
    // The same words from a network are refused.
    let mut thief = w.dial().await;
    thief.say("LOGIN ana bad db\n").await;
    assert_eq!(thief.line().await, "error who are you?");
}

#[tokio::test]
async fn adv_a_visitor_who_no_longer_stands_or_is_locked_out_does_not_get_in() {
    let w = world().await;
    let (ana, eve) = (visitor(&w, "ana").await, visitor(&w, "eve").await);
    let mut live = enter(&w, &eve).await;
    live.say("LOGIN eve good db\n").await;
    assert!(live.line().await.starts_with("welcome "));
    w.memory.lock("eve");
    assert_eq!(live.line().await, "error locked out by lock L1");
    w.memory.ended.lock().unwrap().push("ana".to_owned());
    for (who, want) in [(&ana, "error this login has ended"), (&eve, "error locked out by lock L1")] {
        let mut c = enter(&w, who).await;
        c.say("LOGIN x good db\n").await;
        assert_eq!(c.line().await, want);
        assert_eq!(c.line().await, "");
    }
    assert_eq!((w.memory.count("open ana"), w.memory.count("open eve")), (0, 1));
    w.empty().await;
}

#[tokio::test]
async fn visitors_count_among_the_connections() {
    let listener = ListenerConfig { max_connections: 2, ..local() };
    let w = Setup { listener: Some(listener), ..Setup::default() }.start().await;
    let ana = visitor(&w, "ana").await;
    let first = enter(&w, &ana).await;
    let _second = w.login("db").await;
    assert!(w.entrance.enter(ana.clone()).await.is_err());
    drop(first);
    eventually("the place is free", || w.gateway.sessions().connections() == 1).await;
    drop(enter(&w, &ana).await);
    w.gateway.drain(Duration::ZERO).await;
    assert!(w.entrance.enter(ana).await.is_err(), "nobody gets in while the gateway stops");
}
