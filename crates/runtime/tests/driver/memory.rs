//! What idle sessions cost, measured on a gateway in a process of its own.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use countersign_runtime::{Roots, TlsMode, TlsReload, UpstreamTls, raise_file_limit, server_config};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::target;
use crate::tls::{Made, handshake, make};
use crate::world::{Client, Setup, local};

const SESSIONS: usize = 1000;

/// The gateway's process, ended with its standard input.
struct Process {
    child: Child,
    /// Kept open: the process writes to it at its end.
    _said: Lines<BufReader<ChildStdout>>,
    addr: SocketAddr,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.child.wait().unwrap();
    }
}

impl Process {
    fn start(target: SocketAddr, tls: Option<&Made>) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "--nocapture", "memory::gateway_process"]);
        command.env("TARGET", target.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(tls) = tls {
            command.env("CERTIFICATE", &tls.pem).env("KEY", &tls.key_pem);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let addr = lines.find_map(|l| l.unwrap().split_once("ADDR ").map(|(_, a)| a.parse().unwrap())).unwrap();
        Self { child, _said: lines, addr }
    }

    fn rss_kib(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let rss = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).unwrap();
        rss.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

#[test]
#[ignore = "the memory tests start it as a process of its own"]
fn gateway_process() {
    let target = std::env::var("TARGET").unwrap().parse().unwrap();
    raise_file_limit().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut setup = Setup { target: Some(target), ..Setup::default() };
    let mut listener = local();
    listener.login_timeout = Duration::from_secs(120);
    if let (Ok(certificate), Ok(key)) = (std::env::var("CERTIFICATE"), std::env::var("KEY")) {
        let config = server_config(certificate.as_bytes(), key.as_bytes(), &[b"toy"]).unwrap();
        listener.tls = Some(TlsReload::new(config));
        let roots = Roots::Pem(certificate.into_bytes());
        setup.upstream_tls = Some(UpstreamTls::new(TlsMode::VerifyFull, &roots, None).unwrap());
    }
    setup.listener = Some(listener);
    let world = runtime.block_on(setup.start());
    writeln!(std::io::stdout(), "\nADDR {}", world.addr).unwrap();
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

async fn use_once<S: AsyncRead + AsyncWrite + Unpin>(mut c: Client<S>) -> Client<S> {
    c.login("db").await;
    assert_eq!(c.ask("read one").await, ["did read one"]);
    c
}

async fn dial(addr: SocketAddr) -> TcpStream {
    TcpStream::connect(addr).await.unwrap()
}

fn plain(tcp: TcpStream) -> Client<TcpStream> {
    Client { io: tokio::io::BufReader::new(tcp), key: String::new() }
}

#[tokio::test]
async fn a_thousand_idle_sessions_fit_into_16_mib() {
    raise_file_limit().unwrap();
    let (target, _) = target::start(None).await;
    let p = Process::start(target, None);
    use_once(plain(dial(p.addr).await)).await;
    let before = p.rss_kib();
    let all = (0..SESSIONS).map(|_| async { use_once(plain(dial(p.addr).await)).await });
    let clients = futures_util::future::join_all(all).await;
    sleep(Duration::from_secs(3)).await;
    let grown = p.rss_kib().saturating_sub(before);
    assert_eq!(clients.len(), SESSIONS);
    writeln!(std::io::stderr(), "{grown} KiB for {SESSIONS} sessions").unwrap();
    assert!(grown <= 16 * 1024, "{grown} KiB");
}

#[tokio::test]
async fn a_thousand_idle_sessions_under_tls_on_both_sides_fit_into_40_mib() {
    raise_file_limit().unwrap();
    let made = make(&[b"toy"]);
    let (target, _) = target::start(Some(made.config.clone())).await;
    let p = Process::start(target, Some(&made));
    let one = async || use_once(handshake(dial(p.addr).await, &made, &[b"toy"]).await.unwrap()).await;
    one().await;
    let before = p.rss_kib();
    let clients = futures_util::future::join_all((0..SESSIONS).map(|_| one())).await;
    sleep(Duration::from_secs(3)).await;
    let grown = p.rss_kib().saturating_sub(before);
    assert_eq!(clients.len(), SESSIONS);
    writeln!(std::io::stderr(), "{grown} KiB for {SESSIONS} sessions").unwrap();
    assert!(grown <= 40 * 1024, "{grown} KiB");
}
