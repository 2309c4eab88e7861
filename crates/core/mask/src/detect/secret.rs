//! Secrets that are known by the name that they are assigned to: `password=`, `"api_key": "..."`, `Authorization: Bearer ...`.
//!
//! The value decides, too: words, placeholders and code are no secrets.

use super::context::words;
use super::scan::Sink;
use super::view::{AHEAD_BYTES_MAX, Found, View, is_word};
use super::{Confidence, Detector, Hit, key};
use crate::REDACTED;

/// The longest name, with the quotes and spaces behind it, in bytes.
const NAME_BYTES_MAX: usize = 48;
/// The longest value without quotes, in bytes.
const BARE_BYTES_MAX: usize = 256;
/// The shortest password that is looked at, in bytes.
const PASSWORD_BYTES_MIN: usize = 4;
/// The shortest key or token that is looked at, in bytes.
const TOKEN_BYTES_MIN: usize = 8;
/// Entropy of the bytes of a key or token, in bits a byte. Written words have about 2 to 3 over so few bytes, random hex digits 3.5,
/// random base 64 from 4.
const ENTROPY_BITS_MIN: f64 = 2.5;
/// The same for those of 16 bytes or more.
const ENTROPY_LONG_BITS_MIN: f64 = 3.0;

/// What a name promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Password,
    Token,
    Key,
    /// A header of credentials, which names their scheme first.
    Scheme,
}

impl Promise {
    const fn detector(self) -> Detector {
        match self {
            Self::Key => Detector::NamedKey,
            _ => Detector::Generic,
        }
    }
}

/// An assignment around the `=` or `:` at `at`. `None` when more must be seen.
pub(super) fn assignment(view: &View<'_>, at: usize, sink: &mut Sink<'_>) -> Option<usize> {
    let after = at + 1;
    // A comparison, a scope.
    if matches!(view.at(after), Some(b'=' | b':' | b'~')) && view.at(at) != Some(b':')
        || view.before(at).is_some_and(|b| matches!(b, b'!' | b'<' | b'>' | b'=' | b'+'))
    {
        return Some(after);
    }
    let Some(promise) = promised(view.behind(at)) else { return Some(after) };
    let Some((start, end, quoted)) = value(view, after, promise)? else { return Some(after) };
    let text = view.slice(start..end);
    if !is_secret(promise, text, quoted) {
        return Some(after);
    }
    // A key that says itself what it is.
    let known = match key::jwt(view, start)? {
        Some(found) => Some(found),
        None => key::known(view, start),
    };
    if let Some(found) = known.filter(|f| f.start == start) {
        sink.push(view, &found);
        return Some(found.end);
    }
    let detector = match promise {
        Promise::Password if in_connection(view.behind(at)) => Detector::Connection,
        p => p.detector(),
    };
    sink.push(view, &Found::new(start, end, detector, Confidence::Likely));
    Some(end)
}

/// A text that is a secret as a whole, by its name.
pub(super) fn whole(view: &View<'_>, hits: &mut Vec<Hit>) {
    let Some(promise) = (if view.name.is_empty() { None } else { promised(view.name) }) else { return };
    let text = view.slice(0..view.len());
    let detector = promise.detector();
    // The name of a column or key is given, not guessed: a password is whatever stands there.
    let fits = match promise {
        Promise::Password => text.len() >= PASSWORD_BYTES_MIN && !is_placeholder(text),
        p => is_secret(p, text, true),
    };
    if fits && view.wanted.has(detector) {
        hits.push(Hit { range: 0..text.len(), detector, confidence: Confidence::Likely });
    }
}

/// What the name at the end of a text promises.
fn promised(behind: &[u8]) -> Option<Promise> {
    let behind = behind.get(behind.len().saturating_sub(NAME_BYTES_MAX)..)?;
    let closing = |b: &u8| matches!(b, b' ' | b'"' | b'\'' | b'`' | b']' | b'\\' | b':');
    let end = behind.iter().rposition(|b| !closing(b))? + 1;
    let name = behind.get(..end)?;
    // Nearly all names are refused here, by their last letters.
    let [.., a, b, c] = name else { return None };
    if !matches!(
        &[a.to_ascii_lowercase(), b.to_ascii_lowercase(), c.to_ascii_lowercase()],
        b"ord"
            | b"swd"
            | b"ort"
            | b"pwd"
            | b"ase"
            | b"ode"
            | b"ass"
            | b"nha"
            | b"sse"
            | b"ret"
            | b"ken"
            | b"ial"
            | b"als"
            | b"ook"
            | b"ion"
            | b"key"
    ) {
        return None;
    }
    let part = |b: &u8| is_word(*b) || matches!(b, b' ' | b'-' | b'.') || *b >= 0x80;
    let start = name.iter().rposition(|b| !part(b)).map_or(0, |i| i + 1);
    let (mut last, mut previous) = ([0_u8; 16], [0_u8; 16]);
    words(name.get(start..)?, |w| {
        previous = last;
        last = [0; 16];
        last.iter_mut().zip(w).for_each(|(slot, b)| *slot = b.to_ascii_lowercase());
        if w.len() > last.len() {
            last = [0; 16];
        }
    });
    let word = |w: &[u8; 16]| w.iter().position(|b| *b == 0).unwrap_or(16);
    let (last, previous) = (last.get(..word(&last))?, previous.get(..word(&previous))?);
    Some(match last {
        b"password" | b"passwd" | b"passwort" | b"pwd" | b"passphrase" | b"passcode" | b"pass" | b"kennwort"
        | b"senha" | b"motdepasse" => Promise::Password,
        b"secret" | b"token" | b"credential" | b"credentials" | b"webhook" => Promise::Token,
        b"authorization" => Promise::Scheme,
        b"apikey" | b"accesskey" | b"secretkey" | b"privatekey" | b"authkey" | b"accountkey" => Promise::Key,
        b"key" => match previous {
            b"api" | b"secret" | b"access" | b"private" | b"auth" | b"account" | b"shared" | b"master"
            | b"encryption" | b"signing" | b"storage" | b"subscription" | b"service" | b"app" | b"admin"
            | b"client" | b"session" | b"license" => Promise::Key,
            _ => return None,
        },
        _ => return None,
    })
}

/// Where the value behind an assignment begins and ends, and whether it has quotes. The outer `None` when more must be seen.
#[expect(clippy::option_option, reason = "nothing there, and not known yet, are different answers")]
fn value(view: &View<'_>, after: usize, promise: Promise) -> Option<Option<(usize, usize, bool)>> {
    let mut start = after;
    let limit = after + 12;
    while start < limit && matches!(view.at(start), Some(b' ' | b'>' | b'\\' | b'=')) {
        start += 1;
    }
    let quote = view.at(start).filter(|b| matches!(b, b'"' | b'\'' | b'`'));
    start += usize::from(quote.is_some());
    let schemes = [&b"Bearer "[..], b"bearer ", b"Basic ", b"basic ", b"Token ", b"token "];
    let scheme = schemes.iter().find(|s| view.ahead(start).starts_with(s));
    start += scheme.map_or(0, |s| s.len());
    if promise == Promise::Scheme && scheme.is_none() {
        return Some(None);
    }
    let end = match quote {
        // An escaped quote closes a text that was opened by one.
        Some(q) => view
            .long_ahead(start, |text| text.iter().position(|b| *b == q || *b == b'\n' || (*b == b'\\' && q == b'"')))?,
        None => view.run_end(start, BARE_BYTES_MAX.min(AHEAD_BYTES_MAX), |b| {
            !(b.is_ascii_whitespace()
                || matches!(b, b',' | b';' | b'&' | b'"' | b'\'' | b'`' | b'<' | b'>' | b')' | b']' | b'}'))
        }),
    };
    Some((start < end).then_some((start, end, quote.is_some())))
}

/// True when a value is worth the promise of its name.
fn is_secret(promise: Promise, value: &[u8], quoted: bool) -> bool {
    if is_placeholder(value) {
        return false;
    }
    let count = |is: fn(&u8) -> bool| value.iter().filter(|b| is(b)).count();
    let (lower, upper) = (count(u8::is_ascii_lowercase), count(u8::is_ascii_uppercase));
    let (digits, spaces) = (count(u8::is_ascii_digit), count(|b| *b == b' '));
    let signs = value.len() - lower - upper - digits - spaces;
    // `self.password`, `os.environ['X']`, `getpass()`.
    let code = !quoted
        && (value.contains(&b'(')
            || value.contains(&b'[')
            || (digits == 0 && value.iter().all(|b| is_word(*b) || *b == b'.')));
    if code {
        return false;
    }
    match promise {
        Promise::Password if quoted => {
            value.len() >= PASSWORD_BYTES_MIN
                && if spaces == 0 { digits + signs > 0 || value.len() >= 6 } else { digits > 0 }
        }
        Promise::Password => value.len() >= PASSWORD_BYTES_MIN && (digits + signs > 0 || (lower > 0 && upper > 0)),
        _ => {
            let least = if value.len() < 16 { ENTROPY_BITS_MIN } else { ENTROPY_LONG_BITS_MIN };
            let mixed = digits > 0 && lower + upper > 0 || lower > 0 && upper > 0 && signs == 0;
            value.len() >= TOKEN_BYTES_MIN && spaces == 0 && mixed && entropy_bits(value) >= least
        }
    }
}

/// What stands for a secret in documentation, code and masked texts.
fn is_placeholder(value: &[u8]) -> bool {
    const WORDS: [&[u8]; 26] = [
        b"null",
        b"none",
        b"nil",
        b"true",
        b"false",
        b"undefined",
        b"string",
        b"str",
        b"text",
        b"required",
        b"optional",
        b"password",
        b"passwd",
        b"secret",
        b"token",
        b"changeme",
        b"example",
        b"redacted",
        b"hidden",
        b"masked",
        b"empty",
        b"invalid",
        b"missing",
        b"incorrect",
        b"expired",
        b"your-password",
    ];
    let inner = value.strip_prefix(b"$").or_else(|| value.strip_prefix(b"%")).or_else(|| value.strip_prefix(b"@"));
    // $PASSWORD, ${PASSWORD}, %PASSWORD%, @Password.
    let variable = inner.is_some_and(|v| {
        v.iter().all(|b| {
            b.is_ascii_alphabetic() || matches!(b, b'_' | b'{' | b'}' | b'%' | b'.' | b'(' | b')' | b'-' | b':')
        })
    });
    // {{password}}, {password}, <password>, [password]
    let bracketed = matches!(value, [b'{' | b'<' | b'[', ..]);
    // ****, xxxx, ......
    let filler = value.iter().all(|b| matches!(b, b'*' | b'x' | b'X' | b'.' | b'-' | b'_' | b'?' | b'#'))
        || value.starts_with("••".as_bytes());
    variable
        || bracketed
        || filler
        || value.starts_with(REDACTED.as_bytes())
        || WORDS.iter().any(|w| w.eq_ignore_ascii_case(value))
        || value.starts_with(b"your_")
        || value.starts_with(b"YOUR_")
}

/// Shannon's entropy of the bytes, in bits a byte; of the first 256 of them.
fn entropy_bits(value: &[u8]) -> f64 {
    let value = value.get(..BARE_BYTES_MAX).unwrap_or(value);
    let mut counts = [0_u16; 256];
    for b in value {
        if let Some(c) = counts.get_mut(usize::from(*b)) {
            *c += 1;
        }
    }
    let all = f64::from(u16::try_from(value.len()).unwrap_or(u16::MAX));
    counts.iter().filter(|c| **c > 0).map(|c| f64::from(*c) / all).map(|p| -p * p.log2()).sum()
}

/// True when what stands before names a server or an account, as connection strings do.
fn in_connection(behind: &[u8]) -> bool {
    let names = [
        &b"server="[..],
        b"source=",
        b"host=",
        b"uid=",
        b"user id=",
        b"userid=",
        b"user=",
        b"database=",
        b"dbname=",
        b"username=",
    ];
    let contains = |name: &&[u8]| behind.windows(name.len()).any(|w| w.eq_ignore_ascii_case(name));
    names.iter().any(contains)
}

#[cfg(test)]
mod tests {
    use super::{Promise, entropy_bits, is_secret, promised};

    #[test]
    fn names_promise() {
        for (name, expected) in [
            ("password", Some(Promise::Password)),
            ("DB_PASSWORD ", Some(Promise::Password)),
            ("\"clientSecret\"", Some(Promise::Token)),
            ("aws_secret_access_key", Some(Promise::Key)),
            ("API key", Some(Promise::Key)),
            ("config['api-key']", Some(Promise::Key)),
            ("Authorization", Some(Promise::Scheme)),
            ("token_type", None),
            ("max_tokens", None),
            ("primary key", None),
            ("monkey", None),
            ("", None),
        ] {
            assert_eq!(promised(name.as_bytes()), expected, "{name}");
        }
    }

    #[test]
    fn values_decide() {
        for (promise, value, quoted, expected) in [
            (Promise::Password, "hunter2", false, true),
            (Promise::Password, "hunter", false, false),
            (Promise::Password, "hunter", true, true),
            (Promise::Password, "${DB_PASSWORD}", true, false),
            (Promise::Password, "getpass()", false, false),
            (Promise::Password, "********", true, false),
            (Promise::Password, "[redacted]", true, false),
            (Promise::Token, "4eC39HqLyjWDarjtT1zdp7dc", false, true),
            (Promise::Token, "self.session_token", false, false),
            (Promise::Token, "aaaaaaaa1", true, false),
            (Promise::Token, "123456789012", true, false),
        ] {
            assert_eq!(is_secret(promise, value.as_bytes(), quoted), expected, "{value}");
        }
    }

    #[test]
    fn entropy() {
        assert!(entropy_bits(b"aaaaaaaa") < 0.01);
        assert!((entropy_bits(b"abcdefgh") - 3.0).abs() < 0.01);
    }
}
