//! TLS on both sides: negotiated, direct, and attacked.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use countersign_runtime::{Plaintext, Roots, TlsMode, TlsReload, UpstreamTls, server_config};
use rustls::RootCertStore;
use rustls_pki_types::ServerName;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::world::{Client, Setup, World, eventually, local};

pub struct Made {
    pub config: Arc<rustls::ServerConfig>,
    pub pem: String,
    pub key_pem: String,
    pub der: rustls_pki_types::CertificateDer<'static>,
}

pub fn make(alpn: &[&[u8]]) -> Made {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = made.cert.pem();
    let key_pem = made.signing_key.serialize_pem();
    let config = server_config(pem.as_bytes(), key_pem.as_bytes(), alpn).unwrap();
    Made { config, pem, key_pem, der: made.cert.der().clone() }
}

pub async fn encrypted(mode: TlsMode, right_root: bool) -> (World, Made) {
    let (gateway, target) = (make(&[b"toy"]), make(&[]));
    let other = make(&[]);
    let root = if right_root { &target.pem } else { &other.pem };
    let mut listener = local();
    listener.tls = Some(TlsReload::new(gateway.config.clone()));
    listener.plaintext = Plaintext::Never;
    let w = Setup {
        listener: Some(listener),
        target_tls: Some(target.config.clone()),
        upstream_tls: Some(UpstreamTls::new(mode, &Roots::Pem(root.clone().into_bytes()), None).unwrap()),
        ..Setup::default()
    };
    (w.start().await, gateway)
}

pub async fn handshake(
    tcp: TcpStream,
    gateway: &Made,
    alpn: &[&[u8]],
) -> std::io::Result<Client<TlsStream<TcpStream>>> {
    let mut roots = RootCertStore::empty();
    roots.add(gateway.der.clone()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|p| p.to_vec()).collect();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await?;
    Ok(Client { io: BufReader::new(tls), key: String::new() })
}

#[tokio::test]
async fn negotiated_and_direct_tls_on_both_sides() {
    let (w, gateway) = encrypted(TlsMode::VerifyFull, true).await;
    for direct in [false, true] {
        let mut c = w.dial().await;
        if !direct {
            c.say("TLS\n").await;
            assert_eq!(c.line().await, "ok");
        }
        let mut c = handshake(c.io.into_inner(), &gateway, &[b"toy"]).await.unwrap();
        c.login("db").await;
        assert_eq!(c.ask("read one").await, ["did read one"]);
        let rows = c.ask("read bulk 8388608").await;
        assert_eq!(rows.len(), 8192, "direct: {direct}");
        assert!(rows.iter().all(|r| r.len() == 1023));
        // A cancel order goes to the target under TLS, too.
        c.say("read hang\n").await;
        eventually("the statement", || w.seen.has("read hang")).await;
        let orders = w.seen.cancel_orders.load(Ordering::SeqCst);
        let d = w.dial().await;
        let mut canceller = handshake(d.io.into_inner(), &gateway, &[b"toy"]).await.unwrap();
        canceller.say(&format!("CANCEL {}\n", c.key)).await;
        assert_eq!(c.reply().await, ["cancelled"]);
        assert_eq!(w.seen.cancel_orders.load(Ordering::SeqCst), orders + 1);
    }
    w.empty().await;
}

#[tokio::test]
async fn the_application_protocol_must_be_agreed_on() {
    let (w, gateway) = encrypted(TlsMode::VerifyFull, true).await;
    let c = w.dial().await;
    assert!(handshake(c.io.into_inner(), &gateway, &[b"http/1.1"]).await.is_err());
    eventually("the refusal", || w.memory.has("the TLS handshake failed")).await;
    let c = w.dial().await;
    let mut c = handshake(c.io.into_inner(), &gateway, &[]).await.unwrap();
    assert_eq!(c.line().await, "error not the toy protocol");
}

#[tokio::test]
async fn a_target_that_proves_nothing_gets_no_credential() {
    let (w, gateway) = encrypted(TlsMode::VerifyFull, false).await;
    let c = w.dial().await;
    let mut c = handshake(c.io.into_inner(), &gateway, &[b"toy"]).await.unwrap();
    c.say("LOGIN ana good db\n").await;
    assert!(c.line().await.starts_with("error target \"db\" cannot be reached: the TLS handshake failed"));
    assert!(!w.seen.has("hello"), "the password was sent");
    w.empty().await;
    assert!(w.memory.has("close target Some(TargetUnavailable)"));
}

#[tokio::test]
async fn the_insecure_mode_encrypts_and_verifies_nothing() {
    let (w, gateway) = encrypted(TlsMode::InsecureEncrypt, false).await;
    let c = w.dial().await;
    let mut c = handshake(c.io.into_inner(), &gateway, &[b"toy"]).await.unwrap();
    c.login("db").await;
}

#[tokio::test]
async fn adv_028_plaintext_ahead_of_tls_is_refused() {
    let (w, _) = encrypted(TlsMode::VerifyFull, true).await;
    let mut c = w.dial().await;
    c.say("TLS\nLOGIN ana good db\n").await;
    assert_eq!(c.line().await, "error bytes ahead of TLS");
    let mut c = w.dial().await;
    c.say("LOGIN ana good db\n").await;
    assert_eq!(c.line().await, "error encryption is required");
    assert_eq!(w.seen.sessions.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_broken_handshake_ends_the_connection() {
    let (w, _) = encrypted(TlsMode::VerifyFull, true).await;
    let mut c = w.dial().await;
    c.say("\u{16}\u{3}\u{1}nonsense that is no handshake\n").await;
    eventually("the refusal", || w.memory.has("Protocol the TLS handshake failed")).await;
    assert_eq!(c.line().await.find("error"), None, "words in plaintext to a peer that began TLS");
}
