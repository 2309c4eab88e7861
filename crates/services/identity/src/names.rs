//! Names that people and policies compare: which strings may be one.
//!
//! Nothing is repaired here. A name is kept exactly as it came, case included, or it is not a name: two strings that look the same
//! must never be two names, and two names must never be made one.

use std::collections::BTreeSet;

use unicode_normalization::{UnicodeNormalization, is_nfc};
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};
use unicode_security::{GeneralSecurityProfile, MixedScript, confusable_detection::skeleton};

/// The longest name of a person, workload or group, in bytes.
pub(crate) const NAME_BYTES_MAX: usize = 256;
/// The longest subject, in bytes: CI issuers put whole paths in it.
pub(crate) const SUBJECT_BYTES_MAX: usize = 1024;

/// Why a string cannot be a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameFault {
    Empty,
    TooLong,
    Invisible,
    NotNormal,
    Edges,
    Confusable,
}

impl NameFault {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "is empty",
            Self::TooLong => "is too long",
            Self::Invisible => "has a control, invisible or unassigned character",
            Self::NotNormal => "is not in Unicode normal form C",
            Self::Edges => "begins or ends with a space",
            Self::Confusable => "can be mistaken for another name (mixed scripts or look-alike letters)",
        }
    }
}

/// An identifier that machines made (a subject, a token's id): printable, normalised, bounded.
pub(crate) fn check_identifier(s: &str, bytes_max: usize) -> Result<(), NameFault> {
    if s.is_empty() {
        return Err(NameFault::Empty);
    }
    if s.len() > bytes_max {
        return Err(NameFault::TooLong);
    }
    if s.bytes().all(|b| b.is_ascii_graphic()) {
        return Ok(());
    }
    if s.chars().any(is_invisible) {
        return Err(NameFault::Invisible);
    }
    if s.starts_with(' ') || s.ends_with(' ') {
        return Err(NameFault::Edges);
    }
    if !is_nfc(s) {
        return Err(NameFault::NotNormal);
    }
    Ok(())
}

/// A name that people read: also free of look-alikes.
pub(crate) fn check_name(s: &str) -> Result<(), NameFault> {
    check_identifier(s, NAME_BYTES_MAX)?;
    if s.is_ascii() {
        return Ok(());
    }
    let allowed = |c: char| c.is_ascii() || c.identifier_allowed();
    if !s.chars().all(allowed) || !s.is_single_script() || skeleton(s).all(|c| c.is_ascii()) {
        return Err(NameFault::Confusable);
    }
    Ok(())
}

/// True when two of the strings differ only in case or in compatibility forms.
pub(crate) fn collide<'a>(names: impl IntoIterator<Item = &'a str>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().any(|n| !seen.insert(fold(n)))
}

fn fold(s: &str) -> String {
    if s.is_ascii() { s.to_ascii_lowercase() } else { s.nfkc().collect::<String>().to_lowercase().nfkc().collect() }
}

fn is_invisible(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_control();
    }
    // Default-ignorable code points that Unicode does not file under "format".
    let ignorable = matches!(c,
        '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{2800}'
        | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}');
    ignorable
        || matches!(
            c.general_category(),
            GeneralCategory::Control
                | GeneralCategory::Format
                | GeneralCategory::Surrogate
                | GeneralCategory::PrivateUse
                | GeneralCategory::Unassigned
                | GeneralCategory::LineSeparator
                | GeneralCategory::ParagraphSeparator
                | GeneralCategory::SpaceSeparator
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn adv_086_names_that_look_like_others_are_refused() {
        let long = "x".repeat(NAME_BYTES_MAX);
        let too_long = "x".repeat(NAME_BYTES_MAX + 1);
        for (name, want) in [
            ("ana", Ok(())),
            ("Ana@Example.com", Ok(())),
            ("CORP\\ana smith", Ok(())),
            ("system:serviceaccount:ns:web-1", Ok(())),
            ("josé", Ok(())),
            ("Анна", Ok(())),
            ("山田太郎", Ok(())),
            ("ひらがな漢字", Ok(())),
            (&long, Ok(())),
            (&too_long, Err(NameFault::TooLong)),
            ("", Err(NameFault::Empty)),
            (" ana", Err(NameFault::Edges)),
            ("ana ", Err(NameFault::Edges)),
            ("ana\0", Err(NameFault::Invisible)),
            ("ana\n", Err(NameFault::Invisible)),
            ("a\u{200b}na", Err(NameFault::Invisible)),
            ("a\u{ad}na", Err(NameFault::Invisible)),
            ("\u{202e}ana", Err(NameFault::Invisible)),
            ("ana\u{feff}", Err(NameFault::Invisible)),
            ("ana\u{3164}", Err(NameFault::Invisible)),
            ("ana\u{a0}b", Err(NameFault::Invisible)),
            ("ana\u{e000}", Err(NameFault::Invisible)),
            ("ana\u{fe0f}", Err(NameFault::Invisible)),
            ("ana\u{e0041}", Err(NameFault::Invisible)),
            ("jose\u{301}", Err(NameFault::NotNormal)),
            ("\u{430}na", Err(NameFault::Confusable)),
            ("\u{441}\u{430}\u{440}", Err(NameFault::Confusable)),
            ("ｄｂａ", Err(NameFault::Confusable)),
            ("dbа", Err(NameFault::Confusable)),
            ("①", Err(NameFault::Confusable)),
        ] {
            assert_eq!(check_name(name), want, "{name:?}");
        }
    }

    #[test]
    fn identifiers_may_be_of_any_script_but_not_hidden() {
        assert_eq!(check_identifier("repo:acme/shop:ref:refs/heads/main", SUBJECT_BYTES_MAX), Ok(()));
        assert_eq!(check_identifier(&"x".repeat(SUBJECT_BYTES_MAX), SUBJECT_BYTES_MAX), Ok(()));
        assert_eq!(check_identifier(&"x".repeat(SUBJECT_BYTES_MAX + 1), SUBJECT_BYTES_MAX), Err(NameFault::TooLong));
        assert_eq!(check_identifier("a\u{200d}", SUBJECT_BYTES_MAX), Err(NameFault::Invisible));
    }

    #[test]
    fn adv_086_case_and_compatibility_collisions_are_seen() {
        for (names, want) in [
            (&["admins", "dbas"][..], false),
            (&["admins", "Admins"], true),
            (&["STRASSE", "strasse"], true),
            (&["ﬁnance", "finance"], true),
            (&["É", "é"], true),
            (&["K", "k"], true),
            (&[], false),
        ] {
            assert_eq!(collide(names.iter().copied()), want, "{names:?}");
        }
    }
}
