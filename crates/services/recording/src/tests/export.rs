//! Exports are lossless, and inert in terminals and spreadsheets.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::{CsvExport, JsonLinesExport};

const TEXTS: [&[u8]; 6] = [
    b"select 1, 'a\"b'",
    b"=HYPERLINK(\"http://x\")",
    b"-- \x1b]52;c;aGk=\x07\x1b[2J",
    b"bytes \xff\xfe",
    "line\nbreak\r\u{9b}31m \u{202e}evil".as_bytes(),
    b"  @SUM(1)",
];

fn recording() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "=cmd|' /C calc'!A0", "orders");
    for text in TEXTS {
        let seq = w.intent(text, b"\x00p").unwrap().seq();
        w.session.output(seq, later(1, 20), b"\x1b[31mrow").unwrap();
        w.outcome(seq, OutcomeStatus::Done).unwrap();
    }
    w.judged(b"drop table t", b"", None, false).unwrap();
    w.intent(b"runs still", b"").unwrap();
    recorder.shutdown();
    dir
}

#[test]
fn json_lines_are_lossless_and_inert() {
    let dir = recording();
    let mut export = JsonLinesExport::new(Vec::new());
    for record in records(dir.path(), &RecordFilter::default()) {
        export.write(&record).unwrap();
    }
    let out = String::from_utf8(export.finish().unwrap()).unwrap();
    assert!(!out.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{out:?}");
    let lines: Vec<serde_json::Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let mut texts = Vec::new();
    for line in &lines {
        assert_eq!(line["session"], id(1).to_string());
        assert_eq!(line["target"], "orders");
        if line["type"] == "intent" {
            assert_eq!(line["kind"], "update");
            assert_eq!(line["rules"], serde_json::json!(["ci-deploys", "default"]));
            texts.push(match line.get("text_base64") {
                Some(b) => BASE64.decode(b.as_str().unwrap()).unwrap(),
                None => line["text"].as_str().unwrap().as_bytes().to_vec(),
            });
        }
    }
    assert_eq!(texts[..TEXTS.len()], TEXTS.map(<[u8]>::to_vec));
    assert_eq!(lines[0]["type"], "opened");
    assert_eq!(lines[0]["at"], "2096-10-02T07:06:41.000000Z");
    assert_eq!(lines[0]["header"]["identity"]["claims"]["ref"]["branch"][0], "main");
    assert_eq!(lines[1]["parameters_base64"], BASE64.encode(b"\x00p"));
    assert_eq!(BASE64.decode(lines[2]["bytes_base64"].as_str().unwrap()).unwrap(), b"\x1b[31mrow");
    assert_eq!((&lines[3]["status"], &lines[3]["rows"]), (&"done".into(), &2.into()));
    assert!(lines.iter().any(|l| l["decision"] == "deny"));
}

/// A reader of RFC 4180, for the test.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => row.push(std::mem::take(&mut cell)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            c => cell.push(c),
        }
    }
    rows
}

#[test]
fn csv_rows_are_lossless_and_no_cell_is_a_formula() {
    let dir = recording();
    let mut export = CsvExport::new(Vec::new());
    for record in records(dir.path(), &RecordFilter::default()) {
        export.write(record).unwrap();
    }
    let out = String::from_utf8(export.finish().unwrap()).unwrap();
    assert!(!out.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r')), "{out:?}");
    let rows = parse_csv(&out);
    assert_eq!(rows.len(), 1 + TEXTS.len() + 2);
    let column = |name: &str| rows[0].iter().position(|c| c == name).unwrap();
    for (row, text) in rows[1..].iter().zip(TEXTS) {
        assert_eq!(row.len(), rows[0].len());
        for cell in row {
            assert!(!cell.trim_start().starts_with(['=', '+', '-', '@', '|']), "{cell:?}");
        }
        let whole = match &row[column("text_base64")][..] {
            "" => row[column("text")].clone().into_bytes(),
            encoded => BASE64.decode(encoded).unwrap(),
        };
        assert_eq!(whole, text);
        assert_eq!((&row[column("status")][..], &row[column("affected")][..]), ("done", "1"));
        assert_eq!(row[column("identity")], "'=cmd|' /C calc'!A0");
    }
    let denied = &rows[TEXTS.len() + 1];
    assert_eq!((&denied[column("decision")][..], &denied[column("status")][..]), ("deny", ""));
    assert_eq!(rows[TEXTS.len() + 2][column("text")], "runs still");
}

#[test]
fn a_timeline_serialises() {
    let dir = recording();
    let page = Reader::new(dir.path()).timeline(id(1), 0, 100).unwrap();
    let json = serde_json::to_value(&page.items).unwrap();
    assert_eq!(json[0]["type"], "opened");
    assert_eq!(json[1]["type"], "statement");
    assert_eq!(json[1]["outcome"]["status"], "done");
    assert_eq!(json[1]["output_bytes"], 8);
    assert_eq!(json[4]["text_base64"], BASE64.encode(TEXTS[3]));
}

#[test]
fn what_was_only_prepared_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = start(dir.path());
    let mut w = Writer::new(&recorder, 1, "ci", "orders");
    for (prepares, same_text_as) in [(true, None), (false, Some(1)), (false, None)] {
        let (shape, verdict) = (&w.shape, &w.allow);
        let intent =
            Intent { at: later(1, 10), text: b"delete", same_text_as, prepares, parameters: b"", shape, verdict };
        let seq = w.session.intent(&intent).unwrap().seq();
        w.outcome(seq, OutcomeStatus::Done).unwrap();
    }
    w.close().unwrap();
    recorder.shutdown();
    let (mut lines, mut csv) = (JsonLinesExport::new(Vec::new()), CsvExport::new(Vec::new()));
    for record in records(dir.path(), &RecordFilter::default()) {
        lines.write(&record).unwrap();
        csv.write(record).unwrap();
    }
    let lines = String::from_utf8(lines.finish().unwrap()).unwrap();
    let lines = lines.lines().map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    let told: Vec<bool> = lines.filter(|l| l["type"] == "intent").map(|l| l["prepares"] == true).collect();
    assert_eq!(told, [true, false, false]);
    let csv = String::from_utf8(csv.finish().unwrap()).unwrap();
    let told: Vec<&str> = csv.lines().map(|l| l.rsplit(',').next().unwrap()).collect();
    assert_eq!(told, ["prepares", "true", "", ""]);
}
