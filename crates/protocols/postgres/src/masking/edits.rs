//! The two ways to edit values: by a column's tags, and by what is found in them.

use bytes::BufMut as _;
use countersign_mask::{ContentPlan, Counts, Masker, REDACTED, Scratch, Value};
use countersign_model::Transform;
use countersign_sql::Catalog;

use super::cell::{Became, Edit, Form};
use super::kind::Kind;
use super::{binary, text};

/// Transforms every value.
pub(super) struct Whole<'m> {
    pub(super) masker: &'m Masker,
    pub(super) transform: Transform,
    pub(super) catalog: &'m Catalog,
}

impl Edit for Whole<'_> {
    fn value(&mut self, kind: Kind, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
        let meaning =
            if form.binary { binary::read(kind, form.typmod, value) } else { text::read(kind, form.typmod, value) };
        put(kind, form, &self.masker.apply(self.transform, &meaning), out)
    }

    fn catalog(&self) -> &Catalog {
        self.catalog
    }

    fn keeps_unknown(&self) -> bool {
        false
    }

    fn keeps_order(&self) -> bool {
        self.transform == Transform::Generalise
    }
}

/// The same for every value of a type: the fixed text; `None`, which is null, where there is none.
pub(super) fn constant(masker: &Masker, form: Form, catalog: &Catalog) -> Option<Box<[u8]>> {
    let kind = Kind::in_catalog(form.oid, catalog);
    let any = match kind {
        Kind::Pairs => return Some(redacted_pairs(form.binary)),
        Kind::Text | Kind::Padded => Value::Text { text: "".into(), chars_max: text::chars_max(form.typmod) },
        Kind::Json | Kind::Jsonb => Value::Json("".into()),
        _ => return None,
    };
    let mut out = Vec::new();
    match put(kind, form, &masker.apply(Transform::Redact, &any), &mut out) {
        Became::New => Some(out.into()),
        Became::Same | Became::Null => None,
    }
}

/// An `hstore` of one key that tells nothing.
fn redacted_pairs(binary: bool) -> Box<[u8]> {
    let mut out = Vec::new();
    if binary {
        out.put_i32(1);
        out.put_i32(i32::try_from(REDACTED.len()).unwrap_or(0));
        out.put_slice(REDACTED.as_bytes());
        out.put_i32(-1);
    } else {
        out.put_slice(format!("\"{REDACTED}\"=>NULL").as_bytes());
    }
    out.into()
}

fn put(kind: Kind, form: Form, value: &Value<'_>, out: &mut Vec<u8>) -> Became {
    let written = if form.binary { binary::write(kind, value, out) } else { text::write(kind, value, out) };
    if written { Became::New } else { Became::Null }
}

/// Transforms what is found within texts.
pub(super) struct Found<'m> {
    pub(super) masker: &'m Masker,
    pub(super) plan: &'m ContentPlan,
    /// The column's name, which counts as words before the text.
    pub(super) name: &'m [u8],
    pub(super) scratch: &'m mut Scratch,
    pub(super) counts: &'m mut Counts,
    pub(super) catalog: &'m Catalog,
}

impl Edit for Found<'_> {
    fn value(&mut self, kind: Kind, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
        let (masker, plan, name) = (self.masker, self.plan, self.name);
        let begin = out.len();
        let changed = match kind {
            Kind::Text | Kind::Padded => masker.mask_text(plan, value, name, self.scratch, out, self.counts),
            Kind::Json | Kind::Jsonb => {
                // The version number before the text of the binary form.
                let (version, json) =
                    value.split_at_checked(usize::from(kind == Kind::Jsonb && form.binary)).unwrap_or_default();
                out.extend_from_slice(version);
                masker.mask_json(plan, json, name, self.scratch, out, self.counts)
            }
            _ => false,
        };
        if !changed {
            out.truncate(begin);
        }
        if changed { Became::New } else { Became::Same }
    }

    fn catalog(&self) -> &Catalog {
        self.catalog
    }

    fn keeps_unknown(&self) -> bool {
        true
    }

    fn keeps_order(&self) -> bool {
        true
    }
}
