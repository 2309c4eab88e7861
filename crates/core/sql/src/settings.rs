//! What of a session decides how its texts are read.

use std::sync::Arc;

use crate::catalog::{Catalog, TEMPORARY_SCHEMA};

/// The facts of a session that change what names mean. Compared by value in cache keys; the temporary catalog by its generation.
#[derive(Clone, Debug)]
pub struct Settings {
    path: Vec<Arc<str>>,
    role: Option<Arc<str>>,
    temporary: Option<Arc<Catalog>>,
    may_revert: bool,
}

impl Settings {
    /// `search_path` as `current_schemas(true)` gives it, implicit schemas included; `role` is the current user.
    pub fn new<S: AsRef<str>>(search_path: &[S], role: Option<&str>) -> Self {
        let mut settings = Self { path: Vec::new(), role: role.map(Into::into), temporary: None, may_revert: false };
        settings.path = settings.effective(search_path.iter().map(AsRef::as_ref));
        settings
    }

    /// The same session with these temporary objects, built from [`crate::TEMPORARY_QUERIES`].
    #[must_use]
    pub fn with_temporary(mut self, temporary: Option<Arc<Catalog>>) -> Self {
        self.temporary = temporary.filter(|t| t.relation_count() > 0 || !t.schemas.is_empty());
        self
    }

    /// The same session after `SET search_path TO values`.
    #[must_use]
    pub fn with_search_path<S: AsRef<str>>(&self, values: &[S]) -> Self {
        let path = self.effective(values.iter().map(AsRef::as_ref));
        Self { path, ..self.clone() }
    }

    /// The same session, with `search_path` set within the open transaction: its end may bring back another one.
    #[must_use]
    pub fn with_revertible_path(mut self, may_revert: bool) -> Self {
        self.may_revert = may_revert;
        self
    }

    pub(crate) fn may_revert(&self) -> bool {
        self.may_revert
    }

    /// The path that names are looked up in.
    pub fn search_path(&self) -> &[Arc<str>] {
        &self.path
    }

    pub(crate) fn temporary(&self) -> Option<&Catalog> {
        self.temporary.as_deref()
    }

    /// Everything that the same text could mean something else by, each part with its length before it. Temporary objects are of this
    /// session alone: where there are some, no other session's settings are written alike.
    pub fn in_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut add = |part: &[u8]| {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        };
        add(self.role.as_deref().unwrap_or_default().as_bytes());
        add(&self.temporary.as_ref().map(|t| t.generation().to_be_bytes()).map_or(Vec::new(), Vec::from));
        add(&[u8::from(self.may_revert)]);
        for schema in &self.path {
            add(schema.as_bytes());
        }
        out
    }

    /// True when both read every text alike.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let generation = |s: &Self| s.temporary.as_ref().map(|t| t.generation());
        self.path == other.path
            && self.role == other.role
            && self.may_revert == other.may_revert
            && generation(self) == generation(other)
    }

    /// Adds the implicit schemas: temporary objects first, then the built-in ones, unless the path says where they come.
    fn effective<'a>(&self, named: impl Iterator<Item = &'a str>) -> Vec<Arc<str>> {
        let mut path: Vec<Arc<str>> = Vec::new();
        for name in named {
            let name = match name {
                "$user" => match &self.role {
                    Some(role) => &**role,
                    None => continue,
                },
                n if is_temporary(n) => TEMPORARY_SCHEMA,
                n => n,
            };
            if !path.iter().any(|p| &**p == name) {
                path.push(name.into());
            }
        }
        if !path.iter().any(|p| &**p == "pg_catalog") {
            path.insert(0, "pg_catalog".into());
        }
        if !path.iter().any(|p| &**p == TEMPORARY_SCHEMA) {
            path.insert(0, TEMPORARY_SCHEMA.into());
        }
        path
    }
}

/// True for the session's own temporary schema, by either of its names.
pub(crate) fn is_temporary(schema: &str) -> bool {
    schema == TEMPORARY_SCHEMA
        || schema.strip_prefix("pg_temp_").is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}
