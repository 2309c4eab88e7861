//! Tokens that an attacker would make, each signed as well as the attacker could, against the whole of verification.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use countersign_enforce::{Authenticator as _, Presented, PresentedCredential};
use countersign_identity::{Algorithm, IssuerConfig, TokenAuthenticator};
use countersign_model::{Culprit, DenialCode, Secret};
use serde_json::{Value, json};
use support::{Key, NOW_S, Server, at, b64, claims, jwks, outcome};

const ISSUER: &str = "https://id.example";
const OTHER: &str = "https://other.example";

struct World {
    ec: Key,
    rsa: Key,
    thief: Key,
    auth: TokenAuthenticator,
}

fn world() -> World {
    let (ec, rsa, thief, other) = (Key::p256("ec-1"), Key::rsa("rsa-1"), Key::p256("ec-1"), Key::p256("other-1"));
    let mut config = IssuerConfig::new("corp", ISSUER, &["gw"]);
    config.algorithms = vec![Algorithm::RS256, Algorithm::ES256];
    config.jwks = Some(jwks(&[&ec, &rsa]));
    config.leeway_s = 60;
    config.authorized_parties = Vec::new();
    config.groups_claim = Some("groups".to_owned());
    let mut second = IssuerConfig::new("other", OTHER, &["gw"]);
    second.jwks = Some(jwks(&[&other]));
    second.name_prefix = "other/".to_owned();
    let auth = TokenAuthenticator::new(vec![config.into(), second.into()]).unwrap();
    World { ec, rsa, thief, auth }
}

fn good() -> Value {
    claims(ISSUER, &json!({}))
}

fn header(kid: &str, alg: &str) -> String {
    json!({"alg": alg, "typ": "at+jwt", "kid": kid}).to_string()
}

async fn check(w: &World, cases: Vec<(&str, String, &str)>) {
    // What the tests spoil is good before they do.
    for (key, alg) in [(&w.ec, "ES256"), (&w.rsa, "RS256")] {
        assert_eq!(outcome(&w.auth, &key.token(alg, &good()), at(0)).await, "ok");
    }
    for (what, token, want) in cases {
        assert_eq!(outcome(&w.auth, &token, at(0)).await, want, "{what}");
    }
}

#[tokio::test]
async fn adv_081_none_confusion_and_encryption() {
    let w = world();
    let payload = good().to_string();
    let mut cases = Vec::new();
    for alg in ["none", "None", "NONE", "nOnE", "", "HS256", "HS512", "ES256K", "RS1", "es256", "dir"] {
        for kid in ["rsa-1", "ec-1"] {
            let signed = format!("{}.{}", b64(header(kid, alg)), b64(&payload));
            cases.push(("unsigned", format!("{signed}."), "algorithm"));
            cases.push(("signed with the right key", w.ec.raw("ES256", &header(kid, alg), &payload), "algorithm"));
        }
    }
    // The public key, in every form an attacker has it, as a shared secret.
    let jwk = w.rsa.jwk();
    let modulus = support::b64(jwk["n"].as_str().unwrap());
    for secret in [jwk.to_string(), jwk["n"].as_str().unwrap().to_owned(), jwks(&[&w.ec, &w.rsa]), modulus] {
        let signed = format!("{}.{}", b64(header("rsa-1", "HS256")), b64(&payload));
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        cases.push(("HS256 with the public key", format!("{signed}.{}", b64(tag)), "algorithm"));
        // The same with a name that is allowed.
        let signed = format!("{}.{}", b64(header("rsa-1", "RS256")), b64(&payload));
        let tag = aws_lc_rs::hmac::sign(&key, signed.as_bytes());
        cases.push(("an HMAC called RS256", format!("{signed}.{}", b64(tag)), "signature"));
    }
    cases.push(("an algorithm that is not on the list", w.rsa.token("PS256", &good()), "algorithm"));
    cases.push(("an algorithm of another key", w.ec.raw("ES256", &header("rsa-1", "ES256"), &payload), "algorithm"));
    cases.push(("RS256 named for an EC key", w.rsa.raw("RS256", &header("ec-1", "RS256"), &payload), "algorithm"));
    let token = w.ec.token("ES256", &good());
    let (signed, signature) = token.rsplit_once('.').unwrap();
    cases.push(("no signature", format!("{signed}."), "signature"));
    cases.push(("a signature of zeros", format!("{signed}.{}", b64([0; 64])), "signature"));
    cases.push(("a signature cut short", format!("{signed}.{}", &signature[..84]), "signature"));
    cases.push(("somebody else's key under our kid", w.thief.token("ES256", &good()), "signature"));
    let more = b64(claims(ISSUER, &json!({"groups": ["admins"]})).to_string());
    let first = token.split('.').next().unwrap();
    cases.push(("another payload under a good signature", format!("{first}.{more}.{signature}"), "signature"));
    cases.push(("a JWE", format!("{signed}.{signature}.{}.{}", b64("tag"), b64("x")), "encrypted"));
    let nested = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1", "cty": "JWT"}).to_string();
    cases.push(("a token inside a token", w.ec.raw("ES256", &nested, &token), "encrypted"));
    let enc = json!({"alg": "ES256", "enc": "A256GCM", "typ": "at+jwt", "kid": "ec-1"}).to_string();
    cases.push(("three parts that claim to be encrypted", w.ec.raw("ES256", &enc, &payload), "encrypted"));
    check(&w, cases).await;
}

#[tokio::test]
async fn adv_082_keys_come_from_the_configured_issuer_alone() {
    let w = world();
    let server = Server::start().await;
    server.put("/jwks", support::Answer::json(jwks(&[&w.thief])));
    let payload = good().to_string();
    let mut cases = Vec::new();
    for (name, value) in [
        ("jku", json!(format!("{}/jwks", server.url))),
        ("x5u", json!(format!("{}/jwks", server.url))),
        ("jwk", w.thief.jwk()),
        ("x5c", json!(["MIIB"])),
    ] {
        let mut h = json!({"alg": "ES256", "typ": "at+jwt", "kid": "ec-1"});
        h[name] = value;
        cases.push((name, w.thief.raw("ES256", &h.to_string(), &payload), "header"));
    }
    for kid in [
        "../../../../dev/null",
        "/dev/null",
        "file:///etc/passwd",
        "x' UNION SELECT 'key",
        "ec-1\u{0}",
        "EC-1",
        "ec-1 ",
        "nobody",
        "$(id)",
        "http://127.0.0.1/x",
    ] {
        cases.push((kid, w.thief.raw("ES256", &header(kid, "ES256"), &payload), "unknown_key"));
    }
    let no_kid = json!({"alg": "ES256", "typ": "at+jwt"}).to_string();
    cases.push(("no kid, the thief's key", w.thief.raw("ES256", &no_kid, &payload), "signature"));
    cases.push(("no kid, the one key that fits", w.ec.raw("ES256", &no_kid, &payload), "ok"));
    check(&w, cases).await;
    assert_eq!(server.hits("/jwks"), 0, "a token's own address must not be asked");
}

#[tokio::test]
async fn adv_083_wrong_issuer_audience_or_kind() {
    let w = world();
    let sign = |over: Value| w.ec.token("ES256", &claims(ISSUER, &over));
    let typ = |t: Value| {
        w.ec.raw("ES256", &json!({"alg": "ES256", "kid": "ec-1", "typ": t}).to_string(), &good().to_string())
    };
    let cases = vec![
        ("slash", sign(json!({"iss": "https://id.example/"})), "unknown_issuer"),
        ("case", sign(json!({"iss": "https://ID.example"})), "unknown_issuer"),
        ("prefix", sign(json!({"iss": "https://id.example.evil"})), "unknown_issuer"),
        ("space", sign(json!({"iss": " https://id.example"})), "unknown_issuer"),
        ("empty", sign(json!({"iss": ""})), "unknown_issuer"),
        ("missing", sign(json!({"iss": null})), "claim"),
        ("a list", sign(json!({"iss": [ISSUER]})), "claim"),
        ("another issuer's name, this one's key", sign(json!({"iss": OTHER})), "unknown_key"),
        ("audience", sign(json!({"aud": "other"})), "audience"),
        ("no audience", sign(json!({"aud": null})), "claim"),
        ("id token", sign(json!({"nonce": "n"})), "id_token"),
        ("bound to a key", sign(json!({"cnf": {"jkt": "x"}})), "unproven"),
        ("an audience with a key", sign(json!({"aud": format!("gw#{}", "A".repeat(43))})), "unproven"),
        ("dpop proof", typ(json!("dpop+jwt")), "type"),
        ("logout token", typ(json!("logout+jwt")), "type"),
        ("typ is a list", typ(json!(["at+jwt"])), "malformed"),
        ("no subject", sign(json!({"sub": null})), "claim"),
    ];
    check(&w, cases).await;
}

#[tokio::test]
async fn adv_085_times() {
    let w = world();
    let sign = |over: Value| w.ec.token("ES256", &claims(ISSUER, &over));
    let cases = vec![
        ("no exp", sign(json!({"exp": null})), "claim"),
        ("exp far ahead", sign(json!({"exp": NOW_S + 40 * 86_400})), "lifetime"),
        ("negative exp", sign(json!({"exp": -1})), "claim"),
        ("exp as text", sign(json!({"exp": "9999999999"})), "claim"),
        ("59 s over", sign(json!({"exp": NOW_S - 59, "iat": NOW_S - 300})), "ok"),
        ("61 s over", sign(json!({"exp": NOW_S - 61, "iat": NOW_S - 300})), "expired"),
        ("59 s early", sign(json!({"nbf": NOW_S + 59})), "ok"),
        ("61 s early", sign(json!({"nbf": NOW_S + 61})), "not_yet_valid"),
        ("issued 61 s ahead", sign(json!({"iat": NOW_S + 61})), "not_yet_valid"),
    ];
    check(&w, cases).await;
}

#[tokio::test]
async fn adv_085_a_clock_that_goes_back_revives_nothing() {
    let w = world();
    let token = w.ec.token("ES256", &good());
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "ok");
    assert_eq!(outcome(&w.auth, &token, at(400)).await, "expired");
    // Within the tolerance the latest time seen is what counts; beyond it nothing is accepted.
    assert_eq!(outcome(&w.auth, &token, at(340)).await, "expired");
    assert_eq!(outcome(&w.auth, &token, at(339)).await, "clock_went_back");
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "clock_went_back");
}

#[tokio::test]
async fn adv_084_a_single_use_token_is_good_once() {
    let key = Key::p256("k");
    let mut config = IssuerConfig::new("ci", ISSUER, &["gw"]);
    config.jwks = Some(jwks(&[&key]));
    config.single_use = true;
    let auth = TokenAuthenticator::new(vec![config.into()]).unwrap();
    let token = key.token("ES256", &good());
    assert_eq!(outcome(&auth, &token, at(0)).await, "ok");
    assert_eq!(outcome(&auth, &token, at(1)).await, "replayed");
    // The same claims signed again are the same token.
    assert_eq!(outcome(&auth, &key.token("ES256", &good()), at(1)).await, "replayed");
    let next = key.token("ES256", &claims(ISSUER, &json!({"jti": "t-2"})));
    assert_eq!(outcome(&auth, &next, at(1)).await, "ok");
    assert_eq!(outcome(&auth, &key.token("ES256", &claims(ISSUER, &json!({"jti": null}))), at(1)).await, "claim");
}

#[tokio::test]
async fn adv_086_duplicate_keys_and_collisions() {
    let w = world();
    let raw = |payload: &str| w.ec.raw("ES256", &header("ec-1", "ES256"), payload);
    let tail = format!(r#""aud":"gw","iat":{},"exp":{}"#, NOW_S, NOW_S + 60);
    let cases = vec![
        ("sub twice", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","sub":"b",{tail}}}"#)), "malformed"),
        ("iss twice", raw(&format!(r#"{{"iss":"{OTHER}","iss":"{ISSUER}","sub":"b",{tail}}}"#)), "malformed"),
        ("escaped twice", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","s\u0075b":"b",{tail}}}"#)), "malformed"),
        ("deep twice", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","x":{{"y":1,"y":2}},{tail}}}"#)), "malformed"),
        ("case", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","Sub":"b",{tail}}}"#)), "claim"),
        (
            "groups in two cases",
            raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","groups":[],"GROUPS":["x"],{tail}}}"#)),
            "claim",
        ),
        ("hidden in the subject", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a\u200b",{tail}}}"#)), "claim"),
        ("look-alike", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"аdmin",{tail}}}"#)), "claim"),
        (
            "alg twice",
            w.ec.raw("ES256", r#"{"alg":"none","alg":"ES256","typ":"at+jwt","kid":"ec-1"}"#, &good().to_string()),
            "malformed",
        ),
        ("16 KiB", raw(&format!(r#"{{"iss":"{ISSUER}","sub":"a","x":"{}",{tail}}}"#, "x".repeat(16_384))), "too_large"),
    ];
    check(&w, cases).await;
    let groups = |value: Value| {
        let token = w.ec.token("ES256", &claims(ISSUER, &json!({"groups": value})));
        let auth = &w.auth;
        async move { auth.verify(&token, at(0)).await.unwrap().groups.len() }
    };
    assert_eq!(groups(json!(["a", "b"])).await, 2);
    assert_eq!(groups(json!(["a", "A"])).await, 0);
    assert_eq!(groups(json!(["a", "b\u{200b}"])).await, 0);
    assert_eq!(groups(json!((0..300).map(|i| i.to_string()).collect::<Vec<_>>())).await, 0);
}

#[tokio::test]
async fn every_accepted_algorithm_verifies() {
    let keys = [Key::rsa("r"), Key::p256("e2"), Key::p384("e3"), Key::ed("d")];
    let mut config = IssuerConfig::new("corp", ISSUER, &["gw"]);
    config.jwks = Some(jwks(&keys.iter().collect::<Vec<_>>()));
    let all = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
    config.algorithms = all.iter().map(|a| Algorithm::parse(a).unwrap()).collect();
    let auth = TokenAuthenticator::new(vec![config.into()]).unwrap();
    for alg in all {
        let key = match alg {
            "ES256" => &keys[1],
            "ES384" => &keys[2],
            "EdDSA" => &keys[3],
            _ => &keys[0],
        };
        assert_eq!(outcome(&auth, &key.token(alg, &good()), at(0)).await, "ok", "{alg}");
    }
}

#[tokio::test]
async fn two_thousand_reconnects_cost_one_verification() {
    let w = world();
    let token = w.rsa.token("RS256", &good());
    for _ in 0..2000 {
        assert_eq!(outcome(&w.auth, &token, at(0)).await, "ok");
    }
    assert_eq!(w.auth.verifications(), 1);
    assert_eq!(outcome(&w.auth, &token, at(289)).await, "ok");
    assert_eq!(w.auth.verifications(), 1);
    // From its end on it is looked at again, and lives on for the leeway only.
    assert_eq!(outcome(&w.auth, &token, at(291)).await, "ok");
    assert_eq!(w.auth.verifications(), 2);
    assert_eq!(outcome(&w.auth, &token, at(350)).await, "expired");
}

#[tokio::test]
async fn other_issuers_take_effect_at_once() {
    let w = world();
    let token = w.ec.token("ES256", &good());
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "ok");
    let mut narrowed = IssuerConfig::new("corp", ISSUER, &["another"]);
    narrowed.jwks = Some(jwks(&[&w.ec]));
    let broken = IssuerConfig::new("bad", "http://id.example", &[]);
    let found = w.auth.replace(vec![narrowed.clone().into(), broken.into()]).unwrap_err();
    assert_eq!(found.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["issuer", "audiences"]);
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "ok");
    w.auth.replace(vec![narrowed.into()]).unwrap();
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "audience");
    w.auth.replace(vec![]).unwrap();
    assert_eq!(outcome(&w.auth, &token, at(0)).await, "unknown_issuer");
}

#[tokio::test]
async fn the_client_reads_what_helps_and_no_more() {
    let w = world();
    let sign = |over: Value| w.ec.token("ES256", &claims(ISSUER, &over));
    let late = json!({"exp": NOW_S - 100, "iat": NOW_S - 300});
    let service = support::service(w.auth);
    for (user, token, message) in [
        ("ana", sign(json!({})), "this token is for \"u-1\", the user name given is \"ana\""),
        ("U-1", sign(json!({})), "this token is for \"u-1\", the user name given is \"U-1\""),
        ("", sign(json!({})), "this token is for \"u-1\", the user name given is \"\""),
        ("u-1", sign(late), "the token was not accepted: it expired 100 s ago"),
        ("u-1", sign(json!({"nbf": NOW_S + 100})), "the token was not accepted: it is not valid for another 100 s"),
        ("u-1", sign(json!({"aud": "x"})), "the token was not accepted: it is for another audience"),
        ("u-1", sign(json!({"iss": "https://x"})), "the token was not accepted: its issuer is not known here"),
        ("u-1", w.thief.token("ES256", &good()), "the token was not accepted"),
        (
            "u-1",
            w.ec.raw("ES256", &header("nobody", "ES256"), "{\"iss\":\"https://id.example\"}"),
            "the token was not accepted",
        ),
        ("u-1", "hunter2".to_owned(), "the token was not accepted: it is not a signed token (JWT)"),
    ] {
        let presented = Presented {
            user: user.to_owned(),
            credential: PresentedCredential::token(Secret::from(token.clone())),
            target: "shop".to_owned(),
            source: "127.0.0.1:5".parse().unwrap(),
            encrypted: true,
        };
        let denial = service.authenticate(&presented, at(0)).await.unwrap_err();
        assert_eq!(denial.message.as_str(), message);
        assert_eq!((denial.culprit, denial.code), (Culprit::Client, DenialCode::Unauthenticated));
        let all = format!("{denial:?}");
        assert!(!all.contains(&token) && !all.contains("eyJ"), "{all}");
    }
    let presented = Presented {
        user: "u-1".to_owned(),
        credential: PresentedCredential::token(Secret::from(sign(json!({})))),
        target: "shop".to_owned(),
        source: "127.0.0.1:5".parse().unwrap(),
        encrypted: true,
    };
    let identity = service.authenticate(&presented, at(0)).await.unwrap();
    assert_eq!((identity.name.as_str(), identity.token_id.as_deref()), ("u-1", Some("t-1")));
    assert_eq!(identity.claims["aud"], json!("gw"));
    assert_eq!((identity.issued_at, identity.expires_at), (at(-10), at(290)));
}
