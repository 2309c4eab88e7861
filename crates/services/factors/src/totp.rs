//! Codes of an authenticator app: RFC 6238 with SHA-1, 30 s and 6 digits, which is what every app speaks.
//!
//! A code says that somebody has the secret, and not what they say yes to: whoever gets it in time may use it. It must never be compared in
//! a time that tells how much of it was right.

use aws_lc_rs::hmac;
use countersign_model::{Secret, Timestamp};
use subtle::ConstantTimeEq as _;

/// How long a code is good, in seconds.
pub const STEP_S: u64 = 30;
/// Digits of a code.
pub const DIGITS: usize = 6;
/// So many steps before and after the present one are good, too: clocks differ.
pub const SKEW_STEPS: u64 = 1;
/// Bytes of a secret (RFC 4226, 4, R6 asks for 160 bits).
pub const SECRET_BYTES: usize = 20;

const MODULUS: u32 = 1_000_000;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The step that a moment lies in (RFC 6238, 4.2). Before the epoch there is none.
pub fn step_at(now: Timestamp) -> u64 {
    u64::try_from(now.unix_s()).unwrap_or(0) / STEP_S
}

/// The code of a step (RFC 4226, 5.3).
pub fn code(secret: &Secret, step: u64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose());
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
    let cut = tag.get(offset..offset + 4).and_then(|four| <[u8; 4]>::try_from(four).ok()).unwrap_or_default();
    let number = u32::from_be_bytes(cut) & 0x7fff_ffff;
    format!("{:0DIGITS$}", number % MODULUS)
}

/// The step whose code this is: the present one or a neighbour, and none that is not after `used`.
pub fn matching(secret: &Secret, given: &[u8], now: Timestamp, used: Option<u64>) -> Option<u64> {
    let present = step_at(now);
    let mut found = None;
    for step in present.saturating_sub(SKEW_STEPS)..=present.saturating_add(SKEW_STEPS) {
        // All are looked at, so that the time says nothing.
        if bool::from(code(secret, step).as_bytes().ct_eq(given)) {
            found = Some(step);
        }
    }
    found.filter(|step| used.is_none_or(|used| *step > used))
}

/// The secret as people type it: base32 without padding (RFC 4648, 6).
pub fn base32(secret: &Secret) -> Secret {
    let mut out = Vec::with_capacity(secret.expose().len().div_ceil(5) * 8);
    for five in secret.expose().chunks(5) {
        let mut bits = 0u64;
        five.iter().for_each(|b| bits = bits << 8 | u64::from(*b));
        bits <<= 8 * (5 - five.len());
        for n in 0..(five.len() * 8).div_ceil(5) {
            let index = usize::try_from(bits >> (35 - 5 * n) & 31).unwrap_or(0);
            out.push(ALPHABET.get(index).copied().unwrap_or(b'A'));
        }
    }
    Secret::new(out)
}

/// What an app takes the secret from. Names are percent-encoded, so that none of them adds a parameter.
pub fn uri(secret: &Secret, site: &str, person: &str) -> Secret {
    let mut out = format!("otpauth://totp/{}:{}?secret=", encoded(site), encoded(person)).into_bytes();
    out.extend_from_slice(base32(secret).expose());
    out.extend_from_slice(
        format!("&issuer={}&algorithm=SHA1&digits={DIGITS}&period={STEP_S}", encoded(site)).as_bytes(),
    );
    Secret::new(out)
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'@');
    text.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn rfc() -> Secret {
        Secret::from("12345678901234567890".to_owned())
    }

    fn at(s: i64) -> Timestamp {
        Timestamp::from_unix_s(s)
    }

    #[test]
    fn codes_are_those_of_the_rfcs() {
        // RFC 6238, appendix B, whose codes have eight digits; ours are their last six.
        for (s, eight) in [
            (59, "94287082"),
            (1_111_111_109, "07081804"),
            (1_111_111_111, "14050471"),
            (1_234_567_890, "89005924"),
            (2_000_000_000, "69279037"),
            (20_000_000_000, "65353130"),
        ] {
            assert_eq!(Some(code(&rfc(), step_at(at(s))).as_str()), eight.get(2..), "{s}");
        }
        // RFC 4226, appendix D.
        let hotp = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (n, expected) in (0u64..).zip(hotp) {
            assert_eq!(code(&rfc(), n), expected);
        }
    }

    #[test]
    fn a_code_is_good_in_its_step_and_next_to_it_and_once() {
        let now = at(1_111_111_111);
        let step = step_at(now);
        let given = |n: u64| code(&rfc(), n);
        for (of, good) in [(step - 2, false), (step - 1, true), (step, true), (step + 1, true), (step + 2, false)] {
            assert_eq!(matching(&rfc(), given(of).as_bytes(), now, None).is_some(), good, "{of}");
        }
        assert_eq!(matching(&rfc(), given(step).as_bytes(), now, Some(step)), None, "used");
        assert_eq!(matching(&rfc(), given(step - 1).as_bytes(), now, Some(step)), None, "older than what was used");
        assert_eq!(matching(&rfc(), given(step + 1).as_bytes(), now, Some(step)), Some(step + 1));
        for wrong in ["", "05047", "0504710", " 050471", "abcdef", "\u{661}50471"] {
            assert_eq!(matching(&rfc(), wrong.as_bytes(), now, None), None, "{wrong}");
        }
        assert_eq!(matching(&rfc(), code(&rfc(), 0).as_bytes(), at(-5), None), Some(0), "no clock is before the epoch");
    }

    #[test]
    fn secrets_are_written_as_apps_read_them() {
        // RFC 4648, 10, without padding.
        for (plain, expected) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(&Secret::from(plain.to_owned())).expose_str().unwrap(), expected);
        }
        let uri = uri(&rfc(), "gw.example", "rita&secret=X:y é");
        assert_eq!(
            uri.expose_str().unwrap(),
            "otpauth://totp/gw.example:rita%26secret%3DX%3Ay%20%C3%A9?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=gw.example&algorithm=SHA1&digits=6&period=30"
        );
    }
}
