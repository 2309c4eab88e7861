//! Operations on targets and tags: they read.
//!
//! Nobody must learn here of a target that they could not connect to nor ask for.

use axum::http::StatusCode;
use countersign_model::TargetName;

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::table::{PAGE, PAGE_MAX};
use crate::targets::{TargetDoors, TargetQuery};

pub(crate) fn serve(doors: &dyn TargetDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    match operation.name {
        "targets.list" => {
            let no_name = || Problem::bad_request("`after` is no name of a target");
            let name = |text: &str| TargetName::parse(text).ok_or_else(no_name);
            let query = TargetQuery {
                caller: call.caller.clone(),
                session: call.context(),
                everybody: call.flag("everybody")?,
                after: call.parameter("after").map(name).transpose()?,
                limit: call.limit(PAGE, PAGE_MAX)?,
                now: call.now,
            };
            Done::json(StatusCode::OK, &doors.list(&query), 0)
        }
        "tags.list" => Done::json(StatusCode::OK, &doors.tags(), 0),
        _ => Err(Problem::not_found("there is no such operation")),
    }
}
