//! `countersign sessions export`: records for other programs. The forms are those of the recording; here they are filtered.

use std::io::{BufWriter, ErrorKind};

use clap::{Args, ValueEnum};
use countersign_model::SessionId;
use countersign_recording::{CsvExport, JsonLinesExport, RecordEntry, RecordingError, Records};

use crate::failed::Failed;

use super::{Damaged, Recordings, Which, parse_session, recording_failed};

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// JSON lines: one record a line, everything that was recorded.
    Jsonl,
    /// CSV: one row for each statement, with how it ended.
    Csv,
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
    /// Leave out recorded result rows.
    #[arg(long)]
    no_rows: bool,
}

/// Runs it.
pub(super) fn run(args: &Export) -> Result<(), Failed> {
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
    }
    Ok(())
}
