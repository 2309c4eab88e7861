//! The way of a notice from where something happens: taken without waiting, or counted as lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use countersign_enforce::Alert;
use countersign_model::Severity;
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use crate::service::ALERT_WINDOW;
use crate::{Kind, Notice};

/// Notices that wait to be written to the store; more are lost, and counted.
pub const QUEUE_MAX: usize = 4_096;

#[derive(Debug, Default)]
struct Shared {
    /// Somebody wants any.
    wanted: AtomicBool,
    lost: AtomicU64,
}

/// Takes notices. It never waits.
#[derive(Clone, Debug)]
pub struct Teller {
    shared: Arc<Shared>,
    sender: mpsc::Sender<Notice>,
}

/// Where they come out.
#[derive(Debug)]
pub struct Inbox {
    shared: Arc<Shared>,
    pub(crate) receiver: mpsc::Receiver<Notice>,
}

/// Both ends.
pub fn queue() -> (Teller, Inbox) {
    let (sender, receiver) = mpsc::channel(QUEUE_MAX);
    let shared = Arc::<Shared>::default();
    (Teller { shared: shared.clone(), sender }, Inbox { shared, receiver })
}

impl Teller {
    /// Takes one; when nobody wants any, or too many wait, it is dropped.
    pub fn tell(&self, notice: Notice) {
        if self.shared.wanted.load(Ordering::Relaxed) && self.sender.try_send(notice).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes an alert. The same alert within [`ALERT_WINDOW`] is counted, not told again, whichever session or gateway it is of.
    pub fn alert(&self, alert: &Alert) {
        if !self.shared.wanted.load(Ordering::Relaxed) {
            return;
        }
        let rules: Vec<String> = alert.rules.iter().map(|r| r.as_str().to_owned()).collect();
        let mut hash = Sha256::new();
        let severity = severity(alert.severity);
        for part in
            [severity, &alert.identity, &alert.target, &alert.what].into_iter().chain(rules.iter().map(String::as_str))
        {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let digest: String = hash.finalize().iter().take(16).map(|b| format!("{b:02x}")).collect();
        let window_us = i64::try_from(ALERT_WINDOW.as_micros()).unwrap_or(i64::MAX);
        let window = alert.at.unix_us().div_euclid(window_us);
        let session = alert.session.map(|s| s.to_string()).unwrap_or_default();
        let path = if session.is_empty() { String::new() } else { format!("/console/sessions/{session}") };
        self.tell(Notice {
            severity: alert.severity,
            identity: alert.identity.clone(),
            target: alert.target.clone(),
            what: alert.what.clone(),
            rules,
            session,
            path,
            ..Notice::new(Kind::Alert, format!("alert/{digest}/{window}"), alert.at)
        });
    }
}

impl Inbox {
    pub(crate) fn want(&self, wanted: bool) {
        self.shared.wanted.store(wanted, Ordering::Relaxed);
    }

    /// How many were lost since this was asked last.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }
}

/// The word for it.
pub(crate) const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
        Severity::Critical => "critical",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::{RuleId, Timestamp};

    use super::*;

    fn alert(at_s: i64, identity: &str, what: &str) -> Alert {
        Alert {
            at: Timestamp::from_unix_s(at_s),
            severity: Severity::High,
            session: None,
            identity: identity.to_owned(),
            target: "shop".to_owned(),
            rules: vec![RuleId::new("r")],
            what: what.to_owned(),
        }
    }

    #[test]
    fn a_full_queue_loses_and_counts_and_never_waits() {
        let (teller, mut inbox) = queue();
        teller.alert(&alert(1, "ana", "x"));
        assert!(inbox.receiver.try_recv().is_err(), "nobody wants any");
        inbox.want(true);
        for _ in 0..QUEUE_MAX + 3 {
            teller.alert(&alert(1, "ana", "x"));
        }
        assert_eq!(inbox.lost(), 3);
        assert_eq!(inbox.lost(), 0);
        assert_eq!(std::iter::from_fn(|| inbox.receiver.try_recv().ok()).count(), QUEUE_MAX);
    }

    #[test]
    fn the_same_alert_in_the_same_window_has_the_same_topic() {
        let (teller, mut inbox) = queue();
        inbox.want(true);
        let window = i64::try_from(ALERT_WINDOW.as_secs()).unwrap();
        let mut topic = |a: Alert| {
            teller.alert(&a);
            inbox.receiver.try_recv().unwrap().topic
        };
        let first = topic(alert(0, "ana", "select"));
        assert_eq!(topic(alert(window - 1, "ana", "select")), first);
        assert_ne!(topic(alert(window, "ana", "select")), first);
        assert_ne!(topic(alert(0, "bo", "select")), first);
        assert_ne!(topic(alert(0, "ana", "update")), first);
        assert_ne!(topic(alert(0, "anas", "elect")), first, "parts do not run together");
        assert_ne!(topic(Alert { severity: Severity::Low, ..alert(0, "ana", "select") }), first);
    }
}
