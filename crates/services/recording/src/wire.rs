//! Numbers and byte strings in their binary form: [`Put`] writes into a fixed buffer, [`Take`] reads from one.
//!
//! Neither may panic, whatever the input: both remember that they ran out. Integers are little-endian; a varint is LEB128
//! in its shortest form, and any longer form is refused, so that every value has exactly one encoding.

/// The most bytes that a varint takes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Writes into a fixed buffer. Writing past its end is remembered and reported by [`Put::finish`].
pub(crate) struct Put<'a> {
    buf: &'a mut [u8],
    at: usize,
    overflow: bool,
}

impl<'a> Put<'a> {
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, at: 0, overflow: false }
    }

    pub(crate) fn bytes(&mut self, b: &[u8]) {
        match self.at.checked_add(b.len()).and_then(|end| self.buf.get_mut(self.at..end)) {
            Some(dst) => {
                dst.copy_from_slice(b);
                self.at += b.len();
            }
            None => self.overflow = true,
        }
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.bytes(&[v]);
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, v: i64) {
        self.bytes(&v.to_le_bytes());
    }

    pub(crate) fn varint(&mut self, mut v: u64) {
        let mut out = [0_u8; VARINT_BYTES_MAX];
        let mut n = 0;
        for slot in &mut out {
            n += 1;
            let low = (v & 0x7f) as u8;
            v >>= 7;
            *slot = if v == 0 { low } else { low | 0x80 };
            if v == 0 {
                break;
            }
        }
        self.bytes(out.get(..n).unwrap_or_default());
    }

    /// Length, then the bytes.
    pub(crate) fn sized(&mut self, b: &[u8]) {
        self.varint(b.len() as u64);
        self.bytes(b);
    }

    /// How many bytes were written; `None` when the buffer was too small.
    pub(crate) fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.at)
    }
}

/// Reads from a buffer; every read says `None` at its end.
pub(crate) struct Take<'a> {
    rest: &'a [u8],
}

impl<'a> Take<'a> {
    pub(crate) fn new(buf: &'a [u8]) -> Self {
        Self { rest: buf }
    }

    pub(crate) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.rest.split_at_checked(n)?;
        self.rest = tail;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(crate) fn varint(&mut self) -> Option<u64> {
        let mut v: u64 = 0;
        for i in 0..VARINT_BYTES_MAX {
            let b = self.u8()?;
            let low = u64::from(b & 0x7f);
            let shift = 7 * i as u32;
            let part = low.checked_shl(shift)?;
            if part >> shift != low {
                return None;
            }
            v |= part;
            if b & 0x80 == 0 {
                // A last byte of zero means that a shorter form exists.
                return (b != 0 || i == 0).then_some(v);
            }
        }
        None
    }

    /// A byte string with its length before it.
    pub(crate) fn sized(&mut self) -> Option<&'a [u8]> {
        let n = usize::try_from(self.varint()?).ok()?;
        self.bytes(n)
    }

    /// Everything that is left.
    pub(crate) fn all(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Put, Take, VARINT_BYTES_MAX};

    proptest! {
        #[test]
        fn varints_come_back(v: u64) {
            let mut buf = [0; VARINT_BYTES_MAX];
            let mut put = Put::new(&mut buf);
            put.varint(v);
            let n = put.finish().unwrap();
            let mut take = Take::new(&buf[..n]);
            prop_assert_eq!(take.varint(), Some(v));
            prop_assert!(take.is_empty());
        }
    }

    #[test]
    fn a_longer_form_of_a_varint_is_refused() {
        for bad in [&[0x80, 0x00][..], &[0x81, 0x80, 0x00], &[0xff; 10], &[0x80; 11], &[0x80], &[]] {
            assert_eq!(Take::new(bad).varint(), None, "{bad:x?}");
        }
        assert_eq!(Take::new(&[0]).varint(), Some(0));
        assert_eq!(Take::new(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]).varint(), Some(u64::MAX));
    }

    #[test]
    fn writing_past_the_end_is_reported() {
        let mut buf = [0; 3];
        let mut put = Put::new(&mut buf);
        put.u32(7);
        put.u8(1);
        assert_eq!(put.finish(), None);
    }
}
