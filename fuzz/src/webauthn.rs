//! Any bytes as what a security key and the browser before it give: attestation objects, authenticator data, client data, public keys.
//!
//! The key that is known signed nothing, so that nothing may be believed.

use countersign_enforce::Assertion;
use countersign_factors::webauthn::{KnownKey, PublicKey, Registration, Site, challenge_of, register, verify};

/// A point on the curve, whose key nobody has.
const KEY: [u8; 77] = [
    0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20, 0xaf, 0xef, 0xa1, 0x6f, 0x97, 0xca, 0x9b, 0x2d, 0x23,
    0xeb, 0x86, 0xcc, 0xb6, 0x40, 0x98, 0xd2, 0x0d, 0xb9, 0x08, 0x56, 0x06, 0x2e, 0xb2, 0x49, 0xc3, 0x3a, 0x9b, 0x67,
    0x2f, 0x26, 0xdf, 0x61, 0x22, 0x58, 0x20, 0x93, 0x0a, 0x56, 0xb8, 0x7a, 0x2f, 0xca, 0x66, 0x33, 0x4b, 0x03, 0x45,
    0x8a, 0xbf, 0x87, 0x97, 0x17, 0xc1, 0x2c, 0xc6, 0x8e, 0xd7, 0x32, 0x90, 0xaf, 0x2e, 0x26, 0x64, 0x79, 0x6b, 0x92,
    0x20,
];

/// The first byte says what the rest is. What was registered is read again as it was kept.
///
/// # Panics
/// When something is believed that was not signed, or what was read once is not read again.
pub fn run(data: &[u8]) {
    let Some((what, rest)) = data.split_first() else { return };
    let sites = Site::of("https://example.org").into_iter().collect::<Vec<_>>();
    let (head, tail) = rest.split_at(rest.len() / 2);
    match what % 4 {
        0 => {
            let challenge = challenge_of(head).unwrap_or_default();
            let made = Registration { client_data: head.to_vec(), attestation: tail.to_vec() };
            if let Ok(new) = register(&made, &challenge, &sites) {
                assert!(PublicKey::read(&new.public_key).is_ok(), "what was registered cannot be read again");
            }
        }
        1 => {
            let client_data = br#"{"type":"webauthn.create","challenge":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","origin":"https://example.org"}"#;
            let made = Registration { client_data: client_data.to_vec(), attestation: rest.to_vec() };
            if let Ok(new) = register(&made, &[0; 32], &sites) {
                assert!(PublicKey::read(&new.public_key).is_ok(), "what was registered cannot be read again");
            }
        }
        2 => {
            let challenge = challenge_of(head).unwrap_or_default();
            let (authenticator_data, signature) = tail.split_at(tail.len() / 2);
            let shown = Assertion {
                credential: b"one".to_vec(),
                client_data: head.to_vec(),
                authenticator_data: authenticator_data.to_vec(),
                signature: signature.to_vec(),
            };
            let known = KnownKey { site: "example.org", credential: b"one", public_key: &KEY, sign_count: 0 };
            assert!(verify(&shown, known, &challenge, &sites).is_err(), "nobody signed this");
        }
        _ => {
            if let Ok(key) = PublicKey::read(rest) {
                assert!(key.verify(b"something", rest).is_err(), "nobody signed this");
            }
        }
    }
}
