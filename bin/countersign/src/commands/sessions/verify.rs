//! `countersign sessions verify`: reads everything and says what is damaged.

use clap::Args;

use crate::cli::Format;
use crate::failed::Failed;

use super::super::paper::Paper;
use super::super::text::{count, inert, wrap};
use super::{Recordings, is_json, recording_failed};

/// `countersign sessions verify`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    recordings: Recordings,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) fn run(args: &Verify, paper: &mut Paper) -> Result<(), Failed> {
    let report = args.recordings.reader()?.verify().map_err(recording_failed)?;
    if is_json(args.output) {
        paper.json(&report)?;
    } else {
        for problem in &report.problems {
            paper.line(&inert(&problem.path.display().to_string()))?;
            for line in wrap(&inert(&problem.what), paper.width().saturating_sub(4)) {
                paper.line(&format!("    {line}"))?;
            }
        }
        paper.line(&format!(
            "{} in {} and {}: {}",
            count(report.entries, "record"),
            count(report.sealed, "sealed segment"),
            count(report.open, "open one"),
            if report.problems.is_empty() {
                "nothing is damaged".to_owned()
            } else {
                count(report.problems.len() as u64, "problem")
            },
        ))?;
    }
    paper.done()?;
    if report.problems.is_empty() {
        return Ok(());
    }
    Err(Failed::new(format!("{} in the recordings", count(report.problems.len() as u64, "problem"))))
}
