//! What services ask others by over HTTPS: a client that follows nothing, and answers that are bounded.
//!
//! Must never verify nobody, follow a redirect, or read more than it was told to. Which addresses are asked, and what an error may tell of
//! them, is for whoever asks.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response, Url};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

/// The longest file of certificate authorities, in bytes.
pub const CA_FILE_BYTES_MAX: usize = 1 << 20;

/// Whether a host is this machine, by its name alone.
pub fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether an address is one of this machine.
pub fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_this_machine)
}

/// Whether what is sent there is encrypted, or stays on this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url))
}

/// A client with the authorities of a file, or the system's; one for addresses of this machine needs none, and uses no proxy.
///
/// # Errors
/// What is wrong with the file, or with TLS here.
pub fn client(ca: Option<&Path>, loopback: bool, timeout: Duration) -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let pem = read_file(path, CA_FILE_BYTES_MAX)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| format!("{}: {e}", path.display()))?;
                roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            if roots.is_empty() {
                return Err(format!("{}: no certificate in it", path.display()));
            }
        }
        None if loopback => {}
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS: {e}"))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .timeout(timeout)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    if loopback {
        client = client.no_proxy();
    }
    client.build().map_err(|e| format!("HTTP client: {}", chain(&e)))
}

/// Why an answer was not read.
#[derive(Debug)]
pub enum Unread {
    /// It is longer than what is read.
    TooLong,
    /// It broke off.
    Broken(reqwest::Error),
}

/// The body of an answer, of at most `bytes_max` bytes.
///
/// # Errors
/// When it is longer, or breaks off.
pub async fn body(response: &mut Response, bytes_max: usize) -> Result<Vec<u8>, Unread> {
    if response.content_length().is_some_and(|n| n > bytes_max as u64) {
        return Err(Unread::TooLong);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(Unread::Broken)? {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Err(Unread::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A file of at most `bytes_max` bytes.
///
/// # Errors
/// When it cannot be read, or is longer.
pub fn read_file(path: &Path, bytes_max: usize) -> Result<Vec<u8>, String> {
    let fault = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(fault)?;
    file.take((bytes_max as u64).saturating_add(1)).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() > bytes_max {
        return Err(format!("{}: longer than {bytes_max} bytes", path.display()));
    }
    Ok(bytes)
}

/// An error with its causes: the outermost alone often says nothing.
pub fn chain(e: &dyn std::error::Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(c) = cause {
        text.push_str(": ");
        text.push_str(&c.to_string());
        cause = c.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_told_by_its_name_alone() {
        for (host, is) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("[::1]", true),
            ("127.0.0.1.evil.example", false),
            ("localhost.evil.example", false),
            ("169.254.169.254", false),
            ("0.0.0.0", false),
            ("", false),
        ] {
            assert_eq!(is_this_machine(host), is, "{host}");
        }
    }

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let bytes = std::fs::metadata(&file).map_or(0, |m| usize::try_from(m.len()).unwrap_or(0));
        assert!(bytes > 0 && read_file(&file, bytes).is_ok_and(|b| b.len() == bytes));
        assert!(read_file(&file, bytes - 1).is_err());
    }
}
