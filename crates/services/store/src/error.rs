//! Why the store could not do it. Texts are for operators; they hold no stored value and no password.

/// Why the store could not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, is locked, or broke off. What needed it must be refused.
    #[error("the store ({store}) could not {what}: {why}")]
    Unavailable {
        /// Which store.
        store: String,
        /// What was tried.
        what: &'static str,
        /// What came of it.
        why: String,
    },
    /// Somebody else was first, or the name is taken.
    #[error("{0}")]
    Conflict(String),
    /// Something is larger or more than allowed.
    #[error("{0}")]
    Limit(String),
    /// What is stored cannot be understood.
    #[error("the store ({store}) holds something that cannot be read: {why}")]
    Corrupt {
        /// Which store.
        store: String,
        /// What it is.
        why: String,
    },
    /// It cannot be opened as configured.
    #[error("the store ({store}) cannot be opened: {why}")]
    Open {
        /// Which store.
        store: String,
        /// Why, and what to do.
        why: String,
    },
}

impl StoreError {
    pub(crate) fn unavailable(store: &str, what: &'static str, why: String) -> Self {
        Self::Unavailable { store: store.to_owned(), what, why }
    }
}

/// What may go wrong inside an operation, before it is known which store it was.
#[derive(Debug)]
pub(crate) enum Fault {
    Sql(sqlx::Error),
    Limit(String),
    Corrupt(String),
}

impl From<sqlx::Error> for Fault {
    fn from(e: sqlx::Error) -> Self {
        Self::Sql(e)
    }
}

impl Fault {
    /// With the store and the operation named.
    pub(crate) fn told(self, store: &str, what: &'static str) -> StoreError {
        match self {
            Self::Sql(e) if is_unique_violation(&e) => {
                StoreError::Conflict(format!("could not {what}: there is one with this name already"))
            }
            Self::Sql(e) => StoreError::unavailable(store, what, told(&e)),
            Self::Limit(why) => StoreError::Limit(why),
            Self::Corrupt(why) => StoreError::Corrupt { store: store.to_owned(), why },
        }
    }
}

/// The database's words without the parts that may repeat a stored value.
pub(crate) fn told(e: &sqlx::Error) -> String {
    match e {
        sqlx::Error::Database(d) => d.message().to_owned(),
        sqlx::Error::PoolTimedOut => "all connections are in use, or none can be made".to_owned(),
        other => other.to_string(),
    }
}

pub(crate) fn is_unique_violation(e: &sqlx::Error) -> bool {
    e.as_database_error().is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}
