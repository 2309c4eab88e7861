//! Assertions that are encrypted for the gateway.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_256, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::rsa::{OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};

use super::*;

const GCM: &str = "http://www.w3.org/2009/xmlenc11#aes256-gcm";
const CBC: &str = "http://www.w3.org/2001/04/xmlenc#aes256-cbc";
const OAEP: &str = "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p\"/>";
const OAEP_256: &str = "<xenc:EncryptionMethod Algorithm=\"http://www.w3.org/2009/xmlenc11#rsa-oaep\">\
    <ds:DigestMethod xmlns:ds=\"http://www.w3.org/2000/09/xmldsig#\" Algorithm=\"http://www.w3.org/2001/04/xmlenc#sha256\"/>\
    <m:MGF xmlns:m=\"http://www.w3.org/2009/xmlenc11#\" Algorithm=\"http://www.w3.org/2009/xmlenc11#mgf1sha256\"/>\
    </xenc:EncryptionMethod>";

fn encrypted(plain: &str, cipher: &str, method: &str, public: PublicEncryptingKey) -> String {
    let key = [7; 32];
    let mut data = plain.as_bytes().to_vec();
    let (iv, sealed) = if cipher == GCM {
        let nonce = [9; 12];
        let sealing = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).unwrap());
        sealing.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut data).unwrap();
        (nonce.to_vec(), data)
    } else {
        let sealing = PaddedBlockEncryptingKey::cbc_pkcs7(UnboundCipherKey::new(&AES_256, &key).unwrap()).unwrap();
        let iv = [9; 16];
        sealing.less_safe_encrypt(&mut data, EncryptionContext::Iv128(FixedLength::from(iv))).unwrap();
        (iv.to_vec(), data)
    };
    let oaep = OaepPublicEncryptingKey::new(public).unwrap();
    let mut wrapped = vec![0; oaep.ciphertext_size()];
    let algorithm = if method == OAEP_256 { &OAEP_SHA256_MGF1SHA256 } else { &OAEP_SHA1_MGF1SHA1 };
    let wrapped = STANDARD.encode(oaep.encrypt(algorithm, &key, &mut wrapped, None).unwrap());
    let value = STANDARD.encode([iv, sealed].concat());
    format!(
        "<saml:EncryptedAssertion><xenc:EncryptedData xmlns:xenc=\"http://www.w3.org/2001/04/xmlenc#\">\
         <xenc:EncryptionMethod Algorithm=\"{cipher}\"/><ds:KeyInfo xmlns:ds=\"{DSIG}\"><xenc:EncryptedKey>{method}\
         <xenc:CipherData><xenc:CipherValue>{wrapped}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>\
         <xenc:CipherData><xenc:CipherValue>{value}</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>\
         </saml:EncryptedAssertion>"
    )
}

fn for_us(plain: &str, cipher: &str) -> String {
    encrypted(plain, cipher, OAEP, ours().opening.public_key())
}

#[test]
fn encrypted_assertions_are_opened_and_read_like_others() {
    let idp = Idp::new();
    let good = idp.sign(&assertion(), "_a");
    let want = idp.check(&bare_response(&good)).unwrap();
    let required = |xml: &str| idp.check_with(xml, |e| e.require_encrypted = true);
    assert_eq!(required(&bare_response(&for_us(&good, GCM))).unwrap(), want);
    assert_eq!(required(&signed_response(&idp, &for_us(&good, GCM))).unwrap(), want);
    assert_eq!(required(&signed_response(&idp, &for_us(&good, CBC))).unwrap(), want);
    let sha256 = encrypted(&good, GCM, OAEP_256, ours().opening.public_key());
    assert_eq!(required(&bare_response(&sha256)).unwrap(), want);
    says(required(&bare_response(&good)), "not encrypted").unwrap();
}

#[test]
fn adv_088_what_was_encrypted_is_signed_or_nothing() {
    let idp = Idp::new();
    let good = idp.sign(&assertion(), "_a");
    let unsigned = assertion().replace("@SIG@", "");
    let sealed = for_us(&good, GCM);
    let other = ServiceKey::open(&ServiceKey::generate(now()).unwrap()).unwrap();
    let rsa15 = sealed.replace("#rsa-oaep-mgf1p", "#rsa-1_5");
    let reference = "<xenc:CipherReference URI=\"https://evil.example\"/>";
    let (head, rest) = sealed.rsplit_once("<xenc:CipherValue>").unwrap();
    let by_reference = format!("{head}{reference}{}", rest.split_once("</xenc:CipherValue>").unwrap().1);
    let key = "<xenc:EncryptedKey/>";
    for (xml, want) in [
        // Anybody can encrypt.
        (bare_response(&for_us(&unsigned, GCM)), "not signed"),
        (bare_response(&for_us(&good.replace(">mia<", ">root<"), GCM)), "does not verify"),
        (bare_response(&for_us(&good, CBC)), "AES-CBC"),
        (bare_response(&encrypted(&good, GCM, OAEP, other.opening.public_key())), "cannot be decrypted"),
        (
            bare_response(&sealed.replace("BwcHBw", "BwcHCA").replace("CQkJCQkJCQkJCQkJ", "CQkJCQkJCQkJCQkI")),
            "cannot be decrypted",
        ),
        (bare_response(&sealed.replace(GCM, "http://www.w3.org/2001/04/xmlenc#tripledes-cbc")), "tripledes"),
        (bare_response(&sealed.replace(GCM, "http://www.w3.org/2009/xmlenc11#aes128-gcm")), "cannot be decrypted"),
        (bare_response(&rsa15), "rsa-1_5"),
        (bare_response(&by_reference), "no value of its own"),
        (
            bare_response(&sealed.replace("<xenc:EncryptedKey>", &format!("{key}<xenc:EncryptedKey>"))),
            "not exactly one key",
        ),
        (bare_response(&format!("{sealed}{good}")), "not exactly one assertion"),
        (bare_response(&format!("{sealed}{sealed}")), "not exactly one assertion"),
        (bare_response(&for_us(&format!("<x>{good}</x>"), GCM)), "not exactly one assertion"),
        (
            bare_response(&for_us(&good.replace("<saml:Subject>", "<saml:Assertion/><saml:Subject>"), GCM)),
            "not exactly one",
        ),
        (bare_response(&for_us(&format!("<!DOCTYPE x>{good}"), GCM)), "DTD"),
        (bare_response(&for_us("not xml", GCM)), "missing"),
        (bare_response(&for_us("", GCM)), "missing"),
        (
            bare_response(&for_us(&sealed.replace("saml:EncryptedAssertion", "EncryptedAssertion"), GCM)),
            "not exactly one",
        ),
    ] {
        says(idp.check(&xml), want).unwrap();
    }
    // Its own signature, and that of the response around it, where that is accepted.
    let accepting = |xml: &str| idp.check_with(xml, |e| e.accept_response_signature = true);
    assert!(accepting(&signed_response(&idp, &for_us(&unsigned, GCM))).is_ok());
    assert!(accepting(&bare_response(&for_us(&unsigned, GCM))).is_err());
}
