//! Keys that say themselves what they are: tokens with a known beginning, JSON Web Tokens, private keys.

use super::Detector as D;
use super::scan::Sink;
use super::view::{Found, LONG_BYTES_MAX, View, is_word};
use super::{Confidence, Detector};

/// The longest key with a known beginning, in bytes.
const KEY_BYTES_MAX: usize = 256;
/// How far before an anchor a key may begin.
const BEGIN_BYTES_MAX: usize = 40;
/// The shortest JSON Web Token that has a signature, in bytes.
const JWT_BYTES_MIN: usize = 40;

/// Beginnings, the fewest and most bytes that follow, and what they are. Of several that fit the first counts.
const KNOWN: [(&[u8], usize, usize, Detector); 33] = [
    (b"AKIA", 16, 16, D::AwsKey),
    (b"ASIA", 16, 16, D::AwsKey),
    (b"AIza", 35, 35, D::GcpKey),
    (b"GOCSPX-", 24, 40, D::GcpKey),
    (b"ghp_", 36, 251, D::GithubToken),
    (b"gho_", 36, 251, D::GithubToken),
    (b"ghu_", 36, 251, D::GithubToken),
    (b"ghs_", 36, 251, D::GithubToken),
    (b"ghr_", 36, 251, D::GithubToken),
    (b"github_pat_", 60, 120, D::GithubToken),
    (b"glpat-", 20, 60, D::GitlabToken),
    (b"gldt-", 20, 60, D::GitlabToken),
    (b"glrt-", 20, 60, D::GitlabToken),
    (b"glptt-", 20, 60, D::GitlabToken),
    (b"xoxb-", 20, 200, D::SlackToken),
    (b"xoxp-", 20, 200, D::SlackToken),
    (b"xoxa-", 20, 200, D::SlackToken),
    (b"xoxr-", 20, 200, D::SlackToken),
    (b"xoxs-", 20, 200, D::SlackToken),
    (b"xapp-", 20, 200, D::SlackToken),
    (b"sk_live_", 16, 200, D::StripeKey),
    (b"rk_live_", 16, 200, D::StripeKey),
    (b"sk_test_", 16, 200, D::StripeKey),
    (b"whsec_", 24, 80, D::StripeKey),
    (b"npm_", 36, 36, D::NpmToken),
    (b"pypi-AgE", 50, 240, D::PypiToken),
    (b"sk-ant-", 32, 200, D::AiKey),
    (b"sk-proj-", 32, 240, D::AiKey),
    (b"sk-svcacct-", 32, 240, D::AiKey),
    (b"sk-", 40, 64, D::AiKey),
    (b"hf_", 30, 40, D::AiKey),
    (b"gsk_", 48, 60, D::AiKey),
    (b"r8_", 36, 40, D::AiKey),
];

/// Looks at an anchor of keys that have no digit.
pub(super) fn visit(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let found = match view.at(at)? {
        b'-' if view.before(at) == Some(b'-') => private_key(view, at - 1)?,
        b'J' => jwt(view, at)?,
        b'_' if !ends_prefix(view, at) => None,
        _ => known(view, at),
    };
    Some(match found {
        Some(found) => {
            sink.push(view, &found);
            found.end
        }
        None => at + 1,
    })
}

/// True when the underscore at `at` may end the beginning of a key; most are in names of other things.
fn ends_prefix(view: &View<'_>, at: usize) -> bool {
    let Some(a) = at.checked_sub(2).and_then(|i| view.at(i)) else { return false };
    let Some(b) = view.before(at) else { return false };
    matches!(
        &[a, b],
        b"hp" | b"ho" | b"hu" | b"hs" | b"hr" | b"at" | b"ve" | b"st" | b"pm" | b"hf" | b"ec" | b"sk" | b"r8"
    )
}

/// A key around `at`.
pub(super) fn known(view: &View<'_>, at: usize) -> Option<Found> {
    let part = |b: u8| is_word(b) || b == b'-';
    let first = at.saturating_sub(BEGIN_BYTES_MAX).max(view.floor);
    let behind = view.slice(first..at + 1);
    let reach = behind.iter().rev().take_while(|b| part(**b)).count();
    let run = at + 1 - reach;
    // A part of a name may be a key: key_ghp_...
    let starts = (run..=at).filter(|s| *s == run || matches!(view.before(*s), Some(b'-' | b'_')));
    for start in starts {
        let Some(first @ (b'A' | b'G' | b'g' | b'x' | b's' | b'r' | b'w' | b'n' | b'p' | b'h')) = view.at(start) else {
            continue;
        };
        let ahead = view.ahead(start);
        let begins = |(p, ..): &&(&[u8], usize, usize, Detector)| p.first() == Some(&first) && ahead.starts_with(p);
        let Some((prefix, least, most, detector)) = KNOWN.iter().find(begins) else { continue };
        let body = start + prefix.len();
        let end = view.run_end(body, KEY_BYTES_MAX, part);
        let trimmed = body + view.slice(body..end).iter().rposition(|b| *b != b'-').map_or(0, |i| i + 1);
        let end = if trimmed - body < *least { end } else { trimmed };
        let upper = |b: &u8| b.is_ascii_uppercase() || b.is_ascii_digit();
        let plain = *detector != D::AwsKey || view.slice(body..end).iter().all(upper);
        // A word that merely begins like a key has no mixture of letters and digits.
        let mixed = *detector == D::AwsKey || is_mixed(view.slice(body..end));
        if (*least..=*most).contains(&(end - body)) && plain && mixed {
            return Some(Found::new(start, end, *detector, Confidence::Certain));
        }
    }
    None
}

/// True when the bytes look drawn at random rather than written: letters of both cases, or letters and digits.
fn is_mixed(body: &[u8]) -> bool {
    let digit = body.iter().any(u8::is_ascii_digit);
    let lower = body.iter().any(u8::is_ascii_lowercase);
    let upper = body.iter().any(u8::is_ascii_uppercase);
    let different = body.iter().zip(body.iter().skip(1)).filter(|(a, b)| a != b).count();
    (u8::from(digit) + u8::from(lower) + u8::from(upper)) >= 2 && different * 2 > body.len()
}

/// A JSON Web Token some byte of whose first part is at `at`; the outer `None` when more must be seen.
#[expect(clippy::option_option, reason = "nothing there, and not known yet, are different answers")]
pub(super) fn jwt(view: &View<'_>, at: usize) -> Option<Option<Found>> {
    let token = |b: u8| is_word(b) || b == b'-';
    let Some(start) = view.run_start(at, BEGIN_BYTES_MAX, token) else { return Some(None) };
    if !view.slice(start..start + 3).eq(b"eyJ") {
        return Some(None);
    }
    // Decided by what is near, before looking far.
    let near = view.ahead(start);
    if let Some(dot) = near.iter().position(|b| !token(*b)) {
        let payload = near.get(dot + 1..dot + 5).is_some_and(|p| p.iter().all(|b| token(*b)));
        if dot < 10 || near.get(dot) != Some(&b'.') || !payload {
            return Some(None);
        }
    }
    let part = |b: &u8| token(*b) || *b == b'.';
    let end = view.long_ahead(start, |text| text.iter().position(|b| !part(b)))?;
    let text = view.slice(start..end);
    let text = text.strip_suffix(b".").filter(|t| t.iter().filter(|b| **b == b'.').count() > 1).unwrap_or(text);
    let mut parts = text.split(|b| *b == b'.');
    let (header, payload) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let fits = header.len() >= 10 && payload.len() >= 4 && text.len() >= JWT_BYTES_MIN;
    Some(fits.then(|| Found::new(start, start + text.len(), D::Jwt, Confidence::Certain)))
}

/// A private key that begins at `start`, to its end; the outer `None` when more must be seen.
#[expect(clippy::option_option, reason = "nothing there, and not known yet, are different answers")]
fn private_key(view: &View<'_>, start: usize) -> Option<Option<Found>> {
    const BEGIN: &[u8] = b"-----BEGIN ";
    const LABEL_BYTES_MAX: usize = 40;
    let ahead = view.ahead(start);
    let Some(label) = ahead.strip_prefix(BEGIN) else { return Some(None) };
    let label = label.get(..LABEL_BYTES_MAX).unwrap_or(label);
    let Some(label) = position(label, b"-----").and_then(|end| label.get(..end)) else { return Some(None) };
    if position(label, b"PRIVATE KEY").is_none() {
        return Some(None);
    }
    let end = view.long_ahead(start, |text| {
        let close = position(text, b"-----END ")? + b"-----END ".len();
        Some(close + position(text.get(close..)?, b"-----")? + b"-----".len())
    })?;
    debug_assert!(end - start <= LONG_BYTES_MAX, "a look ahead has a limit");
    Some(Some(Found::new(start, end, D::PrivateKey, Confidence::Certain)))
}

/// Where a short needle is; linear, because its first byte is rare in what it is looked for in.
pub(super) fn position(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|w| w == needle)
}
