//! Pseudonyms: HMAC-SHA-256 (RFC 2104) of a value under the installation's key, written as a value of its own type; for types with few
//! values a keyed permutation, so that two values never become one.
//!
//! A pseudonym must never depend on anything but the key and the value: the same value has the same one everywhere.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::calendar::{DAY_US, days_to_year};
use super::ff1::Ff1;
use super::value::Width;

/// Base 32 as in RFC 4648, in small letters.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// The domain of pseudonymous e-mail addresses; `.invalid` is nobody's (RFC 2606).
pub(crate) const EMAIL_DOMAIN: &str = "@masked.invalid";
/// Dates from 1900-01-01 on have pseudonyms among 2^16 days, to June 2079.
const DATE_BITS: u32 = 16;
/// Moments from 1900-01-01 on have pseudonyms among 2^53 microseconds, to 2185.
const MOMENT_BITS: u32 = 53;
const EPOCH_DAYS: i64 = days_to_year(1900);
/// Smallest power of two above the microseconds of a day.
const TIME_BITS: u32 = 37;
/// The most times that a time beyond midnight is permuted again; each time six of ten fit.
const WALKS_MAX: usize = 128;
/// Digits before the point where the type does not say how many fit.
const DECIMAL_DIGITS: u32 = 15;

/// Makes pseudonyms.
pub(super) struct Pseudonyms {
    mac: Hmac<Sha256>,
}

impl Pseudonyms {
    pub(super) fn new(mac: Hmac<Sha256>) -> Self {
        Self { mac }
    }

    /// 128 bits that stand for the value. `kind` keeps equal bytes of different kinds apart.
    fn bits(&self, kind: &[u8], value: &[u8]) -> u128 {
        let mut mac = self.mac.clone();
        mac.update(kind);
        mac.update(&[0]);
        mac.update(value);
        let digest = mac.finalize().into_bytes();
        digest.iter().take(16).fold(0, |x, b| (x << 8) | u128::from(*b))
    }

    /// 26 letters and digits; what is an e-mail address as a whole becomes one.
    pub(super) fn text(&self, text: &str) -> String {
        let mut out = base32(self.bits(b"text", text.as_bytes()));
        if is_email(text) {
            out.push_str(EMAIL_DOMAIN);
        }
        out
    }

    pub(super) fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        self.bits(b"bytes", bytes).to_be_bytes().to_vec()
    }

    /// A JSON string.
    pub(super) fn json(&self, text: &str) -> String {
        format!("\"{}\"", base32(self.bits(b"json", text.as_bytes())))
    }

    /// A UUID of version 8 (RFC 9562, section 5.8).
    pub(super) fn uuid(&self, uuid: [u8; 16]) -> [u8; 16] {
        let version = (self.bits(b"uuid", &uuid) & !(0xf << 76)) | (8 << 76);
        ((version & !(3 << 62)) | (2 << 62)).to_be_bytes()
    }

    /// A locally administered unicast address of the same length.
    pub(super) fn mac(&self, mac: &[u8]) -> Vec<u8> {
        let mut out = self.bits(b"mac", mac).to_be_bytes().to_vec();
        out.truncate(mac.len());
        if let Some(first) = out.first_mut() {
            *first = (*first & 0xfc) | 0x02;
        }
        out
    }

    /// Any IPv4 address, each its own; or one of `fd00::/8` (RFC 4193).
    pub(super) fn address(&self, ff1: &Ff1, address: IpAddr) -> Option<(IpAddr, u8)> {
        Some(match address {
            IpAddr::V4(a) => {
                let bits = ff1.permute(2, 32, b"v4", u128::from(a.to_bits()))?;
                (Ipv4Addr::from_bits(u32::try_from(bits).ok()?).into(), 32)
            }
            IpAddr::V6(a) => {
                let bits = self.bits(b"v6", &a.octets());
                (Ipv6Addr::from_bits((bits >> 8) | (0xfd << 120)).into(), 128)
            }
        })
    }

    /// A decimal with as many digits before the point as its type takes, and none but zeros behind.
    pub(super) fn decimal(&self, text: &str, digits: Option<(u16, u16)>) -> String {
        let (before, after) = digits.map_or((DECIMAL_DIGITS, 0), |(all, after)| {
            (u32::from(all.saturating_sub(after)).min(DECIMAL_DIGITS), usize::from(after))
        });
        let number = self.bits(b"decimal", canonical(text).as_bytes()) % 10_u128.pow(before);
        if after == 0 { number.to_string() } else { format!("{number}.{}", "0".repeat(after)) }
    }

    /// A whole number that the type holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "at most 53 bits, 24 for single precision")]
    pub(super) fn float(&self, value: f64, single: bool) -> f64 {
        let value = if value == 0.0 { 0.0 } else { value };
        let bits = self.bits(b"float", &value.to_be_bytes());
        (bits >> if single { 104 } else { 75 }) as f64
    }
}

/// Another whole number of the same sign; the same for all widths that hold it, but for 16 bits.
pub(super) fn integer(ff1: &Ff1, value: i64, width: Width) -> Option<i64> {
    let bits = match (width, i32::try_from(value)) {
        (Width::W16, _) => 15,
        (_, Ok(_)) => 31,
        _ => 63,
    };
    // A negative number is mirrored: -1 is 0, the smallest is the greatest.
    let magnitude = if value < 0 { !value } else { value };
    let permuted = i64::try_from(ff1.permute(2, bits, b"integer", u128::try_from(magnitude).ok()?)?).ok()?;
    Some(if value < 0 { !permuted } else { permuted })
}

/// Another day; `None` for those outside of the years that are permuted.
pub(super) fn date(ff1: &Ff1, days: i32) -> Option<i32> {
    i32::try_from(shifted(ff1, DATE_BITS, b"date", i64::from(days), EPOCH_DAYS)?).ok()
}

/// Another moment; `None` for those outside of the years that are permuted.
pub(super) fn timestamp(ff1: &Ff1, us: i64) -> Option<i64> {
    shifted(ff1, MOMENT_BITS, b"timestamp", us, EPOCH_DAYS * DAY_US)
}

/// Another time of the day.
pub(super) fn time(ff1: &Ff1, us: i64) -> Option<i64> {
    let mut x = us;
    for _ in 0..WALKS_MAX {
        x = shifted(ff1, TIME_BITS, b"time", x, 0)?;
        if x <= DAY_US {
            return Some(x);
        }
    }
    None
}

fn shifted(ff1: &Ff1, bits: u32, tweak: &[u8], value: i64, base: i64) -> Option<i64> {
    let offset = u128::try_from(value.checked_sub(base)?).ok()?;
    i64::try_from(ff1.permute(2, bits, tweak, offset)?).ok()?.checked_add(base)
}

fn base32(bits: u128) -> String {
    let letter = |i: u32| {
        let five = usize::try_from((bits >> (125_u32.saturating_sub(i * 5))) & 31).unwrap_or(0);
        char::from(ALPHABET.get(five).copied().unwrap_or(b'a'))
    };
    (0..26).map(letter).collect()
}

/// `1.50`, `01.5` and `1.5` are one number.
fn canonical(text: &str) -> String {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |d| ("-", d));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.is_empty() && fraction.is_empty() { "0".to_owned() } else { format!("{sign}{whole}.{fraction}") }
}

/// One `@` between something and a domain with a dot, and nothing that no address has.
fn is_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && domain.contains('.')
            && !domain.starts_with('.')
            && !text.contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | ','))
            && !domain.contains('@')
    })
}

#[cfg(test)]
mod tests {
    use super::{base32, canonical, is_email};

    #[test]
    fn base32_has_a_fixed_length() {
        assert_eq!(base32(0), "a".repeat(26));
        assert_eq!(base32(u128::MAX).len(), 26);
        assert_ne!(base32(1), base32(0));
        assert_ne!(base32(1 << 127), base32(0));
    }

    #[test]
    fn equal_numbers_have_one_form() {
        for (a, b) in [("1.50", "01.5"), ("0", "-0.00"), ("100", "100.0")] {
            assert_eq!(canonical(a), canonical(b));
        }
        assert_ne!(canonical("1.5"), canonical("15"));
        assert_ne!(canonical("10"), canonical("1"));
        assert_ne!(canonical("1"), canonical("-1"));
    }

    #[test]
    fn addresses_as_a_whole() {
        assert!(is_email("ana@example.com"));
        for not in ["ana", "@example.com", "a@b", "a@b@c.d", "mail ana@example.com", "a@.com"] {
            assert!(!is_email(not), "{not}");
        }
    }
}
