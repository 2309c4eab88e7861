//! The rules about one access, sorted by whom their heads name, so that a verdict asks those that can fit somebody and not thousands of others.
//!
//! A rule whose head does not fit is not applied, nor can it fail: Cedar looks at the head first. It must never leave out a rule whose head
//! could fit; one that names nobody, or in a way that is not known here, is asked about everybody.

use std::collections::HashMap;

use cedar_policy::{Policy, PolicySet as CedarSet};
use smallvec::SmallVec;

use crate::facts::identity_id;
use crate::head::{Head, Whom};
use crate::principal::Principal;

/// How many sets are listed without an allocation: those of an identity in a few groups.
const SETS_INLINE: usize = 8;

/// The sets that can fit somebody. Together they judge like one: what any of them forbids is forbidden.
pub(crate) type Sets<'a> = SmallVec<[&'a CedarSet; SETS_INLINE]>;

/// Rules by whom they name.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    anybody: Option<CedarSet>,
    groups: HashMap<Box<str>, CedarSet>,
    identities: HashMap<Box<str>, CedarSet>,
}

impl Shelf {
    /// Adds a rule.
    ///
    /// # Errors
    /// When Cedar refuses it: its id is taken.
    pub(crate) fn add(&mut self, head: &Head, policy: &Policy) -> Result<(), String> {
        let set = match head.whom() {
            Whom::Anybody => self.anybody.get_or_insert_default(),
            Whom::Group(name) => self.groups.entry(name.into()).or_default(),
            Whom::Identity(id) => self.identities.entry(id.into()).or_default(),
        };
        set.add(policy.clone()).map_err(|e| e.to_string())
    }

    /// The rules that can fit somebody.
    pub(crate) fn of(&self, who: &Principal<'_>) -> Sets<'_> {
        let mut sets: Sets<'_> = self.anybody.iter().collect();
        if self.groups.len() < who.groups.len() {
            sets.extend(self.groups.iter().filter(|(name, _)| who.groups.contains(&***name)).map(|(_, set)| set));
        } else {
            sets.extend(who.groups.iter().filter_map(|name| self.groups.get(name.as_str())));
        }
        if !self.identities.is_empty() {
            sets.extend(self.identities.get(identity_id(who.issuer, who.subject).as_str()));
        }
        sets
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use cedar_policy::{Policy, PolicyId};
    use countersign_model::{CredentialBinding, IdentityKind};

    use super::Shelf;
    use crate::head::Head;
    use crate::principal::{Principal, Role};

    #[test]
    fn only_rules_that_name_somebody_else_are_left_out() {
        let mut shelf = Shelf::default();
        for (id, head) in [
            ("anybody", "principal"),
            ("typed", "principal is Identity"),
            ("group", "principal in Group::\"g\""),
            ("typed-group", "principal is Identity in Group::\"g\""),
            ("other-group", "principal in Group::\"h\""),
            ("identity", "principal == Identity::\"i#s\""),
            ("in-identity", "principal in Identity::\"i#s\""),
            ("other-identity", "principal == Identity::\"i#t\""),
            ("group-itself", "principal == Group::\"g\""),
            ("target", "principal in Target::\"g\""),
        ] {
            let text = format!("permit ({head}, action, resource);");
            let policy = Policy::parse(Some(PolicyId::new(id)), text).unwrap();
            shelf.add(&Head::new(&policy), &policy).unwrap();
        }
        let found = |groups: &[&str]| {
            let (groups, claims) = (groups.iter().map(|g| (*g).to_owned()).collect(), BTreeMap::new());
            let who = Principal {
                role: Role::Subject,
                subject: "s",
                issuer: "i",
                name: "n",
                kind: IdentityKind::Human,
                credential: CredentialBinding::Bearer,
                groups: &groups,
                claims: &claims,
                actors: &[],
            };
            let mut ids: Vec<String> =
                shelf.of(&who).iter().flat_map(|set| set.policies().map(|p| p.id().to_string())).collect();
            ids.sort();
            ids.join(" ")
        };
        let everybody = "anybody group-itself identity in-identity target typed";
        assert_eq!(found(&[]), everybody);
        let with_group = "anybody group group-itself identity in-identity target typed typed-group";
        assert_eq!(found(&["g"]), with_group);
        assert_eq!(found(&["a", "b", "c", "g"]), with_group, "in more groups than are named");
    }
}
