//! `countersign factors`: what you show beside your login, and an operator's order to begin anew. They are added in the console, by hand.

use clap::{Args, Subcommand};
use reqwest::Method;
use serde_json::{Value, json};

use super::reviews::{open, seconds, text_of};
use super::session::At;
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::commands::table::{Column, Table};
use crate::commands::text::{count, short_moment};
use crate::failed::Failed;

/// `countersign factors`.
#[derive(Debug, Subcommand)]
pub(crate) enum Factors {
    /// Lists your security keys and authenticator apps. They are added and removed in the console.
    #[command(after_help = "Example: countersign factors list")]
    List(List),
    /// Removes all second factors of somebody who lost them, where policy lets you: their next is trusted as their first.
    #[command(after_help = "Example: countersign factors reset rita --reason 'lost her key, asked in person'")]
    Reset(Reset),
}

/// Your own.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    at: At,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Somebody's.
#[derive(Debug, Args)]
pub(crate) struct Reset {
    #[command(flatten)]
    at: At,
    /// Whose: a name, or ISSUER#SUBJECT.
    #[arg(value_name = "PERSON")]
    person: String,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs one of them.
pub(super) async fn run(command: &Factors) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match command {
        Factors::List(args) => {
            let listed: Value = open(&args.at).await?.operation(Method::GET, "/v1/factors", &[], None, None).await?;
            let all = listed.get("factors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            match args.output {
                Format::Json => paper.json(&listed)?,
                Format::Text if all.is_empty() => paper.line("you have none: add one in the console, under Factors")?,
                Format::Text => paper.table(&table(all))?,
            }
        }
        Factors::Reset(args) => {
            let body = json!({ "person": args.person, "reason": args.reason });
            let gateway = open(&args.at).await?;
            let done: Value = gateway.operation(Method::POST, "/v1/factors/reset", &[], Some(&body), None).await?;
            match args.output {
                Format::Json => paper.json(&done)?,
                Format::Text => {
                    let removed = count(done.get("removed").and_then(Value::as_u64).unwrap_or(0), "factor");
                    paper.line(&format!(
                        "removed {removed}: whoever registers next as them is trusted, so tell them now"
                    ))?;
                }
            }
        }
    }
    paper.done()
}

fn table(factors: &[Value]) -> Table {
    let now = clock::now();
    let mut table =
        Table::new(vec![Column::whole("FACTOR"), Column::text("NAME"), Column::whole("KIND"), Column::whole("USED")]);
    for f in factors {
        let text = |name: &str| text_of(f, name).unwrap_or_default();
        let used = seconds(f, "used_at").map_or_else(|| "never".to_owned(), |at| short_moment(at, now));
        table.row([text("id"), text("name"), text("kind"), used]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_fit_a_terminal() {
        let long = json!({ "id": "01J9ZQ4T7Y01J9ZQ4T7Y01J9ZQ", "name": "x".repeat(64), "kind": "webauthn", "used_at": 1_767_614_400 });
        let never = json!({ "id": "01J9ZQ4T7Y01J9ZQ4T7Y01J9ZR", "name": "\u{1b}[2J", "kind": "totp", "used_at": null });
        let lines = table(&[long, never]).lines(80);
        assert!(lines.iter().all(|l| crate::commands::text::width(l) <= 80), "{lines:#?}");
        assert!(lines.iter().any(|l| l.contains("never")) && !lines.concat().contains('\u{1b}'), "{lines:#?}");
    }
}
