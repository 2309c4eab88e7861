//! A connection that is handed to a hosted protocol and can be taken back at any time. It must never give or take a byte once it was
//! severed.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};

use futures_io::{AsyncRead, AsyncWrite};
use metrics::Counter;
use parking_lot::Mutex;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use crate::socket::Socket;

/// What severs all wires of a connection.
#[derive(Default)]
pub(crate) struct Cut {
    done: AtomicBool,
    wakers: Mutex<Vec<Waker>>,
}

impl Cut {
    /// Severs: from now on the wires are dead, and whoever waits on one wakes.
    pub(crate) fn sever(&self) {
        self.done.store(true, Ordering::Release);
        for waker in std::mem::take(&mut *self.wakers.lock()) {
            waker.wake();
        }
    }

    fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    fn listen(&self, cx: &Context<'_>) {
        let mut wakers = self.wakers.lock();
        if !wakers.iter().any(|w| w.will_wake(cx.waker())) {
            // A task moves between few wakers; what it left behind is dropped.
            const WAKERS_MAX: usize = 16;
            if wakers.len() >= WAKERS_MAX {
                wakers.remove(0);
            }
            wakers.push(cx.waker().clone());
        }
    }
}

/// Where a wire's bytes are counted.
pub(crate) struct Counts {
    pub(crate) read: Counter,
    pub(crate) written: Counter,
}

/// A socket under a cut.
pub(crate) struct SeverableWire {
    socket: Socket,
    cut: Arc<Cut>,
    counts: Counts,
    listening: bool,
}

impl SeverableWire {
    pub(crate) fn new(socket: Socket, cut: Arc<Cut>, counts: Counts) -> Self {
        Self { socket, cut, counts, listening: false }
    }

    fn alive(&mut self, cx: &Context<'_>) -> io::Result<()> {
        if !self.listening {
            self.listening = true;
            self.cut.listen(cx);
        }
        if !self.cut.is_done() {
            return Ok(());
        }
        self.socket = Socket::gone();
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the session was cut"))
    }
}

impl AsyncRead for SeverableWire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        let mut buf = ReadBuf::new(buf);
        let done = Pin::new(&mut self.socket).poll_read(cx, &mut buf);
        if done.is_pending() {
            self.cut.listen(cx);
        }
        ready!(done)?;
        let n = buf.filled().len();
        self.counts.read.increment(n as u64);
        Poll::Ready(Ok(n))
    }
}

impl AsyncWrite for SeverableWire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.alive(cx)?;
        let done = Pin::new(&mut self.socket).poll_write(cx, buf);
        if done.is_pending() {
            self.cut.listen(cx);
        }
        let n = ready!(done)?;
        self.counts.written.increment(n as u64);
        Poll::Ready(Ok(n))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.alive(cx)?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
