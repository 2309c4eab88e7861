//! How entries lie in a segment: the header of the file, and the frame around each entry.
//!
//! A frame is `length u32 | checksum u32 | payload | zeros to a multiple of 8`. A length of zero is the end of what was
//! published. The checksum (CRC-32C) covers the segment's number, the frame's offset, the length and the payload, so that a
//! frame that was moved, repeated or brought in from another segment is found out as surely as a flipped bit.

use crate::wire::{Put, Take};

/// The first bytes of a segment. They hold what a transfer in text mode would change.
const MAGIC: &[u8; 8] = b"CSREC\r\n\x1a";
/// The version of the format that this crate writes and reads.
const VERSION: u16 = 1;
/// Bytes before the first frame.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 128;
/// Bytes of a frame before its payload.
pub(crate) const FRAME_HEAD_BYTES: usize = 8;
/// Frames begin at multiples of this, so that a length is published in one store.
const ALIGN: usize = 8;
/// The most bytes of one payload.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 64 << 20;
/// The most bytes of a journal's name.
const JOURNAL_NAME_BYTES_MAX: usize = 64;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    /// Counts up within a journal, from 1.
    pub(crate) number: u64,
    /// Which of the writers side by side.
    pub(crate) shard: u16,
    /// The run of the recorder that wrote it.
    pub(crate) instance: u64,
    /// When it was made: microseconds since the Unix epoch.
    pub(crate) created_at: i64,
    /// The journal it belongs to.
    pub(crate) journal: String,
}

impl SegmentHeader {
    /// The header's bytes; `None` when the journal's name is too long.
    pub(crate) fn encode(&self) -> Option<[u8; SEGMENT_HEADER_BYTES]> {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        let name_len = u16::try_from(self.journal.len()).ok().filter(|n| usize::from(*n) <= JOURNAL_NAME_BYTES_MAX)?;
        let mut put = Put::new(&mut out);
        put.bytes(MAGIC);
        put.bytes(&VERSION.to_le_bytes());
        put.bytes(&self.shard.to_le_bytes());
        put.bytes(&name_len.to_le_bytes());
        put.bytes(&[0; 2]);
        put.u64(self.number);
        put.u64(self.instance);
        put.i64(self.created_at);
        put.bytes(self.journal.as_bytes());
        put.finish()?;
        let (body, crc) = out.split_at_mut(SEGMENT_HEADER_BYTES - 4);
        crc.copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
        Some(out)
    }

    /// Reads a header; the error says what is wrong with it.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        const SHORT: &str = "the segment header is cut short";
        let head = bytes.get(..SEGMENT_HEADER_BYTES).ok_or(SHORT)?;
        let (body, crc) = head.split_at_checked(SEGMENT_HEADER_BYTES - 4).ok_or(SHORT)?;
        if !body.starts_with(MAGIC) {
            return Err("this is not a segment of a recording");
        }
        if crc != crc32c::crc32c(body).to_le_bytes() {
            return Err("the segment header does not match its checksum");
        }
        let mut take = Take::new(body.get(MAGIC.len()..).ok_or(SHORT)?);
        if take.u16() != Some(VERSION) {
            return Err("the segment has a version that this Countersign cannot read");
        }
        let mut parse = || -> Option<Self> {
            let shard = take.u16()?;
            let name_len = usize::from(take.u16()?);
            let pad = take.u16()?;
            let (number, instance, created_at) = (take.u64()?, take.u64()?, take.i64()?);
            let journal = std::str::from_utf8(take.bytes(name_len)?).ok()?.to_owned();
            let rest = take.all();
            let valid = pad == 0 && number > 0 && name_len <= JOURNAL_NAME_BYTES_MAX && rest.iter().all(|b| *b == 0);
            valid.then_some(Self { number, shard, instance, created_at, journal })
        };
        parse().ok_or("the segment header is malformed")
    }
}

/// Bytes that a payload takes with its frame.
pub(crate) const fn framed_bytes(payload: usize) -> usize {
    (FRAME_HEAD_BYTES + payload).next_multiple_of(ALIGN)
}

/// True when a frame may begin at this offset.
pub(crate) const fn aligned(offset: u64) -> bool {
    offset.is_multiple_of(ALIGN as u64)
}

/// The checksum of a frame.
pub(crate) fn checksum(number: u64, offset: u32, payload: &[u8]) -> u32 {
    checksum_of_parts(number, offset, payload, &[])
}

/// The same of a payload in two parts.
pub(crate) fn checksum_of_parts(number: u64, offset: u32, payload: &[u8], rest: &[u8]) -> u32 {
    let mut place = [0; 16];
    let mut put = Put::new(&mut place);
    put.u64(number);
    put.u32(offset);
    put.u32(u32::try_from(payload.len() + rest.len()).unwrap_or(u32::MAX));
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&place), payload), rest)
}

/// A whole frame in memory, for entries that are written to a file and not into a mapping.
pub(crate) fn frame(number: u64, offset: u32, payload: &[u8]) -> Option<Vec<u8>> {
    let len = u32::try_from(payload.len()).ok()?;
    let mut out = Vec::with_capacity(framed_bytes(payload.len()));
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&checksum(number, offset, payload).to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(framed_bytes(payload.len()), 0);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::{SEGMENT_HEADER_BYTES, SegmentHeader, aligned, checksum, framed_bytes};

    fn header(journal: &str) -> SegmentHeader {
        SegmentHeader { number: 7, shard: 2, instance: 99, created_at: -5, journal: journal.to_owned() }
    }

    #[test]
    fn the_header_comes_back_and_every_flipped_bit_is_found() {
        let h = header("orders");
        let bytes = h.encode().unwrap();
        assert_eq!(SegmentHeader::decode(&bytes), Ok(h));
        for bit in 0..SEGMENT_HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&bad).is_err(), "bit {bit}");
        }
        assert!(SegmentHeader::decode(&bytes[..127]).is_err());
    }

    #[test]
    fn a_journal_name_has_a_limit() {
        assert!(header(&"x".repeat(64)).encode().is_some());
        assert!(header(&"x".repeat(65)).encode().is_none());
    }

    #[test]
    fn frames_are_aligned_and_bound_to_their_place() {
        for n in 0..40 {
            assert!(aligned(framed_bytes(n) as u64) && framed_bytes(n) >= n + 8 && framed_bytes(n) < n + 16, "{n}");
        }
        let c = checksum(1, 128, b"abc");
        assert_ne!(c, checksum(2, 128, b"abc"));
        assert_ne!(c, checksum(1, 136, b"abc"));
    }
}
