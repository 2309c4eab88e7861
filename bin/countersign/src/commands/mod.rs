//! The operator's commands: what they take, and where each is. They read what the services wrote and say it to people and scripts.
//!
//! Text that came from clients or targets must never reach a terminal as anything but text: it goes through `text::inert`.

pub(crate) mod completions;
pub(crate) mod config;
pub(crate) mod credentials;
mod paper;
pub(crate) mod policy;
mod prompt;
pub(crate) mod sessions;
mod table;
mod text;

use std::path::Path;

use countersign_config::Config;

use crate::cli::Command;
use crate::failed::Failed;
use crate::house::PROTOCOLS;

/// Runs one of the commands of this module; `None` when it is none of them.
pub(crate) async fn run(command: Command) -> Option<Result<(), Failed>> {
    Some(match command {
        Command::Config(command) => config::run(command).await,
        Command::Policy(command) => policy::run(command).await,
        Command::Sessions(command) => sessions::run(command).await,
        Command::Credentials(command) => credentials::run(command).await,
        Command::Completions(args) => completions::run(&args),
        _ => return None,
    })
}

/// The configuration for a command that looks at files alone: secrets need not be set and certificates need not be there.
pub(crate) fn config_alone(path: &Path) -> Result<Config, Failed> {
    let text = std::fs::read_to_string(path).map_err(|e| {
        Failed::invalid(format!("the configuration {} cannot be read: {e}; name it with --config", path.display()))
    })?;
    let loaded = countersign_config::parse_str(&text, &path.display().to_string(), &PROTOCOLS);
    loaded.map(|l| l.config).map_err(Failed::invalid)
}
