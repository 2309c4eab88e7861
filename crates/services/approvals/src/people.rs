//! Who is who: whether somebody may answer what somebody else asked.

use std::collections::BTreeSet;

use countersign_model::{IdentityKind, IdentityParts};

/// Somebody, as their issuer knows them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Person {
    /// Who vouches.
    pub issuer: String,
    /// The issuer's identifier.
    pub subject: String,
}

impl Person {
    /// The identity itself, without those who act for it.
    pub fn of(identity: &IdentityParts) -> Self {
        Self { issuer: identity.issuer.clone(), subject: identity.subject.clone() }
    }
}

/// Everybody who has a part in what an identity does: itself and all who act for it.
pub fn parties(identity: &IdentityParts) -> BTreeSet<Person> {
    let actors = identity.delegation.iter();
    let actors = actors.map(|a| Person { issuer: a.issuer.clone(), subject: a.subject.clone() });
    std::iter::once(Person::of(identity)).chain(actors).collect()
}

/// True when somebody has a part in both, on either side, directly or as a delegate.
pub fn is_party_to(asker: &IdentityParts, other: &IdentityParts) -> bool {
    !parties(asker).is_disjoint(&parties(other))
}

/// True for a person who speaks for themselves: no workload, no AI agent, nobody through one.
pub(crate) fn is_person(identity: &IdentityParts) -> bool {
    identity.kind == IdentityKind::Human && identity.delegation.is_empty()
}
