//! TLS towards clients: configurations from PEM, and one that can be replaced while listeners use it. No key is ever printed.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::possession::Possession;

/// What is wrong with TLS material.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The PEM text cannot be read.
    #[error("{what} is not PEM: {why}; give a file that begins with -----BEGIN")]
    Pem {
        /// Which material.
        what: &'static str,
        /// What the reader said; never the material.
        why: String,
    },
    /// There is no certificate in it.
    #[error("{what} holds no certificate; put the PEM certificates there, the server's own first")]
    Empty {
        /// Which material.
        what: &'static str,
    },
    /// The system's roots cannot be read.
    #[error(
        "the system's root certificates cannot be read: {0}; install them (package ca-certificates) or name a file"
    )]
    SystemRoots(String),
    /// A root is not usable.
    #[error("a root certificate cannot be used: {0}")]
    Root(String),
    /// Key and certificate do not fit, or the key's kind is unknown.
    #[error("certificate and key cannot be used together: {0}")]
    Rejected(#[from] rustls::Error),
}

/// Makes the process's TLS use its one implementation of cryptography. Call it once, first; later calls do nothing.
pub fn install_crypto() {
    // An error says that one is installed already, which is what is wanted.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

pub(crate) fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| TlsError::Pem { what, why: e.to_string() })?;
    if chain.is_empty() { Err(TlsError::Empty { what }) } else { Ok(chain) }
}

pub(crate) fn private_key(pem: &[u8], what: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| TlsError::Pem { what, why: e.to_string() })
}

/// A configuration for a listener: TLS 1.2 and 1.3, these application protocols (best first), sessions resumed by ticket so that
/// nothing is kept for a client that is gone.
///
/// Clients are asked for a certificate and need not have one. A client that shows one has proved, in this handshake or in the one that
/// it resumes, that it holds the key. **Nothing else about the certificate was checked**: whoever relies on a connection's peer
/// certificates must validate them, each time.
///
/// # Errors
/// When the chain or the key cannot be read, or they do not belong together.
pub fn server_config(chain_pem: &[u8], key_pem: &[u8], alpn: &[&[u8]]) -> Result<Arc<ServerConfig>, TlsError> {
    install_crypto();
    let chain = certificates(chain_pem, "the certificate chain")?;
    let key = private_key(key_pem, "the private key")?;
    let mut config =
        ServerConfig::builder().with_client_cert_verifier(Possession::new()).with_single_cert(chain, key)?;
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.send_tls13_tickets = 1;
    Ok(Arc::new(config))
}

/// A listener's TLS configuration that can be replaced; handshakes that begin later use the new one.
#[derive(Debug)]
pub struct TlsReload(ArcSwap<ServerConfig>);

impl TlsReload {
    /// Starts with this configuration.
    pub fn new(config: Arc<ServerConfig>) -> Arc<Self> {
        Arc::new(Self(ArcSwap::new(config)))
    }

    /// Puts another one in force.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        self.0.store(config);
    }

    pub(crate) fn current(&self) -> Arc<ServerConfig> {
        self.0.load_full()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_material_and_never_show_it() {
        let made = rcgen::generate_simple_self_signed(vec!["gw".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = rcgen::generate_simple_self_signed(vec!["gw".to_owned()]).unwrap().signing_key.serialize_pem();
        assert_eq!(
            server_config(chain.as_bytes(), key.as_bytes(), &[b"toy"]).unwrap().alpn_protocols,
            [b"toy".to_vec()]
        );
        for (chain, key, want) in [
            ("", key.as_str(), "the certificate chain holds no certificate"),
            (chain.as_str(), "", "the private key is not PEM"),
            (chain.as_str(), chain.as_str(), "the private key is not PEM"),
            (chain.as_str(), other.as_str(), "certificate and key cannot be used together"),
        ] {
            let text = server_config(chain.as_bytes(), key.as_bytes(), &[]).unwrap_err().to_string();
            assert!(text.starts_with(want), "{text}");
            assert!(!text.contains("MII") && !text.contains("PRIVATE"), "{text}");
        }
    }
}
