//! An issuer's public keys: which of them may verify what.
//!
//! A key set comes from the configured issuer alone. Must never accept a symmetric key, nor let a token decide what a key is for.

use std::collections::HashSet;
use std::sync::Arc;

use aws_lc_rs::signature::{ECDSA_P521_SHA512_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use crate::Rejection;
use crate::strict_json;
use crate::thumbprint::{of_members, unsigned};

/// The longest key set, in bytes.
pub(crate) const JWKS_BYTES_MAX: usize = 256 * 1024;
/// The most keys in a set, of whatever kind. A larger set is refused whole.
pub(crate) const JWKS_KEYS_MAX: usize = 64;
/// RSA keys shorter than this are not used.
const RSA_BITS_MIN: usize = 2048;
/// RSA keys longer than this are not used: verifying would cost too much.
const RSA_BITS_MAX: usize = 8192;

/// A signature algorithm. Only asymmetric ones exist here, so that a public key can never be taken for a shared secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Algorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    ES512,
    EdDSA,
}

impl Algorithm {
    const RSA: [Self; 6] = [Self::RS256, Self::RS384, Self::RS512, Self::PS256, Self::PS384, Self::PS512];

    /// From the name in a header or a key; `None` for `none`, the symmetric ones and whatever is unknown.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "ES512" => Self::ES512,
            "EdDSA" | "Ed25519" => Self::EdDSA,
            _ => return None,
        })
    }

    /// As the library calls it, which does not have ES512.
    const fn to_library(self) -> Option<jsonwebtoken::Algorithm> {
        use jsonwebtoken::Algorithm as L;
        Some(match self {
            Self::RS256 => L::RS256,
            Self::RS384 => L::RS384,
            Self::RS512 => L::RS512,
            Self::PS256 => L::PS256,
            Self::PS384 => L::PS384,
            Self::PS512 => L::PS512,
            Self::ES256 => L::ES256,
            Self::ES384 => L::ES384,
            Self::ES512 => return None,
            Self::EdDSA => L::EdDSA,
        })
    }
}

/// One public key.
#[derive(Debug)]
pub(crate) struct Key {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    /// Its thumbprint (RFC 7638), whatever it is called in the set.
    pub(crate) thumbprint: String,
    key: Public,
}

/// What verifies.
#[derive(Debug)]
enum Public {
    /// By the library.
    Library(DecodingKey),
    /// A point on P-521, uncompressed.
    P521(Vec<u8>),
}

impl Key {
    /// A key that a client brings to prove that it has it; `None` when it is of no use here. It vouches for nobody.
    pub(crate) fn of_client(jwk: &Map<String, Value>, algorithm: Algorithm) -> Option<Self> {
        read_key(jwk).filter(|key| key.algorithms.contains(&algorithm))
    }

    /// Checks a signature (base64url) over `signed`.
    pub(crate) fn verify(&self, algorithm: Algorithm, signed: &str, signature: &str) -> Result<(), Rejection> {
        let verified = match (&self.key, algorithm.to_library()) {
            (Public::Library(key), Some(algorithm)) => {
                jsonwebtoken::crypto::verify(signature, signed.as_bytes(), key, algorithm).unwrap_or(false)
            }
            (Public::P521(point), None) => URL_SAFE_NO_PAD.decode(signature).is_ok_and(|signature| {
                UnparsedPublicKey::new(&ECDSA_P521_SHA512_FIXED, point).verify(signed.as_bytes(), &signature).is_ok()
            }),
            _ => false,
        };
        if verified { Ok(()) } else { Err(Rejection::Signature) }
    }
}

/// The usable public keys of an issuer.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Arc<Key>>,
    digest: [u8; 32],
}

/// Why no key was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoKey {
    /// A fresher set might have it.
    Unknown,
    /// Asking again would not help.
    Unfit(Rejection),
}

impl KeySet {
    /// Reads a JWKS document.
    ///
    /// # Errors
    /// When it is too large, not strict JSON, names a `kid` twice, or holds no key that can verify a signature.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > JWKS_BYTES_MAX {
            return Err(format!("the key set is longer than {JWKS_BYTES_MAX} bytes"));
        }
        let set = Self::of_entries(&entries(&strict_json::object(bytes)?)?, is_for_signatures, bytes)?;
        if set.keys.is_empty() {
            return Err("no key in the set can verify a signature of an accepted kind".to_owned());
        }
        Ok(set)
    }

    /// Those keys of a document (`bytes`) that are wanted; there may be none.
    pub(crate) fn of_entries(
        entries: &[&Map<String, Value>],
        wanted: impl Fn(&Map<String, Value>) -> bool,
        bytes: &[u8],
    ) -> Result<Self, String> {
        let mut ids = HashSet::new();
        let mut keys = Vec::new();
        for entry in entries.iter().filter(|e| wanted(e)) {
            if let Some(kid) = text(entry, "kid")
                && !ids.insert(kid)
            {
                return Err("two keys have the same kid".to_owned());
            }
            // Keys of kinds that are not known here are the issuer's business: they are left out.
            keys.extend(read_key(entry).map(Arc::new));
        }
        Ok(Self { keys, digest: Sha256::digest(bytes).into() })
    }

    /// The key for a token's `kid` and algorithm.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, NoKey> {
        if let Some(kid) = kid {
            let key = self.keys.iter().find(|k| k.id.as_deref() == Some(kid)).ok_or(NoKey::Unknown)?;
            if !key.algorithms.contains(&algorithm) {
                let why = Rejection::Algorithm(format!("{algorithm:?} (the key is for another)"));
                return Err(NoKey::Unfit(why));
            }
            return Ok(Arc::clone(key));
        }
        let mut fitting = self.keys.iter().filter(|k| k.algorithms.contains(&algorithm));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Ok(Arc::clone(only)),
            (None, _) => Err(NoKey::Unknown),
            (Some(_), Some(_)) => {
                Err(NoKey::Unfit(Rejection::UnknownKey("it names no kid and several keys would fit")))
            }
        }
    }

    /// The thumbprints of its keys.
    pub(crate) fn thumbprints(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().map(|k| k.thumbprint.as_str())
    }

    /// Tells sets apart.
    pub(crate) fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// How many usable keys it has.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Never true of an issuer's set.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

/// The entries of a JWKS document.
pub(crate) fn entries(document: &Map<String, Value>) -> Result<Vec<&Map<String, Value>>, String> {
    let Some(Value::Array(entries)) = document.get("keys") else {
        return Err("the key set has no \"keys\" array".to_owned());
    };
    if entries.len() > JWKS_KEYS_MAX {
        return Err(format!("the key set has {} keys, more than {JWKS_KEYS_MAX}", entries.len()));
    }
    entries.iter().map(|e| e.as_object().ok_or_else(|| "a key is not an object".to_owned())).collect()
}

fn text<'a>(entry: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    entry.get(name).and_then(Value::as_str)
}

fn is_for_signatures(entry: &Map<String, Value>) -> bool {
    let usage = match entry.get("use") {
        None => true,
        Some(v) => v.as_str() == Some("sig"),
    };
    let operations = match entry.get("key_ops") {
        None => true,
        Some(Value::Array(ops)) => ops.iter().any(|o| o.as_str() == Some("verify")),
        Some(_) => false,
    };
    usage && operations
}

/// `None` when the key is of no use here: an unknown kind or curve, too weak, malformed, or no longer private to the issuer.
fn read_key(entry: &Map<String, Value>) -> Option<Key> {
    if ["d", "p", "q", "k"].iter().any(|private| entry.contains_key(*private)) {
        return None;
    }
    let id = match entry.get("kid") {
        None => None,
        Some(v) => Some(v.as_str()?.to_owned()),
    };
    let decode = |name: &str| URL_SAFE_NO_PAD.decode(text(entry, name)?).ok();
    let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (fits, key, thumbprint): (&[Algorithm], Public, String) = match (text(entry, "kty")?, text(entry, "crv")) {
        ("RSA", _) => {
            let (n, e) = (decode("n")?, decode("e")?);
            let n = n.get(n.iter().position(|b| *b != 0)?..)?;
            let bits = n.len().checked_mul(8)?;
            let odd_exponent = e.len() <= 4 && e.last().is_some_and(|b| b & 1 == 1) && e != [1];
            if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) || !odd_exponent {
                return None;
            }
            let thumbprint = of_members(&[("e", &b64(unsigned(&e))), ("kty", "RSA"), ("n", &b64(n))]);
            (&Algorithm::RSA, Public::Library(DecodingKey::from_rsa_raw_components(n, &e)), thumbprint)
        }
        ("EC", Some(crv)) => {
            let (fits, length): (&[Algorithm], usize) = match crv {
                "P-256" => (&[Algorithm::ES256], 32),
                "P-384" => (&[Algorithm::ES384], 48),
                "P-521" => (&[Algorithm::ES512], 66),
                _ => return None,
            };
            let (x, y) = (decode("x")?, decode("y")?);
            if x.len() != length || y.len() != length {
                return None;
            }
            let point = [&[4], x.as_slice(), y.as_slice()].concat();
            let key =
                if length == 66 { Public::P521(point) } else { Public::Library(DecodingKey::from_ec_der(&point)) };
            (fits, key, of_members(&[("crv", crv), ("kty", "EC"), ("x", &b64(&x)), ("y", &b64(&y))]))
        }
        ("OKP", Some("Ed25519")) => {
            let x = decode("x")?;
            if x.len() != 32 {
                return None;
            }
            let thumbprint = of_members(&[("crv", "Ed25519"), ("kty", "OKP"), ("x", &b64(&x))]);
            (&[Algorithm::EdDSA], Public::Library(DecodingKey::from_ed_der(&x)), thumbprint)
        }
        _ => return None,
    };
    let algorithms = match entry.get("alg") {
        None => fits.to_vec(),
        Some(alg) => {
            let alg = Algorithm::parse(alg.as_str()?)?;
            if !fits.contains(&alg) {
                return None;
            }
            vec![alg]
        }
    };
    Some(Key { id, algorithms, thumbprint, key })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ec(kid: &str) -> Value {
        let pair = aws_lc_rs::signature::EcdsaKeyPair::generate(&aws_lc_rs::signature::ECDSA_P256_SHA256_FIXED_SIGNING)
            .unwrap();
        let point = aws_lc_rs::signature::KeyPair::public_key(&pair).as_ref().to_vec();
        json!({"kty":"EC","crv":"P-256","kid":kid,"use":"sig",
            "x":URL_SAFE_NO_PAD.encode(&point[1..33]),"y":URL_SAFE_NO_PAD.encode(&point[33..])})
    }

    fn set(keys: Vec<Value>) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    #[test]
    fn adv_082_bad_key_sets_are_refused_whole() {
        let flood: Vec<Value> = (0..=JWKS_KEYS_MAX).map(|i| json!({"kty":"X","kid":i.to_string()})).collect();
        for (keys, why) in [
            (vec![ec("a"), ec("a")], "same kid"),
            (flood, "more than 64"),
            (vec![], "no key"),
            (vec![json!("x")], "not an object"),
            (vec![json!({"kty":"oct","k":"c2VjcmV0","kid":"a"})], "no key"),
            (vec![with(ec("a"), "use", json!("enc"))], "no key"),
            (vec![with(ec("a"), "key_ops", json!(["sign"]))], "no key"),
            (vec![with(ec("a"), "alg", json!("HS256"))], "no key"),
            (vec![with(ec("a"), "alg", json!("ES384"))], "no key"),
            (vec![with(ec("a"), "d", json!("AAAA"))], "no key"),
            (vec![with(ec("a"), "crv", json!("P-384"))], "no key"),
            (vec![with(ec("a"), "x", json!("AAAA"))], "no key"),
            (vec![with(ec("a"), "kid", json!(7))], "no key"),
            (vec![json!({"kty":"RSA","n":URL_SAFE_NO_PAD.encode([255u8; 128]),"e":"AQAB"})], "no key"),
            (vec![json!({"kty":"RSA","n":URL_SAFE_NO_PAD.encode([255u8; 256]),"e":"AQ"})], "no key"),
            (vec![json!({"kty":"RSA","n":URL_SAFE_NO_PAD.encode([255u8; 2048]),"e":"AQAB"})], "no key"),
        ] {
            let e = set(keys.clone()).expect_err(&format!("{keys:?}"));
            assert!(e.contains(why), "{e}");
        }
        let mut full: Vec<Value> = (1..JWKS_KEYS_MAX).map(|i| json!({"kty":"X","kid":i.to_string()})).collect();
        full.push(ec("a"));
        assert_eq!(set(full).unwrap().len(), 1);
        let big = format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(JWKS_BYTES_MAX));
        assert!(KeySet::parse(big.as_bytes()).unwrap_err().contains("longer than"));
    }

    #[test]
    fn a_key_is_found_by_kid_and_only_for_its_algorithm() {
        let keys = set(vec![ec("a"), ec("b"), with(ec("c"), "use", json!("enc"))]).unwrap();
        let rsa = json!({"kty":"RSA","n":URL_SAFE_NO_PAD.encode([255u8; 256]),"e":"AQAB","kid":"r","alg":"PS256"});
        let mixed = set(vec![ec("a"), rsa]).unwrap();
        let name = |r: Result<Arc<Key>, NoKey>| match r {
            Ok(k) => k.id.clone().unwrap(),
            Err(NoKey::Unknown) => "unknown".to_owned(),
            Err(NoKey::Unfit(r)) => r.as_str().to_owned(),
        };
        for (got, want) in [
            (keys.find(Some("a"), Algorithm::ES256), "a"),
            (keys.find(Some("a"), Algorithm::RS256), "algorithm"),
            (keys.find(Some("c"), Algorithm::ES256), "unknown"),
            (keys.find(Some("A"), Algorithm::ES256), "unknown"),
            (keys.find(None, Algorithm::ES256), "unknown_key"),
            (mixed.find(None, Algorithm::ES256), "a"),
            (mixed.find(None, Algorithm::RS256), "unknown"),
            (mixed.find(Some("r"), Algorithm::RS256), "algorithm"),
            (mixed.find(Some("r"), Algorithm::PS256), "r"),
        ] {
            assert_eq!(name(got), want);
        }
    }
}
