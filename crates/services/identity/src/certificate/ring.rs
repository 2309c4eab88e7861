//! The authority's keys: one that signs, and those whose certificates may still be in use.
//!
//! Every gateway makes the same authority of the same stored key. Must never let a private key out of this file but into the signer.

use std::sync::Arc;
use std::time::Duration;

use countersign_model::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SerialNumber,
};
use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::PrivatePkcs8KeyDer;

use super::authority::AuthorityFault;
use crate::local::{KEY_LIFETIME_S, SigningKey, current_key, key_is_over};

/// How the names of all authorities of this kind begin.
pub(super) const CA_NAME: &str = "Countersign identity CA";
/// How much of a key's id its authority's name shows: enough to tell the authorities of all gateways apart.
const ID_CHARS_SHOWN: usize = 16;
/// How long before its key was made an authority's certificate begins: clocks differ.
const BEGINS_BEFORE_S: i64 = 3600;
/// How long after its key stopped signing an authority's certificate ends (2 days).
const ENDS_AFTER_S: i64 = 2 * 86_400;
/// The most authorities at one time.
const AUTHORITIES_MAX: usize = 32;

/// The authorities in force.
pub(super) struct Ring {
    /// The one that signs.
    pub(super) signer: Issuer<'static, KeyPair>,
    /// Its certificate.
    pub(super) signer_pem: String,
    /// Verifies chains to any of them.
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
}

impl Ring {
    /// Prepares the keys of the store.
    pub(super) fn new(keys: &[SigningKey], now: Timestamp) -> Result<Self, AuthorityFault> {
        let signing = current_key(keys, now).ok_or(AuthorityFault::Key("there is no key to sign with"))?;
        let unusable = |_| AuthorityFault::Key("a stored key cannot be used");
        let mut roots = RootCertStore::empty();
        let mut signer = None;
        for key in keys.iter().filter(|k| !key_is_over(k, now)).rev().take(AUTHORITIES_MAX) {
            let private = PrivatePkcs8KeyDer::from(key.private_key.expose());
            let pair = KeyPair::from_pkcs8_der_and_sign_algo(&private, &PKCS_ECDSA_P256_SHA256).map_err(unusable)?;
            let params = params(key);
            let certificate = params.self_signed(&pair).map_err(unusable)?;
            roots.add(certificate.der().clone()).map_err(|_| AuthorityFault::Key("a certificate cannot be used"))?;
            if key.id == signing.id {
                signer = Some((certificate.pem(), Issuer::new(params, pair)));
            }
        }
        let (signer_pem, signer) = signer.ok_or(AuthorityFault::Key("the signing key is not in force"))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| AuthorityFault::Key("no verifier can be made"))?;
        Ok(Self { signer, signer_pem, verifier })
    }
}

fn params(key: &SigningKey) -> CertificateParams {
    let mut params = CertificateParams::default();
    let shown: String = key.id.chars().take(ID_CHARS_SHOWN).collect();
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, format!("{CA_NAME} {shown}"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params.serial_number = Some(SerialNumber::from(key.created_at.unix_us().unsigned_abs()));
    let begin_s = key.created_at.unix_s().saturating_sub(BEGINS_BEFORE_S);
    let lifetime_s = i64::try_from(KEY_LIFETIME_S).unwrap_or(i64::MAX);
    let end_s = key.created_at.unix_s().saturating_add(lifetime_s).saturating_add(ENDS_AFTER_S);
    set_times(&mut params, begin_s, end_s);
    params
}

/// From when until when, in seconds since 1970.
pub(crate) fn set_times(params: &mut CertificateParams, begins_s: i64, ends_s: i64) {
    let date = |s: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(s).unwrap_or(0));
    params.not_before = date(begins_s);
    params.not_after = date(ends_s);
}
