//! A client's connection through the machine: the driver loop of the runtime, blocking and without sockets of its own.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_enforce::{
    Admission, Arrival, Connected, Dialling, Gate, Machine, Output, Passage, Presented, PresentedCredential, Protocol,
    TargetCredential, TlsFacts, Upstream,
};
use countersign_model::{Denial, Secret, Timestamp};
use countersign_postgres::{Postgres, PostgresMachine};

use super::wire::{self, Message};
use super::world::{self, Entry, Log, Rules};

/// The target's end of a connection.
pub(crate) trait Far {
    /// Takes bytes.
    fn write(&mut self, b: &[u8]);
    /// Gives bytes, waiting for them; `None` when the connection ended or nothing will ever come.
    fn read(&mut self) -> Option<Vec<u8>>;
    /// Takes a cancel order on a connection of its own, and is done with it when this returns.
    fn cancel(&mut self, order: &[u8]);
}

/// Anything that takes a client's bytes and gives a server's.
pub(crate) trait Wire {
    /// Sends.
    fn send(&mut self, b: &[u8]);
    /// Waits until `count` messages of a kind came since the last [`Wire::take`], or the connection ended.
    fn wait(&mut self, tag: u8, count: usize);
    /// The messages that came since the last call.
    fn take(&mut self) -> Vec<Message>;
}

enum Link {
    None,
    Dialling(Dialling),
    Up(Upstream),
}

/// A client's connection through a machine to `far`.
pub(crate) struct Through<F: Far> {
    pub(crate) machine: PostgresMachine,
    pub(crate) far: F,
    pub(crate) log: Log,
    rules: Rules,
    part: String,
    gate: Option<Gate>,
    passage: Option<Passage>,
    link: Link,
    client_in: BytesMut,
    far_in: BytesMut,
    /// What the client was sent and did not take yet.
    pub(crate) told: Vec<u8>,
    /// What the client presented.
    pub(crate) presented: Option<Presented>,
    /// Our cancel key, and the order that it stands for.
    pub(crate) cancel_key: Option<(Bytes, Bytes)>,
    /// A cancel key that this connection presented.
    pub(crate) cancels: Option<Bytes>,
    /// TLS with the client is to be set up.
    pub(crate) tls_due: bool,
    /// How the session ended.
    pub(crate) closed: Option<Option<Denial>>,
    /// The target's bytes are given to the machine in pieces of at most this length.
    pub(crate) far_piece: usize,
    /// Cancel orders of the machine itself.
    pub(crate) own_cancels: usize,
    /// The most bytes that a machine left untaken.
    pub(crate) left_max: usize,
    pub(crate) now: Timestamp,
}

/// An arrival on loopback.
pub(crate) fn arrival(tls_offered: bool, plaintext_allowed: bool) -> Arrival {
    Arrival { source: ([127, 0, 0, 1], 5).into(), tls_offered, plaintext_allowed, random: [7; 32], inside: false }
}

impl<F: Far> Through<F> {
    /// A connection that just came in.
    pub(crate) fn new(protocol: &Postgres, far: F, part: &str, rules: &Rules, arrival: Arrival) -> Self {
        Self {
            machine: protocol.accept(arrival),
            far,
            log: Log::default(),
            rules: rules.clone(),
            part: part.to_owned(),
            gate: None,
            passage: None,
            link: Link::None,
            client_in: BytesMut::new(),
            far_in: BytesMut::new(),
            told: Vec::new(),
            presented: None,
            cancel_key: None,
            cancels: None,
            tls_due: false,
            closed: None,
            far_piece: usize::MAX,
            own_cancels: 0,
            left_max: 0,
            now: Timestamp::from_unix_s(1_800_000_000),
        }
    }

    /// A session whose login is done.
    pub(crate) fn logged_in(protocol: &Postgres, far: F, part: &str, rules: &Rules) -> Self {
        let mut t = Self::new(protocol, far, part, rules, arrival(false, true));
        let mut hello = wire::startup(wire::V3_0, &[("user", "ana"), ("database", "shop")]);
        t.send(&std::mem::take(&mut hello));
        t.send(&wire::frame(b'p', b"token\0"));
        t.wait(b'Z', 1);
        t
    }

    /// TLS came up.
    pub(crate) fn tls(&mut self, alpn: Option<&[u8]>) {
        self.tls_with(TlsFacts { alpn: alpn.map(<[u8]>::to_vec), peer_certificates: Vec::new() });
    }

    /// TLS came up with these facts.
    pub(crate) fn tls_with(&mut self, facts: TlsFacts) {
        self.tls_due = false;
        if let Err(denial) = self.machine.on_client_tls(facts) {
            self.fatal(&denial);
        }
        self.pump();
    }

    /// The session must end.
    pub(crate) fn fatal(&mut self, denial: &Denial) {
        while let Some(output) = self.machine.poll_output() {
            self.perform(output);
        }
        self.machine.on_fatal(denial);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while self.closed.is_none() && !self.tls_due {
            let Some(output) = self.machine.poll_output() else { return };
            self.perform(output);
        }
    }

    fn perform(&mut self, output: Output) {
        match output {
            Output::Client(b) => {
                assert!(!b.is_empty(), "nothing is told at length");
                self.log.add(Entry::Told(b.to_vec()));
                self.told.extend(&b);
            }
            Output::Propose(id, proposal) => {
                let Some(gate) = &mut self.gate else { panic!("a proposal before the session was up") };
                let machine = &self.machine;
                match gate.admit(proposal, &|| machine.hold_facts(id), self.now) {
                    Admission::Ready(Ok((cleared, plan))) => {
                        let Link::Up(up) = &mut self.link else { panic!("cleared without a target") };
                        if let Some(literal) = self.machine.prelude(id, &plan) {
                            up.control(literal);
                            Self::flush(up, &mut self.far, &self.log, Entry::Control);
                        }
                        let Link::Up(up) = &mut self.link else { return };
                        assert!(up.send(cleared), "cleared for another session");
                        Self::flush(up, &mut self.far, &self.log, Entry::Cleared);
                        self.machine.on_ruling(id, Ok(plan));
                    }
                    Admission::Ready(Err(denial)) => self.machine.on_ruling(id, Err(denial)),
                    Admission::Wait(_) => panic!("the bench's target is not durable"),
                    Admission::Held(_) => panic!("the bench has nobody to ask"),
                }
            }
            Output::Follow(permit, b) => {
                let Link::Up(up) = &mut self.link else { panic!("bytes without a target") };
                let seq = permit.seq();
                assert!(up.follow(&permit, b), "a permit of another session");
                Self::flush(up, &mut self.far, &self.log, |b| Entry::Followed(seq, b));
            }
            Output::Control(frame) => {
                let Link::Up(up) = &mut self.link else { panic!("a literal without a target") };
                up.control(frame);
                Self::flush(up, &mut self.far, &self.log, Entry::Control);
            }
            Output::Login(b) => {
                let Link::Dialling(dialling) = &mut self.link else { panic!("login bytes outside of a login") };
                dialling.login(b);
                let mut pending = dialling.outbound();
                while !pending.is_empty() {
                    let n = pending.chunk().len();
                    self.far.write(pending.chunk());
                    pending.advance(n);
                }
            }
            Output::StartClientTls => self.tls_due = true,
            Output::StartUpstreamTls => panic!("the bench has no TLS to the target"),
            Output::Authenticate(presented) => {
                if let PresentedCredential::Token { token, .. } = &presented.credential {
                    assert!(!format!("{token:?}").contains("token"), "a token can be printed");
                }
                self.presented = Some(presented);
                self.machine.on_identity(&world::identity());
            }
            Output::Connect(request) => match world::open(&self.rules, &self.log, &request.shape, self.now) {
                Ok(opened) => {
                    self.gate = Some(opened.gate);
                    self.link = Link::Dialling(Dialling::new(opened.passage));
                    let password = Some(Secret::new(b"pw".to_vec()));
                    self.machine.on_connected(Connected {
                        credential: TargetCredential { user: "gw".into(), password, key: None, certificate: None },
                        part: self.part.clone(),
                        tls_required: false,
                        target: "shop".into(),
                        tagging: self.rules.tagging.clone(),
                        host_keys: Arc::default(),
                    });
                }
                Err(denial) => self.machine.on_fatal(&denial),
            },
            Output::Established { .. } => match std::mem::replace(&mut self.link, Link::None) {
                Link::Dialling(dialling) => self.link = Link::Up(dialling.established()),
                _ => panic!("a login ended that had not begun"),
            },
            Output::CancelKey { client_key, order } => self.cancel_key = Some((client_key, order)),
            Output::Cancel(key) => self.cancels = Some(key),
            Output::CancelOwn => {
                self.own_cancels += 1;
                if let Some((_, order)) = &self.cancel_key {
                    self.far.cancel(order);
                }
            }
            Output::Outcome(seq, outcome) => {
                let gate = self.gate.as_mut().unwrap_or_else(|| panic!("an outcome before the session was up"));
                assert!(gate.outcome(seq, &outcome, self.now).is_ok());
            }
            Output::Rows(seq, b) => {
                let gate = self.gate.as_mut().unwrap_or_else(|| panic!("rows before the session was up"));
                assert!(gate.output(seq, &b, self.now).is_ok());
            }
            Output::Rejected(denial) => self.log.add(Entry::Event(format!("rejected: {denial}"))),
            Output::Close(reason, denial) => {
                if let Some(gate) = &mut self.gate {
                    assert!(gate.close(reason, denial.as_ref(), self.now).is_ok());
                }
                self.closed = Some(denial);
            }
        }
    }

    fn flush(up: &mut Upstream, far: &mut F, log: &Log, entry: impl FnOnce(Vec<u8>) -> Entry) {
        let mut all = Vec::new();
        let mut pending = up.outbound();
        while !pending.is_empty() {
            let n = pending.chunk().len();
            all.extend(pending.chunk());
            pending.advance(n);
        }
        far.write(&all);
        log.add(entry(all));
    }

    /// Gives the machine what it will take of the client's bytes.
    pub(crate) fn pump(&mut self) {
        self.now = Timestamp::from_unix_us(self.now.unix_us() + 1);
        self.machine.on_time(self.now);
        self.carry_out();
        while self.closed.is_none() && !self.tls_due && !self.client_in.is_empty() && self.machine.wants_client() {
            let before = self.client_in.len();
            if let Err(denial) = self.machine.on_client(&mut self.client_in) {
                self.fatal(&denial);
                return;
            }
            self.carry_out();
            if self.client_in.len() == before {
                if self.machine.wants_client() {
                    self.left_max = self.left_max.max(before);
                }
                return;
            }
        }
    }

    /// Waits for bytes of the target; false when it has nothing more to say.
    pub(crate) fn pull(&mut self) -> bool {
        if self.closed.is_some() || self.tls_due {
            return false;
        }
        let Some(bytes) = self.far.read() else {
            self.machine.on_upstream_end();
            self.carry_out();
            return false;
        };
        for piece in bytes.chunks(self.far_piece) {
            if self.closed.is_some() {
                break;
            }
            self.far_in.extend_from_slice(piece);
            if let Err(denial) = self.machine.on_upstream(&mut self.far_in) {
                self.fatal(&denial);
                return false;
            }
            self.pump();
        }
        true
    }

    /// What went to the target since the login, in words, without what the gateway asks for itself.
    pub(crate) fn forwarded(&self) -> Vec<String> {
        let mut bytes = Vec::new();
        for entry in self.log.entries() {
            if let Entry::Cleared(b) | Entry::Followed(_, b) | Entry::Control(b) = entry {
                bytes.extend(b);
            }
        }
        let (messages, rest) = wire::messages(&bytes);
        assert!(rest.is_empty(), "a message was forwarded in part: {rest:?}");
        let spoken: Vec<String> = messages.iter().map(wire::spoken).collect();
        let mut out: Vec<String> = Vec::new();
        let mut probed = false;
        for line in spoken {
            if line.contains("_countersign_probe") {
                probed = true;
            } else if !(std::mem::take(&mut probed) && (line == "S" || line == "H")) {
                out.push(line);
            }
        }
        out
    }

    /// True while the machine takes nothing of the client.
    pub(crate) fn machine_is_held(&self) -> bool {
        self.closed.is_none() && !self.machine.wants_client()
    }

    /// The client's bytes that the machine did not take yet.
    pub(crate) fn untaken(&self) -> usize {
        self.client_in.len()
    }

    /// The client says goodbye; the record must be whole.
    pub(crate) fn goodbye(&mut self) {
        if self.closed.is_none() {
            self.send(&wire::x());
        }
        while self.closed.is_none() && self.pull() {}
        if self.closed.is_none() {
            self.fatal(&Denial::new(
                countersign_model::Culprit::Client,
                countersign_model::DenialCode::Protocol,
                countersign_model::ClientText::new("the client's connection ended"),
            ));
        }
        if self.gate.is_some() {
            self.log.check();
        }
    }
}

impl<F: Far> Wire for Through<F> {
    fn send(&mut self, b: &[u8]) {
        self.client_in.extend_from_slice(b);
        self.pump();
    }

    fn wait(&mut self, tag: u8, count: usize) {
        while wire::messages(&self.told).0.iter().filter(|m| m.tag == tag).count() < count {
            if !self.pull() {
                return;
            }
        }
    }

    fn take(&mut self) -> Vec<Message> {
        let (messages, rest) = wire::messages(&self.told);
        self.told = rest.to_vec();
        messages
    }
}

/// The protocol, shared by sessions that are to know of each other.
pub(crate) fn protocol() -> Arc<Postgres> {
    let key = Secret::new(vec![7; countersign_mask::KEY_BYTES_MIN]);
    let masker = countersign_mask::Masker::new(&key).unwrap_or_else(|e| panic!("{e}"));
    Arc::new(Postgres::new().mask_by(Arc::new(masker)))
}
