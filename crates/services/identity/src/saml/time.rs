//! Times as SAML writes them (SAML Core, 1.3.3): `xs:dateTime` in UTC.

use countersign_model::{Timestamp, days_from_civil};

/// `2026-11-22T20:24:01Z`, with any number of digits behind the second up to nine; `None` when it is anything else.
pub(super) fn instant(text: &str) -> Option<Timestamp> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = match time.split_once('.') {
        Some((time, fraction)) => (time, Some(fraction)),
        None => (time, None),
    };
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (number(date.next()?, 4)?, number(date.next()?, 2)?, number(date.next()?, 2)?);
    let mut time = time.splitn(3, ':');
    let (hour, minute, second) = (number(time.next()?, 2)?, number(time.next()?, 2)?, number(time.next()?, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let us = match fraction {
        None => 0,
        Some(f) if (1..=9).contains(&f.len()) && f.bytes().all(|b| b.is_ascii_digit()) => {
            format!("{f:0<6}").get(..6)?.parse::<i64>().ok()?
        }
        Some(_) => return None,
    };
    let s = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp::from_unix_us(s.checked_mul(1_000_000)?.checked_add(us)?))
}

fn number(text: &str, digits: usize) -> Option<i64> {
    let fits = text.len() == digits && text.bytes().all(|b| b.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn only_times_in_utc_are_read() {
        for (text, want_us) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2026-11-22T20:24:01Z", Some(1_795_379_041_000_000)),
            ("2026-11-22T20:24:01.5Z", Some(1_795_379_041_500_000)),
            ("2026-11-22T20:24:01.123456789Z", Some(1_795_379_041_123_456)),
            ("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000)),
            ("2026-02-29T00:00:00Z", None),
            ("2026-11-22T20:24:01", None),
            ("2026-11-22T20:24:01+00:00", None),
            ("2026-11-22T24:00:00Z", None),
            ("2026-11-22T20:60:00Z", None),
            ("2026-11-22T20:24:60Z", None),
            ("2026-13-22T20:24:01Z", None),
            ("2026-11-00T20:24:01Z", None),
            ("2026-11-31T20:24:01Z", None),
            ("2026-11-22T20:24:01.Z", None),
            ("2026-11-22T20:24:01.1234567890Z", None),
            ("2026-11-22T20:24:+1Z", None),
            ("2026-11-22 20:24:01Z", None),
            ("1969-11-22T20:24:01Z", None),
            ("22026-11-22T20:24:01Z", None),
            ("", None),
            ("Z", None),
            ("TZ", None),
        ] {
            assert_eq!(instant(text).map(Timestamp::unix_us), want_us, "{text}");
        }
    }
}
