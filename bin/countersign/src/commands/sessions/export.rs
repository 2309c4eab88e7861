//! `countersign sessions export`: records for other programs. The forms are those of the recording; here they are filtered.

use std::collections::BTreeSet;
use std::io::{BufWriter, ErrorKind};

use clap::{Args, ValueEnum};
use countersign_model::SessionId;
use countersign_recording::{CsvExport, JsonLinesExport, RecordEntry, RecordingError, Records};

use crate::failed::Failed;
use crate::output;

use super::screen::LastScreen;
use super::terminal::Asciicast;
use super::{Damaged, Recordings, Which, parse_session, recording_failed};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON lines: one record a line, everything that was recorded.
    Jsonl,
    /// CSV: one row for each statement, with how it ended.
    Csv,
    /// An asciicast, version 3, of one program or shell over SSH.
    Asciicast,
    /// The screen of one program or shell over SSH as it was last: text, without colours.
    Screen,
}

/// `countersign sessions export`.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    which: Which,
    /// Only of this session.
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    session: Option<SessionId>,
    /// In which form.
    #[arg(long, value_enum, default_value_t = Form::Jsonl)]
    format: Form,
    /// Which action of the session, by its number; without it the first that has output. Only for an asciicast or a screen.
    #[arg(long, value_name = "NUMBER", requires = "session")]
    action: Option<u64>,
    /// Leave out recorded result rows.
    #[arg(long)]
    no_rows: bool,
}

/// Runs it.
pub(super) fn run(args: &Export) -> Result<(), Failed> {
    let of_a_terminal = matches!(args.format, Form::Asciicast | Form::Screen);
    if of_a_terminal && args.session.is_none() {
        return Err(Failed::invalid("an asciicast, or a screen, is of one session: name it with --session"));
    }
    if !of_a_terminal && args.action.is_some() {
        return Err(Failed::invalid("--action is for --format asciicast and --format screen"));
    }
    let filter = args.which.records(args.session);
    let records = args.recordings.reader()?.records(&filter).map_err(recording_failed)?;
    let mut damaged = Damaged::default();
    match write(args, records, &mut damaged) {
        // Nobody reads any more: that is how `head` ends.
        Err(RecordingError::Export(e)) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(e) => Err(recording_failed(e)),
        Ok(()) => damaged.end(),
    }
}

fn write(args: &Export, records: Records, damaged: &mut Damaged) -> Result<(), RecordingError> {
    let out = BufWriter::new(std::io::stdout().lock());
    let mut records = records.filter_map(|r| match r {
        Ok(r) => {
            let left_out = args.no_rows && matches!(r.entry, RecordEntry::Output { .. });
            (args.which.wants(&r) && !left_out).then_some(r)
        }
        Err(e) => {
            damaged.say(&e);
            None
        }
    });
    match args.format {
        Form::Jsonl => {
            let mut export = JsonLinesExport::new(out);
            records.try_for_each(|r| export.write(&r))?;
            export.finish()?;
        }
        Form::Csv => {
            let mut export = CsvExport::new(out);
            records.try_for_each(|r| export.write(r))?;
            export.finish()?;
        }
        Form::Asciicast => {
            let mut export = Asciicast::new(out, args.action);
            records.try_for_each(|r| export.write(&r))?;
            let (any, others) = export.finish()?;
            told(any, &others);
        }
        Form::Screen => {
            let mut export = LastScreen::new(out, args.action);
            records.for_each(|r| export.take(&r));
            let (any, others) = export.finish()?;
            told(any, &others);
        }
    }
    Ok(())
}

/// Says what a terminal's export left out.
fn told(any: bool, others: &BTreeSet<u64>) {
    if !any {
        output::note("nothing of it was recorded that a terminal showed");
    } else if !others.is_empty() {
        let others: Vec<String> = others.iter().map(|n| format!("--action {n}")).collect();
        output::note(&format!("other actions of the session have output, too: {}", others.join(", ")));
    }
}
