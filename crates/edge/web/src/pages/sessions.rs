//! Recorded sessions: what is searched for is in the address, so that it can be sent to somebody.

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use countersign_model::Timestamp;
use serde_json::Value;

use super::{Shell, because, is_id};
use crate::facts::{Facts, encoded};
use crate::guard::{Fields, Signed};
use crate::respond::html;
use crate::shown::Shown;
use crate::when::{When, lasted};

/// What may be searched for.
const FILTERS: [&str; 6] = ["identity", "target", "since", "until", "denied", "own"];

/// A session in a list.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) who: Shown,
    pub(crate) kind: Shown,
    pub(crate) target: Shown,
    pub(crate) source: Shown,
    pub(crate) began: Option<When>,
    pub(crate) lasted: String,
    /// `live`, `closed` or `unfinished`.
    pub(crate) state: Shown,
    pub(crate) statements: u64,
    pub(crate) denied: u64,
    pub(crate) rows: u64,
}

impl Row {
    pub(crate) fn of(s: Facts<'_>, now: Timestamp) -> Option<Self> {
        let id = s.at("id").raw();
        let (began, last) = (s.at("started_at").us()?, s.at("last_at").us()?);
        let (target, part) = (s.at("target").text(), s.at("part").text());
        is_id(id).then(|| Self {
            id: id.to_owned(),
            who: s.at("identity").text(),
            kind: s.at("kind").text(),
            target: if part.is_empty() { target } else { Shown::new(&format!("{target}/{part}")) },
            source: s.at("source").text(),
            began: Some(When::new(began, now)),
            lasted: lasted(last.since_us(began)),
            state: s.at("state").text(),
            statements: s.at("statements").number(),
            denied: s.at("denied").number(),
            rows: s.at("rows").number(),
        })
    }

    pub(crate) fn is_live(&self) -> bool {
        self.state.as_str() == "live"
    }
}

#[derive(Template)]
#[template(path = "sessions.html")]
struct SessionsPage {
    shell: Shell,
    rows: Vec<Row>,
    identity: Shown,
    target: Shown,
    since: Shown,
    until: Shown,
    denied: bool,
    own: bool,
    filtered: bool,
    older: Option<String>,
    problems: Vec<Shown>,
    trouble: Option<Shown>,
}

/// The query of what is searched for.
fn search(query: &Fields) -> String {
    let given = FILTERS.iter().filter(|name| !query.get(name).is_empty());
    let all: Vec<String> = given.map(|name| format!("{name}={}", encoded(query.get(name)))).collect();
    all.join("&")
}

/// `GET /console/sessions`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    let query = &signed.query;
    let searched = search(query);
    let before = query.get("before");
    let before = if is_id(before) { format!("&before={before}") } else { String::new() };
    let (page, trouble) = match signed.ask.get(&format!("/v1/recordings?{searched}{before}")).await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(because(&no))),
    };
    let older = Facts::of(&page).at("next").raw();
    let page = SessionsPage {
        shell: Shell::of(&signed, "sessions", "Sessions").await,
        rows: Facts::of(&page).at("sessions").list().filter_map(|s| Row::of(s, signed.now)).collect(),
        identity: Shown::new(query.get("identity")),
        target: Shown::new(query.get("target")),
        since: Shown::new(query.get("since")),
        until: Shown::new(query.get("until")),
        denied: query.get("denied") == "true",
        own: query.get("own") == "true",
        filtered: !searched.is_empty(),
        older: is_id(older).then(|| format!("/console/sessions?{searched}&before={older}")),
        problems: Facts::of(&page).at("problems").list().map(Facts::text).collect(),
        trouble,
    };
    html(StatusCode::OK, &page)
}
