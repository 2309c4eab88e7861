//! The head of a rule, `(principal …, action …, resource …)`, matched without Cedar: for explanations and hints, and to sort rules by
//! whom they name.
//!
//! It must never decide: verdicts come from Cedar.

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use countersign_model::{Access, Tag, Target};

use crate::facts::{Question, has_label, identity_id};
use crate::principal::Principal;
use crate::schema::{PROBE, UNMASK};

/// A rule's head.
#[derive(Debug)]
pub(crate) struct Head {
    principal: Party,
    actions: Option<Vec<String>>,
    resource: Party,
}

#[derive(Debug)]
enum Party {
    Anything,
    Is(EntityUid),
    In(EntityUid),
}

/// Whom a rule's head names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whom<'a> {
    /// Nobody in particular, or in a way that says nothing of groups and identities.
    Anybody,
    /// Who is in this group.
    Group(&'a str),
    /// The identity with this id.
    Identity(&'a str),
}

impl Head {
    /// Reads the head.
    pub(crate) fn new(policy: &Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any | PrincipalConstraint::Is(_) => Party::Anything,
            PrincipalConstraint::Eq(e) => Party::Is(e),
            PrincipalConstraint::In(e) | PrincipalConstraint::IsIn(_, e) => Party::In(e),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any | ResourceConstraint::Is(_) => Party::Anything,
            ResourceConstraint::Eq(e) => Party::Is(e),
            ResourceConstraint::In(e) | ResourceConstraint::IsIn(_, e) => Party::In(e),
        };
        let word = |e: EntityUid| AsRef::<str>::as_ref(e.id()).to_owned();
        let actions = match policy.action_constraint() {
            ActionConstraint::Any => None,
            ActionConstraint::Eq(e) => Some(vec![word(e)]),
            ActionConstraint::In(several) => Some(several.into_iter().map(word).collect()),
        };
        Self { principal, actions, resource }
    }

    /// Whom it names.
    pub(crate) fn whom(&self) -> Whom<'_> {
        match &self.principal {
            Party::In(e) if e.type_name().basename() == "Group" => Whom::Group(e.id().as_ref()),
            Party::Is(e) | Party::In(e) if e.type_name().basename() == "Identity" => Whom::Identity(e.id().as_ref()),
            Party::Anything | Party::Is(_) | Party::In(_) => Whom::Anybody,
        }
    }

    /// True when the action is one of the rule's.
    pub(crate) fn has_action(&self, access: Access) -> bool {
        self.actions.as_ref().is_none_or(|a| a.iter().any(|word| word == access.as_str()))
    }

    /// True when the rule names the action. Actions on tags must be named.
    pub(crate) fn names_action(&self, name: &str) -> bool {
        self.actions.as_ref().is_some_and(|a| a.iter().any(|word| word == name))
    }

    /// True when the rule is about nothing but tags.
    pub(crate) fn is_about_tags(&self) -> bool {
        self.actions.as_ref().is_some_and(|a| a.iter().all(|word| [UNMASK, PROBE].contains(&word.as_str())))
    }

    /// True when the tag, on this target, is one of the rule's.
    pub(crate) fn has_tag(&self, q: &Question<'_>, tag: &Tag) -> bool {
        match &self.resource {
            Party::Anything => true,
            Party::Is(e) => e.type_name().basename() == "Tag" && AsRef::<str>::as_ref(e.id()) == tag.as_str(),
            Party::In(e) if e.type_name().basename() == "Tag" => {
                Tag::parse(e.id().as_ref()).is_some_and(|t| t.covers(tag))
            }
            Party::In(_) => self.has_resource(q),
        }
    }

    /// True when the target is one of the rule's.
    pub(crate) fn has_resource(&self, q: &Question<'_>) -> bool {
        self.has_target(q.target)
    }

    /// The same, of a target.
    pub(crate) fn has_target(&self, target: &Target) -> bool {
        match &self.resource {
            Party::Anything => true,
            Party::Is(e) | Party::In(e) => {
                let id: &str = e.id().as_ref();
                match e.type_name().basename() {
                    "Label" => matches!(self.resource, Party::In(_)) && has_label(target, id),
                    "Target" => target.name.as_str() == id,
                    _ => false,
                }
            }
        }
    }

    /// True when the identity is one of the rule's.
    pub(crate) fn has_principal(&self, who: &Principal<'_>) -> bool {
        match &self.principal {
            Party::Anything => true,
            Party::Is(e) | Party::In(e) => {
                let id: &str = e.id().as_ref();
                match e.type_name().basename() {
                    "Group" => matches!(self.principal, Party::In(_)) && who.groups.contains(id),
                    "Identity" => identity_id(who.issuer, who.subject) == id,
                    _ => false,
                }
            }
        }
    }
}
