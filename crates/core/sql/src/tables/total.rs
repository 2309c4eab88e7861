//! Built-in functions that cannot fail on a value, and those that can read anything.
//!
//! A function is in the first list only if its result is null for no reason but a null argument, if no value of the named arguments
//! makes it fail, and if it gives one result. Whatever is in no list may fail or be null depending on its arguments.

use super::functions::RUN_A_TEXT;
use super::matches;

/// Which arguments may be sensitive, from 0.
pub(crate) enum Safe {
    /// All of them.
    All,
    /// The first one: others may make it fail.
    First,
    /// The second one.
    Second,
}

const ALL: &[&str] = &[
    // text
    "lower",
    "upper",
    "casefold",
    "initcap",
    "reverse",
    "length",
    "char_length",
    "character_length",
    "octet_length",
    "bit_length",
    "ascii",
    "md5",
    "sha224",
    "sha256",
    "sha384",
    "sha512",
    "hashtext",
    "crc32",
    "crc32c",
    "concat",
    "concat_ws",
    "textcat",
    "btrim",
    "ltrim",
    "rtrim",
    "replace",
    "translate",
    "position",
    "strpos",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "to_hex",
    "left",
    "right",
    // json and rows
    "to_json",
    "to_jsonb",
    "row_to_json",
    "array_to_json",
    "json_build_array",
    "jsonb_build_array",
    "num_nulls",
    "num_nonnulls",
    // arrays
    "array_append",
    "array_prepend",
    "cardinality",
    // aggregates and windows
    "count",
    "min",
    "max",
    "sum",
    "avg",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "bool_and",
    "bool_or",
    "every",
    "any_value",
    "bit_and",
    "bit_or",
    "bit_xor",
    "percentile_cont",
    "percentile_disc",
    "mode",
    "first_value",
    "last_value",
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    // numbers
    "sign",
    "ceil",
    "ceiling",
    "floor",
];

const FIRST: &[&str] = &[
    "substr",
    "substring",
    "overlay",
    "lpad",
    "rpad",
    "split_part",
    "regexp_replace",
    "encode",
    "to_char",
    "round",
    "trunc",
    "lag",
    "lead",
    "nth_value",
    "array_to_string",
    "string_to_array",
];

const SECOND: &[&str] = &["date_trunc", "date_part", "extract", "timezone"];

/// Read what their arguments name, show what others do, or what the planner keeps of the data; so do those that run a text.
const READS_ANYTHING: &[&str] = &[
    "cypher",
    "lo_*",
    "loread",
    "lowrite",
    "pg_read_*",
    "pg_file_*",
    "get_raw_page*",
    "heap_page_*",
    "tuple_data_split",
    "bt_page_*",
    "gist_page_*",
    "hash_page_*",
    "brin_page_*",
    "gin_page_*",
    "gin_leafpage_items",
    "pg_logical_*",
    "pg_stat_get_activity",
    "pg_stat_get_backend_activity",
    "pg_stat_statements*",
    "pg_stats_ext_mcvlist_items",
    "pg_mcv_list_items",
];

/// Functions of extensions and of `information_schema` that read nothing, though nothing in the catalog says so.
const READS_NOTHING: &[&str] = &[
    "_pg_expandarray",
    "uuid_generate_*",
    "uuid_nil",
    "uuid_ns_*",
    "gen_random_*",
    "gen_salt",
    "unaccent",
    "similarity",
    "word_similarity",
];

/// Extensions whose functions in machine code read their arguments alone, whatever the catalog says of their being volatile: some look at a
/// setting or draw a number.
const EXTENSIONS: &[&str] = &[
    "btree_gin",
    "btree_gist",
    "citext",
    "cube",
    "fuzzystrmatch",
    "hstore",
    "intarray",
    "isn",
    "ltree",
    "pg_trgm",
    "pgcrypto",
    "seg",
    "unaccent",
    "uuid-ossp",
    "vector",
];

/// True when the functions in machine code of this extension read nothing but their arguments.
pub(crate) fn is_harmless_extension(name: &str) -> bool {
    EXTENSIONS.contains(&name)
}

/// How an extension's function in SQL is like the built-in one of its name. It reads its arguments alone where the operators that its text
/// names by no schema, `=` and `||`, are harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Its first argument makes it fail or be null no more than the built-in one's does.
    Same,
    /// It may fail or be null elsewhere.
    Other,
}

/// How this function of this extension is like a built-in one; the caller knows that no stranger made it. Those of `citext` (1.4 to 1.6) call the
/// built-in functions by their full names.
pub(crate) fn likeness(extension: &str, name: &str) -> Option<Likeness> {
    match (extension, name) {
        ("citext", "replace" | "strpos" | "translate" | "regexp_replace") => Some(Likeness::Same),
        (
            "citext",
            "split_part" | "regexp_match" | "regexp_matches" | "regexp_split_to_array" | "regexp_split_to_table",
        ) => Some(Likeness::Other),
        _ => None,
    }
}

/// Built-in functions whose arguments go elsewhere: settings, other sessions, sequences.
const KEEPS: &[&str] = &["set_config", "pg_notify", "setval", "nextval", "pg_logical_emit_message"];

/// Built-in functions that give a set of one column of plain values.
const ONE_COLUMN_SETS: &[&str] = &[
    "generate_series",
    "generate_subscripts",
    "regexp_split_to_table",
    "regexp_matches",
    "string_to_table",
    "json_array_elements",
    "json_array_elements_text",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "json_object_keys",
    "jsonb_object_keys",
    "jsonb_path_query",
];

/// The arguments of a built-in function that may be sensitive without its failing on them.
pub(crate) fn safe(name: &str) -> Option<Safe> {
    if ALL.contains(&name) {
        Some(Safe::All)
    } else if FIRST.contains(&name) {
        Some(Safe::First)
    } else if SECOND.contains(&name) {
        Some(Safe::Second)
    } else {
        None
    }
}

/// True when a function of this name, in any schema, may read anything.
pub(crate) fn reads_anything(name: &str) -> bool {
    matches(RUN_A_TEXT, name) || matches(READS_ANYTHING, name)
}

/// True when a function of this name reads nothing but its arguments, whatever the catalog leaves open.
pub(crate) fn reads_nothing(name: &str) -> bool {
    matches(READS_NOTHING, name)
}

/// True when a built-in function puts its arguments where tags are not known.
pub(crate) fn keeps(name: &str) -> bool {
    matches(KEEPS, name)
}

/// True when a built-in function in `FROM` gives exactly one column.
pub(crate) fn one_column_set(name: &str) -> bool {
    ONE_COLUMN_SETS.contains(&name)
}

/// Built-in functions whose result is a text.
const GIVES_TEXT: &[&str] = &[
    "lower",
    "upper",
    "casefold",
    "initcap",
    "reverse",
    "md5",
    "concat",
    "concat_ws",
    "btrim",
    "ltrim",
    "rtrim",
    "replace",
    "translate",
    "quote_ident",
    "quote_literal",
    "quote_nullable",
    "to_hex",
    "left",
    "right",
    "substr",
    "substring",
    "overlay",
    "lpad",
    "rpad",
    "split_part",
    "regexp_replace",
    "encode",
    "to_char",
    "array_to_string",
    "string_agg",
];

/// True when the result of a built-in function is a text (or bytes, for which the same holds).
pub(crate) fn gives_text(name: &str) -> bool {
    GIVES_TEXT.contains(&name)
}

/// The object id of the type `text`.
pub(crate) const TEXT_OID: u32 = 25;

/// True for the object ids of types that hold one plain value: no array, document, row or range, whose shapes may not fit together.
pub(crate) fn is_plain_scalar(oid: u32) -> bool {
    matches!(
        oid,
        16..=21
            | 23
            | 25
            | 26
            | 650
            | 700
            | 701
            | 790
            | 829
            | 869
            | 1042
            | 1043
            | 1082
            | 1083
            | 1114
            | 1184
            | 1186
            | 1266
            | 1700
            | 2950
    )
}

/// Types that every value can be written as: a cast to one of them cannot fail.
pub(crate) fn takes_any_value(schema: Option<&str>, name: &str) -> bool {
    matches!(schema, None | Some("pg_catalog")) && matches!(name, "text" | "varchar" | "bpchar" | "name")
}

/// Columns of system relations that hold samples of the data or the texts of statements: those that are not listed. `None` for
/// relations without such columns.
pub(crate) fn plain_columns(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "pg_stats" => &["schemaname", "tablename", "attname", "inherited"],
        "pg_stats_ext" | "pg_stats_ext_exprs" => &[
            "schemaname",
            "tablename",
            "statistics_schemaname",
            "statistics_name",
            "statistics_owner",
            "attnames",
            "inherited",
        ],
        "pg_statistic" => &["starelid", "staattnum", "stainherit"],
        "pg_statistic_ext_data" => &["stxoid", "stxdinherit"],
        "pg_stat_activity" => &[
            "datid",
            "datname",
            "pid",
            "leader_pid",
            "usesysid",
            "usename",
            "application_name",
            "client_addr",
            "client_hostname",
            "client_port",
            "backend_start",
            "xact_start",
            "query_start",
            "state_change",
            "wait_event_type",
            "wait_event",
            "state",
            "backend_xid",
            "backend_xmin",
            "query_id",
            "backend_type",
        ],
        "pg_prepared_statements" | "pg_cursors" => {
            &["name", "creation_time", "prepare_time", "is_holdable", "is_binary", "is_scrollable"]
        }
        "pg_largeobject" => &["loid", "pageno"],
        _ if name.starts_with("pg_stats") || name.starts_with("pg_stat_statements") => &[],
        _ => return None,
    })
}
