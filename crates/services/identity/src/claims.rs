//! The rules that a token's claims must keep once its signature holds: when, for whom, of which kind.
//!
//! Time is an input. Must never forgive more than the issuer's leeway, nor read a claim under another spelling.

use countersign_model::Timestamp;
use serde_json::{Map, Value};

use crate::Rejection;
use crate::config::IssuerConfig;
use crate::confirmation;
use crate::names;
use crate::token::{Unverified, shown};

/// The last second that a time claim may name: the end of the year 9999.
const TIME_S_MAX: i64 = 253_402_300_799;
/// The most audiences that one token may list.
const AUDIENCES_MAX: usize = 32;
/// What only ID tokens have.
const ID_TOKEN_MARKS: [&str; 4] = ["nonce", "at_hash", "c_hash", "s_hash"];
/// What only notices to relying parties have.
const EVENT_MARKS: [&str; 2] = ["events", "toe"];

/// When a token was issued and when it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Times {
    pub(crate) issued_at: Timestamp,
    pub(crate) expires_at: Timestamp,
}

/// Checks the header's `typ` against the issuer's list.
pub(crate) fn check_type(c: &IssuerConfig, header_type: Option<&str>) -> Result<(), Rejection> {
    let bare = |t: &str| {
        let t = t.to_ascii_lowercase();
        t.strip_prefix("application/").map(str::to_owned).unwrap_or(t)
    };
    let got = bare(header_type.unwrap_or_default());
    if c.types.iter().any(|t| bare(t) == got) {
        return Ok(());
    }
    Err(Rejection::Type(format!("its typ is \"{}\"", shown(&got))))
}

/// Checks everything but the mapping.
pub(crate) fn check_claims(c: &IssuerConfig, token: &Unverified<'_>, now: Timestamp) -> Result<Times, Rejection> {
    let claims = &token.claims;
    check_meaning(c, claims)?;
    let issued_at = time(claims, "iat")?.ok_or_else(|| Rejection::claim("iat", "is missing"))?;
    check_times(c, claims, issued_at, now)
}

/// The same for a JWT-SVID, which need not say when it was issued (JWT-SVID, 3): without that it counts as old as it can be.
pub(crate) fn check_svid_claims(c: &IssuerConfig, token: &Unverified<'_>, now: Timestamp) -> Result<Times, Rejection> {
    let claims = &token.claims;
    check_meaning(c, claims)?;
    if let Some(issued_at) = time(claims, "iat")? {
        return check_times(c, claims, issued_at, now);
    }
    let expires_at = time(claims, "exp")?.ok_or_else(|| Rejection::claim("exp", "is missing"))?;
    let lifetime_s = expires_at.since_us(now).div_ceil(1_000_000);
    if lifetime_s > c.max_token_lifetime_s {
        return Err(Rejection::Lifetime { lifetime_s, limit_s: c.max_token_lifetime_s });
    }
    let oldest = expires_at.unix_us().saturating_sub(seconds_us(c.max_token_lifetime_s));
    check_times(c, claims, Timestamp::from_unix_us(oldest), now)
}

fn check_meaning(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<(), Rejection> {
    if names::collide(claims.keys().map(String::as_str)) {
        return Err(Rejection::claim("*", "names differ only in case or form"));
    }
    check_kind_of_token(c, claims)?;
    check_audience(c, claims)?;
    check_party(c, claims)
}

fn check_kind_of_token(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<(), Rejection> {
    if let Some(mark) = EVENT_MARKS.into_iter().find(|m| claims.contains_key(*m)) {
        return Err(Rejection::Type(format!("it is a notice of events (\"{mark}\")")));
    }
    // Keycloak and Cognito say in a claim which of their tokens it is.
    for (name, good) in [("typ", ["bearer", "dpop", "at+jwt"]), ("token_use", ["access", "access", "access"])] {
        let Some(value) = claims.get(name) else { continue };
        let kind = value.as_str().ok_or_else(|| Rejection::claim(name, "is not a string"))?.to_ascii_lowercase();
        if kind == "id" {
            if !c.accept_id_tokens {
                return Err(Rejection::IdToken(name));
            }
        } else if !good.contains(&kind.as_str()) {
            return Err(Rejection::Type(format!("its claim {name} is \"{}\"", shown(&kind))));
        }
    }
    if !c.accept_id_tokens
        && let Some(mark) = ID_TOKEN_MARKS.into_iter().find(|m| claims.contains_key(*m))
    {
        return Err(Rejection::IdToken(mark));
    }
    Ok(())
}

fn check_audience(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<(), Rejection> {
    // What binds a token to a key is looked at with the key, in `confirmation`.
    let meant =
        |aud: &str| c.audiences.iter().any(|ours| ours == aud) || confirmation::bound_audience(c, aud).is_some();
    match claims.get("aud") {
        None => Err(Rejection::claim("aud", "is missing")),
        Some(Value::String(aud)) => meant(aud).then_some(()).ok_or(Rejection::Audience),
        Some(Value::Array(list)) => {
            if list.len() > AUDIENCES_MAX {
                return Err(Rejection::claim("aud", "lists too many audiences"));
            }
            let mut found = false;
            for aud in list {
                found |=
                    meant(aud.as_str().ok_or_else(|| Rejection::claim("aud", "lists something that is not a string"))?);
            }
            found.then_some(()).ok_or(Rejection::Audience)
        }
        Some(_) => Err(Rejection::claim("aud", "is neither a string nor a list")),
    }
}

fn check_party(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<(), Rejection> {
    if c.authorized_parties.is_empty() {
        return Ok(());
    }
    let party = claims.get("azp").or_else(|| claims.get("client_id")).and_then(Value::as_str);
    match party {
        Some(party) if c.authorized_parties.iter().any(|p| p == party) => Ok(()),
        _ => Err(Rejection::AuthorizedParty),
    }
}

fn check_times(
    c: &IssuerConfig,
    claims: &Map<String, Value>,
    issued_at: Timestamp,
    now: Timestamp,
) -> Result<Times, Rejection> {
    let leeway_us = seconds_us(c.leeway_s);
    let expires_at = time(claims, "exp")?.ok_or_else(|| Rejection::claim("exp", "is missing"))?;
    let not_before = time(claims, "nbf")?;

    for (claim, at) in [("iat", Some(issued_at)), ("nbf", not_before)] {
        if let Some(at) = at
            && at.unix_us() > now.unix_us().saturating_add(leeway_us)
        {
            return Err(Rejection::NotYetValid { claim, in_s: at.since_us(now).div_ceil(1_000_000) });
        }
    }
    if expires_at <= issued_at {
        return Err(Rejection::claim("exp", "is not after iat"));
    }
    if not_before.is_some_and(|nbf| nbf >= expires_at) {
        return Err(Rejection::claim("nbf", "is not before exp"));
    }
    let lifetime_s = expires_at.since_us(issued_at).div_ceil(1_000_000);
    if lifetime_s > c.max_token_lifetime_s {
        return Err(Rejection::Lifetime { lifetime_s, limit_s: c.max_token_lifetime_s });
    }
    if is_expired(expires_at, leeway_us, now) {
        return Err(Rejection::Expired { ago_s: now.since_us(expires_at) / 1_000_000 });
    }
    Ok(Times { issued_at, expires_at })
}

/// True from the moment that the leeway after `exp` is used up.
fn is_expired(expires_at: Timestamp, leeway_us: i64, now: Timestamp) -> bool {
    now.unix_us() >= expires_at.unix_us().saturating_add(leeway_us)
}

fn seconds_us(s: u64) -> i64 {
    i64::try_from(s).unwrap_or(i64::MAX).saturating_mul(1_000_000)
}

/// A time claim: seconds since 1970, whole or not, between 1970 and the year 9999.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Rejection> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let absurd = || Rejection::claim(name, "is not a time between 1970 and 9999 in seconds");
    let Value::Number(n) = value else { return Err(absurd()) };
    let us = if let Some(s) = n.as_i64() {
        if !(1..=TIME_S_MAX).contains(&s) {
            return Err(absurd());
        }
        s.saturating_mul(1_000_000)
    } else {
        let s = n.as_f64().filter(|s| *s >= 1.0 && *s <= TIME_S_MAX as f64).ok_or_else(absurd)?;
        // In range, so that the cast cannot saturate.
        (s * 1e6) as i64
    };
    Ok(Some(Timestamp::from_unix_us(us)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_800_000_000;

    fn verdict(c: &IssuerConfig, claims: Value) -> &'static str {
        let Value::Object(claims) = claims else { panic!("not an object") };
        let token = Unverified {
            algorithm: String::new(),
            key_id: None,
            token_type: None,
            issuer: String::new(),
            claims,
            has_more_parameters: false,
            signed: "",
            signature: "",
        };
        check_claims(c, &token, Timestamp::from_unix_s(NOW_S)).err().map_or("ok", |r| r.as_str())
    }

    #[test]
    fn adv_085_times_at_their_edges() {
        let mut c = IssuerConfig::new("t", "https://i.example", &["gw"]);
        c.leeway_s = 60;
        c.max_token_lifetime_s = 3600;
        let n = NOW_S;
        for (times, want) in [
            (json!({"iat": n, "exp": n + 300}), "ok"),
            (json!({"iat": n - 300, "exp": n - 59}), "ok"),
            (json!({"iat": n - 300, "exp": n - 60}), "expired"),
            (json!({"iat": n - 300, "exp": n - 61}), "expired"),
            (json!({"iat": n + 59, "exp": n + 300}), "ok"),
            (json!({"iat": n + 60, "exp": n + 300}), "ok"),
            (json!({"iat": n + 61, "exp": n + 300}), "not_yet_valid"),
            (json!({"iat": n, "nbf": n + 59, "exp": n + 300}), "ok"),
            (json!({"iat": n, "nbf": n + 61, "exp": n + 300}), "not_yet_valid"),
            (json!({"iat": n, "exp": n + 3600}), "ok"),
            (json!({"iat": n, "exp": n + 3601}), "lifetime"),
            (json!({"iat": n, "exp": TIME_S_MAX}), "lifetime"),
            (json!({"iat": n, "exp": TIME_S_MAX + 1}), "claim"),
            (json!({"iat": n}), "claim"),
            (json!({"exp": n + 300}), "claim"),
            (json!({"iat": n, "exp": -1}), "claim"),
            (json!({"iat": -1, "exp": n + 300}), "claim"),
            (json!({"iat": n, "nbf": -5, "exp": n + 300}), "claim"),
            (json!({"iat": 0, "exp": n + 300}), "claim"),
            (json!({"iat": n, "exp": (n + 300).to_string()}), "claim"),
            (json!({"iat": n, "exp": null}), "claim"),
            (json!({"iat": n, "exp": [n + 300]}), "claim"),
            (json!({"iat": n, "exp": 1e30}), "claim"),
            (json!({"iat": n, "exp": u64::MAX}), "claim"),
            (json!({"iat": n as f64 - 0.5, "exp": n as f64 + 300.25}), "ok"),
            (json!({"iat": n + 20, "exp": n + 20}), "claim"),
            (json!({"iat": n + 20, "exp": n + 10}), "claim"),
            (json!({"iat": n, "nbf": n + 30, "exp": n + 30}), "claim"),
        ] {
            let mut claims = times.clone();
            claims["aud"] = json!("gw");
            assert_eq!(verdict(&c, claims), want, "{times}");
        }
    }

    #[test]
    fn adv_083_audience_party_and_kind_of_token() {
        let plain = IssuerConfig::new("t", "https://i.example", &["gw", "gw2"]);
        let mut listed = plain.clone();
        listed.authorized_parties = vec!["cli".to_owned()];
        let mut lenient = plain.clone();
        lenient.accept_id_tokens = true;
        let crowd = |n: usize| json!((0..n).map(|i| i.to_string()).chain(["gw".to_owned()]).collect::<Vec<_>>());
        for (c, extra, want) in [
            (&plain, json!({"aud": "gw"}), "ok"),
            (&plain, json!({"aud": ["x", "gw2"]}), "ok"),
            (&plain, json!({"aud": "GW"}), "audience"),
            (&plain, json!({"aud": "gw "}), "audience"),
            (&plain, json!({"aud": "gw,x"}), "audience"),
            (&plain, json!({"aud": ["x"]}), "audience"),
            (&plain, json!({"aud": []}), "audience"),
            (&plain, json!({"aud": ["gw", 7]}), "claim"),
            (&plain, json!({"aud": [["gw"]]}), "claim"),
            (&plain, json!({"aud": {"gw": true}}), "claim"),
            (&plain, json!({"aud": crowd(AUDIENCES_MAX - 1)}), "ok"),
            (&plain, json!({"aud": crowd(AUDIENCES_MAX)}), "claim"),
            (&plain, json!({}), "claim"),
            (&listed, json!({"aud": "gw", "azp": "cli"}), "ok"),
            (&listed, json!({"aud": "gw", "client_id": "cli"}), "ok"),
            (&listed, json!({"aud": "gw", "azp": "other"}), "authorized_party"),
            (&listed, json!({"aud": "gw", "azp": "other", "client_id": "cli"}), "authorized_party"),
            (&listed, json!({"aud": "gw", "azp": ["cli"]}), "authorized_party"),
            (&listed, json!({"aud": "gw"}), "authorized_party"),
            (&plain, json!({"aud": "gw", "nonce": "n"}), "id_token"),
            (&plain, json!({"aud": "gw", "at_hash": "n"}), "id_token"),
            (&plain, json!({"aud": "gw", "typ": "ID"}), "id_token"),
            (&plain, json!({"aud": "gw", "token_use": "id"}), "id_token"),
            (&plain, json!({"aud": "gw", "typ": "Bearer"}), "ok"),
            (&plain, json!({"aud": "gw", "typ": "Refresh"}), "type"),
            (&plain, json!({"aud": "gw", "typ": 3}), "claim"),
            (&plain, json!({"aud": "gw", "events": {}}), "type"),
            (&lenient, json!({"aud": "gw", "nonce": "n", "typ": "ID"}), "ok"),
            (&lenient, json!({"aud": "gw", "typ": "Refresh"}), "type"),
            (&plain, json!({"aud": format!("gw#{}", "A".repeat(43))}), "ok"),
            (&plain, json!({"aud": format!("gw#{}", "A".repeat(42))}), "audience"),
            (&plain, json!({"aud": format!("other#{}", "A".repeat(43))}), "audience"),
            (&plain, json!({"aud": "gw", "Aud": "x"}), "claim"),
            (&plain, json!({"aud": "gw", "ａud": "x"}), "claim"),
        ] {
            let mut claims = extra.clone();
            claims["iat"] = json!(NOW_S);
            claims["exp"] = json!(NOW_S + 60);
            assert_eq!(verdict(c, claims), want, "{extra}");
        }
    }

    #[test]
    fn adv_083_header_types() {
        let default = IssuerConfig::new("t", "https://i.example", &["gw"]);
        let mut untyped = default.clone();
        untyped.types.push(String::new());
        for (c, t, want) in [
            (&default, Some("at+jwt"), true),
            (&default, Some("AT+JWT"), true),
            (&default, Some("application/at+jwt"), true),
            (&default, Some("JWT"), true),
            (&default, Some("dpop+jwt"), false),
            (&default, Some("logout+jwt"), false),
            (&default, Some("JWE"), false),
            (&default, Some(""), false),
            (&default, None, false),
            (&untyped, None, true),
        ] {
            assert_eq!(check_type(c, t).is_ok(), want, "{t:?}");
        }
    }
}
