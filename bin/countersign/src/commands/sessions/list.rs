//! `countersign sessions list`.

use clap::Args;
use countersign_model::SessionId;
use countersign_recording::{SessionState, SessionSummary};

use crate::cli::Format;
use crate::client::desk::AtGateway;
use crate::clock;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::table::{Column, Table};
use super::super::text::{lasted, short_moment};
use super::live;
use super::{Damaged, Recordings, Which, is_json, parse_session, recording_failed};

/// `countersign sessions list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    recordings: Recordings,
    #[command(flatten)]
    pub(super) which: Which,
    /// Only those that a running gateway has now; it is asked by its API.
    #[arg(long, conflicts_with_all = ["config", "dir", "before"])]
    pub(super) live: bool,
    #[command(flatten)]
    pub(super) at: AtGateway,
    /// Goes on: the live sessions again, each time that one begins or ends.
    #[arg(long, requires = "live")]
    pub(super) watch: bool,
    /// The most sessions, 1 to 10000.
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(super) limit: u16,
    /// Only sessions older than this one: where the page before ended.
    #[arg(long, value_name = "SESSION", value_parser = parse_session)]
    before: Option<SessionId>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    pub(super) output: Format,
}

/// Runs it.
pub(super) async fn run(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    if args.live {
        return live::run(args, paper).await;
    }
    let filter = args.which.sessions(args.before, usize::from(args.limit));
    let page = args.recordings.reader()?.sessions(&filter).map_err(recording_failed)?;
    let mut damaged = Damaged::default();
    page.problems.iter().for_each(|p| damaged.say(&p.what));
    if is_json(args.output) {
        paper.json(&serde_json::json!({ "sessions": page.sessions, "next": page.next, "problems": page.problems }))?;
    } else if page.sessions.is_empty() {
        paper.line("no session fits")?;
    } else {
        paper.table(&table(&page.sessions))?;
        if let Some(next) = page.next {
            paper.line(&format!("\nmore: --before {next}"))?;
        }
    }
    paper.done()?;
    damaged.end()
}

fn table(sessions: &[SessionSummary]) -> Table {
    let now = clock::now();
    let mut table = Table::new(vec![
        Column::whole("SESSION"),
        Column::whole("STARTED"),
        Column::text("WHO"),
        Column::text("TARGET"),
        Column::number("RUN"),
        Column::number("DENIED"),
        Column::text("LASTED"),
    ]);
    for s in sessions {
        let lasted = match s.state {
            SessionState::Live => "live".to_owned(),
            SessionState::Closed => lasted(s.last_at.since_us(s.started_at)),
            SessionState::Unfinished => "cut off".to_owned(),
        };
        let denied = if s.denied == 0 { "-".to_owned() } else { s.denied.to_string() };
        table.row([
            s.id.to_string(),
            short_moment(s.started_at, now),
            s.identity.clone(),
            s.target.to_string(),
            s.statements.to_string(),
            denied,
            lasted,
        ]);
    }
    table
}
