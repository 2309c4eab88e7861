//! Functions by name.
//!
//! The rule: an immutable or stable built-in function is harmless, everything else is [`Access::Execute`], unless a table says
//! otherwise. Grave tables win over mild ones, and hold for any schema: `dblink` is dangerous wherever the extension lives.

use countersign_model::Access;

use super::matches;

/// Change the server, its settings or other sessions, or move replication: [`Access::Admin`].
const ADMIN: &[&str] = &[
    "binary_upgrade_*",
    "pg_backup_start",
    "pg_backup_stop",
    "pg_start_backup",
    "pg_stop_backup",
    "pg_cancel_backend",
    "pg_terminate_backend",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_*",
    "pg_drop_replication_slot",
    "pg_export_snapshot",
    "pg_extension_config_dump",
    "pg_import_system_collations",
    "pg_log_backend_memory_contexts",
    "pg_log_standby_snapshot",
    "pg_logical_*",
    "pg_promote",
    "pg_reload_conf",
    "pg_replication_*",
    "pg_rotate_logfile*",
    "pg_stat_reset*",
    "pg_stat_statements_reset",
    "pg_stop_making_pinned_objects",
    "pg_switch_wal",
    "pg_switch_xlog",
    "pg_sync_replication_slots",
    "pg_wal_replay_*",
    "pg_restore_*",
    "pg_clear_*",
];

/// Run a text as a query, here or elsewhere, that the gateway would have to judge.
pub(super) const RUN_A_TEXT: &[&str] = &[
    "query_to_xml*",
    "cursor_to_xml*",
    "table_to_xml*",
    "schema_to_xml*",
    "database_to_xml*",
    "ts_stat",
    "ts_rewrite",
    "crosstab*",
    "connectby",
    "xpath_table",
    "dblink*",
    "postgres_fdw_*",
];

/// Reach files or the network, change settings, or block: [`Access::Execute`], whatever their volatility says, as for [`RUN_A_TEXT`].
const EXECUTE: &[&str] = &[
    // settings
    "set_config",
    // files and large objects
    "lo_*",
    "loread",
    "lowrite",
    "pg_read_*",
    "pg_ls_*",
    "pg_stat_file",
    "pg_file_*",
    "pg_logdir_ls",
    "pg_current_logfile",
    // raw pages and other sessions' memory
    "get_raw_page*",
    "pg_get_backend_memory_contexts",
    "pg_get_shmem_allocations*",
    "heap_page_*",
    "bt_page_*",
    "pgrowlocks",
    "pg_show_all_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    // ways out
    "pg_notify",
    "pg_sleep*",
    // other languages and the internet
    "http*",
    "plpgsql_*_handler",
    "plpgsql_validator",
    "cron.*",
];

/// Volatile, and change nothing but the session's own view or a sequence-free state: [`Access::Read`].
const READ_THOUGH_VOLATILE: &[&str] = &[
    "clock_timestamp",
    "timeofday",
    "random",
    "random_normal",
    "setseed",
    "gen_random_uuid",
    "uuidv4",
    "uuidv7",
    "current_query",
    "currval",
    "lastval",
    "txid_status",
    "pg_xact_status",
    "pg_xact_commit_timestamp*",
    "pg_last_*",
    // sizes and progress
    "pg_relation_size",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_indexes_size",
    "pg_database_size",
    "pg_tablespace_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_get_wal_replay_pause_state",
    "pg_current_wal_*",
    "pg_blocking_pids",
    "pg_safe_snapshot_blocking_pids",
    "pg_isolation_test_session_is_blocked",
    "pg_lock_status",
    "pg_partition_tree",
    "pg_partition_ancestors",
    "pg_sequence_last_value",
    "pg_collation_actual_version",
    "pg_database_collation_actual_version",
    "pg_jit_available",
    "pg_prepared_xact",
    "pg_notification_queue_usage",
    "pg_stat_clear_snapshot",
    "pg_stat_force_next_flush",
    "pg_stat_get_*",
    "pg_stat_have_stats",
    "pg_get_multixact_members",
    // advisory locks block nobody but their own users; migration tools live on them
    "pg_advisory_lock*",
    "pg_advisory_unlock*",
    "pg_advisory_xact_lock*",
    "pg_try_advisory_*",
    // table sampling
    "bernoulli",
    "system",
];

/// Volatile, and change a sequence: [`Access::Write`].
const WRITE: &[&str] = &["nextval", "setval"];

/// Stable functions that show what others are doing or what the planner keeps of the data.
const SENSITIVE: &[&str] = &[
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "pg_stat_get_wal_senders",
    "pg_stat_get_subscription",
    "pg_stat_statements*",
    "pg_get_publication_tables",
    "pg_show_all_file_settings",
    "pg_stats_ext_mcvlist_items",
    "pg_mcv_list_items",
];

/// What a name alone says of a built-in function; `volatile` is from the catalog.
pub(crate) fn built_in(name: &str, volatile: bool) -> Option<Access> {
    if let Some(access) = grave(name) {
        return Some(access);
    }
    if !volatile {
        return None;
    }
    if matches(WRITE, name) {
        Some(Access::Write)
    } else if matches(READ_THOUGH_VOLATILE, name) {
        None
    } else {
        Some(Access::Execute)
    }
}

/// What a name says of a function in any schema.
pub(crate) fn grave(name: &str) -> Option<Access> {
    if matches(ADMIN, name) {
        Some(Access::Admin)
    } else if matches(RUN_A_TEXT, name) || matches(EXECUTE, name) {
        Some(Access::Execute)
    } else {
        None
    }
}

/// True for functions whose result belongs to other sessions or is made of the data.
pub(crate) fn is_sensitive(name: &str) -> bool {
    matches(SENSITIVE, name)
}

/// Settings by a function: `set_config` changes the session in a way that only its arguments tell.
pub(crate) fn changes_settings(name: &str) -> bool {
    name == "set_config"
}
