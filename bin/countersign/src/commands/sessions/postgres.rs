//! What the PostgreSQL wire carried, as text: bound parameters, and result rows as a table.
//!
//! Recordings may be damaged and targets hostile: nothing is believed about lengths, and nothing grows without limit.

use super::super::table::{Column, Table};
use super::super::text::{count, inert};

/// The largest frame that is looked into; the row in a larger one is counted.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Values of a Bind, and columns of a row, that are looked at.
const VALUES_MAX: usize = 1600;
/// The most results of one statement; what comes after is counted with the last.
const RESULTS_MAX: usize = 100;
/// The most characters of one value.
const VALUE_CHARS_MAX: usize = 1000;
/// The least width of a column with its gap: how many columns fit.
const COLUMN_ROOM: usize = 8;
/// Tag and length.
const HEADER_BYTES: usize = 5;

/// Reads fields; `None` when there is less than is asked for.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn u16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    fn i32(&mut self) -> Option<i32> {
        self.bytes(4)?.try_into().ok().map(i32::from_be_bytes)
    }

    fn cstr(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }

    /// A value: `Some(None)` is NULL.
    fn value(&mut self) -> Option<Option<&'a [u8]>> {
        match usize::try_from(self.i32()?) {
            Ok(n) => self.bytes(n).map(Some),
            Err(_) => Some(None),
        }
    }

    fn formats(&mut self) -> Option<Vec<Format>> {
        let n = self.u16()?;
        (0..n).map(|_| self.u16().map(Format::of)).collect()
    }
}

/// How a value is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Text,
    Binary,
}

impl Format {
    fn of(code: u16) -> Self {
        if code == 0 { Self::Text } else { Self::Binary }
    }

    /// One code for all, one each, or none: text.
    fn choose(codes: &[Self], n: usize) -> Self {
        let one = if codes.len() == 1 { codes.first() } else { codes.get(n) };
        one.copied().unwrap_or(Self::Text)
    }
}

/// What a Bind carried.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Bound {
    /// The parameters, in words.
    pub(super) values: Vec<String>,
    results: Vec<Format>,
}

/// Reads what is recorded of a Bind: everything after the names. `None` when it is not that.
pub(super) fn bound(bytes: &[u8]) -> Option<Bound> {
    let mut f = Fields(bytes);
    let formats = f.formats()?;
    let n = usize::from(f.u16()?);
    let mut values = Vec::new();
    for i in 0..n {
        let value = f.value()?;
        if i < VALUES_MAX {
            values.push(shown(value, Format::choose(&formats, i), 0, true));
        }
    }
    let results = f.formats()?;
    f.0.is_empty().then_some(Bound { values, results })
}

/// A value in words. Binary ones are text, whole numbers or booleans where that is sure, else hexadecimal.
fn shown(value: Option<&[u8]>, format: Format, type_oid: u32, quoted: bool) -> String {
    let Some(bytes) = value else { return "NULL".to_owned() };
    let text = |bytes: &[u8]| {
        let text = inert(&String::from_utf8_lossy(bytes));
        let cut: String = text.chars().take(VALUE_CHARS_MAX).collect();
        let cut = if cut.len() < text.len() { format!("{cut}…") } else { cut };
        if quoted { format!("'{cut}'") } else { cut }
    };
    if format == Format::Text {
        return text(bytes);
    }
    let number = match *bytes {
        [a, b] => Some(i64::from(i16::from_be_bytes([a, b]))),
        [a, b, c, d] => Some(i64::from(i32::from_be_bytes([a, b, c, d]))),
        [a, b, c, d, e, f, g, h] => Some(i64::from_be_bytes([a, b, c, d, e, f, g, h])),
        _ => None,
    };
    match (type_oid, bytes, number) {
        (16, [b], _) => (*b != 0).to_string(),
        (20 | 21 | 23 | 26, _, Some(n)) => n.to_string(),
        (18 | 19 | 25 | 114 | 705 | 1042 | 1043, _, _) => text(bytes),
        (3802, [1, json @ ..], _) => text(json),
        (700, &[a, b, c, d], _) => f32::from_be_bytes([a, b, c, d]).to_string(),
        (701, &[a, b, c, d, e, f, g, h], _) => f64::from_be_bytes([a, b, c, d, e, f, g, h]).to_string(),
        // A parameter's type is not recorded: what reads as text is shown so beside the bytes, and so is a whole number.
        (0, _, n) => match (std::str::from_utf8(bytes), n) {
            (Ok(s), _) if !s.is_empty() && !s.chars().any(char::is_control) => format!("{} (binary)", text(bytes)),
            (_, Some(n)) => format!("{} (as a whole number {n})", hex(bytes)),
            _ => hex(bytes),
        },
        _ => hex(bytes),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut out = "\\x".to_owned();
    for b in bytes.iter().take(VALUE_CHARS_MAX / 2) {
        out.push_str(&format!("{b:02x}"));
    }
    if bytes.len() > VALUE_CHARS_MAX / 2 {
        out.push('…');
    }
    out
}

struct ColumnOf {
    name: String,
    type_oid: u32,
    format: Format,
}

#[derive(Default)]
struct ResultSet {
    columns: Option<Vec<ColumnOf>>,
    rows: Vec<Vec<String>>,
    total: u64,
}

/// The results of one statement, put together from pieces as they were recorded.
pub(super) struct Results {
    formats: Vec<Format>,
    rows_max: usize,
    pending: Vec<u8>,
    skip: usize,
    broken: bool,
    before: Vec<ResultSet>,
    now: ResultSet,
}

impl Results {
    /// Of a statement with these bound parameters; at most `rows_max` rows of each result are kept, the others are counted.
    pub(super) fn new(parameters: &[u8], rows_max: usize) -> Self {
        let formats = bound(parameters).map(|b| b.results).unwrap_or_default();
        Self {
            formats,
            rows_max,
            pending: Vec::new(),
            skip: 0,
            broken: false,
            before: Vec::new(),
            now: ResultSet::default(),
        }
    }

    /// Takes the next piece, which may begin and end anywhere.
    pub(super) fn take(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() && !self.broken {
            if self.skip > 0 {
                let n = self.skip.min(piece.len());
                self.skip -= n;
                piece = piece.get(n..).unwrap_or_default();
                continue;
            }
            // What is pending is never more than one frame, because a larger one is skipped.
            let wanted = self.wanted();
            let n = wanted.saturating_sub(self.pending.len()).min(piece.len());
            let (head, rest) = piece.split_at_checked(n).unwrap_or((piece, &[]));
            self.pending.extend_from_slice(head);
            piece = rest;
            if self.pending.len() == HEADER_BYTES && self.wanted() > FRAME_BYTES_MAX {
                self.skip = self.wanted() - HEADER_BYTES;
                let tag = self.pending.first().copied();
                self.pending.clear();
                if tag == Some(b'D') {
                    self.now.total += 1;
                }
            } else if self.pending.len() >= HEADER_BYTES && self.pending.len() == self.wanted() {
                let frame = std::mem::take(&mut self.pending);
                if let Some((tag, body)) = frame.split_first() {
                    self.frame(*tag, body.get(4..).unwrap_or_default());
                }
            }
        }
    }

    /// The length of the frame that is pending, or of a header while that is not there.
    fn wanted(&mut self) -> usize {
        let Some(length) = self.pending.get(1..HEADER_BYTES) else { return HEADER_BYTES };
        let length = Fields(length).i32().and_then(|n| usize::try_from(n).ok()).filter(|n| *n >= 4);
        match length {
            Some(n) => n + 1,
            None => {
                self.broken = true;
                HEADER_BYTES
            }
        }
    }

    fn frame(&mut self, tag: u8, body: &[u8]) {
        match tag {
            b'T' if self.before.len() < RESULTS_MAX => {
                let next = ResultSet { columns: described(body), ..ResultSet::default() };
                self.before.push(std::mem::replace(&mut self.now, next));
            }
            b'D' => {
                self.now.total += 1;
                if self.now.rows.len() < self.rows_max {
                    self.now.rows.extend(row(body, self.now.columns.as_deref(), &self.formats));
                }
            }
            b'd' => {
                self.now.total += 1;
                if self.now.rows.len() < self.rows_max {
                    let line = body.strip_suffix(b"\n").unwrap_or(body);
                    self.now.rows.push(vec![shown(Some(line), Format::Text, 0, false)]);
                }
            }
            _ => {}
        }
    }

    /// The lines of the tables, and what is left out of them.
    pub(super) fn lines(&self, room: usize) -> Vec<String> {
        let mut out = Vec::new();
        for set in self.before.iter().chain([&self.now]).filter(|s| s.total > 0) {
            let width = set.rows.iter().map(Vec::len).max().unwrap_or(0);
            let fitting = ((room + 2) / COLUMN_ROOM).max(1);
            let name = |n: usize| {
                let named = set.columns.as_ref().and_then(|c| c.get(n)).map(|c| c.name.clone());
                named.unwrap_or_else(|| format!("COLUMN {}", n + 1))
            };
            let mut table = Table::new((0..width.min(fitting)).map(|n| Column::text(&name(n))).collect());
            for row in &set.rows {
                table.row(row.iter().take(fitting));
            }
            if !set.rows.is_empty() {
                out.extend(table.lines(room));
            }
            let more_rows = set.total.saturating_sub(set.rows.len() as u64);
            let more_columns = width.saturating_sub(fitting);
            match (more_rows, more_columns) {
                (0, 0) => {}
                (0, c) => out.push(format!("… and {}", count(c as u64, "more column"))),
                (r, 0) => out.push(format!("… and {}", count(r, "more row"))),
                (r, c) => out.push(format!("… and {}, {}", count(r, "more row"), count(c as u64, "more column"))),
            }
        }
        if self.broken {
            out.push("(the recorded bytes cannot be read any further)".to_owned());
        }
        out
    }
}

/// The columns of a RowDescription.
fn described(body: &[u8]) -> Option<Vec<ColumnOf>> {
    let mut f = Fields(body);
    let n = usize::from(f.u16()?).min(VALUES_MAX);
    let mut columns = Vec::with_capacity(n);
    for _ in 0..n {
        let name = String::from_utf8_lossy(f.cstr()?).into_owned();
        // Table and column number, then the type; its size and modifier.
        f.bytes(6)?;
        let type_oid = f.i32()?.cast_unsigned();
        f.bytes(6)?;
        columns.push(ColumnOf { name, type_oid, format: Format::of(f.u16()?) });
    }
    Some(columns)
}

/// The values of a DataRow.
fn row(body: &[u8], columns: Option<&[ColumnOf]>, formats: &[Format]) -> Option<Vec<String>> {
    let mut f = Fields(body);
    let n = usize::from(f.u16()?).min(VALUES_MAX);
    let mut values = Vec::with_capacity(n);
    for i in 0..n {
        let value = f.value()?;
        let (format, type_oid) = match columns.and_then(|c| c.get(i)) {
            Some(column) => (column.format, column.type_oid),
            None => (Format::choose(formats, i), u32::MAX),
        };
        values.push(shown(value, format, type_oid, false));
    }
    Some(values)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn bind(formats: &[u16], values: &[Option<&[u8]>], results: &[u16]) -> Vec<u8> {
        let mut out = Vec::new();
        let codes = |out: &mut Vec<u8>, codes: &[u16]| {
            out.extend(u16::try_from(codes.len()).unwrap().to_be_bytes());
            codes.iter().for_each(|c| out.extend(c.to_be_bytes()));
        };
        codes(&mut out, formats);
        out.extend(u16::try_from(values.len()).unwrap().to_be_bytes());
        values.iter().for_each(|v| put(&mut out, *v));
        codes(&mut out, results);
        out
    }

    fn put(out: &mut Vec<u8>, value: Option<&[u8]>) {
        match value {
            None => out.extend((-1_i32).to_be_bytes()),
            Some(v) => {
                out.extend(i32::try_from(v.len()).unwrap().to_be_bytes());
                out.extend(v);
            }
        }
    }

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(i32::try_from(body.len() + 4).unwrap().to_be_bytes());
        out.extend(body);
        out
    }

    fn description(columns: &[(&str, i32, u16)]) -> Vec<u8> {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, oid, format) in columns {
            body.extend(name.as_bytes());
            body.extend([0; 7]);
            body.extend(oid.to_be_bytes());
            body.extend([0; 6]);
            body.extend(format.to_be_bytes());
        }
        frame(b'T', &body)
    }

    fn data(values: &[Option<&[u8]>]) -> Vec<u8> {
        let mut body = u16::try_from(values.len()).unwrap().to_be_bytes().to_vec();
        values.iter().for_each(|v| put(&mut body, *v));
        frame(b'D', &body)
    }

    #[test]
    fn parameters_are_shown_as_text_where_they_are() {
        let check = |formats: &[u16], value: Option<&[u8]>, expected: &str| {
            assert_eq!(bound(&bind(formats, &[value], &[])).unwrap().values, [expected]);
        };
        check(&[], Some(b"42"), "'42'");
        check(&[0], Some(b"a\x1b[2J"), "'a\\u{1b}[2J'");
        check(&[1], Some(&42_i32.to_be_bytes()), "\\x0000002a (as a whole number 42)");
        check(&[1], Some(b"ana@x.test"), "'ana@x.test' (binary)");
        check(&[1], Some(&[1, 2, 3]), "\\x010203");
        check(&[1], Some(b""), "\\x");
        check(&[], None, "NULL");
        let two = bind(&[0, 1], &[Some(b"x"), Some(&[0, 7])], &[1]);
        assert_eq!(bound(&two).unwrap().values, ["'x'", "\\x0007 (as a whole number 7)"]);
        for cut in 0..two.len() {
            assert_eq!(bound(&two[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn rows_become_a_table_however_they_are_split() {
        let mut all = description(&[("id", 23, 1), ("name", 25, 0)]);
        all.extend(data(&[Some(&1_i32.to_be_bytes()), Some("ana \u{1b}[31m".as_bytes())]));
        all.extend(data(&[None, Some(b"dora")]));
        all.extend(frame(b'C', b"SELECT 2\0"));
        let expected = ["id    name", "1     ana \\u{1b}[31m", "NULL  dora"];
        for size in 1..=all.len() {
            let mut results = Results::new(b"", 10);
            all.chunks(size).for_each(|c| results.take(c));
            assert_eq!(results.lines(80), expected, "pieces of {size}");
        }
    }

    #[test]
    fn without_a_description_the_bind_says_how_values_are_written() {
        let mut results = Results::new(&bind(&[], &[], &[0, 1]), 10);
        results.take(&data(&[Some(b"a"), Some(&[0, 0, 0, 1])]));
        assert_eq!(results.lines(80), ["COLUMN 1  COLUMN 2", "a         \\x00000001"]);
    }

    #[test]
    fn rows_beyond_the_limit_are_counted() {
        for (rows, expected) in [(2, None), (3, Some("… and 1 more row")), (5, Some("… and 3 more rows"))] {
            let mut results = Results::new(b"", 2);
            (0..rows).for_each(|_| results.take(&data(&[Some(b"x")])));
            assert_eq!(results.lines(80).get(3).map(String::as_str), expected);
        }
        let many: Vec<Option<&[u8]>> = vec![Some(b"some value"); 40];
        let mut results = Results::new(b"", 2);
        results.take(&data(&many));
        let lines = results.lines(80);
        assert!(lines.iter().all(|l| l.chars().count() <= 80), "{lines:?}");
        assert_eq!(lines.last().unwrap(), "… and 30 more columns");
    }

    #[test]
    fn large_and_broken_frames_do_no_harm() {
        let mut results = Results::new(b"", 10);
        let largest = vec![b'x'; FRAME_BYTES_MAX - HEADER_BYTES - 6];
        let (fits, too_large) = (data(&[Some(&largest)]), data(&[Some(&[&largest[..], b"x"].concat())]));
        assert_eq!((fits.len(), too_large.len()), (FRAME_BYTES_MAX, FRAME_BYTES_MAX + 1));
        results.take(&fits);
        too_large.chunks(1000).for_each(|c| results.take(c));
        results.take(&data(&[Some(b"after")]));
        let lines = results.lines(80);
        assert_eq!((lines.len(), lines[2].as_str(), lines[3].as_str()), (4, "after", "… and 1 more row"));

        let mut results = Results::new(b"", 10);
        results.take(&data(&[Some(b"x")]));
        results.take(b"D\0\0\0\x03zzz");
        results.take(&data(&[Some(b"never")]));
        assert_eq!(results.lines(80).last().unwrap(), "(the recorded bytes cannot be read any further)");
        assert!(!results.lines(80).iter().any(|l| l.contains("never")));
    }

    #[test]
    fn several_results_are_several_tables() {
        let mut results = Results::new(b"", 10);
        for name in ["a", "b"] {
            results.take(&description(&[(name, 25, 0)]));
            results.take(&data(&[Some(b"1")]));
        }
        results.take(&frame(b'd', b"copied\tline\n"));
        assert_eq!(results.lines(80), ["a", "1", "b", "1", "copied line"]);
    }
}
