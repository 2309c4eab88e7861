//! What an operator writes about an issuer, and what is wrong with it.
//!
//! Findings come all at once. Must never hold a secret: an issuer's keys are public.

use std::collections::BTreeMap;
use std::path::PathBuf;

use countersign_model::IdentityKind;
use serde::{Deserialize, Serialize};

use crate::keys::Algorithm;

/// The most clock difference that is forgiven, in seconds.
pub const LEEWAY_S_MAX: u64 = 60;
/// The longest life of a token that may be allowed, in seconds (7 days).
pub const TOKEN_LIFETIME_S_MAX: u64 = 7 * 86_400;
/// How long cached keys may live on at most while the issuer is down, in seconds (7 days).
pub const KEYS_AGE_S_MAX: u64 = 7 * 86_400;
/// The shortest time between two refreshes of an issuer's keys, in seconds.
pub const KEYS_REFRESH_S_MIN: u64 = 10;

/// One issuer of tokens, as configured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// A short word of your own for it, such as `corp`; the default prefix of its groups.
    pub label: String,
    /// Its URL, exactly as in the tokens' `iss`.
    pub issuer: String,
    /// What `aud` must contain one of.
    pub audiences: Vec<String>,
    /// Which signature algorithms are accepted.
    #[serde(default = "default_algorithms")]
    pub algorithms: Vec<Algorithm>,
    /// Where its keys are, instead of by discovery.
    #[serde(default)]
    pub jwks_uri: Option<String>,
    /// Its keys in a file, instead of over the network; the file may change.
    #[serde(default)]
    pub jwks_file: Option<PathBuf>,
    /// Its keys, written out (JSON).
    #[serde(default)]
    pub jwks: Option<String>,
    /// The only certificate authorities (PEM) to trust for it, instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// Which `typ` header values are accepted, compared without case and without `application/`; an empty string stands for a missing one.
    #[serde(default = "default_types")]
    pub types: Vec<String>,
    /// True when its ID tokens are accepted like access tokens.
    #[serde(default)]
    pub accept_id_tokens: bool,
    /// Which clients (`azp`, else `client_id`) its tokens may have been issued to; empty for any.
    #[serde(default)]
    pub authorized_parties: Vec<String>,
    /// True when each of its tokens is good for one key only, or for one connection without a key; needs `jti`.
    #[serde(default)]
    pub single_use: bool,
    /// True when its tokens are taken only with a key: exchanged for a certificate, or bound to one.
    #[serde(default)]
    pub require_bound: bool,
    /// How much clock difference to forgive, in seconds; at most [`LEEWAY_S_MAX`].
    #[serde(default = "default_leeway_s")]
    pub leeway_s: u64,
    /// The longest life of its tokens (`exp` less `iat`), in seconds; at most [`TOKEN_LIFETIME_S_MAX`].
    #[serde(default = "default_token_lifetime_s")]
    pub max_token_lifetime_s: u64,
    /// How old its keys may be before they are fetched anew, ahead of need, in seconds.
    #[serde(default = "default_keys_refresh_s")]
    pub keys_refresh_s: u64,
    /// How long its cached keys live on while it cannot be reached, in seconds; at most [`KEYS_AGE_S_MAX`].
    #[serde(default = "default_keys_age_s")]
    pub max_keys_age_s: u64,
    /// The claim that is the name, where no mapping gives one: its name, or a JSON pointer such as `/user/name`.
    #[serde(default = "default_name_claim")]
    pub name_claim: String,
    /// Put before names taken from a claim.
    #[serde(default)]
    pub name_prefix: String,
    /// The claim that lists groups: its name, or a JSON pointer such as `/realm_access/roles`.
    #[serde(default)]
    pub groups_claim: Option<String>,
    /// Put before groups taken from a claim; the label and a colon unless it is set.
    #[serde(default)]
    pub groups_prefix: Option<String>,
    /// What its identities are, unless a mapping or `kind_claim` says otherwise.
    #[serde(default = "default_kind")]
    pub kind: IdentityKind,
    /// A claim that says `human`, `machine` or `agent`.
    #[serde(default)]
    pub kind_claim: Option<String>,
    /// What becomes of a token that no mapping fits; `refuse` where there are mappings, else `accept`.
    #[serde(default)]
    pub unmapped: Option<Unmapped>,
    /// The cluster that is asked about its tokens besides, for service-account tokens.
    #[serde(default)]
    pub token_review: Option<TokenReviewConfig>,
    /// Rules from claims to name, groups and kind. The groups of all that fit are joined; name and kind come from the first that fits.
    #[serde(default)]
    pub mapping: Vec<MappingRule>,
}

/// A Kubernetes cluster that is asked whether it still stands behind its tokens (`authentication.k8s.io/v1`, TokenReview).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenReviewConfig {
    /// The address of its API server.
    pub url: String,
    /// The only certificate authorities (PEM) to trust for it, instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The token with which the gateway asks, in a file that may change. Its account may create `tokenreviews`, no more.
    pub token_file: PathBuf,
    /// What becomes of a token while the cluster cannot be reached.
    #[serde(default)]
    pub on_unreachable: OnUnreachable,
}

/// What becomes of a token while the cluster cannot be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnreachable {
    /// It is refused.
    #[default]
    Refuse,
    /// It is accepted by its signature alone.
    Accept,
}

/// What becomes of a token that no mapping fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unmapped {
    /// It is refused.
    Refuse,
    /// It is accepted with its claims' name and groups.
    Accept,
}

/// A rule from claims to an identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MappingRule {
    /// All of these claims must be there and equal; a list means any of its values.
    pub when: BTreeMap<String, ClaimMatch>,
    /// The identity's name.
    #[serde(default)]
    pub name: Option<String>,
    /// Groups to be in. They take no prefix.
    #[serde(default)]
    pub groups: Vec<String>,
    /// What the identity is.
    #[serde(default)]
    pub kind: Option<IdentityKind>,
}

/// What a claim must be equal to, in type and value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ClaimMatch {
    /// This text.
    Text(String),
    /// This truth value.
    Bool(bool),
    /// This whole number.
    Integer(i64),
    /// One of these texts.
    AnyOf(Vec<String>),
}

fn default_algorithms() -> Vec<Algorithm> {
    vec![Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA]
}

fn default_types() -> Vec<String> {
    vec!["at+jwt".to_owned(), "JWT".to_owned()]
}

const fn default_leeway_s() -> u64 {
    30
}

const fn default_token_lifetime_s() -> u64 {
    86_400
}

const fn default_keys_refresh_s() -> u64 {
    300
}

const fn default_keys_age_s() -> u64 {
    86_400
}

fn default_name_claim() -> String {
    "sub".to_owned()
}

const fn default_kind() -> IdentityKind {
    IdentityKind::Human
}

impl IssuerConfig {
    /// An issuer with every default.
    pub fn new(label: &str, issuer: &str, audiences: &[&str]) -> Self {
        Self {
            label: label.to_owned(),
            issuer: issuer.to_owned(),
            audiences: audiences.iter().map(|a| (*a).to_owned()).collect(),
            algorithms: default_algorithms(),
            jwks_uri: None,
            jwks_file: None,
            jwks: None,
            ca_file: None,
            types: default_types(),
            accept_id_tokens: false,
            authorized_parties: Vec::new(),
            single_use: false,
            require_bound: false,
            leeway_s: default_leeway_s(),
            max_token_lifetime_s: default_token_lifetime_s(),
            keys_refresh_s: default_keys_refresh_s(),
            max_keys_age_s: default_keys_age_s(),
            name_claim: default_name_claim(),
            name_prefix: String::new(),
            groups_claim: None,
            groups_prefix: None,
            kind: default_kind(),
            kind_claim: None,
            unmapped: None,
            token_review: None,
            mapping: Vec::new(),
        }
    }

    /// What is put before groups taken from a claim.
    pub fn effective_groups_prefix(&self) -> String {
        self.groups_prefix.clone().unwrap_or_else(|| format!("{}:", self.label))
    }

    /// What becomes of a token that no mapping fits.
    pub fn effective_unmapped(&self) -> Unmapped {
        self.unmapped.unwrap_or(if self.mapping.is_empty() { Unmapped::Accept } else { Unmapped::Refuse })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_written_issuer_reads_back_and_defaults_are_the_same_both_ways() {
        let minimal: IssuerConfig =
            toml::from_str("label = 'corp'\nissuer = 'https://id.example'\naudiences = ['gw']").unwrap();
        assert_eq!(minimal, IssuerConfig::new("corp", "https://id.example", &["gw"]));
        let full: IssuerConfig = toml::from_str(
            r#"
            label = "ci"
            issuer = "https://token.actions.githubusercontent.com"
            audiences = ["countersign"]
            algorithms = ["RS256"]
            kind = "machine"
            [[mapping]]
            when = { repository_id = "74", environment = ["prod", "staging"], admin = true, n = 3 }
            name = "ci-deploy"
            groups = ["ci-deployers"]
            kind = "machine"
            "#,
        )
        .unwrap();
        assert_eq!(full.mapping[0].when["n"], ClaimMatch::Integer(3));
        assert_eq!(full.effective_unmapped(), Unmapped::Refuse);
        for bad in ["algorithms = ['HS256']", "algorithms = ['none']", "lee_way = 3", "kind = 'robot'"] {
            let text = format!("label='x'\nissuer='https://id.example'\naudiences=['gw']\n{bad}");
            assert!(toml::from_str::<IssuerConfig>(&text).is_err(), "{bad}");
        }
    }
}
