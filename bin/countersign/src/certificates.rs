//! Throwaway certificates for `countersign dev`: one authority that signs the gateway's and the demo database's certificates.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};

use crate::failed::Failed;

/// An authority, and what it has signed.
pub(super) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    /// A new one with this name.
    pub(super) fn new(name: &str) -> Result<Self, Failed> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(Failed::new)?;
        Ok(Self(CertifiedIssuer::self_signed(params, key).map_err(Failed::new)?))
    }

    /// Its certificate, for those who are to trust it.
    pub(super) fn write(&self, path: &Path) -> Result<(), Failed> {
        Ok(fs::write(path, self.0.pem())?)
    }

    /// Signs a server certificate for this machine and writes it with its key.
    pub(super) fn issue_server(&self, certificate: &Path, key: &Path) -> Result<(), Failed> {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).map_err(Failed::new)?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        let pair = KeyPair::generate().map_err(Failed::new)?;
        let signed = params.signed_by(&pair, &self.0).map_err(Failed::new)?;
        fs::write(certificate, signed.pem())?;
        write_private(key, pair.serialize_pem().as_bytes())
    }
}

/// Writes a file that only its owner can read.
pub(super) fn write_private(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
    Ok(file.write_all(bytes)?)
}
