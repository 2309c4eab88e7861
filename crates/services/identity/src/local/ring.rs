//! The local issuer's signing keys: one that signs, and those that are published until their last token has ended.
//!
//! Must never let a private key out of this file but into the store.

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::{Secret, Timestamp};
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::ports::{KeyStore, SigningKey};
use super::{LocalFault, MINT_LIFETIME_S_MAX};
use crate::keys::JWKS_KEYS_MAX;
use crate::{KeySet, LEEWAY_S_MAX};

/// How long a key signs, in seconds (30 days).
pub(crate) const KEY_LIFETIME_S: u64 = 30 * 86_400;
/// The most keys published at once.
pub(super) const RING_KEYS_MAX: usize = JWKS_KEYS_MAX / 2;

/// A key that can sign.
struct Signer {
    id: String,
    key: EncodingKey,
}

/// The keys of one issuer, ready for use.
pub(super) struct Ring {
    signer: Signer,
    jwks: String,
}

/// Makes a key.
pub(super) fn generate(now: Timestamp) -> Result<SigningKey, LocalFault> {
    let fault = |_| LocalFault::Key("a signing key could not be made");
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(fault)?;
    let private = pair.to_pkcs8v1().map_err(fault)?;
    let (id, _) = describe(pair.public_key().as_ref())?;
    Ok(SigningKey { id, private_key: Secret::new(private.as_ref().to_vec()), created_at: now, retired_at: None })
}

/// True when nothing that the key signed can still be accepted.
pub(crate) fn is_over(key: &SigningKey, now: Timestamp) -> bool {
    let after_us = MINT_LIFETIME_S_MAX.saturating_add(2 * LEEWAY_S_MAX).saturating_mul(1_000_000);
    key.retired_at.is_some_and(|at| now.since_us(at) > after_us)
}

/// The key that is to sign: the youngest that is not retired and not too old.
pub(crate) fn current(keys: &[SigningKey], now: Timestamp) -> Option<&SigningKey> {
    let young = |k: &&SigningKey| now.since_us(k.created_at) < KEY_LIFETIME_S.saturating_mul(1_000_000);
    keys.iter().filter(|k| k.retired_at.is_none()).filter(young).max_by_key(|k| k.created_at)
}

/// Reads the keys of the store, makes one when none can sign (or a new one is asked for), and removes those that are over.
pub(crate) async fn load_keys(
    store: &dyn KeyStore,
    issuer: &str,
    force: bool,
    now: Timestamp,
) -> Result<Vec<SigningKey>, LocalFault> {
    let mut keys = store.load(issuer).await?;
    if force || current(&keys, now).is_none() {
        for key in keys.iter_mut().filter(|k| k.retired_at.is_none()) {
            key.retired_at = Some(now);
        }
        let fresh = generate(now)?;
        store.save(issuer, &fresh).await?;
        // Only after the new one is safe.
        for key in &keys {
            store.save(issuer, key).await?;
        }
        keys.push(fresh);
    }
    for key in keys.iter().filter(|k| is_over(k, now)) {
        store.remove(issuer, &key.id).await?;
    }
    Ok(keys)
}

impl Ring {
    /// Prepares the keys of the store.
    pub(super) fn new(keys: &[SigningKey], now: Timestamp) -> Result<Self, LocalFault> {
        let signing = current(keys, now).ok_or(LocalFault::Key("there is no key to sign with"))?;
        let mut entries = Vec::new();
        for key in keys.iter().filter(|k| !is_over(k, now)).rev().take(RING_KEYS_MAX) {
            let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.private_key.expose())
                .map_err(|_| LocalFault::Key("a stored signing key cannot be read"))?;
            let (id, entry) = describe(pair.public_key().as_ref())?;
            if id != key.id {
                return Err(LocalFault::Key("a stored signing key is not the one that its id names"));
            }
            entries.push(entry);
        }
        let signer = Signer { id: signing.id.clone(), key: EncodingKey::from_ec_der(signing.private_key.expose()) };
        Ok(Self { signer, jwks: json!({ "keys": entries }).to_string() })
    }

    /// The public document.
    pub(super) fn jwks(&self) -> &str {
        &self.jwks
    }

    /// The public keys, for verifying within this process.
    pub(super) fn key_set(&self) -> Result<KeySet, LocalFault> {
        KeySet::parse(self.jwks.as_bytes()).map_err(|_| LocalFault::Key("the public keys cannot be read"))
    }

    /// Signs claims.
    pub(super) fn sign(&self, token_type: &str, claims: &Value) -> Result<Secret, LocalFault> {
        let header = json!({"alg": "ES256", "typ": token_type, "kid": self.signer.id});
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.signer.key, jsonwebtoken::Algorithm::ES256)
            .map_err(|_| LocalFault::Key("the token could not be signed"))?;
        Ok(Secret::from(format!("{signed}.{signature}")))
    }
}

/// The id (RFC 7638 thumbprint) and the public entry of a key.
fn describe(point: &[u8]) -> Result<(String, Value), LocalFault> {
    let bad = || LocalFault::Key("a public key has an unknown form");
    let coordinates = point.strip_prefix(&[4]).ok_or_else(bad)?;
    let (x, y) = coordinates.split_at_checked(32).filter(|(_, y)| y.len() == 32).ok_or_else(bad)?;
    let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
    let canonical = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
    let id = URL_SAFE_NO_PAD.encode(Sha256::digest(canonical));
    let entry = json!({"kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "sig", "alg": "ES256", "kid": id});
    Ok((id, entry))
}
