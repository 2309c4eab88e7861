//! Notices on their whole way, to servers that really listen.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod server;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use countersign_enforce::Alert;
use countersign_model::{Secret, Severity, Timestamp};
use countersign_notices::{
    ALERT_WINDOW, Channel, Ended, Kind, Notice, Notices, NoticesParts, Receiver, SecretOf, Slack, Teller, TextChoice,
    Webhook, queue, sign,
};
use countersign_store::{NoticeFilter, Store, StoreConfig};
use serde_json::Value;
use server::{Answer, Server};

const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn now() -> Timestamp {
    let us = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Timestamp::from_unix_us(i64::try_from(us).unwrap())
}

fn secret(text: &str) -> SecretOf {
    let text = text.to_owned();
    Arc::new(move || {
        let text = text.clone();
        Box::pin(async move { Ok(Secret::from(text)) })
    })
}

fn receiver(name: &str, channel: Channel) -> Receiver {
    Receiver {
        name: name.to_owned(),
        channel,
        kinds: Vec::new(),
        severity: Severity::Low,
        targets: Vec::new(),
        groups: Vec::new(),
        text: TextChoice::None,
        per_minute: 30,
        ca: None,
    }
}

fn webhook(name: &str, server: &Server) -> Receiver {
    let (url, secret) = (secret(&server.url("/hook?token=hidden")), secret(SECRET));
    receiver(name, Channel::Webhook(Webhook { url, secret, previous_secret: None }))
}

struct World {
    dir: tempfile::TempDir,
    store: Store,
    notices: Notices,
    teller: Teller,
}

impl World {
    async fn new(receivers: Vec<Receiver>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, notices, teller) = Self::start(&dir, receivers).await;
        Self { dir, store, notices, teller }
    }

    async fn start(dir: &tempfile::TempDir, receivers: Vec<Receiver>) -> (Store, Notices, Teller) {
        Self::start_at(dir, receivers, now).await
    }

    async fn start_at(
        dir: &tempfile::TempDir,
        receivers: Vec<Receiver>,
        clock: fn() -> Timestamp,
    ) -> (Store, Notices, Teller) {
        let config = StoreConfig::Sqlite { path: dir.path().join("s.db"), timeout: Duration::from_secs(5) };
        let store = Store::open(&config).await.unwrap();
        let (teller, inbox) = queue();
        let notices = Notices::start(NoticesParts {
            store: store.clone(),
            inbox,
            receivers,
            base: "https://gw.example".to_owned(),
            clock,
            tasks: tokio::runtime::Handle::current(),
        });
        // What is told before anybody is known to want it is for nobody.
        tokio::time::sleep(Duration::from_millis(50)).await;
        (store, notices, teller)
    }

    async fn of(&self, status: &str) -> Vec<countersign_store::NoticeRecord> {
        let filter = NoticeFilter { status: Some(status.to_owned()), limit: 1_000, ..NoticeFilter::default() };
        self.store.list_notices(&filter).await.unwrap()
    }
}

fn alert(n: usize) -> Alert {
    Alert {
        at: now(),
        severity: Severity::High,
        session: None,
        identity: format!("agent-{n}"),
        target: "shop".to_owned(),
        rules: Vec::new(),
        what: "select".to_owned(),
    }
}

async fn until<T>(what: &str, mut check: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = check().await {
            return value;
        }
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn requests(server: &Server, n: usize) -> Vec<server::Request> {
    until(&format!("{n} messages"), async || (server.requests().len() >= n).then(|| server.requests())).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_is_few_messages_that_tell_of_all() {
    let server = Server::start(Answer::Fine).await;
    let receivers = || vec![Receiver { per_minute: 3, ..webhook("ops", &server) }];
    let World { dir, store, notices, teller } = World::new(receivers()).await;
    (0..40).for_each(|_| teller.alert(&alert(0)));
    requests(&server, 1).await;
    // Nobody sends any more; what comes is written all the same.
    notices.stop().await;
    for n in 0..500 {
        notices.keep(&Notice::new(Kind::Alert, format!("alert/{n}"), now()), Some(2)).await.unwrap();
    }
    store.close().await;
    let (store, notices, teller) = World::start(&dir, receivers()).await;
    let world = World { dir, store, notices, teller };
    until("all are told", async || world.of("waiting").await.is_empty().then_some(())).await;
    let bodies: Vec<Value> = server.requests().iter().map(server::Request::json).collect();
    let of = |b: &Value| match b["type"].as_str().unwrap() {
        "alert" => 1 + b["data"]["more"].as_u64().unwrap(),
        _ => b["data"]["merged"].as_object().unwrap().values().map(|n| n.as_u64().unwrap()).sum(),
    };
    let told: u64 = bodies[1..].iter().map(of).sum();
    assert_eq!(told, 1_000, "each came twice");
    // A minute may have ended in between.
    assert!(bodies.len() <= 6, "{}", bodies.len());
    let first = world
        .store
        .list_notices(&NoticeFilter { limit: 1_000, ..NoticeFilter::default() })
        .await
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(first.more, 39, "the same is counted");
    world.notices.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_is_sent_again_under_the_same_id_and_signed() {
    let server = Server::start(Answer::Status(500)).await;
    let world = World::new(vec![webhook("ops", &server)]).await;
    world.teller.alert(&alert(1));
    requests(&server, 1).await;
    let states = world.notices.states().await.unwrap();
    assert!(states[0].failing_since.is_some() || states[0].waiting == 1, "{states:?}");
    server.answer(Answer::Fine);
    let all = requests(&server, 2).await;
    assert_eq!(all[0].header("webhook-id"), all[1].header("webhook-id"));
    for one in &all {
        let at = one.header("webhook-timestamp").parse().unwrap();
        let signature = sign(&[Secret::from(SECRET.to_owned())], &one.header("webhook-id"), at, &one.body).unwrap();
        assert_eq!(one.header("webhook-signature"), signature);
        assert_eq!(one.json()["id"], one.header("webhook-id").as_str());
        assert_eq!(one.json()["schema"], 1);
    }
    let sent = until("it is sent", async || world.of("sent").await.pop()).await;
    assert_eq!((sent.tries, sent.error.as_str()), (2, ""));
    let state =
        until("it is well", async || world.notices.states().await.unwrap().pop().filter(|s| s.failing_since.is_none()))
            .await;
    assert!(state.sent_at.is_some() && state.waiting == 0);
    world.notices.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_hangs_harms_no_other_and_its_address_is_told_nowhere() {
    let (stuck, fine) = (Server::start(Answer::Never).await, Server::start(Answer::Fine).await);
    let world = World::new(vec![webhook("stuck", &stuck), webhook("fine", &fine)]).await;
    let began = Instant::now();
    (0..3).for_each(|n| world.teller.alert(&alert(n)));
    requests(&fine, 3).await;
    assert!(began.elapsed() < Duration::from_secs(9), "faster than one message to the other may take");
    let record = until("it fails", async || world.of("waiting").await.into_iter().find(|n| n.tries > 0)).await;
    assert!(record.error.contains("no answer within"), "{}", record.error);
    let all = format!("{:?} {:?}", world.of("waiting").await, world.notices.states().await.unwrap());
    assert!(!all.contains("hidden"), "{all}");
    world.notices.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn adv_a_redirect_leads_nowhere_and_gone_is_gone_until_somebody_says_so() {
    let other = Server::start(Answer::Fine).await;
    let server = Server::start(Answer::Redirect(other.url("/elsewhere"))).await;
    let world = World::new(vec![webhook("ops", &server)]).await;
    let tested = world.notices.test("ops", "lars").await.unwrap().unwrap();
    assert_eq!(tested.status, "waiting");
    assert!(tested.error.ends_with("answered 307"), "{}", tested.error);
    assert!(other.requests().is_empty());
    server.answer(Answer::Status(410));
    assert!(world.notices.retry(&tested.id).await.unwrap());
    let dead = until("it is given up", async || world.of("dead").await.pop()).await;
    assert_eq!(dead.id, tested.id);
    server.answer(Answer::Fine);
    assert!(world.notices.retry(&dead.id).await.unwrap());
    until("it is sent", async || world.of("sent").await.pop()).await;
    assert!(!world.notices.retry(&dead.id).await.unwrap(), "once is enough");
    assert_eq!(world.notices.test("nobody", "lars").await.unwrap(), None);
    world.notices.stop().await;
}

fn asked(id: &str) -> Notice {
    Notice {
        identity: "dora".to_owned(),
        target: "shop".to_owned(),
        text: "update orders set note = ?".to_owned(),
        thread: format!("review/{id}"),
        path: format!("/console/inbox/{id}"),
        ..Notice::new(Kind::ReviewAsked, format!("review.asked/{id}"), now())
    }
}

fn ended(id: &str) -> Notice {
    let ended = Some(Ended { status: "approved".to_owned(), by: vec!["rita".to_owned()] });
    Notice { kind: Kind::ReviewAnswered, topic: format!("review.ended/{id}"), ended, ..asked(id) }
}

fn slack(server: &Server) -> Receiver {
    let api_url = server.url("/api");
    receiver("chat", Channel::Slack(Slack::Bot { token: secret("xoxb-hidden"), channel: "C1".to_owned(), api_url }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slack_is_asked_once_and_updated_in_place() {
    let server = Server::start(Answer::Json(r#"{"ok":true,"channel":"C1","ts":"17.5"}"#.to_owned())).await;
    let world = World::new(vec![slack(&server)]).await;
    for _ in 0..3 {
        world.notices.keep(&asked("1"), None).await.unwrap();
    }
    requests(&server, 1).await;
    until("it is kept", async || world.of("sent").await.pop()).await;
    world.notices.keep(&ended("1"), None).await.unwrap();
    let all = requests(&server, 2).await;
    assert_eq!(all.iter().map(|r| r.path.as_str()).collect::<Vec<_>>(), ["/api/chat.postMessage", "/api/chat.update"]);
    assert_eq!((all[1].json()["channel"].as_str(), all[1].json()["ts"].as_str()), (Some("C1"), Some("17.5")));
    assert!(all[1].body.contains("rita") && all[1].body.contains("Approved"));
    assert!(!all[0].body.contains("update orders"), "this receiver is told no text");
    assert_eq!(all[0].header("authorization"), "Bearer xoxb-hidden");
    assert!(!format!("{:?}", world.of("sent").await).contains("xoxb"));
    world.notices.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_asked_what_is_answered_already_and_a_restart_loses_nothing() {
    let chat = Server::start(Answer::Json(r#"{"ok":true,"channel":"C1","ts":"17.5"}"#.to_owned())).await;
    let hook = Server::start(Answer::Fine).await;
    let World { dir, store, notices, .. } = World::new(Vec::new()).await;
    notices.configure(vec![slack(&chat), webhook("ops", &hook)]);
    // As if the process had been killed before it sent: nobody sends while these are kept.
    notices.stop().await;
    for notice in [asked("1"), ended("1")] {
        notices.keep(&notice, None).await.unwrap();
    }
    store.close().await;
    let (store, notices, teller) = World::start(&dir, vec![slack(&chat), webhook("ops", &hook)]).await;
    let world = World { dir, store, notices, teller };
    let kinds = |all: Vec<server::Request>| -> Vec<String> {
        all.iter().map(|r| r.json()["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kinds(requests(&hook, 2).await), ["review.asked", "review.answered"], "a program is told all");
    assert_eq!(requests(&chat, 1).await[0].path, "/api/chat.postMessage");
    until("all is done", async || world.of("waiting").await.is_empty().then_some(())).await;
    assert_eq!(chat.requests().len(), 1, "people are told how it ended");
    assert_eq!(world.of("merged").await.len(), 1);
    world.notices.stop().await;
}

/// When alerts of now are not counted any more.
fn later() -> Timestamp {
    let window = i64::try_from(ALERT_WINDOW.as_micros()).unwrap();
    Timestamp::from_unix_us(now().unix_us() + window)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_often_the_same_came_again_is_told_when_its_time_is_over_and_once() {
    let server = Server::start(Answer::Fine).await;
    let World { dir, store, notices, teller } = World::new(vec![webhook("ops", &server)]).await;
    let same = alert(1);
    teller.alert(&same);
    requests(&server, 1).await;
    until("it is kept", async || notices.states().await.unwrap()[0].sent_at.map(|_| ())).await;
    (0..41).for_each(|_| teller.alert(&same));
    let counted = NoticeFilter { limit: 9, ..NoticeFilter::default() };
    until("they are counted", async || (store.list_notices(&counted).await.unwrap()[0].more == 41).then_some(())).await;
    notices.stop().await;
    store.close().await;
    for _ in 0..2 {
        let (store, notices, _) = World::start_at(&dir, vec![webhook("ops", &server)], later).await;
        let told = requests(&server, 2).await;
        assert_eq!(told.len(), 2, "once");
        let data = &told[1].json()["data"];
        // The message is itself one of them.
        assert_eq!((data["more"].as_u64(), data["identity"].as_str()), (Some(40), Some("agent-1")));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        notices.stop().await;
        store.close().await;
    }
    assert_eq!(server.requests().len(), 2);
}
