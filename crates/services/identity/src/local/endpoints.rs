//! The local issuer's documents and its token endpoint, without a web server: text in, text out.
//!
//! Must never put a secret in a log or in a URL, nor let a token be cached on its way.

use std::net::IpAddr;

use countersign_model::{IdentityKind, Timestamp};
use serde_json::{Value, json};

use super::accounts::LoginFailure;
use super::issuer::LocalIssuer;
use super::messages::{Reply, TokenRequest, client_credentials};
use super::sign_in::{NoTokens, SignIn};
use crate::form::Form;

/// The name of the device grant (RFC 8628, 3.4).
const DEVICE_GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl LocalIssuer {
    /// `GET {issuer}/.well-known/openid-configuration` (OpenID Connect Discovery 1.0, RFC 8414).
    pub fn openid_configuration(&self) -> Reply {
        let base = self.base();
        let mut document = json!({
            "issuer": self.config.issuer,
            "jwks_uri": format!("{base}/jwks.json"),
            "token_endpoint": format!("{base}/token"),
            "grant_types_supported": ["client_credentials"],
            "response_types_supported": [],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "claims_supported": ["sub", "preferred_username", "groups", "kind"],
        });
        if self.sign_in.is_some() {
            for (name, value) in [
                ("authorization_endpoint", json!(format!("{base}/authorize"))),
                ("device_authorization_endpoint", json!(format!("{base}/device_authorization"))),
                ("revocation_endpoint", json!(format!("{base}/revoke"))),
                (
                    "grant_types_supported",
                    json!(["authorization_code", "refresh_token", DEVICE_GRANT, "client_credentials"]),
                ),
                ("response_types_supported", json!(["code"])),
                ("response_modes_supported", json!(["query"])),
                ("code_challenge_methods_supported", json!(["S256"])),
                ("token_endpoint_auth_methods_supported", json!(["none", "client_secret_basic", "client_secret_post"])),
                (
                    "revocation_endpoint_auth_methods_supported",
                    json!(["none", "client_secret_basic", "client_secret_post"]),
                ),
                ("authorization_response_iss_parameter_supported", json!(true)),
                ("request_parameter_supported", json!(false)),
                ("request_uri_parameter_supported", json!(false)),
                ("claims_parameter_supported", json!(false)),
                ("scopes_supported", json!(["openid", "profile", "offline_access"])),
                (
                    "claims_supported",
                    json!(["sub", "preferred_username", "groups", "kind", "auth_time", "nonce", "at_hash", "sid"]),
                ),
            ] {
                if let Some(document) = document.as_object_mut() {
                    document.insert(name.to_owned(), value);
                }
            }
        }
        Reply::document(document.to_string())
    }

    /// `GET {issuer}/jwks.json`.
    pub fn jwks(&self) -> Reply {
        Reply::document(self.jwks_text())
    }

    /// `POST {issuer}/token` (RFC 6749): people's grants for registered clients, and client credentials (4.4) for accounts of machines
    /// and agents.
    pub async fn token(&self, request: TokenRequest<'_>, now: Timestamp) -> Reply {
        let form = match request.form() {
            Ok(form) => form,
            Err(reply) => return reply,
        };
        for name in ["audience", "resource"] {
            if form.get(name).is_some_and(|a| a != self.config.audience) {
                return Reply::error(400, "invalid_target", "tokens are for this gateway only");
            }
        }
        match (form.get("grant_type"), &self.sign_in) {
            (Some("client_credentials"), _) => self.client_credentials(&request, &form, now).await,
            (Some(grant @ ("authorization_code" | "refresh_token" | DEVICE_GRANT)), Some(sign_in)) => {
                self.grant(sign_in, grant, &request, &form, now).await
            }
            (Some(_), _) => Reply::error(400, "unsupported_grant_type", "this grant is not supported"),
            (None, _) => Reply::error(400, "invalid_request", "grant_type is missing"),
        }
    }

    async fn grant(
        &self,
        sign_in: &SignIn,
        grant: &str,
        request: &TokenRequest<'_>,
        form: &Form,
        now: Timestamp,
    ) -> Reply {
        let client = match self.client(sign_in, request, form, now) {
            Ok(client) => client,
            Err(reply) => return reply,
        };
        let given: Result<Value, NoTokens> = match grant {
            "authorization_code" => self.redeem_code(sign_in, client, form, now).await,
            "refresh_token" => self.refresh(sign_in, client, form, now).await,
            _ => self.poll_device(sign_in, client, form, now).await,
        };
        match given {
            Ok(tokens) => Reply::private(200, &tokens),
            Err(no) => no.reply(),
        }
    }

    async fn client_credentials(&self, request: &TokenRequest<'_>, form: &Form, now: Timestamp) -> Reply {
        let (name, secret) = match client_credentials(request.authorization, form) {
            Ok((name, Some(secret))) => (name, secret),
            Ok((_, None)) => return Reply::unauthorized("client authentication is missing"),
            Err(why) => return Reply::unauthorized(why),
        };
        let Some(door) = &self.door else { return Reply::unauthorized("this issuer has no accounts") };
        let account = match door.login(&name, secret, request.source, now).await {
            Ok(account) => account,
            Err(failure) => return refused(&failure, &name, request.source),
        };
        if account.kind == IdentityKind::Human {
            let what = "people do not log in this way: use `countersign login`, or a browser";
            return Reply::error(400, "unauthorized_client", what);
        }
        match self.mint_for(&account, None, now) {
            Ok(token) => {
                let token = token.expose_str().unwrap_or_default();
                let expires_in = self.config.token_lifetime_s;
                Reply::private(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": expires_in}))
            }
            Err(fault) => {
                tracing::error!(%fault, "a token could not be made");
                Reply::error(500, "server_error", "the token could not be made")
            }
        }
    }
}

fn refused(failure: &LoginFailure, name: &str, source: IpAddr) -> Reply {
    tracing::info!(account = %crate::token::shown(name), %source, ?failure, "a login failed");
    match failure {
        LoginFailure::Wrong => Reply::unauthorized("the client is unknown or its secret is wrong"),
        LoginFailure::TooMany { wait_s } => super::sign_in::too_many("invalid_client", *wait_s),
        LoginFailure::Busy => Reply::error(503, "temporarily_unavailable", "too many logins at once"),
        LoginFailure::Store(_) => Reply::error(503, "temporarily_unavailable", "accounts cannot be read now"),
    }
}
