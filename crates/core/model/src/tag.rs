//! Tags: what stored data is, so that policy can say who sees it.
//!
//! A tag must never be made from a value of the data.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest tag, in bytes.
pub const TAG_BYTES_MAX: usize = 64;

/// What a column or a value holds, such as `pii.email`: 1 to 64 bytes, parts of `a-z 0-9 _ -` joined by dots. A tag stands for
/// all that begin with it and a dot: `pii` covers `pii.email`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Checks the form; `None` when it is not a tag.
    pub fn parse(s: &str) -> Option<Self> {
        let part = |p: &str| {
            !p.is_empty() && p.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-'))
        };
        (s.len() <= TAG_BYTES_MAX && s.split('.').all(part)).then(|| Self(s.into()))
    }

    /// The tag as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True when this tag stands for `other`: it is the same, or `other` is one of those beneath it.
    pub fn covers(&self, other: &Self) -> bool {
        match other.0.strip_prefix(&*self.0) {
            Some(rest) => rest.is_empty() || rest.starts_with('.'),
            None => false,
        }
    }

    /// Those that stand for this one, from the nearest: `a.b` and `a` for `a.b.c`.
    pub fn ancestors(&self) -> impl Iterator<Item = &str> {
        let mut rest: &str = &self.0;
        std::iter::from_fn(move || {
            let (before, _) = rest.rsplit_once('.')?;
            rest = before;
            Some(before)
        })
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<str>::deserialize(d)?;
        Self::parse(&s).ok_or_else(|| {
            serde::de::Error::custom("not a tag (parts of a-z, 0-9, '_' or '-' joined by dots, 64 bytes at most)")
        })
    }
}

/// Says which stored columns carry a tag: those that fit all of its patterns. `*` stands for any run of characters but a dot, `**` for any
/// run at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TagRule {
    /// A pattern of the column's full name, such as `public.customers.email` or `**.email`.
    pub column: String,
    /// A pattern of the name of its type, such as `citext`; empty for any.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub data_type: String,
    /// What they hold.
    pub tag: Tag,
}

/// How a target's data is known to be sensitive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tagging {
    /// Rules by name. All that fit count.
    pub rules: Vec<TagRule>,
    /// Comments on columns name tags, too.
    pub comments: bool,
    /// What is looked for in the content of results, where no tag on a column says what they are; sorted.
    pub detect: Vec<Tag>,
}

/// What an action does with tagged data, as far as can be told; what cannot be told counts. Each list is sorted and without repeats.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Disclosure {
    /// Some result value may depend on it. Such values are masked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shown: Vec<Tag>,
    /// A constant is compared with it for equality, and nothing else of the result but which rows come depends on that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub matched: Vec<Tag>,
    /// Which rows come, in which order, how many, or whether it fails depends on it in any other way. No mask hides that.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub chosen: Vec<Tag>,
    /// It is stored, or handed to code, where this tag would no longer be known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copied: Vec<Tag>,
    /// How many constants what is `matched` is compared with: each is a guess at a value.
    #[serde(default, skip_serializing_if = "is_none")]
    pub guesses: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde asks for")]
const fn is_none(guesses: &u32) -> bool {
    *guesses == 0
}

impl Disclosure {
    /// True when no tagged data is touched.
    pub fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.matched.is_empty() && self.chosen.is_empty() && self.copied.is_empty()
    }

    /// Adds all of `other`.
    pub fn absorb(&mut self, other: &Self) {
        self.guesses = self.guesses.saturating_add(other.guesses);
        for (into, from) in [
            (&mut self.shown, &other.shown),
            (&mut self.matched, &other.matched),
            (&mut self.chosen, &other.chosen),
            (&mut self.copied, &other.copied),
        ] {
            if !from.is_empty() {
                into.extend_from_slice(from);
                into.sort();
                into.dedup();
            }
        }
    }

    /// Every tag that it has anything to do with, sorted.
    pub fn tags(&self) -> Vec<&Tag> {
        let mut all: Vec<&Tag> =
            self.shown.iter().chain(&self.matched).chain(&self.chosen).chain(&self.copied).collect();
        all.sort();
        all.dedup();
        all
    }
}

#[cfg(test)]
mod tests {
    use super::{Disclosure, TAG_BYTES_MAX, Tag};

    fn tag(s: &str) -> Tag {
        Tag::parse(s).expect("a tag")
    }

    #[test]
    fn tags_have_a_form() {
        for good in ["pii", "pii.email", "secret.key-2.a_b", &"x".repeat(TAG_BYTES_MAX)] {
            assert!(Tag::parse(good).is_some(), "{good}");
        }
        for bad in ["", ".", "pii.", ".pii", "pii..email", "PII", "pii email", "é", &"x".repeat(TAG_BYTES_MAX + 1)] {
            assert!(Tag::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_tag_covers_what_is_beneath_it() {
        assert!(tag("pii").covers(&tag("pii")));
        assert!(tag("pii").covers(&tag("pii.email")));
        assert!(!tag("pii").covers(&tag("piin.email")));
        assert!(!tag("pii.email").covers(&tag("pii")));
        assert_eq!(tag("a.b.c").ancestors().collect::<Vec<_>>(), ["a.b", "a"]);
        assert_eq!(tag("a").ancestors().count(), 0);
    }

    #[test]
    fn disclosures_join_sorted_and_once() {
        let mut all = Disclosure { shown: vec![tag("b")], ..Disclosure::default() };
        let other = Disclosure { shown: vec![tag("a"), tag("b")], chosen: vec![tag("c")], ..Disclosure::default() };
        all.absorb(&other);
        assert_eq!(all.shown, [tag("a"), tag("b")]);
        assert_eq!(all.tags(), [&tag("a"), &tag("b"), &tag("c")]);
        assert!(!all.is_empty() && Disclosure::default().is_empty());
    }
}
