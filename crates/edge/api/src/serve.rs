//! The server: a bounded number of connections, each with limits on headers, time and life, and an orderly end.

use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
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
    /// `None` is plain HTTP.
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

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    pub(crate) encrypted: bool,
}

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
    let Some(tls) = &options.tls else {
        let peer = Peer { address, encrypted: false };
        return http(stream, peer, router, options.header_timeout, stopped).await;
    };
    let acceptor = TlsAcceptor::from(tls());
    match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => {
            let peer = Peer { address, encrypted: true };
            http(stream, peer, router, options.header_timeout, stopped).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "no TLS with a client of the API"),
        Err(_) => tracing::debug!(%address, "a client of the API was too slow with its TLS handshake"),
    }
}

async fn http<S>(stream: S, peer: Peer, router: Router, header_timeout: Duration, mut stopped: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let router = router.layer(axum::middleware::from_fn(move |mut request: Request, next: axum::middleware::Next| {
        request.extensions_mut().insert(peer);
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
        tracing::debug!(address = %peer.address, %error, "a connection to the API broke off");
    }
}
