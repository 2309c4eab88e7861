//! Tokens of the configured issuers and trust domains: verified, remembered for a moment, and checked against the key they come with.
//!
//! The order is fixed: shape, issuer, type, algorithm, key, signature, claims, mapping, account, binding, earlier uses. Nothing that a token says is used
//! before its signature holds, but to choose among what is configured. Must never log or keep a token.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use countersign_model::{Actor, Identity, IdentityParts, Timestamp};
use serde_json::Value;

use crate::check::{Finding, FindingLevel, check};
use crate::claims;
use crate::config::IssuerConfig;
use crate::confirmation::{Door, Proof, confirm};
use crate::dpop::Proved;
use crate::key_source::{KeySource, SharedKeys};
use crate::keys::Algorithm;
use crate::login::{MemoryUses, UseLedger, Uses, digest_of};
use crate::mapping;
use crate::provisioned::provision;
use crate::saml::{SamlConfig, SamlIssuer, ServiceKey};
use crate::spiffe::{self, SpiffeConfig, Svid, check_svid, subject_of};
use crate::token::{TOKEN_BYTES_MAX, Unverified, parse_unverified, shown};
use crate::token_review::TokenReview;
use crate::verified::{self, Verified};
use crate::{AccountCheck, AccountStanding, PROVISIONED_GROUPS_CLAIM, Rejection};

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
    /// What it was made of, when it is a SPIFFE trust domain.
    pub(crate) trust_domain: Option<SpiffeConfig>,
    /// What it was made of, when it is an identity provider that speaks SAML.
    pub(crate) saml: Option<Arc<SamlProvider>>,
}

/// An identity provider that speaks SAML, and the gateway's key towards it.
pub(crate) struct SamlProvider {
    pub(crate) config: SamlConfig,
    pub(crate) key: Arc<ServiceKey>,
}

impl From<IssuerConfig> for IssuerEntry {
    fn from(config: IssuerConfig) -> Self {
        Self { config, keys: None, accounts: None, trust_domain: None, saml: None }
    }
}

impl From<SpiffeConfig> for IssuerEntry {
    fn from(domain: SpiffeConfig) -> Self {
        Self { trust_domain: Some(domain.clone()), ..Self::from(domain.issuer()) }
    }
}

impl IssuerEntry {
    /// An identity provider that speaks SAML, and the gateway's key towards it.
    pub fn saml(config: SamlConfig, key: Arc<ServiceKey>) -> Self {
        Self { saml: Some(Arc::new(SamlProvider { config: config.clone(), key })), ..Self::from(config.issuer()) }
    }

    fn open(&self) -> Result<(KeySource, Option<TokenReview>), String> {
        let keys = match (&self.trust_domain, &self.saml) {
            (Some(domain), _) => KeySource::of_bundle(&self.config, &domain.bundle)?,
            (None, Some(saml)) => KeySource::of_metadata(&self.config, &saml.config.metadata, saml.config.terms()?)?,
            (None, None) => KeySource::new(&self.config, self.keys.clone())?,
        };
        let review = self.config.token_review.as_ref().map(|r| TokenReview::new(&self.config.label, r)).transpose()?;
        Ok((keys, review))
    }
}

pub(crate) struct Issuer {
    number: u64,
    pub(crate) config: IssuerConfig,
    pub(crate) keys: KeySource,
    pub(crate) accounts: Option<Arc<dyn AccountCheck>>,
    review: Option<TokenReview>,
    trust_domain: Option<SpiffeConfig>,
    pub(crate) saml: Option<Arc<SamlProvider>>,
}

/// What an issuer said of somebody, when, and with which key.
#[derive(Clone, Copy)]
struct Credential<'a> {
    subject: &'a str,
    claims: &'a BTreeMap<String, Value>,
    signer: Option<&'a str>,
    ends: Timestamp,
}

impl Issuer {
    fn is_of(&self, entry: &IssuerEntry) -> bool {
        let saml = |of: &Option<Arc<SamlProvider>>| of.as_ref().map(|s| s.config.clone());
        let same = self.config == entry.config && self.trust_domain == entry.trust_domain;
        same && saml(&self.saml) == saml(&entry.saml)
    }

    /// Whether who is behind a token, or behind what it became, still stands.
    async fn stands(&self, whose: &Credential<'_>, now: Timestamp) -> Result<(), Rejection> {
        let Credential { subject, claims, signer, ends } = *whose;
        if signer.is_some_and(|signer| self.keys.is_revoked(signer, ends, now)) {
            return Err(Rejection::KeyRevoked);
        }
        if let Some(accounts) = &self.accounts {
            account_stands(accounts.standing(subject, claims).await)?;
        }
        match &self.review {
            Some(review) => review.standing(claims, now).await,
            None => Ok(()),
        }
    }
}

#[derive(Default)]
struct Registry {
    by_url: HashMap<String, Arc<Issuer>>,
    by_number: HashMap<u64, Arc<Issuer>>,
}

impl Registry {
    /// Who is to verify a token: the trust domain of its `sub` where there is such a one, else whom `iss` names.
    fn issuer_of(&self, token: &Unverified<'_>) -> Result<&Arc<Issuer>, Rejection> {
        let domain = subject_of(&token.claims).and_then(|id| self.by_url.get(id.trust_domain_id()));
        let by_name = || {
            let named = self.by_url.get(&token.issuer);
            named.filter(|i| i.trust_domain.is_none() && i.saml.is_none())
        };
        domain.or_else(by_name).ok_or_else(|| Rejection::UnknownIssuer(shown(&token.issuer)))
    }
}

/// What cannot be used.
fn faults(entries: &[IssuerEntry]) -> Vec<Finding> {
    let (mut places, mut configs, mut findings) = (Vec::new(), Vec::new(), Vec::new());
    let mut domains = HashSet::new();
    for (issuer, entry) in entries.iter().enumerate() {
        if let Some(saml) = &entry.saml {
            let mut found = saml.config.findings();
            let others = entries.iter().enumerate().filter(|(n, _)| *n != issuer).map(|(_, other)| &other.config);
            for other in others {
                let same = [
                    ("entity_id", other.issuer == entry.config.issuer),
                    ("label", other.label.eq_ignore_ascii_case(&entry.config.label)),
                ];
                for (field, _) in same.into_iter().filter(|(_, same)| *same) {
                    found.push((FindingLevel::Error, field.to_owned(), "another issuer has the same".to_owned()));
                }
            }
            findings.extend(found.into_iter().map(|(level, field, message)| Finding { level, issuer, field, message }));
            continue;
        }
        let Some(domain) = &entry.trust_domain else {
            places.push(issuer);
            configs.push(entry.config.clone());
            continue;
        };
        let mut found = domain.findings();
        if !domains.insert(domain.trust_domain.as_str()) {
            found.push((FindingLevel::Error, "trust_domain".to_owned(), "another one has the same name".to_owned()));
        }
        findings.extend(found.into_iter().map(|(level, field, message)| Finding { level, issuer, field, message }));
    }
    let of_issuers = check(&configs).into_iter().map(|f| {
        let issuer = places.get(f.issuer).copied().unwrap_or(f.issuer);
        Finding { issuer, ..f }
    });
    findings.extend(of_issuers);
    findings.retain(|f| f.level == FindingLevel::Error);
    findings
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
        let mut errors = faults(&issuers);
        let before = self.registry.load_full();
        let mut registry = Registry::default();
        for (i, entry) in issuers.into_iter().enumerate() {
            let unchanged = before.by_url.get(&entry.config.issuer).filter(|b| b.is_of(&entry) && entry.keys.is_none());
            let issuer = match unchanged {
                Some(issuer) => Arc::clone(issuer),
                None => match entry.open() {
                    Ok((keys, review)) => {
                        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                        let IssuerEntry { config, accounts, trust_domain, saml, .. } = entry;
                        Arc::new(Issuer { number, config, keys, accounts, review, trust_domain, saml })
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
        let remembered = match self.verified.find(&digest, now, epoch_of) {
            Some(identity) => {
                let issuer = registry.by_url.get(&identity.issuer).cloned();
                let issuer = issuer.ok_or_else(|| Rejection::UnknownIssuer(identity.issuer.clone()))?;
                match stands(&issuer, &identity).await {
                    // A directory says who somebody is when they come: then they are who they are now.
                    Err(Rejection::AccountChanged) if identity.claims.contains_key(PROVISIONED_GROUPS_CLAIM) => None,
                    stands => stands.map(|()| Some((identity, issuer)))?,
                }
            }
            None => None,
        };
        let (identity, issuer) = match remembered {
            Some(remembered) => remembered,
            None => {
                let (identity, issuer, epoch) = self.verify_anew(&registry, token, now).await?;
                self.verified.insert(digest, Arc::clone(&identity), issuer.number, epoch, now);
                stands(&issuer, &identity).await?;
                (identity, issuer)
            }
        };
        if let Some(review) = &issuer.review {
            review.vouch(&issuer.config, token, &identity, now).await?;
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
        self.use_once(&proved.id, proved.ends, now).await
    }

    /// Notes the use of what is good once; refuses a second one, at whichever gateway.
    pub(crate) async fn use_once(&self, id: &str, ends: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        let once = format!("once:{}", ulid::Ulid::from_bytes(rand::random()));
        self.uses.bind(id, &once, ends, now).await
    }

    /// The identity provider with this label.
    pub(crate) fn saml_issuer(&self, label: &str) -> Option<Arc<Issuer>> {
        let registry = self.registry.load();
        registry.by_number.values().find(|i| i.saml.is_some() && i.config.label == label).cloned()
    }

    /// The identity providers, by label.
    pub(crate) fn saml_issuers(&self) -> Vec<SamlIssuer> {
        let registry = self.registry.load();
        let all = registry.by_number.values().filter(|i| i.saml.is_some()).map(|i| &i.config);
        let mut all: Vec<SamlIssuer> =
            all.map(|c| SamlIssuer { label: c.label.clone(), entity_id: c.issuer.clone() }).collect();
        all.sort_by(|a, b| a.label.cmp(&b.label));
        all
    }

    /// Binds a token to a word that nothing can present: it is good no more.
    pub(crate) async fn spoil(&self, id: &str, ends: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        self.uses.bind(id, "spoilt", ends, now).await
    }

    /// Forgets uses that are over.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        self.uses.sweep(now).await
    }

    /// Whether the issuers, keys and accounts of an identity, and of those who act for it, still stand.
    pub(crate) async fn accounts_stand(&self, identity: &IdentityParts, now: Timestamp) -> Result<(), Rejection> {
        let registry = self.registry.load_full();
        let issuer =
            registry.by_url.get(&identity.issuer).ok_or_else(|| Rejection::UnknownIssuer(identity.issuer.clone()))?;
        let IdentityParts { subject, claims, signer, expires_at, .. } = identity;
        let ends = mapping::signed_until(claims, *expires_at);
        issuer.stands(&Credential { subject, claims, signer: signer.as_deref(), ends }, now).await?;
        for Actor { subject, issuer, claims, signer, .. } in &identity.delegation {
            if let Some(issuer) = registry.by_url.get(issuer) {
                let ends = mapping::signed_until(claims, *expires_at);
                issuer.stands(&Credential { subject, claims, signer: signer.as_deref(), ends }, now).await?;
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
        let mut token = parse_unverified(token)?;
        let issuer = registry.issuer_of(&token)?;
        let config = &issuer.config;
        let algorithm = Algorithm::parse(&token.algorithm)
            .filter(|a| config.algorithms.contains(a))
            .ok_or_else(|| Rejection::Algorithm(shown(&token.algorithm)))?;
        let is_svid = issuer.trust_domain.is_some();
        if !is_svid {
            claims::check_type(config, token.token_type.as_deref())?;
        }
        let found = issuer.keys.find(token.key_id.as_deref(), algorithm, now).await?;
        found.key.verify(algorithm, token.signed, token.signature)?;
        let times = if is_svid { check_svid(config, &token, now)? } else { claims::check_claims(config, &token, now)? };
        provision(issuer, &mut token.claims).await?;
        let identity = mapping::identify(config, token.claims, times)?;
        let identity = mapping::signed_by(&identity, found.key.thumbprint.clone());
        Ok((Arc::new(identity), Arc::clone(issuer), found.epoch))
    }

    /// Whether a client certificate names a workload of a configured trust domain. Says nothing of its being good.
    pub(crate) fn recognises_svid(&self, chain: &[Bytes]) -> bool {
        let registry = self.registry.load();
        spiffe::recognises(chain, |domain| registry.by_url.contains_key(domain))
    }

    /// Verifies an X.509-SVID whose key the connection proved, and says who it is.
    pub(crate) async fn verify_svid(&self, chain: &[Bytes], now: Timestamp) -> Result<Identity, Rejection> {
        let now = self.steady(now)?;
        let svid = Svid::read(chain)?;
        let registry = self.registry.load_full();
        let domain = registry.by_url.get(&svid.trust_domain_id);
        let domain = domain.ok_or_else(|| Rejection::UnknownIssuer(shown(&svid.trust_domain_id)))?;
        let verified = domain.keys.ask_bundle(|bundle| svid.verify(bundle, now), now).await;
        let signer = verified.map_err(|rejection| match rejection {
            Rejection::UnknownKey(_) => Rejection::Certificate("no authority of its trust domain signed it"),
            other => other,
        })?;
        self.uses.check_unbound(&svid_id(&svid.trust_domain_id, &svid.serial)).await?;
        Ok(mapping::signed_by(&mapping::of_svid(&domain.config, &svid)?, signer))
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

/// What identifies an X.509-SVID in the ledger.
pub(crate) fn svid_id(trust_domain_id: &str, serial: &str) -> String {
    digest_of(&["svid", trust_domain_id, serial])
}

async fn stands(issuer: &Issuer, identity: &Identity) -> Result<(), Rejection> {
    match &issuer.accounts {
        Some(accounts) => account_stands(accounts.standing(&identity.subject, &identity.claims).await),
        None => Ok(()),
    }
}

fn account_stands(standing: AccountStanding) -> Result<(), Rejection> {
    match standing {
        AccountStanding::Stands => Ok(()),
        AccountStanding::Changed => Err(Rejection::AccountChanged),
        AccountStanding::Ended => Err(Rejection::AccountEnded),
        AccountStanding::Unknown => Err(Rejection::AccountUnknown),
    }
}
