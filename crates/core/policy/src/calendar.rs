//! Calendar arithmetic in UTC, after Howard Hinnant's `chrono`-compatible algorithms.
//!
//! It must never read a clock or know a time zone.

/// Seconds in a day.
pub(crate) const DAY_S: i64 = 86_400;

/// The words of `context.weekday`, Monday first.
pub(crate) const WEEKDAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The hour of the day, 0 to 23.
pub(crate) fn hour(unix_s: i64) -> i64 {
    unix_s.rem_euclid(DAY_S) / 3600
}

/// The index into [`WEEKDAYS`].
pub(crate) fn weekday(unix_s: i64) -> usize {
    // The epoch was a Thursday, index 3.
    usize::try_from((unix_s.div_euclid(DAY_S) + 3).rem_euclid(7)).unwrap_or(0)
}

/// Days since the epoch of a civil date.
pub(crate) fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let y = if month <= 2 { year - 1 } else { year };
    let era = y.div_euclid(400);
    let year_of_era = y.rem_euclid(400);
    let day_of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The civil date (year, month, day) of a day since the epoch.
pub(crate) fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    (year, month, doy - (153 * mp + 2) / 5 + 1)
}

/// The form that Cedar's `datetime` reads: `2026-11-21T09:30:00Z`.
pub(crate) fn datetime_text(unix_s: i64) -> String {
    let (year, month, day) = civil_from_days(unix_s.div_euclid(DAY_S));
    let s = unix_s.rem_euclid(DAY_S);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use super::{DAY_S, WEEKDAYS, civil_from_days, datetime_text, days_from_civil, hour, weekday};

    #[test]
    fn known_dates() {
        for (unix_s, text, day, h) in [
            (0, "1970-01-01T00:00:00Z", "thu", 0),
            (-1, "1969-12-31T23:59:59Z", "wed", 23),
            (951_827_696, "2000-02-29T12:34:56Z", "tue", 12),
            (1_795_253_400, "2026-11-21T09:30:00Z", "sat", 9),
        ] {
            assert_eq!(datetime_text(unix_s), text);
            assert_eq!(WEEKDAYS.get(weekday(unix_s)), Some(&day), "{text}");
            assert_eq!(hour(unix_s), h, "{text}");
        }
    }

    #[test]
    fn there_and_back() {
        for day in (-800_000..800_000).step_by(97) {
            let (y, m, d) = civil_from_days(day);
            assert_eq!(days_from_civil(y, m, d), day);
            assert_eq!(weekday(day * DAY_S), weekday((day + 7) * DAY_S));
        }
    }
}
