//! How a tagged value is shown: which transform for which tag.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Tag;

/// The most characters that `last` may keep.
pub const KEPT_CHARS_MAX: u8 = 8;

/// What becomes of a value. Later ones tell less: where several tags fall on one value, the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transform {
    /// Coarser: a date to its year, an address to its network. What has no coarser form becomes null.
    Generalise,
    /// The last characters stay, the others are hidden.
    Last(
        /// How many; at most [`KEPT_CHARS_MAX`]. Fewer tell less, but of two transforms the greater number never wins by it: see
        /// [`Transform::stricter`].
        u8,
    ),
    /// Other digits in the same form, the same ones for the same value.
    Format,
    /// A pseudonym, the same for the same value: values can be joined and counted, not read.
    Hash,
    /// A fixed text that says nothing of the value; null for types that have none.
    Redact,
    /// Null.
    Null,
}

impl Transform {
    /// Where policy does not choose.
    pub const DEFAULT: Self = Self::Redact;

    /// Of two, the one that tells less.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Last(a), Self::Last(b)) => Self::Last(a.min(b)),
            (a, b) => a.max(b),
        }
    }
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Generalise => f.write_str("generalise"),
            Self::Last(n) => write!(f, "last{n}"),
            Self::Format => f.write_str("format"),
            Self::Hash => f.write_str("hash"),
            Self::Redact => f.write_str("redact"),
            Self::Null => f.write_str("null"),
        }
    }
}

/// Words that are no transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownTransform;

impl fmt::Display for UnknownTransform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not one of redact, last1 to last{KEPT_CHARS_MAX}, hash, format, generalise, null")
    }
}

impl std::error::Error for UnknownTransform {}

impl FromStr for Transform {
    type Err = UnknownTransform;

    fn from_str(s: &str) -> Result<Self, UnknownTransform> {
        Ok(match s {
            "generalise" => Self::Generalise,
            "format" => Self::Format,
            "hash" => Self::Hash,
            "redact" => Self::Redact,
            "null" => Self::Null,
            _ => match s.strip_prefix("last").map(str::as_bytes) {
                Some([digit @ b'1'..=b'8']) => Self::Last(digit - b'0'),
                _ => return Err(UnknownTransform),
            },
        })
    }
}

impl Serialize for Transform {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Transform {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// One tag that is masked in an action, and how.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Mask {
    /// The tag.
    pub tag: Tag,
    /// What becomes of its values.
    pub transform: Transform,
}

#[cfg(test)]
mod tests {
    use super::{KEPT_CHARS_MAX, Transform};

    #[test]
    fn transforms_are_written_as_they_are_read() {
        use Transform::{Format, Generalise, Hash, Last, Null, Redact};
        for t in [Generalise, Last(1), Last(KEPT_CHARS_MAX), Format, Hash, Redact, Null] {
            assert_eq!(t.to_string().parse(), Ok(t));
        }
        for bad in ["", "last", "last0", "last9", "last04", "Redact", "hash "] {
            assert!(bad.parse::<Transform>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_stricter_tells_less() {
        use Transform::{Generalise, Hash, Last, Null, Redact};
        assert_eq!(Last(4).stricter(Last(2)), Last(2));
        assert_eq!(Last(4).stricter(Redact), Redact);
        assert_eq!(Null.stricter(Hash), Null);
        assert_eq!(Generalise.stricter(Last(8)), Last(8));
    }
}
