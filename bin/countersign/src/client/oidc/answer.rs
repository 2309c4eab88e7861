//! What a token endpoint answers: tokens (RFC 6749, 5.1) or an error (5.2).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::{Secret, Timestamp};
use serde::Deserialize;
use serde_json::Value;

use super::super::http::{Reply, said};

/// The longest token, in bytes; the gateway takes none that is longer.
pub(super) const TOKEN_BYTES_MAX: usize = 16 * 1024;
/// The longest error code, in characters.
const CODE_CHARS_MAX: usize = 64;
/// How far this machine's clock may be from the issuer's, in seconds. The gateway looks closer.
const CLOCK_S_MAX: i64 = 300;

#[derive(Deserialize)]
struct Raw {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    refresh_token: Option<String>,
    #[serde(default)]
    id_token: Option<String>,
}

/// Tokens.
#[derive(Debug)]
pub(super) struct Tokens {
    /// The access token.
    pub(super) access: Secret,
    /// The ID token.
    pub(super) id: Option<Secret>,
    /// The refresh token.
    pub(super) refresh: Option<Secret>,
}

impl Tokens {
    /// Reads them; `proved` says that a DPoP proof went along, so that the token may be bound by it.
    pub(super) fn read(reply: &Reply, proved: bool) -> Result<Self, String> {
        let raw: Raw = reply.json().map_err(|e| format!("the answer has no tokens: {e}"))?;
        let kind = raw.token_type.to_ascii_lowercase();
        if kind != "bearer" && !(kind == "dpop" && proved) {
            return Err(format!("the token is of the type \"{}\", which is not known", said(&raw.token_type)));
        }
        let optional = |name: &str, text: Option<String>| text.map(|t| token(name, t)).transpose();
        Ok(Self {
            access: token("access token", raw.access_token)?,
            id: optional("ID token", raw.id_token)?,
            refresh: optional("refresh token", raw.refresh_token)?,
        })
    }
}

/// A token: visible ASCII (RFC 6749, appendix A.12), and not too long.
pub(super) fn token(name: &str, text: String) -> Result<Secret, String> {
    let text = Secret::from(text);
    match text.expose().len() {
        0 => Err(format!("the {name} is empty")),
        n if n > TOKEN_BYTES_MAX => Err(format!("the {name} is longer than {TOKEN_BYTES_MAX} bytes")),
        _ if !text.expose().iter().all(u8::is_ascii_graphic) => {
            Err(format!("the {name} has characters that no token has"))
        }
        _ => Ok(text),
    }
}

/// The error code of a refusal, if there is one that looks like a code.
pub(super) fn error_code(reply: &Reply) -> Option<String> {
    let json: Value = reply.json().ok()?;
    let code = json.get("error")?.as_str()?;
    let plain = code.len() <= CODE_CHARS_MAX && code.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
    plain.then(|| code.to_owned())
}

/// What an ID token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) client: &'a str,
    /// What was sent with the request; `None` when nothing was.
    pub(super) nonce: Option<&'a str>,
    pub(super) now: Timestamp,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    exp: i64,
    #[serde(default)]
    azp: Option<String>,
    #[serde(default)]
    nonce: Option<String>,
}

/// Checks that an ID token is for this login (OpenID Connect Core, 3.1.3.7). It came straight from the token endpoint over TLS, which is
/// what vouches for it here; its signature is verified by the gateway.
pub(super) fn check_id_token(token: &Secret, wanted: &Wanted<'_>) -> Result<(), String> {
    let unreadable = || "the ID token cannot be read".to_owned();
    let text = token.expose_str().ok_or_else(unreadable)?;
    let [_, payload, _] = text.split('.').collect::<Vec<_>>()[..] else { return Err(unreadable()) };
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| unreadable())?;
    let claims: Claims = serde_json::from_slice(&payload).map_err(|_| unreadable())?;
    if claims.iss != wanted.issuer {
        return Err(format!("the ID token is of \"{}\"", said(&claims.iss)));
    }
    let for_us = match &claims.aud {
        Value::String(one) => one == wanted.client,
        Value::Array(all) => all.iter().any(|a| a.as_str() == Some(wanted.client)),
        _ => false,
    };
    if !for_us || claims.azp.is_some_and(|party| party != wanted.client) {
        return Err("the ID token is for another client".to_owned());
    }
    if wanted.nonce.is_some() && claims.nonce.as_deref() != wanted.nonce {
        return Err("the ID token is of another login: its nonce is not ours".to_owned());
    }
    if claims.exp.saturating_add(CLOCK_S_MAX) < wanted.now.unix_s() {
        return Err("the ID token has expired; is this machine's clock right?".to_owned());
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_read_and_hostile_answers_refused() {
        let longest = "x".repeat(TOKEN_BYTES_MAX);
        for (body, proved, fine) in [
            (json!({ "access_token": "a.b.c", "token_type": "Bearer" }), false, true),
            (
                json!({ "access_token": "a.b.c", "token_type": "bearer", "id_token": "x", "refresh_token": "r" }),
                false,
                true,
            ),
            (json!({ "access_token": "a.b.c", "token_type": "DPoP" }), true, true),
            (json!({ "access_token": "a.b.c", "token_type": "DPoP" }), false, false),
            (json!({ "access_token": "a.b.c", "token_type": "mac" }), true, false),
            (json!({ "access_token": "a.b.c" }), false, false),
            (json!({ "access_token": "", "token_type": "Bearer" }), false, false),
            (json!({ "access_token": longest, "token_type": "Bearer" }), false, true),
            (json!({ "access_token": format!("{longest}x"), "token_type": "Bearer" }), false, false),
            (json!({ "access_token": "a b", "token_type": "Bearer" }), false, false),
            (json!({ "access_token": "a\nb", "token_type": "Bearer" }), false, false),
            (json!({ "access_token": "é", "token_type": "Bearer" }), false, false),
            (json!({ "access_token": 7, "token_type": "Bearer" }), false, false),
            (json!({ "access_token": "a", "token_type": "Bearer", "refresh_token": "\u{1b}" }), false, false),
            (json!({ "access_token": "a", "token_type": "Bearer", "id_token": format!("{longest}x") }), false, false),
            (json!({ "error": "invalid_grant" }), false, false),
            (json!([]), false, false),
        ] {
            let got = Tokens::read(&Reply::new(200, &body.to_string()), proved);
            let shown: String = body.to_string().chars().take(120).collect();
            assert_eq!(got.is_ok(), fine, "{shown}: {got:?}");
        }
        for body in ["", "{", r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#] {
            assert!(Tokens::read(&Reply::new(200, body), false).is_err(), "{body}");
        }
    }

    #[test]
    fn error_codes_are_codes() {
        let longest = "x".repeat(CODE_CHARS_MAX);
        for (body, code) in [
            (json!({ "error": "slow_down" }), Some("slow_down")),
            (json!({ "error": longest }), Some(longest.as_str())),
            (json!({ "error": format!("{longest}x") }), None),
            (json!({ "error": "Slow Down" }), None),
            (json!({ "error": 7 }), None),
            (json!({}), None),
        ] {
            assert_eq!(error_code(&Reply::new(400, &body.to_string())).as_deref(), code);
        }
    }

    #[test]
    fn an_id_token_is_for_this_login() {
        let wanted =
            |nonce| Wanted { issuer: "https://id.example", client: "cli", nonce, now: Timestamp::from_unix_s(1000) };
        let good = json!({ "iss": "https://id.example", "aud": "cli", "exp": 1300, "nonce": "n" });
        let with = |name: &str, value: Value| {
            let mut claims = good.clone();
            claims[name] = value;
            claims
        };
        for (claims, nonce, fine) in [
            (good.clone(), Some("n"), true),
            (good.clone(), None, true),
            (with("aud", json!(["other", "cli"])), Some("n"), true),
            (with("exp", json!(700)), Some("n"), true),
            (with("exp", json!(699)), Some("n"), false),
            (with("exp", json!(i64::MIN)), Some("n"), false),
            (with("exp", Value::Null), Some("n"), false),
            (with("nonce", json!("m")), Some("n"), false),
            (with("nonce", Value::Null), Some("n"), false),
            (with("aud", json!("cli2")), Some("n"), false),
            (with("azp", json!("cli")), Some("n"), true),
            (with("azp", json!("other")), Some("n"), false),
            (with("azp", json!("other")), None, false),
            (with("aud", json!([])), Some("n"), false),
            (with("aud", json!({ "cli": "cli" })), Some("n"), false),
            (with("iss", json!("https://id.example/")), Some("n"), false),
        ] {
            let token = Secret::from(format!("e30.{}.sig", URL_SAFE_NO_PAD.encode(claims.to_string())));
            let got = check_id_token(&token, &wanted(nonce));
            assert_eq!(got.is_ok(), fine, "{claims} {nonce:?}: {got:?}");
        }
        for text in ["", "a", "a.b", "a.b.c", "e30.e30.e30", "a.b.c.d", "e30.!!.e30"] {
            assert!(check_id_token(&Secret::from(text.to_owned()), &wanted(None)).is_err(), "{text}");
        }
    }
}
