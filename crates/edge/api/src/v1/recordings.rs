//! Operations on what was recorded: sessions, what happened in one of them, the last day in numbers. They read; what was masked when it
//! was recorded is masked here, and results are counted, never shown.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use countersign_model::{GATEWAY_TARGET, SessionId, TargetName, Timestamp};
use countersign_recording::{RecordingError, SessionFilter};
use serde_json::json;

use super::Desk;
use super::call::{Call, Done};
use super::problem::Problem;
use super::time::moment;

const LIMIT: usize = 50;
const LIMIT_MAX: usize = 1_000;
/// Items of a session's life in one answer.
const ITEMS: usize = 200;
const ITEMS_MAX: usize = 1_000;
/// The sessions that the numbers of a day are made of; when there were more, the answer says that it has not counted all.
const COUNTED_MAX: usize = 10_000;
const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 24;

pub(crate) async fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    call.knows(&["identity", "target", "since", "until", "denied", "own", "before", "limit"])?;
    let at = |name: &str| {
        let bad = || Problem::bad_request(format!("`{name}` is a time such as 2026-01-05T12:00:00Z, or a date"));
        call.parameter(name).map(|text| moment(text).ok_or_else(bad)).transpose()
    };
    let target = match call.parameter("target") {
        None => None,
        Some(name) => {
            Some(TargetName::parse(name).ok_or_else(|| Problem::bad_request("`target` is no name of a target"))?)
        }
    };
    let own = call.flag("own")? || target.as_ref().is_some_and(|t| t.as_str() == GATEWAY_TARGET);
    let filter = SessionFilter {
        identity: call.parameter("identity").map(str::to_owned),
        target,
        without: if own { None } else { TargetName::parse(GATEWAY_TARGET) },
        since: at("since")?,
        until: at("until")?,
        denied_only: call.flag("denied")?,
        before: call.parameter("before").map(session_id).transpose()?,
        limit: call.limit(LIMIT, LIMIT_MAX)?,
    };
    let reader = desk.recordings.clone();
    let page = blocking(move || reader.sessions(&filter)).await?;
    let problems: Vec<&str> = page.problems.iter().map(|p| p.what.as_str()).collect();
    Done::json(StatusCode::OK, &json!({ "sessions": page.sessions, "next": page.next, "problems": problems }), 0)
}

pub(crate) async fn show(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    call.knows(&["after", "limit"])?;
    let id = session_id(&call.id)?;
    let after = match call.parameter("after") {
        None => 0,
        Some(text) => text.parse().map_err(|_| Problem::bad_request("`after` is a number"))?,
    };
    let limit = call.limit(ITEMS, ITEMS_MAX)?;
    let reader = desk.recordings.clone();
    let (session, page) = blocking(move || Ok((reader.session(id)?, reader.timeline(id, after, limit)?))).await?;
    let whole = json!({
        "session": session, "timeline": page.items, "next": page.next, "problems": page.problems,
    });
    Done::json(StatusCode::OK, &whole, 0)
}

/// One hour.
#[derive(Clone, Copy, Default)]
struct Hour {
    sessions: u64,
    statements: u64,
    denied: u64,
}

pub(crate) async fn activity(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    call.knows(&[])?;
    let hour = call.now.unix_us().div_euclid(HOUR_US);
    let first = hour - (HOURS - 1);
    let filter = SessionFilter {
        since: Some(Timestamp::from_unix_us(first * HOUR_US)),
        without: TargetName::parse(GATEWAY_TARGET),
        limit: COUNTED_MAX,
        ..SessionFilter::default()
    };
    let reader = desk.recordings.clone();
    let page = blocking(move || reader.sessions(&filter)).await?;
    let mut hours = vec![Hour::default(); usize::try_from(HOURS).unwrap_or(0)];
    let mut targets: BTreeMap<String, Hour> = BTreeMap::new();
    for s in &page.sessions {
        let at = s.started_at.unix_us().div_euclid(HOUR_US).max(first) - first;
        let place = usize::try_from(at).ok().and_then(|at| hours.get_mut(at));
        for sum in place.into_iter().chain([targets.entry(s.target.to_string()).or_default()]) {
            sum.sessions += 1;
            sum.statements += s.statements;
            sum.denied += s.denied;
        }
    }
    let numbers = |h: &Hour| json!({ "sessions": h.sessions, "statements": h.statements, "denied": h.denied });
    let hours = (first..).zip(&hours).map(|(at, h)| {
        let mut entry = numbers(h);
        if let Some(entry) = entry.as_object_mut() {
            entry.insert("at".to_owned(), json!(Timestamp::from_unix_us(at * HOUR_US).rfc3339()));
        }
        entry
    });
    let hours: Vec<_> = hours.collect();
    let targets: BTreeMap<_, _> = targets.iter().map(|(name, h)| (name, numbers(h))).collect();
    Done::json(StatusCode::OK, &json!({ "hours": hours, "targets": targets, "whole": page.next.is_none() }), 0)
}

fn session_id(text: &str) -> Result<SessionId, Problem> {
    SessionId::parse(text).ok_or_else(|| Problem::bad_request("a session's id has 26 characters"))
}

/// Reads on a thread that may wait for the disk.
async fn blocking<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, RecordingError> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(RecordingError::NoSession { .. })) => Err(Problem::not_found("there is no such recorded session")),
        Ok(Err(error)) => {
            tracing::warn!(%error, "recordings could not be read");
            Err(Problem::unavailable("the recordings cannot be read now"))
        }
        Err(error) => {
            tracing::error!(%error, "reading recordings failed");
            Err(Problem::with_status(500, "internal error: the recordings could not be read"))
        }
    }
}
