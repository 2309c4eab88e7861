//! AES-256-GCM with a random nonce, bound to what the sealed bytes are: a sealed secret that is moved to another name or version, or
//! put in the place of another purpose, does not open.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, MAX_TAG_LEN, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use countersign_model::Secret;
use zeroize::Zeroizing;

use crate::CredentialError;

/// Length of a key.
pub const KEY_BYTES: usize = 32;

/// Starts the associated data, so that nothing sealed elsewhere with the same key opens here.
const DOMAIN: &[u8] = b"countersign/sealed/1\0";

/// A key for AES-256-GCM.
#[derive(Clone)]
pub struct SealingKey(Secret);

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([secret])")
    }
}

/// What sealed bytes are, and so where alone they open.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Binding<'a> {
    /// What for.
    pub(crate) purpose: &'static str,
    /// Which one.
    pub(crate) name: &'a str,
    /// Which version of it.
    pub(crate) version: u64,
}

/// Sealed bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// The nonce, used once.
    pub nonce: [u8; NONCE_LEN],
    /// The encrypted bytes with their tag.
    pub ciphertext: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.ciphertext.len())
    }
}

impl Sealed {
    /// Nonce and ciphertext in one.
    pub fn to_bytes(&self) -> Vec<u8> {
        [self.nonce.as_slice(), &self.ciphertext].concat()
    }

    /// Back from [`Sealed::to_bytes`]; `None` when it is too short.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (nonce, ciphertext) = bytes.split_first_chunk::<NONCE_LEN>()?;
        Some(Self { nonce: *nonce, ciphertext: ciphertext.to_vec() })
    }
}

impl SealingKey {
    /// A new random key.
    ///
    /// # Errors
    /// When the system has no random numbers.
    pub fn generate() -> Result<Self, CredentialError> {
        let mut bytes = Zeroizing::new(vec![0; KEY_BYTES]);
        SystemRandom::new().fill(&mut bytes).map_err(|_| CredentialError::Sealing)?;
        Ok(Self(Secret::new(std::mem::take(&mut *bytes))))
    }

    /// A key from 32 bytes, or from their base64 or hexadecimal form.
    ///
    /// # Errors
    /// When it is none of these, or a passphrase or constant that only has the right length.
    pub fn parse(material: &Secret) -> Result<Self, CredentialError> {
        let fault = |why: &str| Err(CredentialError::Key(why.to_owned()));
        let raw = material.expose();
        let key = if raw.len() == KEY_BYTES {
            Zeroizing::new(raw.to_vec())
        } else {
            match material.expose_str().and_then(|text| decode(text.trim())) {
                Some(key) => key,
                None => return fault("32 bytes are expected, or their base64 or hexadecimal form"),
            }
        };
        if key.len() != KEY_BYTES {
            return fault("it does not have 32 bytes");
        }
        // Random bytes look like this about once in 10^13 keys.
        if key.iter().all(|b| b.is_ascii_graphic() || *b == b' ') {
            return fault("it is a text, and texts can be guessed: make one with `countersign credentials new-key`");
        }
        if key.windows(2).all(|pair| pair.first() == pair.last()) {
            return fault("all of its bytes are the same");
        }
        Ok(Self(Secret::new(key.to_vec())))
    }

    /// The key in base64, for a key file.
    pub(crate) fn to_base64(&self) -> Secret {
        Secret::from(STANDARD.encode(self.0.expose()))
    }

    /// The key as plaintext, to seal it under another.
    pub(crate) fn material(&self) -> &Secret {
        &self.0
    }

    pub(crate) fn seal(&self, what: Binding<'_>, plaintext: &Secret) -> Result<Sealed, CredentialError> {
        // With room for the tag, so that growing leaves no copy behind.
        let mut buffer = Zeroizing::new(Vec::with_capacity(plaintext.expose().len() + MAX_TAG_LEN));
        buffer.extend_from_slice(plaintext.expose());
        let key = self.cipher()?;
        let nonce = key
            .seal_in_place_append_tag(Aad::from(what.associated_data()), &mut *buffer)
            .map_err(|_| CredentialError::Sealing)?;
        Ok(Sealed { nonce: *nonce.as_ref(), ciphertext: buffer.to_vec() })
    }

    /// The plaintext; `None` when the key, the bytes or the binding is another.
    pub(crate) fn open(
        &self,
        what: Binding<'_>,
        nonce: &[u8],
        ciphertext: &[u8],
    ) -> Result<Option<Secret>, CredentialError> {
        let Ok(nonce) = Nonce::try_assume_unique_for_key(nonce) else { return Ok(None) };
        let mut buffer = Zeroizing::new(ciphertext.to_vec());
        let key = self.cipher()?;
        let opened = key.open_in_place(nonce, Aad::from(what.associated_data()), &mut buffer);
        Ok(opened.ok().map(|plain| Secret::new(plain.to_vec())))
    }

    fn cipher(&self) -> Result<RandomizedNonceKey, CredentialError> {
        RandomizedNonceKey::new(&AES_256_GCM, self.0.expose()).map_err(|_| CredentialError::Sealing)
    }
}

impl Binding<'_> {
    /// Every part has its length in front, so that no two bindings give the same bytes.
    fn associated_data(&self) -> Vec<u8> {
        let mut out = DOMAIN.to_vec();
        for part in [self.purpose.as_bytes(), self.name.as_bytes()] {
            out.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(&self.version.to_be_bytes());
        out
    }
}

fn decode(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    if text.len() == 2 * KEY_BYTES && text.is_ascii() {
        let bytes: Option<Vec<u8>> = text
            .as_bytes()
            .chunks_exact(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect();
        return bytes.map(Zeroizing::new);
    }
    STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text)).ok().map(Zeroizing::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    const WHAT: Binding<'static> = Binding { purpose: "test", name: "orders", version: 3 };

    #[test]
    fn what_was_sealed_opens_with_the_same_key_and_binding_alone() {
        let key = SealingKey::generate().unwrap();
        let plain = Secret::from("hunter2".to_owned());
        let sealed = key.seal(WHAT, &plain).unwrap();
        let open = |key: &SealingKey, what, s: &Sealed| key.open(what, &s.nonce, &s.ciphertext).unwrap();
        assert_eq!(open(&key, WHAT, &sealed).unwrap().expose(), b"hunter2");
        assert_eq!(sealed.ciphertext.len(), 7 + MAX_TAG_LEN);
        assert_ne!(sealed, key.seal(WHAT, &plain).unwrap(), "nonces differ");

        assert!(open(&SealingKey::generate().unwrap(), WHAT, &sealed).is_none(), "another key");
        for other in [
            Binding { purpose: "tes", ..WHAT },
            Binding { name: "order", ..WHAT },
            Binding { name: "ordersx", ..WHAT },
            Binding { version: 2, ..WHAT },
            Binding { purpose: "testo", name: "rders", version: 3 },
        ] {
            assert!(open(&key, other, &sealed).is_none(), "{other:?}");
        }
        for bit in 0..sealed.ciphertext.len() * 8 {
            let mut changed = sealed.clone();
            changed.ciphertext[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&key, WHAT, &changed).is_none(), "bit {bit}");
        }
        let mut changed = sealed.clone();
        changed.nonce[0] ^= 1;
        assert!(open(&key, WHAT, &changed).is_none());
        for cut in 0..sealed.ciphertext.len() {
            assert!(key.open(WHAT, &sealed.nonce, &sealed.ciphertext[..cut]).unwrap().is_none(), "cut at {cut}");
        }
        assert!(key.open(WHAT, &[], &sealed.ciphertext).unwrap().is_none());
        assert_eq!(Sealed::from_bytes(&sealed.to_bytes()), Some(sealed));
        assert_eq!(Sealed::from_bytes(&[0; NONCE_LEN - 1]), None);
    }

    #[test]
    fn keys_in_each_form_and_what_is_no_key() {
        let bytes: Vec<u8> = (100..132).collect();
        let parse = |b: &[u8]| SealingKey::parse(&Secret::new(b.to_vec()));
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let base64 = STANDARD.encode(&bytes);
        for form in
            [bytes.clone(), hex.clone().into(), format!("{base64}\n").into(), base64.trim_end_matches('=').into()]
        {
            assert_eq!(parse(&form).unwrap().0.expose(), bytes);
        }
        for wrong in [
            &b""[..],
            &bytes[..31],
            &[0; 32],
            b"correct horse battery staple 123",
            &hex.as_bytes()[..62],
            b"hunter2",
            STANDARD.encode([7; 16]).as_bytes(),
            STANDARD.encode([7; 32]).as_bytes(),
        ] {
            let refused = parse(wrong).unwrap_err();
            assert!(!refused.to_string().contains("hunter2"), "{refused}");
        }
        let key = parse(&bytes).unwrap();
        assert_eq!(parse(key.to_base64().expose()).unwrap().0.expose(), bytes);
    }
}
