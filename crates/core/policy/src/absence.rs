//! What a rule makes of claims and groups that are missing or only look right, and whether it matches a workload by names that can be
//! taken over.
//!
//! A token with fewer claims or groups should get less. A permit that asks what a claim is *not* gives it more. This walk over a rule's
//! JSON form finds such dependencies; warnings come of it, never a verdict. Where it does not understand a form it assumes both ways.

use std::collections::BTreeSet;
use std::fmt;

use countersign_model::lasting_claims;
use serde_json::Value;

use crate::annotation::RuleEffect;
use crate::language::{ClaimKind, Language};
use crate::reads::{entities, entity, path};

/// Facts that are never empty, so that an absent claim never equals them.
const NEVER_EMPTY: [(&str, &str); 7] = [
    ("principal", "name"),
    ("principal", "subject"),
    ("principal", "issuer"),
    ("principal", "kind"),
    ("principal", "credential"),
    ("resource", "name"),
    ("resource", "protocol"),
];

/// What may be missing from a token.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// A claim.
    Claim(String),
    /// Any claim.
    Claims,
    /// One group.
    Group(String),
    /// The set of all groups.
    Groups,
    /// Some group or other; only ever needed.
    SomeGroup,
    /// A certain subject that is not made of names, which no token is without; only ever needed.
    Subject,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claim(name) => write!(f, "principal.claims.{name}"),
            Self::Claims => f.write_str("principal.claims"),
            Self::Group(id) => write!(f, "Group::\"{id}\""),
            Self::Groups | Self::SomeGroup => f.write_str("principal.groups"),
            Self::Subject => f.write_str("principal.subject"),
        }
    }
}

type Sources = BTreeSet<Source>;

/// A claim that is matched and can be taken over, with the claims of which one would pin it.
type Names = BTreeSet<(String, &'static [&'static str])>;

/// How a truth value hangs on what may be missing. What is in neither `gained` nor `lost` makes no difference.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Leaning {
    /// Without these, or with what only looks like them, it may become true.
    pub(crate) gained: Sources,
    /// Without these, or with what only looks like them, it may become false.
    pub(crate) lost: Sources,
    /// Whenever it is true, these are there.
    needs: Sources,
    /// Whenever it is false, these are there.
    needs_false: Sources,
    /// When it is true, it may be by these alone.
    names: Names,
    names_false: Names,
}

impl Leaning {
    fn both(sources: Sources) -> Self {
        Self { gained: sources.clone(), lost: sources, ..Self::default() }
    }

    /// True only with the source, which stays as it is by itself.
    fn needing(source: Source) -> Self {
        Self { lost: [source.clone()].into(), needs: [source].into(), ..Self::default() }
    }

    fn not(self) -> Self {
        Self {
            gained: self.lost,
            lost: self.gained,
            needs: self.needs_false,
            needs_false: self.needs,
            names: self.names_false,
            names_false: self.names,
        }
    }

    fn and(mut self, other: Self) -> Self {
        self.needs.extend(other.needs);
        self.needs_false.retain(|s| other.needs_false.contains(s));
        self.lost.extend(other.lost);
        self.gained.extend(other.gained);
        self.names.extend(other.names);
        let needs = &self.needs;
        self.names.retain(|(_, lasting)| !is_pinned(lasting, needs));
        self.names_false.extend(other.names_false);
        self
    }

    fn or(self, other: Self) -> Self {
        self.not().and(other.not()).not()
    }
}

/// True when one of the lasting claims must be there, or a group, which the mapping gave by the claims that it pins, or one subject alone
/// is meant.
fn is_pinned(lasting: &[&str], needs: &Sources) -> bool {
    needs.iter().any(|s| match s {
        Source::Claim(name) => lasting.contains(&name.as_str()),
        Source::Subject | Source::Group(_) | Source::SomeGroup => true,
        Source::Claims | Source::Groups => false,
    })
}

/// How a rule hangs on claims and groups; `rule` is its JSON form.
pub(crate) fn leaning(language: &Language, rule: &Value) -> Leaning {
    let walk = Walk { language };
    let mut whole = rule.get("principal").map_or_else(Leaning::default, |scope| walk.scope(scope));
    for condition in rule.get("conditions").and_then(Value::as_array).into_iter().flatten() {
        let body = condition.get("body").map_or_else(Leaning::default, |body| walk.truth(body));
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        whole = whole.and(if unless { body.not() } else { body });
    }
    whole
}

/// What to say of a rule to its writer: what, and what to do.
pub(crate) fn warnings(language: &Language, effect: RuleEffect, rule: &Value) -> Vec<(String, String)> {
    if effect == RuleEffect::Forbid {
        return Vec::new();
    }
    let leaning = leaning(language, rule);
    let mut found = Vec::new();
    if !leaning.gained.is_empty() {
        let sources: Vec<String> = leaning.gained.iter().map(ToString::to_string).collect();
        found.push((
            format!(
                "this permit may apply because something is missing from a token, or only looks different: {}",
                sources.join(", ")
            ),
            "say what it must be, not what it must not be; if that cannot be said, write a forbid, which has a name of its \
             own and counts against every permit"
                .to_owned(),
        ));
    }
    for (claim, lasting) in &leaning.names {
        found.push((
            format!("\"{claim}\" can be renamed, freed and taken by somebody else, and nothing here pins it"),
            format!("also match \"{}\", which stays", lasting.first().copied().unwrap_or_default()),
        ));
    }
    found
}

struct Walk<'a> {
    language: &'a Language,
}

impl Walk<'_> {
    fn scope(&self, scope: &Value) -> Leaning {
        let operation = scope.get("op").and_then(Value::as_str);
        match (operation, scope.get("entity").and_then(entity)) {
            (Some("in" | "=="), Some(found)) => related(&[found]),
            (Some("is"), _) => match scope.get("in").and_then(|i| i.get("entity")).and_then(entity) {
                Some(found) => related(&[found]),
                None => Leaning::default(),
            },
            _ => Leaning::default(),
        }
    }

    /// An expression that is true or false.
    fn truth(&self, expression: &Value) -> Leaning {
        let Some((operator, argument)) = single(expression) else { return Leaning::default() };
        let part = |name: &str| argument.get(name).unwrap_or(&Value::Null);
        let (left, right) = (part("left"), part("right"));
        let leaning = match operator {
            "&&" => Some(self.truth(left).and(self.truth(right))),
            "||" => Some(self.truth(left).or(self.truth(right))),
            "!" => Some(self.truth(part("arg")).not()),
            "if-then-else" => Some(self.choice(part("if"), part("then"), part("else"))),
            "==" => self.equality(left, right).or_else(|| self.equality(right, left)),
            "!=" => self.equality(left, right).or_else(|| self.equality(right, left)).map(Leaning::not),
            "like" => self.like(left, part("pattern")),
            "contains" => self.contains(left, right),
            "containsAny" => self.overlap(left, right).or_else(|| self.overlap(right, left)),
            "containsAll" => self.contains_all(left, right),
            "isEmpty" => self.source(part("arg")).map(|(s, _)| Leaning { gained: [s].into(), ..Leaning::default() }),
            "in" => match (path(left), entities(right)) {
                (Some(("principal", path)), Some(found)) if path.is_empty() => Some(related(&found)),
                _ => None,
            },
            "is" => match (path(part("left")), argument.get("in")) {
                (_, None) => Some(Leaning::default()),
                (Some(("principal", path)), Some(right)) if path.is_empty() => entities(right).map(|f| related(&f)),
                _ => None,
            },
            // Every attribute is always there.
            "has" => Some(Leaning::default()),
            _ => None,
        };
        leaning.unwrap_or_else(|| Leaning::both(self.mentions(expression)))
    }

    fn choice(&self, test: &Value, then: &Value, otherwise: &Value) -> Leaning {
        let constant = |v: &Value| v.get("Value").and_then(Value::as_bool);
        let c = self.truth(test);
        match (constant(then), constant(otherwise)) {
            (_, Some(false)) => c.and(self.truth(then)),
            (Some(false), _) => c.not().and(self.truth(otherwise)),
            (_, Some(true)) => c.not().or(self.truth(then)),
            (Some(true), _) => c.or(self.truth(otherwise)),
            _ => c.clone().and(self.truth(then)).or(c.not().and(self.truth(otherwise))),
        }
    }

    /// A claim or the groups, and whether it is a set.
    fn source(&self, expression: &Value) -> Option<(Source, bool)> {
        let (variable, path) = path(expression)?;
        match (variable, path.as_slice()) {
            ("principal", ["claims", name]) => {
                let set = self.language.claim(name).is_none_or(|c| c.kind == ClaimKind::Set);
                Some((Source::Claim((*name).to_owned()), set))
            }
            ("principal", ["groups"]) => Some((Source::Groups, true)),
            _ => None,
        }
    }

    fn equality(&self, left: &Value, right: &Value) -> Option<Leaning> {
        if let Some(("principal", attributes)) = path(left) {
            let subject = match (attributes.as_slice(), right.get("Value")) {
                ([], Some(value)) => entity(value).and_then(|(kind, id)| (kind == "Identity").then_some(id)),
                (["subject"], Some(value)) => value.as_str(),
                _ => None,
            };
            if let Some(subject) = subject {
                return Some(identity(subject));
            }
        }
        let (source, set) = self.source(left)?;
        if set || !self.mentions(right).is_empty() {
            return Some(Leaning::both(self.mentions(left).into_iter().chain(self.mentions(right)).collect()));
        }
        if let Some(text) = right.get("Value").and_then(Value::as_str) {
            return Some(if text.is_empty() { Leaning::needing(source).not() } else { matched(source, text) });
        }
        let never_empty = path(right).is_some_and(|(variable, path)| match path.as_slice() {
            [name] => NEVER_EMPTY.contains(&(variable, name)),
            _ => false,
        });
        Some(if never_empty { matched(source, "") } else { Leaning::both([source].into()) })
    }

    fn like(&self, left: &Value, pattern: &Value) -> Option<Leaning> {
        let (source, _) = self.source(left)?;
        let parts = pattern.as_array()?;
        let literal = |p: &Value| p.get("Literal").and_then(Value::as_str).map(str::to_owned);
        let beginning: String = parts.iter().map_while(literal).collect();
        Some(if parts.is_empty() {
            Leaning::needing(source).not()
        } else if parts.iter().any(|p| literal(p).is_some()) {
            matched(source, &beginning)
        } else {
            Leaning::default()
        })
    }

    /// No set of an action's attributes has an empty text in it, so that an absent claim is in none.
    fn contains(&self, set: &Value, item: &Value) -> Option<Leaning> {
        match (self.source(set), self.source(item)) {
            (Some((source, true)), None) if self.mentions(item).is_empty() => Some(having(source)),
            (None, Some((source, false))) if self.mentions(set).is_empty() => {
                let texts = set.get("Set").and_then(Value::as_array).into_iter().flatten();
                let texts: Vec<&str> = texts.filter_map(|v| v.get("Value")).filter_map(Value::as_str).collect();
                if texts.contains(&"") {
                    return Some(Leaning::both([source].into()));
                }
                let matches = texts.iter().map(|text| matched(source.clone(), text)).reduce(Leaning::or);
                Some(matches.unwrap_or_else(|| matched(source, "")))
            }
            _ => None,
        }
    }

    fn overlap(&self, set: &Value, other: &Value) -> Option<Leaning> {
        let (source, _) = self.source(set)?;
        self.mentions(other).is_empty().then(|| having(source))
    }

    fn contains_all(&self, set: &Value, all: &Value) -> Option<Leaning> {
        match (self.source(set), self.source(all)) {
            (Some((source, _)), None) if self.mentions(all).is_empty() => {
                let only = Leaning { lost: [source.clone()].into(), ..Leaning::default() };
                // Everything contains all of nothing.
                let some = all.get("Set").and_then(Value::as_array).is_some_and(|items| !items.is_empty());
                Some(if some { having(source) } else { only })
            }
            // True of a set with less in it, and no longer of one that has a look-alike.
            (None, Some((source, _))) if self.mentions(set).is_empty() => Some(Leaning::both([source].into())),
            _ => None,
        }
    }

    /// Everything in an expression that may be missing from a token.
    fn mentions(&self, expression: &Value) -> Sources {
        let mut found = Sources::new();
        let mut stack = vec![expression];
        while let Some(value) = stack.pop() {
            if let Some((source, _)) = self.source(value) {
                found.insert(source);
                continue;
            }
            if let Some(("Group", id)) = value.get("Value").and_then(entity) {
                found.insert(Source::Group(id.to_owned()));
            }
            match value.get(".").and_then(|a| a.get("attr")).and_then(Value::as_str) {
                Some("claims") => drop(found.insert(Source::Claims)),
                Some("groups") => drop(found.insert(Source::Groups)),
                _ => {}
            }
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(map) => stack.extend(map.values()),
                _ => {}
            }
        }
        found
    }
}

/// A text claim that is compared with a text that is not empty.
fn matched(source: Source, text: &str) -> Leaning {
    let names = match &source {
        Source::Claim(name) if name == "sub" => {
            let mut subject = identity(text);
            subject.lost.insert(source.clone());
            subject.needs.insert(source);
            return subject;
        }
        Source::Claim(name) => lasting_claims(name, text).map(|lasting| (name.clone(), lasting)),
        _ => None,
    };
    Leaning { names: names.into_iter().collect(), ..Leaning::needing(source) }
}

/// A set that must have something in it.
fn having(source: Source) -> Leaning {
    let needs = if source == Source::Groups { [Source::SomeGroup].into() } else { Sources::new() };
    Leaning { lost: [source].into(), needs, ..Leaning::default() }
}

/// The principal is one of these, or in one of these.
fn related(found: &[(&str, &str)]) -> Leaning {
    let each = found.iter().map(|(kind, id)| match *kind {
        "Group" => {
            let mut one = Leaning::needing(Source::Group((*id).to_owned()));
            one.needs.insert(Source::SomeGroup);
            one
        }
        "Identity" => identity(id),
        _ => Leaning::default(),
    });
    each.reduce(Leaning::or).unwrap_or_default()
}

/// The principal is this subject, alone or as `ISSUER#SUBJECT`. Of an unknown one (it is compared with a fact) nothing is said.
fn identity(subject: &str) -> Leaning {
    let subject = subject.split_once('#').map_or(subject, |(_, subject)| subject);
    match lasting_claims("sub", subject) {
        Some(lasting) => Leaning { names: [("sub".to_owned(), lasting)].into(), ..Leaning::default() },
        None if subject.is_empty() => Leaning::default(),
        None => Leaning { needs: [Source::Subject].into(), ..Leaning::default() },
    }
}

/// The one pair of an object.
fn single(expression: &Value) -> Option<(&str, &Value)> {
    let mut pairs = expression.as_object()?.iter();
    match (pairs.next(), pairs.next()) {
        (Some((key, value)), None) => Some((key.as_str(), value)),
        _ => None,
    }
}
