//! Who was here: derived from the latest sessions.

use std::collections::BTreeMap;

use askama::Template;
use axum::body::Body;
use axum::http::{Response, StatusCode};
use countersign_model::Timestamp;
use serde_json::Value;

use super::{Shell, because};
use crate::facts::{Facts, encoded};
use crate::guard::Signed;
use crate::respond::html;
use crate::shown::Shown;
use crate::when::When;

/// The sessions that are looked through, latest first.
const SESSIONS: usize = 1_000;
/// The most identities on the page.
const IDENTITIES_MAX: usize = 100;

#[derive(Default)]
struct Row {
    name: Shown,
    kind: Shown,
    issuer: Shown,
    subject: Shown,
    last: Option<When>,
    live: u64,
    sessions: u64,
    statements: u64,
    denied: u64,
    targets: Vec<Shown>,
    sessions_href: String,
    lock_href: String,
}

#[derive(Template)]
#[template(path = "identities.html")]
struct IdentitiesPage {
    shell: Shell,
    rows: Vec<Row>,
    more: bool,
    looked_at: usize,
    trouble: Option<Shown>,
}

fn rows(sessions: Facts<'_>, now: Timestamp) -> Vec<Row> {
    let mut order: Vec<(String, String)> = Vec::new();
    let mut all: BTreeMap<(String, String), Row> = BTreeMap::new();
    for s in sessions.list() {
        let (issuer, subject, name) = (s.at("issuer").raw(), s.at("subject").raw(), s.at("identity").raw());
        let key = (issuer.to_owned(), subject.to_owned());
        let row = all.entry(key.clone()).or_insert_with(|| {
            order.push(key);
            Row {
                name: Shown::new(name),
                kind: s.at("kind").text(),
                issuer: Shown::new(issuer),
                subject: Shown::new(subject),
                last: s.at("last_at").when_us(now),
                sessions_href: format!("/console/sessions?identity={}", encoded(subject)),
                lock_href: format!("/console/locks/new?subject={}&issuer={}", encoded(subject), encoded(issuer)),
                ..Row::default()
            }
        });
        row.sessions += 1;
        row.live += u64::from(s.at("state").raw() == "live");
        row.statements += s.at("statements").number();
        row.denied += s.at("denied").number();
        let target = s.at("target").text();
        if !row.targets.contains(&target) {
            row.targets.push(target);
        }
    }
    order.iter().filter_map(|key| all.remove(key)).collect()
}

/// `GET /console/identities`.
pub(crate) async fn list(signed: Signed) -> Response<Body> {
    let (page, trouble) = match signed.ask.get(&format!("/v1/recordings?limit={SESSIONS}")).await {
        Ok(page) => (page, None),
        Err(no) => (Value::Null, Some(because(&no))),
    };
    let sessions = Facts::of(&page).at("sessions");
    let mut rows = rows(sessions, signed.now);
    let more = rows.len() > IDENTITIES_MAX || Facts::of(&page).at("next").is_there();
    rows.truncate(IDENTITIES_MAX);
    let looked_at = sessions.list().count();
    let shell = Shell::of(&signed, "identities", "Identities").await;
    html(StatusCode::OK, &IdentitiesPage { shell, rows, more, looked_at, trouble })
}
