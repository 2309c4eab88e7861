//! The server half of SSH, for clients: who they are, and which channels they may open. Everything that would reach further than a
//! session channel is refused here.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Invitation, Presented, PresentedCredential};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret};
use russh::keys::{Algorithm, Certificate};
use russh::server::{Auth, ChannelOpenHandle, Handler, Msg, Response, Session};
use russh::{Channel, ChannelOpenFailure};

use crate::browser::{self, Browser};
use crate::visit::Visit;
use crate::{channel, names};

/// Session channels of one connection at once.
const CHANNELS_MAX: usize = 64;
/// The longest token; those that are longer are refused by the identity service as well.
const TOKEN_BYTES_MAX: usize = 16 * 1024;

/// What a client asks for that wants no question before the link (RFC 4256, 3.1): `-o KbdInteractiveDevices=browser`.
const BROWSER_SUBMETHOD: &str = "browser";

pub(crate) struct Server {
    visit: Arc<Visit>,
    browser: Browser,
}

impl Server {
    pub(crate) fn new(visit: Arc<Visit>) -> Self {
        Self { visit, browser: Browser::default() }
    }

    /// Who they are by a token; why not is for a client that can be told.
    async fn by_token(&self, name: &str, token: &[u8]) -> Auth {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Auth::reject();
        }
        self.authenticate(name, PresentedCredential::token(Secret::new(token.to_vec()))).await
    }

    async fn authenticate(&self, name: &str, credential: PresentedCredential) -> Auth {
        self.identify(name, credential).await.map_or_else(|_| Auth::reject(), |()| Auth::Accept)
    }

    async fn identify(&self, name: &str, credential: PresentedCredential) -> Result<(), Denial> {
        let Some((user, target)) = names::split(name) else {
            let denial = Denial::new(
                Culprit::Client,
                DenialCode::Unauthenticated,
                ClientText::new("the user name is not USER@TARGET"),
            );
            self.visit.host.rejected(&denial);
            return Err(denial);
        };
        let presented = Presented {
            user: user.to_owned(),
            credential,
            target: target.to_owned(),
            source: self.visit.source,
            encrypted: true,
        };
        self.visit.host.authenticate(presented).await?;
        self.visit.identified(target);
        Ok(())
    }

    /// Invites the person to sign in with a browser.
    async fn invite(&mut self, name: &str) -> Auth {
        let Some((user, target)) = names::split(name) else { return Auth::reject() };
        let purpose = format!("open {target} by SSH as {user}");
        match self.visit.host.invite(&purpose).await {
            Ok(invitation) => {
                let text = browser::told(&invitation);
                self.browser = Browser::Waits(Box::new(invitation));
                browser::says(text)
            }
            Err(denial) => self.over(&denial),
        }
    }

    /// Waits a little for the person's answer, and lets the client have a word, so that one that is gone is noticed.
    async fn wait(&mut self, name: &str, invitation: Box<Invitation>) -> Auth {
        match browser::answer(&*self.visit.host, &invitation).await {
            Ok(None) => {
                self.browser = Browser::Waits(invitation);
                browser::says(String::new())
            }
            Ok(Some(token)) => match self.identify(name, PresentedCredential::token(token)).await {
                Ok(()) => Auth::Accept,
                Err(denial) => self.over(&denial),
            },
            Err(denial) => self.over(&denial),
        }
    }

    /// Says why not; the refusal itself has no words.
    fn over(&mut self, denial: &Denial) -> Auth {
        self.browser = Browser::Over;
        browser::says(format!("countersign: {}", denial.message.as_str()))
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
        submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let invites = self.visit.host.invites();
        let Some(mut response) = response else {
            // A new try: nobody waits any more for what the last one asked.
            self.browser = Browser::default();
            if invites && submethods.split(',').any(|m| m == BROWSER_SUBMETHOD) {
                return Ok(self.invite(user).await);
            }
            let prompt = if invites { "Token, or Enter to sign in with a browser: " } else { "Token: " };
            return Ok(Auth::Partial {
                name: Cow::Borrowed("Countersign"),
                instructions: Cow::Borrowed(""),
                prompts: Cow::Owned(vec![(Cow::Borrowed(prompt), false)]),
            });
        };
        Ok(match std::mem::take(&mut self.browser) {
            Browser::Waits(invitation) => self.wait(user, invitation).await,
            Browser::Over => Auth::reject(),
            Browser::Unasked => {
                let token = response.next().unwrap_or_default();
                if token.is_empty() && invites { self.invite(user).await } else { self.by_token(user, &token).await }
            }
        })
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
