//! What a statement's success changes for the session: names, settings, the catalog.
//!
//! Doubt counts as change: a failed batch that might have changed something makes the session ask anew.

use bytes::Bytes;
use countersign_model::Access;
use countersign_sql::{Analysis, SessionEffect, Statement, Transaction};

use super::Session;
use super::expect::Running;
use super::names::Portal;

/// True when the session must look at the statement again once it is done.
pub(crate) fn matters(analysis: &Analysis) -> bool {
    changes_session(analysis) || analysis.statements().iter().any(|s| s.transaction.is_some())
}

/// True when nothing may be judged before this is done.
pub(crate) fn changes_session(analysis: &Analysis) -> bool {
    analysis.statements().iter().any(|s| names_change(s) || changes_meaning(s) || turns_back(s))
}

/// What names mean may be something else after it.
fn changes_meaning(s: &Statement) -> bool {
    s.changes_catalog || s.changes_temporary || s.may_change_settings || sets_meaning(s)
}

/// True when a transaction, or a part of one, may be over after it.
pub(crate) fn ends_transaction(analysis: &Analysis) -> bool {
    analysis.statements().iter().any(|s| s.transaction.as_ref().is_some_and(ends))
}

/// True when all that a text does is to read or change data: what it leaves behind is told by its kind of access alone.
pub(crate) fn is_plain(analysis: &Analysis) -> bool {
    analysis.statements().iter().all(|s| {
        s.transaction.is_none()
            && s.session.is_none()
            && s.executes.is_none()
            && s.copy.is_none()
            && s.settings.is_empty()
            && !s.outside_transaction
            && !s.changes_catalog
            && !s.changes_temporary
    })
}

/// True when a text ends a transaction and then does more than housekeeping.
pub(crate) fn goes_on_past_its_end(analysis: &Analysis) -> bool {
    let mut rest = analysis.statements().iter().skip_while(|s| !s.transaction.as_ref().is_some_and(ends));
    rest.any(|s| s.access > Access::Connect && s.transaction.is_none())
}

fn ends(t: &Transaction) -> bool {
    matches!(
        t,
        Transaction::Commit { .. } | Transaction::Rollback { .. } | Transaction::RollbackTo(_) | Transaction::Prepare
    )
}

/// True when it may change data. What a prepared statement does is not in the text that runs it.
pub(crate) fn may_write(s: &Statement) -> bool {
    s.access >= Access::Write || s.executes.is_some()
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
fn sets_meaning(s: &Statement) -> bool {
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

/// Why a limit could not be kept for a text of several statements.
pub(crate) fn why_limits_cannot_hold(analysis: &Analysis) -> Option<&'static str> {
    let statements = analysis.statements();
    if statements.len() < 2 {
        return None;
    }
    let controls = statements.iter().any(|s| s.transaction.is_some() || s.outside_transaction);
    if controls && statements.iter().any(may_write) {
        return Some(
            "a limit applies, and this text mixes writes with its own transaction control: send the statements one by one",
        );
    }
    // What was fetched before counts, and of several it could not be told which rows are whose.
    let fetches = statements.iter().any(|s| matches!(s.session, Some(SessionEffect::Fetch { .. })));
    fetches.then_some("a limit applies, and this text fetches from a cursor among other things: send the FETCH alone")
}

/// The transaction status once this is done, where it tells.
fn status_after(t: &Transaction) -> Option<u8> {
    match t {
        Transaction::Begin
        | Transaction::RollbackTo(_)
        | Transaction::Commit { chain: true }
        | Transaction::Rollback { chain: true } => Some(b'T'),
        Transaction::Commit { chain: false } | Transaction::Rollback { chain: false } | Transaction::Prepare => {
            Some(b'I')
        }
        _ => None,
    }
}

impl Session {
    /// A statement ended.
    pub(super) fn ended(&mut self, running: &Running) {
        if let Some((name, id)) = &running.portal
            && let Some(portal) = self.names.portals.get_mut(name)
            && portal.id == *id
        {
            portal.rows += running.rows;
            portal.bytes += running.bytes;
        }
        if running.runs_code {
            self.names_touched(false);
        }
        let Some(analysis) = &running.after else { return };
        let failed = running.failed.is_some() || running.over.is_some();
        let lone = analysis.statements().len() == 1;
        for s in analysis.statements() {
            if changes_meaning(s) {
                self.names_touched(s.changes_catalog && !s.changes_temporary);
            }
            if let Some(t) = &s.transaction {
                if self.facts.touched && ends(t) {
                    self.facts.dirty = true;
                }
                // Of a simple query the target tells by itself.
                if let Some(status) = status_after(t).filter(|_| running.extended && !failed) {
                    self.status = status;
                }
            }
            // A lone statement that failed changed no name; in a failed batch nobody knows how far it came.
            if let Some(effect) = s.session.as_ref().filter(|_| !(failed && lone)) {
                self.rename(effect, failed, running);
            }
        }
    }

    /// Names may mean something else now, and something else again when the transaction ends.
    fn names_touched(&mut self, shared: bool) {
        self.facts.dirty = true;
        self.facts.touched = true;
        self.facts.touched_shared |= shared;
    }

    fn rename(&mut self, effect: &SessionEffect, failed: bool, running: &Running) {
        match effect {
            SessionEffect::Prepare { name, inner, outputs } => {
                // After a failure nobody knows which meaning the name has: none, then.
                if failed {
                    self.names.statements.remove(name.as_bytes());
                } else if self.names.has_room() && self.names.take_room_for_text(running.permit.text().len()) {
                    let prepared = self.prepared_by_sql(name, running.permit.clone(), inner.clone(), outputs.clone());
                    self.names.statements.insert(Bytes::copy_from_slice(name.as_bytes()), prepared);
                }
            }
            SessionEffect::Declare { name, inner, hold, outputs } => {
                if failed {
                    self.names.portals.remove(name.as_bytes());
                } else if self.names.has_room() && self.names.take_room_for_text(running.permit.text().len()) {
                    let statement = self.prepared_by_sql(name, running.permit.clone(), inner.clone(), outputs.clone());
                    let portal = Portal {
                        id: self.portal_id(),
                        statement,
                        parameters: None,
                        rows: 0,
                        bytes: 0,
                        cursor: true,
                        outlives: *hold,
                        run: self.run,
                        confirmed: true,
                        described: None,
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
        if self.expects.is_empty() {
            self.guard = None;
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
