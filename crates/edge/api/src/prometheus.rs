//! Metrics as Prometheus text. The recorder is installed once in a process; everybody records through the `metrics` crate.

use std::sync::OnceLock;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// How often samples are folded into histograms, so that they do not pile up while nobody asks.
pub(crate) const UPKEEP_INTERVAL: Duration = Duration::from_secs(5);

/// Upper bounds for everything measured in seconds: from what the gateway adds to a statement, to a long query.
const SECONDS: [f64; 18] = [
    0.000_005, 0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.1, 0.5,
    1.0, 5.0, 30.0, 300.0,
];
/// Upper bounds for everything measured in bytes.
const BYTES: [f64; 9] = [64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 1_048_576.0, 16_777_216.0, 268_435_456.0];

static INSTALLED: OnceLock<Result<PrometheusHandle, MetricsError>> = OnceLock::new();

/// Why metrics cannot be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsError(String);

impl std::fmt::Display for MetricsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metrics cannot be recorded: {}", self.0)
    }
}

impl std::error::Error for MetricsError {}

/// The metrics of this process.
#[derive(Clone)]
pub struct Metrics(PrometheusHandle);

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}

impl Metrics {
    /// Installs the recorder, or gives the one that is installed.
    ///
    /// # Errors
    /// When another recorder than ours is installed already.
    pub fn install() -> Result<Self, MetricsError> {
        INSTALLED.get_or_init(build).clone().map(Self)
    }

    /// All metrics as Prometheus text (version 0.0.4).
    pub fn render(&self) -> String {
        self.0.render()
    }

    pub(crate) fn upkeep(&self) {
        self.0.run_upkeep();
    }
}

fn build() -> Result<PrometheusHandle, MetricsError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(|b| b.set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES))
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|e| MetricsError(e.to_string()))
}
