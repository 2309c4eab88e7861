//! Settings by name.

use super::matches;

/// What `SET name` amounts to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingClass {
    /// Changes how results look or how long things take: harmless.
    Harmless,
    /// Harmless, and the gateway follows it, because it changes what names mean.
    SearchPath,
    /// Must stay UTF8.
    ClientEncoding,
    /// Must stay on.
    StandardConformingStrings,
    /// Lifts a read-only mark when it is switched off.
    ReadOnly,
    /// Who the session acts as.
    Role,
    /// Everything else.
    Other,
}

/// Display, timeouts, planner switches, and what the drivers of the day send on their own.
const HARMLESS: &[&str] = &[
    "application_name",
    "array_nulls",
    "bytea_output",
    "client_min_messages",
    "constraint_exclusion",
    "cpu_*",
    "cursor_tuple_fraction",
    "datestyle",
    "deadlock_timeout",
    "default_statistics_target",
    "default_text_search_config",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "effective_cache_size",
    "effective_io_concurrency",
    "enable_*",
    "escape_string_warning",
    "extra_float_digits",
    "from_collapse_limit",
    "geqo*",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "transaction_timeout",
    "intervalstyle",
    "jit*",
    "join_collapse_limit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "maintenance_work_mem",
    "max_parallel_*",
    "min_parallel_*",
    "parallel_*",
    "plan_cache_mode",
    "quote_all_identifiers",
    "random_page_cost",
    "recursive_worktable_factor",
    "seed",
    "seq_page_cost",
    "statement_timeout",
    "synchronize_seqscans",
    "tcp_keepalives_*",
    "tcp_user_timeout",
    "timezone",
    "timezone_abbreviations",
    "transaction_deferrable",
    "transaction_isolation",
    "work_mem",
    "xmlbinary",
    "xmloption",
];

/// Read by drivers and tools on their own, besides [`HARMLESS`].
const SHOWN: &[&str] = &[
    "block_size",
    "client_encoding",
    "default_transaction_read_only",
    "in_hot_standby",
    "integer_datetimes",
    "is_superuser",
    "lc_collate",
    "lc_ctype",
    "max_connections",
    "max_identifier_length",
    "max_index_keys",
    "role",
    "search_path",
    "server_encoding",
    "server_version",
    "server_version_num",
    "session_authorization",
    "standard_conforming_strings",
    "transaction_read_only",
    "wal_level",
];

/// Judges a setting; `name` in lower case.
pub(crate) fn class(name: &str) -> SettingClass {
    match name {
        "search_path" => SettingClass::SearchPath,
        "client_encoding" | "names" => SettingClass::ClientEncoding,
        "standard_conforming_strings" => SettingClass::StandardConformingStrings,
        "default_transaction_read_only" | "transaction_read_only" => SettingClass::ReadOnly,
        "role" | "session_authorization" => SettingClass::Role,
        _ if matches(HARMLESS, name) => SettingClass::Harmless,
        _ => SettingClass::Other,
    }
}

/// True when `SHOW name` tells nothing that a driver may not know.
pub(crate) fn may_be_shown(name: &str) -> bool {
    matches(HARMLESS, name) || matches(SHOWN, name)
}
