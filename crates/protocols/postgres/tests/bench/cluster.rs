//! A throwaway PostgreSQL cluster for this test process, on a free port of loopback. It ends with the process, however that ends.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use crate::bench::through::{Far, Wire};
use crate::bench::wire::{self, Message};

/// Nothing here takes longer; a session that does, hangs.
const PATIENCE: Duration = Duration::from_secs(20);

struct Cluster {
    port: u16,
}

static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// The `bin` of the newest PostgreSQL.
fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path().join("bin"))
        .filter(|p| p.join("initdb").exists())
        .collect();
    found.sort_by_key(|p| p.parent().and_then(Path::file_name).and_then(|n| n.to_str()?.parse::<u32>().ok()));
    found.pop().unwrap_or_else(|| {
        panic!("no PostgreSQL under /usr/lib/postgresql: these tests need a real server (apt-get install postgresql)")
    })
}

/// A command of the account `postgres` when we are root, which PostgreSQL refuses to run as.
fn command(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    if root {
        let mut c = Command::new("runuser");
        c.args(["-u", "postgres", "--"]).arg(program);
        c
    } else {
        Command::new(program)
    }
}

fn run(c: &mut Command) {
    let output = c.output().unwrap_or_else(|e| panic!("{c:?}: {e}"));
    assert!(output.status.success(), "{c:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn start() -> Cluster {
    let bin = bin();
    let folder = std::env::temp_dir().join(format!("countersign-pg-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&folder);
    run(command(Path::new("mkdir")).arg(&folder));
    let data = folder.join("data");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    run(command(&bin.join("initdb"))
        .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
        .arg(&data));
    drop(listener);
    let options = format!(
        "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c fsync=off -c max_connections=300 \
         -c autovacuum=off -c max_prepared_transactions=10 -c log_min_messages=panic",
        folder.display()
    );
    // It waits for the end of its input, which is the end of this process, and then clears up.
    let watch = "read _; \"$0\" stop -m immediate -D \"$1/data\"; rm -rf \"$1\"";
    #[expect(clippy::zombie_processes, reason = "it ends after this process")]
    let mut watcher = command(Path::new("sh"))
        .args(["-c", watch])
        .arg(bin.join("pg_ctl"))
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    static WATCHED: Mutex<Vec<std::process::ChildStdin>> = Mutex::new(Vec::new());
    WATCHED.lock().unwrap().extend(watcher.stdin.take());
    run(command(&bin.join("pg_ctl"))
        .args(["start", "-w", "-s", "-l"])
        .arg(folder.join("log"))
        .args(["-o", &options, "-D"])
        .arg(&data)
        .stdin(Stdio::null()));
    let mut admin = Direct::connect_as(port, "postgres", "postgres");
    admin.run("CREATE ROLE gw LOGIN CREATEDB; ");
    admin.run("CREATE DATABASE shop OWNER gw");
    let mut shop = Direct::connect_as(port, "gw", "shop");
    for sql in include_str!("shop.sql").split(";\n").filter(|s| !s.trim().is_empty()) {
        shop.run(sql);
    }
    Cluster { port }
}

/// The port of the cluster.
pub(crate) fn port() -> u16 {
    CLUSTER.get_or_init(start).port
}

/// A new database with the shop's tables.
pub(crate) fn database() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(1);
    // A template may be copied by one at a time.
    static COPYING: Mutex<()> = Mutex::new(());
    let port = port();
    let name = format!("db{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let _copying = COPYING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Direct::connect_as(port, "gw", "postgres").run(&format!("CREATE DATABASE {name} TEMPLATE shop"));
    name
}

/// A connection straight to the server.
pub(crate) struct Direct {
    socket: TcpStream,
    told: Vec<u8>,
    ended: bool,
}

fn dial(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

/// Reads what there is; `None` at the end.
fn read(socket: &mut TcpStream, what: &str) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 64 << 10];
    match socket.read(&mut buffer) {
        Ok(0) => None,
        Ok(n) => Some(buffer[..n].to_vec()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
            panic!("{what}: no answer within {PATIENCE:?}")
        }
        Err(_) => None,
    }
}

impl Direct {
    /// Logs in as the gateway's account.
    pub(crate) fn connect(database: &str) -> Self {
        Self::connect_as(port(), "gw", database)
    }

    fn connect_as(port: u16, user: &str, database: &str) -> Self {
        let mut direct = Self::raw(port);
        let pairs = [("user", user), ("database", database), ("client_encoding", "UTF8")];
        direct.send(&wire::startup(wire::V3_0, &pairs));
        direct.wait(b'Z', 1);
        direct.take();
        direct
    }

    /// A connection that said nothing yet.
    pub(crate) fn raw(port: u16) -> Self {
        Self { socket: dial(port), told: Vec::new(), ended: false }
    }

    /// Runs SQL that must succeed.
    pub(crate) fn run(&mut self, sql: &str) -> Vec<String> {
        self.send(&wire::q(sql));
        self.wait(b'Z', 1);
        let words: Vec<String> = self.take().iter().map(wire::words).collect();
        assert!(!words.iter().any(|w| w.starts_with("E:")), "{sql}: {words:?}");
        words
    }
}

impl Wire for Direct {
    fn send(&mut self, b: &[u8]) {
        // A server that has closed is found when it is read.
        let _ = self.socket.write_all(b);
    }

    fn wait(&mut self, tag: u8, count: usize) {
        while !self.ended && wire::messages(&self.told).0.iter().filter(|m| m.tag == tag).count() < count {
            let so_far: Vec<String> = wire::messages(&self.told).0.iter().map(wire::words).collect();
            match read(&mut self.socket, &format!("direct, after {so_far:?}")) {
                Some(b) => self.told.extend(b),
                None => self.ended = true,
            }
        }
    }

    fn take(&mut self) -> Vec<Message> {
        let (messages, rest) = wire::messages(&self.told);
        self.told = rest.to_vec();
        messages
    }
}

/// The gateway's connection to the server.
pub(crate) struct Server(TcpStream);

impl Server {
    pub(crate) fn dial() -> Self {
        Self(dial(port()))
    }
}

impl Far for Server {
    fn write(&mut self, b: &[u8]) {
        let _ = self.0.write_all(b);
    }

    fn read(&mut self) -> Option<Vec<u8>> {
        read(&mut self.0, "through the machine")
    }

    fn cancel(&mut self, order: &[u8]) {
        let mut socket = dial(port());
        socket.write_all(order).unwrap();
        while read(&mut socket, "a cancel order").is_some() {}
    }
}
