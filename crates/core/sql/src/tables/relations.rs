//! System relations by name.

use super::matches;

/// Relations of `pg_catalog` and `information_schema` that hold secrets, samples of the data, or other people's statements.
const SENSITIVE: &[&str] = &[
    "pg_authid",
    "pg_shadow",
    "pg_user_mapping",
    "pg_user_mappings",
    "pg_largeobject",
    "pg_statistic",
    "pg_statistic_ext_data",
    "pg_stats*",
    "pg_stat_activity",
    "pg_stat_gssapi",
    "pg_stat_ssl",
    "pg_stat_replication",
    "pg_stat_wal_receiver",
    "pg_stat_subscription*",
    "pg_stat_statements*",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_file_settings",
    "pg_subscription",
    "pg_backend_memory_contexts",
    "pg_shmem_allocations*",
    "pg_cursors",
    "pg_prepared_statements",
    "pg_replication_origin*",
    "user_mapping_options",
    "user_mappings",
    "foreign_server_options",
    "_pg_user_mappings",
    "_pg_foreign_servers",
];

/// True when the relation describes the database and nothing more.
pub(crate) fn is_catalog(schema: &str, name: &str) -> bool {
    matches!(schema, "pg_catalog" | "information_schema") && !is_sensitive(name)
}

/// True when the relation's name is one of the sensitive ones; extensions put theirs into any schema.
pub(crate) fn is_sensitive(name: &str) -> bool {
    matches(SENSITIVE, name)
}
