//! What pages load: a style sheet and three scripts, compiled in, named by their digest so that browsers may keep them.

use std::sync::LazyLock;

use axum::body::Body;
use axum::extract::Path;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse as _;
use sha2::{Digest as _, Sha256};

const CSS: &str = include_str!("../assets/console.css");
/// htmx 2.0.11, Zero-Clause BSD: assets/htmx-LICENSE.
const SCRIPT: &str = include_str!("../assets/htmx-2.0.11.min.js");
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Ours: asks security keys.
const KEYS: &str = include_str!("../assets/factor.js");
/// Ours: keeps a page up to date.
const LIVE: &str = include_str!("../assets/live.js");

static CSS_NAME: LazyLock<String> = LazyLock::new(|| named("console", "css", CSS));
static SCRIPT_NAME: LazyLock<String> = LazyLock::new(|| named("htmx", "js", SCRIPT));

static KEYS_NAME: LazyLock<String> = LazyLock::new(|| named("factor", "js", KEYS));
static LIVE_NAME: LazyLock<String> = LazyLock::new(|| named("live", "js", LIVE));

fn named(stem: &str, kind: &str, content: &str) -> String {
    let digest: String = Sha256::digest(content.as_bytes()).iter().take(8).map(|b| format!("{b:02x}")).collect();
    format!("{stem}-{digest}.{kind}")
}

/// The style sheet's path.
pub(crate) fn css() -> String {
    format!("/console/static/{}", *CSS_NAME)
}

/// The script's path.
pub(crate) fn script() -> String {
    format!("/console/static/{}", *SCRIPT_NAME)
}

/// The path of the script that asks security keys.
pub(crate) fn keys() -> String {
    format!("/console/static/{}", *KEYS_NAME)
}

/// The path of the script that keeps a page up to date.
pub(crate) fn live() -> String {
    format!("/console/static/{}", *LIVE_NAME)
}

/// `GET /console/static/{name}`: exactly what there is.
pub(crate) async fn serve(Path(name): Path<String>) -> Response<Body> {
    let (kind, content) = if name == *CSS_NAME {
        ("text/css; charset=utf-8", CSS)
    } else if name == *SCRIPT_NAME {
        ("text/javascript; charset=utf-8", SCRIPT)
    } else if name == *KEYS_NAME {
        ("text/javascript; charset=utf-8", KEYS)
    } else if name == *LIVE_NAME {
        ("text/javascript; charset=utf-8", LIVE)
    } else {
        return (StatusCode::NOT_FOUND, "there is nothing at this path").into_response();
    };
    let mut response = content.into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, KEPT);
    response
}
