//! Thumbprints of public keys (RFC 7638, SHA-256, base64url) and of certificates (RFC 8705, 3.1), from whatever form they come in.
//!
//! One key has one thumbprint, as a JWK, in a certificate request and in a certificate. Must never take a key that is too weak, or of a
//! kind that is not known.

use aws_lc_rs::signature;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use x509_parser::oid_registry::{
    OID_EC_P256, OID_KEY_TYPE_EC_PUBLIC_KEY, OID_NIST_EC_P384, OID_PKCS1_RSAENCRYPTION, OID_SIG_ED25519,
};
use x509_parser::public_key::PublicKey as ParsedKey;
use x509_parser::x509::SubjectPublicKeyInfo;

/// RSA keys shorter than this are not taken.
const RSA_BITS_MIN: usize = 2048;
/// RSA keys longer than this are not taken: verifying would cost too much.
const RSA_BITS_MAX: usize = 8192;
/// The longest thumbprint and the only length of a SHA-256 in base64url.
pub(crate) const THUMBPRINT_CHARS: usize = 43;

/// The kind of a client's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyKind {
    P256,
    P384,
    Ed25519,
    Rsa,
}

/// A client's public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey {
    pub(crate) kind: KeyKind,
    /// The contents of the bit string of its SubjectPublicKeyInfo: a point, 32 bytes, or RSAPublicKey in DER.
    pub(crate) bits: Vec<u8>,
    /// Its thumbprint.
    pub(crate) thumbprint: String,
}

impl PublicKey {
    /// From a certificate or a certificate request.
    pub(crate) fn from_spki(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, &'static str> {
        let bits = spki.subject_public_key.data.to_vec();
        let algorithm = &spki.algorithm.algorithm;
        if *algorithm == OID_KEY_TYPE_EC_PUBLIC_KEY {
            let curve = spki.algorithm.parameters.as_ref().and_then(|p| p.as_oid().ok());
            return match curve {
                Some(c) if c == OID_EC_P256 => Self::point(KeyKind::P256, bits),
                Some(c) if c == OID_NIST_EC_P384 => Self::point(KeyKind::P384, bits),
                _ => Err("is on a curve that is not P-256 or P-384"),
            };
        }
        if *algorithm == OID_SIG_ED25519 {
            return Self::ed25519(bits);
        }
        if *algorithm == OID_PKCS1_RSAENCRYPTION {
            let Ok(ParsedKey::RSA(rsa)) = spki.parsed() else { return Err("is not a well-formed RSA key") };
            let (modulus, exponent) = (unsigned(rsa.modulus), unsigned(rsa.exponent));
            return Self::rsa(modulus, exponent, bits);
        }
        Err("is not an ECDSA (P-256, P-384), Ed25519 or RSA key")
    }

    /// From a JWK that holds nothing private (RFC 9449, 4.3).
    pub(crate) fn from_jwk(jwk: &Map<String, Value>) -> Result<Self, &'static str> {
        if ["d", "p", "q", "dp", "dq", "qi", "oth", "k"].iter().any(|private| jwk.contains_key(*private)) {
            return Err("holds a private key");
        }
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let bytes = |name: &str| {
            text(name).and_then(|t| URL_SAFE_NO_PAD.decode(t).ok()).ok_or("is not a well-formed public JWK")
        };
        match (text("kty"), text("crv")) {
            (Some("EC"), Some(curve @ ("P-256" | "P-384"))) => {
                let (kind, length) = if curve == "P-256" { (KeyKind::P256, 32) } else { (KeyKind::P384, 48) };
                let (x, y) = (bytes("x")?, bytes("y")?);
                if x.len() != length || y.len() != length {
                    return Err("is not a well-formed public JWK");
                }
                Self::point(kind, [&[4][..], &x, &y].concat())
            }
            (Some("OKP"), Some("Ed25519")) => Self::ed25519(bytes("x")?),
            (Some("RSA"), _) => {
                let (n, e) = (bytes("n")?, bytes("e")?);
                if n.first() == Some(&0) || e.first() == Some(&0) {
                    return Err("is not a well-formed public JWK");
                }
                let der = rsa_der(&n, &e);
                Self::rsa(&n, &e, der)
            }
            _ => Err("is not an ECDSA (P-256, P-384), Ed25519 or RSA key"),
        }
    }

    pub(crate) fn point(kind: KeyKind, bits: Vec<u8>) -> Result<Self, &'static str> {
        let (length, curve, verify) = match kind {
            KeyKind::P384 => (48, "P-384", &signature::ECDSA_P384_SHA384_ASN1),
            _ => (32, "P-256", &signature::ECDSA_P256_SHA256_ASN1),
        };
        // Only the uncompressed form, and only a point that is on the curve.
        let on_curve = signature::ParsedPublicKey::new(verify, &bits).is_ok();
        let halves = bits.strip_prefix(&[4]).and_then(|xy| xy.split_at_checked(length));
        let Some((x, y)) = halves.filter(|(_, y)| on_curve && y.len() == length) else {
            return Err("is not a point of its curve in uncompressed form");
        };
        let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
        let thumbprint = of_members(&[("crv", curve), ("kty", "EC"), ("x", &x), ("y", &y)]);
        Ok(Self { kind, bits, thumbprint })
    }

    fn ed25519(bits: Vec<u8>) -> Result<Self, &'static str> {
        if bits.len() != 32 {
            return Err("is not 32 bytes long, as Ed25519 keys are");
        }
        let x = URL_SAFE_NO_PAD.encode(&bits);
        let thumbprint = of_members(&[("crv", "Ed25519"), ("kty", "OKP"), ("x", &x)]);
        Ok(Self { kind: KeyKind::Ed25519, bits, thumbprint })
    }

    fn rsa(modulus: &[u8], exponent: &[u8], bits: Vec<u8>) -> Result<Self, &'static str> {
        let length =
            modulus.len().saturating_mul(8).saturating_sub(modulus.first().map_or(0, |b| b.leading_zeros() as usize));
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&length) {
            return Err("is an RSA key of less than 2048 or more than 8192 bits");
        }
        if exponent.len() > 4 || exponent.last().is_none_or(|b| b & 1 == 0) || exponent == [1] {
            return Err("is an RSA key with an unusual exponent");
        }
        let (n, e) = (URL_SAFE_NO_PAD.encode(modulus), URL_SAFE_NO_PAD.encode(exponent));
        let thumbprint = of_members(&[("e", &e), ("kty", "RSA"), ("n", &n)]);
        Ok(Self { kind: KeyKind::Rsa, bits, thumbprint })
    }
}

/// The thumbprint of a certificate (RFC 8705, 3.1).
pub(crate) fn of_certificate(der: &[u8]) -> String {
    sha256(der)
}

/// The thumbprint of a SubjectPublicKeyInfo, without its outer tag and length, as trust anchors have it.
pub(crate) fn of_spki(contents: &[u8]) -> String {
    sha256(contents)
}

/// The thumbprint of the JWK with these required members (RFC 7638, 3.2), which are in order and need no escapes.
pub(crate) fn of_members(members: &[(&str, &str)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":\"{value}\"")).collect();
    sha256(format!("{{{}}}", members.join(",")).as_bytes())
}

/// Whether a text can be a thumbprint.
pub(crate) fn is_thumbprint(s: &str) -> bool {
    s.len() == THUMBPRINT_CHARS && URL_SAFE_NO_PAD.decode(s).is_ok()
}

fn sha256(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// A number without the zeros before it, such as the one that keeps a DER integer positive.
pub(crate) fn unsigned(bytes: &[u8]) -> &[u8] {
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    bytes.get(zeros..).unwrap_or_default()
}

/// RSAPublicKey (RFC 8017, A.1.1) in DER.
fn rsa_der(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        match contents.len() {
            short @ 0..128 => out.push(short as u8),
            long => {
                let bytes = (long as u64).to_be_bytes();
                let length = unsigned(&bytes);
                out.push(0x80 | length.len() as u8);
                out.extend_from_slice(length);
            }
        }
        out.extend_from_slice(contents);
        out
    }
    let integer = |bytes: &[u8]| {
        let positive =
            if bytes.first().is_some_and(|b| *b >= 128) { [&[0][..], bytes].concat() } else { bytes.to_vec() };
        tagged(0x02, &positive)
    };
    tagged(0x30, &[integer(modulus), integer(exponent)].concat())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;
    use x509_parser::prelude::FromDer as _;

    use super::*;

    fn of(jwk: Value) -> Result<String, &'static str> {
        let Value::Object(jwk) = jwk else { panic!("not an object") };
        PublicKey::from_jwk(&jwk).map(|k| k.thumbprint)
    }

    #[test]
    fn the_examples_of_the_rfcs() {
        let rfc7638 = json!({"kty":"RSA","e":"AQAB","alg":"RS256","kid":"2011-04-29","n":
            "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"});
        assert_eq!(of(rfc7638).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
        let rfc8037 = json!({"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
        assert_eq!(of(rfc8037).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        let rfc9449 = json!({"kty":"EC","crv":"P-256","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA"});
        assert_eq!(of(rfc9449).unwrap(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    }

    #[test]
    fn a_key_has_one_thumbprint_in_every_form() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let der = rcgen::PublicKeyData::subject_public_key_info(&pair);
            let (_, spki) = SubjectPublicKeyInfo::from_der(&der).unwrap();
            let key = PublicKey::from_spki(&spki).unwrap();
            let jwk = match key.kind {
                KeyKind::P256 | KeyKind::P384 => {
                    let (x, y) = key.bits[1..].split_at(key.bits.len() / 2);
                    let crv = if key.kind == KeyKind::P256 { "P-256" } else { "P-384" };
                    json!({"kty":"EC","crv":crv,"x":URL_SAFE_NO_PAD.encode(x),"y":URL_SAFE_NO_PAD.encode(y)})
                }
                KeyKind::Ed25519 => json!({"kty":"OKP","crv":"Ed25519","x":URL_SAFE_NO_PAD.encode(&key.bits)}),
                KeyKind::Rsa => {
                    let Ok(ParsedKey::RSA(rsa)) = spki.parsed() else { panic!("not RSA") };
                    json!({"kty":"RSA","n":URL_SAFE_NO_PAD.encode(unsigned(rsa.modulus)),
                        "e":URL_SAFE_NO_PAD.encode(unsigned(rsa.exponent))})
                }
            };
            let Value::Object(jwk) = jwk else { panic!("not an object") };
            assert_eq!(PublicKey::from_jwk(&jwk).unwrap(), key, "{jwk:?}");
            assert!(is_thumbprint(&key.thumbprint));
        }
    }

    #[test]
    fn weak_private_and_strange_keys_are_refused() {
        let b64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let rsa = |bytes: usize| json!({"kty":"RSA","n":b64(&vec![255; bytes]),"e":"AQAB"});
        for (jwk, fine) in [
            (rsa(256), true),
            (rsa(255), false),
            (rsa(1024), true),
            (rsa(1025), false),
            (json!({"kty":"RSA","n":b64(&[255; 256]),"e":"AQAA"}), false),
            (json!({"kty":"RSA","n":b64(&[255; 256]),"e":"AQ"}), false),
            (json!({"kty":"RSA","n":b64(&[255; 256]),"e":"AQAB","d":"AA"}), false),
            (json!({"kty":"EC","crv":"P-256","x":b64(&[1; 32]),"y":b64(&[1; 32])}), false),
            (json!({"kty":"EC","crv":"P-256","x":b64(&[1; 31]),"y":b64(&[1; 33])}), false),
            (json!({"kty":"EC","crv":"secp256k1","x":b64(&[1; 32]),"y":b64(&[1; 32])}), false),
            (json!({"kty":"OKP","crv":"Ed25519","x":b64(&[1; 31])}), false),
            (json!({"kty":"OKP","crv":"X25519","x":b64(&[1; 32])}), false),
            (json!({"kty":"oct","k":"AAAA"}), false),
            (json!({}), false),
        ] {
            assert_eq!(of(jwk.clone()).is_ok(), fine, "{jwk}");
        }
        assert!(!is_thumbprint("abc") && !is_thumbprint(&"=".repeat(43)));
    }
}
