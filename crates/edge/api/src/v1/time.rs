//! Times as RFC 3339 writes them (section 5.6), UTC, to the microsecond.

use countersign_model::{Timestamp, days_from_civil};

const DAY_S: i64 = 86_400;

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
    let us: String = fraction.chars().chain("000000".chars()).take(6).collect();
    let seconds = days_from_civil(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second;
    let at = Timestamp::from_unix_us(seconds * 1_000_000 + us.parse::<i64>().ok()?);
    // The thirty-first of a month that has none would be another day.
    at.rfc3339().starts_with(date).then_some(at)
}

#[cfg(test)]
mod tests {
    use countersign_model::Timestamp;

    use super::moment;

    #[test]
    fn times_are_read_as_they_are_written() {
        for us in [0, -1, 951_782_400_000_000, 951_868_800_000_000, 1_767_614_400_123_456, 4_107_542_399_000_000] {
            let at = Timestamp::from_unix_us(us);
            assert_eq!(moment(&at.rfc3339()), Some(at));
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
            assert_eq!(Timestamp::from_unix_us(us).rfc3339(), text);
        }
    }
}
