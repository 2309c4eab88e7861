//! TLS towards targets: what is verified, against which roots, with which client certificate. Only [`TlsMode::InsecureEncrypt`]
//! accepts a peer that proved nothing, and says so in its name.

use std::fmt;
use std::sync::Arc;

use countersign_model::Secret;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::TlsError;
use crate::tls::{certificates, install_crypto, private_key};

/// How much a target must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No encryption.
    Disable,
    /// Encryption, but anybody may be at the other end: stops listeners, not impostors.
    InsecureEncrypt,
    /// A certificate of one of the roots, for whatever name.
    VerifyCa,
    /// A certificate of one of the roots for the name that was dialled.
    VerifyFull,
}

/// Whom to trust.
#[derive(Clone, Debug)]
pub enum Roots {
    /// What the system trusts.
    System,
    /// These certificates (PEM). A target that presents one of them itself is trusted, too, whatever its dates say: it was named.
    Pem(Vec<u8>),
}

/// A certificate that proves the gateway to a target.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    /// The chain (PEM), own certificate first.
    pub chain_pem: Vec<u8>,
    /// Its key (PEM).
    pub key_pem: Secret,
}

/// Ready-made TLS for one target.
#[derive(Clone)]
pub struct UpstreamTls {
    mode: TlsMode,
    config: Option<Arc<ClientConfig>>,
}

impl fmt::Debug for UpstreamTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UpstreamTls({:?})", self.mode)
    }
}

impl UpstreamTls {
    /// No encryption.
    pub const fn disabled() -> Self {
        Self { mode: TlsMode::Disable, config: None }
    }

    /// Prepares TLS 1.2 and 1.3 in the given mode. `roots` is not looked at where nothing is verified.
    ///
    /// # Errors
    /// When a certificate or key cannot be read or used.
    pub fn new(mode: TlsMode, roots: &Roots, client: Option<&ClientCertificate>) -> Result<Self, TlsError> {
        if mode == TlsMode::Disable {
            return Ok(Self::disabled());
        }
        install_crypto();
        let provider = CryptoProvider::get_default()
            .cloned()
            .unwrap_or_else(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
        let verifier = match mode {
            TlsMode::Disable | TlsMode::InsecureEncrypt => Verifier { provider, trust: Trust::Anyone },
            TlsMode::VerifyCa | TlsMode::VerifyFull => {
                let (store, named) = load(roots)?;
                let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone())
                    .build()
                    .map_err(|e| TlsError::Root(e.to_string()))?;
                Verifier { provider, trust: Trust::Roots { chain, named, name_matters: mode == TlsMode::VerifyFull } }
            }
        };
        let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(Arc::new(verifier));
        let config = match client {
            None => builder.with_no_client_auth(),
            Some(c) => builder.with_client_auth_cert(
                certificates(&c.chain_pem, "the client certificate")?,
                private_key(c.key_pem.expose(), "the client certificate's key")?,
            )?,
        };
        Ok(Self { mode, config: Some(Arc::new(config)) })
    }

    /// The mode.
    pub fn mode(&self) -> TlsMode {
        self.mode
    }

    /// True when there is no encryption.
    pub fn is_disabled(&self) -> bool {
        self.config.is_none()
    }

    pub(crate) fn config(&self) -> Option<Arc<ClientConfig>> {
        self.config.clone()
    }
}

fn load(roots: &Roots) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            let (added, _ignored) = store.add_parsable_certificates(found.certs);
            if added == 0 {
                let why = found.errors.first().map_or_else(|| "there are none".to_owned(), ToString::to_string);
                return Err(TlsError::SystemRoots(why));
            }
            Ok((store, Vec::new()))
        }
        Roots::Pem(pem) => {
            let named = certificates(pem, "the root certificates")?;
            for root in &named {
                store.add(root.clone()).map_err(|e| TlsError::Root(e.to_string()))?;
            }
            Ok((store, named))
        }
    }
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Roots { chain: Arc<WebPkiServerVerifier>, named: Vec<CertificateDer<'static>>, name_matters: bool },
}

#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Trust::Roots { chain, named, name_matters } = &self.trust else {
            return Ok(ServerCertVerified::assertion());
        };
        if named.iter().any(|root| root == end_entity) {
            if *name_matters {
                rustls::client::verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last, so everything else was found right.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !name_matters => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

    use super::*;

    fn ca(name: &str) -> CertifiedIssuer<'static, KeyPair> {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn each_mode_accepts_exactly_what_it_says() {
        let (ours, theirs) = (ca("ours"), ca("theirs"));
        let leaf = |by: &CertifiedIssuer<'static, KeyPair>| {
            let key = KeyPair::generate().unwrap();
            CertificateParams::new(vec!["db.test".to_owned()]).unwrap().signed_by(&key, by).unwrap().der().clone()
        };
        let (good, stranger) = (leaf(&ours), leaf(&theirs));
        let named = rcgen::generate_simple_self_signed(vec!["db.test".to_owned()]).unwrap().cert;
        let pem = Roots::Pem(format!("{}{}", ours.pem(), named.pem()).into_bytes());
        for (mode, cert, host, accepted) in [
            (TlsMode::InsecureEncrypt, &stranger, "other.test", true),
            (TlsMode::VerifyCa, &good, "db.test", true),
            (TlsMode::VerifyCa, &good, "other.test", true),
            (TlsMode::VerifyCa, &stranger, "db.test", false),
            (TlsMode::VerifyFull, &good, "db.test", true),
            (TlsMode::VerifyFull, &good, "other.test", false),
            (TlsMode::VerifyFull, &stranger, "db.test", false),
            (TlsMode::VerifyFull, named.der(), "db.test", true),
            (TlsMode::VerifyFull, named.der(), "other.test", false),
            (TlsMode::VerifyCa, named.der(), "other.test", true),
        ] {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let trust = if mode == TlsMode::InsecureEncrypt {
                Trust::Anyone
            } else {
                let (store, named) = load(&pem).unwrap();
                let chain =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider.clone()).build().unwrap();
                Trust::Roots { chain, named, name_matters: mode == TlsMode::VerifyFull }
            };
            let name = ServerName::try_from(host).unwrap();
            let got = Verifier { provider, trust }.verify_server_cert(cert, &[], &name, &[], UnixTime::now());
            assert_eq!(got.is_ok(), accepted, "{mode:?} {host}: {got:?}");
            UpstreamTls::new(mode, &pem, None).unwrap();
        }
    }
}
