//! The attributes that an SQL shape carries, for policies: `context.NAME`.

use countersign_model::{AttributeKind, AttributeSpec, Vocabulary};

pub(crate) const RELATIONS: &str = "relations";
pub(crate) const RELATIONS_ALL: &str = "relations_all";
pub(crate) const SCHEMAS: &str = "schemas";
pub(crate) const COLUMNS: &str = "columns";
pub(crate) const FUNCTIONS: &str = "functions";
pub(crate) const STATEMENTS: &str = "statements";
pub(crate) const SETTINGS: &str = "settings";
pub(crate) const CHANNELS: &str = "channels";
pub(crate) const ROLES: &str = "roles";
pub(crate) const FILTERED: &str = "filtered";
pub(crate) const CATALOG_ONLY: &str = "catalog_only";
pub(crate) const SENSITIVE_CATALOG: &str = "sensitive_catalog";
pub(crate) const UNCOUNTED: &str = "uncounted";
pub(crate) const TEMPORARY: &str = "temporary";
pub(crate) const COPY: &str = "copy";

const fn set(name: &'static str, doc: &'static str) -> AttributeSpec {
    AttributeSpec { name, kind: AttributeKind::Set, doc }
}

const fn flag(name: &'static str, doc: &'static str) -> AttributeSpec {
    AttributeSpec { name, kind: AttributeKind::Bool, doc }
}

/// Every attribute.
pub const VOCABULARY: Vocabulary = &[
    set(
        RELATIONS,
        "Tables, views and sequences that the text names, as \"schema.name\"; temporary ones are in \"pg_temp\".",
    ),
    set(
        RELATIONS_ALL,
        "The same, with what lies beneath views to any depth, and parents, partitions and children of tables.",
    ),
    set(SCHEMAS, "The schemas of relations_all."),
    set(
        COLUMNS,
        "Columns read or written, as \"schema.name.column\"; every column of a relation where the text does not tell.",
    ),
    set(FUNCTIONS, "Functions called that are not harmless built-in ones, as \"schema.name\"."),
    set(
        STATEMENTS,
        "The kinds of statement behind this access: \"select\", \"update\", \"copy_to\", \"create_table\".",
    ),
    set(SETTINGS, "Settings shown or changed, in lower case."),
    set(CHANNELS, "Notification channels listened to or notified."),
    set(ROLES, "Roles that are created, changed, granted or taken on."),
    flag(FILTERED, "On a write: every UPDATE and DELETE has a WHERE that is not a constant."),
    flag(
        CATALOG_ONLY,
        "On a read: only the description of the database is read, nothing in it is sensitive, and no other functions run.",
    ),
    flag(
        SENSITIVE_CATALOG,
        "A system relation or function is used that holds secrets, samples of the data or other sessions' statements.",
    ),
    flag(
        UNCOUNTED,
        "On a write: it changes rows that the target does not count in its answer: TRUNCATE, a write inside a query or under EXPLAIN ANALYZE.",
    ),
    flag(TEMPORARY, "On a write: only temporary objects of the session are written or created."),
    flag(COPY, "The access is a COPY to or from the client."),
];
