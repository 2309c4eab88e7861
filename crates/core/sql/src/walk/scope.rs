//! Which names are visible where: one scope per query level.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::protobuf::Alias;

use super::names;
use crate::catalog::Relation;

/// One query level.
#[derive(Debug, Default)]
pub(super) struct Scope<'a> {
    /// What `FROM` put here.
    pub(super) entries: Vec<Entry<'a>>,
    /// What `WITH` put here.
    pub(super) ctes: Vec<Cte>,
    /// Names of the output columns, while `ORDER BY` and `GROUP BY` are looked at.
    pub(super) outputs: Vec<Arc<str>>,
}

/// A name of a `WITH` list, with its columns if they are known.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: Arc<str>,
    pub(super) columns: Columns,
    pub(super) relations: Vec<Arc<str>>,
}

/// Output columns; `None` when they cannot be told.
pub(super) type Columns = Option<Vec<Arc<str>>>;

/// One item of `FROM`, or the target of a write.
#[derive(Clone, Debug)]
pub(super) struct Entry<'a> {
    /// The name that column references use.
    pub(super) name: Arc<str>,
    /// The schema they may put before it; empty when an alias hides it.
    pub(super) schema: Arc<str>,
    pub(super) source: Source<'a>,
    /// New names for the first columns.
    pub(super) renamed: Vec<Arc<str>>,
    /// Which use the columns belong to.
    pub(super) access: Access,
    /// Base relations behind it, for `FOR UPDATE`.
    pub(super) relations: Vec<Arc<str>>,
    /// Only visible by its name: `excluded`, `new`, `old`, an alias of a join.
    pub(super) only_named: bool,
}

/// What an entry is.
#[derive(Clone, Debug)]
pub(super) enum Source<'a> {
    /// A relation of the catalog.
    Relation(&'a Relation),
    /// A relation whose columns are not known.
    Bare,
    /// A subquery, function or name of a `WITH` list, whose columns were counted where they came from.
    Derived(Columns),
    /// A join with an alias: the entries with these names.
    Join(Vec<Arc<str>>),
}

/// How an entry answers for a column name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A column of its relation, by its real name.
    Column(Arc<str>),
    /// It has the column, and that was counted elsewhere.
    Derived,
    /// It may have it.
    Perhaps,
    /// It has not.
    No,
}

impl Entry<'_> {
    pub(super) fn answer(&self, column: &str) -> Answer {
        let renamed = self.renamed.iter().position(|r| &**r == column);
        match &self.source {
            Source::Relation(relation) => {
                if let Some(i) = renamed {
                    return relation.columns.get(i).map_or(Answer::Perhaps, |c| Answer::Column(Arc::clone(&c.name)));
                }
                let hidden = relation.columns.iter().take(self.renamed.len()).any(|c| &*c.name == column);
                if relation.has_column(column) && !hidden { Answer::Column(column.into()) } else { Answer::No }
            }
            Source::Bare | Source::Join(_) => Answer::Perhaps,
            Source::Derived(columns) => match columns {
                _ if renamed.is_some() => Answer::Derived,
                Some(columns) if columns.iter().skip(self.renamed.len()).any(|c| &**c == column) => Answer::Derived,
                Some(_) => Answer::No,
                None => Answer::Perhaps,
            },
        }
    }

    /// The columns that `*` gives.
    pub(super) fn star(&self) -> Columns {
        let mut columns: Vec<Arc<str>> = match &self.source {
            Source::Relation(relation) => relation.columns.iter().map(|c| Arc::clone(&c.name)).collect(),
            Source::Derived(Some(columns)) => columns.clone(),
            Source::Derived(None) | Source::Bare | Source::Join(_) => return None,
        };
        for (column, renamed) in columns.iter_mut().zip(&self.renamed) {
            column.clone_from(renamed);
        }
        Some(columns)
    }
}

/// The column names of an alias.
pub(crate) fn alias_columns(alias: Option<&Alias>) -> Vec<Arc<str>> {
    alias.and_then(|a| names(&a.colnames)).unwrap_or_default().into_iter().map(Into::into).collect()
}
