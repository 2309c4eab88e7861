//! What becomes of a masked value.
//!
//! The result is always a value of the same kind, or null, so that no driver breaks. A value must never pass as it is because it could not
//! be rewritten: whatever goes wrong ends in null.

pub(crate) mod calendar;
mod coarse;
mod ff1;
pub(crate) mod format;
mod partial;
pub(crate) mod pseudonym;
mod value;

use std::borrow::Cow;

use countersign_model::{Secret, Transform};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

pub use value::{Value, Width};

use ff1::Ff1;
use pseudonym::Pseudonyms;

/// What a text says instead of itself. It has brackets, so that nothing grows together around it.
pub const REDACTED: &str = "[redacted]";
/// The same as a JSON value.
const REDACTED_JSON: &str = "\"[redacted]\"";
/// The shortest key of an installation, in bytes.
pub const KEY_BYTES_MIN: usize = 32;

/// Transforms values under the installation's key. Shared by all sessions; it holds keys and is never printed.
pub struct Masker {
    pseudonyms: Pseudonyms,
    ff1: Ff1,
}

/// The key is shorter than [`KEY_BYTES_MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortKey;

impl std::fmt::Display for ShortKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the key for pseudonyms has fewer than {KEY_BYTES_MIN} bytes: make one of random bytes")
    }
}

impl std::error::Error for ShortKey {}

impl Masker {
    /// From the installation's key: random bytes that are the same on every gateway, and stay the same for as long as pseudonyms are to.
    pub fn new(key: &Secret) -> Result<Self, ShortKey> {
        if key.expose().len() < KEY_BYTES_MIN {
            return Err(ShortKey);
        }
        let root = keyed(key.expose())?;
        let derive = |label: &[u8]| {
            let mut mac = root.clone();
            mac.update(label);
            Zeroizing::new(<[u8; 32]>::from(mac.finalize().into_bytes()))
        };
        let mac = keyed(&*derive(b"countersign mask pseudonym 1"))?;
        Ok(Self { pseudonyms: Pseudonyms::new(mac), ff1: Ff1::new(&derive(b"countersign mask ff1 1")) })
    }

    /// The value after the transform: of the same kind, or null. The same key, transform and value give the same result, whatever form the
    /// value had on the wire.
    pub fn apply(&self, transform: Transform, value: &Value<'_>) -> Value<'static> {
        match transform {
            Transform::Generalise => generalise(value),
            Transform::Last(keep) => match value {
                Value::Text { text, chars_max } => fitted(partial::keep_last(text, keep), *chars_max),
                _ => Value::Null,
            },
            Transform::Format => self.format(value),
            Transform::Hash => self.hash(value),
            Transform::Redact => redact(value),
            Transform::Null => Value::Null,
        }
    }

    /// Text that stands within other text: never null, because something must be there.
    pub(crate) fn apply_within(&self, transform: Transform, text: &str) -> Cow<'static, str> {
        if transform == Transform::Redact {
            return Cow::Borrowed(REDACTED);
        }
        match self.apply(transform, &Value::text(text)) {
            Value::Text { text, .. } => text,
            _ => Cow::Borrowed(REDACTED),
        }
    }

    fn format(&self, value: &Value<'_>) -> Value<'static> {
        match value {
            Value::Text { text, chars_max } => fitted(format::digits(&self.ff1, text), *chars_max),
            Value::Integer { value, width } => {
                let (magnitude, limit) = (value.unsigned_abs(), width.greatest().unsigned_abs());
                let other = format::whole(&self.ff1, magnitude, limit).and_then(|x| i64::try_from(x).ok());
                let other = other.map(|x| if *value < 0 { -x } else { x });
                match other.or_else(|| pseudonym::integer(&self.ff1, *value, *width)) {
                    Some(value) => Value::Integer { value, width: *width },
                    None => Value::Null,
                }
            }
            // Its digits as a number are its magnitude; the form of a number is its type.
            Value::Decimal { .. } | Value::Float { .. } => self.hash(value),
            _ => Value::Null,
        }
    }

    fn hash(&self, value: &Value<'_>) -> Value<'static> {
        let (p, ff1) = (&self.pseudonyms, &self.ff1);
        let hashed = match value {
            // Two values do not hide each other.
            Value::Null | Value::Bool(_) | Value::Opaque => None,
            Value::Text { text, chars_max } => return fitted(Some(p.text(text)), *chars_max),
            Value::Integer { value, width } => {
                pseudonym::integer(ff1, *value, *width).map(|value| Value::Integer { value, width: *width })
            }
            Value::Decimal { text, digits } => {
                Some(Value::Decimal { text: p.decimal(text, *digits).into(), digits: *digits })
            }
            Value::Float { value, single } => Some(Value::Float { value: p.float(*value, *single), single: *single }),
            Value::Date(days) => pseudonym::date(ff1, *days).map(Value::Date),
            Value::Timestamp(us) => pseudonym::timestamp(ff1, *us).map(Value::Timestamp),
            Value::Time(us) => pseudonym::time(ff1, *us).map(Value::Time),
            Value::Uuid(uuid) => Some(Value::Uuid(p.uuid(*uuid))),
            Value::Address { address, .. } => {
                p.address(ff1, *address).map(|(address, prefix)| Value::Address { address, prefix })
            }
            Value::Mac(mac) => Some(Value::Mac(p.mac(mac).into())),
            Value::Bytes(bytes) => Some(Value::Bytes(p.bytes(bytes).into())),
            Value::Json(text) => Some(Value::Json(p.json(text).into())),
        };
        hashed.unwrap_or(Value::Null)
    }
}

fn keyed(key: &[u8]) -> Result<Hmac<Sha256>, ShortKey> {
    Hmac::new_from_slice(key).map_err(|_| ShortKey)
}

fn redact(value: &Value<'_>) -> Value<'static> {
    match value {
        Value::Text { chars_max, .. } => fitted(Some(REDACTED.to_owned()), *chars_max),
        Value::Json(_) => Value::Json(Cow::Borrowed(REDACTED_JSON)),
        _ => Value::Null,
    }
}

fn generalise(value: &Value<'_>) -> Value<'static> {
    let coarse = match value {
        Value::Text { text, chars_max } => {
            return coarse::text(text).map_or(Value::Null, |t| fitted(Some(t), *chars_max));
        }
        Value::Integer { value, width } => Some(Value::Integer { value: coarse::integer(*value), width: *width }),
        Value::Decimal { text, digits } => {
            coarse::decimal(text).map(|text| Value::Decimal { text: text.into(), digits: *digits })
        }
        Value::Float { value, single } => coarse::float(*value).map(|value| Value::Float { value, single: *single }),
        Value::Date(days) => coarse::date(*days).map(Value::Date),
        Value::Timestamp(us) => coarse::timestamp(*us).map(Value::Timestamp),
        Value::Time(us) => Some(Value::Time(coarse::time(*us))),
        Value::Address { address, prefix } => {
            let (address, prefix) = coarse::address(*address, *prefix);
            Some(Value::Address { address, prefix })
        }
        Value::Null
        | Value::Bool(_)
        | Value::Uuid(_)
        | Value::Mac(_)
        | Value::Bytes(_)
        | Value::Json(_)
        | Value::Opaque => None,
    };
    coarse.unwrap_or(Value::Null)
}

/// Text of the type's length; what has no form of its own is redacted.
fn fitted(text: Option<String>, chars_max: Option<u32>) -> Value<'static> {
    let mut text = text.unwrap_or_else(|| REDACTED.to_owned());
    if let Some(end) = chars_max.and_then(|n| text.char_indices().nth(usize::try_from(n).ok()?)) {
        text.truncate(end.0);
    }
    Value::Text { text: text.into(), chars_max }
}

#[cfg(test)]
mod tests;
