//! Answers: pages with their policy for contents, redirects within the console, and pages that say what went wrong.

use askama::Template;
use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;

use crate::ask::Refusal;
use crate::assets;
use crate::shown::Shown;

/// Nothing from elsewhere, no script but the one file, no frame, forms to this site alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::CONTENT_TYPE, "text/html; charset=utf-8"),
    // Without it browsers would not say where a form of this site comes from.
    (header::REFERRER_POLICY, "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];
/// The longest address that somebody is sent back to, in bytes.
const NEXT_BYTES_MAX: usize = 1000;
/// Where everything begins.
pub(crate) const HOME: &str = "/console";

/// A page.
pub(crate) fn html(status: StatusCode, page: &impl Template) -> Response<Body> {
    let Ok(text) = page.render() else {
        tracing::error!("a page could not be written");
        return (StatusCode::INTERNAL_SERVER_ERROR, "internal error: the page cannot be written").into_response();
    };
    let mut response = (status, text).into_response();
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// JSON for a script of ours.
pub(crate) fn document(status: StatusCode, value: &serde_json::Value) -> Response<Body> {
    let mut response = (status, value.to_string()).into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Sends the browser on, with GET. `to` is a path of the console, or the page of a configured issuer.
pub(crate) fn see_other(to: &str, cookies: &[String]) -> Response<Body> {
    let mut response = StatusCode::SEE_OTHER.into_response();
    let Ok(location) = HeaderValue::from_str(to) else {
        return (StatusCode::INTERNAL_SERVER_ERROR, "internal error: the address cannot be sent").into_response();
    };
    response.headers_mut().insert(header::LOCATION, location);
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
    response
}

/// The path that somebody wanted to see, if it is one of the console; else its beginning. Never another site.
pub(crate) fn next(wanted: &str) -> &str {
    let after = wanted.strip_prefix(HOME);
    let ours = after.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    let plain = wanted.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'#'));
    let calm = !wanted.contains("//") && !wanted.contains("..") && !wanted.starts_with("/console/sign-");
    if ours && plain && calm && wanted.len() <= NEXT_BYTES_MAX { wanted } else { HOME }
}

#[derive(Template)]
#[template(path = "trouble.html")]
struct TroublePage {
    css: String,
    title: &'static str,
    why: Shown,
    hint: Shown,
    again: bool,
}

/// A page that says what went wrong, for whoever is not signed in, or where nothing else can be shown.
pub(crate) fn trouble(status: StatusCode, title: &'static str, why: &str, hint: &str, again: bool) -> Response<Body> {
    let page = TroublePage { css: assets::css(), title, why: Shown::new(why), hint: Shown::new(hint), again };
    html(status, &page)
}

/// The same of what the API refused.
pub(crate) fn refused(no: &Refusal) -> Response<Body> {
    let status = StatusCode::from_u16(no.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let title = match no.status {
        403 => "You may not do this",
        404 => "Not there",
        503 => "Not now",
        _ => "That did not work",
    };
    trouble(status, title, no.why.as_str(), no.hint.as_str(), false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_site() {
        for wanted in ["/console", "/console/inbox", "/console?x=1", "/console/sessions?identity=a%2fb&denied=true"] {
            assert_eq!(next(wanted), wanted);
        }
        for wanted in [
            "",
            "/",
            "/consolex",
            "//evil.example",
            "https://evil.example/console",
            "/console//evil.example",
            "/console/\\evil.example",
            "\\\\evil.example",
            "/console/../evil",
            "/console\r\nLocation: x",
            "/console/\u{0}",
            "/console@evil.example",
            "javascript:alert(1)",
            "/console/sign-in?next=/console",
            "/console/sign-out",
            " /console",
        ] {
            assert_eq!(next(wanted), HOME, "{wanted:?}");
        }
        assert_eq!(next(&format!("/console/{}", "a".repeat(NEXT_BYTES_MAX))), HOME);
    }
}
