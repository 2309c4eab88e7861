//! Colons: passwords in URLs (RFC 3986, section 3.2.1), addresses with colons, and names that something is assigned to.

use super::scan::Sink;
use super::view::{Found, View};
use super::{Confidence, Detector, address, secret};

/// The longest user and password of a URL, in bytes.
const USERINFO_BYTES_MAX: usize = 256;

/// Looks at the colon at `at`. `None` when more must be seen.
pub(super) fn colon(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    if view.ahead(at).starts_with(b"://") {
        let found = password(view, at + 3);
        if let Some(found) = found {
            sink.push(view, &found);
        }
        return Some(found.map_or(at + 3, |f| f.end));
    }
    if let Some(found) = address::with_colons(view, at) {
        sink.push(view, &found);
        return Some(found.end);
    }
    secret::assignment(view, at, sink)
}

/// The password of a URL whose authority begins at `start`.
fn password(view: &View<'_>, start: usize) -> Option<Found> {
    let ends =
        |b: &u8| b.is_ascii_whitespace() || matches!(b, b'/' | b'?' | b'#' | b'"' | b'\'' | b'<' | b'>' | b'\\' | b'`');
    let authority = view.ahead(start);
    let authority = authority.get(..USERINFO_BYTES_MAX).unwrap_or(authority);
    let authority = authority.split(ends).next()?;
    let userinfo = authority.get(..authority.iter().rposition(|b| *b == b'@')?)?;
    let colon = userinfo.iter().position(|b| *b == b':')?;
    let password = userinfo.get(colon + 1..)?;
    // Variables and masks are no passwords.
    let placeholder =
        matches!(password, [] | [b'$' | b'{' | b'<' | b'[' | b'%', ..]) || password.iter().all(|b| *b == b'*');
    let from = start + colon + 1;
    (!placeholder).then(|| Found::new(from, from + password.len(), Detector::Connection, Confidence::Certain))
}
