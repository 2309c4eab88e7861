//! JWT-SVIDs and X.509-SVIDs, good ones and those that an attacker would make, against a gateway's whole identity service. The documents
//! are made here, not by a SPIFFE implementation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_enforce::{Authenticator as _, PresentedCredential, Standing};
use countersign_identity::{
    BundleSource, ClaimMatch, Clones, IdentityConfig, IssuerConfig, MappingRule, SpiffeConfig, TokenAuthenticator,
};
use countersign_model::{CredentialBinding, IdentityKind, Severity};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use serde_json::{Value, json};
use support::gateway::{ELSEWHERE, Gateway, HERE, Store, body, chain, reason, request};
use support::{Answer, Key, NOW_S, Server, at, b64, jwks, outcome};

const TD: &str = "spiffe://td.example";
const WEB: &str = "spiffe://td.example/ns/shop/sa/web";

fn set_times(params: &mut CertificateParams, begins: i64, ends: i64) {
    let date = |s: i64| rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs((NOW_S + s) as u64);
    params.not_before = date(begins);
    params.not_after = date(ends);
}

/// An authority of a trust domain. All have the same name, as SPIRE's have.
struct Ca {
    issuer: Issuer<'static, KeyPair>,
    der: Vec<u8>,
}

impl Ca {
    fn new() -> Self {
        Self::within(-1000, 86_400)
    }

    fn within(begins: i64, ends: i64) -> Self {
        let params = Self::params(begins, ends);
        let pair = KeyPair::generate().unwrap();
        let der = params.self_signed(&pair).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, pair), der }
    }

    fn params(begins: i64, ends: i64) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "SPIFFE");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names = vec![uri(TD)];
        set_times(&mut params, begins, ends);
        params
    }

    /// An authority below it, and its certificate.
    fn below(&self, is_ca: IsCa) -> Self {
        let mut params = Self::params(-900, 80_000);
        params.distinguished_name.push(DnType::OrganizationName, "below");
        params.is_ca = is_ca;
        let pair = KeyPair::generate().unwrap();
        let der = params.signed_by(&pair, &self.issuer).unwrap().der().to_vec();
        Self { issuer: Issuer::new(params, pair), der }
    }

    fn sign(&self, change: impl FnOnce(&mut CertificateParams)) -> Vec<Bytes> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![uri(WEB)];
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        set_times(&mut params, -10, 3590);
        change(&mut params);
        let certificate = params.signed_by(&KeyPair::generate().unwrap(), &self.issuer).unwrap();
        vec![Bytes::copy_from_slice(certificate.der())]
    }

    fn x5c(&self) -> Value {
        json!({"use": "x509-svid", "kty": "EC", "x5c": [STANDARD.encode(&self.der)]})
    }
}

fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().unwrap())
}

fn bundle(keys: &[&Key], authorities: &[&Ca]) -> String {
    let mut all: Vec<Value> = authorities.iter().map(|ca| ca.x5c()).collect();
    for key in keys {
        let mut jwk = key.jwk();
        jwk["use"] = json!("jwt-svid");
        all.push(jwk);
    }
    json!({"keys": all, "spiffe_sequence": 1}).to_string()
}

struct World {
    /// Goes with the test.
    _file: tempfile::NamedTempFile,
    config: SpiffeConfig,
}

impl World {
    fn new(bundle: &str) -> Self {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bundle).unwrap();
        let config = SpiffeConfig::new("td.example", &["gw"], BundleSource::File(file.path().to_owned()));
        Self { _file: file, config }
    }

    fn tokens(&self) -> TokenAuthenticator {
        let mut oidc = IssuerConfig::new("corp", "https://id.example", &["gw"]);
        oidc.jwks = Some(jwks(&[&Key::p256("o")]));
        TokenAuthenticator::new(vec![oidc.into(), self.config.clone().into()]).unwrap()
    }

    async fn gateway(&self, store: &Store, config: IdentityConfig) -> Gateway {
        store.gateway_of(config, vec![self.config.clone().into()]).await
    }
}

fn svid(key: &Key, alg: &str, over: Value) -> String {
    header_svid(key, alg, &json!({"alg": alg, "kid": key.kid, "typ": "JWT"}), over)
}

fn header_svid(key: &Key, alg: &str, header: &Value, over: Value) -> String {
    let mut claims = json!({"sub": WEB, "aud": ["gw"], "exp": NOW_S + 290, "iat": NOW_S - 10});
    for (name, value) in over.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
    }
    key.raw(alg, &header.to_string(), &claims.to_string())
}

#[tokio::test]
async fn a_jwt_svid_of_every_algorithm_is_a_machine_named_by_its_path() {
    let keys = [Key::rsa("r"), Key::p256("2"), Key::p384("3"), Key::p521("5")];
    let world = World::new(&bundle(&keys.iter().collect::<Vec<_>>(), &[]));
    let auth = world.tokens();
    for (alg, key) in [
        ("RS256", 0),
        ("RS384", 0),
        ("RS512", 0),
        ("PS256", 0),
        ("PS384", 0),
        ("PS512", 0),
        ("ES256", 1),
        ("ES384", 2),
        ("ES512", 3),
    ] {
        let identity = auth.verify(&svid(&keys[key], alg, json!({})), at(0)).await.expect(alg);
        assert_eq!((identity.name.as_str(), identity.kind), ("td.example/ns/shop/sa/web", IdentityKind::Machine));
        assert_eq!((identity.subject.as_str(), identity.issuer.as_str()), (WEB, TD));
        assert_eq!(identity.credential, CredentialBinding::Bearer);
        assert_eq!(identity.claims["spiffe_path"], json!("/ns/shop/sa/web"));
    }
    // Who says when it was issued is believed; who does not is as old as it can be.
    let young = auth.verify(&svid(&keys[1], "ES256", json!({})), at(0)).await.unwrap();
    let old = auth.verify(&svid(&keys[1], "ES256", json!({"iat": null})), at(0)).await.unwrap();
    assert_eq!((young.issued_at, old.issued_at), (at(-10), at(290 - 3600)));
}

#[tokio::test]
async fn adv_081_to_083_hostile_jwt_svids() {
    let (key, thief, foreign, rsa) = (Key::p256("k"), Key::p256("k"), Key::p256("f"), Key::rsa("r"));
    let ed = Key::ed("e");
    let mut with_others: Value = serde_json::from_str(&bundle(&[&key, &rsa, &ed], &[&Ca::new()])).unwrap();
    for (kid, usage) in [("sig", json!("sig")), ("none", Value::Null), ("x", json!("x509-svid-"))] {
        let mut jwk = Key { kid: kid.to_owned(), ..Key::p256(kid) }.jwk();
        jwk["use"] = usage;
        with_others["keys"].as_array_mut().unwrap().push(jwk);
    }
    let for_tokens = Key::p256("sig");
    let world = World::new(&with_others.to_string());
    let auth = world.tokens();
    let good = json!({});
    let h = |over: Value| {
        let mut header = json!({"alg": "ES256", "kid": "k", "typ": "JWT"});
        header.as_object_mut().unwrap().extend(over.as_object().unwrap().clone());
        header_svid(&key, "ES256", &header, json!({}))
    };
    let no_header = |kid: &str, alg: &str| {
        let header = json!({"alg": alg, "kid": kid}).to_string();
        format!("{}.{}.", b64(header), svid(&key, "ES256", json!({})).split('.').nth(1).unwrap())
    };
    let es = |over: Value| svid(&key, "ES256", over);
    for (what, token, want) in [
        ("as it should be", es(good.clone()), "ok"),
        ("typ JOSE", h(json!({"typ": "JOSE"})), "ok"),
        ("without typ", header_svid(&key, "ES256", &json!({"alg": "ES256", "kid": "k"}), json!({})), "ok"),
        ("one audience as text", es(json!({"aud": "gw"})), "ok"),
        ("iss is not looked at", es(json!({"iss": "https://spire.example"})), "ok"),
        ("iss of an OIDC issuer of ours", es(json!({"iss": "https://id.example"})), "ok"),
        // Signature, algorithm, key.
        ("another's key", svid(&thief, "ES256", good.clone()), "signature"),
        ("a key that is not in the bundle", svid(&foreign, "ES256", good.clone()), "unknown_key"),
        ("a key for something else", svid(&for_tokens, "ES256", good.clone()), "unknown_key"),
        ("EdDSA", svid(&ed, "EdDSA", good.clone()), "algorithm"),
        ("none", no_header("k", "none"), "algorithm"),
        ("HS256", no_header("k", "HS256"), "algorithm"),
        ("RS256 with an EC key", no_header("k", "RS256"), "algorithm"),
        ("typ at+jwt", h(json!({"typ": "at+jwt"})), "type"),
        ("typ jwt", h(json!({"typ": "jwt"})), "type"),
        ("a header of its own", h(json!({"x": 1})), "header"),
        ("jku", h(json!({"jku": "https://evil.example"})), "header"),
        ("jwk", h(json!({"jwk": thief.jwk()})), "header"),
        ("x5c", h(json!({"x5c": ["AA"]})), "header"),
        ("crit", h(json!({"crit": ["exp"]})), "header"),
        ("cty", h(json!({"cty": "JWT"})), "encrypted"),
        // Trust domain.
        ("a foreign trust domain", es(json!({"sub": "spiffe://other.example/ns/shop/sa/web"})), "unknown_issuer"),
        ("the trust domain as iss", es(json!({"sub": "web", "iss": TD})), "unknown_issuer"),
        ("in capitals", es(json!({"sub": "spiffe://TD.example/a"})), "claim"),
        ("a look-alike", es(json!({"sub": "spiffe://td.ex\u{0430}mple/a"})), "claim"),
        ("with a port", es(json!({"sub": "spiffe://td.example:443/a"})), "claim"),
        ("the trust domain itself", es(json!({"sub": TD})), "claim"),
        ("dots", es(json!({"sub": format!("{TD}/a/../b")})), "claim"),
        ("encoded", es(json!({"sub": format!("{TD}/a%2f")})), "claim"),
        ("too long", es(json!({"sub": format!("{TD}/{}", "a".repeat(2048))})), "claim"),
        ("too long for a name", es(json!({"sub": format!("{TD}/{}", "a".repeat(300))})), "claim"),
        ("no sub", es(json!({"sub": null})), "claim"),
        ("sub is a list", es(json!({"sub": [WEB]})), "claim"),
        // Audience and times.
        ("no aud", es(json!({"aud": null})), "claim"),
        ("an empty aud", es(json!({"aud": []})), "audience"),
        ("another aud", es(json!({"aud": ["gw2"]})), "audience"),
        ("no exp", es(json!({"exp": null})), "claim"),
        ("no exp and no iat", es(json!({"exp": null, "iat": null})), "claim"),
        ("expired", es(json!({"exp": NOW_S - 30, "iat": NOW_S - 100})), "expired"),
        ("expired, without iat", es(json!({"exp": NOW_S - 30, "iat": null})), "expired"),
        ("lives too long", es(json!({"exp": NOW_S + 3600})), "lifetime"),
        ("ends too late, without iat", es(json!({"exp": NOW_S + 3601, "iat": null})), "lifetime"),
        ("ends just in time, without iat", es(json!({"exp": NOW_S + 3600, "iat": null})), "ok"),
        ("from the future", es(json!({"iat": NOW_S + 31})), "not_yet_valid"),
        ("not yet", es(json!({"nbf": NOW_S + 31})), "not_yet_valid"),
        ("bound to a key", es(json!({"cnf": {"jkt": "x"}})), "unproven"),
    ] {
        assert_eq!(outcome(&auth, &token, at(0)).await, want, "{what}");
    }
}

#[tokio::test]
async fn adv_084_a_jwt_svid_is_bound_by_its_first_exchange() {
    let key = Key::p256("k");
    let world = World::new(&bundle(&[&key], &[]));
    let store = Store::new().await;
    let (here, there) = (
        world.gateway(&store, IdentityConfig::default()).await,
        world.gateway(&store, IdentityConfig::default()).await,
    );
    let (job, thief) = (support::gateway::Client::new(), support::gateway::Client::new());
    let token = svid(&key, "ES256", json!({"jti": "1"}));
    let reply = here.exchange(&token, &job, 0).await;
    assert_eq!(
        (reply.status, &body(&reply)["identity"]["name"]),
        (200, &json!("td.example/ns/shop/sa/web")),
        "{}",
        reply.body
    );
    assert_eq!(body(&reply)["renewable"], json!(false));
    let certificate = PresentedCredential::Certificate(chain(&reply));
    let identity = there.present(WEB, certificate, HERE, 1).await.unwrap();
    assert_eq!((identity.kind, identity.credential), (IdentityKind::Machine, CredentialBinding::Bound));
    assert_eq!(there.exchange(&token, &thief, 2).await.status, 400);
    let bearer = PresentedCredential::token(countersign_model::Secret::from(token));
    // What was just alarmed is not again at once.
    let replayed = there.present(WEB, bearer, ELSEWHERE, 63).await;
    assert_eq!((reason(&replayed).as_str(), replayed.unwrap_err().alarm), ("replayed", Some(Severity::High)));
    assert_eq!(there.alerts(), [("replayed".to_owned(), Severity::High)]);

    let config = SpiffeConfig { require_bound: true, ..world.config.clone() };
    let world = World { config, ..world };
    let strict = world.gateway(&store, IdentityConfig::default()).await;
    let bearer = PresentedCredential::token(countersign_model::Secret::from(svid(&key, "ES256", json!({"jti": "2"}))));
    assert_eq!(reason(&strict.present(WEB, bearer, HERE, 3).await), "bearer_refused");
}

#[tokio::test]
async fn an_x509_svid_is_a_login_without_a_password() {
    let ca = Ca::new();
    let mut world = World::new(&bundle(&[], &[&ca]));
    world.config.mapping = vec![MappingRule {
        when: [("spiffe_path".to_owned(), ClaimMatch::Text("/ns/shop/sa/web".to_owned()))].into(),
        name: Some("web".to_owned()),
        groups: vec!["shops".to_owned()],
        kind: None,
    }];
    let store = Store::new().await;
    let gateway = world.gateway(&store, IdentityConfig::default()).await;
    let web = ca.sign(|_| {});
    assert!(gateway.service.recognises(&web));
    for user in ["web", WEB] {
        let identity = gateway.present(user, PresentedCredential::Certificate(web.clone()), HERE, 0).await.unwrap();
        assert_eq!((identity.name.as_str(), identity.issuer.as_str(), identity.subject.as_str()), ("web", TD, WEB));
        assert_eq!((identity.kind, identity.credential), (IdentityKind::Machine, CredentialBinding::Bound));
        assert!(identity.groups.contains("shops") && identity.key.as_ref().is_some_and(|k| k.len() == 43));
        assert_eq!((identity.issued_at, identity.expires_at), (at(-10), at(3590)));
        assert_eq!(gateway.service.standing(&identity, at(10)).await, Standing::Stands);
    }
    let other = gateway.present("root", PresentedCredential::Certificate(web.clone()), HERE, 0).await;
    assert_eq!(reason(&other), "other_user");
    let who = gateway.service.whoami(&request("/v1/whoami", "", &web), at(0)).await;
    assert_eq!((who.status, &body(&who)["subject"]), (200, &json!(WEB)), "{}", who.body);
    let unmapped = ca.sign(|p| p.subject_alt_names = vec![uri("spiffe://td.example/b")]);
    assert_eq!(reason(&gateway.certificate(&unmapped, 0).await), "unmapped");
}

#[tokio::test]
async fn adv_090_sessions_end_when_their_authority_or_key_leaves_the_bundle() {
    let (gone, stays, stranger) = (Ca::new(), Ca::new(), Ca::new());
    let (lost, kept) = (Key::p256("1"), Key::p256("2"));
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |keys: &[&Key], authorities: &[&Ca]| std::fs::write(file.path(), bundle(keys, authorities)).unwrap();
    write(&[&lost, &kept], &[&gone, &stays]);
    let config = SpiffeConfig::new("td.example", &["gw"], BundleSource::File(file.path().to_owned()));
    let gateway = Store::new().await.gateway_of(IdentityConfig::default(), vec![config.into()]).await;
    let by_certificate =
        async |ca: &Ca, s: i64| gateway.present(WEB, PresentedCredential::Certificate(ca.sign(|_| {})), HERE, s).await;
    let by_token = async |key: &Key| {
        let token = PresentedCredential::token(countersign_model::Secret::from(svid(key, "ES256", json!({}))));
        gateway.present(WEB, token, HERE, 0).await.unwrap()
    };
    let sessions = [
        ("a certificate of the one that goes", by_certificate(&gone, 0).await.unwrap(), false),
        ("a certificate of the one that stays", by_certificate(&stays, 0).await.unwrap(), true),
        ("a token of the one that goes", by_token(&lost).await, false),
        ("a token of the one that stays", by_token(&kept).await, true),
    ];
    write(&[&kept], &[&stays]);
    // Whoever nobody vouches for has the bundle read again.
    assert_eq!(reason(&by_certificate(&stranger, 20).await), "certificate");
    for (what, session, want) in sessions {
        let standing = gateway.service.standing(&session, at(21)).await;
        assert_eq!(standing == Standing::Stands, want, "{what}: {standing:?}");
    }
}

#[tokio::test]
async fn adv_083_hostile_x509_svids() {
    let (ca, other) = (Ca::new(), Ca::new());
    let (past, future) = (Ca::within(-1000, -1), Ca::within(1, 86_400));
    let world = World::new(&bundle(&[], &[&ca, &past, &future]));
    let store = Store::new().await;
    let gateway = world.gateway(&store, IdentityConfig::default()).await;
    let below = ca.below(IsCa::Ca(BasicConstraints::Constrained(0)));
    let beyond = below.below(IsCa::Ca(BasicConstraints::Constrained(0)));
    let no_ca = ca.below(IsCa::ExplicitNoCa);
    let with = |leaf: Vec<Bytes>, more: &[&Ca]| {
        leaf.into_iter().chain(more.iter().map(|c| Bytes::copy_from_slice(&c.der))).collect::<Vec<_>>()
    };
    let named = |names: Vec<SanType>| ca.sign(|p| p.subject_alt_names = names);
    let used = |usages: Vec<KeyUsagePurpose>| ca.sign(|p| p.key_usages = usages);
    let dns = || SanType::DnsName("web.example".try_into().unwrap());
    let (digital, signs) = (KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign);
    let mut tampered = ca.sign(|_| {})[0].to_vec();
    *tampered.last_mut().unwrap() ^= 1;
    let extended = [ca.sign(|_| {})[0].to_vec(), vec![0]].concat();
    for (what, chain, is_recognised, want) in [
        ("as it should be", ca.sign(|_| {}), true, "ok"),
        ("with DNS names besides", named(vec![dns(), uri(WEB)]), true, "ok"),
        ("without extended usages", ca.sign(|p| p.extended_key_usages.clear()), true, "ok"),
        ("by an authority below", with(below.sign(|_| {}), &[&below]), true, "ok"),
        // Names.
        ("two URIs", named(vec![uri(WEB), uri("spiffe://td.example/admin")]), true, "certificate"),
        ("a URI of somebody else besides", named(vec![uri("https://x.example/"), uri(WEB)]), true, "certificate"),
        ("no URI", named(vec![dns()]), false, "certificate"),
        ("the trust domain itself", named(vec![uri(TD)]), false, "certificate"),
        ("a foreign trust domain", named(vec![uri("spiffe://other.example/a")]), false, "certificate"),
        ("in capitals", named(vec![uri("spiffe://TD.example/a")]), false, "certificate"),
        ("dots", named(vec![uri("spiffe://td.example/../a")]), false, "certificate"),
        ("too long", named(vec![uri(&format!("{TD}/{}", "a".repeat(2040)))]), false, "certificate"),
        ("too long for a name", named(vec![uri(&format!("{TD}/{}", "a".repeat(300)))]), true, "claim"),
        // Usages.
        (
            "an authority as a workload",
            ca.sign(|p| p.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            true,
            "certificate",
        ),
        ("may sign certificates", used(vec![digital, signs]), true, "certificate"),
        ("may sign lists", used(vec![digital, KeyUsagePurpose::CrlSign]), true, "certificate"),
        ("not for signatures", used(vec![KeyUsagePurpose::KeyEncipherment]), true, "certificate"),
        ("no usages", used(vec![]), true, "certificate"),
        (
            "for servers alone",
            ca.sign(|p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
            true,
            "certificate",
        ),
        // Chain and times.
        ("another authority", other.sign(|_| {}), true, "certificate"),
        ("another authority, which comes along", with(other.sign(|_| {}), &[&other]), true, "certificate"),
        ("the one below is missing", below.sign(|_| {}), true, "certificate"),
        ("below something that is none", with(no_ca.sign(|_| {}), &[&no_ca]), true, "certificate"),
        ("deeper than allowed", with(beyond.sign(|_| {}), &[&beyond, &below]), true, "certificate"),
        ("a chain that is too long", with(ca.sign(|_| {}), &[&below; 4]), true, "certificate"),
        ("an authority whose time is over", past.sign(|_| {}), true, "certificate"),
        ("an authority whose time has not come", future.sign(|_| {}), true, "certificate"),
        ("over", ca.sign(|p| set_times(p, -100, -1)), true, "certificate_expired"),
        ("not yet", ca.sign(|p| set_times(p, 5, 100)), true, "not_yet_valid"),
        ("tampered with", vec![Bytes::from(tampered)], true, "certificate"),
        ("something follows", vec![Bytes::from(extended)], true, "certificate"),
        ("no certificate", vec![Bytes::from_static(b"x")], false, "certificate"),
        ("nothing", vec![], false, "certificate"),
    ] {
        assert_eq!(gateway.service.recognises(&chain), is_recognised, "{what}");
        let got = gateway.present(WEB, PresentedCredential::Certificate(chain), HERE, 0).await;
        assert_eq!(reason(&got), want, "{what}");
    }
}

#[tokio::test]
async fn authorities_are_renewed_and_dropped_with_the_bundle() {
    let (server, old, new, key) = (Server::start().await, Ca::new(), Ca::new(), Key::p256("k"));
    let mut config = SpiffeConfig::new(
        "td.example",
        &["gw"],
        BundleSource::Url { url: format!("{}/bundle", server.url), ca_file: None },
    );
    config.max_bundle_age_s = 1000;
    let store = Store::new().await;
    let gateway = store.gateway_of(IdentityConfig::default(), vec![config.into()]).await;
    let see = async |chain: &[Bytes], s: i64| {
        reason(&gateway.present(WEB, PresentedCredential::Certificate(chain.to_vec()), HERE, s).await)
    };
    let (of_old, of_new) = (old.sign(|_| {}), new.sign(|_| {}));
    assert_eq!(see(&of_old, 0).await, "keys_unavailable");
    server.put("/bundle", Answer::json(bundle(&[&key], &[&old])));
    assert_eq!(see(&of_old, 1).await, "ok");
    server.put("/bundle", Answer::json(bundle(&[&key], &[&old, &new])));
    // Both authorities have the same name. Asked a moment ago: not again so soon.
    assert_eq!(see(&of_new, 2).await, "certificate");
    assert_eq!(see(&of_new, 11).await, "ok");
    assert_eq!(server.hits("/bundle"), 3);
    server.put("/bundle", Answer::json(bundle(&[&key], &[&new])));
    assert_eq!(see(&of_old, 12).await, "ok");
    // What is thrown in leads to one more fetch, and that one drops the old authority.
    assert_eq!(see(&Ca::new().sign(|_| {}), 21).await, "certificate");
    assert_eq!(see(&of_old, 22).await, "certificate");
    assert_eq!((see(&of_new, 22).await.as_str(), server.hits("/bundle")), ("ok", 4));
    // A bundle with a fault leaves the one before in force, until that is too old.
    server.put("/bundle", Answer::json(bundle(&[&key], &[&new]).replace("MII", "AAA")));
    assert_eq!(see(&of_new, 1020).await, "ok");
    assert_eq!(see(&of_new, 1021).await, "keys_unavailable");
}

#[tokio::test]
async fn the_bundle_says_how_often_it_wants_to_be_asked_for() {
    for (hint, asked_again_at) in [(json!(20), 20), (json!(1), 10), (json!(1_000_000), 3600), (Value::Null, 300)] {
        let (server, key) = (Server::start().await, Key::p256("k"));
        let mut document: Value = serde_json::from_str(&bundle(&[&key], &[])).unwrap();
        if !hint.is_null() {
            document["spiffe_refresh_hint"] = hint.clone();
        }
        server.put("/bundle", Answer::json(document.to_string()));
        let url = BundleSource::Url { url: format!("{}/bundle", server.url), ca_file: None };
        let auth = TokenAuthenticator::new(vec![SpiffeConfig::new("td.example", &["gw"], url).into()]).unwrap();
        let token = |s: i64| svid(&key, "ES256", json!({"iat": NOW_S + s - 1, "exp": NOW_S + s + 100}));
        assert_eq!(outcome(&auth, &token(0), at(0)).await, "ok");
        assert_eq!(outcome(&auth, &token(asked_again_at - 1), at(asked_again_at - 1)).await, "ok");
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(server.hits("/bundle"), 1, "{hint}");
        assert_eq!(outcome(&auth, &token(asked_again_at), at(asked_again_at)).await, "ok");
        for _ in 0..500 {
            if server.hits("/bundle") == 2 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(server.hits("/bundle"), 2, "{hint}");
    }
}

#[tokio::test]
async fn a_copied_x509_svid_is_seen_and_where_configured_good_no_more() {
    let ca = Ca::new();
    let world = World::new(&bundle(&[], &[&ca]));
    let store = Store::new().await;
    let config = IdentityConfig { clones: Clones::Refuse, ..IdentityConfig::default() };
    let (here, there) = (world.gateway(&store, config.clone()).await, world.gateway(&store, config).await);
    let web = PresentedCredential::Certificate(ca.sign(|_| {}));
    let again = |c: &PresentedCredential| match c {
        PresentedCredential::Certificate(chain) => PresentedCredential::Certificate(chain.clone()),
        _ => panic!("a certificate"),
    };
    let live = here.present(WEB, again(&web), HERE, 0).await.unwrap();
    assert_eq!(reason(&here.present(WEB, again(&web), ELSEWHERE, 1).await), "cloned");
    assert!(matches!(here.service.standing(&live, at(2)).await, Standing::Ended(_)));
    assert_eq!(reason(&there.present(WEB, web, HERE, 3).await), "replayed");
}

#[tokio::test]
async fn a_trust_domain_that_is_taken_out_ends_its_sessions() {
    let ca = Ca::new();
    let world = World::new(&bundle(&[], &[&ca]));
    let store = Store::new().await;
    let tokens = std::sync::Arc::new(world.tokens());
    let service = countersign_identity::IdentityService::new(
        IdentityConfig::default(),
        tokens.clone(),
        store.logins.clone(),
        None,
        std::sync::Arc::new(support::Alerts::default()),
    );
    let web = ca.sign(|_| {});
    assert!(service.recognises(&web), "without an authority of our own");
    let gateway = Gateway { service, alerts: std::sync::Arc::default() };
    let live = gateway.present(WEB, PresentedCredential::Certificate(web.clone()), HERE, 0).await.unwrap();
    tokens.replace(vec![]).unwrap();
    assert!(matches!(gateway.service.standing(&live, at(1)).await, Standing::Ended(_)));
    assert!(!gateway.service.recognises(&web));
}

#[test]
fn what_cannot_be_a_trust_domain_is_said() {
    let file = || BundleSource::File("bundle.json".into());
    let good = SpiffeConfig::new("td.example", &["gw"], file());
    for (config, field) in [
        (SpiffeConfig { trust_domain: "TD".to_owned(), ..good.clone() }, "trust_domain"),
        (SpiffeConfig { trust_domain: "spiffe://td".to_owned(), ..good.clone() }, "trust_domain"),
        (SpiffeConfig { audiences: vec![], ..good.clone() }, "audiences"),
        (SpiffeConfig { leeway_s: 61, ..good.clone() }, "leeway_s"),
        (SpiffeConfig { max_bundle_age_s: 299, ..good.clone() }, "bundle_refresh_s"),
        (SpiffeConfig { name_prefix: Some("\u{202e}".to_owned()), ..good.clone() }, "name_prefix"),
        (
            SpiffeConfig {
                bundle: BundleSource::Url { url: "http://spire.example/".to_owned(), ca_file: None },
                ..good.clone()
            },
            "bundle_url",
        ),
    ] {
        let refused = TokenAuthenticator::new(vec![config.into()]).err().unwrap();
        assert_eq!(refused.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), [field]);
    }
    let twice = TokenAuthenticator::new(vec![good.clone().into(), good.into()]).err().unwrap();
    assert_eq!((twice[0].issuer, twice[0].field.as_str()), (1, "trust_domain"));
}
