//! The device authorization grant (RFC 8628): a code that a person types into a browser elsewhere.

use std::time::{Duration, Instant};

use reqwest::Url;
use serde::Deserialize;

use super::answer::{error_code, token};
use super::{Obtained, Provider};
use crate::client::http::{Reply, check_url};
use crate::commands::text::inert;
use crate::failed::Failed;
use crate::output;

/// How long a person may take at most, whatever the issuer says.
const WAIT_MAX: Duration = Duration::from_secs(1800);
/// Between two questions, when the issuer does not say (RFC 8628, 3.2), and bounds of what it may say.
const INTERVAL_S: u64 = 5;
const INTERVAL_S_MAX: u64 = 60;
/// What `slow_down` adds (RFC 8628, 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// The longest code for a person, in characters.
const USER_CODE_CHARS_MAX: usize = 64;
/// The longest address for a person, in characters.
const ADDRESS_CHARS_MAX: usize = 1024;

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

#[derive(Deserialize)]
struct Raw {
    device_code: String,
    user_code: String,
    verification_uri: String,
    #[serde(default)]
    verification_uri_complete: Option<String>,
    expires_in: u64,
    #[serde(default)]
    interval: Option<u64>,
}

/// What the issuer gave.
#[derive(Debug)]
struct Device {
    code: countersign_model::Secret,
    user_code: String,
    page: Url,
    whole_page: Option<Url>,
    life: Duration,
    interval: Duration,
}

impl Device {
    fn read(reply: &Reply) -> Result<Self, String> {
        let raw: Raw = reply.json().map_err(|e| format!("the answer has no code: {e}"))?;
        let code = token("device code", raw.device_code)?;
        let fits = (1..=USER_CODE_CHARS_MAX).contains(&raw.user_code.chars().count());
        if !fits || inert(&raw.user_code) != raw.user_code {
            return Err("the code to type is none".to_owned());
        }
        let page = |text: &str| {
            if text.len() > ADDRESS_CHARS_MAX {
                Err("the page's address is too long".to_owned())
            } else {
                check_url(text)
            }
        };
        Ok(Self {
            code,
            user_code: raw.user_code,
            page: page(&raw.verification_uri)?,
            whole_page: raw.verification_uri_complete.as_deref().map(page).transpose()?,
            life: Duration::from_secs(raw.expires_in).min(WAIT_MAX),
            interval: Duration::from_secs(raw.interval.unwrap_or(INTERVAL_S).clamp(1, INTERVAL_S_MAX)),
        })
    }
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Done,
    Wait,
    WaitLonger,
    Over(&'static str),
    Refused,
}

/// What an answer of the token endpoint means (RFC 8628, 3.5).
fn next(reply: &Reply) -> Next {
    if reply.fine() {
        return Next::Done;
    }
    match error_code(reply).as_deref() {
        Some("authorization_pending") => Next::Wait,
        Some("slow_down") => Next::WaitLonger,
        Some("access_denied") => Next::Over("the login was refused in the browser"),
        Some("expired_token") => Next::Over("the code has expired: nobody typed it in time"),
        // The issuer is busy, or being restarted.
        None if reply.status == 429 || reply.status >= 500 => Next::WaitLonger,
        _ => Next::Refused,
    }
}

/// Logs a person in.
pub(super) async fn log_in(provider: &Provider<'_>) -> Result<Obtained, Failed> {
    let Some(endpoint) = &provider.document.device_authorization else {
        return Err(Failed::new(format!(
            "the issuer {} has no device codes: log in on a machine with a browser, without --device",
            provider.issuer.issuer
        )));
    };
    let scope = provider.scope();
    let mut form = vec![("client_id", provider.issuer.client_id.as_str())];
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    if let Some(resource) = &provider.issuer.resource {
        form.push(("resource", resource));
    }
    let reply = provider.http.post(endpoint, &form, None).await.map_err(Failed::new)?;
    if !reply.fine() {
        return Err(provider.refused(&reply, "asked for a device code"));
    }
    let device = Device::read(&reply).map_err(|e| Failed::new(format!("{endpoint}: {e}")))?;
    let whole = device.whole_page.as_ref().map(|p| format!("\n\nor open\n\n  {p}")).unwrap_or_default();
    output::note(&format!("Open\n\n  {}\n\nand type the code\n\n  {}{whole}\n", device.page, device.user_code));
    poll(provider, &device).await
}

async fn poll(provider: &Provider<'_>, device: &Device) -> Result<Obtained, Failed> {
    let began = Instant::now();
    let mut interval = device.interval;
    let code = device.code.expose_str().unwrap_or_default();
    let form = [("grant_type", DEVICE_CODE), ("device_code", code)];
    loop {
        tokio::time::sleep(interval).await;
        if began.elapsed() >= device.life {
            return Err(Failed::new("the code has expired: nobody typed it in time"));
        }
        let reply = match provider.ask_for_tokens(&form).await {
            Ok(reply) => reply,
            // RFC 8628, 3.5: a connection that fails is tried again, more slowly.
            Err(_) => {
                interval = interval.saturating_mul(2).min(Duration::from_secs(INTERVAL_S_MAX));
                continue;
            }
        };
        match next(&reply) {
            Next::Done => return provider.obtained(&reply, None),
            Next::Wait => {}
            Next::WaitLonger => interval = interval.saturating_add(SLOWER).min(Duration::from_secs(INTERVAL_S_MAX)),
            Next::Over(why) => return Err(Failed::new(why)),
            Next::Refused => return Err(provider.refused(&reply, "asked whether the code was typed")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn codes_are_read_and_hostile_ones_refused() {
        let good = json!({
            "device_code": "d", "user_code": "WDJB-MJHT", "verification_uri": "https://id.example/device", "expires_in": 600,
        });
        let read = |name: &str, value: Value| {
            let mut body = good.clone();
            body[name] = value;
            Device::read(&Reply::new(200, &body.to_string()))
        };
        let device = read("x", json!(1)).unwrap();
        assert_eq!((device.life.as_secs(), device.interval.as_secs()), (600, INTERVAL_S));
        for (interval, expected) in [(0, 1), (1, 1), (60, 60), (61, 60), (u64::MAX, 60)] {
            assert_eq!(read("interval", json!(interval)).unwrap().interval.as_secs(), expected);
        }
        assert_eq!(read("expires_in", json!(u64::MAX)).unwrap().life, WAIT_MAX);
        assert!(read("user_code", json!("x".repeat(USER_CODE_CHARS_MAX))).is_ok());
        for (name, value) in [
            ("device_code", json!("")),
            ("device_code", json!("a b")),
            ("user_code", json!("")),
            ("user_code", json!("x".repeat(USER_CODE_CHARS_MAX + 1))),
            ("user_code", json!("A\u{1b}[2J")),
            ("user_code", json!("A\u{202e}B")),
            ("verification_uri", json!("http://id.example/device")),
            ("verification_uri", json!("javascript:alert(1)")),
            ("verification_uri", json!(format!("https://id.example/{}", "x".repeat(ADDRESS_CHARS_MAX)))),
            ("verification_uri_complete", json!("file:///etc/passwd")),
            ("expires_in", json!(-1)),
            ("expires_in", Value::Null),
        ] {
            assert!(read(name, value.clone()).is_err(), "{name} = {value}");
        }
    }

    #[test]
    fn answers_say_what_to_do_next() {
        for (status, body, expected) in [
            (200, "{}", Next::Done),
            (400, r#"{"error":"authorization_pending"}"#, Next::Wait),
            (400, r#"{"error":"slow_down"}"#, Next::WaitLonger),
            (400, r#"{"error":"access_denied"}"#, Next::Over("the login was refused in the browser")),
            (400, r#"{"error":"expired_token"}"#, Next::Over("the code has expired: nobody typed it in time")),
            (400, r#"{"error":"invalid_grant"}"#, Next::Refused),
            (500, r#"{"error":"server_error"}"#, Next::Refused),
            (503, "busy", Next::WaitLonger),
            (429, "", Next::WaitLonger),
            (404, "", Next::Refused),
            (302, "", Next::Refused),
        ] {
            assert_eq!(next(&Reply::new(status, body)), expected, "{status} {body}");
        }
    }
}
