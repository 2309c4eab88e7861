//! From a tree to what it does. By hand, kind by kind: a node that is not known here makes the text unreadable.
//!
//! It must look at every node; [`crate::census`] counts behind its back.

mod call;
mod column;
mod copy_form;
mod define;
mod dml;
mod expression;
mod figure;
mod from;
mod json;
mod kind;
mod name;
mod overlay;
mod query;
mod scope;
mod session;
mod statement;

use std::sync::Arc;

use countersign_model::{Access, Disclosure, Fingerprint};
use pg_query::NodeEnum;
use pg_query::protobuf::{Node, ParseResult};

use crate::analysis::{SessionEffect, Statement, Undefined, UndefinedKind};
use crate::catalog::Catalog;
use crate::census::{Census, Counts};
use crate::lineage::{self, Reason, Traced};
use crate::settings::Settings;
use crate::uses::Uses;
use crate::vocabulary as v;
pub(crate) use figure::figured_name;
pub(crate) use overlay::Overlay;
pub(crate) use query::{COLUMNS_MAX, strings};
use scope::Scope;
pub(crate) use scope::alias_columns;

/// Most statements in one text.
pub(crate) const STATEMENTS_MAX: usize = 10_000;

/// The state of a walk over one text.
pub(crate) struct Walk<'a> {
    catalog: &'a Catalog,
    settings: Settings,
    /// How many views are above the text that is walked.
    view_depth: usize,
    /// What the current statement does.
    uses: Uses,
    /// What the whole text does.
    all: Uses,
    statements: Vec<Statement>,
    undefined: Option<Undefined>,
    refused: Option<String>,
    scopes: Vec<Scope<'a>>,
    overlay: Overlay,
    created_functions: bool,
    /// An earlier statement may have changed what names mean, in a way that the text does not tell.
    adrift: bool,
    constants_matter: bool,
    may_change_settings: bool,
    executes: Option<Arc<str>>,
    /// The table that `INTO` makes: schema, name, temporary.
    into: Option<(Arc<str>, Arc<str>, bool)>,
    /// Prepared statements and cursors that this text made.
    prepared: Vec<Arc<str>>,
    cursors: Vec<Arc<str>>,
    /// What is not there is no surprise: statements that make things.
    quiet: bool,
    /// Types that the statement casts to, and those of which it may meet values.
    types_named: Vec<u32>,
    types_in_sight: Vec<u32>,
    /// The fingerprint of the whole text, for the shapes within it.
    fingerprint: Fingerprint,
    /// What the whole text does, without stand-ins.
    own: Uses,
    seen: Counts,
    /// Data-modifying statements walked so far, at any depth.
    writes: usize,
    /// The lineage of the current statement.
    traced: Traced,
    /// What the whole text does with tagged data, with stand-ins and without.
    disclosure: Disclosure,
    own_disclosure: Disclosure,
    /// Why, statement by statement.
    reasons: Vec<(Vec<Reason>, Disclosure)>,
}

/// What a walk found.
pub(crate) struct Found {
    /// What policy judges, and the same without stand-ins for what the text only names.
    pub(crate) uses: Uses,
    pub(crate) own: Uses,
    pub(crate) statements: Vec<Statement>,
    pub(crate) undefined: Option<Undefined>,
    pub(crate) refused: Option<String>,
    pub(crate) constants_matter: bool,
    pub(crate) disclosure: Disclosure,
    pub(crate) own_disclosure: Disclosure,
    /// Why, statement by statement.
    pub(crate) reasons: Vec<(Vec<Reason>, Disclosure)>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(catalog: &'a Catalog, settings: &Settings, view_depth: usize, fingerprint: Fingerprint) -> Self {
        Self {
            catalog,
            settings: settings.clone(),
            view_depth,
            uses: Uses::default(),
            all: Uses::default(),
            statements: Vec::new(),
            undefined: None,
            refused: None,
            scopes: Vec::new(),
            overlay: Overlay::default(),
            created_functions: false,
            adrift: false,
            constants_matter: false,
            may_change_settings: false,
            executes: None,
            into: None,
            prepared: Vec::new(),
            cursors: Vec::new(),
            quiet: false,
            types_named: Vec::new(),
            types_in_sight: Vec::new(),
            fingerprint,
            own: Uses::default(),
            seen: Counts::default(),
            writes: 0,
            traced: Traced::untagged(),
            disclosure: Disclosure::default(),
            own_disclosure: Disclosure::default(),
            reasons: Vec::new(),
        }
    }

    /// Walks all statements of a text.
    pub(crate) fn text(&mut self, tree: &ParseResult) {
        if tree.stmts.len() > STATEMENTS_MAX {
            self.refuse("the text has more than 10,000 statements");
            return;
        }
        for raw in &tree.stmts {
            let Some(node) = raw.stmt.as_ref().and_then(|s| s.node.as_ref()) else {
                self.refuse("a statement has no tree");
                return;
            };
            self.statement_and_census(node);
            if self.refused.is_some() {
                return;
            }
        }
        if tree.stmts.len() > 1 {
            self.constants_matter = true;
        }
    }

    /// The end of the walk.
    pub(crate) fn finish(self) -> Found {
        Found {
            uses: self.all,
            own: self.own,
            statements: self.statements,
            undefined: self.undefined,
            refused: self.refused,
            constants_matter: self.constants_matter,
            disclosure: self.disclosure,
            own_disclosure: self.own_disclosure,
            reasons: self.reasons,
        }
    }

    fn statement_and_census(&mut self, node: &NodeEnum) {
        self.seen = Counts::default();
        let census = Census::of(node);
        if let Some(kind) = census.foreign {
            self.refuse(&format!("its tree has a node that no text yields ({kind})"));
            return;
        }
        // Before its own effects on names.
        self.traced = if self.view_depth == 0 {
            lineage::trace(node, &census, self.catalog, &self.settings, &self.overlay)
        } else {
            Traced::untagged()
        };
        let mut statement = self.top(node, &census);
        self.casts();
        if self.refused.is_some() {
            return;
        }
        if self.seen != census.counts {
            self.refuse(&format!("a part of the {} statement was not understood", statement.kind));
            return;
        }
        statement.may_change_settings |= self.may_change_settings;
        statement.executes = self.executes.take();
        let mut uses = std::mem::take(&mut self.uses);
        let relations = Access::ALL.iter().filter_map(|a| uses.find(*a)).flat_map(|p| p.items(v::RELATIONS));
        if !self.traced.knows(self.catalog, relations) {
            self.traced = Traced::anything(Arc::clone(self.catalog.tags()), "a relation that was not met");
        }
        if uses.is_empty() {
            self.refuse(&format!("the {} statement has no effect that could be judged", statement.kind));
            return;
        }
        uses.state(statement.kind);
        self.own.merge(uses.clone());
        let unknown_statement = statement.executes.as_ref().is_some_and(|n| !self.prepared.contains(n));
        let unknown_cursor =
            matches!(&statement.session, Some(SessionEffect::Fetch { name, .. }) if !self.cursors.contains(name));
        if unknown_statement || unknown_cursor {
            uses.stand_in();
            uses.state(statement.kind);
        }
        let traced = std::mem::replace(&mut self.traced, Traced::untagged());
        self.constants_matter |= traced.constants_matter;
        self.own_disclosure.absorb(&traced.disclosure);
        self.disclosure.absorb(&traced.disclosure);
        self.reasons.push((traced.reasons, traced.disclosure));
        statement.outputs = traced.outputs;
        if unknown_statement || unknown_cursor {
            // Whatever it stands for may show all there is.
            self.disclosure.absorb(&Traced::anything(Arc::clone(self.catalog.tags()), "a name").disclosure);
        }
        statement.access = uses.access().unwrap_or(Access::Opaque);
        self.all.merge(uses);
        self.adrift |= statement.may_change_settings;
        self.may_change_settings = false;
        self.scopes.clear();
        self.into = None;
        self.statements.push(statement);
    }

    /// Makes the text unreadable; the first reason stays.
    fn refuse(&mut self, why: &str) {
        self.refused.get_or_insert_with(|| why.to_owned());
    }

    fn undefined(&mut self, what: UndefinedKind, name: &str) {
        if self.quiet {
            return;
        }
        self.undefined.get_or_insert_with(|| Undefined { what, name: name.into() });
    }

    fn read(&mut self) {
        self.uses.part(Access::Read);
    }

    fn use_function(&mut self, access: Access, name: &Arc<str>) {
        let part = self.uses.part(access);
        part.add(v::FUNCTIONS, name);
        part.beyond_catalog();
    }

    fn nodes(&mut self, nodes: &[Node]) {
        for node in nodes {
            self.node(node);
        }
    }

    fn maybe(&mut self, node: Option<&Node>) {
        if let Some(node) = node {
            self.node(node);
        }
    }

    fn node(&mut self, node: &Node) {
        // An absent node inside a list is how the parser writes "nothing here" (`a[:2]`, `COUNT()`).
        if let Some(node) = node.node.as_ref() {
            self.expression(node);
        }
    }
}

/// The text of a list of name parts; `None` when a part is not a name.
pub(crate) fn names(nodes: &[Node]) -> Option<Vec<&str>> {
    nodes
        .iter()
        .map(|n| match n.node.as_ref() {
            Some(NodeEnum::String(s)) => Some(s.sval.as_str()),
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests;
