//! The gateway as one thing: start it, let it serve protocols, drain it. It must never know what a protocol says.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_enforce::{Hosted, Protocol};
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::time::timeout;

use crate::cancel::CancelRegistry;
use crate::cutting::watch_locks;
use crate::hosted::Guest;
use crate::inside::{Entrance, entrance};
use crate::listener::{ListenerConfig, Reception, Shared, bind, run};
use crate::memory::{Rested, give_back};
use crate::registry::{SessionRegistry, call};
use crate::standing::watch_standing;
use crate::telemetry::Telemetry;
use crate::tls::install_crypto;
use crate::worker::{Worker, build_runtime};
use crate::{Metric, Services};

/// How long sessions get to say goodbye once they were told to end at once: a flush, a cancel order, a linger.
const END_TIMEOUT: Duration = Duration::from_secs(10);

/// What a gateway is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct GatewayConfig {
    /// Threads that sessions live on; `None` for as many as the machine has cores.
    pub workers: Option<usize>,
}

/// What all connections of a gateway share.
pub(crate) struct Core {
    pub(crate) services: Services,
    pub(crate) registry: Arc<SessionRegistry>,
    pub(crate) cancels: Arc<CancelRegistry>,
    pub(crate) telemetry: Telemetry,
    pub(crate) rested: Arc<Rested>,
    pub(crate) draining: AtomicBool,
}

/// How a drain went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were open when it began.
    pub open: usize,
    /// Of these, how many had to be ended at the deadline.
    pub ended: usize,
    /// Of these, how many did not end even then and were dropped.
    pub dropped: usize,
}

/// A running gateway. Dropping it closes everything at once; [`Gateway::drain`] first is kinder.
pub struct Gateway {
    core: Arc<Core>,
    workers: Arc<[Worker]>,
    acceptor: Handle,
    acceptor_end: Option<oneshot::Sender<()>>,
    acceptor_thread: Option<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Gateway {
    /// Starts the threads. Metrics go to the recorder that is installed now.
    ///
    /// # Errors
    /// When a thread or its event queue cannot be made.
    pub fn start(config: GatewayConfig, services: Services) -> io::Result<Self> {
        install_crypto();
        Metric::describe_all();
        let count = match config.workers {
            Some(n) => n.max(1),
            None => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        };
        let workers = (0..count).map(Worker::start).collect::<io::Result<Vec<_>>>()?;
        let runtime = build_runtime()?;
        let acceptor = runtime.handle().clone();
        let (acceptor_end, end) = oneshot::channel::<()>();
        let acceptor_thread = std::thread::Builder::new().name("accept".to_owned()).spawn(move || {
            // Ends when the sender is dropped: either outcome means the same.
            let _ = runtime.block_on(end);
        })?;
        let core = Core {
            services,
            registry: Arc::default(),
            cancels: Arc::default(),
            telemetry: Telemetry::new(),
            rested: Arc::default(),
            draining: AtomicBool::new(false),
        };
        let core = Arc::new(core);
        acceptor.spawn(watch_standing(core.registry.clone(), core.services.authenticator.clone()));
        acceptor.spawn(watch_locks(core.registry.clone(), core.services.locks.clone()));
        acceptor.spawn(give_back(core.rested.clone()));
        Ok(Self {
            core,
            workers: workers.into(),
            acceptor,
            acceptor_end: Some(acceptor_end),
            acceptor_thread: Some(acceptor_thread),
            stop: watch::channel(false).0,
        })
    }

    /// Listens for a protocol's clients; call it once for each listener. Returns the address in use, which tells the port when 0
    /// was asked for.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn serve<P: Protocol>(&self, protocol: P, config: ListenerConfig) -> io::Result<SocketAddr> {
        self.receive(protocol, config).map(|(addr, _)| addr)
    }

    /// As [`Gateway::serve`], with a way in for clients in this process.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn serve_inside<P: Protocol>(&self, protocol: P, config: ListenerConfig) -> io::Result<(SocketAddr, Entrance)> {
        let (addr, shared) = self.receive(protocol, config)?;
        Ok((addr, entrance(shared, self.workers.clone())))
    }

    /// As [`Gateway::serve`], for a protocol that brings its own server and client.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn host<H: Hosted>(&self, protocol: H, config: ListenerConfig) -> io::Result<SocketAddr> {
        self.receive(Guest(protocol), config).map(|(addr, _)| addr)
    }

    fn receive<P: Reception>(&self, protocol: P, config: ListenerConfig) -> io::Result<(SocketAddr, Arc<Shared<P>>)> {
        let listener = bind(config.addr)?;
        let addr = listener.local_addr()?;
        let shared = Arc::new(Shared::new(protocol, config, self.core.clone()));
        tracing::info!(protocol = shared.protocol.name(), %addr, tls = shared.config.tls.is_some(), "listening");
        self.acceptor.spawn(run(listener, shared.clone(), self.workers.clone(), self.stop.subscribe()));
        Ok((addr, shared))
    }

    /// Who is here.
    pub fn sessions(&self) -> &Arc<SessionRegistry> {
        &self.core.registry
    }

    /// Stops listening and lets sessions end when they are idle; those that are not by `deadline` from now are ended, and their
    /// work is cancelled at the target. Returns when nobody is left, at most ten seconds after the deadline. Needs a tokio runtime
    /// with time.
    pub async fn drain(&self, deadline: Duration) -> Drained {
        let registry = &self.core.registry;
        self.core.draining.store(true, Ordering::SeqCst);
        self.stop.send_replace(true);
        let open = registry.connections();
        tracing::info!(open, deadline_s = deadline.as_secs(), "draining");
        registry.call_all(call::DRAIN);
        let mut drained = Drained { open, ended: 0, dropped: 0 };
        if timeout(deadline, registry.empty()).await.is_err() {
            drained.ended = registry.connections();
            tracing::warn!(left = drained.ended, "the drain's deadline is over: ending what is left");
            registry.call_all(call::END);
            if timeout(END_TIMEOUT, registry.empty()).await.is_err() {
                drained.dropped = registry.connections();
            }
        }
        drained
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        self.acceptor_end = None;
        if let Some(thread) = self.acceptor_thread.take() {
            // A panic there was reported already; here is nothing left to end.
            let _ = thread.join();
        }
    }
}
