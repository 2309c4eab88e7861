//! The lineage of views, materialized ones too, and of generated columns.

use std::collections::BTreeSet;
use std::sync::Arc;

use countersign_model::Tag;
use pg_query::NodeEnum;
use pg_query::protobuf::ParseResult;

use super::from::source_of;
use super::value::{Row, Sources, Value};
use super::{Effect, STEPS_MAX, Tracer};
use crate::catalog::{Catalog, Relation};
use crate::census::Census;
use crate::normal::Normal;
use crate::parse;
use crate::settings::Settings;
use crate::view::VIEW_DEPTH_MAX;
use crate::walk::Overlay;

/// What reading a view means.
#[derive(Debug)]
pub(crate) struct ViewLineage {
    row: Row,
    /// What chooses its rows.
    chosen: Sources,
    /// The catalog that it was told from; a session's temporary view may meet several.
    generation: u64,
}

impl ViewLineage {
    fn unknown(generation: u64) -> Self {
        Self { row: Row::anything(), chosen: Sources::anything(), generation }
    }
}

impl<'a> Tracer<'a> {
    /// The row of a view, with the columns that the catalog says it has.
    pub(super) fn view(&mut self, relation: &'a Relation) -> Row {
        let lineage = of(self.catalog, self.settings, relation, self.depth);
        self.chosen("the definition of a view", &lineage.chosen, None);
        let exact = lineage.row.others.is_none() && lineage.row.columns.len() == relation.columns.len();
        let all = if exact { Sources::default() } else { everything_of(&lineage.row) };
        let columns: Vec<(Arc<str>, Value)> = relation
            .columns
            .iter()
            .enumerate()
            .map(|(i, column)| {
                let mut value = match lineage.row.columns.get(i) {
                    Some((_, value)) if exact => value.clone(),
                    _ => Value::computed(all.clone()),
                };
                let known = value.sources.tags(&self.catalog.tags);
                if column.tags.iter().any(|t| !known.contains(t)) {
                    // What is said of the view's own column.
                    value.sources.insert(source_of(relation, &column.name, &column.tags));
                }
                value.type_oid = column.type_oid;
                (Arc::clone(&column.name), value)
            })
            .collect();
        self.step(columns.len());
        Row { columns, others: None }
    }
}

/// All that a row may depend on, when its columns do not fit.
fn everything_of(row: &Row) -> Sources {
    let mut all = row.sources();
    all.anything = true;
    all
}

/// The lineage of a view, kept with it.
fn of(catalog: &Catalog, settings: &Settings, relation: &Relation, depth: usize) -> Arc<ViewLineage> {
    let unknown = || ViewLineage::unknown(catalog.generation);
    if let Some(known) = relation.lineage.get()
        && known.generation == catalog.generation
    {
        return Arc::clone(known);
    }
    let Some(definition) = &relation.definition else { return Arc::new(unknown()) };
    if depth >= VIEW_DEPTH_MAX {
        return Arc::new(unknown());
    }
    let temporary = &*relation.schema == crate::catalog::TEMPORARY_SCHEMA;
    // The definition was written out under this path. No temporary object comes between in that of a permanent one.
    let mut settings = settings.with_search_path(&["pg_catalog"]);
    if !temporary {
        settings = settings.with_temporary(None);
    }
    let found = Arc::new(read(catalog, &settings, definition, depth + 1).unwrap_or_else(unknown));
    let _ = relation.lineage.set(Arc::clone(&found));
    found
}

/// The row of a query's text.
fn read(catalog: &Catalog, settings: &Settings, text: &str, depth: usize) -> Option<ViewLineage> {
    let mut normal = Normal::default();
    normal.read(text.as_bytes());
    if normal.broken.is_some() {
        return None;
    }
    let look = |tree: &ParseResult| {
        let [raw] = tree.stmts.as_slice() else { return None };
        let Some(node @ NodeEnum::SelectStmt(_)) = raw.stmt.as_ref().and_then(|s| s.node.as_ref()) else { return None };
        let overlay = Overlay::default();
        let mut tracer = Tracer::new(catalog, settings, &overlay, depth);
        let row = tracer.query(node);
        if tracer.lost.is_some() || tracer.steps > STEPS_MAX || tracer.seen != Census::of(node).counts {
            return None;
        }
        let mut chosen = Sources::default();
        for noted in &tracer.noted {
            // In a view the constants are its author's, so there is nothing to guess; but its rows tell.
            if matches!(noted.effect, Effect::Chosen | Effect::Matched) {
                chosen.add(&noted.sources);
            }
        }
        Some(ViewLineage { row, chosen, generation: catalog.generation })
    };
    parse::with_tree(text, &normal.measure, depth > 1, look).ok().flatten()
}

/// The tags of each column of a view: its own, and those of what it is made from.
pub(crate) fn derived_tags(catalog: &Catalog, relation: &Relation) -> Vec<Box<[Tag]>> {
    let settings = Settings::new::<&str>(&[], None);
    let overlay = Overlay::default();
    let mut tracer = Tracer::new(catalog, &settings, &overlay, 0);
    // The reference must live as long as the catalog does here.
    let row = tracer.view(relation);
    let mut columns = row.columns.into_iter();
    relation
        .columns
        .iter()
        .map(|column| {
            let mut tags: BTreeSet<Tag> = column.tags.iter().cloned().collect();
            tags.extend(columns.next().map(|(_, v)| v.sources.tags(&catalog.tags)).unwrap_or_default());
            tags.into_iter().collect()
        })
        .collect()
}

/// The tags that a generated column has from the columns that its expression names, or all of its row where that is not known.
pub(crate) fn generated_tags(catalog: &Catalog, relation: &Relation, expression: Option<&str>) -> BTreeSet<Tag> {
    let all = || relation.columns.iter().flat_map(|c| c.tags.iter().cloned()).collect();
    let Some(expression) = expression else { return all() };
    let quoted = |s: &str| format!("\"{}\"", s.replace('"', "\"\""));
    let text = format!("SELECT {expression} FROM {}.{}", quoted(&relation.schema), quoted(&relation.name));
    let settings = Settings::new(&["pg_catalog"], None);
    match read(catalog, &settings, &text, 1) {
        Some(lineage) => lineage.row.sources().tags(&catalog.tags),
        // It reads nothing but its own row.
        None => all(),
    }
}
