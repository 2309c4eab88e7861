//! `countersign scan`: looks at samples of a target's data for what should carry a tag, and proposes rules for a person to accept.
//!
//! It only reads, in one read-only transaction, and must never print, write or log a value of the data: counts and names alone.

mod propose;
mod sample;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use countersign_mask::detect::{Confidence, Detector};
use countersign_model::Tag;
use serde::Serialize;

use crate::cli::{ConfigFile, Format};
use crate::failed::Failed;
use crate::output;

use super::config_alone;
use super::paper::Paper;
use super::policy::catalog;
use super::table::{Column, Table};
use super::text::count;

/// `countersign scan`.
#[derive(Debug, Args)]
pub(crate) struct Scan {
    #[command(flatten)]
    config: ConfigFile,
    /// The target.
    #[arg(value_name = "TARGET")]
    target: String,
    /// How many rows of each table are looked at, at most.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    sample: u32,
    /// Only tables of this schema; may be given several times.
    #[arg(long = "schema", value_name = "SCHEMA")]
    schemas: Vec<String>,
    /// Writes the proposed rules to this new file.
    #[arg(long, value_name = "FILE")]
    write: Option<PathBuf>,
    /// Which of the configured accounts looks; the first when left out. It must be able to read what is to be looked at.
    #[arg(long, value_name = "USER")]
    account: Option<String>,
    /// Another database than the target's own.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// What was found in one column, by tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// The full name, as rules have it.
    pub(super) column: String,
    /// Its schema, table and name.
    #[serde(skip)]
    pub(super) place: [String; 3],
    /// The name of its type.
    #[serde(rename = "type")]
    pub(super) data_type: String,
    /// What it holds.
    pub(super) tag: Tag,
    /// Which detectors said so.
    pub(super) detectors: Vec<&'static str>,
    /// Values that were looked at: not null, not empty.
    pub(super) values: u64,
    /// Of these, those in which it was found, by how sure that is; each counts once, for the surest.
    pub(super) certain: u64,
    /// The form and a checksum, or the words around it.
    pub(super) likely: u64,
    /// The form alone.
    pub(super) possible: u64,
    /// The column carries the tag, or one that stands for it.
    pub(super) tagged: bool,
    /// It is among the proposed rules.
    pub(super) proposed: bool,
}

/// What was looked at.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    pub(super) tables: u64,
    pub(super) columns: u64,
    pub(super) findings: Vec<Finding>,
    /// Tables that could not be read, and why in the target's own code.
    pub(super) unread: Vec<(String, String)>,
    /// Configured rules that fit no column of the database.
    pub(super) unmatched: Vec<Unmatched>,
}

/// A configured rule that fits no column.
#[derive(Debug, Serialize)]
pub(super) struct Unmatched {
    pub(super) column: String,
    #[serde(rename = "type", skip_serializing_if = "String::is_empty")]
    pub(super) data_type: String,
    pub(super) tag: Tag,
}

/// Runs it.
pub(super) async fn run(args: Scan) -> Result<(), Failed> {
    let mut paper = Paper::new();
    if let Some(file) = args.write.as_ref().filter(|f| f.exists()) {
        return Err(Failed::new(format!("{} is there already: name a new file with --write", file.display())));
    }
    let config = config_alone(&args.config.config)?;
    let account = args.account.as_deref();
    let fits = |a: &countersign_credentials::Account| account.is_none_or(|u| u == a.user);
    let (options, spec) = catalog::login(&config, &args.target, args.database.as_deref(), &fits).await?;
    let snapshot = catalog::load(&options, spec).await?;
    let loud = std::io::stderr().is_terminal() || args.output == Format::Text;
    let progress = |n: usize, of: usize, table: &str| {
        if loud {
            output::note(&format!("looking at {} of {of}: {}", n + 1, super::text::inert(table)));
        }
    };
    let mut report = sample::look(&options, &args.schemas, args.sample, &progress).await?;
    propose::judge(&mut report, |column, tag| snapshot.carries(column.each_ref().map(String::as_str), tag));
    report.unmatched = snapshot
        .unmatched_rules()
        .iter()
        .map(|r| Unmatched { column: r.column.clone(), data_type: r.data_type.clone(), tag: r.tag.clone() })
        .collect();
    let proposal = propose::rules(&args.target, &report);
    if let Some(file) = &args.write {
        let made = std::fs::File::create_new(file).and_then(|mut f| f.write_all(proposal.as_bytes()));
        made.map_err(|e| Failed::new(format!("{} cannot be written: {e}", file.display())))?;
    }
    match args.output {
        Format::Json => paper.json(&report)?,
        Format::Text => print(&args, &report, &proposal, &mut paper)?,
    }
    paper.done()?;
    match report.unread.len() {
        0 => Ok(()),
        n => Err(Failed::new(format!("{} could not be looked at", count(n as u64, "table")))),
    }
}

fn print(args: &Scan, report: &Report, proposal: &str, paper: &mut Paper) -> Result<(), Failed> {
    let looked = (count(report.columns, "column"), count(report.tables, "table"));
    paper.line(&format!("{} of {} looked at, {} detectors", looked.0, looked.1, Detector::COUNT))?;
    if !report.findings.is_empty() {
        let mut table = Table::new(vec![
            Column::text("COLUMN"),
            Column::whole("TAG"),
            Column::number("VALUES"),
            Column::number("CERTAIN"),
            Column::number("LIKELY"),
            Column::number("POSSIBLE"),
            Column::whole(""),
        ]);
        for f in &report.findings {
            let mark = if f.tagged {
                "tagged"
            } else if f.proposed {
                "new"
            } else {
                ""
            };
            let numbers = [f.values, f.certain, f.likely, f.possible].map(|n| n.to_string());
            let [values, certain, likely, possible] = numbers;
            table.row([f.column.as_str(), f.tag.as_str(), &values, &certain, &likely, &possible, mark]);
        }
        paper.table(&table)?;
    }
    for (table, why) in &report.unread {
        paper.line(&format!("not looked at: {} ({why})", super::text::inert(table)))?;
    }
    for rule in &report.unmatched {
        let of_type = if rule.data_type.is_empty() { String::new() } else { format!(" of type {}", rule.data_type) };
        let text = format!("a rule fits no column: {}{of_type}, {}", rule.column, rule.tag);
        paper.line(&super::text::inert(&text))?;
    }
    let proposed = report.findings.iter().filter(|f| f.proposed).count() as u64;
    match (&args.write, proposed) {
        (_, 0) => paper.line("no rule to propose"),
        (Some(file), n) => {
            paper.line(&format!("{} proposed in {}", count(n, "rule"), file.display()))?;
            paper.line("Look through it, then name it by `tags` in [[target]].")
        }
        (None, n) => {
            paper.line(&format!("{} proposed (--write FILE keeps them):", count(n, "rule")))?;
            paper.line("")?;
            proposal.lines().try_for_each(|line| paper.line(&super::text::inert(line)))
        }
    }
}

/// The word for it in reports.
pub(super) const fn is_sure(confidence: Confidence) -> bool {
    matches!(confidence, Confidence::Certain | Confidence::Likely)
}
