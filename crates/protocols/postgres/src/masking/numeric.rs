//! `numeric`: the binary form in groups of four digits, to and from decimal text.
//!
//! Source: `numeric_send` and `numeric_recv` of PostgreSQL.

use std::fmt::Write as _;

use bytes::BufMut;

use crate::wire::Fields;

const NEGATIVE: i16 = 0x4000;
/// Digits behind the point that a value may show (`NUMERIC_MAX_DISPLAY_SCALE`, `NUMERIC_DSCALE_MASK`).
const SCALE_MAX: i16 = 0x3fff;

/// The declared digits in all and behind the point.
pub(super) fn digits_of(typmod: i32) -> Option<(u16, u16)> {
    let packed = typmod.checked_sub(4).filter(|t| *t >= 0)?;
    let scale = ((packed & 0x7ff) ^ 0x400) - 0x400;
    Some((u16::try_from(packed >> 16).ok()?, u16::try_from(scale).ok()?))
}

/// Binary to decimal text; `None` for what is no number, or not finite.
pub(super) fn read(value: &[u8]) -> Option<String> {
    let mut f = Fields(value);
    let count = usize::try_from(f.i16()?).ok()?;
    let weight = i32::from(f.i16()?);
    let sign = f.i16()?;
    let scale = f.i16().filter(|s| (0..=SCALE_MAX).contains(s))?;
    let groups = (f.0.len() == count * 2 && (sign == 0 || sign == NEGATIVE)).then_some(f.0)?;
    let group = |at: i32| -> u16 {
        let two = usize::try_from(at).ok().and_then(|at| groups.get(at * 2..at * 2 + 2));
        two.and_then(|g| g.first_chunk()).map_or(0, |g| u16::from_be_bytes(*g))
    };
    let mut out = String::new();
    if sign == NEGATIVE {
        out.push('-');
    }
    if weight < 0 {
        out.push('0');
    }
    for at in 0..=weight {
        let _ = if at == 0 { write!(out, "{}", group(0)) } else { write!(out, "{:04}", group(at)) };
    }
    if scale > 0 {
        out.push('.');
        let end = out.len() + usize::try_from(scale).ok()?;
        for at in weight + 1..=weight + 1 + i32::from(scale) / 4 {
            let _ = write!(out, "{:04}", group(at));
        }
        out.truncate(end);
    }
    Some(out)
}

/// Decimal text to binary; false, with nothing written, when it is not a decimal that fits.
pub(super) fn write(out: &mut Vec<u8>, text: &str) -> bool {
    let (sign, digits) = text.strip_prefix('-').map_or((0, text), |d| (NEGATIVE, d));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
        return false;
    }
    let Ok(scale) = i16::try_from(fraction.len()) else { return false };
    // Groups count from the point, so both sides are filled up with zeros.
    let padded = format!(
        "{}{whole}{fraction}{}",
        "0".repeat(whole.len().next_multiple_of(4) - whole.len()),
        "0".repeat(fraction.len().next_multiple_of(4) - fraction.len())
    );
    let group = |g: &[u8]| g.iter().fold(0_u16, |n, d| n * 10 + u16::from(d - b'0'));
    let groups: Vec<u16> = padded.as_bytes().chunks(4).map(group).collect();
    let skipped = groups.iter().take_while(|g| **g == 0).count();
    let end = groups.iter().rposition(|g| *g != 0).map_or(skipped, |last| last + 1);
    let kept = groups.get(skipped..end).unwrap_or_default();
    let weight = i16::try_from(whole.len().div_ceil(4)).ok().zip(i16::try_from(skipped).ok()).map(|(w, s)| w - 1 - s);
    let (Some(weight), Ok(count)) = (weight, i16::try_from(kept.len())) else { return false };
    out.put_i16(count);
    out.put_i16(if kept.is_empty() { 0 } else { weight });
    out.put_i16(if kept.is_empty() { 0 } else { sign });
    out.put_i16(scale);
    for g in kept {
        out.put_u16(*g);
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn declared_digits() {
        for (typmod, digits) in [(-1, None), ((12 << 16 | 2) + 4, Some((12, 2))), ((5 << 16 | 0x7fe) + 4, None)] {
            assert_eq!(digits_of(typmod), digits, "{typmod}");
        }
    }

    #[test]
    fn what_the_server_sends() {
        for (bytes, text) in [
            (&b"\0\0\0\0\0\0\0\0"[..], "0"),
            (b"\0\0\0\0\0\0\0\x02", "0.00"),
            (b"\0\x02\0\0\0\0\0\x01\0\x0c\x13\x88", "12.5"),
            (b"\0\x01\0\x01\x40\0\0\0\0\x01", "-10000"),
            (b"\0\x01\xff\xff\0\0\0\x04\0\x01", "0.0001"),
            (b"\0\x01\xff\xfe\0\0\0\x08\0\x01", "0.00000001"),
            (b"\0\x03\0\x01\0\0\0\x02\0\x01\x09\x29\x15\x7c", "12345.55"),
        ] {
            assert_eq!(read(bytes).as_deref(), Some(text));
            let mut out = Vec::new();
            assert!(write(&mut out, text) && out == bytes, "{text}: {out:?}");
        }
        for bad in [&b"\0\0\0\0\xc0\0\0\0"[..], b"\0\x01\0\0\0\0\0\0", b"", b"\0\0\0\0\0\0\xff\xff"] {
            assert_eq!(read(bad), None);
        }
        for bad in ["", "-", ".", "1e5", "NaN", "1.2.3", "1,5", ".5"] {
            assert!(!write(&mut Vec::new(), bad), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn text_survives(text in "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?") {
            let mut out = Vec::new();
            prop_assert!(write(&mut out, &text));
            let back = read(&out).unwrap();
            let zero = text.bytes().all(|b| matches!(b, b'-' | b'0' | b'.'));
            prop_assert_eq!(back, if zero { text.trim_start_matches('-').to_owned() } else { text });
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = read(&bytes);
        }
    }
}
