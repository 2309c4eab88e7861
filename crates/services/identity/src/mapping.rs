//! From verified claims to an identity. This is the only mint.
//!
//! Joined, never chosen: the groups of every rule that fits are added up, and there is no "unless", so that a token with fewer claims
//! can never be in more groups. Must never look at a claim under another spelling than the one configured.

use std::collections::{BTreeMap, BTreeSet};

use countersign_model::{Actor, CredentialBinding, Identity, IdentityKind, IdentityParts, Timestamp};
use serde_json::{Map, Value};

use crate::Rejection;
use crate::api_keys::ApiKey;
use crate::claims::Times;
use crate::config::{ClaimMatch, IssuerConfig, MappingRule, Unmapped};
use crate::derived::derive;
use crate::login::Login;
use crate::names::{self, SUBJECT_BYTES_MAX};
use crate::spiffe::{SPIFFE_ID_BYTES_MAX, Svid, subject_of};

/// The most groups that a token may claim; with more, it is in none of them.
pub(crate) const GROUPS_MAX: usize = 256;
/// The longest chain of `act`.
pub(crate) const DELEGATION_MAX: usize = 4;

/// Makes an identity of claims whose signature, audience and times were checked.
pub(crate) fn identify(c: &IssuerConfig, mut claims: Map<String, Value>, times: Times) -> Result<Identity, Rejection> {
    derive(&mut claims);
    let subject_bytes_max = if subject_of(&claims).is_some() { SPIFFE_ID_BYTES_MAX } else { SUBJECT_BYTES_MAX };
    let subject =
        identifier(&claims, "sub", subject_bytes_max)?.ok_or_else(|| Rejection::claim("sub", "is missing"))?;
    let token_id = identifier(&claims, "jti", SUBJECT_BYTES_MAX)?;
    let fitting: Vec<&MappingRule> = c.mapping.iter().filter(|rule| fits(rule, &claims)).collect();
    if fitting.is_empty() && c.effective_unmapped() == Unmapped::Refuse {
        return Err(Rejection::Unmapped(c.label.clone()));
    }
    let name = match fitting.iter().find_map(|rule| rule.name.clone()) {
        Some(name) => name,
        None => claimed_name(c, &claims)?,
    };
    let kind = match fitting.iter().find_map(|rule| rule.kind) {
        Some(kind) => kind,
        None => claimed_kind(c, &claims)?,
    };
    let mut groups = claimed_groups(c, &claims);
    groups.extend(fitting.iter().flat_map(|rule| rule.groups.iter().cloned()));
    let parts = IdentityParts {
        subject,
        issuer: c.issuer.clone(),
        name,
        kind,
        groups,
        delegation: delegation(c, &claims)?,
        claims: claims.into_iter().collect::<BTreeMap<_, _>>(),
        credential: CredentialBinding::Bearer,
        token_id,
        key: None,
        signer: None,
        login: None,
        issued_at: times.issued_at,
        expires_at: times.expires_at,
    };
    Ok(vouch(parts))
}

/// The same identity, by a token that is bound to a key, which was proved.
pub(crate) fn bound(identity: &Identity, key: String) -> Identity {
    vouch(IdentityParts { credential: CredentialBinding::Bound, key: Some(key), ..parts_of(identity) })
}

/// The same identity, with the thumbprint of the issuer's key that its credential was verified with.
pub(crate) fn signed_by(identity: &Identity, signer: String) -> Identity {
    vouch(IdentityParts { signer: Some(signer), ..parts_of(identity) })
}

/// When a credential ends that a key of its issuer signed: what is made of it may end at another time.
pub(crate) fn signed_until(claims: &BTreeMap<String, Value>, otherwise: Timestamp) -> Timestamp {
    let exp = claims.get("exp").and_then(|exp| exp.as_i64().or_else(|| exp.as_f64().map(|s| s as i64)));
    exp.map_or(otherwise, Timestamp::from_unix_s)
}

/// An identity by an X.509-SVID. The caller has verified the certificate, and the connection its key.
pub(crate) fn of_svid(c: &IssuerConfig, svid: &Svid<'_>) -> Result<Identity, Rejection> {
    let claims = [("sub".to_owned(), Value::String(svid.id.clone()))].into_iter().collect();
    let times = Times { issued_at: svid.begins, expires_at: svid.ends };
    let identity = identify(c, claims, times)?;
    Ok(vouch(IdentityParts {
        credential: CredentialBinding::Bound,
        key: Some(svid.key.clone()),
        token_id: Some(svid.serial.clone()),
        ..parts_of(&identity)
    }))
}

/// An identity that a certificate of one of its logins stands for. The caller has verified the certificate, its key and the login.
pub(crate) fn of_login(login: &Login, serial: String, expires_at: Timestamp) -> Identity {
    vouch(IdentityParts {
        credential: CredentialBinding::Bound,
        key: Some(login.key.clone()),
        login: Some(login.id.clone()),
        token_id: Some(serial),
        expires_at,
        ..login.identity.clone()
    })
}

/// The identity of whoever comes with an API key: of the one who made it, by a credential of its own. The caller has verified the key.
pub(crate) fn of_api_key(key: &ApiKey) -> Identity {
    vouch(IdentityParts {
        credential: CredentialBinding::Bearer,
        key: None,
        login: None,
        token_id: Some(key.id.clone()),
        issued_at: key.created_at,
        expires_at: key.expires_at,
        ..key.content.owner.clone()
    })
}

/// The identity of a login that a browser has: whoever has its cookie may use it.
pub(crate) fn of_browser(login: &Login) -> Identity {
    vouch(IdentityParts {
        credential: CredentialBinding::Bearer,
        key: None,
        login: Some(login.id.clone()),
        expires_at: login.expires_at,
        ..login.identity.clone()
    })
}

/// The facts of an identity.
pub(crate) fn parts_of(identity: &Identity) -> IdentityParts {
    IdentityParts::clone(identity)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that vouches: its callers have verified signature, audience and times"
)]
fn vouch(parts: IdentityParts) -> Identity {
    Identity::mint(parts)
}

fn identifier(claims: &Map<String, Value>, name: &'static str, bytes_max: usize) -> Result<Option<String>, Rejection> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(s)) => match names::check_identifier(s, bytes_max) {
            Ok(()) => Ok(Some(s.clone())),
            Err(fault) => Err(Rejection::claim(name, fault.as_str())),
        },
        Some(_) => Err(Rejection::claim(name, "is not a string")),
    }
}

fn fits(rule: &MappingRule, claims: &Map<String, Value>) -> bool {
    // A rule without a condition would fit everybody; the check refuses it, and so does this.
    !rule.when.is_empty() && rule.when.iter().all(|(claim, want)| find(claims, claim).is_some_and(|v| equals(want, v)))
}

fn equals(want: &ClaimMatch, value: &Value) -> bool {
    match (want, value) {
        (ClaimMatch::Text(w), Value::String(v)) => w == v,
        (ClaimMatch::Bool(w), Value::Bool(v)) => w == v,
        (ClaimMatch::Integer(w), Value::Number(v)) => v.as_i64() == Some(*w),
        (ClaimMatch::AnyOf(list), Value::String(v)) => list.iter().any(|w| w == v),
        _ => false,
    }
}

/// A claim by its name, or by a JSON pointer when it starts with a slash.
fn find<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let Some(path) = name.strip_prefix('/') else { return claims.get(name) };
    let mut steps = path.split('/').map(|s| s.replace("~1", "/").replace("~0", "~"));
    let mut value = claims.get(&steps.next()?)?;
    for step in steps {
        value = value.as_object()?.get(&step)?;
    }
    Some(value)
}

fn claimed_name(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<String, Rejection> {
    let value = find(claims, &c.name_claim).ok_or_else(|| Rejection::claim(&c.name_claim, "is missing"))?;
    let text = value.as_str().ok_or_else(|| Rejection::claim(&c.name_claim, "is not a string"))?;
    let name = format!("{}{text}", c.name_prefix);
    match names::check_name(text).and_then(|()| names::check_name(&name)) {
        Ok(()) => Ok(name),
        Err(fault) => Err(Rejection::claim(&c.name_claim, fault.as_str())),
    }
}

fn claimed_kind(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<IdentityKind, Rejection> {
    let Some(claim) = &c.kind_claim else { return Ok(c.kind) };
    match find(claims, claim).map(|v| v.as_str()) {
        None => Ok(c.kind),
        Some(Some("human")) => Ok(IdentityKind::Human),
        Some(Some("machine")) => Ok(IdentityKind::Machine),
        Some(Some("agent")) => Ok(IdentityKind::Agent),
        Some(_) => Err(Rejection::claim(claim, "is not one of human, machine and agent")),
    }
}

/// The groups that the token claims. One that could be mistaken for another, or a crowd, or a form that is not a list, and the token
/// is in none: half of a list that somebody tampered with is not to be trusted more than the whole.
fn claimed_groups(c: &IssuerConfig, claims: &Map<String, Value>) -> BTreeSet<String> {
    let none = |why: &str| {
        tracing::warn!(issuer = %c.label, why, "a token's groups were left out");
        BTreeSet::new()
    };
    let Some(claim) = &c.groups_claim else { return BTreeSet::new() };
    let Some(value) = find(claims, claim) else { return BTreeSet::new() };
    let Value::Array(list) = value else { return none("the claim is not a list") };
    if list.len() > GROUPS_MAX {
        return none("there are too many");
    }
    let prefix = c.effective_groups_prefix();
    let mut groups = BTreeSet::new();
    for group in list {
        let Some(group) = group.as_str() else { return none("one is not a string") };
        let prefixed = format!("{prefix}{group}");
        if let Err(fault) = names::check_name(group).and_then(|()| names::check_name(&prefixed)) {
            return none(fault.as_str());
        }
        groups.insert(prefixed);
    }
    if names::collide(groups.iter().map(String::as_str)) {
        return none("two differ only in case or form");
    }
    groups
}

/// Who acts for the subject, nearest first. An actor that the issuer names for itself has the name, kind and groups of the rules that
/// fit its own claims; somebody else's actor is taken by its subject alone, and has no groups.
fn delegation(c: &IssuerConfig, claims: &Map<String, Value>) -> Result<Vec<Actor>, Rejection> {
    let mut chain = Vec::new();
    let mut next = claims.get("act");
    while let Some(value) = next {
        let Value::Object(act) = value else { return Err(Rejection::claim("act", "is not an object")) };
        if chain.len() >= DELEGATION_MAX {
            return Err(Rejection::claim("act", "is a chain of too many actors"));
        }
        let subject =
            identifier(act, "sub", SUBJECT_BYTES_MAX)?.ok_or_else(|| Rejection::claim("act", "has no sub"))?;
        let issuer = identifier(act, "iss", SUBJECT_BYTES_MAX)?.unwrap_or_else(|| c.issuer.clone());
        chain.push(actor(c, act, subject, issuer)?);
        next = act.get("act");
    }
    Ok(chain)
}

fn actor(c: &IssuerConfig, act: &Map<String, Value>, subject: String, issuer: String) -> Result<Actor, Rejection> {
    if names::check_name(&subject).is_err() {
        return Err(Rejection::claim("act", "has a sub that cannot be a name"));
    }
    let own = issuer == c.issuer;
    let fitting: Vec<&MappingRule> = c.mapping.iter().filter(|rule| own && fits(rule, act)).collect();
    let mut claims: BTreeMap<String, Value> = act.clone().into_iter().collect();
    claims.remove("act");
    Ok(Actor {
        name: fitting.iter().find_map(|rule| rule.name.clone()).unwrap_or_else(|| subject.clone()),
        kind: fitting.iter().find_map(|rule| rule.kind).unwrap_or(IdentityKind::Agent),
        groups: fitting.iter().flat_map(|rule| rule.groups.iter().cloned()).collect(),
        claims,
        subject,
        issuer,
        signer: None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
