//! The one binary: gateway, demo, and the operator's commands. It wires crates together; what they do, they do elsewhere.

mod accounts;
mod adapters;
mod api_keys;
mod applied;
mod certificates;
mod cli;
mod client;
mod clock;
mod commands;
mod console;
mod convert;
mod dev;
mod directory;
mod factors;
mod failed;
mod grants;
mod house;
mod logging;
mod logins;
mod notices;
mod output;
mod reviews;
mod serve;
mod sql;
mod targets;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command, ConfigFile};
use failed::Failed;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            output::note(&format!("countersign: the runtime cannot start: {e}"));
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            if !failed.is_quiet() {
                output::note(&format!("countersign: {failed}"));
            }
            failed.code()
        }
    }
}

async fn run(command: Command) -> Result<(), Failed> {
    countersign_runtime::install_crypto();
    match command {
        Command::Gateway(args) => gateway(args).await,
        Command::Dev(args) => Box::pin(dev::run(args)).await,
        Command::Token(args) => accounts::token(args).await,
        Command::Accounts(command) => accounts::accounts(command).await,
        Command::Client(command) => client::run(command).await,
        Command::Operator(command) => commands::run(command).await,
    }
}

async fn gateway(args: ConfigFile) -> Result<(), Failed> {
    let loaded = house::load_config(&args.config)?;
    let _traces = logging::start(&loaded.config.telemetry)?;
    let running = serve::start(loaded).await?;
    tracing::info!("ready");
    serve::until_stopped(running, &args.config).await
}
