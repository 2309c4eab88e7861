//! The gateway's own authority for client certificates: it signs for logins, and verifies what comes back.
//!
//! Its key is kept sealed, for all gateways, and changes every 30 days while certificates of the one before are still taken. Must never
//! sign for longer than an hour, nor take a certificate whose chain, time or purpose is not in order.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use countersign_model::{IdentityParts, Timestamp};
use parking_lot::Mutex;
use rcgen::{
    CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, PublicKeyData, SanType, SerialNumber,
    SignatureAlgorithm,
};
use rustls::CertificateError;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::openssh::{self, SshAuthority};
use super::ring::{CA_NAME, Ring, set_times};
use crate::Rejection;
use crate::local::{KeyStore, StoreFault, load_keys};
use crate::thumbprint::{KeyKind, PublicKey};
use crate::token::shown;

/// The longest life of a client certificate, in seconds.
pub const CERTIFICATE_LIFETIME_S_MAX: u64 = 3600;
/// How long before it is made a certificate begins, in seconds: clocks differ.
pub(super) const BEGINS_BEFORE_S: i64 = 60;
/// The longest client certificate that is looked at, in bytes.
pub(super) const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// The most certificates of a chain.
const CHAIN_MAX: usize = 4;
/// A certificate of an authority that is not known leads to at most one look into the store in this time, in seconds.
pub(super) const LOOK_AGAIN_S: u64 = 5;
/// The longest common name (RFC 5280, upper bound).
const COMMON_NAME_CHARS_MAX: usize = 64;
/// The URI that names a certificate's login.
const LOGIN_URI: &str = "countersign:login:";
/// Under which name the authority's keys are kept.
const KEYS_OF: &str = "countersign:identity-ca";

/// What the authority could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityFault {
    /// A key cannot be made, read or used.
    #[error("the identity authority: {0}")]
    Key(&'static str),
    /// The store failed.
    #[error("the identity authority: {0}")]
    Store(#[from] StoreFault),
}

/// A certificate that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Issued {
    /// The chain as PEM: the certificate, and the authority's.
    pub(crate) chain_pem: String,
    /// The same for SSH clients, as the line that they keep; `None` for a kind of key that SSH is not spoken with here.
    pub(crate) ssh: Option<String>,
    /// Its serial number in hexadecimal.
    pub(crate) serial: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// What a verified client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaf {
    /// The login that it is of.
    pub(crate) login: String,
    /// The thumbprint of its key.
    pub(crate) key: String,
    /// Its serial number in hexadecimal.
    pub(crate) serial: String,
    /// When it ends.
    pub(crate) expires_at: Timestamp,
}

/// Signs and verifies client certificates.
pub struct IdentityAuthority {
    keys: Arc<dyn KeyStore>,
    ring: ArcSwap<Ring>,
    loading: tokio::sync::Mutex<()>,
    looked_at: Mutex<Timestamp>,
    ssh: SshAuthority,
}

impl std::fmt::Debug for IdentityAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("IdentityAuthority")
    }
}

impl IdentityAuthority {
    /// Opens the authority: reads its keys, and makes the first when there is none.
    ///
    /// # Errors
    /// When the store fails, or a stored key cannot be used.
    pub async fn open(keys: Arc<dyn KeyStore>, now: Timestamp) -> Result<Self, AuthorityFault> {
        let ring = load(&*keys, false, now).await?;
        Ok(Self {
            ssh: SshAuthority::open(keys.clone(), now).await?,
            keys,
            ring: ArcSwap::from_pointee(ring),
            loading: tokio::sync::Mutex::new(()),
            looked_at: Mutex::new(now),
        })
    }

    /// Takes in keys that another gateway made, retires a key that has signed long enough, and removes those that are over. To be
    /// called every few minutes.
    ///
    /// # Errors
    /// When the store fails; the keys in use stay in use.
    pub async fn maintain(&self, now: Timestamp) -> Result<(), AuthorityFault> {
        self.load(false, now).await
    }

    /// Retires the signing key and makes a new one. Certificates signed so far stay good until they end.
    ///
    /// # Errors
    /// When the store fails; the keys in use stay in use.
    pub async fn rotate(&self, now: Timestamp) -> Result<(), AuthorityFault> {
        self.load(true, now).await
    }

    async fn load(&self, force: bool, now: Timestamp) -> Result<(), AuthorityFault> {
        let _one_at_a_time = self.loading.lock().await;
        let ring = load(&*self.keys, force, now).await?;
        self.ring.store(Arc::new(ring));
        *self.looked_at.lock() = now;
        self.ssh.load(force, now).await
    }

    /// Whether a certificate is of an authority of this kind, this gateway's or another's. Says nothing of its being good.
    pub(crate) fn recognises(chain: &[Bytes]) -> bool {
        let leaf = chain.first().filter(|l| l.len() <= CERTIFICATE_BYTES_MAX);
        leaf.and_then(|l| X509Certificate::from_der(l).ok()).is_some_and(|(_, leaf)| is_of_our_kind(&leaf))
    }

    /// Whose a certificate claims to be, unverified: to tell alarms apart, and for operators.
    pub(crate) fn claimed(chain: &[Bytes]) -> String {
        let leaf = chain.first().filter(|l| l.len() <= CERTIFICATE_BYTES_MAX);
        let Some((_, leaf)) = leaf.and_then(|l| X509Certificate::from_der(l).ok()) else {
            return "nobody: there is no client certificate that can be read".to_owned();
        };
        let name = leaf.subject().iter_common_name().next().and_then(|n| n.as_str().ok()).unwrap_or_default();
        format!("{} by a certificate of login {}", shown(name), login_of(&leaf).unwrap_or_default())
    }

    /// Makes a certificate for a login's key.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(crate) fn issue(
        &self,
        login: &str,
        whose: &IdentityParts,
        key: &PublicKey,
        lifetime_s: u64,
        now: Timestamp,
    ) -> Result<Issued, AuthorityFault> {
        let name = &whose.name;
        let lifetime_s = i64::try_from(lifetime_s.min(CERTIFICATE_LIFETIME_S_MAX)).unwrap_or(0);
        let ends_s = now.unix_s().saturating_add(lifetime_s);
        let uri =
            format!("{LOGIN_URI}{login}").try_into().map_err(|_| AuthorityFault::Key("the login's id is not text"))?;
        let mut serial: [u8; 16] = rand::random();
        // A positive number whose length is fixed.
        if let Some(first) = serial.first_mut() {
            *first = (*first & 0x7f) | 0x40;
        }
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params
            .distinguished_name
            .push(DnType::CommonName, name.chars().take(COMMON_NAME_CHARS_MAX).collect::<String>());
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(SerialNumber::from(serial.to_vec()));
        set_times(&mut params, now.unix_s().saturating_sub(BEGINS_BEFORE_S), ends_s);
        let ring = self.ring.load();
        let certificate = params
            .signed_by(&Signed(key), &ring.signer)
            .map_err(|_| AuthorityFault::Key("a certificate could not be signed"))?;
        Ok(Issued {
            chain_pem: format!("{}{}", certificate.pem(), ring.signer_pem),
            ssh: self.ssh.issue(login, whose, key, ends_s, now)?,
            serial: hex(&serial),
            expires_at: Timestamp::from_unix_s(ends_s),
        })
    }

    /// Verifies a certificate in OpenSSH's form (a blob of PROTOCOL.certkeys), as [`verify`](Self::verify) does a chain.
    pub(crate) async fn verify_ssh(&self, certificate: &[u8], now: Timestamp) -> Result<Leaf, Rejection> {
        self.ssh.verify(certificate, now).await
    }

    /// Whose a certificate in OpenSSH's form claims to be, unverified.
    pub(crate) fn claimed_ssh(certificate: &[u8]) -> String {
        openssh::claimed(certificate)
    }

    /// Verifies a chain: to one of the authority's keys, in time, for clients, and naming one login.
    pub(crate) async fn verify(&self, chain: &[Bytes], now: Timestamp) -> Result<Leaf, Rejection> {
        let certificates: Vec<CertificateDer<'_>> = chain.iter().map(|c| CertificateDer::from(&c[..])).collect();
        let Some((leaf, others)) = certificates.split_first() else {
            return Err(Rejection::Certificate("there is none"));
        };
        if certificates.len() > CHAIN_MAX || certificates.iter().any(|c| c.len() > CERTIFICATE_BYTES_MAX) {
            return Err(Rejection::Certificate("it is too long"));
        }
        let (rest, parsed) =
            X509Certificate::from_der(leaf).map_err(|_| Rejection::Certificate("it is not an X.509 certificate"))?;
        if !rest.is_empty() {
            return Err(Rejection::Certificate("something follows it"));
        }
        if !is_of_our_kind(&parsed) {
            return Err(Rejection::Certificate("it is of another authority"));
        }
        let mut verdict = self.verify_chain(leaf, others, now);
        if verdict == Err(Unfit::Unknown) && self.may_look_again(now) {
            self.load(false, now).await.map_err(|f| Rejection::LoginUnknown(f.to_string()))?;
            verdict = self.verify_chain(leaf, others, now);
        }
        let seconds = |t: i64| Timestamp::from_unix_s(t);
        let (begins, ends) =
            (seconds(parsed.validity().not_before.timestamp()), seconds(parsed.validity().not_after.timestamp()));
        match verdict {
            Ok(()) => {}
            Err(Unfit::Late) => {
                return Err(Rejection::CertificateExpired { ago_s: now.since_us(ends) / 1_000_000 });
            }
            Err(Unfit::Early) => {
                return Err(Rejection::NotYetValid {
                    claim: "notBefore",
                    in_s: begins.since_us(now).div_ceil(1_000_000),
                });
            }
            Err(Unfit::Unknown) => return Err(Rejection::Certificate("no key of this gateway's authority signed it")),
            Err(Unfit::Otherwise) => return Err(Rejection::Certificate("its chain does not verify")),
        }
        let usage = parsed.extended_key_usage().ok().flatten();
        if !usage.is_some_and(|u| u.value.client_auth && !u.value.any) {
            return Err(Rejection::Certificate("it is not for clients"));
        }
        let key = PublicKey::from_spki(parsed.public_key())
            .map_err(|_| Rejection::Certificate("its key is of a kind that is not taken"))?;
        let login = login_of(&parsed).ok_or(Rejection::Certificate("it names no login"))?;
        Ok(Leaf { login, key: key.thumbprint, serial: hex(parsed.raw_serial()), expires_at: ends })
    }

    fn verify_chain(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        now: Timestamp,
    ) -> Result<(), Unfit> {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.unix_s()).unwrap_or(0)));
        let verified = self.ring.load().verifier.verify_client_cert(leaf, others, at);
        match verified {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(why)) => Err(match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => Unfit::Late,
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Unfit::Early,
                CertificateError::UnknownIssuer => Unfit::Unknown,
                _ => Unfit::Otherwise,
            }),
            Err(_) => Err(Unfit::Otherwise),
        }
    }

    /// At most once in a while, however many unknown certificates come.
    fn may_look_again(&self, now: Timestamp) -> bool {
        let mut looked_at = self.looked_at.lock();
        let may = now.since_us(*looked_at) >= LOOK_AGAIN_S.saturating_mul(1_000_000);
        if may {
            *looked_at = now;
        }
        may
    }
}

/// Why a chain is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unfit {
    Late,
    Early,
    Unknown,
    Otherwise,
}

async fn load(keys: &dyn KeyStore, force: bool, now: Timestamp) -> Result<Ring, AuthorityFault> {
    let keys = load_keys(keys, KEYS_OF, force, now)
        .await
        .map_err(|fault| AuthorityFault::Store(StoreFault(fault.to_string())))?;
    Ring::new(&keys, now)
}

fn is_of_our_kind(leaf: &X509Certificate<'_>) -> bool {
    let mut names = leaf.issuer().iter_common_name();
    names.next().and_then(|n| n.as_str().ok()).is_some_and(|n| n.starts_with(CA_NAME)) && names.next().is_none()
}

/// The one login that the certificate's one name says.
fn login_of(leaf: &X509Certificate<'_>) -> Option<String> {
    let names = leaf.subject_alternative_name().ok().flatten()?;
    let [GeneralName::URI(uri)] = names.value.general_names.as_slice() else { return None };
    let id = uri.strip_prefix(LOGIN_URI)?;
    ulid::Ulid::from_string(id).ok().filter(|u| u.to_string() == id).map(|u| u.to_string())
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A client's key, for the signer.
struct Signed<'k>(&'k PublicKey);

impl PublicKeyData for Signed<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.bits
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.0.kind {
            KeyKind::P256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            KeyKind::Ed25519 => &rcgen::PKCS_ED25519,
            KeyKind::Rsa => &rcgen::PKCS_RSA_SHA256,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
pub(crate) mod tests;
