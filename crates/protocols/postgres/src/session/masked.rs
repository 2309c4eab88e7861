//! Masked results: what is told of them, rows rewritten on their way, and the columns learnt ahead where the client asks for rows without
//! their description.
//!
//! It must never let a row of a masked result pass before its columns are known.

use std::sync::{Arc, OnceLock};

use bytes::{BufMut, Bytes, BytesMut};
use countersign_enforce::{Output, Proposal};
use countersign_model::{Mask, Shape, Tag};
use countersign_sql::{Analysis, CopyForm, Endpoint, OutputColumn, Outputs, Reference, SessionEffect, Statement};

use super::Session;
use super::expect::{Expect, Over};
use super::names::{Portal, Prepared};
use super::replies::limit_error;
use super::server::Fate;
use crate::masking::{self, Field, Given, Guard, Unmaskable, Veil, told};
use crate::wire::{self, Fields, HEADER_BYTES, Head};

/// Rewritten rows go on when they are so many bytes, or when anything else is told.
const REWRITTEN_BYTES_MAX: usize = 64 << 10;

/// The columns of a statement or portal, once the target described them; shared by all that run it.
pub(crate) type Described = Arc<OnceLock<Arc<[Field]>>>;

/// Rows as the client is to see them, on their way to it.
#[derive(Default)]
pub(crate) struct Rewritten {
    bytes: Vec<u8>,
    /// The intent whose record they belong into.
    seq: Option<u64>,
    /// What a client in this process is told ahead of them, as frames. It is not recorded.
    aside: BytesMut,
}

/// Where a description goes when it comes.
pub(crate) struct Describing {
    /// Whoever needs it; nobody, for most.
    pub(crate) into: Option<Described>,
    /// Nobody but the gateway asked.
    pub(crate) ours: bool,
}

impl Describing {
    /// It came.
    pub(super) fn answered(&self, tag: u8, frame: &[u8]) -> Fate {
        let fields = if tag == b'T' { masking::fields(frame) } else { Some(Arc::default()) };
        if let (Some(into), Some(fields)) = (&self.into, fields) {
            // It never changes for what it was asked about; the first answer holds.
            let _ = into.set(fields);
        }
        if self.ours { Fate::Drop } else { Fate::Pass }
    }
}

/// What is known of an Execute's columns before it is judged.
pub(crate) struct Ahead {
    pub(crate) given: Vec<Given>,
    /// Where their description will be; `None` when there are none.
    pub(crate) columns: Option<Columns>,
}

/// The columns of what runs by the extended protocol.
pub(crate) struct Columns {
    described: Described,
    /// The formats that its Bind asked for, where the description is the statement's, which has none.
    formats: Option<Vec<i16>>,
}

impl Columns {
    /// As they come.
    pub(crate) fn fields(&self) -> Result<Arc<[Field]>, Unmaskable> {
        let fields = self.described.get().ok_or(Unmaskable::Undescribed)?;
        match &self.formats {
            Some(formats) => formatted(fields, formats),
            None => Ok(fields.clone()),
        }
    }
}

impl Session {
    /// True when policy may ask for values of this to be masked.
    pub(super) fn may_be_masked(&self, shape: &Shape) -> bool {
        self.tools.looks_for_content() || !shape.disclosure().is_empty()
    }

    /// Says that masks can be put on what is proposed, where they can.
    pub(super) fn says_maskable(&self, proposal: Proposal, analysis: Option<&Analysis>) -> Proposal {
        let is_unread = |s: &Statement| copied_out(s).is_some_and(|c| c.form == CopyForm::Other);
        let unread = analysis.is_some_and(|a| a.statements().iter().any(is_unread));
        if self.tools.can_mask() && !unread { proposal.maskable() } else { proposal }
    }

    /// The masks on the results of what is about to run.
    pub(super) fn veil(
        &self,
        masks: &Arc<[Mask]>,
        given: Option<Vec<Given>>,
        columns: Option<Columns>,
    ) -> Option<Box<Veil>> {
        let catalog = self.facts.catalog().clone();
        let veil = Veil::new(self.tools.clone(), catalog, masks.clone(), given.unwrap_or_default(), columns);
        Some(Box::new(veil.noting(self.is_inside)))
    }

    /// From now on, until the transaction ends, the target's words may quote what is masked.
    pub(super) fn guard_by(&mut self, guard: Option<Guard>) {
        if !self.guard.as_ref().is_some_and(|g| g.tagged) && guard.is_some() {
            self.guard = guard;
        }
    }

    /// What each statement of a text gives.
    pub(super) fn given(&self, analysis: &Analysis) -> Vec<Given> {
        let outputs = analysis.outputs_with(|reference| match reference {
            Reference::Prepared(name) => self.names.statements.get(name.as_bytes()).map(|p| self.outputs_of(p)),
            Reference::Cursor(name) => self.names.portals.get(name.as_bytes()).map(|p| self.outputs_of(&p.statement)),
        });
        outputs.into_iter().zip(analysis.statements()).map(|(outputs, s)| self.of_statement(outputs, s)).collect()
    }

    fn of_statement(&self, outputs: Outputs, s: &Statement) -> Given {
        // A copy does not tell its types. Those of stored columns are known, and some of what is computed, such as texts.
        let stored = |column: &OutputColumn| match &*column.sources {
            [source] if column.direct => self.facts.column_type(source),
            _ => Some(column.type_oid).filter(|oid| *oid != 0),
        };
        let copy = copied_out(s).map(|copy| match &outputs {
            Outputs::Columns(columns) => (copy.form.clone(), columns.iter().map(stored).collect()),
            _ => (copy.form.clone(), Box::default()),
        });
        Given { outputs, copy }
    }

    /// What a portal gives, judged as it was bound and as it is now.
    fn given_by(&self, bound: &Prepared, now: &Prepared) -> Vec<Given> {
        let of = |p: &Prepared| match &p.analysis {
            Some(analysis) => self.given(analysis),
            None => vec![Given { outputs: self.outputs_of(p), copy: None }],
        };
        let now_given = of(now);
        if bound.shape.id() == now.shape.id() {
            return now_given;
        }
        // Some names mean what they meant when it was bound, and some what they mean now.
        let both = of(bound).into_iter().zip(now_given);
        both.map(|(b, n)| Given { outputs: either(&b.outputs, &n.outputs), copy: n.copy }).collect()
    }

    /// What a prepared statement or a cursor gives. What runs another by its name may give anything that it may show.
    fn outputs_of(&self, prepared: &Prepared) -> Outputs {
        let statements = prepared.analysis.as_deref().map(Analysis::statements);
        match (&prepared.outputs, statements) {
            (Some(outputs), _) if prepared.epoch == self.facts.epoch => outputs.clone(),
            // Tables and tags may have changed since: what it was counts, and what it would be now.
            (Some(outputs), _) => match self.made_again(prepared) {
                Some(now) => either(outputs, &now),
                None => shown_by(&self.current_shape(prepared)),
            },
            (None, Some([s])) if prepared.is_fixed() && prepared.epoch == self.facts.epoch => s.outputs.clone(),
            _ => shown_by(&self.current_shape(prepared)),
        }
    }

    fn made_again(&self, prepared: &Prepared) -> Option<Outputs> {
        let analysis = self.analyse(prepared.permit.text());
        analysis.statements().iter().rev().find_map(|s| match &s.session {
            Some(SessionEffect::Prepare { name, outputs, .. } | SessionEffect::Declare { name, outputs, .. })
                if Some(name) == prepared.sql_name.as_ref() =>
            {
                Some(outputs.clone())
            }
            _ => None,
        })
    }

    /// Where a description that the client asks for is needed.
    pub(super) fn describes(&mut self, kind: u8, name: &[u8]) -> Option<Described> {
        let needed = |p: &Prepared| self.may_be_masked(&p.shape);
        if kind == b'S' {
            self.names.statements.get(name).filter(|s| needed(s) && s.is_fixed())?;
            self.names.take_room_for_description().then_some(())?;
            let statement = self.names.statements.get_mut(name)?;
            return Some(statement.described.get_or_insert_default().clone());
        }
        self.names.portals.get(name).filter(|p| needed(&p.statement))?;
        self.names.take_room_for_description().then_some(())?;
        let portal = self.names.portals.get_mut(name)?;
        Some(portal.described.get_or_insert_default().clone())
    }

    /// What is known of an Execute's columns. Where nobody asked for them yet, the target is asked, ahead of the rows.
    pub(super) fn look_ahead(&mut self, name: &Bytes, portal: &Portal, now: &Prepared) -> Option<Box<Ahead>> {
        if !self.tools.can_mask() {
            return None;
        }
        let given = self.given_by(&portal.statement, now);
        let rows = given.iter().any(|g| g.copy.is_none() && !matches!(g.outputs, Outputs::None));
        let columns = rows.then(|| self.columns_of(name, portal));
        Some(Box::new(Ahead { given, columns }))
    }

    fn columns_of(&mut self, name: &Bytes, portal: &Portal) -> Columns {
        if let Some(described) = &portal.described {
            return Columns { described: described.clone(), formats: None };
        }
        let parameters = portal.parameters.as_ref().map(|p| p.bytes().clone()).unwrap_or_default();
        let shared = portal.statement.described.as_ref().filter(|_| !portal.cursor && portal.statement.is_fixed());
        if let (Some(described), Some(formats)) = (shared, result_formats(&parameters)) {
            return Columns { described: described.clone(), formats: Some(formats) };
        }
        let described = Described::default();
        if self.names.take_room_for_description()
            && let Some(p) = self.names.portals.get_mut(name).filter(|p| p.id == portal.id)
        {
            p.described = Some(described.clone());
        }
        let mut frame = BytesMut::with_capacity(HEADER_BYTES + name.len() + 2);
        wire::frame(&mut frame, b'D', |b| {
            b.put_u8(b'P');
            b.put_slice(name);
            b.put_u8(0);
        });
        self.out.push_back(Output::Follow(portal.statement.permit.clone(), frame.freeze()));
        self.sent();
        self.expects.push_back(Expect::Describe(Describing { into: Some(described.clone()), ours: true }));
        Columns { described, formats: None }
    }

    /// True when the rows that come now do not pass as they are.
    pub(super) fn rewrites_rows(&self) -> bool {
        match self.expects.front() {
            Some(Expect::Query(r) | Expect::Execute(r)) => {
                r.over.is_none() && r.veil.as_deref().is_some_and(|v| !v.is_clear())
            }
            _ => false,
        }
    }

    /// A whole row of a masked result, or the first part of one that is too long to be held.
    pub(super) fn on_masked_row(&mut self, head: Head, frame: &[u8]) -> Fate {
        let Some(Expect::Query(r) | Expect::Execute(r)) = self.expects.front_mut() else { return Fate::Drop };
        let Some(veil) = r.veil.as_deref_mut() else { return Fate::Drop };
        if let Some(held) = r.held.take() {
            self.out.push_back(Output::Client(held));
        }
        let begin = self.rewritten.bytes.len();
        let done = if head.frame_bytes > masking::ROW_BYTES_MAX {
            Err(Unmaskable::TooLong)
        } else {
            veil.row(frame, &mut self.rewritten.bytes)
        };
        let bytes = (self.rewritten.bytes.len() - begin).saturating_sub(HEADER_BYTES) as u64;
        if let Err(why) = done {
            r.over = Some(Over::Unmaskable(why));
        } else if !r.count_row(bytes) {
            self.rewritten.seq = r.record.then(|| r.permit.seq());
            if self.rewritten.bytes.len() >= REWRITTEN_BYTES_MAX {
                self.flush_rewritten();
            }
            return Fate::Drop;
        }
        let error = limit_error(r);
        self.rewritten.bytes.truncate(begin);
        self.out.push_back(Output::CancelOwn);
        Fate::Replace(error)
    }

    /// Rewritten rows go to the client, and into the record.
    pub(super) fn flush_rewritten(&mut self) {
        if self.is_inside {
            if let Some(Expect::Query(r) | Expect::Execute(r)) = self.expects.front_mut()
                && let Some(marks) = r.veil.as_deref_mut().and_then(Veil::take_marks)
            {
                marks.put(&mut self.rewritten.aside);
            }
            let aside = self.rewritten.aside.split().freeze();
            self.client(aside);
        }
        if self.rewritten.bytes.is_empty() {
            return;
        }
        let rows = Bytes::from(std::mem::take(&mut self.rewritten.bytes));
        if let Some(seq) = self.rewritten.seq {
            self.out.push_back(Output::Rows(seq, rows.clone()));
        }
        self.out.push_back(Output::Client(rows));
    }

    /// What the target says around the rows of a masked result; `Some` when that ends it.
    pub(super) fn on_masked_reply(&mut self, tag: u8, frame: &[u8]) -> Option<Fate> {
        let Some(Expect::Query(r) | Expect::Execute(r)) = self.expects.front_mut() else { return None };
        let veil = r.veil.as_deref_mut()?;
        let done = match tag {
            b'T' => masking::fields(frame).ok_or(Unmaskable::Form).and_then(|fields| veil.described(&fields)),
            b'H' => veil.copies(frame),
            b'c' => veil.copy_done(),
            b'C' => {
                veil.next_statement();
                Ok(())
            }
            _ => Ok(()),
        };
        if self.is_inside
            && tag == b'T'
            && let Some(told) = veil.told()
        {
            told.put(&mut self.rewritten.aside);
        }
        r.over = Some(Over::Unmaskable(done.err()?));
        let error = limit_error(r);
        self.out.push_back(Output::CancelOwn);
        Some(Fate::Replace(error))
    }

    /// An error or notice that would pass, in words that quote nothing while masked data may be at hand.
    pub(super) fn worded(&self, tag: u8, frame: &[u8], fate: Fate) -> Fate {
        let before = match fate {
            Fate::Pass => Bytes::new(),
            Fate::PassAfter(before) => before,
            Fate::Drop | Fate::Replace(_) => return fate,
        };
        // What is told of a write may quote columns that it does not touch.
        let short =
            if self.facts.has_tags() || self.tools.looks_for_content() { told::without_row(tag, frame) } else { None };
        let frame = short.as_deref().unwrap_or(frame);
        let told = self.guard.as_ref().and_then(|guard| guard.told(&self.tools, tag, frame));
        let told = told.or(short);
        match told {
            Some(told) => Fate::Replace([before, told].concat().into()),
            None if before.is_empty() => Fate::Pass,
            None => Fate::PassAfter(before),
        }
    }
}

/// A copy to the client.
fn copied_out(s: &Statement) -> Option<&countersign_sql::Copy> {
    s.copy.as_ref().filter(|c| !c.from && c.endpoint == Endpoint::Client)
}

/// Columns in the formats that a Bind asked for; see [`result_formats`].
fn formatted(fields: &[Field], formats: &[i16]) -> Result<Arc<[Field]>, Unmaskable> {
    let of = |n: usize| match formats {
        [] => Some(0),
        [all] => Some(*all),
        each => each.get(n).copied(),
    };
    let one = |(n, f): (usize, &Field)| match of(n) {
        Some(code @ (0 | 1)) => Ok(Field { binary: code == 1, ..f.clone() }),
        _ => Err(Unmaskable::Form),
    };
    fields.iter().enumerate().map(one).collect()
}

/// The formats that a Bind asks for in its results: none for text, one for all, or one each.
pub(super) fn result_formats(parameters: &[u8]) -> Option<Vec<i16>> {
    let mut f = Fields(parameters);
    let count = |f: &mut Fields<'_>| f.i16().and_then(|n| usize::try_from(n).ok());
    for _ in 0..count(&mut f)? {
        f.i16()?;
    }
    for _ in 0..count(&mut f)? {
        if let Ok(len) = usize::try_from(f.i32()?) {
            f.bytes(len)?;
        }
    }
    let formats = (0..count(&mut f)?).map(|_| f.i16()).collect::<Option<Vec<i16>>>()?;
    f.0.is_empty().then_some(formats)
}

/// Rows of which nothing is known but what they may show.
fn shown_by(shape: &Shape) -> Outputs {
    Outputs::Unknown { tags: shape.disclosure().shown.as_slice().into() }
}

/// Columns that show what either shows.
fn either(a: &Outputs, b: &Outputs) -> Outputs {
    let joined = |a: &[Tag], b: &[Tag]| {
        let mut all = [a, b].concat();
        all.sort();
        all.dedup();
        all.into()
    };
    match (a, b) {
        (Outputs::Columns(a), Outputs::Columns(b)) if a.len() == b.len() => {
            let one = |(a, b): (&OutputColumn, &OutputColumn)| OutputColumn {
                tags: joined(&a.tags, &b.tags),
                direct: a.direct && b.direct && a.sources == b.sources,
                type_oid: if a.type_oid == b.type_oid { a.type_oid } else { 0 },
                ..a.clone()
            };
            Outputs::Columns(a.iter().zip(b.iter()).map(one).collect())
        }
        (Outputs::None, Outputs::None) => Outputs::None,
        _ => Outputs::Unknown { tags: joined(&a.tags(), &b.tags()) },
    }
}
