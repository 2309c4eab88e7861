//! What earlier statements of the same text did to the names of relations.
//!
//! The catalog does not know it yet, but the statements that follow run after it.

use std::sync::Arc;

/// Relations made and removed by the text so far.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    created: Vec<(Arc<str>, Arc<str>)>,
    dropped: Vec<(Arc<str>, Arc<str>)>,
}

impl Overlay {
    pub(super) fn create(&mut self, schema: &str, name: &str) {
        self.created.push((schema.into(), name.into()));
    }

    pub(super) fn drop(&mut self, schema: &str, name: &str) {
        self.created.retain(|(s, n)| **s != *schema || **n != *name);
        self.dropped.push((schema.into(), name.into()));
    }

    /// Takes back the last [`Overlay::create`].
    pub(super) fn forget_last(&mut self) {
        self.created.pop();
    }

    pub(crate) fn is_created(&self, schema: &str, name: &str) -> bool {
        self.created.iter().any(|(s, n)| **s == *schema && **n == *name)
    }

    pub(crate) fn is_dropped(&self, schema: &str, name: &str) -> bool {
        self.dropped.iter().any(|(s, n)| **s == *schema && **n == *name)
    }

    /// True when the text changed nothing so far.
    pub(super) fn is_empty(&self) -> bool {
        self.created.is_empty() && self.dropped.is_empty()
    }
}
