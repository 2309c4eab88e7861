//! Revocation (RFC 7009): a client gives back what it was given, and all of that sign-in ends.
//!
//! Must never end what is another client's, nor say whether a token that it does not know was ever one.

use countersign_model::Timestamp;
use serde_json::Value;

use super::issuer::{LocalFault, LocalIssuer};
use super::messages::{Reply, TokenRequest};
use super::ports::ShortLivedKind;
use super::sign_in::{Grant, SignIn, digest, read};
use crate::Algorithm;
use crate::token::parse_unverified;

/// What a token leads to.
enum Known {
    /// A family of this client.
    Ours(String),
    /// Another client's.
    NotYours,
    /// Nothing that could be revoked.
    Nothing,
}

impl LocalIssuer {
    /// `POST {issuer}/revoke`.
    pub async fn revoke(&self, request: TokenRequest<'_>, now: Timestamp) -> Reply {
        let (sign_in, client, form) = match self.asked_by(&request, "unsupported_token_type", now) {
            Ok(asked) => asked,
            Err(reply) => return reply,
        };
        let Some(token) = form.get("token") else { return Reply::error(400, "invalid_request", "token is missing") };
        let ended = match self.known(sign_in, token, &client.id).await {
            Ok(Known::Ours(family)) => self.end_family(sign_in, &family, now).await,
            Ok(Known::NotYours) => return Reply::error(400, "invalid_grant", "the token is not this client's"),
            Ok(Known::Nothing) => Ok(()),
            Err(fault) => Err(fault),
        };
        match ended {
            Ok(()) => {
                Reply { status: 200, headers: vec![("cache-control", "no-store".to_owned())], body: String::new() }
            }
            Err(fault) => Reply::failed(&fault),
        }
    }

    async fn known(&self, sign_in: &SignIn, token: &str, client: &str) -> Result<Known, LocalFault> {
        let whose = |family: String, owner: &str| if owner == client { Known::Ours(family) } else { Known::NotYours };
        if let Some(kept) = sign_in.state.find(ShortLivedKind::Refresh, &digest(token.as_bytes())).await? {
            let grant: Grant = read(&kept.content)?;
            return Ok(whose(grant.family, &grant.client));
        }
        // An access or ID token: signed by us, whether it has ended or not.
        let Ok(parsed) = parse_unverified(token) else { return Ok(Known::Nothing) };
        let signed = parsed.issuer == self.config.issuer
            && parsed.algorithm == "ES256"
            && self
                .public_keys()?
                .find(parsed.key_id.as_deref(), Algorithm::ES256)
                .is_ok_and(|key| key.verify(Algorithm::ES256, parsed.signed, parsed.signature).is_ok());
        let claim = |name: &str| parsed.claims.get(name).and_then(Value::as_str);
        Ok(match (claim("sid"), claim("client_id").or_else(|| claim("azp"))) {
            (Some(family), Some(owner)) if signed => whose(family.to_owned(), owner),
            _ => Known::Nothing,
        })
    }
}
