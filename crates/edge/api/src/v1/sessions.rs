//! Operations on the live sessions of this gateway.

use axum::http::StatusCode;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, RuleId, SessionId};
use countersign_runtime::SessionInfo;

use super::Desk;
use super::call::{Call, Done};
use super::problem::Problem;
use super::table::{PAGE, PAGE_MAX};
use super::views::{EndedView, SessionPage, SessionView};

pub(crate) fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let limit = call.limit(PAGE, PAGE_MAX)?;
    let after = call.parameter("after").map(session_id).transpose()?;
    let wanted = |s: &&SessionInfo| {
        after.is_none_or(|a| s.id > a)
            && call.parameter("identity").is_none_or(|i| s.identity.name == i || s.identity.subject == i)
            && call.parameter("target").is_none_or(|t| s.target.name.as_str() == t)
    };
    let mut all = desk.sessions.sessions();
    all.sort_by_key(|s| s.id);
    let mut found: Vec<SessionView> = all.iter().filter(wanted).take(limit + 1).map(SessionView::from).collect();
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|s| s.id.clone());
    Done::json(StatusCode::OK, &SessionPage { sessions: found, next }, 0)
}

pub(crate) fn show(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let id = session_id(&call.id)?;
    let found = desk.sessions.sessions().into_iter().find(|s| s.id == id);
    let found = found.ok_or_else(not_here)?;
    Done::json(StatusCode::OK, &SessionView::from(&found), 0)
}

pub(crate) fn end(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let id = session_id(&call.id)?;
    let reason = call.parameter("reason").unwrap_or_default().trim();
    if reason.is_empty() {
        return Err(Problem::bad_request("ending a session needs a `reason`"));
    }
    let denial = Denial::new(Culprit::Policy, DenialCode::Locked, ClientText::new("ended by a responder"))
        .hint(ClientText::new("Ask whoever answers for this gateway, and name session ").name(&id.to_string()).and("."))
        .rules(vec![RuleId::new("ended")])
        .detail(format_args!("ended by {} (session {}): {reason}", call.by(), call.session));
    if !desk.sessions.end(id, denial) {
        return Err(not_here());
    }
    Done::json(StatusCode::OK, &EndedView { ended: id.to_string() }, 1)
}

pub(super) fn session_id(text: &str) -> Result<SessionId, Problem> {
    SessionId::parse(text).ok_or_else(|| Problem::bad_request("a session's id has 26 characters"))
}

pub(super) fn not_here() -> Problem {
    Problem {
        hint: Some("It may live on another gateway: a lock on the session ends it wherever it is.".to_owned()),
        ..Problem::not_found("there is no such session on this gateway")
    }
}
