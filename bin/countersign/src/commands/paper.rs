//! Standard output as commands write on it: buffered, of a known width, and quiet when the reader went away.

use std::io::{self, BufWriter, IsTerminal as _, Stdout, Write};

use crate::cli::Format;
use crate::failed::Failed;

use super::table::Table;

/// The width of what is no terminal and says nothing else.
const WIDTH: usize = 80;
/// Bounds of a width that is believed.
const WIDTHS: std::ops::RangeInclusive<usize> = 40..=500;

/// Standard output.
pub(crate) struct Paper {
    out: BufWriter<Stdout>,
    width: usize,
    gone: bool,
}

impl Paper {
    /// Standard output, as wide as the terminal, or `COLUMNS`, or 80.
    pub(crate) fn new() -> Self {
        let out = io::stdout();
        let terminal = out
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&out).ok())
            .flatten()
            .map(|w| usize::from(w.ws_col));
        let said = || std::env::var("COLUMNS").ok().and_then(|c| c.parse().ok());
        let width = terminal.or_else(said).filter(|w| WIDTHS.contains(w)).unwrap_or(WIDTH);
        Self { out: BufWriter::new(out), width, gone: false }
    }

    /// Columns that a line may take.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// True when nobody reads any more.
    pub(crate) fn gone(&self) -> bool {
        self.gone
    }

    /// Writes a line.
    pub(crate) fn line(&mut self, line: &str) -> Result<(), Failed> {
        Ok(writeln!(self, "{line}")?)
    }

    /// Writes a table.
    pub(crate) fn table(&mut self, table: &Table) -> Result<(), Failed> {
        let width = self.width;
        table.lines(width).iter().try_for_each(|l| self.line(l))
    }

    /// Writes a page of a list as it is, or its members as a table and where the next page begins; `none` where there are no members.
    pub(crate) fn page<M>(
        &mut self,
        output: Format,
        page: &impl serde::Serialize,
        (members, none): (&[M], &str),
        table: impl FnOnce(&[M]) -> Table,
        next: Option<&str>,
    ) -> Result<(), Failed> {
        if output == Format::Json {
            return self.json(page);
        }
        if members.is_empty() {
            return self.line(none);
        }
        self.table(&table(members))?;
        next.map_or(Ok(()), |next| self.line(&format!("\nmore: --before {next}")))
    }

    /// Writes a value as JSON that is inert in a terminal, on as many lines as it needs.
    pub(crate) fn json(&mut self, value: &impl serde::Serialize) -> Result<(), Failed> {
        let text = serde_json::to_string_pretty(value).map_err(Failed::new)?;
        self.line(&countersign_recording::inert_json(&text))
    }

    /// Writes a value as one line of JSON.
    pub(crate) fn json_line(&mut self, value: &impl serde::Serialize) -> Result<(), Failed> {
        let text = serde_json::to_string(value).map_err(Failed::new)?;
        self.line(&countersign_recording::inert_json(&text))
    }

    /// Hands over what is buffered.
    pub(crate) fn done(&mut self) -> Result<(), Failed> {
        Ok(self.flush()?)
    }

    fn quiet<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.gone = true;
                Ok(instead)
            }
            other => other,
        }
    }
}

/// For exports. A reader that went away takes everything; `gone` tells.
impl Write for Paper {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.gone {
            return Ok(bytes.len());
        }
        let result = self.out.write(bytes);
        self.quiet(result, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.gone {
            return Ok(());
        }
        let result = self.out.flush();
        self.quiet(result, ())
    }
}
