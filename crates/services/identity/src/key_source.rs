//! Where the keys of an issuer or a trust domain come from, and the cache in between.
//!
//! A cache that is young enough is used while it is refreshed; one that is too old is not used at all, so that nothing fails open. Must
//! never fetch more often than its limits allow, whatever tokens come in.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use countersign_model::Timestamp;
use parking_lot::Mutex;

use crate::Rejection;
use crate::config::{IssuerConfig, KEYS_REFRESH_S_MIN};
use crate::departed::Departed;
use crate::fetch::{self, Fetcher};
use crate::keys::{Algorithm, JWKS_BYTES_MAX, Key, KeySet, NoKey};
use crate::saml::{Metadata, MetadataSource, Terms};
use crate::spiffe::{Bundle, BundleSource};

/// A token with a `kid` that the cache does not have leads to at most one fetch in this time, in seconds.
pub(crate) const UNKNOWN_KID_INTERVAL_S: u64 = 10;
/// After a failed fetch the next one waits this long, in seconds; twice as long after each further failure.
pub(crate) const RETRY_S_MIN: u64 = 1;
/// The longest wait after failed fetches, in seconds.
pub(crate) const RETRY_S_MAX: u64 = 60;
/// A document that asks to be fetched more rarely is fetched after this time, in seconds.
pub(crate) const REFRESH_S_MAX: u64 = 3600;

/// Keys that another part of this process changes: the local issuer's.
#[derive(Clone, Debug)]
pub struct SharedKeys {
    keys: Arc<ArcSwap<KeySet>>,
    epoch: Arc<AtomicU64>,
}

impl SharedKeys {
    /// Begins with a set.
    pub fn new(keys: KeySet) -> Self {
        Self { keys: Arc::new(ArcSwap::from_pointee(keys)), epoch: Arc::new(AtomicU64::new(1)) }
    }

    /// Puts another set in its place. Tokens verified with the old one are verified again.
    pub fn replace(&self, keys: KeySet) {
        self.keys.store(Arc::new(keys));
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }
}

/// Where keys come from.
#[derive(Debug)]
pub(crate) enum KeySource {
    /// They never change.
    Fixed(KeySet),
    /// Another part of this process has them.
    Shared(SharedKeys),
    /// They are fetched and cached.
    Cached(Arc<Cache<KeySet>>),
    /// A trust domain's, fetched and cached.
    Bundle(Arc<Cache<Bundle>>),
    /// An identity provider's, in its metadata, fetched and cached.
    Metadata(Arc<Cache<Metadata>>),
}

/// What is fetched and cached.
pub(crate) trait Document: Sized + Send + Sync + 'static {
    /// What a document must fit besides.
    type Terms: Clone + std::fmt::Debug + Send + Sync + 'static;
    /// Reads it.
    fn parse(bytes: &[u8], terms: &Self::Terms) -> Result<Self, String>;
    /// Tells versions apart.
    fn digest(&self) -> &[u8; 32];
    /// How many keys it has.
    fn keys(&self) -> usize;
    /// The thumbprints of those that sign credentials.
    fn signers(&self) -> impl Iterator<Item = &str>;
    /// After how many seconds it asks to be fetched anew.
    fn refresh_s(&self) -> Option<u64>;
}

impl Document for KeySet {
    type Terms = ();

    fn parse(bytes: &[u8], (): &()) -> Result<Self, String> {
        Self::parse(bytes)
    }

    fn digest(&self) -> &[u8; 32] {
        self.digest()
    }

    fn keys(&self) -> usize {
        self.len()
    }

    fn signers(&self) -> impl Iterator<Item = &str> {
        self.thumbprints()
    }

    fn refresh_s(&self) -> Option<u64> {
        None
    }
}

/// A key, and the version of the set it was in.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) key: Arc<Key>,
    pub(crate) epoch: u64,
}

impl KeySource {
    /// As configured.
    pub(crate) fn new(c: &IssuerConfig, shared: Option<SharedKeys>) -> Result<Self, String> {
        if let Some(shared) = shared {
            return Ok(Self::Shared(shared));
        }
        if let Some(text) = &c.jwks {
            return KeySet::parse(text.as_bytes()).map(Self::Fixed);
        }
        let origin = match (&c.jwks_file, &c.jwks_uri) {
            (Some(path), _) => Origin::File(path.clone()),
            (None, uri) => {
                Origin::Net { fetcher: Fetcher::new(&c.issuer, c.ca_file.as_deref())?, jwks_uri: uri.clone() }
            }
        };
        Ok(Self::Cached(Arc::new(Cache::new(c, origin, ()))))
    }

    /// A trust domain's bundle.
    pub(crate) fn of_bundle(c: &IssuerConfig, source: &BundleSource) -> Result<Self, String> {
        let origin = match source {
            BundleSource::File(path) => Origin::File(path.clone()),
            BundleSource::Url { url, ca_file } => {
                Origin::Net { fetcher: Fetcher::new(url, ca_file.as_deref())?, jwks_uri: Some(url.clone()) }
            }
        };
        Ok(Self::Bundle(Arc::new(Cache::new(c, origin, ()))))
    }

    /// An identity provider's metadata.
    pub(crate) fn of_metadata(c: &IssuerConfig, source: &MetadataSource, terms: Terms) -> Result<Self, String> {
        let origin = match source {
            MetadataSource::File(path) => Origin::File(path.clone()),
            MetadataSource::Url { url, ca_file } => {
                Origin::Net { fetcher: Fetcher::new(url, ca_file.as_deref())?, jwks_uri: Some(url.clone()) }
            }
        };
        Ok(Self::Metadata(Arc::new(Cache::new(c, origin, terms))))
    }

    /// Asks the metadata of an identity provider; once more when it was renewed because nothing known was the right one.
    pub(crate) async fn ask_metadata<T>(
        &self,
        ask: impl Fn(&Metadata) -> Result<T, NoKey>,
        now: Timestamp,
    ) -> Result<T, Rejection> {
        match self {
            Self::Metadata(cache) => cache.find(ask, now).await.map(|(found, _)| found),
            _ => Err(Rejection::UnknownKey("it has no metadata")),
        }
    }

    /// Asks the authorities of a trust domain; once more when they were renewed because none of those known was the one.
    pub(crate) async fn ask_bundle<T>(
        &self,
        ask: impl Fn(&Bundle) -> Result<T, NoKey>,
        now: Timestamp,
    ) -> Result<T, Rejection> {
        match self {
            Self::Bundle(cache) => cache.find(ask, now).await.map(|(found, _)| found),
            _ => Err(Rejection::UnknownKey("it has no bundle")),
        }
    }

    /// The key for a token.
    pub(crate) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<Found, Rejection> {
        let found = |f: Result<(Arc<Key>, u64), Rejection>| f.map(|(key, epoch)| Found { key, epoch });
        let (key, epoch) = match self {
            Self::Fixed(keys) => (keys.find(kid, algorithm), 0),
            Self::Shared(shared) => {
                // The epoch is read first: a set that changes in between makes the outcome stale, never fresh.
                let epoch = shared.epoch.load(Ordering::Acquire);
                (shared.keys.load().find(kid, algorithm), epoch)
            }
            Self::Cached(cache) => return found(cache.find(|k| k.find(kid, algorithm), now).await),
            Self::Bundle(cache) => return found(cache.find(|b| b.tokens.find(kid, algorithm), now).await),
            Self::Metadata(_) => return Err(Rejection::UnknownKey("it signs assertions, not tokens")),
        };
        found(key.map(|key| (key, epoch)).map_err(refuse))
    }

    /// Whether a key was taken away before what it signed had ended (`ends`). A key that is taken away later was rotated, and what came of
    /// its tokens does not depend on it any more. While nothing is known of the issuer's keys, nothing is revoked.
    pub(crate) fn is_revoked(&self, signer: &str, ends: Timestamp, now: Timestamp) -> bool {
        let has = |keys: &KeySet| keys.thumbprints().any(|t| t == signer);
        match self {
            Self::Fixed(keys) => !has(keys) && now < ends,
            Self::Shared(shared) => !has(&shared.keys.load()) && now < ends,
            Self::Cached(cache) => cache.is_revoked(signer, ends, now),
            Self::Bundle(cache) => cache.is_revoked(signer, ends, now),
            Self::Metadata(cache) => cache.is_revoked(signer, ends, now),
        }
    }

    /// The version of the keys now in force; `None` when there are none that may be used.
    pub(crate) fn epoch(&self, now: Timestamp) -> Option<u64> {
        match self {
            Self::Fixed(_) => Some(0),
            Self::Shared(shared) => Some(shared.epoch.load(Ordering::Acquire)),
            Self::Cached(cache) => cache.epoch(now),
            Self::Bundle(cache) => cache.epoch(now),
            Self::Metadata(cache) => cache.epoch(now),
        }
    }
}

fn refuse(no: NoKey) -> Rejection {
    match no {
        NoKey::Unknown => Rejection::UnknownKey("none has its kid and kind"),
        NoKey::Unfit(rejection) => rejection,
    }
}

#[derive(Debug)]
enum Origin {
    Net { fetcher: Fetcher, jwks_uri: Option<String> },
    File(PathBuf),
}

/// Keys that were fetched.
#[derive(Debug)]
struct Fetched<D> {
    keys: D,
    at: Timestamp,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Attempts {
    last: Option<Timestamp>,
    failures: u32,
    fault: Option<String>,
}

/// Why a fetch is wanted: it decides how long to wait since the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    /// There are no keys, or they are getting old.
    Keys,
    /// A token has a `kid` that the set lacks.
    UnknownKid,
}

/// The cache of the keys of one issuer or trust domain.
#[derive(Debug)]
pub(crate) struct Cache<D: Document> {
    issuer: String,
    label: String,
    origin: Origin,
    terms: D::Terms,
    refresh_us: u64,
    age_us_max: u64,
    current: ArcSwapOption<Fetched<D>>,
    departed: Departed,
    attempts: Mutex<Attempts>,
    refreshing: AtomicBool,
    flight: tokio::sync::Mutex<()>,
}

impl<D: Document> Cache<D> {
    fn new(c: &IssuerConfig, origin: Origin, terms: D::Terms) -> Self {
        Self {
            issuer: c.issuer.clone(),
            label: c.label.clone(),
            origin,
            terms,
            refresh_us: c.keys_refresh_s.saturating_mul(1_000_000),
            age_us_max: c.max_keys_age_s.saturating_mul(1_000_000),
            current: ArcSwapOption::empty(),
            departed: Departed::default(),
            attempts: Mutex::default(),
            refreshing: AtomicBool::new(false),
            flight: tokio::sync::Mutex::new(()),
        }
    }

    /// What `pick` finds in the keys, and their epoch. Where a fresher set might have it, one is fetched as often as the limits allow.
    async fn find<T>(
        self: &Arc<Self>,
        pick: impl Fn(&D) -> Result<T, NoKey>,
        now: Timestamp,
    ) -> Result<(T, u64), Rejection> {
        let fetched = match self.live(now) {
            Some(fetched) => fetched,
            None => {
                let too_old = self.current.load().as_ref().map(|f| f.at);
                self.fetch(too_old, Want::Keys, now).await;
                self.live(now).ok_or_else(|| self.unavailable())?
            }
        };
        let pick = |f: &Fetched<D>| pick(&f.keys).map(|found| (found, f.epoch));
        match pick(&fetched) {
            Err(NoKey::Unknown) => {
                self.fetch(Some(fetched.at), Want::UnknownKid, now).await;
                pick(&*self.live(now).ok_or_else(|| self.unavailable())?).map_err(refuse)
            }
            other => other.map_err(refuse),
        }
    }

    fn epoch(self: &Arc<Self>, now: Timestamp) -> Option<u64> {
        self.live(now).map(|f| f.epoch)
    }

    /// The cached keys while they may be used; starts a refresh when they are getting old.
    fn live(self: &Arc<Self>, now: Timestamp) -> Option<Arc<Fetched<D>>> {
        let fetched = self.current.load_full()?;
        self.keep_fresh(Some(&fetched), now);
        (now.since_us(fetched.at) < self.age_us_max).then_some(fetched)
    }

    /// Starts a fetch when there are no keys, or when they are getting old; nobody waits for it.
    fn keep_fresh(self: &Arc<Self>, fetched: Option<&Fetched<D>>, now: Timestamp) {
        let due = fetched.is_none_or(|f| {
            let asked_for =
                f.keys.refresh_s().map(|s| s.clamp(KEYS_REFRESH_S_MIN, REFRESH_S_MAX).saturating_mul(1_000_000));
            now.since_us(f.at) >= asked_for.unwrap_or(self.refresh_us)
        });
        if due
            && self.may_fetch(Want::Keys, now)
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
            && !self.refreshing.swap(true, Ordering::AcqRel)
        {
            let cache = Arc::clone(self);
            let seen = fetched.map(|f| f.at);
            runtime.spawn(async move {
                cache.fetch(seen, Want::Keys, now).await;
                cache.refreshing.store(false, Ordering::Release);
            });
        }
    }

    /// See [`KeySource::is_revoked`]. Between two fetches it cannot be told when a key went; then it went early.
    fn is_revoked(self: &Arc<Self>, signer: &str, ends: Timestamp, now: Timestamp) -> bool {
        let fetched = self.current.load_full();
        self.keep_fresh(fetched.as_deref(), now);
        let Some(fetched) = fetched.filter(|f| f.keys.signers().all(|s| s != signer)) else { return false };
        // When it went before this process first asked, it was gone when these were fetched.
        self.departed.until(signer, fetched.at) < ends
    }

    /// Remembers which keys are not in the new set any more.
    fn compare(&self, before: &Fetched<D>, after: &D) {
        let is_there = |signer: &str| after.signers().any(|s| s == signer);
        let gone = before.keys.signers().filter(|s| !is_there(s));
        let gone = gone.inspect(|key| tracing::info!(issuer = %self.label, key, "a key of an issuer was taken away"));
        self.departed.note(gone, before.at, is_there);
    }

    fn unavailable(&self) -> Rejection {
        let why = self.attempts.lock().fault.clone().unwrap_or_else(|| "they were not fetched yet".to_owned());
        Rejection::KeysUnavailable { issuer: self.issuer.clone(), why }
    }

    fn may_fetch(&self, want: Want, now: Timestamp) -> bool {
        let attempts = self.attempts.lock();
        let Some(last) = attempts.last else { return true };
        let retry_s =
            RETRY_S_MIN.checked_shl(attempts.failures.saturating_sub(1)).unwrap_or(RETRY_S_MAX).min(RETRY_S_MAX);
        let wait_s = match (want, attempts.failures) {
            (Want::Keys, 0) => 0,
            (Want::Keys, _) => retry_s,
            (Want::UnknownKid, 0) => UNKNOWN_KID_INTERVAL_S,
            (Want::UnknownKid, _) => retry_s.max(UNKNOWN_KID_INTERVAL_S),
        };
        now.since_us(last) >= wait_s.saturating_mul(1_000_000)
    }

    /// Fetches once for all who wait, unless somebody already did since `seen`, or the limits say no.
    async fn fetch(&self, seen: Option<Timestamp>, want: Want, now: Timestamp) {
        let _flight = self.flight.lock().await;
        let current = self.current.load_full();
        if current.as_ref().map(|f| f.at) > seen || !self.may_fetch(want, now) {
            return;
        }
        self.attempts.lock().last = Some(now);
        match self.read().await {
            Ok(keys) => {
                let changed = current.as_ref().is_none_or(|c| c.keys.digest() != keys.digest());
                let epoch = current.as_ref().map_or(0, |c| c.epoch).saturating_add(u64::from(changed));
                if changed {
                    tracing::info!(issuer = %self.label, keys = keys.keys(), epoch, "new keys of an issuer");
                    if let Some(before) = &current {
                        self.compare(before, &keys);
                    }
                }
                self.current.store(Some(Arc::new(Fetched { keys, at: now, epoch })));
                *self.attempts.lock() = Attempts { last: Some(now), failures: 0, fault: None };
            }
            Err(fault) => {
                tracing::warn!(issuer = %self.label, %fault, "an issuer's keys could not be fetched");
                let mut attempts = self.attempts.lock();
                attempts.failures = attempts.failures.saturating_add(1);
                attempts.fault = Some(fault);
            }
        }
    }

    async fn read(&self) -> Result<D, String> {
        match &self.origin {
            Origin::Net { fetcher, jwks_uri } => {
                let uri = match jwks_uri {
                    Some(uri) => uri.clone(),
                    None => fetcher.discover(&self.issuer).await?,
                };
                let bytes = fetcher.get(&uri, JWKS_BYTES_MAX).await?;
                D::parse(&bytes, &self.terms).map_err(|e| format!("{uri}: {e}"))
            }
            Origin::File(path) => {
                let (path, terms) = (path.clone(), self.terms.clone());
                let read = move || {
                    let bytes = fetch::read_file(&path, JWKS_BYTES_MAX)?;
                    D::parse(&bytes, &terms).map_err(|e| format!("{}: {e}", path.display()))
                };
                tokio::task::spawn_blocking(read).await.map_err(|e| e.to_string())?
            }
        }
    }
}
