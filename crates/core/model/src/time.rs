//! Wall-clock time as an input, and the proleptic Gregorian calendar in UTC, after H. Hinnant, "chrono-Compatible Low-Level Date Algorithms".
//!
//! It must never read a clock or know a time zone.

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch, UTC. The core is given one; it never reads a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since the Unix epoch.
    pub const fn from_unix_us(us: i64) -> Self {
        Self(us)
    }

    /// From whole seconds since the Unix epoch; saturates at the ends of the range.
    pub const fn from_unix_s(s: i64) -> Self {
        Self(s.saturating_mul(1_000_000))
    }

    /// Microseconds since the Unix epoch.
    pub const fn unix_us(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down.
    pub const fn unix_s(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// Microseconds from `earlier` to `self`; zero when `earlier` is the later one.
    pub const fn since_us(self, earlier: Self) -> u64 {
        let d = self.0.saturating_sub(earlier.0);
        if d < 0 { 0 } else { d.unsigned_abs() }
    }

    /// As RFC 3339 (section 5.6) writes it, in UTC to the microsecond: `2026-01-05T12:00:00.000000Z`. Years beyond four digits are
    /// written as they are.
    pub fn rfc3339(self) -> String {
        let (s, us) = (self.unix_s(), self.0.rem_euclid(1_000_000));
        let (year, month, day) = civil_from_days(s.div_euclid(DAY_S));
        let s = s.rem_euclid(DAY_S);
        format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{us:06}Z", s / 3600, s / 60 % 60, s % 60)
    }
}

/// Seconds of a day.
const DAY_S: i64 = 86_400;

/// Days since 1970-01-01 of a civil date; year 0 is 1 BC. A day that its month has not is one of the months beside it.
pub const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    // Years begin in March, so that a leap day is the last one.
    let y = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (y.div_euclid(400), y.rem_euclid(400));
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The civil date (year, month, day) of a day since 1970-01-01.
pub const fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let (era, day_of_era) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day_of_year - (153 * from_march + 2) / 5 + 1)
}
