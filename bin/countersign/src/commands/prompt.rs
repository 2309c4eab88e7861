//! A secret from a person or a program: typed without echo, or read from standard input. It must never be shown, not even its length.

use std::io::{self, BufRead as _, IsTerminal as _, Read};

use countersign_credentials::SECRET_BYTES_MAX;
use countersign_model::Secret;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use crate::failed::Failed;
use crate::output;

/// The longest yes or no.
const ANSWER_BYTES_MAX: u64 = 64;
const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const ERASE: [u8; 2] = [0x08, 0x7f];
const KILL: u8 = 0x15;

/// Reads a secret: from the terminal without echo, twice, or all of standard input without its last line end.
pub(crate) fn secret(what: &str) -> Result<Secret, Failed> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        let mut bytes = Vec::with_capacity(SECRET_BYTES_MAX + 3);
        // Two more for a line end, one more to see that it is too long.
        stdin.lock().take(SECRET_BYTES_MAX as u64 + 3).read_to_end(&mut bytes)?;
        return checked(bytes);
    }
    let first = typed(&format!("{what}: "))?;
    let again = typed(&format!("{what}, again: "))?;
    if first.expose() != again.expose() {
        return Err(Failed::new("the two are not the same: nothing was changed"));
    }
    Ok(first)
}

/// Asks for something short without echo, once; `None` where there is nobody to ask.
pub(crate) fn ask(what: &str) -> Result<Option<Secret>, Failed> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    typed(&format!("{what}: ")).map(Some)
}

/// Asks yes or no on the terminal; `None` where there is nobody to ask. Everything but a clear yes is a no.
pub(crate) fn confirm(question: &str) -> Result<Option<bool>, Failed> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        return Ok(None);
    }
    {
        use std::io::Write as _;
        let mut err = io::stderr().lock();
        write!(err, "{question} [y/N] ")?;
        err.flush()?;
    }
    let mut line = String::new();
    io::stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut line)?;
    Ok(Some(matches!(line.trim(), "y" | "Y" | "yes")))
}

/// Without its line end, and within its limits.
fn checked(mut bytes: Vec<u8>) -> Result<Secret, Failed> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    let secret = Secret::new(bytes);
    match secret.expose().len() {
        0 => Err(Failed::new("the secret is empty: give it on standard input, or run this in a terminal")),
        n if n > SECRET_BYTES_MAX => Err(Failed::new(format!("the secret is longer than {SECRET_BYTES_MAX} bytes"))),
        _ => Ok(secret),
    }
}

/// Puts the terminal back as it was, whatever happens.
struct Quiet(Termios);

impl Quiet {
    fn new() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut quiet = before.clone();
        // Ctrl-C comes as a byte, so that it cannot leave the terminal without echo.
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // There is nothing more to try.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        output::note("");
    }
}

fn typed(prompt: &str) -> Result<Secret, Failed> {
    {
        use std::io::Write as _;
        let mut err = io::stderr().lock();
        write!(err, "{prompt}")?;
        err.flush()?;
    }
    let _quiet = Quiet::new()?;
    line(&mut io::stdin().lock())
}

/// One line of keys, with the keys that take something back.
fn line(keys: &mut impl Read) -> Result<Secret, Failed> {
    // One buffer that is large enough from the start: growing would leave copies behind.
    let mut bytes = Vec::with_capacity(SECRET_BYTES_MAX + 1);
    let mut key = [0_u8];
    loop {
        if keys.read(&mut key)? == 0 {
            break;
        }
        match key {
            [b'\n' | b'\r' | END] => break,
            [INTERRUPT] => return Err(Failed::new("given up: nothing was changed")),
            [KILL] => bytes.clear(),
            [k] if ERASE.contains(&k) => {
                // A character of several bytes goes as a whole.
                while bytes.pop().is_some_and(|b: u8| b & 0xc0 == 0x80) {}
            }
            [k] if bytes.len() <= SECRET_BYTES_MAX => bytes.push(k),
            _ => {}
        }
    }
    checked(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use countersign_credentials::SECRET_BYTES_MAX;

    use super::{checked, line};

    #[test]
    fn keys_become_a_line() {
        for (keys, expected) in [
            (&b"secret\nrest"[..], Some(&b"secret"[..])),
            (b"secres\x7ft\r", Some(b"secret")),
            ("a\u{e9}\x08b\n".as_bytes(), Some(b"ab")),
            (b"wrong\x15right\n", Some(b"right")),
            (b"end\x04", Some(b"end")),
            (b"abc\x03", None),
            (b"\n", None),
            (b"", None),
        ] {
            assert_eq!(line(&mut &*keys).ok().map(|s| s.expose().to_vec()), expected.map(<[u8]>::to_vec), "{keys:?}");
        }
    }

    #[test]
    fn secrets_have_a_longest() {
        let mut long = vec![b'x'; SECRET_BYTES_MAX];
        assert!(checked(long.clone()).is_ok());
        assert!(line(&mut long.as_slice()).is_ok());
        long.push(b'x');
        assert!(line(&mut long.as_slice()).is_err());
        assert!(checked(long.clone()).is_err());
        long.pop();
        long.extend(b"\r\n");
        assert!(checked(long).is_ok(), "the line end does not count");
    }
}
