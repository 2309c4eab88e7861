//! Tokens that were verified a moment ago, so that a crowd of reconnects does not cost a signature check each.
//!
//! Kept by the token's digest, never by the token. Must never outlive the token, the keys it was verified with, or five minutes.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use countersign_model::{Identity, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

/// The most tokens remembered; the oldest goes first.
pub(crate) const VERIFIED_MAX: usize = 8192;
/// How long a token is remembered, in seconds.
pub(crate) const VERIFIED_S_MAX: i64 = 300;

/// SHA-256 of a token.
pub(crate) type TokenDigest = [u8; 32];

/// A token's digest.
pub(crate) fn digest(token: &[u8]) -> TokenDigest {
    Sha256::digest(token).into()
}

#[derive(Clone, Debug)]
struct Entry {
    identity: Arc<Identity>,
    issuer: u64,
    epoch: u64,
    until: Timestamp,
}

/// The tokens verified of late.
#[derive(Debug, Default)]
pub(crate) struct Verified {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<TokenDigest, Entry>,
    order: VecDeque<TokenDigest>,
}

impl Verified {
    /// The identity of a token that was verified with keys of `epoch_of(issuer)` and has not ended.
    pub(crate) fn find(
        &self,
        token: &TokenDigest,
        now: Timestamp,
        epoch_of: impl Fn(u64) -> Option<u64>,
    ) -> Option<Arc<Identity>> {
        let entry = self.inner.lock().entries.get(token)?.clone();
        (now < entry.until && epoch_of(entry.issuer) == Some(entry.epoch)).then_some(entry.identity)
    }

    /// Remembers a token.
    pub(crate) fn insert(&self, token: TokenDigest, identity: Arc<Identity>, issuer: u64, epoch: u64, now: Timestamp) {
        let latest = now.unix_us().saturating_add(VERIFIED_S_MAX.saturating_mul(1_000_000));
        let until = Timestamp::from_unix_us(latest.min(identity.expires_at.unix_us()));
        if until <= now {
            return;
        }
        let mut inner = self.inner.lock();
        if inner.entries.insert(token, Entry { identity, issuer, epoch, until }).is_none() {
            inner.order.push_back(token);
        }
        while inner.entries.len() > VERIFIED_MAX {
            let Some(oldest) = inner.order.pop_front() else { break };
            inner.entries.remove(&oldest);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.inner.lock() = Inner::default();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::{Map, json};

    use super::*;
    use crate::IssuerConfig;
    use crate::claims::Times;
    use crate::mapping::identify;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    fn identity(expires_s: i64) -> Arc<Identity> {
        let claims: Map<_, _> = [("sub".to_owned(), json!("s"))].into_iter().collect();
        let times = Times { issued_at: at(0), expires_at: at(expires_s) };
        Arc::new(identify(&IssuerConfig::new("t", "https://i", &["gw"]), claims, times).unwrap())
    }

    #[test]
    fn remembered_until_the_first_of_its_ends() {
        let v = Verified::default();
        v.insert(digest(b"short"), identity(1010), 1, 7, at(1000));
        v.insert(digest(b"long"), identity(9999), 1, 7, at(1000));
        v.insert(digest(b"over"), identity(1000), 1, 7, at(1000));
        for (token, now, epoch, found) in [
            (&b"short"[..], 1009, Some(7), true),
            (b"short", 1010, Some(7), false),
            (b"long", 1000 + VERIFIED_S_MAX - 1, Some(7), true),
            (b"long", 1000 + VERIFIED_S_MAX, Some(7), false),
            (b"long", 1001, Some(8), false),
            (b"long", 1001, None, false),
            (b"over", 1000, Some(7), false),
            (b"other", 1000, Some(7), false),
        ] {
            let got = v.find(&digest(token), at(now), |issuer| if issuer == 1 { epoch } else { None });
            assert_eq!(got.is_some(), found, "{} at {now} with {epoch:?}", String::from_utf8_lossy(token));
        }
    }

    #[test]
    fn a_crowd_pushes_out_the_oldest() {
        let v = Verified::default();
        let one = identity(9999);
        for n in 0..=VERIFIED_MAX as u64 {
            v.insert(digest(&n.to_be_bytes()), Arc::clone(&one), 1, 7, at(1000));
        }
        let inner = v.inner.lock();
        assert_eq!((inner.entries.len(), inner.order.len()), (VERIFIED_MAX, VERIFIED_MAX));
        assert!(!inner.entries.contains_key(&digest(&0u64.to_be_bytes())));
        assert!(inner.entries.contains_key(&digest(&1u64.to_be_bytes())));
    }
}
