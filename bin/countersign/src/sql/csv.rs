//! A result as CSV (RFC 4180), for programs and spreadsheets.
//!
//! It must never give a cell that a spreadsheet would take for a formula, nor leave out which columns are masked.

use countersign_api::{SqlExportView, SqlResultView};

/// The result as it is exported. Null is nothing, an empty text is `""`.
pub(super) fn of(result: &SqlResultView) -> SqlExportView {
    let mut csv = String::new();
    let mut masked = 0;
    let is_masked = |n: usize| result.rows.iter().any(|row| row.get(n).is_some_and(|cell| cell.masked));
    for (n, column) in result.columns.iter().enumerate() {
        let mark = if is_masked(n) { " (masked)" } else { "" };
        separate(&mut csv, n);
        quote(&mut csv, &format!("{}{mark}", column.name));
    }
    csv.push_str("\r\n");
    for row in &result.rows {
        for (n, cell) in row.iter().enumerate() {
            separate(&mut csv, n);
            masked += u64::from(cell.masked);
            if let Some(text) = &cell.text {
                quote(&mut csv, text);
            }
        }
        csv.push_str("\r\n");
    }
    SqlExportView { csv, rows: result.rows.len() as u64, masked }
}

fn separate(out: &mut String, n: usize) {
    if n > 0 {
        out.push(',');
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    if acts(text) {
        out.push('\'');
    }
    for c in text.chars() {
        if c == '"' {
            out.push('"');
        }
        out.push(c);
    }
    out.push('"');
}

/// True for what a spreadsheet might run: what begins like a formula, also behind blanks, and is no number.
fn acts(text: &str) -> bool {
    let begins = text.starts_with(['\t', '\r', '\n'])
        || text
            .trim_start()
            .starts_with(['=', '+', '-', '@', '|', '%', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}']);
    begins && !is_number(text)
}

fn is_number(text: &str) -> bool {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && digits.bytes().filter(|b| *b == b'.').count() <= 1
}

#[cfg(test)]
mod tests {
    use countersign_api::{SqlCellView, SqlColumnView};

    use super::*;

    #[test]
    fn nothing_in_it_is_a_formula() {
        for (text, want) in [
            ("plain", "\"plain\""),
            ("", "\"\""),
            ("a\"b,c\nd", "\"a\"\"b,c\nd\""),
            ("=1+1", "\"'=1+1\""),
            ("  =1+1", "\"'  =1+1\""),
            ("+cmd|' /C calc'!A0", "\"'+cmd|' /C calc'!A0\""),
            ("-1+1", "\"'-1+1\""),
            ("-1", "\"-1\""),
            ("+49.5", "\"+49.5\""),
            ("-", "\"'-\""),
            ("-1.2.3", "\"'-1.2.3\""),
            ("@SUM(A1)", "\"'@SUM(A1)\""),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("\u{ff1d}1", "\"'\u{ff1d}1\""),
            ("%0A", "\"'%0A\""),
            ("a=1", "\"a=1\""),
        ] {
            let mut out = String::new();
            quote(&mut out, text);
            assert_eq!(out, want);
        }
    }

    #[test]
    fn null_is_not_an_empty_text_and_masked_columns_are_named_so() {
        let column = |name: &str| SqlColumnView { name: name.to_owned(), tags: Vec::new(), masked: None };
        let cell = |text: Option<&str>, masked| SqlCellView { text: text.map(str::to_owned), masked, cut: false };
        let result = SqlResultView {
            columns: vec![column("=id"), column("email")],
            rows: vec![
                vec![cell(Some("1"), false), cell(None, false)],
                vec![cell(Some(""), false), cell(Some("p_1"), true)],
            ],
            ..SqlResultView::default()
        };
        let export = of(&result);
        assert_eq!(export.csv, "\"'=id\",\"email (masked)\"\r\n\"1\",\r\n\"\",\"p_1\"\r\n");
        assert_eq!((export.rows, export.masked), (2, 1));
    }
}
