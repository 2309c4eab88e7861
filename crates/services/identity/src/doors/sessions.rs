//! What the holder of a login asks: another certificate, its end, and who it is.

use std::sync::Arc;

use countersign_model::{Identity, Timestamp};
use serde_json::{Value, json};

use super::exchange::{is_renewable, request_key};
use super::{DoorRequest, EXCHANGE_FORM_BYTES_MAX, No, described};
use crate::Rejection;
use crate::confirmation::Proof;
use crate::dpop::{self, Requested};
use crate::form::Form;
use crate::local::Reply;
use crate::login::Login;
use crate::mapping;
use crate::service::IdentityService;
use crate::thumbprint::of_certificate;

impl IdentityService {
    /// `POST /v1/renew`, with a valid certificate: another one of the same login and key, until the login ends.
    pub async fn renew(&self, request: &DoorRequest<'_>, now: Timestamp) -> Reply {
        match self.renewed(request, now).await {
            Ok(answer) => Reply::private(200, &answer),
            Err(no) => self.say_no(no, "renew", "invalid_grant", request.source, now),
        }
    }

    async fn renewed(&self, request: &DoorRequest<'_>, now: Timestamp) -> Result<Value, No> {
        if request.certificate.is_empty() {
            return Err(No::request("a client certificate is needed: connect with the one to renew"));
        }
        let (login, leaf) =
            self.login_of(request.certificate, now).await.map_err(No::certificate(request.certificate))?;
        let identity = mapping::of_login(&login, leaf.serial, leaf.expires_at);
        self.heed_locks(&identity, request.source, now).map_err(No::certificate(request.certificate))?;
        if !is_renewable(&identity) {
            let why = "only a person's own login is renewed: exchange a fresh token";
            return Err(No::Malformed("unauthorized_client", why));
        }
        let form = Form::of_body(request.content_type, request.body, EXCHANGE_FORM_BYTES_MAX).map_err(No::request)?;
        let key = request_key(&form, "")?;
        if key.thumbprint != login.key {
            return Err(No::request("the csr is for another key than the login's"));
        }
        self.certify(&login, &key, now)
    }

    /// `POST /v1/logout`, with a valid certificate: ends the login, every certificate and every session of it.
    pub async fn logout(&self, request: &DoorRequest<'_>, now: Timestamp) -> Reply {
        if request.certificate.is_empty() {
            let no = No::request("a client certificate is needed: connect with one of the login to end");
            return self.say_no(no, "logout", "invalid_grant", request.source, now);
        }
        let ended = match self.login_of(request.certificate, now).await {
            Ok((login, _)) => self.logins.end(&login.id, "logged out", now).await,
            // It is what was asked for.
            Err(Rejection::LoginEnded(_) | Rejection::LoginOver) => Ok(false),
            Err(other) => Err(other),
        };
        match ended {
            Ok(ended) => Reply::private(200, &json!({ "ended": ended })),
            Err(rejection) => self.say_no(
                No::certificate(request.certificate)(rejection),
                "logout",
                "invalid_grant",
                request.source,
                now,
            ),
        }
    }

    /// `GET /v1/whoami`, with a token or a certificate: the identity as the gateway sees it.
    pub async fn whoami(&self, request: &DoorRequest<'_>, now: Timestamp) -> Reply {
        match self.who(request, now).await {
            Ok((identity, login)) => Reply::private(200, &whole(&identity, login.as_deref())),
            Err(no) => self.say_no(no, "whoami", "invalid_token", request.source, now),
        }
    }

    /// Who asks for something else of this gateway's API, by the same credentials as [`IdentityService::whoami`] takes.
    ///
    /// # Errors
    /// The answer to whoever cannot be told who they are.
    pub async fn caller(&self, request: &DoorRequest<'_>, now: Timestamp) -> Result<Arc<Identity>, Reply> {
        match self.who(request, now).await {
            Ok((identity, _)) => Ok(identity),
            Err(no) => Err(self.say_no(no, "api", "invalid_token", request.source, now)),
        }
    }

    async fn who(&self, request: &DoorRequest<'_>, now: Timestamp) -> Result<(Arc<Identity>, Option<Arc<Login>>), No> {
        let Some(authorization) = request.authorization else {
            if request.certificate.is_empty() {
                // Nobody stole anything: there is no credential at all.
                return Err(No::Missing("there is no credential"));
            }
            return self.identity_of(request.certificate, now).await.map_err(No::certificate(request.certificate));
        };
        let (scheme, token) =
            authorization.split_once(' ').ok_or(No::Missing("the Authorization header has no token"))?;
        let token = token.trim();
        let certificate = request.certificate.first().map(|c| of_certificate(c));
        let proof = Proof { certificate: certificate.as_deref(), ..Proof::NONE };
        if scheme.eq_ignore_ascii_case("bearer") {
            let identity = self.tokens.verify_with(token, &proof, now).await.map_err(No::token(token))?;
            return Ok((identity, None));
        }
        if !scheme.eq_ignore_ascii_case("dpop") {
            return Err(No::Missing("the Authorization header is neither Bearer nor DPoP"));
        }
        let given = request.dpop.ok_or_else(|| No::token(token)(Rejection::Proof("is missing")))?;
        let urls = self.urls(request.path);
        let requested = Requested { method: request.method, urls: &urls, token: Some(token) };
        let proved = dpop::check(given, &requested, now).map_err(No::token(token))?;
        let proof = Proof { dpop_key: Some(&proved.key), ..proof };
        let identity = self.tokens.verify_with(token, &proof, now).await.map_err(No::token(token))?;
        // RFC 9449, 7.1: a token that is bound to no key is none for this scheme.
        if identity.key.as_deref() != Some(proved.key.as_str()) {
            return Err(No::token(token)(Rejection::Proof("comes with a token that is not bound to its key")));
        }
        self.tokens.use_proof(&proved, now).await.map_err(No::token(token))?;
        Ok((identity, None))
    }
}

/// Everything that the gateway knows of an identity.
fn whole(identity: &Identity, login: Option<&Login>) -> Value {
    let mut all = described(identity);
    let ends = login.map(|_| identity.expires_at.unix_s());
    all.extend(
        [
            ("credential", json!(identity.credential)),
            ("claims", json!(identity.claims)),
            ("token_id", json!(identity.token_id)),
            ("key", json!(identity.key)),
            ("login", json!(identity.login)),
            ("issued_at", json!(identity.issued_at.unix_s())),
            ("expires_at", json!(identity.expires_at.unix_s())),
            ("certificate_expires_at", json!(ends)),
            ("login_expires_at", json!(login.map(|l| l.expires_at.unix_s()))),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    Value::Object(all)
}
