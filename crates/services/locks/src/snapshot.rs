//! The locks in force, compiled: a session is matched by a few look-ups, however many locks there are.
//!
//! Each lock is found under one thing that it names, the rarest; only locks found so are matched in full.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use countersign_enforce::Lockable;
use countersign_model::Timestamp;

use crate::Lock;
use crate::matcher::parties;

type Places = Vec<u32>;
type Index = HashMap<String, Places>;

/// The locks of one moment.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    /// The store's number of changes that this is of.
    pub(crate) number: u64,
    /// Oldest first.
    pub(crate) locks: Vec<Arc<Lock>>,
    sessions: Index,
    logins: Index,
    tokens: Index,
    keys: Index,
    subjects: Index,
    names: Index,
    /// By `NAME=VALUE`; `claim_names` are those to look for.
    claims: Index,
    claim_names: BTreeSet<String>,
    groups: Index,
    targets: Index,
    issuers: Index,
    /// Those that name nothing of it: networks and beginnings of claims.
    others: Places,
}

impl Snapshot {
    pub(crate) fn new(number: u64, locks: Vec<Arc<Lock>>) -> Self {
        let mut new = Self { number, ..Self::default() };
        for (place, lock) in locks.iter().enumerate() {
            new.put(u32::try_from(place).unwrap_or(u32::MAX), lock);
        }
        new.locks = locks;
        new
    }

    fn put(&mut self, place: u32, lock: &Lock) {
        let m = &lock.matcher;
        let exact = m.claims.iter().find(|(_, value)| !value.ends_with('*'));
        let session = m.session.map(|s| s.to_string());
        let target = m.target.as_ref().map(ToString::to_string);
        let claim = exact.map(|(name, value)| {
            self.claim_names.insert(name.clone());
            format!("{name}={value}")
        });
        let found = [
            (&mut self.sessions, session.as_ref()),
            (&mut self.logins, m.login.as_ref()),
            (&mut self.tokens, m.token_id.as_ref()),
            (&mut self.keys, m.key.as_ref()),
            (&mut self.subjects, m.subject.as_ref()),
            (&mut self.names, m.name.as_ref()),
            (&mut self.claims, claim.as_ref()),
            (&mut self.groups, m.group.as_ref()),
            (&mut self.targets, target.as_ref()),
            (&mut self.issuers, m.issuer.as_ref()),
        ]
        .into_iter()
        .find_map(|(index, key)| Some((index, key?)));
        match found {
            Some((index, key)) => index.entry(key.clone()).or_default().push(place),
            None => self.others.push(place),
        }
    }

    /// The oldest lock that keeps it out.
    pub(crate) fn find(&self, what: &Lockable<'_>, now: Timestamp) -> Option<&Arc<Lock>> {
        if self.locks.is_empty() {
            return None;
        }
        let mut best: Option<(u32, &Arc<Lock>)> = None;
        let mut look = |places: Option<&Places>| {
            for place in places.into_iter().flatten() {
                if best.is_some_and(|(b, _)| b <= *place) {
                    continue;
                }
                let lock = usize::try_from(*place).ok().and_then(|p| self.locks.get(p));
                if let Some(lock) = lock.filter(|l| l.keeps_out(what, now)) {
                    best = Some((*place, lock));
                }
            }
        };
        look(Some(&self.others));
        if !self.sessions.is_empty() {
            look(self.sessions.get(&what.session.to_string()));
        }
        let id = what.identity;
        look(id.login.as_ref().and_then(|l| self.logins.get(l)));
        look(id.token_id.as_ref().and_then(|t| self.tokens.get(t)));
        look(id.key.as_ref().and_then(|k| self.keys.get(k)));
        look(self.targets.get(what.target.as_str()));
        for party in parties(what.identity) {
            look(self.subjects.get(party.subject));
            look(self.names.get(party.name));
            look(self.issuers.get(party.issuer));
            if !self.groups.is_empty() {
                party.groups.iter().for_each(|g| look(self.groups.get(g)));
            }
            for name in &self.claim_names {
                if let Some(value) = party.claims.get(name) {
                    texts(value, &mut |text| look(self.claims.get(&format!("{name}={text}"))));
                }
            }
        }
        best.map(|(_, lock)| lock)
    }
}

/// Every text that a claim may be matched by.
fn texts(value: &serde_json::Value, each: &mut impl FnMut(&str)) {
    use serde_json::Value;
    match value {
        Value::String(text) => each(text),
        Value::Number(_) | Value::Bool(_) => each(&value.to_string()),
        Value::Array(all) => all.iter().filter(|v| !v.is_array()).for_each(|v| texts_of_one(v, each)),
        Value::Null | Value::Object(_) => {}
    }
}

fn texts_of_one(value: &serde_json::Value, each: &mut impl FnMut(&str)) {
    match value {
        serde_json::Value::String(text) => each(text),
        serde_json::Value::Number(_) | serde_json::Value::Bool(_) => each(&value.to_string()),
        _ => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
