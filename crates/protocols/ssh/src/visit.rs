//! One client's connection: the login, the one connection to its target that all channels share, and the end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use countersign_enforce::{Arrival, BoxWire, Call, CloseReason, ConnectRequest, End, Host};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};
use parking_lot::Mutex;
use russh::keys::Certificate;
use russh::server::Config;
use tokio::sync::{Notify, OnceCell, watch};

use crate::client::Server;
use crate::shape;
use crate::target::Target;
use crate::wire::Adapted;

/// How long channels get to say their last words.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long a client that was told goodbye gets to read it.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the channels of a connection share.
pub(crate) struct Visit {
    pub(crate) host: Arc<dyn Host>,
    pub(crate) source: SocketAddr,
    name: Mutex<String>,
    target: OnceCell<Result<Arc<Target>, Denial>>,
    channels: AtomicUsize,
    emptied: Notify,
    /// Set when everything must end, with what the client is told.
    pub(crate) ending: watch::Sender<Option<Denial>>,
    draining: watch::Sender<bool>,
    /// Why the connection ends, where a channel knows.
    fault: Mutex<Option<Denial>>,
}

/// A channel's place; dropping it frees it.
pub(crate) struct Place(Arc<Visit>);

impl Drop for Place {
    fn drop(&mut self) {
        if self.0.channels.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.emptied.notify_waiters();
        }
    }
}

impl Visit {
    fn new(host: Arc<dyn Host>, source: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            host,
            source,
            name: Mutex::default(),
            target: OnceCell::new(),
            channels: AtomicUsize::new(0),
            emptied: Notify::new(),
            ending: watch::channel(None).0,
            draining: watch::channel(false).0,
            fault: Mutex::default(),
        })
    }

    /// Who it is was found out; this is where it wants to go.
    pub(crate) fn identified(&self, target: &str) {
        *self.name.lock() = target.to_owned();
    }

    /// A place for one more channel; none while the gateway drains.
    pub(crate) fn take_place(self: &Arc<Self>, max: usize) -> Option<Place> {
        if *self.draining.borrow() || self.ending.borrow().is_some() {
            return None;
        }
        let taken = self.channels.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| (n < max).then_some(n + 1));
        taken.is_ok().then(|| Place(self.clone()))
    }

    /// The connection to the target: the first channel opens it, and what it was told holds for all.
    pub(crate) async fn target(&self) -> Result<Arc<Target>, Denial> {
        let reached = self.target.get_or_init(|| async {
            let request = ConnectRequest {
                target: self.name.lock().clone(),
                part: String::new(),
                application: String::new(),
                shape: shape::connect(),
            };
            let result = Box::pin(self.reach(request)).await;
            if let Err(denial) = &result {
                self.fault.lock().get_or_insert_with(|| denial.clone());
            }
            result
        });
        reached.await.clone()
    }

    async fn reach(&self, request: ConnectRequest) -> Result<Arc<Target>, Denial> {
        let name = request.target.clone();
        let linked = self.host.connect(request).await?;
        let credential = &linked.connected.credential;
        let account = credential.user.clone();
        // What the target's own log has.
        let certificate = credential.certificate.as_deref().and_then(|c| Certificate::from_openssh(c).ok());
        let shown = certificate.map(|c| format!("certificate {}", c.serial())).unwrap_or_default();
        let target = Target::reach(linked, &name, self.host.now()).await?;
        self.host.established(&account, &shown)?;
        Ok(Arc::new(target))
    }

    async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            if self.channels.load(Ordering::Acquire) == 0 {
                return;
            }
            emptied.await;
        }
    }
}

/// Serves a connection until it ends.
pub(crate) async fn serve(config: Arc<Config>, client: BoxWire, arrival: Arrival, host: Arc<dyn Host>) -> End {
    let visit = Visit::new(host.clone(), arrival.source);
    let server = Server::new(visit.clone());
    let session = match russh::server::run_stream(config, Adapted(client), server).await {
        Ok(session) => session,
        Err(e) => return broken(&e),
    };
    let handle = session.handle();
    tokio::pin!(session);
    let end = loop {
        tokio::select! {
            ended = &mut session => break match ended {
                Ok(()) | Err(russh::Error::Disconnect | russh::Error::HUP) => {
                    let drained = *visit.draining.borrow();
                    End { reason: if drained { CloseReason::Drained } else { CloseReason::Client }, denial: None }
                }
                Err(russh::Error::IO(e)) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
                    End { reason: CloseReason::ClientLost, denial: None }
                }
                Err(e) => broken(&e),
            },
            call = host.called() => match call {
                Call::Drain => {
                    visit.draining.send_replace(true);
                    let visit = visit.clone();
                    let handle = handle.clone();
                    tokio::spawn(async move {
                        visit.empty().await;
                        let _ = handle.disconnect(russh::Disconnect::ByApplication, "the gateway is shutting down".to_owned(), String::new()).await;
                    });
                }
                Call::End(denial) => {
                    visit.ending.send_replace(Some(denial.clone()));
                    let _ = tokio::time::timeout(LAST_WORDS, visit.empty()).await;
                    let words = denial.message.as_str().to_owned();
                    let _ = handle.disconnect(russh::Disconnect::ByApplication, words, String::new()).await;
                    let _ = tokio::time::timeout(GOODBYE, &mut session).await;
                    break End { reason: CloseReason::Denied, denial: Some(denial) };
                }
            },
        }
    };
    visit.ending.send_replace(Some(gone()));
    let _ = tokio::time::timeout(LAST_WORDS, visit.empty()).await;
    if let Some(Ok(target)) = visit.target.get() {
        target.leave().await;
    }
    let fault = visit.fault.lock().take();
    match fault {
        Some(denial) if end.denial.is_none() => {
            let reason = match denial.culprit {
                Culprit::Us => CloseReason::Failed,
                Culprit::Target => CloseReason::Target,
                Culprit::Policy | Culprit::Client => CloseReason::Denied,
            };
            End { reason, denial: Some(denial) }
        }
        _ => end,
    }
}

fn gone() -> Denial {
    Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new("the client is gone"))
}

fn broken(e: &russh::Error) -> End {
    let text = ClientText::new("the SSH connection broke off");
    End {
        reason: CloseReason::ClientLost,
        denial: Some(Denial::new(Culprit::Client, DenialCode::Protocol, text).detail(e)),
    }
}
