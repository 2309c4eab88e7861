//! Cancel orders: which key stands for which running session, and how an order reaches the target. A key must never work after its
//! session ended, nor tell by time how much of it was guessed.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::future::poll_fn;
use std::hash::BuildHasher;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_enforce::{Dialling, Machine, Output, Protocol};
use countersign_model::SessionId;
use parking_lot::Mutex;
use subtle::ConstantTimeEq;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::buffers::{Filled, Input};
use crate::dial::{dial, encrypt};
use crate::registry::Seat;
use crate::route::Route;
use crate::socket::Socket;

/// Locks that keys are spread over.
const SHARDS: usize = 16;

/// The longest that giving an order may take, on top of the route's time to connect.
pub(crate) const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How many orders of sessions that end are under way at once. A lock may end hundreds in one moment: the target
/// is not stormed with connections, each of which costs it a process.
const ENDING_ORDERS_MAX: usize = 8;

/// The longest that such an order waits for its turn; then it goes without one.
const TURN_TIMEOUT: Duration = Duration::from_secs(2);

/// The most that a target may say to a cancel order.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a key stands for.
pub(crate) struct CancelOrder {
    pub(crate) key: Bytes,
    pub(crate) order: Bytes,
    pub(crate) protocol: &'static str,
    pub(crate) route: Arc<Route>,
    pub(crate) session: SessionId,
    pub(crate) seat: Arc<Seat>,
}

type Shard = Mutex<HashMap<u64, Arc<CancelOrder>>>;

/// The keys of all sessions of a gateway.
pub(crate) struct CancelRegistry {
    shards: [Shard; SHARDS],
    /// Keyed with random bits of this process, so that where a key is kept tells nothing about it.
    hasher: RandomState,
    turns: Semaphore,
}

impl Default for CancelRegistry {
    fn default() -> Self {
        let turns = Semaphore::new(ENDING_ORDERS_MAX);
        Self { shards: Default::default(), hasher: RandomState::new(), turns }
    }
}

impl CancelRegistry {
    fn place(&self, protocol: &str, key: &[u8]) -> Option<(u64, &Shard)> {
        let hash = self.hasher.hash_one((protocol, key));
        self.shards.get(usize::try_from(hash >> 32).unwrap_or(0) % SHARDS).map(|shard| (hash, shard))
    }

    /// Waits for the turn of an order that ends a session's own work, which lasts until what comes back is dropped.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        timeout(TURN_TIMEOUT, self.turns.acquire()).await.ok()?.ok()
    }

    /// Makes the key valid until the guard is dropped.
    pub(crate) fn insert(self: &Arc<Self>, order: CancelOrder) -> CancelKept {
        let order = Arc::new(order);
        if let Some((hash, shard)) = self.place(order.protocol, &order.key) {
            shard.lock().insert(hash, order.clone());
        }
        CancelKept { registry: self.clone(), order }
    }

    /// What the key stands for, while its session lives.
    pub(crate) fn find(&self, protocol: &str, key: &[u8]) -> Option<Arc<CancelOrder>> {
        let (hash, shard) = self.place(protocol, key)?;
        let order = shard.lock().get(&hash).cloned()?;
        (order.protocol == protocol && bool::from(order.key.ct_eq(key))).then_some(order)
    }
}

/// A valid key; dropping it ends that.
pub(crate) struct CancelKept {
    registry: Arc<CancelRegistry>,
    pub(crate) order: Arc<CancelOrder>,
}

impl Drop for CancelKept {
    fn drop(&mut self) {
        if let Some((hash, shard)) = self.registry.place(self.order.protocol, &self.order.key) {
            let mut orders = shard.lock();
            if orders.get(&hash).is_some_and(|o| Arc::ptr_eq(o, &self.order)) {
                orders.remove(&hash);
            }
        }
    }
}

/// Gives the order to the target on a connection of its own.
pub(crate) async fn deliver<P: Protocol>(protocol: &P, order: &CancelOrder) -> io::Result<()> {
    let machine = protocol.canceller(order.order.clone(), order.route.tls_required());
    let talk = Box::pin(talk(machine, &order.route, order.session));
    match timeout(order.route.connect_timeout + CANCEL_TIMEOUT, talk).await {
        Ok(done) => done,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "the target did not take the cancel order in time")),
    }
}

async fn talk<M: Machine>(mut machine: M, route: &Route, session: SessionId) -> io::Result<()> {
    let fault = |denial: countersign_model::Denial| io::Error::other(denial.to_string());
    let mut socket = dial(route).await?;
    let mut dialling = Dialling::to_cancel(session);
    let mut input = Input::default();
    let mut said = 0;
    loop {
        let mut closing = false;
        while let Some(output) = machine.poll_output() {
            match output {
                Output::Login(b) => dialling.login(b),
                Output::StartUpstreamTls => {
                    flush(&mut socket, &mut dialling).await?;
                    let plain = socket.take_plain().ok_or(io::ErrorKind::InvalidInput)?;
                    if !input.buf.is_empty() {
                        return Err(io::Error::new(io::ErrorKind::InvalidData, "the target spoke ahead of TLS"));
                    }
                    socket = encrypt(plain, route).await?;
                    machine.on_upstream_tls(socket.tls_facts()).map_err(fault)?;
                }
                Output::Close(..) => {
                    closing = true;
                    break;
                }
                // Nothing else has a meaning without a client.
                _ => {}
            }
        }
        flush(&mut socket, &mut dialling).await?;
        if closing {
            return Ok(());
        }
        match poll_fn(|cx| input.poll_fill(&mut socket, cx)).await? {
            Filled::End => {
                machine.on_upstream_end();
                return Ok(());
            }
            Filled::Some(n) => {
                said += n;
                if said > ANSWER_BYTES_MAX {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the target said too much to a cancel order",
                    ));
                }
                machine.on_upstream(&mut input.buf).map_err(fault)?;
            }
        }
    }
}

async fn flush(socket: &mut Socket, dialling: &mut Dialling) -> io::Result<()> {
    while !dialling.outbound().is_empty() || socket.unflushed() {
        poll_fn(|cx| socket.poll_send(&mut dialling.outbound(), cx)).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::SessionRegistry;
    use crate::{Endpoint, UpstreamTls};
    use countersign_model::{RecordLevel, Target, TargetName};

    /// Time stands still but for waiting: no machine is too slow for it.
    #[tokio::test(start_paused = true)]
    async fn orders_of_sessions_that_end_take_turns_and_none_waits_for_ever() {
        let keys = CancelRegistry::default();
        let mut turns = Vec::new();
        for _ in 0..ENDING_ORDERS_MAX {
            turns.push(keys.turn().await.unwrap());
        }
        let began = tokio::time::Instant::now();
        assert!(keys.turn().await.is_none(), "one more goes without a turn");
        assert_eq!(began.elapsed().as_secs(), TURN_TIMEOUT.as_secs());
        turns.pop();
        assert!(keys.turn().await.is_some(), "whoever is done makes room");
        assert_eq!(began.elapsed().as_secs(), TURN_TIMEOUT.as_secs());
    }

    #[test]
    fn a_key_is_valid_for_its_protocol_and_while_its_session_lives() {
        let target = Arc::new(Target {
            name: TargetName::parse("t").unwrap(),
            protocol: "toy".into(),
            labels: Default::default(),
            record: RecordLevel::Statements,
            durable: false,
            tagging: Arc::default(),
        });
        let endpoint = Endpoint::Tcp { host: "h".to_owned(), port: 1 };
        let route = Arc::new(Route::new(target, endpoint, UpstreamTls::disabled(), ""));
        let people = Arc::new(SessionRegistry::default());
        let keys = Arc::new(CancelRegistry::default());
        let insert = |order: &'static [u8]| {
            keys.insert(CancelOrder {
                key: Bytes::from_static(b"k"),
                order: Bytes::from_static(order),
                protocol: "toy",
                route: route.clone(),
                session: SessionId::from_u128(1),
                seat: people.sit().seat.clone(),
            })
        };
        let first = insert(b"1");
        assert_eq!(keys.find("toy", b"k").unwrap().order, "1");
        assert!(keys.find("other", b"k").is_none());
        assert!(keys.find("toy", b"K").is_none());
        let second = insert(b"2");
        drop(first);
        assert_eq!(keys.find("toy", b"k").unwrap().order, "2", "the first's end must not end the second");
        drop(second);
        assert!(keys.find("toy", b"k").is_none());
    }
}
