//! Keys that an issuer took away, and until when it had them: so that a revoked key can be told from one that was rotated.
//!
//! Must never grow beyond its limit, nor forget a key because the issuer was asked again.

use countersign_model::Timestamp;
use parking_lot::Mutex;

/// The most keys that are remembered, for each issuer; the oldest goes first.
const DEPARTED_MAX: usize = 256;

/// The keys of one issuer that are not in its set any more.
#[derive(Debug, Default)]
pub(crate) struct Departed(Mutex<Vec<(String, Timestamp)>>);

impl Departed {
    /// The set is another one now: `gone` are not in it, which were until `until`; what `is_there` is back.
    pub(crate) fn note<'k>(
        &self,
        gone: impl Iterator<Item = &'k str>,
        until: Timestamp,
        is_there: impl Fn(&str) -> bool,
    ) {
        let mut departed = self.0.lock();
        departed.retain(|(key, _)| !is_there(key));
        for key in gone {
            add(&mut departed, key, until);
        }
    }

    /// Until when a key was there that is not in the set. When nobody knows, it is now said to have been until `otherwise`: later sets
    /// without it must not make that look later.
    pub(crate) fn until(&self, key: &str, otherwise: Timestamp) -> Timestamp {
        let mut departed = self.0.lock();
        if let Some((_, until)) = departed.iter().find(|(k, _)| k == key) {
            return *until;
        }
        add(&mut departed, key, otherwise);
        otherwise
    }
}

fn add(departed: &mut Vec<(String, Timestamp)>, key: &str, until: Timestamp) {
    if departed.len() >= DEPARTED_MAX {
        departed.remove(0);
    }
    departed.push((key.to_owned(), until));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    #[test]
    fn the_first_word_stands_until_the_key_is_back() {
        let departed = Departed::default();
        departed.note(["a"].into_iter(), at(10), |_| false);
        assert_eq!(
            (departed.until("a", at(99)), departed.until("b", at(20)), departed.until("b", at(99))),
            (at(10), at(20), at(20))
        );
        departed.note([].into_iter(), at(30), |key| key == "a");
        assert_eq!((departed.until("a", at(40)), departed.until("b", at(99))), (at(40), at(20)));
    }

    #[test]
    fn the_oldest_goes_first() {
        let departed = Departed::default();
        let keys: Vec<String> = (0..=DEPARTED_MAX).map(|n| n.to_string()).collect();
        departed.note(keys.iter().map(String::as_str), at(1), |_| false);
        assert_eq!(departed.0.lock().len(), DEPARTED_MAX);
        assert_eq!((departed.until("1", at(2)), departed.until("0", at(2))), (at(1), at(2)));
        assert_eq!(departed.0.lock().len(), DEPARTED_MAX);
    }
}
