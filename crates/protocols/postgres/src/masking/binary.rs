//! Values in binary format: to what they mean and back.
//!
//! Source: the `…_send` and `…_recv` functions of PostgreSQL. What is not of the type's form is opaque, and becomes null.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::BufMut;
use countersign_mask::{Value, Width};

use super::civil::{DAY_US, EPOCH_DAYS, EPOCH_US};
use super::kind::Kind;
use super::numeric;
use super::text::{chars_max, fits, pad, prefix_max};

/// Families of addresses: PostgreSQL's own numbers for IPv4 and IPv6.
const V4: u8 = 2;
const V6: u8 = 3;
/// The one version of `jsonb`'s binary form.
const JSONB_VERSION: u8 = 1;

/// What a value in binary format means.
pub(super) fn read(kind: Kind, typmod: i32, bytes: &[u8]) -> Value<'_> {
    meaning(kind, typmod, bytes).unwrap_or(Value::Opaque)
}

fn utf8(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn meaning(kind: Kind, typmod: i32, b: &[u8]) -> Option<Value<'_>> {
    Some(match kind {
        Kind::Text => Value::Text { text: Cow::Borrowed(utf8(b)?), chars_max: chars_max(typmod) },
        Kind::Padded => {
            Value::Text { text: Cow::Borrowed(utf8(b)?.trim_end_matches(' ')), chars_max: chars_max(typmod) }
        }
        Kind::Integer(width) => {
            let value = match width {
                Width::W16 => i64::from(i16::from_be_bytes(b.try_into().ok()?)),
                Width::W32 => i64::from(i32::from_be_bytes(b.try_into().ok()?)),
                Width::W64 => i64::from_be_bytes(b.try_into().ok()?),
            };
            Value::Integer { value, width }
        }
        Kind::Oid => Value::Integer { value: i64::from(u32::from_be_bytes(b.try_into().ok()?)), width: Width::W64 },
        Kind::Float { single: true } => {
            Value::Float { value: f64::from(f32::from_be_bytes(b.try_into().ok()?)), single: true }
        }
        Kind::Float { single: false } => Value::Float { value: f64::from_be_bytes(b.try_into().ok()?), single: false },
        Kind::Numeric => Value::Decimal { text: Cow::Owned(numeric::read(b)?), digits: numeric::digits_of(typmod) },
        Kind::Bytes => Value::Bytes(Cow::Borrowed(b)),
        Kind::Date => {
            let days = i32::from_be_bytes(b.try_into().ok()?);
            Value::Date(finite(days, i32::MIN, i32::MAX)?.checked_add(EPOCH_DAYS)?)
        }
        Kind::Time => Value::Time(time(b)?),
        Kind::ZonedTime => Value::Time(time(b.get(..8).filter(|_| b.len() == 12)?)?),
        Kind::Timestamp | Kind::ZonedTimestamp => {
            let us = i64::from_be_bytes(b.try_into().ok()?);
            Value::Timestamp(finite(us, i64::MIN, i64::MAX)?.checked_add(EPOCH_US)?)
        }
        Kind::Uuid => Value::Uuid(b.try_into().ok()?),
        Kind::Inet | Kind::Cidr => {
            let ([family, prefix, _, len], address) = b.split_first_chunk()?;
            let address: IpAddr = match (*family, *len) {
                (V4, 4) => Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?).into(),
                (V6, 16) => Ipv6Addr::from(<[u8; 16]>::try_from(address).ok()?).into(),
                _ => return None,
            };
            Value::Address { address, prefix: *prefix }
        }
        Kind::Mac => Value::Mac(Cow::Borrowed(b)),
        Kind::Json => Value::Json(Cow::Borrowed(utf8(b)?)),
        Kind::Jsonb => Value::Json(Cow::Borrowed(utf8(b.strip_prefix(&[JSONB_VERSION])?)?)),
        Kind::Array(_) | Kind::Range(_) | Kind::Record | Kind::Row(_) | Kind::Pairs | Kind::Opaque | Kind::Unknown => {
            return None;
        }
    })
}

/// The ends of a type's range stand for infinity.
fn finite<T: PartialEq>(value: T, past: T, future: T) -> Option<T> {
    (value != past && value != future).then_some(value)
}

fn time(b: &[u8]) -> Option<i64> {
    let us = i64::from_be_bytes(b.try_into().ok()?);
    (0..=DAY_US).contains(&us).then_some(us)
}

/// Writes a value in binary format; false, with nothing written, when it has none: then it is null.
pub(super) fn write(kind: Kind, value: &Value<'_>, out: &mut Vec<u8>) -> bool {
    form(kind, value, out).is_some()
}

#[expect(clippy::cast_possible_truncation, reason = "a float of single precision is rounded, as everywhere")]
fn form(kind: Kind, value: &Value<'_>, out: &mut Vec<u8>) -> Option<()> {
    match (kind, value) {
        (Kind::Text, Value::Text { text, .. }) => out.extend(text.bytes().filter(|b| *b != 0)),
        (Kind::Padded, Value::Text { text, chars_max }) => {
            let mut s = String::new();
            pad(&mut s, text, *chars_max);
            out.extend_from_slice(s.as_bytes());
        }
        (Kind::Integer(width), Value::Integer { value, .. }) if fits(*value, width) => match width {
            Width::W16 => out.put_i16(i16::try_from(*value).ok()?),
            Width::W32 => out.put_i32(i32::try_from(*value).ok()?),
            Width::W64 => out.put_i64(*value),
        },
        (Kind::Oid, Value::Integer { value, .. }) => out.put_u32(u32::try_from(*value).ok()?),
        (Kind::Float { single: true }, Value::Float { value, .. }) => out.put_f32(*value as f32),
        (Kind::Float { single: false }, Value::Float { value, .. }) => out.put_f64(*value),
        (Kind::Numeric, Value::Decimal { text, .. }) => return numeric::write(out, text).then_some(()),
        (Kind::Bytes, Value::Bytes(bytes)) | (Kind::Mac, Value::Mac(bytes)) => out.extend_from_slice(bytes),
        (Kind::Date, Value::Date(days)) => out.put_i32(days.checked_sub(EPOCH_DAYS)?),
        (Kind::Time, Value::Time(us)) => out.put_i64(*us),
        (Kind::ZonedTime, Value::Time(us)) => {
            out.put_i64(*us);
            out.put_i32(0);
        }
        (Kind::Timestamp | Kind::ZonedTimestamp, Value::Timestamp(us)) => out.put_i64(us.checked_sub(EPOCH_US)?),
        (Kind::Uuid, Value::Uuid(uuid)) => out.extend_from_slice(uuid),
        (Kind::Inet | Kind::Cidr, Value::Address { address, prefix }) if *prefix <= prefix_max(address) => {
            let is_cidr = u8::from(kind == Kind::Cidr);
            match address {
                IpAddr::V4(a) => {
                    out.extend_from_slice(&[V4, *prefix, is_cidr, 4]);
                    out.extend_from_slice(&a.octets());
                }
                IpAddr::V6(a) => {
                    out.extend_from_slice(&[V6, *prefix, is_cidr, 16]);
                    out.extend_from_slice(&a.octets());
                }
            }
        }
        (Kind::Json, Value::Json(text)) => out.extend_from_slice(text.as_bytes()),
        (Kind::Jsonb, Value::Json(text)) => {
            out.push(JSONB_VERSION);
            out.extend_from_slice(text.as_bytes());
        }
        _ => return None,
    }
    Some(())
}
