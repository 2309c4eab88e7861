//! What a statement's success changes for the session: names, settings, the catalog.
//!
//! Doubt counts as change: a failed batch that might have changed something makes the session ask anew.

use bytes::Bytes;
use countersign_model::Access;
use countersign_sql::{Analysis, SessionEffect, Statement, Transaction};

use super::Session;
use super::client::prepared_by_sql;
use super::expect::Running;
use super::names::Portal;

/// True when the session must look at the statement again once it is done.
pub(crate) fn matters(analysis: &Analysis) -> bool {
    analysis.statements().iter().any(|s| {
        names_change(s)
            || s.changes_catalog
            || s.changes_temporary
            || s.may_change_settings
            || meaning_changes(s)
            || turns_back(s)
    })
}

fn names_change(s: &Statement) -> bool {
    matches!(
        s.session,
        Some(
            SessionEffect::Prepare { .. }
                | SessionEffect::Deallocate(_)
                | SessionEffect::Declare { .. }
                | SessionEffect::Close(_)
                | SessionEffect::DiscardAll
        )
    )
}

/// Settings that change what names mean.
fn meaning_changes(s: &Statement) -> bool {
    s.settings.iter().any(|c| matches!(&*c.name, "search_path" | "role" | "session_authorization" | "all"))
}

/// The transaction goes back, or on, without the target saying so in its status.
fn turns_back(s: &Statement) -> bool {
    matches!(
        s.transaction,
        Some(Transaction::RollbackTo(_) | Transaction::Commit { chain: true } | Transaction::Rollback { chain: true })
    )
}

/// True for a `COPY … FROM STDIN`.
pub(crate) fn copies_in(analysis: &Analysis) -> bool {
    analysis.statements().iter().any(|s| s.copy.as_ref().is_some_and(|c| c.from))
}

/// The cursor that a lone `FETCH` reads: its limit counts over all fetches.
pub(crate) fn fetched_cursor(analysis: &Analysis) -> Option<Bytes> {
    match analysis.statements() {
        [s] => match &s.session {
            Some(SessionEffect::Fetch { name, .. }) => Some(Bytes::copy_from_slice(name.as_bytes())),
            _ => None,
        },
        _ => None,
    }
}

/// Why a limit could not be kept for a text that brings its own transaction control along with writes.
pub(crate) fn why_limits_cannot_hold(analysis: &Analysis) -> Option<&'static str> {
    let statements = analysis.statements();
    let several = statements.len() > 1;
    let controls = statements.iter().any(|s| s.transaction.is_some() || s.outside_transaction);
    let writes = statements.iter().any(|s| s.access >= Access::Write || s.executes.is_some());
    (several && controls && writes).then_some(
        "a limit applies, and this text mixes writes with its own transaction control: send the statements one by one",
    )
}

impl Session {
    /// A statement ended.
    pub(super) fn ended(&mut self, running: &Running) {
        if let Some(portal) = running.portal.as_ref().and_then(|p| self.names.portals.get_mut(p)) {
            portal.rows += running.rows;
            portal.bytes += running.bytes;
        }
        let Some(analysis) = &running.after else { return };
        let failed = running.failed.is_some() || running.over.is_some();
        for s in analysis.statements() {
            if s.changes_catalog || s.changes_temporary || s.may_change_settings || meaning_changes(s) {
                self.facts.dirty = true;
                self.facts.touched = true;
                if s.changes_catalog && !s.changes_temporary {
                    self.facts.touched_shared = true;
                }
            }
            if turns_back(s) && self.facts.touched {
                self.facts.dirty = true;
            }
            if let Some(effect) = &s.session {
                self.rename(effect, failed, running);
            }
        }
    }

    fn rename(&mut self, effect: &SessionEffect, failed: bool, running: &Running) {
        match effect {
            SessionEffect::Prepare { name, inner } => {
                // After a failure nobody knows which meaning the name has: none, then.
                if failed {
                    self.names.statements.remove(name.as_bytes());
                } else if self.names.has_room() {
                    let prepared = prepared_by_sql(running.permit.clone(), inner.clone(), self.facts.epoch, self.run);
                    self.names.statements.insert(Bytes::copy_from_slice(name.as_bytes()), prepared);
                }
            }
            SessionEffect::Declare { name, inner, .. } => {
                if failed {
                    self.names.portals.remove(name.as_bytes());
                } else if self.names.has_room() {
                    let statement = prepared_by_sql(running.permit.clone(), inner.clone(), self.facts.epoch, self.run);
                    let portal = Portal {
                        statement,
                        parameters: Bytes::new(),
                        rows: 0,
                        bytes: 0,
                        cursor: true,
                        run: self.run,
                        confirmed: true,
                    };
                    self.names.portals.insert(Bytes::copy_from_slice(name.as_bytes()), portal);
                }
            }
            SessionEffect::Deallocate(Some(name)) => {
                self.names.statements.remove(name.as_bytes());
            }
            SessionEffect::Deallocate(None) => self.names.statements.clear(),
            SessionEffect::Close(Some(name)) => {
                self.names.portals.remove(name.as_bytes());
            }
            SessionEffect::Close(None) => self.names.portals.clear(),
            SessionEffect::DiscardAll => {
                self.names.statements.clear();
                self.names.portals.clear();
            }
            SessionEffect::Fetch { .. } => {}
        }
    }

    /// The target's transaction status after a `ReadyForQuery`.
    pub(super) fn status_is(&mut self, status: u8) {
        self.status = status;
        if status != b'I' {
            return;
        }
        if self.facts.touched_shared {
            self.facts.touched_shared = false;
            self.database.names_changed();
        }
        if self.facts.touched {
            self.facts.touched = false;
            self.facts.dirty = true;
        }
    }
}
