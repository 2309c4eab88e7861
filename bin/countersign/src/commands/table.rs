//! Tables that fit a terminal: wide columns are cut with `…` until the whole fits.

use super::text::{cut, inert, width};

/// Between two columns.
const GAP: usize = 2;
/// No column is cut below this.
const COLUMN_WIDTH_MIN: usize = 6;

/// A column.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    name: String,
    right: bool,
    flexible: bool,
}

impl Column {
    /// One that is cut when there is no room.
    pub(crate) fn text(name: &str) -> Self {
        Self { name: inert(name), right: false, flexible: true }
    }

    /// One that is shown whole: an id, a time.
    pub(crate) fn whole(name: &str) -> Self {
        Self { name: inert(name), right: false, flexible: false }
    }

    /// One of numbers: whole, to the right.
    pub(crate) fn number(name: &str) -> Self {
        Self { name: inert(name), right: true, flexible: false }
    }
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty one.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row; its cells are made inert.
    pub(crate) fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|c| inert(c.as_ref())).collect());
    }

    /// The lines, the names of the columns first, none wider than `room`, unless the columns that are shown whole alone are.
    pub(crate) fn lines(&self, room: usize) -> Vec<String> {
        let widths = self.widths(room);
        let names: Vec<String> = self.columns.iter().map(|c| c.name.clone()).collect();
        std::iter::once(&names).chain(&self.rows).map(|row| self.line(row, &widths)).collect()
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let mut out = String::new();
        for ((cell, column), w) in row.iter().zip(&self.columns).zip(widths) {
            if !out.is_empty() || !std::ptr::eq(column, self.columns.as_ptr()) {
                out.push_str(&" ".repeat(GAP));
            }
            let cell = cut(cell, *w);
            let blank = " ".repeat(w.saturating_sub(width(&cell)));
            if column.right {
                out.push_str(&blank);
                out.push_str(&cell);
            } else {
                out.push_str(&cell);
                out.push_str(&blank);
            }
        }
        out.trim_end().to_owned()
    }

    fn widths(&self, room: usize) -> Vec<usize> {
        let mut widths: Vec<usize> = self.columns.iter().map(|c| width(&c.name)).collect();
        for row in &self.rows {
            for (w, cell) in widths.iter_mut().zip(row) {
                *w = (*w).max(width(cell));
            }
        }
        let gaps = GAP * widths.len().saturating_sub(1);
        loop {
            let total: usize = widths.iter().sum::<usize>() + gaps;
            let Some(excess) = total.checked_sub(room).filter(|e| *e > 0) else { return widths };
            // The widest gives first, down to the second widest, so that no column starves beside a long one.
            let mut flexible: Vec<&mut usize> =
                widths.iter_mut().zip(&self.columns).filter(|(_, c)| c.flexible).map(|(w, _)| w).collect();
            flexible.sort_by_key(|w| std::cmp::Reverse(**w));
            let next = flexible.get(1).map_or(COLUMN_WIDTH_MIN, |w| **w).max(COLUMN_WIDTH_MIN);
            match flexible.first_mut() {
                Some(widest) if **widest > COLUMN_WIDTH_MIN => {
                    let give = (**widest - next).max(1).min(excess);
                    **widest -= give;
                }
                _ => return widths,
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::{Column, Table};

    fn table() -> Table {
        let mut t =
            Table::new(vec![Column::whole("ID"), Column::text("WHO"), Column::number("N"), Column::text("TEXT")]);
        t.row(["a1", "ana", "7", "short"]);
        t.row(["b2", "somebody-with-a-long-name", "1200", "select everything from a very long relation \u{1b}[2J"]);
        t
    }

    #[test]
    fn a_table_with_room_shows_everything() {
        let lines = table().lines(200);
        assert_eq!(lines[0], "ID  WHO                           N  TEXT");
        assert_eq!(lines[1], "a1  ana                           7  short");
        assert!(lines[2].ends_with("\\u{1b}[2J"), "{lines:?}");
    }

    #[test]
    fn a_table_without_room_is_cut() {
        for room in [60, 40, 30] {
            let lines = table().lines(room);
            assert!(lines.iter().all(|l| super::width(l) <= room), "{room}: {lines:?}");
            assert!(lines[2].starts_with("b2  ") && lines[2].contains("1200") && lines[2].contains('…'), "{lines:?}");
        }
        assert_eq!(table().lines(1)[2], "b2  someb…  1200  selec…", "columns keep a least width");
    }
}
