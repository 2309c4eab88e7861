//! Read buffers: lent to a session for as long as it holds bytes, small until reads fill them. An idle session must never keep one.

use std::cell::RefCell;
use std::io;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;

use crate::socket::Socket;

/// What a read takes at first: most messages fit many times over.
pub(crate) const READ_SMALL_BYTES: usize = 8 * 1024;
/// What a read takes once a small one was filled.
pub(crate) const READ_BULK_BYTES: usize = 128 * 1024;
/// Free room under which a buffer gets more before a read.
const ROOM_BYTES_MIN: usize = 2 * 1024;
/// Buffers that a worker keeps for the next session that reads: 128 KiB of small and 256 KiB of bulk ones. A session that is whole has
/// given its buffer back when the next one's turn comes, so that few are ever out at once.
const POOL_SMALL_MAX: usize = 16;
const POOL_BULK_MAX: usize = 2;

#[derive(Default)]
struct Pool {
    small: Vec<BytesMut>,
    bulk: Vec<BytesMut>,
}

thread_local! {
    static POOL: RefCell<Pool> = RefCell::default();
}

fn take(bulk: bool) -> BytesMut {
    POOL.with_borrow_mut(|pool| {
        if bulk {
            pool.bulk.pop().unwrap_or_else(|| BytesMut::with_capacity(READ_BULK_BYTES))
        } else {
            pool.small.pop().unwrap_or_else(|| BytesMut::with_capacity(READ_SMALL_BYTES))
        }
    })
}

/// Returns an empty buffer if nobody else holds a part of it and its size is one of the two.
fn give(mut buf: BytesMut) {
    if !buf.is_empty() {
        return;
    }
    let fits = |buf: &mut BytesMut, size| buf.try_reclaim(size) && buf.capacity() < 2 * size;
    POOL.with_borrow_mut(|pool| {
        if fits(&mut buf, READ_BULK_BYTES) {
            if pool.bulk.len() < POOL_BULK_MAX {
                pool.bulk.push(buf);
            }
        } else if fits(&mut buf, READ_SMALL_BYTES) && pool.small.len() < POOL_SMALL_MAX {
            pool.small.push(buf);
        }
    });
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// So many bytes came.
    Some(usize),
    /// The peer will send no more.
    End,
}

/// What was read from one side and not taken by the machine yet.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) buf: BytesMut,
    /// True when the machine has seen all of `buf` and needs more to go on.
    pub(crate) settled: bool,
    /// Nothing was there when [`Input::poll_turn`] looked for it in this turn.
    quiet: bool,
    bulk: bool,
}

impl Input {
    /// Reads once. TLS hands over one record at a time, so there it reads until nothing more is there or the buffer is full.
    pub(crate) fn poll_fill(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        if self.buf.is_empty() && self.buf.capacity() == 0 {
            // A buffer is only borrowed for what is there.
            ready!(socket.poll_readable(cx))?;
            self.buf = take(self.bulk);
        } else if self.buf.capacity() - self.buf.len() < ROOM_BYTES_MIN {
            self.buf.reserve(if self.bulk { READ_BULK_BYTES } else { READ_SMALL_BYTES });
        }
        let mut got = 0;
        loop {
            let room = self.buf.capacity() - self.buf.len();
            let n = match socket.poll_recv(&mut self.buf, cx) {
                Poll::Ready(Ok(n)) => n,
                _ if got > 0 => break,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending => {
                    self.park();
                    return Poll::Pending;
                }
            };
            if n == 0 && got == 0 {
                return Poll::Ready(Ok(Filled::End));
            }
            got += n;
            self.bulk = n == room || (self.bulk && got >= READ_SMALL_BYTES);
            if n == 0 || n == room || !socket.is_layered() {
                break;
            }
        }
        self.settled = false;
        Poll::Ready(Ok(Filled::Some(got)))
    }

    /// As [`Input::poll_fill`], but once nothing was there it is not asked again in this turn: whoever asked is woken when there is.
    pub(crate) fn poll_turn(&mut self, socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<Filled>> {
        if self.quiet {
            return Poll::Pending;
        }
        let filled = self.poll_fill(socket, cx);
        self.quiet = filled.is_pending();
        filled
    }

    /// Another turn begins, or another socket is read.
    pub(crate) fn begin_turn(&mut self) {
        self.quiet = false;
    }

    /// Gives the buffer back when nothing is in it.
    pub(crate) fn park(&mut self) {
        if self.buf.is_empty() && self.buf.capacity() > 0 {
            give(std::mem::take(&mut self.buf));
        }
    }

    /// Takes the bytes away.
    pub(crate) fn take(&mut self) -> BytesMut {
        std::mem::take(&mut self.buf)
    }
}

/// Reads and forgets, for a connection that is being closed; the bytes read.
pub(crate) fn poll_discard(socket: &mut Socket, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
    let mut buf = take(false);
    let n = ready!(socket.poll_recv(&mut buf, cx));
    buf.clear();
    give(buf);
    Poll::Ready(n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_come_back_unless_somebody_holds_a_part() {
        let mut a = take(false);
        a.extend_from_slice(b"abc");
        let held = a.split().freeze();
        give(a);
        let kept = POOL.with_borrow(|p| p.small.len());
        assert_eq!(kept, 0, "a part was held");
        drop(held);
        for n in 0..POOL_SMALL_MAX + 3 {
            give(BytesMut::with_capacity(READ_SMALL_BYTES));
            assert_eq!(POOL.with_borrow(|p| p.small.len()), (n + 1).min(POOL_SMALL_MAX));
        }
        for n in 0..POOL_BULK_MAX + 3 {
            give(BytesMut::with_capacity(READ_BULK_BYTES));
            assert_eq!(POOL.with_borrow(|p| p.bulk.len()), (n + 1).min(POOL_BULK_MAX));
        }
        give(BytesMut::with_capacity(10 * READ_BULK_BYTES));
        assert_eq!(POOL.with_borrow(|p| p.bulk.len()), POOL_BULK_MAX);
    }
}
