//! Operations on second factors: the way to their doors. What is asked here fits its form; what it means is decided behind them.

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::reviews::{check_said, done, named};
use super::table::FACTOR_NAME_CHARS_MAX;
use super::views::{AddCodesBody, AddKeyBody, ResetFactorsBody};
use crate::factors::{FactorCall, FactorDoors};

pub(crate) async fn serve(doors: &dyn FactorDoors, operation: &Operation, call: &Call) -> Result<Done, Problem> {
    let asked = match operation.name {
        "factors.list" => FactorCall::List,
        "factors.challenge" => FactorCall::Challenge(call.json()?),
        "factors.add-key" => {
            let body: AddKeyBody = call.json()?;
            check_name(&body.name)?;
            FactorCall::AddKey(body)
        }
        "factors.add-codes" => {
            let body: AddCodesBody = call.json()?;
            check_name(&body.name)?;
            FactorCall::AddCodes(body)
        }
        "factors.confirm-codes" => FactorCall::Confirm(named(call)?, call.json()?),
        "factors.remove" => FactorCall::Remove(named(call)?, call.json()?),
        "factors.reset" => {
            let body: ResetFactorsBody = call.json()?;
            check_said("reason", &body.reason)?;
            FactorCall::Reset(body)
        }
        _ => return Err(Problem::not_found("there is no such operation")),
    };
    let answer = doors.serve(call.door_request(operation), asked).await;
    done(answer, u64::from(operation.changes))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let fits =
        !name.trim().is_empty() && name.chars().count() <= FACTOR_NAME_CHARS_MAX && !name.chars().any(char::is_control);
    if fits {
        return Ok(());
    }
    Err(Problem::bad_request(format!(
        "`name` has 1 to {FACTOR_NAME_CHARS_MAX} characters, not all of them blank, and no control characters"
    )))
}

#[cfg(test)]
mod tests {
    use super::{FACTOR_NAME_CHARS_MAX, check_name};

    #[test]
    fn a_name_is_a_short_line() {
        let longest = "é".repeat(FACTOR_NAME_CHARS_MAX);
        let longer = format!("{longest}x");
        for (name, fits) in [
            ("blue key", true),
            (longest.as_str(), true),
            (longer.as_str(), false),
            ("", false),
            (" ", false),
            ("a\nb", false),
        ] {
            assert_eq!(check_name(name).is_ok(), fits, "{name:?}");
        }
    }
}
