//! The gate's answer carried out: what was admitted becomes an expected reply, what was refused an ordinary error.

use std::sync::Arc;

use bytes::Bytes;
use countersign_enforce::{Plan, ProposalId};
use countersign_model::{Access, ClientText, Denial, DenialCode, Shape};
use countersign_sql::{Analysis, UndefinedKind};

use super::expect::{Expect, Running};
use super::masked::Ahead;
use super::names::Prepared;
use super::{Session, after, frames};
use crate::masking::Guard;
use crate::wire::{self, Gravity, Native};

/// What the gate was asked about.
pub(crate) enum Op {
    /// A simple query; `access` is the gravest of what it does, and `tagged` says that it touches tagged data.
    Query { analysis: Option<Arc<Analysis>>, access: Access, tagged: bool },
    /// A Parse; `known` says that the name is taken as far as we know.
    Parse { name: Bytes, known: bool, shape: Arc<Shape>, analysis: Option<Arc<Analysis>> },
    /// An Execute.
    Execute {
        portal: Bytes,
        analysis: Option<Arc<Analysis>>,
        access: Access,
        tagged: bool,
        /// What is known of its columns, where they may be masked.
        ahead: Option<Box<Ahead>>,
    },
}

impl Op {
    /// True when tagged data is touched.
    fn is_tagged(&self) -> bool {
        match self {
            Self::Query { tagged, .. } | Self::Execute { tagged, .. } => *tagged,
            Self::Parse { shape, .. } => !shape.disclosure().is_empty(),
        }
    }
}

impl Session {
    /// A literal to send just ahead of an admitted action: our own transaction around a write whose changed rows are limited,
    /// because the target would commit before it tells the count.
    pub(crate) fn prelude(&self, id: ProposalId, plan: &Plan) -> Option<&'static [u8]> {
        match &self.asked {
            Some((asked, Op::Query { analysis: Some(analysis), .. }))
                if *asked == id && self.must_wrap(plan, analysis) =>
            {
                Some(frames::BEGIN)
            }
            _ => None,
        }
    }

    fn must_wrap(&self, plan: &Plan, analysis: &Analysis) -> bool {
        self.status == b'I'
            && !plan.limits.is_none()
            && analysis.statements().iter().any(after::may_write)
            && !analysis.statements().iter().any(|s| s.outside_transaction || s.transaction.is_some())
    }

    /// The gate's answer.
    pub(crate) fn on_ruling(&mut self, id: ProposalId, ruling: Result<Plan, Denial>) {
        let Some((_, op)) = self.asked.take_if(|(asked, _)| *asked == id) else { return };
        self.give_notice();
        match ruling {
            Ok(plan) => self.admitted(op, &plan),
            Err(denial) => self.refused(&op, denial),
        }
    }

    fn admitted(&mut self, op: Op, plan: &Plan) {
        let masks = &plan.masks;
        if !masks.is_empty() {
            self.guard_by(Guard::new(masks, op.is_tagged()));
        }
        match op {
            Op::Query { analysis, access, .. } => {
                let mut running = Running::new(plan);
                if !masks.is_empty() {
                    running.veil = self.veil(masks, analysis.as_deref().map(|a| self.given(a)), None);
                }
                if let Some(analysis) = analysis {
                    running.wrapped = self.must_wrap(plan, &analysis);
                    self.count_from(&mut running, after::fetched_cursor(&analysis));
                    running.runs_code = access >= Access::Execute && analysis.references().next().is_some();
                    running.after = after::matters(&analysis).then_some(analysis);
                }
                if running.wrapped {
                    self.expects.push_back(Expect::Begin);
                }
                self.expects.push_back(Expect::Query(running));
                self.hold = true;
            }
            Op::Parse { name, known, shape, analysis } => {
                let guard = Guard::new(masks, !shape.disclosure().is_empty());
                let prepared = Prepared {
                    permit: plan.permit.clone(),
                    shape,
                    analysis,
                    epoch: self.facts.epoch,
                    run: self.run,
                    confirmed: false,
                    sql_name: None,
                    outputs: None,
                    described: None,
                    guard,
                };
                let seq = plan.permit.seq();
                self.sent();
                if known {
                    // Two meanings of one name: only the target's answer tells which it is.
                    let prepared = Some(Box::new(prepared));
                    self.expects.push_back(Expect::Parse { seq, name, prepared, prior: None });
                    self.hold_until_answered();
                } else {
                    let prior = self.names.statements.insert(name.clone(), prepared).map(Box::new);
                    self.expects.push_back(Expect::Parse { seq, name, prepared: None, prior });
                }
            }
            Op::Execute { portal, analysis, access, ahead, .. } => {
                let mut running = Running::new(plan);
                running.extended = true;
                if !masks.is_empty() {
                    let (given, columns) = ahead.map(|a| (a.given, a.columns)).unzip();
                    running.veil = self.veil(masks, given, columns.flatten());
                }
                self.executed = true;
                let limited = !plan.limits.is_none();
                // A change beyond its limit can be undone as long as no Sync followed; and what changes the session must be
                // known before the next message is judged.
                let mut alone = plan.limits.affected.is_some() || (limited && access >= Access::Write);
                let cursor = analysis.as_ref().and_then(|a| after::fetched_cursor(a));
                self.count_from(&mut running, Some(cursor.unwrap_or(portal)));
                running.runs_code =
                    access >= Access::Execute && analysis.as_ref().is_none_or(|a| a.references().next().is_some());
                self.sent();
                if let Some(analysis) = analysis {
                    alone |= running.runs_code
                        || after::changes_session(&analysis)
                        || (after::ends_transaction(&analysis) && (self.facts.touched || self.status == b'E'));
                    if after::copies_in(&analysis) {
                        // The target asks for the rows by itself; until then, nothing else may come.
                        self.hold = true;
                    }
                    if after::matters(&analysis) {
                        running.after = Some(analysis);
                    }
                } else {
                    alone |= running.runs_code;
                }
                self.expects.push_back(Expect::Execute(running));
                if alone {
                    self.hold_until_answered();
                } else if limited {
                    self.hold_but_sync = true;
                }
            }
        }
    }

    /// The rows come from this portal or cursor: what it gave before counts.
    fn count_from(&self, running: &mut Running, portal: Option<Bytes>) {
        if let Some((name, p)) = portal.and_then(|name| self.names.portals.get_key_value(&name)) {
            running.rows_before = p.rows;
            running.bytes_before = p.bytes;
            running.portal = Some((name.clone(), p.id));
        }
    }

    fn refused(&mut self, op: &Op, denial: Denial) {
        let analysis = match op {
            Op::Query { analysis, .. } | Op::Parse { analysis, .. } | Op::Execute { analysis, .. } => {
                analysis.as_deref()
            }
        };
        let (denial, native) = in_the_targets_words(analysis, denial);
        match op {
            Op::Query { .. } => self.refuse_query(&denial, native),
            Op::Parse { name, .. } if name.is_empty() => {
                self.refuse_extended(&denial, native);
                let unnamed = self.names.statements.remove(name).map(Box::new);
                if let Some(Expect::Denied { prior, .. }) = self.expects.back_mut() {
                    *prior = unnamed;
                }
            }
            Op::Parse { .. } | Op::Execute { .. } => self.refuse_extended(&denial, native),
        }
    }

    /// An error in place of a simple query; an open transaction fails as it would for any other error, be it a block or what extended
    /// messages without a Sync began.
    pub(super) fn refuse_query(&mut self, denial: &Denial, native: Native) {
        self.client(wire::error_response_with(denial, Gravity::Error, &native));
        if self.transaction_is_open() || self.unsynced {
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
    pub(super) fn refuse_extended(&mut self, denial: &Denial, native: Native) {
        self.control(frames::FAIL_PARSE);
        self.sent();
        let error = wire::error_response_with(denial, Gravity::Error, &native);
        self.expects.push_back(Expect::Denied { error, prior: None });
        self.skipping = true;
    }
}

/// What could not be read because it is wrong is told as the target would tell it: programs look at these codes. A name that is not
/// known counts as all that is masked, which would be a riddle to whoever only mistyped it.
fn in_the_targets_words(analysis: Option<&Analysis>, mut denial: Denial) -> (Denial, Native) {
    let Some(analysis) = analysis.filter(|_| matches!(denial.code, DenialCode::Unreadable | DenialCode::Withheld))
    else {
        return (denial, Native::default());
    };
    if let Some(error) = analysis.syntax_error() {
        // The words quote nothing but the client's own text.
        denial.message = ClientText::new("").name(&error.message);
        denial.hint = None;
        return (denial, Native { state: Some("42601"), position: Some(error.position) });
    }
    let Some(undefined) = analysis.undefined() else { return (denial, Native::default()) };
    let looked = "Countersign looked it up in the target's catalog, under this session's search_path.";
    let (what, is_wrong, hint) = match undefined.what {
        UndefinedKind::Relation => ("relation \"", "\" does not exist", looked),
        UndefinedKind::Function => ("function \"", "\" does not exist", looked),
        UndefinedKind::Altered => (
            "view \"",
            "\" cannot be judged while another session alters what it reads",
            "Try again when that session's transaction has ended.",
        ),
    };
    denial.message = ClientText::new(what).name(&undefined.name).and(is_wrong);
    denial.hint = Some(ClientText::new(hint));
    (denial, Native { state: Some(undefined.what.sqlstate()), position: None })
}
