//! Cutting off: whenever the locks changed, all live sessions are matched at once, and those that a lock matches are ended.
//!
//! It must never run on a worker, nor cost a statement anything.

use std::sync::Arc;

use countersign_enforce::{Lockable, Locks};
use metrics::counter;

use crate::Metric;
use crate::registry::SessionRegistry;
use crate::session::wall_clock;

/// Watches for as long as it is polled.
///
/// Nobody slips through: a session is introduced before it asks about locks, and locks change before this looks who is here.
pub(crate) async fn watch_locks(registry: Arc<SessionRegistry>, locks: Arc<dyn Locks>) {
    let cut = counter!(Metric::SessionsCut.name(), "why" => "locked");
    let mut seen = 0;
    loop {
        seen = locks.changed(seen).await;
        let now = wall_clock();
        let mut ended = 0;
        for (seat, info) in registry.introduced() {
            let what =
                Lockable { identity: &info.identity, source: info.source, target: &info.target.name, session: info.id };
            if let Some(denial) = locks.keeps_out(&what, now) {
                seat.end(denial);
                ended += 1;
            }
        }
        if ended > 0 {
            cut.increment(ended);
            tracing::warn!(sessions = ended, "cut off by locks");
        }
    }
}
