//! What reading a view means: everything that its definition reads and runs.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::{Access, Fingerprint};

use crate::analysis::UndefinedKind;
use crate::catalog::{Catalog, Relation};
use crate::normal::Normal;
use crate::parse;
use crate::settings::Settings;
use crate::vocabulary as v;
use crate::walk::Walk;

/// Deepest chain of views over views; deeper ones count as unknown code.
pub(crate) const VIEW_DEPTH_MAX: usize = 32;

/// The facts of a view.
#[derive(Debug)]
pub(crate) struct ViewFacts {
    /// Every relation beneath it, to any depth.
    pub(crate) relations: BTreeSet<Arc<str>>,
    /// Every function that is not harmless.
    pub(crate) functions: BTreeSet<Arc<str>>,
    /// The gravest access of reading it.
    pub(crate) access: Access,
    /// It shows something sensitive.
    pub(crate) sensitive: bool,
    /// A view beneath it whose definition could not be read.
    pub(crate) unread: Option<Arc<str>>,
}

impl ViewFacts {
    fn unknown() -> Self {
        Self {
            relations: BTreeSet::new(),
            functions: BTreeSet::new(),
            access: Access::Execute,
            sensitive: true,
            unread: None,
        }
    }

    /// The facts of `view`, kept with it. `depth` is how many views are above it.
    pub(crate) fn of(
        view: &Relation,
        definition: &str,
        catalog: &Catalog,
        settings: &Settings,
        depth: usize,
    ) -> Arc<Self> {
        if let Some(facts) = view.facts.get() {
            return Arc::clone(facts);
        }
        if depth >= VIEW_DEPTH_MAX {
            return Arc::new(Self::unknown());
        }
        let facts = Arc::new(Self::read(definition, catalog, settings, depth));
        let _ = view.facts.set(Arc::clone(&facts));
        facts
    }

    fn read(definition: &str, catalog: &Catalog, settings: &Settings, depth: usize) -> Self {
        let mut normal = Normal::default();
        normal.read(definition.as_bytes());
        if normal.broken.is_some() {
            return Self::unknown();
        }
        // The definition was written out under this path.
        let settings = settings.with_search_path(&["pg_catalog"]);
        let outcome = parse::with_tree(definition, &normal.measure, depth > 0, |tree| {
            let mut walk = Walk::new(catalog, &settings, depth + 1, Fingerprint(0));
            walk.text(tree);
            walk.finish()
        });
        match outcome {
            Ok(found) if found.refused.is_none() => Self {
                relations: found.uses.items(v::RELATIONS_ALL).cloned().collect(),
                functions: found.uses.items(v::FUNCTIONS).cloned().collect(),
                access: found.uses.access().unwrap_or(Access::Execute),
                sensitive: found.uses.is_sensitive(),
                unread: None,
            },
            Ok(found) => Self {
                unread: found.undefined.filter(|u| u.what == UndefinedKind::Altered).map(|u| u.name),
                ..Self::unknown()
            },
            Err(_) => Self::unknown(),
        }
    }
}
