//! The gateway's own key towards identity providers: it signs requests and opens what is encrypted for it.
//!
//! One RSA key for both, because that is what all identity providers know. Its certificate is how it is written down in the metadata, and
//! says nothing by itself. Must never leave this module but sealed.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, PrivateDecryptingKey};
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_model::{Secret, Timestamp};
use rcgen::{CertificateParams, DnType, PKCS_RSA_SHA256, RsaKeySize, SerialNumber};
use rustls_pki_types::PrivatePkcs8KeyDer;
use serde::{Deserialize, Serialize};

use crate::certificate::set_times;

/// How long before it was made the certificate begins, in seconds: clocks differ.
const BEGINS_BEFORE_S: i64 = 3600;
/// How long the certificate lasts, in seconds (20 years): identity providers refuse to be told another one by themselves.
const LASTS_S: i64 = 20 * 365 * 86_400;

/// As it is kept, sealed.
#[derive(Serialize, Deserialize)]
struct Kept {
    key: String,
    certificate: String,
}

/// The key, and its certificate.
pub struct ServiceKey {
    signing: KeyPair,
    pub(super) opening: PrivateDecryptingKey,
    /// DER, in base64.
    pub(super) certificate: String,
}

impl std::fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServiceKey")
    }
}

const UNUSABLE: &str = "the gateway's key for SAML cannot be used";

impl ServiceKey {
    /// Makes one, to be kept sealed.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn generate(now: Timestamp) -> Result<Secret, &'static str> {
        let failed = |_| "a key for SAML could not be made";
        let pair = rcgen::KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_3072).map_err(failed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, "Countersign SAML");
        params.serial_number = Some(SerialNumber::from(now.unix_us().unsigned_abs()));
        let begins_s = now.unix_s().saturating_sub(BEGINS_BEFORE_S);
        set_times(&mut params, begins_s, now.unix_s().saturating_add(LASTS_S));
        let certificate = params.self_signed(&pair).map_err(failed)?;
        let kept =
            Kept { key: STANDARD.encode(pair.serialized_der()), certificate: STANDARD.encode(certificate.der()) };
        serde_json::to_string(&kept).map(Secret::from).map_err(|_| UNUSABLE)
    }

    /// Opens one that was kept.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn open(kept: &Secret) -> Result<Self, &'static str> {
        let kept: Kept = serde_json::from_slice(kept.expose()).map_err(|_| UNUSABLE)?;
        let der = Secret::new(STANDARD.decode(kept.key).map_err(|_| UNUSABLE)?);
        let pkcs8 = PrivatePkcs8KeyDer::from(der.expose());
        Ok(Self {
            signing: KeyPair::from_pkcs8(pkcs8.secret_pkcs8_der()).map_err(|_| UNUSABLE)?,
            opening: PrivateDecryptingKey::from_pkcs8(pkcs8.secret_pkcs8_der()).map_err(|_| UNUSABLE)?,
            certificate: kept.certificate,
        })
    }

    /// RSA with SHA-256 (PKCS #1 v1.5), in base64.
    pub(super) fn sign(&self, message: &[u8]) -> Result<String, &'static str> {
        let mut signature = vec![0; self.signing.public_modulus_len()];
        let signed = self.signing.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message, &mut signature);
        signed.map_err(|_| UNUSABLE)?;
        Ok(STANDARD.encode(signature))
    }
}
