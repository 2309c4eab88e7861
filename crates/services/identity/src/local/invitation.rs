//! Sign-ins that the gateway asks for itself, for a connection that has no browser: a person opens a link, sees what it is for and from
//! where it is asked, and answers on the device page.
//!
//! What is waited for with never leaves this process, so that nobody but the connection that asked gets anything of it. No program can
//! ask in the gateway's name.

use std::net::SocketAddr;

use countersign_enforce::{BoxFuture, Invitation, SignIns};
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Secret, Timestamp};

use super::accounts::network_of;
use super::clients::GATEWAY_CLIENT_ID;
use super::device::{Asked, Said};
use super::issuer::LocalIssuer;
use super::sign_in::NoTokens;

/// The longest purpose that people are told, in characters.
const PURPOSE_CHARS_MAX: usize = 200;

fn refused(why: ClientText) -> Denial {
    Denial::new(Culprit::Client, DenialCode::Unauthenticated, why)
}

fn failed(detail: &dyn std::fmt::Display) -> Denial {
    Denial::new(Culprit::Us, DenialCode::Internal, ClientText::new("nobody can sign in now: try again in a minute"))
        .detail(detail)
}

impl LocalIssuer {
    async fn invite_to(&self, purpose: &str, source: SocketAddr, now: Timestamp) -> Result<Invitation, Denial> {
        let nobody = || refused(ClientText::new("nobody can sign in with a browser here"));
        let sign_in = self.sign_in.as_ref().ok_or_else(nobody)?;
        let network = network_of(source.ip());
        if let Some(wait_s) = sign_in.askers.wait_s(&network, now) {
            let text = ClientText::new("too many sign-ins were asked for from your network: wait ").number(wait_s);
            return Err(refused(text.and(" seconds")));
        }
        sign_in.askers.fail(network, now);
        let purpose = purpose.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(PURPOSE_CHARS_MAX).collect();
        let asked = Asked::by_gateway(GATEWAY_CLIENT_ID, purpose, source.ip(), now);
        let made = self.ask_person(sign_in, asked, now).await.map_err(|fault| failed(&fault))?;
        Ok(Invitation {
            page: made.page_with_code(),
            code: made.shown,
            ticket: made.device_code,
            lifetime_s: made.lifetime_s,
        })
    }

    async fn answer_to(&self, ticket: &Secret, now: Timestamp) -> Result<Option<Secret>, Denial> {
        let Some(sign_in) = &self.sign_in else { return Ok(None) };
        match self.said(sign_in, GATEWAY_CLIENT_ID, ticket.expose(), now).await {
            Ok(Said::Nothing(_)) => Ok(None),
            Ok(Said::Tokens(tokens)) => {
                let token = tokens.get("access_token").and_then(serde_json::Value::as_str).unwrap_or_default();
                Ok(Some(Secret::from(token.to_owned())))
            }
            Err(NoTokens::Refused("access_denied", _)) => {
                Err(refused(ClientText::new("the sign-in was refused in the browser")))
            }
            Err(NoTokens::Refused("expired_token", _)) => {
                Err(refused(ClientText::new("the sign-in was not answered in time: connect again for a new link")))
            }
            Err(NoTokens::Refused(_, why)) => {
                Err(refused(ClientText::new("the sign-in is not good any more: connect again for a new link"))
                    .detail(why))
            }
            Err(NoTokens::Failed(fault)) => Err(failed(&fault)),
        }
    }
}

impl SignIns for LocalIssuer {
    fn invite<'a>(
        &'a self,
        purpose: &'a str,
        source: SocketAddr,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Invitation, Denial>> {
        Box::pin(self.invite_to(purpose, source, now))
    }

    fn answer<'a>(&'a self, ticket: &'a Secret, now: Timestamp) -> BoxFuture<'a, Result<Option<Secret>, Denial>> {
        Box::pin(self.answer_to(ticket, now))
    }
}
