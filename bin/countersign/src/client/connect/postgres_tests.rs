//! What strangers and broken programs may say at the local port, and what a gateway may answer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use tokio::io::duplex;

use super::*;

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 8).unwrap();
    [&length.to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

const V3: u32 = 3 << 16;

fn start(body: &[u8]) -> Vec<u8> {
    packet(V3, body)
}

/// What `first` makes of these bytes, and what the client reads.
async fn arrives(bytes: &[u8]) -> (Result<First, SentAway>, Vec<u8>) {
    let (mut here, mut there) = duplex(1 << 16);
    here.write_all(bytes).await.unwrap();
    here.shutdown().await.unwrap();
    let got = first(&mut there).await;
    drop(there);
    let mut read = Vec::new();
    here.read_to_end(&mut read).await.unwrap();
    (got, read)
}

#[tokio::test]
async fn first_packets_are_read() {
    let whole = b"user\0ana\0database\0shop\0application_name\0x\0options\0-c a=b\0\0";
    let settings = vec![(b"application_name".to_vec(), b"x".to_vec()), (b"options".to_vec(), b"-c a=b".to_vec())];
    let expected = Startup { version: V3, settings, database: Some("shop".to_owned()) };
    for asked in [vec![], vec![SSL], vec![GSS, SSL]] {
        let mut bytes: Vec<u8> = asked.iter().flat_map(|code| packet(*code, b"")).collect();
        bytes.extend(start(whole));
        let (got, read) = arrives(&bytes).await;
        assert_eq!(got.unwrap(), First::Start(Startup { settings: expected.settings.clone(), ..startup(whole) }));
        assert_eq!(read, vec![b'N'; asked.len()]);
    }
    assert_eq!(startup(whole), expected);
    let cancel = packet(CANCEL, &[7; 32]);
    assert_eq!(arrives(&cancel).await.0.unwrap(), First::Cancel(cancel));
}

fn startup(body: &[u8]) -> Startup {
    Startup::read(V3, body).unwrap()
}

#[tokio::test]
async fn strangers_are_sent_away() {
    let longest = [b"user\0a\0x\0".to_vec(), vec![b'y'; STARTUP_BYTES_MAX - 8 - 11], vec![0, 0]].concat();
    assert_eq!(start(&longest).len(), STARTUP_BYTES_MAX);
    assert!(arrives(&start(&longest)).await.0.is_ok());
    let longer = [b"user\0a\0x\0".to_vec(), vec![b'y'; STARTUP_BYTES_MAX - 8 - 10], vec![0, 0]].concat();
    for (bytes, state) in [
        (start(&longer), "08P01"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(), "08P01"),
        (vec![0x16, 3, 1, 0, 200, 1, 0, 0], "08P01"),
        (vec![0, 0, 0, 7, 0, 3, 0, 0], "08P01"),
        (vec![], "08P01"),
        (vec![0, 0, 0, 9, 0, 3, 0, 0], "08P01"),
        (packet(2 << 16, b"user\0ana\0\0"), "0A000"),
        (packet(4 << 16, b"user\0ana\0\0"), "0A000"),
        (packet(SSL, b"x"), "0A000"),
        (packet(SSL, b"").repeat(ENCRYPTION_REQUESTS_MAX + 1), "08P01"),
        (start(b"user"), "08P01"),
        (start(b"user\0"), "08P01"),
        (start(b"user\0ana\0database\0"), "08P01"),
        (start(b"user\0ana\0user\0dora\0\0"), "08P01"),
        (start(b"user\0ana\0database\0a\0database\0b\0\0"), "08P01"),
        (start(b"user\0ana\0\0x\0\0"), "08P01"),
        (start(b"user\0ana\0database\0\xff\0\0"), "08P01"),
    ] {
        let (got, _) = arrives(&bytes).await;
        assert_eq!(got.as_ref().unwrap_err().0, state, "{:?}: {got:?}", String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn the_gateway_hears_of_one_user_and_one_target() {
    for (body, target, expected) in [
        (&b"user\0root\0\0"[..], "shop", &b"user\0ana\0database\0shop\0\0"[..]),
        (b"user\0root\0database\0\0\0", "shop", b"user\0ana\0database\0shop\0\0"),
        (b"user\0x\0database\0shop\0TimeZone\0UTC\0\0", "shop", b"user\0ana\0database\0shop\0TimeZone\0UTC\0\0"),
        (b"user\0x\0database\0shop/a/b\0\0", "shop", b"user\0ana\0database\0shop/a/b\0\0"),
        (b"user\0x\0database\0shopping\0\0", "shop", b"user\0ana\0database\0shop/shopping\0\0"),
        (b"user\0x\0database\0postgres\0\0", "shop", b"user\0ana\0database\0shop/postgres\0\0"),
        (b"user\0x\0database\0postgres\0\0", "shop/one", b"user\0ana\0database\0shop/one\0\0"),
        (b"user\0x\0database\0other/db\0\0", "shop", b"user\0ana\0database\0shop/other/db\0\0"),
        (b"\0", "shop", b"user\0ana\0database\0shop\0\0"),
    ] {
        let sent = startup(body).for_gateway("ana", target).unwrap();
        assert_eq!(sent, start(expected), "{}", String::from_utf8_lossy(&sent));
    }
    let long = [b"user\0a\0x\0".to_vec(), vec![b'y'; STARTUP_BYTES_MAX - 8 - 11], vec![0, 0]].concat();
    assert!(startup(&long).for_gateway("a-longer-name", "shop").is_err());
}

async fn given(message: &[u8]) -> Result<(), SentAway> {
    let (mut here, mut there) = duplex(1 << 16);
    here.write_all(message).await.unwrap();
    here.shutdown().await.unwrap();
    let_in(&mut there, &Secret::from("right".to_owned())).await
}

fn password(text: &[u8]) -> Vec<u8> {
    let length = u32::try_from(text.len() + 4).unwrap();
    [b"p".to_vec(), length.to_be_bytes().to_vec(), text.to_vec()].concat()
}

#[tokio::test]
async fn only_the_runs_password_opens() {
    assert_eq!(given(&password(b"right\0")).await, Ok(()));
    for (message, state) in [
        (password(b"wrong\0"), "28P01"),
        (password(b"right"), "28P01"),
        (password(b"right\0\0"), "28P01"),
        (password(b"\0"), "28P01"),
        (password(b""), "08P01"),
        (password(&vec![b'x'; PASSWORD_BYTES_MAX - 4]), "28P01"),
        (password(&vec![b'x'; PASSWORD_BYTES_MAX - 3]), "08P01"),
        (b"p\xff\xff\xff\xff".to_vec(), "08P01"),
        (b"Q\0\0\0\x0dselect 1\0".to_vec(), "08P01"),
        (vec![], "08P01"),
    ] {
        assert_eq!(given(&message).await.unwrap_err().0, state, "{message:?}");
    }
}

async fn greeted(bytes: &[u8]) -> Result<Vec<u8>, SentAway> {
    let (mut here, mut there) = duplex(1 << 20);
    here.write_all(bytes).await.unwrap();
    here.shutdown().await.unwrap();
    greeting(&mut there).await
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [vec![kind], length.to_be_bytes().to_vec(), body.to_vec()].concat()
}

#[tokio::test]
async fn the_gateways_greeting_is_passed_and_its_questions_are_not() {
    let fine = message(b'R', &[0, 0, 0, 0]);
    let error = farewell(&SentAway("28000", "no".to_owned()));
    let negotiate = message(b'v', &[0, 3, 0, 0, 0, 0, 0, 0]);
    assert_eq!(greeted(&[&fine[..], b"S more"].concat()).await.unwrap(), fine);
    assert_eq!(greeted(&error).await.unwrap(), error);
    let both = [negotiate.clone(), fine.clone()].concat();
    assert_eq!(greeted(&both).await.unwrap(), both);
    let many = |n: usize| [negotiate.repeat(n), fine.clone()].concat();
    assert!(greeted(&many(AHEAD_MAX - 1)).await.is_ok());
    let large = |n: usize| [message(b'N', &vec![b'x'; n]), fine.clone()].concat();
    assert!(greeted(&large(AHEAD_BYTES_MAX)).await.is_ok());
    for (bytes, state) in [
        // The local client's password must not be asked for, nor sent, to the gateway.
        (message(b'R', &[0, 0, 0, 3]), "28000"),
        (message(b'R', &[0, 0, 0, 10, b'X', 0, 0]), "28000"),
        (message(b'R', &[]), "28000"),
        (message(b'Z', b"I"), "08P01"),
        (many(AHEAD_MAX), "08P01"),
        (large(AHEAD_BYTES_MAX + 1), "08P01"),
        (vec![b'R', 0, 0, 0, 3], "08P01"),
        (vec![b'R', 0, 0], "08006"),
        (vec![], "08006"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(), "08P01"),
    ] {
        assert_eq!(greeted(&bytes).await.unwrap_err().0, state, "{bytes:?}");
    }
}

#[test]
fn a_farewell_is_an_error_response() {
    let message = farewell(&SentAway("28000", "no\0way".to_owned()));
    let length = u32::from_be_bytes(message[1..5].try_into().unwrap());
    assert_eq!((message[0], usize::try_from(length).unwrap() + 1), (b'E', message.len()));
    assert!(message.ends_with(b"C28000\0Mcountersign: noway\0\0"));
}
