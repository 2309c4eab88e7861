//! Every actor at every operation, over real sockets with real policies and a real store: what they get, and what is recorded.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use countersign_api::{OPERATIONS, Who};
use countersign_locks::{LockKind, Matcher, NewLock};

mod api_keys;
#[path = "../support/mod.rs"]
mod support;
mod world;

use support::status;
use world::{ACTORS, World, now};

/// The status that each actor gets at each operation; a new operation needs a row.
const MATRIX: &str = "\
operation               -   nobody stranger auditor on-call responder helper locked
factors.reset           401 401    403      403     403     200       403    403
locks.list              401 401    403      200     403     200       403    403
locks.add               401 401    403      403     201     201       403    403
locks.dry-run           401 401    403      200     403     200       403    403
locks.show              401 401    403      200     403     200       403    403
locks.remove            401 401    403      403     403     200       403    403
sessions.list           401 401    403      200     403     200       403    403
sessions.show           401 401    403      404     403     404       403    403
sessions.watch          401 401    403      403     403     404       403    403
sessions.end            401 401    403      403     403     404       403    403
recordings.list         401 401    403      200     403     200       403    403
recordings.activity     401 401    403      200     403     200       403    403
recordings.show         401 401    403      404     403     404       403    403
api-keys.create         401 401    403      403     403     201       403    403
notices.list            401 401    403      200     403     200       403    403
notices.test            401 401    403      403     403     404       403    403
notices.retry           401 401    403      403     403     404       403    403
policies.show           401 401    403      200     403     200       403    403
configuration.list      401 401    403      200     403     200       403    403
configuration.show      401 401    403      404     403     404       403    403
configuration.compare   401 401    403      200     403     200       403    403
configuration.diff      401 401    403      200     403     200       403    403
configuration.apply     401 401    403      403     403     200       403    403
configuration.revert    401 401    403      403     403     200       403    403
tags.list               401 401    403      200     403     200       403    403
";

#[tokio::test]
async fn every_actor_gets_what_is_theirs_at_every_operation() {
    let w = World::start().await;
    let mut rows = vec![format!("{:<24}{}", "operation", header())];
    for operation in OPERATIONS.iter().filter(|o| matches!(o.who, Who::Policy(_))) {
        let mut row = format!("{:<24}", operation.name);
        for actor in ACTORS {
            let new = NewLock {
                matcher: Matcher { name: Some("somebody".to_owned()), ..Matcher::default() },
                kind: LockKind::Lock,
                reason: "a test".to_owned(),
                expires_at: None,
            };
            let lock = w.locks.add(new, "a test", now()).await.unwrap().id;
            let id = match operation.name.split_once('.') {
                Some(("locks", _)) => lock.as_str(),
                Some(("configuration", _)) => "1",
                _ => "01JGV2XJ8E0000000000000000",
            };
            let reason = if operation.method == "DELETE" { "?reason=over" } else { "" };
            let path = format!("{}{reason}", operation.path.replace("{id}", id));
            let body = match operation.name {
                "locks.add" => r#"{"matcher":{"name":"eve"},"reason":"stolen"}"#,
                "locks.dry-run" => r#"{"matcher":{"name":"eve"}}"#,
                "notices.test" => r#"{"receiver":"nobody"}"#,
                "configuration.diff" => r#"{"files":[]}"#,
                "configuration.apply" => r#"{"files":[],"base":0}"#,
                "configuration.revert" => r#"{"base":0}"#,
                "factors.reset" => r#"{"person":"rita","reason":"lost"}"#,
                "api-keys.create" => r#"{"name":"nightly","scope":["locks.list"],"expires_in_s":60}"#,
                _ => "",
            };
            let before = w.locks.live(now()).len();
            let answer = w.ask(actor, operation.method, &path, "", body).await;
            let got = status(&answer);
            row.push_str(&format!("{got:<width$}", width = actor.len().max(3) + 1));
            let recorded = w.memory.take();
            let changed = w.locks.live(now()).len() != before;
            match got {
                "401" => {
                    assert!(answer.contains("www-authenticate: Bearer") && answer.contains("problem+json"), "{answer}");
                    assert!(recorded.is_empty(), "{recorded:?}");
                }
                "403" if actor == "locked" => {
                    assert_eq!(recorded, ["refused locked on countersign: Locked"]);
                    assert!(answer.contains("locked out by lock"), "{answer}");
                }
                "403" => {
                    assert!(
                        recorded[1].starts_with(&format!("Deny {} {}", operation.name, operation.method)),
                        "{recorded:?}"
                    );
                    assert_eq!(recorded.last().unwrap(), "close denied");
                    assert!(answer.contains("no rule allows it"), "{answer}");
                }
                _ => {
                    // Who watches may let others go on: that is kept like a change.
                    let durable = operation.changes || operation.name == "sessions.watch";
                    let outcome = if got.starts_with('2') { "done -".to_owned() } else { format!("failed {got}") };
                    let mut want = vec![format!("open {actor} on countersign")];
                    let text = if body.is_empty() { String::new() } else { format!("\n{body}") };
                    want.push(format!("Allow {} {} {path}{text}", operation.name, operation.method));
                    want.extend(durable.then(|| "durable".to_owned()));
                    want.extend([outcome, "close client".to_owned()]);
                    assert_eq!(recorded, want);
                }
            }
            let should = operation.changes && operation.name.starts_with("locks.");
            assert_eq!(changed, got.starts_with('2') && should, "{actor} {}", operation.name);
        }
        rows.push(row);
    }
    let trimmed = |text: &str| text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
    assert_eq!(trimmed(&rows.join("\n")), trimmed(MATRIX), "\n{}", rows.join("\n"));
}

fn header() -> String {
    ACTORS.iter().map(|a| format!("{a:<width$}", width = a.len().max(3) + 1)).collect()
}

#[tokio::test]
async fn what_is_for_the_console_is_done_there_alone_and_what_must_not_be_is_not_recorded() {
    let w = World::start().await;
    let id = "01JGV2XJ8E0000000000000000";
    // With what is told there; nobody has a session of the SQL console here.
    let asked = [
        ("factors.challenge", r#"{"use":"register"}"#, 200),
        ("factors.add-key", r#"{"name":"blue","client_data":"","attestation":""}"#, 200),
        ("factors.add-codes", r#"{"name":"phone"}"#, 200),
        ("factors.confirm-codes", r#"{"code":"123456"}"#, 200),
        ("factors.remove", r#"{"factor":{"code":"123456"}}"#, 200),
        ("sql.list", "", 200),
        ("sql.open", r#"{"target":"shop"}"#, 404),
        ("sql.show", "", 404),
        ("sql.run", r#"{"statement":"select 123456"}"#, 404),
        ("sql.cancel", "{}", 404),
        ("sql.close", "{}", 404),
        ("sql.export", "{}", 404),
    ];
    let console: Vec<_> = OPERATIONS.iter().filter(|o| o.who == Who::Console).collect();
    assert_eq!(console.len(), asked.len());
    for operation in console {
        let (_, body, told) = *asked.iter().find(|(name, ..)| *name == operation.name).unwrap();
        let path = operation.path.replace("{id}", id);
        for actor in ["stranger", "responder"] {
            let answer = w.ask(actor, operation.method, &path, "", body).await;
            assert_eq!(status(&answer), "403", "{}", operation.name);
            assert!(answer.contains("in the console"), "{answer}");
        }
        assert!(w.memory.take().is_empty());
        let shown = w.in_console(operation.method, &path, body).await;
        assert_eq!(shown, told, "{}", operation.name);
        let recorded = w.memory.take().join("\n");
        assert_eq!(recorded.contains(operation.name), operation.changes, "{recorded}");
        assert!(!recorded.contains("123456"), "{recorded}");
    }
    let body = r#"{"comment":"fine","factor":{"code":"123456"}}"#;
    assert_eq!(status(&w.ask("stranger", "POST", &format!("/v1/reviews/{id}/approve"), "", body).await), "200");
    let recorded = w.memory.take().join("\n");
    assert!(
        recorded.contains("fine") && recorded.contains("(not recorded)") && !recorded.contains("123456"),
        "{recorded}"
    );
    let broken = r#"{"factor":{"code":"123456"}"#;
    assert_eq!(status(&w.ask("stranger", "POST", &format!("/v1/reviews/{id}/approve"), "", broken).await), "400");
    assert!(!w.memory.take().join("\n").contains("123456"));
    // A secret that is answered once is not kept for a second request.
    assert!(OPERATIONS.iter().any(|o| o.name == "factors.add-codes" && o.told_once));
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once() {
    let w = World::start().await;
    let add = async |actor: &str, key: &str, name: &str| {
        let body = format!(r#"{{"matcher":{{"name":"{name}"}},"reason":"stolen"}}"#);
        let answer = w.ask(actor, "POST", "/v1/locks", &format!("Idempotency-Key: {key}\r\n"), &body).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (status(head).to_owned(), body.to_owned())
    };
    let first = add("responder", "k", "eve").await;
    assert_eq!(first.0, "201");
    assert_eq!(add("responder", "k", "eve").await, first, "the same answer");
    assert_eq!(w.locks.live(now()).len(), 2, "and one lock besides the one that was there");
    assert_eq!(add("responder", "k", "mallory").await.0, "422", "another request under the same key");
    assert_eq!(add("on-call", "k", "mallory").await.0, "201", "keys are the caller's own");
    let lock = w.locks.live(now()).into_iter().find(|l| l.reason == "stolen").unwrap().id.clone();
    let end = async |reason: &str| {
        let path = format!("/v1/locks/{lock}?reason={reason}");
        status(&w.ask("responder", "DELETE", &path, "Idempotency-Key: e\r\n", "").await).to_owned()
    };
    assert_eq!(end("over").await, "200");
    assert_eq!(end("over").await, "200", "a second time it would be 409");
    assert_eq!(end("mistake").await, "422", "the query is part of the request");
    assert_eq!(add("responder", "l", "").await.0, "400");
    assert_eq!(add("responder", "l", "").await.0, "400", "what was wrong stays wrong");
    assert_eq!(add("responder", &"k".repeat(256), "eve").await.0, "400");
    assert_eq!(add("responder", "two words", "eve").await.0, "400");
    assert_eq!(add("responder", &"k".repeat(255), "eve").await.0, "201");
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let w = World::start().await;
    for (method, path, headers, body, want) in [
        ("POST", "/v1/locks", "", "", "400"),
        ("POST", "/v1/locks", "", "{", "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"nam":"eve"},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"name":"eve"}}"#, "400"),
        ("POST", "/v1/locks", "", r#"{"matcher":{"name":"eve"},"reason":"x","expires_in_s":0}"#, "400"),
        (
            "POST",
            "/v1/locks",
            "",
            r#"{"matcher":{"name":"eve"},"reason":"x","expires_in_s":18446744073709551615}"#,
            "400",
        ),
        ("POST", "/v1/locks", "", r#"{"matcher":{"source":"0.0.0.0/0"},"reason":"x"}"#, "400"),
        ("POST", "/v1/locks?x=1", "", r#"{"matcher":{"name":"eve"},"reason":"x"}"#, "400"),
        ("GET", "/v1/locks?limit=0", "", "", "400"),
        ("GET", "/v1/locks?limit=1001", "", "", "400"),
        ("GET", "/v1/locks?limit=1&limit=2", "", "", "400"),
        ("GET", "/v1/locks?al=true", "", "", "400"),
        ("GET", "/v1/locks?all=yes", "", "", "400"),
        ("GET", "/v1/locks/nothing", "", "", "404"),
        ("DELETE", "/v1/locks/nothing?reason=x", "", "", "404"),
        ("GET", "/v1/sessions/nothing", "", "", "400"),
        ("GET", "/v1/sessions?after=x", "", "", "400"),
        ("PUT", "/v1/locks", "", "", "405"),
        ("GET", "/v1/locks", "Origin: https://evil.example\r\n", "", "403"),
    ] {
        let answer = w.ask("responder", method, path, headers, body).await;
        assert_eq!(status(&answer), want, "{method} {path} {body}: {answer}");
        assert!(answer.contains("application/problem+json"), "{answer}");
    }
    assert_eq!(w.locks.live(now()).len(), 1);
    let long = "x".repeat(4_097);
    assert_eq!(status(&w.ask("responder", "GET", &format!("/v1/locks?before={long}"), "", "").await), "414");
}

#[tokio::test]
async fn pages_hold_everything_once() {
    let w = World::start().await;
    for n in 0..5 {
        let body = format!(r#"{{"matcher":{{"name":"n{n}"}},"reason":"x","expires_in_s":60}}"#);
        assert_eq!(status(&w.ask("responder", "POST", "/v1/locks", "", &body).await), "201");
    }
    let (mut seen, mut before) = (BTreeSet::new(), String::new());
    loop {
        let answer = w.ask("auditor", "GET", &format!("/v1/locks?limit=2{before}"), "", "").await;
        let page: countersign_api::LockPage = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert!(page.locks.len() <= 2);
        for lock in page.locks {
            assert!(seen.insert(lock.id), "twice");
        }
        match page.next {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 6);
}

#[tokio::test]
async fn every_route_is_an_operation_and_every_operation_a_route() {
    let w = World::start().await;
    // The server's own task makes the routes.
    assert_eq!(status(&w.server.get("/healthz").await), "200");
    let routed = w.routed.lock().unwrap().clone();
    let paths: BTreeSet<&str> = routed.split("\"/v1/").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let listed: BTreeSet<&str> = OPERATIONS.iter().filter_map(|o| o.path.strip_prefix("/v1/")).collect();
    assert_eq!(paths, listed);
    for path in listed {
        let path = format!("/v1/{path}");
        let answer = w.ask("responder", "PATCH", &path.replace("{id}", "x"), "", "").await;
        assert_eq!(status(&answer), "405", "{answer}");
        let allowed = answer.lines().find_map(|l| l.strip_prefix("allow: ")).unwrap();
        let allowed: BTreeSet<&str> = allowed.trim().split(',').filter(|m| *m != "HEAD").collect();
        let listed: BTreeSet<&str> = OPERATIONS.iter().filter(|o| o.path == path).map(|o| o.method).collect();
        assert_eq!(allowed, listed, "{path}");
    }
}

#[tokio::test]
async fn what_is_not_the_callers_own_is_for_those_whom_policy_lets() {
    let w = World::start().await;
    let (one, several) = ("/v1/grants/x/revoke", "/v1/grants/revoke");
    let (mine, all) = (r#"{"reason":"over"}"#, r#"{"reason":"over","everybody":true}"#);
    let theirs = r#"{"answered_by":"rita","reason":"over"}"#;
    let everybodys = r#"{"answered_by":"rita","reason":"over","everybody":true}"#;
    for (actor, method, path, body, want) in [
        ("stranger", "GET", "/v1/grants", "", "200"),
        ("stranger", "GET", "/v1/grants?everybody=false", "", "200"),
        ("stranger", "GET", "/v1/grants?everybody=true", "", "403"),
        ("helper", "GET", "/v1/grants?everybody=true", "", "403"),
        ("auditor", "GET", "/v1/grants?everybody=true", "", "200"),
        ("responder", "GET", "/v1/grants?everybody=true", "", "200"),
        ("locked", "GET", "/v1/grants", "", "403"),
        ("nobody", "GET", "/v1/grants", "", "401"),
        ("stranger", "POST", one, mine, "200"),
        ("stranger", "POST", one, all, "403"),
        ("auditor", "POST", one, all, "403"),
        ("helper", "POST", one, all, "403"),
        ("responder", "POST", one, all, "200"),
        ("locked", "POST", one, mine, "403"),
        ("stranger", "POST", several, theirs, "200"),
        ("stranger", "POST", several, everybodys, "403"),
        ("auditor", "POST", several, everybodys, "403"),
        ("responder", "POST", several, everybodys, "200"),
        // What could be read in two ways is read in none.
        ("stranger", "POST", one, r#"{"reason":"over","everybody":true,"everybody":false}"#, "400"),
        ("stranger", "POST", one, r#"["over",true]"#, "400"),
        ("stranger", "POST", one, r#"{"reason":"over","everybody":"true"}"#, "400"),
        ("stranger", "POST", one, "", "400"),
        ("stranger", "POST", one, r#"{"reason":" "}"#, "400"),
        ("stranger", "GET", "/v1/grants?everybody=true&everybody=false", "", "400"),
        ("stranger", "GET", "/v1/grants?everybody=1", "", "400"),
        ("stranger", "GET", "/v1/grants?since=-1", "", "400"),
        ("stranger", "GET", "/v1/grants/..", "", "404"),
    ] {
        let answer = w.ask(actor, method, path, "", body).await;
        assert_eq!(status(&answer), want, "{actor} {method} {path} {body}: {answer}");
        let recorded = w.memory.take().join("\n");
        let beyond = path.ends_with("everybody=true") || body.ends_with(r#""everybody":true}"#);
        match want {
            "200" => {
                assert!(answer.contains(actor), "the door knows who asks: {answer}");
                assert_eq!(answer.contains("everybody: true"), beyond, "{answer}");
                // Looking at what is one's own leaves no record; everything else does, with what was asked.
                assert_eq!(recorded.contains(&format!("{method} {path}")), beyond || method == "POST", "{recorded}");
                assert_eq!(recorded.contains("durable"), method == "POST", "{recorded}");
            }
            "403" if actor != "locked" => assert!(recorded.contains("Deny grants."), "{recorded}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn rules_are_asked_whether_the_caller_could_apply() {
    let w = World::start().await;
    for (actor, may) in [("auditor", "false"), ("responder", "true")] {
        let answer = w.ask(actor, "POST", "/v1/configuration/diff", "", r#"{"files":[]}"#).await;
        assert!(answer.contains(&format!("\"locks_you_out\":{may}")), "{actor}: {answer}");
    }
}

#[tokio::test]
async fn what_is_applied_has_a_size_a_form_and_a_place() {
    let w = World::start().await;
    let post = async |path: &str, body: String| status(&w.ask("responder", "POST", path, "", &body).await).to_owned();
    let file = |path: &str, bytes: usize| format!(r#"{{"path":"{path}","text":"{}"}}"#, "x".repeat(bytes));
    let all = |files: &[String]| format!(r#"{{"files":[{}],"base":0}}"#, files.join(","));
    let many = |n: usize| (0..n).map(|n| file(&format!("f{n}.toml"), 0)).collect::<Vec<_>>();
    for (body, want) in [
        (all(&[file("a.toml", 1 << 20)]), "200"),
        (all(&[file("a.toml", 1 << 20), file("b.toml", 1)]), "413"),
        (all(&[file("a.toml", 4 << 20)]), "413"),
        (all(&many(1_000)), "200"),
        (all(&many(1_001)), "400"),
        (all(&[file("../a.toml", 0)]), "400"),
        (all(&[]).replace('0', "9007199254740991"), "200"),
        (all(&[]).replace('0', "9007199254740992"), "400"),
        (all(&[]).replace('0', "-1"), "400"),
        (all(&[]).replace('}', r#","message":"a\u0007b"}"#), "400"),
        (all(&[]).replace('}', &format!(r#","message":"{}"}}"#, "é".repeat(1_000))), "200"),
        (all(&[]).replace('}', &format!(r#","message":"{}"}}"#, "é".repeat(1_001))), "400"),
        (all(&[]).replace('}', r#","more":1}"#), "400"),
        (r#"{"files":[]}"#.to_owned(), "400"),
    ] {
        assert_eq!(post("/v1/configuration", body.clone()).await, want, "{}", body.get(..80).unwrap_or(&body));
    }
    // Only what takes files takes as much.
    assert_eq!(post("/v1/locks", format!(r#"{{"reason":"{}"}}"#, "x".repeat(64 << 10))).await, "413");
    for (path, want) in [("0", "400"), ("01", "400"), ("x", "400"), ("9007199254740992", "400"), ("1", "404")] {
        let answer = w.ask("auditor", "GET", &format!("/v1/configuration/revisions/{path}"), "", "").await;
        assert_eq!(status(&answer), want, "{path}");
    }
}

#[tokio::test]
async fn targets_of_everybody_are_for_those_whom_policy_lets() {
    let w = World::start().await;
    for (actor, query, want) in [
        ("stranger", "", "everybody false"),
        ("stranger", "?everybody=true", "no rule allows it"),
        ("auditor", "?everybody=true", "everybody true"),
        ("stranger", "?after=", "no name of a target"),
        ("nobody", "", "401"),
        ("locked", "", "locked out"),
    ] {
        let answer = w.ask(actor, "GET", &format!("/v1/targets{query}"), "", "").await;
        assert!(answer.contains(want), "{actor} {query}: {answer}");
    }
}
