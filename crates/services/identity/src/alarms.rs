//! How often people are told: a flood of refusals is one alarm, with the number of those behind it.
//!
//! Must never let a flood of one reason hide an alarm of another.

use std::collections::HashMap;

use countersign_model::Timestamp;
use parking_lot::Mutex;

/// For the same reason and the same claimed identity at most one alarm in this time, in seconds.
pub(crate) const ALARM_INTERVAL_S: u64 = 60;
/// For the same reason at most so many alarms in that time, whoever they are about.
pub(crate) const ALARMS_OF_A_REASON_MAX: u32 = 10;
/// The most claimed identities remembered; with more, only the reason counts.
const REMEMBERED_MAX: usize = 4096;

/// Limits alarms.
#[derive(Debug, Default)]
pub(crate) struct Alarms(Mutex<Told>);

#[derive(Debug, Default)]
struct Told {
    about: HashMap<(&'static str, String), Timestamp>,
    reasons: HashMap<&'static str, Count>,
}

#[derive(Debug)]
struct Count {
    since: Timestamp,
    told: u32,
    held_back: u64,
}

impl Alarms {
    /// Whether to tell of this now; how many of the same reason were held back since the last that was told, `None` to hold it back.
    pub(crate) fn tell(&self, reason: &'static str, about: &str, now: Timestamp) -> Option<u64> {
        let interval_us = ALARM_INTERVAL_S.saturating_mul(1_000_000);
        let recent = |at: Timestamp| now.since_us(at) < interval_us;
        let mut told = self.0.lock();
        let Told { about: seen, reasons } = &mut *told;
        if seen.len() >= REMEMBERED_MAX {
            seen.retain(|_, at| recent(*at));
        }
        let count = reasons.entry(reason).or_insert(Count { since: now, told: 0, held_back: 0 });
        if !recent(count.since) {
            (count.since, count.told) = (now, 0);
        }
        let key = (reason, about.to_owned());
        let again = seen.get(&key).is_some_and(|at| recent(*at));
        if again || count.told >= ALARMS_OF_A_REASON_MAX {
            count.held_back = count.held_back.saturating_add(1);
            return None;
        }
        if seen.len() < REMEMBERED_MAX {
            seen.insert(key, now);
        }
        count.told = count.told.saturating_add(1);
        Some(std::mem::take(&mut count.held_back))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    #[test]
    fn one_alarm_for_one_thing_and_a_few_for_a_flood() {
        let alarms = Alarms::default();
        assert_eq!(alarms.tell("replayed", "a", at(0)), Some(0));
        assert_eq!(alarms.tell("replayed", "a", at(59)), None);
        assert_eq!(alarms.tell("replayed", "a", at(60)), Some(1));
        for n in 1..ALARMS_OF_A_REASON_MAX {
            assert_eq!(alarms.tell("replayed", &format!("b{n}"), at(61)), Some(0));
        }
        assert_eq!(alarms.tell("replayed", "c", at(61)), None);
        assert_eq!(alarms.tell("signature", "c", at(61)), Some(0), "another reason is told all the same");
        assert_eq!(alarms.tell("replayed", "c", at(120)), Some(1));
    }

    #[test]
    fn memory_is_bounded() {
        let alarms = Alarms::default();
        for n in 0..REMEMBERED_MAX as i64 + 100 {
            // Each in an interval of its own would be forgotten; within one, only the reason's limit lets few through.
            alarms.tell("replayed", &n.to_string(), at(n / 10));
        }
        assert!(alarms.0.lock().about.len() <= REMEMBERED_MAX);
    }
}
