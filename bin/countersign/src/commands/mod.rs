//! The operator's commands: what they take, and where each is. They read what the services wrote and say it to people and scripts.
//!
//! Text that came from clients or targets must never reach a terminal as anything but text: it goes through `text::inert`.

mod completions;
mod config;
mod credentials;
mod explain;
mod locks;
pub(crate) mod paper;
mod policy;
pub(crate) mod prompt;
mod scan;
mod sessions;
pub(crate) mod table;
pub(crate) mod text;

pub(crate) use sessions::whole_parameters;

use std::path::Path;

use clap::Subcommand;
use countersign_config::Config;

use crate::failed::Failed;
use crate::house::PROTOCOLS;

/// The operator's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Operator {
    /// Checks the configuration, and prints what its keys mean.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Checks, tests and explains policies.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Lists, shows, follows, replays and exports recorded sessions.
    #[command(subcommand)]
    Sessions(sessions::Sessions),
    /// Cuts identities off and keeps them out, everywhere at once; lists, shows and ends locks.
    #[command(subcommand)]
    Locks(locks::LocksCommand),
    /// Says which stored columns a statement shows, compares, chooses by or copies, and what the policies answer.
    #[command(after_help = "Examples:\n  countersign explain shop -c 'select email from customers'\n  \
                            countersign explain shop --as ana -c \"select id from customers where email = 'a@b.test'\"\n\n\
                            The target is asked for its catalog alone; the statement is not sent. The exit code is 0 whatever the answer \
                            is, and 1 when the statement could not be read.")]
    Explain(explain::Explain),
    /// Looks at samples of a target's data for personal data and secrets, and proposes tags for a person to accept.
    #[command(after_help = "Example: countersign scan shop --sample 2000 --write tags.toml\n\n\
                            Nothing is changed, and no value is printed or written: names and counts alone. The exit code is 1 when a \
                            table could not be looked at.")]
    Scan(scan::Scan),
    /// Keeps the targets' secrets in the vault.
    #[command(subcommand)]
    Credentials(credentials::Credentials),
    /// Prints a completion script for a shell.
    #[command(after_help = "Example: countersign completions bash > /etc/bash_completion.d/countersign")]
    Completions(completions::Completions),
}

/// Runs one of them.
pub(crate) async fn run(command: Operator) -> Result<(), Failed> {
    match command {
        Operator::Config(command) => config::run(command).await,
        Operator::Policy(command) => policy::run(command).await,
        Operator::Sessions(command) => sessions::run(command).await,
        Operator::Locks(command) => locks::run(command).await,
        Operator::Explain(args) => explain::run(args).await,
        Operator::Scan(args) => scan::run(args).await,
        Operator::Credentials(command) => credentials::run(command).await,
        Operator::Completions(args) => completions::run(&args),
    }
}

/// The configuration for a command that looks at files alone: secrets need not be set and certificates need not be there;
/// files of tags must.
pub(crate) fn config_alone(path: &Path) -> Result<Config, Failed> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failed::invalid(format!("the configuration {} cannot be read: {e}; name it with --config", path.display()))
    })?;
    let loaded = countersign_config::parse_with_tags(&text, &path.display().to_string(), &PROTOCOLS);
    loaded.map(|l| l.config).map_err(Failed::invalid)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        crate::cli::Cli::command().debug_assert();
    }
}
