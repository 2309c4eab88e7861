//! Check digits. Each takes digits as numbers 0 to 9 and says whether they check; a wrong length never does.

/// The sum of the digits with their weights.
pub(super) fn weighted(digits: &[u8], weights: &[u8]) -> u32 {
    digits.iter().zip(weights).map(|(d, w)| u32::from(*d) * u32::from(*w)).sum()
}

/// The digits as one number; at most 19 of them.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |n, d| n * 10 + u64::from(*d))
}

/// ISO/IEC 7812-1, annex B.
pub(super) fn luhn(digits: &[u8]) -> bool {
    crate::transform::format::luhn_sum(digits).is_multiple_of(10)
}

/// ISO/IEC 7064 mod 11,10, the last digit being the check digit.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((check, payload)) = digits.split_last() else { return false };
    let product = payload.iter().fold(10, |product, d| {
        let sum = (u32::from(*d) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == u32::from(*check)
}

/// Verhoeff's scheme over the dihedral group of ten elements.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    const PERMUTE: [u8; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    let permuted =
        |d: u8, times: usize| (0..times % 8).fold(d, |d, _| PERMUTE.get(usize::from(d)).copied().unwrap_or(0));
    // The group's product, from rotations (0 to 4) and reflections (5 to 9).
    let product = |a: u8, b: u8| match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b) % 5,
        (false, true) => 5 + (a + 5 - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    };
    !digits.is_empty() && digits.iter().rev().enumerate().fold(0, |c, (i, d)| product(c, permuted(*d, i))) == 0
}

/// EAN-13.
pub(super) fn ean_13(digits: &[u8]) -> bool {
    digits.len() == 13 && weighted(digits, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]).is_multiple_of(10)
}

/// The letter that the Spanish police puts behind a number.
pub(super) fn spanish_letter(number: u64) -> u8 {
    let i = usize::try_from(number % 23).unwrap_or(0);
    b"TRWAGMYFPDXBNJZSQVHLCKE".get(i).copied().unwrap_or(0)
}

/// The character that the Finnish population register puts behind a number.
pub(super) fn finnish_character(number: u64) -> u8 {
    let i = usize::try_from(number % 31).unwrap_or(0);
    b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(i).copied().unwrap_or(0)
}

/// True when every digit is the same, as in examples and fillers.
pub(super) fn is_monotone(digits: &[u8]) -> bool {
    digits.windows(2).all(|w| w.first() == w.last())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn digits(s: &str) -> Vec<u8> {
        s.bytes().map(|b| b - b'0').collect()
    }

    /// A check must hold for the number and for none that differs in one digit.
    #[track_caller]
    fn check(is: impl Fn(&[u8]) -> bool, good: &str) {
        let plain = digits(good);
        assert!(is(&plain), "{good}");
        for i in 0..plain.len() {
            for d in (0..10).filter(|d| *d != plain[i]) {
                let mut wrong = plain.clone();
                wrong[i] = d;
                assert!(!is(&wrong), "{wrong:?}");
            }
        }
        assert!(!is(&[]) || plain.is_empty() || good.len() == 16, "nothing must not check");
    }

    #[test]
    fn every_scheme_catches_one_wrong_digit() {
        check(luhn, "4111111111111111");
        check(mod_11_10, "86095742719");
        check(verhoeff, "2363");
        check(verhoeff, "123451");
        check(ean_13, "7569217076985");
    }

    #[test]
    fn letters() {
        assert_eq!(spanish_letter(12_345_678), b'Z');
        assert_eq!(finnish_character(131_052_308), b'T');
    }
}
