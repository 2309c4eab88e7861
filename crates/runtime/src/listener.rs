//! Accepting connections and handing them to workers. It must never spin on an error, nor let one protocol's crowd stop another's.

use std::future::{Future, poll_fn};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use countersign_enforce::{Arrival, Machine, Outbound, Output, Protocol, Refused};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, SessionId};
use socket2::{Domain, Protocol as SocketProtocol, Socket as RawSocket, Type};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::TlsReload;
use crate::buffers::poll_discard;
use crate::gateway::Core;
use crate::registry::{Seated, call};
use crate::session::{Driver, wall_clock};
use crate::socket::{Plain, Socket, tune};
use crate::worker::{Load, Worker, least_loaded};

/// Connections of a listener when the configuration says nothing.
pub const CONNECTIONS_MAX_DEFAULT: usize = 10_000;
/// Time from accept until the target let the session in, when the configuration says nothing.
pub const LOGIN_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Time that a client may leave bytes for it untouched, when the configuration says nothing.
pub const IDLE_WRITE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(15 * 60);

/// Connections that the system keeps until they are accepted.
const BACKLOG: i32 = 4096;
/// Pauses after a failure to accept, from the first in a row to the longest.
const BACK_OFF_MIN: Duration = Duration::from_millis(10);
const BACK_OFF_MAX: Duration = Duration::from_secs(1);
/// Connections over the limit that are told so at the same time; more are just closed.
const TURNED_AWAY_MAX: usize = 256;
/// Time to tell one.
const TURN_AWAY_TIMEOUT: Duration = Duration::from_millis(500);

/// Who may go on without TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Plaintext {
    /// Clients on this machine.
    #[default]
    LoopbackOnly,
    /// Everybody.
    Always,
    /// Nobody.
    Never,
}

impl Plaintext {
    fn allows(self, source: SocketAddr) -> bool {
        match self {
            Self::LoopbackOnly => source.ip().to_canonical().is_loopback(),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// One listener.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Where to listen.
    pub addr: SocketAddr,
    /// TLS, where it is offered.
    pub tls: Option<Arc<TlsReload>>,
    /// Who may go on without it.
    pub plaintext: Plaintext,
    /// The most connections at once.
    pub max_connections: usize,
    /// The longest from accept until the target let the session in.
    pub login_timeout: Duration,
    /// The longest that a client may leave bytes for it untouched, and that what it asked for may take once it has left; counted in
    /// whole seconds.
    pub idle_write_timeout: Duration,
}

impl ListenerConfig {
    /// A listener without TLS, for clients on this machine, with the default limits.
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            tls: None,
            plaintext: Plaintext::default(),
            max_connections: CONNECTIONS_MAX_DEFAULT,
            login_timeout: LOGIN_TIMEOUT_DEFAULT,
            idle_write_timeout: IDLE_WRITE_TIMEOUT_DEFAULT,
        }
    }
}

/// What the connections of one listener share.
pub(crate) struct Shared<P> {
    pub(crate) protocol: P,
    pub(crate) config: ListenerConfig,
    pub(crate) core: Arc<Core>,
    open: Arc<AtomicUsize>,
    turned_away: Arc<AtomicUsize>,
}

/// How the connections of a listener are received: by a driver of a machine, or by a protocol that is hosted.
pub(crate) trait Reception: Send + Sync + Sized + 'static {
    /// The protocol's name.
    fn name(&self) -> &'static str;

    /// Serves a connection until it ends.
    fn receive(
        arrival: Arrival,
        client: Socket,
        shared: Arc<Shared<Self>>,
        stay: Stay,
    ) -> impl Future<Output = ()> + Send;

    /// What a client is told that cannot be served.
    fn words_for(&self, arrival: Arrival, denial: &Denial) -> Vec<Bytes>;
}

impl<P: Protocol> Reception for P {
    fn name(&self) -> &'static str {
        Protocol::name(self)
    }

    async fn receive(arrival: Arrival, client: Socket, shared: Arc<Shared<Self>>, stay: Stay) {
        let source = arrival.source;
        let machine = shared.protocol.accept(arrival);
        Driver::new(machine, client, source, shared, stay).await;
    }

    fn words_for(&self, arrival: Arrival, denial: &Denial) -> Vec<Bytes> {
        let mut machine = self.accept(arrival);
        machine.on_fatal(denial);
        let mut words = Vec::new();
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Client(b) => words.push(b),
                Output::Close(..) => break,
                _ => {}
            }
        }
        words
    }
}

impl<P> Shared<P> {
    pub(crate) fn new(protocol: P, config: ListenerConfig, core: Arc<Core>) -> Self {
        Self { protocol, config, core, open: Arc::default(), turned_away: Arc::default() }
    }

    fn arrival(&self, source: SocketAddr) -> Arrival {
        Arrival {
            source,
            tls_offered: self.config.tls.is_some(),
            plaintext_allowed: self.config.plaintext.allows(source),
            random: rand::random(),
            inside: false,
        }
    }

    /// A place among the connections, for one that does not come by the listener's address.
    pub(crate) fn stay(&self, load: Load) -> Option<Stay> {
        let place = Place::take(&self.open, self.config.max_connections)?;
        Some(Stay { _place: place, _load: load, seated: self.core.registry.sit() })
    }
}

/// A place among those that are allowed at once; dropping it frees it.
struct Place(Arc<AtomicUsize>);

impl Place {
    fn take(count: &Arc<AtomicUsize>, max: usize) -> Option<Self> {
        let taken = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        taken.is_ok().then(|| Self(count.clone()))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Opens a listening socket.
pub(crate) fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = RawSocket::new(Domain::for_address(addr), Type::STREAM, Some(SocketProtocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Accepts until told to stop.
pub(crate) async fn run<P: Reception>(
    listener: TcpListener,
    shared: Arc<Shared<P>>,
    workers: Arc<[Worker]>,
    mut stop: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(e) => {
            tracing::error!(protocol = shared.protocol.name(), error = %e, "cannot wait for connections");
            return;
        }
    };
    let mut back_off = BACK_OFF_MIN;
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => return,
            accepted = listener.accept() => accepted,
        };
        // It is to be driven by its worker's runtime, not by this one.
        let accepted = accepted.and_then(|(tcp, source)| Ok((tcp.into_std()?, source)));
        match accepted {
            Ok((tcp, source)) => {
                back_off = BACK_OFF_MIN;
                hand_over(tcp, source, &shared, &workers).await;
            }
            // The peer went away while it waited in the queue: that is no reason to wait.
            Err(e) if e.kind() == io::ErrorKind::ConnectionAborted || e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => {
                shared.core.telemetry.accept_errors.increment(1);
                tracing::warn!(protocol = shared.protocol.name(), error = %e, "cannot accept a connection; waiting");
                sleep(back_off).await;
                back_off = (back_off * 2).min(BACK_OFF_MAX);
            }
        }
    }
}

async fn hand_over<P: Reception>(tcp: TcpStream, source: SocketAddr, shared: &Arc<Shared<P>>, workers: &Arc<[Worker]>) {
    shared.core.telemetry.connections.increment(1);
    let Some(worker) = least_loaded(workers) else { return };
    let load = worker.load();
    let shared = shared.clone();
    let job: Box<dyn FnOnce() + Send> = match Place::take(&shared.open, shared.config.max_connections) {
        Some(place) => {
            let seated = shared.core.registry.sit();
            Box::new(move || {
                tokio::spawn(serve_one(tcp, source, shared, Stay { _place: place, _load: load, seated }));
            })
        }
        None => match Place::take(&shared.turned_away, TURNED_AWAY_MAX) {
            Some(place) => Box::new(move || {
                tokio::spawn(async move {
                    let _stay = (place, load);
                    // Whether it heard the refusal or not, the connection ends here.
                    let _ = timeout(TURN_AWAY_TIMEOUT, turn_away(tcp, source, shared)).await;
                });
            }),
            None => return,
        },
    };
    worker.run(job).await;
}

/// What a connection holds while it lasts.
pub(crate) struct Stay {
    // In this order: whoever sees the seat free finds the place free, too.
    _place: Place,
    _load: Load,
    pub(crate) seated: Seated,
}

fn adopt(tcp: TcpStream) -> io::Result<Socket> {
    let tcp = tokio::net::TcpStream::from_std(tcp)?;
    tune(&tcp)?;
    Ok(Socket::plain(Plain::Tcp(tcp)))
}

async fn serve_one<P: Reception>(tcp: TcpStream, source: SocketAddr, shared: Arc<Shared<P>>, stay: Stay) {
    let socket = match adopt(tcp) {
        Ok(socket) => socket,
        Err(e) => {
            tracing::debug!(%source, error = %e, "a connection was gone before it could be served");
            return;
        }
    };
    let arrival = shared.arrival(source);
    shared.core.telemetry.connections_open.increment(1.0);
    if shared.core.draining.load(Ordering::SeqCst) {
        stay.seated.seat.call(call::DRAIN);
    }
    P::receive(arrival, socket, shared, stay).await;
}

/// Says in the protocol's words that there are too many, and closes.
async fn turn_away<P: Reception>(tcp: TcpStream, source: SocketAddr, shared: Arc<Shared<P>>) -> io::Result<()> {
    let max = u64::try_from(shared.config.max_connections).unwrap_or(u64::MAX);
    let denial = Denial::new(
        Culprit::Client,
        DenialCode::Busy,
        ClientText::new("too many connections: this listener takes ").number(max).and(" at once"),
    );
    shared.core.telemetry.refused(denial.code);
    let at = wall_clock();
    let refused = Refused {
        id: SessionId::new(at, rand::random()),
        at,
        source,
        protocol: shared.protocol.name(),
        user: "",
        target: "",
        denial: &denial,
    };
    if let Err(e) = shared.core.services.recorder.refused(&refused) {
        tracing::error!(error = %e, detail = e.detail, "a refusal could not be recorded");
    }
    let mut socket = adopt(tcp)?;
    let mut out = Outbound::new();
    for words in shared.protocol.words_for(shared.arrival(source), &denial) {
        out.push(words);
    }
    while !out.is_empty() {
        poll_fn(|cx| socket.poll_send(&mut out, cx)).await?;
    }
    poll_fn(|cx| socket.poll_end(cx)).await?;
    // Closing with unread bytes would reset the connection, and the peer might never see what it was told.
    while poll_fn(|cx| poll_discard(&mut socket, cx)).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_end_at_the_limit_and_come_back() {
        let count = Arc::new(AtomicUsize::new(0));
        let first = Place::take(&count, 2);
        let second = Place::take(&count, 2);
        assert!(first.is_some() && second.is_some());
        assert!(Place::take(&count, 2).is_none());
        drop(first);
        assert!(Place::take(&count, 2).is_some());
    }

    #[test]
    fn plaintext_is_for_whom_the_setting_says() {
        for (source, setting, want) in [
            ("127.0.0.1:1", Plaintext::LoopbackOnly, true),
            ("[::1]:1", Plaintext::LoopbackOnly, true),
            ("[::ffff:127.0.0.1]:1", Plaintext::LoopbackOnly, true),
            ("10.0.0.1:1", Plaintext::LoopbackOnly, false),
            ("10.0.0.1:1", Plaintext::Always, true),
            ("127.0.0.1:1", Plaintext::Never, false),
        ] {
            assert_eq!(setting.allows(source.parse().unwrap()), want, "{source} {setting:?}");
        }
    }
}
