//! Coarser values: the year of a date, the network of an address, the magnitude of a number.
//!
//! It must never make up precision: what has no coarser form is left to the caller, who makes it null.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::calendar::{DAY_US, days_to_year, exists, year_of};

/// What is left of an IPv4 address, in bits.
const V4_PREFIX: u8 = 24;
/// What is left of an IPv6 address, in bits: what a customer usually gets.
const V6_PREFIX: u8 = 48;
const HOUR_US: i64 = 3_600_000_000;

/// The first day of its year.
pub(super) fn date(days: i32) -> Option<i32> {
    i32::try_from(days_to_year(year_of(i64::from(days)))).ok()
}

/// The beginning of its year; `None` when that lies before what fits.
pub(super) fn timestamp(us: i64) -> Option<i64> {
    days_to_year(year_of(us.div_euclid(DAY_US))).checked_mul(DAY_US)
}

/// The beginning of its hour.
pub(super) fn time(us: i64) -> i64 {
    us - us.rem_euclid(HOUR_US)
}

/// Its network, and how long that network's prefix is.
pub(super) fn address(address: IpAddr, prefix: u8) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(a) => {
            let kept = prefix.min(V4_PREFIX);
            let mask = u32::MAX.checked_shl(32 - u32::from(kept)).unwrap_or(0);
            (Ipv4Addr::from_bits(a.to_bits() & mask).into(), kept)
        }
        IpAddr::V6(a) => {
            let kept = prefix.min(V6_PREFIX);
            let mask = u128::MAX.checked_shl(128 - u32::from(kept)).unwrap_or(0);
            (Ipv6Addr::from_bits(a.to_bits() & mask).into(), kept)
        }
    }
}

/// Its first digit, the others zero: 4,321 is 4,000. One digit is zero.
pub(super) fn integer(value: i64) -> i64 {
    match value.unsigned_abs().checked_ilog10() {
        None | Some(0) => 0,
        Some(digits) => 10_i64.checked_pow(digits).map_or(0, |bucket| value / bucket * bucket),
    }
}

/// The same of a decimal's text; what is after the point goes. `None` when it is not a number.
pub(super) fn decimal(text: &str) -> Option<String> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |d| ("-", d));
    let whole = digits.split('.').next()?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    match whole.len() {
        0 | 1 => Some("0".to_owned()),
        n => Some(format!("{sign}{}{}", whole.get(..1)?, "0".repeat(n - 1))),
    }
}

/// The same of a floating-point number; `None` when it is not finite.
pub(super) fn float(value: f64) -> Option<f64> {
    if !value.is_finite() {
        return None;
    }
    if value.abs() < 10.0 {
        return Some(0.0);
    }
    let bucket = 10_f64.powf(value.abs().log10().floor());
    Some((value / bucket).trunc() * bucket)
}

/// Text that is a date or an address, by the same rules.
pub(super) fn text(text: &str) -> Option<String> {
    if let Ok(a) = text.parse::<IpAddr>() {
        let (network, prefix) = address(a, 128);
        return Some(format!("{network}/{prefix}"));
    }
    let mut parts = text.get(..10)?.splitn(3, '-');
    let mut part = |len: usize| parts.next().filter(|p| p.len() == len).and_then(|p| p.parse::<u32>().ok());
    let (year, month, day) = (part(4)?, part(2)?, part(2)?);
    let rest = text.get(10..)?;
    (exists(year, month, day) && (rest.is_empty() || rest.starts_with(['T', ' ']))).then(|| format!("{year:04}-01-01"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_first_digit() {
        for (value, expected) in
            [(0, 0), (7, 0), (10, 10), (19, 10), (4321, 4000), (-4321, -4000), (i64::MIN, -9_000_000_000_000_000_000)]
        {
            assert_eq!(integer(value), expected, "{value}");
        }
        for (value, expected) in [
            ("0", Some("0")),
            ("9.99", Some("0")),
            ("-4321.5", Some("-4000")),
            ("0042", Some("40")),
            ("NaN", None),
            ("", None),
            ("12345678901234567890", Some("10000000000000000000")),
        ] {
            assert_eq!(decimal(value).as_deref(), expected, "{value}");
        }
        assert_eq!(float(1234.5), Some(1000.0));
        assert_eq!(float(-0.3), Some(0.0));
        assert_eq!(float(f64::NAN), None);
    }

    #[test]
    fn addresses_keep_their_network() {
        for (a, prefix, expected) in [
            ("192.0.2.77", 32, ("192.0.2.0", 24)),
            ("10.1.2.3", 8, ("10.0.0.0", 8)),
            ("10.1.2.3", 0, ("0.0.0.0", 0)),
            ("2001:db8:1:2::3", 128, ("2001:db8:1::", 48)),
            ("2001:db8::1", 0, ("::", 0)),
        ] {
            let (got, kept) = address(a.parse().unwrap(), prefix);
            assert_eq!((got.to_string().as_str(), kept), expected, "{a}/{prefix}");
        }
    }

    #[test]
    fn texts_that_are_dates_or_addresses() {
        for (t, expected) in [
            ("1984-07-09", Some("1984-01-01")),
            ("1984-07-09T10:00:00Z", Some("1984-01-01")),
            ("192.0.2.77", Some("192.0.2.0/24")),
            ("1984-13-09", None),
            ("1984-07-091", None),
            ("hello", None),
            ("", None),
            ("é984-07-0", None),
        ] {
            assert_eq!(text(t).as_deref(), expected, "{t}");
        }
        assert_eq!(date(19_800), Some(19_723));
        assert_eq!(time(3_700_000_000), 3_600_000_000);
        assert_eq!(timestamp(-1), Some(-365 * DAY_US));
    }
}
