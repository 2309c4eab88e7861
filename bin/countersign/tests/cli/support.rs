//! Running the binary, and a folder with a configuration for it.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a run of the binary left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, code, "\n--- stdout\n{}\n--- stderr\n{}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn says(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.out.contains(part), "no {part:?} in\n{}\n--- stderr\n{}", self.out, self.err);
        }
        self
    }

    #[track_caller]
    pub(crate) fn complains(self, parts: &[&str]) -> Self {
        for part in parts {
            assert!(self.err.contains(part), "no {part:?} in\n{}\n--- stdout\n{}", self.err, self.out);
        }
        self
    }

    /// No line is wider than 80 columns, and nothing acts on a terminal.
    #[track_caller]
    pub(crate) fn fits_a_terminal(self) -> Self {
        for line in self.out.lines() {
            assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
        }
        self.inert()
    }

    #[track_caller]
    pub(crate) fn inert(self) -> Self {
        let acts = |c: char| (c.is_control() && c != '\n') || matches!(c, '\u{202e}' | '\u{200b}');
        assert!(!self.out.contains(acts) && !self.err.contains(acts), "{:?}\n{:?}", self.out, self.err);
        self
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}", self.out))
    }
}

pub(crate) fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.env_remove("COLUMNS").env_remove("COUNTERSIGN_CONFIG").env("RUST_BACKTRACE", "0");
    command
}

pub(crate) fn run_in(dir: &Path, args: &[&str]) -> Ran {
    run_with(dir, args, b"")
}

pub(crate) fn run_with(dir: &Path, args: &[&str], input: &[u8]) -> Ran {
    let mut child = binary()
        .current_dir(dir)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let out = child.wait_with_output().unwrap();
    Ran {
        code: out.status.code().unwrap(),
        out: String::from_utf8(out.stdout).unwrap(),
        err: String::from_utf8(out.stderr).unwrap(),
    }
}

/// The folder with the demo's policies.
pub(crate) fn demo() -> PathBuf {
    PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap()).join("../../demo").canonicalize().unwrap()
}

pub(crate) const CONFIG: &str = r#"
[gateway]
data_dir = "."

[[listener]]
protocol = "postgres"
address = "127.0.0.1:0"

[api]
address = "127.0.0.1:0"

[local_issuer]
audience = "countersign"

[policy]
files = ["policy.cedar"]

[vault]
key = { file = "vault.key" }

[recording]
dir = "recordings"

[[target]]
name = "shop"
protocol = "postgres"
host = "127.0.0.1"
labels = { env = "prod" }

[target.tls]
mode = "disable"

[[target.account]]
groups = ["analysts"]
user = "reader"
password = { vault = "reader" }
"#;

/// A folder with a configuration, the demo's policies and a key.
pub(crate) fn house() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("countersign.toml"), CONFIG).unwrap();
    std::fs::copy(demo().join("policy.cedar"), dir.path().join("policy.cedar")).unwrap();
    run_in(dir.path(), &["credentials", "init-key", "vault.key"]).exits(0);
    dir
}
