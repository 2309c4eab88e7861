//! `countersign logout`: ends the login at the gateway, so that every session and certificate of it ends, and forgets it here.

use clap::Args;

use super::gateway::{Gateway, Refused};
use super::session::At;
use crate::failed::Failed;
use crate::output;

/// `countersign logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    #[command(flatten)]
    at: At,
}

/// Runs it. What is kept here goes in any case; that the gateway could not be told is a failure.
pub(super) async fn run(args: &Logout) -> Result<(), Failed> {
    let state = args.at.state()?;
    let held = state.hold().await?;
    let kept = state.load();
    let told = match &kept {
        Ok(None) => return output::say("not logged in: there was nothing to do"),
        Ok(Some(login)) => {
            let gateway = login.facts.url().and_then(|url| Gateway::new(&url, &login.trust(), Some(&login.credential)));
            match gateway {
                Ok(gateway) => gateway.logout().await,
                Err(e) => Err(Refused::No(e.to_string())),
            }
        }
        Err(e) => Err(Refused::No(e.to_string())),
    };
    state.forget(&held)?;
    match told {
        Ok(()) => output::say("logged out: the login's sessions and certificates have ended"),
        Err(Refused::No(e) | Refused::Unreachable(e)) => {
            Err(Failed::new(format!("forgotten on this machine, but the gateway did not end the login: {e}")))
        }
    }
}
