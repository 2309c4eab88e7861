//! What whoever comes with an API key gets: what its owner may and its scope names, no more.

use countersign_api::OPERATIONS;
use countersign_locks::{LockKind, Matcher, NewLock};

use crate::support::status;
use crate::world::{World, now};

#[tokio::test]
async fn a_key_is_no_more_than_its_scope_and_its_owner() {
    let w = World::start().await;
    let (locks, new) = ("/v1/locks", r#"{"matcher":{"name":"eve"},"reason":"stolen"}"#);
    let more = r#"{"name":"more","scope":["locks.list"],"expires_in_s":60}"#;
    for (actor, method, path, body, want, why) in [
        ("responder+locks.list", "GET", locks, "", "200", ""),
        ("responder+locks.list+locks.add", "POST", locks, new, "201", ""),
        ("responder+locks.list", "POST", locks, new, "403", "locks.add is not in the scope"),
        ("responder+locks.list", "GET", "/v1/locks/x", "", "403", "locks.show is not in the scope"),
        ("responder+locks", "GET", locks, "", "403", "not in the scope"),
        ("responder+locks.*", "GET", locks, "", "403", "not in the scope"),
        ("responder+LOCKS.LIST", "GET", locks, "", "403", "not in the scope"),
        // What is in its scope is still not its owner's.
        ("stranger+locks.list", "GET", locks, "", "403", "no rule allows it"),
        ("auditor+locks.add", "POST", locks, new, "403", "no rule allows it"),
        ("stranger+grants.list", "GET", "/v1/grants", "", "200", ""),
        ("stranger+grants.list", "GET", "/v1/grants?everybody=true", "", "403", "no rule allows it"),
        ("locked+locks.list", "GET", locks, "", "403", "locked out by lock"),
        // A key makes no keys, and is no person, whatever its scope says.
        ("responder+api-keys.create", "POST", "/v1/api-keys", more, "403", "no API key is for"),
        ("responder+api-keys.list", "GET", "/v1/api-keys", "", "403", "no API key is for"),
        ("responder+api-keys.revoke", "POST", "/v1/api-keys/x/revoke", r#"{"reason":"x"}"#, "403", "no API key is for"),
        ("responder+reviews.approve", "POST", "/v1/reviews/x/approve", "", "403", "no API key is for"),
        ("responder+reviews.deny", "POST", "/v1/reviews/x/deny", "", "403", "no API key is for"),
        ("responder+reviews.comment", "POST", "/v1/reviews/x/comment", r#"{"comment":"x"}"#, "200", ""),
    ] {
        let answer = w.ask(actor, method, path, "", body).await;
        assert_eq!(status(&answer), want, "{actor} {method} {path}: {answer}");
        assert!(answer.contains(why), "{actor} {method} {path}: {answer}");
        let recorded = w.memory.take();
        if why.contains("scope") || why.contains("no API key") {
            let name = actor.split('+').next().unwrap();
            assert_eq!(recorded, [format!("refused {name} on countersign: Forbidden")], "{actor} {path}");
        }
    }
    let made = w.locks.live(now()).into_iter().find(|l| l.reason == "stolen").unwrap();
    assert!(made.created_by.ends_with("with API key 01JGV2XJ8E0000000000000KEY (nightly)"), "{}", made.created_by);
}

#[tokio::test]
async fn a_lock_on_what_made_a_key_keeps_the_key_out() {
    let w = World::start().await;
    for matcher in [
        Matcher { token_id: Some("the-token".to_owned()), ..Matcher::default() },
        Matcher { name: Some("auditor".to_owned()), ..Matcher::default() },
    ] {
        let ask = async || status(&w.ask("auditor+locks.list", "GET", "/v1/locks", "", "").await).to_owned();
        assert_eq!(ask().await, "200", "{matcher:?}");
        let new = NewLock { matcher, kind: LockKind::Lock, reason: "stolen".to_owned(), expires_at: None };
        let lock = w.locks.add(new, "a test", now()).await.unwrap();
        assert_eq!(ask().await, "403");
        w.locks.end(&lock.id, "a test", "over", now()).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_told_once_is_not_kept() {
    let w = World::start().await;
    let body = r#"{"name":"nightly","scope":["locks.list"],"expires_in_s":60}"#;
    let answer = w.ask("responder", "POST", "/v1/api-keys", "Idempotency-Key: k\r\n", body).await;
    assert!(status(&answer) == "400" && answer.contains("told once"), "{answer}");
    assert!(w.memory.take().is_empty(), "nothing was begun");
    let answer = w.ask("responder", "POST", "/v1/api-keys", "", body).await;
    assert!(status(&answer) == "201" && answer.contains("csk_shown-once"), "{answer}");
    assert!(!w.memory.take().join("\n").contains("csk_"), "nor recorded");
    for bad in [
        r#"{"name":" ","scope":["locks.list"],"expires_in_s":60}"#.to_owned(),
        format!(r#"{{"name":"{}","scope":["locks.list"],"expires_in_s":60}}"#, "n".repeat(65)),
        r#"{"name":"a\nb","scope":["locks.list"],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":[],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":["locks.*"],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":["locks.list","api-keys.create"],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":["reviews.approve"],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":["whoami.show"],"expires_in_s":60}"#.to_owned(),
        r#"{"name":"n","scope":["locks.list"]}"#.to_owned(),
        r#"{"name":"n","scope":["locks.list"],"expires_in_s":null}"#.to_owned(),
        r#"{"name":"n","scope":["locks.list"],"expires_in_s":59}"#.to_owned(),
        r#"{"name":"n","scope":["locks.list"],"expires_in_s":7776001}"#.to_owned(),
    ] {
        let answer = w.ask("responder", "POST", "/v1/api-keys", "", &bad).await;
        assert_eq!(status(&answer), "400", "{bad}: {answer}");
    }
    let all = OPERATIONS.iter().filter(|o| o.by_key).map(|o| format!("\"{}\"", o.name)).collect::<Vec<_>>().join(",");
    for expires_in_s in [60, 7_776_000] {
        let body = format!(r#"{{"name":"{}","scope":[{all}],"expires_in_s":{expires_in_s}}}"#, "é".repeat(64));
        assert_eq!(status(&w.ask("responder", "POST", "/v1/api-keys", "", &body).await), "201");
    }
}
