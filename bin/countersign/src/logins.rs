//! What fits identity to the store and to its doors: logins and first uses in the store, HTTP requests to the service. It must never
//! decide anything.

use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_api::{Answer, Caller, CallerKey, Callers, DoorRequest as Asked, IdentityDoors};
use countersign_config::{self as config, Config};
use countersign_enforce::{Authenticator, BoxFuture, Standing};
use countersign_identity::local::{CLI_CLIENT_ID, CLI_SCOPES, Reply, StoreFault};
use countersign_identity::login::{Login, LoginEnd, LoginStore, Use, UseLedger};
use countersign_identity::{ApiKey, DoorRequest, IdentityService, KeyHolder};
use countersign_model::Timestamp;
use countersign_store::{LoginRecord, Store};
use serde_json::{Value, json};

use crate::clock;
use crate::house::{api_address, local_issuer_url};

/// The authority of generated certificates, in the data folder: clients trust it.
pub(crate) const GENERATED_CA: &str = "gateway-ca.pem";

fn fault(e: impl std::fmt::Display) -> StoreFault {
    StoreFault(e.to_string())
}

/// Logins in the store.
pub(crate) struct StoredLogins(pub(crate) Store);

fn record(login: &Login) -> Result<LoginRecord, StoreFault> {
    Ok(LoginRecord {
        id: login.id.clone(),
        issuer: login.identity.issuer.clone(),
        subject: login.identity.subject.clone(),
        identity: serde_json::to_string(&login.identity).map_err(fault)?,
        key: login.key.clone(),
        token: login.token.clone(),
        created_at: login.created_at,
        expires_at: login.expires_at,
        ended: login.ended.as_ref().map(|end| (end.at, end.why.clone())),
    })
}

fn login(record: LoginRecord) -> Result<Login, StoreFault> {
    let identity = serde_json::from_str(&record.identity)
        .map_err(|_| StoreFault(format!("the identity of login {} cannot be read", record.id)))?;
    Ok(Login {
        id: record.id,
        identity,
        key: record.key,
        token: record.token,
        created_at: record.created_at,
        expires_at: record.expires_at,
        ended: record.ended.map(|(at, why)| LoginEnd { at, why }),
    })
}

impl LoginStore for StoredLogins {
    fn save<'a>(&'a self, login: &'a Login) -> BoxFuture<'a, Result<(), StoreFault>> {
        Box::pin(async move { self.0.add_login(&record(login)?).await.map_err(fault) })
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>> {
        Box::pin(async move { self.0.login(id).await.map_err(fault)?.map(login).transpose() })
    }

    fn find_by_token<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Option<Login>, StoreFault>> {
        Box::pin(async move { self.0.login_of_token(token).await.map_err(fault)?.map(login).transpose() })
    }

    fn end<'a>(&'a self, id: &'a str, end: &'a LoginEnd) -> BoxFuture<'a, Result<bool, StoreFault>> {
        Box::pin(async move { self.0.end_login(id, end.at, &end.why).await.map_err(fault) })
    }

    fn end_by_subject<'a>(
        &'a self,
        issuer: &'a str,
        subject: &'a str,
        end: &'a LoginEnd,
    ) -> BoxFuture<'a, Result<u64, StoreFault>> {
        Box::pin(async move { self.0.end_logins_of(issuer, subject, end.at, &end.why).await.map_err(fault) })
    }

    fn list_live(&self, now: Timestamp) -> BoxFuture<'_, Result<Vec<Login>, StoreFault>> {
        Box::pin(async move { self.0.live_logins(now).await.map_err(fault)?.into_iter().map(login).collect() })
    }

    fn sweep(&self, before: Timestamp) -> BoxFuture<'_, Result<(), StoreFault>> {
        Box::pin(async move { self.0.remove_logins_over(before).await.map(drop).map_err(fault) })
    }
}

/// First uses in the store.
pub(crate) struct StoredUses(pub(crate) Store);

impl UseLedger for StoredUses {
    fn first<'a>(&'a self, first: &'a Use) -> BoxFuture<'a, Result<String, StoreFault>> {
        Box::pin(async move {
            self.0.bind_credential(&first.id, &first.binding, first.at, first.expires_at).await.map_err(fault)
        })
    }

    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreFault>> {
        Box::pin(async move { self.0.credential_binding(id).await.map_err(fault) })
    }

    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<u64, StoreFault>> {
        Box::pin(async move { self.0.sweep_credential_uses(now).await.map_err(fault) })
    }
}

/// The service behind its HTTP doors, and what clients need to log in.
pub(crate) struct ServiceDoors {
    pub(crate) service: Arc<IdentityService>,
    pub(crate) login_facts: Arc<ArcSwap<String>>,
}

pub(crate) fn answer(r: Reply) -> Answer {
    Answer { status: r.status, headers: r.headers, body: r.body }
}

pub(crate) fn asked(request: &Asked) -> DoorRequest<'_> {
    DoorRequest {
        method: request.method,
        path: &request.path,
        authorization: request.authorization.as_ref().and_then(|a| a.expose_str()),
        dpop: request.dpop.as_ref().and_then(|d| d.expose_str()),
        content_type: request.content_type.as_deref(),
        body: request.body.expose(),
        certificate: &request.certificate,
        source: request.source,
    }
}

impl IdentityDoors for ServiceDoors {
    fn exchange(&self, request: Asked) -> BoxFuture<'_, Answer> {
        Box::pin(async move { answer(self.service.exchange(&asked(&request), clock::now()).await) })
    }

    fn renew(&self, request: Asked) -> BoxFuture<'_, Answer> {
        Box::pin(async move { answer(self.service.renew(&asked(&request), clock::now()).await) })
    }

    fn logout(&self, request: Asked) -> BoxFuture<'_, Answer> {
        Box::pin(async move { answer(self.service.logout(&asked(&request), clock::now()).await) })
    }

    fn whoami(&self, request: Asked) -> BoxFuture<'_, Answer> {
        Box::pin(async move { answer(self.service.whoami(&asked(&request), clock::now()).await) })
    }

    fn login_facts(&self) -> Answer {
        let headers = vec![("content-type", "application/json".to_owned())];
        Answer { status: 200, headers, body: self.login_facts.load().to_string() }
    }
}

fn key_of(key: &ApiKey) -> CallerKey {
    CallerKey {
        id: key.id.clone(),
        name: key.content.name.clone(),
        scope: key.content.scope.clone(),
        made_with: key.content.owner.clone(),
    }
}

/// Who asks something of the API.
pub(crate) struct ApiCallers(pub(crate) Arc<IdentityService>);

impl Callers for ApiCallers {
    fn identify(&self, request: Asked) -> BoxFuture<'_, Result<Caller, Answer>> {
        Box::pin(async move {
            let now = clock::now();
            if let Some(known) = &request.known {
                return Ok(Caller { identity: known.clone(), key: None });
            }
            if let Some(holder) = self.0.key_holder(&asked(&request), now).await {
                let KeyHolder { identity, key } = holder.map_err(answer)?;
                return Ok(Caller { identity, key: Some(Arc::new(key_of(&key))) });
            }
            let identity = self.0.caller(&asked(&request), now).await.map_err(answer)?;
            Ok(Caller { identity, key: None })
        })
    }

    fn standing<'a>(&'a self, caller: &'a Caller, now: Timestamp) -> BoxFuture<'a, Standing> {
        match &caller.key {
            Some(key) => Box::pin(self.0.key_standing(&key.id, now)),
            None => Authenticator::standing(&*self.0, &caller.identity, now),
        }
    }
}

/// Where clients reach the API.
pub(crate) fn api_url(config: &Config) -> String {
    config.identity.url.clone().unwrap_or_else(|| api_address(config))
}

/// What a client needs to log in, for everybody to read: nothing of it is a secret. Listeners and the local issuer are those that the
/// gateway was `started` with, because a reload does not change them; issuers and trust domains are those now in force.
pub(crate) fn login_facts(started: &Config, config: &Config, ssh_authority: Option<&str>) -> String {
    let config = &Config {
        gateway: started.gateway.clone(),
        listeners: started.listeners.clone(),
        api: started.api.clone(),
        local_issuer: started.local_issuer.clone(),
        ..config.clone()
    };
    let of_issuer = config.issuers.first().and_then(|i| i.audiences.first());
    let of_domain = config.spiffe.first().and_then(|s| s.audiences.first());
    let audience = match (&config.local_issuer, of_issuer.or(of_domain)) {
        (Some(local), _) => local.audience.clone(),
        (None, Some(first)) => first.clone(),
        (None, None) => "countersign".to_owned(),
    };
    let listeners: Vec<Value> =
        config.listeners.iter().map(|l| json!({"protocol": l.protocol, "address": l.address})).collect();
    let issuer = |i: &config::Issuer| {
        let client_id = i.client_id.as_ref()?;
        let token = match i.login_token {
            config::LoginToken::Access => "access_token",
            config::LoginToken::Id => "id_token",
        };
        Some(json!({
            "label": i.label, "issuer": i.url, "client_id": client_id, "scopes": i.scopes, "token": token,
            "audience": i.audiences.first(), "resource": i.resource,
        }))
    };
    let mut issuers: Vec<Value> = config.issuers.iter().filter_map(issuer).collect();
    if let (Some(local), Some(url)) = (&config.local_issuer, local_issuer_url(config)) {
        let scopes: Vec<&str> = CLI_SCOPES.split(' ').collect();
        issuers.insert(
            0,
            json!({
                "label": "local", "issuer": url, "client_id": CLI_CLIENT_ID, "scopes": scopes, "token": "access_token",
                "audience": local.audience,
            }),
        );
    }
    let generated = config.listeners.iter().any(|l| matches!(l.tls, config::Certificate::Generated));
    let ca = config.gateway.data_dir.join(GENERATED_CA);
    let ca = if generated { std::fs::read_to_string(ca).ok() } else { None };
    let facts = json!({
        "audience": audience, "gateway_ca_pem": ca, "ssh_host_authority": ssh_authority, "listeners": listeners, "issuers": issuers,
    });
    facts.to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::house::PROTOCOLS;

    const LEAST: &str = r#"
        [gateway]
        data_dir = "nowhere"
        [[listener]]
        protocol = "postgres"
        address = "127.0.0.1:6432"
        [[target]]
        name = "shop"
        protocol = "postgres"
        host = "db"
        account = [{ default = true, user = "app" }]
    "#;

    fn config(more: &str) -> Config {
        countersign_config::parse_str(&format!("{LEAST}{more}"), "countersign.toml", &PROTOCOLS).unwrap().config
    }

    #[test]
    fn facts_follow_a_reload_as_far_as_the_gateway_does() {
        let started = config("[local_issuer]\naudience = \"first\"");
        let issuer = r#"
            [[issuer]]
            url = "https://id.example"
            audiences = ["gw"]
            client_id = "cli"
            resource = "urn:gw"
        "#;
        let reloaded = config(&format!("[local_issuer]\naudience = \"second\"\n{issuer}").replace("6432", "6433"));
        let facts = |config: &Config| -> Value { serde_json::from_str(&login_facts(&started, config, None)).unwrap() };
        let labels = |facts: &Value| -> Vec<String> {
            facts["issuers"].as_array().unwrap().iter().map(|i| i["label"].as_str().unwrap().to_owned()).collect()
        };
        let (before, after) = (facts(&started), facts(&reloaded));
        assert_eq!(labels(&before), ["local"]);
        assert_eq!(labels(&after), ["local", "id.example"]);
        assert_eq!(after["issuers"][1]["resource"], json!("urn:gw"));
        for name in ["audience", "listeners"] {
            assert_eq!(before[name], after[name], "what needs a restart is as it was");
        }
    }
}
