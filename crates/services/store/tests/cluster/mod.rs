//! A throwaway PostgreSQL: its own data folder, reachable only by a socket in it, gone when dropped.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const START_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server.
pub(crate) struct Cluster {
    bin: PathBuf,
    dir: TempDir,
    /// The server refuses to run as root.
    owner: Option<(u32, u32)>,
}

impl Cluster {
    /// Makes and starts one.
    pub(crate) fn start() -> Self {
        let bin = newest_bin();
        let dir = tempfile::Builder::new().prefix("cs-store-").tempdir_in("/tmp").unwrap();
        let root =
            std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m) == 0).unwrap_or(false);
        let owner = root.then(unprivileged);
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(dir.path(), Some(uid), Some(gid)).unwrap();
        }
        let cluster = Self { bin, dir, owner };
        cluster.run("initdb", &["--auth=trust", "--username=countersign", "--encoding=UTF8", "--no-sync", "--pgdata"]);
        let socket = cluster.dir.path().display().to_string();
        let options = format!("-c listen_addresses='' -c unix_socket_directories='{socket}' -c fsync=off");
        let log = cluster.dir.path().join("log").display().to_string();
        let mut start = cluster.command("pg_ctl");
        start.args(["start", "--wait", "--log", &log, "--options", &options, "--pgdata"]).arg(cluster.data());
        // The server would keep a captured pipe open for as long as it lives.
        let status = start.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
        let log = || std::fs::read_to_string(cluster.dir.path().join("log")).unwrap_or_default();
        assert!(status.success(), "PostgreSQL does not start: {}", log());
        cluster
    }

    /// How to reach it.
    pub(crate) fn url(&self) -> String {
        format!("postgres:///postgres?user=countersign&host={}", self.dir.path().display())
    }

    /// Holds an exclusive lock on a table until dropped.
    pub(crate) fn hold_lock(&self, table: &str) -> Blocker {
        let sql = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep(60);");
        let mut psql = self.command("psql");
        psql.args(["-q", "-U", "countersign", "-h"]).arg(self.dir.path()).args(["-c", &sql, "postgres"]);
        let child = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let blocker = Blocker(child);
        let started = Instant::now();
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted";
        while self.ask(held) != "1" {
            assert!(started.elapsed() < START_TIMEOUT, "the lock is not taken");
            std::thread::sleep(Duration::from_millis(20));
        }
        blocker
    }

    fn ask(&self, sql: &str) -> String {
        let mut psql = self.command("psql");
        psql.args(["-q", "-A", "-t", "-U", "countersign", "-h"]).arg(self.dir.path()).args(["-c", sql, "postgres"]);
        String::from_utf8(psql.output().unwrap().stdout).unwrap().trim().to_owned()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut c = Command::new(self.bin.join(program));
        c.current_dir("/tmp").stdin(Stdio::null());
        if let Some((uid, gid)) = self.owner {
            c.uid(uid).gid(gid);
        }
        c
    }

    fn run(&self, program: &str, args: &[&str]) {
        let out = self.command(program).args(args).arg(self.data()).output().unwrap();
        let text = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "{program} failed: {text}");
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let mut stop = self.command("pg_ctl");
        stop.args(["stop", "--wait", "--mode", "immediate", "--pgdata"]).arg(self.data());
        let _ = stop.stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

/// Somebody who is in the way.
pub(crate) struct Blocker(Child);

impl Drop for Blocker {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The newest installed server.
fn newest_bin() -> PathBuf {
    let versions =
        std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten().map(|e| e.path().join("bin"));
    let mut found: Vec<PathBuf> = versions.filter(|bin| bin.join("initdb").exists()).collect();
    found.sort_by_key(|p| p.parent().and_then(Path::file_name).and_then(|n| n.to_str()?.parse::<u32>().ok()));
    found
        .pop()
        .expect("no PostgreSQL under /usr/lib/postgresql: run ./test, which installs it, or apt-get install postgresql")
}

/// User and group of `postgres`, which Debian's package makes, or else of `nobody`.
fn unprivileged() -> (u32, u32) {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = passwd.lines().find(|l| l.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    find("postgres").or_else(|| find("nobody")).expect("no user `postgres` or `nobody` to run PostgreSQL as")
}
