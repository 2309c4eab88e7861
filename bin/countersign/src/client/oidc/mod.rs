//! Logging in at an OpenID Connect issuer as a public client: discovery, authorization code with PKCE, device code, refresh.
//!
//! The issuer is the one that the gateway names. Nothing that it answers is believed before it is checked, and tokens are verified by
//! the gateway, not here.

mod answer;
mod code;
mod device;
mod discovery;
mod loopback;

use countersign_model::Secret;

use super::gateway::{Issuer, TokenKind, words};
use super::http::{Http, Reply, Trust};
use super::key::LoginKey;
use crate::clock;
use crate::failed::Failed;

use answer::Tokens;
use discovery::Document;

/// A token for the exchange, and what may give the next one.
#[derive(Debug)]
pub(crate) struct Obtained {
    /// The token of the kind that the gateway takes.
    pub(crate) token: Secret,
    /// A refresh token, if the issuer gave one.
    pub(crate) refresh: Option<Secret>,
}

/// What goes along with a browser, and what only its sender can make of it later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hidden<'a> {
    /// Comes back with it.
    pub(crate) state: &'a str,
    /// Comes back in the ID token.
    pub(crate) nonce: &'a str,
    /// What the code is bound to (RFC 7636, 4.2).
    pub(crate) challenge: &'a str,
}

/// An issuer, after discovery.
#[derive(Debug)]
pub(crate) struct Provider<'a> {
    issuer: &'a Issuer,
    document: Document,
    http: Http,
    /// What tokens are bound to where the issuer can; `None` asks for tokens that are not.
    key: Option<&'a LoginKey>,
}

impl<'a> Provider<'a> {
    /// Asks the issuer what it offers.
    pub(crate) async fn discover(issuer: &'a Issuer, trust: &Trust, key: Option<&'a LoginKey>) -> Result<Self, Failed> {
        let url = discovery::address(&issuer.issuer).map_err(Failed::new)?;
        let http = Http::new(&url, trust, None)?;
        let reply = http.get(&url).await.map_err(|e| Failed::new(format!("the issuer cannot be reached: {e}")))?;
        if !reply.fine() {
            return Err(Failed::new(format!("{url}: answered {}", reply.status)));
        }
        let document = Document::read(&reply, &issuer.issuer).map_err(|e| Failed::new(format!("{url}: {e}")))?;
        Ok(Self { issuer, document, http, key })
    }

    /// The page that logs in a person, whose browser then goes to `redirect`.
    pub(crate) fn page(&self, redirect: &str, hidden: &Hidden<'_>) -> Result<String, Failed> {
        code::page(self, redirect, hidden).map(String::from)
    }

    /// The token for a code that a browser came back with.
    pub(crate) async fn redeem(
        &self,
        code: &str,
        redirect: &str,
        verifier: &str,
        nonce: &str,
    ) -> Result<Secret, Failed> {
        Ok(code::redeem(self, code, redirect, verifier, nonce).await?.token)
    }

    /// Whether the browser came back from this issuer, as far as it says so (RFC 9207).
    pub(crate) fn answered(&self, said: Option<&str>) -> bool {
        said.map_or(!self.document.names_itself, |said| said == self.issuer.issuer)
    }

    /// True when people can log in without a browser on this machine.
    pub(crate) fn offers_device(&self) -> bool {
        self.document.device_authorization.is_some()
    }

    /// Logs a person in with the browser, or with a line to open in one.
    pub(crate) async fn by_browser(&self, open: bool) -> Result<Obtained, Failed> {
        code::log_in(self, open).await
    }

    /// Logs a person in with a code to type elsewhere.
    pub(crate) async fn by_device(&self) -> Result<Obtained, Failed> {
        device::log_in(self).await
    }

    /// Uses a refresh token, once.
    pub(crate) async fn refresh(&self, token: &Secret) -> Result<Obtained, Failed> {
        let token = token.expose_str().ok_or_else(|| Failed::new("the refresh token is no text"))?;
        let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
        let reply = self.ask_for_tokens(&form).await.map_err(Failed::new)?;
        if !reply.fine() {
            return Err(self.refused(&reply, "asked for a new token"));
        }
        self.obtained(&reply, None)
    }

    /// `POST` to the token endpoint, as this client; with a proof of the key where the issuer takes one, so that the token is bound to
    /// it from the beginning (RFC 9449).
    async fn ask_for_tokens(&self, form: &[(&str, &str)]) -> Result<Reply, String> {
        let mut form = form.to_vec();
        form.push(("client_id", &self.issuer.client_id));
        if let Some(resource) = &self.issuer.resource {
            form.push(("resource", resource));
        }
        let url = &self.document.token;
        if !self.proves() {
            return self.http.post(url, &form, None).await;
        }
        let key = self.key.ok_or_else(|| "there is no key to prove".to_owned())?;
        let prove =
            |nonce: Option<&str>| key.proof("POST", url.as_str(), nonce, clock::now()).map_err(|e| e.to_string());
        let reply = self.http.post(url, &form, Some(&prove(None)?)).await?;
        let wants_nonce = !reply.fine() && answer::error_code(&reply).as_deref() == Some("use_dpop_nonce");
        match reply.nonce.clone().filter(|_| wants_nonce) {
            // Once: a server that asks again and again gets no third try.
            Some(nonce) => self.http.post(url, &form, Some(&prove(Some(&nonce))?)).await,
            None => Ok(reply),
        }
    }

    /// An ID token is never bound by DPoP, so that a proof would change nothing.
    fn proves(&self) -> bool {
        self.key.is_some() && self.document.takes_proofs && self.issuer.token == TokenKind::AccessToken
    }

    /// The tokens of a good answer.
    fn obtained(&self, reply: &Reply, nonce: Option<&str>) -> Result<Obtained, Failed> {
        let at = |e: String| Failed::new(format!("{}: {e}", self.document.token));
        let tokens = Tokens::read(reply, self.proves()).map_err(at)?;
        let token = match self.issuer.token {
            TokenKind::IdToken => {
                let token =
                    tokens.id.ok_or_else(|| at("it gave no ID token: is \"openid\" among the scopes?".to_owned()))?;
                let wanted = answer::Wanted {
                    issuer: &self.issuer.issuer,
                    client: &self.issuer.client_id,
                    nonce,
                    now: clock::now(),
                };
                answer::check_id_token(&token, &wanted).map_err(at)?;
                token
            }
            TokenKind::AccessToken | TokenKind::Jwt => {
                if let (Some(id), Some(_)) = (&tokens.id, nonce) {
                    let wanted = answer::Wanted {
                        issuer: &self.issuer.issuer,
                        client: &self.issuer.client_id,
                        nonce,
                        now: clock::now(),
                    };
                    answer::check_id_token(id, &wanted).map_err(at)?;
                }
                tokens.access
            }
        };
        Ok(Obtained { token, refresh: tokens.refresh })
    }

    fn refused(&self, reply: &Reply, when: &str) -> Failed {
        let said = words(reply).map(|w| format!(": {w}")).unwrap_or_default();
        Failed::new(format!("the issuer {} answered {} when {when}{said}", self.issuer.issuer, reply.status))
    }

    fn scope(&self) -> String {
        self.issuer.scopes.join(" ")
    }

    fn openid(&self) -> bool {
        self.issuer.scopes.iter().any(|s| s == "openid")
    }
}
