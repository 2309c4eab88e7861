//! Log lines to standard error, for people or as JSON; and traces to a collector, where one is configured.
//!
//! A trace is a session, with a span for each statement. It carries what metrics and log lines may carry: no statement's text, no bound
//! values, no rows. It must never hold up a session: what the collector does not take in time is dropped.

use std::io::IsTerminal as _;

use countersign_config::{LogFormat, Telemetry};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, SdkTracerProvider};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::failed::Failed;

/// Finished spans that wait for the collector; more are dropped.
const SPANS_QUEUED_MAX: usize = 16_384;
/// Spans in one request.
const SPANS_SENT_MAX: usize = 1_024;

/// Sends what it still holds when it is dropped; keep it until the end.
#[must_use]
pub(crate) struct Traces(Option<SdkTracerProvider>);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(Err(e)) = self.0.as_ref().map(SdkTracerProvider::shutdown) {
            tracing::warn!("the last traces were not sent: {e}");
        }
    }
}

/// Begins logging, and tracing where it is configured; called once.
pub(crate) fn start(telemetry: &Telemetry) -> Result<Traces, Failed> {
    let filter = EnvFilter::try_new(&telemetry.level)
        .map_err(|e| Failed::invalid(format!("telemetry.level \"{}\" is not a filter: {e}", telemetry.level)))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match telemetry.log {
        LogFormat::Text => lines.with_target(false).with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let provider = telemetry.otlp_endpoint.as_deref().map(provider).transpose()?;
    let traces = provider.as_ref().map(|p| {
        // The spans of sessions and statements; events stay in the log.
        let spans = Targets::new().with_target("countersign_runtime", tracing::Level::DEBUG);
        tracing_opentelemetry::layer()
            .with_tracer(p.tracer("countersign"))
            .with_location(false)
            .with_target(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_filter(spans)
    });
    Registry::default().with(lines.with_filter(filter)).with(traces).try_init().map_err(Failed::new)?;
    Ok(Traces(provider))
}

fn provider(endpoint: &str) -> Result<SdkTracerProvider, Failed> {
    let url = format!("{}/v1/traces", endpoint.trim_end_matches('/'));
    // A client of its own: the exporter has a thread of its own.
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_http()
        .with_endpoint(url)
        .with_headers([("user-agent".to_owned(), concat!("countersign/", env!("CARGO_PKG_VERSION")).to_owned())].into())
        .build()
        .map_err(|e| Failed::invalid(format!("telemetry.otlp_endpoint \"{endpoint}\": {e}")))?;
    let batches = BatchConfigBuilder::default()
        .with_max_queue_size(SPANS_QUEUED_MAX)
        .with_max_export_batch_size(SPANS_SENT_MAX)
        .build();
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(batches).build();
    let resource = Resource::builder().with_service_name("countersign").build();
    Ok(SdkTracerProvider::builder().with_span_processor(processor).with_resource(resource).build())
}

/// Log lines to a file instead, for a command whose output is a table.
pub(crate) fn to_file(path: &std::path::Path) -> Result<(), Failed> {
    let file = std::fs::OpenOptions::new().append(true).open(path)?;
    let builder = tracing_subscriber::fmt().with_env_filter(EnvFilter::new("info")).with_ansi(false);
    builder.with_writer(std::sync::Mutex::new(file)).try_init().map_err(Failed::new)
}
