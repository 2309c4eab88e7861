//! Sizes and durations as people write them.

use std::time::Duration;

/// How a size may be written.
pub(crate) const SIZE_FORM: &str = "a number of bytes, or text such as \"64MiB\" or \"10GB\"";
/// How a duration may be written.
pub(crate) const SECONDS_FORM: &str = "a number of seconds, or text such as \"30s\", \"5m\" or \"12h\"";

const SIZES: [(&str, u64); 9] = [
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const SECONDS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

/// Reads a size in bytes; `None` when it is not one or does not fit.
pub(crate) fn size(text: &str) -> Option<u64> {
    scaled(text, &SIZES)
}

/// Reads a duration of whole seconds; `None` when it is not one or does not fit.
pub(crate) fn seconds(text: &str) -> Option<Duration> {
    scaled(text, &SECONDS).map(Duration::from_secs)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let split = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(split)?;
    let factor = units.iter().find(|(u, _)| *u == unit.trim_start_matches(' ')).map(|(_, f)| *f)?;
    number.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::{seconds, size};

    #[test]
    fn sizes_and_durations() {
        for (text, want) in [
            ("10GB", Some(10_000_000_000)),
            ("64 MiB", Some(64 << 20)),
            ("1B", Some(1)),
            ("10", None),
            ("GB", None),
            ("", None),
            ("-1GB", None),
            ("1.5GB", None),
            ("10gigs", None),
            ("99999999999999999999GB", None),
            ("18446744073709551615TB", None),
        ] {
            assert_eq!(size(text), want, "{text}");
        }
        for (text, want) in
            [("30s", Some(30)), ("5m", Some(300)), ("12 h", Some(43_200)), ("1d", Some(86_400)), ("5", None)]
        {
            assert_eq!(seconds(text).map(|d| d.as_secs()), want, "{text}");
        }
    }
}
