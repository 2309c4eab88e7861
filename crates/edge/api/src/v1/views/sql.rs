//! The SQL console: sessions on targets, what ran in them last, and what came of it.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::v1::table::{SQL_BYTES_MAX, SQL_DATABASE_BYTES_MAX, target};

/// Where to open a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenSqlBody {
    /// The target.
    #[schemars(schema_with = "target")]
    pub target: String,
    /// The database there; without it, the target's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "database")]
    pub database: Option<String>,
}

fn database(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "maxLength": SQL_DATABASE_BYTES_MAX, "pattern": r"^[^\x00-\x1f\x7f-\x9f]*$" })
}

/// What to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunSqlBody {
    /// The statement, or several.
    #[schemars(schema_with = "statement")]
    pub statement: String,
    /// Keeps more rows than are for reading, to be exported.
    #[serde(default)]
    pub export: bool,
}

fn statement(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": SQL_BYTES_MAX, "pattern": r"\S" })
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SqlState {
    /// It runs.
    Running,
    /// It waits for people.
    Waiting,
    /// It is through.
    Done,
    /// It was refused, or failed.
    Failed,
}

/// A review that a statement waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlReviewView {
    /// Its id.
    pub id: String,
    /// Who must say yes.
    pub reviewers: String,
    /// Until when.
    pub ends_at: String,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlColumnView {
    /// Its name.
    pub name: String,
    /// The tags for which its values are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<String>,
    /// How they are masked: a transform, or `content` where what is found in a value is; nothing where they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masked: Option<String>,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlCellView {
    /// As the target writes it; nothing for null.
    pub text: Option<String>,
    /// It is not what is stored.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub masked: bool,
    /// It is longer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cut: bool,
}

/// What a statement gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlResultView {
    /// The columns; none where there are no rows.
    pub columns: Vec<SqlColumnView>,
    /// What the target says it did, such as `UPDATE 3`.
    pub command: String,
    /// How many rows the target gave.
    pub row_count: u64,
    /// How many of them are kept, the first ones.
    pub kept: u64,
    /// Some of those that are kept, in order.
    pub rows: Vec<Vec<SqlCellView>>,
    /// For `after`, when more are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Why something was refused or failed, in the words that every client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlErrorView {
    /// The SQLSTATE.
    pub code: String,
    /// What is wrong; a refusal names its rules.
    pub message: String,
    /// What could be done about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Where in the text, in characters from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// What ran last, or runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlStatementView {
    /// The text.
    pub text: String,
    /// When it was sent.
    pub began_at: String,
    /// How far it is.
    pub state: SqlState,
    /// What it waits for, or waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<SqlReviewView>,
    /// What each of its statements gave.
    pub results: Vec<SqlResultView>,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<SqlErrorView>,
    /// What the target said besides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
    /// Some rows are not kept: there were too many, or they are too long.
    #[serde(default)]
    pub cut: bool,
    /// It was run to be exported.
    #[serde(default)]
    pub export: bool,
}

/// A session of the SQL console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlView {
    /// Its id here.
    pub id: String,
    /// The target.
    pub target: String,
    /// The database that was asked for; nothing for the target's usual one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The session that it is recorded as.
    pub session: String,
    /// When it was opened.
    pub opened_at: String,
    /// A transaction is open.
    pub in_transaction: bool,
    /// Why it ended, when it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// What ran last, or runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub statement: Option<SqlStatementView>,
}

/// Sessions of the SQL console, oldest first, without rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlPage {
    /// The sessions.
    pub sessions: Vec<SqlView>,
}

/// A result to be kept elsewhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SqlExportView {
    /// CSV (RFC 4180), with a header. What a spreadsheet would take for a formula begins with an apostrophe.
    pub csv: String,
    /// How many rows.
    pub rows: u64,
    /// How many cells of them are masked.
    pub masked: u64,
}

impl std::fmt::Debug for SqlExportView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SqlExportView({} rows)", self.rows)
    }
}
