//! The authorization code flow with PKCE (RFC 6749, 4.1; RFC 7636; RFC 8252): the browser logs in, this program gets the code.

use reqwest::Url;

use super::loopback::{Doorway, Expected};
use super::{Obtained, Provider};
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
    let Some(endpoint) = &provider.document.authorization else {
        return Err(Failed::new(format!("the issuer {} has no page to log in with", provider.issuer.issuer)));
    };
    let secrets = Secrets { state: random_text()?, nonce: random_text()?, verifier: random_text()? };
    let door = Doorway::open().await?;
    let redirect = door.redirect().to_owned();
    let page = address(endpoint, provider, &redirect, &secrets);

    let opened = open && browser::open(&page);
    let what = if opened { "The browser should show this page; if it does not, open it" } else { "Open this page" };
    output::note(&format!("{what} on this machine to log in:\n\n  {page}\n"));
    let expected = Expected {
        state: &secrets.state,
        issuer: &provider.issuer.issuer,
        names_itself: provider.document.names_itself,
    };
    let code = door.code(&expected).await?;

    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", redirect.as_str()),
        ("code_verifier", secrets.verifier.as_str()),
    ];
    let reply = provider.ask_for_tokens(&form).await.map_err(Failed::new)?;
    if !reply.fine() {
        return Err(provider.refused(&reply, "asked for a token"));
    }
    provider.obtained(&reply, provider.openid().then_some(secrets.nonce.as_str()))
}

/// The page that logs in.
fn address(endpoint: &Url, provider: &Provider<'_>, redirect: &str, secrets: &Secrets) -> Url {
    let mut page = endpoint.clone();
    let scope = provider.scope();
    let challenge = sha256_text(&secrets.verifier);
    let mut query = page.query_pairs_mut();
    query
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.issuer.client_id)
        .append_pair("redirect_uri", redirect)
        .append_pair("state", &secrets.state)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256");
    if !scope.is_empty() {
        query.append_pair("scope", &scope);
    }
    if provider.openid() {
        query.append_pair("nonce", &secrets.nonce);
    }
    if provider.issuer.scopes.iter().any(|s| s == "offline_access") {
        // OpenID Connect Core, 11: without it the scope is left out.
        query.append_pair("prompt", "consent");
    }
    if let Some(resource) = &provider.issuer.resource {
        query.append_pair("resource", resource);
    }
    if provider.proves() {
        // RFC 9449, 10: the code is good for this key alone.
        query.append_pair("dpop_jkt", &provider.key.thumbprint());
    }
    drop(query);
    page
}
