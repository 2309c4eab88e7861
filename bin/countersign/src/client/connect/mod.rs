//! `countersign connect`: a local port that leads to a target through the gateway, for clients that know nothing of it.
//!
//! Whoever reaches the port must know the run's password: without one, every user of this machine could borrow the identity.

mod command;
mod door;
mod postgres;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use clap::Args;
use countersign_model::Secret;
use tokio::signal::unix::{SignalKind, signal};

use super::key::random_text;
use super::session::{At, Road, fresh};
use super::state::{Login, State};
use crate::cli::Format;
use crate::clock;
use crate::commands::paper::Paper;
use crate::failed::Failed;
use crate::output;

use door::{Address, Door};

/// Bounds of the time between two looks at the certificate.
const LOOK_MIN: Duration = Duration::from_secs(2);
const LOOK_MAX: Duration = Duration::from_secs(300);
/// The longest name of a target or user, in bytes.
const NAME_BYTES_MAX: usize = 500;

/// `countersign connect`.
#[derive(Debug, Args)]
pub(crate) struct Connect {
    /// The target, or TARGET/DATABASE.
    #[arg(value_name = "TARGET", value_parser = name)]
    pub(crate) target: String,
    #[command(flatten)]
    at: At,
    /// Where to listen: a port of 127.0.0.1, ADDRESS:PORT of this machine, or a folder for a Unix socket.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    listen: Address,
    /// The user name to give to the gateway; without it, the identity's.
    #[arg(long, value_name = "NAME", value_parser = name)]
    user: Option<String>,
    /// How to print where it listens.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
    /// A command to run with it, and its arguments.
    #[arg(last = true, value_name = "CMD")]
    command: Vec<std::ffi::OsString>,
}

/// A name that fits into a start-up packet.
pub(crate) fn name(text: &str) -> Result<String, String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || text.chars().any(char::is_control) {
        return Err(format!("a name has 1 to {NAME_BYTES_MAX} bytes and no control characters"));
    }
    Ok(text.to_owned())
}

/// The way to the gateway with the newest certificate.
#[derive(Debug)]
pub(super) struct Roads(Mutex<Road>);

impl Roads {
    fn current(&self) -> Road {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn replace(&self, road: Road) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = road;
    }
}

/// What one run is: for whom, to what.
#[derive(Debug)]
pub(super) struct Run {
    /// What clients must give.
    password: Secret,
    /// The user name for the gateway.
    user: String,
    /// The target, perhaps with a database.
    target: String,
    roads: Roads,
}

/// Runs it.
pub(super) async fn run(args: Connect) -> Result<(), Failed> {
    let state = args.at.state()?;
    let login = fresh(&state).await?;
    let user = args.user.clone().unwrap_or_else(|| login.facts.identity.name.clone());
    let run = Arc::new(Run {
        password: Secret::from(random_text()?),
        user: name(&user).map_err(Failed::new)?,
        target: args.target.clone(),
        roads: Roads(Mutex::new(road(&login)?)),
    });
    let door = Door::open(&args.listen).await?;
    let place = door.place().clone();
    let password = run.password.expose_str().unwrap_or_default().to_owned();
    let client = postgres::Client { host: place.host(), port: place.port(), run: &run, password: &password };

    let serving = door.serve(run.clone());
    let renewing = renew(&state, &run);
    if args.command.is_empty() {
        say(&client, args.output)?;
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            failed = serving => failed,
            () = renewing => Ok(()),
            _ = interrupt.recv() => Ok(()),
            _ = terminate.recv() => Ok(()),
        }
    } else {
        let variables = client.environment();
        tokio::select! {
            ended = command::run(&args.command, &variables) => ended,
            failed = serving => failed,
            () = renewing => Ok(()),
        }
    }
}

fn road(login: &Login) -> Result<Road, Failed> {
    Road::new(login, postgres::PROTOCOL, postgres::ALPN)
}

/// Renews the certificate for as long as the run lasts; connections that begin from then on use the new one.
async fn renew(state: &State, run: &Run) {
    let mut ends = None;
    loop {
        let login = fresh(state).await.and_then(|login| {
            if ends != Some(login.facts.certificate_ends) {
                run.roads.replace(road(&login)?);
                ends = Some(login.facts.certificate_ends);
            }
            Ok(login)
        });
        let wait = match login {
            // Looked at often enough for a third of its life not to pass by.
            Ok(login) => login.facts.certificate_left(clock::now()) / 6,
            Err(e) => {
                output::note(&format!("countersign: {e}"));
                LOOK_MAX
            }
        };
        tokio::time::sleep(wait.clamp(LOOK_MIN, LOOK_MAX)).await;
    }
}

fn say(client: &postgres::Client<'_>, format: Format) -> Result<(), Failed> {
    let mut paper = Paper::new();
    match format {
        Format::Json => paper.json_line(&client.json())?,
        Format::Text => paper.line(&client.line())?,
    }
    paper.done()?;
    output::note("Paste this in another terminal; the password is for this run alone. Ctrl-C ends it.");
    Ok(())
}

/// A folder that only its owner can enter.
fn private(dir: &PathBuf) -> Result<(), Failed> {
    use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
    let at = |e: std::io::Error| Failed::new(format!("{}: {e}", dir.display()));
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(at)?;
    let meta = std::fs::symlink_metadata(dir).map_err(at)?;
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o077 != 0 {
        return Err(Failed::new(format!(
            "{} must be a folder of yours that others cannot enter: chmod 0700",
            dir.display()
        )));
    }
    Ok(())
}
