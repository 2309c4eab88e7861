//! Operations on notices: what became of them, and trying whether they arrive.

use axum::http::StatusCode;
use countersign_store::NoticeFilter;

use super::Desk;
use super::call::{Call, Done};
use super::problem::Problem;
use super::reviews::{id, named};
use super::table::{PAGE, PAGE_MAX};
use super::views::{NoticePage, NoticeTestBody, NoticeTestView, NoticeView};

/// How far a notice may be.
pub(crate) const STATUSES: [&str; 4] = ["waiting", "sent", "dead", "merged"];

pub(crate) async fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let limit = call.limit(PAGE, PAGE_MAX)?;
    let status = call.parameter("status");
    if status.is_some_and(|s| !STATUSES.contains(&s)) {
        return Err(Problem::bad_request(format!("`status` is one of {}", STATUSES.join(", "))));
    }
    let filter = NoticeFilter {
        receiver: call.parameter("receiver").map(str::to_owned),
        status: status.map(str::to_owned),
        before: call.parameter("before").map(id).transpose()?,
        limit: u32::try_from(limit).unwrap_or(u32::MAX).saturating_add(1),
    };
    let mut found = desk.store.list_notices(&filter).await.map_err(unavailable)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|n| n.id.clone());
    let receivers = desk.notices.states().await.map_err(unavailable)?;
    let page = NoticePage {
        receivers: receivers.into_iter().map(Into::into).collect(),
        notices: found.into_iter().map(NoticeView::from).collect(),
        next,
    };
    Done::json(StatusCode::OK, &page, 0)
}

pub(crate) async fn test(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let body: NoticeTestBody = call.json()?;
    let tested = desk.notices.test(&body.receiver, &call.caller.name).await.map_err(unavailable)?;
    let tested = tested.ok_or_else(|| Problem::not_found("there is no receiver of this name"))?;
    Done::json(StatusCode::OK, &NoticeTestView::from(tested), 1)
}

pub(crate) async fn retry(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let id = named(call)?;
    let retried = desk.notices.retry(&id).await.map_err(unavailable)?;
    let notice = desk.store.notice(&id).await.map_err(unavailable)?;
    let notice = notice.ok_or_else(|| Problem::not_found("there is no notice with this id"))?;
    if !retried {
        return Err(Problem::with_status(409, "it is sent already, or another tells of it"));
    }
    Done::json(StatusCode::OK, &NoticeView::from(notice), 1)
}

fn unavailable(error: countersign_store::StoreError) -> Problem {
    tracing::warn!(%error, "notices cannot be looked up");
    Problem::unavailable("the store cannot be asked about notices now: try again")
}
