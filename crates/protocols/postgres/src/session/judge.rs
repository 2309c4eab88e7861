//! From text to shape, under facts that are fresh enough: what names mean now, in this session.

use std::sync::Arc;

use countersign_model::{Access, Denial, Fingerprint, Shape};
use countersign_sql::{Analysis, Catalog, CatalogBuilder, Reference, SessionEffect, Settings};

use super::expect::Expect;
use super::names::Prepared;
use super::{Session, after};
use crate::knowledge::next_catalog_id;
use crate::probe::{Findings, Probe};

/// What is known of the session's names.
pub(crate) struct Facts {
    catalog: Arc<Catalog>,
    settings: Arc<Settings>,
    /// The generation of the catalog.
    generation: u64,
    /// The catalog shows an open transaction's own changes: for this session alone, until that ends.
    private: bool,
    /// Grows whenever the facts change.
    pub(crate) epoch: u64,
    /// Names or settings may have changed: ask before judging.
    pub(crate) dirty: bool,
    /// They may change back when the transaction ends.
    pub(crate) touched: bool,
    /// What others see will change when the transaction ends.
    pub(crate) touched_shared: bool,
    /// Just asked for the message at hand, so that it is not asked twice.
    pub(crate) fresh: bool,
    /// The target could not be asked; told with the message at hand.
    pub(crate) failed: Option<Denial>,
}

impl Facts {
    /// True when some column of the database is tagged.
    pub(crate) fn has_tags(&self) -> bool {
        !self.catalog.tags().is_empty()
    }

    pub(crate) fn unknown() -> Self {
        Self {
            catalog: countersign_sql::CatalogBuilder::new(0).build(),
            settings: Arc::new(Settings::new(&["pg_catalog"], None)),
            generation: 0,
            private: false,
            epoch: 0,
            dirty: true,
            touched: false,
            touched_shared: false,
            fresh: false,
            failed: None,
        }
    }
}

impl Facts {
    /// What is known of the database's names.
    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// The type of a stored column, by its full name.
    pub(crate) fn column_type(&self, column: &str) -> Option<u32> {
        self.catalog.column_type(column)
    }

    /// What decides what names mean, written so that different facts are written differently.
    pub(crate) fn settings_in_bytes(&self) -> Vec<u8> {
        self.settings.in_bytes()
    }
}

/// What the judging of a text came to.
pub(crate) enum Judged {
    /// This.
    Ready {
        shape: Arc<Shape>,
        /// `None` when there was no text to look at.
        analysis: Option<Arc<Analysis>>,
    },
    /// The target must be asked first, or must answer first: take the message again later.
    Later,
}

impl Session {
    /// Reads a text. `Later` leaves the session held, with the question on its way.
    pub(crate) fn judge(&mut self, text: &[u8]) -> Judged {
        let mut analysis = self.analyse(text);
        // Housekeeping needs no names, so nothing is asked for it: it must also work where nothing can be asked.
        if analysis.shape().access() > Access::Connect {
            match self.catch_up(analysis.undefined().is_some()) {
                CatchUp::Current => {}
                CatchUp::Changed => analysis = self.analyse(text),
                CatchUp::Later => return Judged::Later,
                CatchUp::Failed(shape) => return Judged::Ready { shape, analysis: None },
            }
            // What the transaction shows is not what comes after it; and a failed one cannot even be asked what it shows.
            let facts = &self.facts;
            let failed = self.status == b'E' && (facts.dirty || facts.generation != self.database.generation());
            if (facts.touched || failed) && after::goes_on_past_its_end(&analysis) {
                let why = "names changed while the transaction was open: end it by a text of its own";
                return Judged::Ready { shape: Shape::unreadable(why, analysis.shape().fingerprint()), analysis: None };
            }
        }
        Judged::Ready { shape: self.ready(&analysis), analysis: Some(analysis) }
    }

    pub(super) fn analyse(&self, text: &[u8]) -> Arc<Analysis> {
        self.database.analyser.analyse(text, &self.facts.catalog, &self.facts.settings)
    }

    /// Judges a prepared statement by what names mean now; false to take the message again later.
    pub(crate) fn renew(&mut self, prepared: &mut Prepared) -> bool {
        match self.catch_up(false) {
            CatchUp::Current | CatchUp::Changed => {}
            CatchUp::Later => return false,
            CatchUp::Failed(shape) => {
                prepared.shape = shape;
                return true;
            }
        }
        let stale = prepared.epoch != self.facts.epoch;
        match prepared.analysis.clone() {
            Some(_) if stale => match self.judge(prepared.permit.clone().text()) {
                Judged::Later => return false,
                Judged::Ready { shape, analysis } => {
                    prepared.shape = shape;
                    prepared.analysis = analysis.or(prepared.analysis.take());
                }
            },
            // The names that it runs by may have been given anew, without any fact of the session changing.
            Some(analysis) if analysis.references().next().is_some() => prepared.shape = self.ready(&analysis),
            None if stale => prepared.shape = self.current_shape(prepared),
            _ => {}
        }
        prepared.epoch = self.facts.epoch;
        true
    }

    /// What it means with what is behind the names in it. A name that may turn out not to be what it is taken for stays unknown.
    fn ready(&self, analysis: &Analysis) -> Arc<Shape> {
        analysis.with_references(|reference| match reference {
            Reference::Prepared(name) => match self.names.statement(name.as_bytes(), self.run) {
                Some((s, true)) if s.analysis.as_ref().is_some_and(|a| !after::is_plain(a)) => {
                    // By itself the text at hand tells nothing of what that changes in the session.
                    Some(Shape::unreadable(
                        "EXECUTE of a statement that is not a query: execute it by the protocol",
                        Fingerprint(0),
                    ))
                }
                Some((s, true)) => Some(self.current_shape(s)),
                _ => None,
            },
            Reference::Cursor(name) => match self.names.portal(name.as_bytes(), self.run) {
                Some((p, true)) => Some(p.statement.shape.clone()),
                _ => None,
            },
        })
    }

    /// What a prepared statement means now: names may have changed since it was judged.
    pub(super) fn current_shape(&self, prepared: &Prepared) -> Arc<Shape> {
        if prepared.epoch == self.facts.epoch {
            return prepared.shape.clone();
        }
        let analysis = self.analyse(prepared.permit.text());
        if prepared.analysis.is_some() {
            return analysis.shape().clone();
        }
        let made = analysis.statements().iter().rev().find_map(|s| match &s.session {
            Some(SessionEffect::Prepare { name, inner, .. }) if Some(name) == prepared.sql_name.as_ref() => {
                Some(inner.clone())
            }
            _ => None,
        });
        made.unwrap_or_else(|| {
            Shape::unreadable("names changed after it was prepared: prepare it again", Fingerprint(0))
        })
    }

    /// Makes sure that the facts may be judged by. `wanted` says that a name was not found, so that an older catalog is doubted.
    pub(crate) fn catch_up(&mut self, wanted: bool) -> CatchUp {
        if let Some(denial) = self.facts.failed.take() {
            return CatchUp::Failed(Shape::unreadable(denial.message.as_str(), Fingerprint(0)));
        }
        let generation = self.database.generation();
        let mut changed = false;
        if self.facts.generation != generation && !self.facts.private && !self.facts.dirty {
            match self.database.current() {
                Some((catalog, generation)) => {
                    self.facts.catalog = catalog;
                    self.facts.generation = generation;
                    self.facts.epoch += 1;
                    changed = true;
                }
                None => self.facts.dirty = true,
            }
        }
        if self.facts.private && self.facts.generation != generation && !self.facts.fresh {
            self.facts.dirty = true;
        }
        let mut doubted = wanted && !self.facts.fresh && !changed;
        if !self.facts.dirty && !doubted {
            // Old, but not known to be wrong: one session asks anew, when it can be done without anyone waiting.
            let idle = self.status == b'I' && !self.unsynced && self.expects.is_empty() && !self.facts.fresh;
            if !(idle && self.database.take_refresh(self.now)) {
                return if changed { CatchUp::Changed } else { CatchUp::Current };
            }
            doubted = true;
        }
        // A failed transaction answers nothing; whatever comes but its end will fail there anyway.
        if self.status == b'E' {
            return if changed { CatchUp::Changed } else { CatchUp::Current };
        }
        if !self.expects.is_empty() {
            self.hold_until_answered();
            return CatchUp::Later;
        }
        self.ask(doubted);
        CatchUp::Later
    }

    fn ask(&mut self, doubted: bool) {
        let generation = self.database.generation();
        let idle = self.status == b'I' && !self.unsynced;
        // An open transaction may hide or show names that others see otherwise.
        let shared = if doubted || !idle { None } else { self.database.current() };
        let catalog_id = shared.is_none().then(next_catalog_id);
        if let Some((catalog, generation)) = shared {
            self.facts.catalog = catalog;
            self.facts.generation = generation;
            self.facts.private = false;
        }
        let tagging = self.tools.tagging();
        let temporary = CatalogBuilder::new(next_catalog_id()).tagged(tagging);
        let catalog = catalog_id.map(|id| CatalogBuilder::new(id).tagged(tagging).after(self.database.latest()));
        let (probe, frames) = Probe::start(!self.unsynced, generation, temporary, catalog);
        self.control(frames);
        self.expects.push_back(Expect::Probe(Box::new(probe)));
        self.hold = true;
    }

    /// The probe came back.
    pub(crate) fn learn(&mut self, generation: u64, findings: Findings) {
        let Findings { schemas, role, temporary, catalog } = findings;
        let settings = Settings::new(&schemas, Some(&role)).with_temporary(Some(temporary));
        self.facts.settings = Arc::new(settings.with_revertible_path(self.facts.touched));
        if let Some(catalog) = catalog {
            let idle = self.status == b'I' && !self.unsynced;
            self.facts.private = !idle;
            (self.facts.catalog, self.facts.generation) =
                if idle { self.database.publish(catalog, generation, self.now) } else { (catalog, generation) };
        }
        self.facts.epoch += 1;
        self.facts.dirty = false;
        self.facts.fresh = true;
    }
}

/// Whether the facts may be judged by.
#[derive(Clone, Debug)]
pub(crate) enum CatchUp {
    /// As they are.
    Current,
    /// They are newer than a moment ago: judge again.
    Changed,
    /// Not yet.
    Later,
    /// The target could not be asked: nothing can be judged, and this says why.
    Failed(Arc<Shape>),
}
