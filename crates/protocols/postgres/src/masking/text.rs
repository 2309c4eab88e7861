//! Values in text format: to what they mean and back.
//!
//! It must never guess: what is not written as PostgreSQL writes it under its ISO date style is opaque, and becomes null.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use countersign_mask::{Value, Width};

use super::civil;
use super::kind::Kind;
use super::numeric;

/// What a value in text format means.
pub(super) fn read(kind: Kind, typmod: i32, bytes: &[u8]) -> Value<'_> {
    std::str::from_utf8(bytes).ok().and_then(|s| meaning(kind, typmod, s)).unwrap_or(Value::Opaque)
}

/// The declared length of `varchar(n)` and `char(n)`.
pub(super) fn chars_max(typmod: i32) -> Option<u32> {
    typmod.checked_sub(4).and_then(|n| u32::try_from(n).ok())
}

fn meaning(kind: Kind, typmod: i32, s: &str) -> Option<Value<'_>> {
    Some(match kind {
        Kind::Text => Value::Text { text: Cow::Borrowed(s), chars_max: chars_max(typmod) },
        Kind::Padded => Value::Text { text: Cow::Borrowed(s.trim_end_matches(' ')), chars_max: chars_max(typmod) },
        Kind::Integer(width) => Value::Integer { value: s.parse().ok()?, width },
        Kind::Oid => Value::Integer { value: i64::from(s.parse::<u32>().ok()?), width: Width::W64 },
        Kind::Float { single } => Value::Float { value: s.parse().ok()?, single },
        Kind::Numeric => {
            let digits = s.strip_prefix('-').unwrap_or(s);
            let number = digits.starts_with(|c: char| c.is_ascii_digit());
            number.then(|| Value::Decimal { text: Cow::Borrowed(s), digits: numeric::digits_of(typmod) })?
        }
        Kind::Bytes => Value::Bytes(hex(s.strip_prefix("\\x")?)?.into()),
        Kind::Date => Value::Date(civil::read_date(s)?),
        Kind::Time => Value::Time(civil::read_time(s)?),
        Kind::ZonedTime => Value::Time(civil::read_zoned_time(s)?),
        Kind::Timestamp => Value::Timestamp(civil::read_timestamp(s, false)?),
        Kind::ZonedTimestamp => Value::Timestamp(civil::read_timestamp(s, true)?),
        Kind::Uuid => Value::Uuid(hex(&s.replace('-', ""))?.try_into().ok()?),
        Kind::Inet | Kind::Cidr => {
            let (address, prefix) = s.split_once('/').map_or((s, None), |(a, p)| (a, Some(p)));
            let address: IpAddr = address.parse().ok()?;
            let prefix = match prefix {
                Some(p) => p.parse().ok()?,
                None => prefix_max(&address),
            };
            Value::Address { address, prefix }
        }
        Kind::Mac => Value::Mac(hex(&s.replace(':', ""))?.into()),
        Kind::Json | Kind::Jsonb => Value::Json(Cow::Borrowed(s)),
        Kind::Array(_) | Kind::Range(_) | Kind::Record | Kind::Row(_) | Kind::Pairs | Kind::Opaque | Kind::Unknown => {
            return None;
        }
    })
}

/// Writes a value in text format; false, with nothing written, when it has none: then it is null.
pub(super) fn write(kind: Kind, value: &Value<'_>, out: &mut Vec<u8>) -> bool {
    let mut s = String::new();
    if !form(kind, value, &mut s) {
        return false;
    }
    out.extend_from_slice(s.as_bytes());
    true
}

fn form(kind: Kind, value: &Value<'_>, s: &mut String) -> bool {
    match (kind, value) {
        (Kind::Text, Value::Text { text, .. }) => s.push_str(&text.replace('\0', "")),
        (Kind::Padded, Value::Text { text, chars_max }) => pad(s, text, *chars_max),
        (Kind::Integer(width), Value::Integer { value, .. }) if fits(*value, width) => return put(s, value),
        (Kind::Oid, Value::Integer { value, .. }) if u32::try_from(*value).is_ok() => return put(s, value),
        (Kind::Float { .. }, Value::Float { value, .. }) => return put(s, value),
        (Kind::Numeric, Value::Decimal { text, .. }) => s.push_str(text),
        (Kind::Bytes, Value::Bytes(bytes)) => {
            s.push_str("\\x");
            put_hex(s, bytes, None);
        }
        (Kind::Date, Value::Date(days)) => civil::write_date(s, *days),
        (Kind::Time, Value::Time(us)) => civil::write_time(s, *us),
        (Kind::ZonedTime, Value::Time(us)) => {
            civil::write_time(s, *us);
            s.push_str("+00");
        }
        (Kind::Timestamp, Value::Timestamp(us)) => civil::write_timestamp(s, *us, false),
        (Kind::ZonedTimestamp, Value::Timestamp(us)) => civil::write_timestamp(s, *us, true),
        (Kind::Uuid, Value::Uuid(uuid)) => {
            for (n, part) in [0..4, 4..6, 6..8, 8..10, 10..16].into_iter().enumerate() {
                if n > 0 {
                    s.push('-');
                }
                put_hex(s, uuid.get(part).unwrap_or_default(), None);
            }
        }
        (Kind::Inet, Value::Address { address, prefix }) if *prefix == prefix_max(address) => return put(s, address),
        (Kind::Inet | Kind::Cidr, Value::Address { address, prefix }) => {
            return write!(s, "{address}/{prefix}").is_ok();
        }
        (Kind::Mac, Value::Mac(bytes)) => put_hex(s, bytes, Some(':')),
        (Kind::Json | Kind::Jsonb, Value::Json(text)) => s.push_str(text),
        _ => return false,
    }
    true
}

/// The longest prefix of an address's kind.
pub(super) fn prefix_max(address: &IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// True when a number is one of the type's.
pub(super) fn fits(value: i64, width: Width) -> bool {
    (-width.greatest() - 1..=width.greatest()).contains(&value)
}

/// Text filled up with blanks to its declared length.
pub(super) fn pad(s: &mut String, text: &str, chars_max: Option<u32>) {
    let before = s.chars().count();
    s.extend(text.chars().filter(|c| *c != '\0'));
    let missing =
        chars_max.and_then(|n| usize::try_from(n).ok()).unwrap_or(0).saturating_sub(s.chars().count() - before);
    s.extend(std::iter::repeat_n(' ', missing));
}

fn put(s: &mut String, what: impl std::fmt::Display) -> bool {
    write!(s, "{what}").is_ok()
}

fn put_hex(s: &mut String, bytes: &[u8], separator: Option<char>) {
    for (n, b) in bytes.iter().enumerate() {
        if let Some(separator) = separator.filter(|_| n > 0) {
            s.push(separator);
        }
        let _ = write!(s, "{b:02x}");
    }
}

fn hex(s: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let (pairs, rest) = s.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[a, b]| Some(digit(*a)? << 4 | digit(*b)?)).collect()
}
