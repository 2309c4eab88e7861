//! What happens now, what waits, what is wrong, and the last day.

use std::sync::Arc;

use askama::Template;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use serde_json::Value;

use super::{May, Shell, because, first, inbox, is_id};
use crate::console::Shared;
use crate::facts::Facts;
use crate::guard::Signed;
use crate::respond::html;
use crate::shown::Shown;

/// Entries of each list here.
const GLANCE: usize = 5;
/// The chart's height, in its own units.
const CHART_HEIGHT: u64 = 88;
const BAR_STEP: usize = 20;

struct Live {
    id: String,
    who: Shown,
    kind: Shown,
    target: Shown,
    source: Shown,
}

/// One hour of the chart, in its own units.
struct Bar {
    x: usize,
    y: u64,
    height: u64,
    denied_y: u64,
    denied_height: u64,
    label: String,
    hour: String,
    sessions: u64,
    statements: u64,
    denied: u64,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    shell: Shell,
    waiting: Vec<inbox::Row>,
    live: Vec<Live>,
    live_count: usize,
    live_trouble: Option<Shown>,
    /// `None` for whoever may not see them.
    locks: Option<usize>,
    wrong: Vec<Shown>,
    /// Receivers of notices that nothing can be sent to.
    unheard: Vec<Shown>,
    bars: Vec<Bar>,
    /// The statements of the fullest hour: the chart's height.
    most: u64,
    sessions: u64,
    statements: u64,
    denied: u64,
    whole: bool,
    chart_trouble: Option<Shown>,
    /// To the first session, where there was none yet.
    steps: Vec<first::Step>,
    /// Nothing is theirs to see or to use.
    stranger: bool,
}

fn bars(hours: Facts<'_>) -> Vec<Bar> {
    let most = hours.list().map(|h| h.at("statements").number()).max().unwrap_or(0).max(1);
    let high = |n: u64| {
        let high = n.saturating_mul(CHART_HEIGHT) / most;
        if n > 0 { high.max(2) } else { 0 }
    };
    let bar = |(n, h): (usize, Facts<'_>)| {
        let (statements, denied) = (h.at("statements").number(), h.at("denied").number());
        let (height, denied_height) = (high(statements), high(denied));
        let hour = h.at("at").raw().get(11..16).unwrap_or_default().to_owned();
        Bar {
            x: n * BAR_STEP,
            y: CHART_HEIGHT.saturating_sub(height),
            height,
            denied_y: CHART_HEIGHT.saturating_sub(denied_height),
            denied_height,
            label: if n % 6 == 0 { hour.clone() } else { String::new() },
            hour,
            sessions: h.at("sessions").number(),
            statements,
            denied,
        }
    };
    hours.list().enumerate().map(bar).collect()
}

/// `GET /console`.
pub(crate) async fn show(State(console): State<Arc<Shared>>, signed: Signed) -> Response<Body> {
    let or_why = |answer: Result<Value, _>| match answer {
        Ok(value) => (value, None),
        Err(no) => (Value::Null, Some(because(&no))),
    };
    let reviews = signed.ask.get("/v1/reviews").await.unwrap_or_default();
    let may = May::of(&signed.ask).await;
    let (live, live_trouble) = or_why(may.get(&signed.ask, "sessions.list", "/v1/sessions?limit=1000").await);
    let locks = may.get(&signed.ask, "locks.list", "/v1/locks?limit=1000").await.ok();
    let (activity, chart_trouble) =
        or_why(may.get(&signed.ask, "recordings.activity", "/v1/recordings/activity").await);
    let ready = signed.ask.get("/readyz").await.unwrap_or_default();

    let notices = may.get(&signed.ask, "notices.list", "/v1/notices?limit=1").await.unwrap_or_default();
    let failing = Facts::of(&notices).at("receivers");
    let failing = failing.list().filter(|r| !r.at("failing_since").raw().is_empty());

    let checks = Facts::of(&ready).at("checks");
    let wrong = checks.members().filter(|(_, said)| said.raw() != "ok").map(|(name, _)| Shown::new(name)).collect();
    let all = Facts::of(&live).at("sessions");
    let glance = all.list().filter(|s| is_id(s.at("id").raw())).take(GLANCE).map(|s| Live {
        id: s.at("id").raw().to_owned(),
        who: s.at("identity").at("name").text(),
        kind: s.at("identity").at("kind").text(),
        target: s.at("target").text(),
        source: s.at("source").text(),
    });
    let rows = Facts::of(&reviews)
        .at("reviews")
        .list()
        .filter_map(|r| inbox::Row::of(r, &signed.entered.identity, signed.now));
    let hours = Facts::of(&activity).at("hours");
    let sum = |name: &str| hours.list().map(|h| h.at(name).number()).sum();
    let live_count = all.list().count();
    let sessions = sum("sessions");
    let quiet = chart_trouble.is_none() && sessions == 0 && live_count == 0;
    let before = match quiet {
        true => may.get(&signed.ask, "recordings.list", "/v1/recordings?limit=1").await.ok(),
        false => None,
    };
    let is_new = before.is_some_and(|page| Facts::of(&page).at("sessions").list().next().is_none());
    let steps = if is_new { first::steps(&console, &signed, &may).await } else { Vec::new() };
    let stranger = live_trouble.is_some() && chart_trouble.is_some() && !first::has_targets(&signed).await;
    let page = OverviewPage {
        shell: Shell::with(&signed, "overview", "Overview", &reviews),
        waiting: rows.filter(|r| r.mine).take(GLANCE).collect(),
        live: glance.collect(),
        live_count,
        live_trouble,
        locks: locks.as_ref().map(|l| Facts::of(l).at("locks").list().count()),
        wrong,
        unheard: failing.map(|r| r.at("name").text()).collect(),
        most: hours.list().map(|h| h.at("statements").number()).max().unwrap_or(0),
        bars: bars(hours),
        sessions,
        statements: sum("statements"),
        denied: sum("denied"),
        whole: Facts::of(&activity).at("whole").flag(),
        steps,
        stranger,
        chart_trouble,
    };
    html(StatusCode::OK, &page)
}
