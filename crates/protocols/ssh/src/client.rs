//! The server half of SSH, for clients: who they are, and which channels they may open. Everything that would reach further than a
//! session channel is refused here.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Presented, PresentedCredential};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret};
use russh::keys::{Algorithm, Certificate};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Response, Session};
use russh::{Channel, ChannelOpenFailure};

use crate::visit::Visit;
use crate::{channel, names};

/// Session channels of one connection at once.
const CHANNELS_MAX: usize = 64;
/// The longest token; those that are longer are refused by the identity service as well.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

pub(crate) struct Server {
    pub(crate) visit: Arc<Visit>,
}

impl Server {
    async fn by_token(&self, name: &str, token: &[u8]) -> Auth {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Auth::reject();
        }
        self.authenticate(name, PresentedCredential::token(Secret::new(token.to_vec()))).await
    }

    async fn authenticate(&self, name: &str, credential: PresentedCredential) -> Auth {
        let Some((user, target)) = names::split(name) else {
            self.visit.host.rejected(&Denial::new(
                Culprit::Client,
                DenialCode::Unauthenticated,
                ClientText::new("the user name is not USER@TARGET"),
            ));
            return Auth::reject();
        };
        let presented = Presented {
            user: user.to_owned(),
            credential,
            target: target.to_owned(),
            source: self.visit.source,
            encrypted: true,
        };
        match self.visit.host.authenticate(presented).await {
            Ok(_) => {
                self.visit.identified(target);
                Auth::Accept
            }
            Err(_) => Auth::reject(),
        }
    }

    fn refused(&self, what: &'static str) {
        let text = ClientText::new("").and(what).and(" is not allowed through this gateway");
        self.visit.host.rejected(&Denial::new(Culprit::Policy, DenialCode::Unsupported, text));
    }
}

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _user: &str,
        offer: russh::server::PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        // Whether it comes with a certificate is not told here. Logins have keys of this kind, so that others need not be tried.
        let may_be = matches!(offer.algorithm, Algorithm::Ecdsa { .. });
        Ok(if may_be { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(
        &mut self,
        _user: &str,
        _key: russh::server::VerifiedPublicKey<'_>,
    ) -> Result<Auth, Self::Error> {
        // A key alone says nothing of who it is.
        Ok(Auth::reject())
    }

    async fn auth_openssh_certificate(&mut self, user: &str, certificate: &Certificate) -> Result<Auth, Self::Error> {
        let Ok(blob) = certificate.to_bytes() else { return Ok(Auth::reject()) };
        Ok(self.authenticate(user, PresentedCredential::SshCertificate(Bytes::from(blob))).await)
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.by_token(user, password.as_bytes()).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            return Ok(Auth::Partial {
                name: Cow::Borrowed("Countersign"),
                instructions: Cow::Borrowed(""),
                prompts: Cow::Borrowed(&[(Cow::Borrowed("Token: "), false)]),
            });
        };
        let token = response.next().unwrap_or_default();
        Ok(self.by_token(user, &token).await)
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        // At once, so that a client that opens no channel yet is a session, too.
        let visit = self.visit.clone();
        tokio::spawn(async move { visit.target().await.is_ok() });
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(place) = self.visit.take_place(CHANNELS_MAX) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        reply.accept().await;
        tokio::spawn(channel::serve(channel, session.handle(), self.visit.clone(), place));
        Ok(())
    }

    async fn channel_open_x11(
        &mut self,
        _channel: Channel<Msg>,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("X11 forwarding");
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("forwarding of a TCP port");
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        _channel: Channel<Msg>,
        _socket_path: &str,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("forwarding of a Unix socket");
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn channel_open_forwarded_tcpip(
        &mut self,
        _channel: Channel<Msg>,
        _host_to_connect: &str,
        _port_to_connect: u32,
        _originator_address: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.refused("forwarding of a TCP port");
        reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        _address: &str,
        _port: &mut u32,
        _session: &mut Session,
    ) -> Result<bool, Self::Error> {
        self.refused("remote forwarding of a TCP port");
        Ok(false)
    }

    async fn streamlocal_forward(&mut self, _socket_path: &str, _session: &mut Session) -> Result<bool, Self::Error> {
        self.refused("remote forwarding of a Unix socket");
        Ok(false)
    }

    async fn agent_request(&mut self, _channel: russh::ChannelId, _session: &mut Session) -> Result<bool, Self::Error> {
        self.refused("agent forwarding");
        Ok(false)
    }
}
