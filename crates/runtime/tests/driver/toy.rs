//! A line protocol that exists to prove the driver: it proposes eagerly, several statements at once, each followed by a control
//! message, so that only a driver that keeps the order of outputs keeps the order of bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use countersign_enforce::*;
use countersign_model::*;

pub const IN_PIPELINE_MAX: usize = 64;

pub struct Toy;

impl Protocol for Toy {
    type Machine = ToyMachine;

    fn name(&self) -> &'static str {
        "toy"
    }

    fn alpn(&self) -> &'static [&'static [u8]] {
        &[b"toy"]
    }

    fn accept(&self, arrival: Arrival) -> ToyMachine {
        let key = arrival.random.iter().take(8).map(|b| format!("{b:02x}")).collect::<String>();
        ToyMachine::new(Phase::Start, Some(arrival), key, None, false)
    }

    fn canceller(&self, order: Bytes, tls_required: bool) -> ToyMachine {
        let mut m = ToyMachine::new(Phase::Hello, None, String::new(), Some(order), tls_required);
        m.say_hello();
        m
    }
}

#[derive(PartialEq, Eq, Debug)]
enum Phase {
    Start,
    AwaitClientTls,
    Login,
    AwaitTargetTls,
    Hello,
    Ready,
}

enum Reply {
    Proposed,
    Running(u64, bool),
    Denied(String),
}

pub struct ToyMachine {
    phase: Phase,
    arrival: Option<Arrival>,
    encrypted: bool,
    certificates: Vec<Bytes>,
    client_key: String,
    order: Option<Bytes>,
    tls_required: bool,
    words: Vec<String>,
    connected: Option<Connected>,
    out: VecDeque<Output>,
    replies: VecDeque<(u64, Reply, bool)>,
    next: u64,
    in_transaction: Vec<u64>,
    now: Timestamp,
    draining: bool,
    /// A farewell waits for what was asked before it.
    leaving: bool,
}

fn line(b: &mut BytesMut) -> Option<Bytes> {
    let n = b.iter().position(|c| *c == b'\n')?;
    Some(b.split_to(n + 1).freeze())
}

fn text(b: &[u8]) -> String {
    String::from_utf8_lossy(b).trim_end().to_owned()
}

fn protocol_error(what: &'static str) -> Denial {
    Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new(what))
}

pub fn shape(kind: &str) -> Arc<Shape> {
    let access = match kind {
        "connect" => Access::Connect,
        "write" => Access::Write,
        _ => Access::Read,
    };
    Shape::new(kind, vec![Use { access, attributes: Attributes::new() }], Fingerprint(0))
}

impl ToyMachine {
    fn new(
        phase: Phase,
        arrival: Option<Arrival>,
        client_key: String,
        order: Option<Bytes>,
        tls_required: bool,
    ) -> Self {
        Self {
            phase,
            arrival,
            encrypted: false,
            certificates: Vec::new(),
            client_key,
            order,
            tls_required,
            words: Vec::new(),
            connected: None,
            out: VecDeque::new(),
            replies: VecDeque::new(),
            next: 0,
            in_transaction: Vec::new(),
            now: Timestamp::from_unix_us(0),
            draining: false,
            leaving: false,
        }
    }

    fn client(&mut self, s: String) {
        self.out.push_back(Output::Client(s.into()));
    }

    fn say_hello(&mut self) {
        let words = match (&self.order, &self.connected) {
            _ if self.tls_required => {
                self.phase = Phase::AwaitTargetTls;
                "TLS\n".to_owned()
            }
            (Some(order), _) => format!("CANCEL {}\n", text(order)),
            (None, Some(c)) => {
                let password = c.credential.password.as_ref().and_then(|p| p.expose_str()).unwrap_or_default();
                format!("hello {} {password} {}\n", c.credential.user, c.part)
            }
            (None, None) => unreachable!(),
        };
        self.out.push_back(Output::Login(words.into()));
    }

    fn first_line(&mut self, said: String) -> Result<(), Denial> {
        let arrival = self.arrival.as_ref().unwrap();
        let words: Vec<String> = said.split(' ').map(str::to_owned).collect();
        match words[0].as_str() {
            "CANCEL" => self.out.push_back(Output::Cancel(words[1].clone().into())),
            "LOGIN" if !self.encrypted && !arrival.plaintext_allowed => {
                return Err(Denial::new(
                    Culprit::Client,
                    DenialCode::Plaintext,
                    ClientText::new("encryption is required"),
                ));
            }
            "LOGIN" if words.len() == 4 => {
                let credential = match words[2].as_str() {
                    "certificate" => PresentedCredential::Certificate(self.certificates.clone()),
                    token => PresentedCredential::token(Secret::from(token.to_owned())),
                };
                self.out.push_back(Output::Authenticate(Presented {
                    user: words[1].clone(),
                    credential,
                    target: words[3].clone(),
                    source: arrival.source,
                    encrypted: self.encrypted,
                }));
                self.words = words;
                self.phase = Phase::Login;
            }
            _ => return Err(protocol_error("not a login")),
        }
        Ok(())
    }

    fn statement(&mut self, frame: Bytes) -> Result<(), Denial> {
        let said = text(&frame);
        if said == "bye" {
            self.out.push_back(Output::Control(b"bye\n"));
            self.out.push_back(Output::Close(CloseReason::Client, None));
            return Ok(());
        }
        let kind = said.split(' ').next().unwrap_or_default();
        let action = Action { shape: shape(kind), text: frame.slice(..frame.len() - 1), parameters: Bytes::new() };
        self.next += 1;
        if said.starts_with("tx") {
            self.in_transaction.push(self.next);
        }
        self.replies.push_back((self.next, Reply::Proposed, said.starts_with("over")));
        self.out.push_back(Output::Propose(ProposalId(self.next), Proposal::new(frame, action)?));
        self.out.push_back(Output::Control(b"sync\n"));
        Ok(())
    }

    fn answer_denied(&mut self) {
        while let Some((_, Reply::Denied(why), _)) = self.replies.front() {
            let why = why.clone();
            self.client(format!("denied {why}\n.\n"));
            self.replies.pop_front();
        }
        self.rest();
    }

    fn rest(&mut self) {
        if self.draining && self.replies.is_empty() && self.phase == Phase::Ready {
            self.client("error draining\n".to_owned());
            self.out.push_back(Output::Close(CloseReason::Drained, None));
            self.draining = false;
        }
    }
}

impl Machine for ToyMachine {
    fn on_client(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        assert!(self.now.unix_us() > 0, "bytes came before the time");
        if self.phase == Phase::Start && b.first() == Some(&0x16) {
            self.phase = Phase::AwaitClientTls;
            self.out.push_back(Output::StartClientTls);
            return Ok(());
        }
        while self.wants_client() {
            if b.len() > 1 << 20 {
                return Err(Denial::new(Culprit::Client, DenialCode::Oversize, ClientText::new("a long line")));
            }
            if self.phase == Phase::Ready && b.starts_with(b"bye\n") && !self.replies.is_empty() {
                self.leaving = true;
                return Ok(());
            }
            let Some(frame) = line(b) else { return Ok(()) };
            if self.phase == Phase::Ready {
                self.statement(frame)?;
            } else if &*frame == b"TLS\n" && self.arrival.as_ref().unwrap().tls_offered && !self.encrypted {
                if !b.is_empty() {
                    return Err(protocol_error("bytes ahead of TLS"));
                }
                self.client("ok\n".to_owned());
                self.out.push_back(Output::StartClientTls);
                self.phase = Phase::AwaitClientTls;
            } else {
                self.first_line(text(&frame))?;
            }
        }
        Ok(())
    }

    fn on_upstream(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        while self.phase != Phase::Ready {
            let Some(said) = line(b).map(|l| text(&l)) else { return Ok(()) };
            if self.phase == Phase::AwaitTargetTls && said == "ok" {
                self.out.push_back(Output::StartUpstreamTls);
                return Ok(());
            }
            if self.order.is_some() {
                self.out.push_back(Output::Close(CloseReason::Client, None));
                return Ok(());
            }
            let Some(order) = said.strip_prefix("welcome ") else {
                return Err(Denial::new(Culprit::Target, DenialCode::TargetUnavailable, ClientText::new("no welcome")));
            };
            let account = self.connected.as_ref().unwrap().credential.user.clone();
            self.out.push_back(Output::Established { account, target_session: order.to_owned() });
            self.out.push_back(Output::CancelKey {
                client_key: self.client_key.clone().into(),
                order: order.to_owned().into(),
            });
            self.client(format!("welcome {}\n", self.client_key));
            self.phase = Phase::Ready;
        }
        // Whole lines go on as one span, up to the end of each reply.
        loop {
            let mut end = 0;
            let mut last = false;
            while let Some(n) = b[end..].iter().position(|c| *c == b'\n') {
                last = &b[end..=end + n] == b".\n";
                end += n + 1;
                if last {
                    break;
                }
            }
            if end == 0 {
                return Ok(());
            }
            let Some((_, Reply::Running(seq, rows), over)) = self.replies.front() else {
                return Err(Denial::new(Culprit::Target, DenialCode::Protocol, ClientText::new("nobody asked")));
            };
            let span = b.split_to(end).freeze();
            if *over {
                self.out.push_back(Output::CancelOwn);
            }
            let (seq, bytes) = (*seq, span.len() as u64);
            if *rows {
                self.out.push_back(Output::Rows(seq, span.clone()));
            }
            self.out.push_back(Output::Client(span));
            if last {
                let outcome = Outcome { rows: 1, bytes, ..Outcome::of(OutcomeStatus::Done) };
                self.out.push_back(Output::Outcome(seq, outcome));
                self.replies.pop_front();
                self.answer_denied();
            }
        }
    }

    fn on_client_tls(&mut self, tls: TlsFacts) -> Result<(), Denial> {
        if tls.alpn.as_deref() != Some(b"toy") {
            return Err(protocol_error("not the toy protocol"));
        }
        self.encrypted = true;
        self.certificates = tls.peer_certificates;
        self.phase = Phase::Start;
        Ok(())
    }

    fn on_upstream_tls(&mut self, tls: TlsFacts) -> Result<(), Denial> {
        assert_eq!(tls.peer_certificates.len(), 1);
        self.tls_required = false;
        self.phase = Phase::Hello;
        self.say_hello();
        Ok(())
    }

    fn on_identity(&mut self, _identity: &Arc<Identity>) {
        let (target, part) = match self.words[3].split_once('/') {
            Some((t, p)) => (t.to_owned(), p.to_owned()),
            None => (self.words[3].clone(), String::new()),
        };
        self.out.push_back(Output::Connect(ConnectRequest {
            target,
            part,
            application: "test".to_owned(),
            shape: shape("connect"),
        }));
    }

    fn on_connected(&mut self, connected: Connected) {
        self.tls_required = connected.tls_required;
        self.connected = Some(connected);
        self.phase = Phase::Hello;
        self.say_hello();
    }

    fn on_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    fn prelude(&mut self, id: ProposalId, _plan: &Plan) -> Option<&'static [u8]> {
        self.in_transaction.contains(&id.0).then_some(b"begin\n")
    }

    fn on_ruling(&mut self, id: ProposalId, ruling: Result<Plan, Denial>) {
        let reply = self.replies.iter_mut().find(|(n, ..)| *n == id.0).unwrap();
        reply.1 = match ruling {
            Ok(plan) => Reply::Running(plan.permit.seq(), plan.record_rows),
            Err(denial) => Reply::Denied(denial.to_string()),
        };
        self.answer_denied();
    }

    fn on_upstream_end(&mut self) {
        if self.order.is_none() {
            self.client("error the target went away\n".to_owned());
        }
        self.out.push_back(Output::Close(CloseReason::Target, None));
    }

    fn on_fatal(&mut self, denial: &Denial) {
        let hint = denial.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
        self.client(format!("error {denial}{hint}\n"));
        self.out.push_back(Output::Control(b"bye\n"));
        self.out.push_back(Output::Close(CloseReason::Denied, Some(denial.clone())));
    }

    fn on_drain(&mut self) {
        self.draining = true;
        self.rest();
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    fn wants_client(&self) -> bool {
        matches!(self.phase, Phase::Start)
            || self.phase == Phase::Ready && self.replies.len() < if self.leaving { 1 } else { IN_PIPELINE_MAX }
    }

    fn is_busy(&self) -> bool {
        self.replies.iter().any(|(_, r, _)| matches!(r, Reply::Running(..)))
    }
}
