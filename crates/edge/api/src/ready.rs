//! Readiness: may a load balancer send clients here? The answer is kept for a moment, so that asking costs the store nothing.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign_enforce::BoxFuture;
use tokio::sync::Mutex;

/// A check that takes longer has failed.
pub const READY_CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer is kept.
pub const READY_KEPT: Duration = Duration::from_millis(500);

type Probe = Arc<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// One thing that must be well: the store, the policies, the recording, not draining.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Probe,
    /// Whether clients may be sent here all the same.
    is_advice: bool,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Check({})", self.name)
    }
}

impl Check {
    /// A check that may have to wait for its answer. An error's text is logged for operators and not shown.
    pub fn new(
        name: &'static str,
        probe: impl Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync + 'static,
    ) -> Self {
        Self { name, probe: Arc::new(probe), is_advice: false }
    }

    /// With a failure that is told and keeps nobody away.
    #[must_use]
    pub fn into_advice(self) -> Self {
        Self { is_advice: true, ..self }
    }

    /// A check that knows its answer.
    pub fn known(name: &'static str, probe: impl Fn() -> Result<(), String> + Send + Sync + 'static) -> Self {
        Self::new(name, move || Box::pin(std::future::ready(probe())))
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Readiness(Vec<Found>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: &'static str,
    is_advice: bool,
    result: Result<(), String>,
}

impl Readiness {
    pub(crate) fn is_ready(&self) -> bool {
        self.0.iter().all(|f| f.is_advice || f.result.is_ok())
    }

    /// `{"ready": …, "checks": {name: "ok" | "failed" | "degraded"}}`: names and states, no reasons.
    pub(crate) fn to_json(&self) -> String {
        let word = |f: &Found| match f.result {
            Ok(()) => "ok",
            Err(_) if f.is_advice => "degraded",
            Err(_) => "failed",
        };
        let checks: serde_json::Map<String, serde_json::Value> =
            self.0.iter().map(|f| (f.name.to_owned(), word(f).into())).collect();
        serde_json::json!({ "ready": self.is_ready(), "checks": checks }).to_string()
    }
}

/// All checks, with the last answer.
#[derive(Debug)]
pub(crate) struct Checks {
    list: Vec<Check>,
    last: Mutex<Option<(Instant, Readiness)>>,
}

impl Checks {
    pub(crate) fn new(list: Vec<Check>) -> Self {
        Self { list, last: Mutex::new(None) }
    }

    /// Makes all checks at once; whoever asks meanwhile waits for the same answer.
    pub(crate) async fn run(&self) -> Readiness {
        let mut last = self.last.lock().await;
        if let Some((at, readiness)) = last.as_ref()
            && at.elapsed() < READY_KEPT
        {
            return readiness.clone();
        }
        let probes = self.list.iter().map(|c| async {
            let late = || Err(format!("no answer within {} s", READY_CHECK_TIMEOUT.as_secs()));
            let result = tokio::time::timeout(READY_CHECK_TIMEOUT, (c.probe)()).await.unwrap_or_else(|_| late());
            Found { name: c.name, is_advice: c.is_advice, result }
        });
        let readiness = Readiness(futures_util::future::join_all(probes).await);
        let before = last.as_ref().map(|(_, r)| r);
        for found in &readiness.0 {
            let changed = before.is_none_or(|b| !b.0.contains(found));
            if let (Err(why), true) = (&found.result, changed) {
                let what = if found.is_advice { "ready, but degraded" } else { "not ready" };
                tracing::warn!(check = found.name, %why, "{what}");
            }
        }
        *last = Some((Instant::now(), readiness.clone()));
        readiness
    }
}
