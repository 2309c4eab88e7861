//! What an action tells policy about itself, as named values.
//!
//! Each protocol publishes a [`Vocabulary`]; the policy schema is made from all of them, so the core needs no protocol's name.

use std::sync::Arc;

/// A value that policy may look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Attribute {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// Text.
    String(Arc<str>),
    /// A set of texts, sorted and without repeats.
    Set(Arc<[Arc<str>]>),
}

impl Attribute {
    /// A set from any texts; sorts and removes repeats.
    pub fn set<I, S>(items: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<Arc<str>>,
    {
        let mut v: Vec<Arc<str>> = items.into_iter().map(Into::into).collect();
        v.sort();
        v.dedup();
        Self::Set(v.into())
    }

    /// Which kind of value this is.
    pub fn kind(&self) -> AttributeKind {
        match self {
            Self::Bool(_) => AttributeKind::Bool,
            Self::Long(_) => AttributeKind::Long,
            Self::String(_) => AttributeKind::String,
            Self::Set(_) => AttributeKind::Set,
        }
    }
}

/// The type of an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeKind {
    /// [`Attribute::Bool`]; absent means false.
    Bool,
    /// [`Attribute::Long`]; absent means 0.
    Long,
    /// [`Attribute::String`]; absent means empty.
    String,
    /// [`Attribute::Set`]; absent means empty.
    Set,
}

/// An attribute that a protocol may set on its actions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttributeSpec {
    /// The name in policies: `context.NAME`.
    pub name: &'static str,
    /// Its type.
    pub kind: AttributeKind,
    /// One sentence for the published schema.
    pub doc: &'static str,
}

/// Every attribute that a protocol may set. Two protocols may share a name if they agree on its type.
pub type Vocabulary = &'static [AttributeSpec];

/// Named values, sorted by name. Small: a handful.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Attributes(Vec<(&'static str, Attribute)>);

impl Attributes {
    /// None yet.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Sets one, replacing an earlier value.
    pub fn insert(&mut self, name: &'static str, value: Attribute) {
        match self.0.binary_search_by(|(n, _)| (*n).cmp(name)) {
            Ok(i) => {
                if let Some(slot) = self.0.get_mut(i) {
                    slot.1 = value;
                }
            }
            Err(i) => self.0.insert(i, (name, value)),
        }
    }

    /// Reads one.
    pub fn find(&self, name: &str) -> Option<&Attribute> {
        let i = self.0.binary_search_by(|(n, _)| (*n).cmp(name)).ok()?;
        self.0.get(i).map(|(_, v)| v)
    }

    /// All of them, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Attribute)> {
        self.0.iter().map(|(n, v)| (*n, v))
    }
}
