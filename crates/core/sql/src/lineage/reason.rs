//! What lineage tells: the outputs of a statement, and why it discloses what it does.

use std::sync::Arc;

use countersign_model::{Disclosure, Tag};

/// What a statement gives back to the client. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outputs {
    /// It returns no rows.
    None,
    /// Rows of exactly these columns.
    Columns(Arc<[OutputColumn]>),
    /// Rows of which not even the number of columns is known: every one counts as all of these tags. Without tags nothing in
    /// them is known to be sensitive.
    Unknown {
        /// Sorted.
        tags: Arc<[Tag]>,
    },
}

impl Outputs {
    /// Rows of which nothing is known but that they hold nothing sensitive.
    pub(crate) fn untagged() -> Self {
        Self::Unknown { tags: [].into() }
    }

    /// Every tag of every column, sorted.
    pub fn tags(&self) -> Vec<Tag> {
        match self {
            Self::None => Vec::new(),
            Self::Unknown { tags } => tags.to_vec(),
            Self::Columns(columns) => {
                let mut all: Vec<Tag> = columns.iter().flat_map(|c| c.tags.iter().cloned()).collect();
                all.sort();
                all.dedup();
                all
            }
        }
    }
}

/// One column of what a statement returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    /// Its name, where that can be told.
    pub name: Option<Arc<str>>,
    /// The stored columns that its values depend on, as `schema.relation.column`, sorted; `*` among them stands for anything that
    /// the database holds.
    pub sources: Arc<[Arc<str>]>,
    /// What it may show, sorted.
    pub tags: Arc<[Tag]>,
    /// Each value is the stored value of one column, only the name may differ, or null where an outer join found no row. Otherwise
    /// values are computed, and even their being null may tell something.
    pub direct: bool,
    /// The object id of its type, where lineage could tell it; 0 otherwise.
    pub type_oid: u32,
}

/// Which list of a [`Disclosure`] something belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Effect {
    /// Compared with a constant for equality.
    Matched,
    /// Which rows come, in which order, how many, or whether the statement fails depends on it.
    Chosen,
    /// Stored, or handed to code, where its tag would no longer be known.
    Copied,
}

impl Effect {
    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::Chosen => "chosen",
            Self::Copied => "copied",
        }
    }
}

/// Why tagged data is matched, chosen by or copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Which of them.
    pub effect: Effect,
    /// Where in the statement's structure: `WHERE`, `ORDER BY`, `a function that may fail`.
    pub what: &'static str,
    /// The stored columns, sorted; `*` for anything.
    pub columns: Vec<Arc<str>>,
    /// Their tags, sorted.
    pub tags: Vec<Tag>,
    /// Where in the text, in bytes from 0; `None` when it is not in this text (a view) or has no one place.
    pub place: Option<usize>,
}

/// The lineage of one statement, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementLineage {
    /// A word: `select`.
    pub kind: &'static str,
    /// What it gives back.
    pub outputs: Outputs,
    /// The sums that policy judges.
    pub disclosure: Disclosure,
    /// Why, in the order of the text's structure.
    pub reasons: Vec<Reason>,
}
