//! People in a browser: a login that is good for whoever has a secret, which the browser keeps in a cookie.
//!
//! It is a login like any other: listed, locked and ended with the others. Must never make one for a machine, nor take a secret for a
//! client's key or a key for a secret.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::{
    ClientText, CredentialBinding, Culprit, Denial, DenialCode, Identity, IdentityParts, Secret, Timestamp,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use std::net::SocketAddr;

use super::exchange::is_renewable;
use crate::Rejection;
use crate::authenticator::use_id;
use crate::confirmation::Proof;
use crate::login::{Login, digest_of};
use crate::mapping;
use crate::service::{IdentityService, claimed, live};

/// Before the digest of a secret, so that none is ever the thumbprint of a key.
const KEY_PREFIX: &str = "browser:";
/// The shortest secret, in bytes.
pub const BROWSER_SECRET_BYTES_MIN: usize = 32;

/// A browser's login.
#[derive(Clone, Debug)]
pub struct BrowserLogin {
    /// Its id.
    pub id: String,
    /// Who.
    pub identity: Arc<Identity>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

fn key_of(secret: &Secret) -> String {
    let mut digest = Sha256::new();
    digest.update(b"countersign browser login\0");
    digest.update(secret.expose());
    format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(digest.finalize()))
}

impl IdentityService {
    /// Begins a login of a person's browser, with a token that their issuer gave for it. Whoever has the secret may use it, until it
    /// ends or is ended.
    ///
    /// # Errors
    /// The refusal: of the token, of whoever is not a person speaking for themselves, or because nobody could tell.
    pub async fn open_browser(
        &self,
        token: &str,
        secret: &Secret,
        source: SocketAddr,
        now: Timestamp,
    ) -> Result<BrowserLogin, Denial> {
        let opened = async {
            let identity = self.tokens.verify_with(token, &Proof::NONE, now).await?;
            self.begin_browser(&identity, secret, &use_id(token), None, now).await
        };
        self.browser_opened(opened.await, &claimed(token), source, now)
    }

    /// A login of whoever has the secret; `None` where they are no person who speaks for themselves. `used` is what it came of.
    pub(crate) async fn begin_browser(
        &self,
        identity: &Identity,
        secret: &Secret,
        used: &str,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Option<Login>, Rejection> {
        if !is_renewable(identity) {
            return Ok(None);
        }
        let parts = IdentityParts { credential: CredentialBinding::Bearer, key: None, ..mapping::parts_of(identity) };
        self.begin_login(parts, key_of(secret), digest_of(&[used, KEY_PREFIX]), until, now).await.map(Some)
    }

    /// The login as its browser knows it, or the refusal, which is recorded.
    pub(crate) fn browser_opened(
        &self,
        opened: Result<Option<Login>, Rejection>,
        about: &str,
        source: SocketAddr,
        now: Timestamp,
    ) -> Result<BrowserLogin, Denial> {
        match opened {
            Ok(Some(login)) => {
                let identity = Arc::new(mapping::of_browser(&login));
                Ok(BrowserLogin { id: login.id, identity, expires_at: login.expires_at })
            }
            Ok(None) => Err(Denial::new(
                Culprit::Client,
                DenialCode::Forbidden,
                ClientText::new("only people sign in here, and only for themselves"),
            )),
            Err(rejection) => Err(self.say_denied(&rejection, about, "console", source, now)),
        }
    }

    /// Whose login this is, if it is one of a browser that has this secret, and stands.
    ///
    /// # Errors
    /// Why not; [`Culprit::Us`] when nobody could tell.
    pub async fn browser(&self, login: &str, secret: &Secret, now: Timestamp) -> Result<BrowserLogin, Denial> {
        let found = async {
            let now = self.tokens.steady(now)?;
            let login = self.logins.find(login, now).await?.ok_or(Rejection::LoginGone)?;
            let given = key_of(secret);
            let same = secret.expose().len() >= BROWSER_SECRET_BYTES_MIN
                && bool::from(login.key.as_bytes().ct_eq(given.as_bytes()));
            if !same {
                return Err(Rejection::LoginGone);
            }
            live(&login, now)?;
            self.tokens.accounts_stand(&login.identity, now).await?;
            Ok(login)
        };
        let login = found.await.map_err(|r: Rejection| r.to_denial())?;
        let identity = Arc::new(mapping::of_browser(&login));
        Ok(BrowserLogin { id: login.id.clone(), identity, expires_at: login.expires_at })
    }

    /// Ends a login of a browser.
    ///
    /// # Errors
    /// When the store could not be told: it may still be good.
    pub async fn close_browser(&self, login: &str, why: &str, now: Timestamp) -> Result<(), Denial> {
        self.logins.end(login, why, now).await.map(drop).map_err(|rejection| rejection.to_denial())
    }
}
