//! The way in: encryption, the start-up message, and how the client says who it is.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use countersign_enforce::{CloseReason, Output, Presented, PresentedCredential};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret};

use super::{Phase, PostgresMachine};
use crate::bearer::{self, Said};
use crate::startup::{self, PROTOCOL_3_0, PROTOCOL_3_2, Packet, Start};
use crate::wire::{self, Fields, HEADER_BYTES, protocol_fault};
use crate::{LoginMethod, bearer::MECHANISM};

/// The longest message of the login: it carries a token.
const PASSWORD_BYTES_MAX: usize = 32 << 10;

const CLEARTEXT_PASSWORD: i32 = 3;
const SASL: i32 = 10;
const SASL_CONTINUE: i32 = 11;

/// How far an OAUTHBEARER exchange has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client is to choose the mechanism.
    Choose,
    /// It chose without saying more: it is to say it now.
    Say,
    /// It had no token and was told where to get one: it is to say that it understood.
    Understand,
}

impl PostgresMachine {
    pub(super) fn on_startup(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        while matches!(self.phase, Phase::Startup) {
            let Some((packet, len)) = startup::read(b)? else { return Ok(()) };
            let tls_offered = self.arrival.as_ref().is_some_and(|a| a.tls_offered);
            match packet {
                Packet::DirectTls if self.encrypted || self.asked_for_tls => {
                    return Err(protocol_fault("TLS was asked for twice"));
                }
                Packet::DirectTls if !tls_offered => {
                    return Err(Denial::new(
                        Culprit::Client,
                        DenialCode::Plaintext,
                        ClientText::new("this gateway has no TLS on this address"),
                    ));
                }
                Packet::DirectTls => {
                    self.phase = Phase::Encrypting { direct: true };
                    self.out.push_back(Output::StartClientTls);
                }
                Packet::SslRequest | Packet::GssRequest if b.len() > len => {
                    return Err(protocol_fault("bytes came ahead of the encryption"));
                }
                Packet::SslRequest if self.encrypted || self.asked_for_tls => {
                    return Err(protocol_fault("TLS was asked for twice"));
                }
                Packet::SslRequest => {
                    b.advance(len);
                    self.asked_for_tls = true;
                    if tls_offered {
                        self.client(Bytes::from_static(b"S"));
                        self.phase = Phase::Encrypting { direct: false };
                        self.out.push_back(Output::StartClientTls);
                    } else {
                        self.client(Bytes::from_static(b"N"));
                    }
                }
                Packet::GssRequest if self.encrypted || self.asked_for_gss => {
                    return Err(protocol_fault("GSSAPI was asked for twice, or within TLS"));
                }
                Packet::GssRequest => {
                    b.advance(len);
                    self.asked_for_gss = true;
                    self.client(Bytes::from_static(b"N"));
                }
                Packet::Cancel(key) => {
                    b.advance(len);
                    self.out.push_back(Output::Cancel(key));
                    self.out.push_back(Output::Close(CloseReason::Client, None));
                    self.phase = Phase::Over;
                }
                Packet::Start(start) => {
                    b.advance(len);
                    self.on_start(start)?;
                }
            }
        }
        Ok(())
    }

    fn on_start(&mut self, start: Start) -> Result<(), Denial> {
        if !self.encrypted && !self.arrival.as_ref().is_some_and(|a| a.plaintext_allowed) {
            return Err(Denial::new(
                Culprit::Client,
                DenialCode::Plaintext,
                ClientText::new("this gateway takes only encrypted connections"),
            )
            .hint(ClientText::new("Connect with sslmode=verify-full and the gateway's CA certificate.")));
        }
        if start.version != PROTOCOL_3_0 && start.version != PROTOCOL_3_2 || !start.unknown_options.is_empty() {
            let newest = if start.version >= PROTOCOL_3_2 { PROTOCOL_3_2 } else { PROTOCOL_3_0 };
            let mut out = BytesMut::new();
            wire::frame(&mut out, b'v', |b| {
                b.put_i32(newest);
                b.put_i32(i32::try_from(start.unknown_options.len()).unwrap_or(0));
                for option in &start.unknown_options {
                    wire::put_cstr(b, option);
                }
            });
            self.client(out.freeze());
        }
        if self.arrival.as_ref().is_some_and(|a| a.inside) {
            // Who it is is known, and nothing that could be said here would count.
            return self.authenticate(start, PresentedCredential::token(Secret::new(Vec::new())));
        }
        let method = match start.login {
            Some(method) => method,
            // Nothing needs to be asked of a client whose certificate is known.
            None if !self.certificates.is_empty() => {
                let chain = std::mem::take(&mut self.certificates);
                return self.authenticate(start, PresentedCredential::Certificate(chain));
            }
            None => self.door.method,
        };
        self.certificates = Vec::new();
        match method {
            LoginMethod::Password => {
                self.client(wire::authentication(CLEARTEXT_PASSWORD));
                self.phase = Phase::Password(start);
            }
            LoginMethod::OAuthBearer => {
                self.client(wire::authentication_with(SASL, &[MECHANISM.as_bytes(), b"\0\0"].concat()));
                self.phase = Phase::Bearer(start, Turn::Choose);
            }
        }
        Ok(())
    }

    /// The body of a password or SASL message once it is whole.
    fn secret(b: &mut BytesMut) -> Result<Option<Secret>, Denial> {
        let Some(head) = wire::head(b)? else { return Ok(None) };
        if head.tag != b'p' {
            return Err(protocol_fault("expected a password message"));
        }
        if head.frame_bytes > PASSWORD_BYTES_MAX {
            return Err(protocol_fault("the password message is too long"));
        }
        if b.len() < head.frame_bytes {
            return Ok(None);
        }
        let mut frame = b.split_to(head.frame_bytes);
        let body = Secret::new(frame.get(HEADER_BYTES..).unwrap_or_default().to_vec());
        // The buffer may live on for other messages: the token must not.
        frame.fill(0);
        Ok(Some(body))
    }

    pub(super) fn on_password(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        let Some(body) = Self::secret(b)? else { return Ok(()) };
        let token = Fields(body.expose()).cstr().map(<[u8]>::to_vec);
        let Some(token) = token else { return Err(protocol_fault("the password message is malformed")) };
        let Phase::Password(start) = std::mem::replace(&mut self.phase, Phase::Over) else {
            return Err(protocol_fault("a password at the wrong time"));
        };
        self.authenticate(start, PresentedCredential::token(Secret::new(token)))
    }

    pub(super) fn on_bearer(&mut self, b: &mut BytesMut) -> Result<(), Denial> {
        let Some(body) = Self::secret(b)? else { return Ok(()) };
        let Phase::Bearer(_, turn) = &mut self.phase else { return Err(protocol_fault("a token at the wrong time")) };
        let message = match turn {
            Turn::Choose => bearer::initial(body.expose())?,
            Turn::Say => Some(body.expose()),
            Turn::Understand => return Err(bearer::no_token(body.expose())),
        };
        let told = match message.map(bearer::read).transpose()? {
            Some(Said::Token(token)) => {
                let token = Secret::new(token.to_vec());
                return match std::mem::replace(&mut self.phase, Phase::Over) {
                    Phase::Bearer(start, _) => self.authenticate(start, PresentedCredential::token(token)),
                    _ => Err(protocol_fault("a token at the wrong time")),
                };
            }
            Some(Said::Nothing) => {
                *turn = Turn::Understand;
                wire::authentication_with(SASL_CONTINUE, &self.door.discovery)
            }
            None => {
                *turn = Turn::Say;
                wire::authentication_with(SASL_CONTINUE, b"")
            }
        };
        self.client(told);
        Ok(())
    }

    fn authenticate(&mut self, start: Start, credential: PresentedCredential) -> Result<(), Denial> {
        let Some(arrival) = &self.arrival else { return Err(protocol_fault("a login without a client")) };
        self.out.push_back(Output::Authenticate(Presented {
            user: start.user.clone(),
            credential,
            target: start.target.clone(),
            source: arrival.source,
            encrypted: self.encrypted,
        }));
        self.phase = Phase::Waiting(start);
        Ok(())
    }
}
