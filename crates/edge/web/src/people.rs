//! What the console needs to know people: given by the binary.

use std::net::SocketAddr;
use std::sync::Arc;

use countersign_enforce::BoxFuture;
use countersign_model::{Denial, Identity, Secret, Timestamp};

/// Where people may sign in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignInIssuer {
    /// Its short word, unique among all.
    pub label: String,
    /// Its URL, for people.
    pub url: String,
    /// Whether it speaks SAML, rather than OpenID Connect.
    pub saml: bool,
}

/// What an issuer is asked: somebody is to sign in.
#[derive(Clone, Debug)]
pub struct SignInAsk {
    /// The issuer.
    pub label: String,
    /// Where the browser comes back to.
    pub redirect_uri: String,
    /// Comes back with it.
    pub state: String,
    /// Comes back in the ID token.
    pub nonce: String,
    /// What the code is bound to (RFC 7636, 4.2).
    pub challenge: String,
}

/// A sign-in at an identity provider that speaks SAML.
#[derive(Clone, Debug)]
pub struct SamlSignIn {
    /// The identity provider.
    pub label: String,
    /// Where its answer comes to.
    pub acs: String,
    /// The id of the request, which the answer names.
    pub request: String,
    /// Comes back with the answer.
    pub relay_state: String,
}

/// What the browser came back with.
#[derive(Debug)]
pub struct SignInAnswer {
    /// The issuer that was asked.
    pub label: String,
    /// Where the browser came back to.
    pub redirect_uri: String,
    /// The code.
    pub code: Secret,
    /// Who says that it answered (RFC 9207).
    pub issuer: Option<String>,
    /// What was asked to come back in the ID token.
    pub nonce: String,
    /// What the code is bound to.
    pub verifier: Secret,
}

/// Why a sign-in came to nothing. The text is for whoever tries: inert, and nothing secret is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Entered {
    /// The login.
    pub login: String,
    /// Who.
    pub identity: Arc<Identity>,
    /// When it ends by itself.
    pub expires_at: Timestamp,
}

/// Issuers, and the logins of browsers.
pub trait People: Send + Sync {
    /// Where people may sign in.
    fn issuers(&self) -> Vec<SignInIssuer>;

    /// The page that signs in.
    fn page<'a>(&'a self, ask: &'a SignInAsk) -> BoxFuture<'a, Result<String, Trouble>>;

    /// The token that the issuer gives for what came back.
    fn token<'a>(&'a self, answer: &'a SignInAnswer) -> BoxFuture<'a, Result<Secret, Trouble>>;

    /// The page of an identity provider that signs in.
    fn saml_page<'a>(&'a self, ask: &'a SamlSignIn) -> BoxFuture<'a, Result<String, Trouble>>;

    /// Checks what an identity provider answered, in base64, and says what is to be kept of it for the browser that began.
    fn saml_answer<'a>(
        &'a self,
        ask: &'a SamlSignIn,
        answer: &'a str,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<String, Denial>>;

    /// Begins a login for whoever has this secret, with what was kept of a checked answer.
    fn open_saml<'a>(
        &'a self,
        kept: &'a str,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>>;

    /// The gateway's metadata for this identity provider, whose answers come to `acs`; `None` where there is no such one.
    fn saml_metadata(&self, label: &str, acs: &str) -> Option<String>;

    /// A token for whom a one-time link was made.
    fn linked<'a>(&'a self, account: &'a str) -> BoxFuture<'a, Result<Secret, Trouble>>;

    /// Begins a login for whoever has this secret.
    fn open<'a>(
        &'a self,
        token: &'a Secret,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>>;

    /// The login that this secret opens, if it stands and no lock keeps it out.
    fn find<'a>(
        &'a self,
        login: &'a str,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>>;

    /// Ends a login.
    fn close<'a>(&'a self, login: &'a str, why: &'a str) -> BoxFuture<'a, Result<(), Denial>>;
}
