//! A bounded map from keys to verdicts, in shards so that sessions do not wait for each other.
//!
//! Each shard has two generations; when the young one is full it becomes the old one, and the old one goes. It must never answer for
//! a key that is not equal byte for byte.

use std::hash::BuildHasher;
use std::sync::Arc;

use countersign_model::Verdict;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::RwLock;

/// Verdicts kept at most, over all shards and both generations.
pub(crate) const VERDICTS_MAX: usize = 64 * 1024;
const SHARDS: usize = 16;
const GENERATION_MAX: usize = VERDICTS_MAX / SHARDS / 2;

struct Kept {
    key: Box<[u8]>,
    verdict: Arc<Verdict>,
}

type Generation = HashTable<Kept>;

#[derive(Default)]
struct Shard {
    young: Generation,
    old: Generation,
}

/// The verdicts of one policy set.
pub(crate) struct Cache {
    hasher: RandomState,
    shards: [RwLock<Shard>; SHARDS],
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::default(), shards: std::array::from_fn(|_| RwLock::new(Shard::default())) }
    }

    /// The key's hash and shard. The tables use the ends of the hash, so the shard is chosen by its middle.
    fn shard(&self, key: &[u8]) -> Option<(u64, &RwLock<Shard>)> {
        let hash = self.hasher.hash_one(key);
        let middle = usize::try_from(hash >> 40).unwrap_or(0);
        self.shards.get(middle % SHARDS).map(|shard| (hash, shard))
    }

    /// The verdict kept under the key.
    pub(crate) fn find(&self, key: &[u8]) -> Option<Arc<Verdict>> {
        let (hash, shard) = self.shard(key)?;
        let found = {
            let shard = shard.read();
            if let Some(kept) = shard.young.find(hash, |k| *k.key == *key) {
                return Some(Arc::clone(&kept.verdict));
            }
            Arc::clone(&shard.old.find(hash, |k| *k.key == *key)?.verdict)
        };
        self.insert(key, &found);
        Some(found)
    }

    /// Keeps a verdict.
    pub(crate) fn insert(&self, key: &[u8], verdict: &Arc<Verdict>) {
        let Some((hash, shard)) = self.shard(key) else { return };
        let mut shard = shard.write();
        if shard.young.len() >= GENERATION_MAX {
            shard.old = std::mem::take(&mut shard.young);
        }
        match shard.young.find_mut(hash, |k| *k.key == *key) {
            Some(kept) => kept.verdict = Arc::clone(verdict),
            None => {
                let kept = Kept { key: key.into(), verdict: Arc::clone(verdict) };
                shard.young.insert_unique(hash, kept, |k| self.hasher.hash_one(&*k.key));
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|s| s.read()).map(|s| s.young.len() + s.old.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use countersign_model::{Decision, Effects, Verdict};

    use super::{Cache, VERDICTS_MAX};

    #[test]
    fn it_never_holds_more_than_its_limit_and_keeps_what_is_used() {
        let cache = Cache::new();
        let verdict = |epoch| {
            Arc::new(Verdict {
                decision: Decision::Deny,
                effects: Effects::default(),
                rules: Vec::new(),
                reason: None,
                denied_for: Vec::new(),
                epoch,
            })
        };
        cache.insert(b"used", &verdict(7));
        for i in 0..(VERDICTS_MAX as u64 * 2) {
            cache.insert(&i.to_le_bytes(), &verdict(i));
            if i % 64 == 0 {
                assert_eq!(cache.find(b"used").map(|v| v.epoch), Some(7), "after {i}");
            }
        }
        assert!(cache.len() <= VERDICTS_MAX, "{}", cache.len());
        assert!(cache.find(&0_u64.to_le_bytes()).is_none(), "the first is long gone");
        assert_eq!(
            cache.find(&(VERDICTS_MAX as u64 * 2 - 1).to_le_bytes()).map(|v| v.epoch),
            Some(VERDICTS_MAX as u64 * 2 - 1)
        );
    }
}
