//! Checks of the house itself: `cargo xtask deps | tidy | licences | rows`.
//!
//! Each check reads the tree (and what `cargo metadata` says of it), lists every problem with file and line, and exits 1 when there is one.
//! It never changes a file and never reaches the network.

mod deps;
mod licences;
mod problem;
mod rows;
mod spdx;
mod tidy;
mod tree;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use problem::Report;

const USAGE: &str = "\
usage: cargo xtask CHECK [--root DIR]

  deps      the arrows of the house: who may depend on whom, no clock, socket or protocol name where none belongs
  tidy      module docs, file lengths, leftovers, whitespace, scripts, documentation links
  licences  licences, banned packages and sources of everything that comes in (deny.toml)
  rows      which rows of the adversarial list have a test, and which do not (a list, not a check)
";

/// How to ask cargo for all that is built, on any platform that we ship for, one package a line.
const BUILT: [&str; 10] = [
    "tree",
    "--workspace",
    "--locked",
    "--prefix=none",
    "--format={p}",
    "--edges=normal,build,dev",
    "--target=x86_64-unknown-linux-gnu",
    "--target=aarch64-unknown-linux-gnu",
    "--color=never",
    "--quiet",
];

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mut check = None;
    let mut root = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--root" => root = args.next().map(PathBuf::from),
            "-h" | "--help" => return finish(Ok(USAGE.to_owned())),
            _ if check.is_none() => check = Some(arg),
            _ => return finish(Err(format!("one check at a time\n{USAGE}"))),
        }
    }
    let root = root.unwrap_or_else(workspace_root);
    let report = match check.as_deref() {
        Some("deps") => metadata(&root, &["--no-deps"]).and_then(|m| deps::check(&root, &m)),
        Some("tidy") => tidy::check(&root),
        Some("licences" | "licenses") => metadata(&root, &["--locked"])
            .and_then(|m| Ok((m, cargo(&root, &BUILT)?)))
            .and_then(|(m, built)| licences::check(&root, &m, &String::from_utf8_lossy(&built))),
        Some("rows") => return finish(rows::list(&root)),
        Some(other) => Err(format!("no check is called '{other}'\n{USAGE}")),
        None => Err(USAGE.to_owned()),
    };
    finish(report.and_then(Report::into_outcome))
}

/// Where the workspace is when nobody says: one folder up from this package's manifest. Cargo says where that is at run time; what it
/// said when this was built is another clone's, where two share a target folder.
fn workspace_root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    here.parent().map_or_else(|| here.clone(), Path::to_owned)
}

fn finish(outcome: Result<String, String>) -> ExitCode {
    // A closed pipe (`| head`) is not worth a report of its own.
    match outcome {
        Ok(text) => {
            let _ = std::io::stdout().lock().write_all(text.as_bytes());
            ExitCode::SUCCESS
        }
        Err(text) => {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            ExitCode::FAILURE
        }
    }
}

/// What cargo knows of the workspace at `root`.
fn metadata(root: &Path, extra: &[&str]) -> Result<serde_json::Value, String> {
    let args = [&["metadata", "--format-version", "1"], extra].concat();
    let out = cargo(root, &args)?;
    serde_json::from_slice(&out).map_err(|e| format!("cargo metadata gave no JSON: {e}\n"))
}

/// Runs cargo at `root`: what it printed.
fn cargo(root: &Path, args: &[&str]) -> Result<Vec<u8>, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let out = Command::new(&cargo)
        .args(args)
        .current_dir(root)
        .output()
        .map_err(|e| format!("cannot run '{}': {e}\n", cargo.to_string_lossy()))?;
    if !out.status.success() {
        return Err(format!("cargo {} failed:\n{}", args.join(" "), String::from_utf8_lossy(&out.stderr)));
    }
    Ok(out.stdout)
}
