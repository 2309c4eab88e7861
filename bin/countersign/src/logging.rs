//! Log lines to standard error, for people or as JSON.

use countersign_config::{LogFormat, Telemetry};
use tracing_subscriber::EnvFilter;

use crate::failed::Failed;

/// Begins logging; called once.
pub(crate) fn start(telemetry: &Telemetry) -> Result<(), Failed> {
    if telemetry.otlp_endpoint.is_some() {
        return Err(Failed::invalid("telemetry.otlp_endpoint: this version sends no traces yet; remove the line"));
    }
    let filter = EnvFilter::try_new(&telemetry.level)
        .map_err(|e| Failed::invalid(format!("telemetry.level \"{}\" is not a filter: {e}", telemetry.level)))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match telemetry.log {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    }
    .map_err(Failed::new)
}

/// Log lines to a file instead, for a command whose output is a table.
pub(crate) fn to_file(path: &std::path::Path) -> Result<(), Failed> {
    let file = std::fs::OpenOptions::new().append(true).open(path)?;
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info")).with_ansi(false);
    builder.with_writer(std::sync::Mutex::new(file)).try_init().map_err(Failed::new)
}
