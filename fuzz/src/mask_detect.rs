//! Any bytes as text: hits lie within it, in order, and are the same wherever a stream of it is cut.
//!
//! The first byte says where the stream is cut.

use countersign_mask::detect::{Hit, Piece, StreamScanner, Wanted, scan};

/// Scans the input whole and in chunks.
///
/// # Panics
/// When hits overlap or lie outside, or a stream has other hits or other bytes than the whole.
pub fn run(data: &[u8]) {
    let Some((cut, text)) = data.split_first() else { return };
    let mut hits = Vec::new();
    scan(text, b"", Wanted::ALL, &mut hits);
    let mut at = 0;
    for h in &hits {
        assert!(
            h.range.start >= at && h.range.start < h.range.end && h.range.end <= text.len(),
            "hits overlap or lie outside"
        );
        at = h.range.end;
    }
    let (streamed, bytes) = stream(text, usize::from(*cut).max(1));
    assert!(bytes == text, "a stream gave other bytes");
    assert!(streamed == hits, "a stream has other hits");
}

/// The hits of a stream in chunks of `size` bytes, and its bytes as they came out.
fn stream(text: &[u8], size: usize) -> (Vec<Hit>, Vec<u8>) {
    let (mut hits, mut bytes) = (Vec::new(), Vec::new());
    let mut piece = |p: Piece<'_>| match p {
        Piece::Clear(b) => bytes.extend_from_slice(b),
        Piece::Found { bytes: b, detector, confidence } => {
            hits.push(Hit { range: bytes.len()..bytes.len() + b.len(), detector, confidence });
            bytes.extend_from_slice(b);
        }
    };
    let mut scanner = StreamScanner::new(Wanted::ALL);
    for chunk in text.chunks(size) {
        scanner.push(chunk, &mut piece);
    }
    scanner.finish(&mut piece);
    (hits, bytes)
}
