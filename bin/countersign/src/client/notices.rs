//! `countersign notices`: what is told outside, and what became of it.

use clap::{Args, Subcommand, ValueEnum};
use countersign_api::{NoticePage, NoticeTestView, NoticeView, ReceiverView};
use countersign_model::Timestamp;
use reqwest::Method;
use serde_json::json;

use super::reviews::{id, open};
use super::session::At;
use super::sheet::Sheet;
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::table::{Column, Table};
use crate::commands::text::{parse_time, short_moment};
use crate::failed::Failed;

/// `countersign notices`.
#[derive(Debug, Subcommand)]
pub(crate) enum Notices {
    /// Lists the receivers and the notices, latest first.
    #[command(after_help = "Example: countersign notices list --status dead\n\
                      Example: countersign notices list --receiver ops --output json")]
    List(List),
    /// Sends a test to a receiver and waits for what comes of it.
    #[command(after_help = "Example: countersign notices test ops\n\nExits 1 when it did not arrive.")]
    Test(Test),
    /// Sends a notice that waits, or was given up, now.
    #[command(after_help = "Example: countersign notices retry 01J9ZQ4T7Y0000000000000000")]
    Retry(Retry),
}

/// How far a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Status {
    /// It is to be sent, or to be tried again.
    Waiting,
    /// It was sent.
    Sent,
    /// It was tried often and given up.
    Dead,
    /// Another tells of it.
    Merged,
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// Only those for this receiver.
    #[arg(long, value_name = "NAME")]
    receiver: Option<String>,
    /// Only those that are this far.
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Those older than this one: where the list before ended.
    #[arg(long, value_name = "NOTICE")]
    before: Option<String>,
    /// The most of them.
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: usize,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// A test.
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    at: At,
    /// The receiver.
    #[arg(value_name = "RECEIVER")]
    receiver: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// One again.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    at: At,
    /// The notice.
    #[arg(value_name = "NOTICE")]
    notice: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs one of them.
pub(super) async fn run(command: &Notices) -> Result<(), Failed> {
    match command {
        Notices::List(args) => list(args).await,
        Notices::Test(args) => test(args).await,
        Notices::Retry(args) => retry(args).await,
    }
}

async fn list(args: &List) -> Result<(), Failed> {
    let word = |s: Status| s.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default();
    let mut query = vec![("limit", args.limit.to_string())];
    query.extend(args.receiver.clone().map(|r| ("receiver", r)));
    query.extend(args.status.map(|s| ("status", word(s))));
    query.extend(args.before.clone().map(|b| ("before", b)));
    let page: NoticePage = open(&args.at).await?.operation(Method::GET, "/v1/notices", &query, None, None).await?;
    let mut paper = Paper::new();
    if args.output == Format::Text {
        if page.receivers.is_empty() {
            paper.line("no receiver is configured: add [[receiver]] to the configuration")?;
        } else {
            paper.table(&receivers(&page.receivers, clock::now()))?;
        }
        paper.line("")?;
    }
    let table = |notices: &[NoticeView]| table(notices, clock::now());
    paper.page(args.output, &page, (&page.notices, "there are no such notices"), table, page.next.as_deref())?;
    paper.done()
}

fn short(at: Option<&String>, now: Timestamp) -> String {
    at.and_then(|at| parse_time(at).ok()).map(|at| short_moment(at, now)).unwrap_or_default()
}

fn receivers(all: &[ReceiverView], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::text("RECEIVER"),
        Column::text("KIND"),
        Column::whole("WAITING"),
        Column::whole("DEAD"),
        Column::whole("SENT"),
        Column::text("TROUBLE"),
    ]);
    for r in all {
        let trouble = r.error.clone().filter(|_| r.failing_since.is_some()).unwrap_or_default();
        let (waiting, dead) = (r.waiting.to_string(), r.dead.to_string());
        table.row([&r.name, &r.kind, &waiting, &dead, &short(r.sent_at.as_ref(), now), &trouble]);
    }
    table
}

fn table(notices: &[NoticeView], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::whole("NOTICE"),
        Column::whole("STATUS"),
        Column::text("RECEIVER"),
        Column::text("KIND"),
        Column::whole("WHEN"),
        Column::text("WHY"),
    ]);
    for n in notices {
        let when = short(n.done_at.as_ref().or(Some(&n.created_at)), now);
        let why = n.error.clone().unwrap_or_default();
        table.row([&n.id, &n.status, &n.receiver, &n.kind, &when, &why]);
    }
    table
}

async fn test(args: &Test) -> Result<(), Failed> {
    let body = json!({ "receiver": args.receiver });
    let gateway = open(&args.at).await?;
    let tested: NoticeTestView = gateway.operation(Method::POST, "/v1/notices/test", &[], Some(&body), None).await?;
    let mut paper = Paper::new();
    match args.output {
        Format::Json => paper.json(&tested)?,
        Format::Text if tested.status == "sent" => {
            paper.line(&format!("{} has it: notice {}", args.receiver, tested.id))?
        }
        Format::Text => {}
    }
    paper.done()?;
    if tested.status == "sent" {
        return Ok(());
    }
    let why =
        tested.error.unwrap_or_else(|| "nobody has tried yet: ask again with `countersign notices list`".to_owned());
    Err(Failed::new(format!("the test did not arrive at {}: {why}", args.receiver)))
}

async fn retry(args: &Retry) -> Result<(), Failed> {
    let path = format!("/v1/notices/{}/retry", id(&args.notice)?);
    let notice: NoticeView = open(&args.at).await?.operation(Method::POST, &path, &[], None, None).await?;
    let mut paper = Paper::new();
    match args.output {
        Format::Json => paper.json(&notice)?,
        Format::Text => {
            let mut sheet = Sheet::default();
            sheet.add("notice", &notice.id);
            sheet.add("receiver", &notice.receiver);
            sheet.add("kind", &notice.kind);
            sheet.add("status", &notice.status);
            sheet.print(&mut paper)?;
        }
    }
    paper.done()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_notice_is_whole_in_80_columns() {
        let notice: NoticeView = serde_json::from_value(json!({
            "id": "01J9ZQ4T7Y0000000000000000", "receiver": "operations-on-call-berlin", "kind": "review.asked", "status": "waiting",
            "created_at": "2026-01-05T12:00:00Z", "more": 0, "tries": 3, "error": "it answered 503, and has done so since this morning",
        }))
        .unwrap();
        let now = parse_time("2026-01-05T13:00:00Z").unwrap();
        let lines = table(&[notice], now).lines(80);
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:?}");
        let said = lines.last().unwrap();
        assert!(said.contains(" waiting ") && said.contains(" 01-05 12:00 "), "{said}");
    }
}
