//! `countersign policy check`: every problem of every file, or what the rules are.

use std::path::PathBuf;

use clap::Args;
use countersign_policy::{PolicyProblem, PolicySet, RuleEffect};

use crate::cli::{ConfigFile, Format};
use crate::failed::Failed;
use crate::house::{language, policy_file, policy_files};
use crate::output;

use super::super::config_alone;
use super::super::paper::Paper;
use super::super::table::{Column, Table};
use super::super::text::count;
use super::{Output, folder};

/// `countersign policy check`.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigFile,
    /// Policy files, instead of those of the configuration.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    output: Output,
}

/// Runs it.
pub(super) fn run(args: &Check, paper: &mut Paper) -> Result<(), Failed> {
    let files = if args.files.is_empty() {
        policy_files(&config_alone(&args.config.config)?)?
    } else {
        args.files.iter().map(policy_file).collect::<Result<_, _>>()?
    };
    let names: Vec<&str> = files.iter().map(|f| f.path.as_str()).collect();
    let json = args.output.output == Format::Json;
    match PolicySet::load(&files, &language()?, 1) {
        Ok(set) if json => paper.json(&serde_json::json!({
            "files": names,
            "problems": [],
            "warnings": set.warnings(),
            "rules": set.rules().collect::<Vec<_>>(),
        })),
        Ok(set) => {
            warn(set.warnings());
            let folder = folder(&names);
            let mut table = Table::new(vec![
                Column::text("RULE"),
                Column::whole("EFFECT"),
                Column::text("ALSO"),
                Column::text("AT"),
            ]);
            for rule in set.rules() {
                let effect = match rule.effect {
                    RuleEffect::Permit => "permit",
                    RuleEffect::Forbid => "forbid",
                };
                let mut also = Vec::new();
                let limits =
                    [("rows", rule.limits.rows), ("bytes", rule.limits.bytes), ("affected", rule.limits.affected)];
                also.extend(limits.iter().filter_map(|(name, n)| n.map(|n| format!("{name}={n}"))));
                also.extend(rule.alert.map(|a| format!("alert {}", format!("{a:?}").to_lowercase())));
                table.row([
                    rule.id.as_str(),
                    effect,
                    &also.join(" "),
                    &format!("{}:{}", rule.file.replace(folder, ""), rule.line),
                ]);
            }
            paper.table(&table)?;
            let (rules, files) = (count(table_len(&set), "rule"), count(names.len() as u64, "file"));
            paper.line(&format!("\n{rules} in {files}, no errors, {}", count(set.warnings().len() as u64, "warning")))
        }
        Err(problems) => {
            if json {
                paper
                    .json(&serde_json::json!({ "files": names, "problems": problems, "warnings": [], "rules": [] }))?;
                paper.done()?;
            } else {
                for problem in &problems {
                    output::note(&format!("error: {problem}\n"));
                }
            }
            Err(Failed::invalid(format!("{} in the policies", count(problems.len() as u64, "error"))))
        }
    }
}

fn table_len(set: &PolicySet) -> u64 {
    set.rules().count() as u64
}

/// Warnings to standard error.
fn warn(warnings: &[PolicyProblem]) {
    for warning in warnings {
        output::note(&format!("warning: {warning}"));
    }
}
