//! Which stored columns each value of a result is computed from, and what else a statement tells of tagged data.
//!
//! A second walk over the tree, on databases with tagged columns alone. Names mean what the catalog says, as in [`crate::walk`], and
//! its counts must agree with the census, too. It must never leave a source out: what it does not know depends on anything.

mod call;
mod columns;
mod condition;
mod define;
mod dml;
mod expression;
mod from;
mod json;
mod query;
mod reason;
mod scope;
mod statement;
mod value;
mod view;
mod with;

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::{Disclosure, Tag};
use pg_query::NodeEnum;
use pg_query::protobuf::Node;

use crate::catalog::Catalog;
use crate::census::{Census, Counts};
use crate::settings::Settings;
use crate::walk::Overlay;

pub use reason::{Effect, OutputColumn, Outputs, Reason, StatementLineage};
use scope::Scope;
use value::{Sources, Value};
pub(crate) use view::{ViewLineage, derived_tags, generated_tags};

/// Most sources that one statement may carry from value to value, all steps together; beyond it everything depends on anything.
pub(crate) const STEPS_MAX: usize = 1_000_000;
/// Most constants that one statement may compare with tagged columns and still count as matching: each is a guess.
pub const MATCHES_MAX: usize = 16;

/// Something tagged that is not only shown.
#[derive(Clone, Debug)]
struct Noted {
    effect: Effect,
    what: &'static str,
    sources: Sources,
    place: Option<usize>,
}

/// The state of a walk over one statement.
pub(crate) struct Tracer<'a> {
    catalog: &'a Catalog,
    settings: &'a Settings,
    overlay: &'a Overlay,
    /// How many views are above.
    depth: usize,
    scopes: Vec<Scope>,
    noted: Vec<Noted>,
    /// Constants that tagged columns are compared with.
    matches: usize,
    seen: Counts,
    steps: usize,
    /// Something was met that is not understood: what.
    lost: Option<&'static str>,
    /// What it says depends on the constants of the text.
    constants_matter: bool,
    /// Tagged relations whose rows were put somewhere.
    reached: BTreeSet<Arc<str>>,
}

/// What the walk over one statement found.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) outputs: Outputs,
    pub(crate) disclosure: Disclosure,
    pub(crate) reasons: Vec<Reason>,
    pub(crate) constants_matter: bool,
    /// What a prepared statement or a cursor that it makes gives back.
    pub(crate) inner: Outputs,
    /// What running what it makes discloses.
    pub(crate) inner_disclosure: Disclosure,
    reached: BTreeSet<Arc<str>>,
    /// Every node was walked, so no relation can have been missed but by mistake.
    walked: bool,
}

impl Traced {
    /// Of a statement on a database without tags.
    pub(crate) fn untagged() -> Self {
        Self {
            outputs: Outputs::untagged(),
            disclosure: Disclosure::default(),
            reasons: Vec::new(),
            constants_matter: false,
            inner: Outputs::untagged(),
            inner_disclosure: Disclosure::default(),
            reached: BTreeSet::new(),
            walked: false,
        }
    }

    /// Of a statement that may do anything with what the database holds.
    pub(crate) fn anything(tags: Arc<[Tag]>, what: &'static str) -> Self {
        let all = tags.to_vec();
        let outputs = Outputs::Unknown { tags };
        let disclosure =
            Disclosure { shown: all.clone(), chosen: all.clone(), copied: all.clone(), ..Disclosure::default() };
        let reasons = [Effect::Chosen, Effect::Copied].map(|effect| Reason {
            effect,
            what,
            columns: vec!["*".into()],
            tags: all.clone(),
            place: None,
        });
        Self {
            inner: outputs.clone(),
            inner_disclosure: disclosure.clone(),
            outputs,
            disclosure,
            reasons: reasons.into(),
            constants_matter: false,
            reached: BTreeSet::new(),
            walked: false,
        }
    }

    /// True when it knows of every tagged relation among these.
    pub(crate) fn knows<'r>(&self, catalog: &Catalog, mut relations: impl Iterator<Item = &'r Arc<str>>) -> bool {
        !self.walked || relations.all(|r| !catalog.is_tagged(r) || self.reached.contains(r))
    }
}

/// The lineage of one statement, told before the statement's own effects on names.
pub(crate) fn trace(
    node: &NodeEnum,
    census: &Census,
    catalog: &Catalog,
    settings: &Settings,
    overlay: &Overlay,
) -> Traced {
    let is_tagged = !catalog.tags.is_empty() || settings.temporary().is_some_and(|t| !t.tags.is_empty());
    if !is_tagged {
        return Traced::untagged();
    }
    let mut tracer = Tracer::new(catalog, settings, overlay, 0);
    let traced = tracer.statement(node, census);
    if tracer.steps > STEPS_MAX {
        return Traced::anything(tracer.all_tags(), "more than can be followed");
    }
    traced
}

impl<'a> Tracer<'a> {
    fn new(catalog: &'a Catalog, settings: &'a Settings, overlay: &'a Overlay, depth: usize) -> Self {
        Self {
            catalog,
            settings,
            overlay,
            depth,
            scopes: Vec::new(),
            noted: Vec::new(),
            matches: 0,
            seen: Counts::default(),
            steps: 0,
            lost: None,
            constants_matter: false,
            reached: BTreeSet::new(),
        }
    }

    /// Something that cannot be told: it depends on anything, and so does whether the statement fails.
    fn lose(&mut self, what: &'static str) -> Value {
        self.lost.get_or_insert(what);
        Value::anything()
    }

    /// Counts work; false when there was too much of it, and nothing that is said matters any more.
    fn step(&mut self, cost: usize) -> bool {
        self.steps = self.steps.saturating_add(cost.max(1));
        self.steps <= STEPS_MAX
    }

    fn note(&mut self, effect: Effect, what: &'static str, sources: &Sources, place: Option<usize>) {
        if !sources.is_tagged() || self.steps > STEPS_MAX {
            return;
        }
        let tagged = sources.only(|s| !s.tags.is_empty());
        self.step(tagged.columns().len());
        self.noted.push(Noted { effect, what, sources: tagged, place });
    }

    /// What is noted here decides which rows come, or whether the statement fails.
    fn chosen(&mut self, what: &'static str, sources: &Sources, place: Option<usize>) {
        self.note(Effect::Chosen, what, sources, place);
    }

    fn all_tags(&self) -> Arc<[Tag]> {
        match self.settings.temporary() {
            Some(temporary) if !temporary.tags.is_empty() => {
                let both: BTreeSet<Tag> = self.catalog.tags.iter().chain(&*temporary.tags).cloned().collect();
                both.into_iter().collect()
            }
            _ => Arc::clone(&self.catalog.tags),
        }
    }

    /// The union of the values of a list of expressions.
    fn values(&mut self, nodes: &[Node]) -> Sources {
        let mut all = Sources::default();
        for node in nodes {
            let value = self.node(node);
            self.step(value.sources.columns().len());
            all.add(&value.sources);
        }
        all
    }

    fn node(&mut self, node: &Node) -> Value {
        node.node.as_ref().map_or_else(Value::default, |n| self.value(n))
    }

    fn maybe(&mut self, node: Option<&Node>) -> Value {
        node.map_or_else(Value::default, |n| self.node(n))
    }
}

/// A location of the parser as a place in the text.
fn place(location: i32) -> Option<usize> {
    usize::try_from(location).ok()
}
