//! Operations of the SQL console: the way to its door. What is asked here fits its form; what a statement may do is for the gate of its own
//! session to say.

use axum::http::StatusCode;
use countersign_model::TargetName;

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::reviews::named;
use super::table::{ITEMS_SEEN_MAX, SQL_BYTES_MAX, SQL_DATABASE_BYTES_MAX};
use super::views::{OpenSqlBody, RunSqlBody};
use crate::sql::{SqlCaller, SqlDoors};

pub(crate) async fn serve(doors: &dyn SqlDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    let caller =
        SqlCaller { identity: call.caller.clone(), source: call.source, encrypted: call.encrypted, now: call.now };
    match operation.name {
        "sql.list" => Done::json(StatusCode::OK, &doors.list(caller).await?, 0),
        "sql.open" => {
            let body: OpenSqlBody = call.json()?;
            TargetName::parse(&body.target).ok_or_else(|| Problem::bad_request("`target` is no name of a target"))?;
            let fits = |d: &String| d.len() <= SQL_DATABASE_BYTES_MAX && !d.chars().any(char::is_control);
            if !body.database.as_ref().is_none_or(fits) {
                return Err(Problem::bad_request("`database` is no name of a database"));
            }
            Done::json(StatusCode::CREATED, &doors.open(caller, body).await?, 1)
        }
        "sql.show" => {
            let after =
                match call.parameter("after") {
                    None => 0,
                    Some(text) => text.parse::<u64>().ok().filter(|n| *n <= ITEMS_SEEN_MAX).ok_or_else(|| {
                        Problem::bad_request(format!("`after` is a number from 0 to {ITEMS_SEEN_MAX}"))
                    })?,
                };
            Done::json(StatusCode::OK, &doors.show(caller, named(call)?, after).await?, 0)
        }
        "sql.run" => {
            let body: RunSqlBody = call.json()?;
            if body.statement.trim().is_empty() || body.statement.len() > SQL_BYTES_MAX || body.statement.contains('\0')
            {
                let why = format!("`statement` is a text of at most {SQL_BYTES_MAX} bytes, not blank, without zeros");
                return Err(Problem::bad_request(why));
            }
            Done::json(StatusCode::OK, &doors.run(caller, named(call)?, body).await?, 1)
        }
        "sql.cancel" => Done::json(StatusCode::OK, &doors.cancel(caller, named(call)?).await?, 1),
        "sql.close" => Done::json(StatusCode::OK, &doors.close(caller, named(call)?).await?, 1),
        "sql.export" => {
            let export = doors.export(caller, named(call)?).await?;
            Done::json(StatusCode::OK, &export, export.rows)
        }
        _ => Err(Problem::not_found("there is no such operation")),
    }
}
