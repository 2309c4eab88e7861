//! Text for people and programs: JSON that is inert in a terminal, CSV cells that are inert in a spreadsheet.
//!
//! What was recorded came from clients and targets. None of it may reach a terminal or a spreadsheet as anything but text.

use std::borrow::Cow;
use std::fmt::Write;

use countersign_model::acts_on_readers;

/// The same of JSON, where what is below a blank is written as an escape already, or stands between values.
fn acts_in_json(c: char) -> bool {
    !c.is_ascii_control() && acts_on_readers(c) || c == '\u{7f}'
}

/// JSON whose strings hold no character that acts on a terminal: each is written as an escape, so that it is the same JSON.
pub fn inert_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(acts_in_json) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        if acts_in_json(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// A text as a CSV cell that shows it: controls as `\u{..}`, invalid bytes as U+FFFD, and a `'` before what a spreadsheet would
/// take for a formula. The second value is true when that is not the text itself any more.
pub(crate) fn csv_text(bytes: &[u8]) -> (String, bool) {
    let text = String::from_utf8_lossy(bytes);
    let mut altered = matches!(text, Cow::Owned(_));
    let mut out = String::with_capacity(text.len());
    // Spaces and controls before the sign do not keep every spreadsheet from taking it for a formula.
    let formula = text.starts_with(['\t', '\r', '\n'])
        || text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '|', '%']);
    if formula {
        out.push('\'');
        altered = true;
    }
    for c in text.chars() {
        if acts_on_readers(c) && !matches!(c, '\n' | '\t') {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            altered = true;
        } else {
            out.push(c);
        }
    }
    (out, altered)
}

/// Quotes a CSV cell (RFC 4180) where it must be.
pub(crate) fn csv_quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains(['"', ',', '\n', '\r', '\t', '\'', ';']) || cell.starts_with(' ') || cell.ends_with(' ') {
        Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use countersign_model::Timestamp;

    use super::{csv_quoted, csv_text, inert_json};

    #[test]
    fn times_are_written_in_utc() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_795_305_599_123_456, "2026-11-21T23:59:59.123456Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
        ] {
            assert_eq!(Timestamp::from_unix_us(us).rfc3339(), text);
        }
        assert!(!Timestamp::from_unix_us(i64::MIN).rfc3339().is_empty());
        assert!(!Timestamp::from_unix_us(i64::MAX).rfc3339().is_empty());
    }

    #[test]
    fn json_is_inert_and_the_same() {
        let value = serde_json::json!({"t": "a\u{1b}[31m\u{9b}31m\u{7f}\u{202e}\u{200b}\u{e0041}é漢😀"});
        let json = value.to_string();
        let inert = inert_json(&json);
        assert!(
            !inert.chars().any(|c| c.is_control() || c == '\u{202e}' || matches!(c, '\u{200b}' | '\u{e0041}')),
            "{inert}"
        );
        assert!(inert.contains("é漢😀"));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&inert).unwrap(), value);
    }

    #[test]
    fn cells_are_not_formulas() {
        for (text, cell, altered) in [
            (&b"select 1"[..], "select 1", false),
            (b"=1+1", "'=1+1", true),
            (b"+1", "'+1", true),
            (b"-- drop", "'-- drop", true),
            (b"@SUM(A1)", "'@SUM(A1)", true),
            (b"  =1", "'  =1", true),
            (b"\t=1", "'\t=1", true),
            ("＝1".as_bytes(), "'＝1", true),
            (b"a\x1b[2J", "a\\u{1b}[2J", true),
            (b"a\xff", "a\u{fffd}", true),
            (b"a\r\nb", "a\\u{d}\nb", true),
            (b"a\nb", "a\nb", false),
        ] {
            assert_eq!(csv_text(text), (cell.to_owned(), altered), "{text:?}");
        }
        assert_eq!(csv_quoted("a\"b,c"), "\"a\"\"b,c\"");
        assert_eq!(csv_quoted("plain"), "plain");
    }
}
