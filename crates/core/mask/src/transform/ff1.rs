//! FF1 (NIST SP 800-38G, section 5.1) with AES-256: a keyed permutation of the numbers of a fixed number of digits.
//!
//! It works on numbers up to 128 bits without allocating, which is all that values need. It only encrypts: nothing here turns a pseudonym
//! back, and nothing may be added that does.

use aes::Aes256;
use aes::cipher::{BlockEncrypt as _, KeyInit as _};
use zeroize::Zeroizing;

/// The rounds that SP 800-38G prescribes.
const ROUNDS: u8 = 10;
/// Half of a number must stay below 2^96, so that one block of AES is enough for a round (step 6.iii).
const HALF_BYTES_MAX: u32 = 12;
/// The longest tweak, in bytes: what fits the first block of Q with the round's number and half.
const TWEAK_BYTES_MAX: usize = 16;

/// Permutes numbers under a key of its own.
pub(super) struct Ff1(Aes256);

impl Ff1 {
    pub(super) fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        Self(Aes256::new((&**key).into()))
    }

    /// The number that `x` becomes among those of `n` digits of `radix`. `None` when `x` is not one of them, `n` is less than 2, or they
    /// are too many.
    pub(super) fn permute(&self, radix: u32, n: u32, tweak: &[u8], x: u128) -> Option<u128> {
        let (u, v) = (n / 2, n.checked_sub(n / 2)?);
        let (mod_u, mod_v) = (u128::from(radix).checked_pow(u)?, u128::from(radix).checked_pow(v)?);
        let b = (128 - (mod_v - 1).leading_zeros()).div_ceil(8);
        mod_u.checked_mul(mod_v)?;
        if u == 0 || radix < 2 || b > HALF_BYTES_MAX || tweak.len() > TWEAK_BYTES_MAX {
            return None;
        }
        let (mut left, mut right) = (x / mod_v, x % mod_v);
        if left >= mod_u {
            return None;
        }
        let prefix = self.prefix(radix, u, n, tweak)?;
        for round in 0..ROUNDS {
            let y = self.round(prefix, tweak, b, round, right)?;
            let modulus = if round % 2 == 0 { mod_u } else { mod_v };
            let c = (left % modulus + y % modulus) % modulus;
            (left, right) = (right, c);
        }
        Some(left * mod_v + right)
    }

    /// The cipher's state after P (step 5).
    fn prefix(&self, radix: u32, u: u32, n: u32, tweak: &[u8]) -> Option<[u8; 16]> {
        let [_, r1, r2, r3] = radix.to_be_bytes();
        let [n0, n1, n2, n3] = n.to_be_bytes();
        let [t0, t1, t2, t3] = u32::try_from(tweak.len()).ok()?.to_be_bytes();
        let u = u.to_be_bytes()[3];
        let mut p = [1, 2, 1, r1, r2, r3, 10, u, n0, n1, n2, n3, t0, t1, t2, t3].into();
        self.0.encrypt_block(&mut p);
        Some(p.into())
    }

    /// y of step 6.iv.
    fn round(&self, prefix: [u8; 16], tweak: &[u8], b: u32, round: u8, right: u128) -> Option<u128> {
        // Q is the tweak, zeros, the round and the half, in whole blocks: at most 16 + 1 + 12 bytes, so one or two.
        let mut q = [0; 32];
        let half = usize::try_from(b).ok()?;
        let size = (tweak.len() + 1 + half).next_multiple_of(16);
        let q = q.get_mut(..size)?;
        q.get_mut(..tweak.len())?.copy_from_slice(tweak);
        *q.get_mut(size - half - 1)? = round;
        q.get_mut(size - half..)?.copy_from_slice(right.to_be_bytes().get(16 - half..)?);
        let mut state = prefix;
        for block in q.chunks_exact(16) {
            state.iter_mut().zip(block).for_each(|(s, b)| *s ^= b);
            let mut s = state.into();
            self.0.encrypt_block(&mut s);
            state = s.into();
        }
        let d = 4 * half.div_ceil(4) + 4;
        Some(state.iter().take(d).fold(0, |y, byte| (y << 8) | u128::from(*byte)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Ff1;
    use zeroize::Zeroizing;

    /// The key of NIST's AES-256 samples.
    const KEY: [u8; 32] = [
        0x2b, 0x7e, 0x15, 0x16, 0x28, 0xae, 0xd2, 0xa6, 0xab, 0xf7, 0x15, 0x88, 0x09, 0xcf, 0x4f, 0x3c, 0xef, 0x43,
        0x59, 0xd8, 0xd5, 0x80, 0xaa, 0x4f, 0x7f, 0x03, 0x6d, 0x6f, 0x04, 0xfc, 0x6a, 0x94,
    ];

    #[track_caller]
    fn check(radix: u32, tweak: &[u8], plain: &str, expected: &str) {
        let number = |s: &str| u128::from_str_radix(s, radix).unwrap();
        let n = u32::try_from(plain.len()).unwrap();
        let got = Ff1::new(&Zeroizing::new(KEY)).permute(radix, n, tweak, number(plain));
        assert_eq!(got, Some(number(expected)), "{plain}");
    }

    #[test]
    fn nist_samples_7_to_9() {
        check(10, b"", "0123456789", "6657667009");
        check(10, b"9876543210", "0123456789", "1001623463");
        check(36, b"7777pqrs777", "0123456789abcdefghi", "xs8a0azh2avyalyzuwd");
    }

    #[test]
    fn a_permutation_maps_onto_its_domain() {
        let ff1 = Ff1::new(&Zeroizing::new([7; 32]));
        let mut seen: Vec<u128> = (0..1000).map(|x| ff1.permute(10, 3, b"t", x).unwrap()).collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_outside_is_refused() {
        let ff1 = Ff1::new(&Zeroizing::new([7; 32]));
        assert_eq!(ff1.permute(10, 3, b"", 1000), None);
        assert_eq!(ff1.permute(10, 1, b"", 5), None);
        assert!(ff1.permute(10, 38, b"", 10_u128.pow(38) - 1).is_some());
        assert_eq!(ff1.permute(10, 39, b"", 5), None);
        assert!(ff1.permute(10, 9, &[0; 16], 5).is_some());
        assert_eq!(ff1.permute(10, 9, &[0; 17], 5), None);
    }
}
