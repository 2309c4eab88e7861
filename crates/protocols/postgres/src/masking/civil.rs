//! Days, dates and times as PostgreSQL writes them in its ISO style.
//!
//! It must never read what another style wrote: day and month could be confused, so such a value has no meaning here.

use std::fmt::Write as _;

use countersign_model::{civil_from_days, days_from_civil};

/// Days from 1970-01-01 to 2000-01-01, from which PostgreSQL counts.
pub(super) const EPOCH_DAYS: i32 = 10_957;
/// Microseconds of a day.
pub(super) const DAY_US: i64 = 86_400_000_000;
/// Microseconds from 1970-01-01 to 2000-01-01.
pub(super) const EPOCH_US: i64 = EPOCH_DAYS as i64 * DAY_US;

/// A number of digits alone, at most nine of them.
fn number(s: &str) -> Option<i64> {
    let fits = !s.is_empty() && s.len() <= 9 && s.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| s.parse().ok()).flatten()
}

/// Takes ` BC` off.
fn era(s: &str) -> (&str, bool) {
    s.strip_suffix(" BC").map_or((s, false), |s| (s, true))
}

fn day(s: &str, before_christ: bool) -> Option<i64> {
    let mut parts = s.splitn(3, '-');
    let (year, month, day) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let year = if before_christ { 1 - year } else { year };
    ((1..=12).contains(&month) && (1..=31).contains(&day)).then(|| days_from_civil(year, month, day))
}

/// A `date`: days since 1970-01-01.
pub(super) fn read_date(s: &str) -> Option<i32> {
    let (s, before_christ) = era(s);
    i32::try_from(day(s, before_christ)?).ok()
}

/// A `time`: microseconds since midnight.
pub(super) fn read_time(s: &str) -> Option<i64> {
    let (hms, fraction) = s.split_once('.').unwrap_or((s, ""));
    let mut parts = hms.splitn(3, ':');
    let (h, m, s) = (number(parts.next()?)?, number(parts.next()?)?, number(parts.next()?)?);
    let us = match fraction.len() {
        0 => 0,
        n @ 1..=6 => number(fraction)? * 10_i64.pow(u32::try_from(6 - n).ok()?),
        _ => return None,
    };
    let all = ((h * 60 + m) * 60 + s) * 1_000_000 + us;
    (m < 60 && s <= 60 && all <= DAY_US).then_some(all)
}

/// Seconds east of UTC of a zone such as `+02`, `-03:30`.
fn read_zone(s: &str) -> Option<i64> {
    let sign = match s.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let seconds =
        s.get(1..)?.splitn(3, ':').zip([3600, 60, 1]).try_fold(0, |all, (n, unit)| Some(all + number(n)? * unit))?;
    Some(sign * seconds)
}

/// A time with its zone cut off: the time alone.
pub(super) fn read_zoned_time(s: &str) -> Option<i64> {
    let at = s.find(['+', '-'])?;
    let (time, zone) = s.split_at_checked(at)?;
    read_zone(zone)?;
    read_time(time)
}

/// A `timestamp`: microseconds since 1970-01-01; of one with a zone in UTC.
pub(super) fn read_timestamp(s: &str, zoned: bool) -> Option<i64> {
    let (s, before_christ) = era(s);
    let (date, time) = s.split_once(' ')?;
    let (time, east_s) = if zoned {
        let (time, zone) = time.split_at_checked(time.find(['+', '-'])?)?;
        (time, read_zone(zone)?)
    } else {
        (time, 0)
    };
    day(date, before_christ)?.checked_mul(DAY_US)?.checked_add(read_time(time)?)?.checked_sub(east_s * 1_000_000)
}

fn put_day(out: &mut String, days: i64) -> bool {
    let (year, month, day) = civil_from_days(days);
    let shown = if year <= 0 { 1 - year } else { year };
    let _ = write!(out, "{shown:04}-{month:02}-{day:02}");
    year <= 0
}

/// Writes a `date`.
pub(super) fn write_date(out: &mut String, days: i32) {
    if put_day(out, i64::from(days)) {
        out.push_str(" BC");
    }
}

/// Writes a `time`.
pub(super) fn write_time(out: &mut String, us: i64) {
    let (s, fraction) = (us / 1_000_000, us % 1_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
    if fraction != 0 {
        let digits = format!("{fraction:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// Writes a `timestamp`; one with a zone in UTC.
pub(super) fn write_timestamp(out: &mut String, us: i64, zoned: bool) {
    let before_christ = put_day(out, us.div_euclid(DAY_US));
    out.push(' ');
    write_time(out, us.rem_euclid(DAY_US));
    if zoned {
        out.push_str("+00");
    }
    if before_christ {
        out.push_str(" BC");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(f: impl FnOnce(&mut String)) -> String {
        let mut out = String::new();
        f(&mut out);
        out
    }

    #[test]
    fn dates_go_both_ways() {
        for (text, days) in [
            ("1970-01-01", 0),
            ("2000-01-01", EPOCH_DAYS),
            ("2024-02-29", 19_782),
            ("0001-01-01", -719_162),
            ("0001-12-31 BC", -719_163),
            ("4714-11-24 BC", -2_440_588),
            ("5874897-12-31", 2_145_042_905),
        ] {
            assert_eq!(read_date(text), Some(days), "{text}");
            assert_eq!(written(|out| write_date(out, days)), text);
        }
        for bad in ["infinity", "01/02/2024", "2024-13-01", "2024-00-10", "2024-01", "", "-1-01-01", "02.01.2024"] {
            assert_eq!(read_date(bad), None, "{bad}");
        }
    }

    #[test]
    fn moments_go_both_ways() {
        for (text, zoned, back) in [
            ("2024-02-29 13:14:15.5", false, "2024-02-29 13:14:15.5"),
            ("2024-02-29 13:14:15+02", true, "2024-02-29 11:14:15+00"),
            ("2024-02-29 00:30:00-03:30", true, "2024-02-29 04:00:00+00"),
            ("1890-01-01 00:00:00+00:53:28", true, "1889-12-31 23:06:32+00"),
            ("0044-03-15 12:00:00 BC", false, "0044-03-15 12:00:00 BC"),
        ] {
            let us = read_timestamp(text, zoned);
            assert_eq!(us.map(|us| written(|out| write_timestamp(out, us, zoned))).as_deref(), Some(back));
        }
        for bad in ["Thu 29 Feb 13:14:15 2024", "2024-02-29", "2024-02-29 13:14", "2024-02-29 13:14:15 CET", "infinity"]
        {
            assert_eq!(read_timestamp(bad, true), None, "{bad}");
        }
    }

    #[test]
    fn times_go_both_ways() {
        for text in ["00:00:00", "23:59:59.999999", "24:00:00", "12:00:00.01"] {
            assert_eq!(read_time(text).map(|us| written(|out| write_time(out, us))).as_deref(), Some(text));
        }
        assert_eq!(read_zoned_time("12:00:00-08"), read_time("12:00:00"));
        for bad in ["", "1", "24:00:01", "12:60:00", "12:00:00.1234567", "12:00:00 PM"] {
            assert_eq!(read_time(bad), None, "{bad}");
        }
    }
}
