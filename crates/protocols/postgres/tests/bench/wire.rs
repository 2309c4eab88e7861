//! Messages as bytes, and bytes as messages in words that two servers can be compared by.

use std::fmt::Write as _;

/// Makes a message.
pub(crate) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    out.extend(i32::try_from(body.len() + 4).unwrap_or(i32::MAX).to_be_bytes());
    out.extend(body);
    out
}

fn cstrs(parts: &[&str]) -> Vec<u8> {
    parts.iter().flat_map(|p| p.bytes().chain([0])).collect()
}

/// `Query`.
pub(crate) fn q(sql: &str) -> Vec<u8> {
    frame(b'Q', &cstrs(&[sql]))
}

/// `Parse`, without types.
pub(crate) fn p(name: &str, sql: &str) -> Vec<u8> {
    let mut body = cstrs(&[name, sql]);
    body.extend([0, 0]);
    frame(b'P', &body)
}

/// `Bind` of text parameters, text results.
pub(crate) fn b(portal: &str, statement: &str, parameters: &[&str]) -> Vec<u8> {
    let mut body = cstrs(&[portal, statement]);
    body.extend([0, 0]);
    body.extend(i16::try_from(parameters.len()).unwrap_or(0).to_be_bytes());
    for parameter in parameters {
        body.extend(i32::try_from(parameter.len()).unwrap_or(0).to_be_bytes());
        body.extend(parameter.bytes());
    }
    body.extend([0, 0]);
    frame(b'B', &body)
}

/// `Execute`; 0 rows is all of them.
pub(crate) fn e(portal: &str, rows: i32) -> Vec<u8> {
    let mut body = cstrs(&[portal]);
    body.extend(rows.to_be_bytes());
    frame(b'E', &body)
}

/// `Describe` of a statement (`S`) or portal (`P`).
pub(crate) fn d(kind: u8, name: &str) -> Vec<u8> {
    named(b'D', kind, name)
}

/// `Close` of a statement (`S`) or portal (`P`).
pub(crate) fn c(kind: u8, name: &str) -> Vec<u8> {
    named(b'C', kind, name)
}

fn named(tag: u8, kind: u8, name: &str) -> Vec<u8> {
    let mut body = vec![kind];
    body.extend(cstrs(&[name]));
    frame(tag, &body)
}

/// `Sync`.
pub(crate) fn s() -> Vec<u8> {
    frame(b'S', b"")
}

/// `Flush`.
pub(crate) fn h() -> Vec<u8> {
    frame(b'H', b"")
}

/// `Terminate`.
pub(crate) fn x() -> Vec<u8> {
    frame(b'X', b"")
}

/// `CopyData`.
pub(crate) fn data(rows: &str) -> Vec<u8> {
    frame(b'd', rows.as_bytes())
}

/// `CopyDone`.
pub(crate) fn done() -> Vec<u8> {
    frame(b'c', b"")
}

/// `CopyFail`.
pub(crate) fn fail(why: &str) -> Vec<u8> {
    frame(b'f', &cstrs(&[why]))
}

/// Unnamed Parse, Bind and Execute.
pub(crate) fn pbe(sql: &str, parameters: &[&str]) -> Vec<u8> {
    [p("", sql), b("", "", parameters), e("", 0)].concat()
}

/// A start-up packet.
pub(crate) fn startup(version: i32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = version.to_be_bytes().to_vec();
    for (k, v) in pairs {
        body.extend(cstrs(&[k, v]));
    }
    body.push(0);
    let mut out = i32::try_from(body.len() + 4).unwrap_or(i32::MAX).to_be_bytes().to_vec();
    out.extend(body);
    out
}

/// Protocol 3.0.
pub(crate) const V3_0: i32 = 196_608;

/// A whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    pub(crate) tag: u8,
    pub(crate) body: Vec<u8>,
}

/// Cuts bytes into messages; what is left over is returned, too.
pub(crate) fn messages(mut bytes: &[u8]) -> (Vec<Message>, &[u8]) {
    let mut out = Vec::new();
    while let [tag, a, b, c, d, rest @ ..] = bytes {
        let len = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some(body) = len.checked_sub(4).and_then(|n| rest.get(..n)) else { break };
        out.push(Message { tag: *tag, body: body.to_vec() });
        bytes = &rest[len - 4..];
    }
    (out, bytes)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self, bytes: usize) -> i64 {
        let (n, rest) = self.0.split_at(bytes.min(self.0.len()));
        self.0 = rest;
        let sign = if n.first().is_some_and(|b| *b >= 128) { -1 } else { 0 };
        n.iter().fold(sign, |all, b| (all << 8) | i64::from(*b))
    }

    fn cstr(&mut self) -> String {
        let end = self.0.iter().position(|b| *b == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(&self.0[..end]).into_owned();
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        text
    }

    fn text(&mut self, bytes: i64) -> String {
        let (text, rest) = self.0.split_at(usize::try_from(bytes).unwrap_or(0).min(self.0.len()));
        self.0 = rest;
        String::from_utf8_lossy(text).into_owned()
    }
}

/// A message in words: everything that does not differ between two runs against equal databases.
pub(crate) fn words(m: &Message) -> String {
    let mut r = Reader(&m.body);
    let mut out = char::from(m.tag).to_string();
    match m.tag {
        b'E' | b'N' => {
            let (mut severity, mut code) = (String::new(), String::new());
            while let Some(kind) = r.0.first().copied().filter(|k| *k != 0) {
                r.0 = &r.0[1..];
                let text = r.cstr();
                match kind {
                    b'V' => severity = text,
                    b'C' => code = text,
                    _ => {}
                }
            }
            let _ = write!(out, ":{severity}:{code}");
        }
        b'C' => out = format!("C:{}", r.cstr()),
        b'Z' => out = format!("Z:{}", r.text(1)),
        b'D' => {
            out.push(':');
            for n in 0..r.number(2) {
                let len = r.number(4);
                let cell = if len < 0 { "NULL".to_owned() } else { r.text(len) };
                let _ = write!(out, "{}{cell}", if n > 0 { "|" } else { "" });
            }
        }
        b'T' => {
            out.push(':');
            for n in 0..r.number(2) {
                let _ = write!(out, "{}{}", if n > 0 { "," } else { "" }, r.cstr());
                r.0 = r.0.get(18..).unwrap_or_default();
            }
        }
        b't' => {
            for _ in 0..r.number(2) {
                let _ = write!(out, ":{}", r.number(4));
            }
        }
        b'S' => out = format!("S:{}={}", r.cstr(), r.cstr()),
        b'A' => {
            r.number(4);
            out = format!("A:{}:{}", r.cstr(), r.cstr());
        }
        b'd' => out = format!("d:{}", r.text(i64::MAX).trim_end()),
        b'G' | b'H' => out = format!("{out}:{}:{}", r.number(1), r.number(2)),
        b'R' => out = format!("R:{}", r.number(4)),
        b'v' => {
            out = format!("v:{}", r.number(4));
            for _ in 0..r.number(4) {
                let _ = write!(out, ":{}", r.cstr());
            }
        }
        _ => {}
    }
    out
}

/// What a client's message says, in words.
pub(crate) fn spoken(m: &Message) -> String {
    let mut r = Reader(&m.body);
    match m.tag {
        b'Q' => format!("Q {}", r.cstr()),
        b'P' => format!("P {} {}", r.cstr(), r.cstr()),
        b'B' => format!("B {} {}", r.cstr(), r.cstr()),
        b'E' => format!("E {} {}", r.cstr(), r.number(4)),
        b'D' | b'C' => format!("{} {} {}", char::from(m.tag), r.text(1), r.cstr()),
        tag => format!("{}", char::from(tag)),
    }
}
