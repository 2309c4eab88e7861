//! Findings about configured issuers: what cannot work, and what works but invites a thief.
//!
//! Every finding at once, each with its field and what to do. Must never touch the network or a file.

use std::collections::BTreeSet;

use countersign_model::lasting_claims;

use crate::config::{
    IssuerConfig, KEYS_AGE_S_MAX, KEYS_REFRESH_S_MIN, LEEWAY_S_MAX, MappingRule, TOKEN_LIFETIME_S_MAX, Unmapped,
};
use crate::fetch;
use crate::keys::KeySet;
use crate::names;

/// How grave a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FindingLevel {
    /// It works, but somebody should think again.
    Warning,
    /// It cannot be used.
    Error,
}

/// Something to be said about a configured issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How grave.
    pub level: FindingLevel,
    /// Which issuer, counted from 0.
    pub issuer: usize,
    /// The field, such as `audiences` or `mapping[2].when`.
    pub field: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Issuers that give tokens to anybody in the world who asks.
const OPEN_TO_ALL: [&str; 4] = [
    "https://token.actions.githubusercontent.com",
    "https://gitlab.com",
    "https://accounts.google.com",
    "https://agent.buildkite.com",
];

/// Looks at all issuers together. No finding of level error means that they can be used.
pub fn check(issuers: &[IssuerConfig]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (i, issuer) in issuers.iter().enumerate() {
        let mut say = |level: FindingLevel, field: &str, message: String| {
            findings.push(Finding { level, issuer: i, field: field.to_owned(), message });
        };
        check_one(issuer, &mut say);
    }
    check_together(issuers, &mut findings);
    findings
}

fn check_one(c: &IssuerConfig, say: &mut dyn FnMut(FindingLevel, &str, String)) {
    use FindingLevel::{Error, Warning};
    if names::check_name(&c.label).is_err() || c.label.contains(char::is_whitespace) {
        say(Error, "label", "must be a short word of your own for this issuer, such as \"corp\"".to_owned());
    }
    if let Err(why) = fetch::check_url(&c.issuer).and_then(no_query) {
        say(Error, "issuer", format!("{why}: write it exactly as in the tokens' \"iss\""));
    }
    if c.audiences.is_empty() || c.audiences.iter().any(|a| names::check_identifier(a, 1024).is_err()) {
        let what = "needs at least one audience, or any token of this issuer for any service would be accepted";
        say(Error, "audiences", what.to_owned());
    }
    if c.algorithms.is_empty() {
        say(Error, "algorithms", "needs at least one, such as \"RS256\"".to_owned());
    }
    check_keys(c, say);
    if let Some(review) = &c.token_review
        && let Err(why) = fetch::check_url(&review.url)
    {
        say(Error, "token_review.url", why);
    }
    if c.types.is_empty() {
        say(Error, "types", "needs at least one; an empty string stands for tokens without a typ".to_owned());
    }
    if c.accept_id_tokens {
        let what = "ID tokens are made for the application that logs a person in, not for other services: anyone that \
                    application can be made to forward them";
        say(Warning, "accept_id_tokens", what.to_owned());
    }
    for (field, value, low, high) in [
        ("leeway_s", c.leeway_s, 0, LEEWAY_S_MAX),
        ("max_token_lifetime_s", c.max_token_lifetime_s, 1, TOKEN_LIFETIME_S_MAX),
        ("keys_refresh_s", c.keys_refresh_s, KEYS_REFRESH_S_MIN, c.max_keys_age_s),
        ("max_keys_age_s", c.max_keys_age_s, KEYS_REFRESH_S_MIN, KEYS_AGE_S_MAX),
    ] {
        if !(low..=high).contains(&value) {
            say(Error, field, format!("is {value}; it must be between {low} and {high}"));
        }
    }
    for (field, prefix) in [("name_prefix", &c.name_prefix), ("groups_prefix", &c.effective_groups_prefix())] {
        if !prefix.is_empty() && names::check_name(&format!("{prefix}x")).is_err() {
            say(Error, field, "has characters that a name cannot have".to_owned());
        }
    }
    for (n, rule) in c.mapping.iter().enumerate() {
        check_rule(n, rule, say);
    }
    let open = OPEN_TO_ALL.iter().any(|o| *o == c.issuer.trim_end_matches('/'))
        || (c.issuer.starts_with("https://login.microsoftonline.com/") && c.issuer.contains("/common"));
    if open && c.effective_unmapped() == Unmapped::Accept {
        let what = "anyone can get a token of this issuer: write mappings for those you mean, and leave \"unmapped\" at \"refuse\"";
        say(Error, "unmapped", what.to_owned());
    }
}

fn no_query(url: reqwest::Url) -> Result<(), String> {
    if url.query().is_some() { Err(format!("\"{url}\" must have no query")) } else { Ok(()) }
}

fn check_keys(c: &IssuerConfig, say: &mut dyn FnMut(FindingLevel, &str, String)) {
    use FindingLevel::Error;
    let ways = [c.jwks_uri.is_some(), c.jwks_file.is_some(), c.jwks.is_some()];
    if ways.into_iter().filter(|w| *w).count() > 1 {
        say(Error, "jwks_uri", "give one of jwks_uri, jwks_file and jwks, or none for discovery".to_owned());
    }
    if let Some(Err(why)) = c.jwks_uri.as_deref().map(fetch::check_url) {
        say(Error, "jwks_uri", why);
    }
    if let Some(Err(why)) = c.jwks.as_ref().map(|text| KeySet::parse(text.as_bytes())) {
        say(Error, "jwks", why);
    }
}

/// A mapping's faults.
pub(crate) fn check_rule(n: usize, rule: &MappingRule, say: &mut dyn FnMut(FindingLevel, &str, String)) {
    use FindingLevel::{Error, Warning};
    let when = format!("mapping[{n}].when");
    if rule.when.is_empty() {
        say(Error, &when, "names no claim, so that it would fit everybody".to_owned());
    }
    for (claim, matched) in &rule.when {
        let value = if let crate::ClaimMatch::Text(text) = matched { text.as_str() } else { "" };
        let Some(lasting) = lasting_claims(claim, value) else { continue };
        if !lasting.iter().any(|l| rule.when.contains_key(*l)) {
            let what = format!(
                "\"{claim}\" can be renamed, freed and taken by somebody else: also match \"{}\", which stays",
                lasting.first().copied().unwrap_or_default()
            );
            say(Warning, &when, what);
        }
    }
    let bad = |name: &str| names::check_name(name).err();
    if let Some(fault) = rule.name.as_deref().and_then(bad) {
        say(Error, &format!("mapping[{n}].name"), format!("the name {}", fault.as_str()));
    }
    for group in &rule.groups {
        if let Some(fault) = bad(group) {
            say(Error, &format!("mapping[{n}].groups"), format!("a group's name {}", fault.as_str()));
        }
    }
}

fn check_together(issuers: &[IssuerConfig], findings: &mut Vec<Finding>) {
    let mut say = |level, issuer, field: &str, message: String| {
        findings.push(Finding { level, issuer, field: field.to_owned(), message });
    };
    let (mut urls, mut labels) = (BTreeSet::new(), BTreeSet::new());
    for (i, c) in issuers.iter().enumerate() {
        if !urls.insert(c.issuer.as_str()) {
            say(FindingLevel::Error, i, "issuer", "another issuer has the same URL: join the two".to_owned());
        }
        if !labels.insert(c.label.to_ascii_lowercase()) {
            say(FindingLevel::Error, i, "label", "another issuer has the same label".to_owned());
        }
        for (j, other) in issuers.iter().enumerate() {
            if i == j {
                continue;
            }
            let (mine, theirs) = (c.effective_groups_prefix(), other.effective_groups_prefix());
            // An equal pair is told of once.
            let overlaps = theirs.starts_with(&mine) && (mine != theirs || i < j);
            if c.groups_claim.is_some() && other.groups_claim.is_some() && overlaps {
                let what = format!(
                    "can claim the groups of issuer \"{}\" (\"{theirs}…\"): give each its own prefix",
                    other.label
                );
                say(FindingLevel::Warning, i, "groups_prefix", what);
            }
            if from_claims(c) && from_claims(other) && i < j && c.name_prefix == other.name_prefix {
                let what =
                    format!("issuer \"{}\" can vouch for the same names: give one of them a name_prefix", other.label);
                say(FindingLevel::Warning, i, "name_prefix", what);
            }
        }
    }
}

/// True when names come from the issuer's own claims.
fn from_claims(c: &IssuerConfig) -> bool {
    c.effective_unmapped() == Unmapped::Accept || c.mapping.iter().any(|m| m.name.is_none())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::FindingLevel::{Error, Warning};
    use super::*;
    use crate::ClaimMatch;

    fn rule(claims: &[&str]) -> MappingRule {
        let when = claims.iter().map(|c| ((*c).to_owned(), ClaimMatch::Text("repo:x".to_owned()))).collect();
        MappingRule { when, name: Some("ci".to_owned()), groups: vec!["ci".to_owned()], kind: None }
    }

    #[test]
    fn each_fault_is_found_in_its_field() {
        type Spoil = fn(&mut IssuerConfig);
        let cases: Vec<(Spoil, Option<(FindingLevel, &str)>)> = vec![
            (|_| {}, None),
            (|c| c.issuer = "http://id.example".into(), Some((Error, "issuer"))),
            (|c| c.issuer = "http://127.0.0.1:7001".into(), None),
            (|c| c.issuer = "ftp://id.example".into(), Some((Error, "issuer"))),
            (|c| c.issuer = "https://id.example/?p=1".into(), Some((Error, "issuer"))),
            (|c| c.issuer = "https://u:p@id.example".into(), Some((Error, "issuer"))),
            (|c| c.issuer = "https://token.actions.githubusercontent.com".into(), Some((Error, "unmapped"))),
            (|c| c.audiences.clear(), Some((Error, "audiences"))),
            (|c| c.algorithms.clear(), Some((Error, "algorithms"))),
            (|c| c.leeway_s = LEEWAY_S_MAX, None),
            (|c| c.leeway_s = LEEWAY_S_MAX + 1, Some((Error, "leeway_s"))),
            (|c| c.max_token_lifetime_s = 0, Some((Error, "max_token_lifetime_s"))),
            (|c| c.max_token_lifetime_s = TOKEN_LIFETIME_S_MAX + 1, Some((Error, "max_token_lifetime_s"))),
            (|c| c.max_keys_age_s = KEYS_AGE_S_MAX + 1, Some((Error, "max_keys_age_s"))),
            (|c| c.keys_refresh_s = 1, Some((Error, "keys_refresh_s"))),
            (|c| c.jwks_uri = Some("http://id.example/k".into()), Some((Error, "jwks_uri"))),
            (|c| c.jwks = Some("{}".into()), Some((Error, "jwks"))),
            (|c| c.types.clear(), Some((Error, "types"))),
            (|c| c.accept_id_tokens = true, Some((Warning, "accept_id_tokens"))),
            (|c| c.label = "a b".into(), Some((Error, "label"))),
            (|c| c.groups_prefix = Some("a\u{200b}".into()), Some((Error, "groups_prefix"))),
            (|c| c.mapping = vec![rule(&[])], Some((Error, "mapping[0].when"))),
            (|c| c.mapping = vec![rule(&["repository"])], Some((Warning, "mapping[0].when"))),
            (|c| c.mapping = vec![rule(&["repository", "repository_id"])], None),
            (|c| c.mapping = vec![rule(&["job_workflow_ref"])], Some((Warning, "mapping[0].when"))),
            (|c| c.mapping = vec![rule(&["sub"])], Some((Warning, "mapping[0].when"))),
            (|c| c.mapping = vec![rule(&["sub", "repository_id"])], None),
            (|c| c.mapping = vec![rule(&["email"])], Some((Warning, "mapping[0].when"))),
            (
                |c| c.mapping = vec![MappingRule { name: Some("аna".into()), ..rule(&["x"]) }],
                Some((Error, "mapping[0].name")),
            ),
            (
                |c| c.mapping = vec![MappingRule { groups: vec![" g".into()], ..rule(&["x"]) }],
                Some((Error, "mapping[0].groups")),
            ),
        ];
        for (n, (spoil, want)) in cases.into_iter().enumerate() {
            let mut c = IssuerConfig::new("corp", "https://id.example", &["gw"]);
            spoil(&mut c);
            let found = check(&[c]);
            let got: Vec<_> = found.iter().map(|f| (f.level, f.field.as_str())).collect();
            assert_eq!(got, want.into_iter().collect::<Vec<_>>(), "case {n}: {found:?}");
        }
    }

    #[test]
    fn two_issuers_must_not_vouch_for_the_same() {
        let make = |label: &str| {
            let mut c = IssuerConfig::new(label, &format!("https://{label}.example"), &["gw"]);
            c.groups_claim = Some("groups".to_owned());
            c.name_prefix = format!("{label}/");
            c
        };
        assert_eq!(check(&[make("a"), make("b")]), vec![]);
        let shared = |label: &str, prefix: &str| IssuerConfig { groups_prefix: Some(prefix.to_owned()), ..make(label) };
        for (a, b, tellings) in [("", "", 1), ("", "b:", 1), ("a:", "a:b:", 1), ("a:", "b:", 0)] {
            let found = check(&[shared("a", a), shared("b", b)]);
            assert_eq!(found.iter().filter(|f| f.field == "groups_prefix").count(), tellings, "{a:?} {b:?}: {found:?}");
        }
        let mut same = make("b");
        same.name_prefix = "a/".to_owned();
        assert_eq!(check(&[make("a"), same])[0].field, "name_prefix");
        let found = check(&[make("a"), make("a")]);
        assert!(found.iter().any(|f| f.level == Error && f.field == "issuer"), "{found:?}");
        assert!(found.iter().any(|f| f.level == Error && f.field == "label"), "{found:?}");
    }
}
