//! Locks: those in force, and the way to lift one.

use askama::Template;
use axum::body::Body;
use axum::extract::Path;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::{Shell, because, is_id};
use crate::ask::Refusal;
use crate::facts::{Facts, encoded};
use crate::guard::{Changing, Signed};
use crate::respond::{html, see_other};
use crate::shown::Shown;

/// A lock in a list.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) live: bool,
    pub(crate) kind: Shown,
    pub(crate) matches: Vec<(Shown, Shown)>,
    pub(crate) reason: Shown,
    pub(crate) by: Shown,
    pub(crate) at: Shown,
    pub(crate) until: Shown,
    pub(crate) ended: Shown,
}

/// `2026-01-05 12:00:00 UTC` of a time that the API wrote.
pub(crate) fn moment(text: Facts<'_>) -> Shown {
    let text = text.raw();
    let short = text.split('.').next().unwrap_or_default().trim_end_matches('Z').replace('T', " ");
    if short.is_empty() { Shown::default() } else { Shown::new(&format!("{short} UTC")) }
}

/// What a matcher names, each with its value.
pub(crate) fn matches(matcher: Facts<'_>) -> Vec<(Shown, Shown)> {
    let mut all = Vec::new();
    for (name, value) in matcher.members() {
        if name == "claims" {
            all.extend(value.members().map(|(claim, v)| (Shown::new(&format!("claim {claim}")), v.text())));
        } else {
            all.push((Shown::new(name), value.text()));
        }
    }
    all
}

impl Row {
    pub(crate) fn of(l: Facts<'_>) -> Option<Self> {
        let id = l.at("id").raw();
        let ended = l.at("ended");
        let why = if ended.is_there() {
            format!("lifted {} by {}: {}", moment(ended.at("at")), ended.at("by").text(), ended.at("why").text())
        } else {
            String::new()
        };
        is_id(id).then(|| Self {
            id: id.to_owned(),
            live: l.at("live").flag(),
            kind: l.at("kind").text(),
            matches: matches(l.at("matcher")),
            reason: l.at("reason").text(),
            by: l.at("created_by").text(),
            at: moment(l.at("created_at")),
            until: moment(l.at("expires_at")),
            ended: Shown::new(&why),
        })
    }
}

#[derive(Template)]
#[template(path = "locks.html")]
struct LocksPage {
    shell: Shell,
    rows: Vec<Row>,
    all: bool,
    older: Option<String>,
    trouble: Option<Shown>,
}

/// `GET /console/locks`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    listed(&signed, None).await
}

async fn listed(signed: &Signed, failed: Option<Refusal>) -> Response<Body> {
    let all = signed.query.get("all") == "true";
    let before = signed.query.get("before");
    let before = if is_id(before) { format!("&before={before}") } else { String::new() };
    let (page, no) = match signed.ask.get(&format!("/v1/locks?all={all}&limit=50{before}")).await {
        Ok(page) => (page, failed),
        Err(no) => (Value::Null, Some(no)),
    };
    let status = no.as_ref().and_then(|no| StatusCode::from_u16(no.status).ok()).unwrap_or(StatusCode::OK);
    let older = Facts::of(&page).at("next").raw();
    let page = LocksPage {
        shell: Shell::of(signed, "locks", "Locks").await,
        rows: Facts::of(&page).at("locks").list().filter_map(Row::of).collect(),
        all,
        older: is_id(older).then(|| format!("/console/locks?all={all}&before={older}")),
        trouble: no.as_ref().map(because),
    };
    html(status, &page)
}

/// `POST /console/locks/{id}/lift`.
pub(crate) async fn lift(Path(id): Path<String>, Changing { signed, form }: Changing) -> Response<Body> {
    if !is_id(&id) {
        return see_other("/console/locks", &[]);
    }
    let path = format!("/v1/locks/{id}?reason={}", encoded(form.get("reason")));
    match signed.ask.delete(&path).await {
        Ok(_) => see_other("/console/locks?did=lifted", &[]),
        Err(no) => listed(&signed, Some(no)).await,
    }
}
