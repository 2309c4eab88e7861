//! The authorization code flow with PKCE (RFC 6749, 4.1; RFC 7636; RFC 8252): the browser logs in, this program gets the code.

use reqwest::Url;

use super::loopback::{Doorway, Expected};
use super::{Hidden, Obtained, Provider};
use crate::client::browser;
use crate::client::key::{random_text, sha256_text};
use crate::failed::Failed;
use crate::output;

/// What was made up for one login.
struct Secrets {
    state: String,
    nonce: String,
    verifier: String,
}

/// Logs a person in.
pub(super) async fn log_in(provider: &Provider<'_>, open: bool) -> Result<Obtained, Failed> {
    let secrets = Secrets { state: random_text()?, nonce: random_text()?, verifier: random_text()? };
    let door = Doorway::open().await?;
    let redirect = door.redirect().to_owned();
    let challenge = sha256_text(&secrets.verifier);
    let hidden = Hidden { state: &secrets.state, nonce: &secrets.nonce, challenge: &challenge };
    let page = page(provider, &redirect, &hidden)?;

    let opened = open && browser::open(&page);
    let what = if opened { "The browser should show this page; if it does not, open it" } else { "Open this page" };
    output::note(&format!("{what} on this machine to log in:\n\n  {page}\n"));
    let expected = Expected {
        state: &secrets.state,
        issuer: &provider.issuer.issuer,
        names_itself: provider.document.names_itself,
    };
    let code = door.code(&expected).await?;

    redeem(provider, code.as_str(), &redirect, &secrets.verifier, &secrets.nonce).await
}

/// The tokens for a code.
pub(super) async fn redeem(
    provider: &Provider<'_>,
    code: &str,
    redirect: &str,
    verifier: &str,
    nonce: &str,
) -> Result<Obtained, Failed> {
    let form =
        [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", redirect), ("code_verifier", verifier)];
    let reply = provider.ask_for_tokens(&form).await.map_err(Failed::new)?;
    if !reply.fine() {
        return Err(provider.refused(&reply, "asked for a token"));
    }
    provider.obtained(&reply, provider.openid().then_some(nonce))
}

/// The page that logs in.
pub(super) fn page(provider: &Provider<'_>, redirect: &str, hidden: &Hidden<'_>) -> Result<Url, Failed> {
    let Some(endpoint) = &provider.document.authorization else {
        return Err(Failed::new(format!("the issuer {} has no page to log in with", provider.issuer.issuer)));
    };
    let mut page = endpoint.clone();
    let scope = provider.scope();
    let mut query = page.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.issuer.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("state", hidden.state)
        .append_pair("code_challenge", hidden.challenge)
        .append_pair("code_challenge_method", "S256");
    if !scope.is_empty() {
        query.append_pair("scope", &scope);
    }
    if provider.openid() {
        query.append_pair("nonce", hidden.nonce);
    }
    if provider.issuer.scopes.iter().any(|s| s == "offline_access") {
        // OpenID Connect Core, 11: without it the scope is left out.
        query.append_pair("prompt", "consent");
    }
    if let Some(resource) = &provider.issuer.resource {
        query.append_pair("resource", resource);
    }
    if let Some(key) = provider.key.filter(|_| provider.proves()) {
        // RFC 9449, 10: the code is good for this key alone.
        query.append_pair("dpop_jkt", &key.thumbprint());
    }
    drop(query);
    Ok(page)
}
