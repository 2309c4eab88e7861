//! What fits the console to identity, to the issuers that people sign in at, and to the policies. It must never decide anything.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_api::{Pages, PoliciesInForce, PolicyPage, PolicyText};
use countersign_config::Config;
use countersign_enforce::{BoxFuture, Locks};
use countersign_identity::local::{ClientConfig, LocalIssuer};
use countersign_identity::saml::SamlAsk;
use countersign_identity::{BrowserLogin, IdentityService};
use countersign_model::{Denial, Policy as _, Secret, Timestamp};
use countersign_store::{ShortLivedAdded, ShortLivedRecord, Store};
use countersign_web::{
    Console, Entered, LINK_KIND, LINK_S, People, SamlSignIn, SignInAnswer, SignInAsk, SignInIssuer, Trouble, link_name,
};

use crate::client::gateway::{Issuer, LoginFacts};
use crate::client::http::Trust;
use crate::client::oidc::{Hidden, Provider};
use crate::clock;
use crate::commands::text::inert;
use crate::failed::Failed;
use crate::house::{House, local_issuer_url};
use crate::logins::{GENERATED_CA, api_url};
use crate::reviews::kept_out;

/// What the console is called at the local issuer.
const CLIENT_ID: &str = "countersign-console";
/// Where browsers come back to.
const CALLBACK: &str = "/console/callback";
/// The label of the local issuer.
const LOCAL: &str = "local";
/// One-time links at one time.
const LINKS_MAX: u32 = 100;

/// The console at the local issuer; `None` where no browser could come back from there. On this machine any port is fine there, because browsers' addresses of it have none in common.
pub(crate) fn client(config: &Config) -> Option<ClientConfig> {
    let redirect_uris: Vec<String> = bases(config).iter().map(|base| format!("{base}{CALLBACK}")).collect();
    (!redirect_uris.is_empty()).then(|| ClientConfig { id: CLIENT_ID.to_owned(), redirect_uris, secret: None })
}

/// The addresses that browsers reach the gateway under, the usual one first.
pub(crate) fn bases(config: &Config) -> Vec<String> {
    let origin = |url: &str| {
        let (scheme, rest) = url.split_once("://")?;
        Some(format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()))
    };
    let mut all: Vec<String> = Vec::new();
    let mut add = |url: Option<String>| {
        if let Some(url) = url.filter(|u| !all.contains(u)) {
            all.push(url);
        }
    };
    let api = api_url(config);
    add(config.identity.url.as_deref().and_then(origin));
    add(local_issuer_url(config).as_deref().and_then(origin));
    add(origin(&api));
    let address: SocketAddr = config.api.address;
    if address.ip().is_loopback() {
        for scheme in ["http", "https"] {
            for host in ["localhost".to_owned(), address.ip().to_string()] {
                add(Some(format!("{scheme}://{host}:{}", address.port()))
                    .filter(|_| scheme == "http" || config.api.tls.is_some()));
            }
        }
    }
    // Anywhere else the issuer sends nobody without TLS.
    let near = |u: &String| {
        ["http://localhost", "http://127.0.0.1", "http://[::1]"]
            .iter()
            .any(|n| u.strip_prefix(n).is_some_and(|r| r.is_empty() || r.starts_with(':')))
    };
    // Nobody goes to a port that the system has yet to choose.
    all.retain(|u| (u.starts_with("https://") || near(u)) && !u.ends_with(":0"));
    all
}

/// Tells the policies in force.
pub(crate) fn policies(house: &Arc<House>) -> PoliciesInForce {
    let house = house.clone();
    Arc::new(move || {
        let set = house.policy.current();
        let files = house.policy_texts.load();
        PolicyPage {
            epoch: set.epoch(),
            files: files.iter().map(|f| PolicyText { path: f.path.clone(), text: f.text.clone() }).collect(),
            rules: set.rules().filter_map(|rule| serde_json::to_value(rule).ok()).collect(),
            warnings: set.warnings().iter().map(ToString::to_string).collect(),
        }
    })
}

/// The pages.
pub(crate) fn pages(house: &Arc<House>, login_facts: Arc<ArcSwap<String>>) -> Pages {
    let config = &house.config;
    let bases = bases(config);
    let console = Console {
        people: Arc::new(KnownPeople {
            identity: house.identity.clone(),
            locks: house.locks.clone(),
            local: house.cellar.issuer.clone(),
            login_facts,
            ca: config.gateway.data_dir.join(GENERATED_CA),
            issuer_cas: config.issuers.iter().filter_map(|i| Some((i.label.clone(), i.ca.clone()?))).collect(),
        }),
        store: house.cellar.store.clone(),
        bases,
        clock: clock::now,
    };
    Pages(Arc::new(move |api| console.router(api)))
}

/// A link that signs in this local account, once, on this machine.
pub(crate) async fn link(store: &Store, base: &str, account: &str) -> Result<String, Failed> {
    let code: [u8; 32] = rand_bytes()?;
    let code: String = code.iter().map(|b| format!("{b:02x}")).collect();
    let now = clock::now();
    let until = i64::try_from(LINK_S).unwrap_or(0).saturating_mul(1_000_000).saturating_add(now.unix_us());
    let record =
        ShortLivedRecord { content: account.to_owned(), expires_at: Timestamp::from_unix_us(until), consumed_at: None };
    let name = link_name(&Secret::from(code.clone()));
    match store.add_short_lived(LINK_KIND, &name, &record, LINKS_MAX, now).await.map_err(Failed::new)? {
        ShortLivedAdded::Kept => Ok(format!("{base}/console/enter?code={code}")),
        _ => Err(Failed::new("too many one-time links wait to be used: try again in a quarter of an hour")),
    }
}

fn rand_bytes<const N: usize>() -> Result<[u8; N], Failed> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Failed::new("the system gives no random bytes"))?;
    Ok(bytes)
}

/// Identity, and the issuers of the configuration.
struct KnownPeople {
    identity: Arc<IdentityService>,
    locks: Arc<dyn Locks>,
    local: Option<Arc<LocalIssuer>>,
    /// What clients are told: the issuers in force.
    login_facts: Arc<ArcSwap<String>>,
    /// The authority of generated certificates: this gateway asks its own issuer over TLS, too.
    ca: PathBuf,
    /// Authorities of issuers, by label.
    issuer_cas: Vec<(String, PathBuf)>,
}

fn entered(login: BrowserLogin) -> Entered {
    Entered { login: login.id, identity: login.identity, expires_at: login.expires_at }
}

fn saml_ask(ask: &SamlSignIn) -> SamlAsk<'_> {
    let SamlSignIn { label, acs, request, relay_state } = ask;
    SamlAsk { label, acs, request, relay_state }
}

/// What went wrong with an issuer, for whoever tries to sign in.
fn trouble(failed: &Failed) -> Trouble {
    tracing::warn!(error = %failed, "a sign-in to the console failed");
    Trouble(format!("The issuer could not be asked, or did not answer as it should: {}.", inert(&failed.to_string())))
}

impl KnownPeople {
    fn facts(&self) -> Vec<Issuer> {
        let facts = serde_json::from_str::<LoginFacts>(&self.login_facts.load());
        facts.map(|facts| facts.issuers).unwrap_or_default()
    }

    /// The issuer as the console asks it: nothing that would outlive the sign-in.
    fn issuer(&self, label: &str) -> Result<Issuer, Trouble> {
        let found = self.facts().into_iter().find(|i| i.label == label);
        let mut issuer = found.ok_or_else(|| Trouble("There is no such issuer any more.".to_owned()))?;
        issuer.scopes.retain(|s| s != "offline_access");
        if label == LOCAL {
            CLIENT_ID.clone_into(&mut issuer.client_id);
        }
        Ok(issuer)
    }

    fn trust(&self, label: &str) -> Trust {
        let of_issuer = self.issuer_cas.iter().find(|(l, _)| l == label).map(|(_, path)| path);
        let path = of_issuer.or((label == LOCAL).then_some(&self.ca));
        let pem = path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
        Trust { pem, system: of_issuer.is_none() }
    }
}

impl People for KnownPeople {
    fn issuers(&self) -> Vec<SignInIssuer> {
        let facts = self.facts().into_iter();
        let facts = facts.map(|i| SignInIssuer { label: i.label, url: i.issuer, saml: false });
        let saml = self.identity.saml_issuers().into_iter();
        facts.chain(saml.map(|i| SignInIssuer { label: i.label, url: i.entity_id, saml: true })).collect()
    }

    fn page<'a>(&'a self, ask: &'a SignInAsk) -> BoxFuture<'a, Result<String, Trouble>> {
        Box::pin(async move {
            let issuer = self.issuer(&ask.label)?;
            let provider = Provider::discover(&issuer, &self.trust(&ask.label), None).await.map_err(|e| trouble(&e))?;
            let hidden = Hidden { state: &ask.state, nonce: &ask.nonce, challenge: &ask.challenge };
            provider.page(&ask.redirect_uri, &hidden).map_err(|e| trouble(&e))
        })
    }

    fn token<'a>(&'a self, answer: &'a SignInAnswer) -> BoxFuture<'a, Result<Secret, Trouble>> {
        Box::pin(async move {
            let issuer = self.issuer(&answer.label)?;
            let provider =
                Provider::discover(&issuer, &self.trust(&answer.label), None).await.map_err(|e| trouble(&e))?;
            if !provider.answered(answer.issuer.as_deref()) {
                return Err(Trouble("Another issuer answered than was asked.".to_owned()));
            }
            let code = answer.code.expose_str().unwrap_or_default();
            let verifier = answer.verifier.expose_str().unwrap_or_default();
            let token = provider.redeem(code, &answer.redirect_uri, verifier, &answer.nonce).await;
            token.map_err(|e| trouble(&e))
        })
    }

    fn saml_page<'a>(&'a self, ask: &'a SamlSignIn) -> BoxFuture<'a, Result<String, Trouble>> {
        Box::pin(async move {
            let page = self.identity.saml_request(&saml_ask(ask), clock::now()).await;
            page.map_err(|denial| trouble(&Failed::new(denial.detail.as_deref().unwrap_or("it did not answer"))))
        })
    }

    fn saml_answer<'a>(
        &'a self,
        ask: &'a SamlSignIn,
        answer: &'a str,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<String, Denial>> {
        Box::pin(async move { self.identity.saml_answer(&saml_ask(ask), answer, source, clock::now()).await })
    }

    fn open_saml<'a>(
        &'a self,
        kept: &'a str,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move { self.identity.open_browser_saml(kept, secret, source, clock::now()).await.map(entered) })
    }

    fn saml_metadata(&self, label: &str, acs: &str) -> Option<String> {
        self.identity.saml_metadata(label, acs)
    }

    fn linked<'a>(&'a self, account: &'a str) -> BoxFuture<'a, Result<Secret, Trouble>> {
        Box::pin(async move {
            let local = self.local.as_ref().ok_or_else(|| Trouble("There is no local issuer any more.".to_owned()))?;
            let token = local.mint_for_operator(account, None, clock::now()).await;
            token.map_err(|e| trouble(&Failed::new(e)))
        })
    }

    fn open<'a>(
        &'a self,
        token: &'a Secret,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move {
            let token = token.expose_str().unwrap_or_default();
            self.identity.open_browser(token, secret, source, clock::now()).await.map(entered)
        })
    }

    fn find<'a>(
        &'a self,
        login: &'a str,
        secret: &'a Secret,
        source: SocketAddr,
    ) -> BoxFuture<'a, Result<Entered, Denial>> {
        Box::pin(async move {
            let now = clock::now();
            let found = self.identity.browser(login, secret, now).await?;
            match kept_out(&*self.locks, &found.identity, source, now) {
                Some(denial) => Err(denial),
                None => Ok(entered(found)),
            }
        })
    }

    fn close<'a>(&'a self, login: &'a str, why: &'a str) -> BoxFuture<'a, Result<(), Denial>> {
        Box::pin(self.identity.close_browser(login, why, clock::now()))
    }
}
