//! How many values of which tags were masked, as an outcome has them: `(length varint, tag, count varint)` for each, sorted.
//!
//! It must never read back what it would not have written.

use countersign_model::{TAG_BYTES_MAX, Tag};

use crate::wire::{Put, Take};

/// The longest varint.
const VARINT_BYTES_MAX: usize = 10;

/// Writes them; those of one tag are added up.
pub(crate) fn encode(counts: &[(Tag, u64)]) -> Vec<u8> {
    if counts.is_empty() {
        return Vec::new();
    }
    let mut sorted: Vec<(&Tag, u64)> = counts.iter().map(|(tag, n)| (tag, *n)).collect();
    sorted.sort();
    sorted.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 = kept.1.saturating_add(next.1);
        }
        same
    });
    let mut bytes = vec![0; sorted.len() * (TAG_BYTES_MAX + 2 * VARINT_BYTES_MAX)];
    let mut put = Put::new(&mut bytes);
    for (tag, n) in sorted {
        put.sized(tag.as_str().as_bytes());
        put.varint(n);
    }
    let written = put.finish().unwrap_or(0);
    bytes.truncate(written);
    bytes
}

/// Reads them; `None` when they are malformed.
pub(crate) fn decode(bytes: &[u8]) -> Option<Vec<(Tag, u64)>> {
    let mut take = Take::new(bytes);
    let mut counts: Vec<(Tag, u64)> = Vec::new();
    while !take.is_empty() {
        let tag = Tag::parse(std::str::from_utf8(take.sized()?).ok()?)?;
        if counts.last().is_some_and(|(before, _)| *before >= tag) {
            return None;
        }
        counts.push((tag, take.varint()?));
    }
    Some(counts)
}

/// True for what [`encode`] writes of something.
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    !bytes.is_empty() && decode(bytes).is_some()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn tag(s: &str) -> Tag {
        Tag::parse(s).unwrap()
    }

    #[test]
    fn counts_come_back_sorted_and_added_up() {
        let bytes = encode(&[(tag("secret"), 1), (tag("pii.email"), u64::MAX), (tag("secret"), 2)]);
        assert_eq!(decode(&bytes), Some(vec![(tag("pii.email"), u64::MAX), (tag("secret"), 3)]));
        assert!(encode(&[]).is_empty() && !is_valid(&[]));
    }

    #[test]
    fn what_is_not_sorted_or_no_tag_is_malformed() {
        for bad in [&b"\x01b\x01\x01a\x01"[..], b"\x01a\x01\x01a\x01", b"\x01A\x01", b"\x00\x01", b"\x01a", b"\x02a"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
    }
}
