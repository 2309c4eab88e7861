//! Keys for the gateway's API: a text that a script presents in place of a login, for some operations and for a time.
//!
//! A key stands for whoever made it, as they were verified then, and only while they stand; it has no rights of its own. It must never be
//! taken where sessions begin, nor be kept as anything but a digest, nor be good for a moment after it was revoked.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_enforce::{BoxFuture, Standing};
use countersign_model::{Identity, IdentityParts, Secret, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::Rejection;
use crate::doors::DoorRequest;
use crate::local::{Reply, StoreFault};
use crate::mapping;
use crate::service::IdentityService;

/// How the text of a key begins: what looks for leaked secrets knows it by this.
pub const API_KEY_PREFIX: &str = "csk_";
/// The most keys of one owner that are in force at one time.
pub const API_KEYS_OF_OWNER_MAX: u32 = 50;
/// The shortest and the longest life of a key, in seconds: a minute, 90 days.
pub const API_KEY_LIFETIME_S_MIN: u64 = 60;
/// See [`API_KEY_LIFETIME_S_MIN`].
pub const API_KEY_LIFETIME_S_MAX: u64 = 90 * 86_400;
/// How long a key is remembered after its time, in microseconds (90 days).
const KEPT_US: i64 = 90 * 86_400_000_000;
/// The random bytes of a key's secret.
const SECRET_BYTES: usize = 32;
/// How much later a use must be to be noted, too, in microseconds (a minute): a use costs no write but now and then.
const USE_NOTED_EVERY_US: u64 = 60_000_000;
/// A ULID as text.
const ID_BYTES: usize = 26;

/// What is known of a key besides its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiKeyContent {
    /// What its owner calls it.
    pub name: String,
    /// The operations that it is for.
    pub scope: BTreeSet<String>,
    /// Who made it, as verified then, with the credential that they made it with.
    pub owner: IdentityParts,
}

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its id, a ULID: the token id of whoever comes with it.
    pub id: String,
    /// The digest of its secret (SHA-256, base64url). The secret is random and long, so that this is enough.
    pub digest: String,
    /// What is known of it.
    pub content: ApiKeyContent,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends by itself.
    pub expires_at: Timestamp,
    /// When it was last used, to the minute.
    pub used: Option<ApiKeyUse>,
    /// How it was ended before that.
    pub ended: Option<ApiKeyEnd>,
}

/// The last use of a key that was noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyUse {
    /// When.
    pub at: Timestamp,
    /// From which address.
    pub from: String,
}

/// How a key was ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKeyEnd {
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// Why.
    pub why: String,
}

impl ApiKey {
    /// True while it may be used.
    pub fn is_live(&self, now: Timestamp) -> bool {
        self.ended.is_none() && now < self.expires_at
    }
}

/// Which keys.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyQuery {
    /// Only those of this owner: issuer and subject.
    pub owner: Option<(String, String)>,
    /// Those that are over, too.
    pub all: bool,
    /// Only those that are older than this one.
    pub before: Option<String>,
    /// The most of them.
    pub limit: u32,
}

/// Keeps keys, for all gateways.
pub trait ApiKeyStore: Send + Sync {
    /// Adds a key, unless its owner has `most_of_owner` in force or there is no place; says whether it did.
    fn add<'a>(&'a self, key: &'a ApiKey, most_of_owner: u32) -> BoxFuture<'a, Result<bool, StoreFault>>;

    /// The key with this id, in force or not.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<ApiKey>, StoreFault>>;

    /// Keys, newest first.
    fn list<'a>(&'a self, query: &'a ApiKeyQuery, now: Timestamp) -> BoxFuture<'a, Result<Vec<ApiKey>, StoreFault>>;

    /// Notes that a key was used; what was noted of a later time stays.
    fn note_use<'a>(&'a self, id: &'a str, used: &'a ApiKeyUse) -> BoxFuture<'a, Result<(), StoreFault>>;

    /// Ends a key that is in force; says whether it was this call that did.
    fn end<'a>(&'a self, id: &'a str, end: &'a ApiKeyEnd) -> BoxFuture<'a, Result<bool, StoreFault>>;

    /// Removes the keys whose time was over before this time.
    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>>;
}

/// Why a key was not made, found or ended.
#[derive(Debug, thiserror::Error)]
pub enum ApiKeyFault {
    /// It would live too short or too long.
    #[error("an API key lives from {} s to {} s (90 days)", API_KEY_LIFETIME_S_MIN, API_KEY_LIFETIME_S_MAX)]
    Lifetime,
    /// There are too many.
    #[error("there are too many API keys in force (of one owner at most {}): revoke some first", API_KEYS_OF_OWNER_MAX)]
    TooMany,
    /// There is none with this id that the caller may end.
    #[error("there is no API key with this id that you may revoke")]
    Unknown,
    /// It is not in force any more.
    #[error("the API key was revoked before, or has expired")]
    Over,
    /// Keys are not kept here.
    #[error("this gateway has no API keys")]
    None,
    /// The store cannot do it now.
    #[error("the store cannot do it now")]
    Store(#[from] StoreFault),
    /// The system gives no randomness.
    #[error("the system gives no random bytes")]
    Random,
}

/// Whoever comes with a key.
#[derive(Clone, Debug)]
pub struct KeyHolder {
    /// Who made it: for its holder nobody else is asked about.
    pub identity: Arc<Identity>,
    /// The key.
    pub key: Arc<ApiKey>,
}

fn digest(secret: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(secret))
}

fn unknown(fault: StoreFault) -> Rejection {
    Rejection::LoginUnknown(fault.to_string())
}

/// Id and secret of a key's text.
fn parse(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix(API_KEY_PREFIX)?;
    let (id, secret) = rest.split_at_checked(ID_BYTES)?;
    let secret = secret.strip_prefix('_')?;
    let canonical = ulid::Ulid::from_string(id).is_ok_and(|ulid| ulid.to_string() == id);
    let long = URL_SAFE_NO_PAD.decode(secret).is_ok_and(|bytes| bytes.len() == SECRET_BYTES);
    (canonical && long).then_some((id, secret))
}

/// The key that a request comes with, if it comes with one.
fn presented<'a>(request: &DoorRequest<'a>) -> Option<&'a str> {
    let (scheme, text) = request.authorization?.split_once(' ')?;
    let text = text.trim();
    (scheme.eq_ignore_ascii_case("bearer") && text.starts_with(API_KEY_PREFIX)).then_some(text)
}

impl IdentityService {
    /// Makes a key of somebody who was verified; its text is told this once.
    ///
    /// # Errors
    /// When its life would be too short or too long, there are too many, or it cannot be kept.
    pub async fn make_api_key(
        &self,
        owner: &Identity,
        name: String,
        scope: BTreeSet<String>,
        lifetime_s: u64,
        now: Timestamp,
    ) -> Result<(Secret, ApiKey), ApiKeyFault> {
        let keys = self.api_keys.as_ref().ok_or(ApiKeyFault::None)?;
        if !(API_KEY_LIFETIME_S_MIN..=API_KEY_LIFETIME_S_MAX).contains(&lifetime_s) {
            return Err(ApiKeyFault::Lifetime);
        }
        let mut random = [0; SECRET_BYTES];
        rand::fill(&mut random).map_err(|_| ApiKeyFault::Random)?;
        let secret = URL_SAFE_NO_PAD.encode(random);
        let mut nonce = [0; 16];
        rand::fill(&mut nonce).map_err(|_| ApiKeyFault::Random)?;
        let ms = u64::try_from(now.unix_us() / 1000).unwrap_or(0);
        let id = ulid::Ulid::from_parts(ms, u128::from_be_bytes(nonce)).to_string();
        let lifetime_us = i64::try_from(lifetime_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
        let key = ApiKey {
            digest: digest(secret.as_bytes()),
            content: ApiKeyContent { name, scope, owner: mapping::parts_of(owner) },
            created_at: now,
            expires_at: Timestamp::from_unix_us(now.unix_us().saturating_add(lifetime_us)),
            used: None,
            ended: None,
            id,
        };
        if !keys.add(&key, API_KEYS_OF_OWNER_MAX).await? {
            return Err(ApiKeyFault::TooMany);
        }
        Ok((Secret::from(format!("{API_KEY_PREFIX}{}_{secret}", key.id)), key))
    }

    /// Keys, newest first.
    ///
    /// # Errors
    /// When the store cannot tell.
    pub async fn list_api_keys(&self, query: &ApiKeyQuery, now: Timestamp) -> Result<Vec<ApiKey>, ApiKeyFault> {
        let keys = self.api_keys.as_ref().ok_or(ApiKeyFault::None)?;
        Ok(keys.list(query, now).await?)
    }

    /// Ends a key, of this owner where one is named.
    ///
    /// # Errors
    /// When there is none, it is over already, or the store cannot do it.
    pub async fn end_api_key(
        &self,
        id: &str,
        owner: Option<&IdentityParts>,
        end: &ApiKeyEnd,
    ) -> Result<ApiKey, ApiKeyFault> {
        let keys = self.api_keys.as_ref().ok_or(ApiKeyFault::None)?;
        let key = keys.find(id).await?.ok_or(ApiKeyFault::Unknown)?;
        let whose = &key.content.owner;
        if owner.is_some_and(|owner| (&owner.issuer, &owner.subject) != (&whose.issuer, &whose.subject)) {
            return Err(ApiKeyFault::Unknown);
        }
        if !keys.end(id, end).await? {
            return Err(ApiKeyFault::Over);
        }
        Ok(ApiKey { ended: Some(end.clone()), ..key })
    }

    /// Who comes with an API key; `None` for a request that comes without one.
    pub async fn key_holder(&self, request: &DoorRequest<'_>, now: Timestamp) -> Option<Result<KeyHolder, Reply>> {
        let text = presented(request)?;
        Some(self.holder(text, request.source.ip(), now).await.map_err(|rejection| {
            let about = parse(text).map_or_else(|| "no API key".to_owned(), |(id, _)| format!("API key {id}"));
            self.refused_at_api(rejection, about, request.source, now)
        }))
    }

    async fn holder(&self, text: &str, source: IpAddr, now: Timestamp) -> Result<KeyHolder, Rejection> {
        let keys = self.api_keys.as_ref().ok_or(Rejection::ApiKeyUnknown)?;
        let (id, secret) = parse(text).ok_or(Rejection::ApiKeyUnknown)?;
        let now = self.tokens.steady(now)?;
        let found = keys.find(id).await.map_err(unknown)?;
        let key = found
            .filter(|key| bool::from(key.digest.as_bytes().ct_eq(digest(secret.as_bytes()).as_bytes())))
            .ok_or(Rejection::ApiKeyUnknown)?;
        self.key_stands(&key, now).await?;
        if key.used.as_ref().is_none_or(|used| now.since_us(used.at) >= USE_NOTED_EVERY_US) {
            let used = ApiKeyUse { at: now, from: source.to_string() };
            // Who holds it was proven, and its use is recorded elsewhere; this is for the list.
            if let Err(fault) = keys.note_use(&key.id, &used).await {
                tracing::warn!(key = key.id, %fault, "the use of an API key was not noted");
            }
        }
        Ok(KeyHolder { identity: Arc::new(mapping::of_api_key(&key)), key: Arc::new(key) })
    }

    async fn key_stands(&self, key: &ApiKey, now: Timestamp) -> Result<(), Rejection> {
        if key.ended.is_some() {
            return Err(Rejection::ApiKeyRevoked);
        }
        if now >= key.expires_at {
            return Err(Rejection::ApiKeyExpired { ago_s: now.since_us(key.expires_at) / 1_000_000 });
        }
        self.tokens.accounts_stand(&key.content.owner, now).await
    }

    /// Whether whoever came with the key that has this id may go on.
    pub async fn key_standing(&self, id: &str, now: Timestamp) -> Standing {
        let stands = async {
            let keys = self.api_keys.as_ref().ok_or(Rejection::ApiKeyUnknown)?;
            let found = keys.find(id).await.map_err(unknown)?;
            self.key_stands(&found.ok_or(Rejection::ApiKeyUnknown)?, self.tokens.steady(now)?).await
        };
        match stands.await {
            Ok(()) => Standing::Stands,
            Err(rejection) if rejection.is_ours() => Standing::Unknown,
            Err(rejection) => Standing::Ended(rejection.to_denial()),
        }
    }

    /// Removes what nobody asks about any more.
    pub(crate) async fn sweep_api_keys(&self, now: Timestamp) -> Result<(), Rejection> {
        let before = Timestamp::from_unix_us(now.unix_us().saturating_sub(KEPT_US));
        match &self.api_keys {
            Some(keys) => keys.sweep(before).await.map_err(unknown),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_a_key_in_one_form_only() {
        let secret = URL_SAFE_NO_PAD.encode([255; SECRET_BYTES]);
        let id = "01JGV2XJ8E0000000000000000";
        let good = format!("csk_{id}_{secret}");
        assert_eq!(parse(&good).unwrap(), (id, secret.as_str()));
        for bad in [
            String::new(),
            "csk_".to_owned(),
            format!("csk_{id}"),
            format!("csk_{id}_"),
            format!("csk_{id}{secret}"),
            format!("csk_{}_{secret}", id.to_lowercase()),
            format!("csk_8ZZZZZZZZZZZZZZZZZZZZZZZZZ_{secret}"),
            format!("CSK_{id}_{secret}"),
            format!("csk_{id}_{secret}A"),
            format!("csk_{id}_{secret}="),
            format!("csk_{id}_{}", secret.get(1..).unwrap()),
            format!("csk_{id}_é{secret}"),
        ] {
            assert_eq!(parse(&bad), None, "{bad}");
        }
    }
}
