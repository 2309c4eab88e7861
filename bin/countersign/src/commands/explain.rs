//! `countersign explain`: which stored columns a statement shows, compares, chooses by or copies, and what the policies say of it.
//!
//! Like `countersign policy explain` it asks the target for its catalog alone: the statement is never sent.

use std::path::PathBuf;

use clap::Args;
use countersign_model::Tag;
use countersign_sql::{Outputs, StatementLineage};

use crate::cli::Format;
use crate::failed::Failed;

use super::paper::Paper;
use super::policy::{Judged, Rules, judge_text};
use super::table::{Column, Table};
use super::text::{inert, one_line, wrap};

/// The most stored columns that a line names.
const SOURCES_SHOWN_MAX: usize = 6;

/// `countersign explain`.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The target.
    #[arg(value_name = "TARGET")]
    target: String,
    /// The statement, as a client would send it.
    #[arg(short = 'c', long = "command", value_name = "SQL")]
    sql: String,
    /// Also says what the policies answer, for this identity; a local account brings its kind and groups.
    #[arg(long = "as", value_name = "IDENTITY")]
    identity: Option<String>,
    /// A group of that identity; may be given several times.
    #[arg(long = "group", value_name = "GROUP", requires = "identity")]
    groups: Vec<String>,
    /// Another database than the target's own.
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// The configuration file.
    #[arg(long, value_name = "FILE", default_value = "countersign.toml", env = "COUNTERSIGN_CONFIG")]
    config: PathBuf,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: Explain) -> Result<(), Failed> {
    let mut paper = Paper::new();
    let rules = Rules::of(args.config.clone());
    let who = args.identity.as_deref().map(|name| (name, args.groups.as_slice()));
    let judged = judge_text(&rules, &args.target, args.database.as_deref(), who, &args.sql).await?;
    match args.output {
        Format::Json => json(&args, &judged, &mut paper)?,
        Format::Text => print(&args, &judged, &mut paper)?,
    }
    paper.done()?;
    match &judged.lineage {
        Ok(_) => Ok(()),
        Err(why) => Err(Failed::new(format!("the statement could not be read, so the gateway denies it: {why}"))),
    }
}

fn joined(tags: &[Tag]) -> String {
    if tags.is_empty() { "-".to_owned() } else { tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(" ") }
}

fn columns<S: AsRef<str>>(names: &[S]) -> String {
    let mut shown: Vec<&str> = names.iter().take(SOURCES_SHOWN_MAX).map(AsRef::as_ref).collect();
    let more = format!("and {} more", names.len().saturating_sub(SOURCES_SHOWN_MAX));
    if names.len() > SOURCES_SHOWN_MAX {
        shown.push(&more);
    }
    match shown.as_slice() {
        [] => "-".to_owned(),
        ["*"] => "anything".to_owned(),
        shown => shown.join(" "),
    }
}

fn print(args: &Explain, judged: &Judged, paper: &mut Paper) -> Result<(), Failed> {
    paper.line(&format!("{}  {}", inert(&args.target), one_line(args.sql.as_bytes())))?;
    if let Some(name) = &judged.missing {
        paper.line(&format!(
            "the target has no \"{}\", so the gateway denies it, whatever the rules say",
            inert(name)
        ))?;
    }
    for (n, statement) in judged.lineage.iter().flatten().enumerate() {
        paper.line("")?;
        paper.line(&format!("{}. {}", n + 1, statement.kind))?;
        outputs(statement, judged.has_tags, paper)?;
        for reason in &statement.reasons {
            let place = reason.place.map(|at| format!(", at byte {}", at + 1)).unwrap_or_default();
            let line = format!(
                "{} by {}: {} ({}){place}",
                reason.effect.as_str(),
                reason.what,
                joined(&reason.tags),
                columns(&reason.columns)
            );
            for (n, part) in wrap(&inert(&line), paper.width().saturating_sub(5)).iter().enumerate() {
                paper.line(&format!("{}{part}", if n == 0 { "   " } else { "     " }))?;
            }
        }
    }
    if let Some(explanation) = &judged.explanation {
        paper.line("")?;
        for line in explanation.to_string().lines() {
            let text = line.trim_start();
            let indent = line.len() - text.len();
            for (n, part) in wrap(&inert(text), paper.width().saturating_sub(indent + 2)).iter().enumerate() {
                paper.line(&format!("{}{part}", " ".repeat(if n == 0 { indent } else { indent + 2 })))?;
            }
        }
    }
    Ok(())
}

fn outputs(statement: &StatementLineage, has_tags: bool, paper: &mut Paper) -> Result<(), Failed> {
    match &statement.outputs {
        Outputs::None => paper.line("   gives back no rows"),
        Outputs::Unknown { .. } if !has_tags => {
            paper.line("   no column of this database has a tag: nothing is masked by lineage")
        }
        Outputs::Unknown { tags } if tags.is_empty() => paper.line("   gives back nothing that has a tag"),
        Outputs::Unknown { tags } => {
            paper.line(&format!("   gives back what cannot be told apart: every column counts as {}", joined(tags)))
        }
        Outputs::Columns(list) => {
            let mut table = Table::new(vec![Column::text("OUTPUT"), Column::text("TAGS"), Column::text("DEPENDS ON")]);
            for column in list.iter() {
                let name = column.name.as_deref().unwrap_or("?");
                table.row([name, &joined(&column.tags), &columns(&column.sources)]);
            }
            table.lines(paper.width().saturating_sub(3)).iter().try_for_each(|line| paper.line(&format!("   {line}")))
        }
    }
}

fn json(args: &Explain, judged: &Judged, paper: &mut Paper) -> Result<(), Failed> {
    let outputs = |outputs: &Outputs| {
        match outputs {
        Outputs::None => serde_json::json!([]),
        Outputs::Unknown { tags } => serde_json::json!({ "unknown": true, "tags": &tags[..] }),
        Outputs::Columns(list) => list
            .iter()
            .map(|c| serde_json::json!({ "name": c.name, "tags": &c.tags[..], "sources": &c.sources[..], "direct": c.direct }))
            .collect(),
    }
    };
    let statements: Vec<serde_json::Value> = judged
        .lineage
        .iter()
        .flatten()
        .map(|s| {
            let reasons: Vec<serde_json::Value> = s
                .reasons
                .iter()
                .map(|r| {
                    serde_json::json!({
                        "effect": r.effect.as_str(), "what": r.what, "tags": r.tags, "columns": r.columns, "byte": r.place,
                    })
                })
                .collect();
            serde_json::json!({
                "kind": s.kind, "outputs": outputs(&s.outputs), "disclosure": s.disclosure, "reasons": reasons,
            })
        })
        .collect();
    paper.json(&serde_json::json!({
        "target": args.target,
        "text": args.sql,
        "unreadable": judged.lineage.as_ref().err(),
        "undefined": judged.missing,
        "statements": statements,
        "explanation": judged.explanation,
    }))
}
