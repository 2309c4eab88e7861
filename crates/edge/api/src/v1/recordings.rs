//! Operations on what was recorded: sessions, what happened in one of them, the last day in numbers. They read; what was masked when it
//! was recorded is masked here, and results are counted, never shown.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use countersign_model::{GATEWAY_TARGET, SessionId, TargetName, Timestamp};
use countersign_recording::{RecordingError, SessionFilter};

use super::Desk;
use super::call::{Call, Done};
use super::problem::Problem;
use super::table::{ITEMS_SEEN_MAX, PAGE_MAX};
use super::time::moment;
use super::views::{ActivityView, CountsView, HourView, RecordingPage, RecordingView};

/// Sessions in one answer, when nobody says.
pub(super) const SESSIONS: usize = 50;
/// Items of a session's life in one answer, when nobody says.
pub(super) const ITEMS: usize = 200;
/// The sessions that the numbers of a day are made of; when there were more, the answer says that it has not counted all.
const COUNTED_MAX: usize = 10_000;
const HOUR_US: i64 = 3_600_000_000;
const HOURS: i64 = 24;

pub(crate) async fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
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
        limit: call.limit(SESSIONS, PAGE_MAX)?,
    };
    let reader = desk.recordings.clone();
    let page = blocking(move || reader.sessions(&filter)).await?;
    let whole = RecordingPage {
        sessions: page.sessions,
        next: page.next.map(|id| id.to_string()),
        problems: page.problems.into_iter().map(|p| p.what).collect(),
    };
    Done::json(StatusCode::OK, &whole, 0)
}

pub(crate) async fn show(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let id = session_id(&call.id)?;
    let after = match call.parameter("after") {
        None => 0,
        Some(text) => text
            .parse::<u64>()
            .ok()
            .filter(|n| *n <= ITEMS_SEEN_MAX)
            .ok_or_else(|| Problem::bad_request(format!("`after` is a number from 0 to {ITEMS_SEEN_MAX}")))?,
    };
    let limit = call.limit(ITEMS, PAGE_MAX)?;
    let reader = desk.recordings.clone();
    let (session, page) = blocking(move || Ok((reader.session(id)?, reader.timeline(id, after, limit)?))).await?;
    let whole = RecordingView { session, timeline: page.items, next: page.next, problems: page.problems };
    Done::json(StatusCode::OK, &whole, 0)
}

pub(crate) async fn activity(desk: &Desk, call: &Call) -> Result<Done, Problem> {
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
    let mut hours = vec![CountsView::default(); usize::try_from(HOURS).unwrap_or(0)];
    let mut targets: BTreeMap<String, CountsView> = BTreeMap::new();
    for s in &page.sessions {
        let at = s.started_at.unix_us().div_euclid(HOUR_US).max(first) - first;
        let place = usize::try_from(at).ok().and_then(|at| hours.get_mut(at));
        for sum in place.into_iter().chain([targets.entry(s.target.to_string()).or_default()]) {
            sum.sessions += 1;
            sum.statements += s.statements;
            sum.denied += s.denied;
        }
    }
    let began = |hour: i64| Timestamp::from_unix_us(hour * HOUR_US).rfc3339();
    let hours = (first..).zip(hours).map(|(at, counts)| HourView { at: began(at), counts }).collect();
    Done::json(StatusCode::OK, &ActivityView { hours, targets, whole: page.next.is_none() }, 0)
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Problem> {
    SessionId::parse(text).ok_or_else(|| Problem::bad_request("a session's id has 26 characters"))
}

/// Reads on a thread that may wait for the disk.
pub(super) async fn blocking<T: Send + 'static>(
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
