//! When to try again, and how much to send. Pure: time and chance come in.

use std::time::Duration;

use countersign_store::NoticeReceiverRecord;

/// How often a notice is tried before it is given up.
pub const TRIES_MAX: i64 = 12;
/// The wait after the first failure; it doubles with each.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// The longest wait between tries.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30 * 60);

const MINUTE_US: i64 = 60_000_000;

/// How long to wait after so many failures (from 1), with `chance` from 0 to 1: between a half and the whole of what is due, so that
/// gateways and notices do not come back together.
pub fn backoff(failures: i64, chance: f64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1).clamp(0, 16)).unwrap_or(0);
    let whole = BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(doublings)).min(BACKOFF_MAX);
    let chance = if chance.is_nan() { 1.0 } else { chance.clamp(0.0, 1.0) };
    whole.mul_f64(0.5 + 0.5 * chance)
}

/// What may be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// One more message.
    Send,
    /// Put all that waits into one message: it is the last of this minute.
    Merge,
    /// Nothing before this time, in microseconds since the Unix epoch.
    Wait(i64),
}

/// What may be done, when `due` notices wait and a minute has room for `most` messages.
pub(crate) fn turn(state: &mut NoticeReceiverRecord, due: u64, most: u32, now_us: i64) -> Turn {
    let minute = now_us.div_euclid(MINUTE_US);
    // A clock that was set back must not open a minute anew.
    if minute > state.minute {
        state.minute = minute;
        state.sent_in_minute = 0;
    }
    let left = i64::from(most).saturating_sub(state.sent_in_minute);
    match left {
        ..=0 => Turn::Wait(state.minute.saturating_add(1).saturating_mul(MINUTE_US)),
        1 if due > 1 => Turn::Merge,
        _ => Turn::Send,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_are_never_nothing() {
        for (failures, least_ms, most_ms) in [
            (0, 2_500, 5_000),
            (1, 2_500, 5_000),
            (2, 5_000, 10_000),
            (5, 40_000, 80_000),
            (9, 640_000, 1_280_000),
            (10, 900_000, 1_800_000),
            (TRIES_MAX, 900_000, 1_800_000),
            (i64::MAX, 900_000, 1_800_000),
        ] {
            assert_eq!(backoff(failures, 0.0).as_millis(), least_ms, "{failures}");
            assert_eq!(backoff(failures, 1.0).as_millis(), most_ms, "{failures}");
            assert!(backoff(failures, 0.5) > backoff(failures, 0.1));
        }
        assert_eq!(backoff(1, 7.0), backoff(1, 1.0));
        assert_eq!(backoff(1, f64::NAN), backoff(1, 1.0));
    }

    #[test]
    fn the_last_message_of_a_minute_tells_of_all_that_waits() {
        let mut state = NoticeReceiverRecord::default();
        let at = |s: i64| s * 1_000_000;
        for (sent, due, s, want) in [
            (0, 500, 60, Turn::Send),
            (1, 500, 60, Turn::Send),
            (2, 498, 61, Turn::Merge),
            (3, 1, 62, Turn::Wait(at(120))),
            (3, 9, 119, Turn::Wait(at(120))),
            (3, 1, 120, Turn::Send),
        ] {
            state.sent_in_minute = if s == 120 { state.sent_in_minute } else { sent };
            assert_eq!(turn(&mut state, due, 3, at(s)), want, "{sent} {due} {s}");
        }
        assert_eq!(state.sent_in_minute, 0, "a new minute counts anew");
        state.sent_in_minute = 2;
        assert_eq!(turn(&mut state, 1, 3, at(121)), Turn::Send, "one is sent as it is, even last");
        state.sent_in_minute = 3;
        assert_eq!(turn(&mut state, 1, 3, at(60)), Turn::Wait(at(180)), "a clock set back opens no minute");
        let mut state = NoticeReceiverRecord::default();
        assert_eq!(turn(&mut state, 2, 1, at(60)), Turn::Merge);
    }
}
