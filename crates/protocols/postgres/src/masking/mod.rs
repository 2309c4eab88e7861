//! Masking of results: each column's values are transformed in the type and format that they have, and content is searched where no tag
//! tells what a column holds.
//!
//! | file | what it does |
//! |---|---|
//! | `rules` | from lineage, masks and the target's description to what becomes of each column |
//! | `kind` | built-in types by object id |
//! | `cell`, `nested` | one value; values made of values |
//! | `text`, `binary`, `numeric`, `civil` | the two formats of each type |
//! | `edits` | the transforms, and the search for content |
//! | `rows`, `copy` | rows of a result, and of a `COPY` |
//! | `told` | errors and notices without values |
//!
//! It must never let a value pass because it could not be read, or a row whose form is not the one announced.

mod binary;
mod cell;
mod civil;
mod copy;
mod edits;
mod kind;
mod nested;
mod numeric;
mod rows;
mod rules;
mod text;
pub(crate) mod told;

use std::sync::Arc;

use bytes::{BufMut, Bytes};
use countersign_mask::{ContentPlan, Counts, Masker, Scratch};
use countersign_model::{Mask, Tag, Tagging, Transform};
use countersign_sql::{Catalog, CopyForm, Outputs};

pub(crate) use rules::{Field, Unmaskable, fields};

use crate::aside::{Aside, MaskedColumn};
use crate::session::Columns as Ahead;

use cell::{Became, cell};
use copy::CopyOut;
use edits::{Found, Whole};
use rules::{Act, Rule, rules};

use crate::wire::{Fields, HEADER_BYTES};

/// The longest row of a masked result: it is held whole. A longer one ends the statement with an error.
pub(crate) const ROW_BYTES_MAX: usize = 16 << 20;

/// How masks are put on: the transforms with their key, and what is known of the target's data.
#[derive(Clone)]
pub(crate) struct Tools {
    masker: Option<Arc<Masker>>,
    tagging: Arc<Tagging>,
}

impl Tools {
    /// What a session has. Without a masker nothing can be masked.
    pub(crate) fn new(masker: Option<Arc<Masker>>, tagging: Arc<Tagging>) -> Self {
        Self { masker, tagging }
    }

    /// True when masks can be put on.
    pub(crate) fn can_mask(&self) -> bool {
        self.masker.is_some()
    }

    /// True when content is looked for.
    pub(crate) fn looks_for_content(&self) -> bool {
        !self.tagging.detect.is_empty()
    }

    /// How the target's data is known to be sensitive.
    pub(crate) fn tagging(&self) -> &Tagging {
        &self.tagging
    }

    /// What is looked for in content under these masks.
    fn content(&self, masks: &[Mask]) -> ContentPlan {
        let found = |mask: &&Mask| self.tagging.detect.iter().any(|d| d.covers(&mask.tag) || mask.tag.covers(d));
        let masks: Vec<Mask> = masks.iter().filter(found).cloned().collect();
        ContentPlan::new(&masks)
    }
}

/// What the target's words may quote, until the transaction ends.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    /// Tagged values: none of its words are told.
    pub(crate) tagged: bool,
    /// What is looked for in them otherwise.
    masks: Arc<[Mask]>,
}

impl Guard {
    /// For what policy masks of a statement; `tagged` says that it touches tagged data. `None` where nothing is masked.
    pub(crate) fn new(masks: &Arc<[Mask]>, tagged: bool) -> Option<Self> {
        (!masks.is_empty()).then(|| Self { tagged, masks: masks.clone() })
    }

    /// An error or notice as it may be told; `None` to pass it as it is.
    pub(crate) fn told(&self, tools: &Tools, tag: u8, frame: &[u8]) -> Option<Bytes> {
        let masker = tools.masker.as_deref().filter(|_| !self.tagged);
        match masker {
            Some(masker) => told::searched(masker, &tools.content(&self.masks), tag, frame),
            None => Some(told::redacted(tag, frame)),
        }
    }
}

/// What is known of the columns at hand.
enum Columns {
    /// Nothing was described yet.
    Unknown,
    /// All of them pass.
    Clear,
    /// Some do not.
    Ruled(Box<[Rule]>),
}

/// What a statement gives.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    /// Its columns.
    pub(crate) outputs: Outputs,
    /// Of a `COPY`: how its rows are written, and the types of its columns as far as they are known.
    pub(crate) copy: Option<(CopyForm, Box<[Option<u32>]>)>,
}

/// The masking of one statement's results, or of one text's.
pub(crate) struct Veil {
    tools: Tools,
    /// What types of the database's own are made of.
    catalog: Arc<Catalog>,
    masks: Arc<[Mask]>,
    content: ContentPlan,
    /// What each statement of the text gives, and which one answers now.
    results: Box<[Given]>,
    at: usize,
    columns: Columns,
    /// Where the columns are found that nobody describes on the way.
    ahead: Option<Ahead>,
    copy: Option<CopyOut>,
    /// Values by mask.
    masked: Box<[u64]>,
    found: Counts,
    scratch: Scratch,
    /// The row at hand and the cells that were masked, where somebody is told of them.
    row: u32,
    marks: Option<Vec<(u32, u16)>>,
}

impl Veil {
    /// Masks for the results of these statements.
    pub(crate) fn new(
        tools: Tools,
        catalog: Arc<Catalog>,
        masks: Arc<[Mask]>,
        results: Vec<Given>,
        ahead: Option<Ahead>,
    ) -> Self {
        Self {
            catalog,
            content: tools.content(&masks),
            masked: vec![0; masks.len()].into(),
            results: results.into(),
            tools,
            masks,
            at: 0,
            columns: Columns::Unknown,
            ahead,
            copy: None,
            found: Counts::default(),
            scratch: Scratch::default(),
            row: 0,
            marks: None,
        }
    }

    /// The same, noting which cells it masks.
    pub(crate) fn noting(mut self, is_told: bool) -> Self {
        self.marks = is_told.then(Vec::new);
        self
    }

    /// What is told of the columns that were just described; `None` where nothing is masked, or nobody is told.
    pub(crate) fn told(&self) -> Option<Aside> {
        let (Some(_), Columns::Ruled(rules)) = (&self.marks, &self.columns) else { return None };
        let tags = |by: &[usize]| by.iter().filter_map(|i| self.masks.get(*i)).map(|m| m.tag.to_string()).collect();
        let column = |rule: &Rule| {
            let (how, tags) = match &rule.act {
                Act::Pass => return None,
                Act::Mask(transform, by) => (transform.to_string(), tags(by)),
                Act::Fix(None, by) | Act::Hide(None, by) => (Transform::Null.to_string(), tags(by)),
                Act::Fix(Some(_), by) | Act::Hide(Some(_), by) => (Transform::Redact.to_string(), tags(by)),
                Act::Scan => ("content".to_owned(), Vec::new()),
            };
            Some(MaskedColumn { column: rule.column, tags, how })
        };
        Some(Aside::Columns { statement: self.statement(), columns: rules.iter().filter_map(column).collect() })
    }

    /// The cells that were masked since this was asked last.
    pub(crate) fn take_marks(&mut self) -> Option<Aside> {
        let cells = self.marks.as_mut().map(std::mem::take).filter(|m| !m.is_empty())?;
        Some(Aside::Cells { statement: self.statement(), cells })
    }

    fn statement(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// True while rows need not be looked at.
    pub(crate) fn is_clear(&self) -> bool {
        matches!(self.columns, Columns::Clear)
    }

    /// The target described the rows that come.
    pub(crate) fn described(&mut self, fields: &[Field]) -> Result<(), Unmaskable> {
        let given = self.results.get(self.at).ok_or(Unmaskable::Columns)?;
        let masker = self.tools.masker.as_deref().ok_or(Unmaskable::Undescribed)?;
        self.columns =
            match rules(&given.outputs, &self.masks, !self.content.is_empty(), fields, masker, &self.catalog)? {
                Some(rules) => Columns::Ruled(rules),
                None => Columns::Clear,
            };
        Ok(())
    }

    /// The target is about to copy rows out: the format and that of each column.
    pub(crate) fn copies(&mut self, frame: &[u8]) -> Result<(), Unmaskable> {
        let mut f = Fields::of(frame);
        let (binary, count) = (f.u8().ok_or(Unmaskable::Form)? == 1, f.i16().ok_or(Unmaskable::Form)?);
        let given = self.results.get(self.at).and_then(|g| g.copy.clone());
        let (form, types) = given.ok_or(Unmaskable::Columns)?;
        let count = usize::try_from(count).map_err(|_| Unmaskable::Form)?;
        // A copy does not tell its types: those of stored columns are in the catalog, others stay unknown.
        let oid = |n: usize| types.get(n).copied().flatten().unwrap_or(UNKNOWN_OID);
        let fields: Vec<Field> =
            (0..count).map(|n| Field { name: [].into(), oid: oid(n), typmod: -1, binary }).collect();
        self.described(&fields)?;
        if self.is_clear() {
            return Ok(());
        }
        let copy = CopyOut::new(form);
        if !copy.is(binary) {
            return Err(Unmaskable::Form);
        }
        self.copy = Some(copy);
        Ok(())
    }

    /// A statement of the text ended: what comes next is of the one after it.
    pub(crate) fn next_statement(&mut self) {
        self.at += 1;
        self.row = 0;
        self.columns = Columns::Unknown;
        self.copy = None;
    }

    /// Writes a whole `DataRow` or `CopyData` to `out` as the client is to see it; nothing, when it is the first part of a row.
    pub(crate) fn row(&mut self, frame: &[u8], out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        if let (Columns::Unknown, Some(ahead)) = (&self.columns, &self.ahead) {
            let fields = ahead.fields()?;
            self.described(&fields)?;
        }
        let rules = match &self.columns {
            Columns::Ruled(rules) => rules,
            Columns::Clear => {
                out.extend_from_slice(frame);
                return Ok(());
            }
            Columns::Unknown => return Err(Unmaskable::Undescribed),
        };
        let masker = self.tools.masker.as_deref().ok_or(Unmaskable::Undescribed)?;
        let (masks, content) = (&mut self.masked, &self.content);
        let (scratch, counts) = (&mut self.scratch, &mut self.found);
        let catalog = &*self.catalog;
        let (row, marks) = (self.row, &mut self.marks);
        self.row = row.saturating_add(1);
        let mut edit = |rule: &Rule, value: &[u8], out: &mut Vec<u8>| {
            let became = match &rule.act {
                Act::Pass => Became::Same,
                Act::Mask(transform, by) => {
                    tally(masks, by);
                    cell(&mut Whole { masker, transform: *transform, catalog }, rule.form, value, out)
                }
                Act::Fix(fixed, by) | Act::Hide(fixed, by) => {
                    tally(masks, by);
                    match fixed {
                        None => Became::Null,
                        Some(fixed) => {
                            out.extend_from_slice(fixed);
                            Became::New
                        }
                    }
                }
                Act::Scan => {
                    let mut found = Found { masker, plan: content, name: &rule.name, scratch, counts, catalog };
                    cell(&mut found, rule.form, value, out)
                }
            };
            if became != Became::Same
                && let Some(marks) = marks
            {
                marks.push((row, rule.column));
            }
            became
        };
        let tag = *frame.first().ok_or(Unmaskable::Form)?;
        let body = frame.get(HEADER_BYTES..).ok_or(Unmaskable::Form)?;
        let at = out.len();
        out.put_u8(tag);
        out.put_i32(0);
        match &mut self.copy {
            Some(copy) if tag == b'd' => copy.take(body, rules, &mut edit, out)?,
            None if tag == b'D' => rows::tuple(body, rules, &mut edit, out)?,
            _ => return Err(Unmaskable::Form),
        }
        if out.len() == at + HEADER_BYTES && tag == b'd' {
            out.truncate(at);
            return Ok(());
        }
        let len = i32::try_from(out.len() - at - 1).map_err(|_| Unmaskable::TooLong)?;
        out.get_mut(at + 1..at + HEADER_BYTES).ok_or(Unmaskable::Form)?.copy_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// The copy is over: no part of a row may be left.
    pub(crate) fn copy_done(&mut self) -> Result<(), Unmaskable> {
        match self.copy.take() {
            Some(copy) if !copy.is_whole() => Err(Unmaskable::Form),
            _ => Ok(()),
        }
    }

    /// How many values of which tags were masked.
    pub(crate) fn counts(&self) -> Box<[(Tag, u64)]> {
        let mut all: std::collections::BTreeMap<Tag, u64> = self.found.by_tag().into_iter().collect();
        for (mask, n) in self.masks.iter().zip(&self.masked).filter(|(_, n)| **n > 0) {
            *all.entry(mask.tag.clone()).or_default() += n;
        }
        all.into_iter().collect()
    }
}

fn tally(masked: &mut [u64], by: &[usize]) {
    for i in by {
        if let Some(n) = masked.get_mut(*i) {
            *n += 1;
        }
    }
}

/// A type of which nothing is known.
const UNKNOWN_OID: u32 = u32::MAX;

#[cfg(test)]
mod tests;
