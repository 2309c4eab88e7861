//! The authorization code grant with PKCE (RFC 6749, 4.1; RFC 7636; RFC 9700): asking, signing in, and the code for tokens.
//!
//! A code lives for a minute and is bound to its client, redirect URI and challenge. Must never send a browser to an address that its
//! client did not register, nor give tokens twice for one code: the second use ends what the first gave.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::{Secret, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::clients::{Client, Place};
use super::issuer::{LocalFault, LocalIssuer};
use super::messages::{FORM_BYTES_MAX, PageRequest, Reply};
use super::page::{self, Guard, SignInForm};
use super::ports::{Added, ShortLivedKind};
use super::sign_in::{Grant, NOT_GOOD, NoTokens, SignIn, after_s, digest, entry, fresh_token, known_scope, read};
use crate::form::Form;

/// How long a code is good, in seconds.
pub const CODE_LIFETIME_S: u64 = 60;
/// The most codes that are good at one time.
const CODES_MAX: u32 = 10_000;
/// The longest `state`, in bytes: it goes into a URL.
const STATE_BYTES_MAX: usize = 2048;
/// The longest `nonce`, in bytes: it goes into a token.
const NONCE_BYTES_MAX: usize = 512;
/// The length of an S256 challenge (RFC 7636, 4.2).
const CHALLENGE_CHARS: usize = 43;
/// The shortest and the longest verifier (RFC 7636, 4.1).
const VERIFIER_CHARS: std::ops::RangeInclusive<usize> = 43..=128;

/// What is kept with a code.
#[derive(Serialize, Deserialize)]
struct Code {
    grant: Grant,
    redirect_uri: String,
    challenge: String,
}

/// A request that may be answered once somebody has signed in.
struct Authorization<'s, 'f> {
    client: &'s Client,
    redirect_uri: &'f str,
    state: Option<&'f str>,
    challenge: &'f str,
    nonce: Option<&'f str>,
    scope: String,
}

/// Why not.
enum NotAsked<'f> {
    /// Nobody may be sent anywhere: the person is told.
    Told(&'static str),
    /// The client is told (RFC 6749, 4.1.2.1).
    SentBack { redirect_uri: &'f str, state: Option<&'f str>, error: &'static str, why: &'static str },
}

fn authorization<'s, 'f>(sign_in: &'s SignIn, query: &'f Form) -> Result<Authorization<'s, 'f>, NotAsked<'f>> {
    let client = query.get("client_id").and_then(|id| sign_in.clients.find(id));
    let client = client.ok_or(NotAsked::Told("The program that sent you here is not registered with this gateway."))?;
    let redirect_uri = query.get("redirect_uri").filter(|uri| client.may_redirect_to(uri));
    let redirect_uri = redirect_uri.ok_or(NotAsked::Told(
        "The address that you would be sent back to is not registered for the program that sent you here.",
    ))?;
    let state = query.get("state").filter(|s| s.len() <= STATE_BYTES_MAX);
    let refuse = |error, why| Err(NotAsked::SentBack { redirect_uri, state, error, why });
    if query.get("state").is_some() && state.is_none() {
        return refuse("invalid_request", "state is too long");
    }
    for (name, error) in [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")] {
        if query.get(name).is_some() {
            return refuse(error, "the request must be in the query itself");
        }
    }
    match query.get("response_type") {
        Some("code") => {}
        None => return refuse("invalid_request", "response_type is missing"),
        Some(_) => return refuse("unsupported_response_type", "only response_type=code is supported"),
    }
    if query.get("response_mode").is_some_and(|m| m != "query") {
        return refuse("invalid_request", "only response_mode=query is supported");
    }
    if query.get("code_challenge_method") != Some("S256") {
        return refuse("invalid_request", "PKCE is required: code_challenge_method must be S256");
    }
    let base64url = |c: &&str| c.len() == CHALLENGE_CHARS && URL_SAFE_NO_PAD.decode(c).is_ok();
    let Some(challenge) = query.get("code_challenge").filter(base64url) else {
        return refuse("invalid_request", "PKCE is required: code_challenge must be the SHA-256 of a verifier");
    };
    let nonce = query.get("nonce");
    if nonce.is_some_and(|n| n.len() > NONCE_BYTES_MAX) {
        return refuse("invalid_request", "nonce is too long");
    }
    // There is no browser session to go by: whoever signs in gives the password.
    if query.get("prompt").is_some_and(|p| p.split(' ').any(|w| w == "none")) {
        return refuse("login_required", "a person must sign in");
    }
    let scope = known_scope(query.get("scope").unwrap_or_default());
    Ok(Authorization { client, redirect_uri, state, challenge, nonce, scope })
}

impl LocalIssuer {
    /// `GET` and `POST {issuer}/authorize`: the sign-in page, and what it sends.
    pub async fn authorize(&self, request: PageRequest<'_>, now: Timestamp) -> Reply {
        let Some(sign_in) = &self.sign_in else { return page::problem(404, "Nobody can sign in here.") };
        let query = match Form::parse(request.query.as_bytes(), FORM_BYTES_MAX) {
            Ok(query) => query,
            Err(_) => return page::problem(400, "The address that you were sent to cannot be read."),
        };
        let asked = match authorization(sign_in, &query) {
            Ok(asked) => asked,
            Err(NotAsked::Told(why)) => return page::problem(400, why),
            Err(NotAsked::SentBack { redirect_uri, state, error, why }) => {
                return self.send_back(redirect_uri, state, &[("error", error), ("error_description", why)]);
            }
        };
        let guard = Guard::of(&request, &self.config.issuer);
        let place = Place::parse(asked.redirect_uri);
        let form = SignInForm {
            program: &asked.client.id,
            goes_back_to: place.as_ref().map(Place::authority),
            policy_source: place.as_ref().map(Place::policy_source),
            name: query.get("login_hint").unwrap_or_default(),
            device: None,
            trouble: None,
        };
        if !request.posted {
            return form.page(200, &guard);
        }
        let sent = match guard.checked(&request) {
            Ok(sent) => sent,
            Err(trouble) => return SignInForm { trouble: Some(trouble.to_owned()), ..form }.page(403, &guard),
        };
        if sent.get("answer") == Some("refuse") {
            let told = [("error", "access_denied"), ("error_description", "the person did not sign in")];
            return self.send_back(asked.redirect_uri, asked.state, &told);
        }
        let account = match self.person_by_password(&sent, request.source, now).await {
            Ok(account) => account,
            Err(no) => {
                let form = SignInForm { name: sent.get("name").unwrap_or_default(), trouble: Some(no.told()), ..form };
                return no.with_wait(form.page(no.status(), &guard));
            }
        };
        let grant = Grant::new(asked.client, &account, asked.scope, asked.nonce.map(str::to_owned), now);
        let code = Code { grant, redirect_uri: asked.redirect_uri.to_owned(), challenge: asked.challenge.to_owned() };
        match self.add_code(sign_in, &code, now).await {
            Ok(code) => {
                tracing::info!(account = %account.name, client = %asked.client.id, source = %request.source, "signed in");
                self.send_back(asked.redirect_uri, asked.state, &[("code", code.expose_str().unwrap_or_default())])
            }
            Err(fault) => {
                tracing::error!(%fault, "a sign-in could not go on");
                let form = SignInForm { trouble: Some(page::LATER.to_owned()), name: &account.name, ..form };
                form.page(503, &guard)
            }
        }
    }

    async fn add_code(&self, sign_in: &SignIn, code: &Code, now: Timestamp) -> Result<Secret, LocalFault> {
        let token = fresh_token();
        let kept = entry(code, after_s(now, CODE_LIFETIME_S));
        match sign_in.state.add(ShortLivedKind::Code, &digest(token.expose()), &kept, CODES_MAX, now).await? {
            Added::Kept => Ok(token),
            Added::Taken | Added::Full => Err(LocalFault::Full("codes")),
        }
    }

    /// To the client, with who we are (RFC 9207), so that it does not take one issuer's answer for another's.
    fn send_back(&self, redirect_uri: &str, state: Option<&str>, answer: &[(&str, &str)]) -> Reply {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(answer);
        if let Some(state) = state {
            query.append_pair("state", state);
        }
        query.append_pair("iss", &self.config.issuer);
        let joint = if redirect_uri.contains('?') { '&' } else { '?' };
        let location = format!("{redirect_uri}{joint}{}", query.finish());
        let headers = vec![("location", location), ("cache-control", "no-store".to_owned())];
        Reply { status: 303, headers, body: String::new() }
    }

    /// The code for tokens (RFC 6749, 4.1.3).
    pub(super) async fn redeem_code(
        &self,
        sign_in: &SignIn,
        client: &Client,
        form: &Form,
        now: Timestamp,
    ) -> Result<Value, NoTokens> {
        let field = |name: &str, missing| form.get(name).ok_or(NoTokens::Refused("invalid_request", missing));
        let token = field("code", "code is missing")?;
        let redirect_uri = field("redirect_uri", "redirect_uri is missing")?;
        let verifier = field("code_verifier", "code_verifier is missing")?;
        let digest = digest(token.as_bytes());
        let first = sign_in.state.consume(ShortLivedKind::Code, &digest, now).await?;
        let Some(kept) = sign_in.state.find(ShortLivedKind::Code, &digest).await? else { return Err(NOT_GOOD) };
        let code: Code = read(&kept.content)?;
        if !first {
            return match kept.consumed_at {
                Some(_) => self.stolen(sign_in, &code.grant, "an authorization code was used a second time", now).await,
                None => Err(NOT_GOOD),
            };
        }
        // It is used up whatever follows: a code in the wrong hands is worth no second guess.
        if code.grant.client != client.id || code.redirect_uri != redirect_uri || !fits(verifier, &code.challenge) {
            let what = "an authorization code was presented by somebody who did not ask for it";
            return self.stolen(sign_in, &code.grant, what, now).await;
        }
        self.begin_family(sign_in, &code.grant, now).await
    }
}

/// RFC 7636, 4.6, with S256.
fn fits(verifier: &str, challenge: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
    VERIFIER_CHARS.contains(&verifier.len())
        && verifier.bytes().all(plain)
        && bool::from(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)).as_bytes().ct_eq(challenge.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_7636_fits_and_its_neighbours_do_not() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let challenge = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
        assert!(fits(verifier, challenge));
        assert!(!fits(&format!("{verifier}x"), challenge));
        assert!(!fits(verifier, verifier), "the plain method is none");
        for (chars, fine) in [(42, false), (43, true), (128, true), (129, false)] {
            let verifier = "v".repeat(chars);
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
            assert_eq!(fits(&verifier, &challenge), fine, "{chars}");
        }
        let odd = format!("{}+", "v".repeat(42));
        assert!(!fits(&odd, &URL_SAFE_NO_PAD.encode(Sha256::digest(&odd))));
    }
}
