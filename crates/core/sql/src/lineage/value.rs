//! What a value depends on.
//!
//! It must never lose a source: sets only grow.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::Tag;

/// One stored column.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Source {
    /// `schema.relation.column`.
    pub(crate) name: Arc<str>,
    pub(crate) tags: Arc<[Tag]>,
    /// It is said of a view's column, and nothing is stored under it.
    pub(crate) of_view: bool,
}

/// A set of stored columns, or more than can be told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sources {
    columns: Arc<BTreeSet<Source>>,
    /// It may depend on anything that the database holds.
    pub(crate) anything: bool,
}

impl Sources {
    pub(crate) fn anything() -> Self {
        Self { columns: Arc::default(), anything: true }
    }

    pub(crate) fn one(source: Source) -> Self {
        Self { columns: Arc::new(BTreeSet::from([source])), anything: false }
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.anything |= other.anything;
        if self.columns.is_empty() {
            self.columns = Arc::clone(&other.columns);
        } else if !Arc::ptr_eq(&self.columns, &other.columns) && !other.columns.is_subset(&self.columns) {
            Arc::make_mut(&mut self.columns).extend(other.columns.iter().cloned());
        }
    }

    /// The same and one more.
    pub(crate) fn insert(&mut self, source: Source) {
        Arc::make_mut(&mut self.columns).insert(source);
    }

    /// The columns, sorted by name.
    pub(crate) fn columns(&self) -> &BTreeSet<Source> {
        &self.columns
    }

    /// Those of its columns that `keep` says, and anything if it is that.
    pub(crate) fn only(&self, keep: impl Fn(&Source) -> bool) -> Self {
        let columns = self.columns.iter().filter(|s| keep(s)).cloned().collect();
        Self { columns: Arc::new(columns), anything: self.anything }
    }

    pub(crate) fn is_tagged(&self) -> bool {
        self.anything || self.columns.iter().any(|c| !c.tags.is_empty())
    }

    /// Its tags; `all` are those of the database.
    pub(crate) fn tags(&self, all: &[Tag]) -> BTreeSet<Tag> {
        if self.anything {
            return all.iter().cloned().collect();
        }
        self.columns.iter().flat_map(|c| c.tags.iter().cloned()).collect()
    }
}

/// How near a value is to what is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearness {
    /// The stored value of one column, or null where an outer join found none.
    Direct,
    /// A part of one, chosen by what the text says: an element, a field, a member.
    Part,
    /// Anything else.
    #[default]
    Computed,
}

/// A value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) sources: Sources,
    pub(crate) nearness: Nearness,
    /// The object id of its type; 0 when that is not known.
    pub(crate) type_oid: u32,
}

impl Value {
    /// A value that was computed from these.
    pub(crate) fn computed(sources: Sources) -> Self {
        Self { sources, nearness: Nearness::Computed, type_oid: 0 }
    }

    pub(crate) fn anything() -> Self {
        Self::computed(Sources::anything())
    }

    /// A value that may be either.
    pub(crate) fn or(&mut self, other: &Self) {
        if self.type_oid != other.type_oid || self.type_oid == 0 {
            self.nearness = Nearness::Computed;
            self.type_oid = 0;
        }
        self.nearness = self.nearness.max(other.nearness);
        self.sources.add(&other.sources);
    }
}

/// Rows: what `*` gives, and what names mean.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) columns: Vec<(Arc<str>, Value)>,
    /// What columns depend on that are not listed; `None` when all are listed.
    pub(crate) others: Option<Sources>,
}

impl Row {
    /// Rows of which nothing is known.
    pub(crate) fn anything() -> Self {
        Self { columns: Vec::new(), others: Some(Sources::anything()) }
    }

    /// All that any column depends on.
    pub(crate) fn sources(&self) -> Sources {
        let mut all = self.others.clone().unwrap_or_default();
        for (_, value) in &self.columns {
            all.add(&value.sources);
        }
        all
    }

    /// The row with the first columns under other names.
    pub(crate) fn renamed(mut self, names: &[Arc<str>]) -> Self {
        if let Some(others) = &self.others {
            // More names than columns that are known: they are some of the others.
            while self.columns.len() < names.len() {
                self.columns.push(("".into(), Value::computed(others.clone())));
            }
        }
        for (column, name) in self.columns.iter_mut().zip(names) {
            column.0 = Arc::clone(name);
        }
        self
    }

    /// The columns of this name; more than one where it is ambiguous.
    pub(crate) fn named(&self, name: &str) -> Option<Value> {
        let mut found = self.columns.iter().filter(|(n, _)| **n == *name).map(|(_, v)| v);
        let mut value = found.next()?.clone();
        found.for_each(|other| value.or(other));
        Some(value)
    }

    /// Column by column either row.
    pub(crate) fn or(&mut self, other: &Self) {
        if self.columns.len() == other.columns.len() {
            for (column, other) in self.columns.iter_mut().zip(&other.columns) {
                column.1.or(&other.1);
            }
            if let Some(more) = &other.others {
                self.others.get_or_insert_default().add(more);
            }
            return;
        }
        // Which column meets which cannot be told.
        let mut all = self.sources();
        all.add(&other.sources());
        for column in &mut self.columns {
            column.1 = Value::computed(all.clone());
        }
        self.others = Some(all);
    }
}
