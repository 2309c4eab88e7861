//! Public keys as security keys give them (COSE, RFC 9052 and 9053), and what they signed.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ciborium::Value;

use super::Fault;
use super::authenticator::cbor;

/// The ways of signing that are accepted (COSE), the liked first: ES256, EdDSA, RS256.
pub const ALGORITHMS: [i64; 3] = [-7, -8, -257];

const ES256: i64 = -7;
const EDDSA: i64 = -8;
const RS256: i64 = -257;
/// Kinds of keys: on Edwards curves, on other curves, RSA.
const OKP: i64 = 1;
const EC2: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const CURVE_ED25519: i64 = 6;
/// An RSA key has 2,048 to 8,192 bits, and an exponent of at most 8 bytes.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const EXPONENT_BYTES_MAX: usize = 8;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicKey {
    /// ECDSA on P-256 with SHA-256: the point, uncompressed.
    Es256([u8; 65]),
    /// Ed25519.
    Eddsa([u8; 32]),
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256 {
        /// The modulus.
        n: Vec<u8>,
        /// The exponent.
        e: Vec<u8>,
    },
}

impl PublicKey {
    /// Reads one, whole.
    ///
    /// # Errors
    /// [`Fault::Algorithm`] for one that is not accepted, [`Fault::Unreadable`] for none.
    pub fn read(mut bytes: &[u8]) -> Result<Self, Fault> {
        let Value::Map(members) = cbor(&mut bytes)? else { return Err(Fault::Unreadable) };
        if !bytes.is_empty() {
            return Err(Fault::Unreadable);
        }
        let members = Members::read(&members)?;
        match (members.number(1)?, members.number(3)?) {
            (EC2, ES256) if members.number(-1)? == P256 => {
                let mut point = [4; 65];
                let (x, y): ([u8; 32], [u8; 32]) = (members.bytes(-2)?, members.bytes(-3)?);
                point.iter_mut().skip(1).zip(x.into_iter().chain(y)).for_each(|(to, from)| *to = from);
                Ok(Self::Es256(point))
            }
            (OKP, EDDSA) if members.number(-1)? == CURVE_ED25519 => Ok(Self::Eddsa(members.bytes(-2)?)),
            (RSA, RS256) => {
                let (n, e) = (members.any_bytes(-1)?, members.any_bytes(-2)?);
                let fits = MODULUS_BYTES.contains(&n.len())
                    && (1..=EXPONENT_BYTES_MAX).contains(&e.len())
                    && [n, e].iter().all(|i| i.first() != Some(&0) && i.last().is_some_and(|last| last % 2 == 1));
                if !fits || e == [1] {
                    return Err(Fault::Unreadable);
                }
                Ok(Self::Rs256 { n: n.to_vec(), e: e.to_vec() })
            }
            _ => Err(Fault::Algorithm),
        }
    }

    /// That this key signed this.
    ///
    /// # Errors
    /// [`Fault::Signature`] when it did not.
    pub fn verify(&self, signed: &[u8], signature: &[u8]) -> Result<(), Fault> {
        let verified = match self {
            Self::Es256(point) => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).verify(signed, signature),
            Self::Eddsa(key) => UnparsedPublicKey::new(&ED25519, key).verify(signed, signature),
            Self::Rs256 { n, e } => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, signed, signature)
            }
        };
        verified.map_err(|_| Fault::Signature)
    }
}

/// The members of a key, each there once.
struct Members<'a>(Vec<(i64, &'a Value)>);

impl<'a> Members<'a> {
    fn read(members: &'a [(Value, Value)]) -> Result<Self, Fault> {
        let mut all: Vec<(i64, &Value)> = Vec::with_capacity(members.len());
        for (label, value) in members {
            let label = label.as_integer().and_then(|i| i64::try_from(i).ok()).ok_or(Fault::Unreadable)?;
            if all.iter().any(|(known, _)| *known == label) {
                return Err(Fault::Unreadable);
            }
            all.push((label, value));
        }
        Ok(Self(all))
    }

    fn value(&self, label: i64) -> Result<&'a Value, Fault> {
        self.0.iter().find(|(known, _)| *known == label).map(|(_, value)| *value).ok_or(Fault::Unreadable)
    }

    fn number(&self, label: i64) -> Result<i64, Fault> {
        self.value(label)?.as_integer().and_then(|i| i64::try_from(i).ok()).ok_or(Fault::Unreadable)
    }

    fn any_bytes(&self, label: i64) -> Result<&'a [u8], Fault> {
        self.value(label)?.as_bytes().map(Vec::as_slice).ok_or(Fault::Unreadable)
    }

    fn bytes<const N: usize>(&self, label: i64) -> Result<[u8; N], Fault> {
        self.any_bytes(label)?.try_into().map_err(|_| Fault::Unreadable)
    }
}
