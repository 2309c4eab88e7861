//! Client certificates: what a machine and the authenticator see of them, and what the handshake refuses.

use std::sync::Arc;

use rustls::client::{ResolvesClientCert, Resumption};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme, SupportedProtocolVersion, version};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::BufReader;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls::{Made, encrypted};
use crate::world::{Client, World, eventually};

/// A certificate for this name.
fn certificate(name: &str) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    (params.self_signed(&key).unwrap().der().clone(), PrivateKeyDer::Pkcs8(key.serialize_der().into()))
}

/// Shows this chain with this key, whether they fit or not.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn config(
    gateway: &Made,
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> Arc<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(gateway.der.clone()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(key).unwrap();
    let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
        .with_root_certificates(roots)
        .with_client_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(chain, key)))));
    config.alpn_protocols = vec![b"toy".to_vec()];
    config.resumption = Resumption::in_memory_sessions(8);
    Arc::new(config)
}

async fn handshake(
    w: &World,
    config: &Arc<rustls::ClientConfig>,
) -> std::io::Result<Client<TlsStream<tokio::net::TcpStream>>> {
    let tcp = w.dial().await.io.into_inner();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = TlsConnector::from(config.clone()).connect(name, tcp).await?;
    Ok(Client { io: BufReader::new(tls), key: String::new() })
}

const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

#[tokio::test]
async fn a_recognised_chain_is_the_machines_and_an_unrecognised_one_goes_with_a_token() {
    for version in VERSIONS {
        let (w, gateway) = encrypted(countersign_runtime::TlsMode::VerifyFull, true).await;
        let (issuer, _) = certificate("issuer");
        for (name, credential, seen) in [
            ("known", "certificate", r#"certificates ["known", "issuer"]"#),
            ("known", "good", r#"token with "known""#),
            ("foreign", "certificate", "certificates []"),
            ("foreign", "good", r#"token with "foreign""#),
        ] {
            let (leaf, key) = certificate(name);
            let config = config(&gateway, vec![leaf, issuer.clone()], &key, version);
            // The first handshake in full, the second resumed: both show the same.
            for resumed in [false, true] {
                let mut c = handshake(&w, &config).await.unwrap();
                let kind = c.io.get_ref().get_ref().1.handshake_kind().unwrap();
                assert_eq!(kind == rustls::HandshakeKind::Resumed, resumed, "{name} {credential} {version:?}");
                c.say(&format!("LOGIN ana {credential} db\n")).await;
                assert!(c.line().await.starts_with("welcome"), "{name} {credential}");
                assert_eq!(w.memory.count(seen), 1 + usize::from(resumed), "{name} {credential} {version:?}");
                assert_eq!(c.ask("read one").await, ["did read one"]);
            }
        }
    }
}

#[tokio::test]
async fn who_shows_no_certificate_is_let_on() {
    for version in VERSIONS {
        let (w, gateway) = encrypted(countersign_runtime::TlsMode::VerifyFull, true).await;
        let mut roots = RootCertStore::empty();
        roots.add(gateway.der.clone()).unwrap();
        let mut config = rustls::ClientConfig::builder_with_protocol_versions(&[version])
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"toy".to_vec()];
        let mut c = handshake(&w, &Arc::new(config)).await.unwrap();
        c.login("db").await;
        assert_eq!(w.memory.count("token with"), 0);
    }
}

/// True when the gateway lets this chain and key through the handshake.
async fn gets_through(
    chain: Vec<CertificateDer<'static>>,
    key: &PrivateKeyDer<'static>,
    version: &'static SupportedProtocolVersion,
) -> bool {
    let (w, gateway) = encrypted(countersign_runtime::TlsMode::VerifyFull, true).await;
    // In TLS 1.3 the client is done before the gateway has seen its certificate.
    let mut c = match handshake(&w, &config(&gateway, chain, key, version)).await {
        Ok(c) => c,
        Err(_) => {
            eventually("the refusal", || w.memory.has("the TLS handshake failed")).await;
            return false;
        }
    };
    c.say("LOGIN ana good db\n").await;
    let said = c.line().await;
    if said.starts_with("welcome") {
        return true;
    }
    eventually("the refusal", || w.memory.has("the TLS handshake failed")).await;
    assert_eq!(w.memory.count("token with"), 0);
    false
}

#[tokio::test]
async fn a_certificate_without_its_key_does_not_get_through() {
    for version in VERSIONS {
        for old in [false, true] {
            let (leaf, key) = certificate("known");
            let (_, other) = certificate("known");
            let leaf = if old { version_1(&leaf) } else { leaf };
            assert!(gets_through(vec![leaf.clone()], &key, version).await, "{version:?}, old: {old}");
            assert!(!gets_through(vec![leaf], &other, version).await, "{version:?}, old: {old}");
        }
        let (_, key) = certificate("known");
        assert!(!gets_through(vec![CertificateDer::from(b"nonsense".to_vec())], &key, version).await);
    }
}

#[tokio::test]
async fn a_chain_is_at_most_four_certificates_of_16_kib() {
    for version in VERSIONS {
        let (leaf, key) = certificate("known");
        let (issuer, _) = certificate("issuer");
        let chain = |n: usize| [vec![leaf.clone()], vec![issuer.clone(); n - 1]].concat();
        assert!(gets_through(chain(4), &key, version).await);
        assert!(!gets_through(chain(5), &key, version).await);
        // Nobody reads the rest of a chain here: bytes that fill it up to the last one, and one more.
        let rest = |n: usize| CertificateDer::from(vec![7; 16 * 1024 - leaf.len() + n]);
        assert!(gets_through(vec![leaf.clone(), rest(0)], &key, version).await);
        assert!(!gets_through(vec![leaf.clone(), rest(1)], &key, version).await);
    }
}

/// The same certificate as X.509 version 1 has it: without a version and without extensions. Its signature no longer holds, which is
/// for those to see who validate it.
fn version_1(cert: &[u8]) -> CertificateDer<'static> {
    let (_, tbs_and_rest, _) = element(cert);
    let (_, tbs, signature) = element(tbs_and_rest);
    let (tag, _, mut rest) = element(tbs);
    assert_eq!(tag, 0xa0, "a version comes first");
    let mut kept = Vec::new();
    while !rest.is_empty() {
        let (tag, _, after) = element(rest);
        if tag != 0xa3 {
            kept.extend(&rest[..rest.len() - after.len()]);
        }
        rest = after;
    }
    let whole = sequence(&[sequence(&kept), signature.to_vec()].concat());
    CertificateDer::from(whole)
}

/// A DER element: tag, content, and what comes after it.
fn element(der: &[u8]) -> (u8, &[u8], &[u8]) {
    let (header, len) = match der[1] {
        n @ 0..=0x7f => (2, usize::from(n)),
        0x81 => (3, usize::from(der[2])),
        0x82 => (4, usize::from(der[2]) << 8 | usize::from(der[3])),
        n => panic!("a length of {n:x}"),
    };
    (der[0], &der[header..header + len], &der[header + len..])
}

fn sequence(content: &[u8]) -> Vec<u8> {
    let len = u16::try_from(content.len()).unwrap().to_be_bytes();
    [&[0x30, 0x82][..], &len, content].concat()
}
