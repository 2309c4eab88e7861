//! Text for terminals: inert, cut to a width; times and durations as people read and write them.

use std::fmt::Write as _;

use countersign_model::{Timestamp, acts_on_readers, civil_from_days, days_from_civil};
use toml::value::{Datetime, Offset};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use crate::clock;

const DAY_S: i64 = 86_400;
const UNITS: [(char, i64); 5] = [('s', 1), ('m', 60), ('h', 3600), ('d', DAY_S), ('w', 7 * DAY_S)];

/// The text on one line: line ends and tabs become spaces, every other character that would act is shown as `\u{…}`.
pub(crate) fn inert(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' | '\r' => out.push(' '),
            c if acts_on_readers(c) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// The same of a statement: runs of white space become one space.
pub(crate) fn one_line(text: &[u8]) -> String {
    let text = inert(&String::from_utf8_lossy(text));
    text.split(' ').filter(|w| !w.is_empty()).collect::<Vec<_>>().join(" ")
}

/// The lines of a text, each inert; tabs become four spaces.
pub(crate) fn inert_lines(text: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(text).lines().map(|l| inert(&l.replace('\t', "    ")).trim_end().to_owned()).collect()
}

/// Columns that a text takes.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// At most `columns` of the text, with `…` where something was cut off.
pub(crate) fn cut(text: &str, columns: usize) -> String {
    if text.width() <= columns {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for c in text.chars() {
        let w = c.width().unwrap_or(0);
        if used + w + 1 > columns {
            break;
        }
        used += w;
        out.push(c);
    }
    out.push('…');
    out
}

/// The text in lines of at most `columns`, broken at spaces where there are any.
pub(crate) fn wrap(text: &str, columns: usize) -> Vec<String> {
    let columns = columns.max(8);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split_inclusive(' ') {
        let w = word.trim_end().width();
        if used + w > columns && used > 0 {
            lines.push(String::new());
            used = 0;
        }
        for c in word.chars() {
            let w = c.width().unwrap_or(0);
            if used + w > columns {
                if c == ' ' {
                    continue;
                }
                lines.push(String::new());
                used = 0;
            }
            if let Some(line) = lines.last_mut() {
                line.push(c);
            }
            used += w;
        }
    }
    lines.iter().map(|l| l.trim_end().to_owned()).collect()
}

/// `1 row`, `2 rows`.
pub(crate) fn count(n: u64, one: &str) -> String {
    format!("{n} {one}{}", if n == 1 { "" } else { "s" })
}

/// How long, from microseconds: `0.8 ms`, `12 ms`, `3.2 s`, `2 min 05 s`, `3 h 20 min`.
pub(crate) fn lasted(us: u64) -> String {
    match us {
        0..10_000 => format!("{}.{} ms", us / 1000, us % 1000 / 100),
        10_000..1_000_000 => format!("{} ms", us / 1000),
        1_000_000..60_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        60_000_000..3_600_000_000 => format!("{} min {:02} s", us / 60_000_000, us / 1_000_000 % 60),
        _ => format!("{} h {:02} min", us / 3_600_000_000, us / 60_000_000 % 60),
    }
}

/// Year, month, day, hour, minute, second, millisecond in UTC.
fn civil(at: Timestamp) -> (i64, i64, i64, i64, i64, i64, i64) {
    let us = at.unix_us();
    let (days, in_day) = (us.div_euclid(DAY_S * 1_000_000), us.rem_euclid(DAY_S * 1_000_000));
    let (year, month, day) = civil_from_days(days);
    let s = in_day / 1_000_000;
    (year, month, day, s / 3600, s / 60 % 60, s % 60, in_day / 1000 % 1000)
}

/// `2026-01-05 12:00:00`, UTC.
pub(crate) fn moment(at: Timestamp) -> String {
    let (year, month, day, h, m, s, _) = civil(at);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02}")
}

/// `12:00:00.123`, UTC.
pub(crate) fn time_of_day(at: Timestamp) -> String {
    let (_, _, _, h, m, s, ms) = civil(at);
    format!("{h:02}:{m:02}:{s:02}.{ms:03}")
}

/// As short as a list allows: `01-05 12:00` in the year of `now`, else `2025-01-05`. UTC.
pub(crate) fn short_moment(at: Timestamp, now: Timestamp) -> String {
    let (year, month, day, h, m, ..) = civil(at);
    if year == civil(now).0 {
        format!("{month:02}-{day:02} {h:02}:{m:02}")
    } else {
        format!("{year:04}-{month:02}-{day:02}")
    }
}

/// Reads `2026-01-05`, `2026-01-05T12:00:00Z` (UTC unless an offset says otherwise), or how long ago: `30m`, `2h`, `7d`.
pub(crate) fn parse_time(text: &str) -> Result<Timestamp, String> {
    parse_time_at(text, clock::now())
}

fn parse_time_at(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let refused =
        || format!("\"{text}\" is neither a time (2026-01-05, 2026-01-05T12:00:00Z) nor how long ago (30m, 2h, 7d)");
    let unit = text.chars().last().and_then(|u| UNITS.iter().find(|(c, _)| *c == u));
    if let Some((c, seconds)) = unit
        && let Some(n) = text.strip_suffix(*c).and_then(|n| n.parse::<u32>().ok())
    {
        let ago_us = i64::from(n).saturating_mul(*seconds).saturating_mul(1_000_000);
        return Ok(Timestamp::from_unix_us(now.unix_us().saturating_sub(ago_us)));
    }
    let d: Datetime = text.parse().map_err(|_| refused())?;
    unix_us(&d).map(Timestamp::from_unix_us).ok_or_else(refused)
}

fn unix_us(d: &Datetime) -> Option<i64> {
    let date = d.date?;
    let offset_s = match d.offset {
        None | Some(Offset::Z) => 0,
        Some(Offset::Custom { minutes }) => i64::from(minutes) * 60,
    };
    let days = days_from_civil(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let (in_day_s, us) = d.time.map_or((0, 0), |t| {
        let s = i64::from(t.hour) * 3600 + i64::from(t.minute) * 60 + i64::from(t.second.unwrap_or(0));
        (s, i64::from(t.nanosecond.unwrap_or(0)) / 1000)
    });
    Some((days * DAY_S + in_day_s - offset_s) * 1_000_000 + us)
}

/// Reads how long: `30m`, `2h`, `7d`, `90s`.
pub(crate) fn parse_seconds(text: &str) -> Result<u64, String> {
    let wrong = || "write how long, such as 30m, 2h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let each = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let n: u32 = text.strip_suffix(unit).and_then(|n| n.parse().ok()).ok_or_else(wrong)?;
    if n == 0 { Err("that is no time at all".to_owned()) } else { Ok(u64::from(n) * each) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_model::Timestamp;

    use super::*;

    #[test]
    fn recorded_text_does_not_act_on_a_terminal() {
        for (text, shown) in [
            ("select 1", "select 1"),
            ("a\u{1b}[2Jb", "a\\u{1b}[2Jb"),
            ("a\u{9b}31m", "a\\u{9b}31m"),
            ("a\r\nb\tc", "a  b c"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("z\u{200b}w\u{7f}\0", "z\\u{200b}w\\u{7f}\\u{0}"),
            ("é漢😀", "é漢😀"),
        ] {
            assert_eq!(inert(text), shown);
        }
        assert_eq!(one_line(b"select\n   1\xff"), "select 1\u{fffd}");
        assert_eq!(inert_lines(b"select\n\t1;\x1b"), ["select", "    1;\\u{1b}"]);
    }

    #[test]
    fn text_is_cut_to_columns_not_characters() {
        for (text, columns, expected) in [
            ("abcdef", 6, "abcdef"),
            ("abcdef", 5, "abcd…"),
            ("漢字漢字", 8, "漢字漢字"),
            ("漢字漢字", 6, "漢字…"),
            ("漢字漢字", 7, "漢字漢…"),
            ("abc", 1, "…"),
        ] {
            let cut = cut(text, columns);
            assert_eq!(cut, expected);
            assert!(width(&cut) <= columns);
        }
    }

    #[test]
    fn wrapped_text_fits_and_loses_nothing() {
        let text = "select one, two from a_relation_with_a_name_that_is_longer_than_a_line where x = 1";
        let lines = wrap(text, 20);
        assert!(lines.iter().all(|l| width(l) <= 20), "{lines:?}");
        let all: String = lines.join("").replace(' ', "");
        assert_eq!(all, text.replace(' ', ""));
        assert_eq!(wrap("", 20), [""]);
    }

    #[test]
    fn times_are_read_and_written_in_utc() {
        let now = Timestamp::from_unix_s(1_767_614_400);
        for (text, expected) in [
            ("2026-01-05", Some("2026-01-05 00:00:00")),
            ("2026-01-05T12:30:00Z", Some("2026-01-05 12:30:00")),
            ("2026-01-05 12:30:00", Some("2026-01-05 12:30:00")),
            ("2026-01-05T12:30:00+02:00", Some("2026-01-05 10:30:00")),
            ("2024-02-29T23:59:59Z", Some("2024-02-29 23:59:59")),
            ("90s", Some("2026-01-05 11:58:30")),
            ("30m", Some("2026-01-05 11:30:00")),
            ("2h", Some("2026-01-05 10:00:00")),
            ("7d", Some("2025-12-29 12:00:00")),
            ("1w", Some("2025-12-29 12:00:00")),
            ("yesterday", None),
            ("12:30:00", None),
            ("-1d", None),
            ("", None),
        ] {
            let got = parse_time_at(text, now);
            assert_eq!(got.as_ref().ok().map(|t| moment(*t)), expected.map(str::to_owned), "{text}: {got:?}");
        }
        assert_eq!(short_moment(now, now), "01-05 12:00");
        assert_eq!(short_moment(Timestamp::from_unix_s(0), now), "1970-01-01");
        assert_eq!(time_of_day(Timestamp::from_unix_us(61_002_003)), "00:01:01.002");
    }

    #[test]
    fn durations_are_short() {
        for (us, text) in [
            (0, "0.0 ms"),
            (9_999, "9.9 ms"),
            (10_000, "10 ms"),
            (999_999, "999 ms"),
            (1_000_000, "1.0 s"),
            (61_000_000, "1 min 01 s"),
            (3_660_000_000, "1 h 01 min"),
        ] {
            assert_eq!(lasted(us), text);
        }
    }

    #[test]
    fn spans_are_read() {
        for (text, s) in [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("7d", 604_800)] {
            assert_eq!(parse_seconds(text).unwrap(), s);
        }
        for text in ["", "2", "h", "-1h", "0h", "2hh", "1w", "99999999999d"] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
    }
}
