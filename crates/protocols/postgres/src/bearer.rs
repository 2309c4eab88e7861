//! SASL OAUTHBEARER, as PostgreSQL 18 speaks it: reading the client's messages, and saying where tokens come from.
//!
//! Source: RFC 7628, sections 3.1 to 3.2.2; RFC 6750, section 2.1; PostgreSQL documentation, "SASL Authentication". It must never let a
//! part of a token into an error.

use std::fmt::Write as _;

use bytes::Bytes;
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

use crate::wire::Fields;

/// The mechanism's name.
pub(crate) const MECHANISM: &str = "OAUTHBEARER";

/// Between the parts of a message, and the whole of the last one.
const SEPARATOR: u8 = 1;

/// What a client said of its token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    /// This is it.
    Token(&'a [u8]),
    /// It has none, and wants to know where to get one.
    Nothing,
}

/// The mechanism's message within a `SASLInitialResponse`; `None` when the client left it out.
///
/// # Errors
/// When another mechanism was chosen, or the message is malformed.
pub(crate) fn initial(body: &[u8]) -> Result<Option<&[u8]>, Denial> {
    let mut f = Fields(body);
    let Some(mechanism) = f.cstr() else { return Err(malformed("it has no mechanism")) };
    if mechanism != MECHANISM.as_bytes() {
        return Err(malformed("the mechanism is not one that was offered"));
    }
    match f.i32() {
        Some(-1) if f.0.is_empty() => Ok(None),
        Some(n) if usize::try_from(n) == Ok(f.0.len()) => Ok(Some(f.0)),
        _ => Err(malformed("its length does not fit")),
    }
}

/// Reads the mechanism's message: `n,,` and then `key=value` pairs, of which `auth` counts.
///
/// # Errors
/// When it is malformed.
pub(crate) fn read(message: &[u8]) -> Result<Said<'_>, Denial> {
    // `p` would bind to the channel, which this mechanism has no way to do; `y` says that the client could, and we not.
    let rest = match message {
        [b'n' | b'y', b',', rest @ ..] => rest,
        _ => return Err(malformed("it must begin with \"n,\"")),
    };
    let rest = match rest {
        [b',', SEPARATOR, rest @ ..] => rest,
        [b'a', b'=', ..] => {
            return Err(malformed(
                "an authorization identity cannot be given: the user name is in the start-up message",
            ));
        }
        _ => return Err(malformed("it must begin with \"n,,\" and a separator")),
    };
    let Some(pairs) = rest.strip_suffix(&[SEPARATOR]) else { return Err(malformed("it has no end")) };
    let mut auth = None;
    for pair in pairs.split_inclusive(|b| *b == SEPARATOR) {
        let Some(pair) = pair.strip_suffix(&[SEPARATOR]) else { return Err(malformed("a value has no end")) };
        let equals = pair.iter().position(|b| *b == b'=').filter(|n| *n > 0);
        let Some((key, value)) = equals.and_then(|n| pair.split_at_checked(n)) else {
            return Err(malformed("it holds something that is no key and value"));
        };
        if !key.iter().all(u8::is_ascii_alphabetic) {
            return Err(malformed("a key holds more than letters"));
        }
        // Other keys, such as host and port, say nothing to us; the RFC wants them passed over.
        if key == b"auth" && auth.replace(value.get(1..).unwrap_or_default()).is_some() {
            return Err(malformed("it holds two tokens"));
        }
    }
    token(auth.ok_or_else(|| malformed("it holds no auth value"))?)
}

/// The token of `Bearer TOKEN`.
fn token(auth: &[u8]) -> Result<Said<'_>, Denial> {
    const SCHEME: &[u8] = b"Bearer";
    if auth.is_empty() {
        return Ok(Said::Nothing);
    }
    let (scheme, rest) = auth.split_at_checked(SCHEME.len()).unwrap_or((auth, &[]));
    if !scheme.eq_ignore_ascii_case(SCHEME) || rest.first().is_some_and(|b| *b != b' ') {
        return Err(malformed("its auth value is not of the scheme Bearer"));
    }
    let token = rest.trim_ascii_start();
    if token.is_empty() {
        return Ok(Said::Nothing);
    }
    let padding = token.iter().rev().take_while(|b| **b == b'=').count();
    let (body, _) = token.split_at_checked(token.len() - padding).unwrap_or((token, &[]));
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._~+/".contains(b);
    if body.is_empty() || !body.iter().all(fits) {
        return Err(malformed("the token holds bytes that no token has"));
    }
    Ok(Said::Token(token))
}

/// The end of an exchange in which the client had no token and was told where to get one. What it says to that must be a lone separator.
pub(crate) fn no_token(message: &[u8]) -> Denial {
    if message != [SEPARATOR] {
        return malformed("after a refusal it must be a lone separator");
    }
    Denial::new(Culprit::Client, DenialCode::Unauthenticated, ClientText::new("no token was given"))
        .hint(ClientText::new("Get one from the issuer that the gateway named, and connect again with it."))
}

/// What a client without a token is told (RFC 7628, 3.2.2).
pub(crate) fn challenge(issuer: &str, scope: &str) -> Bytes {
    let mut out = String::from(r#"{"status":"invalid_token""#);
    if !issuer.is_empty() {
        out.push_str(r#","openid-configuration":""#);
        escape(&mut out, issuer.trim_end_matches('/'));
        out.push_str("/.well-known/openid-configuration\"");
    }
    if !scope.is_empty() {
        out.push_str(r#","scope":""#);
        escape(&mut out, scope);
        out.push('"');
    }
    out.push('}');
    out.into()
}

/// RFC 8259, section 7.
fn escape(out: &mut String, s: &str) {
    for c in s.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            // Writing to a string cannot fail.
            c if c < ' ' => drop(write!(out, "\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
}

fn malformed(why: &'static str) -> Denial {
    let text = ClientText::new("protocol violation: the OAUTHBEARER message is malformed: ").and(why);
    Denial::new(Culprit::Client, DenialCode::Protocol, text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages() {
        const JWT: &[u8] = b"eyJh.eyJz.c2ln-_~+/==";
        for (message, want) in [
            (&b"n,,\x01auth=Bearer eyJh.eyJz.c2ln-_~+/==\x01\x01"[..], Some(Said::Token(JWT))),
            (b"y,,\x01auth=bearer   eyJh.eyJz.c2ln-_~+/==\x01\x01", Some(Said::Token(JWT))),
            (b"n,,\x01host=gw\x01port=5432\x01auth=Bearer eyJh.eyJz.c2ln-_~+/==\x01\x01", Some(Said::Token(JWT))),
            (b"n,,\x01auth=Bearer eyJh.eyJz.c2ln-_~+/==\x01later=x=y\x01\x01", Some(Said::Token(JWT))),
            (b"n,,\x01auth=\x01\x01", Some(Said::Nothing)),
            (b"n,,\x01auth=Bearer\x01\x01", Some(Said::Nothing)),
            (b"n,,\x01auth=Bearer  \x01\x01", Some(Said::Nothing)),
            (b"", None),
            (b"n", None),
            (b"n,", None),
            (b"n,,", None),
            (b"n,,\x01", None),
            (b"n,,\x01\x01", None),
            (b"n,,auth=Bearer x\x01\x01", None),
            (b"n,,\x01auth=Bearer x\x01", None),
            (b"n,,\x01auth=Bearer x", None),
            (b"n,,\x01auth=Bearer x\x01\x01\x01", None),
            (b"n,,\x01auth=Bearer x\x01\x01more", None),
            (b"n,,\x01auth=Bearer x\x01auth=Bearer y\x01\x01", None),
            (b"n,,\x01auth=Basic x\x01\x01", None),
            (b"n,,\x01auth=Bearerx\x01\x01", None),
            (b"n,,\x01auth=Bearer x y\x01\x01", None),
            (b"n,,\x01auth=Bearer ====\x01\x01", None),
            (b"n,,\x01auth=Bearer x=y\x01\x01", None),
            (b"n,,\x01auth=Bearer x\0y\x01\x01", None),
            (b"n,,\x01auth=Bearer \xff\x01\x01", None),
            (b"n,,\x01=Bearer x\x01\x01", None),
            (b"n,,\x01au th=Bearer x\x01\x01", None),
            (b"n,,\x01auth\x01\x01", None),
            (b"n,a=dora,\x01auth=Bearer x\x01\x01", None),
            (b"p=tls-exporter,,\x01auth=Bearer x\x01\x01", None),
            (b"x,,\x01auth=Bearer x\x01\x01", None),
        ] {
            let got = read(message);
            if let Err(denial) = &got {
                assert_eq!(denial.code, DenialCode::Protocol);
                assert!(!denial.to_string().contains("x y"), "{denial}");
            }
            assert_eq!(got.ok(), want, "{}", String::from_utf8_lossy(message));
        }
    }

    #[test]
    fn initial_responses() {
        for (body, want) in [
            (&b"OAUTHBEARER\0\0\0\0\x02ab"[..], Some(Some(&b"ab"[..]))),
            (b"OAUTHBEARER\0\0\0\0\0", Some(Some(b""))),
            (b"OAUTHBEARER\0\xff\xff\xff\xff", Some(None)),
            (b"OAUTHBEARER\0\xff\xff\xff\xffab", None),
            (b"OAUTHBEARER\0\xff\xff\xff\xfe", None),
            (b"OAUTHBEARER\0\0\0\0\x03ab", None),
            (b"OAUTHBEARER\0\0\0\0\x01ab", None),
            (b"OAUTHBEARER\0\0\0", None),
            (b"OAUTHBEARER", None),
            (b"SCRAM-SHA-256\0\0\0\0\0", None),
        ] {
            assert_eq!(initial(body).ok(), want, "{}", String::from_utf8_lossy(body));
        }
    }

    #[test]
    fn the_challenge_is_json() {
        for (issuer, scope, want) in [
            ("", "", r#"{"status":"invalid_token"}"#),
            (
                "https://id.example.com/",
                "openid \"x\"\n",
                r#"{"status":"invalid_token","openid-configuration":"https://id.example.com/.well-known/openid-configuration","scope":"openid \"x\"\u000a"}"#,
            ),
        ] {
            assert_eq!(challenge(issuer, scope), want);
        }
    }
}
