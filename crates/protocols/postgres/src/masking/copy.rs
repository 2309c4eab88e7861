//! Rows of a `COPY … TO STDOUT`, in text, CSV and binary format: found in the stream wherever the messages cut it, edited column by
//! column, and written back in the same form.
//!
//! It must never let a byte of a row pass before the row is whole. Rows are kept to [`super::ROW_BYTES_MAX`]; a longer one is given up.
//!
//! Source: PostgreSQL documentation, `COPY`, section "File Formats".

use std::borrow::Cow;

use bytes::BufMut;
use countersign_sql::CopyForm;

use super::ROW_BYTES_MAX;
use super::cell::Became;
use super::rules::{Rule, Unmaskable};
use crate::wire::Fields;

/// What a binary copy begins with.
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// Signature, flags, and the length of an extension.
const BINARY_HEADER_BYTES: usize = SIGNATURE.len() + 8;

/// Edits one column's value, given whether it is null and how it is written; writes what is new to the buffer.
pub(super) type EditCell<'e> = dyn FnMut(&Rule, &[u8], &mut Vec<u8>) -> Became + 'e;

/// The stream of a copy.
pub(super) struct CopyOut {
    form: CopyForm,
    /// Bytes of rows that are not whole yet.
    carry: Vec<u8>,
    /// So much of `carry` was looked at, and whether that ended within quotes.
    seen: usize,
    quoted: bool,
    /// The next line is a header with the columns' names.
    header_due: bool,
    /// The trailer of a binary copy came.
    over: bool,
}

impl CopyOut {
    /// A copy in this form that has not begun.
    pub(super) fn new(form: CopyForm) -> Self {
        let header_due = match &form {
            CopyForm::Text { header, .. } | CopyForm::Csv { header, .. } => *header,
            CopyForm::Binary => true,
            CopyForm::Other => false,
        };
        Self { form, carry: Vec::new(), seen: 0, quoted: false, header_due, over: false }
    }

    /// True when the target said to send in this format.
    pub(super) fn is(&self, binary: bool) -> bool {
        match self.form {
            CopyForm::Text { .. } | CopyForm::Csv { .. } => !binary,
            CopyForm::Binary => binary,
            CopyForm::Other => false,
        }
    }

    /// Takes the bytes of a message; whole rows are written to `out`, edited.
    pub(super) fn take(
        &mut self,
        bytes: &[u8],
        rules: &[Rule],
        edit: &mut EditCell<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unmaskable> {
        self.carry.extend_from_slice(bytes);
        let carry = std::mem::take(&mut self.carry);
        let mut rest = carry.as_slice();
        while let Some(len) = self.next_row(rest)? {
            let Some((row, after)) = rest.split_at_checked(len) else { break };
            if std::mem::take(&mut self.header_due) {
                out.extend_from_slice(row);
            } else {
                self.row(row, rules, edit, out)?;
            }
            rest = after;
        }
        if rest.len() > ROW_BYTES_MAX {
            return Err(Unmaskable::TooLong);
        }
        self.carry = if rest.len() == carry.len() { carry } else { rest.to_vec() };
        Ok(())
    }

    /// True when nothing is left that was not written.
    pub(super) fn is_whole(&self) -> bool {
        self.carry.is_empty()
    }

    /// The length of the row at the start of `b`, once it is whole.
    fn next_row(&mut self, b: &[u8]) -> Result<Option<usize>, Unmaskable> {
        match &self.form {
            CopyForm::Text { .. } => Ok(self.line_end(b, None)),
            CopyForm::Csv { quote, escape, .. } => {
                let quoting = Some((*quote, *escape));
                Ok(self.line_end(b, quoting))
            }
            CopyForm::Binary => self.tuple_end(b),
            CopyForm::Other => Err(Unmaskable::Form),
        }
    }

    /// Where the line ends: a newline, outside of quotes where there are such.
    fn line_end(&mut self, b: &[u8], quoting: Option<(u8, u8)>) -> Option<usize> {
        let from = std::mem::take(&mut self.seen);
        let mut at = from;
        while let Some(byte) = b.get(at) {
            at += 1;
            match quoting {
                // An escape within quotes hides what follows; where it is the quote itself, two of them open and close.
                Some((quote, escape)) if self.quoted && escape != quote && *byte == escape => {
                    if at >= b.len() {
                        self.seen = at - 1;
                        return None;
                    }
                    at += 1;
                }
                Some((quote, _)) if *byte == quote => self.quoted = !self.quoted,
                _ if *byte == b'\n' && !self.quoted => return Some(at),
                _ => {}
            }
        }
        self.seen = at;
        None
    }

    fn tuple_end(&mut self, b: &[u8]) -> Result<Option<usize>, Unmaskable> {
        if self.header_due {
            let Some(header) = b.get(..BINARY_HEADER_BYTES) else { return Ok(None) };
            let Some(mut f) = header.strip_prefix(SIGNATURE).map(Fields) else { return Err(Unmaskable::Form) };
            // Flags are all critical or unknown, and an extension might hold anything.
            return if (f.i32(), f.i32()) == (Some(0), Some(0)) {
                Ok(Some(BINARY_HEADER_BYTES))
            } else {
                Err(Unmaskable::Form)
            };
        }
        let mut f = Fields(b);
        let Some(count) = f.i16() else { return Ok(None) };
        if self.over {
            return Err(Unmaskable::Form);
        }
        if count == -1 {
            self.over = true;
            return Ok(Some(2));
        }
        for _ in 0..count {
            let Some(len) = f.i32() else { return Ok(None) };
            if let Ok(len) = usize::try_from(len) {
                if len > ROW_BYTES_MAX {
                    return Err(Unmaskable::TooLong);
                }
                if f.bytes(len).is_none() {
                    return Ok(None);
                }
            }
        }
        Ok(Some(b.len() - f.0.len()))
    }

    fn row(&self, row: &[u8], rules: &[Rule], edit: &mut EditCell<'_>, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        match &self.form {
            CopyForm::Text { delimiter, null, .. } => text_row(row, *delimiter, null.as_bytes(), rules, edit, out),
            CopyForm::Csv { delimiter, quote, escape, null, .. } => {
                let csv = Csv { delimiter: *delimiter, quote: *quote, escape: *escape, null: null.as_bytes() };
                csv.row(row, rules, edit, out)
            }
            CopyForm::Binary => binary_row(row, rules, edit, out),
            CopyForm::Other => Err(Unmaskable::Form),
        }
    }
}

fn binary_row(row: &[u8], rules: &[Rule], edit: &mut EditCell<'_>, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
    if row == [0xff, 0xff] {
        out.extend_from_slice(row);
        return Ok(());
    }
    super::rows::tuple(row, rules, edit, out)
}

/// A line without its end: `\n`, or what else the target's system has.
fn line(row: &[u8]) -> Result<(&[u8], &[u8]), Unmaskable> {
    let body = row.strip_suffix(b"\n").ok_or(Unmaskable::Form)?;
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    Ok((body, row.get(body.len()..).unwrap_or_default()))
}

fn text_row(
    row: &[u8],
    delimiter: u8,
    null: &[u8],
    rules: &[Rule],
    edit: &mut EditCell<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Unmaskable> {
    let (mut rest, end) = line(row)?;
    let mut fresh = Vec::new();
    for (n, rule) in rules.iter().enumerate() {
        if n > 0 {
            rest = rest.strip_prefix(&[delimiter]).ok_or(Unmaskable::Columns)?;
            out.push(delimiter);
        }
        let mut at = 0;
        while let Some(b) = rest.get(at).filter(|b| **b != delimiter) {
            at += if *b == b'\\' { 2 } else { 1 };
        }
        let (written, after) = rest.split_at_checked(at).ok_or(Unmaskable::Form)?;
        rest = after;
        if (written == null && !rule.hides()) || rule.passes() {
            out.extend_from_slice(written);
            continue;
        }
        fresh.clear();
        match edit(rule, &unescaped(written).ok_or(Unmaskable::Form)?, &mut fresh) {
            Became::Same => out.extend_from_slice(written),
            Became::New => escaped(&fresh, delimiter, null, out),
            Became::Null => out.extend_from_slice(null),
        }
    }
    if !rest.is_empty() {
        return Err(Unmaskable::Columns);
    }
    out.extend_from_slice(end);
    Ok(())
}

/// The value behind backslashes.
fn unescaped(written: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !written.contains(&b'\\') {
        return Some(Cow::Borrowed(written));
    }
    let mut out = Vec::with_capacity(written.len());
    let mut bytes = written.iter();
    while let Some(b) = bytes.next() {
        out.push(match b {
            b'\\' => match bytes.next()? {
                b'b' => 0x08,
                b'f' => 0x0c,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 0x0b,
                // The server writes no byte by its number.
                b'0'..=b'7' | b'x' => return None,
                other => *other,
            },
            other => *other,
        });
    }
    Some(Cow::Owned(out))
}

fn escaped(value: &[u8], delimiter: u8, null: &[u8], out: &mut Vec<u8>) {
    if value == null && !value.is_empty() {
        // The same characters as those of null: a backslash before the first tells them apart.
        out.push(b'\\');
    }
    for b in value {
        let letter = match b {
            0x08 => b'b',
            0x0c => b'f',
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x0b => b'v',
            b'\\' => b'\\',
            b if *b == delimiter => delimiter,
            b => {
                out.push(*b);
                continue;
            }
        };
        out.put_slice(&[b'\\', letter]);
    }
}

struct Csv<'c> {
    delimiter: u8,
    quote: u8,
    escape: u8,
    null: &'c [u8],
}

impl Csv<'_> {
    fn row(&self, row: &[u8], rules: &[Rule], edit: &mut EditCell<'_>, out: &mut Vec<u8>) -> Result<(), Unmaskable> {
        let (mut rest, end) = line(row)?;
        let mut fresh = Vec::new();
        for (n, rule) in rules.iter().enumerate() {
            if n > 0 {
                rest = rest.strip_prefix(&[self.delimiter]).ok_or(Unmaskable::Columns)?;
                out.push(self.delimiter);
            }
            let (value, len, quoted) = self.field(rest).ok_or(Unmaskable::Form)?;
            let (written, after) = rest.split_at_checked(len).ok_or(Unmaskable::Form)?;
            rest = after;
            if (!quoted && written == self.null && !rule.hides()) || rule.passes() {
                out.extend_from_slice(written);
                continue;
            }
            fresh.clear();
            match edit(rule, &value, &mut fresh) {
                Became::Same => out.extend_from_slice(written),
                Became::New => self.put(&fresh, quoted, out),
                Became::Null => out.extend_from_slice(self.null),
            }
        }
        if !rest.is_empty() {
            return Err(Unmaskable::Columns);
        }
        out.extend_from_slice(end);
        Ok(())
    }

    /// A field: its value, its length as written, and whether it stands in quotes.
    fn field<'v>(&self, s: &'v [u8]) -> Option<(Cow<'v, [u8]>, usize, bool)> {
        if s.first() != Some(&self.quote) {
            let len = s.iter().position(|b| *b == self.delimiter).unwrap_or(s.len());
            let value = s.get(..len)?;
            return (!value.contains(&self.quote)).then_some((Cow::Borrowed(value), len, false));
        }
        let (mut value, mut at) = (Vec::new(), 1);
        loop {
            let b = *s.get(at)?;
            let next = s.get(at + 1);
            if b == self.escape && next.is_some_and(|n| *n == self.quote || *n == self.escape) {
                value.push(*next?);
                at += 2;
            } else if b == self.quote {
                let ends = next.is_none_or(|n| *n == self.delimiter);
                return ends.then_some((Cow::Owned(value), at + 1, true));
            } else {
                value.push(b);
                at += 1;
            }
        }
    }

    fn put(&self, value: &[u8], quoted: bool, out: &mut Vec<u8>) {
        let special = |b: &u8| *b == self.delimiter || *b == self.quote || matches!(b, b'\n' | b'\r');
        if !quoted && value != self.null && value != b"\\." && !value.iter().any(special) {
            out.extend_from_slice(value);
            return;
        }
        out.push(self.quote);
        for b in value {
            if *b == self.quote || *b == self.escape {
                out.push(self.escape);
            }
            out.push(*b);
        }
        out.push(self.quote);
    }
}
