//! Credentials that a thief cannot use: replayed, malleated, copied, without their key; against a gateway's whole identity service and a
//! second gateway of the same store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use base64::Engine as _;
use bytes::Bytes;
use countersign_enforce::{Authenticator as _, PresentedCredential, Standing};
use countersign_identity::{Clones, DoorRequest, IdentityConfig};
use countersign_model::{CredentialBinding, Secret, Severity};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use support::gateway::*;
use support::{Key, NOW_S, at, b64, claims};

/// The same token in another form: ECDSA signatures can be negated.
fn malleated(token: &str) -> String {
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6,
        0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let mut borrow = 0;
    for i in (0..32).rev() {
        let digit = i32::from(ORDER[i]) - i32::from(signature[32 + i]) - borrow;
        borrow = i32::from(digit < 0);
        signature[32 + i] = (digit + 256 * borrow) as u8;
    }
    format!("{signed}.{}", b64(signature))
}

#[tokio::test]
async fn adv_084_a_stolen_token_is_useless_once_its_owner_bound_it() {
    let store = Store::new().await;
    let (here, there) = (store.gateway().await, store.gateway().await);
    let (owner, thief) = (Client::new(), Client::new());
    let token = store.token(json!({}));
    let twin = malleated(&token);
    assert_eq!(reason(&there.bearer(&twin, 0).await), "ok", "the other form is as good, until the token is bound");
    assert_eq!(here.exchange(&token, &owner, 0).await.status, 200);
    for gateway in [&here, &there] {
        for form in [&token, &twin] {
            let stolen = gateway.bearer(form, 1).await;
            assert_eq!(reason(&stolen), "replayed");
        }
        let stolen = gateway.exchange(&token, &thief, 1).await;
        assert_eq!((stolen.status, body(&stolen)["error"].as_str()), (400, Some("invalid_request")));
        assert!(!stolen.body.contains(&token[..20]) && !stolen.body.contains("another key"), "{}", stolen.body);
        assert_eq!(gateway.exchange(&twin, &thief, 1).await.status, 400);
    }
    let alarm = there.bearer(&store.token(json!({"jti": "t-2"})), 1).await;
    assert!(alarm.is_ok(), "another token of the same person is not touched");
    let denial = here.bearer(&twin, 62).await.unwrap_err();
    assert_eq!(denial.alarm, Some(Severity::High));
    assert!(denial.detail.as_deref().unwrap().contains("claims to be u-1 of https://id.example"), "{denial:?}");
    assert_eq!(here.exchange(&token, &owner, 63).await.status, 200, "its owner goes on");
}

#[tokio::test]
async fn adv_084_single_use_tokens_are_good_for_one_key() {
    let mut store = Store::new().await;
    store.config.single_use = true;
    let (here, there) = (store.gateway().await, store.gateway().await);
    let (owner, thief) = (Client::new(), Client::new());
    let token = store.token(json!({}));
    assert_eq!(here.exchange(&token, &owner, 0).await.status, 200);
    assert_eq!(there.exchange(&token, &owner, 1).await.status, 200, "the same key");
    assert_eq!(there.exchange(&token, &thief, 1).await.status, 400);
    assert_eq!(reason(&there.bearer(&store.token(json!({})), 1).await), "replayed", "the jti counts");
    let bearer = store.token(json!({"jti": "t-2"}));
    assert_eq!(reason(&here.bearer(&bearer, 1).await), "ok");
    assert_eq!(reason(&there.bearer(&bearer, 1).await), "replayed");
    assert_eq!(there.exchange(&bearer, &owner, 1).await.status, 400);
    assert_eq!(there.alerts().last().unwrap(), &("replayed".to_owned(), Severity::High));
}

#[tokio::test]
async fn adv_083_an_audience_with_a_key_is_for_that_key_at_the_exchange() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let (job, thief) = (Client::new(), Client::new());
    let token = store.token(json!({"aud": format!("gw#{}", job.thumbprint())}));
    assert_eq!(gateway.exchange(&token, &thief, 0).await.status, 400, "even if the thief is first");
    let denied = gateway.bearer(&token, 0).await;
    assert_eq!((reason(&denied).as_str(), denied.unwrap_err().alarm), ("unproven", None), "told of a moment ago");
    assert_eq!(gateway.alerts(), [("unproven".to_owned(), Severity::High)]);
    let reply = gateway.exchange(&token, &job, 0).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(gateway.certificate(&chain(&reply), 1).await.is_ok());
    let other = store.token(json!({"aud": format!("other#{}", job.thumbprint())}));
    assert_eq!(gateway.exchange(&other, &job, 0).await.status, 400);
}

#[tokio::test]
async fn adv_087_a_token_that_names_its_key_needs_it_everywhere() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let (owner, thief) = (Client::new(), Client::new());
    let token = store.token(json!({"cnf": {"jkt": owner.thumbprint()}}));
    assert_eq!(reason(&gateway.bearer(&token, 0).await), "unproven");
    assert_eq!(gateway.exchange(&token, &thief, 0).await.status, 400);
    assert_eq!(gateway.exchange(&token, &owner, 0).await.status, 200);

    // Bound to a client certificate (RFC 8705): only on a connection that proved it.
    let certificate = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap().cert.der().to_vec();
    let other = rcgen::generate_simple_self_signed(["me".to_owned()]).unwrap().cert.der().to_vec();
    let token = store.token(json!({"cnf": {"x5t#S256": b64(Sha256::digest(&certificate))}}));
    for (shown, want) in [(Some(certificate), "ok"), (Some(other), "unproven"), (None, "unproven")] {
        let credential =
            PresentedCredential::Token { token: Secret::from(token.clone()), certificate: shown.map(Bytes::from) };
        let got = gateway.present("u-1", credential, HERE, 0).await;
        assert_eq!(reason(&got), want);
        if let Ok(identity) = got {
            assert_eq!(identity.credential, CredentialBinding::Bound);
        }
    }
}

fn proof(key: &Key, over: Value) -> String {
    let mut jwk = key.jwk();
    for extra in ["kid", "use"] {
        jwk.as_object_mut().unwrap().remove(extra);
    }
    let mut claims = json!({"jti": "p-1", "htm": "GET", "htu": "https://gw.example/v1/whoami", "iat": NOW_S});
    for (name, value) in over.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.raw("ES256", &json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}).to_string(), &claims.to_string())
}

fn thumbprint(key: &Key) -> String {
    let jwk = key.jwk();
    let (x, y) = (jwk["x"].as_str().unwrap(), jwk["y"].as_str().unwrap());
    b64(Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
}

#[tokio::test]
async fn adv_084_087_proofs_of_possession_are_for_one_request_once() {
    let store = Store::new().await;
    let (here, there) = (store.gateway().await, store.gateway().await);
    let (owner, thief) = (Key::p256("o"), Key::p256("t"));
    let token = store.token(json!({"cnf": {"jkt": thumbprint(&owner)}}));
    let ath = b64(Sha256::digest(&token));
    let ask = async |gateway: &Gateway, authorization: &str, dpop: Option<&str>| {
        let request = DoorRequest { authorization: Some(authorization), dpop, ..request("/v1/whoami", "", &[]) };
        let reply = gateway.service.whoami(&request, at(0)).await;
        (reply.status, reply.headers.iter().any(|(name, value)| *name == "www-authenticate" && value.contains("DPoP")))
    };
    let dpop = format!("DPoP {token}");
    let good = proof(&owner, json!({"ath": ath}));
    let denied = (401, true);
    for (what, authorization, dpop, want) in [
        ("another key", dpop.as_str(), Some(proof(&thief, json!({"ath": ath}))), denied),
        ("another token", &dpop, Some(proof(&owner, json!({"ath": b64(Sha256::digest("x"))}))), denied),
        ("another method", &dpop, Some(proof(&owner, json!({"ath": ath, "htm": "POST"}))), denied),
        (
            "another host",
            &dpop,
            Some(proof(&owner, json!({"ath": ath, "htu": "https://evil.example/v1/whoami"}))),
            denied,
        ),
        ("no proof", &dpop, None, denied),
        ("as a bearer", &format!("Bearer {token}"), None, denied),
        ("as a bearer, with a proof", &format!("Bearer {token}"), Some(good.clone()), denied),
        ("a token without a key", &format!("DPoP {}", store.token(json!({}))), Some(good.clone()), denied),
    ] {
        assert_eq!(ask(&here, authorization, dpop.as_deref()).await, want, "{what}");
    }
    assert_eq!(ask(&here, &dpop, Some(&good)).await, (200, false));
    assert_eq!(ask(&here, &dpop, Some(&good)).await, denied, "used");
    assert_eq!(ask(&there, &dpop, Some(&good)).await, denied, "used, as other gateways know");
    assert!(there.alerts().contains(&("replayed".to_owned(), Severity::High)), "{:?}", there.alerts());
    assert_eq!(ask(&there, &dpop, Some(&proof(&owner, json!({"ath": ath, "jti": "p-2"})))).await, (200, false));
}

#[tokio::test]
async fn copies_are_seen_and_where_configured_refused() {
    let store = Store::new().await;
    let client = Client::new();
    let watching = store.gateway().await;
    let chain = chain(&watching.exchange(&store.token(json!({})), &client, 0).await);
    let certificate = || PresentedCredential::Certificate(chain.clone());
    let first = watching.present("u-1", certificate(), HERE, 1).await.unwrap();
    let second = watching.present("u-1", certificate(), ELSEWHERE, 1).await.unwrap();
    assert_eq!(watching.alerts(), [("cloned".to_owned(), Severity::High)]);
    assert_eq!(watching.service.standing(&first, at(2)).await, Standing::Stands);
    drop((first, second));
    let moved = watching.present("u-1", certificate(), HERE, 70).await.unwrap();
    assert_eq!(watching.alerts().len(), 1, "one after the other is no copy");
    drop(moved);

    let (strict, other) = (
        store.gateway_with(IdentityConfig { clones: Clones::Refuse, ..IdentityConfig::default() }).await,
        store.gateway().await,
    );
    let first = strict.present("u-1", certificate(), HERE, 100).await.unwrap();
    let elsewhere = strict.present("u-1", certificate(), ELSEWHERE, 100).await;
    assert_eq!((reason(&elsewhere).as_str(), elsewhere.unwrap_err().alarm), ("cloned", Some(Severity::High)));
    assert!(matches!(strict.service.standing(&first, at(101)).await, Standing::Ended(_)), "both");
    assert_eq!(reason(&other.present("u-1", certificate(), HERE, 101).await), "login_ended", "on every gateway");

    let token = store.token(json!({"jti": "bearer"}));
    let bearer = || PresentedCredential::token(Secret::from(token.clone()));
    let first = strict.present("u-1", bearer(), HERE, 100).await.unwrap();
    assert_eq!(reason(&strict.present("u-1", bearer(), ELSEWHERE, 100).await), "cloned");
    assert!(matches!(strict.service.standing(&first, at(101)).await, Standing::Ended(_)));
    assert_eq!(reason(&other.present("u-1", bearer(), HERE, 101).await), "replayed");
}

/// The drill of a stolen CI token: what a thief tries, each refused for its reason and told of.
#[tokio::test]
async fn adv_084_the_stolen_token_drill() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let job = Client::new();
    let token = store.token(json!({}));
    let reply = gateway.exchange(&token, &job, 0).await;
    let elsewhere = Store::new().await;
    let foreign = elsewhere.gateway().await;
    let evil = Key::p256("k");
    let header = |member: &str| format!(r#"{{"alg":"ES256","typ":"at+jwt","kid":"k",{member}}}"#);
    let payload = claims(ISSUER, &json!({})).to_string();
    for (what, token, s, want, severity) in [
        ("without the key", token.clone(), 1, "replayed", Severity::High),
        ("after its end", store.token(json!({"iat": NOW_S - 700, "exp": NOW_S - 400})), 1, "expired", Severity::Low),
        ("for somebody else", store.token(json!({"aud": "other"})), 1, "audience", Severity::Medium),
        ("kid", evil.token("ES256", &claims(ISSUER, &json!({}))), 1, "signature", Severity::High),
        ("alg", evil.raw("ES256", r#"{"alg":"none","typ":"at+jwt"}"#, &payload), 1, "algorithm", Severity::Medium),
        ("jku", evil.raw("ES256", &header(r#""jku":"https://evil.example""#), &payload), 1, "header", Severity::High),
    ] {
        let denied = gateway.present("u-1", PresentedCredential::token(Secret::from(token)), ELSEWHERE, s).await;
        assert_eq!(reason(&denied), want, "{what}");
        assert_eq!(denied.unwrap_err().alarm, Some(severity), "{what}");
        gateway.service.maintain(at(s)).await;
    }
    let against_another = foreign.certificate(&chain(&reply), 1).await;
    let detail = against_another.as_ref().unwrap_err().detail.clone().unwrap();
    assert!(detail.contains("claims to be u-1 by a certificate of login 01"), "{detail}");
    assert_eq!(
        (reason(&against_another).as_str(), against_another.unwrap_err().alarm),
        ("certificate", Some(Severity::High))
    );
}
