//! Rows of a result: each column passes or is edited.

use bytes::BufMut;

use super::cell::Became;
use super::copy::EditCell;
use super::rules::{Rule, Unmaskable};
use crate::wire::Fields;

/// A count of columns and each with its length, as a `DataRow` and a tuple of a binary copy have it.
pub(super) fn tuple(body: &[u8], rules: &[Rule], edit: &mut EditCell<'_>, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
    let mut f = Fields(body);
    f.i16().filter(|n| usize::try_from(*n) == Ok(rules.len())).ok_or(Unmaskable::Columns)?;
    // Up to here the row is in `out`; what passes between two columns that do not goes on in one piece.
    let mut copied = 0;
    for rule in rules {
        let begin = body.len() - f.0.len();
        let len = f.i32().ok_or(Unmaskable::Form)?;
        let value = match usize::try_from(len) {
            Ok(len) => Some(f.bytes(len).ok_or(Unmaskable::Form)?),
            Err(_) => None,
        };
        if rule.passes() || (value.is_none() && !rule.hides()) {
            continue;
        }
        out.extend_from_slice(body.get(copied..begin).ok_or(Unmaskable::Form)?);
        copied = begin;
        let slot = out.len();
        out.put_i32(-1);
        match edit(rule, value.unwrap_or_default(), out) {
            Became::Same => {
                out.truncate(slot);
                continue;
            }
            Became::New => {
                let len = i32::try_from(out.len() - slot - 4).map_err(|_| Unmaskable::TooLong)?;
                out.get_mut(slot..slot + 4).ok_or(Unmaskable::Form)?.copy_from_slice(&len.to_be_bytes());
            }
            Became::Null => {}
        }
        copied = body.len() - f.0.len();
    }
    out.extend_from_slice(body.get(copied..).ok_or(Unmaskable::Form)?);
    if f.0.is_empty() { Ok(()) } else { Err(Unmaskable::Form) }
}
