//! Puts the services together as the configuration says. What listens is in `serve`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use countersign_api::{AppliedFile, SCIM_PATH};
use countersign_approvals::{Approvals, ApprovalsParts, GrantDesk, GrantKeeper};
use countersign_config::{Config, Loaded, ProtocolFacts};
use countersign_credentials::{AccountBook, SshAuthority, Vault};
use countersign_directory::Directory;
use countersign_factors::{SecondFactors, SecondFactorsParts};
use countersign_identity::local::{LocalIssuer, LocalIssuerConfig, SignInConfig};
use countersign_identity::saml::ServiceKey;
use countersign_identity::{
    IdentityAuthority, IdentityService, IssuerEntry, PROVISIONED_GROUPS_CLAIM, TokenAuthenticator,
};
use countersign_locks::{LockConfig, LockService};
use countersign_mask::{KEY_BYTES_MIN, Masker};
use countersign_model::Secret;
use countersign_notices::{Inbox, Teller};
use countersign_policy::{Language, PolicyFile, PolicyProblem, PolicyStore};
use countersign_postgres::IdleRules;
use countersign_recording::FileRecorder;
use countersign_runtime::{Route, RouteTable, Services};
use countersign_store::Store;
use parking_lot::Mutex;

use crate::adapters::{GraveAlerts, LoggedAlerts, SealedKeys, StoredAccounts, StoredShortLived, ToldAlerts};
use crate::api_keys::StoredApiKeys;
use crate::applied::build::{Built, Own, build, failed};
use crate::applied::{InForce, at_start};
use crate::directory::{Endings, OfRealm};
use crate::factors::{FactorCounter, SealedCodes, sites};
use crate::failed::Failed;
use crate::grants::{GrantCounter, Orders};
use crate::logins::{StoredLogins, StoredUses, api_url};
use crate::reviews::KnownPeople;
use crate::{clock, console, convert};

/// The protocols that this binary speaks. A new one is a line here and a line in `serve`.
pub(crate) const PROTOCOLS: [ProtocolFacts; 2] =
    [ProtocolFacts { name: "postgres", port: 5432 }, ProtocolFacts { name: "ssh", port: 22 }];

/// The words that policies may use.
pub(crate) fn language() -> Result<Arc<Language>, Failed> {
    let all = [countersign_sql::VOCABULARY, countersign_ssh::VOCABULARY, countersign_api::VOCABULARY];
    Language::new(&all, &[]).map(Arc::new).map_err(Failed::new)
}

/// Reads the configuration; warnings go to standard error.
pub(crate) fn load_config(path: &Path) -> Result<Loaded, Failed> {
    let loaded = countersign_config::load(path, &PROTOCOLS).map_err(Failed::invalid)?;
    if !loaded.warnings.is_empty() {
        crate::output::note(&loaded.warnings.to_string());
    }
    Ok(loaded)
}

/// Reads the policy files.
pub(crate) fn policy_files(config: &Config) -> Result<Vec<PolicyFile>, Failed> {
    let paths = config.policy.files().map_err(Failed::invalid)?;
    paths.iter().map(policy_file).collect()
}

/// Reads one policy file.
pub(crate) fn policy_file(path: &PathBuf) -> Result<PolicyFile, Failed> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| Failed::invalid(format!("the policy file {} cannot be read: {e}", path.display())))?;
    Ok(PolicyFile { path: path.display().to_string(), text })
}

/// All problems of policies as one failure.
pub(crate) fn policy_problems(problems: &[PolicyProblem]) -> Failed {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    Failed::invalid(lines.join("\n"))
}

/// The local issuer's URL as configured, or the API's address; `None` without a local issuer.
pub(crate) fn local_issuer_url(config: &Config) -> Option<String> {
    let local = config.local_issuer.as_ref()?;
    Some(local.url.clone().unwrap_or_else(|| api_address(config)))
}

/// Where the API listens, as a URL.
pub(crate) fn api_address(config: &Config) -> String {
    let scheme = if config.api.tls.is_some() { "https" } else { "http" };
    format!("{scheme}://{}", config.api.address)
}

/// The name of the key for masks in the store.
const MASKING_KEY: &str = "masking_key";
/// The name of the key towards identity providers in the store.
const SAML_KEY: &str = "saml_key";

/// What is opened from the data folder alone: the store, the vault, the local issuer.
pub(crate) struct Cellar {
    /// The store.
    pub(crate) store: Store,
    /// The vault, where a key is configured.
    pub(crate) vault: Option<Vault>,
    /// The local issuer, where there is one.
    pub(crate) issuer: Option<Arc<LocalIssuer>>,
    /// The gateway's key towards identity providers that speak SAML, where there are such.
    saml_key: Option<Arc<ServiceKey>>,
    /// Takes what is to be told outside.
    pub(crate) teller: Teller,
    /// Where that comes out, until somebody brings it to its receivers.
    pub(crate) inbox: Mutex<Option<Inbox>>,
    /// The directories that identity providers keep current, where there are such.
    pub(crate) directory: Option<Arc<Directory>>,
}

impl Cellar {
    /// Opens what the configuration names.
    pub(crate) async fn open(config: &Config) -> Result<Self, Failed> {
        let store = Store::open(&convert::store(&config.store)?).await.map_err(Failed::new)?;
        let (teller, inbox) = countersign_notices::queue();
        let vault = match &config.vault {
            None => None,
            Some(v) => {
                let key = convert::vault_key(&v.key).load().await.map_err(Failed::new)?;
                Some(Vault::open(store.clone(), &key).await.map_err(Failed::new)?)
            }
        };
        let issuer = match (&config.local_issuer, &vault) {
            (None, _) => None,
            (Some(_), None) => {
                return Err(Failed::invalid(
                    "[local_issuer] needs a [vault]: its signing keys are kept sealed. Add [vault] key = { file = \"vault.key\" }",
                ));
            }
            (Some(local), Some(vault)) => {
                let settings = LocalIssuerConfig {
                    label: "local".to_owned(),
                    issuer: local_issuer_url(config).unwrap_or_default(),
                    audience: local.audience.clone(),
                    token_lifetime_s: local.token_lifetime.as_secs(),
                };
                let keys = SealedKeys { store: store.clone(), vault: vault.clone() };
                let accounts = StoredAccounts(store.clone());
                let sign_in = SignInConfig {
                    clients: {
                        let mut clients = convert::clients(local, vault).await?;
                        clients.extend(console::client(config));
                        clients
                    },
                    refresh_lifetime_s: local.refresh_lifetime.as_secs(),
                    state: Arc::new(StoredShortLived(store.clone())),
                    alerts: Arc::new(ToldAlerts(teller.clone())),
                };
                let issuer = LocalIssuer::open(settings, Arc::new(keys), Some(Arc::new(accounts)), clock::now());
                let issuer = issuer.await.map_err(Failed::new)?.with_sign_in(sign_in).map_err(Failed::invalid)?;
                Some(Arc::new(issuer))
            }
        };
        let mut cellar =
            Self { store, vault, issuer, saml_key: None, directory: None, teller, inbox: Mutex::new(Some(inbox)) };
        if !config.saml.is_empty() {
            cellar.saml_key = Some(Arc::new(cellar.saml_key().await?));
        }
        if !config.scim.is_empty() {
            let realms = convert::realms(config, cellar.vault.as_ref()).await?;
            let base = console::bases(config).into_iter().next().unwrap_or_else(|| api_address(config));
            let endings = Arc::new(Endings(cellar.store.clone()));
            let directory = Directory::new(cellar.store.clone(), realms, endings, format!("{base}{SCIM_PATH}"));
            cellar.directory = Some(Arc::new(directory));
        }
        Ok(cellar)
    }

    /// The key that proves every gateway of this store to SSH clients, made when it is first asked for and kept sealed.
    pub(crate) async fn ssh_host_key(&self) -> Result<Secret, Failed> {
        self.ssh_key("ssh_host_key").await
    }

    /// The key that signs it, which clients know.
    pub(crate) async fn ssh_host_authority(&self) -> Result<Secret, Failed> {
        self.ssh_key("ssh_host_authority").await
    }

    /// The authority that signs the certificates which the gateway logs in with at SSH targets; none without a vault.
    pub(crate) async fn ssh_user_authority(&self) -> Result<Option<SshAuthority>, Failed> {
        if self.vault.is_none() {
            return Ok(None);
        }
        let key = self.ssh_key("ssh_user_authority").await?;
        SshAuthority::new(&key).map(Some).map_err(Failed::new)
    }

    async fn ssh_key(&self, name: &str) -> Result<Secret, Failed> {
        let Some(vault) = &self.vault else {
            return Err(Failed::invalid(
                "a listener for SSH needs a [vault]: its host key is kept sealed. Add [vault] key = { file = \"vault.key\" }",
            ));
        };
        let (fresh, _) = countersign_ssh::new_host_key().map_err(Failed::new)?;
        let sealed = vault.seal(name, &fresh).map_err(Failed::new)?;
        let kept = self.store.meta_or_insert(name, &BASE64_STANDARD.encode(sealed)).await.map_err(Failed::new)?;
        let kept = BASE64_STANDARD
            .decode(kept)
            .map_err(|e| Failed::new(format!("the {name} in the store is damaged: {e}")))?;
        vault.unseal(name, &kept).map_err(Failed::new)
    }

    /// The gateway's key towards identity providers, made when it is first asked for and kept sealed.
    async fn saml_key(&self) -> Result<ServiceKey, Failed> {
        let vault = self.vault.as_ref().ok_or_else(|| Failed::invalid("[[saml]] needs a [vault]"))?;
        let kept = match self.store.meta(SAML_KEY).await.map_err(Failed::new)? {
            Some(kept) => kept,
            // Of two gateways that make it at the same moment, one is first, and both take its key.
            None => {
                let fresh = ServiceKey::generate(clock::now()).map_err(Failed::new)?;
                let sealed = BASE64_STANDARD.encode(vault.seal(SAML_KEY, &fresh).map_err(Failed::new)?);
                self.store.meta_or_insert(SAML_KEY, &sealed).await.map_err(Failed::new)?
            }
        };
        let sealed =
            BASE64_STANDARD.decode(kept).map_err(|_| Failed::new("the key for SAML in the store is damaged"))?;
        ServiceKey::open(&vault.unseal(SAML_KEY, &sealed).map_err(Failed::new)?).map_err(Failed::new)
    }

    /// The authority for client certificates. Its key is kept sealed, so that without a vault there is none.
    async fn authority(&self) -> Result<Option<Arc<IdentityAuthority>>, Failed> {
        let Some(vault) = &self.vault else { return Ok(None) };
        let keys = SealedKeys { store: self.store.clone(), vault: vault.clone() };
        let authority = IdentityAuthority::open(Arc::new(keys), clock::now()).await.map_err(Failed::new)?;
        Ok(Some(Arc::new(authority)))
    }

    /// What puts masks on. Its key is kept sealed, so that all gateways have the same, whenever they start; without a vault it lives as
    /// long as this process.
    async fn masker(&self) -> Result<Arc<Masker>, Failed> {
        let mut fresh = vec![0; KEY_BYTES_MIN];
        aws_lc_rs::rand::fill(&mut fresh).map_err(|_| Failed::new("the system gives no random bytes"))?;
        let mut key = Secret::new(fresh);
        if let Some(vault) = &self.vault {
            let kept = match self.store.meta(MASKING_KEY).await.map_err(Failed::new)? {
                Some(kept) => kept,
                // Of two gateways that make it at the same moment, one is first, and both take its key.
                None => {
                    let sealed = BASE64_STANDARD.encode(vault.seal(MASKING_KEY, &key).map_err(Failed::new)?);
                    self.store.meta_or_insert(MASKING_KEY, &sealed).await.map_err(Failed::new)?
                }
            };
            let sealed =
                BASE64_STANDARD.decode(kept).map_err(|_| Failed::new("the key for masks in the store is damaged"))?;
            key = vault.unseal(MASKING_KEY, &sealed).map_err(Failed::new)?;
        }
        Masker::new(&key).map(Arc::new).map_err(Failed::new)
    }

    /// The issuers whose tokens are accepted.
    fn issuers(&self, config: &Config) -> Result<Vec<IssuerEntry>, Failed> {
        let mut all: Vec<IssuerEntry> = convert::issuers(config)?.into_iter().map(IssuerEntry::from).collect();
        all.extend(convert::trust_domains(config).into_iter().map(IssuerEntry::from));
        let base = console::bases(config).into_iter().next().unwrap_or_default();
        for provider in convert::saml(config, &base)? {
            let key = self.saml_key.clone().ok_or_else(|| Failed::invalid("the first [[saml]] needs a restart"))?;
            all.push(IssuerEntry::saml(provider, key));
        }
        for scim in &config.scim {
            let directory = self.directory.clone().filter(|d| d.realm(&scim.issuer).is_some());
            let directory = directory.ok_or_else(|| Failed::invalid("a new [[scim]] needs a restart"))?;
            for entry in all.iter_mut().filter(|e| e.config.label == scim.issuer) {
                entry.config.groups_claim = Some(PROVISIONED_GROUPS_CLAIM.to_owned());
                entry.accounts = Some(Arc::new(OfRealm { directory: directory.clone(), label: scim.issuer.clone() }));
            }
        }
        all.extend(self.issuer.as_ref().map(LocalIssuer::entry));
        Ok(all)
    }
}

/// Every service of a gateway.
pub(crate) struct House {
    pub(crate) config: Config,
    pub(crate) cellar: Cellar,
    pub(crate) policy: Arc<PolicyStore>,
    pub(crate) recorder: Arc<FileRecorder>,
    pub(crate) masker: Arc<Masker>,
    pub(crate) language: Arc<Language>,
    /// The gateway's own configuration as it was loaded last; `config` is the one that it started with.
    pub(crate) own: ArcSwap<Own>,
    /// What was applied.
    pub(crate) applied: ArcSwap<InForce>,
    /// One change of what is in force at a time.
    changing: Mutex<()>,
    pub(crate) refreshing: tokio::sync::Mutex<()>,
    routes: Arc<RouteTable>,
    /// Rules about tags that fit nothing, by the label of their target's route.
    pub(crate) idle_tags: Mutex<HashMap<Arc<str>, IdleRules>>,
    accounts: Arc<AccountBook>,
    tokens: Arc<TokenAuthenticator>,
    pub(crate) identity: Arc<IdentityService>,
    pub(crate) locks: Arc<LockService>,
    pub(crate) reviews: Approvals,
    pub(crate) factors: SecondFactors,
    /// The policies' files as they are in force, for people to read.
    pub(crate) policy_texts: ArcSwap<Vec<PolicyFile>>,
    pub(crate) grants: GrantKeeper,
}

impl House {
    /// Builds it.
    pub(crate) async fn build(loaded: Loaded) -> Result<Self, Failed> {
        let language = language()?;
        let own = Own::of(loaded)?;
        let config = own.config.clone();
        // Before anything is opened: what is wrong here is wrong without anything applied.
        build(&own, &config, &[], &language).map_err(|problems| failed(&problems))?;
        let cellar = Cellar::open(&config).await?;
        let (applied, built) = at_start(&own, &cellar.store, &language).await?;
        let Built { config: with_applied, policies: files, set, routes, .. } = built;
        for warning in set.warnings() {
            tracing::warn!("{warning}");
        }
        let routes = Arc::new(RouteTable::new(routes));
        let accounts = Arc::new(
            AccountBook::new(convert::accounts(&with_applied), cellar.vault.clone())
                .certifying(cellar.ssh_user_authority().await?),
        );
        let uses = Arc::new(StoredUses(cellar.store.clone()));
        let tokens = TokenAuthenticator::with_ledger(cellar.issuers(&config)?, uses).map_err(|f| findings(&f))?;
        let tokens = Arc::new(tokens);
        let recorder = Arc::new(FileRecorder::start(convert::recording(&with_applied)).map_err(Failed::new)?);
        let lock_config = LockConfig { ask: ask(&config), ..LockConfig::default() };
        let graves = Arc::new(GraveAlerts(cellar.teller.clone()));
        let locks = LockService::open(cellar.store.clone(), lock_config, graves, clock::now());
        let locks = Arc::new(locks.await.map_err(Failed::new)?);
        let identity = IdentityService::new(
            convert::identity(&config, &api_url(&config)),
            tokens.clone(),
            Arc::new(StoredLogins(cellar.store.clone())),
            cellar.authority().await?,
            Arc::new(ToldAlerts(cellar.teller.clone())),
        )
        .recording(recorder.clone())
        .heeding(locks.clone())
        .with_api_keys(Arc::new(StoredApiKeys(cellar.store.clone())));
        let identity = Arc::new(identity);
        let factors = SecondFactors::new(SecondFactorsParts {
            store: cellar.store.clone(),
            sealer: cellar.vault.clone().map(|vault| Arc::new(SealedCodes(vault)) as _),
            alerts: Arc::new(ToldAlerts(cellar.teller.clone())),
            sites: sites(&config),
        });
        let reviews = Approvals::new(ApprovalsParts {
            store: cellar.store.clone(),
            factors: Arc::new(factors.clone()),
            people: Arc::new(KnownPeople { identity: identity.clone(), locks: locks.clone() }),
            clock: Arc::new(clock::now),
            tasks: tokio::runtime::Handle::current(),
        });
        let grants = GrantKeeper::open(cellar.store.clone(), clock::now()).await.map_err(Failed::new)?;
        Ok(Self {
            locks,
            policy: Arc::new(PolicyStore::new(set).granting(Arc::new(grants.clone()))),
            policy_texts: ArcSwap::from_pointee(files),
            grants,
            recorder,
            masker: cellar.masker().await?,
            tokens,
            identity,
            reviews,
            factors,
            language,
            own: ArcSwap::from_pointee(own),
            applied: ArcSwap::from_pointee(applied),
            changing: Mutex::new(()),
            idle_tags: Mutex::default(),
            refreshing: tokio::sync::Mutex::new(()),
            routes,
            accounts,
            cellar,
            config,
        })
    }

    /// The ports, for the runtime.
    pub(crate) fn services(&self) -> Services {
        Services {
            authenticator: self.identity.clone(),
            credentials: self.accounts.clone(),
            policy: self.policy.clone(),
            recorder: self.recorder.clone(),
            locks: Arc::new(Orders { locks: self.locks.clone(), grants: self.grants.clone() }),
            alerts: self.alerts(),
            reviews: Some(Arc::new(self.reviews.clone())),
            targets: self.routes.clone(),
            sign_ins: self.cellar.issuer.clone().map(|issuer| issuer as _),
            ask: ask(&self.config),
        }
    }

    /// Whom alerts are told.
    pub(crate) fn alerts(&self) -> Arc<ToldAlerts> {
        Arc::new(ToldAlerts(self.cellar.teller.clone()))
    }

    /// Where grants are asked for. What is taken at once is told as a review that waits.
    pub(crate) fn grant_desk(&self) -> GrantDesk {
        GrantDesk::new(self.reviews.clone(), Arc::new(LoggedAlerts))
    }

    /// The same behind its HTTP doors.
    pub(crate) fn grant_counter(&self) -> GrantCounter {
        GrantCounter {
            desk: self.grant_desk(),
            keeper: self.grants.clone(),
            identity: self.identity.clone(),
            locks: self.locks.clone(),
            policy: self.policy.clone(),
            routes: self.routes.clone(),
        }
    }

    /// Second factors behind their HTTP doors.
    pub(crate) fn factor_counter(&self) -> FactorCounter {
        FactorCounter { factors: self.factors.clone(), identity: self.identity.clone(), locks: self.locks.clone() }
    }

    /// The ways to the targets in force, by name.
    pub(crate) fn routes(&self) -> Vec<Arc<Route>> {
        self.routes.all()
    }

    /// Takes over what may change while sessions run: policies, targets, accounts, issuers, retention. All or nothing of each; what
    /// has an error stays as it was.
    pub(crate) fn reload(&self, loaded: Loaded) -> Result<(), Failed> {
        let own = Own::of(loaded)?;
        let config = &own.config;
        let issuers = self.cellar.issuers(config)?;
        let _one = self.changing.lock();
        let applied = self.applied.load_full();
        // Looked at first, so that a mistake anywhere leaves everything as it was.
        let built = applied.build(&own, &self.config, &self.language).map_err(|problems| failed(&problems))?;
        convert::recording(&built.config).check().map_err(Failed::invalid)?;
        self.tokens.replace(issuers).map_err(|f| findings(&f))?;
        self.identity.configure(convert::identity(config, &api_url(config)));
        self.put(built)?;
        self.own.store(Arc::new(own));
        if applied.problem.is_some() {
            // What could not be put in force may be now: it is looked at again.
            self.applied.store(Arc::new(InForce { seen: applied.revision, ..InForce::clone(&applied) }));
        }
        Ok(())
    }

    /// Takes over a revision of what is applied.
    pub(crate) fn take_applied(&self, revision: u64, files: Vec<AppliedFile>) -> Result<(), String> {
        let _one = self.changing.lock();
        let next = InForce { revision, files: Arc::new(files), seen: revision, ..InForce::default() };
        let own = self.own.load();
        let built = next.build(&own, &self.config, &self.language).map_err(|problems| failed(&problems).to_string())?;
        self.put(built).map_err(|e| e.to_string())?;
        self.applied.store(Arc::new(next));
        Ok(())
    }

    /// Puts in force what was built.
    fn put(&self, built: Built) -> Result<(), Failed> {
        let recording = convert::recording(&built.config);
        recording.check().map_err(Failed::invalid)?;
        self.policy.reload(&built.policies, &self.language).map_err(|p| policy_problems(&p))?;
        self.policy_texts.store(Arc::new(built.policies));
        self.recorder.set_retention(recording.retention, recording.refused, recording.targets).map_err(Failed::new)?;
        self.routes.replace(built.routes);
        self.accounts.replace(convert::accounts(&built.config));
        Ok(())
    }
}

/// What a denied person is told to do.
pub(crate) fn ask(config: &Config) -> Option<Arc<str>> {
    (!config.gateway.ask.is_empty()).then(|| config.gateway.ask.as_str().into())
}

fn findings(all: &[countersign_identity::Finding]) -> Failed {
    let lines: Vec<String> =
        all.iter().map(|f| format!("issuer {}: {}: {}", f.issuer + 1, f.field, f.message)).collect();
    Failed::invalid(lines.join("\n"))
}
