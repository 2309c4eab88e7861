//! `countersign sessions end`: one live session, on the gateway that has it.

use clap::Args;
use countersign_model::SessionId;
use serde_json::Value;

use super::super::paper::Paper;
use super::{is_json, parse_session};
use crate::cli::Format;
use crate::client::desk::AtGateway;
use crate::failed::Failed;

/// `countersign sessions end`.
#[derive(Debug, Args)]
pub(crate) struct End {
    #[command(flatten)]
    at: AtGateway,
    /// The session.
    #[arg(value_name = "SESSION", value_parser = parse_session)]
    id: SessionId,
    /// Why: it is recorded.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

/// Runs it.
pub(super) async fn run(args: &End, paper: &mut Paper) -> Result<(), Failed> {
    let api = args.at.open().await?;
    let done: Value = api.delete(&format!("/v1/sessions/{}", args.id), &[("reason", args.reason.clone())]).await?;
    if is_json(args.output) {
        return paper.json(&done);
    }
    paper.line(&format!("session {} was ended: whoever it was may come back, a lock keeps them out", args.id))
}
