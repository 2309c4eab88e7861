//! The arrows, the calls and the names, each with what is fine and what is not.

use super::{Layer, Package, SourceFile, arrows, calls, names};

fn package(folder: &str, dependencies: &[&str]) -> Package {
    Package {
        name: folder.rsplit('/').next().unwrap_or(folder).to_owned(),
        folder: folder.to_owned(),
        layer: Layer::of(folder),
        dependencies: dependencies.iter().map(|d| (*d).to_owned()).collect(),
    }
}

/// Adds `from -> to` and says what was found.
fn arrow(from: &str, to: &str) -> Vec<String> {
    let name = to.rsplit('/').next().unwrap_or(to);
    let all = [package(from, &[name]), package(to, &[])];
    let mut problems = Vec::new();
    for p in &all {
        arrows(p, &all, &mut problems);
    }
    problems.into_iter().map(|p| p.what).collect()
}

#[test]
fn arrows_run_one_way() {
    let rooms = [
        ("crates/core/model", 0),
        ("crates/core/sql", 1),
        ("crates/core/policy", 2),
        ("crates/core/enforce", 3),
        ("crates/services/identity", 5),
        ("crates/runtime", 6),
        ("crates/edge/api", 7),
        ("bin/countersign", 8),
    ];
    for (from, a) in rooms {
        for (to, b) in rooms {
            if from != to {
                assert_eq!(arrow(from, to).is_empty(), a > b, "{from} -> {to}");
            }
        }
    }
}

#[test]
fn neighbours_that_must_not_meet() {
    for (from, to, fine) in [
        ("crates/core/sql", "crates/core/mask", false),
        ("crates/protocols/postgres", "crates/core/enforce", true),
        ("crates/protocols/postgres", "crates/core/sql", true),
        ("crates/protocols/postgres", "crates/core/policy", false),
        ("crates/protocols/postgres", "crates/protocols/mysql", false),
        ("crates/protocols/postgres", "crates/services/store", false),
        ("crates/protocols/postgres", "crates/runtime", false),
        ("crates/services/identity", "crates/protocols/ssh", false),
        ("crates/services/identity", "crates/services/recording", false),
        ("crates/services/credentials", "crates/services/store", true),
        ("crates/services/store", "crates/services/credentials", false),
        ("crates/services/identity", "crates/services/outbound", true),
        ("crates/services/outbound", "crates/services/identity", false),
        ("crates/runtime", "crates/protocols/postgres", false),
        ("crates/edge/api", "crates/protocols/postgres", false),
        ("crates/edge/api", "crates/edge/config", true),
        ("bin/countersign", "crates/protocols/postgres", true),
        ("tests/e2e", "crates/protocols/postgres", true),
        ("crates/edge/api", "tests/e2e", false),
    ] {
        assert_eq!(arrow(from, to).is_empty(), fine, "{from} -> {to}");
    }
}

#[test]
fn an_unknown_folder_is_a_problem() {
    assert_eq!(arrow("crates/attic/x", "crates/core/model").len(), 1);
}

#[test]
fn the_core_and_the_wire_protocols_bring_in_no_io() {
    for (folder, dependency, fine) in [
        ("crates/core/policy", "tokio", false),
        ("crates/core/policy", "bytes", true),
        ("crates/protocols/postgres", "tokio", false),
        ("crates/protocols/ssh", "tokio", true),
        ("crates/runtime", "tokio", true),
    ] {
        let p = [package(folder, &[dependency])];
        let mut problems = Vec::new();
        arrows(&p[0], &p, &mut problems);
        assert_eq!(problems.is_empty(), fine, "{folder} -> {dependency}");
    }
}

fn file(path: &str, text: &str) -> SourceFile {
    SourceFile { path: path.to_owned(), text: text.to_owned(), executable: false }
}

#[test]
fn clocks_and_sockets_are_seen_where_they_ship() {
    for (path, text, count) in [
        ("crates/core/enforce/src/gate.rs", "let t = std::time::Instant::now();\n", 1),
        ("crates/core/enforce/src/gate.rs", "use std::time::SystemTime;\nSystemTime::now()\n", 1),
        ("crates/core/enforce/src/gate.rs", "// Instant::now is banned\n", 0),
        ("crates/core/enforce/src/gate.rs", "fn f() {}\n#[cfg(test)]\nmod tests { Instant::now() }\n", 0),
        ("crates/core/enforce/tests/gate.rs", "Instant::now()\n", 0),
        ("crates/core/sql/examples/timing.rs", "Instant::now()\n", 0),
        ("crates/core/model/src/session.rs", "use std::net::SocketAddr;\n", 0),
        ("crates/protocols/postgres/src/machine.rs", "Instant::now()\n", 1),
        ("crates/runtime/src/lib.rs", "Instant::now()\n", 0),
    ] {
        let mut problems = Vec::new();
        calls(&file(path, text), &mut problems);
        assert_eq!(problems.len(), count, "{path}: {text}");
    }
}

#[test]
fn protocol_names_stay_in_their_rooms() {
    for (path, text, count) in [
        ("crates/runtime/src/lib.rs", "// as Postgres does\n", 1),
        ("crates/core/policy/src/lib.rs", "a SQL statement\n", 1),
        ("crates/core/policy/src/lib.rs", "use countersign_sql::Reading;\n", 0),
        ("crates/services/recording/src/lib.rs", "the SQLSTATE\n", 1),
        ("crates/services/recording/src/lib.rs", "kept in SQLite\n", 0),
        ("crates/core/sql/src/lib.rs", "PostgreSQL\n", 0),
        ("crates/services/store/src/pg.rs", "use sqlx::postgres::PgPool;\n", 0),
        ("crates/protocols/postgres/src/lib.rs", "postgres\n", 0),
    ] {
        let mut problems = Vec::new();
        names(&file(path, text), &mut problems);
        assert_eq!(problems.len(), count, "{path}: {text}");
    }
}
