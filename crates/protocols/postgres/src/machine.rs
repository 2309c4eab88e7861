//! The life of one client connection: start-up, identity, login at the target, session.

mod entry;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use countersign_enforce::{
    Arrival, CloseReason, ConnectRequest, Connected, HoldFacts, Machine, Output, Plan, ProposalId, ReviewNotice,
    TlsFacts,
};
use countersign_model::{
    Access, Attribute, Attributes, ClientText, Culprit, Denial, DenialCode, Fingerprint, Identity, Shape, Tagging,
    Timestamp, Use,
};

use crate::Door;
use crate::knowledge::Knowledge;
use crate::login::{self, Canceller, LoggedIn, Login, Step};
use crate::masking::Tools;
use crate::session::{Session, reason_of};
use crate::startup::{PROTOCOL_3_2, Start};
use crate::wire::{self, Gravity, protocol_fault, target_fault};
use entry::Turn;

/// The application protocol of direct TLS (registered with IANA for PostgreSQL).
pub(crate) const ALPN: &[u8] = b"postgresql";

/// Bytes that a client may send ahead while it waits for the login to end.
const EARLY_BYTES_MAX: usize = 64 << 10;

enum Phase {
    /// Encryption requests and the start-up message.
    Startup,
    /// TLS with the client is being set up.
    Encrypting { direct: bool },
    /// The password is asked for.
    Password(Start),
    /// A token is asked for by OAUTHBEARER.
    Bearer(Start, Turn),
    /// Somebody else is busy: identity, gate, dialling.
    Waiting(Start),
    /// Logging in at the target.
    Login(Box<Login>, Start),
    /// Logged in; the session learns what names mean before the client may begin.
    Preparing(Box<Session>, Vec<Bytes>),
    /// The client may speak.
    Open(Box<Session>),
    /// No client: a cancel order is delivered.
    Cancelling(Canceller),
    /// Nothing more is taken.
    Over,
}

/// The machine of one connection.
pub struct PostgresMachine {
    knowledge: Arc<Knowledge>,
    door: Arc<Door>,
    phase: Phase,
    out: VecDeque<Output>,
    arrival: Option<Arrival>,
    encrypted: bool,
    /// The client's certificates, when the authenticator recognises them: they are the login.
    certificates: Vec<Bytes>,
    asked_for_tls: bool,
    asked_for_gss: bool,
    target: Arc<str>,
    part: String,
    tagging: Arc<Tagging>,
    now: Timestamp,
}

impl PostgresMachine {
    pub(crate) fn accept(knowledge: Arc<Knowledge>, door: Arc<Door>, arrival: Arrival) -> Self {
        Self {
            knowledge,
            door,
            phase: Phase::Startup,
            out: VecDeque::new(),
            arrival: Some(arrival),
            encrypted: false,
            certificates: Vec::new(),
            asked_for_tls: false,
            asked_for_gss: false,
            target: "".into(),
            part: String::new(),
            tagging: Arc::default(),
            now: Timestamp::from_unix_us(0),
        }
    }

    pub(crate) fn canceller(knowledge: Arc<Knowledge>, order: Bytes, tls_required: bool) -> Self {
        let (canceller, first) = Canceller::start(order, tls_required);
        Self {
            knowledge,
            door: Arc::default(),
            phase: Phase::Cancelling(canceller),
            out: VecDeque::from([Output::Login(first)]),
            arrival: None,
            encrypted: false,
            certificates: Vec::new(),
            asked_for_tls: false,
            asked_for_gss: false,
            target: "".into(),
            part: String::new(),
            tagging: Arc::default(),
            now: Timestamp::from_unix_us(0),
        }
    }

    fn client(&mut self, b: Bytes) {
        self.out.push_back(Output::Client(b));
    }

    fn on_step(&mut self, step: Step) {
        match step {
            Step::Send(b) => self.out.push_back(Output::Login(b)),
            Step::StartTls => self.out.push_back(Output::StartUpstreamTls),
            Step::Done(logged_in) => self.on_logged_in(logged_in),
        }
    }

    fn on_logged_in(&mut self, logged_in: LoggedIn) {
        let Phase::Login(_, start) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        self.out.push_back(Output::Established {
            account: logged_in.account,
            target_session: format!("process {}", logged_in.process_id),
        });
        let key = self.own_key(start.version);
        if !logged_in.cancel_key.is_empty() {
            self.out.push_back(Output::CancelKey {
                client_key: key.clone(),
                order: login::cancel_order(&logged_in.cancel_key),
            });
        }
        let mut greeting = vec![wire::authentication(0)];
        let database = self.knowledge.database(&self.target, &self.part, &self.tagging);
        let tools = Tools::new(self.door.masker.clone(), self.tagging.clone());
        let is_inside = self.arrival.as_ref().is_some_and(|a| a.inside);
        let mut session = Session::start(database, tools, self.now).inside(is_inside);
        logged_in.parameters.iter().for_each(|frame| session.note_parameter(frame));
        greeting.extend(logged_in.parameters);
        let mut out = BytesMut::new();
        wire::frame(&mut out, b'K', |b| b.put_slice(&key));
        greeting.push(out.freeze());
        self.phase = Phase::Preparing(Box::new(session), greeting);
        self.begin_when_prepared();
    }

    /// Our own cancel key: a process id and a secret, from the randomness that the arrival brought.
    fn own_key(&self, version: i32) -> Bytes {
        let random = self.arrival.as_ref().map_or([0; 32], |a| a.random);
        let secret_bytes = if version >= PROTOCOL_3_2 { 28 } else { 4 };
        let (process_id, secret) = random.split_at(4);
        let mut key = BytesMut::with_capacity(4 + secret_bytes);
        // A positive number, as a process id is.
        let mut id = [0; 4];
        id.copy_from_slice(process_id);
        key.put_i32(i32::from_be_bytes(id) & i32::MAX);
        key.extend(secret.iter().take(secret_bytes));
        key.freeze()
    }

    fn begin_when_prepared(&mut self) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Preparing(session, greeting) if session.is_prepared() => {
                for frame in greeting {
                    self.client(frame);
                }
                self.client(wire::ready_for_query(b'I'));
                self.phase = Phase::Open(session);
            }
            phase => self.phase = phase,
        }
    }

    fn session(&mut self) -> Option<&mut Session> {
        match &mut self.phase {
            Phase::Preparing(session, _) | Phase::Open(session) => Some(session),
            _ => None,
        }
    }
}

impl Machine for PostgresMachine {
    fn on_client(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        match &mut self.phase {
            Phase::Startup => self.on_startup(b)?,
            Phase::Open(session) => return session.on_client(b),
            _ => {}
        }
        match self.phase {
            Phase::Password(_) => self.on_password(b)?,
            Phase::Bearer(..) => self.on_bearer(b)?,
            _ => {}
        }
        match self.phase {
            Phase::Over => b.clear(),
            Phase::Encrypting { .. } | Phase::Open(_) => {}
            _ if b.len() > EARLY_BYTES_MAX => return Err(protocol_fault("too many bytes before the login")),
            _ => {}
        }
        Ok(())
    }

    fn on_upstream(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        loop {
            match &mut self.phase {
                Phase::Login(login, _) => {
                    let Some(step) = login.on_bytes(b)? else { return Ok(()) };
                    self.on_step(step);
                }
                Phase::Preparing(session, greeting) => {
                    session.on_upstream(b)?;
                    if let Some(denial) = session.take_failure() {
                        return Err(denial);
                    }
                    hold_back(session, greeting);
                    self.begin_when_prepared();
                    return Ok(());
                }
                Phase::Open(session) => return session.on_upstream(b),
                Phase::Cancelling(canceller) => {
                    if canceller.on_bytes(b)? {
                        self.out.push_back(Output::StartUpstreamTls);
                    }
                    return Ok(());
                }
                Phase::Over => {
                    b.clear();
                    return Ok(());
                }
                _ if b.is_empty() => return Ok(()),
                _ => return Err(target_fault("bytes came before the login")),
            }
        }
    }

    fn on_client_tls(&mut self, tls: TlsFacts) -> Result<(), Denial> {
        let Phase::Encrypting { direct } = self.phase else {
            return Err(protocol_fault("TLS came up at the wrong time"));
        };
        match tls.alpn.as_deref() {
            Some(ALPN) => {}
            None if !direct => {}
            _ => return Err(protocol_fault("direct TLS must agree on the application protocol \"postgresql\"")),
        }
        self.encrypted = true;
        self.certificates = tls.peer_certificates;
        self.phase = Phase::Startup;
        Ok(())
    }

    fn on_upstream_tls(&mut self, tls: TlsFacts) -> Result<(), Denial> {
        match &mut self.phase {
            Phase::Login(login, _) => {
                let step = login.on_tls(&tls)?;
                self.on_step(step);
                Ok(())
            }
            Phase::Cancelling(canceller) => {
                let order = canceller.on_tls();
                self.out.push_back(Output::Login(order));
                Ok(())
            }
            _ => Err(target_fault("TLS came up at the wrong time")),
        }
    }

    fn on_identity(&mut self, _identity: &Arc<Identity>) {
        if let Phase::Waiting(start) = &self.phase {
            let mut attributes = Attributes::new();
            attributes.insert("statements", Attribute::set(["connect"]));
            self.out.push_back(Output::Connect(ConnectRequest {
                target: start.target.clone(),
                part: start.database.clone(),
                application: start.application.clone(),
                shape: Shape::new("connect", vec![Use { access: Access::Connect, attributes }], Fingerprint(0)),
            }));
        }
    }

    fn on_connected(&mut self, connected: Connected) {
        let Phase::Waiting(start) = std::mem::replace(&mut self.phase, Phase::Over) else { return };
        self.target = connected.target.clone();
        self.part.clone_from(&connected.part);
        self.tagging = connected.tagging.clone();
        let mut settings = start.settings.clone();
        if !start.application.is_empty() {
            settings.push(("application_name".to_owned(), start.application.clone()));
        }
        let (login, step) = Login::start(connected, settings);
        self.phase = Phase::Login(Box::new(login), start);
        self.on_step(step);
    }

    fn prelude(&mut self, id: ProposalId, plan: &Plan) -> Option<&'static [u8]> {
        self.session().and_then(|s| s.prelude(id, plan))
    }

    fn hold_facts(&self, _id: ProposalId) -> HoldFacts {
        match &self.phase {
            Phase::Open(session) => session.hold_facts(),
            _ => HoldFacts { settings: Bytes::new(), in_transaction: true, cannot: Some("the session is not open") },
        }
    }

    fn on_held(&mut self, _id: ProposalId, notice: &ReviewNotice) {
        if let Some(session) = self.session() {
            session.on_held(notice);
        }
    }

    fn on_ruling(&mut self, id: ProposalId, ruling: Result<Plan, Denial>) {
        if let Some(session) = self.session() {
            session.on_ruling(id, ruling);
        }
    }

    fn on_upstream_end(&mut self) {
        match &mut self.phase {
            Phase::Cancelling(_) => {
                self.out.push_back(Output::Close(CloseReason::Client, None));
                self.phase = Phase::Over;
            }
            Phase::Over => {}
            _ => {
                let denial = Denial::new(
                    Culprit::Target,
                    DenialCode::TargetUnavailable,
                    ClientText::new("the target closed the connection"),
                );
                self.on_fatal(&denial);
            }
        }
    }

    fn on_fatal(&mut self, denial: &Denial) {
        match &mut self.phase {
            Phase::Open(session) => session.on_fatal(denial),
            Phase::Over => {}
            Phase::Cancelling(_) | Phase::Encrypting { .. } => {
                self.out.push_back(Output::Close(reason_of(denial), Some(denial.clone())));
                self.phase = Phase::Over;
            }
            _ => {
                self.client(wire::error_response(denial, Gravity::Fatal));
                self.out.push_back(Output::Close(reason_of(denial), Some(denial.clone())));
                self.phase = Phase::Over;
            }
        }
    }

    fn on_drain(&mut self) {
        match &mut self.phase {
            Phase::Open(session) => session.on_drain(),
            Phase::Over | Phase::Cancelling(_) => {}
            _ => self.on_fatal(&crate::draining()),
        }
    }

    fn poll_output(&mut self) -> Option<Output> {
        // What the machine says comes before what its session says: the greeting before the first reply.
        if let Some(output) = self.out.pop_front() {
            return Some(output);
        }
        self.session().and_then(Session::poll_output)
    }

    fn wants_client(&self) -> bool {
        match &self.phase {
            Phase::Open(session) => session.wants_client(),
            Phase::Startup | Phase::Password(_) | Phase::Bearer(..) => true,
            _ => false,
        }
    }

    fn is_whole(&self, b: &[u8]) -> bool {
        matches!(wire::head(b), Ok(Some(head)) if b.len() >= head.frame_bytes)
    }

    fn is_busy(&self) -> bool {
        matches!(&self.phase, Phase::Open(session) if session.is_busy())
    }

    fn release(&mut self) {
        if self.out.is_empty() && self.out.capacity() > 0 {
            self.out = VecDeque::new();
        }
        if let Some(session) = self.session() {
            session.release();
        }
    }

    fn on_time(&mut self, now: Timestamp) {
        self.now = now;
        if let Some(session) = self.session() {
            session.on_time(now);
        }
    }
}

/// Messages of the target that came before the client may begin join its greeting, so that they do not come ahead of it.
fn hold_back(session: &mut Session, greeting: &mut Vec<Bytes>) {
    let mut rest = Vec::new();
    while let Some(output) = session.poll_output() {
        match output {
            Output::Client(b) => greeting.push(b),
            other => rest.push(other),
        }
    }
    session.put_back(rest);
}
