//! Operations on what is applied. What is sent is looked at here for its size and form alone; whether it can be in force is for its door.

use std::sync::Arc;

use axum::http::StatusCode;
use countersign_model::{Access, Decision, Policy, Request};

use super::call::{Call, Done, gateway_target, shape_of};
use super::operation::Operation;
use super::problem::Problem;
use super::table::{APPLIED_BYTES_MAX, APPLIED_FILES_MAX, PAGE, PAGE_MAX, REVISION_MAX, SAID_CHARS_MAX};
use super::views::{AppliedFile, ApplyBody, DiffBody, RevertBody, is_path};
use crate::configuration::{Apply, ConfigurationDoors, MayApply, Wanted};

pub(crate) async fn serve(doors: &dyn ConfigurationDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    match operation.name {
        "configuration.list" => {
            let before = call.parameter("before").map(number).transpose()?;
            Done::json(StatusCode::OK, &doors.list(before, call.limit(PAGE, PAGE_MAX)?).await?, 0)
        }
        "configuration.show" => Done::json(StatusCode::OK, &doors.show(number(&call.id)?).await?, 0),
        "configuration.compare" => {
            let from = call.parameter("from").map(number).transpose()?;
            let wanted = Wanted::Revision(number(&call.id)?);
            Done::json(StatusCode::OK, &doors.diff(wanted, from, may_apply(call)).await?, 0)
        }
        "configuration.diff" => {
            let body: DiffBody = call.json()?;
            let wanted = Wanted::Files(checked(body.files)?);
            Done::json(StatusCode::OK, &doors.diff(wanted, None, may_apply(call)).await?, 0)
        }
        "configuration.apply" => {
            let body: ApplyBody = call.json()?;
            let wanted = Wanted::Files(checked(body.files)?);
            apply(doors, call, wanted, body.base, body.message, body.allow_lock_out).await
        }
        "configuration.revert" => {
            let body: RevertBody = call.json()?;
            let wanted = Wanted::Revision(number(&call.id)?);
            apply(doors, call, wanted, body.base, body.message, body.allow_lock_out).await
        }
        _ => Err(Problem::not_found("there is no such operation")),
    }
}

async fn apply(
    doors: &dyn ConfigurationDoors,
    call: &Call,
    wanted: Wanted,
    base: u64,
    message: String,
    allow_lock_out: bool,
) -> Result<Done, Problem> {
    if base > REVISION_MAX {
        return Err(Problem::bad_request(format!("`base` is a number from 0 to {REVISION_MAX}")));
    }
    if message.chars().count() > SAID_CHARS_MAX || message.chars().any(|c| c.is_control() && c != '\n') {
        return Err(Problem::bad_request(format!(
            "`message` has at most {SAID_CHARS_MAX} characters, and no control characters but line feeds"
        )));
    }
    let by = call.by();
    let order = Apply { wanted, base, message, allow_lock_out, by, may: may_apply(call), now: call.now };
    let done = doors.apply(order).await?;
    Done::json(StatusCode::OK, &done, u64::from(done.changed))
}

/// The number of a revision.
fn number(text: &str) -> Result<u64, Problem> {
    let fits = text.bytes().all(|b| b.is_ascii_digit()) && !text.starts_with('0');
    let number = text.parse().ok().filter(|n| fits && *n <= REVISION_MAX);
    number.ok_or_else(|| Problem::bad_request(format!("a revision is a number from 1 to {REVISION_MAX}")))
}

/// Files that are few enough, small enough, and each where it says.
fn checked(files: Vec<AppliedFile>) -> Result<Vec<AppliedFile>, Problem> {
    if files.len() > APPLIED_FILES_MAX {
        let why = format!("there are {} files; at most {APPLIED_FILES_MAX} are applied", files.len());
        return Err(Problem::bad_request(why));
    }
    if files.iter().any(|f| !is_path(&f.path)) {
        return Err(Problem::bad_request(
            "a path has parts of letters, digits and `_.@+-` that begin with a letter, a digit or `_`, and ends in .toml or .cedar",
        ));
    }
    let bytes: usize = files.iter().map(|f| f.text.len()).sum();
    if bytes > APPLIED_BYTES_MAX {
        let why = format!("the files have {bytes} bytes together; at most {APPLIED_BYTES_MAX} are applied");
        return Err(Problem::with_status(413, why));
    }
    Ok(files)
}

/// Asks policies whether they would let whoever calls apply.
fn may_apply(call: &Call) -> MayApply {
    let (identity, session, now) = (call.caller.clone(), call.context(), call.now);
    let shape = shape_of("configuration.apply", Access::Admin);
    Arc::new(move |policy: &dyn Policy| {
        let Some(target) = gateway_target() else { return false };
        let question = Request { identity: &identity, target: &target, session: &session, shape: &shape, now };
        policy.evaluate(&question).decision == Decision::Allow
    })
}
