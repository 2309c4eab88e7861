//! What of tagged data is not masked but refused or counted: choosing by it, storing it elsewhere, guessing it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Tag;

/// The highest count of a [`Rate`]: every use of a window is remembered.
pub const RATE_COUNT_MAX: u32 = 1_000;
/// The longest window of a [`Rate`], in seconds: 31 days.
pub const RATE_WINDOW_MAX_S: u32 = 31 * 86_400;

/// The units of a window, from the longest.
const UNITS: [(char, u32); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];

/// So many in any stretch of time as long as the window, written `20/1h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; 1 to [`RATE_COUNT_MAX`].
    pub count: u32,
    /// In how many seconds; 1 to [`RATE_WINDOW_MAX_S`].
    pub window_s: u32,
}

impl Rate {
    /// The lower count in the longer window: never more than either allows.
    #[must_use]
    pub fn strictest(self, other: Self) -> Self {
        Self { count: self.count.min(other.count), window_s: self.window_s.max(other.window_s) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = UNITS.into_iter().find(|(_, seconds)| self.window_s.is_multiple_of(*seconds));
        let (unit, seconds) = unit.unwrap_or(('s', 1));
        write!(f, "{}/{}{unit}", self.count, self.window_s / seconds)
    }
}

/// Words that are no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARate;

impl fmt::Display for NotARate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not COUNT/TIME such as 20/1h: 1 to {RATE_COUNT_MAX} in s, m, h or d, at most 31d")
    }
}

impl std::error::Error for NotARate {}

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(s: &str) -> Result<Self, NotARate> {
        let digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit()).then(|| s.parse::<u32>().ok()).flatten();
        let (count, window) = s.split_once('/').ok_or(NotARate)?;
        let (unit, seconds) = UNITS.into_iter().find(|(unit, _)| window.ends_with(*unit)).ok_or(NotARate)?;
        let window = window.strip_suffix(unit).and_then(digits).and_then(|n| n.checked_mul(seconds));
        match (digits(count), window) {
            (Some(count @ 1..=RATE_COUNT_MAX), Some(window_s @ 1..=RATE_WINDOW_MAX_S)) => Ok(Self { count, window_s }),
            _ => Err(NotARate),
        }
    }
}

impl Serialize for Rate {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        s.parse().map_err(serde::de::Error::custom)
    }
}

/// A tag whose masked values an action compares with a constant, as a rule allows so many times.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// The tag.
    pub tag: Tag,
    /// How often it may be done.
    pub rate: Rate,
}

/// Why a probe that a rule allows is not to be made now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeRefusal {
    /// As many were made as the rule allows.
    Spent(
        /// Of which tag, and how many those are.
        Probe,
        /// After how many seconds another one is possible.
        u64,
    ),
    /// The action compares with more constants than the rule ever allows within its time.
    TooMany(
        /// Of which tag, and how many may be.
        Probe,
        /// How many they are.
        u32,
    ),
    /// Nobody can count them: no counter, or more of them than it remembers.
    Uncounted,
}

/// What an action does with tagged data besides showing it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// Rows are chosen or ordered by it.
    Chosen,
    /// It is compared with a constant.
    Matched,
    /// It is stored or handed on.
    Copied,
}

impl Exposure {
    /// The word used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Chosen => "chosen",
            Self::Matched => "matched",
            Self::Copied => "copied",
        }
    }
}

/// A tag that an action was refused for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Withheld {
    /// The tag.
    pub tag: Tag,
    /// What the action would do with it.
    pub by: Exposure,
}

#[cfg(test)]
mod tests {
    use super::{RATE_COUNT_MAX, Rate};

    #[test]
    fn rates_are_written_as_they_are_read() {
        for (text, count, window_s) in
            [("20/1h", 20, 3_600), ("1/1s", 1, 1), ("5/90s", 5, 90), ("1000/31d", RATE_COUNT_MAX, 31 * 86_400)]
        {
            let rate: Rate = text.parse().expect(text);
            assert_eq!((rate.count, rate.window_s, rate.to_string().as_str()), (count, window_s, text));
        }
        assert_eq!("3/60m".parse::<Rate>().map(|r| r.to_string()).as_deref(), Ok("3/1h"));
        for bad in
            ["", "20", "20/", "20/h", "/1h", "0/1h", "1001/1h", "20/0s", "20/32d", "+2/1h", "2/+1h", "2/1 h", "2/1y"]
        {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_strictest_rate_allows_no_more_than_either() {
        let (a, b) = (Rate { count: 20, window_s: 3_600 }, Rate { count: 5, window_s: 60 });
        assert_eq!(a.strictest(b), Rate { count: 5, window_s: 3_600 });
    }
}
