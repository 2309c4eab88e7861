//! What was recorded of terminals and programs over SSH: its pieces, as text for people and as an asciicast for players.
//!
//! What came from a target must never act on the terminal that it is shown on: the texts here are for [`inert`] or for JSON with every
//! control character escaped. The bytes themselves are in the recording.

use std::collections::BTreeSet;
use std::io::Write;

use countersign_model::Timestamp;
use countersign_recording::{OutcomeRecord, Record, RecordEntry, RecordingError, inert_json};
use serde_json::json;

use crate::commands::text::inert;

/// A terminal whose size nobody said, as an asciicast must have one.
const DEFAULT_SIZE: (u32, u32) = (80, 24);
/// The longest side of a terminal that is believed, in characters.
const SIDE_MAX: u32 = 10_000;
/// Other programs of the session that are remembered, to be named.
const OTHERS_MAX: usize = 64;

/// One recorded piece; the first byte says which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Input(&'a [u8]),
    Output(&'a [u8]),
    Error(&'a [u8]),
    /// Columns and rows.
    Resize(u32, u32),
    /// The SHA-256 of a file that was moved.
    Digest(&'a [u8]),
}

impl<'a> Piece<'a> {
    /// `None` for what no version wrote.
    pub(super) fn read(entry: &'a [u8]) -> Option<Self> {
        let (kind, rest) = entry.split_first()?;
        Some(match kind {
            b'i' => Self::Input(rest),
            b'o' => Self::Output(rest),
            b'e' => Self::Error(rest),
            b'd' => Self::Digest(rest),
            b'r' => {
                let (columns, rows) = std::str::from_utf8(rest).ok()?.split_once('x')?;
                let side = |t: &str| t.parse().ok().filter(|n| (1..=SIDE_MAX).contains(n));
                Self::Resize(side(columns)?, side(rows)?)
            }
            _ => return None,
        })
    }
}

/// Bytes that come in parts, as text: a character may be cut anywhere.
#[derive(Default)]
pub(super) struct Text(Vec<u8>);

impl Text {
    /// What can be read by now. What is no UTF-8 becomes U+FFFD.
    pub(super) fn push(&mut self, bytes: &[u8]) -> String {
        self.0.extend_from_slice(bytes);
        let mut out = String::new();
        loop {
            match std::str::from_utf8(&self.0) {
                Ok(all) => {
                    out.push_str(all);
                    self.0.clear();
                    return out;
                }
                Err(e) => {
                    let fine = self.0.drain(..e.valid_up_to()).collect::<Vec<_>>();
                    out.push_str(&String::from_utf8_lossy(&fine));
                    // Without a length it is a character that goes on in the next part.
                    let Some(wrong) = e.error_len() else { return out };
                    self.0.drain(..wrong);
                    out.push(char::REPLACEMENT_CHARACTER);
                }
            }
        }
    }
}

/// What a program said, line by line, for people.
#[derive(Default)]
pub(super) struct Streams {
    output: Text,
    error: Text,
    /// A line of the output that is not whole.
    line: String,
}

impl Streams {
    /// The longest line that is waited for, in characters.
    const LINE_CHARS_MAX: usize = 4_096;

    /// The lines that an entry completes, without anything that acts on a terminal.
    pub(super) fn take(&mut self, entry: &[u8]) -> Vec<String> {
        let text = match Piece::read(entry) {
            Some(Piece::Output(bytes)) => self.output.push(bytes),
            Some(Piece::Error(bytes)) => self.error.push(bytes),
            Some(Piece::Resize(columns, rows)) => return vec![format!("(the terminal is {columns} by {rows})")],
            Some(Piece::Digest(digest)) => {
                return vec![format!("(SHA-256 {})", inert(&String::from_utf8_lossy(digest)))];
            }
            // What a terminal was typed comes back as its output; what a program was sent is in the recording.
            Some(Piece::Input(_)) | None => return Vec::new(),
        };
        self.line.push_str(&text);
        let mut lines = Vec::new();
        while let Some(end) = self.line.find('\n') {
            let line: String = self.line.drain(..=end).collect();
            lines.push(inert(line.trim_end_matches(['\r', '\n'])));
        }
        if self.line.chars().count() > Self::LINE_CHARS_MAX {
            lines.push(inert(&std::mem::take(&mut self.line)));
        }
        lines
    }

    /// What was left without an end.
    pub(super) fn rest(&mut self) -> Option<String> {
        let rest = std::mem::take(&mut self.line);
        (!rest.is_empty()).then(|| inert(rest.trim_end_matches('\r')))
    }
}

/// Writes one program's terminal as an asciicast, version 3.
pub(super) struct Asciicast<W> {
    out: W,
    /// The action that is written; the first with output where none was named.
    chosen: Option<u64>,
    title: String,
    last: Option<Timestamp>,
    text: [Text; 2],
    others: BTreeSet<u64>,
}

impl<W: Write> Asciicast<W> {
    /// Writes to `out`; give it a buffer.
    pub(super) fn new(out: W, chosen: Option<u64>) -> Self {
        Self {
            out,
            chosen,
            title: String::new(),
            last: None,
            text: [Text::default(), Text::default()],
            others: BTreeSet::new(),
        }
    }

    /// Takes the records of a session, one after the other.
    pub(super) fn write(&mut self, record: &Record) -> Result<(), RecordingError> {
        match &record.entry {
            RecordEntry::Intent(intent) if self.last.is_none() && self.chosen.is_none_or(|c| c == intent.seq) => {
                self.title = String::from_utf8_lossy(&intent.text).into_owned();
                Ok(())
            }
            RecordEntry::Output { seq, bytes } => {
                if *self.chosen.get_or_insert(*seq) != *seq {
                    if self.others.len() < OTHERS_MAX {
                        self.others.insert(*seq);
                    }
                    return Ok(());
                }
                Piece::read(bytes).map_or(Ok(()), |piece| self.piece(record.at, piece))
            }
            RecordEntry::Outcome(outcome) if self.chosen == Some(outcome.seq) && self.last.is_some() => {
                self.event(record.at, "x", &status(outcome))
            }
            _ => Ok(()),
        }
    }

    /// Writes what is buffered. How many entries there were is said by whether there was any, and which other actions have output.
    pub(super) fn finish(mut self) -> Result<(bool, BTreeSet<u64>), RecordingError> {
        self.out.flush().map_err(RecordingError::Export)?;
        Ok((self.last.is_some(), self.others))
    }

    fn piece(&mut self, at: Timestamp, piece: Piece<'_>) -> Result<(), RecordingError> {
        let [typed, shown] = &mut self.text;
        let (code, data) = match piece {
            Piece::Input(bytes) => ("i", typed.push(bytes)),
            // A terminal has one stream; of a program without one, both are shown where they came.
            Piece::Output(bytes) | Piece::Error(bytes) => ("o", shown.push(bytes)),
            Piece::Resize(columns, rows) if self.last.is_none() => return self.header(at, (columns, rows)),
            Piece::Resize(columns, rows) => ("r", format!("{columns}x{rows}")),
            Piece::Digest(_) => return Ok(()),
        };
        if self.last.is_none() {
            self.header(at, DEFAULT_SIZE)?;
        }
        if data.is_empty() { Ok(()) } else { self.event(at, code, &data) }
    }

    fn header(&mut self, at: Timestamp, (columns, rows): (u32, u32)) -> Result<(), RecordingError> {
        self.last = Some(at);
        let header = json!({
            "version": 3, "term": { "cols": columns, "rows": rows }, "timestamp": at.unix_s(), "title": self.title,
        });
        self.line(&header)
    }

    fn event(&mut self, at: Timestamp, code: &str, data: &str) -> Result<(), RecordingError> {
        // Version 3 counts from the event before.
        let passed_us = self.last.map_or(0, |last| at.since_us(last));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        #[expect(clippy::cast_precision_loss, reason = "seconds of a pause, to the microsecond")]
        let passed_s = passed_us as f64 / 1e6;
        self.line(&json!([passed_s, code, data]))
    }

    fn line(&mut self, value: &serde_json::Value) -> Result<(), RecordingError> {
        writeln!(self.out, "{}", inert_json(&value.to_string())).map_err(RecordingError::Export)
    }
}

/// The exit status as an asciicast has it: a number.
fn status(outcome: &OutcomeRecord) -> String {
    match outcome.code.as_deref() {
        None => "0".to_owned(),
        Some(code) if code.bytes().all(|b| b.is_ascii_digit()) => code.to_owned(),
        // Ended by a signal, or refused by the target.
        Some(_) => "1".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_us(1_800_000_000_000_000 + ms * 1000)
    }

    fn record(ms: i64, entry: RecordEntry) -> Record {
        Record { at: at(ms), header: None, entry }
    }

    fn output(ms: i64, seq: u64, bytes: &[u8]) -> Record {
        record(ms, RecordEntry::Output { seq, bytes: bytes.to_vec() })
    }

    fn cast(records: &[Record], chosen: Option<u64>) -> (Vec<serde_json::Value>, BTreeSet<u64>) {
        let mut written = Vec::new();
        let mut cast = Asciicast::new(&mut written, chosen);
        records.iter().try_for_each(|r| cast.write(r)).unwrap();
        let (_, others) = cast.finish().unwrap();
        let text = String::from_utf8(written).unwrap();
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        (text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(), others)
    }

    #[test]
    fn a_terminal_becomes_an_asciicast() {
        let ended = OutcomeRecord {
            seq: 2,
            status: "failed",
            duration_us: 0,
            rows: 0,
            bytes: 0,
            affected: None,
            masked: BTreeMap::new(),
            code: Some("4".to_owned()),
        };
        let records = [
            output(0, 2, b"r100x30"),
            output(250, 2, b"o\x1b[31mred \xc3"),
            output(500, 2, b"o\xbc\xff\x7f"),
            output(600, 3, b"oof another"),
            output(700, 2, b"ils\r"),
            output(1000, 2, b"r80x24"),
            record(1500, RecordEntry::Outcome(ended)),
        ];
        let (lines, others) = cast(&records, None);
        assert_eq!(lines[0]["version"], 3);
        assert_eq!(lines[0]["term"], json!({"cols": 100, "rows": 30}));
        assert_eq!(lines[1], json!([0.25, "o", "\u{1b}[31mred "]));
        assert_eq!(lines[2], json!([0.25, "o", "\u{fc}\u{fffd}\u{7f}"]));
        assert_eq!(lines[3], json!([0.2, "i", "ls\r"]));
        assert_eq!(lines[4], json!([0.3, "r", "80x24"]));
        assert_eq!(lines[5], json!([0.5, "x", "4"]));
        assert_eq!(others, BTreeSet::from([3]));
        let (lines, _) = cast(&records, Some(3));
        assert_eq!(
            (&lines[0]["term"], &lines[1]),
            (&json!({"cols": 80, "rows": 24}), &json!([0.0, "o", "of another"]))
        );
        assert!(cast(&records, Some(9)).0.is_empty());
    }

    #[test]
    fn adv_058_what_is_shown_is_inert() {
        let mut streams = Streams::default();
        let hostile =
            b"o\x1b]52;c;cm0gLXJm\x07\x1b[8mhidden\x1b[0m \xc2\x9b2J \xe2\x80\xae\r\n<script>alert(1)</script>\n";
        let lines = streams.take(hostile);
        assert_eq!(lines.len(), 2);
        for line in &lines {
            assert!(line.chars().all(|c| !c.is_control() && c != '\u{202e}'), "{line:?}");
        }
        assert!(lines[0].contains("hidden"), "what was hidden is seen: {lines:?}");
        assert_eq!(lines[1], "<script>alert(1)</script>");
        let (cast, _) = cast(&[output(0, 1, hostile)], None);
        assert!(cast[1][2].as_str().unwrap().contains("\u{1b}]52;c;"), "a player has the very bytes");
    }

    #[test]
    fn text_is_the_same_wherever_it_is_cut() {
        let bytes = "grüße — 日本 \u{1f600}".as_bytes();
        for cut in 0..=bytes.len() {
            let mut text = Text::default();
            let (a, b) = bytes.split_at(cut);
            assert_eq!(text.push(a) + &text.push(b), "grüße — 日本 \u{1f600}", "cut at {cut}");
        }
    }

    #[test]
    fn pieces_that_make_no_sense_are_left_out() {
        for entry in [&b""[..], b"z", b"r", b"r80", b"r0x24", b"r80x99999999999", b"r80x10001"] {
            assert_eq!(Piece::read(entry), None, "{entry:?}");
        }
        assert_eq!(Piece::read(b"r80x10000"), Some(Piece::Resize(80, 10_000)));
    }

    #[test]
    fn lines_without_an_end_are_not_waited_for_forever() {
        let mut streams = Streams::default();
        let long = [b"o".to_vec(), vec![b'x'; Streams::LINE_CHARS_MAX]].concat();
        assert!(streams.take(&long).is_empty());
        assert_eq!(streams.take(b"ox").len(), 1);
        assert!(streams.take(b"oend").is_empty());
        assert_eq!(streams.rest().as_deref(), Some("end"));
        assert_eq!(streams.rest(), None);
    }
}
