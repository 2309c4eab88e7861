//! Fetching an issuer's documents: https only (but for loopback), no redirects, bounded in time and size.
//!
//! Must never follow what a token says: addresses come from the configuration and from the issuer's discovery document.

use std::path::Path;
use std::time::Duration;

use countersign_model::Secret;
pub(crate) use countersign_outbound::read_file;
use countersign_outbound::{self as outbound, Unread, chain, client, is_loopback, is_private};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, StatusCode, Url};
use serde_json::Value;

use crate::strict_json;

/// How long one document may take, from dialling to its last byte.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest discovery document, in bytes.
const DISCOVERY_BYTES_MAX: usize = 128 * 1024;
const JSON: &str = "application/json";

/// Checks an address that documents may be fetched from.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|e| format!("\"{text}\" is not a URL ({e})"))?;
    if !is_private(&url) {
        return Err(format!("\"{text}\" must begin with https:// (http:// is for loopback addresses only)"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL must not hold a user name or a password".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("\"{text}\" must have no fragment"));
    }
    Ok(url)
}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoReply {
    /// Nothing that could have answered was reached, or it did not answer in time.
    Unreachable(String),
    /// Trying elsewhere or later changes nothing: it could not be asked, somebody else answered, or the answer is too long.
    Unusable(String),
}

/// Fetches the documents of one issuer.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher {
    client: Client,
}

impl Fetcher {
    /// Prepares TLS: with the issuer's own authorities when a file of them is given, else with the system's.
    pub(crate) fn new(issuer: &str, ca_file: Option<&Path>) -> Result<Self, String> {
        let loopback = Url::parse(issuer).is_ok_and(|u| is_loopback(&u));
        Ok(Self { client: client(ca_file, loopback, FETCH_TIMEOUT)? })
    }

    /// The `jwks_uri` of an issuer, from its discovery document.
    pub(crate) async fn discover(&self, issuer: &str) -> Result<String, String> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let bytes = self.get(&address, DISCOVERY_BYTES_MAX).await?;
        let document = strict_json::object(&bytes).map_err(|e| format!("{address}: {e}"))?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(issuer) {
            return Err(format!("{address}: its \"issuer\" is not exactly \"{issuer}\""));
        }
        let uri = text("jwks_uri").ok_or_else(|| format!("{address}: it has no \"jwks_uri\""))?;
        let url = Url::parse(uri).map_err(|e| format!("{address}: its jwks_uri is not a URL ({e})"))?;
        // Only an issuer that is itself on this machine may send us to a port of this machine without TLS.
        let from_loopback = Url::parse(issuer).is_ok_and(|u| is_loopback(&u));
        if url.scheme() != "https" && !(url.scheme() == "http" && from_loopback && is_loopback(&url)) {
            return Err(format!("{address}: its jwks_uri does not begin with https://"));
        }
        Ok(uri.to_owned())
    }

    /// A document of at most `bytes_max` bytes.
    pub(crate) async fn get(&self, address: &str, bytes_max: usize) -> Result<Vec<u8>, String> {
        let request = self.client.get(address).header(ACCEPT, JSON);
        let response = request.send().await.map_err(|e| format!("{address}: {}", chain(&e)))?;
        if response.status() != StatusCode::OK {
            return Err(format!("{address}: answered {}", response.status()));
        }
        let body = Self::body(address, response, bytes_max).await;
        body.map_err(|(NoReply::Unreachable(why) | NoReply::Unusable(why))| why)
    }

    /// Posts a JSON document as the bearer of a token; the status and an answer of at most `bytes_max` bytes.
    pub(crate) async fn post(
        &self,
        address: &str,
        bearer: &Secret,
        body: String,
        bytes_max: usize,
    ) -> Result<(StatusCode, Vec<u8>), NoReply> {
        let unusable = |why: &str| NoReply::Unusable(why.to_owned());
        let mut token = HeaderValue::from_bytes(&[b"Bearer ", bearer.expose()].concat())
            .map_err(|_| unusable("the token to ask with cannot be a header"))?;
        token.set_sensitive(true);
        let request = self.client.post(address).header(ACCEPT, JSON).header(CONTENT_TYPE, JSON);
        let response = request.header(AUTHORIZATION, token).body(body).send().await.map_err(|e| {
            let why = format!("{address}: {}", chain(&e));
            if is_somebody_else(&e) { NoReply::Unusable(why) } else { NoReply::Unreachable(why) }
        })?;
        let status = response.status();
        Ok((status, Self::body(address, response, bytes_max).await?))
    }

    async fn body(address: &str, mut response: reqwest::Response, bytes_max: usize) -> Result<Vec<u8>, NoReply> {
        outbound::body(&mut response, bytes_max).await.map_err(|unread| match unread {
            Unread::TooLong => NoReply::Unusable(format!("{address}: longer than {bytes_max} bytes")),
            Unread::Broken(e) => NoReply::Unreachable(format!("{address}: {}", chain(&e))),
        })
    }
}

/// Whether what answered has a certificate that is not the one expected: whoever it is, it can be reached.
fn is_somebody_else(e: &reqwest::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        if matches!(c.downcast_ref(), Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        // What an `io::Error` wraps is not its source, but its source's parent.
        let wrapped = c.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        cause = wrapped.map(|w| w as _).or_else(|| c.source());
    }
    false
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::check_url;

    #[test]
    fn only_https_and_loopback() {
        for (url, good) in [
            ("https://id.example", true),
            ("https://id.example/realms/x/", true),
            ("http://127.0.0.1:9", true),
            ("http://127.9.9.9:9", true),
            ("http://[::1]:9/x", true),
            ("http://localhost:9", true),
            ("http://id.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost.evil.example", false),
            ("http://169.254.169.254/", false),
            ("http://0.0.0.0/", false),
            ("https://u@id.example", false),
            ("https://id.example/keys?p=x", true),
            ("https://id.example/#x", false),
            ("file:///etc/passwd", false),
            ("id.example", false),
            ("", false),
        ] {
            assert_eq!(check_url(url).is_ok(), good, "{url}");
        }
    }
}
