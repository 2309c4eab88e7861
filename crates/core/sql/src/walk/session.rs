//! Statements about the session: settings, transactions, prepared statements and cursors.

use std::sync::Arc;

use countersign_model::{Access, Shape};
use pg_query::NodeEnum;
use pg_query::protobuf::{
    DeclareCursorStmt, DiscardMode, DiscardStmt, Node, PrepareStmt, TransactionStmt, TransactionStmtKind,
    VariableSetKind, VariableSetStmt, VariableShowStmt, a_const,
};

use super::Walk;
use crate::analysis::{SessionEffect, SettingChange, Statement, Transaction};
use crate::tables::settings::{SettingClass, class, may_be_shown};
use crate::uses::Uses;
use crate::vocabulary as v;

/// `WITH HOLD` in a cursor's options.
const CURSOR_HOLD: i32 = 0x20;

impl Walk<'_> {
    pub(super) fn set(&mut self, set: &VariableSetStmt, statement: &mut Statement) {
        let VariableSetStmt { kind, name, args, jumble_args: _, is_local, location: _ } = set;
        let kind = VariableSetKind::try_from(*kind).unwrap_or(VariableSetKind::Undefined);
        let name = name.to_ascii_lowercase();
        // SET TIME ZONE INTERVAL '1' HOUR is a cast.
        self.nodes(args);
        match kind {
            VariableSetKind::VarResetAll => {
                self.uses.part(Access::Admin).add(v::SETTINGS, &Arc::from("*"));
                statement.may_change_settings = true;
            }
            VariableSetKind::VarSetMulti => self.set_transaction(&name, args, statement),
            VariableSetKind::VarSetValue
            | VariableSetKind::VarSetDefault
            | VariableSetKind::VarReset
            | VariableSetKind::VarSetCurrent => {
                let constants: Option<Vec<Arc<str>>> = args.iter().map(constant).collect();
                let Some(values) = constants else {
                    self.refuse("SET has a value that is not a constant");
                    return;
                };
                let change = SettingChange { name: name.as_str().into(), values, local: *is_local };
                self.set_one(change, statement);
            }
            VariableSetKind::Undefined => self.refuse("SET of an unknown kind"),
        }
    }

    fn set_one(&mut self, change: SettingChange, statement: &mut Statement) {
        let value = change.values.first().map(|v| v.to_ascii_lowercase());
        let access = match class(&change.name) {
            SettingClass::Harmless => Access::Connect,
            SettingClass::SearchPath => {
                if change.values.is_empty() {
                    // Back to a default that only the session knows.
                    statement.may_change_settings = true;
                } else {
                    self.settings = self.settings.with_search_path(&change.values);
                }
                Access::Connect
            }
            SettingClass::ClientEncoding => {
                let plain: Option<String> = value.map(|v| v.chars().filter(char::is_ascii_alphanumeric).collect());
                if !matches!(plain.as_deref(), Some("utf8" | "unicode")) {
                    self.refuse("client_encoding must stay UTF8");
                }
                Access::Connect
            }
            SettingClass::StandardConformingStrings => {
                if !matches!(value.as_deref(), Some("on" | "true" | "yes" | "1")) {
                    self.refuse("standard_conforming_strings must stay on");
                }
                Access::Connect
            }
            SettingClass::ReadOnly => match value.as_deref() {
                Some("on" | "true" | "yes" | "1") => Access::Connect,
                _ => Access::Write,
            },
            SettingClass::Role => {
                for value in &change.values {
                    self.uses.part(Access::Admin).add(v::ROLES, value);
                }
                statement.may_change_settings = true;
                Access::Admin
            }
            SettingClass::Other => {
                statement.may_change_settings |=
                    change.name.contains("libraries") || &*change.name == "session_replication_role";
                Access::Admin
            }
        };
        self.uses.part(access).add(v::SETTINGS, &change.name);
        statement.settings.push(change);
    }

    /// `SET TRANSACTION`, `SET SESSION CHARACTERISTICS`, and the options of `BEGIN`.
    fn set_transaction(&mut self, name: &str, args: &[Node], statement: &mut Statement) {
        self.uses.part(Access::Connect);
        match name {
            "transaction" | "session characteristics" => self.transaction_modes(args, statement),
            // A snapshot that another session exported: the data is that of an earlier moment, the rights are the same.
            "transaction snapshot" => {}
            _ => self.refuse("SET of several settings of an unknown kind"),
        }
    }

    fn transaction_modes(&mut self, modes: &[Node], statement: &mut Statement) {
        for mode in modes {
            let Some(NodeEnum::DefElem(mode)) = mode.node.as_ref() else {
                self.refuse("a transaction mode of an unknown kind");
                return;
            };
            let value = mode.arg.as_deref().and_then(constant).unwrap_or_else(|| "".into());
            let writes = mode.defname == "transaction_read_only" && &*value != "1" && &*value != "true";
            let access = if writes { Access::Write } else { Access::Connect };
            let name: Arc<str> = mode.defname.as_str().into();
            self.uses.part(access).add(v::SETTINGS, &name);
            statement.settings.push(SettingChange { name, values: vec![value], local: true });
        }
    }

    pub(super) fn show(&mut self, show: &VariableShowStmt) {
        let name = show.name.to_ascii_lowercase();
        let access = if may_be_shown(&name) { Access::Connect } else { Access::Read };
        self.uses.part(access).add(v::SETTINGS, &name.into());
    }

    pub(super) fn transaction(&mut self, t: &TransactionStmt, statement: &mut Statement) {
        let TransactionStmt { kind, options, savepoint_name, gid: _, chain, location: _ } = t;
        self.uses.part(Access::Connect);
        let name: Arc<str> = savepoint_name.as_str().into();
        let mut two_phase = || self.uses.part(Access::Write).touches(false);
        let (word, what) = match TransactionStmtKind::try_from(*kind) {
            Ok(TransactionStmtKind::TransStmtBegin | TransactionStmtKind::TransStmtStart) => {
                ("begin", Transaction::Begin)
            }
            Ok(TransactionStmtKind::TransStmtCommit) => ("commit", Transaction::Commit { chain: *chain }),
            Ok(TransactionStmtKind::TransStmtRollback) => ("rollback", Transaction::Rollback { chain: *chain }),
            Ok(TransactionStmtKind::TransStmtSavepoint) => ("savepoint", Transaction::Savepoint(name)),
            Ok(TransactionStmtKind::TransStmtRelease) => ("release", Transaction::Release(name)),
            Ok(TransactionStmtKind::TransStmtRollbackTo) => ("rollback_to", Transaction::RollbackTo(name)),
            Ok(TransactionStmtKind::TransStmtPrepare) => {
                two_phase();
                ("prepare_transaction", Transaction::Prepare)
            }
            Ok(TransactionStmtKind::TransStmtCommitPrepared) => {
                two_phase();
                statement.outside_transaction = true;
                ("commit_prepared", Transaction::CommitPrepared)
            }
            Ok(TransactionStmtKind::TransStmtRollbackPrepared) => {
                two_phase();
                statement.outside_transaction = true;
                ("rollback_prepared", Transaction::RollbackPrepared)
            }
            Ok(TransactionStmtKind::Undefined) | Err(_) => {
                self.refuse("a transaction statement of an unknown kind");
                return;
            }
        };
        statement.may_change_settings |= self.reverts(&what);
        statement.kind = word;
        statement.transaction = Some(what);
        self.transaction_modes(options, statement);
    }

    /// True when the end of a transaction takes back what names mean: a `SET` within it, a local one in any case, and relations that
    /// came and went.
    fn reverts(&self, end: &Transaction) -> bool {
        let mut paths = self.statements.iter().flat_map(|s| &s.settings).filter(|s| &*s.name == "search_path");
        match end {
            Transaction::Rollback { .. } | Transaction::RollbackTo(_) | Transaction::RollbackPrepared => {
                self.settings.may_revert() || paths.next().is_some() || !self.overlay.is_empty()
            }
            Transaction::Commit { .. } | Transaction::Prepare => self.settings.may_revert() || paths.any(|s| s.local),
            _ => false,
        }
    }

    pub(super) fn discard(&mut self, discard: &DiscardStmt, statement: &mut Statement) {
        match DiscardMode::try_from(discard.target) {
            Ok(DiscardMode::DiscardPlans | DiscardMode::DiscardSequences) => {
                self.uses.part(Access::Connect);
            }
            Ok(DiscardMode::DiscardTemp) => {
                self.uses.part(Access::Write).touches(true);
                statement.changes_catalog = true;
                statement.changes_temporary = true;
            }
            _ => {
                self.uses.part(Access::Admin);
                statement.session = Some(SessionEffect::DiscardAll);
                statement.may_change_settings = true;
                statement.changes_catalog = true;
                statement.changes_temporary = true;
                statement.outside_transaction = true;
            }
        }
    }

    /// Walks a statement within a statement apart from the rest, and gives the shape of running it.
    fn inner(&mut self, kind: &'static str, query: Option<&Node>) -> Arc<Shape> {
        let outer = std::mem::take(&mut self.uses);
        let writes_before = self.writes;
        self.maybe(query);
        self.casts();
        if let Some(node) = query.and_then(|q| q.node.as_ref()) {
            self.note_uncounted(node, writes_before);
        }
        let mut uses = std::mem::take(&mut self.uses);
        uses.state(kind);
        let disclosure = self.traced.inner_disclosure.clone();
        let shape = Shape::disclosing(kind, uses.clone().into_uses(), self.fingerprint, disclosure);
        self.uses = outer;
        self.uses.merge(uses);
        shape
    }

    pub(super) fn prepare(&mut self, prepare: &PrepareStmt, statement: &mut Statement) {
        let PrepareStmt { name, argtypes, query } = prepare;
        self.nodes(argtypes);
        let kind = query.as_deref().and_then(|q| q.node.as_ref()).map_or("prepare", query_kind);
        let changes = std::mem::take(&mut self.may_change_settings);
        let inner = self.inner(kind, query.as_deref());
        // Preparing runs nothing.
        self.may_change_settings = changes;
        let name: Arc<str> = name.as_str().into();
        self.prepared.push(Arc::clone(&name));
        statement.session = Some(SessionEffect::Prepare { name, inner, outputs: self.traced.inner.clone() });
    }

    pub(super) fn declare(&mut self, declare: &DeclareCursorStmt, statement: &mut Statement) {
        let DeclareCursorStmt { portalname, options, query } = declare;
        let inner = self.inner("select", query.as_deref());
        let name: Arc<str> = portalname.as_str().into();
        self.cursors.push(Arc::clone(&name));
        let outputs = self.traced.inner.clone();
        statement.session = Some(SessionEffect::Declare { name, hold: options & CURSOR_HOLD != 0, inner, outputs });
    }
}

impl Uses {
    /// Stands in for something that the text only names.
    pub(super) fn stand_in(&mut self) {
        self.part(Access::Execute).beyond_catalog();
    }
}

/// The word for a query node.
pub(super) fn query_kind(node: &NodeEnum) -> &'static str {
    match node {
        NodeEnum::SelectStmt(_) => "select",
        NodeEnum::InsertStmt(_) => "insert",
        NodeEnum::UpdateStmt(_) => "update",
        NodeEnum::DeleteStmt(_) => "delete",
        NodeEnum::MergeStmt(_) => "merge",
        _ => "statement",
    }
}

/// The text of a constant; `None` when the node is something else.
pub(super) fn constant(node: &Node) -> Option<Arc<str>> {
    match node.node.as_ref()? {
        NodeEnum::AConst(c) => Some(match c.val.as_ref()? {
            a_const::Val::Ival(i) => i.ival.to_string().into(),
            a_const::Val::Fval(f) => f.fval.as_str().into(),
            a_const::Val::Boolval(b) => b.boolval.to_string().into(),
            a_const::Val::Sval(s) => s.sval.as_str().into(),
            a_const::Val::Bsval(b) => b.bsval.as_str().into(),
        }),
        NodeEnum::String(s) => Some(s.sval.as_str().into()),
        NodeEnum::Integer(i) => Some(i.ival.to_string().into()),
        NodeEnum::Float(f) => Some(f.fval.as_str().into()),
        NodeEnum::Boolean(b) => Some(b.boolval.to_string().into()),
        NodeEnum::TypeCast(c) => constant(c.arg.as_deref()?),
        _ => None,
    }
}
