//! A security key in software, which signs whatever it is told to.
#![allow(dead_code, reason = "each test uses a part of it")]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ciborium::Value;
use countersign_enforce::Assertion;
use countersign_factors::webauthn::Registration;
use sha2::{Digest as _, Sha256};

pub(crate) const ORIGIN: &str = "https://gw.example:8443";
pub(crate) const SITE: &str = "gw.example";
/// Somebody touched it, and it knew who.
pub(crate) const GOOD: u8 = 0x01 | 0x04;

/// What a key, and the browser before it, say.
#[derive(Clone, Debug)]
pub(crate) struct Says {
    pub(crate) kind: Option<&'static str>,
    pub(crate) origin: String,
    pub(crate) site: String,
    pub(crate) flags: u8,
    /// What is added to the client data, such as `"crossOrigin":true`.
    pub(crate) more: &'static str,
    /// What the counter shows, if not the next number.
    pub(crate) count: Option<u32>,
}

impl Default for Says {
    fn default() -> Self {
        Self { kind: None, origin: ORIGIN.to_owned(), site: SITE.to_owned(), flags: GOOD, more: "", count: None }
    }
}

pub(crate) struct SoftKey {
    pair: EcdsaKeyPair,
    pub(crate) id: Vec<u8>,
    pub(crate) count: u32,
}

impl SoftKey {
    pub(crate) fn new(id: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        Self { pair, id: id.as_bytes().to_vec(), count: 0 }
    }

    /// Its public key, as COSE has it.
    pub(crate) fn cose(&self) -> Vec<u8> {
        let point = self.pair.public_key().as_ref();
        let int = |n: i64| Value::Integer(n.into());
        let key = Value::Map(vec![
            (int(1), int(2)),
            (int(3), int(-7)),
            (int(-1), int(1)),
            (int(-2), Value::Bytes(point[1..33].to_vec())),
            (int(-3), Value::Bytes(point[33..].to_vec())),
        ]);
        written(&key)
    }

    pub(crate) fn register(&mut self, challenge: &[u8], says: &Says) -> Registration {
        let mut data = self.data(says, 0x40);
        data.extend_from_slice(&[0; 16]);
        data.extend_from_slice(&u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend_from_slice(&self.id);
        data.extend_from_slice(&self.cose());
        Registration { client_data: client_data(says, "webauthn.create", challenge), attestation: attestation(&data) }
    }

    pub(crate) fn sign(&mut self, challenge: &[u8], says: &Says) -> Assertion {
        let client_data = client_data(says, "webauthn.get", challenge);
        let authenticator_data = self.data(says, 0);
        let mut signed = authenticator_data.clone();
        signed.extend_from_slice(&Sha256::digest(&client_data));
        let signature = self.pair.sign(&SystemRandom::new(), &signed).unwrap().as_ref().to_vec();
        Assertion { credential: self.id.clone(), client_data, authenticator_data, signature }
    }

    fn data(&mut self, says: &Says, more: u8) -> Vec<u8> {
        self.count = says.count.unwrap_or(self.count + 1);
        let mut data = Sha256::digest(says.site.as_bytes()).to_vec();
        data.push(says.flags | more);
        data.extend_from_slice(&self.count.to_be_bytes());
        data
    }
}

pub(crate) fn attestation(data: &[u8]) -> Vec<u8> {
    written(&Value::Map(vec![
        (Value::Text("fmt".into()), Value::Text("none".into())),
        (Value::Text("attStmt".into()), Value::Map(Vec::new())),
        (Value::Text("authData".into()), Value::Bytes(data.to_vec())),
    ]))
}

pub(crate) fn written(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    ciborium::into_writer(value, &mut out).unwrap();
    out
}

pub(crate) fn client_data(says: &Says, kind: &str, challenge: &[u8]) -> Vec<u8> {
    let (kind, challenge, origin) = (says.kind.unwrap_or(kind), URL_SAFE_NO_PAD.encode(challenge), &says.origin);
    let more = if says.more.is_empty() { String::new() } else { format!(",{}", says.more) };
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{origin}","crossOrigin":false{more}}}"#)
        .replace(r#""crossOrigin":false,"crossOrigin":true"#, r#""crossOrigin":true"#)
        .into_bytes()
}

/// The challenge that client data names.
pub(crate) fn challenge_in(client_data: &[u8]) -> [u8; 32] {
    countersign_factors::webauthn::challenge_of(client_data).unwrap()
}
