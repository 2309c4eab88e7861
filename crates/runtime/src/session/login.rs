//! The login: who it is, where it wants to go, and the way there. Each step runs under the login's one deadline. Nothing is dialled
//! before the gate gave leave.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{
    CloseReason, ConnectRequest, Connected, Dialling, Gate, GateParts, Lockable, Machine, Opened, Passage, Presented,
    PresentedCredential, Protocol, Standing, TargetCredential,
};
use countersign_model::{
    ClientText, Culprit, Denial, DenialCode, Identity, SessionContext, SessionId, Shape, Timestamp,
};
use tokio_rustls::TlsAcceptor;

use super::perform::defect;
use super::{Driver, Link, Side};
use crate::cancel::{CancelOrder, deliver};
use crate::dial::{dial, encrypt};
use crate::inside::Visitor;
use crate::registry::{SessionInfo, call};
use crate::route::Route;
use crate::socket::{ReadAhead, Socket};
use crate::telemetry::CancelResult;

/// What is known until the target lets the session in.
pub(super) struct Login {
    pub(super) started: Timestamp,
    pub(super) user: String,
    pub(super) target: String,
    pub(super) identity: Option<Arc<Identity>>,
    pub(super) encrypted: bool,
    /// For whom it is, where that is known without being asked: a client in this process.
    pub(super) visitor: Option<Visitor>,
    /// The client's end-entity certificate, where it showed one: a token may be bound to it.
    certificate: Option<Bytes>,
    /// The session's id once it was told to the client.
    pub(super) id: Option<SessionId>,
    /// The refusal stands in the session's recording already.
    pub(super) refusal_recorded: bool,
    /// A message was refused, for the record if nothing better explains the end.
    pub(super) rejection: Option<Denial>,
}

impl Login {
    pub(super) fn new(started: Timestamp) -> Self {
        Self {
            started,
            user: String::new(),
            target: String::new(),
            identity: None,
            encrypted: false,
            visitor: None,
            certificate: None,
            id: None,
            refusal_recorded: false,
            rejection: None,
        }
    }
}

/// What a login waited for.
pub(super) enum Step {
    Identified(Result<Arc<Identity>, Denial>),
    Dialled(Result<Box<Dialled>, Denial>),
    ClientTls(io::Result<Socket>),
    TargetTls(io::Result<Socket>),
    Cancelled,
}

pub(super) struct Dialled {
    socket: Socket,
    passage: Passage,
    connected: Connected,
}

impl<P: Protocol> Driver<P> {
    pub(super) fn authenticate(&mut self, mut presented: Presented) {
        let now = self.now();
        if let Some(login) = &mut self.login {
            login.user.clone_from(&presented.user);
            login.target.clone_from(&presented.target);
            if let PresentedCredential::Token { certificate, .. } = &mut presented.credential {
                *certificate = login.certificate.take();
            }
        }
        let authenticator = self.shared.core.services.authenticator.clone();
        if let Some(visitor) = self.login.as_ref().and_then(|l| l.visitor.as_ref()) {
            let identity = visitor.identity.clone();
            self.step = Some(Box::pin(async move {
                // It was verified where it signed in; whether it still stands is asked as of every live session.
                Step::Identified(match authenticator.standing(&identity, now).await {
                    Standing::Stands => Ok(identity),
                    Standing::Ended(denial) => Err(denial),
                    Standing::Unknown => Err(unknown_standing()),
                })
            }));
            return;
        }
        self.step = Some(Box::pin(async move { Step::Identified(authenticator.authenticate(&presented, now).await) }));
    }

    pub(super) fn connect(&mut self, request: ConnectRequest) {
        let now = self.now();
        let Some(login) = &mut self.login else {
            self.fail(defect("a second target was asked for"));
            return;
        };
        let Some(identity) = login.identity.clone() else {
            self.fail(defect("a target was asked for before it was known who asks"));
            return;
        };
        login.target.clone_from(&request.target);
        let id = SessionId::new(now, rand::random());
        if let Some(visitor) = &login.visitor {
            // A connection asks for a target once: it cannot have been told before.
            let _ = visitor.session.set(id);
        }
        let services = self.shared.core.services.clone();
        let route = services.targets.find(&request.target);
        let Some(route) = route.filter(|r| *r.target.protocol == *self.shared.protocol.name()) else {
            login.id = Some(id);
            let denial = no_such_target(&request, &identity, services.ask.as_deref(), id);
            self.fail(denial);
            return;
        };
        let what = Lockable { identity: &identity, source: self.source, target: &route.target.name, session: id };
        if let Some(denial) = services.locks.keeps_out(&what, now) {
            login.id = Some(id);
            self.fail(denial);
            return;
        }
        let part = if request.part.is_empty() { route.default_part.clone() } else { request.part };
        let parts = GateParts {
            identity: identity.clone(),
            target: route.target.clone(),
            context: SessionContext {
                id,
                source: self.source,
                encrypted: login.encrypted,
                application: request.application,
                part: part.clone(),
                started_at: login.started,
            },
            policy: services.policy,
            alerts: services.alerts,
            reviews: services.reviews,
            ask: route.ask.clone().or(services.ask),
        };
        let passage = match Gate::open(parts, &*services.recorder, &request.shape, now) {
            Ok(Opened { gate, passage }) => {
                self.gate = Some(Box::new(gate));
                passage
            }
            Err(denial) => {
                login.id = Some(id);
                login.refusal_recorded = denial.code != DenialCode::RecorderUnavailable;
                self.fail(denial);
                return;
            }
        };
        self.route = Some(route.clone());
        self.stay.seated.seat.introduce(SessionInfo {
            id,
            identity: identity.clone(),
            target: route.target.clone(),
            source: self.source,
            since: now,
        });
        self.span = tracing::info_span!(
            "session", id = %id, identity = %identity.name, target = %route.target.name, source = %self.source
        );
        let _in = self.span.enter();
        tracing::info!("opened");
        // Once more, now that it is seen by whoever looks for sessions to cut: a lock may have come in between.
        let what = Lockable { identity: &identity, source: self.source, target: &route.target.name, session: id };
        if let Some(denial) = services.locks.keeps_out(&what, now) {
            drop(_in);
            self.fail(denial);
            return;
        }
        let credentials = services.credentials;
        self.step = Some(Box::pin(async move {
            let reach = async {
                let credential = credentials.fetch(&route.target.name, &identity, id, now).await?;
                reach(&route, credential, part, passage).await
            };
            Step::Dialled(reach.await)
        }));
    }

    /// Begins the TLS that is due once everything before it has been written.
    pub(super) fn begin_tls(&mut self) -> bool {
        match self.tls_due {
            None => false,
            Some(Side::Client) => {
                if !self.client_out.is_empty() {
                    return false;
                }
                self.tls_due = None;
                let (Some(tls), Some(plain)) = (&self.shared.config.tls, self.client.take_plain()) else {
                    self.fail(defect("TLS was started where there is none"));
                    return true;
                };
                let acceptor = TlsAcceptor::from(tls.current());
                let io = ReadAhead::new(plain, self.client_in.take());
                self.step =
                    Some(Box::pin(async move { Step::ClientTls(acceptor.accept(io).await.map(Socket::server)) }));
                true
            }
            Some(Side::Target) => {
                let Link::Dialling(socket, dialling) = &mut self.link else {
                    self.tls_due = None;
                    self.fail(defect("TLS was started outside of a login"));
                    return true;
                };
                if !dialling.outbound().is_empty() && !self.target_deaf {
                    return false;
                }
                self.tls_due = None;
                let (Some(route), Some(plain)) = (self.route.clone(), socket.take_plain()) else {
                    self.fail(defect("TLS was started twice"));
                    return true;
                };
                if !self.target_in.buf.is_empty() {
                    self.fail(unreachable_target(&route, "it sent bytes ahead of the encryption that was agreed on"));
                    return true;
                }
                self.step = Some(Box::pin(async move { Step::TargetTls(encrypt(plain, &route).await) }));
                true
            }
        }
    }

    pub(super) fn step_done(&mut self, step: Step) {
        match step {
            Step::Identified(Ok(identity)) => {
                if let Some(login) = &mut self.login {
                    login.identity = Some(identity.clone());
                }
                self.machine.on_identity(&identity);
            }
            Step::Dialled(Ok(dialled)) => {
                let Dialled { socket, passage, connected } = *dialled;
                self.link = Link::Dialling(socket, Dialling::new(passage));
                self.connected(connected);
            }
            Step::Identified(Err(denial)) | Step::Dialled(Err(denial)) => self.fail(denial),
            Step::ClientTls(Ok(socket)) => {
                let mut facts = socket.tls_facts();
                self.client = socket;
                if let Some(login) = &mut self.login {
                    login.encrypted = true;
                    login.certificate = facts.peer_certificates.first().cloned();
                }
                // Clients show whatever certificate they were set up with: only one of a kind that is known here is a login.
                if !self.shared.core.services.authenticator.recognises(&facts.peer_certificates) {
                    facts.peer_certificates = Vec::new();
                }
                if let Err(denial) = self.machine.on_client_tls(facts) {
                    self.fail(denial);
                }
            }
            Step::ClientTls(Err(e)) => {
                let text = ClientText::new("the TLS handshake failed");
                self.fail(Denial::new(Culprit::Client, DenialCode::Protocol, text).detail(e));
            }
            Step::TargetTls(Ok(socket)) => {
                let facts = socket.tls_facts();
                if let Link::Dialling(old, _) = &mut self.link {
                    *old = socket;
                }
                if let Err(denial) = self.machine.on_upstream_tls(facts) {
                    self.fail(denial);
                }
            }
            Step::TargetTls(Err(e)) => {
                let denial = match self.route.as_deref() {
                    Some(route) => unreachable_target(route, "the TLS handshake failed").detail(e),
                    None => defect("a login without a route"),
                };
                self.fail(denial);
            }
            Step::Cancelled => {
                self.carry_out();
                self.end(CloseReason::Client, None);
            }
        }
    }

    pub(super) fn keep_cancel_key(&mut self, client_key: &[u8], order: &[u8]) {
        let (Some(gate), Some(route)) = (&self.gate, self.route.clone()) else {
            self.fail(defect("a cancel key came without a target"));
            return;
        };
        let order = CancelOrder {
            // Copies: both may be slices of a read buffer, which they would keep.
            key: Bytes::copy_from_slice(client_key),
            order: Bytes::copy_from_slice(order),
            protocol: self.shared.protocol.name(),
            route,
            session: gate.context().id,
            seat: self.stay.seated.seat.clone(),
        };
        self.cancel = Some(self.shared.core.cancels.insert(order));
    }

    /// This connection only presents a key. Whoever does not know one learns nothing: the answer is always the same.
    pub(super) fn cancel_other(&mut self, key: &[u8]) {
        let Some(order) = self.shared.core.cancels.find(self.shared.protocol.name(), key) else {
            self.count_cancel(CancelResult::Unknown);
            tracing::debug!(source = %self.source, "a cancel key that no session has");
            self.step = Some(Box::pin(std::future::ready(Step::Cancelled)));
            return;
        };
        let shared = self.shared.clone();
        self.step = Some(Box::pin(async move {
            order.seat.call(call::CANCELLED);
            let result = report(deliver(&shared.protocol, &order).await, &order);
            shared.core.telemetry.cancelled(result);
            Step::Cancelled
        }));
    }

    /// Cancels what runs in this session, beside everything else. One order at a time is enough.
    pub(super) fn cancel_own(&mut self) {
        let Some(kept) = &self.cancel else { return };
        if self.aside.is_some() {
            return;
        }
        let (order, shared) = (kept.order.clone(), self.shared.clone());
        let is_ended = order.seat.ended().is_some();
        self.aside = Some(Box::pin(async move {
            if is_ended {
                shared.core.registry.all_told().await;
            }
            let _turn = shared.core.cancels.turn().await;
            let result = report(deliver(&shared.protocol, &order).await, &order);
            shared.core.telemetry.cancelled(result);
        }));
    }
}

fn unknown_standing() -> Denial {
    Denial::new(
        Culprit::Us,
        DenialCode::Internal,
        ClientText::new("nobody can tell now whether this login still stands"),
    )
    .hint(ClientText::new("Try again in a moment."))
}

fn report(result: io::Result<()>, order: &CancelOrder) -> CancelResult {
    match result {
        Ok(()) => CancelResult::Delivered,
        Err(e) => {
            tracing::warn!(session = %order.session, target = %order.route.target.name, error = %e,
                "a cancel order did not reach the target");
            CancelResult::Failed
        }
    }
}

async fn reach(
    route: &Route,
    credential: TargetCredential,
    part: String,
    passage: Passage,
) -> Result<Box<Dialled>, Denial> {
    let socket = dial(route)
        .await
        .map_err(|e| unreachable_target(route, why_not_dialled(&e)).detail(format_args!("{}: {e}", route.endpoint)))?;
    let tls_required = route.tls_required();
    let connected = Connected {
        credential,
        part,
        tls_required,
        target: route.label().clone(),
        tagging: Arc::clone(&route.target.tagging),
        host_keys: route.host_keys.clone(),
    };
    Ok(Box::new(Dialled { socket, passage, connected }))
}

pub(crate) fn why_not_dialled(e: &io::Error) -> &'static str {
    match e.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::TimedOut => "no answer in time",
        io::ErrorKind::NotFound => "its socket does not exist",
        _ => "the connection failed",
    }
}

pub(crate) fn unreachable_target(route: &Route, why: &'static str) -> Denial {
    let text = ClientText::new("target \"").name(route.target.name.as_str()).and("\" cannot be reached: ").and(why);
    Denial::new(Culprit::Target, DenialCode::TargetUnavailable, text)
        .hint(ClientText::new("Try again later, or tell the owner of the target."))
}

/// Says exactly what a target would get that exists and that no rule opens: who may not use it does not learn whether it exists.
pub(crate) fn no_such_target(
    request: &ConnectRequest,
    identity: &Identity,
    ask: Option<&str>,
    id: SessionId,
) -> Denial {
    let shape: &Shape = &request.shape;
    let name = request.target.as_str();
    let text =
        ClientText::new("").name(shape.kind()).and(" on target \"").name(name).and("\" is denied: no rule allows it");
    let hint = match ask {
        Some(ask) => ClientText::new("").name(ask),
        None => ClientText::new("To ask for access, tell the owner of target \"")
            .name(name)
            .and("\" that you (")
            .name(&identity.name)
            .and(") need \"")
            .and(shape.access().as_str())
            .and("\"."),
    };
    Denial::new(Culprit::Policy, DenialCode::Forbidden, text)
        .hint(hint.and(" This refusal is in session ").name(&id.to_string()).and("."))
        .detail("there is no such target for this protocol")
}
