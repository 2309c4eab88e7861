//! Times as people read them: how long ago, and the moment in UTC.

use std::fmt;

use countersign_model::{Timestamp, civil_from_days};

const DAY_S: i64 = 86_400;

/// A moment, as a page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct When {
    /// `2026-01-05T12:00:00Z`.
    pub(crate) machine: String,
    /// `2026-01-05 12:00:00 UTC`.
    pub(crate) moment: String,
    /// `12:00:00`.
    pub(crate) clock: String,
    /// `3 min ago`, or `in 3 min`.
    pub(crate) ago: String,
}

impl When {
    pub(crate) fn new(at: Timestamp, now: Timestamp) -> Self {
        let s = at.unix_s();
        let (day, second) = (s.div_euclid(DAY_S), s.rem_euclid(DAY_S));
        let (year, month, date) = civil_from_days(day);
        let date = format!("{year:04}-{month:02}-{date:02}");
        let clock = format!("{:02}:{:02}:{:02}", second / 3_600, second % 3_600 / 60, second % 60);
        let ago =
            if at > now { format!("in {}", span(at.since_us(now))) } else { format!("{} ago", span(now.since_us(at))) };
        Self { machine: format!("{date}T{clock}Z"), moment: format!("{date} {clock} UTC"), clock, ago }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.moment)
    }
}

/// A span in its largest unit: `3 min`.
pub(crate) fn span(us: u64) -> String {
    let s = us / 1_000_000;
    match s {
        0..60 => format!("{s} s"),
        60..3_600 => format!("{} min", s / 60),
        3_600..172_800 => format!("{} h", s / 3_600),
        _ => format!("{} days", s / 86_400),
    }
}

/// How long something took: `3 ms`.
pub(crate) fn lasted(us: u64) -> String {
    match us {
        ..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{} ms", us / 1_000),
        1_000_000..60_000_000 => format!("{}.{} s", us / 1_000_000, us / 100_000 % 10),
        _ => span(us),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_said_for_people_and_programs() {
        let now = Timestamp::from_unix_s(1_767_614_400);
        for (at, machine, ago) in [
            (1_767_614_400, "2026-01-05T12:00:00Z", "0 s ago"),
            (1_767_614_341, "2026-01-05T11:59:01Z", "59 s ago"),
            (1_767_614_340, "2026-01-05T11:59:00Z", "1 min ago"),
            (1_767_607_200, "2026-01-05T10:00:00Z", "2 h ago"),
            (951_782_400, "2000-02-29T00:00:00Z", "9442 days ago"),
            (1_767_614_700, "2026-01-05T12:05:00Z", "in 5 min"),
        ] {
            let when = When::new(Timestamp::from_unix_s(at), now);
            assert_eq!((when.machine.as_str(), when.ago.as_str()), (machine, ago));
        }
        assert_eq!(lasted(999), "999 µs");
        assert_eq!(lasted(1_000), "1 ms");
        assert_eq!(lasted(1_250_000), "1.2 s");
        assert_eq!(lasted(60_000_000), "1 min");
    }
}
