//! Cookies, the secrets in them, and what is derived from a secret.

use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::Secret;
use sha2::{Digest as _, Sha256};

/// The cookie of somebody who is signed in.
pub const COOKIE: &str = "__Host-countersign";
/// The cookie of a sign-in under way.
pub(crate) const PENDING_COOKIE: &str = "__Host-countersign-sign-in";
/// Whoever looks at nothing for so long, in seconds, is signed out.
pub const IDLE_S: u64 = 30 * 60;
/// How long a sign-in may take, in seconds.
pub const PENDING_S: u64 = 10 * 60;
/// Sign-ins under way at one time; more are refused.
pub const PENDING_MAX: u32 = 10_000;
/// The longest `Cookie` header that is looked at, in bytes.
const COOKIES_BYTES_MAX: usize = 8 * 1024;
const SECRET_BYTES: usize = 32;

/// What a browser shows: a login, and the secret that opens it.
#[derive(Debug)]
pub(crate) struct Ticket {
    pub(crate) login: String,
    pub(crate) secret: Secret,
}

/// A new secret.
pub(crate) fn fresh() -> Secret {
    let bytes: [u8; SECRET_BYTES] = rand::random();
    Secret::from(URL_SAFE_NO_PAD.encode(bytes))
}

/// Something that only the holder of the secret can name, and that does not tell the secret.
pub(crate) fn derived(secret: &Secret, what: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(what.as_bytes());
    digest.update([0]);
    digest.update(secret.expose());
    URL_SAFE_NO_PAD.encode(digest.finalize())
}

/// What binds a code to a verifier (RFC 7636, 4.2).
pub(crate) fn challenge(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()))
}

/// The cookie with this name; one that is there twice was planted by somebody, so that neither is taken.
pub(crate) fn cookie(headers: &HeaderMap, name: &str) -> Option<String> {
    let mut found = None;
    for value in headers.get_all(header::COOKIE) {
        let text = value.to_str().ok().filter(|t| t.len() <= COOKIES_BYTES_MAX)?;
        for (key, value) in text.split(';').filter_map(|pair| pair.trim().split_once('=')) {
            if key == name && found.replace(value.to_owned()).is_some() {
                return None;
            }
        }
    }
    found
}

/// The ticket in the cookie.
pub(crate) fn ticket(headers: &HeaderMap) -> Option<Ticket> {
    let text = cookie(headers, COOKIE)?;
    let (login, secret) = text.split_once('.')?;
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let fits = login.len() == 26 && secret.len() == 43 && plain(login) && plain(secret);
    fits.then(|| Ticket { login: login.to_owned(), secret: Secret::from(secret.to_owned()) })
}

/// `Set-Cookie`: for this host alone, over TLS alone, for no script, and not with what other sites send.
pub(crate) fn set(name: &str, value: &str, max_age_s: u64) -> String {
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age={max_age_s}")
}

/// `Set-Cookie` that removes it.
pub(crate) fn unset(name: &str) -> String {
    set(name, "", 0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn headers(cookies: &[&str]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for c in cookies {
            map.append(header::COOKIE, HeaderValue::from_str(c).unwrap());
        }
        map
    }

    #[test]
    fn a_ticket_is_read_once_or_not_at_all() {
        let good = format!("{COOKIE}=01J9ZQ4T7Y01J9ZQ4T7Y01J9ZQ.{}", "a".repeat(43));
        for (cookies, fine) in [
            (vec![good.as_str()], true),
            (vec!["a=b", &good], true),
            (vec![&format!("x=1; {good}; y=2")], true),
            (vec![&good, &good], false),
            (vec![&format!("{good}; {good}")], false),
            (vec![&format!("{COOKIE}=evil; {good}")], false),
            (vec![&format!("{COOKIE}=01J9ZQ4T7Y01J9ZQ4T7Y01J9ZQ.{}", "a".repeat(44))], false),
            (vec![&format!("{COOKIE}=01J9ZQ4T7Y01J9ZQ4T7Y01J9Z/.{}", "a".repeat(43))], false),
            (vec![&format!("{COOKIE}=.{}", "a".repeat(43))], false),
            (vec![&format!("{COOKIE}x=1")], false),
            (vec![], false),
        ] {
            assert_eq!(ticket(&headers(&cookies)).is_some(), fine, "{cookies:?}");
        }
    }

    #[test]
    fn what_is_derived_differs_by_its_use() {
        let secret = fresh();
        assert_eq!(secret.expose().len(), 43);
        assert_eq!(derived(&secret, "csrf"), derived(&secret, "csrf"));
        assert_ne!(derived(&secret, "csrf"), derived(&secret, "state"));
        assert_ne!(derived(&secret, "csrf"), derived(&fresh(), "csrf"));
    }

    #[test]
    fn cookies_are_for_this_host_and_no_script() {
        let cookie = set(COOKIE, "x", 9);
        for part in ["__Host-", "Path=/;", "Secure", "HttpOnly", "SameSite=Lax", "Max-Age=9"] {
            assert!(cookie.contains(part), "{cookie}");
        }
        assert!(!cookie.contains("Domain"));
    }
}
