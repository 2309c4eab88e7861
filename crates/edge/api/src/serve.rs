//! The server: a bounded number of connections, each with limits on headers, time and life, and an orderly end.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::prometheus::UPKEEP_INTERVAL;
use crate::router::Api;

/// The longest request head, and the read buffer of a connection.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
/// From the first to the last byte of a request head, unless set.
pub const HEADER_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);
/// From the head to the answer, unless set.
pub const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15);
/// No connection lives longer, whatever it does: a client that stops reading is let go.
pub const CONNECTION_LIFETIME_MAX: Duration = Duration::from_secs(300);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The longest TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// When connections cannot be accepted (no descriptors left), wait before the next try.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Gives the TLS configuration for the next connection, so that a certificate can change.
pub type TlsSource = Arc<dyn Fn() -> Arc<rustls::ServerConfig> + Send + Sync>;

/// How to serve.
#[derive(Clone)]
pub struct ServeOptions {
    /// Connections at one time; more are closed at once.
    pub connections_max: usize,
    /// From the first to the last byte of a request head.
    pub header_timeout: Duration,
    /// From the head to the answer.
    pub request_timeout: Duration,
    /// How long requests may go on after the order to stop.
    pub drain_timeout: Duration,
    /// `None` is plain HTTP. With TLS, plain HTTP is still spoken with this machine itself: a browser may use `http://localhost`.
    pub tls: Option<TlsSource>,
}

impl fmt::Debug for ServeOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServeOptions")
            .field("connections_max", &self.connections_max)
            .field("tls", &self.tls.is_some())
            .finish_non_exhaustive()
    }
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            connections_max: 256,
            header_timeout: HEADER_TIMEOUT_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            drain_timeout: Duration::from_secs(5),
            tls: None,
        }
    }
}

/// Who is at the other end; among a request's extensions.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address.
    pub address: SocketAddr,
    /// True over TLS.
    pub encrypted: bool,
    /// The client certificate of the handshake (DER, the end-entity certificate first); empty when there is none.
    pub certificate: Arc<[Bytes]>,
}

/// The longest client certificate chain that is looked at, in certificates and in bytes; a longer one is as none.
const CHAIN_CERTIFICATES_MAX: usize = 4;
const CHAIN_BYTES_MAX: usize = 16 * 1024;
/// The first byte of every TLS connection: a record of type handshake (RFC 8446, 5.1). No HTTP method begins so.
const TLS_FIRST_BYTE: u8 = 0x16;

/// Serves until `stop` resolves; then answers what is under way, for at most the drain timeout.
pub async fn serve(listener: TcpListener, api: Api, options: ServeOptions, stop: impl Future<Output = ()> + Send) {
    let metrics = api.metrics.clone();
    let router = api.router(options.request_timeout);
    let places = Arc::new(Semaphore::new(options.connections_max.min(Semaphore::MAX_PERMITS)));
    let (stopping, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut upkeep = tokio::time::interval(UPKEEP_INTERVAL);
    tokio::pin!(stop);
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = upkeep.tick() => if let Some(m) = &metrics { m.upkeep() },
            Some(ended) = connections.join_next() => if let Err(e) = ended && e.is_panic() {
                tracing::error!("a request handler failed");
            },
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    if let Ok(place) = places.clone().try_acquire_owned() {
                        let one = connection(stream, address, router.clone(), options.clone(), stopped.clone());
                        connections.spawn(async move {
                            let _place = place;
                            if tokio::time::timeout(CONNECTION_LIFETIME_MAX, one).await.is_err() {
                                tracing::debug!(%address, "a connection outlived its time");
                            }
                        });
                    } else {
                        metrics::counter!("countersign_api_connections_refused_total").increment(1);
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections to the API");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stopping.send(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(options.drain_timeout, drained).await.is_err() {
        tracing::warn!("requests to the API were cut off at the end of the drain timeout");
    }
    connections.shutdown().await;
}

async fn connection(
    stream: TcpStream,
    address: SocketAddr,
    router: Router,
    options: ServeOptions,
    stopped: watch::Receiver<bool>,
) {
    // Answers are small and whole: waiting for more to send only delays them.
    let _ = stream.set_nodelay(true);
    let plain = Peer { address, encrypted: false, certificate: Arc::default() };
    let Some(tls) = &options.tls else {
        return http(stream, plain, router, options.header_timeout, stopped).await;
    };
    let mut first = [0];
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, stream.peek(&mut first)).await {
        Ok(Ok(1)) if may_be_plain(first, address) => {
            return http(stream, plain, router, options.header_timeout, stopped).await;
        }
        Ok(Ok(_)) => {}
        Ok(Err(_)) | Err(_) => return,
    }
    let acceptor = TlsAcceptor::from(tls());
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let certificate = chain(stream.get_ref().1.peer_certificates().unwrap_or_default());
            let peer = Peer { address, encrypted: true, certificate };
            http(stream, peer, router, options.header_timeout, stopped).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS with a client of the API"),
        Err(_) => tracing::debug!(%address, "a client of the API was too slow with its TLS handshake"),
    }
}

/// Whether a connection to a TLS port may go on without: only from this machine, and only when it does not begin as TLS does.
fn may_be_plain([first]: [u8; 1], address: SocketAddr) -> bool {
    first != TLS_FIRST_BYTE && address.ip().to_canonical().is_loopback()
}

fn chain(certificates: &[CertificateDer<'_>]) -> Arc<[Bytes]> {
    let bytes: usize = certificates.iter().map(|c| c.len()).sum();
    if certificates.len() > CHAIN_CERTIFICATES_MAX || bytes > CHAIN_BYTES_MAX {
        return Arc::default();
    }
    certificates.iter().map(|c| Bytes::copy_from_slice(c)).collect()
}

async fn http<S>(stream: S, peer: Peer, router: Router, header_timeout: Duration, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let address = peer.address;
    let router = router.layer(axum::middleware::from_fn(move |mut request: Request, next: axum::middleware::Next| {
        request.extensions_mut().insert(peer.clone());
        next.run(request)
    }));
    let service = TowerToHyperService::new(router.into_service::<Incoming>());
    let one = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(one);
    // An error means that the server is gone, which is an order to stop, too.
    let stop = async { stopped.wait_for(|s| *s).await.is_ok() };
    let ended = tokio::select! {
        ended = one.as_mut() => ended,
        _ = stop => {
            one.as_mut().graceful_shutdown();
            one.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%address, %error, "a connection to the API broke off");
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_tls_port_speaks_plainly_with_this_machine_alone() {
        for (first, address, plain) in [
            (b'G', "127.0.0.1:9", true),
            (b'P', "[::1]:9", true),
            (b'G', "[::ffff:127.0.0.1]:9", true),
            (TLS_FIRST_BYTE, "127.0.0.1:9", false),
            (b'G', "192.0.2.1:9", false),
            (b'G', "[2001:db8::1]:9", false),
        ] {
            assert_eq!(may_be_plain([first], address.parse().unwrap()), plain, "{first} from {address}");
        }
    }

    #[test]
    fn long_chains_are_as_none() {
        let certificate = |bytes: usize| CertificateDer::from(vec![0; bytes]);
        let one = certificate(1);
        assert_eq!(chain(&vec![one.clone(); CHAIN_CERTIFICATES_MAX]).len(), CHAIN_CERTIFICATES_MAX);
        assert!(chain(&vec![one; CHAIN_CERTIFICATES_MAX + 1]).is_empty());
        assert_eq!(chain(&[certificate(CHAIN_BYTES_MAX)]).len(), 1);
        assert!(chain(&[certificate(CHAIN_BYTES_MAX + 1)]).is_empty());
    }
}
