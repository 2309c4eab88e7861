//! A text without its constants, for people who may not see these: chat rooms and mail boxes.

use crate::normal::{HOLE, Normal};

/// The text with `?` in the place of each constant, without comments, its words in lower case; `None` when the scanner cannot read it. Quoted
/// names stay as they are.
pub fn without_constants(text: &str) -> Option<String> {
    let mut normal = Normal::default();
    normal.read(text.as_bytes());
    if normal.broken.is_some() {
        return None;
    }
    let mut out = Vec::with_capacity(normal.text.len());
    let mut bytes = normal.text.iter();
    while let Some(&byte) = bytes.next() {
        if byte == HOLE {
            // What follows says which kind of constant it was.
            bytes.next();
            out.push(b'?');
        } else {
            out.push(byte);
        }
    }
    let text = String::from_utf8(out).ok()?;
    if text.contains('"') {
        return Some(text);
    }
    Some(text.replace(" . ", ".").replace(" , ", ", ").replace("( ", "(").replace(" )", ")").replace(" ;", ";"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::without_constants;

    #[test]
    fn no_constant_and_no_comment_stays() {
        for (text, shape) in [
            ("UPDATE orders SET note = 'secret' WHERE id = 17", Some("update orders set note = ? where id = ?")),
            ("select a.b, f(1.5e3, $1) -- secret\n from t /* secret */;", Some("select a.b, f (?, $1) from t;")),
            ("alter role x password E'sec\\'ret'", Some("alter role x password ?")),
            ("do $x$ secret $x$", Some("do ?")),
            ("select U&'secret', B'1', X'ff', N'secret', 0x5ec2e7", Some("select ?, ?, ?, ?, ?")),
            ("select 'sec' \n 'ret' from \"T , x\"", Some("select ? from \"T , x\"")),
            ("select 'secret", None),
            ("", Some("")),
        ] {
            assert_eq!(without_constants(text).as_deref(), shape, "{text}");
        }
    }
}
