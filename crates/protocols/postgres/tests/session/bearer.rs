//! SASL OAUTHBEARER at the way in: offered, spoken, refused, and cut at every byte.

use bytes::Bytes;
use countersign_enforce::{PresentedCredential, TlsFacts};
use countersign_postgres::{LoginMethod, Postgres};

use crate::bench::fake::Fake;
use crate::bench::through::{Through, Wire as _, arrival};
use crate::bench::wire::{V3_0, frame, q, startup};
use crate::bench::world::Rules;
use crate::startup::{SSL, fresh, hello};

const ISSUER: &str = "https://id.example.com/";

fn door() -> Through<Fake> {
    let protocol = Postgres::new().login_by(LoginMethod::OAuthBearer, ISSUER, "openid");
    Through::new(&protocol, Fake::default(), "shop", &Rules::default(), arrival(true, true))
}

fn asked(method: &str) -> Vec<u8> {
    let option = format!("-c countersign.login={method} -c geqo=on");
    startup(V3_0, &[("user", "ana"), ("database", "shop"), ("options", &option)])
}

/// `SASLInitialResponse`.
fn initial(mechanism: &str, message: &[u8]) -> Vec<u8> {
    let len = i32::try_from(message.len()).unwrap().to_be_bytes();
    frame(b'p', &[mechanism.as_bytes(), b"\0", &len, message].concat())
}

fn bearer(token: &str) -> Vec<u8> {
    initial("OAUTHBEARER", format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").as_bytes())
}

fn offer() -> Vec<u8> {
    frame(b'R', &[&10i32.to_be_bytes()[..], b"OAUTHBEARER\0\0"].concat())
}

fn challenge(data: &[u8]) -> Vec<u8> {
    frame(b'R', &[&11i32.to_be_bytes()[..], data].concat())
}

fn token_of(t: &mut Through<Fake>) -> Option<Vec<u8>> {
    let presented = t.presented.take()?;
    assert_eq!((presented.user.as_str(), presented.target.as_str()), ("ana", "shop"));
    let PresentedCredential::Token { token, certificate: None } = presented.credential else { panic!("not a token") };
    Some(token.expose().to_vec())
}

#[test]
fn a_token_logs_in() {
    for (name, mut t, first) in [
        ("the listener's way", door(), hello()),
        ("the client's wish", fresh(true, true), asked("oauthbearer")),
        ("the client's wish, the same as the listener's", door(), asked("oauthbearer")),
    ] {
        t.send(&first);
        assert_eq!(std::mem::take(&mut t.told), offer(), "{name}");
        t.send(&bearer("eyJh.e30.c2ln"));
        assert_eq!(token_of(&mut t).as_deref(), Some(&b"eyJh.e30.c2ln"[..]), "{name}");
        t.wait(b'Z', 1);
        assert_eq!(t.take().iter().map(|m| m.tag).collect::<Vec<_>>(), b"RSSKZ", "{name}");
        t.send(&q("SELECT 1"));
        t.wait(b'Z', 1);
        t.goodbye();
        let sent: Vec<u8> = t.far.got.iter().flat_map(|m| m.body.clone()).collect();
        assert!(!String::from_utf8_lossy(&sent).contains("countersign.login"), "the target was told");
    }
    // A client may also prefer the password.
    let mut t = door();
    t.send(&asked("password"));
    assert_eq!(t.told, frame(b'R', &3i32.to_be_bytes()));
}

#[test]
fn without_an_initial_response_the_client_is_asked_for_it() {
    let mut t = door();
    t.send(&hello());
    t.told.clear();
    t.send(&frame(b'p', b"OAUTHBEARER\0\xff\xff\xff\xff"));
    assert_eq!(std::mem::take(&mut t.told), challenge(b""));
    t.send(&frame(b'p', b"n,,\x01auth=Bearer abc\x01\x01"));
    assert_eq!(token_of(&mut t).as_deref(), Some(&b"abc"[..]));
}

#[test]
fn who_has_no_token_is_told_where_to_get_one() {
    let want = br#"{"status":"invalid_token","openid-configuration":"https://id.example.com/.well-known/openid-configuration","scope":"openid"}"#;
    for (name, nothing, last, code) in [
        ("as libpq says it", &b"n,,\x01auth=\x01\x01"[..], &b"\x01"[..], "28000"),
        ("an empty token", b"n,,\x01auth=Bearer \x01\x01", b"\x01", "28000"),
        ("another last word", b"n,,\x01auth=\x01\x01", b"n,,\x01auth=Bearer abc\x01\x01", "08P01"),
        ("an empty last word", b"n,,\x01auth=\x01\x01", b"", "08P01"),
    ] {
        let mut t = door();
        t.send(&hello());
        t.told.clear();
        t.send(&initial("OAUTHBEARER", nothing));
        assert_eq!(std::mem::take(&mut t.told), challenge(want), "{name}");
        assert!(t.closed.is_none() && t.presented.is_none(), "{name}");
        t.send(&frame(b'p', last));
        let told = String::from_utf8_lossy(&t.told).into_owned();
        assert!(told.starts_with('E') && told.contains(&format!("\0VFATAL\0C{code}\0")), "{name}: {told:?}");
        assert!(t.closed.is_some() && t.presented.is_none(), "{name}");
    }
}

#[test]
fn what_is_malformed_is_refused_and_never_repeated() {
    for (name, bytes) in [
        ("another mechanism", initial("SCRAM-SHA-256", b"n,,\x01auth=Bearer s3cr3t\x01\x01")),
        ("a password", frame(b'p', b"s3cr3t\0")),
        ("another scheme", initial("OAUTHBEARER", b"n,,\x01auth=Basic s3cr3t\x01\x01")),
        ("two tokens", initial("OAUTHBEARER", b"n,,\x01auth=Bearer s3cr3t\x01auth=Bearer s3cr3t\x01\x01")),
        ("somebody else", initial("OAUTHBEARER", b"n,a=s3cr3t,\x01auth=Bearer s3cr3t\x01\x01")),
        ("no end", initial("OAUTHBEARER", b"n,,\x01auth=Bearer s3cr3t")),
        ("no text", initial("OAUTHBEARER", b"n,,\x01auth=Bearer s3cr3t\xff\x01\x01")),
        ("a query", q("s3cr3t")),
        ("any length", bearer(&"s3cr3t".repeat(6000))),
    ] {
        let mut t = door();
        t.send(&hello());
        t.told.clear();
        t.send(&bytes);
        let told = String::from_utf8_lossy(&t.told).into_owned();
        assert!(told.starts_with('E') && told.contains("\0VFATAL\0C08P01\0"), "{name}: {told:?}");
        assert!(!told.contains("s3cr3t"), "{name}: {told:?}");
        assert!(!format!("{:?}", t.closed).contains("s3cr3t"), "{name}: {:?}", t.closed);
        assert!(t.closed.is_some() && t.presented.is_none(), "{name}");
    }
    // The longest that is taken: 32 KiB with everything around it.
    let around = bearer("").len();
    for (bytes, taken) in [(32 << 10, true), ((32 << 10) + 1, false)] {
        let mut t = door();
        t.send(&hello());
        t.send(&bearer(&"x".repeat(bytes - around)));
        assert_eq!(token_of(&mut t).is_some(), taken, "{bytes}");
    }
}

#[test]
fn a_login_split_at_every_byte_is_the_same() {
    let whole = [hello(), bearer("eyJh.e30.c2ln"), q("SELECT 1")].concat();
    let nothing = [hello(), initial("OAUTHBEARER", b"n,,\x01auth=\x01\x01"), frame(b'p', b"\x01")].concat();
    for whole in [whole, nothing] {
        let told = |cut: usize| {
            let mut t = door();
            t.send(&whole[..cut]);
            t.send(&whole[cut..]);
            t.wait(b'Z', 2);
            (t.told.clone(), t.closed.is_some())
        };
        let want = told(whole.len());
        for cut in 1..whole.len() {
            assert_eq!(told(cut), want, "cut at {cut}");
        }
    }
}

#[test]
fn a_known_certificate_needs_no_token_unless_the_client_wants_to_give_one() {
    let chain = || TlsFacts { alpn: None, peer_certificates: vec![Bytes::from_static(b"leaf")] };
    for (name, mut t, first, want) in [
        ("nothing is asked", door(), hello(), None),
        ("a token is wanted", fresh(true, true), asked("oauthbearer"), Some(offer())),
        ("a password is wanted", door(), asked("password"), Some(frame(b'R', &3i32.to_be_bytes()))),
    ] {
        t.send(&SSL);
        t.told.clear();
        t.tls_with(chain());
        t.send(&first);
        match want {
            Some(want) => assert_eq!(t.told, want, "{name}"),
            None => {
                let presented = t.presented.take().unwrap();
                assert!(matches!(presented.credential, PresentedCredential::Certificate(_)), "{name}");
            }
        }
    }
}
