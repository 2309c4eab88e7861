//! Which facts a set of rules reads, found by walking their trees.
//!
//! Verdicts are kept by exactly these facts, and evaluation is given exactly these facts, so a fact that the walk missed
//! leads to a deny and never to a stale allow. Where the walk does not understand a form, it assumes that everything is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_model::AttributeKind;
use serde_json::{Map, Value};

use crate::language::{ClaimKind, GRANTS, Language, PrincipalField, SessionAttribute, TAGS};

/// Some names, each with a number of its own, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Names(BTreeMap<Arc<str>, u32>);

impl Names {
    fn add(&mut self, name: &str) {
        // There are fewer names than bytes in policy files, so the numbers do not end.
        let next = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        if !self.0.contains_key(name) {
            self.0.insert(name.into(), next);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, sorted.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(|name| &**name)
    }

    /// Those that are held, sorted, with their numbers. It takes as long as the shorter of the two: rules may name thousands of groups, and
    /// an identity may be in thousands.
    pub(crate) fn held<'a>(&'a self, held: &'a BTreeSet<String>) -> impl Iterator<Item = (&'a str, u32)> {
        let rules_name_few = self.0.len() <= held.len();
        let named = self.0.iter().take(if rules_name_few { usize::MAX } else { 0 });
        let mine = held.iter().take(if rules_name_few { 0 } else { usize::MAX });
        let named = named.filter(|(name, _)| held.contains(&***name)).map(|(name, number)| (&**name, *number));
        named
            .chain(mine.filter_map(|name| self.0.get_key_value(name.as_str()).map(|(name, number)| (&**name, *number))))
    }
}

/// Which memberships matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Memberships {
    /// Whether it is in these.
    Of(Names),
    /// All that it is in.
    All,
}

impl Default for Memberships {
    fn default() -> Self {
        Self::Of(Names::default())
    }
}

impl Memberships {
    fn add(&mut self, name: &str) {
        if let Self::Of(names) = self {
            names.add(name);
        }
    }
}

/// The facts that some rules read. What the action says of itself is not part of a key (its shape's id is), the rest is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) identity_id: bool,
    pub(crate) fields: BTreeSet<PrincipalField>,
    pub(crate) claims: BTreeMap<String, ClaimKind>,
    pub(crate) groups: Memberships,
    pub(crate) labels: Memberships,
    pub(crate) target_name: bool,
    pub(crate) protocol: bool,
    pub(crate) session: BTreeSet<SessionAttribute>,
    /// The tags that the action has to do with.
    pub(crate) tags: bool,
    /// The rules that were granted.
    pub(crate) grants: bool,
    pub(crate) attributes: BTreeMap<&'static str, AttributeKind>,
}

impl Reads {
    /// Everything that the language knows.
    pub(crate) fn everything(language: &Language) -> Self {
        let mut all = Self::default();
        all.whole_principal(language);
        all.whole_resource();
        all.whole_context(language);
        all
    }

    /// True when no verdict on these facts may be kept.
    pub(crate) fn never_kept(&self) -> bool {
        self.session.iter().any(|a| a.never_kept())
    }

    /// True when a verdict on these facts may change while a session lasts.
    pub(crate) fn passes(&self) -> bool {
        self.grants || self.session.iter().any(|a| a.passes())
    }

    /// Adds what one rule reads; `rule` is its JSON form.
    pub(crate) fn add_rule(&mut self, language: &Language, rule: &Value) {
        for (variable, scope) in [("principal", rule.get("principal")), ("resource", rule.get("resource"))] {
            match scope {
                Some(scope) => self.scope(language, variable, scope),
                None => self.bare(language, variable),
            }
        }
        let mut stack: Vec<&Value> = rule.get("conditions").into_iter().collect();
        while let Some(value) = stack.pop() {
            match value {
                Value::Array(items) => stack.extend(items),
                Value::Object(map) if self.operation(language, map, &mut stack) => {}
                Value::Object(map) => stack.extend(map.values()),
                _ => {}
            }
        }
    }

    fn scope(&mut self, language: &Language, variable: &str, scope: &Value) {
        let entities: Vec<&Value> = match scope.get("op").and_then(Value::as_str) {
            Some("All") => Vec::new(),
            Some("==") => vec![scope],
            Some("in") => vec![scope],
            Some("is") => scope.get("in").into_iter().collect(),
            _ => return self.bare(language, variable),
        };
        for holder in entities {
            match holder.get("entity").and_then(entity) {
                Some(found) => self.related(language, variable, found),
                None => self.bare(language, variable),
            }
        }
    }

    /// Takes one operation in; false when its parts are to be walked as they are.
    fn operation<'a>(&mut self, language: &Language, map: &'a Map<String, Value>, stack: &mut Vec<&'a Value>) -> bool {
        let mut pairs = map.iter();
        let (Some((operator, argument)), None) = (pairs.next(), pairs.next()) else {
            return false;
        };
        match operator.as_str() {
            "Var" => {
                let Some(variable) = argument.as_str() else { return false };
                self.bare(language, variable);
                true
            }
            "." | "has" => {
                let (Some(left), Some(attribute)) = (argument.get("left"), argument.get("attr")) else { return false };
                let Some((variable, mut path)) = path(left) else { return false };
                match attribute {
                    Value::String(name) => path.push(name),
                    Value::Array(names) => path.extend(names.iter().filter_map(Value::as_str)),
                    _ => return false,
                }
                self.access(language, variable, &path);
                true
            }
            "in" | "==" | "!=" => {
                let (Some(left), Some(right)) = (argument.get("left"), argument.get("right")) else { return false };
                if operator != "in" && self.relation(language, right, left) {
                    return true;
                }
                if self.relation(language, left, right) {
                    return true;
                }
                stack.extend([left, right]);
                true
            }
            "is" => {
                let Some((variable, path)) = argument.get("left").and_then(path) else { return false };
                if !path.is_empty() {
                    return false;
                }
                match argument.get("in") {
                    None => true,
                    Some(right) => match entities(right) {
                        Some(found) => {
                            found.into_iter().for_each(|e| self.related(language, variable, e));
                            true
                        }
                        None => false,
                    },
                }
            }
            _ => false,
        }
    }

    /// `variable in|== literal`; false when it is something else.
    fn relation(&mut self, language: &Language, left: &Value, right: &Value) -> bool {
        match (path(left), entities(right)) {
            (Some((variable, path)), Some(found)) if path.is_empty() => {
                found.into_iter().for_each(|e| self.related(language, variable, e));
                true
            }
            _ => false,
        }
    }

    fn related(&mut self, language: &Language, variable: &str, (kind, id): (&str, &str)) {
        match (variable, kind) {
            ("principal", "Group") => self.groups.add(id),
            ("principal", "Identity") => self.identity_id = true,
            ("resource", "Label") => self.labels.add(id),
            ("resource", "Target") => self.target_name = true,
            // Which tag it is, and what stands for it, is the question itself.
            ("resource", "Tag") => {}
            _ => self.bare(language, variable),
        }
    }

    fn access(&mut self, language: &Language, variable: &str, path: &[&str]) {
        match (variable, path) {
            ("principal", ["claims"]) => self.all_claims(language),
            ("principal", ["claims", name, ..]) => {
                if let Some(claim) = language.claim(name) {
                    self.claims.insert(claim.name.clone(), claim.kind);
                }
            }
            ("principal", [name, ..]) => self.fields.extend(PrincipalField::find(name)),
            ("resource", ["name", ..]) => self.target_name = true,
            ("resource", ["protocol", ..]) => self.protocol = true,
            ("resource", [_, ..]) | ("action", _) => {}
            ("context", [name, ..]) => {
                self.session.extend(SessionAttribute::find(name));
                self.tags |= *name == TAGS;
                self.grants |= *name == GRANTS;
                self.attributes.extend(language.attribute(name).map(|a| (a.name, a.kind)));
            }
            _ => self.bare(language, variable),
        }
    }

    fn bare(&mut self, language: &Language, variable: &str) {
        match variable {
            "principal" => self.whole_principal(language),
            "resource" => self.whole_resource(),
            "context" => self.whole_context(language),
            "action" => {}
            _ => {
                self.whole_principal(language);
                self.whole_resource();
                self.whole_context(language);
            }
        }
    }

    fn whole_principal(&mut self, language: &Language) {
        self.identity_id = true;
        self.fields.extend(PrincipalField::ALL.map(|a| a.0));
        self.groups = Memberships::All;
        self.all_claims(language);
    }

    fn whole_resource(&mut self) {
        self.target_name = true;
        self.protocol = true;
        self.labels = Memberships::All;
    }

    fn whole_context(&mut self, language: &Language) {
        self.session.extend(SessionAttribute::ALL.map(|a| a.0));
        self.tags = true;
        self.grants = true;
        self.attributes.extend(language.attributes().map(|a| (a.name, a.kind)));
    }

    fn all_claims(&mut self, language: &Language) {
        self.claims.extend(language.claims().map(|c| (c.name.clone(), c.kind)));
    }
}

/// A variable and the attributes taken from it, when the expression is nothing else.
pub(crate) fn path(expression: &Value) -> Option<(&str, Vec<&str>)> {
    let mut reversed = Vec::new();
    let mut at = expression;
    loop {
        let map = at.as_object().filter(|m| m.len() == 1)?;
        if let Some(variable) = map.get("Var") {
            reversed.reverse();
            return Some((variable.as_str()?, reversed));
        }
        let access = map.get(".")?;
        reversed.push(access.get("attr")?.as_str()?);
        at = access.get("left")?;
    }
}

/// The entities of a literal or of a set of literals; `None` when anything else is among them.
pub(crate) fn entities(expression: &Value) -> Option<Vec<(&str, &str)>> {
    let map = expression.as_object().filter(|m| m.len() == 1)?;
    if let Some(items) = map.get("Set").and_then(Value::as_array) {
        return items.iter().map(|item| item.get("Value").and_then(entity)).collect();
    }
    map.get("Value").and_then(entity).map(|e| vec![e])
}

pub(crate) fn entity(value: &Value) -> Option<(&str, &str)> {
    let map = value.get("__entity").unwrap_or(value);
    Some((map.get("type")?.as_str()?, map.get("id")?.as_str()?))
}
