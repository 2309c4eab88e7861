//! A target for the toy protocol that writes down every line it gets.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

/// Of longer lines only the beginning is written down.
const LINE_BYTES_KEPT: usize = 1024;

#[derive(Default)]
pub struct Seen {
    /// Every line, as "SESSION line".
    pub lines: Mutex<Vec<String>>,
    /// Bytes of bulk that a socket took.
    pub bulk_bytes: AtomicU64,
    pub sessions: AtomicUsize,
    cancels: Mutex<HashMap<String, Arc<Running>>>,
    pub cancel_orders: AtomicUsize,
    /// While this is held, orders to cancel are slow.
    pub slow_orders: tokio::sync::Mutex<()>,
}

/// What a session of the target runs.
#[derive(Default)]
struct Running {
    statement: Mutex<String>,
    cancelled: Notify,
}

impl Seen {
    pub fn of(&self, session: usize) -> Vec<String> {
        let prefix = format!("{session} ");
        self.lines.lock().unwrap().iter().filter_map(|l| l.strip_prefix(&prefix).map(str::to_owned)).collect()
    }

    pub fn statements(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        let said = lines.iter().filter_map(|l| l.split_once(' ').map(|(_, l)| l.to_owned()));
        said.filter(|l| ["read", "write", "drop", "lend"].iter().any(|kind| l.starts_with(kind))).collect()
    }

    pub fn has(&self, what: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|l| l.contains(what))
    }
}

pub async fn start(tls: Option<Arc<rustls::ServerConfig>>) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = Arc::new(Seen::default());
    let all = seen.clone();
    tokio::spawn(async move {
        loop {
            let (tcp, _) = listener.accept().await.unwrap();
            tcp.set_nodelay(true).unwrap();
            let session = all.sessions.fetch_add(1, Ordering::SeqCst);
            let (all, tls) = (all.clone(), tls.clone());
            tokio::spawn(async move {
                // However it ended.
                let _ = connection(tcp, session, all.clone(), tls).await;
                all.lines.lock().unwrap().push(format!("{session} GONE"));
            });
        }
    });
    (addr, seen)
}

async fn connection(
    tcp: tokio::net::TcpStream,
    session: usize,
    seen: Arc<Seen>,
    tls: Option<Arc<rustls::ServerConfig>>,
) -> std::io::Result<()> {
    let mut plain = BufReader::new(tcp);
    if let Some(tls) = tls {
        let mut line = String::new();
        plain.read_line(&mut line).await?;
        assert_eq!(line, "TLS\n");
        plain.write_all(b"ok\n").await?;
        let tls = TlsAcceptor::from(tls).accept(plain.into_inner()).await?;
        return talk(BufReader::new(tls), session, seen).await;
    }
    talk(plain, session, seen).await
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut s: BufReader<S>,
    session: usize,
    seen: Arc<Seen>,
) -> std::io::Result<()> {
    let mut line = String::new();
    let running = Arc::new(Running::default());
    loop {
        line.clear();
        if s.read_line(&mut line).await? == 0 {
            seen.lines.lock().unwrap().push(format!("{session} END"));
            return Ok(());
        }
        let whole = line.ends_with('\n');
        let mut said = line.trim_end().to_owned();
        if said.len() > LINE_BYTES_KEPT {
            said.truncate(LINE_BYTES_KEPT);
            said.push_str(if whole { "…" } else { "… and not all of it" });
        }
        seen.lines.lock().unwrap().push(format!("{session} {said}"));
        running.statement.lock().unwrap().clone_from(&said);
        let words: Vec<&str> = said.split(' ').collect();
        match words.as_slice() {
            ["CANCEL", key] => {
                seen.cancel_orders.fetch_add(1, Ordering::SeqCst);
                drop(seen.slow_orders.lock().await);
                let met = seen.cancels.lock().unwrap().get(*key).cloned();
                if let Some(met) = met {
                    let statement = met.statement.lock().unwrap().clone();
                    seen.lines.lock().unwrap().push(format!("{session} met {statement}"));
                    met.cancelled.notify_one();
                }
                s.write_all(b"done\n").await?;
            }
            ["hello", ..] => {
                let key = format!("order-{session}");
                seen.cancels.lock().unwrap().insert(key.clone(), running.clone());
                s.write_all(format!("welcome {key}\n").as_bytes()).await?;
            }
            ["sync"] | ["begin"] | ["bye"] | ["write", "quietly", ..] => {}
            ["read", "bulk", n] => {
                let row = [b'x'; 1023];
                let chunk = [&row[..], b"\n"].concat().repeat(16);
                for _ in 0..n.parse::<usize>().unwrap() / chunk.len() {
                    s.write_all(&chunk).await?;
                    seen.bulk_bytes.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                }
                s.write_all(b".\n").await?;
            }
            ["read", "hang"] => {
                running.cancelled.notified().await;
                s.write_all(b"cancelled\n.\n").await?;
            }
            // It is through before anybody could stop it.
            ["over", "at", "once"] => s.write_all(b"one row\n.\n").await?,
            ["over", ..] => {
                s.write_all(b"one row\n").await?;
                s.flush().await?;
                running.cancelled.notified().await;
                s.write_all(b"cancelled\n.\n").await?;
            }
            ["read", "die"] => {
                s.write_all(b"partial\n").await?;
                return Ok(());
            }
            other => s.write_all(format!("did {}\n.\n", other.join(" ")).as_bytes()).await?,
        }
        s.flush().await?;
        "nothing".clone_into(&mut running.statement.lock().unwrap());
    }
}
