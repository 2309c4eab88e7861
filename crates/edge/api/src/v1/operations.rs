//! What the caller may ask for, so that nobody has to try and be refused on the record.
//!
//! It must never be taken for a permission: each operation is judged when it is asked for.

use axum::http::StatusCode;
use countersign_model::{Decision, Request as Question};

use super::call::{Call, Done, gateway_target, shape_of};
use super::operation::{Operation, Who};
use super::problem::Problem;
use super::views::OperationPage;
use super::{Desk, OPERATIONS};

pub(crate) fn list(desk: &Desk, call: &Call) -> Result<Done, Problem> {
    let nameless = || Problem::with_status(500, "internal error: the gateway has no name");
    let target = gateway_target().ok_or_else(nameless)?;
    let context = call.context();
    let allows = |operation: &Operation, access| {
        let shape = shape_of(operation.name, access);
        let question =
            Question { identity: &call.caller, target: &target, session: &context, shape: &shape, now: call.now };
        desk.policy.evaluate(&question).decision == Decision::Allow
    };
    let may = |operation: &&Operation| {
        let in_scope = call.key.as_ref().is_none_or(|key| key.refuses(operation).is_none());
        in_scope
            && match operation.who {
                Who::Anyone | Who::Known | Who::Own(_) => true,
                Who::Console => call.in_console,
                Who::Policy(access) => allows(operation, access),
            }
    };
    let everybody = |operation: &&Operation| match operation.who {
        Who::Own(access) => may(operation) && allows(operation, access),
        _ => false,
    };
    let names = |all: &mut dyn Iterator<Item = &Operation>| all.map(|o| o.name.to_owned()).collect();
    let page = OperationPage {
        operations: names(&mut OPERATIONS.iter().filter(may)),
        everybody: names(&mut OPERATIONS.iter().filter(everybody)),
    };
    Done::json(StatusCode::OK, &page, 0)
}
