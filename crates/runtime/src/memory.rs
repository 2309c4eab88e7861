//! Memory that rested or ended sessions freed goes back to the system. A burst of logins leaves the heap full of holes that the
//! allocator would keep for the next burst. It must never run while sessions are merely at work.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How often it is looked whether enough sessions came to rest.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// Sessions that came to rest, or ended, for which a look at the whole heap is worth its milliseconds.
const RESTED_MIN: usize = 64;

/// Counts sessions that gave their buffers back.
#[derive(Debug, Default)]
pub(crate) struct Rested(AtomicUsize);

impl Rested {
    /// One more came to rest or ended.
    pub(crate) fn note(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// True when it is worth it, which begins the count anew.
    fn are_many(&self) -> bool {
        let many = self.0.load(Ordering::Relaxed) >= RESTED_MIN;
        if many {
            self.0.store(0, Ordering::Relaxed);
        }
        many
    }
}

/// Gives memory back whenever many sessions came to rest; never returns.
pub(crate) async fn give_back(rested: Arc<Rested>) {
    loop {
        tokio::time::sleep(LOOK_INTERVAL).await;
        if rested.are_many() {
            trim();
        }
    }
}

/// Allocators but glibc's give memory back on their own.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(
    unsafe_code,
    reason = "there is no safe door to malloc_trim, which takes a number and touches only free memory"
)]
fn trim() {
    // SAFETY: no precondition; it locks each arena while it looks through it.
    unsafe {
        libc::malloc_trim(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_rested_sessions_are_not_worth_it() {
        let rested = Rested::default();
        (1..RESTED_MIN).for_each(|_| rested.note());
        assert!(!rested.are_many());
        rested.note();
        assert!(rested.are_many());
        assert!(!rested.are_many(), "the count begins anew");
    }
}
