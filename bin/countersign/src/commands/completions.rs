//! `countersign completions`: a script for a shell, made from the commands themselves.

use clap::{Args, CommandFactory as _};

use crate::cli::Cli;
use crate::failed::Failed;

use super::paper::Paper;

/// `countersign completions`.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// Which shell.
    shell: clap_complete::Shell,
}

/// Prints the script.
pub(crate) fn run(args: &Completions) -> Result<(), Failed> {
    let mut paper = Paper::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "countersign", &mut paper);
    paper.done()
}
