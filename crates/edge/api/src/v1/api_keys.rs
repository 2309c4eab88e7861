//! Operations on API keys, and what a key may be used for.
//!
//! It must never let a key make, list or revoke keys, nor answer for a person.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, IdentityParts, RuleId};

use super::call::{Call, Done};
use super::operation::Operation;
use super::problem::Problem;
use super::reviews::{check_said, id, named};
use super::table::{API_KEY_NAME_CHARS_MAX, API_KEY_S_MAX, API_KEY_S_MIN, OPERATIONS, PAGE, PAGE_MAX};
use super::views::{ApiKeyBody, EndApiKeyBody};
use crate::api_keys::{ApiKeyDoors, ApiKeyList, ApiKeyRevocation};

/// The key that a request came with.
#[derive(Clone, Debug)]
pub struct CallerKey {
    /// Its id.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// The operations that it is for.
    pub scope: BTreeSet<String>,
    /// Who made it, with the credential that they made it with: what keeps that out keeps the key out.
    pub made_with: IdentityParts,
}

impl CallerKey {
    /// Why this operation is not done by this key, if it is not.
    pub(crate) fn refuses(&self, operation: &Operation) -> Option<Denial> {
        let denied = |message: ClientText, rule: &'static str| {
            Denial::new(Culprit::Policy, DenialCode::Forbidden, message)
                .rules(vec![RuleId::new(rule)])
                .detail(format_args!("API key {} ({}) at {}", self.id, self.name, operation.name))
        };
        if !operation.by_key {
            let why = ClientText::new("no API key is for the operation ").and(operation.name);
            return Some(denied(why, "api-key"));
        }
        if !self.scope.contains(operation.name) {
            let why = ClientText::new("the operation ").and(operation.name).and(" is not in the scope of this API key");
            return Some(denied(why, "api-key-scope"));
        }
        None
    }
}

pub(crate) async fn create(doors: &dyn ApiKeyDoors, call: &Call) -> Result<Done, Problem> {
    let new: ApiKeyBody = call.json()?;
    let fits = !new.name.trim().is_empty()
        && new.name.chars().count() <= API_KEY_NAME_CHARS_MAX
        && !new.name.chars().any(char::is_control);
    if !fits {
        return Err(Problem::bad_request(format!(
            "`name` has 1 to {API_KEY_NAME_CHARS_MAX} characters, not all of them blank, and no control characters"
        )));
    }
    if !(API_KEY_S_MIN..=API_KEY_S_MAX).contains(&new.expires_in_s) {
        return Err(Problem::bad_request(format!(
            "`expires_in_s` is from {API_KEY_S_MIN} to {API_KEY_S_MAX} (90 days)"
        )));
    }
    let known = |name: &String| OPERATIONS.iter().any(|o| o.by_key && o.name == name);
    if new.scope.is_empty() || !new.scope.iter().all(known) {
        let all: Vec<&str> = OPERATIONS.iter().filter(|o| o.by_key).map(|o| o.name).collect();
        return Err(Problem::bad_request(format!("`scope` names operations, of these: {}", all.join(", "))));
    }
    Done::json(StatusCode::CREATED, &doors.create(&call.caller, new, call.now).await?, 1)
}

pub(crate) async fn list(doors: &dyn ApiKeyDoors, call: &Call) -> Result<Done, Problem> {
    let query = ApiKeyList {
        all: call.flag("all")?,
        everybody: call.flag("everybody")?,
        before: call.parameter("before").map(id).transpose()?,
        limit: call.limit(PAGE, PAGE_MAX)?,
    };
    Done::json(StatusCode::OK, &doors.list(&call.caller, query, call.now).await?, 0)
}

pub(crate) async fn revoke(doors: &dyn ApiKeyDoors, call: &Call) -> Result<Done, Problem> {
    let body: EndApiKeyBody = call.json()?;
    check_said("reason", &body.reason)?;
    let end = ApiKeyRevocation { id: named(call)?, reason: body.reason, by: call.by(), everybody: body.everybody };
    Done::json(StatusCode::OK, &doors.revoke(&call.caller, end, call.now).await?, 1)
}
