//! `countersign sessions list --live`: what a running gateway has now.

use countersign_api::{SessionPage, SessionView};

use super::super::paper::Paper;
use super::super::table::{Column, Table};
use super::is_json;
use super::list::List;
use crate::client::watch::{Changes, clear};
use crate::failed::Failed;

/// The most that the gateway gives at once.
const PAGE_MAX: usize = 1_000;

/// Runs it; with `--watch` again and again.
pub(super) async fn run(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    if args.which.is_about_records() {
        return Err(Failed::new("--since, --until and --denied are about records: leave out --live"));
    }
    if !args.watch {
        return once(args, paper).await;
    }
    let mut changes = Changes::open(&args.at).await?;
    while !paper.gone() {
        clear()?;
        once(args, paper).await?;
        paper.done()?;
        changes.wait("session").await?;
    }
    Ok(())
}

async fn once(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    let api = args.at.open().await?;
    let limit = usize::from(args.limit);
    let mut found: Vec<SessionView> = Vec::new();
    let mut next = None;
    while found.len() < limit {
        let mut query = vec![("limit", (limit - found.len()).min(PAGE_MAX).to_string())];
        query.extend(args.which.identity.clone().map(|i| ("identity", i)));
        query.extend(args.which.target.as_ref().map(|t| ("target", t.to_string())));
        query.extend(next.take().map(|n| ("after", n)));
        let page: SessionPage = api.get("/v1/sessions", &query).await?;
        found.extend(page.sessions);
        next = page.next;
        if next.is_none() {
            break;
        }
    }
    if is_json(args.output) {
        return paper.json(&SessionPage { sessions: found, next });
    }
    if found.is_empty() {
        return paper.line("no session is live");
    }
    paper.table(&table(&found))?;
    if next.is_some() { paper.line("\nthere are more: raise --limit") } else { Ok(()) }
}

fn table(sessions: &[SessionView]) -> Table {
    let mut table = Table::new(vec![
        Column::whole("SESSION"),
        Column::whole("SINCE"),
        Column::text("WHO"),
        Column::text("TARGET"),
        Column::text("FROM"),
    ]);
    for s in sessions {
        let since = s.since.get(5..16).map(|t| t.replace('T', " ")).unwrap_or_default();
        table.row([&s.id, &since, &s.identity.name, &s.target, &s.source]);
    }
    table
}
