//! From lineage and policy to what becomes of each column.
//!
//! What the analysis says of a result and what the target describes must agree; where they do not, nothing may pass.

use std::sync::Arc;

use countersign_mask::Masker;
use countersign_model::{ClientText, Culprit, Denial, DenialCode, Mask, Tag, Transform};
use countersign_sql::{Catalog, Outputs};

use super::cell::Form;
use super::edits::constant;
use super::kind::Kind;
use crate::wire::Fields;

/// A column as the target describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) name: Arc<[u8]>,
    pub(crate) oid: u32,
    pub(crate) typmod: i32,
    pub(crate) binary: bool,
}

/// Reads a `RowDescription`; `None` when it is malformed.
pub(crate) fn fields(frame: &[u8]) -> Option<Arc<[Field]>> {
    let mut f = Fields::of(frame);
    let count = usize::try_from(f.i16()?).ok()?;
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let name = f.cstr()?.into();
        // The table and the number of the column there.
        f.bytes(6)?;
        let oid = u32::from_be_bytes(f.i32()?.to_be_bytes());
        f.i16()?;
        let typmod = f.i32()?;
        let binary = match f.i16()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        all.push(Field { name, oid, typmod, binary });
    }
    f.0.is_empty().then(|| all.into())
}

/// Why a result cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmaskable {
    /// The target's columns are not those that the analysis told of.
    Columns,
    /// The target did not describe its columns.
    Undescribed,
    /// A row is not in the form that it should have.
    Form,
    /// A row is longer than what is held for masking.
    TooLong,
}

impl Unmaskable {
    /// What the client is told.
    pub(crate) fn denial(self) -> Denial {
        let why = match self {
            Self::Columns => "its columns are not those that the statement was understood to have",
            Self::Undescribed => "the target did not describe its columns",
            Self::Form => "a row is not in the form that the target announced",
            Self::TooLong => "a row is longer than 16 MiB",
        };
        let message = ClientText::new("the result cannot be masked: ").and(why);
        Denial::new(Culprit::Policy, DenialCode::Forbidden, message).hint(ClientText::new(
            "Leave out what is tagged, or ask for it to be shown in clear. What the statement changed may have been done.",
        ))
    }
}

/// What becomes of a column's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// They pass.
    Pass,
    /// They are transformed; with the masks, by their place in the plan, that say so.
    Mask(Transform, Box<[usize]>),
    /// All of them become the same, which is null where there is nothing; with the masks that say so.
    Fix(Option<Box<[u8]>>, Box<[usize]>),
    /// The same for those that are computed from tagged data, so that even whether they are null may tell something.
    Hide(Option<Box<[u8]>>, Box<[usize]>),
    /// What is found in them is transformed.
    Scan,
}

/// What becomes of a column's values, and how they are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) act: Act,
    /// Which column it is, from 0.
    pub(super) column: u16,
    pub(super) form: Form,
    /// The column's name, which tells something of its content.
    pub(super) name: Arc<[u8]>,
}

impl Rule {
    pub(super) fn passes(&self) -> bool {
        self.act == Act::Pass
    }

    /// True when null does not stay null.
    pub(super) fn hides(&self) -> bool {
        matches!(self.act, Act::Hide(..))
    }
}

/// What becomes of the columns of a result; `None` when all of them pass. `scans` says that content is looked for where no tag tells what
/// a column holds.
pub(crate) fn rules(
    outputs: &Outputs,
    masks: &[Mask],
    scans: bool,
    fields: &[Field],
    masker: &Masker,
    catalog: &Catalog,
) -> Result<Option<Box<[Rule]>>, Unmaskable> {
    let rule = |n: usize, field: &Field, tags: &[Tag], direct: bool| {
        let form = Form::new(field.oid, field.typmod, field.binary);
        let act = match act(tags, direct, masks, form, masker, catalog) {
            Some(act) => act,
            None if scans && tags.is_empty() && Kind::in_catalog(field.oid, catalog).may_hold_text() => Act::Scan,
            None => Act::Pass,
        };
        Rule { act, column: u16::try_from(n).unwrap_or(u16::MAX), form, name: field.name.clone() }
    };
    let rules: Box<[Rule]> = match outputs {
        Outputs::Columns(columns) if columns.len() == fields.len() => {
            fields.iter().zip(columns.iter()).enumerate().map(|(n, (f, c))| rule(n, f, &c.tags, c.direct)).collect()
        }
        Outputs::Unknown { tags } => fields.iter().enumerate().map(|(n, f)| rule(n, f, tags, false)).collect(),
        // Rows without columns, and so with nothing in them, may come.
        Outputs::None if fields.is_empty() => return Ok(Some(Box::default())),
        Outputs::None | Outputs::Columns(_) => return Err(Unmaskable::Columns),
    };
    Ok(rules.iter().any(|r| !r.passes()).then_some(rules))
}

/// The strictest of what the tags of a column ask for. Of a value that is computed from tagged data, a part or a coarser form means nothing,
/// and may tell the rest; nor does a pseudonym: whoever asks for a value character by character has few to tell apart, each under the same
/// pseudonym wherever it stands.
fn act(tags: &[Tag], direct: bool, masks: &[Mask], form: Form, masker: &Masker, catalog: &Catalog) -> Option<Act> {
    let hit = |(_, m): &(usize, &Mask)| tags.iter().any(|t| m.tag.covers(t));
    let hits: Vec<(usize, &Mask)> = masks.iter().enumerate().filter(hit).collect();
    let strictest = hits.iter().map(|(_, m)| m.transform).reduce(Transform::stricter)?;
    let by = hits.into_iter().map(|(i, _)| i).collect();
    Some(match strictest {
        Transform::Null => Act::Fix(None, by),
        _ if !direct => Act::Hide(constant(masker, form, catalog), by),
        Transform::Redact if !Kind::in_catalog(form.oid, catalog).is_nested() => {
            Act::Fix(constant(masker, form, catalog), by)
        }
        other => Act::Mask(other, by),
    })
}
