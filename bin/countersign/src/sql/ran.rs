//! What a text that was run gave, as its messages come: results with the cells that were masked, what went wrong, what it waits for.
//!
//! It must never keep more than it may, take a masked cell for one in clear, nor say that all is there when something was left out.

use std::collections::{BTreeMap, VecDeque};

use countersign_api::{
    SqlCellView, SqlColumnView, SqlErrorView, SqlResultView, SqlReviewView, SqlState, SqlStatementView,
};
use countersign_model::Timestamp;
use countersign_postgres::aside::{Aside, MaskedColumn};

use super::wire::{self, Frame};

/// What is kept to be read, of all results of a text.
pub(super) const KEPT: Bounds = Bounds { rows: 1_000, bytes: 1 << 20, cell_bytes: 4 << 10 };
/// What is kept to be exported. A cell is whole, or its row is not there.
pub(super) const EXPORTED: Bounds = Bounds { rows: 50_000, bytes: 4 << 20, cell_bytes: wire::FRAME_BYTES_MAX };
/// Rows in one answer, and bytes of their values.
pub(super) const PAGE_ROWS_MAX: usize = 50;
pub(super) const PAGE_BYTES_MAX: usize = 64 << 10;
/// What is read beyond what is kept, to count it; then the statement is cancelled.
pub(super) const READ_BYTES_MAX: u64 = 64 << 20;
/// Results of one text, and columns of one, that are kept.
const RESULTS_MAX: usize = 20;
const COLUMNS_MAX: usize = 1_664;
/// Notices that are kept, and characters of one.
const NOTICES_MAX: usize = 20;
const NOTICE_CHARS_MAX: usize = 500;
/// What is counted for a value besides its bytes.
const CELL_BYTES: usize = 32;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) rows: usize,
    pub(super) bytes: usize,
    pub(super) cell_bytes: usize,
}

/// What is to be done because of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    Nothing,
    /// The target wants rows: it gets none.
    RefuseCopy,
    /// More came than is read: the statement is to be cancelled.
    Cancel,
    /// It is through; with whether a transaction is open.
    Through(bool),
    /// The session is over.
    Over(SqlErrorView),
}

/// A text that ran, or runs.
pub(super) struct Ran {
    pub(super) view: SqlStatementView,
    bounds: Bounds,
    rows: usize,
    bytes: usize,
    read: u64,
    cancelled: bool,
    /// Which statement of the text answers now.
    at: u32,
    /// Its rows come.
    open: bool,
    masks: BTreeMap<u32, Vec<MaskedColumn>>,
    marks: VecDeque<(u32, u32, u16)>,
    /// The next notice says what was told aside.
    told: bool,
}

impl Ran {
    pub(super) fn new(text: &str, export: bool, now: Timestamp) -> Self {
        Self {
            view: SqlStatementView {
                text: text.to_owned(),
                began_at: now.rfc3339(),
                state: SqlState::Running,
                review: None,
                results: Vec::new(),
                error: None,
                notices: Vec::new(),
                cut: false,
                export,
            },
            bounds: if export { EXPORTED } else { KEPT },
            rows: 0,
            bytes: 0,
            read: 0,
            cancelled: false,
            at: 0,
            open: false,
            masks: BTreeMap::new(),
            marks: VecDeque::new(),
            told: false,
        }
    }

    pub(super) fn is_under_way(&self) -> bool {
        matches!(self.view.state, SqlState::Running | SqlState::Waiting)
    }

    /// The session is over: nothing of what came is kept.
    pub(super) fn lost(&mut self, error: SqlErrorView) {
        self.view.results = Vec::new();
        self.view.state = SqlState::Failed;
        self.view.error.get_or_insert(error);
    }

    /// Takes a message.
    pub(super) fn take(&mut self, frame: &Frame, now: Timestamp) -> Next {
        self.read = self.read.saturating_add(frame.bytes as u64);
        if !matches!(frame.tag, b'N' | b'S' | countersign_postgres::aside::TAG) {
            self.view.state = SqlState::Running;
        }
        match frame.tag {
            countersign_postgres::aside::TAG => match Aside::read(&frame.body) {
                Some(aside) => self.aside(aside, now),
                // Without it, what is masked would not be known to be.
                None => return Next::Over(unreadable()),
            },
            b'T' => match wire::columns(&frame.body).filter(|c| !frame.skipped && c.len() <= COLUMNS_MAX) {
                Some(names) => self.described(names),
                None => return Next::Over(unreadable()),
            },
            b'D' => self.row(frame),
            b'C' => self.done(wire::Body(&frame.body).text().unwrap_or_default()),
            b'G' => return Next::RefuseCopy,
            b'H' => {
                self.view.cut = true;
                self.note("What COPY sends is not shown here: use SELECT, or a client of your own.".to_owned());
            }
            b'N' if !std::mem::take(&mut self.told) => {
                let (notice, _) = wire::error(&frame.body);
                self.note(match notice.hint {
                    Some(hint) => format!("{} {hint}", notice.message),
                    None => notice.message,
                });
            }
            b'E' => {
                let (error, fatal) = wire::error(&frame.body);
                if fatal {
                    return Next::Over(error);
                }
                self.view.error = Some(error);
                self.open = false;
            }
            b'Z' => {
                self.view.state = if self.view.error.is_some() { SqlState::Failed } else { SqlState::Done };
                return Next::Through(frame.body.first().is_some_and(|status| *status != b'I'));
            }
            _ => {}
        }
        if self.read > READ_BYTES_MAX && !self.cancelled {
            self.cancelled = true;
            let mib = READ_BYTES_MAX >> 20;
            self.note(format!("It gave more than {mib} MiB, and was cancelled: what it changed is undone."));
            return Next::Cancel;
        }
        Next::Nothing
    }

    fn note(&mut self, text: String) {
        if self.view.notices.len() < NOTICES_MAX {
            self.view.notices.push(text.chars().take(NOTICE_CHARS_MAX).collect());
        }
    }

    fn aside(&mut self, aside: Aside, now: Timestamp) {
        match aside {
            Aside::Columns { statement, columns } => {
                self.masks.insert(statement, columns);
                if self.open && statement == self.at {
                    self.mark_columns();
                }
            }
            Aside::Cells { statement, cells } => self.marks.extend(cells.into_iter().map(|(r, c)| (statement, r, c))),
            Aside::Held { review, reviewers, left_s } => {
                let left_us = i64::try_from(left_s).unwrap_or(i64::MAX).saturating_mul(1_000_000);
                let ends_at = Timestamp::from_unix_us(now.unix_us().saturating_add(left_us)).rfc3339();
                self.view.review = Some(SqlReviewView { id: review, reviewers, ends_at });
                self.view.state = SqlState::Waiting;
                self.told = true;
            }
        }
    }

    fn described(&mut self, names: Vec<String>) {
        self.open = true;
        let column = |name| SqlColumnView { name, tags: Vec::new(), masked: None };
        let columns = names.into_iter().map(column).collect();
        self.result(SqlResultView { columns, ..SqlResultView::default() });
        self.mark_columns();
    }

    fn result(&mut self, result: SqlResultView) {
        if self.view.results.len() < RESULTS_MAX {
            self.view.results.push(result);
        } else {
            self.view.cut = true;
            self.open = false;
        }
    }

    fn mark_columns(&mut self) {
        let (Some(columns), Some(result)) = (self.masks.remove(&self.at), self.view.results.last_mut()) else { return };
        for masked in columns {
            if let Some(column) = result.columns.get_mut(usize::from(masked.column)) {
                column.tags = masked.tags;
                column.masked = Some(masked.how);
            }
        }
    }

    fn row(&mut self, frame: &Frame) {
        let Some(result) = self.view.results.last_mut().filter(|_| self.open) else { return };
        let number = u32::try_from(result.row_count).unwrap_or(u32::MAX);
        result.row_count += 1;
        let mut masked = Vec::new();
        while let Some((_, _, column)) =
            self.marks.pop_front_if(|(statement, row, _)| (*statement, *row) <= (self.at, number))
        {
            masked.push(column);
        }
        // Only the first rows, without gaps, so that what is kept is a beginning.
        let values = wire::values(&frame.body).filter(|_| !frame.skipped && !self.view.cut);
        let Some(values) = values.filter(|_| self.rows < self.bounds.rows) else {
            self.view.cut = true;
            return;
        };
        let (mut cells, mut bytes) = (Vec::with_capacity(values.len()), 0);
        for (n, value) in values.into_iter().enumerate() {
            let whole = value.map(String::from_utf8_lossy);
            let end = whole.as_ref().map_or(0, |text| text.floor_char_boundary(self.bounds.cell_bytes));
            let cut = whole.as_ref().is_some_and(|text| end < text.len());
            bytes += CELL_BYTES + end;
            let text = whole.map(|text| text.get(..end).unwrap_or_default().to_owned());
            let masked = u16::try_from(n).is_ok_and(|n| masked.contains(&n));
            cells.push(SqlCellView { text, masked, cut });
        }
        if self.bytes + bytes > self.bounds.bytes {
            self.view.cut = true;
            return;
        }
        self.bytes += bytes;
        self.rows += 1;
        result.rows.push(cells);
        result.kept += 1;
    }

    fn done(&mut self, command: String) {
        if !std::mem::take(&mut self.open) {
            self.result(SqlResultView::default());
        }
        if let Some(result) = self.view.results.last_mut() {
            result.command = command;
        }
        self.at += 1;
    }

    /// A part of it: of each result the rows after so many.
    pub(super) fn page(&self, after: u64) -> SqlStatementView {
        let mut left = PAGE_BYTES_MAX;
        let page = |result: &SqlResultView| {
            let first = usize::try_from(after).unwrap_or(usize::MAX);
            let mut rows = Vec::new();
            for row in result.rows.iter().skip(first).take(PAGE_ROWS_MAX) {
                let bytes: usize = row.iter().map(|c| CELL_BYTES + c.text.as_ref().map_or(0, String::len)).sum();
                // One row is always told, so that whoever reads on comes to the end.
                if bytes > left && !rows.is_empty() {
                    break;
                }
                left = left.saturating_sub(bytes);
                rows.push(row.iter().map(in_page).collect());
            }
            let told = after.saturating_add(rows.len() as u64);
            let next = (!rows.is_empty() && told < result.kept).then_some(told);
            SqlResultView { columns: result.columns.clone(), command: result.command.clone(), rows, next, ..*result }
        };
        let results = self.view.results.iter().map(page).collect();
        SqlStatementView { results, ..self.without_rows() }
    }

    /// It without its results.
    pub(super) fn without_rows(&self) -> SqlStatementView {
        let v = &self.view;
        SqlStatementView {
            text: v.text.clone(),
            began_at: v.began_at.clone(),
            review: v.review.clone(),
            results: Vec::new(),
            error: v.error.clone(),
            notices: v.notices.clone(),
            ..*v
        }
    }
}

/// A value as it is told: what is kept to be exported may be longer.
fn in_page(cell: &SqlCellView) -> SqlCellView {
    let text = cell.text.as_deref().unwrap_or_default();
    let end = text.floor_char_boundary(KEPT.cell_bytes);
    let cut = cell.cut || end < text.len();
    let text = cell.text.as_ref().map(|t| t.get(..end).unwrap_or_default().to_owned());
    SqlCellView { text, masked: cell.masked, cut }
}

fn unreadable() -> SqlErrorView {
    SqlErrorView {
        code: "XX000".to_owned(),
        message: "the gateway's own client could not read an answer".to_owned(),
        hint: None,
        position: None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Frame {
        Frame { tag, body: body.to_vec(), bytes: body.len() + 5, skipped: false }
    }

    fn described(names: &[&str]) -> Frame {
        let mut body = i16::try_from(names.len()).unwrap().to_be_bytes().to_vec();
        for name in names {
            body.extend([name.as_bytes(), b"\0", &[0; 18]].concat());
        }
        frame(b'T', &body)
    }

    fn row(value: &[u8]) -> Frame {
        let len = i32::try_from(value.len()).unwrap().to_be_bytes();
        frame(b'D', &[b"\0\x01", &len[..], value].concat())
    }

    fn taken(export: bool, frames: &[Frame]) -> Ran {
        let mut ran = Ran::new("select", export, Timestamp::from_unix_s(0));
        for frame in frames {
            ran.take(frame, Timestamp::from_unix_s(0));
        }
        ran
    }

    #[test]
    fn what_is_kept_ends_at_its_bounds_and_says_so() {
        for (value, count, kept, cut) in [
            (1, KEPT.rows, KEPT.rows, false),
            (1, KEPT.rows + 1, KEPT.rows, true),
            (KEPT.cell_bytes, KEPT.bytes / (KEPT.cell_bytes + CELL_BYTES), 254, false),
            (KEPT.cell_bytes, KEPT.bytes / (KEPT.cell_bytes + CELL_BYTES) + 1, 254, true),
        ] {
            let row = row(&vec![b'x'; value]);
            let mut ran = taken(false, &[described(&["a"])]);
            for _ in 0..count {
                ran.take(&row, Timestamp::from_unix_s(0));
            }
            let result = &ran.view.results[0];
            assert_eq!(
                (result.rows.len(), result.row_count, ran.view.cut),
                (kept, count as u64, cut),
                "{value} {count}"
            );
            assert_eq!(result.kept, kept as u64);
        }
    }

    #[test]
    fn a_long_value_is_cut_at_a_character_and_whole_in_an_export() {
        let text = "ä".repeat(KEPT.cell_bytes);
        for (export, cut) in [(false, true), (true, false)] {
            let ran = taken(export, &[described(&["a"]), row(text.as_bytes())]);
            let cell = &ran.view.results[0].rows[0][0];
            assert_eq!(cell.cut, cut);
            assert_eq!(cell.text.as_ref().unwrap().len(), if cut { KEPT.cell_bytes } else { text.len() });
            assert!(ran.page(0).results[0].rows[0][0].cut, "a page has no more of it");
        }
        // A row that was too long to be read is counted, and what comes after it is no beginning.
        let skipped = Frame { skipped: true, bytes: 1 << 21, ..row(b"") };
        let ran = taken(true, &[described(&["a"]), row(b"1"), skipped, row(b"3")]);
        assert_eq!((ran.view.results[0].row_count, ran.view.results[0].kept, ran.view.cut), (3, 1, true));
    }

    #[test]
    fn more_than_is_read_is_cancelled_once() {
        let mut ran = taken(false, &[described(&["a"])]);
        let mib = Frame { bytes: 1 << 20, ..row(b"x") };
        let mut cancels = 0;
        for _ in 0..READ_BYTES_MAX / (1 << 20) + 3 {
            cancels += u32::from(ran.take(&mib, Timestamp::from_unix_s(0)) == Next::Cancel);
        }
        assert_eq!(cancels, 1);
        assert!(ran.view.notices[0].contains("undone"), "{:?}", ran.view.notices);
    }

    #[test]
    fn pages_lead_through_all_that_is_kept() {
        let mut ran = taken(false, &[described(&["a"])]);
        for n in 0..KEPT.rows {
            ran.take(&row(n.to_string().as_bytes()), Timestamp::from_unix_s(0));
        }
        let (mut after, mut seen) = (Some(0), 0);
        while let Some(from) = after {
            let page = ran.page(from);
            assert_eq!(page.results[0].rows[0][0].text, Some(from.to_string()));
            assert!(page.results[0].rows.len() <= PAGE_ROWS_MAX);
            seen += page.results[0].rows.len();
            after = page.results[0].next;
        }
        assert_eq!(seen, KEPT.rows);
        assert_eq!(ran.page(u64::MAX).results[0].rows.len(), 0);
    }

    #[test]
    fn what_cannot_be_read_of_masks_ends_the_session() {
        let mut ran = taken(false, &[described(&["a"])]);
        let lie = frame(countersign_postgres::aside::TAG, b"?");
        assert!(matches!(ran.take(&lie, Timestamp::from_unix_s(0)), Next::Over(_)));
        ran.lost(unreadable());
        assert!(ran.view.results.is_empty() && ran.view.error.is_some());
    }
}
