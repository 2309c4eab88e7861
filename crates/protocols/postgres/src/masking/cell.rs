//! One value of a result: read by its type and format, edited, written back in the same ones.
//!
//! A value that cannot be read or written back becomes null; it must never pass as it is for that reason.

use countersign_sql::{Catalog, TypeForm};

use super::kind::Kind;
use super::nested;

/// Decides what becomes of values.
pub(super) trait Edit {
    /// What becomes of a value that is not made of others; `New` is written at the end of `out`.
    fn value(&mut self, kind: Kind, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became;

    /// What types of the database's own are made of.
    fn catalog(&self) -> &Catalog;

    /// True when values that are not of a known form stay; else they become null.
    fn keeps_unknown(&self) -> bool;

    /// True when the bounds of a range are in the same order after as before.
    fn keeps_order(&self) -> bool;
}

/// What became of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Nothing was written: it is as it was.
    Same,
    /// It was written anew.
    New,
    /// Nothing was written: it is null.
    Null,
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) oid: u32,
    pub(super) typmod: i32,
    pub(super) binary: bool,
    /// How deep in other values it is.
    pub(super) depth: u8,
}

impl Form {
    /// A value of a result.
    pub(super) const fn new(oid: u32, typmod: i32, binary: bool) -> Self {
        Self { oid, typmod, binary, depth: 0 }
    }

    /// A value within one of this form. What is declared of an array, such as the length of its elements' texts, holds for these.
    pub(super) const fn within(self, oid: u32) -> Self {
        Self { oid, depth: self.depth + 1, ..self }
    }
}

/// Edits a value that is not null; `New` is written at the end of `out`.
pub(super) fn cell(edit: &mut dyn Edit, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
    if form.depth > nested::DEPTH_MAX {
        return Became::Null;
    }
    let kind = Kind::in_catalog(form.oid, edit.catalog());
    match (kind, form.binary) {
        (Kind::Array(_), true) => nested::array_binary(edit, form, value, out),
        (Kind::Array(element), false) => nested::array_text(edit, form, element, value, out),
        (Kind::Record | Kind::Row(_), true) => nested::record_binary(edit, untyped(form), value, out),
        (Kind::Record | Kind::Row(_) | Kind::Pairs, false) if edit.keeps_unknown() => {
            edit.value(Kind::Text, untyped(form), value, out)
        }
        (Kind::Record, false) => nested::record_text(value, out),
        (Kind::Row(oid), false) => {
            let TypeForm::Row(fields) = edit.catalog().type_form(oid) else { return Became::Null };
            let fields = fields.to_vec();
            nested::row_text(edit, untyped(form), &fields, value, out)
        }
        (Kind::Pairs, true) if edit.keeps_unknown() => nested::pairs_binary(edit, untyped(form), value, out),
        (Kind::Range(_), _) if !edit.keeps_order() => unknown(edit),
        (Kind::Range(bound), true) => nested::range_binary(edit, untyped(form), bound, value, out),
        (Kind::Range(bound), false) => nested::range_text(edit, untyped(form), bound, value, out),
        (Kind::Unknown, _) if edit.keeps_unknown() => match unknown_text(form, value) {
            Some(as_text) => edit.value(Kind::Text, as_text, value, out),
            None => Became::Same,
        },
        (Kind::Unknown | Kind::Opaque, _) => unknown(edit),
        _ => edit.value(kind, form, value, out),
    }
}

/// What is declared of a row or a range says nothing of its parts.
const fn untyped(form: Form) -> Form {
    Form { typmod: -1, ..form }
}

/// A value of a type that nobody knows, when it is characters.
fn unknown_text(form: Form, value: &[u8]) -> Option<Form> {
    let is_text = !form.binary || (!value.contains(&0) && std::str::from_utf8(value).is_ok());
    is_text.then_some(untyped(form))
}

fn unknown(edit: &dyn Edit) -> Became {
    if edit.keeps_unknown() { Became::Same } else { Became::Null }
}
