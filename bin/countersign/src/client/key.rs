//! The key that a login makes and that never leaves this machine: its thumbprint, the request for a certificate, and proofs of
//! possession (DPoP, RFC 9449).
//!
//! The private half goes into the state folder and into TLS, nowhere else.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign_model::{Secret, Timestamp};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use serde_json::json;

use crate::failed::Failed;

/// The first byte of an uncompressed point, and the length of a coordinate of P-256.
const UNCOMPRESSED: u8 = 4;
const COORDINATE_BYTES: usize = 32;

/// An ECDSA P-256 key.
pub(crate) struct LoginKey {
    pair: KeyPair,
    x: String,
    y: String,
}

impl fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LoginKey({})", self.thumbprint())
    }
}

impl LoginKey {
    /// A new one.
    pub(crate) fn generate() -> Result<Self, Failed> {
        Self::of(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(Failed::new)?)
    }

    /// One that was kept.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, Failed> {
        let pair = KeyPair::from_pkcs8_pem_and_sign_algo(pem, &PKCS_ECDSA_P256_SHA256)
            .map_err(|_| Failed::new("the kept key is no ECDSA P-256 key: log in again with `countersign login`"))?;
        Self::of(pair)
    }

    fn of(pair: KeyPair) -> Result<Self, Failed> {
        let point = pair.public_key_raw();
        let halves = point.strip_prefix(&[UNCOMPRESSED]).filter(|p| p.len() == 2 * COORDINATE_BYTES);
        let (x, y) = halves
            .and_then(|p| p.split_at_checked(COORDINATE_BYTES))
            .ok_or_else(|| Failed::new("the key is no ECDSA P-256 key"))?;
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        Ok(Self { pair, x, y })
    }

    /// PKCS#8, PEM.
    pub(crate) fn to_pem(&self) -> Secret {
        Secret::from(self.pair.serialize_pem())
    }

    /// The thumbprint of the public key as a JWK (RFC 7638, SHA-256, base64url): `jkt`.
    pub(crate) fn thumbprint(&self) -> String {
        // The members in the order and without the white space that RFC 7638, 3 asks for.
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, self.x, self.y);
        URL_SAFE_NO_PAD.encode(digest(&SHA256, jwk.as_bytes()))
    }

    /// The public key as a line of OpenSSH's (RFC 5656, 3.1).
    pub(crate) fn ssh_public(&self) -> String {
        let mut blob = Vec::new();
        for part in [&b"ecdsa-sha2-nistp256"[..], b"nistp256", self.pair.public_key_raw()] {
            blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            blob.extend_from_slice(part);
        }
        format!("ecdsa-sha2-nistp256 {}\n", STANDARD.encode(blob))
    }

    /// A certificate request (PKCS#10, DER, base64). Its signature proves that whoever asks has the key; it names nobody, because the
    /// gateway knows from the token who that is.
    pub(crate) fn request(&self) -> Result<String, Failed> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params.serialize_request(&self.pair).map_err(Failed::new)?;
        Ok(STANDARD.encode(request.der()))
    }

    /// A DPoP proof (RFC 9449, 4.2) for one request; `nonce` is what the server asked for, if it did.
    pub(crate) fn proof(&self, method: &str, url: &str, nonce: Option<&str>, now: Timestamp) -> Result<Secret, Failed> {
        let header = json!({
            "typ": "dpop+jwt",
            "alg": "ES256",
            "jwk": { "kty": "EC", "crv": "P-256", "x": self.x, "y": self.y },
        });
        let mut claims = json!({
            "jti": random_text()?,
            "htm": method,
            "htu": url.split(['?', '#']).next(),
            "iat": now.unix_us().div_euclid(1_000_000),
        });
        if let (Some(nonce), Some(map)) = (nonce, claims.as_object_mut()) {
            map.insert("nonce".to_owned(), nonce.into());
        }
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let refused = |_| Failed::new("the key cannot sign");
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, self.pair.serialized_der());
        let signature = key.map_err(|_| Failed::new("the key cannot be read"))?;
        let signature = signature.sign(&SystemRandom::new(), signed.as_bytes()).map_err(refused)?;
        Ok(Secret::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// 256 random bits as base64url: states, nonces, verifiers, passwords of a run.
pub(crate) fn random_text() -> Result<String, Failed> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failed::new("the system gives no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// SHA-256 as base64url: the S256 code challenge (RFC 7636, 4.2).
pub(crate) fn sha256_text(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, text.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
    use countersign_model::Timestamp;
    use serde_json::Value;

    use super::{LoginKey, sha256_text};

    #[test]
    fn a_key_is_read_back_and_shows_nothing() {
        let key = LoginKey::generate().unwrap();
        let pem = key.to_pem();
        let again = LoginKey::from_pem(pem.expose_str().unwrap()).unwrap();
        assert_eq!(again.thumbprint(), key.thumbprint());
        assert_eq!(key.thumbprint().len(), 43);
        assert!(!format!("{key:?}").contains("PRIVATE"));
        assert_ne!(LoginKey::generate().unwrap().thumbprint(), key.thumbprint());
        assert!(LoginKey::from_pem("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n").is_err());
    }

    #[test]
    fn the_public_line_is_openssh_s() {
        let key = LoginKey::generate().unwrap();
        let line = key.ssh_public();
        let blob = STANDARD.decode(line.trim().strip_prefix("ecdsa-sha2-nistp256 ").unwrap()).unwrap();
        assert_eq!(blob.len(), 4 + 19 + 4 + 8 + 4 + 65);
        assert!(blob.ends_with(key.pair.public_key_raw()));
    }

    #[test]
    fn the_thumbprint_is_that_of_the_jwk() {
        // RFC 7638 has no example of an EC key: the members are put together here by hand.
        let key = LoginKey::generate().unwrap();
        let jwk = serde_json::json!({ "crv": "P-256", "kty": "EC", "x": key.x, "y": key.y });
        assert_eq!(key.thumbprint(), sha256_text(&jwk.to_string()));
    }

    #[test]
    fn the_challenge_is_that_of_rfc_7636() {
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert_eq!(sha256_text(verifier), "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
    }

    #[test]
    fn a_proof_is_signed_and_names_the_request() {
        let key = LoginKey::generate().unwrap();
        let now = Timestamp::from_unix_s(1_767_614_400);
        let proof = key.proof("POST", "https://id.example/token?x=1#y", Some("n-1"), now).unwrap();
        let proof = proof.expose_str().unwrap();
        let (signed, signature) = proof.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let read = |part: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap();
        let (header, claims) = (read(header), read(claims));
        assert_eq!((&header["typ"], &header["alg"]), (&"dpop+jwt".into(), &"ES256".into()));
        assert_eq!(header["jwk"].get("d"), None);
        assert_eq!(claims["htu"], "https://id.example/token");
        assert_eq!((&claims["htm"], &claims["nonce"]), (&"POST".into(), &"n-1".into()));
        assert_eq!(claims["iat"], 1_767_614_400);
        let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, key.pair.public_key_raw());
        public.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    }
}
