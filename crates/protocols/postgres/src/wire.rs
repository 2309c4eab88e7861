//! Frames of the PostgreSQL protocol 3: reading them from a buffer and writing those that the gateway says itself.
//!
//! Source: PostgreSQL documentation, chapter "Frontend/Backend Protocol", section "Message Formats". This module must never
//! interpret SQL or decide anything.

use bytes::{BufMut, Bytes, BytesMut};
use countersign_model::{ClientText, Culprit, Denial, DenialCode};

/// A tag byte and a four-byte length.
pub(crate) const HEADER_BYTES: usize = 5;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The message type.
    pub(crate) tag: u8,
    /// The whole frame, with tag and length.
    pub(crate) frame_bytes: usize,
}

/// Reads the head at the start of `b`; `None` until five bytes are there.
///
/// # Errors
/// When the length is impossible.
pub(crate) fn head(b: &[u8]) -> Result<Option<Head>, Denial> {
    let Some((tag, rest)) = b.split_first() else { return Ok(None) };
    let Some(len) = rest.first_chunk::<4>() else { return Ok(None) };
    match usize::try_from(i32::from_be_bytes(*len)) {
        Ok(len) if len >= 4 => Ok(Some(Head { tag: *tag, frame_bytes: len + 1 })),
        _ => Err(protocol_fault("a message length is impossible")),
    }
}

/// A denial for a client that does not follow the protocol.
pub(crate) fn protocol_fault(what: &'static str) -> Denial {
    Denial::new(Culprit::Client, DenialCode::Protocol, ClientText::new("protocol violation: ").and(what))
}

/// A denial for a target that does not follow the protocol.
pub(crate) fn target_fault(what: &'static str) -> Denial {
    Denial::new(Culprit::Target, DenialCode::Protocol, ClientText::new("the target broke the protocol: ").and(what))
}

/// Takes fields from the body of a frame; every method is total.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    /// The body of a whole frame.
    pub(crate) fn of(frame: &'a [u8]) -> Self {
        Self(frame.get(HEADER_BYTES..).unwrap_or_default())
    }

    /// A zero-terminated string, without the zero.
    pub(crate) fn cstr(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|b| *b == 0)?;
        let (s, rest) = self.0.split_at_checked(end)?;
        self.0 = rest.get(1..)?;
        Some(s)
    }

    /// A two-byte number.
    pub(crate) fn i16(&mut self) -> Option<i16> {
        let (n, rest) = self.0.split_first_chunk::<2>()?;
        self.0 = rest;
        Some(i16::from_be_bytes(*n))
    }

    /// A four-byte number.
    pub(crate) fn i32(&mut self) -> Option<i32> {
        let (n, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(i32::from_be_bytes(*n))
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Option<u8> {
        let (n, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*n)
    }

    /// `n` bytes.
    pub(crate) fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (s, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(s)
    }
}

/// Appends a frame: tag, length, and the body that `fill` writes.
pub(crate) fn frame(out: &mut BytesMut, tag: u8, fill: impl FnOnce(&mut BytesMut)) {
    out.put_u8(tag);
    sized(out, fill);
}

/// Appends a body with its length before it, as start-up packets have it.
pub(crate) fn sized(out: &mut BytesMut, fill: impl FnOnce(&mut BytesMut)) {
    let at = out.len();
    out.put_i32(0);
    fill(out);
    let len = i32::try_from(out.len() - at).unwrap_or(i32::MAX);
    if let Some(slot) = out.get_mut(at..at + 4) {
        slot.copy_from_slice(&len.to_be_bytes());
    }
}

/// Appends a zero-terminated string; zeros within it are left out.
pub(crate) fn put_cstr(out: &mut BytesMut, s: &str) {
    out.extend(s.bytes().filter(|b| *b != 0));
    out.put_u8(0);
}

/// An authentication request without a payload, such as 0 (ok) or 3 (clear-text password).
pub(crate) fn authentication(code: i32) -> Bytes {
    authentication_with(code, b"")
}

/// An authentication request with a payload, such as 10 (SASL) with the mechanisms, or 11 with a challenge.
pub(crate) fn authentication_with(code: i32, payload: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(9 + payload.len());
    frame(&mut out, b'R', |b| {
        b.put_i32(code);
        b.put_slice(payload);
    });
    out.freeze()
}

/// `ReadyForQuery` with a transaction status: `I`, `T` or `E`.
pub(crate) fn ready_for_query(status: u8) -> Bytes {
    let mut out = BytesMut::with_capacity(6);
    frame(&mut out, b'Z', |b| b.put_u8(status));
    out.freeze()
}

/// How grave an `ErrorResponse` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gravity {
    /// The statement failed; the session goes on.
    Error,
    /// The session ends.
    Fatal,
}

/// A denial in PostgreSQL's words.
pub(crate) fn error_response(denial: &Denial, gravity: Gravity) -> Bytes {
    error_response_with(denial, gravity, &Native::default())
}

/// What the target itself would have said: programs look at these fields.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Native {
    /// An SQLSTATE that tells more than the denial's code.
    pub(crate) state: Option<&'static str>,
    /// Where in the statement, in characters from 1.
    pub(crate) position: Option<usize>,
}

impl Native {
    /// Only the SQLSTATE.
    pub(crate) const fn state(state: &'static str) -> Self {
        Self { state: Some(state), position: None }
    }
}

/// The same with fields as the target would have set them.
pub(crate) fn error_response_with(denial: &Denial, gravity: Gravity, native: &Native) -> Bytes {
    let word = match gravity {
        Gravity::Error => "ERROR",
        Gravity::Fatal => "FATAL",
    };
    let mut out = BytesMut::with_capacity(256);
    frame(&mut out, b'E', |b| {
        let mut field = |kind: u8, text: &str| {
            b.put_u8(kind);
            put_cstr(b, text);
        };
        field(b'S', word);
        field(b'V', word);
        field(b'C', native.state.unwrap_or(sqlstate(denial.code)));
        field(b'M', denial.message.as_str());
        if let Some(hint) = &denial.hint {
            field(b'H', hint.as_str());
        }
        if let Some(position) = native.position {
            field(b'P', &position.to_string());
        }
        b.put_u8(0);
    });
    out.freeze()
}

/// Appends a notice of our own.
pub(crate) fn notice(out: &mut BytesMut, message: &ClientText, hint: &ClientText) {
    frame(out, b'N', |b| {
        for (kind, text) in [
            (b'S', "NOTICE"),
            (b'V', "NOTICE"),
            // successful_completion: nothing is wrong.
            (b'C', "00000"),
            (b'M', message.as_str()),
            (b'H', hint.as_str()),
        ] {
            b.put_u8(kind);
            put_cstr(b, text);
        }
        b.put_u8(0);
    });
}

/// The SQLSTATE for a denial (PostgreSQL documentation, appendix "PostgreSQL Error Codes").
pub(crate) const fn sqlstate(code: DenialCode) -> &'static str {
    match code {
        DenialCode::Unauthenticated => "28000",
        DenialCode::Plaintext => "28000",
        DenialCode::Forbidden | DenialCode::Withheld | DenialCode::Unreadable => "42501",
        DenialCode::Undefined => "42P01",
        DenialCode::Protocol => "08P01",
        DenialCode::Oversize => "54000",
        DenialCode::LimitExceeded => "53400",
        DenialCode::Unsupported => "0A000",
        DenialCode::Busy => "53300",
        DenialCode::Timeout | DenialCode::Cancelled => "57014",
        DenialCode::TargetUnavailable => "08006",
        DenialCode::RecorderUnavailable => "58030",
        // `admin_shutdown`: drivers and pools take it for the end of the connection, not for the statement's failure.
        DenialCode::Draining | DenialCode::Locked => "57P01",
        DenialCode::Internal => "XX000",
    }
}

/// The SQLSTATE field of an `ErrorResponse` frame.
pub(crate) fn error_code(frame: &[u8]) -> Option<&str> {
    let mut f = Fields::of(frame);
    loop {
        let kind = f.u8()?;
        if kind == 0 {
            return None;
        }
        let text = f.cstr()?;
        if kind == b'C' {
            return std::str::from_utf8(text).ok();
        }
    }
}

/// True for an `ErrorResponse` or notice that says that the target's session ends.
pub(crate) fn is_fatal(frame: &[u8]) -> bool {
    let mut f = Fields::of(frame);
    while let Some(kind) = f.u8().filter(|k| *k != 0) {
        let Some(text) = f.cstr() else { return false };
        if kind == b'V' {
            return matches!(text, b"FATAL" | b"PANIC");
        }
    }
    false
}

/// The number at the end of a command tag: `INSERT 0 5`, `UPDATE 7`. With it, whether the tag is of a command that changes rows.
pub(crate) fn tag_count(tag: &[u8]) -> (bool, Option<u64>) {
    let changes = [&b"INSERT "[..], b"UPDATE ", b"DELETE ", b"MERGE ", b"COPY "].iter().any(|p| tag.starts_with(p));
    let digits = tag.rsplit(|b| *b == b' ').next().unwrap_or_default();
    let n = std::str::from_utf8(digits).ok().and_then(|d| d.parse().ok());
    (changes, n)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn heads() {
        for (bytes, want) in [
            (&b""[..], Ok(None)),
            (b"Q\0\0\0", Ok(None)),
            (b"Q\0\0\0\x04", Ok(Some(Head { tag: b'Q', frame_bytes: 5 }))),
            (b"Q\0\0\0\x03", Err(())),
            (b"Q\xff\xff\xff\xff", Err(())),
            (b"d\x7f\xff\xff\xff", Ok(Some(Head { tag: b'd', frame_bytes: 0x8000_0000 }))),
        ] {
            assert_eq!(head(bytes).map_err(|_| ()), want, "{bytes:?}");
        }
    }

    #[test]
    fn an_error_names_its_code_message_and_hint() {
        let denial = Denial::new(Culprit::Policy, DenialCode::Forbidden, ClientText::new("no").name("a\0b"))
            .hint(ClientText::new("ask"));
        let b = error_response(&denial, Gravity::Error);
        assert_eq!(&b[..1], b"E");
        assert_eq!(i32::from_be_bytes(b[1..5].try_into().unwrap()) as usize, b.len() - 1);
        assert_eq!(error_code(&b), Some("42501"));
        assert!(b.windows(6).any(|w| w == b"\0Mnoab"), "{b:?}");
        assert!(b.windows(5).any(|w| w == b"Hask\0"));
    }

    #[test]
    fn tags() {
        for (tag, want) in [
            (&b"INSERT 0 5"[..], (true, Some(5))),
            (b"UPDATE 7", (true, Some(7))),
            (b"SELECT 9", (false, Some(9))),
            (b"CREATE TABLE", (false, None)),
            (b"", (false, None)),
        ] {
            assert_eq!(tag_count(tag), want);
        }
    }
}
