//! Keeping the last characters of a text.
//!
//! It must never show more than half of what a text has, because the rest of a short secret is soon guessed.

/// Longer texts are hidden whole: they are not numbers or names, and their length would tell something.
const CHARS_MAX: usize = 64;

/// Hides all letters and digits but the last `keep`; separators stay. `None` when the text is too short or too long for that.
pub(super) fn keep_last(text: &str, keep: u8) -> Option<String> {
    let keep = usize::from(keep);
    let shown = |c: &char| c.is_alphanumeric();
    let count = text.chars().filter(shown).count();
    if count < keep.saturating_mul(2) || text.chars().nth(CHARS_MAX).is_some() {
        return None;
    }
    let mut hide = count - keep;
    let mask = |c: char| {
        if hide > 0 && !is_separator(c) {
            // What is neither letter, digit nor separator is hidden, too, without being counted: it may be part of a password.
            hide -= usize::from(c.is_alphanumeric());
            '*'
        } else if c.is_alphanumeric() || is_separator(c) {
            c
        } else {
            '*'
        }
    };
    Some(text.chars().map(mask).collect())
}

/// What people put between the groups of a number.
pub(super) const fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '.' | '/' | '(' | ')' | '+' | '\u{a0}')
}

#[cfg(test)]
mod tests {
    use super::{CHARS_MAX, keep_last};

    #[test]
    fn separators_stay_and_short_texts_are_hidden_whole() {
        for (text, keep, expected) in [
            ("4111-1111-1111-1234", 4, Some("****-****-****-1234")),
            ("+1 (212) 555-0142", 4, Some("+* (***) ***-0142")),
            ("12345678", 4, Some("****5678")),
            ("1234567", 4, None),
            ("ab", 1, Some("*b")),
            ("", 1, None),
            ("pa$$word", 2, Some("******rd")),
            ("passw$rd", 3, Some("****w*rd")),
        ] {
            assert_eq!(keep_last(text, keep).as_deref(), expected, "{text:?}");
        }
        assert!(keep_last(&"7".repeat(CHARS_MAX), 4).is_some());
        assert!(keep_last(&"7".repeat(CHARS_MAX + 1), 4).is_none());
    }
}
