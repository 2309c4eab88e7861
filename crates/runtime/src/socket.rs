//! The sockets of a session, as an enum: no dynamic call per read. It must never decide what to send.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use countersign_enforce::{Outbound, Pending, TlsFacts};
use socket2::{SockRef, TcpKeepalive};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};

/// Quiet time after which a peer is asked whether it still lives, and how often and how many times it is asked again: a dead
/// peer is noticed after two minutes.
const KEEPALIVE_QUIET: Duration = Duration::from_secs(60);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 6;

/// Runs of bytes handed to one vectored write.
const SLICES_MAX: usize = 16;

/// What one read from under TLS may bring. The TLS library itself asks for 4 KiB at a time.
const SCRATCH_BYTES: usize = 64 * 1024;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_BYTES].into_boxed_slice());
}

/// Sets what every TCP connection of the gateway has: no Nagle delay, keepalive.
pub(crate) fn tune(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_QUIET)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_RETRIES);
    SockRef::from(tcp).set_tcp_keepalive(&keepalive)
}

/// A queue that can be written and dropped.
pub(crate) trait Queue {
    fn is_empty(&self) -> bool;
    fn chunks<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize;
    fn advance(&mut self, n: usize);
    fn len(&self) -> usize;
}

impl Queue for Outbound {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
    fn chunks<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.chunks(slices)
    }
    fn advance(&mut self, n: usize) {
        self.advance(n);
    }
    fn len(&self) -> usize {
        self.len()
    }
}

impl Queue for Pending<'_> {
    fn is_empty(&self) -> bool {
        self.is_empty()
    }
    fn chunks<'s>(&'s self, slices: &mut [IoSlice<'s>]) -> usize {
        self.chunks(slices)
    }
    fn advance(&mut self, n: usize) {
        self.advance(n);
    }
    fn len(&self) -> usize {
        self.len()
    }
}

/// A socket without TLS.
#[derive(Debug)]
pub(crate) enum Plain {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// A plain socket under TLS: bytes that were read already come first, and one system call reads ahead for many small requests.
#[derive(Debug)]
pub(crate) struct ReadAhead {
    plain: Plain,
    ahead: BytesMut,
}

impl ReadAhead {
    pub(crate) fn new(plain: Plain, ahead: BytesMut) -> Self {
        Self { plain, ahead }
    }
}

#[derive(Debug)]
enum Kind {
    Plain(Plain),
    Server(Box<server::TlsStream<ReadAhead>>),
    Client(Box<client::TlsStream<ReadAhead>>),
    Gone,
}

/// One connection, encrypted or not, or gone.
#[derive(Debug)]
pub(crate) struct Socket {
    kind: Kind,
    unflushed: bool,
}

impl Socket {
    pub(crate) fn plain(plain: Plain) -> Self {
        Self { kind: Kind::Plain(plain), unflushed: false }
    }

    pub(crate) fn server(tls: server::TlsStream<ReadAhead>) -> Self {
        Self { kind: Kind::Server(Box::new(tls)), unflushed: true }
    }

    pub(crate) fn client(tls: client::TlsStream<ReadAhead>) -> Self {
        Self { kind: Kind::Client(Box::new(tls)), unflushed: true }
    }

    pub(crate) fn gone() -> Self {
        Self { kind: Kind::Gone, unflushed: false }
    }

    pub(crate) fn is_gone(&self) -> bool {
        matches!(self.kind, Kind::Gone)
    }

    /// True when a short read does not mean that the kernel holds nothing more.
    pub(crate) fn is_layered(&self) -> bool {
        matches!(self.kind, Kind::Server(_) | Kind::Client(_))
    }

    /// Takes the socket away to put TLS on it; `None` when it is encrypted already, or gone.
    pub(crate) fn take_plain(&mut self) -> Option<Plain> {
        match std::mem::replace(&mut self.kind, Kind::Gone) {
            Kind::Plain(plain) => Some(plain),
            other => {
                self.kind = other;
                None
            }
        }
    }

    /// What TLS settled on; nothing where there is none.
    pub(crate) fn tls_facts(&self) -> TlsFacts {
        let (alpn, peer) = match &self.kind {
            Kind::Server(tls) => (tls.get_ref().1.alpn_protocol(), tls.get_ref().1.peer_certificates()),
            Kind::Client(tls) => (tls.get_ref().1.alpn_protocol(), tls.get_ref().1.peer_certificates()),
            Kind::Plain(_) | Kind::Gone => (None, None),
        };
        TlsFacts {
            alpn: alpn.map(<[u8]>::to_vec),
            peer_certificates: peer.unwrap_or_default().iter().map(|c| Bytes::copy_from_slice(c)).collect(),
        }
    }

    /// True when the TLS layer may hold bytes that [`Socket::poll_send`] has to push out.
    pub(crate) fn unflushed(&self) -> bool {
        self.unflushed
    }

    /// Ready when a read may bring something. Of a layered socket only reading tells.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &self.kind {
            Kind::Plain(Plain::Tcp(s)) => s.poll_read_ready(cx),
            Kind::Plain(Plain::Unix(s)) => s.poll_read_ready(cx),
            Kind::Server(_) | Kind::Client(_) | Kind::Gone => Poll::Ready(Ok(())),
        }
    }

    /// Reads into the free capacity of `buf`; 0 is the end. A connection that ends without TLS's farewell ends all the same.
    pub(crate) fn poll_recv(&mut self, buf: &mut BytesMut, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        use std::future::Future;
        match ready!(pin!(self.read_buf(buf)).poll(cx)) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Poll::Ready(Ok(0)),
            done => Poll::Ready(done),
        }
    }

    /// Writes from the queue what one system call takes, then forgets it; with an empty queue pushes out what TLS holds.
    pub(crate) fn poll_send(&mut self, queue: &mut impl Queue, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let n = if queue.is_empty() {
            0
        } else {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled = queue.chunks(&mut slices);
            let slices = slices.get(..filled).unwrap_or_default();
            let n = match slices {
                [one] => ready!(Pin::new(&mut *self).poll_write(cx, one))?,
                many => ready!(Pin::new(&mut *self).poll_write_vectored(cx, many))?,
            };
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            n
        };
        queue.advance(n);
        self.unflushed = self.is_layered();
        if self.unflushed && queue.is_empty() {
            match Pin::new(&mut *self).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(e)) => return Poll::Ready(Err(e)),
                Poll::Pending if n == 0 => return Poll::Pending,
                Poll::Pending => {}
            }
        }
        Poll::Ready(Ok(n))
    }

    /// Says that nothing more will be sent.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self).poll_shutdown(cx)
    }
}

macro_rules! each {
    ($kind:expr, $s:ident => $call:expr, gone: $gone:expr) => {
        match $kind {
            Kind::Plain(Plain::Tcp($s)) => {
                let $s = Pin::new($s);
                $call
            }
            Kind::Plain(Plain::Unix($s)) => {
                let $s = Pin::new($s);
                $call
            }
            Kind::Server($s) => {
                let $s = Pin::new(&mut **$s);
                $call
            }
            Kind::Client($s) => {
                let $s = Pin::new(&mut **$s);
                $call
            }
            Kind::Gone => Poll::Ready($gone),
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.kind, s => s.poll_read(cx, buf), gone: Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        each!(&mut self.kind, s => s.poll_write(cx, buf), gone: Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(&mut self.kind, s => s.poll_write_vectored(cx, bufs), gone: Err(io::ErrorKind::NotConnected.into()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.kind, s => s.poll_flush(cx), gone: Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(&mut self.kind, s => s.poll_shutdown(cx), gone: Ok(()))
    }
}

impl AsyncRead for Plain {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(s) => Pin::new(s).poll_read(cx, buf),
            Self::Unix(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncRead for ReadAhead {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.ahead.is_empty() {
            return SCRATCH.with_borrow_mut(|scratch| {
                let mut all = ReadBuf::new(scratch);
                ready!(Pin::new(&mut this.plain).poll_read(cx, &mut all))?;
                let n = all.filled().len().min(buf.remaining());
                let (now, later) = all.filled().split_at(n);
                buf.put_slice(now);
                this.ahead.extend_from_slice(later);
                Poll::Ready(Ok(()))
            });
        }
        let n = this.ahead.len().min(buf.remaining());
        let (now, _) = this.ahead.split_at(n);
        buf.put_slice(now);
        this.ahead.advance(n);
        if this.ahead.is_empty() {
            this.ahead = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ReadAhead {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.plain {
            Plain::Tcp(s) => Pin::new(s).poll_write(cx, buf),
            Plain::Unix(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.plain {
            Plain::Tcp(s) => Pin::new(s).poll_write_vectored(cx, bufs),
            Plain::Unix(s) => Pin::new(s).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.plain {
            Plain::Tcp(s) => Pin::new(s).poll_shutdown(cx),
            Plain::Unix(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
