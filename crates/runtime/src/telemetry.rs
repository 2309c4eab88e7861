//! The names of all metrics of the data path, and handles to them that are looked up once. A label must never hold anything that a
//! client chose.

use countersign_enforce::CloseReason;
use countersign_model::DenialCode;
use metrics::{Counter, Gauge, Histogram, Unit, counter, gauge, histogram};

/// Every metric of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Connections accepted.
    Connections,
    /// Connections now open.
    ConnectionsOpen,
    /// Sessions that were logged in at their target.
    SessionsOpened,
    /// Sessions ended, by reason.
    SessionsClosed,
    /// Refusals of connections and of actions, by code.
    Refusals,
    /// Actions judged, by decision.
    Statements,
    /// Bytes moved, by direction.
    Bytes,
    /// Cancel requests, by result.
    Cancels,
    /// Failures to accept a connection.
    AcceptErrors,
    /// Seconds from accept to logged in.
    LoginSeconds,
    /// Answers to whether an identity of live sessions still stands, by answer.
    Standings,
    /// Sessions ended because their identity no longer stood, because that could not be told, or by a lock.
    SessionsCut,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 12] = [
        Self::Connections,
        Self::ConnectionsOpen,
        Self::SessionsOpened,
        Self::SessionsClosed,
        Self::Refusals,
        Self::Statements,
        Self::Bytes,
        Self::Cancels,
        Self::AcceptErrors,
        Self::LoginSeconds,
        Self::Standings,
        Self::SessionsCut,
    ];

    /// Its name in the exposition.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connections => "countersign_connections_total",
            Self::ConnectionsOpen => "countersign_connections_open",
            Self::SessionsOpened => "countersign_sessions_opened_total",
            Self::SessionsClosed => "countersign_sessions_closed_total",
            Self::Refusals => "countersign_refusals_total",
            Self::Statements => "countersign_statements_total",
            Self::Bytes => "countersign_bytes_total",
            Self::Cancels => "countersign_cancels_total",
            Self::AcceptErrors => "countersign_accept_errors_total",
            Self::LoginSeconds => "countersign_login_seconds",
            Self::Standings => "countersign_standings_total",
            Self::SessionsCut => "countersign_sessions_cut_total",
        }
    }

    /// One line for people.
    pub const fn help(self) -> &'static str {
        match self {
            Self::Connections => "Connections accepted.",
            Self::ConnectionsOpen => "Connections now open, logged in or not.",
            Self::SessionsOpened => "Sessions that were logged in at their target.",
            Self::SessionsClosed => "Sessions ended, by reason.",
            Self::Refusals => "Refused connections and actions, by code.",
            Self::Statements => "Actions judged, by decision.",
            Self::Bytes => "Bytes moved, by direction.",
            Self::Cancels => "Cancel requests, by result.",
            Self::AcceptErrors => "Failures to accept a connection.",
            Self::LoginSeconds => "Seconds from accept until the target let the session in.",
            Self::Standings => "Answers to whether an identity of live sessions still stands, by answer.",
            Self::SessionsCut => {
                "Sessions ended because their identity no longer stood, nobody could tell, or a lock matched, by why."
            }
        }
    }

    /// Tells the recorder of metrics what each one means; call it once, after the recorder is installed.
    pub fn describe_all() {
        for m in Self::ALL {
            match m {
                Self::ConnectionsOpen => metrics::describe_gauge!(m.name(), m.help()),
                Self::LoginSeconds => metrics::describe_histogram!(m.name(), Unit::Seconds, m.help()),
                Self::Bytes => metrics::describe_counter!(m.name(), Unit::Bytes, m.help()),
                _ => metrics::describe_counter!(m.name(), m.help()),
            }
        }
    }
}

/// How a cancel request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CancelResult {
    /// The order reached the target.
    Delivered,
    /// No session has that key.
    Unknown,
    /// The target could not be told.
    Failed,
}

const REASONS: [CloseReason; 6] = [
    CloseReason::Client,
    CloseReason::ClientLost,
    CloseReason::Target,
    CloseReason::Denied,
    CloseReason::Drained,
    CloseReason::Failed,
];

/// Handles, looked up once.
pub(crate) struct Telemetry {
    pub(crate) connections: Counter,
    pub(crate) connections_open: Gauge,
    pub(crate) sessions_opened: Counter,
    pub(crate) allowed: Counter,
    pub(crate) denied: Counter,
    pub(crate) client_in: Counter,
    pub(crate) client_out: Counter,
    pub(crate) target_in: Counter,
    pub(crate) target_out: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) login_seconds: Histogram,
    refusals: Vec<(DenialCode, Counter)>,
    closed: Vec<(CloseReason, Counter)>,
    cancels: Vec<(CancelResult, Counter)>,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let bytes = |direction: &'static str| counter!(Metric::Bytes.name(), "direction" => direction);
        let statements = |decision: &'static str| counter!(Metric::Statements.name(), "decision" => decision);
        let cancels = |result: &'static str| counter!(Metric::Cancels.name(), "result" => result);
        Self {
            connections: counter!(Metric::Connections.name()),
            connections_open: gauge!(Metric::ConnectionsOpen.name()),
            sessions_opened: counter!(Metric::SessionsOpened.name()),
            allowed: statements("allow"),
            denied: statements("deny"),
            client_in: bytes("client_in"),
            client_out: bytes("client_out"),
            target_in: bytes("target_in"),
            target_out: bytes("target_out"),
            accept_errors: counter!(Metric::AcceptErrors.name()),
            login_seconds: histogram!(Metric::LoginSeconds.name()),
            refusals: DenialCode::ALL
                .into_iter()
                .map(|code| (code, counter!(Metric::Refusals.name(), "code" => code.as_str())))
                .collect(),
            closed: REASONS
                .into_iter()
                .map(|reason| (reason, counter!(Metric::SessionsClosed.name(), "reason" => reason.as_str())))
                .collect(),
            cancels: vec![
                (CancelResult::Delivered, cancels("delivered")),
                (CancelResult::Unknown, cancels("unknown")),
                (CancelResult::Failed, cancels("failed")),
            ],
        }
    }

    pub(crate) fn refused(&self, code: DenialCode) {
        add(&self.refusals, code);
    }

    pub(crate) fn closed(&self, reason: CloseReason) {
        add(&self.closed, reason);
    }

    pub(crate) fn cancelled(&self, result: CancelResult) {
        add(&self.cancels, result);
    }
}

fn add<K: PartialEq>(counters: &[(K, Counter)], key: K) {
    if let Some((_, counter)) = counters.iter().find(|(k, _)| *k == key) {
        counter.increment(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct_and_carry_the_prefix() {
        let mut names: Vec<_> = Metric::ALL.iter().map(|m| m.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Metric::ALL.len());
        assert!(names.iter().all(|n| n.starts_with("countersign_")));
    }
}
