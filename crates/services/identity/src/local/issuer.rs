//! The local issuer itself: it keeps its keys fresh and makes tokens.
//!
//! Must never sign a claim of its own under a name that the caller chose, nor a token that lives longer than its key is published.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use countersign_enforce::BoxFuture;
use countersign_model::{Secret, Timestamp};
use serde_json::{Map, Value, json};

use super::accounts::{self, Door, NewAccount};
use super::ports::{Account, AccountStore, KeyStore, StoreFault};
use super::ring::{self, Ring};
use super::sign_in::{SignIn, account_claims};
use crate::{AccountCheck, AccountStanding, IssuerConfig, IssuerEntry, KeySet, SharedKeys};

/// The longest life of a token from here, in seconds (a day).
pub const MINT_LIFETIME_S_MAX: u64 = 86_400;

/// Claims that are the issuer's own to set.
const OWN_CLAIMS: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// What the local issuer could not do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalFault {
    /// A key cannot be made, read or used.
    #[error("{0}")]
    Key(&'static str),
    /// An account cannot be as asked.
    #[error("{0}")]
    Account(&'static str),
    /// There is no such account, or it is disabled.
    #[error("there is no account \"{0}\" that may have a token; `countersign accounts list` shows them")]
    NoAccount(String),
    /// The token cannot be as asked.
    #[error("{0}")]
    Mint(String),
    /// A client cannot be as configured.
    #[error("{0}")]
    Client(String),
    /// There are as many as may be.
    #[error("there are too many {0} at one time")]
    Full(&'static str),
    /// What is kept of a sign-in cannot be read.
    #[error("what is kept of a sign-in cannot be read")]
    State,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

/// What a local issuer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalIssuerConfig {
    /// A short word for it.
    pub label: String,
    /// Its URL: `iss`, and where its documents are.
    pub issuer: String,
    /// The audience of its tokens.
    pub audience: String,
    /// How long a token lives unless asked otherwise, in seconds; at most [`MINT_LIFETIME_S_MAX`].
    pub token_lifetime_s: u64,
}

/// A token to make.
#[derive(Clone, Debug)]
pub struct MintRequest {
    /// `sub`.
    pub subject: String,
    /// `aud`; the issuer's default when `None`.
    pub audience: Option<String>,
    /// How long it lives, in seconds; the issuer's default when `None`.
    pub lifetime_s: Option<u64>,
    /// The header's `typ`.
    pub token_type: &'static str,
    /// Further claims. The issuer's own (`iss`, `exp` and so on) may not be among them.
    pub claims: Map<String, Value>,
}

/// An issuer of tokens for local accounts, or, without accounts, for whatever its owner asks.
pub struct LocalIssuer {
    pub(super) config: LocalIssuerConfig,
    keys: Arc<dyn KeyStore>,
    pub(super) accounts: Option<Arc<dyn AccountStore>>,
    pub(super) door: Option<Door>,
    pub(super) sign_in: Option<SignIn>,
    ring: ArcSwap<Ring>,
    shared: SharedKeys,
    rotation: tokio::sync::Mutex<()>,
}

impl LocalIssuer {
    /// Opens an issuer: reads its keys, and makes the first when there is none.
    ///
    /// # Errors
    /// When the store fails, or a stored key cannot be read.
    pub async fn open(
        config: LocalIssuerConfig,
        keys: Arc<dyn KeyStore>,
        accounts: Option<Arc<dyn AccountStore>>,
        now: Timestamp,
    ) -> Result<Self, LocalFault> {
        if config.token_lifetime_s == 0 || config.token_lifetime_s > MINT_LIFETIME_S_MAX {
            return Err(LocalFault::Mint(lifetime_limits()));
        }
        let ring = load_ring(&*keys, &config.issuer, false, now).await?;
        let shared = SharedKeys::new(ring.key_set()?);
        let door = accounts.clone().map(Door::new);
        let ring = ArcSwap::from_pointee(ring);
        Ok(Self { config, keys, accounts, door, sign_in: None, ring, shared, rotation: tokio::sync::Mutex::new(()) })
    }

    /// Takes in keys that another gateway made, retires a key that has signed long enough, and removes those that are over, with what
    /// is left of old sign-ins. To be called every few minutes.
    ///
    /// # Errors
    /// When the store fails; the keys in use stay in use.
    pub async fn maintain(&self, now: Timestamp) -> Result<(), LocalFault> {
        if let Some(sign_in) = &self.sign_in {
            sign_in.state.purge(now).await?;
        }
        self.load(false, now).await
    }

    /// Retires the signing key and makes a new one. Tokens signed so far stay good until they end.
    ///
    /// # Errors
    /// When the store fails; the keys in use stay in use.
    pub async fn rotate(&self, now: Timestamp) -> Result<(), LocalFault> {
        self.load(true, now).await
    }

    async fn load(&self, force: bool, now: Timestamp) -> Result<(), LocalFault> {
        let _one_at_a_time = self.rotation.lock().await;
        let ring = load_ring(&*self.keys, &self.config.issuer, force, now).await?;
        if ring.jwks() != self.ring.load().jwks() {
            self.shared.replace(ring.key_set()?);
        }
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    /// The public keys, as published.
    pub(super) fn jwks_text(&self) -> String {
        self.ring.load().jwks().to_owned()
    }

    /// The public keys, for looking at tokens of our own.
    pub(super) fn public_keys(&self) -> Result<KeySet, LocalFault> {
        self.ring.load().key_set()
    }

    /// The URL that paths are put behind.
    pub(super) fn base(&self) -> &str {
        self.config.issuer.trim_end_matches('/')
    }

    /// What to give the authenticator, so that it accepts this issuer's tokens: names, groups and kinds as the accounts have them.
    pub fn entry(self: &Arc<Self>) -> IssuerEntry {
        let mut config = IssuerConfig::new(&self.config.label, &self.config.issuer, &[&self.config.audience]);
        config.algorithms = vec![crate::Algorithm::ES256];
        if self.accounts.is_some() {
            config.types = vec!["at+jwt".to_owned()];
            config.name_claim = "preferred_username".to_owned();
            config.groups_claim = Some("groups".to_owned());
            config.groups_prefix = Some(String::new());
            config.kind_claim = Some("kind".to_owned());
        }
        self.entry_with(config)
    }

    /// The same with a configuration of your own, such as mappings; its keys are this issuer's.
    pub fn entry_with(self: &Arc<Self>, config: IssuerConfig) -> IssuerEntry {
        let accounts = self.accounts.is_some().then(|| Arc::clone(self) as Arc<dyn AccountCheck>);
        IssuerEntry { keys: Some(self.shared.clone()), accounts, ..IssuerEntry::from(config) }
    }

    /// Adds an account.
    ///
    /// # Errors
    /// When a name or the secret is not acceptable, the name is taken, or the store fails.
    pub async fn create_account(&self, new: NewAccount, now: Timestamp) -> Result<Account, LocalFault> {
        let store = self.accounts.as_ref().ok_or(LocalFault::Account("this issuer has no accounts"))?;
        let account = tokio::task::spawn_blocking(move || accounts::prepare(new, now))
            .await
            .map_err(|_| LocalFault::Account("the secret cannot be hashed"))??;
        store.save(&account).await?;
        Ok(account)
    }

    /// A token for an account, for an operator with access to the store: no secret is asked.
    ///
    /// # Errors
    /// When there is no such account or it is disabled, or the lifetime is not acceptable.
    pub async fn mint_for_operator(
        &self,
        name: &str,
        lifetime_s: Option<u64>,
        now: Timestamp,
    ) -> Result<Secret, LocalFault> {
        let store = self.accounts.as_ref().ok_or(LocalFault::Account("this issuer has no accounts"))?;
        match store.find_by_name(name).await? {
            Some(account) if !account.disabled => self.mint_for(&account, lifetime_s, now),
            _ => Err(LocalFault::NoAccount(crate::token::shown(name))),
        }
    }

    /// Gives an account another password or client secret. Whoever signed in with the old one is out.
    ///
    /// # Errors
    /// When there is no such account, the secret is not acceptable, or the store fails.
    pub async fn set_secret(&self, name: &str, secret: Secret) -> Result<(), LocalFault> {
        let hash = tokio::task::spawn_blocking(move || accounts::hash_password(&secret))
            .await
            .map_err(|_| LocalFault::Account("the secret cannot be hashed"))??;
        self.change_account(name, |account| account.secret_hash = Some(hash)).await
    }

    /// Switches an account off or on. While it is off, it gets no token and uses none.
    ///
    /// # Errors
    /// When there is no such account, or the store fails.
    pub async fn set_disabled(&self, name: &str, disabled: bool) -> Result<(), LocalFault> {
        self.change_account(name, |account| account.disabled = disabled).await
    }

    async fn change_account(&self, name: &str, change: impl FnOnce(&mut Account) + Send) -> Result<(), LocalFault> {
        let store = self.accounts.as_ref().ok_or(LocalFault::Account("this issuer has no accounts"))?;
        let found = store.find_by_name(name).await?;
        let mut account = found.ok_or_else(|| LocalFault::NoAccount(crate::token::shown(name)))?;
        change(&mut account);
        Ok(store.save(&account).await?)
    }

    pub(super) fn mint_for(
        &self,
        account: &Account,
        lifetime_s: Option<u64>,
        now: Timestamp,
    ) -> Result<Secret, LocalFault> {
        let mut claims = account_claims(account);
        claims.insert("client_id".to_owned(), json!(account.name));
        let subject = account.id.clone();
        self.mint(MintRequest { subject, audience: None, lifetime_s, token_type: "at+jwt", claims }, now)
    }

    /// Makes a token of the given claims.
    ///
    /// # Errors
    /// When the lifetime is not acceptable, or a claim is the issuer's own.
    pub fn mint(&self, request: MintRequest, now: Timestamp) -> Result<Secret, LocalFault> {
        let lifetime_s = request.lifetime_s.unwrap_or(self.config.token_lifetime_s);
        if lifetime_s == 0 || lifetime_s > MINT_LIFETIME_S_MAX {
            return Err(LocalFault::Mint(lifetime_limits()));
        }
        let mut claims = request.claims;
        if let Some(own) = OWN_CLAIMS.into_iter().find(|c| claims.contains_key(*c)) {
            return Err(LocalFault::Mint(format!("the claim \"{own}\" is the issuer's own to set")));
        }
        let issued_s = now.unix_s();
        let expires_s = issued_s.saturating_add(i64::try_from(lifetime_s).unwrap_or(i64::MAX));
        let token_id = ulid::Ulid::from_parts(u64::try_from(now.unix_us() / 1000).unwrap_or(0), rand::random());
        for (name, value) in [
            ("iss", json!(self.config.issuer)),
            ("sub", json!(request.subject)),
            ("aud", json!(request.audience.as_deref().unwrap_or(&self.config.audience))),
            ("iat", json!(issued_s)),
            ("nbf", json!(issued_s)),
            ("exp", json!(expires_s)),
            ("jti", json!(token_id.to_string())),
        ] {
            claims.insert(name.to_owned(), value);
        }
        self.ring.load().sign(request.token_type, &Value::Object(claims))
    }
}

fn lifetime_limits() -> String {
    format!("a token lives between 1 and {MINT_LIFETIME_S_MAX} s")
}

async fn load_ring(store: &dyn KeyStore, issuer: &str, force: bool, now: Timestamp) -> Result<Ring, LocalFault> {
    Ring::new(&ring::load_keys(store, issuer, force, now).await?, now)
}

impl AccountCheck for LocalIssuer {
    fn standing<'a>(&'a self, subject: &'a str, claims: &'a BTreeMap<String, Value>) -> BoxFuture<'a, AccountStanding> {
        Box::pin(async move {
            let Some(store) = &self.accounts else { return AccountStanding::Ended };
            let found = async {
                let Some(account) = store.find_by_id(subject).await?.filter(|a| !a.disabled) else {
                    return Ok(AccountStanding::Ended);
                };
                if !self.sign_in_stands(claims, &account).await? {
                    return Ok(AccountStanding::Ended);
                }
                let same = account_claims(&account).iter().all(|(name, now)| claims.get(name) == Some(now));
                Ok(if same { AccountStanding::Stands } else { AccountStanding::Changed })
            };
            found.await.unwrap_or_else(|fault: LocalFault| {
                tracing::warn!(%fault, "an account could not be checked");
                AccountStanding::Unknown
            })
        })
    }
}
