//! Who is asking: the port that protocols call with a token, answered from the configured issuers.
//!
//! The order is fixed: shape, issuer, type, algorithm, key, signature, claims, mapping, user name. Nothing that a token says is used
//! before its signature holds, but to choose among what is configured. Must never log or keep a token.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use countersign_enforce::{Authenticator, BoxFuture, Presented, PresentedCredential, Standing};
use countersign_model::{Denial, Identity, Timestamp};

use crate::check::{Finding, FindingLevel, check};
use crate::claims;
use crate::config::IssuerConfig;
use crate::key_source::{KeySource, SharedKeys};
use crate::keys::Algorithm;
use crate::mapping;
use crate::replay::Used;
use crate::token::{TOKEN_BYTES_MAX, parse_unverified, shown};
use crate::verified::{self, Verified};
use crate::{AccountCheck, Rejection};

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
    used: Used,
    next_number: AtomicU64,
    latest_us: AtomicI64,
    verifications: AtomicU64,
}

impl TokenAuthenticator {
    /// Takes the issuers in. No key is fetched yet.
    ///
    /// # Errors
    /// The findings of level error, all at once.
    pub fn new(issuers: Vec<IssuerEntry>) -> Result<Self, Vec<Finding>> {
        let authenticator = Self {
            registry: ArcSwap::default(),
            verified: Verified::default(),
            used: Used::default(),
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

    /// Verifies a token and says who it is.
    ///
    /// # Errors
    /// Why not.
    pub async fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<Identity>, Rejection> {
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
                (identity, issuer)
            }
            None => {
                let (identity, issuer, epoch) = self.verify_anew(&registry, token, now).await?;
                self.verified.insert(digest, Arc::clone(&identity), issuer.number, epoch, now);
                (identity, Some(issuer))
            }
        };
        if let Some(accounts) = issuer.as_ref().and_then(|i| i.accounts.as_ref())
            && !accounts.stands(&identity).await
        {
            return Err(Rejection::AccountEnded);
        }
        if issuer.is_none_or(|i| i.config.single_use) {
            self.used.once(&identity, now)?;
        }
        Ok(identity)
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
    fn steady(&self, now: Timestamp) -> Result<Timestamp, Rejection> {
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

    async fn authenticate_presented(&self, presented: &Presented, now: Timestamp) -> Result<Arc<Identity>, Rejection> {
        let PresentedCredential::Token { token, .. } = &presented.credential else {
            return Err(Rejection::Unproven);
        };
        let token = token.expose_str().ok_or_else(|| Rejection::Malformed("not UTF-8".to_owned()))?;
        let identity = self.verify(token, now).await?;
        if presented.user != identity.name && presented.user != identity.subject {
            return Err(Rejection::OtherUser { name: identity.name.clone(), given: shown(&presented.user) });
        }
        Ok(identity)
    }
}

impl Authenticator for TokenAuthenticator {
    fn authenticate<'a>(
        &'a self,
        presented: &'a Presented,
        now: Timestamp,
    ) -> BoxFuture<'a, Result<Arc<Identity>, Denial>> {
        Box::pin(async move {
            self.authenticate_presented(presented, now).await.map_err(|rejection| {
                tracing::info!(
                    reason = rejection.as_str(),
                    detail = %rejection,
                    source = %presented.source,
                    "a token was refused"
                );
                rejection.to_denial()
            })
        })
    }

    fn recognises(&self, _chain: &[Bytes]) -> bool {
        false
    }

    fn standing<'a>(&'a self, identity: &'a Identity, _now: Timestamp) -> BoxFuture<'a, Standing> {
        Box::pin(async move {
            let registry = self.registry.load_full();
            let Some(issuer) = registry.by_url.get(&identity.issuer) else {
                return Standing::Ended(Rejection::UnknownIssuer(identity.issuer.clone()).to_denial());
            };
            match &issuer.accounts {
                Some(accounts) if !accounts.stands(identity).await => {
                    Standing::Ended(Rejection::AccountEnded.to_denial())
                }
                _ => Standing::Stands,
            }
        })
    }
}
