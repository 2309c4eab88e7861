//! `countersign sessions`: what is recorded, for people and for programs. Reading locks nothing and changes nothing, so a gateway
//! may write meanwhile.
//!
//! Damage never goes unsaid: it is named on standard error, and the exit code is 1.

mod end;
mod export;
mod list;
mod live;
mod postgres;
mod replay;
mod screen;
mod show;
mod tail;
mod terminal;
mod verify;
mod watch;
mod words;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use countersign_model::{Decision, SessionId, TargetName, Timestamp};
use countersign_recording::{Reader, Record, RecordEntry, RecordFilter, RecordingError, SessionFilter};

use crate::cli::{ConfigFile, Format};
use crate::failed::Failed;
use crate::output;

use super::config_alone;
use super::paper::Paper;
use super::text::{count, inert, parse_time};

pub(crate) use words::{effects, whole_parameters};

/// `countersign sessions`.
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    /// Lists sessions, newest first; with --live those that a running gateway has now.
    #[command(after_help = "Examples: countersign sessions list --denied --since 2h\n          \
                            countersign sessions list --identity ana --output json\n          \
                            countersign sessions list --live --target shop")]
    List(list::List),
    /// Shows what happened in a session: every statement, its verdict, its rules, and how it ended.
    #[command(after_help = "Examples: countersign sessions show latest\n          \
                            countersign sessions show 01JGV2… --full")]
    Show(show::Show),
    /// Shows what a live session's terminal shows, while it runs. Who watches counts as watching where policy wants that.
    #[command(after_help = "Examples: countersign sessions watch 01JGV2…\n          \
                            countersign sessions watch 01JGV2… --lines | grep -i password")]
    Watch(watch::Watch),
    /// Ends a live session at once; what runs for it is cancelled at the target.
    #[command(after_help = "Example: countersign sessions end 01JGV2… --reason 'runaway report'")]
    End(end::End),
    /// Shows what was recorded last, and goes on with --follow.
    #[command(after_help = "Example: countersign sessions tail --follow --denied")]
    Tail(tail::Tail),
    /// Plays a session as it happened, with its result rows when they were recorded.
    #[command(after_help = "Example: countersign sessions replay latest --speed 4")]
    Replay(replay::Replay),
    /// Writes records for other programs: JSON lines (every record), CSV (one row for each statement) an asciicast or the last screen (one terminal).
    #[command(after_help = "Examples: countersign sessions export --since 7d > week.jsonl\n          \
                            countersign sessions export --format csv --target orders > orders.csv\n          \
                            countersign sessions export --format asciicast --session 01JGV2… > shell.cast")]
    Export(export::Export),
    /// Reads every byte of every segment and says what is damaged.
    #[command(after_help = "Example: countersign sessions verify --dir /var/lib/countersign/recordings")]
    Verify(verify::Verify),
}

/// Where the recordings are.
#[derive(Clone, Debug, Args)]
pub(crate) struct Recordings {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// The folder with the recordings, instead of the configuration's.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

impl Recordings {
    /// A reader of them.
    pub(crate) fn reader(&self) -> Result<Reader, Failed> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => config_alone(&self.config.config)?.recording.dir,
        };
        // Not being there and not being allowed to look must not be taken for "nothing happened".
        match std::fs::read_dir(&dir) {
            Ok(_) => Ok(Reader::new(dir)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                Err(Failed::not_found(format!("there are no recordings in {}", dir.display())))
            }
            Err(e) => Err(Failed::new(format!("the recordings in {} cannot be read: {e}", dir.display()))),
        }
    }
}

/// Which sessions or records.
#[derive(Clone, Debug, Args)]
pub(crate) struct Which {
    /// Only of the identity with this name or subject.
    #[arg(long, value_name = "NAME")]
    identity: Option<String>,
    /// Only of this target.
    #[arg(long, value_name = "TARGET", value_parser = parse_target)]
    target: Option<TargetName>,
    /// Only from this time on: 2026-01-05, 2026-01-05T12:00:00Z, or how long ago (30m, 2h, 7d).
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    since: Option<Timestamp>,
    /// Only before this time.
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Only where something was denied.
    #[arg(long)]
    denied: bool,
}

impl Which {
    /// True when it is about more than a live session has.
    fn is_about_records(&self) -> bool {
        self.since.is_some() || self.until.is_some() || self.denied
    }

    fn sessions(&self, before: Option<SessionId>, limit: usize) -> SessionFilter {
        SessionFilter {
            without: None,
            identity: self.identity.clone(),
            target: self.target.clone(),
            since: self.since,
            until: self.until,
            denied_only: self.denied,
            before,
            limit,
        }
    }

    pub(crate) fn records(&self, session: Option<SessionId>) -> RecordFilter {
        RecordFilter {
            session,
            identity: self.identity.clone(),
            target: self.target.clone(),
            since: self.since,
            until: self.until,
        }
    }

    /// True for a record that is wanted, beyond what the reader filters.
    pub(crate) fn wants(&self, record: &Record) -> bool {
        !self.denied
            || match &record.entry {
                RecordEntry::Intent(i) => i.definition.verdict.decision == Decision::Deny,
                RecordEntry::Refused(_) => true,
                RecordEntry::Event(e) => matches!(e, countersign_recording::Event::Rejected { .. }),
                RecordEntry::Closed(c) => c.denial.is_some(),
                _ => false,
            }
    }
}

/// A session, by its id or as the latest one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chosen {
    Latest,
    One(SessionId),
}

impl Chosen {
    fn parse(text: &str) -> Result<Self, String> {
        if text == "latest" { Ok(Self::Latest) } else { parse_session(text).map(Self::One) }
    }

    fn find(self, reader: &Reader) -> Result<SessionId, Failed> {
        match self {
            Self::One(id) => Ok(id),
            Self::Latest => {
                let page = reader.sessions(&SessionFilter { limit: 1, ..SessionFilter::default() });
                let latest = page.map_err(recording_failed)?.sessions.first().map(|s| s.id);
                latest.ok_or_else(|| Failed::not_found("no session is recorded yet"))
            }
        }
    }
}

/// Reads a session's id.
pub(crate) fn parse_session(text: &str) -> Result<SessionId, String> {
    SessionId::parse(text)
        .ok_or_else(|| "it is not a session id (26 characters): `countersign sessions list` shows them".to_owned())
}

fn parse_target(text: &str) -> Result<TargetName, String> {
    TargetName::parse(text).ok_or_else(|| "it is not a target name".to_owned())
}

/// A failure of the reader, with its exit code.
pub(crate) fn recording_failed(e: RecordingError) -> Failed {
    match e {
        RecordingError::NoSession { .. } => Failed::not_found(e),
        other => Failed::new(other),
    }
}

/// Counts what could not be read, and says so.
#[derive(Default)]
pub(crate) struct Damaged(u64);

impl Damaged {
    pub(crate) fn say(&mut self, what: &impl std::fmt::Display) {
        self.0 += 1;
        output::note(&format!("countersign: {}", inert(&what.to_string())));
    }

    pub(crate) fn end(self) -> Result<(), Failed> {
        if self.0 == 0 {
            return Ok(());
        }
        Err(Failed::new(format!("{} could not be read: what is shown is not all", count(self.0, "part"))))
    }
}

/// True when a program wants JSON.
fn is_json(format: Format) -> bool {
    format == Format::Json
}

/// Runs it.
pub(crate) async fn run(command: Sessions) -> Result<(), Failed> {
    let mut paper = Paper::new();
    let result = match command {
        Sessions::List(args) => list::run(&args, &mut paper).await,
        Sessions::Watch(args) => watch::run(&args, &mut paper).await,
        Sessions::End(args) => end::run(&args, &mut paper).await,
        Sessions::Show(args) => show::run(&args, &mut paper),
        Sessions::Tail(args) => tail::run(&args, &mut paper).await,
        Sessions::Replay(args) => replay::run(&args, &mut paper).await,
        Sessions::Export(args) => export::run(&args),
        Sessions::Verify(args) => verify::run(&args, &mut paper),
    };
    paper.done()?;
    result
}
