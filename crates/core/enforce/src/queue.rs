//! Bytes waiting for a socket: small frames are gathered so that a burst costs one write, large ones are kept as they are.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes, BytesMut};

/// Frames up to this size are copied together; larger ones are queued without a copy.
pub const OUTBOUND_SMALL_BYTES_MAX: usize = 4096;

/// Gathered bytes are cut at about this size, so that one write stays one write.
const GATHERED_BYTES_MAX: usize = 64 * 1024;

/// A queue of bytes for one direction of one connection. Its length is bounded by its owner, who stops reading while
/// [`Outbound::len`] is above the owner's limit.
#[derive(Debug, Default)]
pub struct Outbound {
    queue: VecDeque<Bytes>,
    gathered: BytesMut,
    queued_bytes: usize,
}

impl Outbound {
    /// An empty queue; it holds no buffer until something is pushed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.queued_bytes + self.gathered.len()
    }

    /// True when nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds bytes at the end.
    pub fn push(&mut self, b: Bytes) {
        if b.len() <= OUTBOUND_SMALL_BYTES_MAX {
            self.push_slice(&b);
        } else {
            self.seal();
            self.queued_bytes += b.len();
            self.queue.push_back(b);
        }
    }

    /// Adds a copy of the bytes at the end.
    pub fn push_slice(&mut self, b: &[u8]) {
        if self.gathered.len() + b.len() > GATHERED_BYTES_MAX {
            self.seal();
        }
        self.gathered.extend_from_slice(b);
    }

    fn seal(&mut self) {
        if !self.gathered.is_empty() {
            let b = self.gathered.split().freeze();
            self.queued_bytes += b.len();
            self.queue.push_back(b);
        }
    }

    /// The next run of bytes to write; empty when nothing waits.
    pub fn chunk(&self) -> &[u8] {
        self.queue.front().map_or(&self.gathered, |b| b)
    }

    /// Fills `slices` for a vectored write and says how many were filled.
    pub fn chunks<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let rest = std::iter::once(&*self.gathered).filter(|g| !g.is_empty());
        let mut filled = 0;
        for (slot, b) in slices.iter_mut().zip(self.queue.iter().map(|b| &**b).chain(rest)) {
            *slot = IoSlice::new(b);
            filled += 1;
        }
        filled
    }

    /// Drops the first `n` bytes: they were written.
    pub fn advance(&mut self, mut n: usize) {
        while n > 0 {
            let Some(front) = self.queue.front_mut() else {
                let n = n.min(self.gathered.len());
                self.gathered.advance(n);
                return;
            };
            if n < front.len() {
                front.advance(n);
                self.queued_bytes -= n;
                return;
            }
            n -= front.len();
            self.queued_bytes -= front.len();
            self.queue.pop_front();
        }
    }

    /// Gives the buffers back when nothing waits: an idle connection should hold none.
    pub fn release(&mut self) {
        if self.is_empty() {
            self.gathered = BytesMut::new();
            self.queue = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(q: &mut Outbound, step: usize) -> Vec<u8> {
        let mut out = Vec::new();
        while !q.is_empty() {
            let chunk = q.chunk();
            assert!(!chunk.is_empty());
            let n = chunk.len().min(step);
            out.extend(chunk.iter().take(n));
            q.advance(n);
        }
        out
    }

    #[test]
    fn order_is_kept_whatever_the_sizes_and_the_write_lengths() {
        for step in [1, 7, 4096, 1 << 20] {
            let mut q = Outbound::new();
            let mut want: Vec<u8> = Vec::new();
            for (i, len) in
                [3, OUTBOUND_SMALL_BYTES_MAX, OUTBOUND_SMALL_BYTES_MAX + 1, 0, 9, 70_000, 1].iter().enumerate()
            {
                let b = vec![u8::try_from(i).unwrap_or(0); *len];
                want.extend(&b);
                q.push(b.into());
            }
            assert_eq!(q.len(), want.len());
            assert_eq!(drain(&mut q, step), want);
        }
    }

    #[test]
    fn vectored_view_is_the_same_bytes() {
        let mut q = Outbound::new();
        q.push(Bytes::from(vec![1; 10]));
        q.push(Bytes::from(vec![2; 5000]));
        q.push(Bytes::from(vec![3; 10]));
        let mut slices = [IoSlice::new(&[]); 4];
        let n = q.chunks(&mut slices);
        let all: Vec<u8> = slices.iter().take(n).flat_map(|s| s.to_vec()).collect();
        assert_eq!(all.len(), q.len());
        assert_eq!(drain(&mut q, usize::MAX), all);
    }
}
