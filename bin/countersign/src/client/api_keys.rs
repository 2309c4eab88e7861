//! `countersign api-keys`: texts that scripts present to the gateway's API in place of a login.
//!
//! It must never write a key anywhere but to standard output, once.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use countersign_api::{ApiKeyPage, ApiKeyView, NewApiKeyView};
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
use crate::commands::text::{parse_seconds, parse_time, short_moment};
use crate::failed::Failed;
use crate::output;

/// `countersign api-keys`.
#[derive(Debug, Subcommand)]
pub(crate) enum ApiKeys {
    /// Makes one and prints it, this once. It stands for you, in its scope alone.
    #[command(
        after_help = "Example: countersign api-keys create --name nightly --scope recordings.list --expires 30d\n\
                      Example: curl -H \"Authorization: Bearer $KEY\" https://gateway.example.com/v1/recordings"
    )]
    Create(Create),
    /// Lists yours, newest first.
    #[command(after_help = "Example: countersign api-keys list --all --output json")]
    List(List),
    /// Ends one, at every gateway.
    #[command(after_help = "Example: countersign api-keys revoke 01J9ZQ4T7Y0000000000000000 --reason 'laptop lost'")]
    Revoke(Revoke),
}

/// A new one.
#[derive(Debug, Args)]
pub(crate) struct Create {
    #[command(flatten)]
    at: At,
    /// What you call it.
    #[arg(long, value_name = "TEXT")]
    name: String,
    /// An operation that it is for, such as locks.list; several with commas, or the option several times.
    #[arg(long = "scope", value_name = "OPERATION", value_delimiter = ',', required = true)]
    scope: Vec<String>,
    /// When it ends: in 30m, 2h, 30d; 90 days at most.
    #[arg(long = "expires", value_name = "TIME", value_parser = parse_seconds)]
    expires_in_s: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Which ones.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// Also those that are over.
    #[arg(long)]
    all: bool,
    /// Everybody's, where policy lets you (operation api-keys.list).
    #[arg(long)]
    everybody: bool,
    /// Those older than this one: where the list before ended.
    #[arg(long, value_name = "KEY")]
    before: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// The end of one.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    #[command(flatten)]
    at: At,
    /// The key's id: not its text.
    #[arg(value_name = "KEY")]
    key: String,
    /// Why.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Also one that is not yours, where policy lets you (operation api-keys.revoke).
    #[arg(long)]
    everybody: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs one of them.
pub(super) async fn run(command: &ApiKeys) -> Result<(), Failed> {
    match command {
        ApiKeys::Create(args) => create(args).await,
        ApiKeys::List(args) => list(args).await,
        ApiKeys::Revoke(args) => revoke(args).await,
    }
}

async fn create(args: &Create) -> Result<(), Failed> {
    let scope: BTreeSet<&String> = args.scope.iter().collect();
    let body = json!({ "name": args.name, "scope": scope, "expires_in_s": args.expires_in_s });
    let gateway = open(&args.at).await?;
    let made: NewApiKeyView = gateway.operation(Method::POST, "/v1/api-keys", &[], Some(&body), None).await?;
    let mut paper = Paper::new();
    match args.output {
        Format::Json => paper.json(&made)?,
        Format::Text => {
            output::note(&format!("key {}, until {}; it is not shown again:", made.key.id, made.key.expires_at));
            // Alone on standard output, so that it can be put where it belongs without anybody reading it.
            paper.line(&made.secret)?;
        }
    }
    paper.done()
}

async fn list(args: &List) -> Result<(), Failed> {
    let mut query = vec![("all", args.all.to_string()), ("everybody", args.everybody.to_string())];
    query.extend(args.before.clone().map(|before| ("before", before)));
    let page: ApiKeyPage = open(&args.at).await?.operation(Method::GET, "/v1/api-keys", &query, None, None).await?;
    let mut paper = Paper::new();
    let none = if args.all { "there are no API keys that you may see" } else { "there are no API keys in force" };
    let table = |keys: &[ApiKeyView]| table(keys, clock::now());
    paper.page(args.output, &page, (&page.keys, none), table, page.next.as_deref())?;
    paper.done()
}

fn scope_of(key: &ApiKeyView) -> String {
    key.scope.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}

fn state(key: &ApiKeyView) -> &'static str {
    match (&key.ended, key.live) {
        (Some(_), _) => "revoked",
        (None, true) => "in force",
        (None, false) => "expired",
    }
}

fn table(keys: &[ApiKeyView], now: Timestamp) -> Table {
    let mut table = Table::new(vec![
        Column::whole("KEY"),
        Column::whole("ENDS"),
        Column::whole("USED"),
        Column::text("NAME"),
        Column::text("OWNER"),
        Column::text("SCOPE"),
    ]);
    for key in keys {
        let used = key.used.as_ref().and_then(|used| parse_time(&used.at).ok());
        let used = used.map_or_else(|| "never".to_owned(), |at| short_moment(at, now));
        // When it ends says that it is in force; what has ended says how. Both beside each other leave no room at 80 columns.
        let ends = parse_time(&key.expires_at).ok().filter(|_| key.live).map(|at| short_moment(at, now));
        let ends = ends.unwrap_or_else(|| state(key).to_owned());
        table.row([&key.id, &ends, &used, &key.name, &key.owner.name, &scope_of(key)]);
    }
    table
}

async fn revoke(args: &Revoke) -> Result<(), Failed> {
    let body = json!({ "reason": args.reason, "everybody": args.everybody });
    let path = format!("/v1/api-keys/{}/revoke", id(&args.key)?);
    let key: ApiKeyView = open(&args.at).await?.operation(Method::POST, &path, &[], Some(&body), None).await?;
    let mut paper = Paper::new();
    match args.output {
        Format::Json => paper.json(&key)?,
        Format::Text => sheet(&key).print(&mut paper)?,
    }
    paper.done()
}

fn sheet(key: &ApiKeyView) -> Sheet {
    let mut sheet = Sheet::default();
    sheet.add("key", &key.id);
    sheet.add("name", &key.name);
    sheet.add("state", state(key));
    sheet.add("owner", &format!("{}, vouched for by {}", key.owner.name, key.owner.issuer));
    sheet.add("scope", &scope_of(key));
    sheet.add("made", &key.created_at);
    sheet.add("ends", &key.expires_at);
    sheet.add(
        "last used",
        &key.used.as_ref().map_or_else(|| "never".to_owned(), |u| format!("{} from {}", u.at, u.from)),
    );
    if let Some(end) = &key.ended {
        sheet.add("revoked", &format!("{} by {}: {}", end.at, end.by, end.why));
    }
    sheet
}
