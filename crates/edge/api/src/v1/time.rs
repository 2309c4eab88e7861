//! Times as RFC 3339 writes them (section 5.6), UTC, to the microsecond.

use countersign_model::Timestamp;

const DAY_S: i64 = 86_400;

/// `2026-01-05T12:00:00.000000Z`.
pub(crate) fn rfc3339(at: Timestamp) -> String {
    let (s, us) = (at.unix_s(), at.unix_us().rem_euclid(1_000_000));
    let (day, second) = (s.div_euclid(DAY_S), s.rem_euclid(DAY_S));
    // Days to a date, by eras of 400 years that begin in March, so that a leap day is a year's last.
    let shifted = day + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let date = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second % 3_600 / 60, second % 60);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}:{minute:02}:{second:02}.{us:06}Z")
}

/// The moment that a text names: `2026-01-05`, or `2026-01-05T12:00:00Z` with or without fractions; UTC alone.
pub(crate) fn moment(text: &str) -> Option<Timestamp> {
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00:00Z"));
    let number = |part: Option<&str>, digits: usize, range: std::ops::RangeInclusive<i64>| -> Option<i64> {
        let part = part.filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()))?;
        part.parse().ok().filter(|n| range.contains(n))
    };
    let mut parts = date.split('-');
    let year = number(parts.next(), 4, 0..=9999)?;
    let (month, day) = (number(parts.next(), 2, 1..=12)?, number(parts.next(), 2, 1..=31)?);
    let (clock, fraction) = time.strip_suffix('Z').map(|t| t.split_once('.').unwrap_or((t, "0")))?;
    if parts.next().is_some() || fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let mut parts = clock.split(':');
    let (hour, minute) = (number(parts.next(), 2, 0..=23)?, number(parts.next(), 2, 0..=59)?);
    let second = number(parts.next(), 2, 0..=59)?;
    if parts.next().is_some() {
        return None;
    }
    let (from_march, year) = if month > 2 { (month - 3, year) } else { (month + 9, year - 1) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    let us: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds = days * DAY_S + hour * 3_600 + minute * 60 + second;
    let at = Timestamp::from_unix_us(seconds * 1_000_000 + us.parse::<i64>().ok()?);
    // The thirty-first of a month that has none would be another day.
    rfc3339(at).starts_with(date).then_some(at)
}

#[cfg(test)]
mod tests {
    use countersign_model::Timestamp;

    use super::{moment, rfc3339};

    #[test]
    fn times_are_read_as_they_are_written() {
        for us in [0, -1, 951_782_400_000_000, 951_868_800_000_000, 1_767_614_400_123_456, 4_107_542_399_000_000] {
            let at = Timestamp::from_unix_us(us);
            assert_eq!(moment(&rfc3339(at)), Some(at));
        }
        for (text, us) in [
            ("2000-02-29", Some(951_782_400_000_000)),
            ("2026-01-05T12:00:00Z", Some(1_767_614_400_000_000)),
            ("2026-01-05T12:00:00.5Z", Some(1_767_614_400_500_000)),
            ("2026-01-05T12:00:00.1234567Z", Some(1_767_614_400_123_456)),
            ("2026-02-29", None),
            ("2026-13-01", None),
            ("2026-01-05T24:00:00Z", None),
            ("2026-01-05T12:00:00", None),
            ("2026-01-05T12:00:00+01:00", None),
            ("2026-01-05T12:00:00.Z", None),
            ("2026-01-05-01", None),
            ("+026-01-05", None),
            ("", None),
        ] {
            assert_eq!(moment(text), us.map(Timestamp::from_unix_us), "{text}");
        }
    }

    #[test]
    fn times_are_written_as_dates() {
        for (us, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (951_868_800_000_000, "2000-03-01T00:00:00.000000Z"),
            (1_767_614_400_123_456, "2026-01-05T12:00:00.123456Z"),
            (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"),
            (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        ] {
            assert_eq!(rfc3339(Timestamp::from_unix_us(us)), text);
        }
    }
}
