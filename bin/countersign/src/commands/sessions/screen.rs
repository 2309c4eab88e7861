//! A terminal's screen, from what was recorded of it: played to an emulator, so that nothing of it acts anywhere else.

use std::collections::BTreeSet;
use std::io::Write;

use avt::Terminal;
use countersign_recording::{Record, RecordEntry, RecordingError};

use super::terminal::{Piece, Text};
use crate::commands::text::inert;

/// The largest screen that is drawn, in characters: nobody's terminal is larger, and a session may claim any size.
const COLUMNS_MAX: u32 = 500;
const ROWS_MAX: u32 = 200;
/// A terminal whose size nobody said.
const DEFAULT_SIZE: (u32, u32) = (80, 24);
/// Other programs of the session that are remembered, to be named.
const OTHERS_MAX: usize = 64;

/// The emulator.
pub(super) struct Screen {
    text: Text,
    terminal: Option<Terminal>,
}

impl Default for Screen {
    fn default() -> Self {
        let (columns, rows) = DEFAULT_SIZE;
        Self { text: Text::default(), terminal: terminal(columns, rows) }
    }
}

impl Screen {
    /// Takes a recorded piece.
    pub(super) fn take(&mut self, entry: &[u8]) {
        match Piece::read(entry) {
            Some(Piece::Output(bytes) | Piece::Error(bytes)) => {
                let text = self.text.push(bytes);
                if let Some(terminal) = &mut self.terminal {
                    terminal.feed([text.as_str()]);
                }
            }
            Some(Piece::Resize(columns, rows)) => {
                let (columns, rows) = (columns.min(COLUMNS_MAX), rows.min(ROWS_MAX));
                match &mut self.terminal {
                    Some(terminal) => terminal.resize(columns as usize, rows as usize),
                    none => *none = terminal(columns, rows),
                }
            }
            Some(Piece::Input(_) | Piece::Digest(_)) | None => {}
        }
    }

    /// The lines of the screen, without anything that acts on a terminal.
    pub(super) fn lines(&self) -> Vec<String> {
        let lines = self.terminal.iter().flat_map(|t| t.screen().visible_lines());
        lines.map(|l| inert(&l.text()).trim_end().to_owned()).collect()
    }
}

fn terminal(columns: u32, rows: u32) -> Option<Terminal> {
    // Refused are sizes without an inside, which no piece has.
    Terminal::new(columns as usize, rows as usize).ok()
}

/// Writes one program's screen as it was last.
pub(super) struct LastScreen<W> {
    out: W,
    /// The action that is played; the first with output where none was named.
    chosen: Option<u64>,
    screen: Screen,
    any: bool,
    others: BTreeSet<u64>,
}

impl<W: Write> LastScreen<W> {
    /// Writes to `out`; give it a buffer.
    pub(super) fn new(out: W, chosen: Option<u64>) -> Self {
        Self { out, chosen, screen: Screen::default(), any: false, others: BTreeSet::new() }
    }

    /// Takes the records of a session, one after the other.
    pub(super) fn take(&mut self, record: &Record) {
        let RecordEntry::Output { seq, bytes } = &record.entry else { return };
        if *self.chosen.get_or_insert(*seq) == *seq {
            self.any = true;
            self.screen.take(bytes);
        } else if self.others.len() < OTHERS_MAX {
            self.others.insert(*seq);
        }
    }

    /// Writes it. Says whether there was any, and which other actions have output.
    pub(super) fn finish(mut self) -> Result<(bool, BTreeSet<u64>), RecordingError> {
        if self.any {
            let lines = self.screen.lines().join("\n");
            writeln!(self.out, "{}", lines.trim_end()).map_err(RecordingError::Export)?;
        }
        self.out.flush().map_err(RecordingError::Export)?;
        Ok((self.any, self.others))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn adv_058_a_watcher_sees_the_screen_and_nothing_acts() {
        let mut screen = Screen::default();
        screen.take(b"r20x5");
        screen.take(b"oone\r\n\x1b[31mtwo\x1b[0m\x1b[3;5Hthree \xc3");
        screen.take(b"o\xbc\x1b]0;title\x07\x1b]52;c;cm0gLXJm\x07\x1b[6n\x1b[?1000h");
        screen.take(b"inever shown");
        let lines = screen.lines();
        assert_eq!(lines.len(), 5);
        assert_eq!(&lines[..3], ["one", "two", "    three \u{fc}"]);
        assert!(!lines.concat().contains("52;c") && !lines.concat().contains("title"), "{lines:?}");
        screen.take("o\x1b[H\x1b[2J\u{202e}evil\u{200b}".as_bytes());
        assert!(screen.lines().concat().chars().all(|c| !c.is_control() && c != '\u{202e}'));
    }

    #[test]
    fn no_screen_is_too_large() {
        let mut screen = Screen::default();
        screen.take(b"r10000x10000");
        assert_eq!(screen.terminal.as_ref().unwrap().size(), (COLUMNS_MAX as usize, ROWS_MAX as usize));
        screen.take(b"r500x200");
        assert_eq!(screen.lines().len(), 200);
        screen.take(b"o\x1b[99999;99999Hx\x1b[1000000000@\x1b[999999999S");
        assert_eq!(screen.lines().len(), 200);
    }
}
