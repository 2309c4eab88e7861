//! The first packets: encryption, cancel keys, versions, the password, the greeting.

use bytes::Bytes;
use countersign_enforce::{Machine as _, Output, PresentedCredential, Protocol as _, TlsFacts};

use crate::bench::fake::Fake;
use crate::bench::through::{Through, Wire as _, arrival, protocol};
use crate::bench::wire::{self, V3_0, frame, q, startup};
use crate::bench::world::Rules;

pub(crate) const SSL: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

pub(crate) fn fresh(tls: bool, plaintext: bool) -> Through<Fake> {
    Through::new(&protocol(), Fake::default(), "shop", &Rules::default(), arrival(tls, plaintext))
}

pub(crate) fn hello() -> Vec<u8> {
    startup(V3_0, &[("user", "ana"), ("database", "shop")])
}

fn words(t: &mut Through<Fake>) -> Vec<String> {
    let told = t.take();
    told.iter().map(wire::words).collect()
}

#[test]
fn plaintext_and_encryption() {
    // One-letter answers are not messages, so these look at bytes.
    for (name, tls, plaintext, sends, told, tls_due) in [
        ("tls offered", true, true, vec![SSL.to_vec()], b"S".to_vec(), true),
        ("tls not offered", false, true, vec![SSL.to_vec()], b"N".to_vec(), false),
        ("gss, then tls", true, true, vec![GSS.to_vec(), SSL.to_vec()], b"NS".to_vec(), true),
        ("direct tls", true, true, vec![vec![0x16, 3, 1, 0, 1]], Vec::new(), true),
        (
            "no tls, start",
            false,
            true,
            vec![SSL.to_vec(), hello()],
            [b"N".to_vec(), frame(b'R', &[0, 0, 0, 3])].concat(),
            false,
        ),
    ] {
        let mut t = fresh(tls, plaintext);
        for bytes in sends {
            t.send(&bytes);
        }
        assert_eq!((t.told.clone(), t.tls_due, t.closed.is_some()), (told, tls_due, false), "{name}");
    }
}

#[test]
fn adv_028_downgrades_and_bytes_ahead() {
    for (name, tls, plaintext, sends) in [
        ("plaintext is not allowed", true, false, hello()),
        ("plaintext is not allowed, after a refused GSS", true, false, [GSS.to_vec(), hello()].concat()),
        ("bytes ahead of TLS", true, true, [SSL.to_vec(), hello()].concat()),
        ("bytes ahead of a refused TLS", false, true, [SSL.to_vec(), hello()].concat()),
        ("bytes ahead of GSS", false, true, [GSS.to_vec(), vec![0]].concat()),
        ("direct TLS that is not offered", false, true, vec![0x16, 3, 1]),
        ("an old protocol", true, true, startup(131_072, &[("user", "ana")])),
        ("a short packet", true, true, vec![0, 0, 0, 7, 0, 0, 0]),
        ("a long packet", true, true, vec![0, 1, 0, 0, 0, 3, 0, 0]),
        ("no user", true, true, startup(V3_0, &[("database", "shop")])),
    ] {
        let mut t = fresh(tls, plaintext);
        t.send(&sends);
        assert!(t.closed.is_some(), "{name}: not refused");
        assert!(!t.tls_due, "{name}");
        assert!(t.presented.is_none(), "{name}");
    }
    let mut t = fresh(true, true);
    t.send(&SSL);
    t.tls(None);
    t.send(&SSL);
    assert!(t.closed.is_some(), "TLS within TLS");
}

#[test]
fn tls_and_what_it_agreed_on() {
    for (direct, alpn, ok) in [
        (false, None, true),
        (false, Some(&b"postgresql"[..]), true),
        (false, Some(b"http/1.1"), false),
        (true, Some(b"postgresql"), true),
        (true, None, false),
    ] {
        let mut t = fresh(true, false);
        t.send(if direct { &[0x16, 3, 1] } else { &SSL });
        // What the machine left in its input belongs to the handshake: here there is no TLS, so a new one is begun.
        assert!(t.tls_due);
        if direct {
            continue_direct(&mut t, alpn, ok);
            continue;
        }
        t.tls(alpn);
        t.send(&hello());
        assert_eq!(t.closed.is_none(), ok, "{alpn:?}");
    }
}

fn continue_direct(t: &mut Through<Fake>, alpn: Option<&[u8]>, ok: bool) {
    let facts = TlsFacts { alpn: alpn.map(<[u8]>::to_vec), peer_certificates: Vec::new() };
    assert_eq!(t.machine.on_client_tls(facts).is_ok(), ok, "direct, {alpn:?}");
}

#[test]
fn versions_are_negotiated() {
    let v = |minor: i32| V3_0 + minor;
    for (version, options, want, key_bytes) in [
        (v(0), vec![], None, 8),
        (v(2), vec![], None, 32),
        (v(9), vec![], Some(format!("v:{}", v(2))), 32),
        (v(0), vec![("_pq_.color", "1")], Some(format!("v:{}:_pq_.color", v(0))), 8),
        (v(2), vec![("_pq_.a", "1"), ("_pq_.b", "2")], Some(format!("v:{}:_pq_.a:_pq_.b", v(2))), 32),
    ] {
        let mut t = fresh(false, true);
        let pairs: Vec<(&str, &str)> = [("user", "ana"), ("database", "shop")].into_iter().chain(options).collect();
        t.send(&startup(version, &pairs));
        let got = words(&mut t);
        let want: Vec<String> = want.into_iter().chain(["R:3".to_owned()]).collect();
        assert_eq!(got, want, "{version}");
        t.send(&frame(b'p', b"token\0"));
        t.wait(b'Z', 1);
        let told = t.take();
        let key = told.iter().find(|m| m.tag == b'K').unwrap();
        assert_eq!(key.body.len(), key_bytes, "{version}");
        assert_eq!(told.iter().map(|m| m.tag).collect::<Vec<_>>(), b"RSSKZ", "{version}");
    }
}

#[test]
fn the_login_in_order() {
    let mut t = fresh(false, true);
    t.send(&hello());
    assert!(t.presented.is_none());
    t.send(&frame(b'p', b"token\0"));
    let presented = t.presented.take().unwrap();
    assert_eq!((presented.user.as_str(), presented.target.as_str(), presented.encrypted), ("ana", "shop", false));
    t.wait(b'Z', 1);
    assert!(t.closed.is_none());
    t.goodbye();
    for (name, bytes) in [
        ("a query instead of a password", q("SELECT 1")),
        ("a password without an end", frame(b'p', b"token")),
        ("a password of any length", frame(b'p', &[b'x'; 40_000])),
    ] {
        let mut t = fresh(false, true);
        t.send(&hello());
        t.send(&bytes);
        assert!(t.closed.is_some(), "{name}");
        assert!(t.presented.is_none(), "{name}");
    }
}

#[test]
fn a_recognised_certificate_is_the_login() {
    let mut t = fresh(true, false);
    t.send(&SSL);
    t.take();
    t.told.clear();
    let chain = vec![Bytes::from_static(b"leaf"), Bytes::from_static(b"issuer")];
    t.tls_with(TlsFacts { alpn: None, peer_certificates: chain.clone() });
    t.send(&hello());
    let presented = t.presented.take().unwrap();
    let PresentedCredential::Certificate(shown) = presented.credential else { panic!("not a certificate") };
    assert_eq!(
        (presented.user.as_str(), presented.target.as_str(), presented.encrypted, shown),
        ("ana", "shop", true, chain)
    );
    t.wait(b'Z', 1);
    // No password is asked for.
    assert_eq!(t.take().iter().map(|m| m.tag).collect::<Vec<_>>(), b"RSSKZ");
    t.send(&q("SELECT 1"));
    t.wait(b'Z', 1);
    assert!(t.closed.is_none());
    t.goodbye();
}

#[test]
fn queries_sent_ahead_wait_for_the_greeting() {
    let mut t = fresh(false, true);
    t.send(&[hello(), frame(b'p', b"token\0"), q("SELECT 1"), q("SELECT 2")].concat());
    t.wait(b'Z', 3);
    let tags: Vec<u8> = t.take().iter().map(|m| m.tag).collect();
    assert_eq!(tags, b"RRSSKZCZCZ");
    t.goodbye();
}

#[test]
fn adv_027_cancel_keys_are_our_own() {
    let protocol = protocol();
    let mut t = Through::logged_in(&protocol, Fake::default(), "shop", &Rules::default());
    let key = t.take().into_iter().find(|m| m.tag == b'K').unwrap().body;
    let (client_key, order) = t.cancel_key.clone().unwrap();
    assert_eq!(key, client_key, "the client got another key");
    assert!(!order.windows(4).any(|w| w == &key[4..8]), "the target's key reached the client");
    let mut other = Through::new(&protocol, Fake::default(), "shop", &Rules::default(), arrival(true, false));
    other.send(&[&[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e][..], &key].concat());
    assert_eq!(other.cancels.as_deref(), Some(&key[..]), "a cancel request needs no TLS");
    assert!(other.closed.is_some());
    assert!(other.told.is_empty(), "a cancel request is not answered");
    // The order goes to the target as it would from a client of its own.
    let mut canceller = protocol.canceller(order.clone(), false);
    let Some(Output::Login(b)) = canceller.poll_output() else { panic!("nothing to send") };
    assert_eq!(&b[..8], &[0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e]);
    assert_eq!(&b[8..], &[0, 0, 0, 9, 1, 2, 3, 4]);
    canceller.on_upstream_end();
    assert!(matches!(canceller.poll_output(), Some(Output::Close(..))));
    t.goodbye();
}

#[test]
fn a_start_up_split_at_every_byte_is_the_same() {
    let whole = [hello(), frame(b'p', b"token\0"), q("SELECT 1")].concat();
    let want = {
        let mut t = fresh(false, true);
        t.send(&whole);
        t.wait(b'Z', 2);
        t.told
    };
    for cut in 1..whole.len() {
        let mut t = fresh(false, true);
        t.send(&whole[..cut]);
        t.send(&whole[cut..]);
        t.wait(b'Z', 2);
        assert_eq!(t.told, want, "cut at {cut}");
    }
}
