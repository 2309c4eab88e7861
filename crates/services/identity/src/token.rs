//! The compact form of a signed token, taken apart strictly and without trusting any of it.
//!
//! What is read here decides only which configured issuer and key to verify with. Must never log or keep the token.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::Rejection;
use crate::spiffe::{SCHEME, SpiffeId};
use crate::strict_json;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The longest `kid`, in bytes.
const KID_BYTES_MAX: usize = 256;

/// Header parameters that let a token bring its own key.
const KEY_BRINGERS: [&str; 4] = ["jku", "x5u", "jwk", "x5c"];
/// Header parameters that change how the rest is to be read.
const FORM_CHANGERS: [&str; 3] = ["crit", "b64", "zip"];

/// A token's parts, unverified.
#[derive(Clone)]
pub struct Unverified<'t> {
    /// `alg` as written.
    pub algorithm: String,
    /// `kid` as written. It is compared with the issuer's keys and used for nothing else.
    pub key_id: Option<String>,
    /// The header's `typ` as written.
    pub token_type: Option<String>,
    /// `iss` as written. A JWT-SVID need not have one: then the trust domain that its `sub` says.
    pub issuer: String,
    /// All claims.
    pub claims: Map<String, Value>,
    /// Whether the header has parameters besides `alg`, `kid` and `typ`.
    pub(crate) has_more_parameters: bool,
    /// What was signed.
    pub(crate) signed: &'t str,
    /// The signature, still in base64url.
    pub(crate) signature: &'t str,
}

/// It holds a token: what is shown of it is only what helps to tell tokens apart.
impl std::fmt::Debug for Unverified<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unverified")
            .field("issuer", &self.issuer)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

/// Takes a token apart.
///
/// # Errors
/// When it is too long, not three parts of strict base64url with strict JSON inside, encrypted or nested, brings its own key,
/// or has no usable `alg` or `iss`.
pub fn parse_unverified(token: &str) -> Result<Unverified<'_>, Rejection> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Rejection::TooLarge { limit_bytes: TOKEN_BYTES_MAX });
    }
    let Compact { header, claims, signed, signature } = compact(token, false)?;
    let (algorithm, key_id, token_type) = read_header(&header)?;
    let subject = claims.get("sub").and_then(Value::as_str).filter(|sub| sub.starts_with(SCHEME));
    let issuer = match (claims.get("iss"), subject) {
        (Some(Value::String(iss)), _) => iss.clone(),
        (Some(_), _) => return Err(Rejection::claim("iss", "is not a string")),
        (None, Some(id)) => {
            SpiffeId::parse(id).map_err(|fault| Rejection::claim("sub", fault.as_str()))?.trust_domain_id().to_owned()
        }
        (None, None) => return Err(Rejection::claim("iss", "is missing")),
    };
    let has_more_parameters = header.keys().any(|k| !["alg", "kid", "typ"].contains(&k.as_str()));
    Ok(Unverified { algorithm, key_id, token_type, issuer, claims, has_more_parameters, signed, signature })
}

/// A compact JWS taken apart (RFC 7515, 3.1), unverified.
pub(crate) struct Compact<'t> {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) signed: &'t str,
    pub(crate) signature: &'t str,
}

/// Three parts of strict base64url with strict JSON inside, and a header that is not refused: it may bring a key (`jwk`) where
/// `own_key` says so.
pub(crate) fn compact(token: &str, own_key: bool) -> Result<Compact<'_>, Rejection> {
    let malformed = |why: &str| Rejection::Malformed(why.to_owned());
    let (signed, signature) = token.rsplit_once('.').ok_or_else(|| malformed("no dots"))?;
    let (header, payload) = signed.split_once('.').ok_or_else(|| malformed("one dot, not two"))?;
    match payload.matches('.').count() {
        0 => {}
        2 => return Err(Rejection::Encrypted),
        _ => return Err(malformed("not three parts")),
    }
    let decode = |part: &str, which: &str| {
        URL_SAFE_NO_PAD.decode(part).map_err(|_| Rejection::Malformed(format!("the {which} is not base64url")))
    };
    let object = |bytes: &[u8], which: &str| {
        strict_json::object(bytes).map_err(|why| Rejection::Malformed(format!("the {which}: {why}")))
    };
    let header = object(&decode(header, "header")?, "header")?;
    check_header(&header, own_key)?;
    let claims = object(&decode(payload, "payload")?, "payload")?;
    decode(signature, "signature")?;
    Ok(Compact { header, claims, signed, signature })
}

/// Refuses a header that would bring a key in a way that is not asked for, or change how the rest is to be read.
fn check_header(header: &Map<String, Value>, own_key: bool) -> Result<(), Rejection> {
    // Parameters are looked for whatever their case: a lenient reader elsewhere may have looked for them so.
    let asked_for = |k: &str| own_key && k == "jwk";
    let has = |name: &str| header.keys().any(|k| k.eq_ignore_ascii_case(name) && !asked_for(k));
    if let Some(name) = KEY_BRINGERS.into_iter().chain(FORM_CHANGERS).find(|n| has(n)) {
        return Err(Rejection::Header(name));
    }
    if has("enc") || has("cty") {
        return Err(Rejection::Encrypted);
    }
    Ok(())
}

fn read_header(header: &Map<String, Value>) -> Result<(String, Option<String>, Option<String>), Rejection> {
    let text = |name: &'static str| match header.get(name) {
        None => Ok(None),
        Some(Value::String(s)) => Ok(Some(s.clone())),
        Some(_) => Err(Rejection::Malformed(format!("the header's {name} is not a string"))),
    };
    let algorithm = text("alg")?.ok_or_else(|| Rejection::Malformed("the header has no alg".to_owned()))?;
    let key_id = text("kid")?;
    if let Some(kid) = &key_id
        && (kid.is_empty() || kid.len() > KID_BYTES_MAX || !kid.bytes().all(|b| b.is_ascii_graphic()))
    {
        return Err(Rejection::UnknownKey("its kid is not 1 to 256 printable ASCII characters"));
    }
    Ok((algorithm, key_id, text("typ")?))
}

/// Untrusted text made fit for a log line: printable and short.
pub(crate) fn shown(s: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 120;
    let mut chars = s.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut out: String = chars.by_ref().take(SHOWN_CHARS_MAX).collect();
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn jwt(header: &str, payload: &str) -> String {
        format!(
            "{}.{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(payload),
            URL_SAFE_NO_PAD.encode("s")
        )
    }

    #[test]
    fn only_strict_compact_tokens_are_taken_apart() {
        let good = jwt(r#"{"alg":"ES256"}"#, r#"{"iss":"https://i"}"#);
        let cases: Vec<(String, Option<&str>)> = vec![
            (good.clone(), None),
            (String::new(), Some("malformed")),
            ("a.b".into(), Some("malformed")),
            (format!("{good}."), Some("malformed")),
            (format!("{good}.x.y"), Some("encrypted")),
            (format!("{good}="), Some("malformed")),
            (format!(" {good}"), Some("malformed")),
            (format!("{good}\n"), Some("malformed")),
            (good.replacen('.', "+.", 1), Some("malformed")),
            // The last character of a part carries spare bits that must be zero.
            (format!("{}.cx", good.rsplit_once('.').unwrap().0), Some("malformed")),
            (jwt(r#"{"alg":"ES256","alg":"none"}"#, r#"{"iss":"https://i"}"#), Some("malformed")),
            (jwt(r#"{"alg":"ES256"}"#, r#"{"iss":"a","iss":"https://i"}"#), Some("malformed")),
            (jwt(r#"{"alg":["ES256"]}"#, r#"{"iss":"https://i"}"#), Some("malformed")),
            (jwt("{}", r#"{"iss":"https://i"}"#), Some("malformed")),
            (jwt(r#"{"alg":"ES256"}"#, "{}"), Some("claim")),
            (jwt(r#"{"alg":"ES256"}"#, r#"{"iss":["https://i"]}"#), Some("claim")),
        ];
        for (token, want) in cases {
            assert_eq!(parse_unverified(&token).err().map(|r| r.as_str()), want, "{token}");
        }
    }

    #[test]
    fn adv_082_tokens_that_bring_their_own_key_are_refused() {
        for (member, want) in [
            (r#""jku":"https://evil.example/jwks""#, Some("header")),
            (r#""JKU":"https://evil.example/jwks""#, Some("header")),
            (r#""x5u":"https://evil.example/cert""#, Some("header")),
            (r#""jwk":{"kty":"EC"}"#, Some("header")),
            (r#""x5c":["MIIB"]"#, Some("header")),
            (r#""crit":["b64"],"b64":false"#, Some("header")),
            (r#""zip":"DEF""#, Some("header")),
            (r#""enc":"A256GCM""#, Some("encrypted")),
            (r#""cty":"JWT""#, Some("encrypted")),
            (r#""kid":7"#, Some("malformed")),
            (r#""kid":"""#, Some("unknown_key")),
            (r#""kid":"a\u0000b""#, Some("unknown_key")),
            (r#""kid":"a b""#, Some("unknown_key")),
            (r#""kid":"../../etc/passwd""#, None),
            (r#""x5t":"abc","kid":"1""#, None),
        ] {
            let token = jwt(&format!(r#"{{"alg":"ES256",{member}}}"#), r#"{"iss":"https://i"}"#);
            assert_eq!(parse_unverified(&token).err().map(|r| r.as_str()), want, "{member}");
        }
    }

    #[test]
    fn limits_hold_at_their_edges() {
        let padded = |n: usize| jwt(r#"{"alg":"ES256"}"#, &format!(r#"{{"iss":"https://i","x":"{}"}}"#, "x".repeat(n)));
        let mut n = 12_000;
        while padded(n + 1).len() <= TOKEN_BYTES_MAX {
            n += 1;
        }
        assert!(parse_unverified(&padded(n)).is_ok());
        assert_eq!(parse_unverified(&padded(n + 3)).unwrap_err().as_str(), "too_large");
        let kid = |n: usize| jwt(&format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(n)), r#"{"iss":"https://i"}"#);
        assert!(parse_unverified(&kid(KID_BYTES_MAX)).is_ok());
        assert!(parse_unverified(&kid(KID_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn debug_shows_no_token() {
        let token = jwt(r#"{"alg":"ES256"}"#, r#"{"iss":"https://i","secret":"hunter2"}"#);
        let shown = format!("{:?}", parse_unverified(&token).unwrap());
        assert!(!shown.contains("hunter2") && !shown.contains("eyJ"), "{shown}");
    }
}
