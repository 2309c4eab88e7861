//! Which characters are not what a reader sees. It must never be the only defence: what escapes markup does that besides.

/// True for characters that act on a terminal, hide, or reorder what is read: controls (line ends and tabs among them), format characters,
/// fillers, variation selectors and tags.
///
/// From the categories Cc and Cf of Unicode, and what its `Default_Ignorable_Code_Point` adds.
pub fn acts_on_readers(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::acts_on_readers;

    #[test]
    fn what_is_seen_is_let_through() {
        for c in "aZ0 é漢ا\u{a0}😀\u{301}\"'<".chars() {
            assert!(!acts_on_readers(c), "{c:?}");
        }
        for c in "\0\t\n\r\u{1b}\u{7f}\u{9b}\u{ad}\u{200b}\u{200e}\u{202e}\u{2066}\u{feff}\u{3164}\u{e0041}".chars() {
            assert!(acts_on_readers(c), "{c:?}");
        }
    }
}
