//! The kinds of statement, and what each amounts to.

use std::sync::Arc;

use countersign_model::Access;
use pg_query::NodeEnum;
use pg_query::protobuf::{
    CallStmt, CopyStmt, CreateTableAsStmt, ExecuteStmt, ExplainStmt, LockStmt, Node, ObjectType, RangeVar, TruncateStmt,
};

use super::session::{constant, query_kind};
use super::{Walk, copy_form, kind};
use crate::analysis::{Copy, Endpoint, SessionEffect, Statement};
use crate::census::Census;
use crate::lineage::Outputs;
use crate::vocabulary as v;

/// `LOCK TABLE … IN ACCESS SHARE MODE`, which `SELECT` takes as well.
const ACCESS_SHARE: i32 = 1;

fn blank(kind: &'static str) -> Statement {
    Statement {
        kind,
        access: Access::Opaque,
        transaction: None,
        session: None,
        executes: None,
        copy: None,
        changes_catalog: false,
        changes_temporary: false,
        settings: Vec::new(),
        may_change_settings: false,
        outside_transaction: false,
        outputs: Outputs::untagged(),
        explained: false,
    }
}

impl Walk<'_> {
    /// A statement as a whole.
    pub(super) fn top(&mut self, node: &NodeEnum, census: &Census) -> Statement {
        let mut statement = blank("statement");
        if self.adrift && !matches!(node, NodeEnum::TransactionStmt(_)) {
            self.refuse(
                "an earlier statement of the same text may have changed what names mean; send the rest on its own",
            );
            return statement;
        }
        self.constants_matter |= query_kind(node) == "statement";
        let writes_before = self.writes;
        match node {
            NodeEnum::SelectStmt(_)
            | NodeEnum::InsertStmt(_)
            | NodeEnum::UpdateStmt(_)
            | NodeEnum::DeleteStmt(_)
            | NodeEnum::MergeStmt(_) => {
                self.query(node);
                statement.kind = if self.into.is_some() { "select_into" } else { query_kind(node) };
                self.constants_matter |= self.into.is_some();
                self.settle_into(&mut statement);
            }
            NodeEnum::TransactionStmt(t) => self.transaction(t, &mut statement),
            NodeEnum::VariableSetStmt(s) => {
                statement.kind =
                    if s.kind >= pg_query::protobuf::VariableSetKind::VarReset as i32 { "reset" } else { "set" };
                self.set(s, &mut statement);
            }
            NodeEnum::VariableShowStmt(s) => {
                statement.kind = "show";
                self.show(s);
            }
            NodeEnum::ConstraintsSetStmt(s) => {
                statement.kind = "set_constraints";
                self.seen.relations += s.constraints.len();
                self.uses.part(Access::Connect);
            }
            NodeEnum::PrepareStmt(s) => {
                statement.kind = "prepare";
                self.prepare(s, &mut statement);
            }
            NodeEnum::ExecuteStmt(s) => {
                statement.kind = "execute";
                self.execute(s);
            }
            NodeEnum::DeallocateStmt(s) => {
                statement.kind = "deallocate";
                self.uses.part(Access::Connect);
                statement.session = Some(SessionEffect::Deallocate((!s.isall).then(|| s.name.as_str().into())));
            }
            NodeEnum::DeclareCursorStmt(s) => {
                statement.kind = "declare";
                self.declare(s, &mut statement);
            }
            NodeEnum::FetchStmt(s) => {
                statement.kind = if s.ismove { "move" } else { "fetch" };
                self.uses.part(Access::Connect);
                let name: Arc<str> = s.portalname.as_str().into();
                statement.session = Some(SessionEffect::Fetch { name, is_move: s.ismove });
            }
            NodeEnum::ClosePortalStmt(s) => {
                statement.kind = "close";
                self.uses.part(Access::Connect);
                statement.session =
                    Some(SessionEffect::Close((!s.portalname.is_empty()).then(|| s.portalname.as_str().into())));
            }
            NodeEnum::DiscardStmt(s) => {
                statement.kind = "discard";
                self.discard(s, &mut statement);
            }
            NodeEnum::ListenStmt(s) => {
                statement.kind = "listen";
                self.uses.part(Access::Execute).add(v::CHANNELS, &s.conditionname.as_str().into());
            }
            NodeEnum::NotifyStmt(s) => {
                statement.kind = "notify";
                self.uses.part(Access::Execute).add(v::CHANNELS, &s.conditionname.as_str().into());
            }
            NodeEnum::UnlistenStmt(_) => {
                statement.kind = "unlisten";
                self.uses.part(Access::Connect);
            }
            NodeEnum::CopyStmt(s) => self.copy(s, &mut statement),
            NodeEnum::ExplainStmt(s) => {
                statement = self.explain(s, census);
                statement.kind = "explain";
            }
            NodeEnum::CreateTableAsStmt(s) => self.create_as(s, &mut statement),
            NodeEnum::TruncateStmt(s) => {
                statement.kind = "truncate";
                let TruncateStmt { relations, restart_seqs: _, behavior: _ } = s;
                self.targets_of(relations, Access::Write);
                self.uses.part(Access::Write).unfiltered();
                self.uses.uncounted_write();
            }
            NodeEnum::LockStmt(s) => {
                statement.kind = "lock";
                let LockStmt { relations, mode, nowait: _ } = s;
                self.targets_of(relations, if *mode == ACCESS_SHARE { Access::Read } else { Access::Write });
            }
            NodeEnum::CallStmt(s) => {
                statement.kind = "call";
                let CallStmt { funccall, funcexpr: _, outargs } = &**s;
                self.uses.part(Access::Execute);
                if let Some(call) = funccall {
                    self.call(call, true);
                }
                self.nodes(outargs);
                statement.may_change_settings = true;
                statement.changes_catalog = true;
            }
            NodeEnum::DoStmt(s) => {
                statement.kind = "do";
                self.uses.part(Access::Execute);
                self.nodes(&s.args);
                statement.may_change_settings = true;
                statement.changes_catalog = true;
            }
            other => match kind::definition(other) {
                Some(word) => {
                    statement.kind = word;
                    self.define(other, census, &mut statement);
                    statement.outside_transaction = kind::outside_transaction(other);
                }
                None => self.refuse(&format!("a {} is not a statement that is known here", kind::node_name(other))),
            },
        }
        self.note_uncounted(node, writes_before);
        statement
    }

    /// The target counts the rows of the outermost write alone.
    pub(super) fn note_uncounted(&mut self, outermost: &NodeEnum, writes_before: usize) {
        let counted = matches!(
            outermost,
            NodeEnum::InsertStmt(_) | NodeEnum::UpdateStmt(_) | NodeEnum::DeleteStmt(_) | NodeEnum::MergeStmt(_)
        );
        // Preparing runs nothing: what is prepared is asked about by itself.
        let later = matches!(outermost, NodeEnum::PrepareStmt(_));
        if !later && self.writes - writes_before > usize::from(counted) {
            self.uses.uncounted_write();
        }
    }

    fn targets_of(&mut self, nodes: &[Node], access: Access) {
        for node in nodes {
            match node.node.as_ref() {
                Some(NodeEnum::RangeVar(range)) => {
                    self.seen.relations += 1;
                    self.target(range, access);
                }
                _ => self.refuse("a list of relations holds something else"),
            }
        }
    }

    fn execute(&mut self, execute: &ExecuteStmt) {
        let ExecuteStmt { name, params } = execute;
        self.uses.part(Access::Connect);
        self.nodes(params);
        self.executes = Some(name.as_str().into());
    }

    fn explain(&mut self, explain: &ExplainStmt, census: &Census) -> Statement {
        let ExplainStmt { query, options } = explain;
        let analyses = options.iter().any(|o| match o.node.as_ref() {
            Some(NodeEnum::DefElem(o)) if o.defname == "analyze" => {
                let value = o.arg.as_deref().and_then(constant).map(|v| v.to_ascii_lowercase());
                !matches!(value.as_deref(), Some("false" | "off" | "0" | "no"))
            }
            _ => false,
        });
        self.nodes(options);
        let Some(inner) = query.as_deref().and_then(|q| q.node.as_ref()) else {
            self.refuse("EXPLAIN of nothing");
            return blank("explain");
        };
        let mut statement = self.top(inner, census);
        // A plan declares no cursor and makes no table.
        if matches!(statement.session, Some(SessionEffect::Declare { .. })) {
            self.cursors.pop();
        }
        statement.session = None;
        statement.explained = true;
        if !analyses {
            self.uses.writes_to_reads();
            if statement.kind == "create_table_as" || statement.kind == "select_into" {
                self.overlay.forget_last();
            }
            statement.changes_catalog = false;
            statement.changes_temporary = false;
        }
        self.read();
        statement
    }

    fn create_as(&mut self, create: &CreateTableAsStmt, statement: &mut Statement) {
        let CreateTableAsStmt { query, into, objtype, is_select_into: _, if_not_exists: _ } = create;
        match query.as_deref().and_then(|q| q.node.as_ref()) {
            Some(NodeEnum::ExecuteStmt(execute)) => self.execute(execute),
            Some(query) => {
                self.query(query);
            }
            None => self.refuse("CREATE TABLE AS without a query"),
        }
        if let Some(into) = into {
            self.select_into(into);
        }
        let is_view = *objtype == ObjectType::ObjectMatview as i32;
        statement.kind = if is_view { "create_materialized_view" } else { "create_table_as" };
        if is_view {
            self.uses.part(Access::Admin);
        }
        self.settle_into(statement);
    }

    fn copy(&mut self, copy: &CopyStmt, statement: &mut Statement) {
        let CopyStmt { relation, query, attlist, is_from, is_program, filename, options, where_clause } = copy;
        let access = if *is_from { Access::Write } else { Access::Read };
        self.nodes(options);
        self.scopes.push(super::scope::Scope::default());
        if let Some(range) = relation {
            self.copied(range, attlist, access);
        }
        if let Some(query) = query.as_deref() {
            self.node(query);
        }
        self.maybe(where_clause.as_deref());
        self.scopes.pop();
        let endpoint = match (is_program, filename.is_empty()) {
            (true, _) => Endpoint::Program,
            (false, false) => Endpoint::File,
            (false, true) => Endpoint::Client,
        };
        statement.kind = match (endpoint, *is_from) {
            (Endpoint::Client, true) => "copy_from",
            (Endpoint::Client, false) => "copy_to",
            (Endpoint::File, true) => "copy_from_file",
            (Endpoint::File, false) => "copy_to_file",
            (Endpoint::Program, true) => "copy_from_program",
            (Endpoint::Program, false) => "copy_to_program",
        };
        if endpoint == Endpoint::Client {
            self.mark_copy(access);
        } else {
            // The server's own files and programs.
            self.uses.part(Access::Admin).beyond_catalog();
        }
        statement.copy = Some(Copy { from: *is_from, endpoint, form: copy_form::form(options) });
    }

    fn copied(&mut self, range: &RangeVar, columns: &[Node], access: Access) {
        self.seen.relations += 1;
        let entry = self.target(range, access);
        self.enter(entry.clone());
        if columns.is_empty() {
            self.written_all(&entry);
        } else {
            self.listed(&entry, columns);
        }
    }
}
