//! How often somebody may fail: a bounded table of failures that are forgiven with time.
//!
//! Must never grow without bound, and must never let a crowd of strangers push out what is remembered of one guesser.

use std::collections::HashMap;
use std::hash::Hash;

use countersign_model::Timestamp;
use parking_lot::Mutex;

/// The limits of a [`Limiter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimiterConfig {
    /// How many failures in a row are let pass.
    pub burst: u32,
    /// One failure is forgiven in this time, in microseconds.
    pub forgive_us: u64,
    /// The most keys remembered one by one; those beyond share one count.
    pub keys_max: usize,
}

/// Counts failures by key.
#[derive(Debug)]
pub struct Limiter<K> {
    config: LimiterConfig,
    inner: Mutex<Inner<K>>,
}

#[derive(Debug)]
struct Inner<K> {
    /// When each key's failures will all be forgiven.
    clean_at_us: HashMap<K, u64>,
    others_clean_at_us: u64,
}

impl<K: Eq + Hash> Limiter<K> {
    /// An empty table.
    pub fn new(config: LimiterConfig) -> Self {
        Self { config, inner: Mutex::new(Inner { clean_at_us: HashMap::new(), others_clean_at_us: 0 }) }
    }

    /// `None` when the key may try now, else how long it must wait, in whole seconds.
    pub fn wait_s(&self, key: &K, now: Timestamp) -> Option<u64> {
        let now_us = micros(now);
        let inner = self.inner.lock();
        let full = inner.clean_at_us.len() >= self.config.keys_max;
        let clean_at_us = match inner.clean_at_us.get(key) {
            Some(at) => *at,
            None if full => inner.others_clean_at_us,
            None => return None,
        };
        let allowed_us = self.config.forgive_us.saturating_mul(u64::from(self.config.burst.saturating_sub(1)));
        let over_us = clean_at_us.saturating_sub(now_us).saturating_sub(allowed_us);
        (over_us > 0).then(|| over_us.div_ceil(1_000_000))
    }

    /// Counts a failure.
    pub fn fail(&self, key: K, now: Timestamp) {
        let now_us = micros(now);
        let later = |at: u64| at.max(now_us).saturating_add(self.config.forgive_us);
        let mut inner = self.inner.lock();
        if let Some(at) = inner.clean_at_us.get_mut(&key) {
            *at = later(*at);
            return;
        }
        if inner.clean_at_us.len() >= self.config.keys_max {
            inner.clean_at_us.retain(|_, at| *at > now_us);
        }
        if inner.clean_at_us.len() < self.config.keys_max {
            inner.clean_at_us.insert(key, later(0));
        } else {
            inner.others_clean_at_us = later(inner.others_clean_at_us);
        }
    }

    /// Forgets a key's failures: it has proved itself.
    pub fn forgive(&self, key: &K) {
        self.inner.lock().clean_at_us.remove(key);
    }
}

fn micros(t: Timestamp) -> u64 {
    u64::try_from(t.unix_us()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn limiter(keys_max: usize) -> Limiter<u32> {
        Limiter::new(LimiterConfig { burst: 3, forgive_us: 10_000_000, keys_max })
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(1_000_000 + s)
    }

    #[test]
    fn a_burst_passes_then_one_at_a_time() {
        let l = limiter(10);
        for n in 0..3 {
            assert_eq!(l.wait_s(&1, at(0)), None, "failure {n}");
            l.fail(1, at(0));
        }
        assert_eq!(l.wait_s(&1, at(0)), Some(10));
        assert_eq!(l.wait_s(&1, at(9)), Some(1));
        assert_eq!(l.wait_s(&1, at(10)), None);
        assert_eq!(l.wait_s(&2, at(0)), None);
        l.fail(1, at(10));
        assert_eq!(l.wait_s(&1, at(10)), Some(10));
        l.forgive(&1);
        assert_eq!(l.wait_s(&1, at(10)), None);
    }

    #[test]
    fn a_full_table_forgets_nobody_and_strangers_share_one_count() {
        let l = limiter(2);
        for _ in 0..3 {
            l.fail(1, at(0));
        }
        for stranger in 2..100 {
            l.fail(stranger, at(0));
        }
        assert!(l.inner.lock().clean_at_us.len() <= 2);
        assert_eq!(l.wait_s(&1, at(0)), Some(10));
        assert!(l.wait_s(&1000, at(0)).is_some());
        // The clean are thrown out once room is needed.
        l.fail(7, at(5000));
        assert_eq!(l.inner.lock().clean_at_us.len(), 1);
        assert_eq!(l.wait_s(&8, at(5000)), None);
    }
}
