//! The command line: nouns, verbs and their options.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::Client;
use crate::commands::Operator;

/// The identity-aware gateway: knows who is really asking, judges each command before the target sees it, and records it.
#[derive(Debug, Parser)]
#[command(
    name = "countersign",
    version,
    max_term_width = 100,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 configuration or policies have errors, 4 not found, \
                  5 a second factor is needed, 6 something would change.\n\n\
                  Example: countersign gateway --config /etc/countersign/countersign.toml"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs a gateway.
    #[command(after_help = "Example: countersign gateway --config countersign.toml\n\nSIGHUP reloads, SIGTERM drains.")]
    Gateway(ConfigFile),
    /// Runs everything on this machine, to try it: a gateway, an issuer, and a throwaway database to protect.
    #[command(after_help = "Example: countersign dev --check")]
    Dev(Dev),
    /// Makes a token for a local account, as an operator of this machine.
    #[command(after_help = "Example: PGPASSWORD=$(countersign token --config countersign.toml ana) psql …")]
    Token(Token),
    /// Adds, lists, changes and removes local accounts.
    #[command(subcommand)]
    Accounts(Accounts),
    /// What people and workloads do.
    #[command(flatten)]
    Client(Client),
    /// What operators do besides.
    #[command(flatten)]
    Operator(Operator),
}

/// Which configuration.
#[derive(Clone, Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE", default_value = "countersign.toml", env = "COUNTERSIGN_CONFIG")]
    pub(crate) config: PathBuf,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// A table for people.
    #[default]
    Text,
    /// One JSON document.
    Json,
}

/// `countersign dev`.
#[derive(Debug, Args)]
pub(crate) struct Dev {
    /// Plays the scenario with a real client, prints what happened, and leaves nothing running.
    #[arg(long)]
    pub(crate) check: bool,
    /// Where everything is kept.
    #[arg(long, value_name = "DIR", default_value = ".countersign")]
    pub(crate) data_dir: PathBuf,
    #[command(subcommand)]
    pub(crate) command: Option<DevCommand>,
}

/// What else `countersign dev` does.
#[derive(Debug, Subcommand)]
pub(crate) enum DevCommand {
    /// Prints a token of one of the demo's identities: ana, dora, ci-deploy.
    Token {
        /// Which.
        name: String,
        /// Only for ci-deploy: its audience, as a job asks GitHub for one.
        #[arg(long, value_name = "AUDIENCE")]
        audience: Option<String>,
    },
}

/// `countersign token`.
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(flatten)]
    pub(crate) config: ConfigFile,
    /// The account.
    #[arg(value_name = "ACCOUNT", required_unless_present = "account_option")]
    pub(crate) account: Option<String>,
    /// The same, as an option.
    #[arg(long = "account", value_name = "ACCOUNT", hide = true)]
    pub(crate) account_option: Option<String>,
    /// How long it lives, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) lifetime_s: Option<u64>,
}

/// `countersign accounts`.
#[derive(Debug, Subcommand)]
pub(crate) enum Accounts {
    /// Adds a local account; with --secret-stdin its password is read from standard input.
    #[command(after_help = "Example: countersign accounts add ana --group analysts")]
    Add {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
        /// A group; may be given several times.
        #[arg(long = "group", value_name = "GROUP")]
        groups: Vec<String>,
        /// What it is: human, machine or agent.
        #[arg(long, default_value = "human")]
        kind: String,
        /// Read its password from standard input.
        #[arg(long)]
        secret_stdin: bool,
    },
    /// Lists the local accounts.
    #[command(after_help = "Example: countersign accounts list --output json")]
    List {
        #[command(flatten)]
        config: ConfigFile,
        /// How to print.
        #[arg(long, value_enum, default_value_t)]
        output: Format,
    },
    /// Gives a local account another password, typed or from standard input; whoever signed in with the old one is out.
    #[command(after_help = "Example: countersign accounts password ana")]
    Password {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
    /// Switches a local account off; its tokens are refused from then on.
    #[command(after_help = "Example: countersign accounts disable ana")]
    Disable {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
    /// Switches a local account on again.
    #[command(after_help = "Example: countersign accounts enable ana")]
    Enable {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
    /// Removes a local account; its tokens are refused from then on.
    #[command(after_help = "Example: countersign accounts remove ana")]
    Remove {
        #[command(flatten)]
        config: ConfigFile,
        /// Its name.
        name: String,
    },
}
