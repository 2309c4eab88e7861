//! Which key a token was first used with. The same token with another key, or without one, is a copy.
//!
//! Must never forget a use while its token could still be accepted: when there is no more room, nothing new is accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign_enforce::BoxFuture;
use countersign_model::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::local::StoreFault;
use crate::{LEEWAY_S_MAX, Rejection};

/// The most uses that are kept at one time; when a sweep leaves this many, no new one is taken until another leaves fewer.
pub(crate) const USES_MAX: u64 = 1_000_000;
/// After this many new uses the old ones are swept ahead of time.
const SWEEP_AFTER: u64 = 10_000;

/// The first use of something that may be used with one key only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What was used: a digest.
    pub id: String,
    /// What it is bound to from now on: a key, or a word that is never used again.
    pub binding: String,
    /// When.
    pub at: Timestamp,
    /// When it can be forgotten.
    pub expires_at: Timestamp,
}

/// Keeps first uses, for all gateways.
pub trait UseLedger: Send + Sync {
    /// Keeps the use unless there is one with this id, in one step; says which binding is kept.
    fn first<'a>(&'a self, first: &'a Use) -> BoxFuture<'a, Result<String, StoreFault>>;

    /// The binding that is kept for this id.
    fn find<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<String>, StoreFault>>;

    /// Removes what may be forgotten; says how many are left.
    fn sweep(&self, now: Timestamp) -> BoxFuture<'_, Result<u64, StoreFault>>;
}

/// The ledger, with its questions as the rest of this crate asks them.
pub(crate) struct Uses {
    ledger: Arc<dyn UseLedger>,
    /// How many there were after the last sweep, and how many were added since.
    left: AtomicU64,
    added: AtomicU64,
}

/// A digest of parts that cannot be taken for other parts.
pub(crate) fn digest_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

impl Uses {
    pub(crate) fn new(ledger: Arc<dyn UseLedger>) -> Self {
        Self { ledger, left: AtomicU64::new(0), added: AtomicU64::new(0) }
    }

    /// Binds what was used to this binding; refuses what is bound to another.
    pub(crate) async fn bind(&self, id: &str, binding: &str, ends: Timestamp, now: Timestamp) -> Result<(), Rejection> {
        self.bind_within(id, binding, ends, now, USES_MAX).await
    }

    async fn bind_within(
        &self,
        id: &str,
        binding: &str,
        ends: Timestamp,
        now: Timestamp,
        uses_max: u64,
    ) -> Result<(), Rejection> {
        let added = self.added.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if added >= SWEEP_AFTER || self.left.load(Ordering::Relaxed).saturating_add(added) > uses_max {
            self.sweep(now).await?;
            if self.left.load(Ordering::Relaxed) >= uses_max {
                // What is known already takes no room.
                return match self.ledger.find(id).await.map_err(|f| unknown(&f.to_string()))? {
                    Some(kept) if kept == binding => Ok(()),
                    Some(_) => Err(Rejection::Replayed),
                    None => Err(unknown("there is no room to remember more uses of tokens")),
                };
            }
            self.added.fetch_add(1, Ordering::Relaxed);
        }
        let margin_us = i64::try_from(LEEWAY_S_MAX).unwrap_or(i64::MAX).saturating_mul(2_000_000);
        let expires_at = Timestamp::from_unix_us(ends.unix_us().saturating_add(margin_us));
        let first = Use { id: id.to_owned(), binding: binding.to_owned(), at: now, expires_at };
        let kept = self.ledger.first(&first).await.map_err(|f| unknown(&f.to_string()))?;
        if kept == binding { Ok(()) } else { Err(Rejection::Replayed) }
    }

    /// Refuses what is bound to anything: it came without a key.
    pub(crate) async fn check_unbound(&self, id: &str) -> Result<(), Rejection> {
        match self.ledger.find(id).await.map_err(|f| unknown(&f.to_string()))? {
            None => Ok(()),
            Some(_) => Err(Rejection::Replayed),
        }
    }

    /// Forgets what may be forgotten.
    pub(crate) async fn sweep(&self, now: Timestamp) -> Result<(), Rejection> {
        let left = self.ledger.sweep(now).await.map_err(|f| unknown(&f.to_string()))?;
        self.left.store(left, Ordering::Relaxed);
        self.added.store(0, Ordering::Relaxed);
        Ok(())
    }
}

fn unknown(why: &str) -> Rejection {
    Rejection::ReplayUnknown(why.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::login::MemoryUses;

    #[tokio::test]
    async fn adv_084_a_use_is_bound_once_and_room_is_never_made_by_forgetting() {
        let uses = Uses::new(Arc::new(MemoryUses::default()));
        let at = Timestamp::from_unix_s;
        for (id, binding, now, want) in [
            ("a", "k1", 1000, None),
            ("a", "k1", 1000, None),
            ("a", "k2", 1000, Some("replayed")),
            ("b", "k2", 1000, None),
            ("c", "k1", 1000, None),
            ("d", "k1", 1000, Some("replay_unknown")),
            ("a", "k1", 1000, None),
            ("a", "k2", 1000, Some("replayed")),
            ("d", "k1", 2119, Some("replay_unknown")),
            ("d", "k1", 2120, None),
        ] {
            let got = uses.bind_within(id, binding, at(2000), at(now), 3).await.err().map(|r| r.as_str());
            assert_eq!(got, want, "{id} {binding} at {now}");
        }
        assert!(uses.check_unbound("d").await.is_err());
        assert!(uses.check_unbound("e").await.is_ok());
    }

    #[test]
    fn digests_tell_parts_apart() {
        assert_ne!(digest_of(&["ab", "c"]), digest_of(&["a", "bc"]));
        assert_eq!(digest_of(&["ab", "c"]).len(), 43);
    }
}
