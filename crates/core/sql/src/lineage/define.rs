//! Statements that change structure: those that take a tag from a column, or fail depending on what it holds.
//!
//! What only makes, grants or measures is let through by name; any other that names a tagged relation counts.

use std::collections::BTreeSet;

use pg_query::NodeEnum;
use pg_query::protobuf::{AlterTableType, DropStmt};

use super::value::Sources;
use super::{Effect, Tracer};
use crate::census::Census;

impl Tracer<'_> {
    pub(super) fn define(&mut self, node: &NodeEnum, census: &Census) {
        if is_harmless(node, census) {
            return;
        }
        let mut all = Sources::default();
        let mut names: BTreeSet<(String, String)> = census.relations.iter().cloned().collect();
        names.extend(listed(node));
        for (schema, name) in names {
            if let Some(relation) = self.resolve(&schema, &name) {
                all.add(&self.row_of(relation).sources());
            }
        }
        self.chosen("a change that may fail on what is stored", &all, None);
        self.note(Effect::Copied, "a change after which the tag may no longer be known", &all, None);
    }
}

/// Names that the tree keeps as plain text.
fn listed(node: &NodeEnum) -> Option<(String, String)> {
    let object = match node {
        NodeEnum::CommentStmt(s) => s.object.as_deref(),
        NodeEnum::SecLabelStmt(s) => s.object.as_deref(),
        _ => None,
    }?;
    let Some(NodeEnum::List(list)) = object.node.as_ref() else { return None };
    let parts = crate::walk::names(&list.items)?;
    // Of a column: its relation stands before it.
    match parts.as_slice() {
        [table, _] => Some((String::new(), (*table).to_owned())),
        [.., schema, table, _] => Some(((*schema).to_owned(), (*table).to_owned())),
        _ => None,
    }
}

fn is_harmless(node: &NodeEnum, census: &Census) -> bool {
    let computes = census.counts.columns > 0 || census.counts.functions > 0 || census.counts.operators > 0;
    match node {
        NodeEnum::DropStmt(DropStmt { .. })
        | NodeEnum::VacuumStmt(_)
        | NodeEnum::ClusterStmt(_)
        | NodeEnum::ReindexStmt(_)
        | NodeEnum::RefreshMatViewStmt(_)
        | NodeEnum::GrantStmt(_)
        | NodeEnum::AlterOwnerStmt(_)
        | NodeEnum::CreateStmt(_)
        | NodeEnum::CreateForeignTableStmt(_)
        // What a view shows carries the tags of what it is made from.
        | NodeEnum::ViewStmt(_) => true,
        NodeEnum::CreateStatsStmt(_) | NodeEnum::CreatePolicyStmt(_) | NodeEnum::AlterPolicyStmt(_) => !computes,
        NodeEnum::IndexStmt(s) => !s.unique && !computes,
        NodeEnum::AlterTableStmt(s) if census.counts.columns == 0 => s.cmds.iter().all(|c| match c.node.as_ref() {
            Some(NodeEnum::AlterTableCmd(c)) => matches!(
                AlterTableType::try_from(c.subtype),
                Ok(AlterTableType::AtAddColumn
                    | AlterTableType::AtColumnDefault
                    | AlterTableType::AtDropNotNull
                    | AlterTableType::AtSetNotNull
                    | AlterTableType::AtSetStatistics
                    | AlterTableType::AtSetStorage
                    | AlterTableType::AtSetCompression
                    | AlterTableType::AtDropColumn
                    | AlterTableType::AtDropConstraint
                    | AlterTableType::AtChangeOwner
                    | AlterTableType::AtSetTableSpace
                    | AlterTableType::AtSetRelOptions
                    | AlterTableType::AtResetRelOptions
                    | AlterTableType::AtReplicaIdentity
                    | AlterTableType::AtEnableRowSecurity
                    | AlterTableType::AtForceRowSecurity)
            ),
            _ => false,
        }),
        _ => false,
    }
}
