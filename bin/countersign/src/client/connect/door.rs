//! The local end: where clients come in, and how many at a time. It is open to this machine alone.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinSet;

use super::{Run, postgres, private};
use crate::failed::Failed;
use crate::output;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// The number that clients use to find a Unix socket in its folder.
const SOCKET_PORT: u16 = 5432;
/// Wait after an accept that failed, such as for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen, as on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    /// A loopback address; port 0 is any.
    Tcp(SocketAddr),
    /// A folder for a Unix socket.
    Folder(PathBuf),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self::Folder(PathBuf::from(text)));
        }
        let local = text.strip_prefix("localhost:").and_then(|port| port.parse().ok());
        let address = match text.parse::<u16>().ok().or(local) {
            Some(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            None => {
                text.parse().map_err(|_| format!("\"{text}\" is no port, no address with a port, and no folder"))?
            }
        };
        if !IpAddr::to_canonical(&address.ip()).is_loopback() {
            return Err("only this machine may come in here: use a port of 127.0.0.1".to_owned());
        }
        Ok(Self::Tcp(address))
    }
}

/// Where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    host: String,
    port: u16,
}

impl Place {
    /// The address, or the folder of the socket.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port; for a socket, the number in its name.
    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Takes the socket away at the end.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // There is nobody to tell, and the next run takes its place.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// An open door.
pub(super) struct Door {
    listening: Listening,
    place: Place,
    _socket: Option<Socket>,
}

impl Door {
    /// Opens it.
    pub(super) async fn open(address: &Address) -> Result<Self, Failed> {
        match address {
            Address::Tcp(address) => {
                let refused = |e| Failed::new(format!("cannot listen on {address}: {e}"));
                let listener = TcpListener::bind(address).await.map_err(refused)?;
                let at = listener.local_addr()?;
                let place = Place { host: at.ip().to_string(), port: at.port() };
                Ok(Self { listening: Listening::Tcp(listener), place, _socket: None })
            }
            Address::Folder(dir) => {
                private(dir)?;
                let path = dir.join(format!(".s.PGSQL.{SOCKET_PORT}"));
                let listener = bind(&path).await?;
                let place = Place { host: dir.display().to_string(), port: SOCKET_PORT };
                Ok(Self { listening: Listening::Unix(listener), place, _socket: Some(Socket(path)) })
            }
        }
    }

    /// Where it is.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Lets clients in, each as it comes; ends only when it cannot go on.
    pub(super) async fn serve(self, run: Arc<Run>) -> Result<(), Failed> {
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.accept(), if open.len() < CONNECTIONS_MAX => match accepted {
                    Ok(stream) => {
                        let run = run.clone();
                        open.spawn(async move { postgres::serve(stream, &run).await });
                    }
                    Err(e) => {
                        output::note(&format!("countersign: a connection could not be accepted: {e}"));
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                // A panic is a fault of ours; the other connections go on.
                Some(ended) = open.join_next(), if !open.is_empty() => if let Err(e) = ended {
                    output::note(&format!("countersign: a connection ended by a fault: {e}"));
                },
            }
        }
    }

    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match &self.listening {
            Listening::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Box::new(stream)
            }
            Listening::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Binds the socket; one that nobody answers on was left behind.
async fn bind(path: &Path) -> Result<UnixListener, Failed> {
    let at = |e: std::io::Error| Failed::new(format!("cannot listen on {}: {e}", path.display()));
    match UnixListener::bind(path) {
        Err(e) if e.kind() == std::io::ErrorKind::AddrInUse => {
            if tokio::net::UnixStream::connect(path).await.is_ok() {
                return Err(Failed::new(format!("another program listens on {}", path.display())));
            }
            std::fs::remove_file(path).map_err(at)?;
            UnixListener::bind(path).map_err(at)
        }
        other => other.map_err(at),
    }
}

/// A client's connection.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn only_this_machine_may_come_in() {
        for (text, expected) in [
            ("5433", Some(Address::Tcp("127.0.0.1:5433".parse().unwrap()))),
            ("0", Some(Address::Tcp("127.0.0.1:0".parse().unwrap()))),
            ("localhost:5433", Some(Address::Tcp("127.0.0.1:5433".parse().unwrap()))),
            ("127.0.0.2:1", Some(Address::Tcp("127.0.0.2:1".parse().unwrap()))),
            ("[::1]:1", Some(Address::Tcp("[::1]:1".parse().unwrap()))),
            ("/run/x", Some(Address::Folder("/run/x".into()))),
            ("0.0.0.0:5433", None),
            ("[::]:5433", None),
            ("[::ffff:192.0.2.1]:5433", None),
            ("192.0.2.1:5433", None),
            ("gw.example.com:5433", None),
            ("65536", None),
            ("", None),
        ] {
            assert_eq!(text.parse::<Address>().ok(), expected, "{text}");
        }
    }

    #[tokio::test]
    async fn a_socket_is_in_a_folder_of_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("new");
        let address = Address::Folder(folder.clone());
        let door = Door::open(&address).await.unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(Door::open(&address).await.err().unwrap().to_string().contains("another program"));
        let socket = folder.join(".s.PGSQL.5432");
        assert!(socket.exists());
        drop(door);
        assert!(!socket.exists());
        // Left behind by a run that was killed.
        drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
        drop(Door::open(&address).await.unwrap());
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        assert!(Door::open(&address).await.err().unwrap().to_string().contains("0700"));
    }
}
