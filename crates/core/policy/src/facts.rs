//! From a question to what Cedar evaluates: entities and context, made of the facts that the rules read and no others.
//!
//! It must never fill in a fact of the wrong type: a mismatch is an error, which is a deny.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};

use cedar_policy::{Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use countersign_model::{
    Attribute, AttributeKind, HeldGrant, IdentityParts, Request, SessionContext, Shape, Tag, Target, Timestamp, Use,
};
use serde_json::Value;

use crate::calendar::{WEEKDAYS, datetime_text, hour, weekday};
use crate::language::{ClaimKind, GRANTS, PrincipalField, SessionAttribute, TAGS};
use crate::principal::Principal;
use crate::reads::{Memberships, Reads};

/// What policy is asked. Unlike a [`Request`] it can be about an identity that nobody verified, for tests and explanations:
/// nothing is let in on the answer.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who.
    pub identity: &'a IdentityParts,
    /// On what.
    pub target: &'a Target,
    /// In which session.
    pub session: &'a SessionContext,
    /// What.
    pub shape: &'a Shape,
    /// When.
    pub now: Timestamp,
    /// What the identity was granted on it.
    pub grants: &'a [HeldGrant],
}

impl<'a> From<&Request<'a>> for Question<'a> {
    fn from(r: &Request<'a>) -> Self {
        Self { identity: r.identity, target: r.target, session: r.session, shape: r.shape, now: r.now, grants: &[] }
    }
}

impl Question<'_> {
    pub(crate) fn token_age_s(&self) -> i64 {
        self.now.unix_s().saturating_sub(self.identity.issued_at.unix_s()).max(0)
    }
}

/// Every tag that an action has to do with, and those that stand for them.
fn touched(shape: &Shape) -> BTreeSet<&str> {
    let tags = shape.disclosure().tags().into_iter();
    tags.flat_map(|tag| std::iter::once(tag.as_str()).chain(tag.ancestors())).collect()
}

/// The id of an identity in policies. `#` and `%` of the issuer are escaped, so that no two identities share an id.
pub(crate) fn identity_id(issuer: &str, subject: &str) -> String {
    format!("{}#{subject}", issuer.replace('%', "%25").replace('#', "%23"))
}

/// True when the target has the label, written `KEY:VALUE`.
pub(crate) fn has_label(target: &Target, label: &str) -> bool {
    target.labels.iter().any(|(k, v)| {
        label.strip_prefix(k.as_str()).and_then(|rest| rest.strip_prefix(':')).is_some_and(|value| value == v)
    })
}

/// A claim as text; empty when it is absent or has no single value.
pub(crate) fn claim_text<'a>(who: &Principal<'a>, name: &str) -> Cow<'a, str> {
    let value = match who.claims.get(name) {
        Some(Value::Array(items)) if items.len() == 1 => items.first(),
        other => other,
    };
    value.and_then(scalar).unwrap_or(Cow::Borrowed(""))
}

/// A claim as a set; empty when it is absent.
pub(crate) fn claim_set<'a>(who: &Principal<'a>, name: &str) -> BTreeSet<Cow<'a, str>> {
    match who.claims.get(name) {
        Some(Value::Array(items)) => items.iter().filter_map(scalar).collect(),
        other => other.and_then(scalar).into_iter().collect(),
    }
}

fn scalar(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(s) => Some(Cow::Borrowed(s)),
        Value::Bool(b) => Some(Cow::Borrowed(if *b { "true" } else { "false" })),
        Value::Number(n) => Some(Cow::Owned(n.to_string())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The names of the fixed entity types.
#[derive(Clone, Debug)]
pub(crate) struct TypeNames {
    identity: EntityTypeName,
    group: EntityTypeName,
    target: EntityTypeName,
    label: EntityTypeName,
    action: EntityTypeName,
    tag: EntityTypeName,
}

impl TypeNames {
    /// `None` never happens: the names are identifiers. It is passed on rather than asserted.
    pub(crate) fn new() -> Option<Self> {
        Some(Self {
            identity: "Identity".parse().ok()?,
            group: "Group".parse().ok()?,
            target: "Target".parse().ok()?,
            label: "Label".parse().ok()?,
            action: "Action".parse().ok()?,
            tag: "Tag".parse().ok()?,
        })
    }

    pub(crate) fn action(&self, word: &str) -> EntityUid {
        uid(&self.action, word)
    }

    pub(crate) fn tag(&self, tag: &str) -> EntityUid {
        uid(&self.tag, tag)
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(s: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(s.to_owned())
}

fn texts<I, S>(items: I) -> RestrictedExpression
where
    I: IntoIterator<Item = S>,
    S: AsRef<str>,
{
    RestrictedExpression::new_set(items.into_iter().map(|s| text(s.as_ref())))
}

/// Who and what, as Cedar sees them.
pub(crate) struct Parties {
    pub(crate) principal: EntityUid,
    pub(crate) resource: EntityUid,
    pub(crate) entities: Entities,
}

/// One principal and the target with the facts in `reads`, and the tags, each in those that stand for it and in the target.
pub(crate) fn parties_with_tags(
    names: &TypeNames,
    q: &Question<'_>,
    id: &Principal<'_>,
    reads: &Reads,
    tags: &[&Tag],
) -> Result<Parties, String> {
    let Parties { principal, resource, entities } = parties(names, q, id, reads)?;
    let tags = tags.iter().map(|tag| {
        let parents = tag.ancestors().map(|a| names.tag(a)).chain([resource.clone()]).collect();
        let attributes = [("name".to_owned(), text(tag.as_str()))].into();
        Entity::new(names.tag(tag.as_str()), attributes, parents).map_err(|e| e.to_string())
    });
    let tags: Vec<Entity> = tags.collect::<Result<_, _>>()?;
    let entities = entities.add_entities(tags, None).map_err(|e| e.to_string())?;
    Ok(Parties { principal, resource, entities })
}

/// One principal and the target with the facts in `reads`.
pub(crate) fn parties(
    names: &TypeNames,
    q: &Question<'_>,
    id: &Principal<'_>,
    reads: &Reads,
) -> Result<Parties, String> {
    let principal = if reads.identity_id {
        uid(&names.identity, &identity_id(id.issuer, id.subject))
    } else {
        uid(&names.identity, "")
    };
    let mut attributes: HashMap<String, RestrictedExpression> = HashMap::new();
    for field in &reads.fields {
        let value = match field {
            PrincipalField::Name => text(id.name),
            PrincipalField::Subject => text(id.subject),
            PrincipalField::Issuer => text(id.issuer),
            PrincipalField::Kind => text(id.kind.as_str()),
            PrincipalField::Credential => text(id.credential.as_str()),
            PrincipalField::Groups => texts(id.groups),
            PrincipalField::Actors => texts(id.actors.iter().map(|a| identity_id(&a.issuer, &a.subject))),
        };
        attributes.insert(field.name().to_owned(), value);
    }
    let claims = reads.claims.iter().map(|(name, kind)| {
        let value = match kind {
            ClaimKind::String => text(&claim_text(id, name)),
            ClaimKind::Set => texts(claim_set(id, name)),
        };
        (name.clone(), value)
    });
    attributes.insert("claims".to_owned(), RestrictedExpression::new_record(claims).map_err(|e| e.to_string())?);
    let groups: HashSet<EntityUid> = match &reads.groups {
        Memberships::All => id.groups.iter().map(|g| uid(&names.group, g)).collect(),
        Memberships::Of(read) => read.held(id.groups).map(|(g, _)| uid(&names.group, g)).collect(),
    };
    let identity = Entity::new(principal.clone(), attributes, groups).map_err(|e| e.to_string())?;

    let name = q.target.name.as_str();
    let resource = uid(&names.target, if reads.target_name { name } else { "" });
    let mut attributes: HashMap<String, RestrictedExpression> = HashMap::new();
    if reads.target_name {
        attributes.insert("name".to_owned(), text(name));
    }
    if reads.protocol {
        attributes.insert("protocol".to_owned(), text(&q.target.protocol));
    }
    let labels: HashSet<EntityUid> = match &reads.labels {
        Memberships::All => q.target.labels.iter().map(|(k, v)| uid(&names.label, &format!("{k}:{v}"))).collect(),
        Memberships::Of(read) => {
            read.names().filter(|l| has_label(q.target, l)).map(|l| uid(&names.label, l)).collect()
        }
    };
    let target = Entity::new(resource.clone(), attributes, labels).map_err(|e| e.to_string())?;
    let entities = Entities::from_entities([identity, target], None).map_err(|e| e.to_string())?;
    Ok(Parties { principal, resource, entities })
}

/// The context of one use with the facts in `reads`.
pub(crate) fn context(q: &Question<'_>, used: &Use, reads: &Reads) -> Result<Context, String> {
    let mut pairs: Vec<(String, RestrictedExpression)> =
        Vec::with_capacity(reads.session.len() + reads.attributes.len());
    for attribute in &reads.session {
        pairs.push((attribute.name().to_owned(), session_value(q, *attribute)));
    }
    if reads.tags {
        pairs.push((TAGS.to_owned(), texts(touched(q.shape))));
    }
    if reads.grants {
        let granted = q.grants.iter().filter(|g| g.accesses.contains(&used.access));
        pairs.push((GRANTS.to_owned(), texts(granted.map(|g| g.rule.as_str()))));
    }
    for (name, kind) in &reads.attributes {
        let value = match (used.attributes.find(name), kind) {
            (Some(Attribute::Bool(b)), AttributeKind::Bool) => RestrictedExpression::new_bool(*b),
            (Some(Attribute::Long(n)), AttributeKind::Long) => RestrictedExpression::new_long(*n),
            (Some(Attribute::String(s)), AttributeKind::String) => text(s),
            (Some(Attribute::Set(items)), AttributeKind::Set) => texts(items.iter()),
            (None, AttributeKind::Bool) => RestrictedExpression::new_bool(false),
            (None, AttributeKind::Long) => RestrictedExpression::new_long(0),
            (None, AttributeKind::String) => text(""),
            (None, AttributeKind::Set) => texts::<_, &str>([]),
            (Some(_), _) => return Err(format!("the action's attribute \"{name}\" is not of its declared type")),
        };
        pairs.push(((*name).to_owned(), value));
    }
    Context::from_pairs(pairs).map_err(|e| e.to_string())
}

fn session_value(q: &Question<'_>, attribute: SessionAttribute) -> RestrictedExpression {
    let now = q.now.unix_s();
    match attribute {
        SessionAttribute::SourceIp => RestrictedExpression::new_ip(q.session.source.ip().to_canonical().to_string()),
        SessionAttribute::Encrypted => RestrictedExpression::new_bool(q.session.encrypted),
        SessionAttribute::Application => text(&q.session.application),
        SessionAttribute::Part => text(&q.session.part),
        SessionAttribute::Now => RestrictedExpression::new_datetime(datetime_text(now)),
        SessionAttribute::HourUtc => RestrictedExpression::new_long(hour(now)),
        SessionAttribute::Weekday => text(WEEKDAYS.get(weekday(now)).copied().unwrap_or("")),
        SessionAttribute::TokenAge => RestrictedExpression::new_long(q.token_age_s()),
    }
}
