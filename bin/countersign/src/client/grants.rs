//! `countersign request` and `countersign grants`: access for a while, asked for, watched and ended.

use std::time::Duration;

use clap::{Args, Subcommand};
use countersign_model::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::gateway::Gateway;
use super::reviews::{add_asker, id, open, print_list, seconds, text_of, texts};
use super::session::At;
use super::sheet::Sheet;
use super::watch::{Changes, clear};
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::table::{Column, Table};
use crate::commands::text::{lasted, moment, one_line, parse_seconds, parse_time, short_moment};
use crate::failed::Failed;
use crate::output;

/// How often it is looked whether people have answered.
const LOOK: Duration = Duration::from_secs(1);

/// `countersign request`.
#[derive(Debug, Args)]
pub(crate) struct Request {
    #[command(flatten)]
    at: At,
    /// The target.
    #[arg(value_name = "TARGET")]
    target: String,
    /// What: connect, read, write, execute, admin; several with commas.
    #[arg(long, value_name = "ACTIONS", value_delimiter = ',', required = true,
          value_parser = ["connect", "read", "write", "execute", "admin"])]
    actions: Vec<String>,
    /// Why: whoever decides reads this.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How long, from its start: 30m, 2h, 7d. Without it, as long as the rule lets it.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_seconds)]
    for_s: Option<u64>,
    /// For how many statements.
    #[arg(long, value_name = "NUMBER")]
    uses: Option<u32>,
    /// When it starts, such as 2026-01-05T22:00:00Z; without it, when it is first used.
    #[arg(long, value_name = "TIME", value_parser = parse_time, conflicts_with = "at_once")]
    starts: Option<Timestamp>,
    /// Break the glass: now, with an alert, and a review afterwards. Only where the rule lets that be.
    #[arg(long)]
    at_once: bool,
    /// By this rule alone, where several offer it.
    #[arg(long, value_name = "RULE")]
    rule: Option<String>,
    /// Waits until people have answered; exits 1 when they say no, or nobody answers in time.
    #[arg(long)]
    wait: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// `countersign grants`.
#[derive(Debug, Subcommand)]
pub(crate) enum Grants {
    /// Lists what you hold or asked for, and what you are asked about, latest first.
    #[command(after_help = "Example: countersign grants list\n\
                      Example: countersign grants list --all --answered-by rita --since 2h --output json")]
    List(List),
    /// Shows one: who asked for what and why, who said yes, and how far it is.
    #[command(after_help = "Example: countersign grants show 01J9ZQ4T7Y")]
    Show(Show),
    /// Ends one, or all that somebody approved in a window of time; sessions that live by it end.
    #[command(after_help = "Example: countersign grants revoke 01J9ZQ4T7Y --reason 'done'\n\
                      Example: countersign grants revoke --answered-by rita --since 2h --reason 'account stolen'")]
    Revoke(Revoke),
}

/// Approvals of somebody.
#[derive(Debug, Args)]
pub(super) struct Answered {
    /// Those that this person approved: a name, or ISSUER#SUBJECT.
    #[arg(long, value_name = "PERSON")]
    pub(super) answered_by: Option<String>,
    /// Approved since then: 2026-01-05T12:00:00Z, or how long ago: 2h.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "answered_by")]
    pub(super) since: Option<Timestamp>,
    /// Approved before then.
    #[arg(long, value_name = "TIME", value_parser = parse_time, requires = "answered_by")]
    pub(super) until: Option<Timestamp>,
}

impl Answered {
    pub(super) fn query(&self) -> Vec<(&'static str, String)> {
        let mut query = Vec::new();
        query.extend(self.answered_by.clone().map(|by| ("answered_by", by)));
        query.extend(self.since.map(|t| ("since", t.unix_s().to_string())));
        query.extend(self.until.map(|t| ("until", t.unix_s().to_string())));
        query
    }
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// Also those that are over.
    #[arg(long)]
    all: bool,
    /// Everybody's, where policy lets you (operation grants.list).
    #[arg(long)]
    everybody: bool,
    #[command(flatten)]
    answered: Answered,
    /// Those older than this one: where the list before ended.
    #[arg(long, value_name = "GRANT")]
    before: Option<String>,
    /// Goes on: the list again, each time that a grant is asked for or changes.
    #[arg(long)]
    watch: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// One of them.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    at: At,
    /// The grant's id.
    #[arg(value_name = "GRANT")]
    grant: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// The end of one, or of several.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    at: At,
    /// The grant's id.
    #[arg(value_name = "GRANT", required_unless_present = "answered_by", conflicts_with = "answered_by")]
    grant: Option<String>,
    #[command(flatten)]
    answered: Answered,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Also what is not yours to end, where policy lets you (operations grants.revoke and grants.revoke-approved).
    #[arg(long)]
    everybody: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs `countersign request`.
pub(super) async fn request(args: &Request) -> Result<(), Failed> {
    let gateway = open(&args.at).await?;
    let body = json!({
        "target": args.target, "actions": args.actions, "reason": args.reason, "rule": args.rule, "for_s": args.for_s,
        "uses": args.uses, "starts_at": args.starts.map(Timestamp::unix_s), "at_once": args.at_once,
    });
    let mut grant: Value = gateway.operation(Method::POST, "/v1/grants", &[], Some(&body), None).await?;
    if args.wait {
        grant = answered(&gateway, grant).await?;
    }
    print(&grant, args.output)?;
    match state(&grant).as_str() {
        "requested" | "given" | "active" => Ok(()),
        other => Err(Failed::new(format!("it was not given: it is {other}"))),
    }
}

fn state(grant: &Value) -> String {
    text_of(grant, "state").unwrap_or_default()
}

async fn answered(gateway: &Gateway, mut grant: Value) -> Result<Value, Failed> {
    let name = text_of(&grant, "id").unwrap_or_default();
    let whom = text_of(&grant, "reviewers").unwrap_or_default();
    if state(&grant) == "requested" {
        output::note(&format!("waiting for {whom}: countersign reviews approve {name}"));
    }
    while state(&grant) == "requested" {
        tokio::time::sleep(LOOK).await;
        grant = gateway.operation(Method::GET, &format!("/v1/grants/{}", id(&name)?), &[], None, None).await?;
    }
    Ok(grant)
}

/// Runs one of `countersign grants`.
pub(super) async fn run(command: &Grants) -> Result<(), Failed> {
    match command {
        Grants::List(args) if args.watch => {
            let mut changes = Changes::open(&args.at.clone().into()).await?;
            let mut paper = Paper::new();
            while !paper.gone() {
                clear()?;
                list(args, &mut paper).await?;
                changes.wait("grant").await?;
            }
            Ok(())
        }
        Grants::List(args) => list(args, &mut Paper::new()).await,
        Grants::Show(args) => {
            let path = format!("/v1/grants/{}", id(&args.grant)?);
            let grant: Value = open(&args.at).await?.operation(Method::GET, &path, &[], None, None).await?;
            print(&grant, args.output)
        }
        Grants::Revoke(args) => revoke(args).await,
    }
}

async fn list(args: &List, paper: &mut Paper) -> Result<(), Failed> {
    let mut query = args.answered.query();
    query.extend([("all", args.all.to_string()), ("everybody", args.everybody.to_string())]);
    query.extend(args.before.clone().map(|before| ("before", before)));
    let listed: Value = open(&args.at).await?.operation(Method::GET, "/v1/grants", &query, None, None).await?;
    let none = if args.all { "there are none that you may see" } else { "nothing is granted or asked for" };
    print_list(paper, &listed, "grants", table, args.output, none)
}

async fn revoke(args: &Revoke) -> Result<(), Failed> {
    let gateway = open(&args.at).await?;
    let mut body = json!({"reason": args.reason, "everybody": args.everybody});
    if let Some(grant) = &args.grant {
        let path = format!("/v1/grants/{}/revoke", id(grant)?);
        let grant: Value = gateway.operation(Method::POST, &path, &[], Some(&body), None).await?;
        return print(&grant, args.output);
    }
    if let Some(all) = body.as_object_mut() {
        all.insert("answered_by".to_owned(), json!(args.answered.answered_by));
        all.insert("since".to_owned(), json!(args.answered.since.map(Timestamp::unix_s)));
        all.insert("until".to_owned(), json!(args.answered.until.map(Timestamp::unix_s)));
    }
    let ended: Value = gateway.operation(Method::POST, "/v1/grants/revoke", &[], Some(&body), None).await?;
    print_list(&mut Paper::new(), &ended, "grants", table, args.output, "there was none to end")
}

fn table(grants: &[Value], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::whole("GRANT"),
        Column::text("STATE"),
        Column::text("WHO"),
        Column::text("TARGET"),
        Column::text("ACTIONS"),
        Column::text("ENDS"),
        Column::text("REASON"),
    ]);
    for g in grants {
        let who = g.get("asker").and_then(|a| text_of(a, "name")).unwrap_or_default();
        let ends = seconds(g, "ends_at").map(|at| short_moment(at, now)).unwrap_or_default();
        let reason = text_of(g, "reason").map(|t| one_line(t.as_bytes())).unwrap_or_default();
        let text = |name: &str| text_of(g, name).unwrap_or_default();
        table.row([text("id"), text("state"), who, text("target"), texts(g.get("actions")), ends, reason]);
    }
    table
}

fn print(grant: &Value, output: Format) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match output {
        Format::Json => paper.json(grant)?,
        Format::Text => sheet(grant, clock::now()).print(&mut paper)?,
    }
    paper.done()
}

fn sheet(g: &Value, now: Timestamp) -> Sheet {
    let mut sheet = Sheet::default();
    let text = |name: &str| text_of(g, name).unwrap_or_default();
    let number = |name: &str| g.get(name).and_then(Value::as_u64);
    sheet.add("grant", &text("id"));
    let left = seconds(g, "ends_at").filter(|at| now < *at).map(|at| format!(", {} left", lasted(at.since_us(now))));
    let left = left.filter(|_| state(g) == "active").unwrap_or_default();
    sheet.add("state", &format!("{}{left}", state(g)));
    add_asker(&mut sheet, g);
    sheet.add("target", &text("target"));
    sheet.add("actions", &texts(g.get("actions")));
    sheet.add("reason", &text("reason"));
    sheet.add("rules", &texts(g.get("rules")));
    let lasts = number("lasts_s").map(|s| lasted(s.saturating_mul(1_000_000))).unwrap_or_default();
    let from = if g.get("at_once").and_then(Value::as_bool) == Some(true) { ", taken at once" } else { "" };
    sheet.add("lasts", &format!("{lasts}{from}"));
    if let Some(most) = number("uses_max") {
        sheet.add("uses", &format!("{} of {most}", number("uses").unwrap_or(0)));
    }
    for (name, field) in [
        ("asked", "created_at"),
        ("given", "given_at"),
        ("start by", "start_by"),
        ("starts", "started_at"),
        ("ends", "ends_at"),
    ] {
        let started = g.get("started_at").is_some_and(Value::is_i64);
        if let Some(at) = seconds(g, field).filter(|_| !(field == "start_by" && started)) {
            sheet.add(name, &format!("{} UTC", moment(at)));
        }
    }
    sheet.add("needs", &text("reviewers"));
    if let Some(review) = g.get("review") {
        sheet.add("review", &text_of(review, "status").unwrap_or_default());
        sheet.add("approved by", &texts(review.get("approved_by")));
    }
    if let Some(at) = seconds(g, "ended_at") {
        sheet.add("ended", &format!("{} UTC by {}: {}", moment(at), text("ended_by"), text("ended_why")));
    }
    sheet
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_is_shown_whole_and_fits() {
        let g = json!({
            "id": "01J9ZQ4T7Y01J9ZQ4T7Y01J9ZQ", "state": "active", "target": "shop", "actions": ["read", "write"], "reason": "fix\u{1b} 4711",
            "asker": {"name": "ana", "kind": "human", "issuer": "https://id", "acting": []}, "rules": ["oncall"],
            "lasts_s": 7200, "uses": 1, "uses_max": 9, "at_once": true, "created_at": 1_767_614_400, "started_at": 1_767_614_400,
            "start_by": 1_767_614_500, "ends_at": 1_767_621_600, "reviewers": "2 of dba", "review": {"status": "pending", "approved_by": ["dora"]},
        });
        let now = Timestamp::from_unix_s(1_767_614_700);
        let whole = sheet(&g, now).lines(80).join("\n");
        for part in
            ["active, 1 h 55 min left", "taken at once", "1 of 9", "read, write", "2 of dba", "dora", "fix\\u{1b} 4711"]
        {
            assert!(whole.contains(part), "{part} in\n{whole}");
        }
        assert!(!whole.contains("start by"));
        let lines = table(&[g], now).lines(80);
        assert!(lines.iter().all(|l| crate::commands::text::width(l) <= 80), "{lines:#?}");
    }
}
