//! Exports: JSON lines (one record per line) and CSV (one row per statement, joined with how it ended).
//!
//! What was recorded came from clients and targets. JSON lines hold no character that acts on a terminal; CSV cells hold none
//! either, and none that a spreadsheet takes for a formula. Both are lossless: what a cell cannot show as it is comes in base64
//! as well.

use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::RecordingError;
use crate::header::SessionHeader;
use crate::record::{OutcomeRecord, Parameters, Record, hex};
use crate::text::{csv_quoted, csv_text, inert_json};
use crate::timeline::{Joiner, StatementView, TimelineItem};

/// Writes records as JSON lines.
pub struct JsonLinesExport<W> {
    out: W,
}

impl<W: Write> JsonLinesExport<W> {
    /// Writes to `out`; give it a buffer.
    pub fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes one record as one line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, record: &Record) -> Result<(), RecordingError> {
        let json = serde_json::to_string(record).map_err(|e| RecordingError::Export(e.into()))?;
        writeln!(self.out, "{}", inert_json(&json)).map_err(RecordingError::Export)
    }

    /// Writes what is buffered; the output back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W, RecordingError> {
        self.out.flush().map_err(RecordingError::Export)?;
        Ok(self.out)
    }
}

/// The columns of the CSV.
const COLUMNS: [&str; 31] = [
    "at",
    "session",
    "identity",
    "subject",
    "issuer",
    "identity_kind",
    "source",
    "target",
    "part",
    "seq",
    "kind",
    "access",
    "decision",
    "rules",
    "reason",
    "fingerprint",
    "text",
    "text_base64",
    "parameters_base64",
    "parameters_sha256",
    "same_text_as",
    "status",
    "code",
    "rows",
    "bytes",
    "affected",
    "duration_us",
    "ended_at",
    "masked",
    "unmasked",
    "prepares",
];

/// Writes statements as CSV (RFC 4180, UTF-8, with a header).
///
/// The column `text` shows the statement; where that is not the very statement (controls, invalid UTF-8, a `'` before what a
/// spreadsheet would take for a formula), `text_base64` has it. A row with `prepares` ran nothing: the rows that ran it have its `seq` as
/// `same_text_as`.
pub struct CsvExport<W> {
    out: W,
    joiner: Joiner,
    begun: bool,
}

impl<W: Write> CsvExport<W> {
    /// Writes to `out`; give it a buffer.
    pub fn new(out: W) -> Self {
        Self { out, joiner: Joiner::default(), begun: false }
    }

    /// Takes the next record of its session. A statement is written once its outcome is known.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&mut self, record: Record) -> Result<(), RecordingError> {
        self.joiner.add(record);
        self.rows()
    }

    /// Writes what is left, without outcomes where there are none; the output back.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<W, RecordingError> {
        self.joiner.finish();
        self.rows()?;
        self.out.flush().map_err(RecordingError::Export)?;
        Ok(self.out)
    }

    fn rows(&mut self) -> Result<(), RecordingError> {
        if !self.begun {
            self.begun = true;
            self.line(&COLUMNS)?;
        }
        while let Some((header, item)) = self.joiner.pop() {
            let cells = match &item {
                TimelineItem::Statement(s) => statement(&header, s),
                TimelineItem::LateOutcome { at, outcome } => {
                    let mut cells = session_cells(&header, *at);
                    cells[9] = outcome.seq.to_string();
                    outcome_cells(&mut cells, *at, outcome);
                    cells
                }
                _ => continue,
            };
            self.line(&cells)?;
        }
        Ok(())
    }

    fn line<S: AsRef<str>>(&mut self, cells: &[S]) -> Result<(), RecordingError> {
        let line: Vec<_> = cells.iter().map(|c| csv_quoted(c.as_ref())).collect();
        write!(self.out, "{}\r\n", line.join(",")).map_err(RecordingError::Export)
    }
}

type Cells = [String; COLUMNS.len()];

fn inert(text: &str) -> String {
    csv_text(text.as_bytes()).0
}

#[allow(clippy::indexing_slicing, reason = "constant positions in an array: the compiler checks them")]
fn session_cells(h: &SessionHeader, at: countersign_model::Timestamp) -> Cells {
    let mut cells = Cells::default();
    cells[0] = at.rfc3339();
    cells[1] = h.id.to_string();
    cells[2] = inert(&h.identity.name);
    cells[3] = inert(&h.identity.subject);
    cells[4] = inert(&h.identity.issuer);
    cells[5] = h.identity.kind.as_str().to_owned();
    cells[6] = h.source.to_string();
    cells[7] = h.target.as_str().to_owned();
    cells[8] = inert(&h.part);
    cells
}

#[allow(clippy::indexing_slicing, reason = "constant positions in an array: the compiler checks them")]
fn statement(h: &SessionHeader, s: &StatementView) -> Cells {
    let mut cells = session_cells(h, s.at);
    let d = &s.intent.definition;
    cells[9] = s.intent.seq.to_string();
    cells[10] = inert(&d.kind);
    cells[11] = d.access.as_str().to_owned();
    cells[12] = d.verdict.decision.as_str().to_owned();
    let rules: Vec<&str> = d.verdict.rules.iter().map(|r| r.as_str()).collect();
    cells[13] = inert(&rules.join(" "));
    cells[14] = inert(d.verdict.reason.as_deref().or(d.unreadable.as_deref()).unwrap_or_default());
    cells[15] = d.fingerprint.clone();
    let (text, altered) = csv_text(&s.intent.text);
    cells[16] = text;
    if altered {
        cells[17] = BASE64.encode(&s.intent.text);
    }
    match &s.intent.parameters {
        Parameters::Kept(bytes) => cells[18] = BASE64.encode(bytes),
        Parameters::Digest { sha256, .. } => cells[19] = hex(sha256),
    }
    cells[20] = s.intent.same_text_as.map(|n| n.to_string()).unwrap_or_default();
    cells[30] = if s.intent.prepares { "true".to_owned() } else { String::new() };
    cells[29] = d.verdict.effects.unmasked.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    if let Some((at, outcome)) = &s.outcome {
        outcome_cells(&mut cells, *at, outcome);
    }
    cells
}

#[allow(clippy::indexing_slicing, reason = "constant positions in an array: the compiler checks them")]
fn outcome_cells(cells: &mut Cells, at: countersign_model::Timestamp, o: &OutcomeRecord) {
    cells[21] = o.status.to_owned();
    cells[22] = inert(o.code.as_deref().unwrap_or_default());
    cells[23] = o.rows.to_string();
    cells[24] = o.bytes.to_string();
    cells[25] = o.affected.map(|n| n.to_string()).unwrap_or_default();
    cells[26] = o.duration_us.to_string();
    cells[27] = at.rfc3339();
    let masked: Vec<String> = o.masked.iter().map(|(tag, n)| format!("{tag}:{n}")).collect();
    cells[28] = masked.join(" ");
}
