//! What is applied over the API: files, what they would change, what was applied before.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Number;

use super::{maybe_text, whole_of};
use crate::v1::table::{APPLIED_FILES_MAX, APPLIED_PATH_CHARS_MAX, REVISION_MAX};

/// A file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AppliedFile {
    /// Its path in the folder that is applied, with `/` between its parts.
    #[schemars(schema_with = "path")]
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Every part of a path begins with a letter, a digit or `_`, so that none is `.`, `..` or hidden.
fn path(_: &mut SchemaGenerator) -> Schema {
    const PATTERN: &str = r"^([0-9A-Za-z_][0-9A-Za-z_.@+-]*/)*[0-9A-Za-z_][0-9A-Za-z_.@+-]*\.(toml|cedar)$";
    json_schema!({ "type": "string", "maxLength": APPLIED_PATH_CHARS_MAX, "pattern": PATTERN })
}

/// Whether a path is as its schema says.
pub(crate) fn is_path(path: &str) -> bool {
    let stem = path.strip_suffix(".toml").or_else(|| path.strip_suffix(".cedar"));
    let fine = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "_.@+-".contains(c))
    };
    path.len() <= APPLIED_PATH_CHARS_MAX && stem.is_some_and(|stem| stem.split('/').all(fine))
}

fn files(generator: &mut SchemaGenerator) -> Schema {
    let file = generator.subschema_for::<AppliedFile>();
    json_schema!({ "type": "array", "maxItems": APPLIED_FILES_MAX, "items": file })
}

fn revision(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 0, "maximum": REVISION_MAX })
}

fn number<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    whole_of(&Number::deserialize(d)?)
}

/// Files to be compared with what is applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffBody {
    /// All files: what is not among them would be removed.
    #[schemars(schema_with = "files")]
    pub files: Vec<AppliedFile>,
}

/// Files to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// All files: what is not among them is removed.
    #[schemars(schema_with = "files")]
    pub files: Vec<AppliedFile>,
    /// The revision that the difference was looked at against, as the diff says it; 0 where nothing was applied.
    #[serde(deserialize_with = "number")]
    #[schemars(schema_with = "revision")]
    pub base: u64,
    /// What is said of it.
    #[serde(default)]
    #[schemars(schema_with = "maybe_text")]
    pub message: String,
    /// Apply it even if the caller could not apply anything after it.
    #[serde(default)]
    pub allow_lock_out: bool,
}

/// A revision to be applied again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RevertBody {
    /// The revision that the difference was looked at against.
    #[serde(deserialize_with = "number")]
    #[schemars(schema_with = "revision")]
    pub base: u64,
    /// What is said of it.
    #[serde(default)]
    #[schemars(schema_with = "maybe_text")]
    pub message: String,
    /// Apply it even if the caller could not apply anything after it.
    #[serde(default)]
    pub allow_lock_out: bool,
}

/// A revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionView {
    /// Its number.
    pub revision: u64,
    /// The SHA-256 of its files.
    pub digest: String,
    /// Who applied it.
    pub by: String,
    /// When.
    pub at: String,
    /// What they said of it; may be empty.
    pub message: String,
    /// Whether its files are kept still.
    pub has_files: bool,
}

/// Revisions, latest first, and what this gateway makes of the latest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionPage {
    /// The latest; 0 when nothing was ever applied.
    pub latest: u64,
    /// The one that this gateway has in force; 0 for none.
    pub in_force: u64,
    /// Why this gateway does not have the latest in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub problem: Option<String>,
    /// The revisions.
    pub revisions: Vec<RevisionView>,
    /// For `before`, when there are more.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub next: Option<u64>,
}

/// A revision with its files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionDetailView {
    /// The revision.
    #[serde(flatten)]
    pub revision: RevisionView,
    /// Its files; none when they are not kept any more.
    pub files: Vec<AppliedFile>,
}

/// What happens to something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// It was not there.
    Added,
    /// It is another.
    Changed,
    /// It is there no more.
    Removed,
}

impl ChangeKind {
    /// The word people read.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Removed => "removed",
        }
    }
}

/// A target, rule or tag that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangeView {
    /// `target`, `rule` or `tag`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// What happens to it.
    pub change: ChangeKind,
    /// The file that it is in, or was.
    pub file: String,
}

/// A file that changes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileChangeView {
    /// Its path.
    pub path: String,
    /// What happens to it.
    pub change: ChangeKind,
    /// The lines that differ, as `diff -u` has them.
    pub diff: String,
}

/// What is wrong with a file, or odd about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FileProblemView {
    /// The file, by its path in what was sent.
    pub file: String,
    /// The line, from 1; 0 when it is about the file as a whole.
    pub line: u64,
    /// The column in characters, from 1; 0 when it is about the file as a whole.
    pub column: u64,
    /// The key that it is about; empty when there is none.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub found: Option<String>,
    /// What could be there instead.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expected: Option<String>,
    /// What was probably meant, or what to do.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub suggestion: Option<String>,
}

/// What files would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DiffView {
    /// The revision that they are compared with; 0 for nothing.
    pub base: u64,
    /// The SHA-256 of the files.
    pub digest: String,
    /// Targets, rules and tags that change.
    pub changes: Vec<ChangeView>,
    /// Files that change.
    pub files: Vec<FileChangeView>,
    /// Why they cannot be applied.
    pub problems: Vec<FileProblemView>,
    /// What is allowed and still probably not meant.
    pub warnings: Vec<FileProblemView>,
    /// Whether the caller may apply now, and could not any more.
    pub locks_you_out: bool,
}

/// What was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AppliedView {
    /// The revision that is the latest now.
    pub revision: u64,
    /// Whether it is another than before.
    pub changed: bool,
    /// The SHA-256 of its files.
    pub digest: String,
}

#[cfg(test)]
mod tests {
    use super::is_path;

    #[test]
    fn paths_stay_in_their_folder() {
        for path in ["a.toml", "a.cedar", "_x/b-1/c.d@e+f.toml", "0.cedar", "a.toml.cedar"] {
            assert!(is_path(path), "{path}");
        }
        let long = format!("{}.toml", "a".repeat(251));
        for path in [
            "",
            ".toml",
            "a",
            "a.txt",
            "/a.toml",
            "../a.toml",
            "a/../b.toml",
            "a//b.toml",
            "./a.toml",
            ".git/a.toml",
            "a\\b.toml",
            "a b.toml",
            "a\n.toml",
            "ä.toml",
            "a.toml/",
            "a/.toml",
            &long,
        ] {
            assert!(!is_path(path), "{path}");
        }
        assert!(is_path(&long[1..]));
    }
}
