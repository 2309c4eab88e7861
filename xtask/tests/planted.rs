//! Plants what must not be in a small tree of its own and sees the real binary refuse it, as a contributor would.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

const ROOT: &str = "[workspace]\nresolver = \"3\"\nmembers = [\"crates/core/*\", \"crates/protocols/*\"]\n";

/// A workspace with a core crate and two protocols, all in order.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "Cargo.toml", ROOT);
    write(dir.path(), "ARCHITECTURE.md", "crates/core/model, crates/protocols/postgres and crates/protocols/mysql.\n");
    member(dir.path(), "crates/core/model", "");
    member(dir.path(), "crates/protocols/postgres", "model = { path = \"../../core/model\" }\n");
    member(dir.path(), "crates/protocols/mysql", "model = { path = \"../../core/model\" }\n");
    dir
}

fn write(root: &Path, path: &str, text: &str) {
    let at = root.join(path);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    std::fs::write(at, text).unwrap();
}

fn member(root: &Path, folder: &str, dependencies: &str) {
    let name = folder.rsplit('/').next().unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}"
    );
    write(root, &format!("{folder}/Cargo.toml"), &manifest);
    write(root, &format!("{folder}/src/lib.rs"), "//! Holds nothing.\n");
}

/// Runs the check: whether it passed, and all that it said.
fn xtask(check: &str, root: &Path) -> (bool, String) {
    let out = Command::new(env!("CARGO_BIN_EXE_xtask")).args([check, "--root"]).arg(root).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.success(), said)
}

#[track_caller]
fn refuses(check: &str, root: &Path, because: &str) {
    let (passed, said) = xtask(check, root);
    assert!(!passed, "passed, and said:\n{said}");
    assert!(said.contains(because), "does not say {because:?}:\n{said}");
}

#[test]
fn a_tree_in_order_passes() {
    let dir = tree();
    for check in ["deps", "tidy"] {
        let (passed, said) = xtask(check, dir.path());
        assert!(passed, "{check}: {said}");
    }
}

#[test]
fn a_wrong_arrow_is_refused() {
    let dir = tree();
    member(dir.path(), "crates/protocols/mysql", "postgres = { path = \"../postgres\" }\n");
    refuses("deps", dir.path(), "wrong arrow: mysql -> postgres");
}

#[test]
fn a_wrong_arrow_is_refused_under_another_name() {
    let dir = tree();
    member(dir.path(), "crates/protocols/mysql", "wire = { package = \"postgres\", path = \"../postgres\" }\n");
    refuses("deps", dir.path(), "wrong arrow: mysql -> postgres");
}

#[test]
fn a_wrong_arrow_is_refused_for_one_platform_and_at_build_time() {
    for section in ["[target.'cfg(windows)'.dependencies]", "[build-dependencies]"] {
        let dir = tree();
        member(
            dir.path(),
            "crates/protocols/mysql",
            &format!("\n{section}\npostgres = {{ path = \"../postgres\" }}\n"),
        );
        refuses("deps", dir.path(), "wrong arrow: mysql -> postgres");
    }
}

#[test]
fn a_runtime_in_the_core_is_refused() {
    let dir = tree();
    member(dir.path(), "crates/core/model", "tokio = \"1\"\n");
    refuses("deps", dir.path(), "model must stay pure");
}

#[test]
fn a_clock_in_the_core_is_refused() {
    let dir = tree();
    write(dir.path(), "crates/core/model/src/lib.rs", "//! Doc.\nfn f() { std::time::Instant::now(); }\n");
    refuses("deps", dir.path(), "crates/core/model/src/lib.rs:2: `Instant::now`");
}

#[test]
fn an_undocumented_module_is_refused() {
    let dir = tree();
    write(dir.path(), "crates/core/model/src/hidden.rs", "pub fn f() {}\n");
    refuses("tidy", dir.path(), "crates/core/model/src/hidden.rs:1: undocumented module");
}

#[test]
fn a_crate_off_the_map_is_refused() {
    let dir = tree();
    member(dir.path(), "crates/core/extra", "");
    refuses("tidy", dir.path(), "does not mention crates/core/extra");
}

#[test]
fn an_unknown_check_is_refused() {
    let dir = tree();
    refuses("tidier", dir.path(), "no check is called 'tidier'");
}
