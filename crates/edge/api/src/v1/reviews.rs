//! Operations on reviews: the way to their doors.

use axum::http::StatusCode;

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::table::{ANSWERED_PAGE_MAX, SAID_CHARS_MAX};
use super::views::{ReviewBody, ReviewChallengeBody, ReviewCommentBody};
use crate::issuer::Answer;
use crate::reviews::{ReviewDoors, ReviewQuery, ReviewVerb};

/// The longest id of a review, and so of a grant, in bytes.
const ID_BYTES_MAX: usize = 64;

pub(crate) async fn list(doors: &dyn ReviewDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    let query = ReviewQuery {
        all: call.flag("all")?,
        target: call.parameter("target").map(str::to_owned),
        before: call.parameter("before").map(id).transpose()?,
        limit: call.limit(ANSWERED_PAGE_MAX, ANSWERED_PAGE_MAX)?,
        answered_by: call.parameter("answered_by").map(str::to_owned),
        since: call.seconds("since")?,
        until: call.seconds("until")?,
    };
    done(doors.list(call.door_request(operation), query).await, 0)
}

pub(crate) async fn show(doors: &dyn ReviewDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    done(doors.show(call.door_request(operation), named(call)?).await, 0)
}

pub(crate) async fn challenge(doors: &dyn ReviewDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    let body: ReviewChallengeBody = if call.body.is_empty() { Default::default() } else { call.json()? };
    done(doors.challenge(call.door_request(operation), named(call)?, body).await, 0)
}

pub(crate) async fn act(
    doors: &dyn ReviewDoors,
    operation: &Operation,
    call: &Call,
    verb: ReviewVerb,
) -> Result<Done, Problem> {
    if verb == ReviewVerb::Comment {
        check_said("comment", &call.json::<ReviewCommentBody>()?.comment)?;
    } else if !call.body.is_empty()
        && let Some(comment) = call.json::<ReviewBody>()?.comment.filter(|c| !c.trim().is_empty() || has_control(c))
    {
        check_said("comment", &comment)?;
    }
    done(doors.act(call.door_request(operation), named(call)?, verb).await, 1)
}

/// Words of somebody, as the document says that they are.
pub(super) fn check_said(name: &str, text: &str) -> Result<(), Problem> {
    if !text.trim().is_empty() && text.chars().count() <= SAID_CHARS_MAX && !has_control(text) {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "`{name}` has 1 to {SAID_CHARS_MAX} characters, not all of them blank, and no control characters"
    )))
}

fn has_control(text: &str) -> bool {
    text.chars().any(|c| c.is_control() && c != '\n')
}

pub(super) fn id(text: &str) -> Result<String, Problem> {
    let fine = !text.is_empty() && text.len() <= ID_BYTES_MAX && text.bytes().all(|b| b.is_ascii_alphanumeric());
    fine.then(|| text.to_owned()).ok_or_else(|| {
        Problem::bad_request(format!("the id of a review or grant is 1 to {ID_BYTES_MAX} letters and digits"))
    })
}

/// What the path names; what is no id names nothing.
pub(super) fn named(call: &Call) -> Result<String, Problem> {
    id(&call.id).map_err(|_| Problem::not_found("there is nothing with this id that you may see"))
}

/// What a door answered, in the words of this API.
pub(super) fn done(answer: Answer, affected: u64) -> Result<Done, Problem> {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_success() {
        return Ok(Done { status, body: answer.body, affected });
    }
    Err(serde_json::from_str(&answer.body)
        .unwrap_or_else(|_| Problem::with_status(status.as_u16(), "it gave no reason")))
}

#[cfg(test)]
mod tests {
    use super::{SAID_CHARS_MAX, check_said};

    #[test]
    fn what_somebody_says_is_there_and_short_and_text() {
        let longest = "é".repeat(SAID_CHARS_MAX);
        let longer = format!("{longest}x");
        for (text, fits) in [
            ("ticket 4711", true),
            ("two\nlines", true),
            (longest.as_str(), true),
            (longer.as_str(), false),
            ("", false),
            (" \n\u{a0}", false),
            ("a\tb", false),
            ("\u{1b}[2J", false),
            ("a\u{85}", false),
        ] {
            assert_eq!(check_said("reason", text).is_ok(), fits, "{text:?}");
        }
    }
}
