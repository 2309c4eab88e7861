//! `countersign locks list`, `show` and `remove`.

use clap::Args;
use countersign_api::LockView;
use countersign_locks::LockKind;

use super::super::paper::Paper;
use super::super::table::{Column, Table};
use super::desk::Where;
use crate::cli::Format;
use crate::client::sheet::Sheet;
use crate::client::watch::{Changes, clear};
use crate::failed::Failed;

/// `countersign locks list`.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    place: Where,
    /// Those that ended, too.
    #[arg(long)]
    all: bool,
    /// The most locks, 1 to 1000.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Only locks older than this one: where the page before ended.
    #[arg(long, value_name = "LOCK", value_parser = parse_id)]
    before: Option<String>,
    /// Goes on: the list again, each time that a lock is made or ends.
    #[arg(long, conflicts_with = "config")]
    watch: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// `countersign locks show`.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    place: Where,
    /// The lock.
    #[arg(value_name = "LOCK", value_parser = parse_id)]
    id: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// `countersign locks remove`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    place: Where,
    /// The lock.
    #[arg(value_name = "LOCK", value_parser = parse_id)]
    id: String,
    /// Why it may end.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// A lock's id; nothing else may get into a path.
fn parse_id(text: &str) -> Result<String, String> {
    let fine = text.len() == 26 && text.bytes().all(|b| b.is_ascii_alphanumeric());
    fine.then(|| text.to_ascii_uppercase())
        .ok_or_else(|| "it is not a lock's id (26 characters): `countersign locks list` shows them".to_owned())
}

/// Lists; with `--watch` again and again.
pub(super) async fn list(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    if !args.watch {
        return list_once(args, paper).await;
    }
    let mut changes = Changes::open(args.place.gateway()).await?;
    while !paper.gone() {
        clear()?;
        list_once(args, paper).await?;
        paper.done()?;
        changes.wait("lock").await?;
    }
    Ok(())
}

async fn list_once(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    let page = args.place.open().await?.list(args.all, args.before.as_deref(), usize::from(args.limit)).await?;
    let none = if args.all { "no locks" } else { "no locks in force" };
    paper.page(args.output, &page, (&page.locks, none), table, page.next.as_deref())
}

fn table(locks: &[LockView]) -> Table {
    let mut table = Table::new(vec![
        Column::whole("LOCK"),
        Column::whole("MADE"),
        Column::text("STATE"),
        Column::text("WHAT"),
        Column::text("WHY"),
    ]);
    for l in locks {
        table.row([l.id.clone(), minute(&l.created_at), state(l), l.matcher.to_string(), l.reason.clone()]);
    }
    table
}

/// `2026-01-05T12:00:00.000000Z` as `01-05 12:00`.
fn minute(at: &str) -> String {
    at.get(5..16).map(|t| t.replace('T', " ")).unwrap_or_else(|| at.to_owned())
}

fn state(lock: &LockView) -> String {
    match (&lock.ended, lock.live, lock.kind) {
        (Some(_), ..) => "ended".to_owned(),
        (None, false, _) => "over".to_owned(),
        (None, true, LockKind::Reauthenticate) => "until a fresh login".to_owned(),
        (None, true, LockKind::Lock) => {
            lock.expires_at.as_ref().map_or_else(|| "in force".to_owned(), |at| format!("until {}", minute(at)))
        }
    }
}

/// Everything about a lock.
pub(super) fn sheet(lock: &LockView) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.add("lock", &lock.id);
    sheet.add("state", &state(lock));
    sheet.add("matches", &lock.matcher.to_string());
    sheet.add("reason", &lock.reason);
    sheet.add("made by", &lock.created_by);
    sheet.add("made at", &lock.created_at);
    sheet.add("until", lock.expires_at.as_deref().unwrap_or_default());
    if let Some(end) = &lock.ended {
        sheet.add("ended by", &end.by);
        sheet.add("ended at", &end.at);
        sheet.add("ended because", &end.why);
    }
    sheet
}

async fn print(lock: &LockView, format: Format, paper: &mut Paper) -> Result<(), Failed> {
    match format {
        Format::Json => paper.json(lock),
        Format::Text => sheet(lock).print(paper),
    }
}

/// Shows.
pub(super) async fn show(args: &Show, paper: &mut Paper) -> Result<(), Failed> {
    let lock = args.place.open().await?.show(&args.id).await?;
    print(&lock, args.output, paper).await
}

/// Removes.
pub(super) async fn remove(args: &Remove, paper: &mut Paper) -> Result<(), Failed> {
    let lock = args.place.open().await?.remove(&args.id, &args.reason).await?;
    print(&lock, args.output, paper).await
}
