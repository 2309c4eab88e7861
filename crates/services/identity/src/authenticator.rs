//! Tokens of the configured issuers: verified, remembered for a moment, and checked against the key they come with.
//!
//! The order is fixed: shape, issuer, type, algorithm, key, signature, claims, mapping, account, binding, earlier uses. Nothing that a token says is used
//! before its signature holds, but to choose among what is configured. Must never log or keep a token.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use countersign_model::{Actor, Identity, IdentityParts, Timestamp};

use crate::check::{Finding, FindingLevel, check};
use crate::claims;
use crate::config::IssuerConfig;
use crate::confirmation::{Door, Proof, confirm};
use crate::dpop::Proved;
use crate::key_source::{KeySource, SharedKeys};
use crate::keys::Algorithm;
use crate::login::{MemoryUses, UseLedger, Uses, digest_of};
use crate::mapping;
use crate::token::{TOKEN_BYTES_MAX, parse_unverified, shown};
use crate::verified::{self, Verified};
use crate::{AccountCheck, AccountStanding, Rejection};

/// How far the clock may go back before tokens are refused, in seconds.
const CLOCK_BACK_S_MAX: u64 = 60;

/// An issuer to accept tokens of.
#[derive(Clone)]
pub struct IssuerEntry {
    /// As configured.
    pub config: IssuerConfig,
    /// Its keys, when it lives in this process.
    pub keys: Option<SharedKeys>,
    /// Says whether an account behind a token still stands, where that can be asked.
    pub accounts: Option<Arc<dyn AccountCheck>>,
}

impl From<IssuerConfig> for IssuerEntry {
    fn from(config: IssuerConfig) -> Self {
        Self { config, keys: None, accounts: None }
    }
}

struct Issuer {
    number: u64,
    config: IssuerConfig,
    keys: KeySource,
    accounts: Option<Arc<dyn AccountCheck>>,
}

#[derive(Default)]
struct Registry {
    by_url: HashMap<String, Arc<Issuer>>,
    by_number: HashMap<u64, Arc<Issuer>>,
}

/// Verifies tokens of any number of issuers.
pub struct TokenAuthenticator {
    registry: ArcSwap<Registry>,
    verified: Verified,
    uses: Uses,
    next_number: AtomicU64,
    latest_us: AtomicI64,
    verifications: AtomicU64,
}

impl TokenAuthenticator {
    /// Takes the issuers in. No key is fetched yet. What was used before is known as long as the process lives.
    ///
    /// # Errors
    /// The findings of level error, all at once.
    pub fn new(issuers: Vec<IssuerEntry>) -> Result<Self, Vec<Finding>> {
        Self::with_ledger(issuers, Arc::new(MemoryUses::default()))
    }

    /// The same, with a ledger of what was used before.
    ///
    /// # Errors
    /// The findings of level error, all at once.
    pub fn with_ledger(issuers: Vec<IssuerEntry>, ledger: Arc<dyn UseLedger>) -> Result<Self, Vec<Finding>> {
        let authenticator = Self {
            registry: ArcSwap::default(),
            verified: Verified::default(),
            uses: Uses::new(ledger),
            next_number: AtomicU64::new(1),
            latest_us: AtomicI64::new(0),
            verifications: AtomicU64::new(0),
        };
        authenticator.replace(issuers)?;
        Ok(authenticator)
    }

    /// Puts other issuers in the place of those there are. An unchanged issuer keeps its cached keys; every token is verified anew.
    ///
    /// # Errors
    /// The findings of level error; then nothing has changed.
    pub fn replace(&self, issuers: Vec<IssuerEntry>) -> Result<(), Vec<Finding>> {
        let configs: Vec<IssuerConfig> = issuers.iter().map(|i| i.config.clone()).collect();
        let mut errors: Vec<Finding> = check(&configs).into_iter().filter(|f| f.level == FindingLevel::Error).collect();
        let before = self.registry.load_full();
        let mut registry = Registry::default();
        for (i, entry) in issuers.into_iter().enumerate() {
            let unchanged =
                before.by_url.get(&entry.config.issuer).filter(|b| b.config == entry.config && entry.keys.is_none());
            let issuer = match unchanged {
                Some(issuer) => Arc::clone(issuer),
                None => match KeySource::new(&entry.config, entry.keys) {
                    Ok(keys) => {
                        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                        Arc::new(Issuer { number, config: entry.config, keys, accounts: entry.accounts })
                    }
                    Err(message) => {
                        let field = "issuer".to_owned();
                        errors.push(Finding { level: FindingLevel::Error, issuer: i, field, message });
                        continue;
                    }
                },
            };
            registry.by_number.insert(issuer.number, Arc::clone(&issuer));
            registry.by_url.insert(issuer.config.issuer.clone(), issuer);
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        self.registry.store(Arc::new(registry));
        self.verified.clear();
        Ok(())
    }

    /// Verifies a token that comes without any proof of a key, and says who it is.
    ///
    /// # Errors
    /// Why not.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, Rejection> {
        self.verify_with(token, &Proof::NONE, now).await
    }

    /// Verifies a token with what was proved beside it.
    pub(crate) async fn verify_with(
        &self,
        token: &str,
        proof: &Proof<'_>,
        now: Timestamp,
    ) -> Result<Arc<Identity>, Rejection> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Rejection::TooLarge { limit_bytes: TOKEN_BYTES_MAX });
        }
        let now = self.steady(now)?;
        let digest = verified::digest(token.as_bytes());
        let registry = self.registry.load_full();
        let epoch_of = |number| registry.by_number.get(&number).and_then(|i| i.keys.epoch(now));
        let (identity, issuer) = match self.verified.find(&digest, now, epoch_of) {
            Some(identity) => {
                let issuer = registry.by_url.get(&identity.issuer).cloned();
                let issuer = issuer.ok_or_else(|| Rejection::UnknownIssuer(identity.issuer.clone()))?;
                (identity, issuer)
            }
            None => {
                let (identity, issuer, epoch) = self.verify_anew(&registry, token, now).await?;
                self.verified.insert(digest, Arc::clone(&identity), issuer.number, epoch, now);
                (identity, issuer)
            }
        };
        if let Some(accounts) = &issuer.accounts {
            account_stands(accounts.standing(&identity.subject, &identity.claims).await)?;
        }
        let bound = confirm(&issuer.config, &identity.claims, proof)?;
        self.check_uses(token, &issuer.config, &identity, bound.as_deref(), proof, now).await?;
        match bound {
            Some(key) => Ok(Arc::new(mapping::bound(&identity, key))),
            None if proof.door == Door::Session && issuer.config.require_bound => {
                Err(Rejection::BearerRefused(issuer.config.label.clone()))
            }
            None => Ok(identity),
        }
    }

    /// Whether an earlier use of the token forbids this one; notes this one where it binds the token.
    async fn check_uses(
        &self,
        token: &str,
        config: &IssuerConfig,
        identity: &Identity,
        bound: Option<&str>,
        proof: &Proof<'_>,
        now: Timestamp,
    ) -> Result<(), Rejection> {
        let key = bound.or(proof.request_key).map(|key| format!("key:{key}"));
        if config.single_use {
            let jti = identity
                .token_id
                .as_deref()
                .ok_or_else(|| Rejection::claim("jti", "is missing, and tokens of this issuer are good once"))?;
            let id = digest_of(&["jti", &identity.issuer, jti]);
            // Without a key every use is one of its own.
            let binding = key.unwrap_or_else(|| format!("once:{}", ulid::Ulid::from_bytes(rand::random())));
            return self.uses.bind(&id, &binding, identity.expires_at, now).await;
        }
        match (bound, key) {
            // What names its key needs no further binding.
            (Some(_), _) => Ok(()),
            (None, Some(key)) => self.uses.bind(&use_id(token), &key, identity.expires_at, now).await,
            (None, None) => self.uses.check_unbound(&use_id(token)).await,
        }
    }

    /// Notes the use of a proof; refuses a second one.
    pub(crate) async fn use_proof(&self, proved: &Proved, now: Timestamp) -> Result<(), Rejection> {
        let once = format!("once:{}", ulid::Ulid::from_bytes(rand::random()));
        self.uses.bind(&proved.id, &once, proved.ends, now).await
    }

    /// Binds a token to a word that nothing can present: it is good no more.
    pub(crate) async fn spoil(&self, id: &str, ends: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        self.uses.bind(id, "spoilt", ends, now).await
    }

    /// Forgets uses that are over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        self.uses.sweep(now).await
    }

    /// Whether the issuers and accounts of an identity, and of those who act for it, still stand.
    pub(crate) async fn accounts_stand(&self, identity: &IdentityParts) -> Result<(), Rejection> {
        let registry = self.registry.load_full();
        let issuer =
            registry.by_url.get(&identity.issuer).ok_or_else(|| Rejection::UnknownIssuer(identity.issuer.clone()))?;
        if let Some(accounts) = &issuer.accounts {
            account_stands(accounts.standing(&identity.subject, &identity.claims).await)?;
        }
        for Actor { subject, issuer, claims, .. } in &identity.delegation {
            if let Some(accounts) = registry.by_url.get(issuer).and_then(|i| i.accounts.as_ref()) {
                account_stands(accounts.standing(subject, claims).await)?;
            }
        }
        Ok(())
    }

    async fn verify_anew(
        &self,
        registry: &Registry,
        token: &str,
        now: Timestamp,
    ) -> Result<(Arc<Identity>, Arc<Issuer>, u64), Rejection> {
        self.verifications.fetch_add(1, Ordering::Relaxed);
        let token = parse_unverified(token)?;
        let issuer =
            registry.by_url.get(&token.issuer).ok_or_else(|| Rejection::UnknownIssuer(shown(&token.issuer)))?;
        let config = &issuer.config;
        let algorithm = Algorithm::parse(&token.algorithm)
            .filter(|a| config.algorithms.contains(a))
            .ok_or_else(|| Rejection::Algorithm(shown(&token.algorithm)))?;
        claims::check_type(config, token.token_type.as_deref())?;
        let found = issuer.keys.find(token.key_id.as_deref(), algorithm, now).await?;
        found.key.verify(algorithm, token.signed, token.signature)?;
        let times = claims::check_claims(config, &token, now)?;
        let identity = mapping::identify(config, token.claims, times)?;
        Ok((Arc::new(identity), Arc::clone(issuer), found.epoch))
    }

    /// The time to judge by: it never goes back, so that an ended token cannot come alive again.
    pub(crate) fn steady(&self, now: Timestamp) -> Result<Timestamp, Rejection> {
        let latest = Timestamp::from_unix_us(self.latest_us.fetch_max(now.unix_us(), Ordering::AcqRel)).max(now);
        let back_s = latest.since_us(now) / 1_000_000;
        if back_s > CLOCK_BACK_S_MAX {
            return Err(Rejection::ClockWentBack { by_s: back_s });
        }
        Ok(latest)
    }

    /// How many tokens were verified in full, rather than remembered.
    pub fn verifications(&self) -> u64 {
        self.verifications.load(Ordering::Relaxed)
    }
}

/// What identifies a token in the ledger: what its issuer signed. The signature itself can be written in several ways.
pub(crate) fn use_id(token: &str) -> String {
    digest_of(&["token", token.rsplit_once('.').map_or(token, |(signed, _)| signed)])
}

fn account_stands(standing: AccountStanding) -> Result<(), Rejection> {
    match standing {
        AccountStanding::Stands => Ok(()),
        AccountStanding::Changed => Err(Rejection::AccountChanged),
        AccountStanding::Ended => Err(Rejection::AccountEnded),
        AccountStanding::Unknown => Err(Rejection::AccountUnknown),
    }
}
