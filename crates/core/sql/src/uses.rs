//! Collects what a text does, access by access, and makes the uses of a shape from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use countersign_model::{Access, Attribute, Attributes, Shape, Use};

use crate::vocabulary as v;

/// The names of one access.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    sets: BTreeMap<&'static str, BTreeSet<Arc<str>>>,
    /// A relation that is not a plain system catalog.
    beyond_catalog: bool,
    /// A relation that is not temporary.
    permanent: bool,
    temporary: bool,
    sensitive: bool,
    unfiltered: bool,
    uncounted: bool,
    copy: bool,
}

/// All accesses of a text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Uses(BTreeMap<Access, Part>);

impl Part {
    pub(crate) fn add(&mut self, set: &'static str, item: &Arc<str>) {
        let items = self.sets.entry(set).or_default();
        if !items.contains(item) {
            items.insert(Arc::clone(item));
        }
    }

    pub(crate) fn beyond_catalog(&mut self) {
        self.beyond_catalog = true;
    }

    pub(crate) fn sensitive(&mut self) {
        self.sensitive = true;
        self.beyond_catalog = true;
    }

    pub(crate) fn unfiltered(&mut self) {
        self.unfiltered = true;
    }

    pub(crate) fn copy(&mut self) {
        self.copy = true;
    }

    pub(crate) fn touches(&mut self, temporary: bool) {
        self.temporary |= temporary;
        self.permanent |= !temporary;
    }

    pub(crate) fn items(&self, set: &'static str) -> impl Iterator<Item = &Arc<str>> {
        self.sets.get(set).into_iter().flatten()
    }
}

impl Uses {
    pub(crate) fn part(&mut self, access: Access) -> &mut Part {
        self.0.entry(access).or_default()
    }

    pub(crate) fn find(&self, access: Access) -> Option<&Part> {
        self.0.get(&access)
    }

    /// A write of these uses, if there is one, changes what is not counted.
    pub(crate) fn uncounted_write(&mut self) {
        if let Some(part) = self.0.get_mut(&Access::Write) {
            part.uncounted = true;
        }
    }

    pub(crate) fn access(&self) -> Option<Access> {
        self.0.keys().next_back().copied()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn is_sensitive(&self) -> bool {
        self.0.values().any(|p| p.sensitive)
    }

    pub(crate) fn items(&self, set: &'static str) -> impl Iterator<Item = &Arc<str>> {
        self.0.values().flat_map(move |p| p.items(set))
    }

    /// Adds everything of `other`.
    pub(crate) fn merge(&mut self, other: Self) {
        for (access, part) in other.0 {
            let mine = self.part(access);
            for (set, items) in part.sets {
                mine.sets.entry(set).or_default().extend(items);
            }
            mine.beyond_catalog |= part.beyond_catalog;
            mine.permanent |= part.permanent;
            mine.temporary |= part.temporary;
            mine.sensitive |= part.sensitive;
            mine.unfiltered |= part.unfiltered;
            mine.uncounted |= part.uncounted;
            mine.copy |= part.copy;
        }
    }

    /// Turns what would be written into what is read: `EXPLAIN` without `ANALYZE`.
    pub(crate) fn writes_to_reads(&mut self) {
        if let Some(mut part) = self.0.remove(&Access::Write) {
            part.unfiltered = false;
            part.uncounted = false;
            let mut reads = Self::default();
            reads.0.insert(Access::Read, part);
            self.merge(reads);
        }
    }

    /// Adds the uses of a finished shape.
    pub(crate) fn absorb(&mut self, shape: &Shape) {
        for used in shape.uses() {
            let flag = |name: &str| used.attributes.find(name) == Some(&Attribute::Bool(true));
            let part = self.part(used.access);
            part.sensitive |= flag(v::SENSITIVE_CATALOG);
            part.copy |= flag(v::COPY);
            if used.access == Access::Read {
                part.beyond_catalog |= !flag(v::CATALOG_ONLY);
            }
            if used.access == Access::Write {
                part.unfiltered |= !flag(v::FILTERED);
                part.uncounted |= flag(v::UNCOUNTED);
                part.touches(flag(v::TEMPORARY));
            }
            for (name, value) in used.attributes.iter() {
                if let Attribute::Set(items) = value {
                    for item in items.iter() {
                        part.add(name, item);
                    }
                }
            }
        }
    }

    /// The uses for a shape, mild to grave.
    pub(crate) fn into_uses(self) -> Vec<Use> {
        self.0
            .into_iter()
            .map(|(access, part)| {
                let mut attributes = Attributes::new();
                let schemas = part
                    .sets
                    .get(v::RELATIONS_ALL)
                    .map(|all| all.iter().map(|r| schema_of(r)).collect::<BTreeSet<_>>());
                if access == Access::Read && !part.beyond_catalog {
                    attributes.insert(v::CATALOG_ONLY, Attribute::Bool(true));
                }
                if access == Access::Write {
                    if !part.unfiltered {
                        attributes.insert(v::FILTERED, Attribute::Bool(true));
                    }
                    if part.uncounted {
                        attributes.insert(v::UNCOUNTED, Attribute::Bool(true));
                    }
                    if part.temporary && !part.permanent {
                        attributes.insert(v::TEMPORARY, Attribute::Bool(true));
                    }
                }
                if part.sensitive {
                    attributes.insert(v::SENSITIVE_CATALOG, Attribute::Bool(true));
                }
                if part.copy {
                    attributes.insert(v::COPY, Attribute::Bool(true));
                }
                for (name, items) in part.sets {
                    attributes.insert(name, Attribute::set(items));
                }
                if let Some(schemas) = schemas {
                    attributes.insert(v::SCHEMAS, Attribute::set(schemas));
                }
                Use { access, attributes }
            })
            .collect()
    }
}

/// The first part of a qualified name, unquoted.
fn schema_of(qualified: &str) -> String {
    match qualified.strip_prefix('"') {
        None => qualified.split('.').next().unwrap_or_default().to_owned(),
        Some(rest) => {
            let mut out = String::new();
            let mut chars = rest.chars().peekable();
            while let Some(c) = chars.next() {
                if c == '"' && chars.next_if_eq(&'"').is_none() {
                    break;
                }
                out.push(c);
            }
            out
        }
    }
}

impl Uses {
    /// Marks every access with the kind of the statement that needs it.
    pub(crate) fn state(&mut self, kind: &'static str) {
        let kind: Arc<str> = kind.into();
        for part in self.0.values_mut() {
            part.add(v::STATEMENTS, &kind);
        }
    }
}

impl Uses {
    /// Takes an access out again if nothing was noted under it.
    pub(crate) fn drop_if_empty(&mut self, access: Access) {
        if self.0.get(&access).is_some_and(|p| p.sets.is_empty() && !p.beyond_catalog) {
            self.0.remove(&access);
        }
    }
}
