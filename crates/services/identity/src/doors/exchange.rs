//! The exchange (RFC 8693): a token and a certificate request for a certificate of a login.
//!
//! The request proves the key, and the first key binds the token. Must never make a certificate for a key that the token is not good
//! with, nor a login that is more than its token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{Actor, CredentialBinding, Identity, IdentityKind, IdentityParts, Timestamp};
use serde_json::{Value, json};

use super::{DoorRequest, EXCHANGE_FORM_BYTES_MAX, No, described};
use crate::Rejection;
use crate::authenticator::use_id;
use crate::certificate::{AuthorityFault, CERTIFICATE_LIFETIME_S_MAX, read_request};
use crate::confirmation::{Door, Proof};
use crate::dpop::{self, Requested};
use crate::form::Form;
use crate::local::Reply;
use crate::login::{Login, digest_of};
use crate::mapping::{self, DELEGATION_MAX};
use crate::service::{IdentityService, live};
use crate::thumbprint::{PublicKey, of_certificate};

/// The longest life of a login, in seconds (a day).
pub const LOGIN_LIFETIME_S_MAX: u64 = 86_400;
/// What the exchange gives (RFC 8693, 3).
pub const TOKEN_TYPE_X509: &str = "urn:countersign:token-type:x509";
/// The grant (RFC 8693, 2.1).
const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// What may be exchanged: all are signed tokens (JWT).
const TOKEN_TYPES: [&str; 3] = [
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:access_token",
    "urn:ietf:params:oauth:token-type:id_token",
];

impl IdentityService {
    /// `POST /v1/exchange`.
    pub async fn exchange(&self, request: &DoorRequest<'_>, now: Timestamp) -> Reply {
        match self.exchanged(request, now).await {
            Ok(answer) => Reply::private(200, &answer),
            // RFC 8693, 2.2.2: a token that is not acceptable makes the request invalid.
            Err(no) => self.say_no(no, "exchange", "invalid_request", request.source, now),
        }
    }

    async fn exchanged(&self, request: &DoorRequest<'_>, now: Timestamp) -> Result<Value, No> {
        let form = Form::of_body(request.content_type, request.body, EXCHANGE_FORM_BYTES_MAX).map_err(No::request)?;
        // Before a token is bound to anything.
        if self.authority.is_none() {
            return Err(No::request("this gateway makes no certificates: it has no [vault]"));
        }
        match form.get("grant_type") {
            Some(GRANT) => {}
            Some(_) => {
                return Err(No::Malformed("unsupported_grant_type", "only token exchange (RFC 8693) is supported"));
            }
            None => return Err(No::request("grant_type is missing")),
        }
        if form.get("requested_token_type").is_some_and(|t| t != TOKEN_TYPE_X509) {
            return Err(No::request("requested_token_type must be urn:countersign:token-type:x509"));
        }
        let subject_token =
            token(&form, "subject_token", "subject_token_type")?.ok_or(No::request("subject_token is missing"))?;
        let actor_token = token(&form, "actor_token", "actor_token_type")?;
        let key = request_key(&form, subject_token)?;

        let proved = match request.dpop {
            None => None,
            Some(proof) => {
                let urls = self.urls(request.path);
                let requested = Requested { method: request.method, urls: &urls, token: None };
                Some(dpop::check(proof, &requested, now).map_err(No::token(subject_token))?)
            }
        };
        let certificate = request.certificate.first().map(|c| of_certificate(c));
        let proof = Proof {
            door: Door::Exchange,
            request_key: Some(&key.thumbprint),
            dpop_key: proved.as_ref().map(|p| p.key.as_str()),
            certificate: certificate.as_deref(),
        };
        let subject = self.tokens.verify_with(subject_token, &proof, now).await.map_err(No::token(subject_token))?;
        let actor = match actor_token {
            None => None,
            Some(token) => Some(self.tokens.verify_with(token, &proof, now).await.map_err(No::token(token))?),
        };
        if let Some(proved) = &proved {
            self.tokens.use_proof(proved, now).await.map_err(No::token(subject_token))?;
        }
        let delegation = delegation(&subject, actor.as_deref()).map_err(No::token(actor_token.unwrap_or_default()))?;
        let used = digest_of(&[&use_id(subject_token), &actor_token.map(use_id).unwrap_or_default()]);
        let identity = IdentityParts {
            delegation,
            credential: CredentialBinding::Bound,
            key: Some(key.thumbprint.clone()),
            ..mapping::parts_of(&subject)
        };
        self.heed_locks(&identity, request.source, now).map_err(No::token(subject_token))?;
        let login = self.login(identity, &key, used, now).await.map_err(No::token(subject_token))?;
        self.certify(&login, &key, now)
    }

    /// The login of this token and key: the one that there is, or a new one.
    async fn login(
        &self,
        identity: IdentityParts,
        key: &PublicKey,
        token: String,
        now: Timestamp,
    ) -> Result<Login, Rejection> {
        if let Some(login) = self.logins.find_by_token(&token).await?
            && login.key == key.thumbprint
        {
            match live(&login, now) {
                Ok(()) if login.identity == identity => return Ok(login),
                Err(ended @ Rejection::LoginEnded(_)) => return Err(ended),
                _ => {}
            }
        }
        self.begin_login(identity, key.thumbprint.clone(), token, None, now).await
    }

    /// A new login, which ends `until` then at the latest.
    pub(super) async fn begin_login(
        &self,
        identity: IdentityParts,
        key: String,
        token: String,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Login, Rejection> {
        let lifetime_s = self.config().login_lifetime_s.min(LOGIN_LIFETIME_S_MAX);
        let lifetime_us = i64::try_from(lifetime_s).unwrap_or(0).saturating_mul(1_000_000);
        let ends = Timestamp::from_unix_us(now.unix_us().saturating_add(lifetime_us));
        let id = ulid::Ulid::from_parts(u64::try_from(now.unix_us() / 1000).unwrap_or(0), rand::random()).to_string();
        let login = Login {
            id,
            identity,
            key,
            token,
            created_at: now,
            expires_at: until.map_or(ends, |until| until.min(ends)),
            ended: None,
        };
        self.logins.save(&login).await?;
        tracing::info!(
            login = login.id,
            name = login.identity.name,
            issuer = login.identity.issuer,
            acting = login.identity.delegation.first().map(|a| a.name.as_str()),
            "a login began"
        );
        Ok(login)
    }

    /// A certificate of a login, as the answer to whoever proved its key.
    pub(super) fn certify(&self, login: &Login, key: &PublicKey, now: Timestamp) -> Result<Value, No> {
        let authority = self.authority.as_ref().ok_or(No::request("this gateway makes no certificates"))?;
        let left_s = login.expires_at.since_us(now) / 1_000_000;
        let lifetime_s = self.config().certificate_lifetime_s.min(CERTIFICATE_LIFETIME_S_MAX).min(left_s);
        let issued = authority.issue(&login.id, &login.identity, key, lifetime_s, now).map_err(failed)?;
        let identity = mapping::of_login(login, issued.serial, issued.expires_at);
        Ok(json!({
            "access_token": issued.chain_pem,
            "ssh_certificate": issued.ssh,
            "issued_token_type": TOKEN_TYPE_X509,
            "token_type": "N_A",
            "expires_in": issued.expires_at.since_us(now) / 1_000_000,
            "identity": described(&identity),
            "login": login.id,
            "login_expires_in": left_s,
            "renewable": is_renewable(&identity),
        }))
    }
}

/// A person's login is renewed with its key; workloads, and agents that act for a person, bring a fresh token.
pub(super) fn is_renewable(identity: &Identity) -> bool {
    identity.kind == IdentityKind::Human && identity.delegation.is_empty()
}

fn failed(fault: AuthorityFault) -> No {
    No::Refused(Rejection::LoginUnknown(fault.to_string()), String::new())
}

fn token<'f>(form: &'f Form, name: &str, type_name: &str) -> Result<Option<&'f str>, No> {
    match (form.get(name), form.get(type_name)) {
        (Some(token), Some(kind)) if TOKEN_TYPES.contains(&kind) => Ok(Some(token)),
        (Some(_), Some(_)) => Err(No::request("a token's type must be one of :jwt, :access_token and :id_token")),
        (Some(_), None) => Err(No::request("a token's type is missing")),
        (None, Some(_)) => Err(No::request("a token's type is there without the token")),
        (None, None) => Ok(None),
    }
}

/// The key of the certificate request, which its signature proves.
pub(super) fn request_key(form: &Form, token: &str) -> Result<PublicKey, No> {
    let csr = form.get("csr").ok_or(No::request("csr is missing: a PKCS #10 request, DER in base64"))?;
    let der = STANDARD.decode(csr).map_err(|_| No::request("csr is not base64"))?;
    read_request(&der).map_err(|why| No::token(token)(Rejection::Request(why)))
}

/// Who acts for the subject, nearest first: the bearer of the actor's token, then those whom the subject's token names.
fn delegation(subject: &Identity, actor: Option<&Identity>) -> Result<Vec<Actor>, Rejection> {
    let Some(actor) = actor else {
        // Who must act is said; nobody does.
        return Ok(subject.delegation.clone());
    };
    if !actor.delegation.is_empty() {
        return Err(Rejection::Actor("somebody else acts for it in turn"));
    }
    if subject.delegation.len() >= DELEGATION_MAX {
        return Err(Rejection::Actor("the chain is too long"));
    }
    // RFC 8693, 4.4: where the subject's token says who may act, nobody else may.
    if let Some(may) = subject.claims.get("may_act") {
        let text = |name: &str| may.get(name).and_then(Value::as_str);
        let issuer = text("iss").unwrap_or(&subject.issuer);
        if text("sub") != Some(actor.subject.as_str()) || issuer != actor.issuer {
            return Err(Rejection::Actor("the subject's token names another one (may_act)"));
        }
    }
    let nearest = Actor {
        subject: actor.subject.clone(),
        issuer: actor.issuer.clone(),
        name: actor.name.clone(),
        kind: actor.kind,
        groups: actor.groups.clone(),
        claims: actor.claims.clone(),
        signer: actor.signer.clone(),
    };
    Ok(std::iter::once(nearest).chain(subject.delegation.iter().cloned()).collect())
}
