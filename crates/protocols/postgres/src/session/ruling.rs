//! The gate's answer carried out: what was admitted becomes an expected reply, what was refused an ordinary error.

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Plan, ProposalId};
use countersign_model::{Access, ClientText, Denial, DenialCode, Shape};
use countersign_sql::{Analysis, UndefinedKind};

use super::expect::{Expect, Running};
use super::names::Prepared;
use super::{Session, after, frames};
use crate::wire::{self, Gravity};

/// What the gate was asked about.
pub(crate) enum Op {
    /// A simple query.
    Query { analysis: Option<Arc<Analysis>> },
    /// A Parse; `known` says that the name is taken as far as we know.
    Parse { name: Bytes, known: bool, shape: Arc<Shape>, analysis: Option<Arc<Analysis>> },
    /// An Execute.
    Execute { portal: Bytes, analysis: Option<Arc<Analysis>>, rows_before: u64, bytes_before: u64 },
}

impl Session {
    /// A literal to send just ahead of an admitted action: our own transaction around a write whose changed rows are limited,
    /// because the target would commit before it tells the count.
    pub(crate) fn prelude(&self, id: ProposalId, plan: &Plan) -> Option<&'static [u8]> {
        match &self.asked {
            Some((asked, Op::Query { analysis: Some(analysis) })) if *asked == id && self.must_wrap(plan, analysis) => {
                Some(frames::BEGIN)
            }
            _ => None,
        }
    }

    fn must_wrap(&self, plan: &Plan, analysis: &Analysis) -> bool {
        self.status == b'I'
            && !plan.limits.is_none()
            && analysis.statements().iter().any(|s| s.access >= Access::Write || s.executes.is_some())
            && !analysis.statements().iter().any(|s| s.outside_transaction || s.transaction.is_some())
    }

    /// The gate's answer.
    pub(crate) fn on_ruling(&mut self, id: ProposalId, ruling: Result<Plan, Denial>) {
        let Some((_, op)) = self.asked.take_if(|(asked, _)| *asked == id) else { return };
        match ruling {
            Ok(plan) => self.admitted(op, &plan),
            Err(denial) => self.refused(&op, denial),
        }
    }

    fn admitted(&mut self, op: Op, plan: &Plan) {
        match op {
            Op::Query { analysis } => {
                let mut running = Running::new(plan);
                if let Some(analysis) = analysis {
                    running.wrapped = self.must_wrap(plan, &analysis);
                    running.portal = after::fetched_cursor(&analysis);
                    running.after = after::matters(&analysis).then_some(analysis);
                }
                if let Some(portal) = running.portal.as_ref().and_then(|p| self.names.portals.get(p)) {
                    running.rows_before = portal.rows;
                    running.bytes_before = portal.bytes;
                }
                if running.wrapped {
                    self.expects.push_back(Expect::Begin);
                }
                self.expects.push_back(Expect::Query(running));
                self.hold = true;
            }
            Op::Parse { name, known, shape, analysis } => {
                let prepared = Prepared {
                    permit: plan.permit.clone(),
                    shape,
                    analysis,
                    epoch: self.facts.epoch,
                    run: self.run,
                    confirmed: false,
                };
                let seq = plan.permit.seq();
                self.sent();
                if known {
                    // Two meanings of one name: only the target's answer tells which it is.
                    let prepared = Some(Box::new(prepared));
                    self.expects.push_back(Expect::Parse { seq, name, run: self.run, prepared });
                    self.hold_until_answered();
                } else {
                    self.names.statements.insert(name.clone(), prepared);
                    self.expects.push_back(Expect::Parse { seq, name, run: self.run, prepared: None });
                }
            }
            Op::Execute { portal, analysis, rows_before, bytes_before } => {
                let mut running = Running::new(plan);
                running.rows_before = rows_before;
                running.bytes_before = bytes_before;
                running.portal = Some(portal);
                self.sent();
                // A change beyond its limit can be undone as long as no Sync followed; and what changes the session must be
                // known before the next message is judged.
                let mut alone = plan.limits.affected.is_some();
                if let Some(analysis) = analysis {
                    alone |= after::matters(&analysis);
                    if after::copies_in(&analysis) {
                        // The target asks for the rows by itself; until then, nothing else may come.
                        self.hold = true;
                    }
                    if after::matters(&analysis) {
                        running.after = Some(analysis);
                    }
                }
                let limited = !plan.limits.is_none();
                self.expects.push_back(Expect::Execute(running));
                if alone {
                    self.hold_until_answered();
                } else if limited {
                    self.hold_but_sync = true;
                }
            }
        }
    }

    fn refused(&mut self, op: &Op, denial: Denial) {
        let analysis = match op {
            Op::Query { analysis } | Op::Parse { analysis, .. } | Op::Execute { analysis, .. } => analysis.as_deref(),
        };
        let (denial, state) = in_the_targets_words(analysis, denial);
        match op {
            Op::Query { .. } => self.refuse_query(&denial, state),
            Op::Parse { .. } | Op::Execute { .. } => self.refuse_extended(&denial, state),
        }
    }

    /// An error in place of a simple query; an open transaction fails as it would for any other error.
    pub(super) fn refuse_query(&mut self, denial: &Denial, state: Option<&'static str>) {
        self.client(wire::error_response_with(denial, Gravity::Error, state));
        if self.transaction_is_open() {
            self.control(frames::FAIL_QUERY);
            self.expects.push_back(Expect::Fail);
            self.hold = true;
        } else {
            self.client(wire::ready_for_query(self.status));
            self.settle();
        }
    }

    /// An error in place of an extended message. The target is made to fail, too, so that everything up to Sync is undone and
    /// skipped there as here, and `ReadyForQuery` comes from it.
    pub(super) fn refuse_extended(&mut self, denial: &Denial, state: Option<&'static str>) {
        self.control(frames::FAIL_PARSE);
        self.sent();
        self.expects.push_back(Expect::Denied(wire::error_response_with(denial, Gravity::Error, state)));
        self.skipping = true;
    }
}

/// What could not be read because it is wrong is told as the target would tell it: programs look at these codes.
fn in_the_targets_words(analysis: Option<&Analysis>, denial: Denial) -> (Denial, Option<&'static str>) {
    let Some(analysis) = analysis else { return (denial, None) };
    if denial.code != DenialCode::Unreadable {
        return (denial, None);
    }
    if analysis.syntax_error_at().is_some() {
        let mut denial = denial;
        denial.message = ClientText::new("syntax error (read by Countersign: the target was not asked)");
        denial.hint = None;
        return (denial, Some("42601"));
    }
    if let Some(undefined) = analysis.undefined() {
        let what = match undefined.what {
            UndefinedKind::Relation => "relation \"",
            UndefinedKind::Function => "function \"",
        };
        let mut denial = denial;
        denial.message = ClientText::new(what).name(&undefined.name).and("\" does not exist");
        denial.hint = Some(ClientText::new(
            "Countersign looked it up in the target's catalog, under this session's search_path.",
        ));
        return (denial, Some(undefined.what.sqlstate()));
    }
    (denial, None)
}
