//! The way in from this process: a connection for somebody who is known already, such as whoever is signed in at the console.
//!
//! Its two ends are made here and have no name, no address and no secret: one is handed to a session's driver together with the identity, the
//! other to whoever asked. Nothing that comes over a network can become one. From there on the session is one like all others: the same
//! machine, gate, locks and record.
//!
//! It must never let in an identity that no longer stands, nor more connections than the listener may have.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as Pair;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use countersign_enforce::{Arrival, BoxFuture, Protocol};
use countersign_model::{Identity, SessionId};
use tokio::net::UnixStream;

use crate::listener::Shared;
use crate::registry::call;
use crate::session::Driver;
use crate::socket::{Plain, Socket};
use crate::worker::{Worker, least_loaded};

/// For whom a connection is made.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// Who it is; verified, and asked for again when the session begins.
    pub identity: Arc<Identity>,
    /// Where they are: policies, locks and the record see this address.
    pub source: SocketAddr,
    /// True when what they see on the way to them is encrypted.
    pub encrypted: bool,
    /// Where the session's id is told, once there is a session.
    pub session: Arc<OnceLock<SessionId>>,
}

/// The way in to one listener's protocol.
#[derive(Clone)]
pub struct Entrance(Arc<dyn Enter>);

impl std::fmt::Debug for Entrance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entrance")
    }
}

impl Entrance {
    /// A connection for this visitor, to speak the listener's protocol on. It is for the runtime of the caller.
    ///
    /// # Errors
    /// When the gateway is stopping, the listener has as many connections as it may, or the system makes none.
    pub async fn enter(&self, visitor: Visitor) -> io::Result<UnixStream> {
        self.0.enter(visitor).await
    }
}

trait Enter: Send + Sync {
    fn enter(&self, visitor: Visitor) -> BoxFuture<'_, io::Result<UnixStream>>;
}

struct Inside<P> {
    shared: Arc<Shared<P>>,
    workers: Arc<[Worker]>,
}

pub(crate) fn entrance<P: Protocol>(shared: Arc<Shared<P>>, workers: Arc<[Worker]>) -> Entrance {
    Entrance(Arc::new(Inside { shared, workers }))
}

impl<P: Protocol> Enter for Inside<P> {
    fn enter(&self, visitor: Visitor) -> BoxFuture<'_, io::Result<UnixStream>> {
        Box::pin(async move {
            let core = &self.shared.core;
            if core.draining.load(Ordering::SeqCst) {
                return Err(io::Error::other("the gateway is stopping"));
            }
            let gone = || io::Error::other("the gateway has no workers");
            let worker = least_loaded(&self.workers).ok_or_else(gone)?;
            let full = || io::Error::other("too many connections");
            let stay = self.shared.stay(worker.load()).ok_or_else(full)?;
            core.telemetry.connections.increment(1);
            let (ours, theirs) = Pair::pair()?;
            ours.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            let shared = self.shared.clone();
            let job = Box::new(move || {
                tokio::spawn(async move {
                    let socket = match UnixStream::from_std(ours) {
                        Ok(socket) => Socket::plain(Plain::Unix(socket)),
                        Err(e) => {
                            tracing::debug!(error = %e, "a connection of this process could not be served");
                            return;
                        }
                    };
                    shared.core.telemetry.connections_open.increment(1.0);
                    if shared.core.draining.load(Ordering::SeqCst) {
                        stay.seated.seat.call(call::DRAIN);
                    }
                    let arrival = Arrival {
                        source: visitor.source,
                        tls_offered: false,
                        plaintext_allowed: true,
                        random: rand::random(),
                        inside: true,
                    };
                    let machine = shared.protocol.accept(arrival);
                    Driver::new(machine, socket, visitor.source, shared, stay).of(visitor).await;
                });
            });
            if !worker.run(job).await {
                return Err(gone());
            }
            UnixStream::from_std(theirs)
        })
    }
}
