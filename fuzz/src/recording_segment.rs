//! Any bytes are a segment of a recording, or damage with a place; and so are any payloads behind valid checksums.
//!
//! It must never accept an entry that refers to something that is not before it.

use countersign_recording::{check_segment, segment_of};

/// Ends a payload in the input, so that a search can make several.
const SEPARATOR: u8 = 0xfe;
/// Fewer bytes than an entry can have.
const ENTRY_BYTES_MIN: u64 = 16;

/// Reads the input as a segment, and then as the payloads of one.
///
/// # Panics
/// When the reader's answer makes no sense.
pub fn run(data: &[u8]) {
    check(data);
    let payloads: Vec<&[u8]> = data.split(|b| *b == SEPARATOR).filter(|p| !p.is_empty()).collect();
    check(&segment_of(&payloads));
}

fn check(segment: &[u8]) {
    match check_segment(segment) {
        Ok(entries) => {
            assert!(entries * ENTRY_BYTES_MIN <= segment.len() as u64, "more entries than there is room for")
        }
        Err(damage) => {
            assert!(!damage.what.is_empty(), "refused without a reason");
            assert!(damage.offset <= u64::from(u32::MAX).max(segment.len() as u64), "damage beyond the segment");
        }
    }
}
