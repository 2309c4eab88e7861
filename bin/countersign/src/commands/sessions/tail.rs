//! `countersign sessions tail`: what was recorded last, and what is being recorded, over all sessions.

use std::collections::VecDeque;
use std::time::Duration;

use clap::Args;
use countersign_recording::{Record, RecordEntry, TailFrom};

use crate::cli::Format;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::text::{cut, inert, one_line, time_of_day};
use super::{Damaged, Recordings, Which, is_json, recording_failed, words};

/// How often it is looked for more.
const POLL_INTERVAL: Duration = Duration::from_millis(200);
/// Records of one look.
const POLL_RECORDS_MAX: usize = 4096;
/// Looks in a row that may fail.
const FAILURES_MAX: u32 = 20;

/// `countersign sessions tail`.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    which: Which,
    /// Go on with what is recorded from now on.
    #[arg(long, short)]
    follow: bool,
    /// How many of the latest records to show first, at most 100000.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    lines: u32,
    /// How to print; JSON comes as one record a line.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: &Tail, paper: &mut Paper) -> Result<(), Failed> {
    let reader = args.recordings.reader()?;
    let from = if args.lines == 0 { TailFrom::Now } else { TailFrom::Start };
    let mut tail = reader.tail(&args.which.records(None), from).map_err(recording_failed)?;
    let mut damaged = Damaged::default();
    let mut latest = VecDeque::new();
    let keep = args.lines as usize;
    // Segments lie side by side, so what one look gives is in order, and looks are not among each other.
    loop {
        match tail.poll(POLL_RECORDS_MAX) {
            Ok(records) if records.is_empty() => break,
            Ok(records) => {
                latest.extend(records.into_iter().filter(|r| is_shown(r) && args.which.wants(r)));
                if latest.len() > keep.saturating_add(POLL_RECORDS_MAX) {
                    keep_latest(&mut latest, keep);
                }
            }
            Err(e) => damaged.say(&e),
        }
        if damaged.0 > u64::from(FAILURES_MAX) {
            break;
        }
    }
    keep_latest(&mut latest, keep);
    for record in &latest {
        print(record, args.output, paper)?;
    }
    paper.done()?;
    if !args.follow {
        return damaged.end();
    }
    let mut failures = 0;
    while !paper.gone() {
        match tail.poll(POLL_RECORDS_MAX) {
            Ok(records) => {
                failures = 0;
                for record in records.iter().filter(|r| is_shown(r) && args.which.wants(r)) {
                    print(record, args.output, paper)?;
                }
                paper.done()?;
                if records.is_empty() {
                    tokio::time::sleep(POLL_INTERVAL).await;
                }
            }
            Err(e) => {
                damaged.say(&e);
                failures += 1;
                if failures == FAILURES_MAX {
                    return damaged.end();
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
    }
    Ok(())
}

fn keep_latest(records: &mut VecDeque<Record>, keep: usize) {
    records.make_contiguous().sort_by_key(|r| r.at);
    while records.len() > keep {
        records.pop_front();
    }
}

/// Result rows are for `replay`; that a session goes on in another file is of no interest.
fn is_shown(record: &Record) -> bool {
    !matches!(record.entry, RecordEntry::Output { .. } | RecordEntry::Continued)
}

fn print(record: &Record, format: Format, paper: &mut Paper) -> Result<(), Failed> {
    if is_json(format) {
        return paper.json_line(record);
    }
    let who = match &record.header {
        Some(h) => format!("{}@{}", inert(&h.identity.name), h.target),
        None => "-".to_owned(),
    };
    let what = match &record.entry {
        RecordEntry::Opened => match &record.header {
            Some(h) => format!("opened {} from {}", h.id, h.source.ip()),
            None => "opened".to_owned(),
        },
        RecordEntry::Intent(i) => format!(
            "#{} {} {} ({}) {}",
            i.seq,
            words::decision(&i.definition.verdict),
            inert(&i.definition.kind),
            words::because(i),
            one_line(&i.text)
        ),
        RecordEntry::Outcome(o) => format!("#{} {}", o.seq, words::outcome(o)),
        RecordEntry::Event(e) => words::event(e),
        RecordEntry::Closed(c) => format!("closed: {}", words::closed(c)),
        RecordEntry::Abandoned => "its recording was dropped without an end".to_owned(),
        RecordEntry::Refused(r) => {
            inert(&format!("REFUSED \"{}\" to \"{}\" from {}: {}", r.user, r.target, r.source.ip(), r.denial))
        }
        RecordEntry::Removed(r) => {
            format!("segment {}/{} was removed for its {}", inert(&r.journal), r.number, inert(&r.reason))
        }
        _ => return Ok(()),
    };
    paper.line(&cut(&format!("{} {who} {what}", time_of_day(record.at)), paper.width()))
}
