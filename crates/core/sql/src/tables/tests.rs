//! Tests: what the tables say.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use countersign_model::Access;

use super::{functions, matches, relations, settings};

#[test]
fn entries_match_whole_names_or_prefixes() {
    assert!(matches(&["a", "b*"], "a") && matches(&["a", "b*"], "bcd") && !matches(&["a", "b*"], "ab"));
}

#[test]
fn functions_by_name() {
    for (name, volatile, expected) in [
        ("lower", false, None),
        ("random", true, None),
        ("nextval", true, Some(Access::Write)),
        ("some_new_volatile_one", true, Some(Access::Execute)),
        ("pg_read_file", true, Some(Access::Execute)),
        ("table_to_xml", false, Some(Access::Execute)),
        ("pg_terminate_backend", true, Some(Access::Admin)),
    ] {
        assert_eq!(functions::built_in(name, volatile), expected, "{name}");
    }
}

#[test]
fn settings_by_name() {
    use settings::SettingClass as C;
    for (name, expected) in [
        ("statement_timeout", C::Harmless),
        ("enable_seqscan", C::Harmless),
        ("search_path", C::SearchPath),
        ("client_encoding", C::ClientEncoding),
        ("standard_conforming_strings", C::StandardConformingStrings),
        ("transaction_read_only", C::ReadOnly),
        ("role", C::Role),
        ("row_security", C::Other),
        ("session_preload_libraries", C::Other),
        ("anything.else", C::Other),
    ] {
        assert_eq!(settings::class(name), expected, "{name}");
    }
    assert!(settings::may_be_shown("server_version") && !settings::may_be_shown("data_directory"));
}

#[test]
fn relations_by_name() {
    assert!(relations::is_catalog("pg_catalog", "pg_class") && !relations::is_catalog("pg_catalog", "pg_authid"));
    assert!(!relations::is_catalog("public", "pg_class"));
    assert!(relations::is_sensitive("pg_stat_statements") && !relations::is_sensitive("pg_statistic_ext"));
}
