//! `countersign locks add`: shows what it would cut, asks where that is more than was named, then locks.

use clap::Args;
use countersign_api::{DryRun, LockView, NewLockBody, SiblingView};
use countersign_locks::{LockKind, Matcher};

use super::super::paper::Paper;
use super::super::prompt::confirm;
use super::super::table::{Column, Table};
use super::super::text::{count, parse_seconds};
use super::desk::{LockDesk, Where};
use super::show::sheet;
use super::which::Which;
use crate::cli::Format;
use crate::client::desk::random_text;
use crate::failed::Failed;
use crate::output;

/// `countersign locks add`.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    which: Which,
    /// Why: whoever decides whether it may end reads this.
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    reason: Option<String>,
    /// Ends by itself after this time: 30m, 2h, 7d.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_seconds)]
    lasts_s: Option<u64>,
    /// Only until a fresh login: whoever proves anew who they are is let in again.
    #[arg(long)]
    reauthenticate: bool,
    /// Only shows what it would cut off.
    #[arg(long)]
    dry_run: bool,
    /// Locks the identities, too, whose credentials come from the same repository, runner, or host.
    #[arg(long)]
    siblings: bool,
    /// Does not ask.
    #[arg(long, short)]
    yes: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: Add, paper: &mut Paper) -> Result<(), Failed> {
    let matcher = args.which.matcher();
    matcher.check().map_err(|e| Failed::new(format!("{e}: name at least one, see `countersign locks add --help`")))?;
    let desk = args.place.open().await?;
    if args.dry_run {
        let found = desk.dry_run(&matcher, args.siblings).await?;
        return match args.output {
            Format::Json => paper.json(&found),
            Format::Text => print(&found, paper),
        };
    }
    let kind = if args.reauthenticate { LockKind::Reauthenticate } else { LockKind::Lock };
    let reason = args.reason.unwrap_or_default();
    let siblings = if args.siblings { agreed(&desk, &matcher, args.yes, paper).await? } else { Vec::new() };
    let mut made = Vec::new();
    let body = |matcher: Matcher, reason: String| NewLockBody { matcher, kind, reason, expires_in_s: args.lasts_s };
    made.push(add(&desk, &body(matcher.clone(), reason.clone())).await?);
    for sibling in siblings {
        let matcher_of = Matcher {
            issuer: Some(sibling.identity.issuer),
            subject: Some(sibling.identity.subject),
            ..Matcher::default()
        };
        let why = format!("{reason} (sibling of {matcher}: shares {})", sibling.shares.join(", "));
        match add(&desk, &body(matcher_of, why)).await {
            Ok(lock) => made.push(lock),
            Err(e) => {
                print_made(args.output, &made, paper)?;
                return Err(Failed::new(format!("not everybody is locked: {}: {e}", sibling.identity.name)));
            }
        }
    }
    print_made(args.output, &made, paper)
}

/// The request goes out under a key, so that an answer that got lost does not leave two locks.
async fn add(desk: &LockDesk, body: &NewLockBody) -> Result<LockView, Failed> {
    desk.add(body, &random_text()?).await
}

/// The siblings that somebody agreed to lock.
async fn agreed(desk: &LockDesk, matcher: &Matcher, yes: bool, paper: &mut Paper) -> Result<Vec<SiblingView>, Failed> {
    let found = desk.dry_run(matcher, true).await?.siblings;
    if found.is_empty() {
        output::note("no siblings: nobody's credentials are known to come from the same place");
        return Ok(found);
    }
    if yes {
        return Ok(found);
    }
    siblings(&found).lines(paper.width()).iter().for_each(|l| output::note(l));
    match confirm(&format!("Lock these {} as well?", found.len()))? {
        Some(true) => Ok(found),
        Some(false) => Err(Failed::new("given up: nobody was locked")),
        None => Err(Failed::new("there is nobody to ask: say --yes to lock the siblings, too; nobody was locked")),
    }
}

fn print_made(format: Format, made: &[LockView], paper: &mut Paper) -> Result<(), Failed> {
    if format == Format::Json {
        return paper.json(&serde_json::json!({ "locks": made }));
    }
    for (n, lock) in made.iter().enumerate() {
        if n > 0 {
            paper.line("")?;
        }
        sheet(lock).print(paper)?;
    }
    Ok(())
}

fn print(found: &DryRun, paper: &mut Paper) -> Result<(), Failed> {
    paper.line(&format!("would end {}", count(found.sessions.len() as u64, "live session")))?;
    if !found.sessions.is_empty() {
        let mut table = Table::new(vec![
            Column::whole("SESSION"),
            Column::text("WHO"),
            Column::text("TARGET"),
            Column::text("FROM"),
        ]);
        for s in &found.sessions {
            table.row([&s.id, &s.identity.name, &s.target, &s.source]);
        }
        paper.table(&table)?;
    }
    paper.line(&format!("\nwould make {} useless", count(found.logins.len() as u64, "login")))?;
    if !found.logins.is_empty() {
        let mut table = Table::new(vec![Column::whole("LOGIN"), Column::text("WHO"), Column::text("ISSUER")]);
        for l in &found.logins {
            table.row([&l.id, &l.identity.name, &l.identity.issuer]);
        }
        paper.table(&table)?;
    }
    if !found.siblings.is_empty() {
        paper.line(&format!("\n{}, whom it would not match", count(found.siblings.len() as u64, "sibling")))?;
        paper.table(&siblings(&found.siblings))?;
    }
    if found.matches_you {
        paper.line("\nit would keep out you, too")?;
    }
    Ok(())
}

fn siblings(all: &[SiblingView]) -> Table {
    let mut table = Table::new(vec![Column::text("SIBLING"), Column::text("SUBJECT"), Column::text("SHARES")]);
    for s in all {
        table.row([&s.identity.name, &s.identity.subject, &s.shares.join(", ")]);
    }
    table
}
