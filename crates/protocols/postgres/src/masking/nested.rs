//! Values made of values: arrays element by element, rows field by field, ranges by their bounds; in text and in binary.
//!
//! The form stays as it is, so that whoever reads arrays still finds one. What is not of the form is given up as a whole.
//!
//! Source: PostgreSQL documentation, sections "Array Input and Output Syntax", "Composite Type Input and Output Syntax", "Range
//! Input/Output"; `array_send`, `record_send`, `range_send`.

use bytes::BufMut;

use super::cell::{Became, Edit, Form, cell};
use crate::wire::Fields;

/// The most dimensions of an array (`MAXDIM`).
const DIMENSIONS_MAX: usize = 6;
/// Rows within arrays within rows: deeper ones are given up.
pub(super) const DEPTH_MAX: u8 = 8;
/// The most fields of a row (`MaxTupleAttributeNumber`).
const FIELDS_MAX: i32 = 1664;

/// The object id of `text`.
const TEXT: u32 = 25;

const RANGE_EMPTY: u8 = 0x01;
const RANGE_LOWER_INFINITE: u8 = 0x08;
const RANGE_UPPER_INFINITE: u8 = 0x10;

/// Where something is written, and whether anything of it differs from what was read.
struct Rebuilt<'o> {
    out: &'o mut Vec<u8>,
    at: usize,
    changed: bool,
}

impl<'o> Rebuilt<'o> {
    fn new(out: &'o mut Vec<u8>) -> Self {
        let at = out.len();
        Self { out, at, changed: false }
    }

    /// What became of it; `whole` says that it could be read to its end.
    fn end(self, whole: Option<()>) -> Became {
        match (whole, self.changed) {
            (Some(()), true) => Became::New,
            (Some(()), false) => {
                self.out.truncate(self.at);
                Became::Same
            }
            (None, _) => {
                self.out.truncate(self.at);
                Became::Null
            }
        }
    }

    /// A value with its length before it; `None` on the wire is -1.
    fn sized(&mut self, edit: &mut dyn Edit, form: Form, value: Option<&[u8]>) -> Option<()> {
        let Some(value) = value else {
            self.out.put_i32(-1);
            return Some(());
        };
        let slot = self.out.len();
        self.out.put_i32(-1);
        match cell(edit, form, value, self.out) {
            Became::Same => self.out.extend_from_slice(value),
            Became::New => self.changed = true,
            Became::Null => {
                self.changed = true;
                return Some(());
            }
        }
        let len = i32::try_from(self.out.len() - slot - 4).ok()?;
        self.out.get_mut(slot..slot + 4)?.copy_from_slice(&len.to_be_bytes());
        Some(())
    }
}

/// A length and so many bytes; `Some(None)` is null.
fn sized<'v>(f: &mut Fields<'v>) -> Option<Option<&'v [u8]>> {
    match f.i32()? {
        -1 => Some(None),
        len => f.bytes(usize::try_from(len).ok()?).map(Some),
    }
}

/// An array in binary: dimensions, a flag for nulls, the type of the elements, and these.
pub(super) fn array_binary(edit: &mut dyn Edit, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut f = Fields(value);
        let dimensions = usize::try_from(f.i32()?).ok().filter(|n| *n <= DIMENSIONS_MAX)?;
        f.i32()?;
        let element = u32::from_be_bytes(f.i32()?.to_be_bytes());
        let mut count: i32 = i32::from(dimensions > 0);
        for _ in 0..dimensions {
            count = count.checked_mul(f.i32().filter(|n| *n >= 0)?)?;
            f.i32()?;
        }
        r.out.extend_from_slice(value.get(..value.len() - f.0.len())?);
        let flag = r.at + 4;
        for _ in 0..count {
            let before = sized(&mut f)?;
            let at = r.out.len();
            r.sized(edit, form.within(element), before)?;
            if r.out.get(at..at + 4) == Some(&(-1_i32).to_be_bytes()[..]) {
                r.out.get_mut(flag..flag + 4)?.copy_from_slice(&1_i32.to_be_bytes());
            }
        }
        f.0.is_empty().then_some(())
    })();
    r.end(whole)
}

/// A row in binary: each field with its type.
pub(super) fn record_binary(edit: &mut dyn Edit, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut f = Fields(value);
        let count = f.i32().filter(|n| (0..=FIELDS_MAX).contains(n))?;
        r.out.put_i32(count);
        for _ in 0..count {
            let oid = u32::from_be_bytes(f.i32()?.to_be_bytes());
            let field = sized(&mut f)?;
            r.out.put_u32(oid);
            r.sized(edit, form.within(oid), field)?;
        }
        f.0.is_empty().then_some(())
    })();
    r.end(whole)
}

/// A range in binary: flags, and the bounds that are there. A bound that became null makes the range null, and so does that there is
/// nothing within.
pub(super) fn range_binary(edit: &mut dyn Edit, form: Form, bound: u32, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut f = Fields(value);
        let flags = f.u8().filter(|flags| flags & RANGE_EMPTY == 0)?;
        r.out.push(flags);
        for infinite in [RANGE_LOWER_INFINITE, RANGE_UPPER_INFINITE] {
            if flags & infinite == 0 {
                let at = r.out.len();
                let value = sized(&mut f)?;
                r.sized(edit, form.within(bound), value)?;
                (r.out.get(at..at + 4) != Some(&(-1_i32).to_be_bytes()[..])).then_some(())?;
            }
        }
        f.0.is_empty().then_some(())
    })();
    r.end(whole)
}

/// One piece of the text form of an array, row or range.
struct Piece<'v> {
    /// Without quotes and backslashes.
    text: std::borrow::Cow<'v, [u8]>,
    quoted: bool,
    /// Bytes of it as it was written.
    len: usize,
}

/// Reads a piece up to one of `ends`. `doubled` says that two quotes within quotes are one.
fn piece<'v>(s: &'v [u8], ends: &[u8], doubled: bool) -> Option<Piece<'v>> {
    let (mut quoted, mut inside, mut at) = (false, false, 0);
    let mut unescaped: Option<Vec<u8>> = None;
    loop {
        let b = *s.get(at)?;
        match b {
            b'\\' => {
                let text = unescaped.get_or_insert_with(|| s.get(..at).unwrap_or_default().to_vec());
                text.push(*s.get(at + 1)?);
                at += 2;
                continue;
            }
            b'"' => {
                let text = unescaped.get_or_insert_with(|| s.get(..at).unwrap_or_default().to_vec());
                if doubled && inside && s.get(at + 1) == Some(&b'"') {
                    text.push(b'"');
                    at += 1;
                } else {
                    (quoted, inside) = (true, !inside);
                }
            }
            _ if !inside && ends.contains(&b) => break,
            _ => {
                if let Some(text) = &mut unescaped {
                    text.push(b);
                }
            }
        }
        at += 1;
    }
    let text = unescaped.map_or_else(|| s.get(..at).unwrap_or_default().into(), Into::into);
    Some(Piece { text, quoted, len: at })
}

/// Writes a text within quotes, which is right for any text. `doubled` says how quotes and backslashes in it are told, as PostgreSQL does it:
/// twice in rows and ranges, behind a backslash in arrays. Not every driver reads both.
fn quote(out: &mut Vec<u8>, text: &[u8], doubled: bool) {
    out.push(b'"');
    for b in text {
        if matches!(b, b'"' | b'\\') {
            out.push(if doubled { *b } else { b'\\' });
        }
        out.push(*b);
    }
    out.push(b'"');
}

/// What became of a piece, written at the end of `r`.
fn put_piece(
    r: &mut Rebuilt<'_>,
    edit: &mut dyn Edit,
    form: Form,
    piece: &Piece<'_>,
    written: &[u8],
    doubled: bool,
) -> Became {
    let mut fresh = Vec::new();
    let became = cell(edit, form, &piece.text, &mut fresh);
    match became {
        Became::Same => r.out.extend_from_slice(written),
        Became::New => {
            r.changed = true;
            quote(r.out, &fresh, doubled);
        }
        Became::Null => r.changed = true,
    }
    became
}

/// An array in text: `{a,"b c",NULL,{…}}`, with its bounds before it where they are not ordinary.
pub(super) fn array_text(edit: &mut dyn Edit, form: Form, element: u32, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut at = 0;
        if value.first() == Some(&b'[') {
            at = value.iter().position(|b| *b == b'=')? + 1;
            let bounds = value.get(..at)?;
            bounds.iter().all(|b| matches!(b, b'[' | b']' | b':' | b'-' | b'=' | b'0'..=b'9')).then_some(())?;
        }
        r.out.extend_from_slice(value.get(..at)?);
        let mut depth = 0;
        loop {
            let b = *value.get(at)?;
            match b {
                b'{' => {
                    depth += 1;
                    (depth <= DIMENSIONS_MAX).then_some(())?;
                }
                b'}' => {
                    depth = depth.checked_sub(1)?;
                }
                b',' => {}
                _ => {
                    let rest = value.get(at..)?;
                    let p = piece(rest, b",}", false)?;
                    let written = rest.get(..p.len)?;
                    if !p.quoted && written.eq_ignore_ascii_case(b"NULL") {
                        r.out.extend_from_slice(written);
                    } else if put_piece(&mut r, edit, form.within(element), &p, written, false) == Became::Null {
                        r.out.extend_from_slice(b"NULL");
                    }
                    at += p.len;
                    continue;
                }
            }
            r.out.push(b);
            at += 1;
            if depth == 0 {
                return (at == value.len()).then_some(());
            }
        }
    })();
    r.end(whole)
}

/// A row in text: `(a,"b c",)`. The types of its fields are not told, so none of them stays.
pub(super) fn record_text(value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut rest = value.strip_prefix(b"(")?;
        r.out.push(b'(');
        loop {
            let p = piece(rest, b",)", true)?;
            let end = *rest.get(p.len)?;
            r.changed |= p.len > 0;
            r.out.push(end);
            rest = rest.get(p.len + 1..)?;
            if end == b')' {
                return rest.is_empty().then_some(());
            }
        }
    })();
    r.end(whole)
}

/// A row of a named type in text, field by field. A row of more or fewer fields than its type is not of the form.
pub(super) fn row_text(edit: &mut dyn Edit, form: Form, fields: &[u32], value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut rest = value.strip_prefix(b"(")?;
        r.out.push(b'(');
        for (i, field) in fields.iter().enumerate() {
            let p = piece(rest, b",)", true)?;
            let written = rest.get(..p.len)?;
            // Nothing at all is null.
            if p.len > 0 {
                put_piece(&mut r, edit, form.within(*field), &p, written, true);
            }
            let end = *rest.get(p.len)?;
            (end == if i + 1 == fields.len() { b')' } else { b',' }).then_some(())?;
            r.out.push(end);
            rest = rest.get(p.len + 1..)?;
        }
        (rest.is_empty() && !fields.is_empty()).then_some(())
    })();
    r.end(whole)
}

/// An `hstore` in binary: a count, and each key with its value, as characters (`hstore_send`).
pub(super) fn pairs_binary(edit: &mut dyn Edit, form: Form, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let mut f = Fields(value);
        let count = f.i32().filter(|n| *n >= 0)?;
        r.out.put_i32(count);
        for _ in 0..count {
            let key = sized(&mut f)??;
            r.out.put_i32(i32::try_from(key.len()).ok()?);
            r.out.extend_from_slice(key);
            let value = sized(&mut f)?;
            r.sized(edit, form.within(TEXT), value)?;
        }
        f.0.is_empty().then_some(())
    })();
    r.end(whole)
}

/// A range in text: `[a,b)`. A bound that became null makes the range null, and so does that there is nothing within.
pub(super) fn range_text(edit: &mut dyn Edit, form: Form, bound: u32, value: &[u8], out: &mut Vec<u8>) -> Became {
    let mut r = Rebuilt::new(out);
    let whole = (|| {
        let (open, mut rest) = value.split_first().filter(|(b, _)| matches!(b, b'[' | b'('))?;
        r.out.push(*open);
        for ends in [&b","[..], b")]"] {
            let p = piece(rest, ends, true)?;
            let written = rest.get(..p.len)?;
            if p.len > 0 {
                let became = put_piece(&mut r, edit, form.within(bound), &p, written, true);
                (became != Became::Null).then_some(())?;
            }
            r.out.push(*rest.get(p.len)?);
            rest = rest.get(p.len + 1..)?;
        }
        rest.is_empty().then_some(())
    })();
    r.end(whole)
}
