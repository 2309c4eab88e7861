//! What was probably meant.

/// The longest text that is compared; anything longer is no slip of the pen.
const COMPARED_BYTES_MAX: usize = 64;
/// More slips than this make another word.
const DISTANCE_MAX: usize = 3;

/// The candidate nearest to what was written, when it is near enough to be a slip.
pub(crate) fn nearest<'c>(written: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    if written.len() > COMPARED_BYTES_MAX {
        return None;
    }
    let small = written.to_lowercase();
    candidates
        .into_iter()
        .filter_map(|c| {
            if small.len().abs_diff(c.len()) > DISTANCE_MAX && !is_long_form(&small, c) {
                return None;
            }
            let d = distance(&small, &c.to_lowercase());
            (d <= allowed(c) || is_long_form(&small, c)).then_some((d, c))
        })
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// Swapped neighbours count once, and `-` is as good as `_`.
fn distance(a: &str, b: &str) -> usize {
    strsim::damerau_levenshtein(&a.replace('-', "_"), &b.replace('-', "_"))
}

/// One begins with the other: `environment` for `env`, `retention` for `retention_days`.
fn is_long_form(written: &str, candidate: &str) -> bool {
    const LETTERS_MIN: usize = 3;
    let shorter = written.len().min(candidate.len());
    shorter >= LETTERS_MIN && (written.starts_with(candidate) || candidate.starts_with(written))
}

/// A third of the letters may be wrong, at least one and at most three.
fn allowed(candidate: &str) -> usize {
    (candidate.chars().count() / 3).clamp(1, DISTANCE_MAX)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_are_understood_and_other_words_are_not() {
        let keys = ["address", "protocol", "plaintext", "tls"];
        for (written, want) in [
            ("adress", Some("address")),
            ("Address", Some("address")),
            ("addrses", Some("address")),
            ("tsl", Some("tls")),
            ("plain-text", Some("plaintext")),
            ("proto", Some("protocol")),
            ("verify", None),
            ("pl", None),
            ("", None),
        ] {
            assert_eq!(nearest(written, keys), want, "{written}");
        }
        assert_eq!(nearest(&"a".repeat(65), ["a"]), None);
    }
}
