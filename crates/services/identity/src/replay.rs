//! Tokens that are good once: the ids of those that were used, until they end.
//!
//! Must never forget an id while its token could still be accepted: when there is no more room, nothing single-use is accepted.

use std::collections::HashMap;

use countersign_model::{Identity, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};

use crate::{LEEWAY_S_MAX, Rejection};

/// The most ids remembered.
pub(crate) const USED_MAX: usize = 65_536;

/// The ids that were used.
#[derive(Debug, Default)]
pub(crate) struct Used(Mutex<HashMap<[u8; 32], Timestamp>>);

impl Used {
    /// Notes the use of a token; refuses a second one.
    pub(crate) fn once(&self, identity: &Identity, now: Timestamp) -> Result<(), Rejection> {
        self.once_within(identity, now, USED_MAX)
    }

    fn once_within(&self, identity: &Identity, now: Timestamp, used_max: usize) -> Result<(), Rejection> {
        let id = identity
            .token_id
            .as_deref()
            .ok_or_else(|| Rejection::claim("jti", "is missing, and tokens of this issuer are good once"))?;
        let mut hash = Sha256::new();
        hash.update((identity.issuer.len() as u64).to_be_bytes());
        hash.update(&identity.issuer);
        hash.update(id);
        let key: [u8; 32] = hash.finalize().into();
        let mut used = self.0.lock();
        if used.contains_key(&key) {
            tracing::warn!(issuer = %identity.issuer, subject = %identity.subject, "a single-use token was presented again");
            return Err(Rejection::Replayed);
        }
        if used.len() >= used_max {
            used.retain(|_, until| *until > now);
        }
        if used.len() >= used_max {
            return Err(Rejection::ReplayUnknown);
        }
        let margin_us = i64::try_from(LEEWAY_S_MAX).unwrap_or(i64::MAX).saturating_mul(2_000_000);
        used.insert(key, Timestamp::from_unix_us(identity.expires_at.unix_us().saturating_add(margin_us)));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::IssuerConfig;
    use crate::claims::Times;
    use crate::mapping::identify;

    fn identity(issuer: &str, jti: Option<&str>) -> Identity {
        let mut claims = serde_json::Map::new();
        claims.insert("sub".to_owned(), json!("s"));
        if let Some(jti) = jti {
            claims.insert("jti".to_owned(), json!(jti));
        }
        let times = Times { issued_at: Timestamp::from_unix_s(1000), expires_at: Timestamp::from_unix_s(2000) };
        identify(&IssuerConfig::new("t", issuer, &["gw"]), claims, times).unwrap()
    }

    #[test]
    fn adv_084_a_jti_is_good_once_and_room_is_never_made_by_forgetting() {
        let used = Used::default();
        let at = |s| Timestamp::from_unix_s(s);
        let once = |i: &Identity, s: i64| used.once_within(i, at(s), 2).err().map(|r| r.as_str());
        assert_eq!(once(&identity("https://a", Some("1")), 1000), None);
        assert_eq!(once(&identity("https://a", Some("1")), 1000), Some("replayed"));
        assert_eq!(once(&identity("https://b", Some("1")), 1000), None);
        assert_eq!(once(&identity("https://a", Some("2")), 1000), Some("replay_unknown"));
        assert_eq!(once(&identity("https://a", Some("2")), 2119), Some("replay_unknown"));
        assert_eq!(once(&identity("https://a", Some("2")), 2120), None);
        assert_eq!(once(&identity("https://a", None), 1000), Some("claim"));
    }
}
