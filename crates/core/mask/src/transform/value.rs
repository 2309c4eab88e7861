//! Values as transforms see them: what they mean, not how a protocol writes them.
//!
//! A protocol decodes its text and its binary form to the same [`Value`], so both are masked alike. A value must never be printed: its
//! `Debug` shows only of which kind it is.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

/// How wide a whole number's type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Width {
    /// 16 bits, signed.
    W16,
    /// 32 bits, signed.
    W32,
    /// 64 bits, signed.
    W64,
}

impl Width {
    /// The greatest value of the type.
    pub const fn greatest(self) -> i64 {
        match self {
            Self::W16 => i16::MAX as i64,
            Self::W32 => i32::MAX as i64,
            Self::W64 => i64::MAX,
        }
    }
}

/// One value of a result, or one element of an array, field of a composite, bound of a range.
///
/// What a type has beyond these (infinite dates, addresses with a port) is [`Value::Opaque`] to its protocol.
#[derive(Clone, PartialEq)]
pub enum Value<'v> {
    /// No value. It stays null, whatever the transform.
    Null,
    /// Characters. `chars_max` is the declared length, such as 20 for `varchar(20)`.
    Text {
        /// The characters.
        text: Cow<'v, str>,
        /// The most characters that the type allows; `None` when it does not say.
        chars_max: Option<u32>,
    },
    /// A whole number.
    Integer {
        /// The number; must be within the type's range.
        value: i64,
        /// How wide the type is.
        width: Width,
    },
    /// A decimal number of any size, in digits with an optional sign and point, such as `-12.50`.
    Decimal {
        /// The number.
        text: Cow<'v, str>,
        /// Declared digits in all and after the point; `None` when the type does not say.
        digits: Option<(u16, u16)>,
    },
    /// A floating-point number. `single` is true for 32 bits.
    Float {
        /// The number.
        value: f64,
        /// 32 bits, not 64.
        single: bool,
    },
    /// True or false.
    Bool(bool),
    /// Days since 1970-01-01 in the proleptic Gregorian calendar.
    Date(i32),
    /// Microseconds since 1970-01-01 00:00. Where the type knows zones, UTC.
    Timestamp(i64),
    /// Microseconds since midnight, 0 to 86,400,000,000.
    Time(i64),
    /// A UUID (RFC 9562).
    Uuid([u8; 16]),
    /// An address with the length of its network's prefix, in bits.
    Address {
        /// The address.
        address: IpAddr,
        /// 0 to 32 or 128.
        prefix: u8,
    },
    /// A MAC address of 6 bytes (EUI-48) or 8 (EUI-64).
    Mac(Cow<'v, [u8]>),
    /// Bytes.
    Bytes(Cow<'v, [u8]>),
    /// A JSON text.
    Json(Cow<'v, str>),
    /// Anything else. Whatever the transform, it becomes null.
    Opaque,
}

impl<'v> Value<'v> {
    /// Text of any length.
    pub fn text(text: impl Into<Cow<'v, str>>) -> Self {
        Self::Text { text: text.into(), chars_max: None }
    }

    /// Of which kind it is, in one word.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Text { .. } => "text",
            Self::Integer { .. } => "integer",
            Self::Decimal { .. } => "decimal",
            Self::Float { .. } => "float",
            Self::Bool(_) => "bool",
            Self::Date(_) => "date",
            Self::Timestamp(_) => "timestamp",
            Self::Time(_) => "time",
            Self::Uuid(_) => "uuid",
            Self::Address { .. } => "address",
            Self::Mac(_) => "mac",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "json",
            Self::Opaque => "opaque",
        }
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn debug_shows_the_kind_alone() {
        assert_eq!(format!("{:?}", Value::text("hunter2")), "text");
    }
}
