//! What tokens become: certificates of logins, renewed and ended, for people, workloads and agents, against a gateway's whole identity
//! service and a second gateway of the same store.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Authenticator as _, BoxFuture, Lockable, Locks, PresentedCredential, Standing};
use countersign_identity::local::{Account, AccountStore};
use countersign_identity::login::LoginStore as _;
use countersign_identity::{DoorRequest, IdentityConfig, SessionLife, TOKEN_TYPE_X509};
use countersign_model::{
    ClientText, CredentialBinding, Culprit, Denial, DenialCode, IdentityKind, Severity, Timestamp,
};
use serde_json::json;
use support::gateway::*;
use support::{NOW_S, at};

#[tokio::test]
async fn a_token_becomes_a_certificate_that_is_good_with_its_key() {
    let store = Store::new().await;
    let (here, there) = (store.gateway().await, store.gateway().await);
    let client = Client::new();
    let reply = here.exchange(&store.token(json!({"groups": ["dev"]})), &client, 0).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(reply.headers.contains(&("cache-control", "no-store".to_owned())));
    let said = body(&reply);
    for (name, want) in [
        ("issued_token_type", json!(TOKEN_TYPE_X509)),
        ("token_type", json!("N_A")),
        ("expires_in", json!(3600)),
        ("login_expires_in", json!(12 * 3600)),
        ("renewable", json!(true)),
    ] {
        assert_eq!(said[name], want, "{name}");
    }
    assert_eq!((&said["identity"]["name"], &said["identity"]["groups"]), (&json!("u-1"), &json!(["corp:dev"])));
    for gateway in [&here, &there] {
        assert!(gateway.service.recognises(&chain(&reply)));
        let identity = gateway.certificate(&chain(&reply), 1).await.unwrap();
        assert_eq!(identity.credential, CredentialBinding::Bound);
        assert_eq!(identity.key.as_deref(), Some(client.thumbprint().as_str()));
        assert_eq!(identity.login.as_deref(), said["login"].as_str());
        assert_eq!((identity.issued_at, identity.expires_at), (at(-10), at(3600)));
        assert_eq!(identity.claims["jti"], json!("t-1"));
        assert_eq!(gateway.service.standing(&identity, at(2)).await, Standing::Stands);
        let other = gateway.present("root", PresentedCredential::Certificate(chain(&reply)), HERE, 1).await;
        assert_eq!(reason(&other), "other_user");
    }
    // Asked again with the same key, as after an answer that was lost: the same login.
    let token = store.token(json!({"jti": "t-9"}));
    let first = body(&here.exchange(&token, &client, 5).await)["login"].clone();
    assert_eq!(body(&there.exchange(&token, &client, 6).await)["login"], first);
    assert_eq!(reason(&here.certificate(&chain(&reply), 3601).await), "certificate_expired");
}

#[tokio::test]
async fn whoami_shows_what_the_gateway_sees() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let client = Client::new();
    let chain = chain(&gateway.exchange(&store.token(json!({"repository_id": "7"})), &client, 0).await);
    let reply = gateway.service.whoami(&request("/v1/whoami", "", &chain), at(1)).await;
    let said = body(&reply);
    assert_eq!(
        (reply.status, &said["credential"], &said["claims"]["repository_id"]),
        (200, &json!("bound"), &json!("7"))
    );
    assert_eq!((&said["issued_at"], &said["expires_at"]), (&json!(NOW_S - 10), &json!(NOW_S + 3600)));
    assert_eq!(said["certificate_expires_at"], json!(NOW_S + 3600));
    assert_eq!(said["login_expires_at"], json!(NOW_S + 12 * 3600));
    let bearer = format!("Bearer {}", store.token(json!({"jti": "b"})));
    let asked = DoorRequest { authorization: Some(&bearer), ..request("/v1/whoami", "", &[]) };
    assert_eq!(body(&gateway.service.whoami(&asked, at(1)).await)["credential"], json!("bearer"));
    let nothing = gateway.service.whoami(&request("/v1/whoami", "", &[]), at(1)).await;
    assert_eq!((nothing.status, gateway.alerts()), (401, Vec::new()), "nothing was stolen");
}

#[tokio::test]
async fn a_person_renews_until_the_login_ends_and_logging_out_ends_it_everywhere() {
    let store = Store::new().await;
    let config = IdentityConfig { login_lifetime_s: 7200, ..IdentityConfig::default() };
    let (here, there) = (store.gateway_with(config.clone()).await, store.gateway_with(config).await);
    let (client, thief) = (Client::new(), Client::new());
    let token = store.token(json!({}));
    let first = chain(&here.exchange(&token, &client, 0).await);
    let renew = async |chain: &[Bytes], client: &Client, s: i64| {
        let form = form(&[("csr", &client.csr())]);
        here.service.renew(&request("/v1/renew", &form, chain), at(s)).await
    };
    let second = renew(&first, &client, 3000).await;
    assert_eq!((second.status, &body(&second)["expires_in"]), (200, &json!(3600)), "{}", second.body);
    let third = renew(&chain(&second), &client, 6000).await;
    assert_eq!(body(&third)["expires_in"], json!(1200), "no longer than the login");
    assert_eq!(renew(&chain(&second), &thief, 6000).await.status, 400, "only with the login's key");
    assert_eq!(renew(&[], &client, 6000).await.status, 400);
    assert_eq!(renew(&first, &client, 6000).await.status, 400, "it has expired");
    let live = there.certificate(&chain(&third), 6001).await.unwrap();
    assert_eq!(there.service.standing(&live, at(6002)).await, Standing::Stands);

    let out = here.service.logout(&request("/v1/logout", "", &chain(&third)), at(6003)).await;
    assert_eq!((out.status, body(&out)), (200, json!({"ended": true})));
    assert!(matches!(there.service.standing(&live, at(6003)).await, Standing::Ended(_)), "within a moment, everywhere");
    let after = there.certificate(&chain(&third), 6003).await;
    assert_eq!((reason(&after).as_str(), after.unwrap_err().alarm), ("login_ended", Some(Severity::High)));
    let again = here.service.logout(&request("/v1/logout", "", &chain(&third)), at(6004)).await;
    assert_eq!(body(&again), json!({"ended": false}));
    assert_eq!(renew(&chain(&third), &client, 6004).await.status, 400);
    assert_eq!(store.logins.list_live(at(6004)).await.unwrap(), []);
}

#[tokio::test]
async fn a_token_whose_login_was_ended_begins_no_other() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let client = Client::new();
    let token = store.token(json!({}));
    let chain = chain(&gateway.exchange(&token, &client, 0).await);
    gateway.service.logout(&request("/v1/logout", "", &chain), at(1)).await;
    let again = gateway.exchange(&token, &client, 2).await;
    assert_eq!(again.status, 400);
    assert!(again.body.contains("the login has ended"), "{}", again.body);
}

#[tokio::test]
async fn workloads_and_agents_do_not_renew() {
    let mut store = Store::new().await;
    store.config.kind = IdentityKind::Machine;
    let gateway = store.gateway().await;
    let client = Client::new();
    let reply = gateway.exchange(&store.token(json!({})), &client, 0).await;
    assert_eq!(body(&reply)["renewable"], json!(false));
    let form = form(&[("csr", &client.csr())]);
    let renewed = gateway.service.renew(&request("/v1/renew", &form, &chain(&reply)), at(1)).await;
    assert_eq!(body(&renewed)["error"], json!("unauthorized_client"));
    // The session goes on after the certificate, as long as the login.
    let live = gateway.certificate(&chain(&reply), 2).await.unwrap();
    assert_eq!(gateway.service.standing(&live, at(4000)).await, Standing::Stands);
    assert!(matches!(gateway.service.standing(&live, at(12 * 3600)).await, Standing::Ended(_)));
    let short = IdentityConfig { session_life: SessionLife::Token, ..IdentityConfig::default() };
    gateway.service.configure(short);
    assert!(matches!(gateway.service.standing(&live, at(3600)).await, Standing::Ended(_)));
    assert_eq!(gateway.service.standing(&live, at(3599)).await, Standing::Stands);
}

#[tokio::test]
async fn adv_090_an_account_that_is_changed_ends_its_sessions_and_certificates() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let client = Client::new();
    let token = store.account("ana", IdentityKind::Human, &["dba"]).await;
    let chain = chain(&gateway.exchange(&token, &client, 0).await);
    let present = async |s: i64| gateway.present("ana", PresentedCredential::Certificate(chain.clone()), HERE, s).await;
    let live = present(1).await.unwrap();
    let mut account = store.accounts.find_by_name("ana").await.unwrap().unwrap();
    for (edit, want) in [
        ((|a: &mut Account| a.groups.clear()) as fn(&mut Account), "account_changed"),
        (|a| a.groups.extend(["contractors".to_owned()]), "account_changed"),
        (|a| a.kind = IdentityKind::Agent, "account_changed"),
        (|a| a.disabled = true, "account_ended"),
    ] {
        let before = account.clone();
        edit(&mut account);
        store.accounts.save(&account).await.unwrap();
        assert!(matches!(gateway.service.standing(&live, at(2)).await, Standing::Ended(_)), "{want}");
        assert_eq!(reason(&present(2).await), want);
        account = before;
        store.accounts.save(&account).await.unwrap();
        assert_eq!(gateway.service.standing(&live, at(2)).await, Standing::Stands);
    }
    store.accounts.remove(&account.id).await.unwrap();
    assert!(matches!(gateway.service.standing(&live, at(3)).await, Standing::Ended(_)));
    let renew = form(&[("csr", &client.csr())]);
    assert_eq!(gateway.service.renew(&request("/v1/renew", &renew, &chain), at(3)).await.status, 400);
}

#[tokio::test]
async fn an_agent_acts_for_a_person_with_both_tokens() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let client = Client::new();
    let agent = store.account("bot", IdentityKind::Agent, &["bots"]).await;
    let exchange = async |subject: &str, actor: &str| {
        let csr = client.csr();
        let form = form(&[
            GRANT,
            ("subject_token", subject),
            ("subject_token_type", JWT),
            ("actor_token", actor),
            ("actor_token_type", JWT),
            ("csr", &csr),
        ]);
        gateway.service.exchange(&request("/v1/exchange", &form, &[]), at(0)).await
    };
    let person = store.token(json!({"groups": ["dev"]}));
    let reply = exchange(&person, &agent).await;
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert_eq!(body(&reply)["identity"]["delegation"][0]["name"], json!("bot"));
    assert_eq!(body(&reply)["renewable"], json!(false));
    let identity = gateway.certificate(&chain(&reply), 1).await.unwrap();
    let actor = &identity.delegation[0];
    assert_eq!((actor.subject.as_str(), actor.kind, actor.issuer.as_str()), ("id-bot", IdentityKind::Agent, LOCAL));
    assert_eq!(actor.groups, BTreeSet::from(["bots".to_owned()]));
    assert_eq!(identity.groups, BTreeSet::from(["corp:dev".to_owned()]), "the person's own");
    // The agent's account ends what it does for others, too.
    assert_eq!(gateway.service.standing(&identity, at(2)).await, Standing::Stands);
    store.accounts.remove("id-bot").await.unwrap();
    assert!(matches!(gateway.service.standing(&identity, at(2)).await, Standing::Ended(_)));
    assert_eq!(reason(&gateway.certificate(&chain(&reply), 2).await), "account_ended");

    let agent = store.account("bot2", IdentityKind::Agent, &[]).await;
    for (may_act, fine) in [
        (json!({"sub": "id-bot2", "iss": LOCAL}), true),
        (json!({"sub": "id-bot2"}), false),
        (json!({"sub": "somebody", "iss": LOCAL}), false),
        (json!({}), false),
        (json!("id-bot2"), false),
    ] {
        let person = store.token(json!({"may_act": may_act, "jti": may_act.to_string()}));
        assert_eq!(exchange(&person, &agent).await.status == 200, fine, "{may_act}");
    }
    let chain_of_actors = store.token(json!({"sub": "agent", "act": {"sub": "other"}, "jti": "c"}));
    assert_eq!(exchange(&store.token(json!({"jti": "d"})), &chain_of_actors).await.status, 400);
}

#[tokio::test]
async fn an_issuer_may_require_keys() {
    let mut store = Store::new().await;
    store.config.require_bound = true;
    let gateway = store.gateway().await;
    let client = Client::new();
    let token = store.token(json!({}));
    let refused = gateway.bearer(&token, 0).await;
    assert_eq!(reason(&refused), "bearer_refused");
    assert!(refused.unwrap_err().hint.unwrap().as_str().contains("countersign login"));
    let reply = gateway.exchange(&token, &client, 0).await;
    assert!(gateway.certificate(&chain(&reply), 1).await.is_ok());
}

#[tokio::test]
async fn the_exchange_says_what_is_wrong_with_a_request() {
    let store = Store::new().await;
    let gateway = store.gateway().await;
    let csr = Client::new().csr();
    let token = store.token(json!({}));
    let good = [GRANT, ("subject_token", token.as_str()), ("subject_token_type", JWT), ("csr", csr.as_str())];
    let without = |name: &str| good.iter().copied().filter(|(k, _)| *k != name).collect::<Vec<_>>();
    let with =
        |name: &'static str, value: &'static str| without(name).into_iter().chain([(name, value)]).collect::<Vec<_>>();
    for (fields, error) in [
        (without("grant_type"), "invalid_request"),
        (with("grant_type", "password"), "unsupported_grant_type"),
        (without("subject_token"), "invalid_request"),
        (without("subject_token_type"), "invalid_request"),
        (with("subject_token_type", "urn:ietf:params:oauth:token-type:saml2"), "invalid_request"),
        (with("requested_token_type", "urn:ietf:params:oauth:token-type:access_token"), "invalid_request"),
        (with("actor_token", "x.y.z"), "invalid_request"),
        (with("actor_token_type", JWT), "invalid_request"),
        (without("csr"), "invalid_request"),
        (with("csr", "!"), "invalid_request"),
        (with("csr", "AAAA"), "invalid_request"),
        (with("subject_token", "hunter2"), "invalid_request"),
    ] {
        let reply = gateway.service.exchange(&request("/v1/exchange", &form(&fields), &[]), at(0)).await;
        assert_eq!((reply.status, body(&reply)["error"].as_str()), (400, Some(error)), "{fields:?}");
        assert!(!reply.body.contains("hunter2"));
    }
    assert_eq!(gateway.alerts(), [], "mistakes are no theft");
    let reply = gateway.service.exchange(&request("/v1/exchange", &form(&good), &[]), at(0)).await;
    assert_eq!(reply.status, 200, "the control");
}

/// Keeps out the subject that it names; `None` cannot tell about anybody.
#[derive(Default)]
struct Orders(std::sync::Mutex<Option<String>>);

impl Locks for Orders {
    fn keeps_out(&self, what: &Lockable<'_>, _: Timestamp) -> Option<Denial> {
        let culprit = match &*self.0.lock().unwrap() {
            None => Culprit::Us,
            Some(subject) if *subject == what.identity.subject => Culprit::Policy,
            Some(_) => return None,
        };
        Some(Denial::new(culprit, DenialCode::Locked, ClientText::new("locked out by lock 01J")))
    }

    fn changed(&self, _: u64) -> BoxFuture<'_, u64> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn adv_006_who_is_locked_out_is_given_no_certificate() {
    let store = Store::new().await;
    let orders = Arc::new(Orders::default());
    let Gateway { service, alerts } = store.gateway().await;
    let gateway = Gateway { service: service.heeding(orders.clone()), alerts };
    let lock = |subject: &str| *orders.0.lock().unwrap() = Some(subject.to_owned());
    let client = Client::new();
    let token = store.token(json!({"groups": ["dev"]}));
    lock("somebody else");
    let first = gateway.exchange(&token, &client, 0).await;
    let first_chain = chain(&first);
    let renew = form(&[("csr", &client.csr())]);
    assert_eq!(gateway.service.renew(&request("/v1/renew", &renew, &first_chain), at(1)).await.status, 200);

    lock("u-1");
    for (n, reply) in [
        gateway.exchange(&token, &client, 2).await,
        gateway.exchange(&store.token(json!({"jti": "t-2"})), &Client::new(), 2).await,
        gateway.service.renew(&request("/v1/renew", &renew, &first_chain), at(2)).await,
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(reply.status, 400, "{n}: {}", reply.body);
        assert!(reply.body.contains("locked out by lock 01J"), "{n}: {}", reply.body);
    }
    // Nobody can tell who is locked out: no certificate either, and it may be tried again.
    *orders.0.lock().unwrap() = None;
    let reply = gateway.exchange(&token, &client, 3).await;
    assert_eq!((reply.status, body(&reply)["error"].as_str()), (503, Some("temporarily_unavailable")));
    lock("somebody else");
    assert_eq!(gateway.exchange(&token, &client, 4).await.status, 200, "it was not used up");
}
