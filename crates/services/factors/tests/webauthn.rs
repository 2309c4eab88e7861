//! What keys sign, checked against the vectors of the specification, cut at every byte, and bent in every way that matters.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod key;

use ciborium::Value;
use countersign_enforce::Assertion;
use countersign_factors::webauthn::{
    ATTESTATION_BYTES_MAX, CLIENT_DATA_BYTES_MAX, CREDENTIAL_BYTES_MAX, Fault, KnownKey, PublicKey, Registration,
    SIGNATURE_BYTES_MAX, Site, challenge_of, register, verify,
};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use key::{GOOD, ORIGIN, SITE, Says, SoftKey, attestation, written};

/// WebAuthn Level 3, 16: all of `example.org`.
#[derive(Deserialize)]
struct Vector {
    name: String,
    registration: Made,
    authentication: Used,
}

#[derive(Deserialize)]
struct Made {
    challenge: String,
    client_data: String,
    attestation: String,
    credential: String,
    /// The key verified who used it.
    verified: bool,
}

#[derive(Deserialize)]
struct Used {
    challenge: String,
    client_data: String,
    authenticator_data: String,
    signature: String,
}

fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

fn digest(text: &str) -> [u8; 32] {
    hex(text).try_into().unwrap()
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("vectors.json")).unwrap()
}

fn site(base: &str) -> Vec<Site> {
    vec![Site::of(base).unwrap()]
}

/// The public key in an attestation, found as a reader that knows nothing else would: after the credential's name.
fn public_key(v: &Vector) -> Vec<u8> {
    let (attestation, id) = (hex(&v.registration.attestation), hex(&v.registration.credential));
    let at = attestation.windows(id.len()).position(|w| w == id).unwrap() + id.len();
    attestation[at..].to_vec()
}

#[test]
fn the_vectors_of_the_specification_are_read_as_it_says() {
    let mut verified = 0;
    for v in vectors() {
        let (name, made, used) = (&v.name, &v.registration, &v.authentication);
        let sites = site("https://example.org");
        let registration = Registration { client_data: hex(&made.client_data), attestation: hex(&made.attestation) };
        assert_eq!(challenge_of(&registration.client_data), Ok(digest(&made.challenge)), "{name}");
        let registered = register(&registration, &digest(&made.challenge), &sites);
        let public_key = match registered {
            Ok(key) => {
                assert!(made.verified, "{name}");
                verified += 1;
                assert_eq!(
                    (key.credential, key.site.as_str(), key.sign_count),
                    (hex(&made.credential), "example.org", 0)
                );
                assert_eq!(key.public_key, public_key(&v), "{name}");
                key.public_key
            }
            // These keys did not verify who used them, and so are refused for that and for nothing else.
            Err(fault) => {
                assert_eq!((fault, made.verified), (Fault::Verification, false), "{name}");
                public_key(&v)
            }
        };
        let data = hex(&used.authenticator_data);
        let mut signed = data.clone();
        signed.extend_from_slice(&Sha256::digest(hex(&used.client_data)));
        let read = PublicKey::read(&public_key).unwrap();
        read.verify(&signed, &hex(&used.signature)).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        signed[0] ^= 1;
        assert_eq!(read.verify(&signed, &hex(&used.signature)), Err(Fault::Signature), "{name}");
        let assertion = Assertion {
            credential: hex(&made.credential),
            client_data: hex(&used.client_data),
            authenticator_data: data,
            signature: hex(&used.signature),
        };
        let known = KnownKey {
            site: "example.org",
            credential: &hex(&made.credential),
            public_key: &public_key,
            sign_count: 0,
        };
        let said = verify(&assertion, known, &digest(&used.challenge), &sites);
        assert_eq!(said, Err(Fault::Verification), "{name}: none of them verified who used it");
        let other = verify(&assertion, known, &digest(&made.challenge), &sites);
        assert_eq!(other, Err(Fault::Challenge), "{name}");
    }
    assert!(verified > 0, "one of them is whole");
}

const CHALLENGE: [u8; 32] = [7; 32];

/// A way of a key to be used, and what is wrong with it.
type Bent = (&'static str, Result<(), Fault>, fn(&mut Says));

const BENT: [Bent; 14] = [
    ("as it is", Ok(()), |_| {}),
    ("another port", Err(Fault::Origin), |s| s.origin = "https://gw.example".to_owned()),
    ("another host", Err(Fault::Origin), |s| s.origin = "https://gw.example.evil.test:8443".to_owned()),
    ("no TLS", Err(Fault::Origin), |s| s.origin = "http://gw.example:8443".to_owned()),
    ("in other letters", Err(Fault::Origin), |s| s.origin = "https://GW.example:8443".to_owned()),
    ("in a frame", Err(Fault::Origin), |s| s.more = r#""crossOrigin":true"#),
    ("in somebody's frame", Err(Fault::Origin), |s| s.more = r#""topOrigin":"https://evil.test""#),
    ("for another site", Err(Fault::Site), |s| s.site = "evil.test".to_owned()),
    ("nobody touched it", Err(Fault::Presence), |s| s.flags = 0x04),
    ("it did not ask who", Err(Fault::Verification), |s| s.flags = 0x01),
    ("neither", Err(Fault::Presence), |s| s.flags = 0),
    ("a copy of what has none", Err(Fault::Unreadable), |s| s.flags = GOOD | 0x10),
    ("extensions that are not there", Err(Fault::Unreadable), |s| s.flags = GOOD | 0x80),
    ("said twice", Err(Fault::Unreadable), |s| s.more = r#""challenge":"AA""#),
];

#[test]
fn a_key_is_believed_only_for_this_challenge_and_site() {
    let sites = site(ORIGIN);
    for (what, expected, bend) in BENT {
        let mut says = Says::default();
        bend(&mut says);
        let mut key = SoftKey::new("one");
        let made = register(&key.register(&CHALLENGE, &says), &CHALLENGE, &sites);
        assert_eq!(made.map(|_| ()), expected, "registering, {what}");
        let public_key = key.cose();
        let assertion = key.sign(&CHALLENGE, &says);
        let known = KnownKey { site: SITE, credential: b"one", public_key: &public_key, sign_count: 0 };
        assert_eq!(verify(&assertion, known, &CHALLENGE, &sites).map(|_| ()), expected, "signing, {what}");
    }
    let mut key = SoftKey::new("one");
    let public_key = key.cose();
    let known = KnownKey { site: SITE, credential: b"one", public_key: &public_key, sign_count: 0 };
    let good = key.sign(&CHALLENGE, &Says::default());
    assert_eq!(verify(&good, known, &CHALLENGE, &sites), Ok(1));
    assert_eq!(verify(&good, known, &[8; 32], &sites), Err(Fault::Challenge));
    assert_eq!(verify(&good, known, &CHALLENGE, &[]), Err(Fault::Origin));
    assert_eq!(verify(&good, KnownKey { credential: b"two", ..known }, &CHALLENGE, &sites), Err(Fault::Credential));
    assert_eq!(verify(&good, KnownKey { site: "other.example", ..known }, &CHALLENGE, &sites), Err(Fault::Site));
    let other = SoftKey::new("one").cose();
    assert_eq!(verify(&good, KnownKey { public_key: &other, ..known }, &CHALLENGE, &sites), Err(Fault::Signature));
    // What registers is not what signs.
    let create = key.sign(&CHALLENGE, &Says { kind: Some("webauthn.create"), ..Says::default() });
    assert_eq!(verify(&create, known, &CHALLENGE, &sites), Err(Fault::Type));
    let get = key.register(&CHALLENGE, &Says { kind: Some("webauthn.get"), ..Says::default() });
    assert_eq!(register(&get, &CHALLENGE, &sites), Err(Fault::Type));
    let mut swapped = good.clone();
    swapped.authenticator_data[36] ^= 1;
    assert_eq!(verify(&swapped, known, &CHALLENGE, &sites), Err(Fault::Signature));
}

#[test]
fn a_counter_only_goes_on() {
    let sites = site(ORIGIN);
    for (kept, shown, expected) in [
        (0, 0, Ok(0)),
        (0, 1, Ok(1)),
        (5, 6, Ok(6)),
        (5, 500, Ok(500)),
        (5, 5, Err(Fault::Counter)),
        (5, 4, Err(Fault::Counter)),
        (5, 0, Err(Fault::Counter)),
        (u32::MAX, 0, Err(Fault::Counter)),
    ] {
        let mut key = SoftKey::new("one");
        let public_key = key.cose();
        let known = KnownKey { site: SITE, credential: b"one", public_key: &public_key, sign_count: kept };
        let signed = key.sign(&CHALLENGE, &Says { count: Some(shown), ..Says::default() });
        assert_eq!(verify(&signed, known, &CHALLENGE, &sites), expected, "{kept} then {shown}");
    }
}

#[test]
fn what_is_cut_short_or_goes_on_is_refused() {
    let sites = site(ORIGIN);
    let mut key = SoftKey::new("one");
    let public_key = key.cose();
    let made = key.register(&CHALLENGE, &Says::default());
    register(&made, &CHALLENGE, &sites).unwrap();
    for cut in 0..made.attestation.len() {
        let short = Registration { attestation: made.attestation[..cut].to_vec(), ..made.clone() };
        assert!(register(&short, &CHALLENGE, &sites).is_err(), "attestation cut at {cut}");
    }
    for cut in 0..made.client_data.len() {
        let short = Registration { client_data: made.client_data[..cut].to_vec(), ..made.clone() };
        assert!(register(&short, &CHALLENGE, &sites).is_err(), "client data cut at {cut}");
    }
    let Value::Map(parts) = ciborium::from_reader(made.attestation.as_slice()).unwrap() else { panic!() };
    let data = parts[2].1.as_bytes().unwrap().clone();
    for cut in 0..data.len() {
        let short = Registration { attestation: attestation(&data[..cut]), ..made.clone() };
        assert!(register(&short, &CHALLENGE, &sites).is_err(), "authenticator data cut at {cut}");
    }
    for more in [&[0][..], &[0xa0], &[0xff; 7]] {
        let longer = Registration { attestation: attestation(&[&data, more].concat()), ..made.clone() };
        assert_eq!(register(&longer, &CHALLENGE, &sites), Err(Fault::Unreadable), "{more:?} after it");
        let longer = Registration { attestation: [&made.attestation, more].concat(), ..made.clone() };
        assert_eq!(register(&longer, &CHALLENGE, &sites), Err(Fault::Unreadable), "{more:?} after it");
    }
    let signed = key.sign(&CHALLENGE, &Says::default());
    let known = KnownKey { site: SITE, credential: b"one", public_key: &public_key, sign_count: 0 };
    for cut in 0..signed.authenticator_data.len() {
        let short = Assertion { authenticator_data: signed.authenticator_data[..cut].to_vec(), ..signed.clone() };
        assert!(verify(&short, known, &CHALLENGE, &sites).is_err(), "cut at {cut}");
    }
    for cut in 0..signed.signature.len() {
        let short = Assertion { signature: signed.signature[..cut].to_vec(), ..signed.clone() };
        assert_eq!(verify(&short, known, &CHALLENGE, &sites), Err(Fault::Signature), "signature cut at {cut}");
    }
    for cut in 0..public_key.len() {
        assert!(PublicKey::read(&public_key[..cut]).is_err(), "key cut at {cut}");
    }
}

fn int(n: i64) -> Value {
    Value::Integer(n.into())
}

#[test]
fn only_keys_of_a_known_sort_are_taken() {
    let bytes = |n: usize, last: u8| Value::Bytes([vec![0xa5; n - 1], vec![last]].concat());
    let key = |members: &[(i64, Value)]| {
        PublicKey::read(&written(&Value::Map(members.iter().map(|(l, v)| (int(*l), v.clone())).collect())))
    };
    let ec = |alg: i64, curve: i64, x: usize, y: usize| {
        key(&[(1, int(2)), (3, int(alg)), (-1, int(curve)), (-2, bytes(x, 1)), (-3, bytes(y, 1))])
    };
    assert!(ec(-7, 1, 32, 32).is_ok());
    assert_eq!(ec(-35, 2, 48, 48), Err(Fault::Algorithm));
    assert_eq!(ec(-47, 8, 32, 32), Err(Fault::Algorithm));
    assert_eq!(ec(-7, 2, 32, 32), Err(Fault::Algorithm));
    assert_eq!(ec(-7, 1, 31, 32), Err(Fault::Unreadable));
    assert_eq!(ec(-7, 1, 32, 33), Err(Fault::Unreadable));
    assert!(key(&[(1, int(1)), (3, int(-8)), (-1, int(6)), (-2, bytes(32, 1))]).is_ok());
    assert_eq!(key(&[(1, int(1)), (3, int(-8)), (-1, int(7)), (-2, bytes(57, 1))]), Err(Fault::Algorithm));
    let rsa = |n: usize, last: u8, e: &[u8]| {
        key(&[(1, int(3)), (3, int(-257)), (-1, bytes(n, last)), (-2, Value::Bytes(e.to_vec()))])
    };
    assert!(rsa(256, 1, &[1, 0, 1]).is_ok() && rsa(1024, 1, &[3]).is_ok());
    for (n, last, e) in [
        (255, 1, &[1, 0, 1][..]),
        (1025, 1, &[1, 0, 1]),
        (256, 2, &[1, 0, 1]),
        (256, 1, &[]),
        (256, 1, &[1]),
        (256, 1, &[0, 1]),
        (256, 1, &[2]),
        (256, 1, &[1; 9]),
    ] {
        assert_eq!(rsa(n, last, e), Err(Fault::Unreadable), "{n} {last} {e:?}");
    }
    let twice = [(1, int(2)), (1, int(2)), (3, int(-7)), (-1, int(1)), (-2, bytes(32, 1)), (-3, bytes(32, 1))];
    assert_eq!(key(&twice), Err(Fault::Unreadable));
    assert_eq!(key(&[]), Err(Fault::Unreadable));
    assert_eq!(PublicKey::read(&written(&Value::Array(vec![]))), Err(Fault::Unreadable));
    // Deeper than anything that a key gives.
    let mut deep = int(1);
    for _ in 0..64 {
        deep = Value::Array(vec![deep]);
    }
    assert_eq!(PublicKey::read(&written(&Value::Map(vec![(int(1), deep)]))), Err(Fault::Unreadable));
    // A length that nothing has.
    assert_eq!(
        PublicKey::read(&[0xa1, 0x01, 0x5b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]),
        Err(Fault::Unreadable)
    );
}

#[test]
fn what_is_too_long_is_not_read() {
    let sites = site(ORIGIN);
    let mut key = SoftKey::new(&"n".repeat(CREDENTIAL_BYTES_MAX));
    register(&key.register(&CHALLENGE, &Says::default()), &CHALLENGE, &sites).unwrap();
    let mut key = SoftKey::new(&"n".repeat(CREDENTIAL_BYTES_MAX + 1));
    assert_eq!(register(&key.register(&CHALLENGE, &Says::default()), &CHALLENGE, &sites), Err(Fault::Unreadable));
    let mut key = SoftKey::new("");
    assert_eq!(register(&key.register(&CHALLENGE, &Says::default()), &CHALLENGE, &sites), Err(Fault::Unreadable));
    let mut key = SoftKey::new("one");
    let made = key.register(&CHALLENGE, &Says::default());
    let long = Registration { attestation: vec![0; ATTESTATION_BYTES_MAX + 1], ..made.clone() };
    assert_eq!(register(&long, &CHALLENGE, &sites), Err(Fault::TooLong));
    let padded = |n: usize| [made.client_data.clone(), vec![b' '; n - made.client_data.len()]].concat();
    let long = Registration { client_data: padded(CLIENT_DATA_BYTES_MAX), ..made.clone() };
    register(&long, &CHALLENGE, &sites).unwrap();
    let long = Registration { client_data: padded(CLIENT_DATA_BYTES_MAX + 1), ..made.clone() };
    assert_eq!(register(&long, &CHALLENGE, &sites), Err(Fault::TooLong));
    let signed = key.sign(&CHALLENGE, &Says::default());
    let public_key = key.cose();
    let known = KnownKey { site: SITE, credential: b"one", public_key: &public_key, sign_count: 0 };
    let long = Assertion { signature: vec![0; SIGNATURE_BYTES_MAX + 1], ..signed };
    assert_eq!(verify(&long, known, &CHALLENGE, &sites), Err(Fault::TooLong));
}

#[test]
fn sites_are_where_browsers_let_keys_be_used() {
    for (base, expected) in [
        ("https://gw.example:8443", Some(("https://gw.example:8443", "gw.example"))),
        ("https://GW.Example", Some(("https://gw.example", "gw.example"))),
        ("https://gw.example:443", Some(("https://gw.example", "gw.example"))),
        ("http://localhost:8080", Some(("http://localhost:8080", "localhost"))),
        ("http://localhost:80", Some(("http://localhost", "localhost"))),
        ("https://gw", Some(("https://gw", "gw"))),
        ("http://gw.example", None),
        ("https://127.0.0.1:8443", None),
        ("http://127.0.0.1:8080", None),
        ("https://[::1]:8443", None),
        ("https://gw.example/console", None),
        ("https://user@gw.example", None),
        ("https://", None),
        ("https://:443", None),
        ("https://gw.example:", None),
        ("ftp://gw.example", None),
        ("gw.example", None),
    ] {
        let site = Site::of(base);
        assert_eq!(site.as_ref().map(|s| (s.origin.as_str(), s.name.as_str())), expected, "{base}");
    }
}
