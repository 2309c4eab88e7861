//! What policies see of the calendar, in UTC.
//!
//! It must never read a clock or know a time zone.

use countersign_model::civil_from_days;

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

/// The form that Cedar's `datetime` reads: `2026-11-21T09:30:00Z`.
pub(crate) fn datetime_text(unix_s: i64) -> String {
    let (year, month, day) = civil_from_days(unix_s.div_euclid(DAY_S));
    let s = unix_s.rem_euclid(DAY_S);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", s / 3600, s / 60 % 60, s % 60)
}

#[cfg(test)]
mod tests {
    use countersign_model::days_from_civil;

    use super::{DAY_S, WEEKDAYS, civil_from_days, datetime_text, hour, weekday};

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
