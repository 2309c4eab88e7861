//! Access for a while: what somebody holds or asked for, asking for more, and ending it.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Shell, because, is_id};
use crate::ask::Refusal;
use crate::facts::Facts;
use crate::guard::{Changing, Fields, Signed};
use crate::respond::{html, see_other};
use crate::shown::Shown;
use crate::when::{When, span};

/// What may be asked for, in the order of its gravity.
const ACTIONS: [&str; 5] = ["connect", "read", "write", "execute", "admin"];
/// How long access may last, with its seconds; the first is as long as the rule lets it.
const SPANS: [(&str, u64); 5] =
    [("as long as the rule says", 0), ("30 minutes", 1_800), ("1 hour", 3_600), ("4 hours", 14_400), ("1 day", 86_400)];

struct Row {
    id: String,
    state: Shown,
    who: Shown,
    target: Shown,
    actions: Shown,
    reason: Shown,
    reviewers: Shown,
    lasts: String,
    uses: String,
    asked: Option<When>,
    ends: Option<When>,
    ended: Shown,
    /// It is neither over nor refused.
    open: bool,
    at_once: bool,
}

fn row(g: Facts<'_>, signed: &Signed) -> Option<Row> {
    let id = g.at("id").raw();
    let ended = if g.at("ended_at").is_there() {
        format!("ended by {}: {}", g.at("ended_by").text(), g.at("ended_why").text())
    } else {
        String::new()
    };
    let uses = if g.at("uses_max").is_there() {
        format!("{} of {} uses", g.at("uses").number(), g.at("uses_max").number())
    } else {
        String::new()
    };
    let state = g.at("state").raw();
    is_id(id).then(|| Row {
        id: id.to_owned(),
        state: g.at("state").text(),
        who: g.at("asker").at("name").text(),
        target: g.at("target").text(),
        actions: g.at("actions").texts(),
        reason: g.at("reason").text(),
        reviewers: g.at("reviewers").text(),
        lasts: span(g.at("lasts_s").number().saturating_mul(1_000_000)),
        uses,
        asked: g.at("created_at").when_s(signed.now),
        ends: g.at("ends_at").when_s(signed.now),
        ended: Shown::new(&ended),
        open: matches!(state, "requested" | "given" | "active" | "used up"),
        at_once: g.at("at_once").flag(),
    })
}

#[derive(Template)]
#[template(path = "grants.html")]
struct GrantsPage {
    shell: Shell,
    rows: Vec<Row>,
    all: bool,
    everybody: bool,
    older: Option<String>,
    trouble: Option<Shown>,
}

/// `GET /console/grants`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    listed(&signed, None).await
}

async fn listed(signed: &Signed, failed: Option<Refusal>) -> Response<Body> {
    let (all, everybody) = (signed.query.get("all") == "true", signed.query.get("everybody") == "true");
    let before = signed.query.get("before");
    let before = if is_id(before) { format!("&before={before}") } else { String::new() };
    let here = format!("all={all}&everybody={everybody}");
    let (page, no) = match signed.ask.get(&format!("/v1/grants?{here}&limit=50{before}")).await {
        Ok(page) => (page, failed),
        Err(no) => (Value::Null, Some(no)),
    };
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let older = Facts::of(&page).at("next").raw();
    let page = GrantsPage {
        shell: Shell::of(signed, "grants", "Grants").await,
        rows: Facts::of(&page).at("grants").list().filter_map(|g| row(g, signed)).collect(),
        all,
        everybody,
        older: is_id(older).then(|| format!("/console/grants?{here}&before={older}")),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `POST /console/grants/{id}/revoke`.
pub(crate) async fn revoke(Path(id): Path<String>, Changing { signed, form }: Changing) -> Response<Body> {
    if !is_id(&id) {
        return see_other("/console/grants", &[]);
    }
    let body = json!({ "reason": form.get("reason"), "everybody": form.get("everybody") == "true" });
    match signed.ask.post(&format!("/v1/grants/{id}/revoke"), &body).await {
        Ok(_) => see_other("/console/grants?did=revoked", &[]),
        Err(no) => listed(&signed, Some(no)).await,
    }
}

struct Choice {
    value: Shown,
    label: &'static str,
    seconds: u64,
    chosen: bool,
}

#[derive(Template)]
#[template(path = "new_grant.html")]
struct NewGrantPage {
    shell: Shell,
    targets: Vec<Choice>,
    actions: Vec<(&'static str, bool)>,
    spans: Vec<Choice>,
    uses: Shown,
    reason: Shown,
    at_once: bool,
    trouble: Option<Shown>,
}

async fn page(signed: &Signed, form: &Fields, no: Option<Refusal>) -> Response<Body> {
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let found = signed.ask.get("/v1/targets?limit=1000").await.unwrap_or_default();
    let wanted = form.get("target");
    let offers = |t: &Facts<'_>| t.at("accesses").list().any(|a| a.at("grants").list().next().is_some());
    let choice = |t: Facts<'_>| Choice {
        value: t.at("name").text(),
        label: "",
        seconds: 0,
        chosen: t.at("name").raw() == wanted,
    };
    let lasts: u64 = form.get("for_s").parse().unwrap_or(0);
    let page = NewGrantPage {
        shell: Shell::of(signed, "grants", "Ask for access").await,
        targets: Facts::of(&found).at("targets").list().filter(offers).map(choice).collect(),
        actions: ACTIONS.map(|a| (a, form.get(a) == "true")).into(),
        spans: SPANS
            .map(|(label, seconds)| Choice { value: Shown::default(), label, seconds, chosen: seconds == lasts })
            .into(),
        uses: Shown::new(form.get("uses")),
        reason: Shown::new(form.get("reason")),
        at_once: form.get("at_once") == "true",
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `GET /console/grants/new`.
pub(crate) async fn new(signed: Signed) -> Response<Body> {
    page(&signed, &signed.query, None).await
}

/// `POST /console/grants/new`.
pub(crate) async fn request(Changing { signed, form }: Changing) -> Response<Body> {
    let actions: Vec<&str> = ACTIONS.into_iter().filter(|a| form.get(a) == "true").collect();
    let mut body = json!({
        "target": form.get("target"), "actions": actions, "reason": form.get("reason"),
        "at_once": form.get("at_once") == "true",
    });
    let number = |name: &str| form.get(name).parse::<u64>().ok().filter(|n| *n > 0);
    if let Some(members) = body.as_object_mut() {
        for name in ["for_s", "uses"] {
            members.extend(number(name).map(|n| (name.to_owned(), json!(n))));
        }
    }
    match signed.ask.post("/v1/grants", &body).await {
        Ok(_) => see_other("/console/grants?did=asked", &[]),
        Err(no) => page(&signed, &form, Some(no)).await,
    }
}
