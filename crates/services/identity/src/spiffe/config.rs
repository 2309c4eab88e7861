//! What an operator writes about a trust domain, as the rest of this crate reads it: an issuer whose keys are a bundle.

use std::path::PathBuf;

use countersign_model::IdentityKind;

use super::id::{SCHEME, is_trust_domain};
use crate::check::check_rule;
use crate::config::{
    IssuerConfig, KEYS_AGE_S_MAX, KEYS_REFRESH_S_MIN, LEEWAY_S_MAX, MappingRule, TOKEN_LIFETIME_S_MAX, Unmapped,
};
use crate::keys::Algorithm;
use crate::{FindingLevel, fetch, names};

/// Where a trust domain's bundle is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleSource {
    /// In a file, which may change.
    File(PathBuf),
    /// At an address (the profile `https_web`: the server is known by its certificate).
    Url {
        /// The address.
        url: String,
        /// The only certificate authorities (PEM) to trust for it, instead of the system's.
        ca_file: Option<PathBuf>,
    },
}

/// A trust domain whose workloads are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpiffeConfig {
    /// Its name, such as `example.org`.
    pub trust_domain: String,
    /// What a JWT-SVID's `aud` must contain one of.
    pub audiences: Vec<String>,
    /// Where its bundle is.
    pub bundle: BundleSource,
    /// How old the bundle may be before it is fetched anew, in seconds, where it does not say (`spiffe_refresh_hint`).
    pub bundle_refresh_s: u64,
    /// How long a cached bundle lives on while it cannot be fetched, in seconds; at most [`KEYS_AGE_S_MAX`].
    pub max_bundle_age_s: u64,
    /// True when each JWT-SVID is good for one key only, or for one connection without a key; needs `jti`.
    pub single_use: bool,
    /// True when JWT-SVIDs are taken only with a key.
    pub require_bound: bool,
    /// How much clock difference to forgive in JWT-SVIDs, in seconds; at most [`LEEWAY_S_MAX`].
    pub leeway_s: u64,
    /// The longest life of a JWT-SVID, in seconds.
    pub max_token_lifetime_s: u64,
    /// Put before the path where no mapping gives a name; the trust domain unless it is set.
    pub name_prefix: Option<String>,
    /// What becomes of a workload that no mapping fits; `refuse` where there are mappings, else `accept`.
    pub unmapped: Option<Unmapped>,
    /// Rules from claims (`sub`, `spiffe_path`, what else a JWT-SVID has) to name, groups and kind.
    pub mapping: Vec<MappingRule>,
}

impl SpiffeConfig {
    /// A trust domain with every default.
    pub fn new(trust_domain: &str, audiences: &[&str], bundle: BundleSource) -> Self {
        Self {
            trust_domain: trust_domain.to_owned(),
            audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
            bundle,
            bundle_refresh_s: 300,
            max_bundle_age_s: 86_400,
            single_use: false,
            require_bound: false,
            leeway_s: 30,
            max_token_lifetime_s: 3600,
            name_prefix: None,
            unmapped: None,
            mapping: Vec::new(),
        }
    }

    /// The same as an issuer.
    pub(crate) fn issuer(&self) -> IssuerConfig {
        let mut c = IssuerConfig::new(&self.trust_domain, &format!("{SCHEME}{}", self.trust_domain), &[]);
        c.audiences.clone_from(&self.audiences);
        c.algorithms = ALGORITHMS.to_vec();
        c.single_use = self.single_use;
        c.require_bound = self.require_bound;
        c.leeway_s = self.leeway_s;
        c.max_token_lifetime_s = self.max_token_lifetime_s;
        c.keys_refresh_s = self.bundle_refresh_s;
        c.max_keys_age_s = self.max_bundle_age_s;
        c.kind = IdentityKind::Machine;
        c.name_claim = "spiffe_path".to_owned();
        c.name_prefix = self.name_prefix.clone().unwrap_or_else(|| self.trust_domain.clone());
        c.unmapped = self.unmapped;
        c.mapping.clone_from(&self.mapping);
        c
    }

    /// What is wrong with it: the level, the field and what to do.
    pub fn findings(&self) -> Vec<(FindingLevel, String, String)> {
        use FindingLevel::Error;
        let mut found = Vec::new();
        let mut say = |level: FindingLevel, field: &str, message: String| {
            found.push((level, field.to_owned(), message));
        };
        if !is_trust_domain(&self.trust_domain) {
            say(Error, "trust_domain", "must be 1 to 255 of a-z, 0-9, dot, dash and underscore".to_owned());
        }
        if self.audiences.is_empty() || self.audiences.iter().any(|a| names::check_identifier(a, 1024).is_err()) {
            say(Error, "audiences", "needs at least one audience, or JWT-SVIDs for any service would do".to_owned());
        }
        if let BundleSource::Url { url, .. } = &self.bundle
            && let Err(why) = fetch::check_url(url)
        {
            say(Error, "bundle_url", why);
        }
        for (field, value, low, high) in [
            ("leeway_s", self.leeway_s, 0, LEEWAY_S_MAX),
            ("max_token_lifetime_s", self.max_token_lifetime_s, 1, TOKEN_LIFETIME_S_MAX),
            ("bundle_refresh_s", self.bundle_refresh_s, KEYS_REFRESH_S_MIN, self.max_bundle_age_s),
            ("max_bundle_age_s", self.max_bundle_age_s, KEYS_REFRESH_S_MIN, KEYS_AGE_S_MAX),
        ] {
            if !(low..=high).contains(&value) {
                say(Error, field, format!("is {value}; it must be between {low} and {high}"));
            }
        }
        if let Some(prefix) = &self.name_prefix
            && names::check_name(&format!("{prefix}/x")).is_err()
        {
            say(Error, "name_prefix", "has characters that a name cannot have".to_owned());
        }
        for (n, rule) in self.mapping.iter().enumerate() {
            check_rule(n, rule, &mut say);
        }
        found
    }
}

/// JWT-SVID, 2.1.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::ES512,
];
