//! An issuer takes a key away while sessions live that it signed the credentials of: before those had ended it is a revocation, later it
//! is a rotation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use countersign_enforce::{Authenticator as _, PresentedCredential, Standing};
use countersign_identity::{IdentityConfig, IssuerConfig, TOKEN_TYPE_X509};
use countersign_model::{Identity, Secret};
use serde_json::json;
use support::gateway::{Client, GRANT, Gateway, HERE, JWT, Store, body, chain, form, reason, request};
use support::{Key, NOW_S, Server, at, claims};

/// When the tokens of these tests end, in seconds.
const ENDS_S: i64 = 100;

struct World {
    server: Server,
    store: Store,
    old: Key,
    new: Key,
}

impl World {
    async fn new() -> Self {
        let world =
            Self { server: Server::start().await, store: Store::new().await, old: Key::p256("a"), new: Key::p256("b") };
        world.server.publish(&[&world.old]);
        world
    }

    async fn gateway(&self) -> Gateway {
        let config = IssuerConfig::new("there", &self.server.url, &["gw"]);
        self.store.gateway_of(IdentityConfig::default(), vec![config.into()]).await
    }

    fn token(&self, jti: &str) -> String {
        self.old.token("ES256", &claims(&self.server.url, &json!({"exp": NOW_S + ENDS_S, "jti": jti})))
    }

    async fn session(&self, gateway: &Gateway) -> std::sync::Arc<Identity> {
        gateway.bearer(&self.token("1"), 0).await.unwrap()
    }

    /// The issuer publishes these keys, and the gateway has them: it asks because of a token with a kid that it does not know.
    async fn now_has(&self, gateway: &Gateway, keys: &[&Key], s: i64) {
        self.server.publish(keys);
        let before = self.server.hits("/jwks");
        let unknown = Key::p256("nobody").token("ES256", &claims(&self.server.url, &json!({"exp": NOW_S + s + 60})));
        assert_eq!(reason(&gateway.bearer(&unknown, s).await), "unknown_key");
        assert_eq!(self.server.hits("/jwks"), before + 1);
    }
}

async fn stands(gateway: &Gateway, identity: &Identity, s: i64) -> bool {
    match gateway.service.standing(identity, at(s)).await {
        Standing::Stands => true,
        Standing::Ended(denial) => {
            assert!(denial.detail.as_deref().unwrap().starts_with("key_revoked"), "{denial:?}");
            false
        }
        Standing::Unknown => panic!("it can be told"),
    }
}

#[tokio::test]
async fn adv_090_a_session_ends_when_the_key_that_signed_its_token_is_revoked() {
    // When the gateway fetched keys, whether the one of the session was among them, and what it then says at some time.
    for (what, fetches, asked, want) in [
        ("still published", &[(50, true)][..], 51, true),
        ("taken away while the token is good", &[(50, false)], 51, false),
        ("and asked about long after", &[(50, false)], 299, false),
        ("fetched again since", &[(50, false), (150, false)], 151, false),
        ("taken away around the token's end", &[(ENDS_S - 1, true), (120, false)], 121, false),
        ("taken away after the token's end", &[(ENDS_S, true), (120, false)], 121, true),
        ("and asked about long after", &[(ENDS_S, true), (120, false), (140, false)], 299, true),
        ("taken away by mistake", &[(50, false), (60, true)], 61, true),
        ("taken away twice", &[(50, false), (60, true), (70, false)], 71, false),
    ] {
        let world = World::new().await;
        let gateway = world.gateway().await;
        let session = world.session(&gateway).await;
        assert!(stands(&gateway, &session, 1).await, "{what}");
        for (s, has) in fetches {
            let keys: &[&Key] = if *has { &[&world.new, &world.old] } else { &[&world.new] };
            world.now_has(&gateway, keys, *s).await;
        }
        assert_eq!(stands(&gateway, &session, asked).await, want, "{what}");
    }
}

#[tokio::test]
async fn adv_090_a_key_under_another_name_is_the_same_key() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let session = world.session(&gateway).await;
    let renamed = Key { kid: "c".to_owned(), private: world.old.private };
    world.server.publish(&[&renamed]);
    let by_the_new_name = renamed.token("ES256", &claims(&world.server.url, &json!({"jti": "2"})));
    assert_eq!(reason(&gateway.bearer(&by_the_new_name, 20).await), "ok");
    assert!(stands(&gateway, &session, 21).await);
    // Another key under the old name is not.
    let world = World::new().await;
    let gateway = world.gateway().await;
    let session = world.session(&gateway).await;
    world.now_has(&gateway, &[&Key::p256("a")], 20).await;
    assert!(!stands(&gateway, &session, 21).await);
}

#[tokio::test]
async fn adv_090_a_login_ends_everywhere_when_the_key_that_signed_its_token_is_revoked() {
    let world = World::new().await;
    let (here, there) = (world.gateway().await, world.gateway().await);
    let login = chain(&here.exchange(&world.token("1"), &Client::new(), 0).await);
    let session = here.certificate(&login, 1).await.unwrap();
    world.now_has(&here, &[&world.new], 50).await;
    assert_eq!(reason(&here.certificate(&login, 51).await), "key_revoked");
    assert!(!stands(&here, &session, 51).await);
    // The other gateway never saw the keys of this issuer; it knows from the store.
    assert_eq!(reason(&there.certificate(&login, 52).await), "login_ended");
}

#[tokio::test]
async fn adv_090_a_gateway_that_was_restarted_finds_out() {
    let world = World::new().await;
    let before = world.gateway().await;
    let login = chain(&before.exchange(&world.token("1"), &Client::new(), 0).await);
    world.server.publish(&[&world.new]);
    let after = world.gateway().await;
    let session = after.certificate(&login, 50).await.expect("nothing is known of the issuer's keys yet");
    // The question had the keys fetched behind the scenes.
    let began = Instant::now();
    while stands(&after, &session, 51).await {
        assert!(began.elapsed() < Duration::from_secs(5), "it does not find out");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(world.server.hits("/jwks"), 2);
    assert_eq!(reason(&after.certificate(&login, 52).await), "login_ended");
}

#[tokio::test]
async fn adv_090_while_the_issuer_is_down_nothing_is_revoked() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let session = world.session(&gateway).await;
    world.server.clear();
    // Past the refresh, which fails, and past the age of the keys.
    for s in [301, 302, 90_000] {
        assert!(stands(&gateway, &session, s).await, "{s}");
    }
}

#[tokio::test]
async fn adv_090_who_acts_by_a_token_of_a_revoked_key_acts_no_more() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let exchange = async |jti: &str, s: i64| {
        let csr = Client::new().csr();
        let form = form(&[
            GRANT,
            ("subject_token", &world.store.token(json!({"jti": jti}))),
            ("subject_token_type", JWT),
            ("actor_token", &world.token(jti)),
            ("actor_token_type", JWT),
            ("requested_token_type", TOKEN_TYPE_X509),
            ("csr", &csr),
        ]);
        gateway.service.exchange(&request("/v1/exchange", &form, &[]), at(s)).await
    };
    let reply = exchange("1", 0).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(body(&reply)["identity"]["delegation"][0]["issuer"], json!(world.server.url));
    let acting = gateway.certificate(&chain(&reply), 1).await.unwrap();
    let alone = gateway.bearer(&world.store.token(json!({"jti": "2"})), 1).await.unwrap();
    assert!(stands(&gateway, &acting, 2).await);
    world.now_has(&gateway, &[&world.new], 50).await;
    assert!(!stands(&gateway, &acting, 51).await);
    assert!(stands(&gateway, &alone, 51).await);
}

#[tokio::test]
async fn what_was_signed_says_by_which_key() {
    let world = World::new().await;
    let gateway = world.gateway().await;
    let of = |key: &Key| {
        let jwk = key.jwk();
        let text = |name: &str| jwk[name].as_str().unwrap().to_owned();
        let json = format!(r#"{{"crv":"P-256","kty":"EC","x":"{}","y":"{}"}}"#, text("x"), text("y"));
        support::b64(<sha2::Sha256 as sha2::Digest>::digest(json))
    };
    let session = world.session(&gateway).await;
    assert_eq!(session.signer, Some(of(&world.old)));
    // And again from memory.
    assert_eq!(world.session(&gateway).await.signer, Some(of(&world.old)));
    let token = PresentedCredential::token(Secret::from(world.store.token(json!({}))));
    assert_eq!(gateway.present("u-1", token, HERE, 0).await.unwrap().signer, Some(of(&world.store.key)));
}
