//! A new lock: what it is to match, what it would cut off, and then the lock itself.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::{Shell, because, count};
use crate::ask::Refusal;
use crate::facts::Facts;
use crate::guard::{Changing, Fields, Signed};
use crate::respond::{html, see_other};
use crate::shown::Shown;

/// What a lock may name, with what people call it and an example.
const PARTS: [(&str, &str, &str); 8] = [
    ("name", "Name", "ci-deploy"),
    ("subject", "Subject", "repo:acme/shop:ref:refs/heads/main"),
    ("issuer", "Issuer", "https://token.actions.githubusercontent.com"),
    ("group", "Group", "analysts"),
    ("source", "Address or network", "203.0.113.0/24"),
    ("target", "Target", "shop"),
    ("session", "Session", "01J9ZQ4T7Y…"),
    ("login", "Login", "01J9ZQ4T7Y…"),
];
/// How long a lock may last, with its seconds; the first is until somebody lifts it.
const SPANS: [(&str, u64); 5] =
    [("until it is lifted", 0), ("1 hour", 3_600), ("8 hours", 28_800), ("1 day", 86_400), ("7 days", 604_800)];

struct Part {
    name: &'static str,
    label: &'static str,
    example: &'static str,
    value: Shown,
}

struct Span {
    label: &'static str,
    seconds: u64,
    chosen: bool,
}

/// What a lock would cut off.
struct Cut {
    sessions: Vec<Shown>,
    logins: Vec<Shown>,
    siblings: Vec<Shown>,
    summary: String,
    you: bool,
}

#[derive(Template)]
#[template(path = "new_lock.html")]
struct NewLockPage {
    shell: Shell,
    parts: Vec<Part>,
    claim: Shown,
    claim_value: Shown,
    reauthenticate: bool,
    reason: Shown,
    spans: Vec<Span>,
    cut: Option<Cut>,
    trouble: Option<Shown>,
}

fn matcher(form: &Fields) -> Value {
    let mut all = Map::new();
    for (name, _, _) in PARTS {
        if !form.get(name).is_empty() {
            all.insert(name.to_owned(), json!(form.get(name)));
        }
    }
    if !form.get("claim").is_empty() {
        all.insert("claims".to_owned(), json!({ form.get("claim"): form.get("claim_value") }));
    }
    Value::Object(all)
}

async fn page(signed: &Signed, form: &Fields, cut: Option<Cut>, no: Option<Refusal>) -> Response<Body> {
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let wanted: u64 = form.get("expires_in_s").parse().unwrap_or(0);
    let part = |(name, label, example): (&'static str, &'static str, &'static str)| Part {
        name,
        label,
        example,
        value: Shown::new(form.get(name)),
    };
    let page = NewLockPage {
        shell: Shell::of(signed, "locks", "New lock").await,
        parts: PARTS.into_iter().map(part).collect(),
        claim: Shown::new(form.get("claim")),
        claim_value: Shown::new(form.get("claim_value")),
        reauthenticate: form.get("kind") == "reauthenticate",
        reason: Shown::new(form.get("reason")),
        spans: SPANS.map(|(label, seconds)| Span { label, seconds, chosen: seconds == wanted }).into(),
        cut,
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `GET /console/locks/new`: the form, filled with what the address says.
pub(crate) async fn show(signed: Signed) -> Response<Body> {
    page(&signed, &signed.query, None, None).await
}

fn party(i: Facts<'_>) -> String {
    format!("{} ({})", i.at("name").text(), i.at("issuer").text())
}

fn cut(found: &Value) -> Cut {
    let found = Facts::of(found);
    let sessions: Vec<Shown> = found
        .at("sessions")
        .list()
        .map(|s| {
            let text =
                format!("{} on {}, from {}", party(s.at("identity")), s.at("target").text(), s.at("source").text());
            Shown::new(&text)
        })
        .collect();
    let logins: Vec<Shown> = found.at("logins").list().map(|l| Shown::new(&party(l.at("identity")))).collect();
    let siblings = found
        .at("siblings")
        .list()
        .map(|s| Shown::new(&format!("{}, sharing {}", party(s.at("identity")), s.at("shares").texts())));
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    Cut {
        siblings: siblings.collect(),
        summary: format!(
            "{} and {}",
            count(number(sessions.len()), "live session"),
            count(number(logins.len()), "login")
        ),
        you: found.at("matches_you").flag(),
        sessions,
        logins,
    }
}

/// `POST /console/locks/new`: first what it would cut off, then the lock.
pub(crate) async fn make(Changing { signed, form }: Changing) -> Response<Body> {
    let matcher = matcher(&form);
    if form.get("step") != "lock" {
        let asked = json!({ "matcher": matcher, "siblings": true });
        return match signed.ask.post("/v1/locks/dry-run", &asked).await {
            Ok(found) => page(&signed, &form, Some(cut(&found)), None).await,
            Err(no) => page(&signed, &form, None, Some(no)).await,
        };
    }
    let kind = if form.get("kind") == "reauthenticate" { "reauthenticate" } else { "lock" };
    let mut lock = json!({ "matcher": matcher, "kind": kind, "reason": form.get("reason") });
    let seconds = form.get("expires_in_s").parse::<u64>().unwrap_or(0);
    if let (Some(lock), true) = (lock.as_object_mut(), seconds > 0) {
        lock.insert("expires_in_s".to_owned(), json!(seconds));
    }
    match signed.ask.post("/v1/locks", &lock).await {
        Ok(_) => see_other("/console/locks?did=locked", &[]),
        Err(no) => page(&signed, &form, None, Some(no)).await,
    }
}
