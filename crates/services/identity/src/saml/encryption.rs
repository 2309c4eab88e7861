//! Encrypted assertions (XML Encryption 1.1): RSA-OAEP for the key, AES for the content.
//!
//! AES-CBC says nothing of who wrote the content, and how a gateway takes what was tampered with would tell of what is in it. So it is
//! decrypted only where a signature over the ciphertext was verified before; AES-GCM always. Must never take PKCS #1 v1.5 for keys, nor
//! say more of a failure than that there was one.

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, AES_256, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepAlgorithm, OaepPrivateDecryptingKey, PrivateDecryptingKey,
};

use super::signature::decoded;
use super::xml::{Element, Fault};
use super::{DSIG, XENC, XENC11};
use crate::Rejection;

const GCM_NONCE_BYTES: usize = 12;
const CBC_IV_BYTES: usize = 16;
const NO: Rejection = Rejection::Saml("the assertion cannot be decrypted with this gateway's key");

fn saml(fault: Fault) -> Rejection {
    Rejection::Saml(fault)
}

/// How the content is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cipher {
    Gcm128,
    Gcm256,
    Cbc128,
    Cbc256,
}

impl Cipher {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "http://www.w3.org/2009/xmlenc11#aes128-gcm" => Self::Gcm128,
            "http://www.w3.org/2009/xmlenc11#aes256-gcm" => Self::Gcm256,
            "http://www.w3.org/2001/04/xmlenc#aes128-cbc" => Self::Cbc128,
            "http://www.w3.org/2001/04/xmlenc#aes256-cbc" => Self::Cbc256,
            _ => return None,
        })
    }
}

/// What is in an `EncryptedAssertion`, `signed` when a signature over it was verified.
pub(super) fn decrypt(encrypted: &Element, key: &PrivateDecryptingKey, signed: bool) -> Result<Vec<u8>, Rejection> {
    let data = encrypted.only(XENC, "EncryptedData").map_err(saml)?;
    let data = data.ok_or(Rejection::Saml("an encrypted assertion has no data"))?;
    let name = algorithm(data)?;
    let cipher = Cipher::named(name).ok_or_else(|| Rejection::Algorithm(crate::token::shown(name)))?;
    if matches!(cipher, Cipher::Cbc128 | Cipher::Cbc256) && !signed {
        return Err(Rejection::Saml(
            "an assertion that is encrypted with AES-CBC came in a response without a signature",
        ));
    }
    let content_key = content_key(encrypted, key)?;
    open(cipher, content_key.as_slice(), value(data)?)
}

fn algorithm(of: &Element) -> Result<&str, Rejection> {
    let method = of.only(XENC, "EncryptionMethod").map_err(saml)?;
    method.and_then(|m| m.attribute("Algorithm")).ok_or(Rejection::Saml("an encryption names no algorithm"))
}

fn value(of: &Element) -> Result<Vec<u8>, Rejection> {
    let data = of.only(XENC, "CipherData").map_err(saml)?;
    let value = data.map(|d| d.only(XENC, "CipherValue")).transpose().map_err(saml)?.flatten();
    decoded(value.ok_or(Rejection::Saml("an encryption has no value of its own"))?)
}

/// The one `EncryptedKey`, wherever it stands.
fn content_key(encrypted: &Element, key: &PrivateDecryptingKey) -> Result<Vec<u8>, Rejection> {
    let mut keys: Vec<&Element> = Vec::new();
    encrypted.visit(&mut |e| {
        if e.is(XENC, "EncryptedKey") {
            keys.push(e);
        }
    });
    let [wrapped] = keys.as_slice() else {
        return Err(Rejection::Saml("an encrypted assertion has not exactly one key"));
    };
    let method = wrapped.only(XENC, "EncryptionMethod").map_err(saml)?;
    let method = method.ok_or(Rejection::Saml("an encryption names no algorithm"))?;
    let oaep = oaep(method)?;
    let ciphertext = value(wrapped)?;
    let key = OaepPrivateDecryptingKey::new(key.clone()).map_err(|_| NO)?;
    let mut plain = vec![0; key.min_output_size()];
    key.decrypt(oaep, &ciphertext, &mut plain, None).map(|plain| plain.to_vec()).map_err(|_| NO)
}

/// Which OAEP: its digest, and that of its mask, which must be the same.
fn oaep(method: &Element) -> Result<&'static OaepAlgorithm, Rejection> {
    const SHA1: &str = "http://www.w3.org/2000/09/xmldsig#sha1";
    const MGF1_SHA1: &str = "http://www.w3.org/2009/xmlenc11#mgf1sha1";
    if method.only(XENC, "OAEPparams").map_err(saml)?.is_some() {
        return Err(Rejection::Saml("a key is encrypted with parameters that are not known"));
    }
    let of = |namespace, name| -> Result<Option<&str>, Rejection> {
        let found = method.only(namespace, name).map_err(saml)?;
        found.map(|e| e.attribute("Algorithm").ok_or(Rejection::Saml("an encryption names no algorithm"))).transpose()
    };
    let name = method.attribute("Algorithm").unwrap_or_default();
    let digest = of(DSIG, "DigestMethod")?.unwrap_or(SHA1);
    let mask = match name {
        "http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p" => MGF1_SHA1,
        "http://www.w3.org/2009/xmlenc11#rsa-oaep" => of(XENC11, "MGF")?.unwrap_or(MGF1_SHA1),
        other => return Err(Rejection::Algorithm(crate::token::shown(other))),
    };
    match (digest, mask) {
        // What is asked of the digest here is not that it has no collisions.
        (SHA1, MGF1_SHA1) => Ok(&OAEP_SHA1_MGF1SHA1),
        ("http://www.w3.org/2001/04/xmlenc#sha256", "http://www.w3.org/2009/xmlenc11#mgf1sha256") => {
            Ok(&OAEP_SHA256_MGF1SHA256)
        }
        _ => Err(Rejection::Algorithm(crate::token::shown(&format!("{name} with {digest} and {mask}")))),
    }
}

fn open(cipher: Cipher, key: &[u8], mut data: Vec<u8>) -> Result<Vec<u8>, Rejection> {
    match cipher {
        Cipher::Gcm128 | Cipher::Gcm256 => {
            let algorithm = if cipher == Cipher::Gcm128 { &AES_128_GCM } else { &AES_256_GCM };
            let key = LessSafeKey::new(UnboundKey::new(algorithm, key).map_err(|_| NO)?);
            let mut sealed = data.split_off(data.len().min(GCM_NONCE_BYTES));
            let nonce = Nonce::try_assume_unique_for_key(&data).map_err(|_| NO)?;
            key.open_in_place(nonce, Aad::empty(), &mut sealed).map(|plain| plain.to_vec()).map_err(|_| NO)
        }
        Cipher::Cbc128 | Cipher::Cbc256 => {
            let algorithm = if cipher == Cipher::Cbc128 { &AES_128 } else { &AES_256 };
            let key = UnboundCipherKey::new(algorithm, key).map_err(|_| NO)?;
            let key = PaddedBlockDecryptingKey::cbc_iso10126(key).map_err(|_| NO)?;
            let mut sealed = data.split_off(data.len().min(CBC_IV_BYTES));
            let iv = <[u8; CBC_IV_BYTES]>::try_from(data.as_slice()).map_err(|_| NO)?;
            let context = DecryptionContext::Iv128(FixedLength::from(iv));
            key.decrypt(&mut sealed, context).map(|plain| plain.to_vec()).map_err(|_| NO)
        }
    }
}
