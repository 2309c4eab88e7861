//! Reaching a target: resolve, connect, put TLS on it; each under a deadline. It must never send anything of its own.

use std::io;

use bytes::BytesMut;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::route::{Endpoint, Route};
use crate::socket::{Plain, ReadAhead, Socket, tune};

/// Connects, within the route's time.
pub(crate) async fn dial(route: &Route) -> io::Result<Socket> {
    let connect = async {
        Ok(match &route.endpoint {
            Endpoint::Tcp { host, port } => {
                let tcp = TcpStream::connect((host.as_str(), *port)).await?;
                tune(&tcp)?;
                Plain::Tcp(tcp)
            }
            Endpoint::Unix(path) => Plain::Unix(UnixStream::connect(path).await?),
        })
    };
    match timeout(route.connect_timeout, connect).await {
        Ok(done) => done.map(Socket::plain),
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no answer to the connection attempt in time")),
    }
}

/// Puts TLS on a connection to the route's target.
pub(crate) async fn encrypt(plain: Plain, route: &Route) -> io::Result<Socket> {
    let refused = |why: &'static str| io::Error::new(io::ErrorKind::InvalidInput, why);
    let Some(config) = route.tls.config() else {
        return Err(refused("TLS was asked for, but the route has it disabled"));
    };
    let name = match &route.endpoint {
        Endpoint::Tcp { host, .. } => {
            let name = route.server_name.as_ref().unwrap_or(host);
            ServerName::try_from(name.clone()).map_err(|_| refused("the target's name is no valid TLS server name"))?
        }
        Endpoint::Unix(_) => return Err(refused("TLS is not used on a Unix socket")),
    };
    let tls = TlsConnector::from(config).connect(name, ReadAhead::new(plain, BytesMut::new())).await?;
    Ok(Socket::client(tls))
}
