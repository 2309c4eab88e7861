//! `countersign locks`: over the gateway's API by the login of whoever types, or, on the gateway's own machine, straight in its store,
//! so that a responder is never locked out.

mod add;
mod desk;
mod show;
mod which;

use clap::Subcommand;

use crate::failed::Failed;

use super::paper::Paper;

/// `countersign locks`.
#[derive(Debug, Subcommand)]
pub(crate) enum LocksCommand {
    /// Locks out whatever fits all of what is named: live sessions end, new ones are refused, on every gateway.
    #[command(
        after_help = "Examples: countersign locks add --identity ci-deploy --reason 'token in a log' --dry-run\n          \
                            countersign locks add --identity ci-deploy --reason 'token in a log' --siblings\n          \
                            countersign locks add --repository acme/shop --reason 'bad dependency' --for 2h\n          \
                            countersign locks add --source 203.0.113.0/24 --reason scan --config countersign.toml"
    )]
    Add(Box<add::Add>),
    /// Lists the locks in force, newest first; with --all those that ended, too.
    #[command(after_help = "Example: countersign locks list --all --output json")]
    List(show::List),
    /// Shows a lock: what it matches, who made it and why, and how it ended.
    #[command(after_help = "Example: countersign locks show 01JGV2…")]
    Show(show::Show),
    /// Ends a lock. Sessions that it cut off do not come back; new ones may begin.
    #[command(after_help = "Example: countersign locks remove 01JGV2… --reason 'token revoked, new one issued'")]
    Remove(show::Remove),
}

/// Runs it.
pub(crate) async fn run(command: LocksCommand) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match command {
        LocksCommand::Add(args) => add::run(*args, &mut paper).await?,
        LocksCommand::List(args) => show::list(&args, &mut paper).await?,
        LocksCommand::Show(args) => show::show(&args, &mut paper).await?,
        LocksCommand::Remove(args) => show::remove(&args, &mut paper).await?,
    }
    paper.done()
}
