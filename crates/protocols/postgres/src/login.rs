//! Logging in at the target: encryption, SCRAM-SHA-256 and -PLUS, md5, password.
//!
//! It must never send a password in the clear over an unencrypted connection that the configuration wanted encrypted, and never
//! repeat the target's words to the client.

use bytes::{BufMut, Bytes, BytesMut};
use countersign_enforce::{Connected, TlsFacts};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret};
use postgres_protocol::authentication::{
    md5_hash,
    sasl::{self, ChannelBinding, ScramSha256},
};

use crate::startup::PROTOCOL_3_0;
use crate::wire::{self, Fields, HEADER_BYTES, target_fault};

/// The longest message of a login that is held whole.
const LOGIN_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// The most parameter statuses that a target may report at login.
const PARAMETERS_MAX: usize = 200;

/// `SSLRequest` (PostgreSQL documentation, "SSL Session Encryption").
const SSL_REQUEST: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";

/// What to do next.
#[derive(Debug)]
pub(crate) enum Step {
    /// Send bytes to the target.
    Send(Bytes),
    /// Encrypt.
    StartTls,
    /// The target let us in.
    Done(LoggedIn),
}

/// What the target said while letting us in.
#[derive(Debug, Default)]
pub(crate) struct LoggedIn {
    /// The account.
    pub(crate) account: String,
    /// `ParameterStatus` frames, in order.
    pub(crate) parameters: Vec<Bytes>,
    /// The target's process id.
    pub(crate) process_id: i32,
    /// The target's cancel key, with the process id before it.
    pub(crate) cancel_key: Bytes,
}

enum State {
    Encrypting,
    Handshake,
    Authenticating,
    Scram(Box<ScramSha256>),
    ScramFinal(Box<ScramSha256>),
    Authenticated,
    Over,
}

/// A login in progress.
pub(crate) struct Login {
    state: State,
    user: String,
    password: Option<Secret>,
    database: String,
    settings: Vec<(String, String)>,
    encrypted: bool,
    binding: Option<Vec<u8>>,
    got: LoggedIn,
}

impl Login {
    /// Begins; the first step is returned.
    pub(crate) fn start(connected: Connected, settings: Vec<(String, String)>) -> (Self, Step) {
        let mut login = Self {
            state: State::Authenticating,
            got: LoggedIn { account: connected.credential.user.clone(), ..LoggedIn::default() },
            user: connected.credential.user,
            password: connected.credential.password,
            database: connected.part,
            settings,
            encrypted: false,
            binding: None,
        };
        let step = if connected.tls_required {
            login.state = State::Encrypting;
            Step::Send(Bytes::from_static(SSL_REQUEST))
        } else {
            Step::Send(login.start_up())
        };
        (login, step)
    }

    /// The connection is encrypted; the start-up message follows.
    pub(crate) fn on_tls(&mut self, tls: &TlsFacts) -> Result<Step, Denial> {
        if !matches!(self.state, State::Handshake) {
            return Err(target_fault("TLS came up at the wrong time"));
        }
        self.encrypted = true;
        self.binding = tls.peer_certificates.first().map(|c| &**c).and_then(server_end_point);
        self.state = State::Authenticating;
        Ok(Step::Send(self.start_up()))
    }

    fn start_up(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(256);
        wire::sized(&mut out, |b| {
            b.put_i32(PROTOCOL_3_0);
            let mut pair = |name: &str, value: &str| {
                wire::put_cstr(b, name);
                wire::put_cstr(b, value);
            };
            pair("user", &self.user);
            if !self.database.is_empty() {
                pair("database", &self.database);
            }
            pair("client_encoding", "UTF8");
            pair("standard_conforming_strings", "on");
            for (name, value) in &self.settings {
                pair(name, value);
            }
            b.put_u8(0);
        });
        out.freeze()
    }

    /// Takes the next message from the target; `None` until one is whole or when it asks for nothing.
    pub(crate) fn on_bytes(&mut self, b: &mut BytesMut) -> Result<Option<Step>, Denial> {
        if matches!(self.state, State::Encrypting) {
            return self.on_encryption_answer(b);
        }
        loop {
            let Some(head) = wire::head(b).map_err(|_| target_fault("a message length is impossible"))? else {
                return Ok(None);
            };
            if head.frame_bytes > LOGIN_MESSAGE_BYTES_MAX {
                return Err(target_fault("a login message is too long"));
            }
            if b.len() < head.frame_bytes {
                return Ok(None);
            }
            let frame = b.split_to(head.frame_bytes).freeze();
            if let Some(step) = self.on_message(head.tag, &frame)? {
                return Ok(Some(step));
            }
        }
    }

    fn on_encryption_answer(&mut self, b: &mut BytesMut) -> Result<Option<Step>, Denial> {
        match &**b {
            [] => Ok(None),
            [b'S'] => {
                b.clear();
                self.state = State::Handshake;
                Ok(Some(Step::StartTls))
            }
            [b'S', ..] => Err(target_fault("bytes came ahead of the encryption")),
            _ => Err(Denial::new(
                Culprit::Target,
                DenialCode::TargetUnavailable,
                ClientText::new("the target does not offer the encryption that its configuration asks for"),
            )
            .detail("the target answered SSLRequest with something other than 'S'; see tls.mode of the target")),
        }
    }

    fn on_message(&mut self, tag: u8, frame: &Bytes) -> Result<Option<Step>, Denial> {
        match tag {
            b'R' => self.on_authentication(Fields::of(frame)),
            b'E' => Err(login_refused(frame)),
            b'N' | b'v' => Ok(None),
            b'S' if matches!(self.state, State::Authenticated) => {
                if self.got.parameters.len() >= PARAMETERS_MAX {
                    return Err(target_fault("too many parameters at login"));
                }
                self.got.parameters.push(frame.clone());
                Ok(None)
            }
            b'K' if matches!(self.state, State::Authenticated) => {
                let key = frame.slice(HEADER_BYTES..);
                self.got.process_id = Fields(&key).i32().ok_or_else(|| target_fault("a cancel key is cut short"))?;
                self.got.cancel_key = key;
                Ok(None)
            }
            b'Z' if matches!(self.state, State::Authenticated) => {
                self.state = State::Over;
                Ok(Some(Step::Done(std::mem::take(&mut self.got))))
            }
            _ => Err(target_fault("an unexpected message at login")),
        }
    }

    fn on_authentication(&mut self, mut f: Fields<'_>) -> Result<Option<Step>, Denial> {
        let code = f.i32().ok_or_else(|| target_fault("an authentication message is cut short"))?;
        match (code, std::mem::replace(&mut self.state, State::Authenticating)) {
            // The end of SCRAM must be the server's proof, not its silence.
            (0, State::Authenticating | State::ScramFinal(_)) => {
                self.state = State::Authenticated;
                Ok(None)
            }
            (3, State::Authenticating) => {
                let password = self.password()?.expose().to_vec();
                Ok(Some(Step::Send(password_message(&password))))
            }
            (5, State::Authenticating) => {
                let salt: [u8; 4] = f
                    .bytes(4)
                    .and_then(|s| s.try_into().ok())
                    .ok_or_else(|| target_fault("an md5 salt is cut short"))?;
                let hash = md5_hash(self.user.as_bytes(), self.password()?.expose(), salt);
                Ok(Some(Step::Send(password_message(hash.as_bytes()))))
            }
            (10, State::Authenticating) => self.start_scram(f).map(Some),
            (11, State::Scram(mut scram)) => {
                scram.update(f.0).map_err(|e| scram_failed(&e))?;
                let message = sasl_response(scram.message());
                self.state = State::ScramFinal(scram);
                Ok(Some(Step::Send(message)))
            }
            (12, State::ScramFinal(mut scram)) => {
                scram.finish(f.0).map_err(|e| scram_failed(&e))?;
                // Only "ok" may follow: `Authenticating` would accept a second request.
                self.state = State::Authenticating;
                self.password = None;
                Ok(None)
            }
            (0, State::Scram(_)) => Err(target_fault("the target skipped its own proof")),
            _ => Err(Denial::new(
                Culprit::Target,
                DenialCode::Unsupported,
                ClientText::new("the target asks for a login method that Countersign does not speak"),
            )
            .detail(format!("authentication request {code}"))),
        }
    }

    fn start_scram(&mut self, mut f: Fields<'_>) -> Result<Step, Denial> {
        let (mut plain, mut plus) = (false, false);
        while let Some(name) = f.cstr() {
            match name {
                b"SCRAM-SHA-256" => plain = true,
                b"SCRAM-SHA-256-PLUS" => plus = true,
                _ => {}
            }
        }
        let (mechanism, binding) = match &self.binding {
            Some(hash) if plus && self.encrypted => {
                (sasl::SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(hash.clone()))
            }
            Some(_) if plain && self.encrypted => (sasl::SCRAM_SHA_256, ChannelBinding::unrequested()),
            _ if plain => (sasl::SCRAM_SHA_256, ChannelBinding::unsupported()),
            _ => {
                return Err(Denial::new(
                    Culprit::Target,
                    DenialCode::Unsupported,
                    ClientText::new("the target offers no login method that Countersign speaks"),
                ));
            }
        };
        let scram = ScramSha256::new(self.password()?.expose(), binding);
        let mut out = BytesMut::with_capacity(128);
        wire::frame(&mut out, b'p', |b| {
            wire::put_cstr(b, mechanism);
            b.put_i32(i32::try_from(scram.message().len()).unwrap_or_default());
            b.put_slice(scram.message());
        });
        self.state = State::Scram(Box::new(scram));
        Ok(Step::Send(out.freeze()))
    }

    fn password(&self) -> Result<&Secret, Denial> {
        self.password.as_ref().ok_or_else(|| {
            Denial::new(
                Culprit::Us,
                DenialCode::TargetUnavailable,
                ClientText::new("the gateway has no password for its account at the target"),
            )
            .detail("the target asks for a password; its account in the configuration has none")
        })
    }
}

fn password_message(password: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(password.len() + 6);
    wire::frame(&mut out, b'p', |b| {
        b.put_slice(password);
        b.put_u8(0);
    });
    out.freeze()
}

fn sasl_response(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(data.len() + 5);
    wire::frame(&mut out, b'p', |b| b.put_slice(data));
    out.freeze()
}

fn scram_failed(e: &std::io::Error) -> Denial {
    Denial::new(
        Culprit::Target,
        DenialCode::TargetUnavailable,
        ClientText::new("the target could not prove that it knows the gateway's password"),
    )
    .detail(e)
}

/// The codes of a failed login that a client may know: they say nothing of the gateway's account.
fn login_refused(frame: &[u8]) -> Denial {
    let code = wire::error_code(frame).unwrap_or("?");
    let text = match code {
        "3D000" => ClientText::new("the target has no such database"),
        "53300" => ClientText::new("the target has too many connections"),
        "57P03" => ClientText::new("the target is starting up or shutting down"),
        _ => ClientText::new("the target did not let the gateway in"),
    };
    Denial::new(Culprit::Target, DenialCode::TargetUnavailable, text).detail(format!("SQLSTATE {code} at login"))
}

/// The hash of `tls-server-end-point` (RFC 5929, section 4.1): by the certificate's own hash function, SHA-256 for MD5 and SHA-1.
/// `None` where that is undefined, as for Ed25519.
fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    use sha2::{Digest, Sha256, Sha384, Sha512};
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // MD5 and SHA-1 with RSA, SHA-1 with ECDSA; SHA-256 with RSA and ECDSA.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.10045.4.1"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.3.2" => Some(Sha256::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(Sha384::digest(certificate).to_vec()),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(Sha512::digest(certificate).to_vec()),
        _ => None,
    }
}

/// A cancel order: what [`Canceller`] sends.
pub(crate) fn cancel_order(key: &[u8]) -> Bytes {
    const CANCEL_REQUEST: i32 = 80_877_102;
    let mut out = BytesMut::with_capacity(key.len() + 8);
    wire::sized(&mut out, |b| {
        b.put_i32(CANCEL_REQUEST);
        b.put_slice(key);
    });
    out.freeze()
}

/// Gives a cancel order to the target and waits for it to hang up.
pub(crate) struct Canceller {
    order: Bytes,
    encrypting: bool,
}

impl Canceller {
    /// Begins; the first bytes to send are returned.
    pub(crate) fn start(order: Bytes, tls_required: bool) -> (Self, Bytes) {
        let first = if tls_required { Bytes::from_static(SSL_REQUEST) } else { order.clone() };
        (Self { order, encrypting: tls_required }, first)
    }

    /// The target's answer to the encryption request; true when TLS is to start.
    pub(crate) fn on_bytes(&mut self, b: &mut BytesMut) -> Result<bool, Denial> {
        let answer = b.split();
        match (self.encrypting, &*answer) {
            (true, [b'S']) => Ok(true),
            (_, []) => Ok(false),
            _ => Err(target_fault("an unexpected answer to a cancel request")),
        }
    }

    /// TLS is up: the order can go.
    pub(crate) fn on_tls(&mut self) -> Bytes {
        self.encrypting = false;
        self.order.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
    use super::*;
    use countersign_enforce::TargetCredential;

    fn connected(tls_required: bool) -> Connected {
        Connected {
            credential: TargetCredential {
                user: "gw".into(),
                password: Some(Secret::from("pencil".to_owned())),
                key: None,
                certificate: None,
            },
            part: "shop".into(),
            tls_required,
            target: "shop".into(),
            tagging: Default::default(),
            host_keys: Default::default(),
        }
    }

    fn message(tag: u8, body: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        wire::frame(&mut out, tag, |b| b.put_slice(body));
        out
    }

    #[test]
    fn adv_028_bytes_ahead_of_the_targets_tls() {
        for (answer, ok) in [(&b"S"[..], true), (b"SR\0\0\0\x08\0\0\0\0", false), (b"N", false), (b"E", false)] {
            let (mut login, step) = Login::start(connected(true), Vec::new());
            assert!(matches!(step, Step::Send(b) if b == SSL_REQUEST));
            assert_eq!(login.on_bytes(&mut BytesMut::from(answer)).is_ok(), ok, "{answer:?}");
        }
    }

    #[test]
    fn a_target_that_skips_its_proof_is_not_trusted() {
        let (mut login, _) = Login::start(connected(false), Vec::new());
        let step = login.on_bytes(&mut message(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0")).unwrap();
        assert!(matches!(step, Some(Step::Send(b)) if b.windows(14).any(|w| w == b"SCRAM-SHA-256\0")));
        let denial = login.on_bytes(&mut message(b'R', b"\0\0\0\0")).unwrap_err();
        assert_eq!(denial.culprit, Culprit::Target);
    }

    #[test]
    fn a_refused_login_does_not_name_the_account() {
        let (mut login, _) = Login::start(connected(false), Vec::new());
        let body = b"SFATAL\0C28P01\0Mpassword authentication failed for user \"gw\"\0\0";
        let denial = login.on_bytes(&mut message(b'E', body)).unwrap_err();
        assert!(!denial.message.as_str().contains("gw\""));
        assert_eq!(denial.detail.as_deref(), Some("SQLSTATE 28P01 at login"));
    }

    #[test]
    fn md5_and_password_then_ready_split_at_every_byte() {
        let mut script = message(b'R', b"\0\0\0\x05salt");
        script.unsplit(message(b'R', b"\0\0\0\0"));
        script.unsplit(message(b'S', b"client_encoding\0UTF8\0"));
        script.unsplit(message(b'K', b"\0\0\0\x2a\0\0\0\x07"));
        script.unsplit(message(b'Z', b"I"));
        for cut in 0..script.len() {
            let (mut login, _) = Login::start(connected(false), Vec::new());
            let mut sent = Vec::new();
            let mut done = None;
            let mut b = BytesMut::new();
            for part in [&script[..cut], &script[cut..]] {
                b.extend_from_slice(part);
                while let Some(step) = login.on_bytes(&mut b).unwrap() {
                    match step {
                        Step::Send(m) => sent.push(m),
                        Step::Done(d) => done = Some(d),
                        Step::StartTls => panic!("not asked for"),
                    }
                }
            }
            let done = done.unwrap();
            assert_eq!((done.process_id, done.parameters.len(), sent.len()), (42, 1, 1), "cut at {cut}");
            assert!(sent[0].starts_with(b"p\0\0\0\x28md5"));
        }
    }
}
