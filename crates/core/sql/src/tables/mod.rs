//! What is known by name: functions, settings and system relations whose effect the catalog does not tell.
//!
//! Plain tables with their reasons, so that a reviewer can read them in one go. They must never depend on a session or a catalog.

pub(crate) mod functions;
pub(crate) mod relations;
pub(crate) mod settings;
pub(crate) mod total;

/// True when `name` is in `sorted`, or starts with one of its entries that end in `*`.
pub(crate) fn matches(list: &[&str], name: &str) -> bool {
    list.iter().any(|entry| match entry.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => *entry == name,
    })
}

#[cfg(test)]
mod tests;
