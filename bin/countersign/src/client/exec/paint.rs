//! Rows as a table, as JSON, as CSV. JSON and CSV are written as rows come; a table is held until its last row, up to a limit.

use std::io::Write;

use serde_json::json;

use super::Rows;
use crate::commands::table::{Column, Table};
use crate::commands::text::count;
use crate::failed::Failed;

/// The most bytes of cells that a table holds.
const TABLE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// What a table shows for NULL; the empty string is shown as nothing.
const NULL: &str = "NULL";

/// One way to print.
pub(super) trait Painter {
    /// Rows with these columns follow.
    fn columns(&mut self, names: &[&str], out: &mut dyn Write) -> Result<(), Failed>;
    /// A row.
    fn row(&mut self, cells: &[Option<&str>], out: &mut dyn Write) -> Result<(), Failed>;
    /// A statement is done; so many rows were read or changed.
    fn done(&mut self, count: u64, out: &mut dyn Write) -> Result<(), Failed>;
    /// Nothing more comes.
    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failed>;
}

/// The one that was asked for.
pub(super) fn painter(rows: Rows) -> Box<dyn Painter> {
    match rows {
        Rows::Text => Box::new(Text::new(TABLE_BYTES_MAX)),
        Rows::Json => Box::new(Json::default()),
        Rows::Csv => Box::new(Csv::default()),
    }
}

struct Text {
    table: Option<Table>,
    bytes: usize,
    bytes_max: usize,
    before: bool,
}

impl Text {
    fn new(bytes_max: usize) -> Self {
        Self { table: None, bytes: 0, bytes_max, before: false }
    }

    fn gap(&mut self, out: &mut dyn Write) -> Result<(), Failed> {
        if std::mem::replace(&mut self.before, true) { Ok(writeln!(out)?) } else { Ok(()) }
    }
}

impl Painter for Text {
    fn columns(&mut self, names: &[&str], _: &mut dyn Write) -> Result<(), Failed> {
        self.table = Some(Table::new(names.iter().map(|n| Column::whole(n)).collect()));
        self.bytes = 0;
        Ok(())
    }

    fn row(&mut self, cells: &[Option<&str>], _: &mut dyn Write) -> Result<(), Failed> {
        let cells: Vec<&str> = cells.iter().map(|c| c.unwrap_or(NULL)).collect();
        self.bytes += cells.iter().map(|c| c.len()).sum::<usize>();
        if self.bytes > self.bytes_max {
            return Err(Failed::new(format!(
                "the rows are more than the {} bytes that a table may hold: use --output csv or json",
                self.bytes_max
            )));
        }
        if let Some(table) = &mut self.table {
            table.row(&cells);
        }
        Ok(())
    }

    fn done(&mut self, n: u64, out: &mut dyn Write) -> Result<(), Failed> {
        self.gap(out)?;
        if let Some(table) = self.table.take() {
            // Whole, however wide: what is cut off in a script's table is lost.
            table.lines(usize::MAX).iter().try_for_each(|l| writeln!(out, "{l}"))?;
            return Ok(writeln!(out, "({})", count(n, "row"))?);
        }
        Ok(writeln!(out, "done, {}", count(n, "row"))?)
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failed> {
        // Rows of a statement that failed on the way were never its answer.
        if self.table.take().is_some() { Ok(writeln!(out, "(cut off)")?) } else { Ok(()) }
    }
}

#[derive(Default)]
struct Json {
    statements: u64,
    rows: Option<u64>,
}

impl Json {
    fn open(&mut self, out: &mut dyn Write) -> Result<(), Failed> {
        let before = if self.statements == 0 { "[\n" } else { ",\n" };
        self.statements += 1;
        Ok(out.write_all(before.as_bytes())?)
    }

    fn close(&mut self, end: &str, out: &mut dyn Write) -> Result<(), Failed> {
        let gap = if self.rows.take().is_some_and(|n| n > 0) { "\n  " } else { "" };
        Ok(write!(out, "{gap}], {end} }}")?)
    }
}

impl Painter for Json {
    fn columns(&mut self, names: &[&str], out: &mut dyn Write) -> Result<(), Failed> {
        self.open(out)?;
        self.rows = Some(0);
        let names = json!(names).to_string();
        Ok(write!(out, "  {{ \"columns\": {}, \"rows\": [", countersign_recording::inert_json(&names))?)
    }

    fn row(&mut self, cells: &[Option<&str>], out: &mut dyn Write) -> Result<(), Failed> {
        let rows = self.rows.get_or_insert(0);
        let before = if *rows == 0 { "" } else { "," };
        *rows += 1;
        Ok(write!(out, "{before}\n    {}", countersign_recording::inert_json(&json!(cells).to_string()))?)
    }

    fn done(&mut self, n: u64, out: &mut dyn Write) -> Result<(), Failed> {
        if self.rows.is_some() {
            return self.close(&format!("\"count\": {n}"), out);
        }
        self.open(out)?;
        Ok(write!(out, "  {{ \"count\": {n} }}")?)
    }

    fn end(&mut self, out: &mut dyn Write) -> Result<(), Failed> {
        if self.rows.is_some() {
            self.close("\"cut_off\": true", out)?;
        }
        Ok(out.write_all(if self.statements == 0 { b"[]\n" } else { b"\n]\n" })?)
    }
}

#[derive(Default)]
struct Csv {
    before: bool,
}

impl Csv {
    fn line<'a>(cells: impl Iterator<Item = Option<&'a str>>, out: &mut dyn Write) -> Result<(), Failed> {
        let cells: Vec<String> = cells.map(csv_cell).collect();
        Ok(out.write_all(format!("{}\n", cells.join(",")).as_bytes())?)
    }
}

/// NULL is nothing, the empty string is `""`, as in PostgreSQL's own CSV. Bytes are as they are: a file is no terminal.
fn csv_cell(cell: Option<&str>) -> String {
    match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) || text == "\\." => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    }
}

impl Painter for Csv {
    fn columns(&mut self, names: &[&str], out: &mut dyn Write) -> Result<(), Failed> {
        if std::mem::replace(&mut self.before, true) {
            writeln!(out)?;
        }
        Self::line(names.iter().copied().map(Some), out)
    }

    fn row(&mut self, cells: &[Option<&str>], out: &mut dyn Write) -> Result<(), Failed> {
        Self::line(cells.iter().copied(), out)
    }

    fn done(&mut self, _: u64, _: &mut dyn Write) -> Result<(), Failed> {
        Ok(())
    }

    fn end(&mut self, _: &mut dyn Write) -> Result<(), Failed> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    type Cells<'a> = &'a [Option<&'a str>];

    /// Prints two statements, a query with these rows and an update, and perhaps a query that is cut off.
    fn printed(rows: Rows, cells: &[Cells<'_>], cut_off: bool) -> String {
        let mut out = Vec::new();
        let mut painter = painter(rows);
        painter.columns(&["id", "a,b"], &mut out).unwrap();
        cells.iter().for_each(|row| painter.row(row, &mut out).unwrap());
        painter.done(cells.len() as u64, &mut out).unwrap();
        painter.done(7, &mut out).unwrap();
        if cut_off {
            painter.columns(&["x"], &mut out).unwrap();
            painter.row(&[Some("1")], &mut out).unwrap();
        }
        painter.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    const HOSTILE: [Cells<'_>; 2] = [&[Some("1"), Some("a\"b,\u{1b}[2J\u{202e}\nc")], &[None, Some("")]];

    #[test]
    fn tables_are_for_terminals() {
        let table = printed(Rows::Text, &HOSTILE, true);
        let expected = "id    a,b\n1     a\"b,\\u{1b}[2J\\u{202e} c\nNULL\n(2 rows)\n\ndone, 7 rows\n(cut off)\n";
        assert_eq!(table, expected);
        assert!(printed(Rows::Text, &[], false).starts_with("id  a,b\n(0 rows)\n"));
        let wide = "w".repeat(500);
        assert!(printed(Rows::Text, &[&[Some("1"), Some(&wide)]], false).contains(&wide), "nothing is cut off");
    }

    #[test]
    fn json_is_one_document_whatever_happened() {
        for (cells, cut_off) in [(&HOSTILE[..], false), (&HOSTILE[..], true), (&[], false), (&[], true)] {
            let text = printed(Rows::Json, cells, cut_off);
            let json: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            let first = json!({ "columns": ["id", "a,b"], "rows": cells, "count": cells.len() });
            let mut expected = vec![first, json!({ "count": 7 })];
            if cut_off {
                expected.push(json!({ "columns": ["x"], "rows": [["1"]], "cut_off": true }));
            }
            assert_eq!(json, json!(expected), "{text}");
            assert!(!text.contains(['\u{1b}', '\u{202e}']), "{text:?}");
        }
        let mut out = Vec::new();
        painter(Rows::Json).end(&mut out).unwrap();
        assert_eq!(out, b"[]\n");
    }

    #[test]
    fn csv_tells_null_from_nothing() {
        let csv = printed(Rows::Csv, &HOSTILE, false);
        assert_eq!(csv, "id,\"a,b\"\n1,\"a\"\"b,\u{1b}[2J\u{202e}\nc\"\n,\"\"\n");
        assert!(printed(Rows::Csv, &[], true).ends_with("\n\nx\n1\n"));
        assert_eq!(csv_cell(Some("\\.")), "\"\\.\"");
    }

    #[test]
    fn a_table_has_a_most() {
        let mut text = Text::new(4);
        let mut out = Vec::new();
        text.columns(&["x"], &mut out).unwrap();
        text.row(&[Some("four")], &mut out).unwrap();
        assert!(text.row(&[Some("x")], &mut out).unwrap_err().to_string().contains("--output csv"));
        text.columns(&["x"], &mut out).unwrap();
        text.row(&[Some("four")], &mut out).unwrap();
    }
}
