//! The arrows of the house: which crate may depend on which, and what must not be named where.
//!
//! model ← {sql, sh, mask} ← policy ← enforce ← {protocols, services} ← runtime ← edge ← bin. Dev-dependencies are not judged: they do not ship.

use std::path::Path;

use serde_json::Value;

use crate::problem::{Problem, Report};
use crate::tree::{self, SourceFile, has_word};

/// Where in the house a package lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Layer {
    Model,
    /// `sql`, `sh` and `mask`.
    Reading,
    Policy,
    Enforce,
    Protocol,
    /// What services stand on: `store` and `outbound`.
    Store,
    Service,
    Runtime,
    Edge,
    Bin,
    /// Tests, benchmarks and checks: they do not ship.
    Outside,
}

impl Layer {
    /// From a folder relative to the root; `None` when the house has no such room.
    fn of(folder: &str) -> Option<Self> {
        Some(match folder.split('/').collect::<Vec<_>>().as_slice() {
            ["crates", "core", "model"] => Self::Model,
            ["crates", "core", "sql" | "sh" | "mask"] => Self::Reading,
            ["crates", "core", "policy"] => Self::Policy,
            ["crates", "core", "enforce"] => Self::Enforce,
            ["crates", "protocols", _] => Self::Protocol,
            ["crates", "services", "store" | "outbound"] => Self::Store,
            ["crates", "services", _] => Self::Service,
            ["crates", "runtime"] => Self::Runtime,
            ["crates", "edge", _] => Self::Edge,
            ["bin", _] => Self::Bin,
            ["xtask"] | ["tests" | "bench" | "fuzz", ..] => Self::Outside,
            _ => return None,
        })
    }

    /// The layers that this one may depend on.
    const fn below(self) -> &'static [Self] {
        use Layer::{Edge, Enforce, Model, Policy, Protocol, Reading, Runtime, Service, Store};
        match self {
            Self::Model => &[],
            Self::Reading => &[Model],
            Self::Policy => &[Model, Reading],
            Self::Enforce => &[Model, Reading, Policy],
            // Not policy: a protocol asks the gate, it never judges.
            Self::Protocol => &[Model, Reading, Enforce],
            Self::Store => &[Model, Reading, Policy, Enforce],
            Self::Service => &[Model, Reading, Policy, Enforce, Store],
            // Not protocols: a new protocol is one crate and one line in bin.
            Self::Runtime => &[Model, Reading, Policy, Enforce, Store, Service],
            Self::Edge => &[Model, Reading, Policy, Enforce, Store, Service, Runtime, Edge],
            Self::Bin | Self::Outside => {
                &[Model, Reading, Policy, Enforce, Protocol, Store, Service, Runtime, Edge, Self::Outside]
            }
        }
    }

    const fn is_core(self) -> bool {
        matches!(self, Self::Model | Self::Reading | Self::Policy | Self::Enforce)
    }

    /// Why an arrow out of this layer was refused.
    const fn rule(self) -> &'static str {
        match self {
            Self::Model => "the model depends on nothing of ours",
            Self::Reading => "sql, sh and mask depend on the model alone",
            Self::Policy => "policy depends on model, sql, sh and mask alone",
            Self::Enforce => "enforce depends on the rest of the core alone",
            Self::Protocol => {
                "a protocol depends on model, sql, sh, mask and enforce alone, never on another protocol, a service, the runtime or policy"
            }
            Self::Store => "the store and outbound depend on the core alone",
            Self::Service => {
                "a service depends on the core, the store and outbound alone, never on a protocol or another service"
            }
            Self::Runtime => "the runtime depends on the core and the services, never on a protocol or the edge",
            Self::Edge => "the edge depends on what is below it, never on a protocol or the binary",
            Self::Bin | Self::Outside => "nothing depends on the binary",
        }
    }
}

/// Packages that do I/O or read a clock; neither core nor a wire protocol may bring them in.
const IMPURE: [&str; 26] = [
    "async-std",
    "axum",
    "chrono",
    "h2",
    "hyper",
    "hyper-util",
    "libc",
    "mio",
    "native-tls",
    "nix",
    "object_store",
    "openssl",
    "opentelemetry_sdk",
    "reqwest",
    "rustix",
    "rustls",
    "smol",
    "socket2",
    "sqlx",
    "time",
    "tokio",
    "tokio-postgres",
    "tokio-rustls",
    "tokio-util",
    "tonic",
    "tower",
];

/// Protocols that are sans-I/O; the hosted ones (ssh, http, kubernetes, mcp) bring their servers along.
const WIRE_PROTOCOLS: [&str; 2] = ["crates/protocols/postgres", "crates/protocols/mysql"];

/// Calls that the core must not make outside tests: time, files and sockets are inputs.
const IMPURE_CALLS: [(&str, &str); 10] = [
    ("Instant::now", "time is an input of the core: take it as a parameter"),
    ("SystemTime::now", "time is an input of the core: take it as a parameter"),
    ("Utc::now", "time is an input of the core: take it as a parameter"),
    ("TcpStream", "the core opens no socket"),
    ("TcpListener", "the core opens no socket"),
    ("UdpSocket", "the core opens no socket"),
    ("UnixStream", "the core opens no socket"),
    ("std::fs", "the core opens no file: take the text as a parameter"),
    ("std::env::var", "the core reads no environment: take the value as a parameter"),
    ("std::process::Command", "the core starts no process"),
];

/// Where the name of a protocol must not appear, so that these stay good for every protocol.
const NAMELESS: [&str; 3] = ["crates/core/", "crates/runtime/", "crates/services/"];

/// Names that are banned there, in small letters. `true`: as a whole word only.
const BANNED_NAMES: [(&str, bool); 3] = [("postgres", false), ("sql", true), ("sqlstate", true)];

/// A place that may use a banned name, and why.
struct Exception {
    prefix: &'static str,
    reason: &'static str,
}

const NAME_EXCEPTIONS: [Exception; 2] = [
    Exception { prefix: "crates/core/sql/", reason: "it reads SQL; the dialect is its subject" },
    Exception {
        prefix: "crates/services/store/",
        reason: "its own backends are SQLite and PostgreSQL, which has nothing to do with a target's protocol",
    },
];

/// Checks every package of the workspace at `root`, as `cargo metadata --no-deps` tells of them, and the sources.
pub(crate) fn check(root: &Path, metadata: &Value) -> Result<Report, String> {
    let packages = packages(root, metadata)?;
    let mut problems = Vec::new();
    for p in &packages {
        arrows(p, &packages, &mut problems);
    }
    let files = tree::files(root)?;
    for f in files.iter().filter(|f| f.extension() == "rs") {
        calls(f, &mut problems);
        names(f, &mut problems);
    }
    Ok(Report {
        check: "deps",
        scope: format!("{} packages, {} files", packages.len(), files.len()),
        notes: Vec::new(),
        problems,
    })
}

struct Package {
    name: String,
    folder: String,
    layer: Option<Layer>,
    /// What ships with it.
    dependencies: Vec<String>,
}

fn packages(root: &Path, metadata: &Value) -> Result<Vec<Package>, String> {
    // Cargo resolves links in the paths it prints.
    let root = root.canonicalize().map_err(|e| format!("cannot find {}: {e}\n", root.display()))?;
    let listed = metadata.get("packages").and_then(Value::as_array).ok_or("cargo metadata lists no packages\n")?;
    let mut out = Vec::new();
    for p in listed {
        let name = p.get("name").and_then(Value::as_str).ok_or("a package without a name\n")?;
        let manifest = p.get("manifest_path").and_then(Value::as_str).ok_or("a package without a manifest\n")?;
        let folder = Path::new(manifest).parent().unwrap_or(Path::new(""));
        let folder = folder.strip_prefix(&root).unwrap_or(folder).to_string_lossy().into_owned();
        let dependencies = p
            .get("dependencies")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter(|d| d.get("kind").and_then(Value::as_str) != Some("dev"))
            .filter_map(|d| d.get("name").and_then(Value::as_str).map(str::to_owned))
            .collect();
        out.push(Package { name: name.to_owned(), layer: Layer::of(&folder), folder, dependencies });
    }
    Ok(out)
}

fn arrows(p: &Package, all: &[Package], problems: &mut Vec<Problem>) {
    let manifest = format!("{}/Cargo.toml", p.folder);
    let Some(layer) = p.layer else {
        let what =
            format!("{} lives in a folder that the house does not know: give it a layer in xtask/src/deps.rs", p.name);
        problems.push(Problem::new(&manifest, 0, what));
        return;
    };
    let pure = layer.is_core() || WIRE_PROTOCOLS.contains(&p.folder.as_str());
    for name in &p.dependencies {
        if let Some(to) = all.iter().find(|q| q.name == *name) {
            let allowed = to.layer.is_none_or(|l| layer.below().contains(&l));
            if !allowed {
                let what = format!("wrong arrow: {} -> {}: {}", p.name, to.name, layer.rule());
                problems.push(Problem::new(&manifest, 0, what));
            }
        } else if pure && IMPURE.contains(&name.as_str()) {
            let what = format!("{} must stay pure, but depends on {name}, which does I/O or reads a clock", p.name);
            problems.push(Problem::new(&manifest, 0, what));
        }
    }
}

/// The lines that ship: up to the test module, which by our habit (and clippy's `items_after_test_module`) is last.
fn shipped_lines(f: &SourceFile) -> impl Iterator<Item = (usize, &str)> {
    let is_test = f.path.ends_with("/tests.rs")
        || f.path.contains("/tests/")
        || f.path.contains("/benches/")
        || f.path.contains("/examples/");
    f.lines().take_while(move |(_, l)| !is_test && l.trim() != "#[cfg(test)]")
}

fn calls(f: &SourceFile, problems: &mut Vec<Problem>) {
    let wire = WIRE_PROTOCOLS.iter().any(|w| f.path.strip_prefix(w).is_some_and(|rest| rest.starts_with('/')));
    if !f.path.starts_with("crates/core/") && !wire {
        return;
    }
    for (n, line) in shipped_lines(f) {
        if line.trim_start().starts_with("//") {
            continue;
        }
        for (call, why) in IMPURE_CALLS {
            if has_word(line, call) {
                problems.push(Problem::new(&f.path, n, format!("`{call}`: {why}")));
            }
        }
    }
}

fn names(f: &SourceFile, problems: &mut Vec<Problem>) {
    if !NAMELESS.iter().any(|p| f.path.starts_with(p)) || NAME_EXCEPTIONS.iter().any(|e| f.path.starts_with(e.prefix)) {
        return;
    }
    for (n, line) in f.lines() {
        let small = line.to_lowercase();
        for (name, whole) in BANNED_NAMES {
            if if whole { has_word(&small, name) } else { small.contains(name) } {
                let allowed: Vec<String> =
                    NAME_EXCEPTIONS.iter().map(|e| format!("{} ({})", e.prefix, e.reason)).collect();
                let what = format!("`{name}` has no place here; only in {}", allowed.join(" and "));
                problems.push(Problem::new(&f.path, n, what));
            }
        }
    }
}

#[cfg(test)]
mod tests;
