//! Certificate requests (PKCS #10, RFC 2986): the key is taken, once its holder proved it; everything else is ignored.
//!
//! Must never sign what a request asks for besides its key: no name, no extension.

use aws_lc_rs::signature::{self, ParsedPublicKey, VerificationAlgorithm};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256,
    OID_SIG_ECDSA_WITH_SHA384, OID_SIG_ED25519, Oid,
};
use x509_parser::prelude::FromDer as _;

use crate::thumbprint::{KeyKind, PublicKey};

/// The longest certificate request, in bytes of DER: an RSA key of 8192 bits with its signature, and a subject.
pub(crate) const CSR_BYTES_MAX: usize = 8 * 1024;

/// The key of a request whose self-signature holds.
pub(crate) fn read_request(der: &[u8]) -> Result<PublicKey, &'static str> {
    if der.len() > CSR_BYTES_MAX {
        return Err("it is too long");
    }
    let (rest, request) = X509CertificationRequest::from_der(der).map_err(|_| "it is not a PKCS #10 request in DER")?;
    if !rest.is_empty() {
        return Err("something follows it");
    }
    let info = &request.certification_request_info;
    let key = PublicKey::from_spki(&info.subject_pki)
        .map_err(|_| "its key is not ECDSA over P-256 or P-384, Ed25519, or RSA of 2048 to 8192 bits")?;
    let verify = algorithm(key.kind, &request.signature_algorithm.algorithm)
        .ok_or("its signature is not one of SHA-256 or stronger that fits its key")?;
    if request.signature_value.unused_bits != 0 {
        return Err("its signature is not whole bytes");
    }
    let unproved = "its signature does not prove its key";
    let public = ParsedPublicKey::new(verify, &key.bits).map_err(|_| unproved)?;
    public.verify_sig(info.raw, &request.signature_value.data).map_err(|_| unproved)?;
    Ok(key)
}

fn algorithm(kind: KeyKind, signed_with: &Oid<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let is = |oid: &Oid<'_>| signed_with == oid;
    Some(match kind {
        KeyKind::P256 if is(&OID_SIG_ECDSA_WITH_SHA256) => &signature::ECDSA_P256_SHA256_ASN1,
        KeyKind::P256 if is(&OID_SIG_ECDSA_WITH_SHA384) => &signature::ECDSA_P256_SHA384_ASN1,
        KeyKind::P384 if is(&OID_SIG_ECDSA_WITH_SHA384) => &signature::ECDSA_P384_SHA384_ASN1,
        KeyKind::P384 if is(&OID_SIG_ECDSA_WITH_SHA256) => &signature::ECDSA_P384_SHA256_ASN1,
        KeyKind::Ed25519 if is(&OID_SIG_ED25519) => &signature::ED25519,
        KeyKind::Rsa if is(&OID_PKCS1_SHA256WITHRSA) => &signature::RSA_PKCS1_2048_8192_SHA256,
        KeyKind::Rsa if is(&OID_PKCS1_SHA384WITHRSA) => &signature::RSA_PKCS1_2048_8192_SHA384,
        KeyKind::Rsa if is(&OID_PKCS1_SHA512WITHRSA) => &signature::RSA_PKCS1_2048_8192_SHA512,
        _ => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PublicKeyData as _};

    use super::*;

    fn request(pair: &KeyPair, name: &str) -> Vec<u8> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serialize_request(pair).unwrap().der().to_vec()
    }

    #[test]
    fn a_request_proves_its_key() {
        for algorithm in [
            &rcgen::PKCS_ECDSA_P256_SHA256,
            &rcgen::PKCS_ECDSA_P384_SHA384,
            &rcgen::PKCS_ED25519,
            &rcgen::PKCS_RSA_SHA256,
        ] {
            let pair = KeyPair::generate_for(algorithm).unwrap();
            let der = request(&pair, "x");
            assert_eq!(read_request(&der).unwrap().bits, pair.der_bytes());

            let mut tampered = der.clone();
            let name = tampered.windows(1).position(|w| w == b"x").unwrap();
            tampered[name] = b'y';
            assert_eq!(read_request(&tampered).unwrap_err(), "its signature does not prove its key");
            assert_eq!(read_request(&[&der[..], &[0]].concat()).unwrap_err(), "something follows it");
            assert!(read_request(&der[..der.len() - 1]).is_err());
        }
    }

    #[test]
    fn adv_084_a_request_signed_by_another_key_is_refused() {
        let (mine, theirs) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let good = request(&mine, "x");
        let other = theirs.der_bytes();
        let at = good.windows(mine.der_bytes().len()).position(|w| w == mine.der_bytes()).unwrap();
        let mut stolen = good.clone();
        stolen[at..at + other.len()].copy_from_slice(other);
        assert_eq!(read_request(&stolen).unwrap_err(), "its signature does not prove its key");
        assert!(read_request(&good).is_ok());
    }

    #[test]
    fn what_is_too_long_or_no_request_is_refused() {
        let pair = KeyPair::generate().unwrap();
        // The name is in the request twice; the signature's length varies by a few bytes.
        let near = (CSR_BYTES_MAX - request(&pair, "").len()) / 2;
        let fits = (near.saturating_sub(20)..near).rev().map(|n| request(&pair, &"x".repeat(n)));
        let fits = fits.into_iter().find(|r| r.len() <= CSR_BYTES_MAX).unwrap();
        assert!(fits.len() > CSR_BYTES_MAX - 64, "{}", fits.len());
        assert!(read_request(&fits).is_ok());
        assert_eq!(read_request(&request(&pair, &"x".repeat(5_000))).unwrap_err(), "it is too long");
        for junk in [&b""[..], b"0", b"\x30\x00", b"-----BEGIN", &[0x30; 100]] {
            assert!(read_request(junk).is_err(), "{junk:?}");
        }
    }
}
