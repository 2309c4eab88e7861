//! PostgreSQL's protocol as a client of our own speaks it: the simple query protocol over a connection that the gateway made in this process.
//!
//! It must never hold more of a message than it may, nor send anything but a start-up, a text to run, a cancel order and the end.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol".

use std::io;

use countersign_api::SqlErrorView;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

/// The longest message that is read; of a longer one nothing is.
pub(super) const FRAME_BYTES_MAX: usize = 1 << 20;
/// What is read at once.
const READ_BYTES: usize = 16 * 1024;
const HEADER_BYTES: usize = 5;
const PROTOCOL_3_0: i32 = 196_608;
const CANCEL_REQUEST: i32 = 80_877_102;

/// A message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) tag: u8,
    pub(super) body: Vec<u8>,
    /// How long it is, with its header.
    pub(super) bytes: usize,
    /// It was too long to be read.
    pub(super) skipped: bool,
}

/// Messages, as bytes of them come.
#[derive(Default)]
struct Frames {
    buf: Vec<u8>,
    /// Bytes of a message that is too long, still to come.
    skip: usize,
}

impl Frames {
    fn next(&mut self) -> io::Result<Option<Frame>> {
        if self.skip > 0 {
            let n = self.skip.min(self.buf.len());
            self.buf.drain(..n);
            self.skip -= n;
            if self.skip > 0 {
                return Ok(None);
            }
        }
        let [tag, a, b, c, d, ..] = *self.buf.as_slice() else { return Ok(None) };
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "a message has an impossible length");
        let bytes = usize::try_from(i32::from_be_bytes([a, b, c, d])).map_err(|_| wrong())?.saturating_add(1);
        if bytes < HEADER_BYTES {
            return Err(wrong());
        }
        if bytes > FRAME_BYTES_MAX {
            self.skip = bytes;
            return Ok(Some(Frame { tag, body: Vec::new(), bytes, skipped: true }));
        }
        let Some(body) = self.buf.get(HEADER_BYTES..bytes) else { return Ok(None) };
        let frame = Frame { tag, body: body.to_vec(), bytes, skipped: false };
        self.buf.drain(..bytes);
        Ok(Some(frame))
    }
}

/// A connection.
pub(super) struct Wire {
    stream: UnixStream,
    frames: Frames,
}

impl Wire {
    /// On a connection to the gateway: asks for the target as this user.
    pub(super) async fn start(stream: UnixStream, user: &str, target: &str, application: &str) -> io::Result<Self> {
        if [user, target, application].iter().any(|s| s.contains('\0')) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a name has a zero in it"));
        }
        let mut body = PROTOCOL_3_0.to_be_bytes().to_vec();
        let encoding = ("client_encoding", "UTF8");
        for (name, value) in [("user", user), ("database", target), ("application_name", application), encoding] {
            for word in [name, value] {
                body.extend_from_slice(word.as_bytes());
                body.push(0);
            }
        }
        body.push(0);
        let mut wire = Self { stream, frames: Frames::default() };
        wire.stream.write_all(&sized(&body)?).await?;
        Ok(wire)
    }

    /// The next message; `None` at the end. Nothing is lost when this is dropped before it is there.
    pub(super) async fn next(&mut self) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.frames.next()? {
                return Ok(Some(frame));
            }
            self.frames.buf.reserve(READ_BYTES);
            if self.stream.read_buf(&mut self.frames.buf).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Has a text run.
    pub(super) async fn query(&mut self, text: &str) -> io::Result<()> {
        self.send(b'Q', &[text.as_bytes(), b"\0"].concat()).await
    }

    /// Has no rows to send.
    pub(super) async fn refuse_copy(&mut self) -> io::Result<()> {
        self.send(b'f', b"the SQL console sends no rows\0").await
    }

    /// Says goodbye.
    pub(super) async fn end(&mut self) {
        // Whether it is heard or not, the connection ends.
        let _ = self.send(b'X', b"").await;
    }

    async fn send(&mut self, tag: u8, body: &[u8]) -> io::Result<()> {
        let mut frame = vec![tag];
        frame.extend(sized(body)?);
        self.stream.write_all(&frame).await
    }
}

/// On a connection of its own: cancels what runs in the one with this key.
pub(super) async fn cancel(mut stream: UnixStream, key: &[u8]) -> io::Result<()> {
    stream.write_all(&sized(&[&CANCEL_REQUEST.to_be_bytes(), key].concat())?).await?;
    // The gateway closes it when it has been done.
    stream.read_to_end(&mut Vec::new()).await.map(drop)
}

fn sized(body: &[u8]) -> io::Result<Vec<u8>> {
    let too_long = |_| io::Error::new(io::ErrorKind::InvalidInput, "a message is too long");
    let len = i32::try_from(body.len() + 4).map_err(too_long)?;
    Ok([&len.to_be_bytes(), body].concat())
}

/// Reads what is in a message.
pub(super) struct Body<'a>(pub(super) &'a [u8]);

impl<'a> Body<'a> {
    pub(super) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        Some(i16::from_be_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub(super) fn i32(&mut self) -> Option<i32> {
        Some(i32::from_be_bytes(self.bytes(4)?.try_into().ok()?))
    }

    pub(super) fn text(&mut self) -> Option<String> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let text = String::from_utf8_lossy(self.bytes(end)?).into_owned();
        self.bytes(1)?;
        Some(text)
    }
}

/// The names of a `RowDescription`'s columns.
pub(super) fn columns(body: &[u8]) -> Option<Vec<String>> {
    let mut b = Body(body);
    let mut names = Vec::new();
    for _ in 0..b.i16()? {
        names.push(b.text()?);
        b.bytes(18)?;
    }
    Some(names)
}

/// The values of a `DataRow`.
pub(super) fn values(body: &[u8]) -> Option<Vec<Option<&[u8]>>> {
    let mut b = Body(body);
    let mut values = Vec::new();
    for _ in 0..b.i16()? {
        values.push(match usize::try_from(b.i32()?) {
            Ok(len) => Some(b.bytes(len)?),
            Err(_) => None,
        });
    }
    Some(values)
}

/// An `ErrorResponse` or `NoticeResponse`, and whether the session ends by it.
pub(super) fn error(body: &[u8]) -> (SqlErrorView, bool) {
    let mut b = Body(body);
    let (mut code, mut message, mut hint, mut detail, mut position, mut fatal) =
        (String::new(), String::new(), None, None, None, false);
    while let Some(kind) = b.u8().filter(|k| *k != 0) {
        let Some(text) = b.text() else { break };
        match kind {
            b'C' => code = text,
            b'M' => message = text,
            b'H' => hint = Some(text),
            b'D' => detail = Some(text),
            b'P' => position = text.parse().ok(),
            b'V' => fatal = matches!(text.as_str(), "FATAL" | "PANIC"),
            _ => {}
        }
    }
    if let Some(detail) = detail {
        message = format!("{message}: {detail}");
    }
    (SqlErrorView { code, message, hint, position }, fatal)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
        let mut out = vec![tag];
        out.extend(sized(body).unwrap());
        out
    }

    #[test]
    fn messages_are_the_same_wherever_they_are_cut() {
        let long = frame(b'D', &vec![7; FRAME_BYTES_MAX]);
        let edge = frame(b'D', &vec![7; FRAME_BYTES_MAX - HEADER_BYTES]);
        let all = [frame(b'T', b"\0\0"), long.clone(), frame(b'C', b"SELECT 1\0"), edge, frame(b'Z', b"I")].concat();
        for size in [999, 4096, all.len()] {
            let (mut frames, mut got) = (Frames::default(), Vec::new());
            for part in all.chunks(size) {
                frames.buf.extend_from_slice(part);
                while let Some(frame) = frames.next().unwrap() {
                    got.push((frame.tag, frame.body.len(), frame.bytes, frame.skipped));
                }
            }
            let want = [
                (b'T', 2, 7, false),
                (b'D', 0, long.len(), true),
                (b'C', 9, 14, false),
                (b'D', FRAME_BYTES_MAX - HEADER_BYTES, FRAME_BYTES_MAX, false),
                (b'Z', 1, 6, false),
            ];
            assert_eq!(got, want, "in pieces of {size}");
        }
        let small = [frame(b'S', b"a\0b\0"), frame(b'Z', b"T")].concat();
        let (mut frames, mut got) = (Frames::default(), Vec::new());
        for byte in small {
            frames.buf.push(byte);
            got.extend(frames.next().unwrap().map(|f| (f.tag, f.body)));
        }
        assert_eq!(got, [(b'S', b"a\0b\0".to_vec()), (b'Z', b"T".to_vec())]);
    }

    #[test]
    fn what_cannot_be_a_message_is_none() {
        for bytes in [&b"D\0\0\0\x03"[..], b"D\xff\xff\xff\xff"] {
            let mut frames = Frames { buf: bytes.to_vec(), skip: 0 };
            assert!(frames.next().is_err(), "{bytes:?}");
        }
        assert_eq!(columns(b"\0\x01a\0"), None);
        assert_eq!(values(b"\0\x02\0\0\0\x01x"), None);
        assert_eq!(values(b"\0\x02\0\0\0\x01x\xff\xff\xff\xff"), Some(vec![Some(&b"x"[..]), None]));
        assert_eq!(error(b"VFATAL\0C57P01\0Mgone"), (error(b"C57P01\0").0, true));
    }
}
