//! Posting: https only (but for loopback), no redirects, bounded in time and size. Addresses are secrets: no error repeats one.

use std::path::PathBuf;
use std::time::Duration;

use countersign_model::Secret;
use countersign_outbound::{self as outbound, Unread, chain, client, is_loopback, is_private};
use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, Url};

use super::{Failure, SEND_TIMEOUT};

/// The longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The longest that a receiver may ask to be left alone.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10 * 60);

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
        // Longer than sending may take, whose end says what it was.
        let client = client(self.ca.as_deref(), loopback, SEND_TIMEOUT * 2).map_err(Failure::new)?;
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
        let body = outbound::body(&mut response, ANSWER_BYTES_MAX).await.map_err(|unread| match unread {
            Unread::TooLong => Failure::new(format!("{host} answered more than {ANSWER_BYTES_MAX} bytes")),
            Unread::Broken(e) => fault(e),
        })?;
        Ok(Answered { body })
    }
}

/// Checks an address; what is wrong with it is told without it.
pub(crate) fn check_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text.trim()).map_err(|e| format!("the URL cannot be read ({e})"))?;
    if !is_private(&url) {
        return Err("the URL must begin with https:// (http:// is for loopback addresses only)".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the URL must not hold a user name or a password".to_owned());
    }
    Ok(url)
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
