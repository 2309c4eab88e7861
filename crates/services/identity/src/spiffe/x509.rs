//! X.509-SVIDs as client certificates (X509-SVID, 2 to 5), whose key the TLS handshake proved.
//!
//! Must never take a name from anywhere but the one URI, nor a certificate that could sign others.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use countersign_model::Timestamp;
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, RootCertStore};
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::bundle::Authority;
use super::{Bundle, SpiffeId};
use crate::Rejection;
use crate::certificate::hex;
use crate::keys::NoKey;
use crate::thumbprint::PublicKey;

/// The longest certificate of a chain, in bytes.
const CERTIFICATE_BYTES_MAX: usize = 8 * 1024;
/// The most certificates of a chain.
const CHAIN_MAX: usize = 4;

/// What an X.509-SVID says, once its own form is in order; its chain is verified by [`Svid::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Svid<'c> {
    chain: &'c [Bytes],
    /// The SPIFFE ID, which is well-formed.
    pub(crate) id: String,
    /// `spiffe://TRUST-DOMAIN` of it.
    pub(crate) trust_domain_id: String,
    /// The thumbprint of its key (RFC 7638).
    pub(crate) key: String,
    /// Its serial number in hexadecimal.
    pub(crate) serial: String,
    /// When it begins.
    pub(crate) begins: Timestamp,
    /// When it ends.
    pub(crate) ends: Timestamp,
}

/// Whether a certificate names a workload of one of these trust domains (`spiffe://TRUST-DOMAIN`). Says nothing of its being good.
pub(crate) fn recognises(chain: &[Bytes], is_ours: impl Fn(&str) -> bool) -> bool {
    let Some(leaf) = chain.first().filter(|l| l.len() <= CERTIFICATE_BYTES_MAX) else { return false };
    let Ok((_, leaf)) = X509Certificate::from_der(leaf) else { return false };
    uris(&leaf).iter().any(|uri| SpiffeId::parse(uri).is_ok_and(|id| is_ours(id.trust_domain_id())))
}

fn uris<'c>(leaf: &'c X509Certificate<'_>) -> Vec<&'c str> {
    let Ok(Some(names)) = leaf.subject_alternative_name() else { return Vec::new() };
    let uri = |name: &'c GeneralName<'_>| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    };
    names.value.general_names.iter().filter_map(uri).collect()
}

impl<'c> Svid<'c> {
    /// Reads the end-entity certificate of a chain.
    pub(crate) fn read(chain: &'c [Bytes]) -> Result<Self, Rejection> {
        let no = |why: &'static str| Err(Rejection::Certificate(why));
        let Some(leaf) = chain.first() else { return no("there is none") };
        if chain.len() > CHAIN_MAX || chain.iter().any(|c| c.len() > CERTIFICATE_BYTES_MAX) {
            return no("it is too long");
        }
        let Ok((rest, leaf)) = X509Certificate::from_der(leaf) else { return no("it is not an X.509 certificate") };
        if !rest.is_empty() {
            return no("something follows it");
        }
        let [uri] = uris(&leaf).try_into().map_err(|_| Rejection::Certificate("it does not have exactly one URI"))?;
        let id = SpiffeId::parse(uri).map_err(|_| Rejection::Certificate("its URI is not a workload's SPIFFE ID"))?;
        if leaf.basic_constraints().map_or(true, |c| c.is_some_and(|c| c.value.ca)) {
            return no("it is of an authority, not of a workload");
        }
        match leaf.key_usage() {
            Ok(Some(usage)) if usage.value.key_cert_sign() || usage.value.crl_sign() => {
                return no("its key may sign certificates");
            }
            Ok(Some(usage)) if usage.value.digital_signature() => {}
            _ => return no("its key is not for signatures"),
        }
        match leaf.extended_key_usage() {
            Ok(None) => {}
            Ok(Some(usage)) if usage.value.client_auth => {}
            _ => return no("it is not for clients"),
        }
        let key = PublicKey::from_spki(leaf.public_key())
            .map_err(|_| Rejection::Certificate("its key is of a kind that is not taken"))?;
        Ok(Self {
            chain,
            id: uri.to_owned(),
            trust_domain_id: id.trust_domain_id().to_owned(),
            key: key.thumbprint,
            serial: hex(leaf.raw_serial()),
            begins: Timestamp::from_unix_s(leaf.validity().not_before.timestamp()),
            ends: Timestamp::from_unix_s(leaf.validity().not_after.timestamp()),
        })
    }

    /// Verifies the chain to those authorities of the bundle that are in their time, and says which one it is: its thumbprint.
    pub(crate) fn verify(&self, bundle: &Bundle, now: Timestamp) -> Result<String, NoKey> {
        let in_time: Vec<&Authority> = bundle.authorities.iter().filter(|a| a.begins <= now && now <= a.ends).collect();
        if in_time.is_empty() {
            return Err(NoKey::Unknown);
        }
        self.verify_by(&in_time, now)?;
        let by = in_time.iter().find(|a| in_time.len() == 1 || self.verify_by(&[a], now).is_ok());
        by.map(|a| a.thumbprint.clone()).ok_or(NoKey::Unknown)
    }

    fn verify_by(&self, authorities: &[&Authority], now: Timestamp) -> Result<(), NoKey> {
        let unfit = |why: &'static str| NoKey::Unfit(Rejection::Certificate(why));
        let roots = RootCertStore { roots: authorities.iter().map(|a| a.anchor.clone()).collect() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|_| unfit("no verifier can be made"))?;
        let certificates: Vec<CertificateDer<'_>> = self.chain.iter().map(|c| CertificateDer::from(&c[..])).collect();
        let (leaf, others) = certificates.split_first().ok_or_else(|| unfit("there is none"))?;
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now.unix_s()).unwrap_or(0)));
        match verifier.verify_client_cert(leaf, others, at) {
            Ok(_) => Ok(()),
            Err(rustls::Error::InvalidCertificate(why)) => Err(match why {
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    NoKey::Unfit(Rejection::CertificateExpired { ago_s: now.since_us(self.ends) / 1_000_000 })
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    let in_s = self.begins.since_us(now).div_ceil(1_000_000);
                    NoKey::Unfit(Rejection::NotYetValid { claim: "notBefore", in_s })
                }
                // Authorities that follow one another have the same name, so that a new one's signature looks bad, too.
                CertificateError::UnknownIssuer
                | CertificateError::BadSignature
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => NoKey::Unknown,
                _ => unfit("its chain does not verify"),
            }),
            Err(_) => Err(unfit("its chain does not verify")),
        }
    }
}
