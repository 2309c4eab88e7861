//! As whom a question is judged: as the subject and, where somebody acts for it, as the subject with fewer actors and as each actor.
//!
//! What is asked of a delegated identity must be allowed to every one of them, so that delegation is a meet: no actor gives the subject
//! a right, and no subject gives one to an actor. It must never leave one of the chain out.

use std::collections::{BTreeMap, BTreeSet};

use countersign_model::{Actor, CredentialBinding, IdentityKind, IdentityParts};
use serde_json::Value;

use crate::facts::identity_id;

/// The longest chain of actors that is judged; an identity with more of them is denied everything.
pub const ACTORS_MAX: usize = 16;

/// Which one of a delegated identity's parties it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The identity itself, with those who act for it in `principal.actors`.
    Subject,
    /// The identity as if the nearest of its actors had not come in between, down to none at all. Rules may look at
    /// `principal.actors`; whatever they say of one more actor must not give what was not there without it.
    Fewer,
    /// Somebody who acts for it.
    Actor,
}

/// One whom policy judges. It borrows, because keys are made of it for every action.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Principal<'a> {
    pub(crate) role: Role,
    pub(crate) subject: &'a str,
    pub(crate) issuer: &'a str,
    pub(crate) name: &'a str,
    pub(crate) kind: IdentityKind,
    pub(crate) credential: CredentialBinding,
    pub(crate) groups: &'a BTreeSet<String>,
    pub(crate) claims: &'a BTreeMap<String, Value>,
    pub(crate) actors: &'a [Actor],
}

impl<'a> Principal<'a> {
    /// The identity itself.
    pub(crate) fn subject(identity: &'a IdentityParts) -> Self {
        Self {
            role: Role::Subject,
            subject: &identity.subject,
            issuer: &identity.issuer,
            name: &identity.name,
            kind: identity.kind,
            credential: identity.credential,
            groups: &identity.groups,
            claims: &identity.claims,
            actors: &identity.delegation,
        }
    }

    /// An actor, by the credential of the session: it was presented for the whole chain.
    fn actor(actor: &'a Actor, credential: CredentialBinding) -> Self {
        Self {
            role: Role::Actor,
            subject: &actor.subject,
            issuer: &actor.issuer,
            name: if actor.name.is_empty() { &actor.subject } else { &actor.name },
            kind: actor.kind,
            credential,
            groups: &actor.groups,
            claims: &actor.claims,
            actors: &[],
        }
    }

    /// `NAME (ISSUER#SUBJECT)`.
    pub(crate) fn label(&self) -> String {
        format!("{} ({})", self.name, identity_id(self.issuer, self.subject))
    }

    /// The same, and of which part of the chain.
    pub(crate) fn full_label(&self) -> String {
        match (self.role, self.actors.len()) {
            (Role::Subject | Role::Actor, _) => self.label(),
            (Role::Fewer, 0) => format!("{} without its actors", self.label()),
            (Role::Fewer, n) => format!("{} with only the last {n} of its actors", self.label()),
        }
    }
}

/// Everybody who must be allowed: the identity, and for a delegated one the identity with fewer actors and every actor, nearest first.
pub(crate) fn principals(identity: &IdentityParts) -> impl Iterator<Item = Principal<'_>> {
    let chain = identity.delegation.as_slice();
    let subject = Principal::subject(identity);
    let fewer = (1..=chain.len()).filter_map(move |from| {
        let actors = chain.get(from..)?;
        Some(Principal { role: Role::Fewer, actors, ..subject })
    });
    let actors = chain.iter().map(|a| Principal::actor(a, identity.credential));
    std::iter::once(subject).chain(fewer).chain(actors)
}
