//! Posting: https only (but for loopback), no redirects, bounded in time and size. Addresses are secrets: no error repeats one.

use std::io::Read as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use countersign_model::Secret;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::{Failure, SEND_TIMEOUT};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest that a receiver may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);
/// The longest file of certificate authorities, in bytes.
const CA_FILE_BYTES_MAX: u64 = 1 << 20;

/// Posts for one receiver.
#[derive(Debug)]
pub(crate) struct Http {
    ca: Option<PathBuf>,
    /// Made when it is first needed; the flag says whether for this machine.
    client: Option<(bool, Client)>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) body: Vec<u8>,
}

impl Http {
    pub(crate) fn new(ca: Option<PathBuf>) -> Self {
        Self { ca, client: None }
    }

    fn client(&mut self, loopback: bool) -> Result<Client, Failure> {
        if let Some((_, client)) = self.client.as_ref().filter(|(for_loopback, _)| *for_loopback == loopback) {
            return Ok(client.clone());
        }
        let client = build(self.ca.as_deref(), loopback).map_err(Failure::new)?;
        self.client = Some((loopback, client.clone()));
        Ok(client)
    }

    /// Posts a JSON document. Anything but a success is a failure.
    pub(crate) async fn post(&mut self, url: &Secret, headers: HeaderMap, body: String) -> Result<Answered, Failure> {
        let url = check_url(url.expose_str().unwrap_or_default()).map_err(Failure::new)?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let client = self.client(is_loopback(&url))?;
        let request = client.post(url).header(reqwest::header::CONTENT_TYPE, "application/json").headers(headers);
        let fault = |e: reqwest::Error| Failure::new(format!("{host}: {}", chain(&e.without_url())));
        let mut response = request.body(body).send().await.map_err(fault)?;
        let status = response.status();
        let after = response.headers().get(RETRY_AFTER).and_then(|v| v.to_str().ok()?.trim().parse().ok());
        if !status.is_success() {
            return Err(Failure {
                why: format!("{host} answered {}", status.as_u16()),
                after: after.map(Duration::from_secs).map(|d| d.min(RETRY_AFTER_MAX)),
                gone: status == StatusCode::GONE,
            });
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(fault)? {
            if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
                return Err(Failure::new(format!("{host} answered more than {ANSWER_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answered { body })
    }
}

/// Checks an address; what is wrong with it is told without it.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|e| format!("the URL cannot be read ({e})"))?;
    if !(url.scheme() == "https" || (url.scheme() == "http" && is_loopback(&url))) {
        return Err("the URL must begin with https:// (http:// is for loopback addresses only)".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold a user name or a password".to_owned());
    }
    Ok(url)
}

fn is_loopback(url: &Url) -> bool {
    url.host_str().is_some_and(is_this_machine)
}

/// Whether a host is this machine, by its name alone.
pub(crate) fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// The text of a file of authorities.
pub(crate) fn read_ca(path: &Path) -> Result<Vec<u8>, String> {
    let fault = |e: std::io::Error| format!("{}: {e}", path.display());
    let mut bytes = Vec::new();
    std::fs::File::open(path).map_err(fault)?.take(CA_FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
    if bytes.len() as u64 > CA_FILE_BYTES_MAX {
        return Err(format!("{}: longer than {CA_FILE_BYTES_MAX} bytes", path.display()));
    }
    Ok(bytes)
}

fn build(ca: Option<&Path>, loopback: bool) -> Result<Client, String> {
    let mut roots = rustls::RootCertStore::empty();
    match ca {
        Some(path) => {
            let pem = read_ca(path)?;
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                let certificate = certificate.map_err(|e| format!("{}: {e}", path.display()))?;
                roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            if roots.is_empty() {
                return Err(format!("{}: no certificate in it", path.display()));
            }
        }
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
        .timeout(SEND_TIMEOUT)
        .pool_max_idle_per_host(1)
        .user_agent(concat!("countersign/", env!("CARGO_PKG_VERSION")));
    if loopback {
        client = client.no_proxy();
    }
    client.build().map_err(|e| format!("HTTP client: {}", chain(&e)))
}

/// An error with its causes: the outermost alone often says nothing.
fn chain(e: &dyn std::error::Error) -> String {
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
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::check_url;

    #[test]
    fn only_https_and_this_machine_and_no_error_repeats_an_address() {
        for (url, good) in [
            ("https://hooks.example/T0/secret", true),
            (" https://hooks.example/T0/secret\n", true),
            ("http://127.0.0.1:9/secret", true),
            ("http://[::1]:9/secret", true),
            ("http://localhost:9/secret", true),
            ("http://hooks.example/secret", false),
            ("http://169.254.169.254/secret", false),
            ("http://127.0.0.1.evil.example/secret", false),
            ("https://u:p@hooks.example/secret", false),
            ("file:///secret", false),
            ("secret", false),
            ("", false),
        ] {
            let checked = check_url(url);
            assert_eq!(checked.is_ok(), good, "{url}");
            if let Err(why) = checked {
                assert!(!why.contains("secret"), "{why}");
            }
        }
    }
}
