//! What is in force: the policies as this gateway loaded them, for people to read.

use std::sync::Arc;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use super::Desk;
use super::call::Done;
use super::problem::Problem;

/// The policies in force.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct PolicyPage {
    /// Which version; it grows with every reload.
    pub epoch: u64,
    /// The files.
    pub files: Vec<PolicyText>,
    /// Their rules, in the order of the files.
    pub rules: Vec<serde_json::Value>,
    /// What is allowed and still probably not meant.
    pub warnings: Vec<String>,
}

/// One file.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PolicyText {
    /// How people find it.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Tells what is in force.
pub type PoliciesInForce = Arc<dyn Fn() -> PolicyPage + Send + Sync>;

pub(crate) fn show(desk: &Desk) -> Result<Done, Problem> {
    Done::json(StatusCode::OK, &(desk.policies)(), 0)
}
