//! Operations on grants: the way to their doors. What is asked here fits its form; what it means is decided behind them.

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::reviews::{check_said, done, id, named};
use super::table::{ANSWERED_PAGE_MAX, SECONDS_MAX};
use super::views::{EndGrantBody, EndGrantsBody, EndedGrantsView, GrantBody};
use crate::grants::{GrantCall, GrantDoors, GrantQuery};

pub(crate) async fn serve(doors: &dyn GrantDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    let asked = match operation.name {
        "grants.list" => GrantCall::List(GrantQuery {
            all: call.flag("all")?,
            everybody: call.flag("everybody")?,
            before: call.parameter("before").map(id).transpose()?,
            limit: call.limit(ANSWERED_PAGE_MAX, ANSWERED_PAGE_MAX)?,
            answered_by: call.parameter("answered_by").map(str::to_owned),
            since: call.seconds("since")?,
            until: call.seconds("until")?,
        }),
        "grants.request" => {
            let body: GrantBody = call.json()?;
            check_said("reason", &body.reason)?;
            check_moment("starts_at", body.starts_at)?;
            GrantCall::Request(body)
        }
        "grants.show" => GrantCall::Show(named(call)?),
        "grants.revoke" => {
            let body: EndGrantBody = call.json()?;
            check_said("reason", &body.reason)?;
            GrantCall::Revoke(named(call)?, body)
        }
        "grants.revoke-approved" => {
            let body: EndGrantsBody = call.json()?;
            check_said("reason", &body.reason)?;
            check_moment("since", body.since)?;
            check_moment("until", body.until)?;
            GrantCall::RevokeApproved(body)
        }
        _ => return Err(Problem::not_found("there is no such operation")),
    };
    let ends_several = matches!(asked, GrantCall::RevokeApproved(_));
    let answer = doors.serve(call.door_request(operation), asked).await;
    let affected = if ends_several {
        serde_json::from_str::<EndedGrantsView>(&answer.body).map_or(0, |ended| ended.grants.len() as u64)
    } else {
        u64::from(operation.changes)
    };
    done(answer, affected)
}

fn check_moment(name: &str, seconds: Option<i64>) -> Result<(), Problem> {
    if seconds.is_none_or(|s| (0..=SECONDS_MAX).contains(&s)) {
        return Ok(());
    }
    Err(Problem::bad_request(format!("`{name}` is a number of seconds from 0 to {SECONDS_MAX}")))
}

#[cfg(test)]
mod tests {
    use super::{SECONDS_MAX, check_moment};

    #[test]
    fn a_moment_is_one_that_has_a_date() {
        for (seconds, fits) in [
            (None, true),
            (Some(0), true),
            (Some(SECONDS_MAX), true),
            (Some(SECONDS_MAX + 1), false),
            (Some(-1), false),
        ] {
            assert_eq!(check_moment("since", seconds).is_ok(), fits, "{seconds:?}");
        }
    }
}
