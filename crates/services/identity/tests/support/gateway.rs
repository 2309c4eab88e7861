//! Gateways of one store, with their whole identity service, and clients with keys.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use countersign_enforce::{Authenticator as _, Presented, PresentedCredential};
use countersign_identity::local::{
    Account, AccountStore, LocalIssuer, LocalIssuerConfig, MemoryAccounts, MemoryKeys, Reply,
};
use countersign_identity::login::{MemoryLogins, MemoryUses};
use countersign_identity::{
    DoorRequest, IdentityAuthority, IdentityConfig, IdentityService, IssuerConfig, IssuerEntry, TOKEN_TYPE_X509,
    TokenAuthenticator,
};
use countersign_model::{Denial, Identity, IdentityKind, Secret, Severity};
use rcgen::{CertificateParams, KeyPair};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Alerts, Key, at, b64, claims, jwks};

pub const ISSUER: &str = "https://id.example";
pub const LOCAL: &str = "https://gw.example/idp";
pub const HERE: &str = "192.0.2.1:5";
pub const ELSEWHERE: &str = "198.51.100.1:5";

/// What outlives a gateway, and is shared by all.
pub struct Store {
    pub key: Key,
    pub config: IssuerConfig,
    pub local: Arc<LocalIssuer>,
    pub accounts: Arc<MemoryAccounts>,
    pub uses: Arc<MemoryUses>,
    pub logins: Arc<MemoryLogins>,
    pub ca: Arc<MemoryKeys>,
}

impl Store {
    pub async fn new() -> Self {
        let key = Key::p256("k");
        let mut config = IssuerConfig::new("corp", ISSUER, &["gw"]);
        config.jwks = Some(jwks(&[&key]));
        config.groups_claim = Some("groups".to_owned());
        let accounts = Arc::new(MemoryAccounts::default());
        let local = LocalIssuerConfig {
            label: "local".to_owned(),
            issuer: LOCAL.to_owned(),
            audience: "gw".to_owned(),
            token_lifetime_s: 600,
        };
        let local = LocalIssuer::open(local, Arc::new(MemoryKeys::default()), Some(accounts.clone()), at(0));
        Self {
            key,
            config,
            local: Arc::new(local.await.unwrap()),
            accounts,
            uses: Arc::default(),
            logins: Arc::default(),
            ca: Arc::default(),
        }
    }

    pub async fn gateway(&self) -> Gateway {
        self.gateway_with(IdentityConfig::default()).await
    }

    pub async fn gateway_with(&self, config: IdentityConfig) -> Gateway {
        self.gateway_of(config, Vec::new()).await
    }

    /// With further issuers and trust domains.
    pub async fn gateway_of(&self, config: IdentityConfig, more: Vec<IssuerEntry>) -> Gateway {
        let mut issuers: Vec<IssuerEntry> = vec![self.config.clone().into(), self.local.entry()];
        issuers.extend(more);
        let tokens = TokenAuthenticator::with_ledger(issuers, self.uses.clone()).unwrap();
        let authority = IdentityAuthority::open(self.ca.clone(), at(0)).await.unwrap();
        let alerts = Arc::new(Alerts::default());
        let config = IdentityConfig { urls: vec!["https://gw.example".to_owned()], ..config };
        let service = IdentityService::new(
            config,
            Arc::new(tokens),
            self.logins.clone(),
            Some(Arc::new(authority)),
            alerts.clone(),
        );
        Gateway { service, alerts }
    }

    pub fn token(&self, over: Value) -> String {
        self.key.token("ES256", &claims(ISSUER, &over))
    }

    pub async fn account(&self, name: &str, kind: IdentityKind, groups: &[&str]) -> String {
        let account = Account {
            id: format!("id-{name}"),
            name: name.to_owned(),
            kind,
            groups: groups.iter().map(|g| (*g).to_owned()).collect::<BTreeSet<_>>(),
            secret_hash: None,
            disabled: false,
            created_at: at(0),
        };
        self.accounts.save(&account).await.unwrap();
        let token = self.local.mint_for_operator(name, None, at(0)).await.unwrap();
        token.expose_str().unwrap().to_owned()
    }
}

pub struct Gateway {
    pub service: IdentityService,
    pub alerts: Arc<Alerts>,
}

/// What a client holds.
pub struct Client {
    pub pair: KeyPair,
}

impl Client {
    pub fn new() -> Self {
        Self { pair: KeyPair::generate().unwrap() }
    }

    pub fn csr(&self) -> String {
        STANDARD.encode(CertificateParams::default().serialize_request(&self.pair).unwrap().der())
    }

    pub fn thumbprint(&self) -> String {
        let point = self.pair.public_key_raw();
        let (x, y) = (b64(&point[1..33]), b64(&point[33..]));
        b64(Sha256::digest(format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#)))
    }
}

pub fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap()
}

pub fn chain(reply: &Reply) -> Vec<Bytes> {
    let pem = body(reply)["access_token"].as_str().unwrap().to_owned();
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|c| Bytes::copy_from_slice(&c.unwrap())).collect()
}

pub fn request<'a>(path: &'a str, body: &'a str, certificate: &'a [Bytes]) -> DoorRequest<'a> {
    DoorRequest {
        method: if path == "/v1/whoami" { "GET" } else { "POST" },
        path,
        authorization: None,
        dpop: None,
        content_type: Some("application/x-www-form-urlencoded"),
        body: body.as_bytes(),
        certificate,
        source: HERE.parse().unwrap(),
    }
}

pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

pub const GRANT: (&str, &str) = ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange");
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

impl Gateway {
    pub async fn exchange(&self, token: &str, client: &Client, s: i64) -> Reply {
        let csr = client.csr();
        let form = form(&[
            GRANT,
            ("subject_token", token),
            ("subject_token_type", JWT),
            ("requested_token_type", TOKEN_TYPE_X509),
            ("csr", &csr),
        ]);
        self.service.exchange(&request("/v1/exchange", &form, &[]), at(s)).await
    }

    pub async fn present(
        &self,
        user: &str,
        credential: PresentedCredential,
        from: &str,
        s: i64,
    ) -> Result<Arc<Identity>, Denial> {
        let presented = Presented {
            user: user.to_owned(),
            credential,
            target: "shop".to_owned(),
            source: from.parse::<SocketAddr>().unwrap(),
            encrypted: true,
        };
        self.service.authenticate(&presented, at(s)).await
    }

    pub async fn bearer(&self, token: &str, s: i64) -> Result<Arc<Identity>, Denial> {
        self.present("u-1", PresentedCredential::token(Secret::from(token.to_owned())), HERE, s).await
    }

    pub async fn certificate(&self, chain: &[Bytes], s: i64) -> Result<Arc<Identity>, Denial> {
        self.present("u-1", PresentedCredential::Certificate(chain.to_vec()), HERE, s).await
    }

    /// Reason and loudness of each alert so far.
    pub fn alerts(&self) -> Vec<(String, Severity)> {
        let all = self.alerts.0.lock().unwrap();
        all.iter().map(|a| (a.what.split(',').next().unwrap().to_owned(), a.severity)).collect()
    }
}

pub fn reason(denied: &Result<Arc<Identity>, Denial>) -> String {
    match denied {
        Ok(_) => "ok".to_owned(),
        Err(d) => d.detail.as_deref().unwrap_or_default().split(':').next().unwrap().to_owned(),
    }
}
