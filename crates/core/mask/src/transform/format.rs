//! Other digits in the same form: as many, with the same separators, and a right check digit where there was one.
//!
//! Only texts of digits and separators are taken: in anything else the letters would stay readable.

use super::ff1::Ff1;
use super::partial::is_separator;

/// SP 800-38G revision 1 wants at least a million numbers: fewer could be counted out.
pub(super) const DIGITS_MIN: usize = 6;
/// What FF1 permutes at once here.
pub(super) const DIGITS_MAX: usize = 38;
/// The most times that a number that does not fit is permuted again. Each time at least one of ten numbers fits.
const WALKS_MAX: usize = 512;

/// The text with its digits permuted; `None` when it is not digits and separators, or has too few or too many digits.
pub(super) fn digits(ff1: &Ff1, text: &str) -> Option<String> {
    if !text.chars().all(|c| c.is_ascii_digit() || is_separator(c)) {
        return None;
    }
    let plain: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
    let permuted = if plain.len() >= 12 && luhn_sum(&plain).is_multiple_of(10) {
        // A check digit: it follows from the others, so it is not permuted but made again.
        let (_, payload) = plain.split_last()?;
        let mut p = permute(ff1, b"card", payload)?;
        p.push(0);
        let check = (10 - luhn_sum(&p) % 10) % 10;
        *p.last_mut()? = u8::try_from(check).ok()?;
        p
    } else {
        permute(ff1, b"digits", &plain)?
    };
    let mut next = permuted.into_iter();
    let put = |c: char| if c.is_ascii_digit() { next.next().map_or('0', |d| char::from(b'0' + d)) } else { c };
    Some(text.chars().map(put).collect())
}

/// The digits permuted as one number.
fn permute(ff1: &Ff1, tweak: &[u8], digits: &[u8]) -> Option<Vec<u8>> {
    if !(DIGITS_MIN..=DIGITS_MAX).contains(&digits.len()) {
        return None;
    }
    let n = u32::try_from(digits.len()).ok()?;
    let number = digits.iter().fold(0_u128, |x, d| x * 10 + u128::from(*d));
    let mut rest = ff1.permute(10, n, tweak, number)?;
    let mut out = vec![0; digits.len()];
    for digit in out.iter_mut().rev() {
        *digit = u8::try_from(rest % 10).ok()?;
        rest /= 10;
    }
    Some(out)
}

/// Another number with as many digits, at most `max`; `None` when it has too few.
pub(super) fn whole(ff1: &Ff1, value: u64, max: u64) -> Option<u64> {
    let n = value.checked_ilog10()? + 1;
    if usize::try_from(n).ok()? < DIGITS_MIN {
        return None;
    }
    let least = 10_u128.checked_pow(n - 1)?;
    let mut x = u128::from(value);
    for _ in 0..WALKS_MAX {
        x = ff1.permute(10, n, b"whole", x)?;
        if (least..=u128::from(max)).contains(&x) {
            return u64::try_from(x).ok();
        }
    }
    None
}

/// The sum of ISO/IEC 7812-1 annex B over all digits; a multiple of ten when the last one checks.
pub(crate) fn luhn_sum(digits: &[u8]) -> u32 {
    let doubled = |d: u8| u32::from(if d > 4 { d * 2 - 9 } else { d * 2 });
    let pairs = digits.rchunks_exact(2);
    let alone: u32 = pairs.remainder().iter().map(|d| u32::from(*d)).sum();
    let pair = |pair: &[u8]| match pair {
        [second, first] => u32::from(*first) + doubled(*second),
        _ => 0,
    };
    alone + pairs.map(pair).sum::<u32>()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use zeroize::Zeroizing;

    fn ff1() -> Ff1 {
        Ff1::new(&Zeroizing::new([9; 32]))
    }

    #[test]
    fn cards_keep_length_separators_and_check_digit() {
        for card in ["4111 1111 1111 1111", "5500-0000-0000-0004", "340000000000009"] {
            let masked = digits(&ff1(), card).unwrap();
            let form = |s: &str| s.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect::<String>();
            assert_eq!(form(&masked), form(card));
            assert_ne!(masked, card);
            let d: Vec<u8> = masked.bytes().filter(u8::is_ascii_digit).map(|b| b - b'0').collect();
            assert_eq!(luhn_sum(&d) % 10, 0, "{masked}");
        }
    }

    #[test]
    fn what_is_not_only_digits_is_refused() {
        for (text, taken) in [
            ("123456", true),
            ("12345", false),
            ("+49 30 123456", true),
            ("DE12 3456 7890", false),
            ("", false),
            ("１２３４５６７", false),
        ] {
            assert_eq!(digits(&ff1(), text).is_some(), taken, "{text}");
        }
        assert!(digits(&ff1(), &"7".repeat(DIGITS_MAX)).is_some());
        assert!(digits(&ff1(), &"7".repeat(DIGITS_MAX + 2)).is_none());
    }

    #[test]
    fn numbers_keep_their_digits_and_stay_in_range() {
        for value in [100_000, 999_999, 2_147_483_647, 1_000_000_000] {
            let got = whole(&ff1(), value, 2_147_483_647).unwrap();
            assert_eq!(got.ilog10(), value.ilog10());
            assert!(got <= 2_147_483_647);
        }
        assert_eq!(whole(&ff1(), 99_999, u64::MAX), None);
        assert_eq!(whole(&ff1(), 0, u64::MAX), None);
    }
}
