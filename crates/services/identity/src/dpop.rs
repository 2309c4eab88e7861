//! Proofs of possession over HTTP (DPoP, RFC 9449): a signed statement that the caller has a key, for one request, once.
//!
//! The key comes from the proof itself and vouches for nobody: it only has to be the one that the token names. Must never take a proof
//! for another method, address or token, an old one, or one that was used before.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_model::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::keys::{Algorithm, Key};
use crate::login::digest_of;
use crate::thumbprint::PublicKey;
use crate::token::compact;
use crate::{LEEWAY_S_MAX, Rejection};

/// The longest proof, in bytes: one with an RSA key of 8192 bits fits.
pub(crate) const PROOF_BYTES_MAX: usize = 8 * 1024;
/// How old a proof may be, in seconds.
pub(crate) const PROOF_AGE_S_MAX: u64 = 120;
/// The longest `jti`, in bytes.
const JTI_BYTES_MAX: usize = 256;
/// The longest `htu`, in bytes.
const HTU_BYTES_MAX: usize = 2048;
/// Which algorithms a proof may be signed with, for the challenge.
pub(crate) const ALGORITHMS: &str = "ES256 ES384 EdDSA PS256 PS384 PS512 RS256 RS384 RS512";

/// A request, as a proof must describe it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Requested<'r> {
    /// The method.
    pub(crate) method: &'r str,
    /// Every address that this path may be asked for under, normalised.
    pub(crate) urls: &'r [String],
    /// The token that comes with the proof, where one does.
    pub(crate) token: Option<&'r str>,
}

/// A proof that holds. It counts once its use is noted.
#[derive(Debug)]
pub(crate) struct Proved {
    /// The thumbprint of the key.
    pub(crate) key: String,
    /// What must not be used again.
    pub(crate) id: String,
    /// Until when it could be.
    pub(crate) ends: Timestamp,
}

/// An address without what a proof leaves out, in normal form (RFC 9449, 4.3, check 9); `None` when it is none.
pub(crate) fn normal_url(url: &str) -> Option<String> {
    if url.len() > HTU_BYTES_MAX {
        return None;
    }
    let mut url = reqwest::Url::parse(url).ok().filter(|u| matches!(u.scheme(), "https" | "http"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return None;
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url.into())
}

/// Checks a proof (RFC 9449, 4.3). That it was not used before is for the caller to check, once everything else holds.
pub(crate) fn check(proof: &str, requested: &Requested<'_>, now: Timestamp) -> Result<Proved, Rejection> {
    let bad = Rejection::Proof;
    if proof.len() > PROOF_BYTES_MAX {
        return Err(bad("is too long"));
    }
    let proof = compact(proof, true).map_err(|rejection| match rejection {
        Rejection::Header(_) => rejection,
        _ => bad("is not a well-formed signed token"),
    })?;
    let text = |name: &str| proof.header.get(name).and_then(Value::as_str);
    if text("typ") != Some("dpop+jwt") {
        return Err(bad("is not of the type dpop+jwt"));
    }
    let algorithm = text("alg").and_then(Algorithm::parse).ok_or(bad("is signed in a way that is not taken"))?;
    let Some(Value::Object(jwk)) = proof.header.get("jwk") else { return Err(bad("brings no key")) };
    let public =
        PublicKey::from_jwk(jwk).map_err(|_| bad("brings a key that is private, too weak, or of an unknown kind"))?;
    let key = Key::of_client(jwk, algorithm).ok_or(bad("brings a key that does not fit its algorithm"))?;
    key.verify(algorithm, proof.signed, proof.signature).map_err(|_| bad("is not signed by the key that it brings"))?;

    let claim = |name: &str| proof.claims.get(name).and_then(Value::as_str);
    if claim("htm") != Some(requested.method) {
        return Err(bad("is for another method (htm)"));
    }
    let url = claim("htu").and_then(normal_url).ok_or(bad("names no address (htu)"))?;
    if !requested.urls.contains(&url) {
        return Err(bad("is for another address (htu)"));
    }
    if let Some(token) = requested.token
        && claim("ath") != Some(URL_SAFE_NO_PAD.encode(Sha256::digest(token)).as_str())
    {
        return Err(bad("is for another token (ath)"));
    }
    let issued = proof.claims.get("iat").and_then(Value::as_f64).filter(|s| (1.0..=253_402_300_799.0).contains(s));
    // In range, so that the cast cannot saturate.
    let issued =
        issued.map(|s| Timestamp::from_unix_us((s * 1e6) as i64)).ok_or(bad("says not when it was made (iat)"))?;
    if issued.since_us(now) > LEEWAY_S_MAX.saturating_mul(1_000_000) {
        return Err(bad("was made in the future (iat)"));
    }
    if now.since_us(issued) > PROOF_AGE_S_MAX.saturating_mul(1_000_000) {
        return Err(bad("is too old (iat)"));
    }
    let jti =
        claim("jti").filter(|j| !j.is_empty() && j.len() <= JTI_BYTES_MAX).ok_or(bad("has no usable id (jti)"))?;
    let id = digest_of(&["dpop", &public.thumbprint, jti]);
    let ends_us = i64::try_from(PROOF_AGE_S_MAX).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    let ends = Timestamp::from_unix_us(issued.unix_us().saturating_add(ends_us));
    Ok(Proved { key: public.thumbprint, id, ends })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
    use serde_json::json;

    use super::*;

    const NOW_S: i64 = 1_800_000_000;
    const URL: &str = "https://gw.example/v1/whoami";

    struct Maker(EcdsaKeyPair);

    impl Maker {
        fn new() -> Self {
            Self(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
        }

        fn jwk(&self) -> Value {
            let point = self.0.public_key().as_ref();
            json!({"kty":"EC","crv":"P-256","x":URL_SAFE_NO_PAD.encode(&point[1..33]),"y":URL_SAFE_NO_PAD.encode(&point[33..])})
        }

        fn make(&self, header: &Value, claims: &Value) -> String {
            let b64 = |v: &Value| URL_SAFE_NO_PAD.encode(v.to_string());
            let signed = format!("{}.{}", b64(header), b64(claims));
            let signature = self.0.sign(&aws_lc_rs::rand::SystemRandom::new(), signed.as_bytes()).unwrap();
            format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
        }
    }

    fn over(mut base: Value, change: &Value) -> Value {
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                base.as_object_mut().unwrap().remove(name);
            } else {
                base[name] = value.clone();
            }
        }
        base
    }

    fn outcome(proof: &str) -> String {
        let urls = [URL.to_owned()];
        let requested = Requested { method: "GET", urls: &urls, token: Some("the.token") };
        match check(proof, &requested, Timestamp::from_unix_s(NOW_S)) {
            Ok(_) => "ok".to_owned(),
            Err(Rejection::Proof(why)) => why.to_owned(),
            Err(other) => other.as_str().to_owned(),
        }
    }

    #[test]
    fn adv_087_a_proof_is_for_one_method_address_token_and_time() {
        let maker = Maker::new();
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": maker.jwk()});
        let ath = URL_SAFE_NO_PAD.encode(Sha256::digest("the.token"));
        let claims = json!({"jti": "1", "htm": "GET", "htu": URL, "iat": NOW_S, "ath": ath});
        let mut private = maker.jwk();
        private["d"] = json!("AAAA");
        for (change_header, change_claims, want) in [
            (json!({}), json!({}), "ok"),
            (json!({}), json!({"htu": "HTTPS://GW.example:443/v1/x/../whoami?q=1#f"}), "ok"),
            (json!({}), json!({"htu": "https://gw.example:444/v1/whoami"}), "is for another address (htu)"),
            (json!({}), json!({"htu": "http://gw.example/v1/whoami"}), "is for another address (htu)"),
            (json!({}), json!({"htu": "https://evil.example/v1/whoami"}), "is for another address (htu)"),
            (json!({}), json!({"htu": "https://gw.example/v1/WHOAMI"}), "is for another address (htu)"),
            (json!({}), json!({"htu": "https://gw.example@evil.example/v1/whoami"}), "names no address (htu)"),
            (json!({}), json!({"htu": null}), "names no address (htu)"),
            (json!({}), json!({"htm": "POST"}), "is for another method (htm)"),
            (json!({}), json!({"htm": "get"}), "is for another method (htm)"),
            (json!({}), json!({"htm": null}), "is for another method (htm)"),
            (json!({}), json!({"ath": null}), "is for another token (ath)"),
            (json!({}), json!({"ath": "AAAA"}), "is for another token (ath)"),
            (json!({}), json!({"iat": NOW_S - 120}), "ok"),
            (json!({}), json!({"iat": NOW_S - 121}), "is too old (iat)"),
            (json!({}), json!({"iat": NOW_S + 60}), "ok"),
            (json!({}), json!({"iat": NOW_S + 61}), "was made in the future (iat)"),
            (json!({}), json!({"iat": null}), "says not when it was made (iat)"),
            (json!({}), json!({"iat": "now"}), "says not when it was made (iat)"),
            (json!({}), json!({"iat": -5}), "says not when it was made (iat)"),
            (json!({}), json!({"jti": null}), "has no usable id (jti)"),
            (json!({}), json!({"jti": ""}), "has no usable id (jti)"),
            (json!({}), json!({"jti": "x".repeat(JTI_BYTES_MAX)}), "ok"),
            (json!({}), json!({"jti": "x".repeat(JTI_BYTES_MAX + 1)}), "has no usable id (jti)"),
            (json!({"typ": "JWT"}), json!({}), "is not of the type dpop+jwt"),
            (json!({"typ": null}), json!({}), "is not of the type dpop+jwt"),
            (json!({"alg": "none"}), json!({}), "is signed in a way that is not taken"),
            (json!({"alg": "HS256"}), json!({}), "is signed in a way that is not taken"),
            (json!({"alg": "ES384"}), json!({}), "brings a key that does not fit its algorithm"),
            (json!({"jwk": null}), json!({}), "brings no key"),
            (json!({"jwk": Maker::new().jwk()}), json!({}), "is not signed by the key that it brings"),
            (json!({"jwk": private}), json!({}), "brings a key that is private, too weak, or of an unknown kind"),
            (json!({"jku": "https://evil.example"}), json!({}), "header"),
            (json!({"JWK": {}}), json!({}), "header"),
            (json!({"crit": ["x"]}), json!({}), "header"),
        ] {
            let proof = maker.make(&over(header.clone(), &change_header), &over(claims.clone(), &change_claims));
            assert_eq!(outcome(&proof), want, "{change_header} {change_claims}");
        }
        let good = maker.make(&header, &claims);
        for (proof, want) in [
            (format!("{good}x"), "is not a well-formed signed token"),
            (String::new(), "is not a well-formed signed token"),
            ("x".repeat(PROOF_BYTES_MAX + 1), "is too long"),
        ] {
            assert_eq!(outcome(&proof), want);
        }
    }

    #[test]
    fn a_use_is_known_by_its_key_and_id() {
        let (a, b) = (Maker::new(), Maker::new());
        let urls = [URL.to_owned()];
        let requested = Requested { method: "GET", urls: &urls, token: None };
        let id = |maker: &Maker, jti: &str, iat: i64| {
            let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": maker.jwk()});
            let claims = json!({"jti": jti, "htm": "GET", "htu": URL, "iat": iat});
            let proved = check(&maker.make(&header, &claims), &requested, Timestamp::from_unix_s(NOW_S)).unwrap();
            assert_eq!(proved.ends, Timestamp::from_unix_s(iat + 120));
            proved.id
        };
        assert_eq!(id(&a, "1", NOW_S), id(&a, "1", NOW_S - 5), "signed anew, still the same");
        assert_ne!(id(&a, "1", NOW_S), id(&a, "2", NOW_S));
        assert_ne!(id(&a, "1", NOW_S), id(&b, "1", NOW_S));
    }
}
