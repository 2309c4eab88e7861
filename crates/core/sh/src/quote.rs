//! Words back to text that every shell reads as those words.

/// Words joined by one blank each; those with anything but plain characters stand in single quotes.
pub fn quoted<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut out = String::new();
    for (n, word) in words.into_iter().enumerate() {
        if n > 0 {
            out.push(' ');
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
        let special = word.is_empty() || word.starts_with('=') || (n == 0 && special_first(word));
        if !special && word.bytes().all(plain) {
            out.push_str(word);
        } else {
            out.push('\'');
            out.push_str(&word.replace('\'', "'\\''"));
            out.push('\'');
        }
    }
    out
}

/// A first word that would be an assignment or a reserved word.
fn special_first(word: &str) -> bool {
    word.contains('=') || crate::parser::RESERVED.contains(&word)
}
